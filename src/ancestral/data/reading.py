"""Reading one file of many, and telling a file that is bad from a file system that is gone.

A bad file is left out of training. A lost network file system must never be: all its files would be left out, one after
another. So whatever is not known to be the fault of one file counts as a loss, which is waited for.
"""

import errno
import os
import stat
from pathlib import Path

from ancestral.data.dataset import one_line
from ancestral.errors import InputError

FAULTS_OF_ONE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO}
)
"""What the system says of a file that is missing, forbidden, a circle of links, a folder or a socket."""
LARGEST = 2**30  # bytes of a file: more is no image that would be trained on


class Unreadable(Exception):
    """One item cannot be read or decoded, today or ever; the others can. The message is the reason, in one line."""


class SourceLost(InputError):
    """The place where the data lies does not answer."""


def contents(path: Path, most: int = -1) -> bytes:
    """All bytes of a file, or the first `most`. Raises Unreadable, or SourceLost where not this file alone is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):  # a pipe would wait for ever
                raise Unreadable("not a regular file")
            if facts.st_size > LARGEST:
                raise Unreadable(f"the file has more than {LARGEST >> 30} GiB")
            return file.read(most)
    except OSError as error:
        raise explained(error, path) from None


def section(path: Path, handle: int, start: int, size: int) -> bytes:
    """`size` bytes of an open file from `start`. Raises like `contents`."""
    try:
        raw = os.pread(handle, size, start)
    except OSError as error:
        raise SourceLost(f"{one_line(path)} cannot be read: {_reason(error)}") from None
    if len(raw) < size:
        raise Unreadable("the shard is cut short")
    return raw


def explained(error: OSError, path: Path) -> Unreadable | SourceLost:
    """What an error on opening or reading this file means."""
    if error.errno in FAULTS_OF_ONE and _holds_something(path.parent):
        return Unreadable(_reason(error))
    return SourceLost(f"{one_line(path)} cannot be read: {_reason(error)}")


def _holds_something(folder: Path) -> bool:
    """False for a folder that is gone, and for the empty one that a file system leaves where it was mounted."""
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
