"""The one protocol for data sets: items and labels by index, whether they are in memory or read where they lie."""

import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils import data as torch_data

from ancestral.data.codec import Codec
from ancestral.data.convert import Conversion
from ancestral.data.fingerprint import fingerprint
from ancestral.data.io_errors import Unreadable
from ancestral.data.sources.image_files import strict_pillow
from ancestral.data.spec import DataSpec, Raw, decode_item, infer_spec, reading_threads, size_text, spec_of_items
from ancestral.data.statistics import evenly_spaced
from ancestral.events import Work, finish

READ_AT_ONCE, REPORTED = 16, 64
"""Numbers of items that a thread reads before it may be stopped, and between two reports of the progress."""
MOST_READ = 256
"""Default limit of `Dataset.sample` for items that are not in memory."""


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
    notes: tuple[tuple[str, str], ...] = ()
    """What was assumed of the data, each with what to do if that is wrong."""
    rate: int | None = None
    """Samples in a second, of recordings."""
    rows: Tensor | None = None
    """Of a subset the number of each item in the whole data set, int64 (N,)."""
    in_memory: ClassVar[bool]

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

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.read(index)

    def name_of(self, index: int) -> str:
        """What messages call an item, in one line."""
        return f"item {index}"

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
    limits: tuple[float, float] | None = None
    """The range of floats that the codec maps to [-1, 1]; None is that of `items`."""
    source: str = ""
    """The fingerprint of what was loaded; "" of items that were in memory."""
    notes: tuple[tuple[str, str], ...] = ()
    rate: int | None = None
    rows: Tensor | None = None
    in_memory = True

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """As `data.fingerprint` computes it."""
        return self.source or fingerprint(len(self), self.labels, lambda index: ("", self.items[index]))

    @cached_property
    def spec(self) -> DataSpec:  # type: ignore[override]
        """The shape, codec, classes and mean. Raises InputError for floats without a range."""
        return spec_of_items(self.items, self.classes, self.name, self.limits, self.rate)

    def read(self, index: int) -> tuple[Tensor, int]:
        """Return an item and its label, -1 without."""
        return self.items[index], -1 if self.labels is None else int(self.labels[index])

    def sample(self, n: int, read: int = MOST_READ) -> "InMemoryDataset":
        """Return `n` evenly spaced items, or the data set itself if it has no more."""
        if len(self) <= n:
            return self
        rows = evenly_spaced(n, len(self))
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, source="", items=self.items[rows], labels=labels, rows=None)

    def subset(self, rows: Tensor) -> "InMemoryDataset":
        """Return the items `rows`, copied."""
        labels = None if self.labels is None else self.labels[rows]
        limits = self.codec.limits if self.items.is_floating_point() else None
        return replace(self, items=self.items[rows], labels=labels, limits=limits, source=self.fingerprint, rows=rows)


