"""Data sets: items and labels by index, in memory or read where they lie, and how one is split and recognised."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils import data as torch_data

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Condition, Limits
from ancestral.config.data_config import HeldOut
from ancestral.data.convert import centre, centre_corner, positions
from ancestral.data.decoding import Raw
from ancestral.data.files import Unreadable
from ancestral.data.grid import Grid
from ancestral.data.spec import Codec, DataSpec, spec_of_items
from ancestral.randomness import Stream

MOST_READ = 256
"""Default limit of `Dataset.sample` for items that are not in memory."""
BLOCKS = 5
"""The largest number of runs of items that a split by blocks holds out."""
HASHED = 64
"""Number of items whose bytes are hashed in a fingerprint."""
Notes = tuple[tuple[str, str], ...]
"""Assumptions on the data, each with what to do if it is wrong."""
Values: TypeAlias = "Tensor | Dataset"
"""A condition of all items, the label besides: classes int64 (N,), -1 where there is none; vectors float64 (N, k), NaN
where there is none; or images, whose item i is that of item i."""


class Dataset(torch_data.Dataset[tuple[Tensor, int]], ABC):
    """Items with optional labels, read by index. `torch.utils.data` can use it as a map-style data set."""

    name: str
    spec: DataSpec
    labels: Tensor | None
    """Integers (N,), or None if the source has no classes; -1 is an item without a class."""
    skipped: tuple[str, ...] = ()
    """One line per file that cannot be read: "path: reason"."""
    fingerprint: str
    """The text by which the data are recognised, as `data.fingerprint` computes it."""
    notes: Notes = ()
    rate: int | None = None
    """Samples in a second, of recordings."""
    rows: Tensor | None = None
    """Number of each item of a subset in the whole data set, int64 (N,)."""
    conditions: Mapping[str, Values] = {}
    """The values of the conditions that the data hold besides the label, by name."""
    threads: int = min(8, os.cpu_count() or 1)
    """Number of threads that may read at the same time."""
    fork_safe: bool = True
    """Whether processes that are forked can read items, unlike the images that they are conditioned on."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int) -> tuple[Tensor, int]:
        """Read an item, (C, *space) or (2,) as `spec` says, and its label, -1 without.

        Raises:
            Unreadable: If this item cannot be read.
            SourceLost: If the place of the data does not respond.
        """

    @abstractmethod
    def sample(self, n: int, read: int = MOST_READ) -> "InMemoryDataset":
        """Load at most `n` items, evenly spaced from the first to the last; unreadable ones are left out.

        Args:
            n: Number of items.
            read: Limit of `n` where the items are not in memory.
        """

    @abstractmethod
    def subset(self, rows: Tensor) -> "Dataset":
        """Return the items `rows`, int64 (n,), as a data set with the spec and the fingerprint of this one."""

    def without(self, rows: Sequence[int]) -> "Dataset":
        """Return the data set without some items; rows that it does not have are none."""
        if not rows:
            return self
        kept = torch.ones(len(self), dtype=torch.bool)
        kept[[row for row in rows if row < len(self)]] = False
        return self.subset(kept.nonzero().flatten())

    @abstractmethod
    def with_conditions(
        self, conditions: Mapping[str, "Values"], kinds: Mapping[str, Condition], notes: Notes = ()
    ) -> "Dataset":
        """Return the data set with other conditions besides the label.

        Args:
            conditions: Their values.
            kinds: Their kinds, also of those that are made from the items.
            notes: Further notes.
        """

    @abstractmethod
    def with_labels(self, labels: Tensor, classes: tuple[str, ...]) -> "Dataset":
        """Return the data set with these labels, int64 (N,), of classes with these names."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.read(index)

    def name_of(self, index: int) -> str:
        """Name an item for messages, in one line."""
        return f"item {index}"

    @property
    def in_time(self) -> bool:
        """Whether the items follow each other in time."""
        return self.spec.grid is not None and self.spec.grid.items.role == "T"

    def along(self, axis: str) -> NDArray[Any]:
        """Return the place of each item on its axis, numbers or datetime64 (N,).

        Raises:
            InputError: If the items lie along no such axis.
        """
        raise InputError(f"the items of {self.name} lie along no axis {axis!r}: give a share, as in 0.1:blocks")

    def empty(self, *sizes: int) -> Tensor:
        """Allocate a tensor (*sizes, *shape) for items."""
        return torch.empty(*sizes, *self.shape, dtype=self.codec.dtype)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of an item as it is stored: larger than `shape` if items are windows of it."""
        return self.shape

    def empty_stored(self, *sizes: int) -> Tensor:
        """Allocate a tensor (*sizes, *stored_shape) for items as they are stored."""
        return torch.empty(*sizes, *self.stored_shape, dtype=self.codec.dtype)

    def read_stored(self, index: int) -> Tensor:
        """Read an item as it is stored, (C, *space). Raises as `read`."""
        return self.read(index)[0]

    def prefetch(self, indices: Sequence[int]) -> None:
        """Fetch items that are read next, and their images, at the same time, where they lie on another machine."""
        for values in self.conditions.values():
            if not isinstance(values, Tensor):
                values.prefetch(indices)

    @abstractmethod
    def windows(self, sides: Sequence[int]) -> "Dataset":
        """Return the windows at the centre of items, which training cuts at random from what is stored.

        Raises:
            InputError: If they are larger than the items, or have other axes.
        """

    def images_of(self, index: int, stored: bool = False) -> dict[str, Tensor]:
        """Read the images that an item is conditioned on, each (C, *space). Raises as `read`.

        Args:
            index: The number of the item.
            stored: Whether images from which windows are cut are whole, as of `read_stored`.
        """
        images = dict[str, Tensor]()
        for name, values in self.conditions.items():
            if not isinstance(values, Tensor):
                try:
                    images[name] = values.read_stored(index) if stored else values.read(index)[0]
                except Unreadable as reason:
                    raise Unreadable(f"{values.name_of(index)}: {reason}") from None
        return images

    def numbers_of(self, rows: Tensor | list[int]) -> dict[str, Tensor]:
        """Return the classes and vectors that the items `rows` are conditioned on, (n,) and (n, k), besides labels."""
        return {name: values[rows] for name, values in self.conditions.items() if isinstance(values, Tensor)}

    def conditions_of(self, rows: Tensor | list[int]) -> dict[str, Tensor]:
        """Read all that the items `rows` are conditioned on besides labels: (n,), (n, k) or (n, C, *space).

        Positions are those of windows at the centre.
        """
        images = [self.images_of(int(row)) for row in rows]
        stacked = {name: torch.stack([one[name] for one in images]) for name in (images[0] if images else {})}
        kinds = self.spec.further if self.spec.whole else {}
        for name, kind in kinds.items():
            if getattr(kind, "window", "") == "position":
                at = centre_corner(self.spec.whole, self.shape[1:]).expand(len(images), -1)
                stacked[name] = positions(self.spec.whole, self.shape[1:], at)
        return self.numbers_of(rows) | stacked

    def conditions_at(self, rows: Tensor) -> dict[str, Values]:
        """Return the conditions of the items `rows`, int64 (n,), for a subset of the data."""
        return {
            name: values[rows] if isinstance(values, Tensor) else values.subset(rows)
            for name, values in self.conditions.items()
        }

    def labels_of(self, rows: Tensor | list[int]) -> Tensor | None:
        """Return the labels of the items `rows`, int64 (n,), or None if the source has no classes."""
        return None if self.labels is None else self.labels[rows].long()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, *space) or (2,)."""
        return self.spec.shape

    @property
    def codec(self) -> Codec:
        """The mapping between items and the network's [-1, 1]."""
        return self.spec.codec

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each label; empty without labels."""
        return self.spec.classes


@dataclass(frozen=True, eq=False)
class InMemoryDataset(Dataset):
    """All items in one tensor.

    Images stay integers until a batch is encoded: a quarter of the memory of float32.
    """

    items: Tensor
    """(N, C, *space) with 1 axis of space for signals, 2 for images, 3 for volumes: uint8, uint16 or float32 of any
    range; or float32 (N, 2) points in [-1, 1]."""
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    name: str = "data"
    skipped: tuple[str, ...] = ()
    limits: Limits | None = None
    """The range of floats that the codec maps to [-1, 1], or that of each channel; None is that of `items`, of several
    channels by channel."""
    coded: Codec | None = None
    """The codec, where it is another than this range to [-1, 1]."""
    grid: Grid | None = None
    """Names, units and coordinates of channels and axes, of fields."""
    source: str = ""
    """The fingerprint of what was loaded; "" of items that were in memory."""
    notes: Notes = ()
    rate: int | None = None
    rows: Tensor | None = None
    conditions: Mapping[str, Values] = field(default_factory=dict)
    kinds: Mapping[str, Condition] = field(default_factory=dict)
    """The kind of each condition besides the label, of those that are made from the items too."""

    stored: Tensor | None = None
    """The items (N, C, *space) that `items` are the centres of, if they are larger."""
    origin: Dataset | None = field(default=None, repr=False)
    """The data set that the items were read from, in the same order, which names them."""

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """As `data.fingerprint` computes it."""
        if self.source:
            return self.source
        return fingerprint(len(self), self.labels, lambda index: ("", self.items[index]), self.conditions)

    @cached_property
    def spec(self) -> DataSpec:  # type: ignore[override]
        """The shape, codec, conditions and mean. Raises InputError for floats without a range."""
        facts = self.classes, self.name, self.limits, self.rate, self.kinds, self.coded
        whole = () if self.stored is None else tuple(self.stored.shape[2:])
        return replace(spec_of_items(self.items, *facts), grid=self.grid, whole=whole)

    def name_of(self, index: int) -> str:
        """Name an item for messages: as where it was read, if it was."""
        return super().name_of(index) if self.origin is None else self.origin.name_of(index)

    def along(self, axis: str) -> NDArray[Any]:
        """See `Dataset.along`: as where they were read."""
        return super().along(axis) if self.origin is None else self.origin.along(axis)

    def read(self, index: int) -> tuple[Tensor, int]:
        """Return an item and its label, -1 without."""
        return self.items[index], -1 if self.labels is None else int(self.labels[index])

    def sample(self, n: int, read: int = MOST_READ) -> "InMemoryDataset":
        """Return `n` evenly spaced items, or the data set itself if it has no more."""
        if len(self) <= n:
            return self
        rows = torch.tensor(evenly_spaced(n, len(self)))
        return replace(self._part(rows), source="", rows=None)

    def subset(self, rows: Tensor) -> "InMemoryDataset":
        """Return the items `rows`, copied."""
        limits = self.codec.channel_limits if self.items.is_floating_point() else None
        return replace(self._part(rows), limits=limits, source=self.fingerprint)

    @property
    def all_stored(self) -> Tensor:
        """All items in the size that is in memory."""
        return self.items if self.stored is None else self.stored

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the items in memory."""
        return self.shape if self.stored is None else tuple(self.stored.shape[1:])

    def read_stored(self, index: int) -> Tensor:
        """Return an item in the size that is in memory."""
        return self.all_stored[index]

    def windows(self, sides: Sequence[int]) -> "InMemoryDataset":
        """Return the windows at the centre of the items, as a view of them."""
        check_windows(self, sides)
        limits = self.codec.channel_limits if self.items.is_floating_point() else None
        items = centre(self.items, sides)
        grid = None if self.grid is None else self.grid.of_sides(self.shape[1:], sides)
        return replace(self, items=items, stored=self.items, limits=limits, source=self.fingerprint, grid=grid)

    def with_conditions(
        self, conditions: Mapping[str, Values], kinds: Mapping[str, Condition], notes: Notes = ()
    ) -> "InMemoryDataset":
        """See `Dataset.with_conditions`."""
        source = self.source
        if source and conditions.keys() != self.conditions.keys():  # they are other data
            source = fingerprint(len(self), None, lambda _: ("", source.encode()), conditions)
        return replace(self, conditions=conditions, kinds=kinds, notes=self.notes + notes, source=source)

    def with_labels(self, labels: Tensor, classes: tuple[str, ...]) -> "InMemoryDataset":
        """See `Dataset.with_labels`."""
        return replace(self, labels=labels, classes=classes)

    def _part(self, rows: Tensor) -> "InMemoryDataset":
        stored = None if self.stored is None else self.stored[rows]
        items = self.items[rows] if stored is None else centre(stored, self.shape[1:])
        origin = None if self.origin is None else self.origin.subset(rows)
        part = replace(self, items=items, stored=stored, labels=self.labels_of(rows), rows=rows, origin=origin)
        return replace(part, conditions=self.conditions_at(rows))


