"""A source as the doctor sees it, whether it is a folder whose files are read one by one or a data set in memory."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ancestral import data
from ancestral.config import DataConfig
from ancestral.data import BUILTINS, InMemoryDataset
from ancestral.data.convert import Conversion
from ancestral.data.io_errors import Unreadable, read_file
from ancestral.data.sources.image_files import SUFFIXES, decode_image, strict_pillow
from ancestral.data.sources.lazy_folder import find_images
from ancestral.data.statistics import evenly_spaced
from ancestral.doctor import duplicates
from ancestral.doctor.duplicates import Group
from ancestral.doctor.files import LOST, look_all, strays
from ancestral.doctor.survey import Files, Survey
from ancestral.doctor.values import Values, summary
from ancestral.errors import InputError, one_line

T = TypeVar("T")
SAMPLE = 256
"""Items that the estimate trains on."""


class Watch(Protocol):
    """Shows progress: hands on `things`, of which there are `count`, and `what` they are."""

    def __call__(self, things: Iterable[T], what: str, count: int) -> Iterable[T]:
        """The things, one by one."""


def unwatched(things: Iterable[T], what: str, count: int) -> Iterable[T]:
    """No progress is shown."""
    return things


@dataclass(frozen=True)
class Source:
    """What was found, items by number from 0."""

    name: str
    count: int
    values: Values
    classes: dict[str, int]
    """Items of each class; empty without classes."""
    label: Callable[[int], str]
    """The class of an item, "" without classes."""
    title: Callable[[int], str]
    """What an item is called: its file, or its number."""
    items: Callable[[Sequence[int]], Tensor]
    """Some items, (N, C, *space), as training is given them, of integers at most 8 bits."""
    groups: list[Group]
    sample: InMemoryDataset
    """A few items, with all classes, for a training that is measured."""
    files: Files | None


def read(source: str, config: DataConfig, threads: int | None = None, watch: Watch = unwatched) -> Source:
    """All that can be said of `source` but for how it would train. Raises InputError where nothing can be read."""
    path = Path(source).expanduser()
    if source not in BUILTINS and path.is_dir():
        files = find_images(path)
        if files:
            return _folder(path, files, config, threads or min(8, os.cpu_count() or 1), watch)
        if seen := [name for name in strays(path) if isinstance(name, str)]:
            _refuse(path, seen)
    return _memory(data.load(source, **config.form))


def _refuse(path: Path, names: Sequence[str]) -> None:
    """Raise InputError for a folder that holds files, but no images."""
    kinds = sorted({Path(name).suffix.lower() for name in names} - {""})
    if ".tar" in kinds or ".parquet" in kinds or ".arrow" in kinds:
        return  # `data.load` knows whether these are data
    more = f" ({', '.join(kinds[:5])}{' ...' if len(kinds) > 5 else ''})" if kinds else ""
    raise InputError(
        f"no images in {one_line(path)}, but {len(names):,} other files{more}, {one_line(names[0])} for example: "
        f"give a folder of {', '.join(SUFFIXES)}, or convert them"
    )


def _folder(root: Path, files: Sequence[Path], config: DataConfig, threads: int, watch: Watch) -> Source:
    if config.channels not in (None, 1, 2, 3, 4):
        raise InputError(f"image files have 1 to 4 channels, not {config.channels}: give 1 (grey), 3 (RGB) or 4 (RGBA)")
    conversion = Conversion(config.image_size, config.channels, config.background, config.bits)
    survey = Survey(files, root, config.image_size)
    for number, seen in enumerate(watch(look_all(files, root, conversion, threads), "images", len(files))):
        survey.add(number, seen)
    for stray in strays(root):
        survey.stray(stray)
    if not survey.kept:
        first = survey.lost[0]
        many = "the one image file" if len(files) == 1 else f"none of the {len(files):,} image files"
        can = "cannot" if len(files) == 1 else "can"
        raise InputError(
            f"{many} in {one_line(root)} {can} be read: {first.name} is {LOST[first.kind]} ({first.reason})"
        )
    values = survey.values()
    settled = Conversion(config.image_size, config.channels or len(values.mean), config.background, 8)
    classes = survey.classes()

    def label(row: int) -> str:
        return survey.label(row) if classes else ""

    def items(rows: Sequence[int]) -> Tensor:
        decoded = []
        with strict_pillow():
            for row in rows:
                with suppress(Unreadable):
                    decoded.append(decode_image(read_file(survey.path(row)), settled))
        return torch.stack(decoded)

    rows = evenly_spaced(SAMPLE, len(survey.kept))
    sizes = {(survey.width[row], survey.height[row]) for row in rows}
    chosen = rows if config.image_size or len(sizes) == 1 else rows[:1]
    sample = _sample(items(chosen), [label(row) for row in chosen], classes, root.resolve().name)
    return Source(
        one_line(root.resolve().name),
        len(survey.kept),
        values,
        classes,
        label,
        survey.name,
        items,
        survey.duplicates(),
        sample,
        survey.report(),
    )


def _memory(dataset: InMemoryDataset) -> Source:
    told = summary(dataset)
    names, labels = list(told.classes), dataset.labels
    rows = evenly_spaced(SAMPLE, len(dataset))

    def label(row: int) -> str:
        return names[int(labels[row])] if labels is not None else ""

    return Source(
        dataset.name,
        len(dataset),
        told.values,
        told.classes,
        label,
        lambda row: f"item {row}",
        lambda rows: dataset.items[list(rows)],
        _groups(dataset.items),
        _sample(dataset.items[rows], [label(row) for row in rows], told.classes, dataset.name),
        None,
    )


def _groups(items: Tensor) -> list[Group]:
    """Duplicates of items in memory: of the same numbers, and of images of bytes also to the eye."""
    digests = np.fromiter((_digest(item) for item in items), dtype=np.uint64, count=len(items))
    if items.dtype != torch.uint8 or items.ndim != 4 or items.shape[1] not in (1, 3):
        return duplicates.same(digests)
    parts = [duplicates.thumbnails(items[start : start + 1024]) for start in range(0, len(items), 1024)]
    return duplicates.find(np.concatenate(parts), digests)


def _digest(item: Tensor) -> int:
    return int.from_bytes(hashlib.blake2b(item.numpy().tobytes(), digest_size=8).digest(), "little")


def _sample(items: Tensor, labels: Sequence[str], classes: dict[str, int], name: str) -> InMemoryDataset:
    number = {label: i for i, label in enumerate(classes)}
    numbers = torch.tensor([number[label] for label in labels]) if classes else None
    return InMemoryDataset(items, numbers, tuple(classes), name)