class LazyDataset(Dataset):
    """Items that are read and decoded when needed. A subclass says where the bytes of each lie."""

    in_memory = False
    threads = min(8, os.cpu_count() or 1)
    """Number of threads that may read at the same time."""

    def __init__(
        self,
        name: str,
        count: int,
        labels: Tensor | None,
        classes: tuple[str, ...],
        skipped: tuple[str, ...],
        conversion: Conversion,
        dims: int | None = None,
    ) -> None:
        """Infer the spec of `count` items. What `encoded` needs must be set before. Raises as `infer_spec` does."""
        self.name, self.labels, self.skipped = name, labels, skipped
        self._count, self._dims = count, dims
        self.spec, self._conversion, self.notes = infer_spec(self, classes, conversion, dims)

    @abstractmethod
    def encoded(self, index: int) -> Raw:
        """Return an item as it is stored. Raises Unreadable or SourceLost."""

    def encoded_begin(self, index: int) -> Raw | None:
        """Return at least the first `spec.HEADER` bytes of `encoded`; None if items have no headers."""
        return self.encoded(index)

    def read(self, index: int) -> tuple[Tensor, int]:
        """Read and decode an item."""
        with strict_pillow():
            item = decode_item(self.encoded(index), self._conversion, self._dims)
        if tuple(item.shape) != self.shape or item.dtype != self.codec.dtype:
            raise Unreadable(f"it is {size_text(item.shape)}, but the others are {size_text(self.shape)}")
        return item, -1 if self.labels is None else int(self.labels[index])

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """As `data.fingerprint` computes it."""
        return fingerprint(len(self), self.labels, lambda index: (self.name_of(index), self.encoded(index)))

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Size of all decoded items."""
        return len(self) * torch.empty(self.shape, dtype=self.codec.dtype, device="meta").nbytes

    def sample(self, n: int, read: int = MOST_READ) -> InMemoryDataset:
        """Read at most min(n, read) evenly spaced items; unreadable ones are left out."""
        return replace(finish(self._gather(evenly_spaced(min(n, read), len(self)))), skipped=self.skipped)

    def load(self) -> InMemoryDataset:
        """Load all items; unreadable ones are left out and listed in `skipped`."""
        return finish(self.loading())

    def loading(self) -> Generator[Work, None, InMemoryDataset]:
        """Load all items as `load` does, and report the progress."""
        return replace((yield from self._gather(range(len(self)))), source=self.fingerprint)

    def subset(self, rows: Tensor) -> Dataset:
        """Return the items `rows`, which are read when needed."""
        return Subset(self, rows)

    def _gather(self, rows: Sequence[int]) -> Generator[Work, None, InMemoryDataset]:
        items = torch.empty(len(rows), *self.shape, dtype=self.codec.dtype)

        def place(position: int) -> str | None:
            try:
                items[position] = self.read(rows[position])[0]
            except Unreadable as reason:
                return f"{self.name_of(rows[position])}: {reason}"
            return None

        reasons: list[str | None] = []
        with reading_threads(self.threads) as pool:
            for reason in pool.imap(place, range(len(rows)), READ_AT_ONCE):
                reasons.append(reason)
                if len(reasons) % REPORTED == 0:
                    yield Work(f"reading {self.name}", len(reasons), len(rows), "items")
        skipped = tuple(reason for reason in reasons if reason is not None)
        labels = None if self.labels is None else self.labels[torch.tensor(rows)].long()
        if skipped:
            kept = [position for position, reason in enumerate(reasons) if reason is None]
            for new, old in enumerate(kept):  # close the gaps in place: items[kept] would hold everything twice
                if new != old:
                    items[new] = items[old]
            items, labels = items[: len(kept)], None if labels is None else labels[kept]
        return InMemoryDataset(
            items,
            labels,
            self.classes,
            self.name,
            self.skipped + skipped,
            self.codec.limits,
            notes=self.notes,
            rate=self.rate,
        )


class Subset(Dataset):
    """Some items of a data set that is not in memory."""

    in_memory = False

    def __init__(self, whole: LazyDataset, rows: Tensor) -> None:
        self._whole, self._rows, self.rows = whole, rows, rows
        self.name, self.spec, self.notes, self.rate = whole.name, whole.spec, whole.notes, whole.rate
        self.skipped, self.fingerprint = whole.skipped, whole.fingerprint
        self.labels = None if whole.labels is None else whole.labels[rows]

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, index: int) -> tuple[Tensor, int]:
        """Read and decode an item."""
        return self._whole.read(int(self._rows[index]))

    def name_of(self, index: int) -> str:
        """What the whole data set calls the item."""
        return self._whole.name_of(int(self._rows[index]))

    def sample(self, n: int, read: int = MOST_READ) -> InMemoryDataset:
        """Read at most min(n, read) evenly spaced items; unreadable ones are left out."""
        rows = self._rows[evenly_spaced(min(n, read), len(self))]
        return replace(finish(self._whole._gather(rows.tolist())), skipped=self.skipped)

    def subset(self, rows: Tensor) -> "Subset":
        """Return the items `rows` of these."""
        return Subset(self._whole, self._rows[rows])
