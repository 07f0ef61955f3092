"""WebDataset shards: samples in .tar files, read by index, so that every epoch is an exact shuffle.

Successive members whose paths agree up to the first dot of the file's name are one sample: an image or .npy, and its
label in `cls` (a number) or `json` ({"label": a number}). Columns are the fields of `json`; `txt` and `NAME.txt`, texts
or numbers; and images or .npy with a name, as in 0001.mask.png. `caption` is `txt` too, unless it is one of the others.
They are read when they are looked up, images by index. Other members are not read. Where the members of a shard lie is
found once and kept in the cache.
"""

import hashlib
import io
import os
import tarfile
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from ancestral.base import storage
from ancestral.base.arguments import parse_json
from ancestral.base.errors import InputError, one_line
from ancestral.config.data_sources import SUFFIXES
from ancestral.data.arrays import MAX_CLASSES
from ancestral.data.decoding import HEADER, NPY, reading_threads
from ancestral.data.files import Files, NameList, Unreadable, cache
from ancestral.data.lazy_dataset import StoredItems
from ancestral.data.place import Place
from ancestral.data.sources.file_folder import LocalFiles
from ancestral.data.sources.folder_columns import CAPTION, lines

ITEM_KINDS = (*(suffix[1:] for suffix in SUFFIXES), "npy")
CACHE_VERSION = 4  # of the files in the cache
LARGEST_LABEL = 1 << 16  # bytes of a member with a label
MOST_KINDS = 64
"""Largest number of kinds of further members in a shard; what follows more dots may be a part of the name."""
SHARDS_AT_ONCE = 8
"""Number of shards that are indexed at the same time."""
PEEKED_MEMBERS = 16
"""Number of samples whose json says which fields there are."""
FIELDS = ("starts", "sizes", "labels", "names", "problem", "further", "kinds")
Index = dict[str, NDArray[np.generic]]
"""FIELDS: starts and sizes (int64), labels (int32, -1 without), names (a buffer as in NameList), problem (text as
uint8), further members (int64 of sample, kind, start and size), and the names of their kinds (a buffer)."""


class TarShards(StoredItems):
    """The samples of some .tar files, one file after the other. A damaged shard gives the samples that are whole."""

    def __init__(self, files: Files, shards: Sequence[bytes], name: str) -> None:
        """Find the samples.

        Args:
            files: The files of a folder.
            shards: The names of the shards in it.
            name: The name of the data.

        Raises:
            InputError: If there is no whole sample.
        """
        self._files, self._shard_names = files, [*shards]
        self.threads, self.fork_safe = files.threads, files.fork_safe
        with reading_threads(min(SHARDS_AT_ONCE, files.threads, len(shards))) as pool:
            indices = pool.map(partial(index_shard, files), shards)
        self._bounds = np.cumsum([0] + [len(index["starts"]) for index in indices])
        self._starts, self._sizes, labels = (
            np.concatenate([index[field] for index in indices]) for field in ("starts", "sizes", "labels")
        )
        self._names = NameList(b"".join(index["names"].tobytes() for index in indices))
        problems = [index["problem"].tobytes().decode() for index in indices]
        skipped = tuple(f"{_shown(shard)}: {text}" for shard, text in zip(shards, problems, strict=True) if text)
        if not len(labels):
            hint = skipped[0] if skipped else "write them as webdataset does, with names such as 01.png and 01.cls"
            raise InputError(f"no whole sample with an image in the shards of {name}: {hint}")
        missing = int((labels < 0).sum())
        if 0 < missing < len(labels):
            skipped += (f"the labels, which {missing:,} of {len(labels):,} samples do not have",)
        classes = () if missing else tuple(map(str, range(int(labels.max()) + 1)))
        self.columns = _Columns(self, indices)
        super().__init__(name, len(labels), None if missing else torch.from_numpy(labels), classes, skipped)

    def raw(self, row: int) -> bytes:
        """Read the bytes of an item from its shard."""
        return self.section(row, int(self._starts[row]), int(self._sizes[row]))

    def head(self, row: int) -> bytes:
        """Read the first of them."""
        return self.section(row, int(self._starts[row]), min(int(self._sizes[row]), HEADER))

    def prefetch(self, rows: Sequence[int]) -> None:
        """Fetch items that are read next."""
        self._files.prefetch_sections(
            [(self._shard(row), int(self._starts[row]), int(self._sizes[row])) for row in rows]
        )

    def name_of(self, row: int) -> str:
        """The shard, and the member in it."""
        return one_line(f"{_shown(self._shard(row))}/{self._names[row].decode('utf-8', 'surrogateescape')}")

    def _shard(self, row: int) -> bytes:
        return self._shard_names[int(np.searchsorted(self._bounds, row, side="right")) - 1]

    def section(self, row: int, start: int, size: int) -> bytes:
        """Read bytes of the shard of an item. Raises Unreadable or SourceLost."""
        raw = self._files.section((self._shard(row), start, size))
        if len(raw) < size:
            raise Unreadable("the shard is cut short")
        return raw


