"""UniPC: DPM-Solver++ 2M, whose last step is corrected by the next estimate. Order 3 at one evaluation a step."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.samplers.dpm_solver import slope
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.schedules import Schedule
from ancestral.targets import Prediction


class LastStep(NamedTuple):
    """The step before: from x at time t, with the estimate x0 there, and the step before that one."""

    t: float
    x: Tensor
    x0: Tensor
    before: "LastStep | None"


@checked_class
@dataclass(frozen=True)
class UniPC(Sampler):
    """The predictor is DPM-Solver++ 2M. The corrector repeats the last step, with the estimate at its end too.

    References:
        Zhao et al., *UniPC: a unified predictor-corrector framework for fast sampling of diffusion models* (2023), for
        order 2 with B₂(h) and data prediction.
    """

    steps: int | None = 20
    clip: float | None = None
    spacing: Spacing = "trailing"

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: LastStep | None) -> tuple[Tensor, LastStep]:
        """See `Sampler.advance`: correct the step that led to t, then predict the step t → s."""
        schedule, x0 = move.schedule, prediction.x0
        if state is not None:
            x = _step(schedule, state.t, move.t, state.x, _corrected(schedule, state, move.t, x0))
        line = x0 if state is None else x0 + slope(schedule, state.t, move.t, move.s) * (x0 - state.x0)
        before = state._replace(before=None) if state else None
        return _step(schedule, move.t, move.s, x, line), LastStep(move.t, x, x0, before)


def _step(schedule: Schedule, t: float, s: float, x: Tensor, x0: Tensor) -> Tensor:
    """The exact step t → s for a constant x̂_0."""
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    return (b_s / b_t) * x + (a_s - a_t * b_s / b_t) * x0


def _corrected(schedule: Schedule, previous: LastStep, s: float, x0_s: Tensor) -> Tensor:
    """The constant x̂_0 for the step previous.t → s, from the estimates before, at and after previous.t.

    It is x̂_0 + ρ₁ D₁ + ρ₂ D₂ with D₁ = (x̂_before − x̂)/r, D₂ = x̂_s − x̂ and weights ρ by which the first moments of the
    integral are exact: ρ₁ + ρ₂ = φ₂/B, r ρ₁ + ρ₂ = 2 φ₃/B, with B = e^−h − 1 and r = −h_before/h.
    """
    if previous.before is None or schedule.at(previous.before.t)[0] == 0:
        return previous.x0 + 0.5 * (x0_s - previous.x0)
    before, now, late = (math.log(a / b) for a, b in map(schedule.at, (previous.before.t, previous.t, s)))
    h = late - now
    r = (before - now) / h
    B = math.expm1(-h)
    phi_2 = B / -h - 1
    phi_3 = phi_2 / -h - 0.5
    total, moment = phi_2 / B, 2 * phi_3 / B
    rho_1 = (moment - total) / (r - 1)
    return previous.x0 + rho_1 / r * (previous.before.x0 - previous.x0) + (total - rho_1) * (x0_s - previous.x0)
