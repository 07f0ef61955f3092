"""Precision and recall, density and coverage: which part of the samples lies among the data, and the other way round.

A set's manifold is the union of balls, one around each item, that just reach its k-th nearest neighbour in the set.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.errors import InputError
from ancestral.metrics.neighbours import ROWS, squares


class Manifold(NamedTuple):
    """Item by item, in float64; what is reported is their mean.

    Precision and recall are Kynkäänniemi et al.'s (2019, eq. 2), density and coverage Naeem et al.'s (2020, eq. 3, 4).
    """

    precision: Tensor
    """(n,): 1 where a sample is in a ball of the data."""
    recall: Tensor
    """(m,): 1 where an item of the data is in a ball of the samples."""
    density: Tensor
    """(n,): in how many balls of the data a sample is, over k."""
    coverage: Tensor
    """(m,): 1 where the ball of an item of the data holds a sample."""


def manifold(samples: Tensor, reference: Tensor, k: int = 5) -> Manifold:
    """All four, of features (n, d) and (m, d). Raises InputError where a set has no k-th neighbour."""
    fewest = min(len(samples), len(reference))
    if fewest <= k:
        raise InputError(f"precision and recall look at {k} neighbours, so they need more than {k} items, not {fewest}")
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
    return Manifold((count > 0).double(), recalled.double(), count / k, covered.double())


def radii(x: Tensor, k: int) -> Tensor:
    """The square distance of each row (n, d) to its k-th nearest other row."""
    found = []
    for start in range(0, len(x), ROWS):
        apart = squares(x[start : start + ROWS], x)
        apart.diagonal(start).fill_(torch.inf)
        found.append(apart.kthvalue(k).values)
    return torch.cat(found)
