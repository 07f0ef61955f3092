"""Metrics of the samples that take all sets: the class accuracy, the captions and the colours."""

import torch

from ancestral.base.errors import InputError
from ancestral.base.quantities import format_percent
from ancestral.measure.sample_sets import CaptionedItems, Outcome, SampleSets, shuffled
from ancestral.metrics import caption_judge, linear_classifier, uncertainty
from ancestral.metrics.colour import drift
from ancestral.results.sample_result import CaptionGroup, CaptionRetrieval, ClassAccuracy

LEAST_CEILING = 3 * caption_judge.BY_CHANCE
"""The R-precision of real items below which a judge cannot tell whether samples fit their captions."""


def colour(sets: SampleSets) -> Outcome:
    """Measure how far the colours of the samples are from those of the training data."""
    return Outcome({"colour": drift(sets.samples.items, sets.train.items, sets.codec)})


def class_accuracy(sets: SampleSets) -> Outcome:
    """Measure the share of samples that a classifier finds the class of, if samples and data have classes."""
    samples, train, held_out = sets.samples, sets.train, sets.held_out
    if samples.labels is None:
        return Outcome()
    if train.labels is None:
        return Outcome(notes=["The data has no classes that the model knows, so the class accuracy is not known."])
    labelled = train.labels >= 0
    try:
        classifier = linear_classifier.fit(train.features.values[labelled], train.labels[labelled])
    except InputError as error:
        return Outcome(notes=[f"The class accuracy is not known: {error.text}."])
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
    return Outcome({"class_accuracy": measure})


def captions(sets: SampleSets) -> Outcome:
    """Measure the share of samples that a judge finds their caption of, if the model is conditioned on words.

    It is that of captions that training did not have, where there are such captions of real items.
    """
    if sets.captions is None:
        return Outcome()
    parts, notes = sets.captions.parts, sets.captions.notes
    parts = tuple(part for part in parts if len(torch.unique(part.keys)) > caption_judge.AMONG)
    with_items = [part for part in parts if part.real is not None]
    if not with_items:
        few = f"Captions are not measured: they need more than {caption_judge.AMONG} different ones."
        return Outcome(notes=[*notes, few] if not any("not measured" in note for note in notes) else notes)
    main = with_items[-1]
    assert main.real is not None
    ceiling = caption_judge.r_precision(main.real, main.texts, main.keys)
    if ceiling.value < LEAST_CEILING:
        return Outcome(notes=[*notes, (
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
    return Outcome({"captions": measure}, notes)


def _caption_group(part: CaptionedItems, name: str) -> CaptionGroup:
    rows = part.groups[name]
    shares = [
        None if items is None else caption_judge.r_precision(items, part.texts, part.keys, rows)
        for items in (part.samples, part.real)
    ]
    assert shares[0] is not None
    return CaptionGroup(name, len(torch.unique(part.keys[rows])), shares[0], shares[1])
