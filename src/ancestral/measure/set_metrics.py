"""Metrics of the samples that take all sets: the class accuracy and the colours."""

from ancestral.base.errors import InputError
from ancestral.measure.sample_sets import Outcome, SampleSets
from ancestral.metrics import linear_classifier, uncertainty
from ancestral.metrics.colour import drift
from ancestral.results.sample_result import ClassAccuracy


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
