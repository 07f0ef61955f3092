"""What all items of a source have in common: channels and depth by all headers, the rest by a sample of the items."""

import io
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice

import torch
from torch import Tensor

from ancestral.data import arrays, folder
from ancestral.data.codec import Codec
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, one_line
from ancestral.data.evenly import evenly_first
from ancestral.data.reading import Unreadable
from ancestral.data.statistics import channel_mean
from ancestral.errors import InputError

SAMPLE = 128
"""Number of items that decide on the size, the range of floats and the mean."""
HEADER = 1 << 14
"""Bytes at the beginning of a file in which nearly every header ends."""
SPREAD, FIRST, MOST = 1000, 8, 8192
"""Headers: how many are visited in evenly spaced order before the others, and how many are read at once, at first and
at most."""
NPY = b"\x93NUMPY"
Header = tuple[int, bool]
"""What a header needs: the number of channels, and whether its grey has 16 bits."""


@dataclass(frozen=True)
class Form:
    """The shape of an item, (C, *space), its codec, the mean of each channel over the sample, and how to get there."""

    shape: tuple[int, ...]
    codec: Codec
    mean: tuple[float, ...]
    conversion: Conversion
    dims: int | None

    def decode(self, raw: bytes) -> Tensor:
        """The item that a file's bytes hold. Raises Unreadable where they are damaged, or the item has another form."""
        with folder.quiet():
            item = _decoded(raw, self.conversion, self.dims)
        if tuple(item.shape) != self.shape or item.dtype != self.codec.dtype:
            raise Unreadable(f"it is {_sides(item)}, but the others are {_sides(torch.empty(self.shape))}")
        return item


def survey(
    source: str,
    count: int,
    read: Callable[[int], bytes],
    begin: Callable[[int], bytes],
    name_of: Callable[[int], str],
    conversion: Conversion,
    dims: int | None,
) -> Form:
    """The form of the `count` items of `source`: channels and depth by all headers, the rest by evenly spaced items.

    Args:
        source: What messages call the source.
        count: Number of items.
        read: The bytes of an item.
        begin: At least the first HEADER of them, or all.
        name_of: What messages call an item.
        conversion: What to make of the items. If it leaves channels or bits open, headers are read.
        dims: Axes besides channels, of arrays.

    Raises:
        InputError: If no item can be read, sizes in the sample differ and no image_size is given, or image files cannot
            have this number of channels.
        SourceLost: If the place where the data lies does not answer.
    """
    threads = min(8, os.cpu_count() or 1)
    with folder.quiet(), ThreadPoolExecutor(threads) as pool:

        def some(rows: list[int]) -> list[Header]:
            return [header for row in rows if (header := _header(row, read, begin, conversion))]

        def headers(rows: list[int]) -> Iterator[Header]:
            return chain.from_iterable(pool.map(some, (rows[k::threads] for k in range(threads))))

        settled = _settled(conversion, count, headers)

        def attempt(row: int) -> Tensor | str:
            try:
                return _decoded(read(row), settled, dims)
            except Unreadable as error:
                return f", {name_of(row)} for example: {error}"

        rows, tried, example = evenly_first(SAMPLE, count), 0, ""
        items: dict[int, Tensor] = {}
        while not items and (chosen := list(islice(rows, SAMPLE))):
            tried += len(chosen)
            for row, item in zip(chosen, pool.map(attempt, chosen), strict=True):
                if isinstance(item, Tensor):
                    items[row] = item
                else:
                    example = example or item
    if not items:
        raise InputError(f"no item of {source} can be read ({tried:,} tried){example}")
    origin, first = next(iter(items.items()))
    for row, item in items.items():
        if (item.shape, item.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"items of {source} differ ({name_of(row)} is {_sides(item)}, {name_of(origin)} {_sides(first)}): "
                "give --image-size N to crop and resize them all"
            )
    sample = Dataset(torch.stack(list(items.values())), None, (), source)
    return Form(sample.shape, sample.codec, channel_mean(sample.items), settled, dims)


def _settled(conversion: Conversion, count: int, headers: Callable[[list[int]], Iterable[Header]]) -> Conversion:
    """The conversion with channels and bits, where it leaves them open, as the headers of `count` items need.

    All headers count, but none is read once the answer is certain: 3 channels are the most that a file needs, and
    one file without 16 bits makes all items 8 bits deep. Files without a readable header and arrays do not count.
    """
    rows, size, channels, deep = evenly_first(SPREAD, count), FIRST, 0, True
    while chosen := list(islice(rows, size)):
        for needed, sixteen in headers(chosen):
            channels, deep = max(channels, needed), deep and sixteen
        if channels and conversion.channels not in (None, 1, 2, 3, 4):
            raise InputError(
                f"image files have 1 to 4 channels, not {conversion.channels}: give 1 (grey), 3 (RGB) or 4 (RGBA)"
            )
        if (conversion.channels or channels == 3) and (conversion.bits or not deep):
            break
        size = min(2 * size, MOST)
    if not channels:
        return conversion
    return replace(conversion, channels=conversion.channels or channels, bits=conversion.bits or (16 if deep else 8))


def _header(
    row: int, read: Callable[[int], bytes], begin: Callable[[int], bytes], conversion: Conversion
) -> Header | None:
    """What the header of an item needs; None of an array, and of a file whose header cannot be read."""
    try:
        head = begin(row)
        if head.startswith(NPY):
            return None
        found = folder.header(head, conversion)
        if found is None and len(head) >= HEADER:  # it may go on, with a preview or a profile
            found = folder.header(read(row), conversion)
        return found
    except Unreadable:
        return None


def _decoded(raw: bytes, conversion: Conversion, dims: int | None) -> Tensor:
    """(C, *space). Raises Unreadable. Warnings are the caller's to silence."""
    if raw.startswith(NPY):
        try:
            item = arrays.item(io.BytesIO(raw), conversion, dims)
        except Exception as error:  # a damaged file may raise anything
            raise Unreadable(one_line(error) or type(error).__name__) from None
        if not bool(item.isfinite().all()):
            raise Unreadable("it holds NaN or infinity")
        return item
    image = folder.decode(raw, conversion)
    if isinstance(image, str):
        raise Unreadable(image)
    return image


def _sides(item: Tensor) -> str:
    return " x ".join(map(str, reversed(item.shape[1:]))) + f" with {item.shape[0]} channels"


class Formed:
    """A source that tells of its items what its form tells."""

    form: Form

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, *space)."""
        return self.form.shape

    @property
    def codec(self) -> Codec:
        """Between items and what the network sees."""
        return self.form.codec

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over at most SAMPLE items, evenly spaced or the first of a stream, in the items' units.

        Of data in memory it is over all items. It is reported, and training does not depend on it.
        """
        return self.form.mean
