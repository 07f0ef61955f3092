"""The exponential moving average of the weights, which samples are drawn with."""

from collections.abc import Iterable

import torch
from torch import Tensor


class EMA:
    """Averaged copies of parameters (float32). Parameters alone: averaging a net's buffers is a known way to black
    images.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.weights = [parameter.detach().clone() for parameter in parameters]
        self.decay = decay

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor], step: int) -> None:
        """Move towards the parameters after optimiser step `step` (counted from 1).

        The decay rises to its value as (1 + step)/(10 + step), so that a short run does not average in its beginning.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.weights, [p.detach() for p in parameters], 1 - decay)
