"""The report as a page of text: what the data is, what is wrong with it, what a training will take."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ancestral.doctor.cost import Estimate
from ancestral.doctor.examination import Report
from ancestral.doctor.findings import plural, size
from ancestral.doctor.survey import Files
from ancestral.doctor.values import Values

NAMES, CLASSES, BAR = 5, 20, 30
"""Names told of a finding, classes told, characters of the longest bar."""
MARKS = {"error": ("✗", "bold red"), "warning": ("!", "bold yellow"), "note": ("·", "bold blue")}


def page(report: Report) -> Group:
    """The page. Nothing that a file is called is read as markup."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    values = report.values
    shape = " x ".join(map(str, values.shape)) or "different sizes"
    yield Text(
        f"{report.source}: {plural(report.count, 'item')} of {shape} for the preset {report.preset}", style="bold"
    )
    yield Text()
    if report.files is not None:
        yield _rows(_of_files(report.files))
        yield Text()
    yield _rows(value_rows(report.values, report.duplicates))
    yield Text()
    if report.classes:
        yield _classes(report.classes)
        yield Text()
    if report.estimate is not None:
        yield _rows(_of_estimate(report.estimate, report.count))
        yield Text()
    yield from _findings(report)


def _rows(rows: Iterator[tuple[str, str]]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True, min_width=13)  # so that the tables stand in line
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def _of_files(files: Files) -> Iterator[tuple[str, str]]:
    lost = f", {len(files.lost):,} named below not" if files.lost else ""
    yield "files", f"{files.read:,} of {files.found:,} read, {size(files.bytes)}{lost}"
    yield "formats", _counts(files.formats)
    yield "modes", _counts(files.modes)
    if set(files.depths) != {"8"}:
        yield "bits", _counts(files.depths)
    if len(files.sizes) > 1:
        (least_w, middle_w, most_w), (least_h, middle_h, most_h) = files.width, files.height
        span = f"{least_w} x {least_h} to {most_w} x {most_h}, median {middle_w} x {middle_h}"
        yield "sizes", f"{span}; most often {_counts(dict(list(files.sizes.items())[:3]))}"
        yield "shapes", f"{_counts(files.ratios)}; the centre square keeps {1 - files.cropped:.0%}"
    else:
        yield "sizes", _counts(files.sizes)
    if files.transparent:
        yield "transparent", f"{files.transparent:,}"
    if files.others or files.hidden:
        hidden = {"hidden": files.hidden} if files.hidden else {}
        yield "passed over", _counts({**dict(list(files.others.items())[:8]), **hidden})


def value_rows(values: Values, duplicates: Sequence[tuple[str, tuple[str, ...]]] = ()) -> Iterator[tuple[str, str]]:
    """What the numbers are, as (name, text)."""
    names = {1: ("grey",), 3: ("red", "green", "blue")}.get(len(values.mean), ())
    if not values.shape or len(values.shape) != 3 or not names:
        names = tuple(f"{'channel' if len(values.shape) > 1 else 'axis'} {i}" for i in range(len(values.mean)))
    means = zip(names, values.mean, values.std, strict=True)
    shown = [f"{name} {_number(mean)} ± {_number(std)}" for name, mean, std in means]
    yield "mean ± std", ", ".join(shown[:6]) + (f", and {len(shown) - 6} more" if len(shown) > 6 else "")
    ends = f"; {values.bottom:.1%} at 0, {values.top:.1%} at 255" if values.top is not None else ""
    yield "range", f"{_number(values.low)} to {_number(values.high)} ({values.dtype}){ends}"
    if values.colourfulness is not None:
        grey = f"; {values.grey:,} without any colour" if values.grey else ""
        yield "colourfulness", f"{values.colourfulness:.0f} (0 grey, 33 moderate, 109 extreme){grey}"
    for kind, what in (("same", "duplicates"), ("alike", "look-alikes")):
        groups = [names for of, names in duplicates if of == kind]
        if groups:
            yield what, f"{plural(len(groups), 'group')} of {sum(map(len, groups)):,} items"


def _of_estimate(estimate: Estimate, count: int) -> Iterator[tuple[str, str]]:
    passes = estimate.steps * estimate.batch_size / count
    yield "training", f"{estimate.steps:,} steps of {estimate.batch_size:,}: each item is seen {_number(passes)} times"
    yield "network", f"{estimate.parameters:,} parameters, {estimate.dtype}, on {estimate.device}"
    how = f"{estimate.measured} step{'s' if estimate.measured > 1 else ''} measured"
    if estimate.scaled_from < estimate.batch_size:
        how += f" of {estimate.scaled_from} items and scaled up"
    yield "time", f"about {_clock(estimate.seconds)}, {estimate.seconds_per_step:.3g} s a step ({how})"
    parts = f"weights and optimiser {size(estimate.weights)}, data {size(estimate.data)}"
    yield "memory", f"about {size(estimate.memory)} ({parts}) beside the program; {size(estimate.available)} are free"
    yield "on the disk", f"{size(estimate.checkpoint)} a checkpoint"


def _classes(classes: Mapping[str, int]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", overflow="ellipsis", no_wrap=True, max_width=40)
    table.add_column(justify="right")
    table.add_column(no_wrap=True)
    most = max(1, *classes.values())
    for name, count in list(classes.items())[:CLASSES]:
        table.add_row(Text(name), f"{count:,}", Text("█" * max(1 if count else 0, round(BAR * count / most)), "cyan"))
    if len(classes) > CLASSES:
        table.add_row(Text(f"and {len(classes) - CLASSES:,} more"), "", "")
    return table


def _findings(report: Report) -> Iterator[Text]:
    if not report.findings:
        yield Text("Nothing to mind.", style="bold green")
        return
    for finding in report.findings:
        mark, style = MARKS[finding.level]
        line = Text.assemble((f"{mark} {finding.level}: ", style), finding.text, "; ", (finding.advice, "italic"))
        yield line
        for name, remark in list(finding.names.items())[:NAMES]:
            yield Text(f"    {name}: {remark}")
        if len(finding.names) > NAMES:
            yield Text(f"    and {len(finding.names) - NAMES:,} more; --json lists all", style="dim")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())


def _number(value: float) -> str:
    return (
        f"{value:,.0f}"
        if value.is_integer() or abs(value) >= 1000
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.3g}"
    )


def _clock(seconds: float) -> str:
    """A time for people."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
