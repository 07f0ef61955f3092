"""Inspection of a data set before training: what it is, what is wrong with it, and what training on it costs."""

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ancestral import config as configs
from ancestral import data
from ancestral.base.device import check_threads, keep_freed_memory
from ancestral.base.errors import InputError, one_line
from ancestral.base.events import Event, Message, Wrote
from ancestral.base.options import option
from ancestral.base.storage import write_text
from ancestral.config import Config, DataConfig
from ancestral.config.data_config import plain_image_size
from ancestral.config.run_files import check_outside
from ancestral.data.lazy_dataset import SizesDifferError
from ancestral.data.scales import proposed_scale
from ancestral.data.spec import GapsDifferError
from ancestral.declarations import Inspect
from ancestral.measure import findings
from ancestral.measure.condition_findings import condition_findings, condition_statistics, fault_findings
from ancestral.measure.items import InspectedItems, class_counts, inspect_items
from ancestral.render import compositions
from ancestral.render.data_text import LEVEL_MARKS
from ancestral.results.data_report import DataReport, FileStatistics, Finding
from ancestral.use_cases.training.judged_cost import judged_cost

PROBE_SIZE = 64
"""Pixels to which images of different sizes are brought where no size is given, to look at all else."""


@dataclass(frozen=True)
class InspectPlan:
    """An inspection that is decided.

    Attributes:
        options: What the user gave.
        name: What the data are called in the config.
        config: The config of the training run that is judged.
        sheet: The file of the contact sheet, if any.
        json: The file of the report, if any.
    """

    options: Inspect
    name: str
    config: Config
    sheet: Path | None
    json: Path | None


def plan(options: Inspect) -> InspectPlan:
    """Decide an inspection. Raises InputError if settings do not fit, or a file could not be written."""
    name = str(options.source) if isinstance(options.source, str | Path) else configs.FROM_PYTHON
    config = configs.base_config(options.config, options.source if options.config is None else None)
    config = config.with_net(options.net).with_settings(source=name, **options.settings)
    json = None if options.json is None else Path(options.json)
    if json is not None and json.is_dir():
        raise InputError(f"{json} is a folder; give {option('json')} the name of a file")
    return InspectPlan(options, name, config, _sheet_path(options.out, name), json)


def run(plan: InspectPlan) -> Generator[Event, None, DataReport]:
    """Inspect the data as training would use them.

    Yields:
        The progress of reading files, and the files written.

    Returns:
        The report, with the contact sheet.

    Raises:
        InputError: If no item can be read.
    """
    options, name, from_python = plan.options, plan.name, plan.name == configs.FROM_PYTHON
    if options.threads is not None:
        check_threads(options.threads)
    keep_freed_memory()
    rows, faults = list[Finding](), list[InputError]()
    source = yield from _opened(options, plan.config, rows, faults)
    items = yield from inspect_items(source, options.threads or source.threads)
    duplicates = [*findings.duplicate_findings(items, _classes(items), plan.config.data.leave_out_copies)]
    if plan.config.data.leave_out_copies:
        items = items.without(items.copies)
    dataset, files = items.data, items.files
    values = dataclasses.replace(items.values, channels=dataset.spec.titles)
    classes = _classes(items)
    rows += _findings(items, plan.config, classes, faults, duplicates)
    config, cost = judged_cost(options, plan.config, dataset, values.shape, rows)
    rows += findings.training_findings(len(dataset), config, cost)
    trainable = all(row.level != "error" for row in rows)
    report = DataReport(
        trainable=trainable,
        source=one_line(dataset.name if from_python or Path(name).name in ("", "..") else name),
        preset=config.preset,
        image_size=None if config.data.image_size is None else plain_image_size(config.data.image_size),
        count=len(dataset),
        values=values,
        classes=classes,
        files=None if files is None else _file_statistics(files, config.data),
        findings=tuple(sorted(rows, key=lambda row: list(LEVEL_MARKS).index(row.level))),
        cost=cost,
        rate=dataset.rate,
        conditions=condition_statistics(dataset),
        command=_command(plan.config, dataset) if trainable and not from_python else "",
    )
    report = dataclasses.replace(report, sheet=compositions.contact_sheet(report, dataset))
    path, json = plan.sheet, plan.json
    if path is not None and (sheet := report.sheet) is not None:
        yield from _write(path, lambda: compositions.write_sheet(path, sheet))
    if json is not None:
        yield from _write(json, lambda: write_text(json, report.to_json()))
    return report


