"""Ancestral sampling: draw x_s from p_θ(x_s | x_t), step after step."""

from dataclasses import dataclass

from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.reverse import Variance, check_variance, transition
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser, Prediction


@checked_class
@dataclass(frozen=True)
class DDPM(Sampler):
    """x_s = μ_θ + σ z, with σ² = β ("large"), β̃ ("small"), "learned" by the network between them, or "analytic".

    The analytic variance is the best one for the errors of x̂_0: the fewer steps, the more it matters. A `Model`
    measures it on its training data; elsewhere give a `reverse.AnalyticVariance`.

    The last step adds no noise. Fewer than T `steps` visit a spaced subset of the times, with the variances of the
    longer steps.

    References:
        Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020), algorithm 2.
        Bao et al., *Analytic-DPM: an analytic estimate of the optimal reverse variance in diffusion probabilistic
        models* (2022).
    """

    variance: Variance = "large"
    steps: int | None = None
    clip: float | None = 1.0
    spacing: Spacing = "trailing"

    def check(self, denoiser: Denoiser) -> None:
        """See `Sampler.check`; the variance is checked too."""
        super().check(denoiser)
        check_variance(self.variance, getattr(denoiser, "learned_variance", False))

    def nfe(self, schedule: Schedule) -> int:
        """See `Sampler.nfe`: one evaluation a step."""
        return len(self.times(schedule)) - 1

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: None) -> tuple[Tensor, None]:
        """See `Sampler.advance`: a draw from p_θ(x_s | x_t), or its mean at s = 0."""
        step = transition(move.schedule, prediction, x, move.t, move.s, self.variance)
        return step.sample(move.z(0)) if move.s else step.mean, state  # algorithm 2, line 4
