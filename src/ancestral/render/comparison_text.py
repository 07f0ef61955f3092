"""Runs, samplers and lengths of averages side by side, in words and tables."""

from ancestral.render.evaluation_text import bound_settings, by_chance, sample_settings
from ancestral.results.comparison_result import (
    TOLERANCE,
    AveragingResult,
    ComparedQuantity,
    ComparisonResult,
    SamplerComparisonResult,
)
from ancestral.results.estimate import NORMAL, Estimate
from ancestral.results.result import Table


def comparison_parts(result: ComparisonResult) -> list[Table | str]:
    """What all runs share and in what they differ, the table of the runs, and the notes."""
    runs = result.runs
    settings = [sample_settings(run) for run in runs]
    shared = {name: text for name, text in settings[0].items() if all(one.get(name) == text for one in settings)}
    own = {} if "samples" in shared else {f"samples of {run.run}": sample_settings(run)["samples"] for run in runs}
    bounds = {f"bits/dim of {run.run}": run.bits_per_dim for run in runs if run.bits_per_dim is not None}
    texts = {name: f"{bound.data}: {bound_settings(bound)}" for name, bound in bounds.items()}
    own |= texts if len(set(texts.values())) > 1 or len(texts) < len(runs) else {}
    notes = dict.fromkeys(note for run in runs for note in run.all_notes)
    counts, floor = runs[0].distances.train, runs[0].distances.floor
    uneven = floor_note((floor.items, floor.against), (counts.items, counts.against))
    notes |= {} if uneven is None else {uneven: None}
    chance = next((by_chance(run.class_accuracy) for run in runs if run.class_accuracy is not None), "")
    star = "* better than all others by more than the error of their difference (95 %)"
    columns = ("", *(run.run for run in runs), "floor")
    rows = [_row(one, chance if one.title == "class accuracy" else "") for one in result.quantities()]
    return [Table((), [*shared.items(), *own.items()]), Table(columns, rows), star, *notes]


def _row(quantity: ComparedQuantity, remark: str) -> list[str]:
    """The quantity as a row of a table, a star at the best value."""

    def text(value: Estimate | None) -> str:
        if value is None:
            return "–"
        return {"number": str(value), "percent": value.percent, "count": f"{value.value:,.0f}"}[quantity.form]

    cells = ["* " * (i == quantity.best) + text(value) for i, value in enumerate(quantity.values)]
    title = f"{quantity.title} ({remark})" if remark else quantity.title
    return [title, *cells, "" if quantity.floor is None else text(quantity.floor)]


def sampler_parts(result: SamplerComparisonResult) -> list[Table | str]:
    """A table with a row for each sampler, and the notes."""
    title, reference = result.titles.frechet, result.reference
    head = f"{result.samples.count:,} samples each, to {result.data.train}; the floor is {title} {result.floor}."
    columns = ("sampler", "passes needed", title, result.titles.kernel, "best", "at passes")
    rows = [[f"ddpm, {reference.steps:,} steps", f"{reference.passes:,}", str(reference.frechet),
             str(reference.kernel), "", ""]]  # fmt: skip
    for name, points in result.curves.items():
        first, best = result.needed[name], min(points, key=lambda point: point.frechet.value)
        reached = ["not reached", "", ""]
        if first is not None:
            reached = [str(first.passes), str(first.frechet), str(first.kernel)]
        rows.append([name, *reached, str(best.frechet), str(best.passes)])
    foot = f"Needed: the fewest passes whose {title} is within {result.tolerance:.0%} of DDPM's."
    return [head, Table(columns, rows), foot, *result.notes]


def floor_note(floor: tuple[int, int], samples: tuple[int, int]) -> str | None:
    """Say so if the floor is not of as many items, to as many others, as the distances of the samples are."""
    if floor == samples:
        return None
    return (
        f"The floor is of {floor[0]:,} to {floor[1]:,} items, the distances of samples of {samples[0]:,} to "
        f"{samples[1]:,}: Fréchet distances are larger for fewer items."
    )


def reference_warning(reference: Estimate) -> str | None:
    """Warn if the 95 % interval of the reference distance is wider than the tolerance."""
    error = NORMAL * (reference.error or 0)
    if not error > TOLERANCE * reference.value:
        return None
    return (
        f"The 95 % interval of DDPM's own distance is ± {error / reference.value:.0%}, wider than {TOLERANCE:.0%}: "
        "chance decides in part which sampler reaches it; take more samples."
    )


def averaging_parts(result: AveragingResult) -> list[Table | str]:
    """A table with a row for each length, the verdict and the notes."""
    titles = result.titles
    head = (
        f"Averages up to step {result.end:,}, {result.samples.count:,} samples each by {result.sampler}, seed "
        f"{result.samples.seed}, to {result.data.train}; the floor is {titles.frechet} {result.floor}."
    )
    ema = f"EMA of training, step {result.model.step:,} ({result.ema.length:.3f})"
    points = [*((f"{point.length:g}", point) for point in result.points), (ema, result.ema)]
    rows = [
        [name, str(point.frechet), "best" if point.behind is None else str(point.behind), str(point.kernel)]
        for name, point in points
    ]
    columns = ("averaging length", titles.frechet, "behind the best length", titles.kernel)
    return [head, Table(columns, rows), *averaging_verdict(result), *result.data.notes, *result.notes]


def averaging_verdict(result: AveragingResult) -> list[str]:
    """Say which length is best, which others are as good, how the EMA compares with it, and what was written."""
    best, lines = f"{result.best.length:g}", []
    if len(result.points) > 1:
        others = [f"{point.length:g}" for point in result.points if point is not result.best and point.within_error]
        alike = f"as good within the error (95 %): {', '.join(others)}" if others else "the others are worse"
        lines.append(f"The best of these lengths is {best}; {alike}.")
    ema = result.ema
    behind = ema.behind or Estimate(0)
    outcome = "as good as" if ema.within_error else "worse than" if behind.value > 0 else "better than"
    apart = f"{Estimate(abs(behind.value), behind.error)} {'higher' if behind.value > 0 else 'lower'}"
    clear = "no more" if ema.within_error else "more"
    lines.append(
        f"The EMA of training (decay {result.decay:g}, step {result.model.step:,}) is {outcome} length {best}: its "
        f"{result.titles.frechet} is {apart} on the same noise, {clear} than the error (95 %)."
    )
    return [*lines, f"The average of length {best} is in {result.file}."] if result.file else lines
