"""Averages of the weights: the exponential one, with which samples are drawn, and power-function averages.

The length of a power-function average can be chosen after training (`power_average`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from ancestral.training.power_average import gamma_of, power_decay


class Average(ABC):
    """Averaged copies of parameters (float32). Buffers are not averaged, which is known to spoil samples."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.weights = [parameter.detach().clone() for parameter in parameters]

    @abstractmethod
    def decay_at(self, step: int) -> float:
        """Return the factor of the old average at optimiser step `step` (counted from 1)."""

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor], step: int) -> None:
        """Update the average after optimiser step `step` (counted from 1)."""
        torch._foreach_lerp_(self.weights, list(parameters), 1 - self.decay_at(step))


class EMA(Average):
    """The exponential moving average.

    The decay rises to its value as (1 + step)/(10 + step), so that a short run does not average in its beginning.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        super().__init__(parameters)
        self.decay = decay

    def decay_at(self, step: int) -> float:
        """Return the factor of the old average at optimiser step `step` (counted from 1)."""
        return min(self.decay, (1 + step) / (10 + step))


class PowerAverage(Average):
    """The power-function average of length σ_rel."""

    def __init__(self, parameters: Iterable[Tensor], length: float) -> None:
        super().__init__(parameters)
        self.gamma = gamma_of(length)

    def decay_at(self, step: int) -> float:
        """Return the factor of the old average at step `step` (counted from 1)."""
        return power_decay(self.gamma, step)


def ema_length(decay: float, steps: int) -> float:
    """Compute σ_rel of an `EMA` after a number of steps: the standard deviation of its profile as a share of them."""
    step = torch.arange(1, steps + 1, dtype=torch.float64)
    factors = ((1 + step) / (10 + step)).clamp(max=decay)
    kept = torch.cat([factors[1:].log().flip(0).cumsum(0).flip(0), step.new_zeros(1)]).exp()
    weights = kept * (1 - factors)
    mean = (weights @ step) / weights.sum()
    return float((weights @ (step - mean).square() / weights.sum()).sqrt() / steps)
