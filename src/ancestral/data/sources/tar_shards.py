"""WebDataset shards: samples in .tar files, read by index, so that every epoch is an exact shuffle.

Successive members whose paths agree up to the first dot of the file's name are one sample: an image or .npy, and its
label in `cls` (a number) or `json` ({"label": a number}). Other members are not read. Where the samples of a shard
lie is found once and kept in the cache.
"""

import hashlib
import json
import os
import stat
import tarfile
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ancestral import storage
from ancestral.config.folders import SUFFIXES
from ancestral.data.arrays import MAX_CLASSES
from ancestral.data.decoding import HEADER
from ancestral.data.download import cache
from ancestral.data.io_errors import SourceLost, Unreadable, classify
from ancestral.data.lazy_dataset import StoredItems
from ancestral.data.sources.file_folder import NameList
from ancestral.errors import InputError, one_line

ITEM_KINDS = (*(suffix[1:] for suffix in SUFFIXES), "npy")
VERSION = 3  # of the files in the cache
LARGEST_LABEL = 1 << 16  # bytes of a member with a label
Index = dict[str, NDArray[np.generic]]
"""starts and sizes (int64), labels (int32, -1 without), names (a buffer as in NameList), problem (text as uint8)."""


class TarShards(StoredItems):
    """The samples of some .tar files, one file after the other. A damaged shard gives the samples that are whole."""

    def __init__(self, paths: list[Path], name: str) -> None:
        """Find the samples. Raises InputError if there is no whole one."""
        self.paths = paths
        shards = [index_shard(path) for path in paths]
        self._bounds = np.cumsum([0] + [len(shard["starts"]) for shard in shards])
        self._starts, self._sizes, labels = (
            np.concatenate([shard[field] for shard in shards]) for field in ("starts", "sizes", "labels")
        )
        self._names = NameList(b"".join(shard["names"].tobytes() for shard in shards))
        problems = [shard["problem"].tobytes().decode() for shard in shards]
        skipped = tuple(f"{one_line(p.name)}: {text}" for p, text in zip(paths, problems, strict=True) if text)
        if not len(labels):
            hint = skipped[0] if skipped else "write them as webdataset does, with names such as 01.png and 01.cls"
            raise InputError(f"no whole sample with an image in the shards of {name}: {hint}")
        missing = int((labels < 0).sum())
        if 0 < missing < len(labels):
            skipped += (f"the labels, which {missing:,} of {len(labels):,} samples do not have",)
        classes = () if missing else tuple(map(str, range(int(labels.max()) + 1)))
        super().__init__(name, len(labels), None if missing else torch.from_numpy(labels), classes, skipped)

    def raw(self, row: int) -> bytes:
        """Read the bytes of an item from its shard."""
        return self._section(row, int(self._sizes[row]))

    def head(self, row: int) -> bytes:
        """Read the first of them."""
        return self._section(row, min(int(self._sizes[row]), HEADER))

    def name_of(self, row: int) -> str:
        """The shard, and the member in it."""
        return one_line(f"{self._shard(row).name}/{self._names[row].decode('utf-8', 'surrogateescape')}")

    def _shard(self, row: int) -> Path:
        return self.paths[int(np.searchsorted(self._bounds, row, side="right")) - 1]

    def _section(self, row: int, size: int) -> bytes:
        path = self._shard(row)
        try:
            with path.open("rb", buffering=0) as file:
                raw = os.pread(file.fileno(), size, int(self._starts[row]))
        except OSError as error:
            raise SourceLost(f"{path} cannot be read: {error.strerror}") from None
        if len(raw) < size:
            raise Unreadable("the shard is cut short")
        return raw


def index_shard(path: Path) -> Index:
    """Find the whole samples of a shard, or load them from the cache if the shard has not changed since.

    Raises:
        InputError: If it cannot be opened; a SourceLost where its place does not respond.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(str(classify(error, path))) from None
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would block for ever
        raise InputError(f"{path} is not a regular file")
    key = f"{VERSION} {path.resolve()} {status.st_size} {status.st_mtime_ns}"
    file = cache() / "shards" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.npz"
    with suppress(Exception), np.load(file, allow_pickle=False) as arrays:  # a damaged file is written anew
        return {field: arrays[field] for field in ("starts", "sizes", "labels", "names", "problem")}
    index = _read_index(path, status.st_size)
    with suppress(OSError), storage.atomic(file) as temporary:  # without a cache it is made again the next time
        np.savez(temporary, **index)  # type: ignore[arg-type]
    return index


def _read_index(path: Path, size: int) -> Index:
    starts, sizes, labels, names, problem = array("q"), array("q"), array("i"), bytearray(), ""
    try:
        with tarfile.open(path, "r:") as tar:
            for name, start, length, label in _samples(tar, size):
                names += name.encode("utf-8", "surrogateescape").replace(b"\0", b"?") + b"\0"
                starts.append(start)
                sizes.append(length)
                labels.append(label)
            problem = _end_problem(path, tar.offset, size)
    except tarfile.TarError as error:
        problem = f"damaged: {one_line(error)}"
    except OSError as error:
        raise InputError(str(classify(error, path))) from None
    if problem:
        problem += f" ({len(starts):,} whole samples before that)"
    return {
        "starts": np.array(starts, np.int64),
        "sizes": np.array(sizes, np.int64),
        "labels": np.array(labels, np.int32),
        "names": np.frombuffer(names, np.uint8),
        "problem": np.frombuffer(problem.encode(), np.uint8),
    }


def _samples(tar: tarfile.TarFile, end: int) -> Iterator[tuple[str, int, int, int]]:
    """Name, start, size and label of each sample that lies before `end`, whole."""
    key, item, label = ("", ""), None, -1
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # the archive keeps them all, at a kilobyte each
        if not member.isreg() or member.issparse():
            continue
        if member.offset_data + member.size > end:
            break
        folder, _, file = member.name.rpartition("/")
        stem, _, kind = file.partition(".")
        if (folder, stem) != key:
            if item is not None:
                yield *item, label
            key, item, label = (folder, stem), None, -1
        kind = kind.lower()
        if kind in ITEM_KINDS and item is None:
            item = (member.name, member.offset_data, member.size)
        elif kind in ("cls", "json") and label < 0 and member.size <= LARGEST_LABEL:
            label = _label(tar, member, kind)
    if item is not None:
        yield *item, label


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> int:
    """The number in a member of a few bytes; -1 if there is none."""
    file = tar.extractfile(member)
    raw = file.read() if file else b""
    with suppress(ValueError, RecursionError):
        if kind == "json":
            content = json.loads(raw)
            number = content.get("label") if isinstance(content, dict) else None
        else:
            number = int(raw)
        if type(number) is int and 0 <= number < MAX_CLASSES:
            return number
    return -1


def _end_problem(path: Path, offset: int, size: int) -> str:
    """The fault where the last member ended; "" for the zeros that end a whole archive."""
    if offset + tarfile.BLOCKSIZE > size:
        return "cut short"
    with path.open("rb") as file:
        file.seek(offset)
        return "damaged" if any(file.read(tarfile.BLOCKSIZE)) else ""
