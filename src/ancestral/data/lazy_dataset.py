"""Data sets whose items are read where they lie, and how what a model must know of them is inferred.

The headers of all items decide on channels and bit depth; a sample of the items decides on shape, range and mean.
"""

import os
from abc import abstractmethod
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import islice
from multiprocessing.pool import ThreadPool

import torch
from PIL import Image
from torch import Tensor

from ancestral.data.convert import Conversion, crop_note, share_cropped
from ancestral.data.dataset import MOST_READ, Dataset, InMemoryDataset
from ancestral.data.decoding import HEADER, NPY, Raw, decode_item, reading_threads
from ancestral.data.fingerprint import fingerprint
from ancestral.data.image_files import read_header, strict_pillow
from ancestral.data.io_errors import Unreadable
from ancestral.data.spec import CROP_NOTED, SAMPLE, DataSpec, size_text, spec_of_items
from ancestral.data.statistics import evenly_spaced, evenly_spaced_first
from ancestral.errors import InputError
from ancestral.events import Work, finish
from ancestral.options import option

READ_AT_ONCE, REPORTED = 16, 64
"""Numbers of items that a thread reads before it may be stopped, and between two reports of the progress."""
SPACED_HEADERS, FIRST_HEADERS, MOST_HEADERS = 1000, 8, 8192
"""How many headers are read in evenly spaced order before the others, and how many at once, at first and at most."""
Header = tuple[int, bool, tuple[int, int]]
"""What a header says: the number of channels needed, whether its grey has 16 bits, and (height, width)."""


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
        """Return at least the first `decoding.HEADER` bytes of `encoded`; None if items have no headers."""
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


def infer_spec(
    source: LazyDataset, classes: tuple[str, ...], conversion: Conversion, dims: int | None
) -> tuple[DataSpec, Conversion, tuple[tuple[str, str], ...]]:
    """Infer the spec of a source from the headers of all items and a sample of evenly spaced items.

    Args:
        source: The data set, of which `encoded`, `encoded_begin`, `name_of` and `threads` are used.
        classes: The name of each label.
        conversion: How items are converted. Where it leaves channels or bits open, headers are read.
        dims: Number of axes besides channels, of arrays.

    Returns:
        The spec, the conversion with channels and bits, and a note if images are cropped that all have one size.

    Raises:
        InputError: If no item can be read, sizes in the sample differ and no image_size is given, or image files cannot
            have this number of channels.
        SourceLost: If the place of the data does not respond.
    """
    name = source.name
    with reading_threads(source.threads) as pool:
        resolved, sizes = _resolve_conversion(source, conversion, pool)

        def attempt(row: int) -> Tensor | str:
            try:
                return decode_item(source.encoded(row), resolved, dims)
            except Unreadable as error:
                return f", {source.name_of(row)} for example: {error}"

        rows, tried, example = evenly_spaced_first(SAMPLE, len(source)), 0, ""
        items: dict[int, Tensor] = {}
        while not items and (chosen := list(islice(rows, SAMPLE))):
            tried += len(chosen)
            for row, item in zip(chosen, pool.map(attempt, chosen), strict=True):
                if isinstance(item, Tensor):
                    items[row] = item
                else:
                    example = example or item
    if not items:
        raise InputError(f"no item of {name} can be read ({tried:,} tried){example}")
    origin, first = next(iter(items.items()))
    for row, item in items.items():
        if (item.shape, item.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"items of {name} differ ({source.name_of(row)} is {size_text(item.shape)}, "
                f"{source.name_of(origin)} {size_text(first.shape)}): give {option('image_size', 'HxW')} (height x "
                "width) to crop and resize them all"
            )
    spec = spec_of_items(torch.stack(list(items.values())), classes, name, rate=source.rate)
    return spec, resolved, _crop_notes(sizes, resolved)


def _crop_notes(sizes: set[tuple[int, int]], conversion: Conversion) -> tuple[tuple[str, str], ...]:
    """The note that images of one size, by the headers that were read, lose part of it to the crop."""
    if len(sizes) != 1 or conversion.size is None or conversion.fit == "pad":
        return ()
    (size,) = sizes
    if share_cropped(*size, conversion.size) <= CROP_NOTED:
        return ()
    return (crop_note(*size, conversion.size),)


def _resolve_conversion(
    source: LazyDataset, conversion: Conversion, pool: ThreadPool
) -> tuple[Conversion, set[tuple[int, int]]]:
    """Set channels and bits, where the conversion leaves them open, to what the headers of all items need.

    All headers count, but none is read once the answer is certain: 3 channels are the most that a file needs, and
    one file without 16 bits makes all items 8 bits deep. Files without a readable header and arrays do not count. The
    sizes in the headers that were read, of the first few evenly spaced items at least, are returned too.
    """
    sizes: set[tuple[int, int]] = set()
    rows, size, channels, deep = evenly_spaced_first(SPACED_HEADERS, len(source)), FIRST_HEADERS, 0, True
    while chosen := list(islice(rows, size)):
        for header in pool.map(lambda row: _header(source, row, conversion), chosen):
            if header is not None:
                channels, deep = max(channels, header[0]), deep and header[1]
                sizes.add(header[2])
        if channels and conversion.channels not in (None, 1, 2, 3, 4):
            raise InputError(
                f"image files have 1 to 4 channels, not {conversion.channels}: give 1 (grey), 3 (RGB) or 4 (RGBA)"
            )
        if (conversion.channels or channels == 3) and (conversion.bits or not deep):
            break
        size = min(2 * size, MOST_HEADERS)
    if not channels:
        return conversion, sizes
    bits = conversion.bits or (16 if deep else 8)
    return replace(conversion, channels=conversion.channels or channels, bits=bits), sizes


def _header(source: LazyDataset, row: int, conversion: Conversion) -> Header | None:
    """What the header of an item needs; None of an array, and of a file whose header cannot be read."""
    with suppress(Unreadable):
        begin = source.encoded_begin(row)
        if isinstance(begin, Image.Image):
            return read_header(begin, conversion)
        if isinstance(begin, bytes) and not begin.startswith(NPY):
            header = read_header(begin, conversion)
            if header is None and len(begin) >= HEADER and isinstance(raw := source.encoded(row), bytes):
                header = read_header(raw, conversion)  # it goes on beyond HEADER, with a preview or a profile
            return header
    return None
