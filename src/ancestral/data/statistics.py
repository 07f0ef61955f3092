"""Numbers that sum up a set of items."""

import torch
from torch import Tensor

CHUNK = 4096  # items at a time, so that temporaries stay far below the items


def channel_mean(items: Tensor) -> tuple[float, ...]:
    """Mean of each channel of items (N, C, *) of any number type, in their own units, to two places or six digits.

    Integers are summed as such, floats in float64, a chunk at a time.
    """
    exact = torch.float64 if items.is_floating_point() else torch.int64
    total = torch.zeros(items.shape[1], dtype=exact)
    for start in range(0, len(items), CHUNK):
        total += items[start : start + CHUNK].flatten(2).sum((0, 2), dtype=exact)
    means = (total / (items.numel() / items.shape[1])).tolist()
    return tuple(float(f"{mean:.6g}") if items.is_floating_point() else round(mean, 2) for mean in means)
