"""Statistics of the values of a data set: mean, deviation and range of each channel, and items by class."""

from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.errors import one_line
from ancestral.results.data_report import ValueStatistics

CHUNK = 1 << 22  # values at a time, so that temporaries stay small
GREY = 8
"""Levels by which the channels of a pixel of a grey image may differ."""


def value_statistics(items: Tensor) -> ValueStatistics:
    """Compute the statistics of items (N, C, *space) or points (N, 2) in memory; 5,000 small images take 0.2 s."""
    sums = ValueSums()
    for chunk in torch.split(items, max(1, CHUNK // items[0].numel())):
        sums.add(chunk)
    return sums.statistics()


def class_counts(labels: Tensor | NDArray[np.integer] | None, classes: tuple[str, ...]) -> dict[str, int]:
    """Count the items of each class.

    Args:
        labels: Integers (N,), below 0 for items without a class; None gives no counts.
        classes: The name of each label. Names that occur twice are numbered.
    """
    if labels is None:
        return {}
    known = torch.as_tensor(np.asarray(labels, dtype=np.int64))
    counts = torch.bincount(known[known >= 0], minlength=len(classes)).tolist()
    names = [one_line(name) for name in classes]
    times = Counter(names)
    names = [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]
    return dict(zip(names, counts, strict=True))


class ValueSums:
    """Mean and squared deviations of items (C, *space) of one shape, combined block by block (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count = self.values = self.grey = 0
        self.low, self.high = float("inf"), float("-inf")
        self.shape: tuple[int, ...] = ()
        self.dtype = torch.uint8
        self.mean = self.squares = torch.zeros(1, dtype=torch.float64)

    def add(self, items: Tensor) -> None:
        """Add items (N, C, *space), or points (N, C)."""
        self.shape, self.dtype = tuple(items.shape[1:]), items.dtype
        values = items.transpose(0, 1).flatten(1).double()
        low, high = (float(end) for end in values.aminmax())
        self.low, self.high = min(self.low, low), max(self.high, high)
        size, mean = values.shape[1], values.mean(1)
        away, total = mean - self.mean, self.values + size
        self.squares = self.squares + (values - mean[:, None]).square().sum(1) + away**2 * (self.values * size / total)
        self.mean = self.mean + away * (size / total)
        self.count, self.values = self.count + len(items), total
        if items.ndim == 4 and items.shape[1] == 3 and items.dtype == torch.uint8:
            self.grey += int(((items.amax(1) - items.amin(1)).flatten(1).amax(1) <= GREY).sum())

    def statistics(self) -> ValueStatistics:
        """Compute the statistics."""
        return ValueStatistics(
            count=self.count,
            shape=self.shape,
            dtype=str(self.dtype).removeprefix("torch."),
            mean=tuple(self.mean.tolist()),
            std=tuple((self.squares / self.values).sqrt().tolist()),
            low=self.low,
            high=self.high,
            grey=self.grey,
        )
