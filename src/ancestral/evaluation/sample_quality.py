"""Quality of samples, measured against data: functions of the items and of their features.

Distances go from samples to the training data, as papers report them, and to held-out data. The floor is the same
distance between data and data. If nothing is held out, two interleaved halves of the training data take the places of
seen and unseen items.
"""

import math
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.arguments import function_name, plain, shown
from ancestral.data import Codec
from ancestral.data.statistics import evenly_spaced
from ancestral.errors import InputError
from ancestral.events import Work
from ancestral.metrics import linear_classifier, uncertainty
from ancestral.metrics.colour import drift
from ancestral.metrics.copies import RATIO, copies
from ancestral.metrics.distances import sample_size_warning
from ancestral.metrics.extractors import Extractor, Features
from ancestral.metrics.neighbours import memorisation, nearest
from ancestral.metrics.uncertainty import Reference
from ancestral.options import option
from ancestral.randomness import Stream
from ancestral.registries import METRICS, MetricName, OwnMetric
from ancestral.results import evaluation_result as facts

UNEVEN = 1.5
"""A note says so if one class is more frequent than another by this factor."""
CLOSEST = 24
"""Samples that a result names, those nearest to a training item."""
SHOWN, SHOWN_POINTS = 12, 1000
"""Samples of the picture of nearest pairs; of points, which are a cloud there."""
FLAT = 0.02
"""An item whose values deviate by less than this share of their range in the data counts as constant."""


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Items (N, *shape), their features, and their labels int64 (N,), negative without a class, or None."""

    items: Tensor
    features: Features
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, eq=False)
class NearestPairs:
    """The samples (N, *shape) that are nearest to training items, and these items, under a title."""

    title: str
    samples: Tensor
    items: Tensor


def distances(
    items: Tensor, reference: Tensor | Reference, metrics: Collection[MetricName | OwnMetric] = METRICS
) -> facts.Distances:
    """Compute those distances of features (n, d) to features (m, d) that are among `metrics`."""
    reference = Reference.of(reference)
    return facts.Distances(
        len(items),
        len(reference),
        uncertainty.frechet(items, reference) if "frechet" in metrics else None,
        uncertainty.kernel(items, reference) if "kernel" in metrics else None,
        **(uncertainty.precision_recall(items, reference) if "precision_recall" in metrics else {}),
    )


def measure(
    sets: Sequence[FeatureSet],
    codec: Codec,
    extractor: Extractor,
    all_items: Tensor | None = None,
    metrics: Collection[MetricName | OwnMetric] = METRICS,
    mirrored: bool = False,
) -> Generator[Work, None, tuple[facts.SampleQuality, list[NearestPairs]]]:
    """Measure samples against data.

    Args:
        sets: The samples, items that the model was trained on, and if there are any, items that it was not.
        codec: The codec of the items.
        extractor: What the features are of.
        all_items: More training items (M, *shape), among which copies are searched for by pixels.
        metrics: What is measured.
        mirrored: Whether the model was trained on mirrored items too, so that copies of those count.

    Returns:
        The numbers, and the samples nearest to training items, by pixels and by features.
    """
    (samples, train), held_out = sets[:2], sets[2] if len(sets) > 2 else None
    notes = [*_warnings(samples, train, extractor)] if "frechet" in metrics else []
    x, y = samples.features.values, train.features.values
    z = None if held_out is None else held_out.features.values

    yield Work("measuring the distances", 0, 0)
    reference = Reference(y)
    to_train = distances(x, reference, metrics)
    to_held_out = None if z is None else distances(x, z, metrics)
    unseen, rest = floor_sets(len(x), y, z)
    against = reference if z is not None else Reference(rest)
    floor = distances(unseen, against, metrics)
    equal = (floor.items, floor.against) == (to_train.items, to_train.against)
    matched = None if equal else distances(x[: floor.items], against, metrics)
    notes += _heavy_tails([to_train, floor, to_held_out, matched], extractor)
    logits = [part.features.logits for part in (samples, train) if "inception_score" in metrics]
    scores = [uncertainty.inception_score(part) for part in logits if part is not None]
    memorised, pairs = facts.MemorisationBySpace(None, None), list[NearestPairs]()
    if "memorisation" in metrics:
        yield Work("measuring the memorisation", 0, 0)
        more = train.items if all_items is None else all_items
        memorised, pairs = _memorisation_by_space(sets, codec, extractor, more, mirrored, notes)
    colours = drift(samples.items, train.items, codec) if "colour" in metrics else None
    own = {}
    for metric in metrics:
        if not isinstance(metric, str):
            yield Work(f"measuring {function_name(metric)}", 0, 0)
            real = floor_sets(len(x), train.items, None if held_out is None else held_out.items)
            values = _own_value(metric, samples.items, train.items), _own_value(metric, *real)
            own[function_name(metric)] = facts.OwnMeasure(samples=values[0], floor=values[1])
    accuracy = None
    if "class_accuracy" in metrics:
        yield Work("measuring the class accuracy", 0, 0)
        accuracy = _class_accuracy(samples, train, held_out, notes)
    quality = facts.SampleQuality(
        floor="training data against the rest of it" if held_out is None else "held-out data",
        distances=facts.DistanceSets(to_train, floor, to_held_out, matched),
        inception_score=facts.InceptionScores(*scores) if scores else None,
        memorisation=memorised,
        colour=colours,
        class_accuracy=accuracy,
        own=own or None,
        notes=tuple(notes),
    )
    return quality, pairs


def _own_value(metric: OwnMetric, items: Tensor, others: Tensor) -> float:
    """What a metric of the user returns. Raises InputError unless it is a number."""
    value = plain(metric(items, others))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"the metric {function_name(metric)} returned {shown(value)}: a metric returns a number")
    return float(value)


def _memorisation_by_space(
    sets: Sequence[FeatureSet], codec: Codec, extractor: Extractor, more: Tensor, mirrored: bool, notes: list[str]
) -> tuple[facts.MemorisationBySpace, list[NearestPairs]]:
    """The memorisation by pixels, among `more` training items, and by features; and the pairs of the picture."""
    (samples, train), held_out = sets[:2], sets[2] if len(sets) > 2 else None
    pixels, train_pixels = (codec.encode(part).flatten(1) for part in (samples.items, more))
    unseen = None if held_out is None else codec.encode(held_out.items).flatten(1)
    scale = codec.scale / pixels.shape[1] ** 0.5  # of the root mean square difference, in the items' units
    both = train_pixels
    if mirrored and more.ndim == 4:
        both = torch.cat([train_pixels, codec.encode(more.flip(-1)).flatten(1)])
    shape, spread = more.shape[1:], float(train_pixels.max() - train_pixels.min())
    flat = [is_flat(part, shape, spread) for part in (pixels, train_pixels, unseen) if part is not None]
    by_pixels, rows, neighbours = _memorisation("pixels", pixels, train_pixels, unseen, flat, notes, scale, both)
    pairs = [_pairs("nearest by pixels", samples.items, more, rows, neighbours, flat[1])]
    if by_pixels.copies is not None and by_pixels.copies.flat:
        notes.append(
            f"Next to a training item of one colour: {by_pixels.copies.flat:,} samples. Such items count neither as "
            "copied nor as memorised."
        )
    by_features = None
    if extractor.name != "pixels":
        z = None if held_out is None else held_out.features.values
        flat[1] = is_flat(codec.encode(train.items).flatten(1), shape, spread)
        by_features, rows, neighbours = _memorisation(
            "features", samples.features.values, train.features.values, z, flat, notes
        )
        pairs.append(_pairs("nearest by features", samples.items, train.items, rows, neighbours, flat[1]))
    if held_out is None:
        notes.append(
            "No data were held out: half of the training data stands in for unseen items in the memorisation, "
            "which is about a half at most; hold some out of training, or give held-out data. Copies need none."
        )
    return facts.MemorisationBySpace(by_pixels, by_features), pairs


def _pairs(title: str, samples: Tensor, items: Tensor, rows: Tensor, neighbours: Tensor, flat: Tensor) -> NearestPairs:
    """The pairs of the picture: the nearest sample of each different training item, flat items last; of points all.

    `rows` are the samples, the nearest to a training item first, and `neighbours` the training items of these.
    """
    if samples.ndim == 2:
        return NearestPairs(title, samples[rows[:SHOWN_POINTS]], items[neighbours[:SHOWN_POINTS]])
    first = dict[int, int]()
    for place, index in enumerate(neighbours.tolist()):
        first.setdefault(index, place)
    different = {items[index].numpy().tobytes(): place for index, place in reversed(first.items())}
    places = sorted(different.values(), key=lambda place: (bool(flat[neighbours[place]]), place))[:SHOWN]
    return NearestPairs(title, samples[rows[places]], items[neighbours[places]])


def is_flat(rows: Tensor, shape: Sequence[int], spread: float) -> Tensor:
    """Whether no channel of rows (m, d), items of a shape, deviates by FLAT of a spread: such items are constant.

    Returns:
        bool (m,). No point is.
    """
    if len(shape) == 1 or math.prod(shape[1:]) == 1:
        return torch.zeros(len(rows), dtype=torch.bool)
    return rows.view(len(rows), shape[0], -1).std(2).amax(1) < FLAT * spread


def _shuffled(rows: Tensor) -> Tensor:
    """Rows in random order, since the data may be sorted by class."""
    return rows[randomness.permutation(len(rows), 0, Stream.HALVES, 0)]


def floor_sets(count: int, train: Tensor, unseen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the sets whose distance is the floor: at most `count` evenly chosen unseen rows, and the seen ones.

    If nothing is held out, as many rows are taken out at random, and the rest stays as large as possible: coverage,
    recall and density depend on the size of both sets.
    """
    if unseen is None:
        shuffled, cut = _shuffled(train), min(count, len(train) // 2)
        return shuffled[:cut], shuffled[cut:]
    return unseen[evenly_spaced(count, len(unseen))], train


def _warnings(samples: FeatureSet, train: FeatureSet, extractor: Extractor) -> Iterator[str]:
    few = sample_size_warning(min(len(samples), len(train)), extractor.width)
    if few:
        yield f"{few}."
    if samples.labels is not None and train.labels is not None:
        counts, in_turn = (torch.bincount(labels[labels >= 0]) for labels in (train.labels, samples.labels))
        taken_in_turn = len(in_turn) > 0 and in_turn.max() - in_turn.min() <= 1
        if taken_in_turn and len(counts) and counts.max() > UNEVEN * counts.min():
            yield (
                "The classes of the data are not equally frequent, but samples take each class in turn: this is part "
                "of their distance."
            )


def _heavy_tails(sets: Sequence[facts.Distances | None], extractor: Extractor) -> list[str]:
    """Say of which distances the errors and intervals cannot be trusted."""
    notes = []
    for title, name in (("FD", "frechet"), ("KID", "kernel")):
        estimates = [getattr(part, name) for part in sets if part is not None]
        share = max((one.dominance or 0.0 for one in estimates if one is not None), default=0.0)
        if share:
            notes.append(
                f"The features have heavy tails: one item makes {share:.0%} of the variance of "
                f"{extractor.title(title)}, so its error may be larger than it says, and its 95 % interval cover much "
                "less. Measure transformed features, such as their logarithm, or more items."
            )
    return notes


def _memorisation(
    space: str,
    samples: Tensor,
    train: Tensor,
    unseen: Tensor | None,
    flat: Sequence[Tensor],
    notes: list[str],
    scale: float = 1.0,
    both: Tensor | None = None,
) -> tuple[facts.MemorisationResult, Tensor, Tensor]:
    """The memorisation among rows of (·, d), the samples nearest to training items, and these items' indices.

    Copies are searched for among `both` the training items and their mirrored ones, if these were trained on. `flat`
    says which rows of each set are constant.
    """
    measured, blank = None, bool(flat[1].any())
    varied, varied_train = (samples[~flat[0]], train[~flat[1]]) if blank else (samples, train)
    if unseen is None:  # random halves of the training data stand in for seen and unseen items
        shuffled = _shuffled(varied_train)
        seen, new = shuffled[::2], shuffled[1::2]
    else:
        seen, new = varied_train, unseen[~flat[2]] if blank else unseen
    try:
        measured = memorisation(varied, seen, new)
    except InputError as error:  # copies among the data
        reason = f"{error.text} ({option('leave_out_copies', True)})"
        if unseen is None:
            reason = "half of the data is compared with the other, and items are in both: doctor lists the duplicates"
        notes.append(f"Memorisation by {space} could not be measured: {reason}.")
    near = measured.samples if measured is not None and unseen is not None and not blank else nearest(samples, train)
    order, distance = near.distance.argsort(stable=True), near.distance * scale
    shares = {} if measured is None else {
        "share": measured.share,
        "share_error": uncertainty.share(measured.share, len(varied)).error,
        "expected": measured.expected,
        "error": measured.error,
        "threshold": measured.threshold * scale,
    }  # fmt: skip
    result = facts.MemorisationResult(
        among=len(train),
        median=float(distance.median()),
        closest=tuple(facts.ClosestPair(i, int(near.index[i]), float(distance[i])) for i in order[:CLOSEST].tolist()),
        copies=_copies(space, samples, train if both is None else both, flat[1]),
        **shares,
    )
    return result, order, near.index[order]


def _copies(space: str, samples: Tensor, train: Tensor, flat: Tensor) -> facts.CopyResult | None:
    """Measure the copies among samples (n, d) of training items (m, d), which are constant where `flat` (count,) is.

    Row i + count is item i, mirrored. Equal features and equal points do not show a copy.
    """
    count = len(flat)
    try:
        result = copies(samples, train, flat.repeat(len(train) // count))
    except InputError:  # too few different items, or one number each
        return None
    chance = (result.chance < RATIO).double()
    return facts.CopyResult(
        share=uncertainty.share(float(result.copied.double().mean()), len(samples)),
        chance=uncertainty.share(float(chance.mean()), len(chance)),
        items=result.items,
        copied=len(set((result.nearest[result.copied] % count).tolist())),
        equal=int((result.equal & result.copied).sum()) if space == "pixels" and train.shape[1] > 2 else 0,
        flat=int((result.near & result.flat).sum()),
        p_value=result.p_value,
    )


def _class_accuracy(
    samples: FeatureSet, train: FeatureSet, held_out: FeatureSet | None, notes: list[str]
) -> facts.ClassAccuracy | None:
    """The class accuracy, if samples and data have classes."""
    if samples.labels is None:
        return None
    if train.labels is None:
        notes.append("The data has no classes that the model knows, so the class accuracy is not known.")
        return None
    labelled = train.labels >= 0
    try:
        classifier = linear_classifier.fit(train.features.values[labelled], train.labels[labelled])
    except InputError as error:
        notes.append(f"The class accuracy is not known: {error.text}.")
        return None
    right = classifier.predict(samples.features.values) == samples.labels
    accuracy, count = classifier.accuracy, classifier.held_out
    if held_out is not None and held_out.labels is not None and bool((held_out.labels >= 0).any()):
        rows = held_out.labels >= 0
        hits = classifier.predict(held_out.features.values[rows]) == held_out.labels[rows]
        accuracy, count = float(hits.double().mean()), len(hits)
    return facts.ClassAccuracy(
        samples=uncertainty.share(float(right.double().mean()), len(right)),
        data=uncertainty.share(accuracy, count),
        items=count,
        classes=len(set(train.labels[labelled].tolist())),
    )
