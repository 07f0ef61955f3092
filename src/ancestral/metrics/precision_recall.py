"""Precision and recall, density and coverage: the share of samples among the data, and of data among the samples.

A set's manifold is the union of balls, one around each item, that just reach its k-th nearest neighbour in the set.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.errors import InputError
from ancestral.metrics.neighbours import ROWS, squares


class PrecisionRecall(NamedTuple):
    """Values of each item in float64, whose means are reported.

    References:
        Precision and recall: Kynkäänniemi et al. 2019, eq. 2. Density and coverage: Naeem et al. 2020, eq. 3, 4.
    """

    precision: Tensor
    """(n,): 1 where a sample is in a ball of the data."""
    recall: Tensor
    """(m,): 1 where an item of the data is in a ball of the samples."""
    density: Tensor
    """(n,): the number of balls of the data that a sample is in, divided by k."""
    coverage: Tensor
    """(m,): 1 where the ball of an item of the data holds a sample."""


def precision_recall(samples: Tensor, reference: Tensor, k: int = 5) -> PrecisionRecall:
    """Compute all four of features (n, d) and (m, d). Raises InputError if a set has at most k items."""
    fewest = min(len(samples), len(reference))
    if fewest <= k:
        raise InputError(f"precision and recall use {k} neighbours, so they need more than {k} items, not {fewest}")
    centre = reference.double().mean(0)
    x, y = samples.double() - centre, reference.double() - centre
    x_radii, y_radii = radii(x, k), radii(y, k)
    inside, recalled, covered = [], *torch.zeros(2, len(y), dtype=torch.bool)
    for start in range(0, len(x), ROWS):
        apart = squares(x[start : start + ROWS], y)
        held = apart <= y_radii
        inside.append(held.sum(1))
        covered |= held.any(0)
        recalled |= (apart <= x_radii[start : start + ROWS, None]).any(0)
    count = torch.cat(inside).double()
    return PrecisionRecall((count > 0).double(), recalled.double(), count / k, covered.double())


def radii(x: Tensor, k: int) -> Tensor:
    """Compute the square distance of each row (n, d) to its k-th nearest other row."""
    found = []
    for start in range(0, len(x), ROWS):
        apart = squares(x[start : start + ROWS], x)
        apart.diagonal(start).fill_(torch.inf)
        found.append(apart.kthvalue(k).values)
    return torch.cat(found)
