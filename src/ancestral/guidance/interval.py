"""Guidance at some noise levels."""

import math
from typing import Any

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.base.transforms import certain
from ancestral.guidance.wrapper import Wrapper
from ancestral.schedules import Time, per_item
from ancestral.targets import Prediction


@checked_class
class Interval(Wrapper):
    """Guidance within an interval of noise levels, and the denoiser without it at others, which costs less.

    Args:
        guidance: A wrapper of a denoiser.
        low: The noise level b_t/a_t above which the wrapper is used.
        high: The highest noise level at which it is.

    Raises:
        InputError: If `guidance` is no wrapper, or the interval is empty.

    References:
        Kynkäänniemi et al., *Applying guidance in a limited interval improves sample and distribution quality in
        diffusion models* (2024), eq. 6.
    """

    denoiser: Wrapper

    def __init__(self, guidance: Wrapper, low: float = 0.0, high: float = math.inf) -> None:
        super().__init__(guidance)
        if not 0 <= low < high:
            raise InputError(f"an interval of noise levels needs 0 <= low < high, not {low} and {high}")
        self.low, self.high = low, high

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε. A batch of times inside and outside of the interval is evaluated with and without."""
        a, b = (torch.as_tensor(scale, dtype=torch.float64) for scale in self.schedule.at(t))
        inside = (self.low < b / a) & (b / a <= self.high)  # guidance interval (6)
        if certain(inside.all()):
            return self.denoiser.predict(x_t, t, **condition)
        plain = self.denoiser.denoiser.predict(x_t, t, **condition)
        if certain(~inside.any()):
            return plain
        guidance, rows = self.denoiser.predict(x_t, t, **condition), per_item(inside, x_t)
        return Prediction(
            guidance.x0.where(rows, plain.x0), guidance.eps.where(rows, plain.eps), plain.variance_fraction
        )
