"""Data sets of the library `datasets`: saved on disk, as parquet or arrow files, or on the Hub; by index or streaming.

The library is an extra, imported where it is used. It hands over images as bytes, and our own decoder makes items of
them, so that every mode and transparency is treated as in a folder.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ancestral.data.convert import Conversion
from ancestral.data.dataset import one_line
from ancestral.data.download import cache
from ancestral.data.indexed import Indexed
from ancestral.data.reading import SourceLost, contents
from ancestral.data.streamed import Sample, Streamed
from ancestral.errors import InputError

SCHEME = "hf://datasets/"
ADDRESS = re.compile(r"hf://datasets/(?P<repo>[^/@\s]+/[^/@\s]+)(@(?P<revision>[^/\s]+))?(/(?P<config>[^/\s]+))?/*")
SAVED = ("dataset_dict.json", "state.json")
"""What `save_to_disk` leaves in a folder, of several splits and of one."""


class HuggingFace(Indexed):
    """The images of a data set, by index; its first column of images, and its first of class labels."""

    def __init__(self, source: str | Path, conversion: Conversion, split: str = "train") -> None:
        """Raises InputError where the library is missing or cannot read it, or like `survey`."""
        rows = _opened(source, split, streaming=False)
        self._image, label, classes = _columns(rows.features, source)
        self._rows = _as_bytes(rows, self._image).select_columns([self._image])
        labels = None
        if label:
            column = rows.select_columns([label]).with_format("arrow")[:].column(0)
            labels = column.fill_null(-1).to_numpy().astype(np.int32)
        super().__init__(_name(source), len(rows), labels, classes, (), conversion)

    def encoded(self, index: int) -> bytes:
        """The bytes of an image."""
        try:
            row = self._rows[index]
        except Exception as error:  # of the library, Arrow or the file system
            raise SourceLost(f"{self.name} cannot be read: {one_line(error)}") from None
        return _bytes(row[self._image])

    def name_of(self, index: int) -> str:
        """Its row."""
        return f"row {index}"


class HuggingFaceStream(Streamed):
    """The same data sets, each shard read from its beginning, without fetching or unpacking the whole first."""

    def __init__(self, source: str | Path, conversion: Conversion, split: str = "train") -> None:
        """Raises InputError like `HuggingFace`."""
        rows = _opened(source, split, streaming=True)
        self._image, self._label, classes = _columns(rows.features, source)
        self._rows = _as_bytes(rows, self._image)
        self._counts: dict[int, int] = {}
        name = _name(source)
        super().__init__(name, rows.num_shards, self._label is not None, classes, conversion)

    def samples(self, shard: int, start: int = 0) -> Iterator[Sample]:
        """The rows from `start`; those before are passed over, which for remote data means that they are fetched."""
        try:
            rows = self._rows.shard(self.shards, shard)
            for row in rows.skip(start) if start else rows:
                label = row[self._label] if self._label else None
                yield _bytes(row[self._image]), -1 if label is None else int(label)
        except SourceLost:
            raise
        except Exception as error:  # of the library, Arrow, the network or the file system
            raise SourceLost(f"{self.name} cannot be read: {one_line(error)}") from None

    def count(self, shard: int) -> int:
        """Counted by reading the labels alone, where there are any."""
        if shard not in self._counts:
            try:
                column = self._rows.shard(self.shards, shard).select_columns([self._label or self._image])
                tables = column.with_format("arrow").iter(batch_size=1000)
                self._counts[shard] = sum(table.num_rows for table in tables)
            except Exception as error:  # as in `samples`
                raise SourceLost(f"{self.name} cannot be read: {one_line(error)}") from None
        return self._counts[shard]


def is_address(source: str) -> bool:
    """Whether this is the address of a data set on the Hub."""
    return source.startswith(SCHEME)


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return any((folder / name).is_file() for name in SAVED)


def _opened(source: str | Path, split: str, streaming: bool) -> Any:
    """A Dataset or IterableDataset of the library. Raises InputError where it cannot be had."""
    try:
        import datasets
    except ImportError:
        raise InputError(
            f"{one_line(source)} is read by the library datasets: pip install 'ancestral[datasets]'"
        ) from None
    try:
        if isinstance(source, str):
            match = ADDRESS.fullmatch(source)
            if match is None:
                raise InputError(
                    f"{one_line(source)} is no address: write hf://datasets/user/name, or with @revision or /config"
                )
            return datasets.load_dataset(
                match["repo"], match["config"], split=split, revision=match["revision"], streaming=streaming
            )
        rows = datasets.load_from_disk(str(source)) if is_saved(source) else None
        if isinstance(rows, datasets.DatasetDict):
            rows = rows[split]
        elif split != "train":
            raise InputError(f"{one_line(source)} has no {split} split: give the path of the {split} data itself")
        if rows is None:
            return _of_files(datasets, source, streaming)
        return rows.to_iterable_dataset(max(1, len(rows.cache_files))) if streaming else rows
    except InputError:
        raise
    except Exception as error:  # of the library, Arrow, the network or the file system
        message = one_line(error) or type(error).__name__
        raise InputError(f"{one_line(source)} cannot be read as a data set: {message}") from None


def _of_files(datasets: Any, source: Path, streaming: bool) -> Any:
    """The .parquet files of a folder, or else its .arrow files; arrow is mapped into memory where it lies."""
    parquet, arrow = (sorted(map(str, source.glob(f"*.{kind}"))) for kind in ("parquet", "arrow"))
    if arrow and not parquet and not streaming:
        return datasets.concatenate_datasets([datasets.Dataset.from_file(file) for file in arrow])
    return datasets.load_dataset(
        "parquet" if parquet else "arrow",
        data_files=parquet or arrow,
        split="train",
        streaming=streaming,
        cache_dir=str(cache() / "datasets"),
    )


def _columns(features: Any, source: str | Path) -> tuple[str, str | None, tuple[str, ...]]:
    """The column of images, that of labels, and the classes' names."""
    import datasets

    features = features or {}
    image = next((name for name, kind in features.items() if isinstance(kind, datasets.Image)), None)
    if image is None:
        raise InputError(
            f"{one_line(source)} has no column of images, only {one_line(', '.join(features)) or 'unknown ones'}: cast "
            "one to datasets.Image and save it again"
        )
    label = next((name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)), None)
    return image, label, tuple(map(one_line, features[label].names)) if label else ()


def _as_bytes(rows: Any, image: str) -> Any:
    """The same rows, whose images are not decoded."""
    import datasets

    return rows.cast_column(image, datasets.Image(decode=False))


def _bytes(image: dict[str, Any] | None) -> bytes:
    """The bytes of an image, which may lie in a file of its own; none of one that is missing."""
    if image is None:
        return b""
    if image["bytes"] is None and image["path"]:
        return contents(Path(image["path"]))
    return image["bytes"] or b""


def _name(source: str | Path) -> str:
    return one_line(source.resolve().name if isinstance(source, Path) else source.removeprefix(SCHEME))
