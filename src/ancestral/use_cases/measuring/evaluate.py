"""Evaluation of a model: how good its samples are, and how well it knows data."""

import dataclasses
import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral.base import hub
from ancestral.base.arguments import function_name, parameters, takes
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Measured, Message, Work, Wrote
from ancestral.base.options import option
from ancestral.base.registries import METRICS, CustomMetric, MetricName
from ancestral.conditions import LABEL, Condition, Limits, rolling
from ancestral.declarations import DEFAULT_MEMBERS, Evaluate
from ancestral.measure import time_needed
from ancestral.measure.caption_evaluation import CaptionEvaluation
from ancestral.measure.conditional_samples import EnsembleEvaluation
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.lead_times import lead_scores
from ancestral.measure.measured_samples import MetricEvents
from ancestral.metrics.extractors import features
from ancestral.model import Model
from ancestral.render import compositions, html_report, model_card, plots
from ancestral.results import EvaluationResult, SampleMetrics
from ancestral.results import evaluation_result as facts
from ancestral.training.distributed import Distributed
from ancestral.use_cases import model_cards, output_files
from ancestral.use_cases.measuring import evaluated_models, measurements
from ancestral.use_cases.measuring.likelihood import LikelihoodPlan, measure_likelihood, plan_likelihood

OPTIONS_OF_PARTS = {
    "samples": ("sampler", "steps", "guidance", "extractor"),
    "likelihood": ("n", "split", "passes", "variance", "clip", "decoder", "ode", "ode_steps", "probes"),
    "ode": ("ode_steps", "probes"),
}
"""The options of each part of an evaluation."""


@dataclass(frozen=True)
class EvaluatePlan(measurements.Measurements[Evaluate]):
    """An evaluation that is decided; None is what is not measured."""

    folder: Path | None
    samples: Evaluation | None
    ensembles: EnsembleEvaluation | None
    captions: CaptionEvaluation | None
    likelihood: LikelihoodPlan | None


def plan(options: Evaluate) -> EvaluatePlan:
    """Open the model and the data, and decide what is measured.

    Raises:
        InputError: If the model or the data cannot be read or do not fit, or an option is of what is not measured.
    """
    samples = bool(not options.likelihood if options.samples is None else options.samples)
    _check_parts(options, samples)
    processes = Distributed(options.device)
    entry = evaluated_models.open_model(options.model, options, processes.device)
    check_metrics(options.metrics, entry.model.spec.conditions)
    source = entry.source(options.data)
    folder = output_files.check_folder(entry.folder if options.out is None else options.out, source, options.held_out)
    conditional = _measures_conditions(options, bool(entry.model.spec.further), samples)
    if options.rollout is not None:
        rolling(entry.model.spec.further if conditional else {}, options.rollout)
    beside = _beside(entry, options, conditional, processes.device)
    load = evaluated_models.opener([entry, *beside], options, source)
    temporary, evaluation, ensembles, captions = measurements.temporary_folder(processes), None, None, None
    evaluations = list[Evaluation]()
    if samples or conditional:
        evaluation = evaluated_models.plan_evaluation(entry, options, source, load, temporary, folder)
        captions = CaptionEvaluation.of(evaluation, options.metrics or METRICS) if samples else None
        evaluations += [evaluation, *(captions.further if captions is not None else [])] if samples else []
    if evaluation is not None and conditional:
        own = dataclasses.replace(options, sampler=None, steps=None, guidance=None)  # each by what it was trained for
        kept = [output_files.check_folder(other.folder) for other in beside]
        pairs = zip(beside, kept, strict=True)
        others = [evaluated_models.plan_evaluation(one, own, source, load, temporary, out) for one, out in pairs]
        ensembles = EnsembleEvaluation.of(evaluation, options.conditions, options.members, others)
        evaluations += ensembles.evaluations.values()
    return EvaluatePlan(
        options=options,
        processes=processes,
        models=(entry,),
        evaluations=tuple(evaluations),
        folder=folder,
        samples=evaluation if samples else None,
        ensembles=ensembles,
        captions=captions,
        likelihood=plan_likelihood(entry, options, source, load) if options.likelihood else None,
    )


def run(plan: EvaluatePlan) -> Generator[Event, None, EvaluationResult]:
    """Measure the model.

    Yields:
        The progress, and the files written.

    Returns:
        What was measured.
    """
    return measurements.perform(plan, _evaluate(plan))


def _evaluate(plan: EvaluatePlan) -> Generator[Event, None, EvaluationResult]:
    if plan.processes.main and (line := _forecast(plan)):
        yield Message(line)
    for evaluation in plan.evaluations:
        yield from share_sampling(evaluation, plan.processes, plan.batch_size)
    if plan.samples is not None:
        yield from share_features(plan.samples, plan.processes, plan.batch_size)
    return (yield from plan.processes.first(_measure(plan)))


