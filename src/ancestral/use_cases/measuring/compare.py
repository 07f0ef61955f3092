"""Comparisons: runs side by side, measured alike on the same data; and the plan of those of samplers."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestral import samplers
from ancestral.base.arguments import function_name
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.base.registries import METRICS
from ancestral.declarations import Compare
from ancestral.measure import time_needed
from ancestral.measure.caption_evaluation import judged
from ancestral.measure.evaluation import Evaluation
from ancestral.model import Model
from ancestral.render import compositions
from ancestral.render.evaluation_text import likelihood_items, verdict
from ancestral.results.comparison_result import (
    ComparedBound,
    ComparedRun,
    ComparisonResult,
    SamplerComparisonResult,
)
from ancestral.results.evaluation_result import EvaluationResult
from ancestral.samplers import Sampler
from ancestral.training.distributed import Distributed
from ancestral.use_cases import output_files
from ancestral.use_cases.measuring import evaluated_models, measurements
from ancestral.use_cases.measuring.compare_samplers import compare_samplers, default_sampler, sampler_list
from ancestral.use_cases.measuring.evaluate import check_metrics

PICTURE_SAMPLES, PICTURE_CLOUD = 36, 2000
"""Samples of each run in the picture; of points, this number makes a cloud."""
COMPARISON_FOLDER = Path("runs/compare")


@dataclass(frozen=True)
class ComparePlan(measurements.Measurements[Compare]):
    """A comparison that is decided: of the runs, or of these samplers of the only run."""

    folder: Path | None
    samplers: tuple[str | Sampler, ...]


def plan(options: Compare) -> ComparePlan:
    """Open the runs, which are compared on the same data.

    Raises:
        InputError: If runs or samplers are missing, are not alike or cannot be measured, or options do not fit.
    """
    runs = (options.runs,) if isinstance(options.runs, str | Path | Model) else tuple(options.runs)
    sampler_names = [] if options.samplers is None else sampler_list(options.samplers)
    _check(options, len(runs), sampler_names)
    processes = Distributed(options.device)
    models = [
        evaluated_models.open_model(run, options, processes.device, f"model {i}") for i, run in enumerate(runs, start=1)
    ]
    first, *others = models
    for other in others:
        evaluated_models.check_alike(first, other)
    if own := [function_name(metric) for metric in options.metrics or () if not isinstance(metric, str)]:
        raise InputError(f"compare measures by the metrics {', '.join(METRICS)}: evaluate takes {own[0]} too")
    kinds = {name: kind for entry in models for name, kind in entry.model.spec.conditions.items()}
    check_metrics(options.metrics, kinds)
    source = first.source(options.data)
    load = evaluated_models.opener(models, options, source)
    in_file = all(entry.folder for entry in models)
    place = first.folder if options.samplers is not None else COMPARISON_FOLDER if in_file else None
    if options.samplers == "all":
        sampler_names += default_sampler(first.model, sampler_names)
    return ComparePlan(
        options=options,
        processes=processes,
        models=tuple(models),
        evaluations=tuple(
            evaluated_models.plan_evaluation(  # a folder for each: the samples of models in memory have no hash
                entry,
                options,
                source,
                load,
                measurements.temporary_folder(processes),
                output_files.check_folder(entry.folder),
            )
            for entry in models
        ),
        folder=output_files.check_folder(place if options.out is None else options.out, source, options.held_out),
        samplers=tuple(sampler_names),
    )


def run(plan: ComparePlan) -> Generator[Event, None, ComparisonResult | SamplerComparisonResult]:
    """Compare runs, or the samplers of one run."""
    events: Generator[Event, None, Any] = (
        compare_samplers(plan, plan.samplers, plan.folder) if plan.samplers else _compare_runs(plan)
    )
    return measurements.perform(plan, plan.processes.first(events))


def _check(options: Compare, count: int, sampler_names: Sequence[str | Sampler]) -> None:
    """Raise InputError for too few or too many runs, no samplers, or an option of the other comparison."""
    if options.samplers is None:
        if options.most is not None:
            raise InputError(f"{option('most')} belongs to {option('samplers')}; give that too")
        if count < 2:
            raise InputError(f"a comparison needs two runs: name another, or give {option('samplers', 'all')}")
        return
    if count != 1:
        raise InputError(f"{option('samplers')} compares the samplers of one run: name one run only")
    for name in ("sampler", "steps", "metrics"):
        if getattr(options, name) is not None:
            raise InputError(f"{option(name)} has no effect with {option('samplers')}: leave it out")
    if not sampler_names:
        raise InputError(f"{option('samplers')} names none; give all, or some of {', '.join(samplers.BY_NAME)}")


def _compare_runs(plan: ComparePlan) -> Generator[Event, None, ComparisonResult]:
    """Measure the samples of several models on the same data, and write compare.json and compare.png.

    Bits/dim are shown for runs on which the likelihood was measured before. Samples of runs are kept in their folders,
    where `evaluate` finds them, so none is made twice.
    """
    size, metrics = plan.batch_size, plan.options.metrics or METRICS
    named = [(evaluation.name, evaluation) for evaluation in plan.evaluations]
    if line := time_needed.forecast(time_needed.sampling_parts(named, size), measurements.FASTER):
        yield Message(line)
    runs, grids = [], []
    for entry, evaluation in zip(plan.models, plan.evaluations, strict=True):
        items = yield from evaluation.samples(size, f"sampling {entry.name}")
        captions = yield from judged(evaluation, size, metrics)
        quality, _ = yield from evaluation.metrics(items, size, metrics, captions)
        if text := verdict(quality):
            yield Message(f"{entry.name}: {text}")
        bound = entry.folder and EvaluationResult.load(entry.folder, entry.sha256).likelihood
        compared_bound = ComparedBound.from_result(bound, likelihood_items(bound.data)) if bound else None
        runs.append(ComparedRun(**vars(quality), parameters=evaluation.model.parameters, bits_per_dim=compared_bound))
        grids.append((entry.name, items[: PICTURE_CLOUD if items.ndim == 2 else PICTURE_SAMPLES]))
    result = ComparisonResult.from_runs(runs)
    if plan.folder is not None:
        limits, names = plan.models[0].model.spec.limits, _class_names(plan.evaluations, len(grids[0][1]))
        picture = compositions.side_by_side(grids, limits, names)
        yield from output_files.write_results(plan.folder, {"compare.json": result, "compare.png": picture})
    return result


def _class_names(evaluations: Sequence[Evaluation], count: int) -> list[str] | None:
    """Return the classes of the first samples, if they are the same in all evaluations and not those of real items."""
    if any(evaluation.conditions is not None for evaluation in evaluations):
        return None
    first, *others = (evaluation.model.class_names(range(count)) for evaluation in evaluations)
    return first if all(names == first for names in others) else None