def check_windows(data: Dataset, sides: Sequence[int]) -> None:
    """Raise InputError unless windows of some sides can be cut from items."""
    own = data.shape[1:]
    if len(own) != len(sides) or any(side > whole for side, whole in zip(sides, own, strict=True)):
        items = "x".join(map(str, own)) if own else "points"
        raise InputError(
            f"{option('crop', 'x'.join(map(str, sides)))} cuts windows of items that are at least as large, and those "
            f"of {data.name} are {items}: give {f'at most {items}' if own else 'none'}"
        )


def fingerprint(
    count: int,
    labels: Tensor | None,
    item: Callable[[int], tuple[str, Raw]],
    conditions: Mapping[str, Values] | None = None,
) -> str:
    """Compute a short text by which data are recognised wherever they lie.

    Args:
        count: The number of items.
        labels: The label of each.
        item: Returns the name and the stored form of an item, or raises Unreadable.
        conditions: The conditions besides the label.

    Returns:
        The number and a hash of evenly spaced items, as in "1911:0f343b0931126a20". Items between these do not count.
    """
    digest = hashlib.sha256()
    digest.update(b"" if labels is None else labels.long().numpy().tobytes())
    for index in evenly_spaced(HASHED, count):
        try:
            name, raw = item(index)
        except Unreadable as error:
            name, raw = "unreadable", str(error).encode()
        digest.update(name.encode(errors="surrogateescape"))
        digest.update(
            raw if isinstance(raw, bytes) else (raw if isinstance(raw, Image.Image) else np.asarray(raw)).tobytes()
        )
    for name, values in (conditions or {}).items():
        one = values.numpy().tobytes() if isinstance(values, Tensor) else values.fingerprint.encode()
        digest.update(name.encode() + one)
    return f"{count}:{digest.hexdigest()[:16]}"


