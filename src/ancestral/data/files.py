"""Files below a folder by their names, wherever they lie: the one interface through which sources read them."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

Section = tuple[bytes, int, int]
"""The name of a file, a first byte and a number of bytes."""


def suffix_of(name: bytes) -> str:
    """Return the suffix of a file in lower case, "" without one."""
    return os.path.splitext(os.fsdecode(name))[1].lower()  # noqa: PTH122 (a million names)


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


class Files(ABC):
    """The files below a folder, of a disk or of object storage. str() of it is the path or address."""

    threads: int = min(8, os.cpu_count() or 1)
    """Number of threads that may read at the same time."""
    fork_safe = True
    """Whether processes that are forked can read them."""
    links: Sequence[bytes] = ()
    """The links to files and folders that `names` found."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the path, in one line."""

    @abstractmethod
    def names(
        self, suffixes: Iterable[str], skipped: list[str], runs: list[str], others: Counter[str] | None = None
    ) -> Iterator[bytes]:
        """Yield the paths of all files with one of some suffixes, in any case, in the order of their parts.

        Hidden files and the pictures of runs are left out.

        Args:
            suffixes: The suffixes.
            skipped: Gets one line for each sub-folder that cannot be listed.
            runs: Gets the paths of folders of runs, which are not entered.
            others: Counts the files of all other suffixes, in lower case.

        Raises:
            InputError: If the folder itself cannot be listed.
        """

    @abstractmethod
    def has(self, name: bytes) -> bool:
        """Tell whether there is such a file, of any kind."""

    def outside(self, name: bytes, beside: bytes = b"") -> str:
        """Return where a link leads that leaves the folder of the data, and that of the target of another file.

        Args:
            name: The file or folder.
            beside: The other file, as the picture of a caption: caches keep both as links into a folder of theirs.

        Returns:
            The target, in one line; "" of all that is no such link.
        """
        return ""

    @abstractmethod
    def size(self, name: bytes) -> int:
        """Return the number of bytes of a file. Raises as `read`."""

    @abstractmethod
    def version(self, name: bytes) -> str:
        """Return a text that is another one when the file, or its content, is another. Raises as `read`."""

    @abstractmethod
    def read(self, name: bytes, size: int = -1) -> bytes:
        """Read all bytes of a file, or the first `size`.

        Raises:
            Unreadable: If this one file cannot be read.
            SourceLost: If its place does not respond.
        """

    @abstractmethod
    def section(self, place: Section) -> bytes:
        """Read a part of a file, for which one of thousands of parts is opened. Raises as `read`."""

    @abstractmethod
    def stream(self, name: bytes) -> BinaryIO:
        """Open a file to be read from its beginning on, with gaps. Raises as `read`."""

    @abstractmethod
    def local(self, name: bytes) -> Path:
        """Return the path on this machine of a file, or of a copy of it. Raises as `read`."""

    def prefetch(self, names: Sequence[bytes]) -> None:  # noqa: B027
        """Fetch files that are read next at the same time, where reading each of them waits for an answer."""

    def prefetch_sections(self, places: Sequence[Section]) -> None:  # noqa: B027
        """Fetch parts of files as `prefetch` does."""
