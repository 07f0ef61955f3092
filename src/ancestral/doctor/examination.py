"""`examine`: everything about a data set before training, as one `Report`."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ancestral import config as configs
from ancestral import data
from ancestral.config import Config
from ancestral.data import BUILTINS, Dataset, folder
from ancestral.data.convert import Conversion
from ancestral.data.dataset import one_line
from ancestral.doctor import duplicates, findings, sheet
from ancestral.doctor.duplicates import Group
from ancestral.doctor.estimate import Estimate, estimate
from ancestral.doctor.files import look_all, strays
from ancestral.doctor.findings import Finding
from ancestral.doctor.survey import Files, Survey
from ancestral.doctor.values import Values, summary
from ancestral.errors import InputError

T = TypeVar("T")
Watch = Callable[[Iterable[T], str, int], Iterable[T]]
"""Shows progress while handing on what it is given: (things, what they are, how many)."""
SAMPLE = 256
"""Items that the estimate trains on."""


@dataclass(frozen=True)
class Report:
    """What a data set is, and what to mind before training on it."""

    source: str
    preset: str
    image_size: int | None
    count: int
    """Items that training would see."""
    values: Values
    classes: dict[str, int]
    """Items of each class; empty without classes."""
    files: Files | None
    """None of what is no folder of images."""
    duplicates: tuple[tuple[str, tuple[str, ...]], ...]
    """Groups by name: ("same" or "alike", names)."""
    findings: tuple[Finding, ...]
    """The worst first."""
    estimate: Estimate | None
    """None where none was asked for, or where the preset cannot be trained on this data."""
    sheet: Image.Image = field(repr=False, compare=False)
    """The contact sheet."""

    @property
    def trainable(self) -> bool:
        """Whether the preset can be trained on this data as it is."""
        return all(finding.level != "error" for finding in self.findings)

    def to_json(self) -> str:
        """All but the picture, as JSON text."""
        tree = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "sheet"}
        return json.dumps(
            {"trainable": self.trainable, **tree}, default=dataclasses.asdict, indent=2, ensure_ascii=False
        )


@dataclass(frozen=True)
class _Items:
    """What a source came to, whichever it was."""

    name: str
    count: int
    values: Values
    classes: dict[str, int]
    label: Callable[[int], str]
    """Class of an item; "" without classes."""
    title: Callable[[int], str]
    item: Callable[[int], Tensor | None]
    groups: list[Group]
    sample: Dataset
    files: Files | None
    codec_limits: tuple[float, float] | None


def suiting(source: str) -> str:
    """The preset that `ancestral train --data SOURCE` takes."""
    if source in configs.POINTS:
        return "points"
    if source in BUILTINS:
        return source
    return "arrays" if Path(source).suffix.lower() in (".npy", ".npz") else "folder"


def examine(
    source: str,
    config: Config,
    *,
    steps: int = 5,
    threads: int | None = None,
    device: str = "auto",
    watch: "Watch[object] | None" = None,
) -> Report:
    """Examine `source` as a training by `config` would use it, whose own source is not looked at.

    `steps` training steps are measured for the estimate; 0 leaves it out. `threads` decode files, as many as there are
    cores (8 at most) unless given. Raises InputError where nothing can be read.
    """
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))
    path = None if source in BUILTINS else Path(source).expanduser()
    found = folder.find(path) if path is not None and path.is_dir() else []
    if path is not None and found:
        items = _folder(path, found, config, threads or min(8, os.cpu_count() or 1), watch)
    else:
        items = _loaded(source, config)
    told = list(_findings(items, config))
    measured = None
    if steps and not any(finding.level == "error" for finding in told):
        try:
            measured = estimate(config, items.sample, items.count, device, steps)
        except InputError as error:
            told.append(Finding("refused", "error", str(error), f"other options of ancestral train {config.preset}"))
    told += findings.of_training(items.count, items.values, config, measured)
    order = {"error": 0, "warning": 1, "note": 2}
    told.sort(key=lambda finding: order[finding.level])
    return Report(
        source=one_line(source),
        preset=config.preset,
        image_size=config.data.image_size,
        count=items.count,
        values=items.values,
        classes=items.classes,
        files=items.files,
        duplicates=tuple((group.kind, tuple(map(items.title, group.members))) for group in items.groups),
        findings=tuple(told),
        estimate=measured,
        sheet=_sheet(items, told),
    )


def _findings(items: _Items, config: Config) -> Iterator[Finding]:
    if items.files is not None:
        yield from findings.of_files(items.files, config)
    yield from findings.of_duplicates(items.groups, items.title, items.label)
    yield from findings.of_classes(items.classes)
    yield from findings.of_values(items.values)
