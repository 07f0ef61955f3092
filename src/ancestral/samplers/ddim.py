"""DDIM: the same marginals with less noise, so that fewer steps suffice."""

import math
from dataclasses import dataclass

from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.targets import Prediction


@checked_class
@dataclass(frozen=True)
class DDIM(Sampler):
    """x_s = a_s x̂_0 + √(b_s² − η²β̃) ε̂ + η√β̃ z. η = 0 is deterministic, η = 1 is DDPM with the small variance.

    References:
        Song, Meng and Ermon, *Denoising diffusion implicit models* (2021), eq. 12.
    """

    steps: int | None = 50
    eta: float = 0.0
    clip: float | None = 1.0
    spacing: Spacing = "trailing"

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise InputError(f"eta must lie between 0 (no noise) and 1 (DDPM), not {self.eta}")

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: None) -> tuple[Tensor, None]:
        """See `Sampler.advance`. At s = 0, where β̃ and b_s vanish, it is x̂_0."""
        a, b = move.schedule.at(move.s)
        variance = self.eta**2 * move.schedule.posterior_variance(move.t, move.s) if self.eta else 0.0  # DDIM (16)
        x = a * prediction.x0 + math.sqrt(max(b**2 - variance, 0.0)) * prediction.eps  # DDIM (12)
        return x + math.sqrt(variance) * move.z(0) if variance > 0 else x, state
