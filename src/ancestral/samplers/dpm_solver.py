"""DPM-Solver++ 2M, for the ODE and the SDE: multistep, order 2 at one network evaluation a step."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.schedules import Schedule
from ancestral.targets import Prediction


class Previous(NamedTuple):
    """The estimate of the step before, and its time."""

    t: float
    x0: Tensor


@checked_class
@dataclass(frozen=True)
class DPMSolver(Sampler):
    """With λ = log a/b and h = λ_s − λ_t the ODE is x_s = (b_s/b_t) x + b_s ∫ eᵘ x̂_0 du over u in [λ_t, λ_s].

    Order 1 takes x̂_0 as constant, which is DDIM; order 2 as the line through the last two estimates ("midpoint"). The
    last step, whose h is infinite, is of order 1. `eta` = 1 is the SDE (2M SDE), between 0 and 1 a mixture of the two.

    References:
        Lu et al., *DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models* (2022), algorithm 2
        and the appendix on the SDE.
    """

    steps: int | None = 20
    order: int = 2
    eta: float = 0.0
    clip: float | None = None
    spacing: Spacing = "trailing"

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise InputError(f"DPM-Solver++ comes here in order 1 and 2, not {self.order}")
        if not 0 <= self.eta <= 1:
            raise InputError(f"eta must lie between 0 (ODE) and 1 (SDE), not {self.eta}")

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: Previous | None) -> tuple[Tensor, Previous]:
        """See `Sampler.advance`; the state is the estimate of the step before."""
        (a_t, b_t), (a_s, b_s) = move.schedule.at(move.t), move.schedule.at(move.s)
        x0 = prediction.x0
        if state is not None and self.order == 2:
            x0 = x0 + slope(move.schedule, state.t, move.t, move.s) * (x0 - state.x0)
        decay = (a_t * b_s) / (b_t * a_s)  # e^−h
        decay_eta = decay**self.eta  # e^−ηh
        x = (b_s / b_t) * decay_eta * x + (a_s - a_s * decay * decay_eta) * x0  # algorithm 2
        noise = b_s * math.sqrt(max(1 - decay_eta**2, 0.0))
        return x + noise * move.z(0) if noise > 0 else x, Previous(move.t, prediction.x0)


def slope(schedule: Schedule, before: float, t: float, s: float) -> float:
    """Weight of the last two estimates' difference in their line at the middle of [λ_t, λ_s]: h/(2 h_before).

    0 where either is infinite: at t = 0, and from a time without signal.
    """
    if s == 0 or schedule.at(before)[0] == 0:
        return 0.0
    early, now, late = (math.log(a / b) for a, b in (schedule.at(before), schedule.at(t), schedule.at(s)))
    return (late - now) / (2 * (now - early))
