"""Quality of samples, measured against data by the metrics of `registries.METRICS` and functions of the user.

Distances go from samples to the training data, as papers report them, and to held-out data. The floor is the same
distance between data and data. If nothing is held out, two parts of the training data take the places of seen and
unseen items.
"""

import math
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any

import torch

from ancestral.base.arguments import function_name, parameters, plain, shown
from ancestral.base.errors import InputError
from ancestral.base.events import Work
from ancestral.base.quantities import Estimate
from ancestral.base.registries import METRICS, Metric, MetricName, OwnMetric
from ancestral.measure.sample_sets import NearestPairs, Outcome, SampleSets
from ancestral.metrics.distances import sample_size_warning
from ancestral.results.sample_result import AnyMeasure, Measure, SampleQuality

UNEVEN_RATIO = 1.5
"""A note says so if one class is more frequent than another by this factor."""


def measure(
    sets: SampleSets, metrics: Collection[MetricName | OwnMetric] = METRICS
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
        outcome = MEASURES[metric.needs](metric, sets)
        measures |= outcome.measures
        notes += outcome.notes
        pairs += outcome.pairs
    floor = "training data against the rest of it" if sets.held_out is None else "held-out data"
    return SampleQuality(floor=floor, sets=sets.sizes, metrics=measures, notes=tuple(notes)), pairs


def _between_features(metric: Metric, sets: SampleSets) -> Outcome:
    """Measure distances of features between all pairs of sets."""
    function, numbers = metric.load(), dict[str, dict[str, Estimate]]()
    for name, pair in sets.pairs.items():
        result = function(*pair)
        for number, estimate in (result if isinstance(result, dict) else {metric.name: result}).items():
            numbers.setdefault(number, {})[name] = estimate
    titles = {number: sets.extractor.title(metric.title) if metric.title else number for number in numbers}
    notes = [note for number, by_set in numbers.items() for note in _heavy_tails(titles[number], by_set.values())]
    return Outcome({number: Measure(titles[number], **by_set) for number, by_set in numbers.items()}, notes)


def _of_logits(metric: Metric, sets: SampleSets) -> Outcome:
    """Measure logits of the samples and of the training data, if the extractor classifies."""
    logits = [part.features.logits for part in (sets.samples, sets.train)]
    scores = [metric.load()(part) for part in logits if part is not None]
    return Outcome({metric.name: Measure(sets.extractor.title(metric.title), *scores)} if scores else {})


def _between_items(metric: Metric, sets: SampleSets) -> Outcome:
    """Compare the items of the samples with the training data, and those of the floor."""
    given = (sets.samples.conditions, sets.floor_conditions) if sets.samples.conditions else ({}, {})
    pairs = (sets.samples.items, sets.train.items), sets.floor_items
    title, function = metric.title or metric.name, metric.load()
    arguments = [{name: one for name, one in values.items() if name in parameters(function)[2:]} for values in given]
    numbers = [_number(metric, *pair, **extra) for pair, extra in zip(pairs, arguments, strict=True)]
    if not all(math.isfinite(number.value) for number in numbers):
        return Outcome(notes=[f"{title} is not finite, and left out"])
    return Outcome({metric.name: Measure(title, *numbers)})


def _number(metric: Metric, *items: torch.Tensor, **conditions: Any) -> Estimate:
    """What a function of items returns. Raises InputError unless it is a number."""
    value = plain(metric.load()(*items, **conditions))
    if isinstance(value, Estimate):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"the metric {metric.name} returned {shown(value)}: a metric returns a number")
    return Estimate(float(value))


def _of_sets(metric: Metric, sets: SampleSets) -> Outcome:
    outcome: Outcome = metric.load()(sets)
    return outcome


MEASURES: dict[str, Callable[[Metric, SampleSets], Outcome]] = {
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
