"""Inspection of the items of a data set as training reads them: their values, and the files of a folder of images."""

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.base.errors import InputError, one_line
from ancestral.base.events import Event, Work
from ancestral.data import Dataset, InMemoryDataset, LazyDataset, equal_items
from ancestral.data.convert import Conversion, to_uint8
from ancestral.data.decoding import opened_image, read_header, reading_threads
from ancestral.data.files import Unreadable
from ancestral.data.sources.file_folder import FileFolder
from ancestral.measure.near_duplicates import SIZE, first_copies, thumbnails
from ancestral.results.data_report import ValueStatistics

DECODED_AT_ONCE, MEMORY_ITEMS_AT_ONCE = 16, 256
"""Numbers of items that a thread reads at a time: items that are decoded, and items in memory."""
COUNTED_AT_ONCE = 1 << 22  # values at a time, so that temporaries stay small
GREY_TOLERANCE = 8
"""Levels by which the channels of a pixel of a grey image may differ."""
FILE_FACTS = np.dtype(
    [
        ("mode", "U8"),  # Pillow's: L is grey, P a palette, A alpha, 1 black and white
        ("height", "i4"),  # upright, as the EXIF block of a photograph says
        ("width", "i4"),
        ("bytes", "i8"),
        ("animated", "?"),
        ("transparent", "?"),
    ]
)
"""Facts of an image file."""


