"""Euler's method on the probability-flow ODE dx = x̂_0 da + ε̂ db."""

import math
from dataclasses import dataclass

from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.targets import Prediction


@checked_class
@dataclass(frozen=True)
class Euler(Sampler):
    """x_s = x + Δa x̂_0 + Δb ε̂. `ancestral` steps further down, to √(b_s² − β̃), and adds the noise √β̃ z back.

    Since x = a x̂_0 + b ε̂, it equals DDIM with η = 0, and with `ancestral` DDIM with η = 1, on any schedule.

    It equals EDM's algorithm 1 without the correction where a and b are linear in EDM's time: for a = 1 with σ as the
    time (`karras`, `geometric`), and for `flow`. On other schedules EDM's step has the derivatives of a and b at t in
    place of Δa and Δb, which differs by O(h²) in a step of length h.

    References:
        Karras et al., *Elucidating the design space of diffusion-based generative models* (2022), algorithm 1.
    """

    steps: int | None = 50
    ancestral: bool = False
    clip: float | None = 1.0
    spacing: Spacing = "trailing"

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: None) -> tuple[Tensor, None]:
        """See `Sampler.advance`."""
        (a_t, b_t), (a_s, b_s) = move.schedule.at(move.t), move.schedule.at(move.s)
        up = move.schedule.posterior_variance(move.t, move.s) if self.ancestral else 0.0
        down = (a_t / a_s) * b_s**2 / b_t if self.ancestral else b_s  # √(b_s² − β̃), which rounding could make negative
        x = x + (a_s - a_t) * prediction.x0 + (down - b_t) * prediction.eps  # EDM (1), EDM (4), DDIM (13)
        return x + math.sqrt(up) * move.z(0) if up > 0 else x, state
