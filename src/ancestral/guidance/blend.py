"""Estimates between two conditions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.base.transforms import certain
from ancestral.guidance.wrapper import Wrapper
from ancestral.schedules import Time, per_item
from ancestral.targets import Denoiser, Prediction


@checked_class
class Blend(Wrapper):
    """Interpolation between the estimates given two conditions: x̂ = (1 − w) x̂(· | c) + w x̂(· | c'), and ε̂ likewise.

    The condition c is that of `predict`; c' is fixed here. So labels can be interpolated, which have no value between
    them. With w = 0 and w = 1 the estimates are those of the denoiser, bit for bit. A step takes a forward pass for
    each of the two conditions, and one if the weights are all 0 or all 1.

    Args:
        denoiser: The denoiser to wrap, guidance included.
        other: c', by name: tensors of one row, or one for each item. Conditions that are not named are those of c, and
            what is None is absent.
        weights: w, from 0 to 1: a number, or a tensor (B,) with one for each item.

    Raises:
        InputError: If a weight is not within 0 and 1.
    """

    def __init__(self, denoiser: Denoiser, other: Mapping[str, Any], weights: float | Tensor) -> None:
        super().__init__(denoiser)
        self.other, self.weights = dict(other), _checked(weights)

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε. Raises InputError if there are not as many weights as items."""
        each = item_weights(self.weights, x_t).to(x_t.dtype)
        if certain(~each.any()):
            return self.denoiser.predict(x_t, t, **condition)
        other = self.denoiser.predict(x_t, t, **condition | self.other)
        if certain((each == 1).all()):
            return other
        one, weights = self.denoiser.predict(x_t, t, **condition), per_item(each, x_t)
        x0, eps = (torch.lerp(*pair, weights) for pair in zip(one, other, strict=True))
        fraction, second = one.variance_fraction, other.variance_fraction
        if fraction is not None and second is not None:
            fraction = torch.lerp(fraction, second, weights)
        return Prediction(x0, eps, fraction)


def item_weights(weights: float | Tensor, items: Tensor) -> Tensor:
    """Return the weight of each item (B, *), float64 (B,) on the CPU. Raises InputError if they cannot be used."""
    checked = _checked(weights)
    if checked.numel() not in (1, len(items)):
        raise InputError(f"{len(items)} items need one weight or {len(items)}, not {checked.numel()}")
    return checked.expand(len(items))


def _checked(weights: float | Tensor) -> Tensor:
    values = torch.as_tensor(weights, dtype=torch.float64, device="cpu")
    if values.ndim > 1 or certain(~((values >= 0) & (values <= 1)).all()):
        raise InputError(f"weights are from 0 to 1, a number or a tensor with one for each item, not {weights}")
    return values
