"""Evaluation of samples that came from anywhere."""

import contextlib
import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ancestral import data as datasets
from ancestral.base.device import items_at_once
from ancestral.base.errors import InputError, whole
from ancestral.base.events import Event
from ancestral.base.options import option
from ancestral.base.registries import METRICS
from ancestral.conditions import LABEL, Classes
from ancestral.data import InMemoryDataset
from ancestral.declarations import EvaluateSamples
from ancestral.measure.measured_samples import References, Samples
from ancestral.measure.reference import held_out_data, in_memory, labels_for, loader, plain_source
from ancestral.results.evaluation_result import EvaluationResult
from ancestral.results.sample_result import SampleSettings
from ancestral.training.distributed import Distributed
from ancestral.use_cases.measuring.evaluate import check_metrics, write_samples
from ancestral.use_cases.output_files import check_folder


@dataclass(frozen=True)
class SamplesPlan:
    """Samples, what they are compared with, and the folder of the results."""

    options: EvaluateSamples
    processes: Distributed
    samples: InMemoryDataset
    labels: Tensor | None
    references: References
    folder: Path | None


def plan(options: EvaluateSamples) -> SamplesPlan:
    """Open the samples and the data. Raises InputError if they cannot be read, or do not fit."""
    folder, processes = check_folder(options.out, options.data, options.held_out), Distributed(options.device)
    samples, n = in_memory(datasets.open(options.samples, image_size=options.image_size)), options.n
    if n is not None:
        whole(n, 1, len(samples), f"{option('n')} must be 1 to {len(samples)}, the number of samples, not {n}")
        samples = samples.sample(n)
    load, source = loader(samples.spec, None), plain_source(options.data)
    train = load(source, "train")
    held_out, split = held_out_data(source, load, options.held_out)
    references = References.of(train.spec, train, held_out, options.extractor, split, processes.device)
    references = references.checked_for_copies(options.leave_out_copies)
    references.check(len(samples))
    labels = labels_for(samples, train.classes)
    check_metrics(options.metrics, {} if labels is None else {LABEL: Classes(train.classes)})
    with contextlib.suppress(InputError):  # images of several sizes have no shape of their own
        shape = datasets.open(source, memory=0).shape if isinstance(source, str) else train.shape
        if shape != train.shape:
            shapes = [" x ".join(map(str, sides)) for sides in (shape, train.shape)]
            note = f"The data, {shapes[0]}, was converted to the shape of the samples, {shapes[1]}."
            references = dataclasses.replace(references, notes=(*references.notes, note))
    return SamplesPlan(options, processes, samples, labels, references, folder)


def run(plan: SamplesPlan) -> Generator[Event, None, EvaluationResult]:
    """Measure the samples."""
    options, samples, references = plan.options, plan.samples, plan.references
    settings = SampleSettings(len(samples), None, None, None, None, folder=samples.name)
    metrics = options.metrics or METRICS
    size = items_at_once(samples.shape, options.batch_size)
    measurement = references.measure(Samples(samples.items, plan.labels, settings), size, metrics)
    written = write_samples(measurement, plan.folder, samples.spec.limits)
    return EvaluationResult((yield from plan.processes.first(written)))
