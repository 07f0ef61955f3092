"""Evaluation of samples that came from anywhere."""

import contextlib
import dataclasses
import math
from collections.abc import Generator

from ancestral import data as datasets
from ancestral.declarations import METRICS, EvaluateSamples
from ancestral.device import pick_device
from ancestral.errors import InputError, whole
from ancestral.evaluation.reference import in_memory, labels_for, loader
from ancestral.evaluation.study import References
from ancestral.events import Event
from ancestral.options import option
from ancestral.results.evaluation_result import EvaluationResult, SampleSettings
from ancestral.training.distributed import by_first_process
from ancestral.workflows.evaluate import (
    check_classes,
    check_folder,
    check_metrics,
    held_out_data,
    plain_source,
    write_samples,
)


def plan(options: EvaluateSamples) -> EvaluateSamples:
    """Check the options. Raises InputError if one is out of its range."""
    whole(options.batch_size, 1, math.inf, f"{option('batch_size')} must be at least 1, not {options.batch_size}")
    check_metrics(options.metrics)
    return options


@by_first_process
def run(plan: EvaluateSamples) -> Generator[Event, None, EvaluationResult]:
    """Measure the samples. Raises InputError if they or the data cannot be read, or do not fit."""
    folder = check_folder(plan.out, plan.data, plan.held_out)
    opened = in_memory(datasets.open(plan.samples, image_size=plan.image_size))
    if plan.n is not None:
        whole(plan.n, 1, len(opened), f"{option('n')} must be 1 to {len(opened)}, the number of samples, not {plan.n}")
        opened = opened.sample(plan.n)
    load, source = loader(opened.spec, None), plain_source(plan.data)
    train = load(source, "train")
    unseen, split = held_out_data(source, load, plan.held_out)
    references = References.of(train.spec, train, unseen, plan.extractor, split, pick_device(plan.device))
    references.check(len(opened))
    labels = labels_for(opened, train.classes)
    check_classes(plan.metrics, labels is not None)
    with contextlib.suppress(InputError):  # images of several sizes have no shape of their own
        own = datasets.open(source, memory=0).shape if isinstance(source, str) else train.shape
        if own != train.shape:
            shapes = [" x ".join(map(str, shape)) for shape in (own, train.shape)]
            note = f"The data, {shapes[0]}, was converted to the shape of the samples, {shapes[1]}."
            references = dataclasses.replace(references, notes=(*references.notes, note))
    settings = SampleSettings(len(opened), None, None, None, None, folder=opened.name)
    measurement = references.measure(opened.items, labels, plan.batch_size, settings, metrics=plan.metrics or METRICS)
    measured = yield from write_samples(measurement, folder, references.codec.limits)
    return EvaluationResult(measured)
