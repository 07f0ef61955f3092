"""The one protocol for data sets: items and labels by index, whether they are in memory or read where they lie."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from torch import Tensor
from torch.utils import data as torch_data

from ancestral.data.codec import Codec
from ancestral.data.fingerprint import fingerprint
from ancestral.data.spec import DataSpec, spec_of_items
from ancestral.data.statistics import evenly_spaced

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
