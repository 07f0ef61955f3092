"""Comparisons: runs side by side, measured alike on the same data; and the samplers of one run over their cost."""

import contextlib
import dataclasses
import re
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ancestral import render, samplers, storage
from ancestral.declarations import METRICS, Compare
from ancestral.device import keep_freed_memory
from ancestral.errors import InputError
from ancestral.evaluation import forecast
from ancestral.evaluation.reference import loader
from ancestral.evaluation.sample_quality import floor_sets
from ancestral.evaluation.step_budgets import (
    PASSES,
    StepBudget,
    reference_budget,
    sampler_title,
    step_budgets,
    without_steps,
)
from ancestral.evaluation.study import Study
from ancestral.events import Event, Message, Wrote
from ancestral.metrics import uncertainty
from ancestral.metrics.distances import sample_size_warning
from ancestral.metrics.extractors import Features
from ancestral.model import Model
from ancestral.options import option
from ancestral.render.comparison_text import floor_note, reference_warning
from ancestral.render.evaluation_text import likelihood_items, verdict
from ancestral.results.comparison_result import (
    ComparedBound,
    ComparedRun,
    ComparedSamples,
    ComparisonResult,
    ReferencePoint,
    SamplerComparisonResult,
    SamplerPoint,
    fewest_passes,
)
from ancestral.results.evaluation_result import EvaluationResult, ExtractorName, MetricTitles
from ancestral.samplers import Sampler
from ancestral.threads import cpu_threads
from ancestral.training.distributed import by_first_process
from ancestral.workflows.evaluate import (
    FASTER,
    Subject,
    check_classes,
    check_folder,
    check_options,
    count_of,
    open_subject,
    plan_study,
)

IMAGES, POINTS = 36, 2000
"""Samples of each run in the picture; of points, this number makes a cloud."""
CHEAPER = f"a smaller {option('most')} or {option('samples')} is faster"
COMPARISON_FOLDER = Path("runs/compare")


def plan(options: Compare) -> Compare:
    """List the runs, and check the options.

    Raises:
        InputError: If runs or samplers are missing, or options do not fit each other.
    """
    options = dataclasses.replace(options, runs=runs_of(options))
    check_options(options)
    if options.samplers is None:
        _check_runs(options)
    else:
        _check_samplers(options)
    return options


def run(plan: Compare) -> Generator[Event, None, ComparisonResult | SamplerComparisonResult]:
    """Compare runs, or the samplers of one run."""
    return _compare_runs(plan) if plan.samplers is None else _compare_samplers(plan)


def runs_of(options: Compare) -> tuple[str | Path | Model, ...]:
    """List the runs, of which one may be given alone."""
    return (options.runs,) if isinstance(options.runs, str | Path | Model) else tuple(options.runs)


def _check_runs(options: Compare) -> None:
    """Raise InputError if there are not enough runs, or an option is for samplers."""
    if options.most is not None:
        raise InputError(f"{option('most')} belongs to {option('samplers')}; give that too")
    if not runs_of(options):
        raise InputError(f"name the runs: two or more, or one with {option('samplers')}")
    if len(runs_of(options)) < 2:
        raise InputError(f"one run is compared with nothing; name another, or give {option('samplers', 'all')}")


def _check_samplers(options: Compare) -> None:
    """Raise InputError if there is not one run, a sampler is unknown, or an option is for runs."""
    if len(runs_of(options)) != 1:
        raise InputError(f"{option('samplers')} are compared of one run: name it, and no other")
    for name in ("sampler", "steps", "metrics"):
        if getattr(options, name) is not None:
            raise InputError(f"{option(name)} is for runs; leave it out beside {option('samplers')}")
    if not sampler_list(options.samplers):
        raise InputError(f"{option('samplers')} names none; give all, or some of {', '.join(samplers.BY_NAME)}")


