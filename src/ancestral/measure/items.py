"""Inspection of the items of a data set as training reads them: their values, files of a folder of images, duplicates.

Duplicates are items of the same values, and images saved again at another size or quality. A thumbnail of an image has
192 bytes: its brightness on 12 x 12 cells and its colour on 4 x 4. Images whose transparency is kept have two
thumbnails, on black and on white, and look alike if they do on both.
"""

import math
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ancestral.base.errors import InputError, one_line
from ancestral.base.events import Event, Work
from ancestral.data import Dataset, InMemoryDataset, LazyDataset, equal_items
from ancestral.data.convert import Conversion, composite, has_alpha, to_uint8
from ancestral.data.decoding import opened_image, read_header, reading_threads
from ancestral.data.files import Unreadable
from ancestral.data.sources.file_folder import FileFolder
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
CELLS, COLOURS = 12, 4
THUMBNAIL_SIZE = CELLS**2 + 3 * COLOURS**2
"""Number of bytes of a thumbnail."""
BRIGHTNESS, CONTRAST, COLOUR = 2.5, 0.06, 4.0
"""Largest root-mean-square differences of two thumbnails: in levels, relative to their contrast, and in colour."""
DETAIL_SIDE = 96
THUMBNAILS_AT_ONCE = 64  # thumbnails that are compared with others at a time, so that temporaries stay small
GROUNDS = (0, 0, 0), (255, 255, 255)
LUMA_WEIGHTS = (0.299, 0.587, 0.114)


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
    """Small versions of integer images, uint8 (N, number of views, THUMBNAIL_SIZE); None of other items."""
    files: NDArray[np.void] | None
    """The FILE_FACTS of the files of a folder of images, (N,); None of other data."""

    @cached_property
    def first_copies(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first item of the same values as each, and the first one of the same look; see `first_copies`."""
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
    small = np.zeros((count if images else 0, 2 if data.shape[0] in (2, 4) else 1, THUMBNAIL_SIZE), dtype=np.uint8)
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
        there = ~values.isnan()  # what is missing does not count
        gapped = not bool(there.all())
        low, high = (float(end) for end in (values[there] if gapped else values).aminmax())
        self.low, self.high = min(self.low, low), max(self.high, high)
        size: Any = there.sum(1) if gapped else values.shape[1]
        mean = values.nanmean(1).nan_to_num() if gapped else values.mean(1)
        shift, total = mean - self.mean, (self.values + size).clamp(min=1) if gapped else self.values + size
        squares = (values - mean[:, None]).nan_to_num().square().sum(1)
        self.squares = self.squares + squares + shift**2 * (self.values * size / total)
        self.mean = self.mean + shift * (size / total)
        self.count, self.values = self.count + len(items), total
        if items.ndim == 4 and items.shape[1] == 3 and items.dtype == torch.uint8:
            self.grey += int(((items.amax(1) - items.amin(1)).flatten(1).amax(1) <= GREY_TOLERANCE).sum())

    def statistics(self) -> ValueStatistics:
        """Compute the statistics."""
        dtype, std = str(self.dtype).removeprefix("torch."), (self.squares / self.values).sqrt()
        mean_and_std = tuple(self.mean.tolist()), tuple(std.tolist())
        return ValueStatistics(self.count, self.shape, dtype, *mean_and_std, self.low, self.high, self.grey)


def thumbnails(images: Tensor) -> NDArray[np.uint8]:
    """Reduce uint8 images (N, 1..4, H, W) to thumbnails, uint8 (N, views, THUMBNAIL_SIZE): 1 view, 2 with alpha."""
    views = GROUNDS if has_alpha(images.shape[1:], images.dtype) else GROUNDS[:1]
    return np.stack([_thumbnails(composite(images, ground)) for ground in views], 1)


def _thumbnails(images: Tensor) -> NDArray[np.uint8]:
    """Reduce uint8 images (N, 1 or 3, H, W) to thumbnails, uint8 (N, THUMBNAIL_SIZE)."""
    if min(images.shape[2:]) > DETAIL_SIDE:  # in bytes first: a photograph in floats takes four times its memory
        images = F.interpolate(images, size=(DETAIL_SIDE, DETAIL_SIDE), mode="bilinear", antialias=True)
    x = images.expand(-1, 3, -1, -1).float()
    grey = (x * torch.tensor(LUMA_WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)
    parts = [
        F.interpolate(part, size=(side, side), mode="bilinear", antialias=True).round().clamp(0, 255).flatten(1)
        for part, side in ((grey, CELLS), (x, COLOURS))
    ]
    return torch.cat(parts, 1).byte().numpy()


def first_alike(thumbs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find the first image of each image's group, in which each looks like another.

    Two thumbnails differ by at least the difference of their mean brightness, so only those of nearly the same mean
    are compared, and the time grows far less than with the square of the number of images.

    Args:
        thumbs: The thumbnails (N, number of views, THUMBNAIL_SIZE).

    Returns:
        Indices (N,); an image that looks like no earlier one has its own.
    """
    views = torch.from_numpy(thumbs).transpose(0, 1)
    mean = thumbs[..., : CELLS**2].mean((1, 2))
    order = np.argsort(mean, kind="stable")
    levels, first = mean[order], torch.arange(len(thumbs))
    for start in range(0, len(thumbs), THUMBNAILS_AT_ONCE):
        stop = min(start + THUMBNAILS_AT_ONCE, len(thumbs))
        low, high = levels[start] - BRIGHTNESS, levels[stop - 1] + BRIGHTNESS
        window = torch.from_numpy(order[np.searchsorted(levels, low) : np.searchsorted(levels, high, "right")])
        rows = torch.from_numpy(order[start:stop])
        first[rows] = torch.where(_alike(views[:, rows], views[:, window]), window, len(thumbs)).amin(1)
    while not torch.equal(earlier := first[first], first):
        first = earlier
    return first.numpy()


def first_copies(
    digests: NDArray[np.uint64], flat: NDArray[np.bool_], thumbs: NDArray[np.uint8] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the item that each item is a copy of. Items of one colour are no copies of each other.

    Args:
        digests: 64 bits of each item that differ if any value does, (N,).
        flat: Whether an item has one colour throughout, (N,).
        thumbs: The thumbnails of images; None of other items.

    Returns:
        The first item of the same values, and among items of different values the first one of the same look, (N,)
        each. An item that is no copy has its own row.
    """
    rows = np.arange(len(digests))
    _, first_rows, groups = np.unique(digests, return_index=True, return_inverse=True)
    equal = np.where(flat, rows, first_rows[groups])
    alike, distinct = rows.copy(), np.flatnonzero((equal == rows) & ~flat)
    if thumbs is not None:
        alike[distinct] = distinct[first_alike(thumbs[distinct])]
    return equal, alike


def _alike(these: Tensor, others: Tensor) -> Tensor:
    """Whether thumbnails (views, A, THUMBNAIL_SIZE) and (views, B, THUMBNAIL_SIZE) show the same image, bool (A, B)."""
    (grey, colour), (other_grey, other_colour) = (
        (side[..., : CELLS**2].float(), side[..., CELLS**2 :].float()) for side in (these, others)
    )
    contrast = torch.minimum(grey.std(-1)[:, :, None], other_grey.std(-1)[:, None])
    brightness = torch.cdist(grey, other_grey) / CELLS
    colours = torch.cdist(colour, other_colour) / math.sqrt(THUMBNAIL_SIZE - CELLS**2)
    return ((brightness <= (CONTRAST * contrast).clamp(1.0, BRIGHTNESS)) & (colours <= COLOUR)).all(0)
