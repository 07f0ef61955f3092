"""Between two items, and around one: interpolation of states, and the time at which an item is left."""

import torch
from torch import Tensor

from ancestral.base.device_tensors import float64_device
from ancestral.base.errors import InputError
from ancestral.guidance.blend import item_weights
from ancestral.schedules import Schedule, per_item

PARALLEL = 1e-6
"""The sine of an angle below which two vectors are parallel."""


def slerp(x: Tensor, y: Tensor, weight: float | Tensor) -> Tensor:
    """Interpolate spherically between two states of noise, each item over all of its elements.

    With the angle θ between x and y it is sin((1 − w) θ)/sin θ · x + sin(w θ)/sin θ · y. Between vectors of equal
    length all have that length, as noise must have. Where x and y are parallel it is linear, and where they are
    opposite a half circle in one of the planes through both, with a radius that is interpolated linearly.

    Args:
        x: States, floats (B, *).
        y: Others of that shape.
        weight: A number w, or a tensor (B,) with one for each item: 0 is x and 1 is y, bit for bit.

    Returns:
        The states between, (B, *). Differentiable in x and y, and in weights between 0 and 1.

    Raises:
        InputError: If the shapes differ, or the weights are not within 0 and 1.

    References:
        Song, Meng and Ermon, *Denoising diffusion implicit models* (2021), section 5.3 and its appendix.
    """
    if x.shape != y.shape or not (x.is_floating_point() and y.dtype == x.dtype):
        raise InputError(
            f"states to interpolate must be floats of one shape, not {list(x.shape)} of {x.dtype} and {list(y.shape)} "
            f"of {y.dtype}"
        )
    work = float64_device(x.device)
    w = item_weights(weight, x)[:, None].to(work, non_blocking=True)
    one, other = (item.flatten(1).to(work).double() for item in (x, y))
    length, length_y = (item.norm(dim=1, keepdim=True) for item in (one, other))
    some = (length > 0) & (length_y > 0)
    length, length_y = (size.where(some, 1.0) for size in (length, length_y))  # so that derivatives are finite too
    cos = (one * other).sum(1, keepdim=True) / (length * length_y)
    # the angle by both its sine and its cosine: the arccosine has half the digits at 0 and π
    side = other / length_y - cos * one / length
    apart = some & (side.norm(dim=1, keepdim=True) > PARALLEL)
    sin = side.where(apart, 1.0).norm(dim=1, keepdim=True)
    angle = torch.atan2(sin, cos)
    arc = (torch.sin((1 - w) * angle) * one + torch.sin(w * angle) * other) / sin
    turned = _orthogonal(one)
    half_circle = (1 + w * (length_y / length - 1)) * (torch.cos(w * torch.pi) * one + torch.sin(w * torch.pi) * turned)
    opposite = (cos < 0) & (turned != 0).any(1, keepdim=True)
    between = torch.where(apart, arc, torch.where(opposite, half_circle, torch.lerp(one, other, w)))
    between = between.reshape(x.shape).to(x)
    return torch.where(per_item(w[:, 0] == 0, x), x, torch.where(per_item(w[:, 0] == 1, x), y, between))


def _orthogonal(x: Tensor) -> Tensor:
    """A vector for each row of x (B, D), orthogonal to it and as long; 0 where there is none, in one dimension."""
    pairs = x[:, : x.shape[1] // 2 * 2]
    turned = torch.stack([-pairs[:, 1::2], pairs[:, ::2]], 2).flatten(1)
    turned = torch.cat([turned, x.new_zeros(len(x), x.shape[1] - pairs.shape[1])], 1)
    length = turned.norm(dim=1, keepdim=True)
    return torch.where(length > 0, turned * (x.norm(dim=1, keepdim=True) / length.where(length > 0, 1.0)), 0.0)


def time_at_strength(schedule: Schedule, strength: float) -> int:
    """Time to which noise is added to vary an item: the share `strength` of T, rounded, and at least 1.

    Noise of that time takes away the details below its level, and sampling from there invents others. At strength 1
    nothing is left of the item but what x_T holds.

    Args:
        schedule: The schedule.
        strength: Above 0, and at most 1.

    Raises:
        InputError: If the strength is not such a number.

    References:
        Meng et al., *SDEdit: guided image synthesis and editing with stochastic differential equations* (2022): t_0.
    """
    if not 0 < strength <= 1:
        raise InputError(f"strength must be above 0 and at most 1, not {strength}")
    return max(1, round(strength * schedule.steps))
