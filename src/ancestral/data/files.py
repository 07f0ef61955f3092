"""Files, wherever they lie: the interface by which sources read them, downloads, and the meaning of errors on reading.

Training skips a bad file. It must never skip a lost network file system, where every file would be skipped. So each
error that is not known to be the fault of one file means that the source is lost, and the loader waits for it.

Downloads are kept in one folder of the user, and accepted only if their SHA-256 is the known one.
"""

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from ancestral.base import storage
from ancestral.base.errors import InputError, one_line

FAULTS_OF_ONE_FILE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO}
)
"""Errors of a file that is missing, forbidden, a loop of links, a folder or a socket."""
LARGEST_FILE = 2**30  # bytes; a larger file is no image to train on
CACHE = "ANCESTRAL_CACHE"
"""An environment variable: the folder of downloads."""
OFFLINE = "ANCESTRAL_OFFLINE"
"""An environment variable; where it has a value, nothing is downloaded."""


class Unreadable(Exception):
    """One item cannot be read or decoded, now or later; the others can. The message is the reason, in one line."""


class SourceLost(InputError):
    """The place of the data does not respond."""


def read_file(path: Path, size: int = -1) -> bytes:
    """Read all bytes of a file, or the first `size`.

    Raises:
        Unreadable: If this one file cannot be read.
        SourceLost: If the file system does not respond.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):  # reading a pipe would block for ever
                raise Unreadable("not a regular file")
            if status.st_size > LARGEST_FILE:
                raise Unreadable(f"the file has more than {LARGEST_FILE >> 30} GiB")
            return file.read(size)
    except OSError as error:
        raise classify(error, path) from None


def classify(error: OSError, path: Path) -> Unreadable | SourceLost:
    """Return what an error on opening or reading `path` means: that this file is bad, or that the source is lost."""
    reason, has_neighbours = error.strerror or type(error).__name__, False
    with suppress(OSError):  # a mount point is empty whose file system is gone
        has_neighbours = any(path.parent.iterdir())
    if error.errno in FAULTS_OF_ONE_FILE and has_neighbours:
        return Unreadable(reason)
    return SourceLost(f"{one_line(path)} cannot be read: {reason}")


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


def cache() -> Path:
    """Return the folder of downloads: $ANCESTRAL_CACHE, or ancestral in $XDG_CACHE_HOME or in ~/.cache."""
    system = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get(CACHE) or system / "ancestral").expanduser()


def fetch(url: str, sha256: str, folder: Path, otherwise: str) -> Path:
    """Return a file of `folder`; one that is not there is downloaded, and appears only when it is whole and right.

    A file that is there is hashed at each use: who can write into the cache can put another one there.

    Raises:
        InputError: If it cannot be downloaded, or must not; the message ends with `otherwise`, what else the user
            can do. Or if the file that is there is another one.
    """
    file = folder / url.rpartition("/")[2]
    if not file.is_file():
        if os.environ.get(OFFLINE):
            raise InputError(f"{file.name} is not on this machine, and {OFFLINE} is set, as in the studio: {otherwise}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), hash_prefix=sha256)
        except (OSError, RuntimeError, HTTPException) as error:
            raise InputError(f"{file.name} could not be downloaded ({error}): {otherwise}") from error
    elif (digest := storage.sha256(file)) != sha256:
        raise InputError(
            f"{file} is not the published file (its SHA-256 is {digest[:16]}…, not {sha256[:16]}…): it is damaged or "
            "was replaced; delete it, and it is downloaded again"
        )
    return file