def _measure(plan: EvaluatePlan) -> Generator[Event, None, EvaluationResult]:
    options, (entry,) = plan.options, plan.models
    metrics = bound = items = conditional = None
    if plan.samples is not None:
        items = yield from plan.samples.samples(plan.batch_size)
        captions = None if plan.captions is None else (yield from plan.captions.measure(plan.batch_size))
        measurement = plan.samples.metrics(items, plan.batch_size, options.metrics or METRICS, captions)
        metrics = yield from write_samples(measurement, plan.folder, entry.model.spec.limits)
    if plan.ensembles is not None:
        conditional = yield from plan.ensembles.measure(plan.batch_size)
        if options.rollout is not None:
            leads = yield from lead_scores(plan.ensembles, options.rollout, plan.batch_size)
            conditional = dataclasses.replace(conditional, leads=leads)
        yield Measured(conditional)
        if plan.folder is not None:
            pictures = {"ranks.png": plots.rank_plot(conditional.calibration)}
            if len(entry.model.spec.shape) > 1:
                worst = yield from plan.ensembles.shown(conditional, plan.batch_size)
                pictures["worst.png"] = compositions.truth_and_samples(worst, entry.model.spec.limits)
            yield from output_files.write_results(plan.folder, {facts.CONDITIONAL_FILE: conditional, **pictures})
    if plan.likelihood is not None:
        bound = yield from measure_likelihood(entry, plan.likelihood, plan.batch_size)
        if plan.folder is not None:
            plot = plots.likelihood_plot(bound.over_time)
            yield from output_files.write_results(plan.folder, {facts.LIKELIHOOD_FILE: bound, "likelihood.png": plot})
    if options.out is None and entry.folder is not None:
        yield from _update_run(entry, items)
    return EvaluationResult(metrics, bound, conditional)


