"""How good samples are, measured against data: pure functions of the items and of what an extractor makes of them.

Distances go from samples to the training data, as papers report them, and to held-out data. The floor is what the same
distance is between data and data. Where nothing is held out, two interleaved halves of the training data take the
places of seen and unseen items.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.data import Codec
from ancestral.data.statistics import evenly_spaced
from ancestral.errors import InputError
from ancestral.metrics import cache, extractors, probe, uncertainty
from ancestral.metrics.colour import Drift, drift
from ancestral.metrics.distances import enough
from ancestral.metrics.extractors import Extractor, Features
from ancestral.metrics.neighbours import Memorisation, Nearest, memorisation, nearest
from ancestral.metrics.uncertainty import Estimate
from ancestral.randomness import Stream

FEWEST = 6
"""Items of a set that have the 5 neighbours which precision and recall look at."""
PIECE = 512
"""Items whose features are kept in one file: so much is lost when an evaluation is killed."""
UNEVEN = 1.5
"""How much more frequent one class may be than another before it is worth a note."""


def pieces(count: int) -> list[range]:
    """0..count−1 in pieces; process r of N looks at the pieces r, r + N, ..."""
    return [range(start, min(start + PIECE, count)) for start in range(0, count, PIECE)]


def look(
    extractor: Extractor, items: Tensor, parts: Iterable[range], batch_size: int, folder: Path | None = None
) -> Iterator[Features]:
    """The features of the items in `parts`, batch by batch, from the cache where they are known (`metrics.cache`)."""
    for part in parts:
        some = items[part.start : part.stop]
        if kept(extractor):
            yield from cache.features(extractor, some, batch_size, folder)
        else:
            yield from extractors.features(extractor, some, batch_size)


def kept(extractor: Extractor) -> bool:
    """Whether features are kept on disk: pixels would be no faster, and an unknown function may change."""
    return extractor.identity is not None and extractor.name != "pixels"


@dataclass(frozen=True, eq=False)
class Set:
    """Items (N, *shape), their features, and their labels int64 (N,), -1 without, or None."""

    items: Tensor
    features: Features
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.items)


class Distances(NamedTuple):
    """From `items` many items to `against` others."""

    items: int
    against: int
    frechet: Estimate
    kernel: Estimate
    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def distances(items: Tensor, reference: Tensor) -> Distances:
    """Of features (n, d) and (m, d)."""
    found = uncertainty.manifold(items, reference)
    far, kid = uncertainty.frechet(items, reference), uncertainty.kernel(items, reference)
    return Distances(len(items), len(reference), far, kid, **found)


@dataclass(frozen=True, eq=False)
class Nearness:
    """How near samples come to training items."""

    samples: Nearest
    """Of each sample, among all `among` training items."""
    among: int
    judged: Memorisation | None
    """Against items that are unseen; None where that cannot be told."""
    scale: float
    """A distance times this is the root mean square difference of a value, in the items' units; 1 for features."""


class Accuracy(NamedTuple):
    """How often a linear classifier on the features finds the class that was asked for."""

    samples: Estimate
    data: Estimate
    """Of real items that it did not learn from: the most that samples can be expected to reach."""
    items: int
    """How many those are."""


@dataclass(frozen=True, eq=False)
class Quality:
    """All that was measured; None is what is not known yet, or cannot be."""

    halves: bool
    """Whether halves of the training data stand in for held-out data."""
    train: Distances | None = None
    held_out: Distances | None = None
    floor: Distances | None = None
    inception: dict[str, Estimate] | None = None
    """The Inception score of the samples and of the training data, for extractors that name classes."""
    pixels: Nearness | None = None
    features: Nearness | None = None
    """None where the features are the pixels."""
    drift: Drift | None = None
    accuracy: Accuracy | None = None
    notes: tuple[str, ...] = ()


STAGES = 8
"""How many states of a `Quality` `measure` goes through."""


def check(samples: int, train: int, held_out: int | None) -> None:
    """Raise InputError where one of the sets is too small for its numbers."""
    if samples < FEWEST:
        raise InputError(f"{samples} samples are too few to measure; draw at least {FEWEST}")
    least = FEWEST if held_out is not None else 2 * FEWEST  # a half of it stands in
    for name, count, fewest in (("training", train, least), ("held-out", held_out, FEWEST)):
        if count is not None and count < fewest:
            raise InputError(f"{count} {name} items are too few to measure by; at least {fewest} are needed")


