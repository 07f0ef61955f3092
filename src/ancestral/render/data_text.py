"""A data set before training in words and tables: statistics, findings and the cost of training."""

from collections.abc import Iterator, Mapping, Sequence

from ancestral.base.options import option
from ancestral.base.quantities import format_bytes, format_duration, plural
from ancestral.base.result import Table
from ancestral.config.run_files import TrainingCost
from ancestral.measure.findings import memory_remedy
from ancestral.results.data_report import ConditionStatistics, DataReport, FileStatistics, ValueStatistics

NAMES_SHOWN, CLASSES_SHOWN, BAR = 5, 20, 30
"""The numbers of names of a finding and of classes that are shown, and the length of the longest bar."""
NAME_WIDTH = 14
"""Characters of the names of rows, so that the tables line up."""
LEVEL_MARKS = {"error": "✗", "warning": "!", "note": "·"}
"""The levels of findings, the worst first."""


def data_parts(report: DataReport) -> list[Table | str]:
    """Tables and lines of text that show the report."""
    title = f"{report.source}: {plural(report.count, 'item')} of {' x '.join(map(str, report.values.shape))}"
    if report.rate is not None:
        title += f" at {report.rate:,} Hz"
    parts: list[Table | str] = [f"{title} for the preset {report.preset}", ""]
    sections: list[Sequence[tuple[str, ...]]] = [
        [] if report.files is None else [*_file_rows(report.files)],
        [*value_rows(report.values)],
        _class_rows(report.classes),
        [*condition_rows(report.conditions)],
        [] if report.cost is None else [*cost_rows(report.cost, report.count)],
    ]
    for rows in filter(None, sections):
        parts += [Table((), [(name.ljust(NAME_WIDTH), *texts) for name, *texts in rows]), ""]
    for finding in report.findings:
        parts.append(f"{LEVEL_MARKS[finding.level]} {finding.level}: {finding.text}; {finding.advice}")
        parts += [f"    {name}: {remark}" for name, remark in list(finding.names.items())[:NAMES_SHOWN]]
        if len(finding.names) > NAMES_SHOWN:
            parts.append(f"    and {len(finding.names) - NAMES_SHOWN:,} more; {option('json')} lists all")
    if not report.findings:
        parts.append("No problems were found.")
    return [*parts, "", f"Train on it:  {report.command}"] if report.command else parts


def _file_rows(files: FileStatistics) -> Iterator[tuple[str, str]]:
    """The statistics of the files as (name, text)."""
    low, middle, high = (f"{h}x{w}" for h, w in zip(files.height, files.width, strict=True))
    sizes = low if low == high else f"{low} to {high}, median {middle}"
    yield "files", format_bytes(files.bytes)
    yield "height x width", f"{sizes}; the crop keeps {1 - files.cropped:.0%}" if files.cropped else sizes


def value_rows(values: ValueStatistics) -> Iterator[tuple[str, str]]:
    """Format the statistics of the items as (name, text)."""
    names = {1: ("grey",), 3: ("red", "green", "blue")}.get(len(values.mean), ())
    if values.channels:
        names = values.channels
    elif len(values.shape) != 3 or not names:
        axis = "channel" if len(values.shape) > 1 else "axis"
        names = tuple(f"{axis} {i}" for i in range(len(values.mean)))
    means = zip(names, values.mean, values.std, strict=True)
    texts = [f"{name} {_number(mean)} ± {_number(std)}" for name, mean, std in means]
    yield "mean ± std", ", ".join(texts[:6]) + (f", and {len(texts) - 6} more" if len(texts) > 6 else "")
    yield "range", f"{_number(values.low)} to {_number(values.high)} ({values.dtype})"
    if values.grey:
        yield "no colour", f"{values.grey:,} of {values.count:,}"


