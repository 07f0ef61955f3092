"""Quality of samples, measured against data by the metrics of `registries.METRICS` and functions of the user.

Distances go from samples to the training data, as papers report them, and to held-out data. The floor is the same
distance between data and data. If nothing is held out, two parts of the training data take the places of seen and
unseen items. The quality of an autoencoder is what it loses: its reconstructions of real items, compared with these.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.arguments import function_name, parameters, plain, shown
from ancestral.base.errors import InputError
from ancestral.base.events import Work
from ancestral.base.quantities import Estimate
from ancestral.base.registries import METRICS, CustomMetric, Metric, MetricName
from ancestral.data import Codec, DataSpec
from ancestral.data.dataset import evenly_spaced
from ancestral.metrics import distances, extractors
from ancestral.metrics.distances import sample_size_warning
from ancestral.metrics.extractors import Extractor, Features
from ancestral.metrics.uncertainty import Reference
from ancestral.randomness import Stream
from ancestral.results.sample_result import AnyMeasure, Measure, ReconstructionQuality, SampleQuality

MOST_RECONSTRUCTED = 1000
"""Largest number of items that are reconstructed."""
ITEMS_AT_ONCE = 32
"""Number of items at a time."""
FEWEST_OF_KERNEL = 12
"""Smallest number of items whose halves have a kernel distance."""
LEAST_ERROR = 1e-12
"""Mean square error below which float32 sees none: 120 dB."""
EXTRACTOR = "lite0"
"""Default features by which the halves are compared."""
UNEVEN_RATIO = 1.5
"""A note says so if one class is more frequent than another by this factor."""


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
    """The rows of each group, by name (`measure.caption_evaluation`)."""


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
    channels: Sequence[str] = ()
    """The name of each channel, with its units."""

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
class MetricOutput:
    """Output of a metric: measures by name, notes, and pairs of samples and items for a picture."""

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


def measure(
    sets: SampleSets, metrics: Collection[MetricName | CustomMetric] = METRICS
) -> Generator[Work, None, tuple[SampleQuality, list[NearestPairs]]]:
    """Measure samples against data.

    Args:
        sets: The samples and the data.
        metrics: What is measured: names, and functions of the user.

    Returns:
        The measures, and the samples nearest to training items, by pixels and by features.
    """
    chosen = [metric for name, metric in METRICS.items() if name in metrics]
    chosen += [Metric(function_name(one), one, "", needs="items") for one in metrics if not isinstance(one, str)]
    measures, pairs = dict[str, AnyMeasure](), list[NearestPairs]()
    notes = [*_warnings(sets)] if "frechet" in metrics else []
    yield Work("measuring the distances", 0, 0)
    for metric in chosen:
        if metric.needs in ANNOUNCED:
            yield Work(f"measuring {ANNOUNCED[metric.needs]}{metric.title or metric.name}", 0, 0)
        output = MEASURES[metric.needs](metric, sets)
        measures |= output.measures
        notes += output.notes
        pairs += output.pairs
    floor = "training data against the rest of it" if sets.held_out is None else "held-out data"
    return SampleQuality(floor=floor, sets=sets.sizes, metrics=measures, notes=tuple(notes)), pairs


def _between_features(metric: Metric, sets: SampleSets) -> MetricOutput:
    """Measure distances of features between all pairs of sets."""
    function, numbers = metric.load(), dict[str, dict[str, Estimate]]()
    for name, pair in sets.pairs.items():
        result = function(*pair)
        for number, estimate in (result if isinstance(result, dict) else {metric.name: result}).items():
            numbers.setdefault(number, {})[name] = estimate
    titles = {number: sets.extractor.title(metric.title) if metric.title else number for number in numbers}
    notes = [note for number, by_set in numbers.items() for note in _heavy_tails(titles[number], by_set.values())]
    return MetricOutput({number: Measure(titles[number], **by_set) for number, by_set in numbers.items()}, notes)


def _of_logits(metric: Metric, sets: SampleSets) -> MetricOutput:
    """Measure logits of the samples and of the training data, if the extractor classifies."""
    logits = [part.features.logits for part in (sets.samples, sets.train)]
    scores = [metric.load()(part) for part in logits if part is not None]
    return MetricOutput({metric.name: Measure(sets.extractor.title(metric.title), *scores)} if scores else {})


def _between_items(metric: Metric, sets: SampleSets) -> MetricOutput:
    """Compare the items of the samples with the training data, and those of the floor."""
    given = (sets.samples.conditions, sets.floor_conditions) if sets.samples.conditions else ({}, {})
    pairs = (sets.samples.items, sets.train.items), sets.floor_items
    title, function = metric.title or metric.name, metric.load()
    arguments = [{name: one for name, one in values.items() if name in parameters(function)[2:]} for values in given]
    numbers = [_number(metric, *pair, **extra) for pair, extra in zip(pairs, arguments, strict=True)]
    if not all(math.isfinite(number.value) for number in numbers):
        return MetricOutput(notes=[f"{title} is not finite, and left out"])
    return MetricOutput({metric.name: Measure(title, *numbers)})


def _number(metric: Metric, *items: torch.Tensor, **conditions: Any) -> Estimate:
    """What a function of items returns. Raises InputError unless it is a number."""
    value = plain(metric.load()(*items, **conditions))
    if isinstance(value, Estimate):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"the metric {metric.name} returned {shown(value)}: a metric returns a number")
    return Estimate(float(value))


def _of_sets(metric: Metric, sets: SampleSets) -> MetricOutput:
    output: MetricOutput = metric.load()(sets)
    return output


MEASURES: dict[str, Callable[[Metric, SampleSets], MetricOutput]] = {
    "features": _between_features, "logits": _of_logits, "items": _between_items, "sets": _of_sets,
}  # fmt: skip
"""How a metric is measured, by what its function needs."""
ANNOUNCED = {"items": "", "sets": "the "}
"""Metrics that are announced one by one, with the word before their title."""


def _warnings(sets: SampleSets) -> Iterator[str]:
    """Say in what the Fréchet distance misleads."""
    samples, train = sets.samples, sets.train
    few = sample_size_warning(min(len(samples), len(train)), sets.extractor.width)
    if few:
        yield f"{few}."
    if samples.labels is not None and train.labels is not None:
        counts, in_turn = (torch.bincount(labels[labels >= 0]) for labels in (train.labels, samples.labels))
        taken_in_turn = len(in_turn) > 0 and in_turn.max() - in_turn.min() <= 1
        if taken_in_turn and len(counts) and counts.max() > UNEVEN_RATIO * counts.min():
            yield (
                "The classes of the data are not equally frequent, but samples take each class in turn: this is part "
                "of their distance."
            )


def _heavy_tails(title: str, estimates: Collection[Estimate]) -> list[str]:
    """Say so if the errors and intervals of a distance cannot be trusted."""
    share = max((one.dominance or 0.0 for one in estimates), default=0.0)
    if not share:
        return []
    return [
        f"The features have heavy tails: one item makes {share:.0%} of the variance of {title}, so its error may be "
        "larger than it says, and its 95 % interval cover much less. Measure transformed features, such as their "
        "logarithm, or more items."
    ]


def reconstruct(spec: DataSpec, items: Tensor, device: torch.device) -> Iterator[Tensor]:
    """Encode and decode items (N, C, *sides), batch by batch: what a perfect model of latents would make of them."""
    for part in torch.split(items, ITEMS_AT_ONCE):
        yield spec.decode(spec.encode(part.to(device))).cpu()


def reconstruction_quality(
    spec: DataSpec, items: Tensor, device: torch.device, extractor: Extractor | None = None
) -> Generator[Work, None, tuple[ReconstructionQuality, Tensor]]:
    """Measure the reconstructions of items.

    Args:
        spec: The description of the items, with an autoencoder.
        items: The items (N, C, *sides).
        device: Where they are computed.
        extractor: The features; None is lite0 for images of 1 or 3 channels, where it is installed.

    Returns:
        The measures, and the reconstructions.
    """
    parts = list[Tensor]()
    for part in reconstruct(spec, items, device):
        parts.append(part)
        yield Work("reconstructions", sum(map(len, parts)), len(items), "items", part=True)
    made = torch.cat(parts)
    pairs = zip(torch.split(items, ITEMS_AT_ONCE), torch.split(made, ITEMS_AT_ONCE), strict=True)
    squares = [(spec.codec.encode(one) - spec.codec.encode(other)).double().square().sum() for one, other in pairs]
    error = float(sum(squares, torch.zeros(()))) / made.numel() / 4  # of values from -1 to 1
    psnr = -10 * math.log10(max(error, LEAST_ERROR))
    if extractor is None and len(spec.shape) == 3 and spec.shape[0] in (1, 3):
        with contextlib.suppress(InputError):  # it is not installed
            extractor = extractors.extractor(EXTRACTOR, spec.shape, spec.codec, device)
    if extractor is None or len(items) < FEWEST_OF_KERNEL:
        return ReconstructionQuality(len(items), psnr), made
    features = []
    for half in (made[::2], items[1::2], items[::2]):
        values = []
        for part in torch.split(half, ITEMS_AT_ONCE):
            values.append(extractor(part).values)
            yield Work("features of reconstructions", sum(map(len, values)), len(half), "items", part=True)
        features.append(torch.cat(values))
    kid, halves = (distances.kernel(one, features[1]) for one in (features[0], features[2]))
    return ReconstructionQuality(len(items), psnr, kid, halves, extractor.title("KID")), made
