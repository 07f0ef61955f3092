"""The sampler of consistency models: predict x_0, add fresh noise, repeat."""

from dataclasses import dataclass

from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.targets import Prediction


@checked_class
@dataclass(frozen=True)
class Consistency(Sampler):
    """x_s = a_s x̂_0 + b_s z: for models whose x̂_0 is a sample, not the mean of all that fit x_t.

    The models that `ancestral distil` makes are of this kind. Samples of other models are too smooth by it.

    References:
        Song et al., *Consistency models* (2023), algorithm 1.
    """

    steps: int | None = 2
    clip: float | None = 1.0
    spacing: Spacing = "trailing"

    def advance(self, x: Tensor, prediction: Prediction, move: Move, state: None) -> tuple[Tensor, None]:
        """See `Sampler.advance`; at s = 0 it is x̂_0."""
        return move.schedule.add_noise(prediction.x0, move.s, move.z(0)), state
