"""The local cache of remote files: of bounded size, the least recently used leave first, and shared by all processes.

Each entry is a file with a name of its own for each version of an object. It appears whole by a rename, so a reader
finds all of it or nothing. An entry that vanishes, since another process needed the room, is fetched again.
"""

import contextlib
import hashlib
import math
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ancestral.base.errors import InputError
from ancestral.data.files import CACHE, cache

LIMIT = "ANCESTRAL_CACHE_LIMIT"
"""An environment variable: the largest size of the cache of remote files, in GiB."""
DEFAULT_LIMIT = 50.0
"""GiB."""
KEPT_SHARE = 0.9
"""The share of the limit that stays where room is made, so that it is not made for each new file."""
TOUCHED = 60.0
"""Seconds within which a second reading of an entry is not noted as a use."""
DOWNLOAD_ABANDONED_AFTER = 86_400.0
"""Seconds after which a temporary file was left by a process that was killed."""


def folder() -> Path:
    """Return the folder of the cache."""
    return cache() / "objects"


def limit() -> int:
    """Return the largest size of the cache in bytes. Raises InputError if the environment variable is no number."""
    text = os.environ.get(LIMIT) or str(DEFAULT_LIMIT)
    with contextlib.suppress(ValueError, OverflowError):
        if 0 <= float(text) < math.inf:
            return int(float(text) * 2**30)
    raise InputError(f"{LIMIT}={text} is no size: give a number of GiB, as in {LIMIT}={DEFAULT_LIMIT:g}")


def key_of(*parts: object) -> str:
    """Return the name of the entry for an object, its version and, of a part of it, its place."""
    text = "\n".join(map(str, parts))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def path_of(key: str) -> Path:
    """Return the path of an entry, whether it is there or not."""
    return folder() / key[:2] / key


def read(key: str, whole: int, start: int, size: int) -> bytes | None:
    """Read `size` bytes of an entry from the byte `start` on, and note its use.

    Args:
        key: The name of the entry.
        whole: Its size. A file of another size was left by a machine that lost its power, and is not read.
        start: The first byte.
        size: The number of bytes.

    Returns:
        The bytes; None if there is no such entry.
    """
    with contextlib.suppress(OSError), path_of(key).open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if status.st_size == whole:
            if time.time() - status.st_mtime > TOUCHED:
                os.utime(path_of(key))
            file.seek(start)
            return file.read(size)
    return None


def has(key: str, whole: int) -> bool:
    """Tell whether there is an entry of this size."""
    with contextlib.suppress(OSError):
        return path_of(key).stat().st_size == whole
    return False


def keep(key: str, whole: int, blocks: Iterable[bytes]) -> bool:
    """Write an entry that is not there, all of it or nothing, and tell whether it is there then.

    Args:
        key: The name of the entry.
        whole: Its size.
        blocks: Its content, which one process at a time fetches, and none if there is no room. Errors are raised.

    Raises:
        InputError: If the folder of the cache cannot be used.
    """
    if has(key, whole):
        return True
    with _locked(key[:3]):  # the objects that share a lock by chance wait for each other
        if has(key, whole):
            return True
        try:
            temporary = _reserved(path_of(key), whole)
        except OSError:
            return False
        try:
            with temporary.open("r+b", buffering=0) as file:
                for block in blocks:
                    file.write(block)
            temporary.replace(path_of(key))  # not flushed: `read` compares the size, and it can be fetched again
            return True
        except OSError:
            return False
        finally:
            temporary.unlink(missing_ok=True)


def _reserved(path: Path, size: int) -> Path:
    """Make an empty file of `size` bytes beside a path, and remove the least recently used entries if need be.

    The file has its size from the beginning, so that all processes count what is being fetched.

    Raises:
        OSError: If the limit would be exceeded even so.
    """
    most, counter = limit(), folder() / "size"
    if size > most:
        raise OSError(f"{size:,} bytes are more than {LIMIT} allows")
    with _locked("size"):
        total: float = math.inf
        with contextlib.suppress(OSError, ValueError):
            total = int(counter.read_text())
        if total + size > most:
            total = _evict(most, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
        os.truncate(handle, size)
        os.close(handle)
        counter.write_text(str(total + size))
    return Path(name)


def _evict(most: int, size: int) -> int:
    """Remove entries until there is room for `size` bytes, and return the bytes that are left."""
    entries, total, now = [], 0, time.time()
    for path in folder().glob("??/*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if path.name.startswith(".") and now - status.st_mtime > DOWNLOAD_ABANDONED_AFTER:
                path.unlink()
                continue
            total += status.st_size
            if not path.name.startswith("."):  # temporary files belong to those who write them
                entries.append((status.st_mtime, status.st_size, path))
    if total + size <= most:
        return total
    goal = max(0, min(most - size, int(KEPT_SHARE * most)))
    for _, entry_size, path in sorted(entries):
        if total <= goal:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            total -= entry_size
    if total + size > most:
        raise OSError(f"downloads that have begun fill the cache of {most:,} bytes")
    return total


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Hold a lock of the cache, where the system and the file system have such locks.

    Raises:
        InputError: If the folder of the cache cannot be used.
    """
    path = folder() / "locks" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        place = f"the cache {folder()} cannot be used ({error})"
        raise InputError(f"{place}: let {CACHE} name a folder of yours") from None
    with handle:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield  # closing the file releases it
