"""The exponential moving average of the weights, with which samples are drawn."""

from collections.abc import Iterable

import torch
from torch import Tensor


class EMA:
    """Averaged copies of parameters (float32). Buffers are not averaged, which is known to spoil samples."""

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.weights = [parameter.detach().clone() for parameter in parameters]
        self.decay = decay

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor], step: int) -> None:
        """Update the average after optimiser step `step` (counted from 1).

        The decay rises to its value as (1 + step)/(10 + step), so that a short run does not average in its beginning.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.weights, [p.detach() for p in parameters], 1 - decay)
