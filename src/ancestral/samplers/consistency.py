"""The sampler of consistency models: predict x_0, add fresh noise, repeat."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.conditions import FACTOR
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.targets import Prediction


@checked_class
@dataclass(frozen=True)
class Consistency(Sampler):
    """x_s = a_s x̂_0 + b_s z: for models whose x̂_0 is a sample, not the mean of all that fit x_t.

    The models that `ancestral distil` makes are of this kind. Samples of other models are too smooth by it.

    Attributes:
        noise: The factor of the noise that a network trained by an energy score draws itself. `evaluate` finds the one
            by which its answers spread as much as they err.

    Raises:
        InputError: If the factor is not above 0.

    References:
        Song et al., *Consistency models* (2023), algorithm 1.
    """

    steps: int | None = 2
    clip: float | None = 1.0
    spacing: Spacing = "trailing"
    noise: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.noise < 100:
            raise InputError(f"the factor of the noise is above 0 and below 100, not {self.noise}")

    def conditions(self, condition: Mapping[str, Any], x: Tensor) -> Mapping[str, Any]:
        """See `Sampler.conditions`: the factor of the noise too, which networks refuse that draw none."""
        if self.noise == 1:
            return condition
        return {**condition, FACTOR: torch.full((len(x),), self.noise, device=x.device)}

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: None) -> tuple[Tensor, None]:
        """See `Sampler.advance`; at s = 0 it is x̂_0."""
        return move.schedule.add_noise(prediction.x0, move.s, move.z(0)), state
