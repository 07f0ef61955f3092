"""Folders of image files. The names of a million files are one buffer, never a million objects."""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from ancestral.config.folders import HEIC, READ_HEIC, SUFFIXES, is_output
from ancestral.data.decoding import HEADER, Raw
from ancestral.data.io_errors import read_file
from ancestral.data.lazy_dataset import StoredItems
from ancestral.data.sources.metadata_table import MetadataTable
from ancestral.errors import InputError, one_line
from ancestral.options import option
from ancestral.quantities import are, plural


class NameList(Sequence[bytes]):
    """Names in one buffer, each of which ends in a zero byte."""

    def __init__(self, buffer: bytes) -> None:
        self.buffer = buffer
        self._ends = np.flatnonzero(np.frombuffer(buffer, np.uint8) == 0)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> bytes:  # type: ignore[override]
        begin = int(self._ends[index - 1]) + 1 if index else 0
        return self.buffer[begin : int(self._ends[index])]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.buffer.split(b"\0")[:-1])


class FileFolder(StoredItems):
    """All files below `root` that have one of some suffixes, images or others, in the order of their paths' parts.

    Each immediate sub-folder is a class. If a file lies in `root` itself, it has no class, so there are no labels.
    Classes follow from names alone, so files that cannot be read count. The columns are those of `MetadataTable`.
    """

    def __init__(self, root: Path, suffixes: Iterable[str] = SUFFIXES) -> None:
        """Find the files. Raises InputError if there are none, or as `scan` does."""
        skipped, runs = list[str](), list[str]()
        buffer, labels, tops, heic = bytearray(), array("i"), [b""], 0
        plug_in = [suffix for suffix in HEIC if suffixes is SUFFIXES and suffix not in SUFFIXES]
        for path in scan(root, (*suffixes, *plug_in), skipped, runs):
            if path.lower().endswith(tuple(map(os.fsencode, plug_in))):
                heic += 1
                continue
            buffer += path + b"\0"
            top = path[: path.find(b"/")] if b"/" in path else b""
            if top != tops[-1]:
                tops.append(top)
            labels.append(len(tops) - 2)
        notes = list[tuple[str, str]]()
        if runs:
            names = ", ".join(runs[:3]) + (", ..." if len(runs) > 3 else "")
            text = (
                f"{plural(len(runs), 'folder')} of runs {'is' if len(runs) == 1 else 'are'} among the data and skipped"
            )
            notes.append((f"{text} ({names})", f"{option('out')} keeps runs at another place"))
        if heic:
            notes.append((f"{are(heic, 'HEIC file')} not read", READ_HEIC))
        if not labels:
            if heic:
                raise InputError(f"no images in {root} but HEIC files ({heic:,}): {READ_HEIC}")
            raise InputError(
                f"no images in {root}: looked for {', '.join(SUFFIXES)} there and in sub-folders, and for "
                ".wav, .tar, .parquet and .arrow files"
            )
        classed = b"" not in tops[1:] and min(labels) >= 0
        self.root, self.names = root, NameList(bytes(buffer))
        self.columns = MetadataTable(root, self.names, dict.fromkeys(filter(None, tops)))
        super().__init__(
            one_line(root.resolve().name),
            len(labels),
            torch.from_numpy(np.array(labels)) if classed else None,
            tuple(one_line(os.fsdecode(top)) for top in tops[1:]) if classed else (),
            tuple(skipped),
            tuple(notes),
        )

    def path_of(self, row: int) -> Path:
        """Return the path of a file."""
        return self.root / os.fsdecode(self.names[row])

    def raw(self, row: int) -> Raw:
        """Read the bytes of a file."""
        return read_file(self.path_of(row))

    def head(self, row: int) -> Raw | None:
        """Read the first bytes of a file."""
        return read_file(self.path_of(row), HEADER)

    def name_of(self, row: int) -> str:
        """The file's path from the root."""
        return one_line(self.names[row].decode("utf-8", "surrogateescape"))


def scan(root: Path, suffixes: Iterable[str], skipped: list[str], runs: list[str]) -> Iterator[bytes]:
    """Find all files below `root` with one of some suffixes, in any case, but no hidden ones and no pictures of runs.

    Links to folders are followed, but no folder is entered twice, nor one that contains `root`. `skipped` gets one line
    for each sub-folder that cannot be listed, and `runs` the paths of the folders of runs, which are not entered.

    Yields:
        Paths from the root, in the order of their parts.

    Raises:
        InputError: If `root` itself cannot be listed.
    """
    endings = tuple(map(os.fsencode, suffixes))
    entered = {_identity(os.fsencode(parent)) for parent in root.resolve().parents}

    def below(folder: bytes) -> Iterator[bytes]:
        path = os.path.join(os.fsencode(root), folder[:-1])  # noqa: PTH118 (bytes)
        if folder and is_output(os.fsdecode(path)):
            runs.append(one_line(os.fsdecode(folder[:-1])))
            return
        try:
            identity = _identity(path)
            names = [] if identity in entered else _names(path, endings)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if not folder:
                raise InputError(f"{root} cannot be listed: {reason}") from None
            skipped.append(f"{one_line(os.fsdecode(folder))}: {reason}")
            return
        entered.add(identity)
        for name in sorted(names, key=lambda name: name.rstrip(b"/")):
            if name.endswith(b"/"):
                yield from below(folder + name)
            else:
                yield folder + name

    return below(b"")


def _identity(path: bytes) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 (bytes)
    return status.st_dev, status.st_ino


def _names(path: bytes, endings: tuple[bytes, ...]) -> list[bytes]:
    """The names of sub-folders, with a slash, and of the files that end in one of `endings`."""
    names = list[bytes]()
    with os.scandir(path) as entries:
        for entry in entries:
            is_folder = False
            with suppress(OSError):  # a link that leads to itself
                is_folder = entry.is_dir()
            if not entry.name.startswith(b".") and (is_folder or entry.name.lower().endswith(endings)):
                names.append(entry.name + b"/" * is_folder)
    return names
