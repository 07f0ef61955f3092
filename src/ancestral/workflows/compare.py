"""Comparisons: runs side by side, measured alike on the same data; and the samplers of one run over their cost."""

import dataclasses
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestral import samplers
from ancestral.arguments import function_name
from ancestral.declarations import Compare
from ancestral.errors import InputError
from ancestral.events import Event, Message
from ancestral.measure import forecast
from ancestral.measure.reference import loader
from ancestral.measure.step_budgets import (
    PASSES,
    StepBudget,
    reference_budget,
    sampler_title,
    step_budgets,
    without_steps,
)
from ancestral.measure.study import Study
from ancestral.metrics import uncertainty
from ancestral.model import Model
from ancestral.options import option
from ancestral.registries import METRICS
from ancestral.render import compositions, plots
from ancestral.render.evaluation_text import likelihood_items, verdict
from ancestral.render.result_text import reference_warning
from ancestral.results.comparison_result import (
    ComparedBound,
    ComparedRun,
    ComparisonResult,
    SamplerComparisonResult,
    SamplerPoint,
    fewest_passes,
)
from ancestral.results.evaluation_result import EvaluationResult
from ancestral.samplers import Sampler
from ancestral.training.distributed import Distributed
from ancestral.workflows import subjects
from ancestral.workflows.evaluate import check_metrics

IMAGES, POINTS = 36, 2000
"""Samples of each run in the picture; of points, this number makes a cloud."""
CHEAPER = f"a smaller {option('most')} or {option('samples')} is faster"
COMPARISON_FOLDER = Path("runs/compare")


@dataclass(frozen=True)
class ComparePlan(subjects.Measurements[Compare]):
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
        subjects.open_subject(run, options, processes.device, f"model {i}") for i, run in enumerate(runs, start=1)
    ]
    (first, *others), temporary = models, subjects.temporary_folder(processes)
    for other in others:
        _check_alike(first, other)
    if own := [function_name(metric) for metric in options.metrics or () if not isinstance(metric, str)]:
        raise InputError(f"compare measures by the metrics {', '.join(METRICS)}: evaluate takes {own[0]} too")
    check_metrics(options.metrics, any(subject.model.spec.classes for subject in models))
    configs = [subject.model.config.data for subject in models]
    same = len({(config.validation, config.moved, config.fingerprint) for config in configs}) == 1
    source = first.source(options.data)
    given = subjects.given_of(models, options, source)
    load = loader(first.model.spec, first.data_config, configs[0] if same else None, given)
    in_file = all(subject.folder for subject in models)
    place = first.folder if options.samplers is not None else COMPARISON_FOLDER if in_file else None
    if options.samplers == "all":
        sampler_names += _default_sampler(first.model, sampler_names)
    return ComparePlan(
        options=options,
        processes=processes,
        subjects=tuple(models),
        studies=tuple(
            subjects.plan_study(subject, options, source, load, temporary, subjects.check_folder(subject.folder))
            for subject in models
        ),
        folder=subjects.check_folder(place if options.out is None else options.out, source, options.held_out),
        samplers=tuple(sampler_names),
    )


def run(plan: ComparePlan) -> Generator[Event, None, ComparisonResult | SamplerComparisonResult]:
    """Compare runs, or the samplers of one run."""
    events: Generator[Event, None, Any] = _compare_samplers(plan) if plan.samplers else _compare_runs(plan)
    return subjects.perform(plan, plan.processes.first(events))


def _check(options: Compare, count: int, sampler_names: Sequence[str | Sampler]) -> None:
    """Raise InputError for too few or too many runs, no samplers, or an option of the other comparison."""
    if options.samplers is None:
        if options.most is not None:
            raise InputError(f"{option('most')} belongs to {option('samplers')}; give that too")
        if count < 2:
            raise InputError(f"one run is compared with nothing; name another, or give {option('samplers', 'all')}")
        return
    if count != 1:
        raise InputError(f"{option('samplers')} are compared of one run: name it, and no other")
    for name in ("sampler", "steps", "metrics"):
        if getattr(options, name) is not None:
            raise InputError(f"{option(name)} is for runs; leave it out beside {option('samplers')}")
    if not sampler_names:
        raise InputError(f"{option('samplers')} names none; give all, or some of {', '.join(samplers.BY_NAME)}")


def _check_alike(one: subjects.Subject, two: subjects.Subject) -> None:
    """Raise InputError for two models whose items differ in shape or in coding."""
    first, second = one.model.spec.items, two.model.spec.items
    if first != second:
        raise InputError(f"{one.name} makes {first}, but {two.name} {second}; compare runs whose items are alike")


# -- runs -------------------------------------------------------------------------------------------------------------


def _compare_runs(plan: ComparePlan) -> Generator[Event, None, ComparisonResult]:
    """Measure the samples of several models on the same data, and write compare.json and compare.png.

    Bits/dim are shown for runs on which the likelihood was measured before. Samples of runs are kept in their folders,
    where `evaluate` finds them, so none is made twice.
    """
    size, metrics = plan.batch_size, plan.options.metrics or METRICS
    named = [(study.name, study) for study in plan.studies]
    if line := forecast.forecast(forecast.sampling_parts(named, size), subjects.FASTER):
        yield Message(line)
    runs, grids = [], []
    for subject, study in zip(plan.subjects, plan.studies, strict=True):
        items = yield from study.samples(size, f"sampling {subject.name}")
        quality, _ = yield from study.metrics(items, size, metrics)
        if text := verdict(quality):
            yield Message(f"{subject.name}: {text}")
        bound = subject.folder and EvaluationResult.load(subject.folder, subject.sha256).likelihood
        compared_bound = ComparedBound.from_result(bound, likelihood_items(bound.data)) if bound else None
        runs.append(ComparedRun(**vars(quality), parameters=study.model.parameters, bits_per_dim=compared_bound))
        grids.append((subject.name, items[: POINTS if items.ndim == 2 else IMAGES]))
    result = ComparisonResult.from_runs(runs)
    if plan.folder is not None:
        limits, names = plan.subjects[0].model.spec.codec.limits, _class_names(plan.studies, len(grids[0][1]))
        picture = compositions.side_by_side(grids, limits, names)
        yield from subjects.write_results(plan.folder, {"compare.json": result, "compare.png": picture})
    return result