def open_shards(place: Place) -> TarShards:
    """Open a .tar, several by their numbers, or those in a folder."""
    at = place.at
    assert at is not None  # since files have a place
    if not isinstance(at, Path):
        names = at.only or [one for one in at.names([".tar"], [], []) if b"/" not in one]
        return TarShards(at, names, one_line(Path(at.address).name))
    folder, paths = (at, sorted(at.glob("*.tar"))) if at.is_dir() else (at.parent, [at])
    return TarShards(LocalFiles(folder), [os.fsencode(one.name) for one in paths], one_line(at.resolve().stem))


def index_shard(files: Files, shard: bytes) -> Index:
    """Find the whole samples of a shard, or load them from the cache if the shard has not changed since.

    Raises:
        InputError: If it cannot be opened; a SourceLost where its place does not respond.
    """
    try:
        key, size = f"{CACHE_VERSION} {files.version(shard)}", files.size(shard)
    except Unreadable as error:
        raise InputError(str(error)) from None
    file = cache() / "shards" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.npz"
    with suppress(Exception), np.load(file, allow_pickle=False) as arrays:  # a damaged file is written anew
        return {field: arrays[field] for field in FIELDS}
    try:
        with files.stream(shard) as stream:
            index = _read_index(stream, size)
    except Unreadable as error:
        raise InputError(f"{files}/{_shown(shard)} cannot be read: {error}") from None
    except OSError as error:
        raise InputError(f"{files}/{_shown(shard)} cannot be read: {error.strerror or error}") from None
    with suppress(OSError), storage.atomic(file) as temporary:  # without a cache it is made again the next time
        np.savez(temporary, **index)  # type: ignore[arg-type]
    return index


def _shown(name: bytes) -> str:
    return one_line(os.fsdecode(name))


def _read_index(stream: BinaryIO, size: int) -> Index:
    starts, sizes, labels, names, problem = array("q"), array("q"), array("i"), bytearray(), ""
    further, kinds = array("q"), dict[str, int]()
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for name, start, length, label, members in _samples(tar, size):
                for kind, *place in members:
                    if kind in kinds or len(kinds) < MOST_KINDS:
                        further.extend([len(starts), kinds.setdefault(kind, len(kinds)), *place])
                names += name.encode("utf-8", "surrogateescape").replace(b"\0", b"?") + b"\0"
                starts.append(start)
                sizes.append(length)
                labels.append(label)
            problem = _end_problem(stream, tar.offset, size)
    except tarfile.TarError as error:
        problem = f"damaged: {one_line(error)}"
    if problem:
        problem += f" ({len(starts):,} whole samples before that)"
    return {
        "starts": np.array(starts, np.int64),
        "sizes": np.array(sizes, np.int64),
        "labels": np.array(labels, np.int32),
        "names": np.frombuffer(names, np.uint8),
        "problem": np.frombuffer(problem.encode(), np.uint8),
        "further": np.array(further, np.int64).reshape(-1, 4),
        "kinds": np.frombuffer("".join(f"{kind}\0" for kind in kinds).encode("utf-8", "surrogateescape"), np.uint8),
    }


def _samples(tar: tarfile.TarFile, end: int) -> Iterator[tuple[str, int, int, int, list[tuple[str, int, int]]]]:
    """Name, start, size, label and further members (kind, start, size) of each whole sample before `end`."""
    key, item, label, further = ("", ""), None, -1, list[tuple[str, int, int]]()
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
                yield *item, label, further
            key, item, label, further = (folder, stem), None, -1, []
        kind = kind.lower()
        name, _, suffix = kind.rpartition(".")
        if kind in ITEM_KINDS and item is None:
            item = (member.name, member.offset_data, member.size)
        elif kind in ("cls", "json") and label < 0 and member.size <= LARGEST_LABEL:
            label = _label(tar, member, kind)
        if kind in ("json", "txt") or (name and suffix in (*ITEM_KINDS, "txt")):
            further.append((kind, member.offset_data, member.size))
    if item is not None:
        yield *item, label, further


