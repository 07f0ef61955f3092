"""Padding, cropping and space-to-depth for any number of axes of space: x is (B, C, *sides) throughout."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.base.errors import whole


def pad(x: Tensor, multiple: int, periodic: Sequence[int] = ()) -> Tensor:
    """Extend x on all sides, so that every side is a multiple of `multiple`."""
    padding = [-side % multiple for side in x.shape[2:]]
    return extend(x, [(more // 2, more - more // 2) for more in padding], periodic)


def extend(x: Tensor, ends: Sequence[tuple[int, int]], periodic: Sequence[int] = ()) -> Tensor:
    """Pad each axis of space before and after by some positions: with zeros, a periodic one with its other end."""
    zeros = [(0, 0) if axis in periodic else more for axis, more in enumerate(ends)]
    x = F.pad(x, [end for more in reversed(zeros) for end in more]) if any(map(any, zeros)) else x
    for axis in periodic:
        (before, after), side = ends[axis], x.shape[axis + 2]
        if before or after:
            x = torch.cat([x.narrow(axis + 2, side - before, before), x, x.narrow(axis + 2, 0, after)], axis + 2)
    return x


def crop(x: Tensor, sides: Sequence[int]) -> Tensor:
    """Crop the middle of x to these sides: the inverse of `pad`."""
    for axis, side in enumerate(sides, 2):
        x = x.narrow(axis, (x.shape[axis] - side) // 2, side)
    return x


def fold(x: Tensor, patch: int) -> Tensor:
    """Space to depth: each block of `patch` along every axis becomes channels, (B, C · patch^dims, *sides / patch)."""
    dims = x.ndim - 2
    for axis in range(2, 2 * dims + 2, 2):
        x = torch.unflatten(x, axis, (-1, patch))
    return x.permute(0, 1, *range(3, 2 * dims + 3, 2), *range(2, 2 * dims + 2, 2)).flatten(1, dims + 1)


def unfold(x: Tensor, patch: int) -> Tensor:
    """Depth to space, (B, C / patch^dims, *sides · patch): the inverse of `fold`."""
    dims = x.ndim - 2
    x = torch.unflatten(x, 1, (-1, *[patch] * dims))
    x = x.permute(0, 1, *(axis for side in range(2, dims + 2) for axis in (side + dims, side)))
    for axis in range(2, dims + 2):
        x = x.flatten(axis, axis + 1)
    return x


def sequence(x: Tensor) -> Tensor:
    """The positions of x one after another, (B, positions, C), which takes no time in channels_last.

    It is contiguous: otherwise PyTorch would multiply it in one way by weights that require a gradient, as those of a
    model file, and in another, with other last bits, by weights that do not.
    """
    return x.flatten(2).transpose(1, 2).contiguous()


def check_counts(network: str, **counts: int | None) -> None:
    """Raise InputError unless each number of channels, layers and the like is 1 or more; None is a default."""
    for name, value in counts.items():
        if value is not None:
            whole(value, 1, math.inf, f"{name} of {network} must be at least 1, not {value}")
