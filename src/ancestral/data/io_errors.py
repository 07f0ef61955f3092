"""Reading bytes of files, and telling one bad file from a file system that is gone.

Training skips a bad file. It must never skip a lost network file system, where every file would be skipped. So each
error that is not known to be the fault of one file means that the source is lost, and the loader waits for it.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from ancestral.base.errors import InputError, one_line

FAULTS_OF_ONE_FILE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO}
)
"""Errors of a file that is missing, forbidden, a loop of links, a folder or a socket."""
LARGEST_FILE = 2**30  # bytes; a larger file is no image to train on


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
