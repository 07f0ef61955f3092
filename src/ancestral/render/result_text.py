"""The text of a result: tables and lines for a terminal and a notebook."""

import math
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from ancestral.arguments import short_source
from ancestral.options import option
from ancestral.quantities import format_bytes
from ancestral.render.comparison_text import averaging_parts, comparison_parts, sampler_parts
from ancestral.render.data_text import data_parts
from ancestral.render.evaluation_text import evaluation_parts, likelihood_parts, metrics_parts
from ancestral.results.model_info import ModelInfo
from ancestral.results.result import Result, Table
from ancestral.results.run_list import PARTS, CleaningResult, RunList, RunSummary
from ancestral.results.sampling_result import SamplingResult
from ancestral.results.training_result import TrainingResult

MAX_CHANNELS = 8
"""The largest number of channels whose means are shown."""


@singledispatch
def result_parts(result: Result) -> Sequence[Table | str]:
    """Make the tables and lines of a result by its type; of other types all values by name."""
    return [Table((), [(name, str(value)) for name, value in vars(result).items()])]


def _training(result: TrainingResult[Any]) -> list[Table | str]:
    rows = {
        "run": result.folder,
        "preset": result.preset,
        "steps": f"{result.step:,} of {result.steps:,}{', stopped' if result.stopped else ''}",
        "loss": "–" if result.loss is None else f"{result.loss:#.4g}",
    }
    if (losses := result.validation) is not None:
        own = f"{losses.validation:#.4g} at step {losses.step:,}"
        rows["validation loss"] = f"{own}, of training items {losses.training:#.4g}"
    rows |= {"time": f"{result.seconds:.0f} s", "parameters": f"{result.parameters:,}"}
    return [Table((), [*rows.items()])]


def _sampling(result: SamplingResult) -> list[Table | str]:
    label = f", label {result.label}" if result.label is not None else ""
    guidance = f", guidance {result.guidance:g}" if result.guidance != 1 else ""
    index = f", index {' '.join(map(str, result.index))}" if result.index is not None else ""
    rows = [("samples", f"{result.count:,} of {result.model}, seed {result.seed}{index}{label}{guidance}")]
    rows += [("sampler", result.sampler), ("files", ", ".join(result.paths))]
    return [Table((), rows), *filter(None, [channel_means(result)])]


def channel_means(result: SamplingResult) -> str:
    """Compare the means of several channels in one line; "" for one channel, and for more than `MAX_CHANNELS`."""
    if not 1 < len(result.data_means) <= MAX_CHANNELS:
        return ""
    rgb = result.codec == "uint8" and len(result.data_means) == 3
    title = "mean colour (0-255)" if rgb else "mean of each channel"
    return f"{title}: samples {_numbers(result.means)}; training data {_numbers(result.data_means)}"


def _numbers(values: Sequence[float]) -> str:
    """Numbers with the decimal places that give the largest of them four digits, and at least one."""
    places = max(1, 3 - math.floor(math.log10(max(map(abs, values)) or 1)))
    return " ".join(f"{value:.{places}f}" for value in values)


def _model(info: ModelInfo) -> list[Table | str]:
    low, high = info.limits
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
        trained = f"{info.step:,} steps of a loop of your own"
    rows = {
        "model": info.model,
        "preset": info.preset,
        "trained": trained,
        "item": f"{'x'.join(map(str, info.shape))}, {info.codec} from {low:g} to {high:g}{rate}",
        "classes": ", ".join(info.classes) or "none",
        "network": f"{info.parameters:,} parameters; {info.network}",
        "schedule": f"{info.schedule}, T = {info.timesteps}; a_T = {info.final_signal:.2g}",
        "target": info.target + (", x_0 clipped in the loss" if info.clip else ""),
        **({"sampler": info.sampler} if info.sampler else {}),
        "mean": " ".join(map(str, info.mean)) or "not known",
        "file": f"{format_bytes(info.file_bytes)}, written by ancestral {info.version}",
    }
    return [Table((), list(rows.items()))]


def _runs(result: RunList) -> list[Table | str]:
    runs, titles = result.runs, ("run", "data", "preset", "step", "loss", "FD", "on disk", "changed")
    if not runs:
        return [f"there are no runs in {result.folder}", *result.problems]
    kinds = [kind for kind in dict.fromkeys([*PARTS.values(), "other"]) if any(run.parts.get(kind) for run in runs)]
    sizes = [[run.name, *(format_bytes(run.parts.get(kind, 0)) for kind in kinds)] for run in runs]
    return [Table(titles, [*map(_run, runs)]), Table(("on disk", *kinds), sizes), *result.problems]


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


for text in (_sampling, _model, _runs, _cleaning, data_parts, evaluation_parts, metrics_parts,
             likelihood_parts, comparison_parts, sampler_parts, averaging_parts):  # fmt: skip
    result_parts.register(text)
result_parts.register(TrainingResult, _training)
