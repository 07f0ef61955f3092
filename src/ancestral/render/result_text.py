"""The text of a result: tables and lines for a terminal and a notebook."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ancestral.base.arguments import short_source
from ancestral.base.options import option
from ancestral.base.quantities import NORMAL, Estimate, format_bytes, plural
from ancestral.base.result import Table, parts_of
from ancestral.config.request import ImageRef
from ancestral.config.run_files import RUN_PARTS
from ancestral.config.sweep_values import SweptValue, value_texts
from ancestral.model.metadata import CONDITION_KINDS
from ancestral.render.data_text import data_parts
from ancestral.render.evaluation_text import (
    bound_settings,
    by_chance,
    conditional_parts,
    evaluation_parts,
    likelihood_parts,
    metrics_parts,
    sample_settings,
)
from ancestral.results import comparison_result as comparison
from ancestral.results.run_result import (
    CleaningResult,
    ConditionInfo,
    FileState,
    ModelInfo,
    RunFiles,
    RunList,
    RunSummary,
    TrainingResult,
)
from ancestral.results.sampling_result import EditedCell, EditingResult, SamplingResult

MEANS_SHOWN, VALUES_SHOWN, RANGES_SHOWN = 8, 10, 6
"""The largest numbers of channels whose means are shown, of values of a condition, and of channels with their range."""


def _training(result: TrainingResult[Any]) -> list[Table | str]:
    rows = [
        ("run", result.folder),
        ("preset", result.preset),
        ("steps", f"{result.step:,} of {result.steps:,}{', stopped' if result.stopped else ''}"),
        ("loss", "–" if result.loss is None else f"{result.loss:#.4g}"),
    ]
    if (losses := result.validation) is not None:
        text = f"{losses.validation:#.4g} at step {losses.step:,}, of training items {losses.training:#.4g}"
        rows.append(("validation loss", text))
    if (measured := result.distance) is not None:
        rows.append(("distance of samples", f"{Estimate(measured.distance, measured.error)} at step {measured.step:,}"))
    if result.best is not None:
        rows.append(("best model", str(result.best)))
    if result.plateau is not None:
        rows.append(("plateau", f"step {result.plateau:,}"))
    return [Table((), [*rows, ("time", f"{result.seconds:.0f} s"), ("parameters", f"{result.parameters:,}")])]


def _sampling(result: SamplingResult) -> list[Table | str]:
    label = f", label {result.label}" if result.label is not None else ""
    scale = result.guidance
    scales = f"{scale:g}" if not isinstance(scale, dict) else " ".join(f"{name}={s:g}" for name, s in scale.items())
    guidance = f", guidance {scales}" if scale != 1 else ""
    index = f", index {' '.join(map(str, result.index))}" if result.index is not None else ""
    models = ", then ".join((result.model, *result.then))
    rows = [("samples", f"{result.count:,} of {models}, seed {result.seed}{index}{label}{guidance}")]
    rows += [(f"given {name}", _values(texts)) for name, texts in result.given.items()]
    rows += [(f"avoiding {name}", _values(texts)) for name, texts in result.avoid.items()]
    rows += [*_swept(result.sweep), ("sampler", result.sampler), ("files", ", ".join(result.paths))]
    return [Table((), rows), *filter(None, [channel_means(result)])]


def _editing(result: EditingResult) -> list[Table | str]:
    index = f", index {' '.join(map(str, result.index))}" if result.index is not None else ""
    rows = [
        ("edit", f"{result.task} with {result.model}, {result.count:,} samples, seed {result.seed}{index}"),
        ("method", f"{result.method}: {result.reason}"),
        ("network evaluations", f"{result.evaluations:,} of each sample, {result.seconds:.1f} s in all"),
    ]
    rows += [(f"given {name}", _values(texts)) for name, texts in result.given.items()]
    rows += [(f"avoiding {name}", _values(texts)) for name, texts in result.avoid.items()]
    rows += _swept(result.sweep)
    if result.deviation is not None:
        rows.append(("standard deviation", f"{result.deviation:.3g} on average where the image may change"))
    table = Table((), [*rows, ("files", ", ".join(result.paths))])
    return [table, *([_cells(result.cells)] if result.cells else []), *result.notes]


def _cells(cells: Sequence[EditedCell]) -> Table:
    """The cells of a table of edits, with their figures."""

    def figure(value: float | None) -> str:
        return "–" if value is None else f"{value:.3g}"

    rows = [
        (", ".join(f"{name} {value}" for name, value in cell.values.items()), cell.method, f"{cell.evaluations:,}",
         figure(cell.deviation), figure(cell.misfit))
        for cell in cells
    ]  # fmt: skip
    return Table(("cell", "method", "evaluations", "standard deviation", "root mean square of A x - y"), rows)


def _swept(sweep: Mapping[str, Sequence[SweptValue]] | None) -> list[tuple[str, str]]:
    """The row of a table of samples with the values of its columns, and of its rows."""
    axes = [f"{name} {_values(value_texts(values))}" for name, values in (sweep or {}).items()]
    return [("sweep", " by ".join(axes))] if axes else []


def _values(values: Sequence[ImageRef | str]) -> str:
    """The values of a condition in a request, of images the names of their files."""
    names = [value.name if isinstance(value, ImageRef) else value for value in values[:VALUES_SHOWN]]
    return ", ".join([*names, *["..."] * (len(values) > VALUES_SHOWN)])


def channel_means(result: SamplingResult) -> str:
    """Compare the means of several channels in one line; "" for one channel, and for more than `MEANS_SHOWN`.

    Each channel of fields has its own units.
    """
    if result.channels and result.data_means:
        rows = zip(result.channels, result.means, result.data_means, strict=True)
        shown = [f"{name} {mean:.4g} (training data {data:.4g})" for name, mean, data in rows][:MEANS_SHOWN]
        return f"mean of each channel: {'; '.join(shown)}{'; ...' * (len(result.channels) > MEANS_SHOWN)}"
    if not 1 < len(result.data_means) <= MEANS_SHOWN:
        return ""
    rgb = result.codec == "uint8" and len(result.data_means) == 3
    title = "mean colour (0-255)" if rgb else "mean of each channel"
    return f"{title}: samples {_numbers(result.means)}; training data {_numbers(result.data_means)}"


def _numbers(values: Sequence[float]) -> str:
    """Numbers with the decimal places that give the largest of them four digits, and at least one."""
    places = max(1, 3 - math.floor(math.log10(max(map(abs, values)) or 1)))
    return " ".join(f"{value:.{places}f}" for value in values)


MISSING = {"shared": "the same in all items, and in samples", "random": "at random; samples are complete"}


def _model(info: ModelInfo) -> list[Table | str]:
    ranges = ", ".join(f"{low:g} to {high:g}" for low, high in (info.ranges or (info.limits,))[:RANGES_SHOWN])
    ranges += ", ..." * (len(info.ranges) > RANGES_SHOWN) + " by channel" * bool(info.ranges)
    rate = "" if info.rate is None else f", {info.rate:,} Hz"
    trained = f"{info.step:,} of {info.steps:,} steps of {info.batch_size} on {info.source}, seed {info.seed}"
    if info.initial:
        trained += f", from the weights of {info.initial}"
    if info.average is not None:
        trained += f"; an average of length {info.average:g}, chosen after training"
    if info.distilled:
        trained += f", distilled {info.distilled}"
    if info.preset == "imported":
        trained = f"elsewhere; imported from {info.source}"
    if info.preset == "plain-loop":  # config.PLAIN_LOOP
        trained = f"{info.step:,} steps of a custom loop"
    rows = {
        "model": info.model,
        "preset": info.preset,
        "trained": trained,
        "item": f"{'x'.join(map(str, info.shape))}, {info.codec} from {ranges}{rate}",
        **({"channels": ", ".join(info.channels)} if info.channels else {}),
        **({"scale": f"{info.scale}; nothing is clipped"} if info.scale else {}),
        **({"missing values": MISSING[info.gaps]} if info.gaps else {}),
        **({"periodic": ", ".join(info.periodic)} if info.periodic else {}),
        **({"latents": info.latents} if info.latents else {}),
        "classes": ", ".join(info.classes) or "none",
        **{f"given {name}": _condition(one) for name, one in info.conditions.items()},
        "network": f"{info.parameters:,} parameters; {info.network}",
        "schedule": f"{info.schedule}, T = {info.timesteps}; a_T = {info.final_signal:.2g}",
        "target": info.target + (", x_0 clipped in the loss" if info.clip else ""),
        **({"objective": info.objective} if info.objective != "denoising" else {}),
        **({"sampler": info.sampler} if info.sampler else {}),
        **({"best model": str(info.best)} if info.best else {}),
        "mean": " ".join(map(str, info.mean)) or "not known",
        "file": f"{format_bytes(info.file_bytes)}, written by ancestral {info.version}",
    }
    return [Table((), list(rows.items()))]


def _files(result: RunFiles) -> list[Table | str]:
    rows = [(file.path, format_bytes(file.size), file.run, _state(file)) for file in result.files]
    run = f"the run {result.run}" if result.run else "a run without an identity"
    bad = [f"{plural(len(result.problems), 'file')} damaged or of another run: {'; '.join(result.problems)}"]
    return [Table(("file", "on disk", "of run", "state"), rows), *(bad if result.problems else [f"{run} is whole"])]


def _state(file: FileState) -> str:
    return file.note or ("whole" if not file.problem else "PROBLEM")


def _condition(info: ConditionInfo) -> str:
    """A condition in words, those of its kind."""
    facts = {name: value for name, value in vars(info).items() if value is not None and name not in ("kind", "further")}
    return str(CONDITION_KINDS[info.kind](**facts, **(info.further or {})))


def _runs(result: RunList) -> list[Table | str]:
    runs, titles = result.runs, ("run", "data", "preset", "step", "loss", "FD", "on disk", "changed")
    if not runs:
        return [f"there are no runs in {result.folder}", *result.problems]
    kinds = [kind for kind in dict.fromkeys([*RUN_PARTS.values(), "other"]) if any(run.parts.get(kind) for run in runs)]
    sizes = [[run.name, *(format_bytes(run.parts.get(kind, 0)) for kind in kinds)] for run in runs]
    best = [f"{run.name}, best by measured distance: {run.best}" for run in runs if run.best is not None]
    return [Table(titles, [*map(_run, runs)]), Table(("on disk", *kinds), sizes), *best, *result.problems]


def _run(run: RunSummary) -> list[str]:
    return [
        run.name,
        short_source(run.data),
        run.preset,
        f"{run.step:,} of {run.steps:,}",
        "–" if run.loss is None else f"{run.loss:#.4g}",
        "–" if run.distance is None else f"{run.distance} {run.distance_name}",
        format_bytes(run.size),
        run.changed[:16].replace("T", " "),
    ]


def _cleaning(result: CleaningResult) -> list[Table | str]:
    if not result.removals:
        return [f"there is nothing to remove from the finished runs in {result.folder}", *result.problems]
    rows = [(removal.path, format_bytes(removal.size)) for removal in result.removals]
    total = sum(removal.size for removal in result.removals)
    amount, how = f"{format_bytes(total)} ({total:,} bytes)", option("yes", True)
    last = f"removed {amount}" if result.removed else f"would remove {amount}; nothing was removed: {how} removes it"
    return [Table(("path", "on disk"), rows), last, *result.problems]


# -- comparisons -------------------------------------------------------------------------------------------------------


def comparison_parts(result: comparison.ComparisonResult) -> list[Table | str]:
    """Format what all runs share and in what they differ, the table of the runs, and the notes."""
    runs = result.runs
    settings = [sample_settings(run) for run in runs]
    shared = {name: text for name, text in settings[0].items() if all(one.get(name) == text for one in settings)}
    rows = {} if "samples" in shared else {f"samples of {run.run}": sample_settings(run)["samples"] for run in runs}
    bounds = {f"bits/dim of {run.run}": run.bits_per_dim for run in runs if run.bits_per_dim is not None}
    texts = {name: f"{bound.data}: {bound_settings(bound)}" for name, bound in bounds.items()}
    rows |= texts if len(set(texts.values())) > 1 or len(texts) < len(runs) else {}
    uneven = floor_note(runs[0].sets["floor"], runs[0].sets["value"])
    notes = dict.fromkeys([*(note for run in runs for note in run.all_notes), *filter(None, [uneven])])
    chance = next((by_chance(run.class_accuracy) for run in runs if run.class_accuracy is not None), "")
    star = "* better than all others by more than the error of their difference (95 %)"
    columns = ("", *(run.run for run in runs), "floor")
    cells = [_row(one, chance if one.title == "class accuracy" else "") for one in result.quantities()]
    return [Table((), [*shared.items(), *rows.items()]), Table(columns, cells), star, *notes]


def _row(quantity: comparison.ComparedQuantity, remark: str) -> list[str]:
    """The quantity as a row of a table, a star at the best value."""

    def text(value: Estimate | None) -> str:
        if value is None:
            return "–"
        return {"number": str(value), "percent": value.percent, "count": f"{value.value:,.0f}"}[quantity.form]

    cells = ["* " * (i == quantity.best) + text(value) for i, value in enumerate(quantity.values)]
    title = f"{quantity.title} ({remark})" if remark else quantity.title
    return [title, *cells, "" if quantity.floor is None else text(quantity.floor)]


def sampler_parts(result: comparison.SamplerComparisonResult) -> list[Table | str]:
    """A table with a row for each sampler, and the notes."""
    title, reference = result.titles.frechet, result.reference
    head = f"{result.samples.count:,} samples each, to {result.data.train}; the floor is {title} {result.floor}."
    columns = ("sampler", "passes needed", title, result.titles.kernel, "best", "at passes")
    rows = [[f"ddpm, {reference.steps:,} steps", f"{reference.passes:,}", str(reference.frechet),
             str(reference.kernel), "", ""]]  # fmt: skip
    for name, points in result.curves.items():
        first, best = result.needed[name], min(points, key=lambda point: point.frechet.value)
        reached = [str(first.passes), str(first.frechet), str(first.kernel)] if first else ["not reached", "", ""]
        rows.append([name, *reached, str(best.frechet), str(best.passes)])
    foot = f"Needed: the fewest passes whose {title} is within {result.tolerance:.0%} of DDPM's."
    return [head, Table(columns, rows), foot, *result.notes]


def floor_note(floor: tuple[int, ...], samples: tuple[int, ...]) -> str | None:
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
    if not error > comparison.REACHED_WITHIN * reference.value:
        return None
    return (
        f"The 95 % interval of DDPM's own distance is ± {error / reference.value:.0%}, wider than "
        f"{comparison.REACHED_WITHIN:.0%}: chance decides in part which sampler reaches it; take more samples."
    )


def averaging_parts(result: comparison.AveragingResult) -> list[Table | str]:
    """A table with a row for each length, the verdict and the notes."""
    titles, samples = result.titles, result.samples
    head = (
        f"Averages up to step {result.end:,}, {samples.count:,} samples each by {result.sampler}, seed {samples.seed}, "
        f"to {result.data.train}; the floor is {titles.frechet} {result.floor}."
    )
    ema = f"EMA of training, step {result.model.step:,} ({result.ema.length:.3f})"
    points = [*((f"{point.length:g}", point) for point in result.points), (ema, result.ema)]
    rows = [
        [name, str(point.frechet), "best" if point.behind is None else str(point.behind), str(point.kernel)]
        for name, point in points
    ]
    columns = ("averaging length", titles.frechet, "behind the best length", titles.kernel)
    return [head, Table(columns, rows), *averaging_verdict(result), *result.data.notes, *result.notes]


def averaging_verdict(result: comparison.AveragingResult) -> list[str]:
    """Say which length is best, which others are as good, how the EMA compares with it, and what was written."""
    best, lines = f"{result.best.length:g}", []
    if len(result.points) > 1:
        others = [f"{point.length:g}" for point in result.points if point is not result.best and point.within_error]
        alike = f"as good within the error (95 %): {', '.join(others)}" if others else "the others are worse"
        lines.append(f"The best of these lengths is {best}; {alike}.")
    ema, behind = result.ema, result.ema.behind or Estimate(0)
    outcome = "as good as" if ema.within_error else "worse than" if behind.value > 0 else "better than"
    lines.append(
        f"The EMA of training (decay {result.decay:g}, step {result.model.step:,}) is {outcome} length {best}: its "
        f"{result.titles.frechet} is {Estimate(abs(behind.value), behind.error)} "
        f"{'higher' if behind.value > 0 else 'lower'} on the same noise, "
        f"{'no more' if ema.within_error else 'more'} than the error (95 %)."
    )
    return [*lines, f"The average of length {best} is in {result.file}."] if result.file else lines


for text in (_sampling, _editing, _model, _files, _runs, _cleaning, data_parts, evaluation_parts, metrics_parts,
             conditional_parts, likelihood_parts, comparison_parts, sampler_parts, averaging_parts):  # fmt: skip
    parts_of.register(text)
parts_of.register(TrainingResult, _training)
