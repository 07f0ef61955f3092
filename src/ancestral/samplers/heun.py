"""Heun's method on the probability-flow ODE: order 2, two network evaluations a step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ancestral.adaptive import flow
from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser, Prediction


@checked_class
@dataclass(frozen=True)
class Heun(Sampler):
    """The trapezoid rule for dx = x̂_0 da + ε̂ db, with a and b taken as linear between two times.

    It equals EDM's algorithm 1, and with `churn` algorithm 2, where a and b are linear in EDM's time: for a = 1 with σ
    as the time (`karras`, `geometric`), and for `flow`. On other schedules EDM's step has the derivatives of a and b at
    both ends in the place of their differences. The two differ by O(h³) in a step of length h, as both do from the
    exact solution.

    `churn` is EDM's S_churn: before a step whose σ = b/a lies within [churn_min, churn_max] noise is added, as
    q(x_u | x_t) adds it, up to the time u where σ_u = (1 + γ) σ_t, γ = min(churn/N, √2 − 1), with N the number of steps
    of the trajectory; u is a float between the integer times. `churn_noise` scales the deviation of the noise. u is at
    most T, except on schedules that go on above it (`karras`, `geometric`).

    With `rtol` the flow is solved by an adaptive method of order 5, whose steps keep the error of each below rtol;
    `steps` and `churn` are then refused, and `spacing` has no effect. Each image has steps of its own, down to t = 1,
    and then Euler's to t = 0.

    References:
        Karras et al., *Elucidating the design space of diffusion-based generative models* (2022), algorithms 1 and 2.
    """

    steps: int | None = 18
    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float = math.inf
    churn_noise: float = 1.0
    rtol: float | None = None
    clip: float | None = None
    spacing: Spacing = "karras"

    def __post_init__(self) -> None:
        if not 0 <= self.churn < math.inf or not 0 <= self.churn_noise < math.inf:
            raise InputError(f"churn and churn_noise must be 0 or more, and finite: {self.churn}, {self.churn_noise}")
        if self.rtol is None:
            return
        if not isinstance(self.rtol, int | float) or not 0 < self.rtol < 1:
            raise InputError(f"rtol is a number between 0 and 1, not {self.rtol!r}")
        if self.churn or self.steps != type(self).steps:
            raise InputError("with rtol the steps are adaptive, and those of an ODE: leave steps and churn out")

    def times(self, schedule: Schedule) -> Sequence[float]:
        """See `Sampler.times`; with `rtol` T, 1 and 0."""
        return super().times(schedule) if self.rtol is None else sorted({schedule.steps, 1, 0}, reverse=True)

    def check(self, denoiser: Denoiser) -> None:
        """See `Sampler.check`; with `rtol` there is nothing to check."""
        if self.rtol is None:
            super().check(denoiser)

    def start(self, x: Tensor, move: Move) -> tuple[Tensor, Move]:
        """See `Sampler.start`: add the churn's noise (EDM algorithm 2, lines 4 to 6)."""
        (a, b), schedule = move.schedule.at(move.t), move.schedule
        if not self.churn or a == 0 or not self.churn_min <= b / a <= self.churn_max:
            return x, move
        rise = min(self.churn / move.steps, math.sqrt(2) - 1)
        u = float(schedule.time_at((1 + rise) * b / a))
        if u <= move.t:  # at t = T
            return x, move
        forward = schedule.forward(x, u, move.t)
        return forward.mean + self.churn_noise * (forward.sample(move.z(1)) - forward.mean), replace(move, t=u)

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: None) -> tuple[Tensor, None]:
        """See `Sampler.advance`: Euler's step, corrected by the estimate at its end, where s > 0."""
        if self.rtol is not None and move.s:
            return flow(move.schedule, move.predict, x, move.t, move.s, self.rtol), state
        (a_t, b_t), (a_s, b_s) = move.schedule.at(move.t), move.schedule.at(move.s)
        da, db = a_s - a_t, b_s - b_t
        x_s = x + da * prediction.x0 + db * prediction.eps
        if move.s == 0:
            return x_s, state
        x0, eps = move.predict(x_s, move.s)
        return x + da * torch.lerp(prediction.x0, x0, 0.5) + db * torch.lerp(prediction.eps, eps, 0.5), state