def hold_out(data: Dataset, share: float | HeldOut, moved: Sequence[int] = ()) -> tuple[Dataset, Dataset]:
    """Split a data set into the items to train on and those that are held out.

    The items are chosen at random, from each class in proportion to its size; or by blocks, in at most BLOCKS runs of
    items that follow each other, each in the middle of an equal part of the data. The choice depends on the number of
    items and their labels alone, so a run that is resumed, an evaluation and all processes make the same one.

    Args:
        data: The whole data set.
        share: The share that is held out, above 0 and below 1, and how.
        moved: Rows that change sides, so that copies stay together (`equal_items.moved_rows`). Training records them.

    Returns:
        The two parts, each in the order of the data.

    Raises:
        InputError: If a part has fewer than two items, of which no standard error can be computed.
    """
    mask = held_out_mask(data, share)
    n, rows = int(mask.sum()), torch.tensor(moved, dtype=torch.int64)
    rows = rows[rows < len(data)]
    mask[rows] = ~mask[rows]
    if not 2 <= mask.sum() <= len(data) - 2:
        raise InputError(
            f"{option('validation', str(share))} of {len(data):,} items holds out {n:,}, but nearly all items are "
            "copies of others, and no set of copies fits: give a larger share, other data, or each item once"
        )
    return data.subset((~mask).nonzero().flatten()), data.subset(mask.nonzero().flatten())


