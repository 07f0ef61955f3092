"""Guidance by a weaker model."""

import copy
import math
from collections.abc import Collection
from typing import Any, Self

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.guidance.classifier_free import checked_share, guided, rescaled
from ancestral.guidance.wrapper import Wrapper
from ancestral.schedules import Time, largest_difference
from ancestral.targets import Denoiser, Prediction, exact_at_zero, for_move


@checked_class
class AutoGuidance(Wrapper):
    """Guidance by a weaker model of the same data: extrapolation from its estimate through that of the denoiser.

    It needs no condition. A step costs a forward pass of each model.

    Args:
        denoiser: The denoiser.
        weak: A denoiser that makes the same errors, only larger: a snapshot of the run, or a smaller model.
        scale: 0 is the weaker model, 1 the denoiser alone, more leads away from the errors of the weaker one.
        rescale: The share, from 0 to 1, in which the standard deviation of each x̂_0 is brought back to that of the
            denoiser alone.
        without: Names of conditions that the weaker model does not take. It gets all others.

    Raises:
        InputError: If the two have other schedules, or `rescale` is no share.

    References:
        Karras et al., autoguidance: *Guiding a diffusion model with a bad version of itself* (2024), eq. 3.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        weak: Denoiser,
        scale: float,
        rescale: float = 0.0,
        without: Collection[str] = (),
    ) -> None:
        super().__init__(denoiser)
        self.weak, self.scale, self.rescale, self.without = weak, scale, checked_share(rescale), frozenset(without)
        if not math.isfinite(scale):
            raise InputError(f"autoguidance takes a finite scale, not {scale}")
        one, other = (torch.stack([each.schedule.signal, each.schedule.noise]) for each in (denoiser, weak))
        if one.shape != other.shape:
            difference = f"{weak.schedule.steps} steps, not {denoiser.schedule.steps}"
        elif (t := largest_difference(one, other)) is not None:
            difference = f"noise {other[1, t]:.4g} at t = {t}, not {one[1, t]:.4g}"
        else:
            return
        raise InputError(f"the weaker model has another schedule ({difference}): take a snapshot of the same run")

    def for_move(self, move: Any) -> Self:
        """See `targets.for_move`: guidance of the denoiser of this step by the weaker one of this step."""
        wrapper, weak = super().for_move(move), for_move(self.weak, move)
        if weak is not self.weak:
            wrapper = copy.copy(wrapper)
            wrapper.weak = weak
        return wrapper

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε, by a forward pass of each model."""
        strong = self.denoiser.predict(x_t, t, **condition)
        weak = self.weak.predict(x_t, t, **{name: v for name, v in condition.items() if name not in self.without})
        x0, eps = (guided(pair, [self.scale]) for pair in zip(strong, weak, strict=True))
        prediction = Prediction(x0, eps, strong.variance_fraction)
        return rescaled(prediction, strong.x0, self.rescale, x_t, *self.schedule.at(t))
