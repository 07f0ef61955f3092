"""Data sets whose items are read where they lie, and how what a model must know of them is inferred.

The headers of all items decide on channels and bit depth; a sample of the items decides on shape, range and mean.
"""

import copy
import io
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from multiprocessing.pool import ThreadPool
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.events import Work, finish
from ancestral.base.options import option
from ancestral.conditions import Condition
from ancestral.config.data_config import plain_image_size
from ancestral.data.arrays import reading_notes
from ancestral.data.convert import Conversion, centre, share_cropped
from ancestral.data.dataset import (
    MOST_READ,
    Dataset,
    InMemoryDataset,
    Notes,
    Values,
    check_windows,
    evenly_spaced,
    evenly_spaced_first,
    fingerprint,
)
from ancestral.data.decoding import HEADER, NPY, Raw, decode_item, read_header, reading_threads, strict_pillow
from ancestral.data.files import Unreadable
from ancestral.data.grid import Grid
from ancestral.data.spec import CROP_NOTED, SPEC_ITEMS, Codec, size_text, spec_of_items, with_gaps

READ_AT_ONCE, REPORTED_ITEMS = 16, 64
"""Numbers of items that a thread reads before it may be stopped, and between two reports of the progress."""
SPACED_HEADERS, FIRST_HEADERS, MOST_HEADERS = 1000, 8, 8192
"""Numbers of headers that are read in evenly spaced order before the others, and at once at first and at most."""
Size = tuple[int, int]
"""(height, width)."""


class SizesDifferError(InputError):
    """Items have different sizes, and none was given that they are brought to."""


@dataclass(frozen=True)
class NamedClasses:
    """A column of classes.

    Attributes:
        numbers: The class of each item, int64 (N,), -1 where it is missing.
        names: The name of each class.
    """

    numbers: Tensor
    names: tuple[str, ...]


class StoredItems(ABC):
    """The items of a source as they are stored, each with a name and a label. All that a kind of source must say."""

    rate: int | None = None
    """Samples in a second, of recordings."""
    threads = Dataset.threads
    fork_safe = True
    """Whether processes that are forked can read them."""
    columns: Mapping[str, Any] = {}
    """What else the source has for each item, by name: an array (N, *); a list of text, numbers or sequences of numbers
    (None where there is none); NamedClasses; or images as StoredItems. A mapping may read a column when it is looked
    up."""
    grid: Grid | None = None
    """Names, units and coordinates of channels and axes, of fields."""
    gapped = False
    """Whether values may be missing, NaN, without the user saying so."""
    uses_all = False
    """Whether all columns are conditions, not only those that the user names."""

    def __init__(
        self,
        name: str,
        count: int,
        labels: Tensor | None = None,
        classes: tuple[str, ...] = (),
        skipped: tuple[str, ...] = (),
        notes: Notes = (),
    ) -> None:
        self.name, self.count, self.labels, self.classes = name, count, labels, classes
        self.skipped, self.notes = skipped, notes

    @abstractmethod
    def raw(self, row: int) -> Raw:
        """Return an item as it is stored. Raises Unreadable or SourceLost."""

    def head(self, row: int) -> Raw | None:
        """Return at least the first `decoding.HEADER` bytes of `raw`; None if items have no headers."""
        return self.raw(row)

    def prefetch(self, rows: Sequence[int]) -> None:  # noqa: B027
        """Fetch items that are read next at the same time, where each takes an answer of another machine."""

    def name_of(self, row: int) -> str:
        """Name an item for messages, in one line."""
        return f"item {row}"

    def along(self, axis: str) -> NDArray[Any] | None:
        """Return the place of each item on an axis, numbers or datetime64 (N,); None where there is no such axis."""
        return None

    def key_of(self, row: int) -> str:
        """Name an item by what stays if the data are moved and renamed, for their fingerprint."""
        return self.name_of(row)

    def dataset(self, conversion: Conversion, dims: int | None) -> Dataset:
        """Return the items as a data set, which converts them. Raises as `LazyDataset` does."""
        return LazyDataset(self, conversion, dims)


