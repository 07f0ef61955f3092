"""Data sets of the library `datasets`, by index: saved on disk, as parquet or arrow files, or on the Hub.

The library is an extra, imported where it is used. It returns images as bytes, and our own decoder decodes them, so
that every mode and transparency is treated as in a folder.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ancestral.base.errors import InputError, MissingSplitError, install_command, one_line
from ancestral.config.data_sources import SOURCES
from ancestral.data.files import SourceLost, cache, read_file
from ancestral.data.lazy_dataset import NamedClasses, StoredItems
from ancestral.data.place import Place

DATASET_SCHEME = SOURCES["rows"].scheme
DATASET_ADDRESS = re.compile(
    r"hf://datasets/(?P<repo>[^/@\s]+/[^/@\s]+)(@(?P<revision>[^/\s]+))?(/(?P<config>[^/\s]+))?/*"
)


class HuggingFaceImages(StoredItems):
    """A column of images of a data set."""

    def __init__(self, rows: Any, column: str, name: str) -> None:
        """Set up; images are read by index."""
        import datasets

        self._column = column
        images = rows.cast_column(column, datasets.Image(decode=False))  # as bytes
        self._rows = images.select_columns([column])
        super().__init__(name, len(rows))

    def raw(self, row: int) -> bytes:
        """Read the bytes of an image, which may lie in a file of its own; none of a missing one."""
        try:
            image = self._rows[row][self._column]
        except Exception as error:  # of the library, Arrow or the file system
            raise SourceLost(f"{self.name} cannot be read: {error}") from None
        if image is None:
            return b""
        if image["bytes"] is None and image["path"]:
            return read_file(Path(image["path"]))
        return image["bytes"] or b""

    def name_of(self, row: int) -> str:
        """The row of an item."""
        return f"row {row}"


class HuggingFaceRows(HuggingFaceImages):
    """The first column of images of a data set, and its first of class labels. Other columns may be conditions."""

    def __init__(self, source: str | Path, split: str = "train") -> None:
        """Open the data set. Raises InputError if the library is missing or cannot read it."""
        rows = _open(source, split)
        import datasets

        features = rows.features or {}
        image, label = (
            next((name for name, kind in features.items() if isinstance(kind, type_)), None)
            for type_ in (datasets.Image, datasets.ClassLabel)
        )
        if image is None:
            raise InputError(
                f"{source} has no column of images, only {', '.join(features) or 'unknown ones'}: cast "
                "one to datasets.Image and save it again"
            )
        name = one_line(source.resolve().name if isinstance(source, Path) else source.removeprefix(DATASET_SCHEME))
        super().__init__(rows, image, name)
        others = [name for name in features if name not in (image, label)]
        self.columns = _Columns(rows, others, self.name)
        if label:
            labels = _classes(rows, label)
            self.labels, self.classes = labels.numbers.int(), labels.names


class _Columns(Mapping[str, Any]):
    """The other columns of a data set, each read when it is looked up: numbers are floats, and text is a class."""

    def __init__(self, rows: Any, names: list[str], origin: str) -> None:
        self._rows, self._names, self._origin = rows, names, origin

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        import datasets

        kind = self._rows.features[name]
        if isinstance(kind, datasets.Image):
            return HuggingFaceImages(self._rows, name, f"{one_line(name)} of {self._origin}")
        if isinstance(kind, datasets.ClassLabel):
            return _classes(self._rows, name)
        values = _arrow(self._rows, name).to_pylist()
        return [float(value) if type(value) is int else value for value in values]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _arrow(rows: Any, name: str) -> Any:
    """A column as Arrow has it."""
    return rows.select_columns([name]).with_format("arrow")[:].column(0)


def _classes(rows: Any, name: str) -> NamedClasses:
    """A column of class labels; -1 where there is none."""
    numbers = _arrow(rows, name).fill_null(-1).to_numpy().astype(np.int64)
    return NamedClasses(torch.from_numpy(numbers), tuple(map(one_line, rows.features[name].names)))


def open_rows(place: Place) -> HuggingFaceRows:
    """Open a data set of the library, on this machine or on the Hub."""
    return HuggingFaceRows(place.at if isinstance(place.at, Path) else place.source, place.split)


def _open(source: str | Path, split: str) -> Any:
    """A Dataset of the library. Raises InputError."""
    try:
        import datasets
    except ImportError:
        raise InputError(f"{source} is read by the library datasets: {install_command('datasets')}") from None
    try:
        if isinstance(source, str):
            match = DATASET_ADDRESS.fullmatch(source)
            if match is None:
                raise InputError(f"{source} is no address: write hf://datasets/user/name, or with @revision or /config")
            rows = datasets.load_dataset(match["repo"], match["config"], revision=match["revision"])
        elif any((source / name).is_file() for name in SOURCES["rows"].marks):  # `save_to_disk` wrote it
            rows = datasets.load_from_disk(str(source))
        elif parquet := sorted(map(str, source.glob("*.parquet"))):
            rows = datasets.load_dataset("parquet", data_files=parquet, cache_dir=str(cache() / "datasets"))
        else:  # they are mapped into memory where they lie
            files = sorted(map(str, source.glob("*.arrow")))
            rows = datasets.concatenate_datasets(list(map(datasets.Dataset.from_file, files)))
        splits = rows if isinstance(rows, datasets.DatasetDict) else {"train": rows}
        if split not in splits:
            names = ", ".join(splits)
            raise MissingSplitError(f"{source} has no {split} split, only {names}: give the {split} data themselves")
        return splits[split]
    except InputError:
        raise
    except Exception as error:  # of the library, Arrow, the network or the file system
        message = str(error) or type(error).__name__
        raise InputError(f"{source} cannot be read as a data set: {message}") from None
