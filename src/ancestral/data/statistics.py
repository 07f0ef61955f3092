"""Evenly spaced subsets of a data set, and the mean of each channel."""

from collections.abc import Iterator

import torch
from torch import Tensor

SUMMED_ITEMS = 4096  # items at a time, so that temporaries stay far below the items


def evenly_spaced(n: int, count: int) -> list[int]:
    """Return `n` evenly spaced indices of `count` items, the first and the last included, or all if count <= n."""
    if count <= n or n < 2:
        return list(range(min(n, count)))
    return [round(i * (count - 1) / (n - 1)) for i in range(n)]


def evenly_spaced_first(n: int, count: int) -> Iterator[int]:
    """Yield each index of `count` items once: `n` evenly spaced ones, then the others in order."""
    first = evenly_spaced(n, count)
    yield from first
    spaced = set(first)
    yield from (index for index in range(count) if index not in spaced)


def channel_mean(items: Tensor) -> tuple[float, ...]:
    """Compute the mean of each channel of items (N, C, *) of any dtype.

    Integers are summed as integers and floats in float64, a chunk at a time.

    Returns:
        One mean per channel in the items' units, rounded to two decimals (integers) or six digits (floats).
    """
    exact = torch.float64 if items.is_floating_point() else torch.int64
    total = torch.zeros(items.shape[1], dtype=exact)
    for start in range(0, len(items), SUMMED_ITEMS):
        total += items[start : start + SUMMED_ITEMS].flatten(2).sum((0, 2), dtype=exact)
    means = (total / (items.numel() / items.shape[1])).tolist()
    return tuple(float(f"{mean:.6g}") if items.is_floating_point() else round(mean, 2) for mean in means)