class LazyDataset(Dataset):
    """Items that are read and decoded when needed."""

    def __init__(self, source: StoredItems, conversion: Conversion, dims: int | None = None) -> None:
        """Infer the spec of a source from the headers of all items and a sample of evenly spaced items.

        Args:
            source: The items.
            conversion: How they are converted. Where it leaves channels or bits open, headers are read.
            dims: Number of axes besides channels, of arrays.

        Raises:
            SizesDifferError: If sizes in the sample differ and no image_size is given.
            InputError: If no item can be read, or image files cannot have this number of channels.
            SourceLost: If the place of the data does not respond.
        """
        self.source, self._dims, self._count = source, dims, source.count
        self.name, self.labels, self.skipped = source.name, source.labels, source.skipped
        self.rate, self.threads, self.fork_safe = source.rate, source.threads, source.fork_safe
        self._all_labels = source.labels
        self._all_conditions: Mapping[str, Values] = {}
        with reading_threads(self.threads) as pool:
            self._conversion, self._sizes = _resolve_conversion(source, conversion, pool)
            items, first = _sample_items(source, self._conversion, dims, pool)
        of_condition = source.gapped and conversion.beside is not None  # which says what is missing of each item
        gaps = conversion.gaps or ("random" if of_condition else None)
        names = () if source.grid is None else source.grid.names
        gapped = with_gaps(items, self.name, gaps, names) if source.gapped or conversion.gaps else None
        spec = spec_of_items(items, source.classes, self.name, rate=self.rate, codec=gapped)
        if of_condition:
            spec = replace(spec, codec=replace(spec.codec, gaps="random", mask=""))
        fits = source.grid is not None and source.grid.fits(spec.shape)  # not if items are converted
        self.spec = replace(spec, grid=source.grid if fits else None)
        self._stored_shape = self.spec.shape
        self.notes = (
            _crop_notes(self._sizes, conversion)
            + _layout_notes(source, first, conversion, dims)
            + (gap_notes(items, self.codec, self.name) if conversion.beside is None else ())
            + source.notes
        )

    def read(self, index: int) -> tuple[Tensor, int]:
        """Read and decode an item."""
        item = centre(self.read_stored(index), self.shape[1:])
        return item, -1 if self.labels is None else int(self.labels[index])

    def read_stored(self, index: int) -> Tensor:
        """Read and decode an item in the size that is stored."""
        with strict_pillow():
            item = decode_item(self.source.raw(self._row(index)), self._conversion, self._dims)
        if tuple(item.shape) != self.stored_shape or item.dtype != self.codec.dtype:
            raise Unreadable(f"it is {size_text(item.shape)}, but the others are {size_text(self.stored_shape)}")
        return item

    def prefetch(self, indices: Sequence[int]) -> None:
        """See `Dataset.prefetch`."""
        self.source.prefetch([self._row(index) for index in indices])
        super().prefetch(indices)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of an item as it is decoded."""
        return self._stored_shape

    def windows(self, sides: Sequence[int]) -> Self:
        """Return the windows at the centre of the items."""
        check_windows(self, sides)
        part, whole = copy.copy(self), self.shape[1:]
        grid = None if self.spec.grid is None else self.spec.grid.of_sides(whole, sides)
        part.spec = replace(self.spec, shape=(self.shape[0], *sides), grid=grid, whole=whole)
        if self._conversion.size is not None and len(sides) == 2:
            size = (sides[0], sides[1])
            part.notes = _crop_notes(self._sizes, replace(self._conversion, image_size=size)) + self.source.notes
        return part

    def with_conditions(
        self, conditions: Mapping[str, Values], kinds: Mapping[str, Condition], notes: Notes = ()
    ) -> Self:
        """See `Dataset.with_conditions`."""
        part = copy.copy(self)
        part.conditions = part._all_conditions = conditions
        part.spec = replace(self.spec, conditions=kinds)
        part.notes = self.notes + notes
        return part

    def with_labels(self, labels: Tensor, classes: tuple[str, ...]) -> Self:
        """See `Dataset.with_labels`."""
        part = copy.copy(self)
        part.labels = part._all_labels = labels
        part.spec = replace(self.spec, classes=classes)
        return part

    def name_of(self, index: int) -> str:
        """Name an item for messages: by its path, where it has one."""
        return self.source.name_of(self._row(index))

    def along(self, axis: str) -> NDArray[Any]:
        """See `Dataset.along`."""
        places = self.source.along(axis)
        if places is None:
            return super().along(axis)
        return places if self.rows is None else places[self.rows.numpy()]

    def _row(self, index: int) -> int:
        return index if self.rows is None else int(self.rows[index])

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """As `data.fingerprint` computes it, of the whole data set."""
        source = self.source
        return fingerprint(
            source.count, self._all_labels, lambda row: (source.key_of(row), source.raw(row)), self._all_conditions
        )

    def __len__(self) -> int:
        return self._count if self.rows is None else len(self.rows)

    @property
    def nbytes(self) -> int:
        """Size of all decoded items, and of the images that they are conditioned on."""
        images = [values.empty_stored(1).nbytes for values in self.conditions.values() if isinstance(values, Dataset)]
        return len(self) * (self.empty_stored(1).nbytes + sum(images))

    def sample(self, n: int, read: int = MOST_READ) -> InMemoryDataset:
        """Read at most min(n, read) evenly spaced items; unreadable ones are left out."""
        return replace(finish(self._gather(evenly_spaced(min(n, read), len(self)))), skipped=self.skipped)

    def loading(self) -> Generator[Work, None, InMemoryDataset]:
        """Load all items, and report the progress; unreadable ones are left out and listed in `skipped`."""
        return replace((yield from self._gather(range(len(self)))), source=self.fingerprint)

    def subset(self, rows: Tensor) -> Self:
        """Return the items `rows`, which are read when needed."""
        part = copy.copy(self)
        part.rows = rows if self.rows is None else self.rows[rows]
        part.labels = None if self.labels is None else self.labels[rows]
        part.conditions = self.conditions_at(rows)
        return part

    def _gather(self, indices: Sequence[int]) -> Generator[Work, None, InMemoryDataset]:
        items = self.empty_stored(len(indices))
        images = {
            name: values.empty_stored(len(indices))
            for name, values in self.conditions.items()
            if isinstance(values, Dataset)
        }

        def place(position: int) -> str | None:
            try:
                items[position] = self.read_stored(indices[position])
                for name, image in self.images_of(indices[position], stored=True).items():
                    images[name][position] = image
            except Unreadable as reason:
                return f"{self.name_of(indices[position])}: {reason}"
            return None

        reasons: list[str | None] = []
        with reading_threads(self.threads) as pool:
            for reason in pool.imap(place, range(len(indices)), READ_AT_ONCE):
                reasons.append(reason)
                if len(reasons) % REPORTED_ITEMS == 0:
                    yield Work(f"reading {self.name}", len(reasons), len(indices), "items")
        readable = [position for position, reason in enumerate(reasons) if reason is None]
        for new, old in enumerate(readable):  # close the gaps in place: items[readable] would hold everything twice
            if new != old:
                for tensor in (items, *images.values()):
                    tensor[new] = tensor[old]
        rows = [indices[position] for position in readable]
        conditions: dict[str, Values] = {**self.numbers_of(rows)}
        for name, tensor in images.items():
            lazy = self.conditions[name]
            assert isinstance(lazy, Dataset)
            loaded = InMemoryDataset(tensor[: len(readable)], name=name, limits=lazy.codec.channel_limits)
            conditions[name] = loaded if lazy.stored_shape == lazy.shape else loaded.windows(lazy.shape[1:])
        data = InMemoryDataset(
            items[: len(readable)],
            self.labels_of(rows),
            self.classes,
            self.name,
            self.skipped + tuple(filter(None, reasons)),
            self.codec.channel_limits,
            notes=self.notes,
            rate=self.rate,
            conditions=conditions,
            kinds=self.spec.further,
            coded=self.codec if self.codec.scaling or self.codec.gaps else None,
            grid=self.spec.grid,
            origin=self.subset(torch.tensor(rows, dtype=torch.int64)),
        )
        return data if self.stored_shape == self.shape else data.windows(self.shape[1:])


def _sample_items(
    source: StoredItems, conversion: Conversion, dims: int | None, pool: ThreadPool
) -> tuple[Tensor, Raw]:
    """Decode the first SPEC_ITEMS items in evenly spaced order, or those that follow if none of them can be read; with
    one of them as it is stored.
    """
    if conversion.layout is not None and not conversion.layout.startswith("item,"):
        raise InputError(
            f"{option('layout', conversion.layout)} is no layout of {source.name}, each item of which is an array: "
            "name item first"
        )
    stored: list[Raw] = []

    def attempt(row: int) -> Tensor | str:
        try:
            raw = source.raw(row)
            item = decode_item(raw, conversion, dims)
            stored[:] = stored or [raw]
            return item
        except Unreadable as error:
            return f", {source.name_of(row)} for example: {error}"

    rows, tried, example = evenly_spaced_first(SPEC_ITEMS, source.count), 0, ""
    items: dict[int, Tensor] = {}
    while not items and (batch := list(islice(rows, SPEC_ITEMS))):
        tried += len(batch)
        for row, item in zip(batch, pool.map(attempt, batch), strict=True):
            if isinstance(item, Tensor):
                items[row] = item
            else:
                example = example or item
    if not items:
        raise InputError(f"no item of {source.name} can be read ({tried:,} tried){example}")
    origin, first = next(iter(items.items()))
    for row, item in items.items():
        if (item.shape, item.dtype) != (first.shape, first.dtype):
            raise SizesDifferError(
                f"items of {source.name} differ ({source.name_of(row)} is {size_text(item.shape)}, "
                f"{source.name_of(origin)} {size_text(first.shape)}): give {option('image_size', 'HxW')} (height x "
                "width) to crop and resize them all"
            )
    return torch.stack(list(items.values())), stored[0]


def _layout_notes(source: StoredItems, raw: Raw, conversion: Conversion, dims: int | None) -> Notes:
    """Say what the axes of arrays that are stored one by one were taken for, by one of them."""
    array = np.load(io.BytesIO(raw), allow_pickle=False) if isinstance(raw, bytes) and raw.startswith(NPY) else raw
    if not isinstance(array, np.ndarray):
        return ()
    return reading_notes(np.broadcast_to(array, (source.count, *array.shape)), source.name, dims, conversion)


def gap_notes(items: Tensor, codec: Codec, name: str) -> Notes:
    """Say what missing values were taken for."""
    if not codec.gaps:
        return ()
    share = float(items.isnan().float().mean())
    if codec.gaps == "shared":
        text = f"{share:.1%} of the values of {name} are missing, the same in all items: they are missing in samples"
        return ((text, f"{option('gaps', 'random')} learns complete items instead"),)
    text = f"{share:.1%} of the values of {name} are missing, at random as you say: complete items are learned"
    return ((text, "where the chance to be missing depends on the value itself, samples are biased"),)


def _crop_notes(sizes: set[Size], conversion: Conversion) -> Notes:
    """The note that images of one size, by the headers that were read, lose part of it to the crop."""
    if len(sizes) != 1 or conversion.size is None or conversion.fit == "pad":
        return ()
    ((height, width),), size = sizes, conversion.size
    share = share_cropped(height, width, size)
    if share <= CROP_NOTED:
        return ()
    factor = min(1.0, min(size) / min(height, width))
    smaller = plain_image_size((max(1, round(height * factor)), max(1, round(width * factor))))
    text = f"the images looked at are {height} pixels high and {width} wide, and the crop to {size[0]}x{size[1]} "
    advice = (
        f"{option('image_size', smaller)} (height x width) keeps their shape, and {option('fit', 'pad')} all of each"
    )
    return ((f"{text}loses {share:.0%}", advice),)


def _resolve_conversion(source: StoredItems, conversion: Conversion, pool: ThreadPool) -> tuple[Conversion, set[Size]]:
    """Set channels and bits, where the conversion leaves them open, to what the headers of all items need.

    All headers count, but none is read once the answer is certain: 3 channels are the most that a file needs, and
    one file without 16 bits makes all items 8 bits deep. Files without a readable header and arrays do not count. The
    sizes in the headers that were read, of the first few evenly spaced items at least, are returned too.
    """
    sizes: set[Size] = set()
    rows, size, channels, deep = evenly_spaced_first(SPACED_HEADERS, source.count), FIRST_HEADERS, 0, True
    while batch := list(islice(rows, size)):
        for header in pool.map(lambda row: _header(source, row, conversion), batch):
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


def _header(source: StoredItems, row: int, conversion: Conversion) -> tuple[int, bool, Size] | None:
    """The answer of `read_header`; None of an array, and of a file whose header cannot be read."""
    with suppress(Unreadable):
        head = source.head(row)
        if isinstance(head, Image.Image) or (isinstance(head, bytes) and not head.startswith(NPY)):
            header = read_header(head, conversion)
            if header is None and isinstance(head, bytes) and len(head) >= HEADER:
                raw = source.raw(row)  # the header goes on beyond HEADER, with a preview or a profile
                header = read_header(raw, conversion) if isinstance(raw, bytes) else None
            return header
    return None
