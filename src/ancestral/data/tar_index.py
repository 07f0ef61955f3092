"""Where the samples of a .tar lie, by the WebDataset convention, found once and kept in the cache.

Members in a row whose paths agree up to the first dot of the file's name are one sample: an image (or .npy), and its
label in `cls` (a number) or `json` ({"label": a number}). Members of any other kind are never looked at.
"""

import hashlib
import json
import tarfile
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ancestral import storage
from ancestral.data.arrays import MAX_CLASSES
from ancestral.data.dataset import one_line
from ancestral.data.download import cache
from ancestral.data.files import Names
from ancestral.data.reading import explained
from ancestral.errors import InputError

KINDS = ("png", "jpg", "jpeg", "webp", "bmp", "npy")
VERSION = 1  # of the files in the cache
SMALL = 1 << 16  # bytes of a label, at most


@dataclass(frozen=True)
class TarIndex:
    """The whole samples of one shard."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int32]
    """-1 where a sample has none."""
    names: Names
    trouble: str
    """What is wrong with the shard, or ""."""


def tar_index(path: Path) -> TarIndex:
    """The index of a shard, from the cache if it was read before and has not changed since.

    Raises SourceLost or InputError where it cannot be opened.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(str(explained(error, path))) from None
    key = f"{VERSION} {path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    kept = cache() / "shards" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.npz"
    with suppress(Exception):  # whatever is wrong with it, it is made anew
        return _read(kept)
    index = _made(path, facts.st_size)
    with suppress(OSError):  # without a cache it is made again the next time
        _write(kept, index)
    return index


def _read(file: Path) -> TarIndex:
    with np.load(file, allow_pickle=False) as arrays:
        names = Names.of(arrays["names"].tobytes(), arrays["ends"])
        trouble = arrays["trouble"].tobytes().decode()
        return TarIndex(arrays["starts"], arrays["sizes"], arrays["labels"], names, trouble)


def _write(file: Path, index: TarIndex) -> None:
    names, ends = index.names.buffers()
    trouble = np.frombuffer(index.trouble.encode(), np.uint8)
    with storage.atomic(file) as temporary:
        np.savez(
            temporary, starts=index.starts, sizes=index.sizes, labels=index.labels, names=names, ends=ends,
            trouble=trouble,
        )  # fmt: skip


def _made(path: Path, size: int) -> TarIndex:
    starts, sizes, labels, names, trouble = array("q"), array("q"), array("i"), Names(), ""
    try:
        with tarfile.open(path, "r:") as tar:
            for name, start, length, label in _samples(tar, size):
                names.append(name.encode("utf-8", "surrogateescape"))
                starts.append(start)
                sizes.append(length)
                labels.append(label)
            trouble = _end(path, tar.offset, size)
    except tarfile.TarError as error:
        trouble = f"damaged: {one_line(error)}"
    except OSError as error:
        raise InputError(str(explained(error, path))) from None
    if trouble:
        trouble += f" ({len(starts):,} whole samples before that)"
    return TarIndex(np.array(starts, np.int64), np.array(sizes, np.int64), np.array(labels, np.int32), names, trouble)


def _samples(tar: tarfile.TarFile, end: int) -> Iterator[tuple[str, int, int, int]]:
    """Name, start, size and label of each sample that lies before `end`, whole."""
    key, item, label = ("", ""), None, -1
    for member in _members(tar):
        if member.offset_data + member.size > end:
            break
        folder, _, file = member.name.rpartition("/")
        stem, _, kind = file.partition(".")
        if (folder, stem) != key:
            if item is not None:
                yield *item, label
            key, item, label = (folder, stem), None, -1
        kind = kind.lower()
        if kind in KINDS and item is None:
            item = (member.name, member.offset_data, member.size)
        elif kind in ("cls", "json") and label < 0 and member.size <= SMALL:
            label = _label(tar, member, kind)
    if item is not None:
        yield *item, label


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All plain files, one at a time."""
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # the archive keeps them all, at a kilobyte each
        if member.isreg() and not member.issparse():
            yield member


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> int:
    """The number in a member of a few bytes; -1 if there is none."""
    file = tar.extractfile(member)
    raw = file.read() if file else b""
    with suppress(ValueError, RecursionError):
        if kind == "json":
            tree = json.loads(raw)
            number = tree.get("label") if isinstance(tree, dict) else None
        else:
            number = int(raw)
        if type(number) is int and 0 <= number < MAX_CLASSES:
            return number
    return -1


def _end(path: Path, offset: int, size: int) -> str:
    """What is wrong where the last member ended; "" for the zeros that end a whole archive."""
    if offset + tarfile.BLOCKSIZE > size:
        return "cut short"
    with path.open("rb") as file:
        file.seek(offset)
        return "damaged" if any(file.read(tarfile.BLOCKSIZE)) else ""
