"""Forecasts that need no model, against which a conditional model is measured: random and nearest training items."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.conditions import Condition
from ancestral.metrics.neighbours import squares
from ancestral.randomness import Stream

QUERIES_AT_ONCE, TRAINING_ITEMS_AT_ONCE = 256, 1024
"""Queries and training items that are compared at a time, so that memory is bounded."""


def random_items(conditions: int, members: int, items: int) -> Tensor:
    """Draw training items as the ensemble of each condition: samples of the data without its condition.

    Args:
        conditions: The number of conditions.
        members: The number of members of an ensemble.
        items: The number of training items.

    Returns:
        Indices of training items, int64 (conditions, members), all different within a row.

    Raises:
        InputError: If there are fewer items than members.
    """
    if members > items:
        raise InputError(
            f"{members:,} different training items for each condition need as many, and there are {items:,}"
        )
    order = randomness.permutation(items, 0, Stream.BASELINE, 0)
    return order[torch.arange(conditions * members) % items].view(conditions, members)


def nearest_items(
    queries: Mapping[str, Tensor], training: Mapping[str, Tensor], kinds: Mapping[str, Condition]
) -> Tensor:
    """Find the training item whose conditions are nearest to those of each query: what a search by condition finds.

    The distance is the mean square difference of numbers in standard deviations, and of images in [−1, 1] on their own
    grid. Of several conditions each is divided by its variance over the training items, so that all count alike.
    Items of the same class come before all others, and of several values without a distance those that differ in the
    fewest. Masked images are compared where both are known; a search knows the training items as a whole, so give their
    images with nothing hidden.

    Args:
        queries: By name the values of the conditions, (N, ...): as they are in the data, or as they were made of items.
        training: The same of the training items, (M, ...).
        kinds: The kind of each condition.

    Returns:
        Indices of training items, int64 (N,).

    Raises:
        InputError: If all conditions are classes, which have no distance.
    """
    if not any(kind.has_distance for kind in kinds.values()):
        raise InputError("classes have no distance, so there is no nearest item: compare with random training items")
    sides = {name: values.shape[2:] for name, values in training.items()}
    pairs = {
        name: tuple(_rows(values[name], kind, sides[name]) for values in (queries, training))
        for name, kind in kinds.items()
    }
    nearest = []
    for start in range(0, len(next(iter(queries.values()))), QUERIES_AT_ONCE):
        distance, others = torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.int64)
        for name, (ours, theirs) in pairs.items():
            rows = ours.part(start, QUERIES_AT_ONCE)
            if kinds[name].has_distance:
                variance = float(theirs.values.var(0, correction=0).mean()) or 1.0
                distance = distance + _square_distances(rows, theirs) / variance
            else:
                others = others + torch.cdist(rows.values.double(), theirs.values.double(), p=0)  # how many differ
        fewest = others == others.amin(1, keepdim=True)
        nearest.append(distance.where(fewest, torch.inf).argmin(1))
    return torch.cat(nearest)


class _Rows(NamedTuple):
    """The values (n, d) of a condition, and where they are known, 0 or 1 (n, d); None where all are."""

    values: Tensor
    known: Tensor | None = None

    def part(self, start: int, count: int) -> "_Rows":
        rows = slice(start, start + count)
        return _Rows(self.values[rows], None if self.known is None else self.known[rows])


def _rows(values: Tensor, kind: Condition, sides: Sequence[int]) -> _Rows:
    """What networks get of the values of a condition, on a grid."""
    if not kind.has_distance:
        return _Rows(values.reshape(len(values), -1))
    inputs = (kind.place if kind.made_by else kind.encode)(values, sides)
    if not kind.masked:
        return _Rows(inputs.flatten(1))
    x, known = inputs[:, :-2], inputs[:, -2:-1] > 0
    return _Rows(x.flatten(1), known.expand_as(x).flatten(1))


def _square_distances(x: _Rows, y: _Rows) -> Tensor:
    """Mean square differences (n, m) over the values that both know; infinite where there are none."""
    blocks = []
    for start in range(0, len(y.values), TRAINING_ITEMS_AT_ONCE):
        other = y.part(start, TRAINING_ITEMS_AT_ONCE)
        a, b = x.values.double(), other.values.double()
        if x.known is None or other.known is None:
            blocks.append(squares(a, b) / a.shape[1])
        else:
            p, q = x.known.double(), other.known.double()
            total = (a.square() * p) @ q.T + p @ (b.square() * q).T - 2 * (a * p) @ (b * q).T  # Σ p q (a − b)²
            both = p @ q.T
            blocks.append((total / both).where(both > 0, torch.inf))
    return torch.cat(blocks, 1)