def _class_names(studies: Sequence[Study], count: int) -> list[str] | None:
    """Return the classes of the first samples, if they are the same in all studies and not those of real items."""
    if any(study.conditions is not None for study in studies):
        return None
    first, *others = (study.model.class_names(range(count), study.spec.label) for study in studies)
    return first if all(names == first for names in others) else None


# -- samplers ---------------------------------------------------------------------------------------------------------


def sampler_list(names: str | Sampler | Sequence[str | Sampler]) -> list[str | Sampler]:
    """List the samplers that are compared, each once. Raises InputError if a name is unknown.

    In a text, commas stand between samplers and between the options of one.
    """
    if isinstance(names, str):
        names = list(samplers.BY_NAME) if names == "all" else re.split(r",(?![^,:]*=)", names)
    stripped = [
        one.strip() if isinstance(one, str) else one for one in ([names] if isinstance(names, Sampler) else names)
    ]
    distinct = {sampler_title(one): one for one in stripped if one != ""}
    for one in distinct.values():
        if isinstance(one, str):
            samplers.check_name(one)
    return list(distinct.values())


def _default_sampler(model: Model, names: Sequence[str | Sampler]) -> list[str]:
    """The sampler of the model's config, unless it differs from one of these only in its number of steps."""
    default = samplers.from_name(model.config.sample.sampler)
    same = (samplers.from_name(name, steps=default.steps) == default for name in names if isinstance(name, str))
    return [] if any(same) else [without_steps(model.config.sample.sampler)]


def _compare_samplers(plan: ComparePlan) -> Generator[Event, None, SamplerComparisonResult]:
    """Measure how far the samples of one model are from the data, over the network evaluations that samplers take."""
    (study,), size, most = plan.studies, plan.batch_size, plan.options.most
    reference_steps, T = reference_budget(study.model, most), study.model.denoiser.schedule.steps
    budgets, notes = _budgets(study, plan.samplers, max(PASSES) if most is None else most)
    if reference_steps.steps < T:
        reason = f"DDPM took {reference_steps.steps:,} of its {T:,} steps, as {option('most')} allows"
        notes = [f"{reason}; with all it may be better.", *notes]
    all_budgets = {f"ddpm, {reference_steps.passes:,} passes": [reference_steps], **budgets}
    named = [(name, study.with_sampler(one.sampler)) for name, choices in all_budgets.items() for one in choices]
    if line := forecast.forecast(forecast.sampling_parts(named, size), CHEAPER):
        yield Message(line)
    train, facts = yield from subjects.distance_facts(study, size)

    def point(name: str, budget: StepBudget) -> Generator[Event, None, SamplerPoint]:
        title = f"{name}, {budget.passes} passes"
        features = yield from study.with_sampler(budget.sampler).features(title, size)
        x = features.values
        return SamplerPoint(budget.steps, budget.passes, uncertainty.frechet(x, train), uncertainty.kernel(x, train))

    reference = yield from point("ddpm", reference_steps)
    curves: dict[str, tuple[SamplerPoint, ...]] = {}
    for name, choices in budgets.items():
        for budget in choices:
            try:
                curves[name] = (*curves.get(name, ()), (yield from point(name, budget)))
            except InputError as error:  # with so few steps, the samples diverge
                notes.append(f"{name} has no number at {budget.passes} passes: {error.text}.")
                continue
            distance = curves[name][-1].frechet
            yield Message(f"{name}, {budget.passes} passes: {facts['titles'].frechet} {distance}")
    warning = reference_warning(reference.frechet)
    facts["notes"] = (*study.references.notes, *notes, *facts["notes"], *([warning] if warning else []))
    result = SamplerComparisonResult(
        **facts,
        reference=dataclasses.replace(reference, sampler="ddpm"),
        needed={name: fewest_passes(points, reference.frechet.value) for name, points in curves.items()},
        curves=curves,
    )
    if plan.folder is not None:
        picture = plots.samplers_plot(result)
        yield from subjects.write_results(plan.folder, {"samplers.json": result, "samplers.png": picture})
    return result


def _budgets(study: Study, names: Sequence[str | Sampler], most: int) -> tuple[dict[str, list[StepBudget]], list[str]]:
    """The numbers of steps at which samplers are tried, by their titles, and which samplers are left out."""
    budgets, notes = dict[str, list[StepBudget]](), []
    for one in names:
        name, reason = sampler_title(one), f"it takes more than {most} passes"
        try:
            budgets[name] = list(step_budgets(study.model, one, most))
        except InputError as error:
            reason = error.text
        if not budgets.get(name):
            notes.append(f"{name} was left out: {reason}.")
            budgets.pop(name, None)
    if not budgets:
        raise InputError(f"none of these samplers can be tried: {' '.join(notes)}")
    return budgets, notes