def measure(
    samples: Set, train: Set, held_out: Set | None, codec: Codec, extractor: Extractor, more: Tensor | None = None
) -> Iterator[Quality]:
    """Measure one thing after another: each state knows more, and the last one all. So a progress bar can watch.

    `more` are training items (M, *shape) among which copies are looked for by pixels, where there are more than those
    whose features are known. Raises InputError where a set is too small for its numbers.
    """
    check(len(samples), len(train), None if held_out is None else len(held_out))
    found = Quality(held_out is None, notes=tuple(_warnings(samples, train, extractor)))
    x, y = samples.features.values, train.features.values
    unseen = None if held_out is None else held_out.features.values

    found = replace(found, train=distances(x, y))
    yield found
    found = replace(found, held_out=None if unseen is None else distances(x, unseen))
    yield found
    found = replace(found, floor=distances(*floor_sets(len(x), y, unseen)))
    yield found
    logits = {"samples": samples.features.logits, "train": train.features.logits}
    scores = {name: uncertainty.inception_score(answer) for name, answer in logits.items() if answer is not None}
    found = replace(found, inception=scores or None)
    yield found
    parts = (samples.items, train.items if more is None else more)
    pixels, known = (codec.encode(part).flatten(1) for part in parts)
    others = None if held_out is None else codec.encode(held_out.items).flatten(1)
    found = _near(found, "pixels", pixels, known, others, codec.scale / pixels.shape[1] ** 0.5)
    yield found
    if extractor.name != "pixels":
        found = _near(found, "features", x, y, unseen)
    yield found
    found = replace(found, drift=drift(samples.items, train.items, codec))
    yield found
    yield _classified(found, samples, train, held_out)


def parted(train: Tensor, unseen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Seen and unseen rows: two halves where nothing is held out, by chance, since the order may be that of classes."""
    if unseen is not None:
        return train, unseen
    shuffled = _by_chance(train)
    return shuffled[::2], shuffled[1::2]


def _by_chance(rows: Tensor) -> Tensor:
    return rows[randomness.permutation(len(rows), 0, Stream.HALVES, 0)]


def floor_sets(count: int, train: Tensor, unseen: Tensor | None) -> tuple[Tensor, Tensor]:
    """The sets whose distance is the floor: at most `count` unseen rows, evenly chosen, and the seen ones.

    Where nothing is held out, as many are taken out by chance, and the rest stays as large as it can be: coverage,
    recall and density depend on the number of items of both sets.
    """
    if unseen is None:
        shuffled, cut = _by_chance(train), min(count, len(train) // 2)
        return shuffled[:cut], shuffled[cut:]
    return unseen[evenly_spaced(count, len(unseen))], train


def _warnings(samples: Set, train: Set, extractor: Extractor) -> Iterator[str]:
    few = enough(min(len(samples), len(train)), extractor.width)
    if few:
        yield f"{few}."
    if samples.labels is not None and train.labels is not None:
        counts = torch.bincount(train.labels[train.labels >= 0])
        if len(counts) and counts.max() > UNEVEN * counts.min():
            yield (
                "The classes of the data are not equally frequent, but samples are drawn of each in turn: part of "
                "their distance is that."
            )


def _near(
    found: Quality, field: str, samples: Tensor, train: Tensor, unseen: Tensor | None, scale: float = 1.0
) -> Quality:
    """With the memorisation in one space, rows of (·, d); a note where it cannot be told."""
    judged, notes = None, found.notes
    try:
        judged = memorisation(samples, *parted(train, unseen))
    except InputError as error:  # copies among the data
        notes = (*notes, f"Memorisation cannot be told by {field}: {error}.")
    closest = judged.samples if judged is not None and unseen is not None else nearest(samples, train)
    near = Nearness(closest, len(train), judged, scale)
    return replace(found, notes=notes, pixels=near) if field == "pixels" else replace(found, notes=notes, features=near)


def _classified(found: Quality, samples: Set, train: Set, held_out: Set | None) -> Quality:
    """With the class accuracy, where samples and data have classes."""
    if samples.labels is None:
        return found
    if train.labels is None:
        note = "The data has no classes that the model knows, so the class accuracy is not known."
        return replace(found, notes=(*found.notes, note))
    known = train.labels >= 0
    try:
        classifier = probe.fit(train.features.values[known], train.labels[known])
    except InputError as error:
        return replace(found, notes=(*found.notes, f"The class accuracy is not known: {error}."))
    right = classifier.predict(samples.features.values) == samples.labels
    accuracy, count = classifier.accuracy, classifier.held_out
    if held_out is not None and held_out.labels is not None and bool((held_out.labels >= 0).any()):
        named = held_out.labels >= 0
        hits = classifier.predict(held_out.features.values[named]) == held_out.labels[named]
        accuracy, count = float(hits.double().mean()), len(hits)
    own = uncertainty.share(float(right.double().mean()), len(right))
    return replace(found, accuracy=Accuracy(own, uncertainty.share(accuracy, count), count))
