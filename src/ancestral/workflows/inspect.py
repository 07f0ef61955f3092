"""Inspection of a data set before training: what it is, what is wrong with it, and what training on it costs."""

import dataclasses
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ancestral import config as configs
from ancestral import data
from ancestral.config import Config, DataConfig, by_size
from ancestral.config.image_size import plain_image_size
from ancestral.config.output_folders import check_outside
from ancestral.declarations import PRINTED, Inspect
from ancestral.device import keep_freed_memory, pick_device
from ancestral.errors import InputError, one_line
from ancestral.events import Event, Message, Wrote
from ancestral.inspection import findings
from ancestral.inspection.items import inspect_items
from ancestral.inspection.training_cost import step_memory, training_cost
from ancestral.inspection.value_statistics import class_counts
from ancestral.options import command_line, option
from ancestral.render import compositions
from ancestral.render.data_text import LEVEL_MARKS
from ancestral.results.data_report import DataReport, FileStatistics, Finding
from ancestral.storage import write_text
from ancestral.threads import cpu_threads
from ancestral.training import Trainer

SAMPLE = 256
"""Number of items on which training steps are measured."""


@dataclass(frozen=True)
class InspectPlan:
    """An inspection that is decided.

    Attributes:
        source: The data.
        name: What they are called in the config.
        root: The path that the source may be; None for data that are built in or given from Python.
        config: The config of the training run that is judged.
        steps: The number of training steps that are measured.
        threads: The number of threads that decode files; None chooses it.
        device: The device on which steps are measured.
        sheet: The file of the contact sheet, if any.
        json: The file of the report, if any.
    """

    source: Any
    name: str
    root: Path | None
    config: Config
    steps: int
    threads: int | None
    device: str
    sheet: Path | None
    json: Path | None


def plan(options: Inspect) -> InspectPlan:
    """Decide an inspection. Raises InputError if options are out of range, or a file could not be written."""
    given = not isinstance(options.source, str | Path)
    name = configs.FROM_PYTHON if given else str(options.source)
    config = configs.base_config(options.config, options.source if options.config is None else None)
    config = config.with_net(options.net)
    for option_name, least in (("steps", 0), ("threads", 1)):
        if (value := getattr(options, option_name)) is not None and value < least:
            raise InputError(f"{option(option_name)} must be at least {least}, not {value}")
    json = None if options.json in (None, PRINTED) else Path(options.json)
    if json is not None and (json.suffix.lower() != ".json" or json.is_dir()):
        raise InputError(f"{option('json')} writes .json files, not {json}")
    root = None if given or name in data.BUILTINS else Path(name).expanduser()
    return InspectPlan(
        source=options.source,
        name=name,
        root=root,
        config=config.with_settings(source=name, **options.settings),
        steps=options.steps,
        threads=options.threads,
        device=options.device,
        sheet=None if options.out is None else _sheet_path(Path(options.out), "data" if given else name, root),
        json=json,
    )


def run(plan: InspectPlan) -> Generator[Event, None, DataReport]:
    """Inspect the data as training would use them.

    Yields:
        The progress of reading files, and the files written.

    Returns:
        The report, with the contact sheet.

    Raises:
        InputError: If no item can be read.
    """
    config, name, given = plan.config, plan.name, plan.name == configs.FROM_PYTHON
    kind = pick_device(plan.device).type
    keep_freed_memory()
    opened = yield from data.opening(plan.source, memory=0, **config.data.form)
    if not len(opened):
        raise InputError(f"{opened.name} holds no items that can be read")
    items = yield from inspect_items(opened, plan.threads or opened.threads)
    dataset, values, files = items.data, items.values, items.files
    classes = class_counts(dataset.labels, dataset.classes)
    found = [
        *findings.unreadable_finding(items.unreadable),
        *(() if files is None else findings.file_findings(files, dataset.name_of, config.data)),
        *(Finding("reading", "note", text, advice) for text, advice in dataset.notes),
        *findings.duplicate_findings(items, classes),
        *findings.class_findings(classes),
        *findings.flat_finding(
            [dataset.name_of(row) for row in items.flat.nonzero()[0].tolist()], config.data.background
        ),
        *findings.value_findings(values),
    ]
    chosen = by_size.explain(config, values.shape, kind)
    config, cost = by_size.complete(config, values.shape, kind), None
    if plan.steps and all(finding.level != "error" for finding in found):
        try:
            trainer = Trainer(config, dataset.sample(SAMPLE), plan.device)
            memory = step_memory(trainer, len(dataset))
            work = partial(trainer.rehearse, max(1, memory.largest(trainer.gradients.micro_batch)))
            with cpu_threads(config.runtime.threads, trainer.device, work):  # as training does
                cost = training_cost(trainer, len(dataset), memory, plan.steps, chosen)
        except InputError as error:
            advice = f"see {command_line('train', config.preset, help=True)}"
            found.append(Finding("refused", "error", error.text, advice))
    found += findings.training_findings(len(dataset), config, cost)
    trainable = all(finding.level != "error" for finding in found)
    report = DataReport(
        trainable=trainable,
        source=one_line(dataset.name if given or Path(name).name in ("", "..") else name),
        preset=config.preset,
        image_size=None if config.data.image_size is None else plain_image_size(config.data.image_size),
        count=len(dataset),
        values=values,
        classes=classes,
        files=None if files is None else _file_statistics(files, config.data),
        findings=tuple(sorted(found, key=lambda finding: list(LEVEL_MARKS).index(finding.level))),
        cost=cost,
        rate=dataset.rate,
        command=configs.command(plan.config) if trainable and not given else "",
    )
    report = dataclasses.replace(report, sheet=compositions.contact_sheet(report, dataset))
    path, json = plan.sheet, plan.json
    if path is not None and (sheet := report.sheet) is not None:
        yield from _write(path, lambda: compositions.write_sheet(path, sheet))
    if json is not None:
        yield from _write(json, lambda: write_text(json, report.to_json()))
    return report


def _file_statistics(files: NDArray[np.void], config: DataConfig) -> FileStatistics:
    """The statistics of files, of which `files` are the FACTS."""

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


def _sheet_path(out: Path, name: str, root: Path | None) -> Path:
    """Where the contact sheet is written. Raises InputError for a place where it cannot be, or among the data."""
    if not out.is_dir() and out.suffix.lower() not in ("", ".png"):
        raise InputError(f"the contact sheet is a .png, not {out.suffix}; give {option('out')} a .png or a folder")
    if out.is_dir() or not out.suffix:
        out /= f"{name if root is None else root.resolve().stem or 'data'}.png"
    check_outside(out, root)
    compositions.check_sheet(out)
    return out
