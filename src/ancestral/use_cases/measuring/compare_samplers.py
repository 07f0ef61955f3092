"""The samplers of one run over their network evaluations."""

import dataclasses
import re
from collections.abc import Generator, Sequence
from pathlib import Path

from ancestral import samplers
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message
from ancestral.base.options import option
from ancestral.declarations import Compare
from ancestral.measure import time_needed
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.step_budgets import (
    TRIED_PASSES,
    StepBudget,
    reference_budget,
    sampler_title,
    step_budgets,
    without_steps,
)
from ancestral.metrics import uncertainty
from ancestral.model import Model
from ancestral.render import plots
from ancestral.render.result_text import reference_warning
from ancestral.results.comparison_result import SamplerComparisonResult, SamplerPoint, fewest_passes
from ancestral.samplers import Sampler
from ancestral.use_cases import output_files
from ancestral.use_cases.measuring import measurements

CHEAPER = f"a smaller {option('most')} or {option('samples')} is faster"


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


def default_sampler(model: Model, names: Sequence[str | Sampler]) -> list[str]:
    """Return the sampler of the model's config, unless it differs from one of these only in its number of steps."""
    default = samplers.from_name(model.config.sample.sampler)
    same = (samplers.from_name(name, steps=default.steps) == default for name in names if isinstance(name, str))
    return [] if any(same) else [without_steps(model.config.sample.sampler)]


def compare_samplers(
    plan: measurements.Measurements[Compare], names: Sequence[str | Sampler], folder: Path | None
) -> Generator[Event, None, SamplerComparisonResult]:
    """Measure how far the samples of one model are from the data, over the network evaluations that samplers take.

    Args:
        plan: The evaluation of the model.
        names: The samplers.
        folder: Where samplers.json and samplers.png are written; None writes none.
    """
    (evaluation,), size, most = plan.evaluations, plan.batch_size, plan.options.most
    reference_steps, T = reference_budget(evaluation.model, most), evaluation.model.denoiser.schedule.steps
    budgets, notes = _budgets(evaluation, names, max(TRIED_PASSES) if most is None else most)
    if reference_steps.steps < T:
        reason = f"DDPM took {reference_steps.steps:,} of its {T:,} steps, as {option('most')} allows"
        notes = [f"{reason}; with all it may be better.", *notes]
    all_budgets = {f"ddpm, {reference_steps.passes:,} passes": [reference_steps], **budgets}
    named = [(name, evaluation.with_sampler(one.sampler)) for name, choices in all_budgets.items() for one in choices]
    if line := time_needed.forecast(time_needed.sampling_parts(named, size), CHEAPER):
        yield Message(line)
    train, facts = yield from measurements.distance_facts(evaluation, size)

    def point(name: str, budget: StepBudget) -> Generator[Event, None, SamplerPoint]:
        title = f"{name}, {budget.passes} passes"
        features = yield from evaluation.with_sampler(budget.sampler).features(title, size)
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
    facts["notes"] = (*evaluation.references.notes, *notes, *facts["notes"], *([warning] if warning else []))
    result = SamplerComparisonResult(
        **facts,
        reference=dataclasses.replace(reference, sampler="ddpm"),
        needed={name: fewest_passes(points, reference.frechet.value) for name, points in curves.items()},
        curves=curves,
    )
    if folder is not None:
        picture = plots.samplers_plot(result)
        yield from output_files.write_results(folder, {"samplers.json": result, "samplers.png": picture})
    return result


def _budgets(
    evaluation: Evaluation, names: Sequence[str | Sampler], most: int
) -> tuple[dict[str, list[StepBudget]], list[str]]:
    """The numbers of steps at which samplers are tried, by their titles, and which samplers are left out."""
    budgets, notes = dict[str, list[StepBudget]](), []
    for one in names:
        name, reason = sampler_title(one), f"it takes more than {most} passes"
        try:
            budgets[name] = list(step_budgets(evaluation.model, one, most))
        except InputError as error:
            reason = error.text
        if not budgets.get(name):
            notes.append(f"{name} was left out: {reason}.")
            budgets.pop(name, None)
    if not budgets:
        raise InputError(f"none of these samplers can be tried: {' '.join(notes)}")
    return budgets, notes