def condition_rows(conditions: Mapping[str, ConditionStatistics]) -> Iterator[tuple[str, str]]:
    """Format the statistics of the conditions as (name, text)."""
    for name, one in conditions.items():
        if one.classes:
            counts = {label: count for label, count in one.classes.items() if count}
            most, least = (pick(counts, key=lambda label: counts[label]) for pick in (max, min))
            text = plural(len(counts), "class")
            text += f", {most} with {counts[most]:,} items to {least} with {counts[least]:,}"
        elif one.text is not None:
            low, middle, high = one.text.tokens
            text = f"{plural(one.text.captions, 'caption')}, at most {one.text.most} an item, of {low} to {high} "
            text += f"tokens (median {middle}); {plural(one.text.different_words, 'word')}, "
            text += plural(one.text.vocabulary, "piece")
            text += f"; cut for {plural(one.text.cut, 'item')}" if one.text.cut else ""
        elif one.shape:
            text = f"{one.kind} of {' x '.join(map(str, one.shape))}"
        else:
            numbers = [f"{_number(mean)} ± {_number(std)}" for mean, std in zip(one.mean, one.std, strict=True)]
            ends = [f", {_number(low)} to {_number(high)}" for low, high in zip(one.low, one.high, strict=True)]
            ends = ends or [""] * len(numbers)
            text = "; ".join(number + end for number, end in list(zip(numbers, ends, strict=True))[:6])
            text += f"; and {len(numbers) - 6} more numbers" if len(numbers) > 6 else ""
        text += f", made by {one.made_by}" if one.made_by else ""
        yield name, text + (f"; missing for {plural(one.missing, 'item')}" if one.missing else "")


def cost_summary(cost: TrainingCost) -> str:
    """Format time and memory in a line, with what helps if the memory does not suffice."""
    items = "" if cost.scaled_from == cost.batch_size else f" on {cost.scaled_from} items"
    line = (
        f"about {format_duration(cost.seconds)} for {plural(cost.steps, 'step')} of {cost.seconds_per_step:.3g} s "
        f"(measured{items}), {format_bytes(cost.memory)} of memory beside the program; "
        f"{format_bytes(cost.available)} are free"
    )
    return line if cost.fits else f"{line}: too little. {memory_remedy(cost).capitalize()}"


def cost_rows(cost: TrainingCost, count: int) -> Iterator[tuple[str, str]]:
    """Format the cost of training on `count` items as (name, text)."""
    epochs = _number(cost.steps * cost.batch_size / count)
    yield "training", f"{cost.steps:,} steps of {cost.batch_size:,}: each item is seen {epochs} times"
    network = "" if cost.network is None else f"{cost.network}; "
    yield "network", f"{network}{cost.parameters:,} parameters, {cost.dtype}, on {cost.device}"
    if cost.chosen is not None:
        yield "settings", cost.chosen
    scaled = f" of {cost.scaled_from} items and scaled up" if cost.scaled_from < cost.batch_size else ""
    how = f"{plural(cost.measured, 'step')} measured{scaled}"
    yield "time", f"about {format_duration(cost.seconds)}, {cost.seconds_per_step:.3g} s a step ({how})"
    parts = f"weights and optimiser {format_bytes(cost.weights)}, data {format_bytes(cost.data)}"
    free = f"{format_bytes(cost.available)} are free"
    yield "memory", f"about {format_bytes(cost.memory)} ({parts}) beside the program; {free}"
    averages = f", snapshots of averages {format_bytes(cost.snapshots)} in all" if cost.snapshots else ""
    yield "on the disk", f"{format_bytes(cost.weights)} a checkpoint{averages}"


def _class_rows(classes: Mapping[str, int]) -> list[tuple[str, str, str]]:
    most, first = max(1, *classes.values(), 1), list(classes.items())[:CLASSES_SHOWN]
    width = max((len(f"{count:,}") for _, count in first), default=0)
    bars = ["█" * max(1 if count else 0, round(BAR * count / most)) for _, count in first]
    rows = [(name[:40], f"{count:,}".rjust(width), bar) for (name, count), bar in zip(first, bars, strict=True)]
    return [*rows, (f"and {len(classes) - CLASSES_SHOWN:,} more", "", "")] if len(classes) > CLASSES_SHOWN else rows


def _number(value: float) -> str:
    if value.is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
