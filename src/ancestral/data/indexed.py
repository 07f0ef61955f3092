"""Sources of any size whose items are read one by one, by index, from where they lie."""

import os
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset
from ancestral.data.folder import quiet
from ancestral.data.form import Formed, survey
from ancestral.data.reading import Unreadable

Labels = NDArray[np.integer]


class Indexed(Formed, ABC):
    """Items by index. A subclass says where the bytes of each lie; all else follows from headers and a sample."""

    def __init__(
        self,
        name: str,
        count: int,
        labels: Labels | None,
        classes: tuple[str, ...],
        skipped: tuple[str, ...],
        conversion: Conversion,
        dims: int | None = None,
    ) -> None:
        """Survey the items; whatever `encoded` needs has to be there. Raises InputError like `survey`."""
        self.name, self.classes, self.skipped = name, classes, skipped
        self.labels = labels
        """(N,), or None where the source has no classes; -1 is an item without one."""
        self._count = count
        self.form = survey(name, count, self.encoded, self.begin, self.name_of, conversion, dims)

    @abstractmethod
    def encoded(self, index: int) -> bytes:
        """The bytes of an item, as a file would hold them. Raises Unreadable, or SourceLost where all are gone."""

    @abstractmethod
    def name_of(self, index: int) -> str:
        """What a message calls an item, in one line."""

    def begin(self, index: int) -> bytes:
        """At least the first `form.HEADER` of these bytes, where they can be had without the rest."""
        return self.encoded(index)

    def read(self, index: int) -> tuple[Tensor, int]:
        """An item, of `shape` and `codec`, and its label, -1 without. Raises like `encoded`."""
        return self.form.decode(self.encoded(index)), self.label(index)

    def label(self, index: int) -> int:
        """The number of an item's class, or -1."""
        return -1 if self.labels is None else int(self.labels[index])

    def __len__(self) -> int:
        return self._count

    @property
    def labelled(self) -> bool:
        """Whether there are classes."""
        return self.labels is not None

    @property
    def size(self) -> int:
        """Bytes of all items in memory."""
        return len(self) * torch.empty(self.shape, dtype=self.codec.dtype, device="meta").nbytes


def gathered(data: Indexed) -> Dataset:
    """All of it in memory, with the same shape, codec and classes.

    Items that cannot be read, or are not of the form of the others, are left out and listed in `skipped`.
    """
    items = torch.empty(len(data), *data.shape, dtype=data.codec.dtype)

    def place(index: int) -> str | None:
        try:
            items[index] = data.read(index)[0]
        except Unreadable as reason:
            return f"{data.name_of(index)}: {reason}"
        return None

    # Each read silences Pillow too, which is not safe among threads unless it is silenced around all of them.
    with quiet(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        reasons = list(pool.map(place, range(len(data))))
    skipped = data.skipped + tuple(reason for reason in reasons if reason is not None)
    labels = None if data.labels is None else torch.from_numpy(data.labels.astype(np.int64))
    if len(skipped) > len(data.skipped):
        kept = [row for row, reason in enumerate(reasons) if reason is None]
        for new, old in enumerate(kept):  # close the gaps in place: items[kept] would hold everything twice
            if new != old:
                items[new] = items[old]
        items, labels = items[: len(kept)], None if labels is None else labels[kept]
    return Dataset(items, labels, data.classes, data.name, skipped, data.codec.limits)