@dataclass(frozen=True)
class InspectedItems:
    """Facts of the items of a data set; arrays have a row for each readable item."""

    data: Dataset
    """The readable items."""
    rows: NDArray[np.int64]
    """Their rows in the data set that was inspected, (N,)."""
    values: ValueStatistics
    unreadable: dict[str, str]
    """The reason by the name of each file or item that cannot be read."""
    flat: NDArray[np.bool_]
    """Whether an image or signal has one colour throughout, (N,)."""
    digests: NDArray[np.uint64]
    """64 bits that differ if any value does, (N,)."""
    thumbnails: NDArray[np.uint8] | None
    """Small versions of integer images, uint8 (N, number of views, SIZE); None of other items."""
    files: NDArray[np.void] | None
    """The FILE_FACTS of the files of a folder of images, (N,); None of other data."""

    @cached_property
    def first_copies(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first item of the same values as each, and the first one of the same look; see `near_duplicates`."""
        return first_copies(self.digests, self.flat, self.thumbnails)

    @property
    def copies(self) -> NDArray[np.int64]:
        """The rows of items that are copies of others, in order."""
        own = np.arange(len(self.data))
        return np.flatnonzero((self.first_copies[0] != own) | (self.first_copies[1] != own))

    def without(self, rows: NDArray[np.int64]) -> "InspectedItems":
        """Return the facts of the other items; `values` and `unreadable` stay those of all."""
        kept = np.setdiff1d(np.arange(len(self.data)), rows)
        return replace(
            self,
            data=self.data.without(rows.tolist()),
            rows=self.rows[kept],
            flat=self.flat[kept],
            digests=self.digests[kept],
            thumbnails=None if self.thumbnails is None else self.thumbnails[kept],
            files=None if self.files is None else self.files[kept],
        )


def inspect_items(data: Dataset, threads: int) -> Generator[Event, None, InspectedItems]:
    """Read all items of a data set once, with a number of threads.

    Raises:
        InputError: If no item can be read.
    """
    count, images = len(data), not data.codec.dtype.is_floating_point and len(data.shape) == 3 and data.shape[0] <= 4
    folder = data.source if images and isinstance(data, LazyDataset) and isinstance(data.source, FileFolder) else None
    flat, digests = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.uint64)
    small = np.zeros((count if images else 0, 2 if data.shape[0] in (2, 4) else 1, SIZE), dtype=np.uint8)
    files, sums = np.zeros(0 if folder is None else count, FILE_FACTS), ValueSums()
    unreadable, readable = dict(line.split(": ", 1) for line in data.skipped), list[int]()

    def read(block: range) -> tuple[dict[int, Tensor], dict[str, str]]:
        items, reasons = dict[int, Tensor](), dict[str, str]()
        for row in block:
            try:
                item = data.read(row)[0]
                data.images_of(row)
                items[row] = item
                if folder is not None and isinstance(raw := folder.raw(row), bytes):
                    files[row] = _file_facts(raw)
            except Unreadable as reason:
                reasons[data.name_of(row)] = str(reason)
        for row, item in items.items():
            flat[row] = item.ndim > 1 and bool((item == item.flatten(1)[:, 0].view(-1, *[1] * (item.ndim - 1))).all())
        if items:
            digests[list(items)] = equal_items.digests(torch.stack(list(items.values())))
        if images and items:
            small[list(items)] = thumbnails(to_uint8(torch.stack(list(items.values()))))
        return items, reasons

    size = MEMORY_ITEMS_AT_ONCE if isinstance(data, InMemoryDataset) else DECODED_AT_ONCE
    blocks = [range(start, min(start + size, count)) for start in range(0, count, size)]
    with reading_threads(threads) as pool:
        for block, (items, reasons) in zip(blocks, pool.imap(read, blocks), strict=True):
            unreadable |= reasons
            readable += items
            if items:
                sums.add(torch.stack(list(items.values())))
            yield Work("reading", block.stop, count, "items")
    if not readable:
        raise InputError(f"{data.name} holds no items that can be read")
    return InspectedItems(
        data=data if len(readable) == count else data.subset(torch.tensor(readable)),
        rows=np.array(readable),
        values=sums.statistics(),
        unreadable=unreadable,
        flat=flat[readable],
        digests=digests[readable],
        thumbnails=small[readable] if images else None,
        files=None if folder is None else files[readable],
    )


def _file_facts(raw: bytes) -> tuple[str, int, int, int, bool, bool]:
    """The FILE_FACTS of a file that can be decoded."""
    header = read_header(raw, Conversion())
    assert header is not None
    with opened_image(raw) as image:
        mode = image.mode
        alpha = np.asarray(image.convert("RGBA"))[..., 3] if image.has_transparency_data else np.array(255)
        animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"  # a photograph and previews
    return mode, *header[2], len(raw), animated, bool((alpha < 255).any())


def class_counts(labels: Tensor | None, classes: tuple[str, ...]) -> dict[str, int]:
    """Count the items of each class.

    Args:
        labels: Integers (N,), below 0 for items without a class; None gives no counts.
        classes: The name of each label. Names that occur twice are numbered.
    """
    if labels is None:
        return {}
    counts = torch.bincount(labels[labels >= 0], minlength=len(classes)).tolist()
    names = [one_line(name) for name in classes]
    times = Counter(names)
    names = [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]
    return dict(zip(names, counts, strict=True))


def value_statistics(items: Tensor) -> ValueStatistics:
    """Compute the statistics of items (N, C, *space) or points (N, 2) in memory; 5,000 small images take 0.2 s."""
    sums = ValueSums()
    for chunk in torch.split(items, max(1, COUNTED_AT_ONCE // items[0].numel())):
        sums.add(chunk)
    return sums.statistics()


class ValueSums:
    """Mean and squared deviations of items (C, *space) of one shape, combined block by block (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count = self.values = self.grey = 0
        self.low, self.high = float("inf"), float("-inf")
        self.shape: tuple[int, ...] = ()
        self.dtype = torch.uint8
        self.mean = self.squares = torch.zeros(1, dtype=torch.float64)

    def add(self, items: Tensor) -> None:
        """Add items (N, C, *space), or points (N, C)."""
        self.shape, self.dtype = tuple(items.shape[1:]), items.dtype
        values = items.transpose(0, 1).flatten(1).double()
        low, high = (float(end) for end in values.aminmax())
        self.low, self.high = min(self.low, low), max(self.high, high)
        size, mean = values.shape[1], values.mean(1)
        shift, total = mean - self.mean, self.values + size
        self.squares = self.squares + (values - mean[:, None]).square().sum(1) + shift**2 * (self.values * size / total)
        self.mean = self.mean + shift * (size / total)
        self.count, self.values = self.count + len(items), total
        if items.ndim == 4 and items.shape[1] == 3 and items.dtype == torch.uint8:
            self.grey += int(((items.amax(1) - items.amin(1)).flatten(1).amax(1) <= GREY_TOLERANCE).sum())

    def statistics(self) -> ValueStatistics:
        """Compute the statistics."""
        dtype, std = str(self.dtype).removeprefix("torch."), (self.squares / self.values).sqrt()
        mean_and_std = tuple(self.mean.tolist()), tuple(std.tolist())
        return ValueStatistics(self.count, self.shape, dtype, *mean_and_std, self.low, self.high, self.grey)