@by_first_process
def _compare_runs(plan: Compare) -> Generator[Event, None, ComparisonResult]:
    """Measure the samples of several models on the same data, and write compare.json and compare.png.

    Bits/dim are shown for runs on which the likelihood was measured before. Samples of runs are kept in their folders,
    where `evaluate` finds them, so none is made twice.
    """
    with contextlib.ExitStack() as stack:
        subjects, studies = _studies(plan, stack)
        check_classes(plan.metrics, any(subject.model.spec.classes for subject in subjects))
        in_memory = any(subject.folder is None for subject in subjects)
        place = plan.out if plan.out is not None or in_memory else COMPARISON_FOLDER
        folder = check_folder(place, subjects[0].source(plan.data), plan.held_out)
        keep_freed_memory()
        yield from _choose_threads(plan, subjects[0], stack)
        named = [(subject.name, study) for subject, study in zip(subjects, studies, strict=True)]
        if line := forecast.forecast(forecast.sampling_parts(named, plan.batch_size), FASTER):
            yield Message(line)
        compared, grids = [], []
        try:
            for subject, study in zip(subjects, studies, strict=True):
                items = yield from study.samples(plan.batch_size, f"sampling {subject.name}")
                quality, _ = yield from study.metrics(items, plan.batch_size, plan.metrics or METRICS)
                if text := verdict(quality):
                    yield Message(f"{subject.name}: {text}")
                likelihood = bound = None
                if subject.folder is not None:
                    likelihood = EvaluationResult.load(subject.folder, subject.sha256).likelihood
                if likelihood is not None:
                    bound = ComparedBound.from_result(likelihood, likelihood_items(likelihood.data))
                compared.append(ComparedRun(**vars(quality), parameters=study.model.parameters,
                                            bits_per_dim=bound))  # fmt: skip
                grids.append((subject.name, items[: POINTS if items.ndim == 2 else IMAGES]))
        except KeyboardInterrupt as stop:
            if all(study.kept for study in studies):
                stop.add_note("all samples so far are kept")
            raise
    result = ComparisonResult.from_runs(compared)
    if folder is not None:
        storage.write_text(folder / "compare.json", result.to_json())
        yield Wrote(folder / "compare.json")
        render.write_picture(folder / "compare.png", render.side_by_side(grids, studies[0].model.spec.codec.limits))
        yield Wrote(folder / "compare.png")
    return result


@by_first_process
def _compare_samplers(plan: Compare) -> Generator[Event, None, SamplerComparisonResult]:
    """Measure how far the samples of one model are from the data, over the network evaluations that samplers take."""
    with contextlib.ExitStack() as stack:
        (subject,), (study,) = _studies(plan, stack)
        place = subject.folder if plan.out is None else plan.out
        folder = check_folder(place, subject.source(plan.data), plan.held_out)
        keep_freed_memory()
        yield from _choose_threads(plan, subject, stack)
        try:
            chosen = sampler_list(plan.samplers)
            own = _own_sampler(study.model, chosen) if plan.samplers == "all" else []
            result = yield from _measure_samplers(study, [*chosen, *own], plan.most, plan.batch_size)
        except KeyboardInterrupt as stop:
            if study.kept:
                stop.add_note("all samples so far are kept")
            raise
    if folder is not None:
        storage.write_text(folder / "samplers.json", result.to_json())
        yield Wrote(folder / "samplers.json")
        render.write_picture(folder / "samplers.png", render.samplers_plot(result))
        yield Wrote(folder / "samplers.png")
    return result


def sampler_list(given: str | Sampler | Sequence[str | Sampler] | None) -> list[str | Sampler]:
    """List the samplers that are compared, each once. Raises InputError if a name is unknown.

    In a text, commas stand between samplers and between the options of one.
    """
    if isinstance(given, str):
        given = list(samplers.BY_NAME) if given == "all" else re.split(r",(?![^,:]*=)", given)
    several = [given] if isinstance(given, Sampler) else [*(given or ())]
    names = [one.strip() if isinstance(one, str) else one for one in several]
    distinct = {sampler_title(one): one for one in names if one != ""}
    for one in distinct.values():
        if isinstance(one, str):
            samplers.check_name(one)
    return list(distinct.values())


def _own_sampler(model: Model, names: Sequence[str | Sampler]) -> list[str]:
    """The sampler of the model's config, unless it differs from one of these only in its number of steps."""
    own = samplers.from_name(model.config.sample.sampler)
    same = [name for name in names if isinstance(name, str) and samplers.from_name(name, steps=own.steps) == own]
    return [] if same else [without_steps(model.config.sample.sampler)]


def _studies(options: Compare, stack: contextlib.ExitStack) -> tuple[list[Subject], list[Study]]:
    """A study of each run, all on the same data. Raises InputError before anything is sampled."""
    subjects = [
        open_subject(run, options.device, options.data, stack, f"model {i}", options.net)
        for i, run in enumerate(runs_of(options), start=1)
    ]
    first = subjects[0]
    for subject in subjects[1:]:
        _check_alike(first, subject)
    own = first.model.config.data
    same = all((data.validation, data.fingerprint) == (own.validation, own.fingerprint)
               for data in (subject.model.config.data for subject in subjects))  # fmt: skip
    source, load = first.source(options.data), loader(first.model.spec, first.data_config, own if same else None)
    studies = [plan_study(one, options, count_of(options), source, load, check_folder(one.folder)) for one in subjects]
    return subjects, studies


def _choose_threads(options: Compare, subject: Subject, stack: contextlib.ExitStack) -> Iterator[Event]:
    """Compute with the number of threads that serves, until the stack is closed, and say which."""
    model = subject.model
    work = partial(model.rehearse, options.batch_size)
    if reason := stack.enter_context(cpu_threads(options.threads, model.device, work)).reason:
        yield Message(reason)