def _opened(
    options: Inspect, config: Config, rows: list[Finding], faults: list[InputError]
) -> Generator[Event, None, data.Dataset]:
    """Open the data as training would, and add what is wrong; images that differ in size become those of a probe."""
    form = config.data.form
    try:
        source = yield from data.opening(options.source, memory=0, faults=faults, **form)
    except SizesDifferError as error:  # which sizes, the report says
        text, _, advice = error.text.rpartition(": ")
        rows.append(Finding("sizes", "error", text, advice))
        form |= {"image_size": PROBE_SIZE}
        source = yield from data.opening(options.source, memory=0, faults=faults, **form)
    except GapsDifferError as error:
        text, _, advice = error.text.partition(": ")
        rows.append(Finding("gaps", "error", text, advice))
        source = yield from data.opening(options.source, memory=0, faults=faults, **{**form, "gaps": "random"})
    if not len(source):
        raise InputError(f"{source.name} holds no items that can be read")
    return source


def _command(config: Config, dataset: data.Dataset) -> str:
    """The command that trains on the data, with the scale that is proposed for fields unless the user named one."""
    proposed = dataset.spec.grid is not None and config.data.scale is None
    return configs.command(config) + (f" --scale {proposed_scale(dataset)}" if proposed else "")


def _classes(items: InspectedItems) -> dict[str, int]:
    return class_counts(items.data.labels, items.data.classes)


def _findings(
    items: InspectedItems,
    config: Config,
    classes: Mapping[str, int],
    faults: Sequence[InputError],
    duplicates: Sequence[Finding],
) -> list[Finding]:
    """What was found of the items and of what they are conditioned on."""
    dataset, files, of_conditions = items.data, items.files, [*condition_findings(items.data)]
    condition_texts = {row.text for row in of_conditions}  # these name the items too
    flat = [dataset.name_of(row) for row in items.flat.nonzero()[0].tolist()]
    return [
        *findings.unreadable_finding(items.unreadable),
        *(() if files is None else findings.file_findings(files, dataset.name_of, config.data)),
        *(Finding("reading", "note", text, advice) for text, advice in dataset.notes if text not in condition_texts),
        *fault_findings(faults),
        *of_conditions,
        *duplicates,
        *findings.class_findings(classes),
        *findings.flat_finding(flat, config.data.background),
        *findings.value_findings(items.values),
        *findings.channel_findings(dataset),
        *(() if config.data.scale is not None else findings.scale_finding(dataset)),
        *(
            ()
            if config.data.held_out is not None and config.data.held_out.by_blocks
            else findings.order_finding(dataset)
        ),
    ]


def _file_statistics(files: NDArray[np.void], config: DataConfig) -> FileStatistics:
    """The statistics of files, of which `files` are the FILE_FACTS."""

    def ends(sides: NDArray[np.integer]) -> tuple[int, int, int]:
        return int(sides.min()), int(np.median(sides)), int(sides.max())

    return FileStatistics(
        bytes=int(files["bytes"].sum()),
        height=ends(files["height"]),
        width=ends(files["width"]),
        cropped=float(findings.crop_shares(files, config).mean()),
        transparent=int(files["transparent"].sum()),
    )


def _write(path: Path, write: Callable[[], None]) -> Iterator[Event]:
    """Write a file; where that fails, say so, since the report is not lost by it."""
    try:
        write()
    except OSError as error:
        yield Message(f"{error}; the report follows")
        return
    yield Wrote(path)


def _sheet_path(out: str | Path | None, name: str) -> Path | None:
    """Where the contact sheet is written. Raises InputError for a place where it cannot be, or among the data."""
    if out is None:
        return None
    path, from_python, built_in = Path(out), name == configs.FROM_PYTHON, name in data.BUILTINS
    root = None if from_python or built_in else Path(name).expanduser()
    if not path.is_dir() and path.suffix.lower() not in ("", ".png"):
        raise InputError(f"the contact sheet is a .png, not {path.suffix}; give {option('out')} a .png or a folder")
    if path.is_dir() or not path.suffix:
        stem = name if built_in else root.resolve().stem if root is not None else ""
        path /= f"{stem or 'data'}.png"
    check_outside(path, root)
    compositions.check_sheet(path)
    return path
