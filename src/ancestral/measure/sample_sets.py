"""The sets of items that metrics of samples take: samples, training items and items that are held out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.data import Codec
from ancestral.data.dataset import evenly_spaced
from ancestral.metrics.extractors import Extractor, Features
from ancestral.metrics.uncertainty import Reference
from ancestral.randomness import Stream
from ancestral.results.sample_result import AnyMeasure


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Items (N, *shape), their features, and their labels int64 (N,), negative without a class, or None.

    `conditions` are the values of other conditions in the units of the data, by name; those of words are texts.
    """

    items: Tensor
    features: Features
    labels: Tensor | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, eq=False)
class CaptionedItems:
    """Samples for captions, and the items that these are of, as a judge sees them (`metrics.caption_judge`)."""

    samples: Tensor
    """Features (n, d)."""
    real: Tensor | None
    """Features (n, d) of the items; None of captions that no item has."""
    texts: Tensor
    """Features (n, d) of the captions."""
    keys: Tensor
    """int64 (n,), equal for equal captions."""
    groups: Mapping[str, Tensor]
    """The rows of each group, by name (`measure.caption_study`)."""


@dataclass(frozen=True)
class CaptionFeatures:
    """Captioned items, those of training items first, and notes."""

    parts: tuple[CaptionedItems, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class NearestPairs:
    """The samples (N, *shape) that are nearest to training items, and these items, under a title."""

    title: str
    samples: Tensor
    items: Tensor


@dataclass(frozen=True, eq=False)
class SampleSets:
    """All that metrics of samples are computed from.

    If nothing is held out, two parts of the training data take the places of seen and unseen items.
    """

    samples: FeatureSet
    train: FeatureSet
    """Items that the model was trained on."""
    held_out: FeatureSet | None
    """Items that it was not trained on, if there are any."""
    codec: Codec
    extractor: Extractor
    searched: Tensor | None = None
    """More training items (M, *shape), among which copies are searched for by pixels; None takes those of `train`."""
    mirrored: bool = False
    """Whether the model was trained on mirrored items too, so that copies of those count."""
    captions: CaptionFeatures | None = None
    """The captions of samples of a model that is conditioned on words."""

    @cached_property
    def pairs(self) -> dict[str, tuple[Tensor, Reference]]:
        """The features that each distance is between, by the fields of `Measure`."""
        x, train = self.samples.features.values, Reference(self.train.features.values)
        z = None if self.held_out is None else self.held_out.features.values
        unseen, rest = floor_sets(len(x), train.values, z)
        against = Reference(rest) if z is None else train
        pairs = {"value": (x, train)}
        if z is not None:
            pairs["held_out"] = x, Reference(z)
        if (len(unseen), len(against)) != (len(x), len(train)):
            pairs["matched"] = x[: len(unseen)], against
        return {**pairs, "floor": (unseen, against)}

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The numbers of items of these."""
        return {name: (len(one), len(other)) for name, (one, other) in self.pairs.items()}

    @property
    def floor_items(self) -> tuple[Tensor, Tensor]:
        """The items whose distance is the floor, as `floor_sets` returns them."""
        held_out = None if self.held_out is None else self.held_out.items
        return floor_sets(len(self.samples), self.train.items, held_out)

    @property
    def floor_conditions(self) -> dict[str, Any]:
        """The conditions of the first of these."""
        seen, made = self.train if self.held_out is None else self.held_out, dict[str, Any]()
        places = torch.arange(len(seen))
        rows, _ = floor_sets(len(self.samples), places, None if self.held_out is None else places)
        for name, values in seen.conditions.items():
            made[name] = [values[row] for row in rows.tolist()] if isinstance(values, list) else values[rows]
        return made


@dataclass(frozen=True)
class Outcome:
    """What a metric says of samples: its measures by name, notes, and pairs of samples and items for a picture."""

    measures: Mapping[str, AnyMeasure] = field(default_factory=dict)
    notes: Sequence[str] = ()
    pairs: Sequence[NearestPairs] = ()


def shuffled(rows: Tensor) -> Tensor:
    """Return rows in random order, since the data may be sorted by class."""
    return rows[randomness.permutation(len(rows), 0, Stream.HALVES, 0)]


def floor_sets(count: int, train: Tensor, unseen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the sets whose distance is the floor: at most `count` evenly chosen unseen rows, and the seen ones.

    If nothing is held out, as many rows are taken out at random, and the rest stays as large as possible: coverage,
    recall and density depend on the size of both sets.
    """
    if unseen is None:
        rows, cut = shuffled(train), min(count, len(train) // 2)
        return rows[:cut], rows[cut:]
    return unseen[evenly_spaced(count, len(unseen))], train