def held_out_mask(data: Dataset, share: float | HeldOut) -> Tensor:
    """Choose the items that `hold_out` holds out, bool (N,), whatever copies there are. Raises as `hold_out`."""
    count, part = len(data), share if isinstance(share, HeldOut) else HeldOut(share)
    mask = torch.zeros(count, dtype=torch.bool)
    if part.axis:
        mask = _stretch(data, part)
    n = int(mask.sum()) if part.axis else round(part.share * count)
    if part.axis and min(n, count - n) < 2:
        places = data.along(part.axis)
        raise InputError(
            f"{option('validation', str(part))} holds out {n:,} of {count:,} items, which lie from {places[0]} to "
            f"{places[-1]}"
        )
    if min(n, count - n) < 2:
        raise InputError(
            f"{option('validation', str(part))} of {count:,} items holds out {n:,} and leaves {count - n:,} to "
            "train on: give a share that makes both at least 2, or other data"
        )
    if part.axis:
        return mask
    if data.in_time and not part.by_blocks:
        mask[count - n :] = True
        return mask
    if part.by_blocks:
        blocks = min(BLOCKS, n // 2)
        for block in range(blocks):
            (start, end), (held, all_held) = ((block * of // blocks, (block + 1) * of // blocks) for of in (count, n))
            first = start + (end - start - (all_held - held)) // 2
            mask[first : first + all_held - held] = True
        return mask
    key = held_out_keys(count)
    labels = None if data.labels is None or bool((data.labels < 0).all()) else data.labels
    order = (key if labels is None else key + labels).argsort(stable=True)  # by class, at random within each
    mask[order[((torch.arange(n) + 0.5) * (count / n)).long()]] = True
    return mask


def _stretch(data: Dataset, part: HeldOut) -> Tensor:
    """The items whose place on their axis lies in a stretch, the ends included, bool (N,)."""
    places = data.along(part.axis)
    try:
        if places.dtype.kind == "M":
            first, last = np.datetime64(part.first), np.datetime64(part.last)
            inside = (places >= first) & (places.astype(last.dtype) <= last)  # in its own unit: the whole year
        else:
            inside = (places >= float(part.first)) & (places <= float(part.last))
    except ValueError:
        raise InputError(
            f"{option('validation', str(part))} names no stretch of {part.axis}, {places[0]} to {places[-1]}: give its "
            "first and last place"
        ) from None
    return torch.from_numpy(inside)


def held_out_keys(count: int) -> Tensor:
    """Numbers from U[0, 1), one for each of `count` items, by which a split orders them."""
    return randomness.uniform(0, Stream.HELD_OUT, 0, range(count))


def evenly_spaced(n: int, count: int) -> list[int]:
    """Return `n` evenly spaced indices of `count` items, the first and the last included, or all if count <= n."""
    if count <= n or n < 2:
        return list(range(min(n, count)))
    return [round(i * (count - 1) / (n - 1)) for i in range(n)]


def evenly_spaced_first(n: int, count: int) -> Iterator[int]:
    """Yield each index of `count` items once: `n` evenly spaced ones, then the others in order."""
    first = evenly_spaced(n, count)
    yield from first
    spaced = set(first)
    yield from (index for index in range(count) if index not in spaced)
