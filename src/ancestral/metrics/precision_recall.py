"""Precision and recall, density and coverage: the share of samples among the data, and of data among the samples.

A set's manifold is the union of balls, one around each item, that just reach its k-th nearest neighbour in the set.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.metrics.neighbours import BLOCK_ROWS, kth_least, squares

K = 5
"""The number of the neighbour that a ball reaches, as in both papers."""
CACHED = 32
"""Rows of a block of distances of few features, which stays in a processor's cache; of many, their product takes longer
than all else, and needs more rows."""


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


class Balls(NamedTuple):
    """The manifold of a reference set: its centre (d,), its rows (m, d) from there, and square radii (m,), float64."""

    centre: Tensor
    rows: Tensor
    radii: Tensor

    @staticmethod
    def of(reference: Tensor, k: int = K) -> "Balls":
        """Compute the balls of features (m, d), detached. Raises InputError for at most k items."""
        centre = reference.detach().double().mean(0)
        rows = reference.detach().double() - centre
        return Balls(centre, rows, radii(rows, k))


def precision_recall(samples: Tensor, reference: Tensor | Balls, k: int = K) -> PrecisionRecall:
    """Compute all four of features (n, d) and (m, d), detached. Raises InputError if a set has at most k items."""
    centre, y, y_radii = reference if isinstance(reference, Balls) else Balls.of(reference, k)
    x = samples.double() - centre
    x_radii = radii(x, k)
    inside, recalled, covered = [], *torch.zeros(2, len(y), dtype=torch.bool)
    for start, part in _blocks(x):
        apart = squares(part, y)
        in_ball = apart <= y_radii
        inside.append(in_ball.sum(1))
        covered |= in_ball.any(0)
        recalled |= (apart <= x_radii[start : start + len(part), None]).any(0)
    count = torch.cat(inside).double()
    return PrecisionRecall((count > 0).double(), recalled.double(), count / k, covered.double())


def radii(x: Tensor, k: int) -> Tensor:
    """Compute the square distance of each row (n, d) to its k-th nearest other row. Differentiable in the rows."""
    if len(x) <= k:
        raise InputError(f"precision and recall use {k} neighbours, so they need more than {k} items, not {len(x)}")
    rows = []
    for start, part in _blocks(x):
        apart = squares(part, x)
        apart.diagonal(start).fill_(torch.inf)
        rows.append(kth_least(apart, k))
    return torch.cat(rows)


def _blocks(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Blocks of rows, each with the index of its first."""
    size = BLOCK_ROWS if x.shape[1] > CACHED else CACHED
    yield from ((start, x[start : start + size]) for start in range(0, len(x), size))