def check_metrics(metrics: tuple[MetricName | CustomMetric, ...] | None, conditions: Mapping[str, Condition]) -> None:
    """Raise InputError for no metrics, functions that are none, and those of conditions that samples do not have."""
    for metric in metrics or ():
        if isinstance(metric, str):
            continue
        given = dict.fromkeys(name for name in parameters(metric)[2:] if name in conditions)
        if not takes(metric, None, None, **given):
            further = ", ".join(["items, other items", *(name for name in conditions if name != LABEL)])
            raise InputError(
                f"{option('metrics')} cannot hold {function_name(metric)}: a metric is a name, or a function of "
                f"({further}) that returns a number"
            )
    names = [metric if isinstance(metric, str) else function_name(metric) for metric in metrics or ()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(
            f"{option('metrics')} holds two of the name {twice[0]}: give functions with names of their own"
        )
    if metrics == ():
        raise InputError(f"{option('metrics')} names none; give some of {', '.join(METRICS)}")
    has_words = any(kind.in_sequence for kind in conditions.values())
    for name, needed, there in (("class_accuracy", "classes", LABEL in conditions), ("captions", "words", has_words)):
        if name in (metrics or ()) and not there:
            raise InputError(
                f"{name} cannot be measured of samples without {needed}; leave it out of {option('metrics')}"
            )


def _check_parts(options: Evaluate, samples: bool) -> None:
    """Raise InputError for an option of a part that is not measured."""
    defaults = {field.name: field.default for field in dataclasses.fields(Evaluate)}
    parts = {"samples": samples or bool(options.conditions), "likelihood": options.likelihood, "ode": options.ode}
    idle = [(part, name) for part, is_measured in parts.items() if not is_measured for name in OPTIONS_OF_PARTS[part]]
    for part, name in [*idle, *([] if samples else [("samples", "metrics")])]:
        if getattr(options, name) != defaults[name]:
            raise InputError(
                f"{option(name)} is an option of {part}: give {option(part, True)} too, or leave {option(name)} out"
            )


def _beside(
    entry: evaluated_models.EvaluatedModel, options: Evaluate, measured: bool, device: torch.device
) -> list[evaluated_models.EvaluatedModel]:
    """Open the other models that answer the same conditions. Raises InputError where none are measured."""
    beside = options.beside or ()
    runs = (beside,) if isinstance(beside, str | Path | Model) else tuple(beside)
    if runs and not measured:
        raise InputError(f"{option('beside')} compares samples for conditions, which are not measured: leave it out")
    others = [evaluated_models.open_model(run, options, device, str(i)) for i, run in enumerate(runs, start=1)]
    for other in others:
        evaluated_models.check_same_conditions(entry, other)
    return others


def _measures_conditions(options: Evaluate, has_conditions: bool, samples: bool) -> bool:
    """Whether samples for the conditions of items are measured. Raises InputError for options without effect."""
    measured = has_conditions and (samples if options.conditions is None else options.conditions > 0)
    if not has_conditions and options.conditions:
        raise InputError(
            f"{option('conditions', options.conditions)} is for models with conditions besides the label, and this "
            "one has none: leave it out"
        )
    if not measured and options.members != DEFAULT_MEMBERS:
        raise InputError(
            f"{option('members', options.members)} is the number of samples for each of the {option('conditions')} of "
            "a conditional model, which are not measured: leave it out"
        )
    return measured


# -- samples ----------------------------------------------------------------------------------------------------------


def share_sampling(evaluation: Evaluation, processes: Distributed, batch_size: int) -> Iterator[Event]:
    """Sample this process's part of what is missing.

    Everything goes through files, so a killed evaluation goes on; processes wait for each other at the end.
    """
    missing = evaluation.store.missing(evaluation.count, batch_size)
    processes.wait()  # until all have seen the same files
    mine, total, done = missing[processes.rank :: processes.world], sum(map(len, missing)), 0.0
    for share in evaluation.sample(mine):
        done += share * total / sum(map(len, mine))  # the other processes are about as fast as this one
        if processes.main:
            yield Work("sampling", done, total, "samples")
    processes.wait()


def share_features(evaluation: Evaluation, processes: Distributed, batch_size: int) -> Iterator[Event]:
    """Compute this process's part of all features, which several processes keep in files."""
    references = evaluation.references
    if processes.world > 1 and references.extractor.identity is not None:
        items = yield from evaluation.samples(batch_size)
        for _, part, folder in references.item_sets(items, evaluation.store.folder / "features"):
            pieces = slice(processes.rank, None, processes.world)
            for _ in features(references.extractor, part, batch_size, folder, pieces):
                pass
        processes.wait()


def write_samples(
    measurement: MetricEvents, folder: Path | None, limits: Limits
) -> Generator[Event, None, SampleMetrics]:
    """Measure samples and write the files, if there is a folder."""
    metrics, pairs = yield from measurement
    yield Measured(metrics)
    if folder is not None:
        pictures = {"memorisation.png": compositions.nearest_pairs(pairs, limits)} if pairs else {}
        yield from output_files.write_results(folder, {facts.SAMPLES_FILE: metrics, **pictures})
    return metrics


# -- what is said -----------------------------------------------------------------------------------------------------


def _forecast(plan: EvaluatePlan) -> str | None:
    """Forecast of the time, if it is long."""
    model, size, parts = plan.models[0].model, plan.batch_size, dict[str, float]()
    named = []
    if plan.samples is not None:
        passes = plan.samples.passes
        named.append((f"{plan.samples.count:,} samples of {passes:,} network evaluations", plan.samples))
    if plan.ensembles is not None:
        named += [(f"{one.count:,} {name}", one) for name, one in plan.ensembles.evaluations.items()]
    further = [] if plan.captions is None else plan.captions.further
    named += [(f"{evaluation.count:,} samples for captions", evaluation) for evaluation in further]
    shared = time_needed.sampling_parts(named, size)
    parts |= {name: seconds / plan.processes.world for name, seconds in shared.items()}
    if plan.likelihood is not None:
        items, _, settings = plan.likelihood
        item_seconds = len(items) * time_needed.network_seconds(model, size)
        passes = min(settings.T, settings.passes or settings.T)
        parts[f"bits/dim of {len(items):,} items"] = passes * item_seconds
        if settings.ode_steps is not None and settings.probes is not None:
            gradients = settings.probes or math.prod(model.spec.shape)  # a backward pass takes as long as two forward
            parts["probability flow"] = 2 * settings.ode_steps * (1 + 2 * gradients) * item_seconds
    return time_needed.forecast(
        parts, measurements.FASTER if plan.evaluations else f"fewer {option('passes')} are faster"
    )


def _update_run(entry: evaluated_models.EvaluatedModel, samples: Tensor | None) -> Iterator[Event]:
    """Update the model card, which shows some of the samples, and the report of the run."""
    assert entry.folder is not None
    run = entry.folder.parent
    address = entry.name if hub.is_address(entry.name) else model_card.ADDRESS_PLACEHOLDER
    yield model_cards.update_card(entry.model, run, address, entry.folder, samples)
    report = run / html_report.REPORT
    if html_report.update_report(run):
        yield Wrote(report)
    elif report.exists():
        yield Message(f"{report} is left as it is, since it has no place for this; training writes a new one")
