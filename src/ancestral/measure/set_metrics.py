"""Metrics of the samples that take all sets: the class accuracy, the captions, the colours, the power
by wave length, and memorisation.

Memorisation is how near samples come to training items, and which are copies, by pixels and by features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import format_percent
from ancestral.measure.sample_quality import CaptionedItems, MetricOutput, NearestPairs, SampleSets, shuffled
from ancestral.metrics import caption_judge, linear_classifier, uncertainty
from ancestral.metrics.colour import drift
from ancestral.metrics.copies import RATIO, copies
from ancestral.metrics.neighbours import memorisation, nearest
from ancestral.metrics.spectrum import spectrum as power_spectrum
from ancestral.results import sample_result as facts
from ancestral.results.sample_result import CaptionGroup, CaptionRetrieval, ClassAccuracy

LEAST_CEILING = 3 * caption_judge.BY_CHANCE
"""The R-precision of real items below which a judge cannot tell whether samples fit their captions."""
CLOSEST = 24
"""Samples that a result names, those nearest to a training item."""
PAIRS_SHOWN, SHOWN_POINTS = 12, 1000
"""Samples of the picture of nearest pairs; of points, which are a cloud there."""
LEAST_SIDE = 4
"""Items of which no side is as long have no power by wave length."""
FLAT = 0.02
"""An item whose values deviate by less than this share of their range in the data counts as constant."""


def colour(sets: SampleSets) -> MetricOutput:
    """Measure how far the colours of the samples are from those of the training data."""
    return MetricOutput({"colour": drift(sets.samples.items, sets.train.items, sets.codec)})


def spectrum(sets: SampleSets) -> MetricOutput:
    """Measure how much power samples of floats on a grid have at each wave length, beside the training data."""
    samples, train = sets.samples.items, sets.train.items
    if sets.codec.level is not None or samples.ndim < 3 or max(samples.shape[2:]) < LEAST_SIDE:
        return MetricOutput()
    if sets.codec.gaps == "random":
        return MetricOutput(notes=["The power is not measured: no training item is complete."])
    unseen = None if sets.held_out is None else sets.held_out.items
    return MetricOutput({"spectrum": power_spectrum(samples, train, unseen, sets.channels)})


def class_accuracy(sets: SampleSets) -> MetricOutput:
    """Measure the share of samples that a classifier finds the class of, if samples and data have classes."""
    samples, train, held_out = sets.samples, sets.train, sets.held_out
    if samples.labels is None:
        return MetricOutput()
    if train.labels is None:
        return MetricOutput(notes=["The data has no classes that the model knows, so the class accuracy is not known."])
    labelled = train.labels >= 0
    try:
        classifier = linear_classifier.fit(train.features.values[labelled], train.labels[labelled])
    except InputError as error:
        return MetricOutput(notes=[f"The class accuracy is not known: {error.text}."])
    right = classifier.predict(samples.features.values) == samples.labels
    accuracy, count = classifier.accuracy, classifier.held_out
    if held_out is not None and held_out.labels is not None and bool((held_out.labels >= 0).any()):
        rows = held_out.labels >= 0
        hits = classifier.predict(held_out.features.values[rows]) == held_out.labels[rows]
        accuracy, count = float(hits.double().mean()), len(hits)
    measure = ClassAccuracy(
        value=uncertainty.share(float(right.double().mean()), len(right)),
        floor=uncertainty.share(accuracy, count),
        items=count,
        classes=len(set(train.labels[labelled].tolist())),
    )
    return MetricOutput({"class_accuracy": measure})


def captions(sets: SampleSets) -> MetricOutput:
    """Measure the share of samples that a judge finds their caption of, if the model is conditioned on words.

    It is that of captions that training did not have, where there are such captions of real items.
    """
    if sets.captions is None:
        return MetricOutput()
    parts, notes = sets.captions.parts, sets.captions.notes
    parts = tuple(part for part in parts if len(torch.unique(part.keys)) > caption_judge.AMONG)
    with_items = [part for part in parts if part.real is not None]
    if not with_items:
        few = f"Captions are not measured: they need more than {caption_judge.AMONG} different ones."
        return MetricOutput(notes=[*notes, few] if not any("not measured" in note for note in notes) else notes)
    main = with_items[-1]
    assert main.real is not None
    ceiling = caption_judge.r_precision(main.real, main.texts, main.keys)
    if ceiling.value < LEAST_CEILING:
        return MetricOutput(notes=[*notes, (
            f"It cannot be judged whether samples obey their captions: the judge finds {ceiling.percent} of the real "
            f"captions among {caption_judge.AMONG}, and {format_percent(caption_judge.BY_CHANCE)} are chance. It needs "
            "more training items, or captions that say what is seen."
        )])  # fmt: skip
    measure = CaptionRetrieval(
        value=caption_judge.r_precision(main.samples, main.texts, main.keys),
        floor=ceiling,
        shuffled=caption_judge.r_precision(shuffled(main.real), main.texts, main.keys),
        among=caption_judge.AMONG,
        groups=tuple(_caption_group(part, name) for part in parts for name in part.groups),
    )
    return MetricOutput({"captions": measure}, notes)


def _caption_group(part: CaptionedItems, name: str) -> CaptionGroup:
    rows = part.groups[name]
    shares = [
        None if items is None else caption_judge.r_precision(items, part.texts, part.keys, rows)
        for items in (part.samples, part.real)
    ]
    assert shares[0] is not None
    return CaptionGroup(name, len(torch.unique(part.keys[rows])), shares[0], shares[1])


def measure_memorisation(sets: SampleSets) -> MetricOutput:
    """Measure the memorisation by pixels, among all training items, and by features, with pairs for a picture."""
    samples, train, held_out, codec, notes = sets.samples, sets.train, sets.held_out, sets.codec, list[str]()
    more = train.items if sets.searched is None else sets.searched
    pixels, train_pixels = (codec.encode(part).flatten(1) for part in (samples.items, more))
    unseen = None if held_out is None else codec.encode(held_out.items).flatten(1)
    scale = codec.scale / pixels.shape[1] ** 0.5  # of the root mean square difference, in the items' units
    both = train_pixels
    if sets.mirrored and more.ndim == 4:
        both = torch.cat([train_pixels, codec.encode(more.flip(-1)).flatten(1)])
    shape, spread = more.shape[1:], float(train_pixels.max() - train_pixels.min())
    flat = [is_flat(part, shape, spread) for part in (pixels, train_pixels, unseen) if part is not None]
    by_pixels, rows, neighbours = _memorisation(
        _Space("pixels", pixels, train_pixels, unseen, flat, scale, both), notes
    )
    pairs = [_pairs("nearest by pixels", samples.items, more, rows, neighbours, flat[1])]
    if by_pixels.copies is not None and by_pixels.copies.flat:
        notes.append(
            f"Next to a training item of one colour: {by_pixels.copies.flat:,} samples. Such items count neither as "
            "copied nor as memorised."
        )
    by_features = None
    if sets.extractor.name != "pixels":
        z = None if held_out is None else held_out.features.values
        flat[1] = is_flat(codec.encode(train.items).flatten(1), shape, spread)
        space = _Space("features", samples.features.values, train.features.values, z, flat)
        by_features, rows, neighbours = _memorisation(space, notes)
        pairs.append(_pairs("nearest by features", samples.items, train.items, rows, neighbours, flat[1]))
    if held_out is None:
        notes.append(
            "No data were held out: half of the training data stands in for unseen items in the memorisation, "
            "which is about a half at most; hold some out of training, or give held-out data. Copies need none."
        )
    return MetricOutput({"memorisation": facts.MemorisationBySpace(by_pixels, by_features)}, notes, pairs)


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
    places = sorted(different.values(), key=lambda place: (bool(flat[neighbours[place]]), place))[:PAIRS_SHOWN]
    return NearestPairs(title, samples[rows[places]], items[neighbours[places]])


def is_flat(rows: Tensor, shape: Sequence[int], spread: float) -> Tensor:
    """Whether no channel of rows (m, d), items of a shape, deviates by FLAT of a spread: such items are constant.

    Returns:
        bool (m,). No point is.
    """
    if len(shape) == 1 or math.prod(shape[1:]) == 1:
        return torch.zeros(len(rows), dtype=torch.bool)
    return rows.view(len(rows), shape[0], -1).std(2).amax(1) < FLAT * spread


@dataclass(frozen=True, eq=False)
class _Space:
    """Rows of samples (n, d), training items (m, d) and unseen items, whose distances are measured."""

    name: str
    samples: Tensor
    train: Tensor
    unseen: Tensor | None
    flat: Sequence[Tensor]
    """Which rows of each of these are constant."""
    scale: float = 1.0
    """What distances are multiplied by."""
    copied: Tensor | None = None
    """Rows among which copies are searched for: the training items, then their mirrored ones, if these were trained on;
    None takes `train`."""


def _memorisation(space: _Space, notes: list[str]) -> tuple[facts.MemorisationResult, Tensor, Tensor]:
    """The memorisation, the samples nearest to training items first, and the indices of these items."""
    samples, train, flat = space.samples, space.train, space.flat
    measured, blank = None, bool(flat[1].any())
    varied, varied_train = (samples[~flat[0]], train[~flat[1]]) if blank else (samples, train)
    if space.unseen is None:  # random halves of the training data stand in for seen and unseen items
        halves = shuffled(varied_train)
        seen, new = halves[::2], halves[1::2]
    else:
        seen, new = varied_train, space.unseen[~flat[2]] if blank else space.unseen
    try:
        measured = memorisation(varied, seen, new)
    except InputError as error:  # copies among the data
        reason = f"{error.text} ({option('leave_out_copies', True)})"
        if space.unseen is None:
            reason = "half of the data is compared with the other, and items are in both: doctor lists the duplicates"
        notes.append(f"Memorisation by {space.name} could not be measured: {reason}.")
    whole = space.unseen is not None and not blank
    near = measured.samples if measured is not None and whole else nearest(samples, train)
    order, distance = near.distance.argsort(stable=True), near.distance * space.scale
    shares = {} if measured is None else {
        "share": measured.share,
        "share_error": uncertainty.share(measured.share, len(varied)).error,
        "expected": measured.expected,
        "error": measured.error,
        "threshold": measured.threshold * space.scale,
    }  # fmt: skip
    result = facts.MemorisationResult(
        among=len(train),
        median=float(distance.median()),
        closest=tuple(facts.ClosestPair(i, int(near.index[i]), float(distance[i])) for i in order[:CLOSEST].tolist()),
        copies=_copies(space.name, samples, train if space.copied is None else space.copied, flat[1]),
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
