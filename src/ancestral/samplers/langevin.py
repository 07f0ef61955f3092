"""Annealed Langevin dynamics, NCSN's sampler."""

from dataclasses import dataclass

from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.gaussian import Scalar, sqrt
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.targets import Prediction


@checked_class
@dataclass(frozen=True)
class Langevin(Sampler):
    """At each noise level x ← x + ½α s(x) + √α z, `steps_per_level` times, with α = step_size · b_t²/b_1².

    s = −ε̂/b_t is the score. `step_size` is the ε of the paper's algorithm 1, where it is 2e-5. The authors' released
    code steps by α s + √(2α) z, twice as far: its step_lr of 2e-5 is a step_size of 4e-5 here. α is at most b_t²/2: on
    schedules of very small b_1 it would otherwise diverge. `steps` is the number of levels; x does not change between
    two of them. After the last level the remaining noise is removed: the sample is x̂_0.

    References:
        Song and Ermon, *Generative modeling by estimating gradients of the data distribution* (2019), algorithm 1; for
        the last step *Improved techniques for training score-based generative models* (2020).
    """

    steps_per_level: int = 100
    step_size: float = 2e-5
    steps: int | None = None
    clip: float | None = None
    spacing: Spacing = "trailing"

    def __post_init__(self) -> None:
        if self.steps_per_level < 1 or not self.step_size > 0:
            raise InputError("Langevin dynamics needs steps_per_level of at least 1 and a step_size above 0")

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: None) -> tuple[Tensor, None]:
        """See `Sampler.advance`: all steps of the level t; at the last level also the step to x̂_0."""
        b, smallest = move.schedule.at(move.t)[1], move.schedule.at(1)[1]
        alpha = min(self.step_size / smallest**2, 0.5) * b**2
        for number in range(self.steps_per_level):
            eps = prediction.eps if number == 0 else move.predict(x, move.t).eps
            x = langevin_step(x, eps, b, alpha, move.z(number))
        return x if move.s else move.predict(x, move.t).x0, state


def langevin_step(x: Tensor, eps: Tensor, b: Scalar, alpha: Scalar, z: Tensor) -> Tensor:
    """One Langevin step of size α at the noise level b."""
    return x - 0.5 * alpha * eps / b + sqrt(alpha) * z  # NCSN (4): x + ½α s + √α z, s = −ε̂/b
