"""Data sets of the library `datasets`, by index: saved on disk, as parquet or arrow files, or on the Hub.

The library is an extra, imported where it is used. It returns images as bytes, and our own decoder decodes them, so
that every mode and transparency is treated as in a folder.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ancestral.data.download import cache
from ancestral.data.io_errors import SourceLost, read_file
from ancestral.data.lazy_dataset import StoredItems
from ancestral.errors import InputError, MissingSplitError, install_command, one_line

SCHEME = "hf://datasets/"
ADDRESS = re.compile(r"hf://datasets/(?P<repo>[^/@\s]+/[^/@\s]+)(@(?P<revision>[^/\s]+))?(/(?P<config>[^/\s]+))?/*")
SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes into a folder, of several splits and of one."""


class HuggingFaceRows(StoredItems):
    """The first column of images of a data set, and its first of class labels."""

    def __init__(self, source: str | Path, split: str = "train") -> None:
        """Open the data set. Raises InputError if the library is missing or cannot read it."""
        rows = _open(source, split)
        import datasets

        features = rows.features or {}
        self._image, label = (
            next((name for name, kind in features.items() if isinstance(kind, type_)), None)
            for type_ in (datasets.Image, datasets.ClassLabel)
        )
        if self._image is None:
            raise InputError(
                f"{source} has no column of images, only {', '.join(features) or 'unknown ones'}: cast "
                "one to datasets.Image and save it again"
            )
        images = rows.cast_column(self._image, datasets.Image(decode=False))  # as bytes
        self._rows = images.select_columns([self._image])
        name = one_line(source.resolve().name if isinstance(source, Path) else source.removeprefix(SCHEME))
        super().__init__(name, len(rows))
        if label:
            column = rows.select_columns([label]).with_format("arrow")[:].column(0)
            self.labels = torch.from_numpy(column.fill_null(-1).to_numpy().astype(np.int32))
            self.classes = tuple(map(one_line, features[label].names))

    def raw(self, row: int) -> bytes:
        """Read the bytes of an image, which may lie in a file of its own; none of a missing one."""
        try:
            image = self._rows[row][self._image]
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


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((folder / name).is_file() for name in SAVED)


def _open(source: str | Path, split: str) -> Any:
    """A Dataset of the library. Raises InputError."""
    try:
        import datasets
    except ImportError:
        raise InputError(f"{source} is read by the library datasets: {install_command('datasets')}") from None
    try:
        if isinstance(source, str):
            match = ADDRESS.fullmatch(source)
            if match is None:
                raise InputError(f"{source} is no address: write hf://datasets/user/name, or with @revision or /config")
            rows = datasets.load_dataset(match["repo"], match["config"], revision=match["revision"])
        elif is_saved(source):
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