def _check_alike(one: Subject, two: Subject) -> None:
    """Raise InputError for two models whose items differ in shape or in coding."""
    texts = [{"items of": "x".join(map(str, spec.shape)), "items as": _coding(spec.codec)}
             for spec in (one.model.spec, two.model.spec)]  # fmt: skip
    for what in texts[0]:
        if texts[0][what] != texts[1][what]:
            raise InputError(
                f"{one.name} makes {what} {texts[0][what]}, but {two.name} {texts[1][what]}; compare runs whose items "
                "are alike"
            )


def _coding(codec: Any) -> str:
    return str(codec.kind) if codec.level else f"{codec.kind} in [{codec.limits[0]:g}, {codec.limits[1]:g}]"


def _measure_samplers(
    study: Study, chosen: Sequence[str | Sampler], most: int | None, batch_size: int
) -> Generator[Event, None, SamplerComparisonResult]:
    whole_run, references = reference_budget(study.model, most), study.references
    notes, budgets = list(references.notes), dict[str, list[StepBudget]]()
    most, T = max(PASSES) if most is None else most, study.model.denoiser.schedule.steps
    if whole_run.steps < T:
        notes.append(
            f"DDPM took {whole_run.steps:,} of its {T:,} steps, as {option('most')} allows; with all it may be better."
        )
    for one in chosen:
        name = sampler_title(one)
        try:
            budgets[name] = list(step_budgets(study.model, one, most))
        except InputError as error:
            notes.append(f"{name} was left out: {error.text}.")
            continue
        if not budgets[name]:
            notes.append(f"{name} was left out: it takes more than {most} passes.")
            del budgets[name]
    if not budgets:
        raise InputError(f"none of these samplers can be tried: {' '.join(notes)}")

    tried_budgets = {f"ddpm, {whole_run.passes:,} passes": [whole_run], **budgets}
    named = [(name, study.with_sampler(one.sampler)) for name, tried in tried_budgets.items() for one in tried]
    if line := forecast.forecast(forecast.sampling_parts(named, batch_size), CHEAPER):
        yield Message(line)
    own = yield from _features(study, whole_run, "ddpm", batch_size)
    train = yield from references.features("training data", references.train.items, batch_size)
    unseen = None
    if references.held_out is not None:
        unseen = yield from references.features("held-out data", references.held_out.items, batch_size)
    others, rest = floor_sets(study.count, train.values, None if unseen is None else unseen.values)
    known = uncertainty.Reference(train.values)
    reference = _point(whole_run, own, known)
    title = references.extractor.title("FD")
    curves: dict[str, tuple[SamplerPoint, ...]] = {}
    for name, tried in budgets.items():
        for budget in tried:
            try:
                found = yield from _features(study, budget, name, batch_size)
                point = _point(budget, found, known)
                curves[name] = (*curves.get(name, ()), point)
                yield Message(f"{name}, {budget.passes} passes: {title} {point.frechet}")
            except InputError as error:  # with so few steps, the samples diverge
                notes.append(f"{name} has no number at {budget.passes} passes: {error.text}.")
    few = sample_size_warning(min(study.count, len(train.values)), references.extractor.width)
    warning = reference_warning(reference.frechet)
    uneven = floor_note((len(others), len(rest)), (study.count, len(known)))
    return SamplerComparisonResult(
        model=study.identity,
        samples=ComparedSamples(study.count, study.spec.seed, study.spec.guidance),
        data=references.names(),
        extractor=ExtractorName(references.extractor.name, references.extractor.width),
        titles=MetricTitles(references.extractor.title("FD"), references.extractor.title("KID")),
        floor=uncertainty.frechet(others, rest),
        reference=ReferencePoint(**vars(reference)),
        needed={name: fewest_passes(points, reference.frechet.value) for name, points in curves.items()},
        curves=curves,
        notes=(*notes, *filter(None, [f"{few}." if few else None, warning, uneven])),
    )


def _features(study: Study, budget: StepBudget, name: str, batch_size: int) -> Generator[Event, None, Features]:
    """The features of samples with this number of steps; samples that are missing are made first."""
    study, title = study.with_sampler(budget.sampler), f"{name}, {budget.passes} passes"
    items = yield from study.samples(batch_size, f"sampling {title}")
    features = yield from study.references.features(title, items, batch_size, study.store.folder / "features")
    return features


def _point(budget: StepBudget, samples: Features, y: uncertainty.Reference) -> SamplerPoint:
    """The distances of one set of samples."""
    x = samples.values
    return SamplerPoint(budget.steps, budget.passes, uncertainty.frechet(x, y), uncertainty.kernel(x, y))
