"""Which files lie below a folder, in a few dozen bytes each: a million of them are never a million objects."""

import os
from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ancestral.data.dataset import one_line
from ancestral.errors import InputError

FOLDER = b"\0"  # ends a folder's name while scanning: it sorts before all that a name may hold, so "a" < "a.png"


class Names:
    """A growing list of byte strings, held as one buffer and where each ends."""

    def __init__(self, names: Iterable[bytes] = ()) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])
        for name in names:
            self.append(name)

    def append(self, name: bytes) -> None:
        """Add one at the end."""
        self._bytes += name
        self._ends.append(len(self._bytes))

    @classmethod
    def of(cls, raw: bytes, ends: NDArray[np.int64]) -> "Names":
        """From what `buffers` gave."""
        names = cls()
        names._bytes, names._ends = bytearray(raw), array("q", ends.tolist())
        return names

    def buffers(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """All bytes, and where each name ends, after a 0."""
        return np.frombuffer(self._bytes, np.uint8), np.frombuffer(self._ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return bytes(self._bytes[self._ends[index] : self._ends[index + 1]])


class Files:
    """Files below `root`, in the order of their paths' parts, as bytes."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)
        self.folders, self.names, self.folder = Names(), Names(), array("i")
        self.skipped: list[str] = []
        """One line per folder that could not be listed."""

    def __len__(self) -> int:
        return len(self.names)

    def relative(self, index: int) -> bytes:
        """The path from the root."""
        return os.path.join(self.folders[self.folder[index]], self.names[index])  # noqa: PTH118 (bytes)

    def path(self, index: int) -> Path:
        """The path, with the root."""
        return Path(os.fsdecode(os.path.join(self.root, self.relative(index))))  # noqa: PTH118 (bytes)

    def paths(self) -> list[Path]:
        """All paths: of a million files a million objects."""
        return [self.path(index) for index in range(len(self))]

    def classes(self) -> tuple[NDArray[np.int32] | None, tuple[str, ...]]:
        """A label for each file and the names: its immediate sub-folder. None if a file lies in the root itself."""
        folder = np.frombuffer(self.folder, dtype=np.int32)
        tops = [self.folders[number].split(b"/")[0] for number in range(len(self.folders))]
        used = sorted({tops[number] for number in np.unique(folder)})
        if b"" in used:
            return None, ()
        number_of = {top: number for number, top in enumerate(used)}
        labels = np.array([number_of.get(top, -1) for top in tops], dtype=np.int32)
        return labels[folder], tuple(one_line(os.fsdecode(top)) for top in used)


def scan(root: Path, suffixes: tuple[str, ...]) -> Files:
    """All files below `root` with one of these suffixes in any case, sorted; hidden ones aside.

    Links to folders are followed, but no folder is entered twice, nor one that contains `root`. Raises InputError where
    `root` itself cannot be listed.
    """
    files, wanted = Files(root), tuple(suffix.encode() for suffix in suffixes)
    entered = {_identity(os.fsencode(parent)) for parent in root.resolve().parents}
    pending: list[tuple[int, list[bytes]]] = []

    def enter(folder: bytes) -> None:
        path = os.path.join(files.root, folder)  # noqa: PTH118 (bytes)
        try:
            identity = _identity(path)
            names = [] if identity in entered else _listed(path, wanted)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if not folder:
                raise InputError(f"{one_line(root)} cannot be listed: {reason}") from None
            files.skipped.append(f"{one_line(os.fsdecode(folder))}/: {reason}")
            return
        entered.add(identity)
        files.folders.append(folder)
        pending.append((len(files.folders) - 1, sorted(names, reverse=True)))

    enter(b"")
    while pending:
        number, names = pending[-1]
        if not names:
            pending.pop()
            continue
        name = names.pop()
        if name.endswith(FOLDER):
            enter(os.path.join(files.folders[number], name.removesuffix(FOLDER)))  # noqa: PTH118 (bytes)
        else:
            files.names.append(name)
            files.folder.append(number)
    return files


def _identity(path: bytes) -> tuple[int, int]:
    facts = os.stat(path)  # noqa: PTH116 (bytes)
    return facts.st_dev, facts.st_ino


def _listed(path: bytes, wanted: tuple[bytes, ...]) -> list[bytes]:
    """The names of sub-folders, marked, and of wanted files."""
    names = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith(b"."):
                continue
            if _is_folder(entry):
                names.append(entry.name + FOLDER)
            elif entry.name.lower().endswith(wanted):
                names.append(entry.name)
    return names


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
