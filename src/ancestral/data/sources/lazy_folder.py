"""A folder of images, read by index. The names of a million files are one buffer, never a million objects."""

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from ancestral.config.file_kinds import HEIC, READ_HEIC, SUFFIXES
from ancestral.config.output_folders import is_output
from ancestral.data.convert import Conversion
from ancestral.data.decoding import HEADER
from ancestral.data.io_errors import read_file
from ancestral.data.lazy_dataset import LazyDataset
from ancestral.errors import InputError, one_line
from ancestral.options import option


class NameList:
    """Names in one buffer, each of which ends in a zero byte."""

    def __init__(self, buffer: bytes) -> None:
        self.buffer = buffer
        self._ends = np.flatnonzero(np.frombuffer(buffer, np.uint8) == 0)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> bytes:
        begin = int(self._ends[index - 1]) + 1 if index else 0
        return self.buffer[begin : int(self._ends[index])]


class FileIndex:
    """The names of all images, or of files with other suffixes, below `root`, in the order of their paths' parts.

    Each immediate sub-folder is a class. If a file lies in `root` itself, it has no class, so there are no labels.
    Classes follow from names alone, so files that cannot be read count.
    """

    def __init__(self, root: Path, suffixes: Iterable[str] = SUFFIXES) -> None:
        """Find the files. Raises InputError as `scan` does."""
        skipped: list[str] = []
        outputs: list[bytes] = []
        buffer, labels, tops = bytearray(), array("i"), [b""]
        unread = [suffix for suffix in HEIC if suffixes is SUFFIXES and suffix not in SUFFIXES]
        self.heic = 0  # number of files that need the plug-in
        for path in scan(root, skipped, (*suffixes, *unread), outputs):
            if path.lower().endswith(tuple(map(os.fsencode, unread))):
                self.heic += 1
                continue
            buffer += path + b"\0"
            top = path[: path.find(b"/")] if b"/" in path else b""
            if top != tops[-1]:
                tops.append(top)
            labels.append(len(tops) - 2)
        classed = b"" not in tops[1:] and min(labels, default=-1) >= 0
        self.names, self.skipped = NameList(bytes(buffer)), tuple(skipped)
        self.labels = torch.from_numpy(np.array(labels)) if classed else None
        self.classes = tuple(one_line(os.fsdecode(top)) for top in tops[1:]) if classed else ()
        self.notes = _output_notes([one_line(os.fsdecode(path)) for path in outputs])
        if self.heic:
            what = "1 HEIC file is" if self.heic == 1 else f"{self.heic:,} HEIC files are"
            self.notes += ((f"{what} not read", READ_HEIC),)


def _output_notes(outputs: list[str]) -> tuple[tuple[str, str], ...]:
    """The note that folders of this package's output were skipped, if any were."""
    if not outputs:
        return ()
    names = ", ".join(outputs[:3]) + (", ..." if len(outputs) > 3 else "")
    what = "1 folder of runs is" if len(outputs) == 1 else f"{len(outputs)} folders of runs are"
    return ((f"{what} among the data and skipped ({names})", f"{option('out')} keeps runs at another place"),)


class LazyFolder(LazyDataset):
    """All images below `root`, with the order and the classes of `FileIndex`."""

    def __init__(self, root: Path, conversion: Conversion) -> None:
        """Find the images. Raises InputError if there are none, or as `infer_spec` does."""
        index = FileIndex(root)
        self.root, self.names = root, index.names
        if index.heic and not len(index.names):
            raise InputError(f"no images in {root} but HEIC files ({index.heic:,}): {READ_HEIC}")
        if not len(index.names):
            raise InputError(
                f"no images in {root}: looked for {', '.join(SUFFIXES)} there and in sub-folders, and for "
                ".wav, .tar, .parquet and .arrow files"
            )
        name = one_line(root.resolve().name)
        super().__init__(name, len(index.names), index.labels, index.classes, index.skipped, conversion)
        self.notes += index.notes

    def _path(self, index: int) -> Path:
        return self.root / os.fsdecode(self.names[index])

    def encoded(self, index: int) -> bytes:
        """Read the bytes of a file."""
        return read_file(self._path(index))

    def encoded_begin(self, index: int) -> bytes:
        """Read the first bytes of a file."""
        return read_file(self._path(index), HEADER)

    def name_of(self, index: int) -> str:
        """The file's path from the root."""
        return one_line(self.names[index].decode("utf-8", "surrogateescape"))


def scan(
    root: Path,
    skipped: list[str],
    suffixes: Iterable[str] = SUFFIXES,
    outputs: list[bytes] | None = None,
) -> Iterator[bytes]:
    """Find all files below `root` with one of some suffixes, in any case, but no hidden ones and no pictures of runs.

    Links to folders are followed, but no folder is entered twice, nor one that contains `root`.

    Args:
        root: The folder.
        skipped: Gets one line for each sub-folder that cannot be listed.
        suffixes: Those of images, or others in lower case.
        outputs: Gets the paths of the folders of runs, which are not entered.

    Yields:
        Paths from the root, in the order of their parts.

    Raises:
        InputError: If `root` itself cannot be listed.
    """
    entered = {_identity(os.fsencode(parent)) for parent in root.resolve().parents}
    pending, wanted = [b"/"], tuple(map(os.fsencode, suffixes))
    while pending:
        path = pending.pop()
        if not path.endswith(b"/"):
            yield path
            continue
        folder = path.rstrip(b"/")
        absolute = os.path.join(os.fsencode(root), folder)  # noqa: PTH118 (bytes)
        if folder and is_output(os.fsdecode(absolute)):
            if outputs is not None:
                outputs.append(folder)
            continue
        try:
            identity = _identity(absolute)
            found = [] if identity in entered else _list(absolute, folder + b"/" if folder else b"", wanted)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if not folder:
                raise InputError(f"{root} cannot be listed: {reason}") from None
            skipped.append(f"{one_line(os.fsdecode(folder))}/: {reason}")
            continue
        entered.add(identity)
        pending += sorted(found, key=lambda path: path.rstrip(b"/"), reverse=True)


def _identity(path: bytes) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 (bytes)
    return status.st_dev, status.st_ino


def _list(path: bytes, prefix: bytes, wanted: tuple[bytes, ...]) -> list[bytes]:
    """Sub-folders, ending in a slash, and the files of a folder that have a wanted suffix."""
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            folder, hidden = _is_folder(entry), entry.name.startswith(b".")
            if folder and not hidden:
                found.append(prefix + entry.name + b"/")
            elif entry.name.lower().endswith(wanted) and not hidden:
                found.append(prefix + entry.name)
    return found


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
