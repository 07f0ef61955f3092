"""Forecasts that need no model, against which a conditional model is measured: random and nearest training items."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.conditions import Classes, Condition
from ancestral.errors import InputError
from ancestral.metrics.neighbours import nearest
from ancestral.randomness import Stream


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

    The distance is Euclidean on what networks get of vectors and images, at the resolution of the condition. Of several
    conditions each is divided by its standard deviation over the training items, so that all count alike. Items of the
    same class are nearer than all others. Conditions of random operators can be compared only if both were made by the
    same draw: make those of the training items with the operator of the query.

    Args:
        queries: By name the values of the conditions as they are in the data, (N, ...).
        training: The same of the training items, (M, ...).
        kinds: The kind of each condition.

    Returns:
        Indices of training items, int64 (N,).

    Raises:
        InputError: If all conditions are classes, which have no distance.
    """
    if all(isinstance(kind, Classes) for kind in kinds.values()):
        raise InputError("classes have no distance, so there is no nearest item: compare with random training items")
    ours, theirs = (torch.cat(side, 1) for side in zip(*_standardised(queries, training, kinds), strict=True))
    # a size of one-hot rows at which no difference of the other conditions outweighs another class
    size = math.sqrt(1 + 4 * float(torch.cat([ours, theirs]).square().sum(1).max()))
    for name, kind in kinds.items():
        if isinstance(kind, Classes):
            numbers = torch.arange(len(kind.names))
            ours, theirs = (
                torch.cat([rows, size * (values[name][:, None] == numbers)], 1)
                for rows, values in ((ours, queries), (theirs, training))
            )
    return nearest(ours, theirs).index


def _standardised(
    queries: Mapping[str, Tensor], training: Mapping[str, Tensor], kinds: Mapping[str, Condition]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of each condition that is no class, of queries (N, d) and of training items (M, d)."""
    for name, kind in kinds.items():
        if not isinstance(kind, Classes):
            sides = training[name].shape[2:]
            ours, theirs = (kind.encode(values[name], sides).flatten(1) for values in (queries, training))
            deviation = float(theirs.var(0, correction=0).sum().sqrt()) or 1.0
            yield ours / deviation, theirs / deviation
