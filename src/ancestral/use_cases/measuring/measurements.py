"""Measurements that are decided, and their run: threads, the folder of samples that are not kept, and distances."""

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from ancestral.base.device import cpu_threads, keep_freed_memory
from ancestral.base.events import Event
from ancestral.base.options import option
from ancestral.declarations import WithSamples
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.sample_quality import floor_sets
from ancestral.metrics import uncertainty
from ancestral.metrics.distances import sample_size_warning
from ancestral.render.result_text import floor_note
from ancestral.results.comparison_result import ComparedSamples
from ancestral.results.sample_result import ExtractorName, MetricTitles
from ancestral.training.distributed import Distributed
from ancestral.use_cases.measuring.evaluated_models import EvaluatedModel

O = TypeVar("O", bound=WithSamples)  # noqa: E741
R = TypeVar("R")
FASTER = f"fewer {option('samples')} or {option('steps')} are faster"


@dataclass(frozen=True)
class Measurements(Generic[O]):
    """Measurements that are decided: the options, and the models with their samples."""

    options: O
    processes: Distributed
    models: tuple[EvaluatedModel, ...]
    evaluations: tuple[Evaluation, ...]

    @property
    def batch_size(self) -> int:
        """The number of items that are sampled or measured at a time."""
        return self.models[0].model.batch(self.options.batch_size)


def temporary_folder(processes: Distributed) -> Path:
    """Name a folder for samples that are not kept, the same for all processes; `perform` makes and removes it."""
    number = processes.total(torch.tensor([secrets.randbits(48) if processes.main else 0]))
    return Path(tempfile.gettempdir()) / f"ancestral-{int(number):012x}"


def perform(plan: Measurements[O], events: Generator[Event, None, R]) -> Generator[Event, None, R]:
    """Run a measurement with the number of threads, and with the folder of samples that are not kept."""
    processes = plan.processes
    keep_freed_memory()
    with contextlib.ExitStack() as stack:
        for folder in {evaluation.temporary for evaluation in plan.evaluations} if processes.main else ():
            folder.mkdir(mode=0o700)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        processes.wait()
        stack.enter_context(cpu_threads(plan.options.threads))
        try:
            return (yield from events)
        except KeyboardInterrupt as stop:
            if processes.main and plan.evaluations and all(evaluation.kept for evaluation in plan.evaluations):
                stop.add_note("all samples so far are kept")
            raise


def distance_facts(
    evaluation: Evaluation, batch_size: int
) -> Generator[Event, None, tuple[uncertainty.Reference, dict[str, Any]]]:
    """Compute the features of the data.

    Returns:
        What distances of samples are measured to, and the fields of a result that say so.
    """
    references, extractor = evaluation.references, evaluation.references.extractor
    train = yield from references.features("training data", references.train.items, batch_size)
    held_out = None
    if references.held_out is not None:
        held_out = yield from references.features("held-out data", references.held_out.items, batch_size)
    others, rest = floor_sets(evaluation.count, train.values, None if held_out is None else held_out.values)
    size_warning = sample_size_warning(min(evaluation.count, len(train.values)), extractor.width)
    floor_warning = floor_note((len(others), len(rest)), (evaluation.count, len(train.values)))
    return uncertainty.Reference(train.values), {
        "model": evaluation.identity,
        "samples": ComparedSamples(evaluation.count, evaluation.request.seed, evaluation.guidance),
        "data": references.names(),
        "extractor": ExtractorName(extractor.name, extractor.width),
        "titles": MetricTitles(extractor.title("FD"), extractor.title("KID")),
        "floor": uncertainty.frechet(others, rest),
        "notes": tuple(filter(None, [size_warning and f"{size_warning}.", floor_warning])),
    }
