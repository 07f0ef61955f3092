"""Room on a disk, and what is removed where there is none."""

import errno
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ancestral.base.storage import size_of

QUOTA = getattr(errno, "EDQUOT", errno.ENOSPC)
SLACK = 65_536
"""Bytes that a file or folder takes beside its content."""


def is_full(error: OSError) -> bool:
    """Tell whether a write failed since the disk, or the quota of the user, is full."""
    return error.errno in (errno.ENOSPC, QUOTA)


def free_bytes(path: Path) -> int:
    """Return the bytes that are free on the disk of a file or folder, which need not exist yet."""
    return shutil.disk_usage(next(place for place in (path, *path.absolute().parents) if place.exists())).free


def write_with_room(
    write: Callable[[], None],
    size: int,
    spare: Callable[[], Sequence[Path]],
    removals: list[Path],
    *,
    certain: bool = False,
) -> None:
    """Write what is needed; where the disk is full, remove what is not, one after the other, until it fits.

    Args:
        write: Writes files of `size` bytes in all. It is called again after a removal.
        size: The number of bytes.
        spare: Lists the files and folders that may be removed, the least needed first.
        removals: Gets what was removed.
        certain: Whether nothing is removed unless the disk says that the room then suffices. Without, a full quota,
            of which the disk may know nothing, has them removed too.

    Raises:
        OSError: If it cannot be written. Nothing is removed where the room would not suffice.
    """
    spare_paths: list[Path] | None = None
    while True:
        try:
            write()
            return
        except OSError as error:
            if not is_full(error):
                raise
            spare_paths = [path for path in spare() if path.exists()] if spare_paths is None else spare_paths
            by_quota = error.errno == QUOTA and not certain
            free, required = free_bytes(spare_paths[0]) if spare_paths else 0, size + SLACK
            if not spare_paths or not (by_quota or free < required <= free + sum(map(size_of, spare_paths))):
                raise
        while True:
            path = spare_paths.pop(0)
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            removals.append(path)
            if not spare_paths or free_bytes(path) >= required:
                break