class _Columns(Mapping[str, Any]):
    """The further members of samples, and the fields of their json, each read when it is looked up."""

    def __init__(self, shards: TarShards, indices: Sequence[Index]) -> None:
        self._shards = shards
        self._places: dict[str, dict[str, NDArray[np.int64]]] = {}
        """By column and kind the rows (sample, start, size)."""
        self._fields: list[str] | None = None
        first = 0
        for index in indices:
            further, kinds = index["further"], NameList(index["kinds"].tobytes())
            for number, raw in enumerate(kinds):
                kind = raw.decode("utf-8", "surrogateescape")
                rows = further[further[:, 1] == number][:, [0, 2, 3]] + np.array([first, 0, 0])
                name, _, suffix = kind.rpartition(".")
                places = self._places.setdefault(name or suffix, {})
                places[kind] = np.concatenate([places[kind], rows]) if kind in places else rows
            first += len(index["starts"])

    def __getitem__(self, name: str) -> Any:
        """Read a column: texts, numbers and vectors as a list, or images by index."""
        if name == CAPTION and name not in list(self):
            name = "txt"
        if name in self._places and name != "json":
            if set(self._places[name]) & {"txt", f"{name}.txt"}:
                return self._read(name, _text)
            images = _Members(self._shards, name, self._places[name])
            small = images.small_array()
            return images if small is None else [images.small_array(row) for row in range(images.count)]
        if name not in self._json_fields():
            raise KeyError(name)
        return self._read("json", lambda raw: _json(raw).get(name))

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*(name for name in self._places if name != "json"), *self._json_fields()])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(self) or (name == CAPTION and "txt" in self._places)

    def _json_fields(self) -> list[str]:
        """The fields of the first samples besides the label."""
        if self._fields is None:
            places = [rows[:PEEKED_MEMBERS] for rows in self._places.get("json", {}).values()]
            contents = [_json(self._member(*place)) for rows in places for place in rows.tolist()]
            self._fields = [key for key in dict.fromkeys(key for one in contents for key in one) if key != "label"]
        return self._fields

    def _member(self, row: int, start: int, size: int) -> bytes:
        """The bytes of a member; none if the shard was cut since."""
        with suppress(Unreadable):
            return self._shards.section(row, start, size)
        return b""

    def _read(self, name: str, value: Callable[[bytes], Any]) -> list[Any]:
        column: list[Any] = [None] * self._shards.count
        for rows in self._places[name].values():
            for row, start, size in rows.tolist():
                one = value(self._member(row, start, size))
                column[row] = float(one) if type(one) is int else one
        if all(one is None or isinstance(one, str) for one in column):
            with suppress(ValueError):  # texts that are all numbers
                return [None if one is None else float(one) for one in column]
        return column


class _Members(StoredItems):
    """The images under one name, in the order of the samples."""

    def __init__(self, shards: TarShards, name: str, places: Mapping[str, NDArray[np.int64]]) -> None:
        super().__init__(f"{name} of {shards.name}", shards.count)
        self._shards, self._name, self.fork_safe = shards, name, shards.fork_safe
        self._places = np.full((shards.count, 2), -1, np.int64)
        for rows in places.values():
            self._places[rows[:, 0]] = rows[:, 1:]

    def raw(self, row: int) -> bytes:
        return self._bytes(row, int(self._places[row, 1]))

    def head(self, row: int) -> bytes:
        return self._bytes(row, min(int(self._places[row, 1]), HEADER))

    def name_of(self, row: int) -> str:
        return f"{self._name} of {self._shards.name_of(row)}"

    def small_array(self, row: int | None = None) -> Any:
        """The numbers of a .npy without an axis of space; None for images and what cannot be read."""
        rows = np.flatnonzero(self._places[:, 0] >= 0)
        with suppress(Unreadable, ValueError, OSError):
            raw = self.raw(int(rows[0]) if row is None else row)
            if raw.startswith(NPY):
                content = np.load(io.BytesIO(raw), allow_pickle=False)
                return content.astype(np.float64).reshape(-1) if content.ndim < 2 else None
        return None

    def _bytes(self, row: int, size: int) -> bytes:
        if size < 0:
            raise Unreadable(f"the sample has no {self._name}")
        return self._shards.section(row, int(self._places[row, 0]), size)


def _text(raw: bytes) -> str | tuple[str, ...] | None:
    """The lines of a text that are not empty."""
    texts = lines(raw, errors="surrogateescape")  # which `TextColumn` refuses by the name of the sample
    return texts if len(texts) > 1 else texts[0] if texts else None


def _json(raw: bytes) -> dict[str, Any]:
    """The content of a json; {} if it is damaged, or no object."""
    with suppress(ValueError):
        content = parse_json(raw)
        return content if isinstance(content, dict) else {}
    return {}


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> int:
    """The number in a member of a few bytes; -1 if there is none."""
    file = tar.extractfile(member)
    raw = file.read() if file else b""
    with suppress(ValueError):
        if kind == "json":
            content = parse_json(raw)
            number = content.get("label") if isinstance(content, dict) else None
        else:
            number = int(raw)
        if type(number) is int and 0 <= number < MAX_CLASSES:
            return number
    return -1


def _end_problem(stream: BinaryIO, offset: int, size: int) -> str:
    """The fault where the last member ended; "" for the zeros that end a whole archive."""
    if offset + tarfile.BLOCKSIZE > size:
        return "cut short"
    stream.seek(offset)
    return "damaged" if any(stream.read(tarfile.BLOCKSIZE)) else ""
