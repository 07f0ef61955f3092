"""What a model must know of its data (`DataSpec`), and how that is inferred from a source.

The headers of all items decide on channels and bit depth; a sample of the items decides on shape, range and mean.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ancestral.data.codec import IMAGES, POINTS, Codec
from ancestral.data.convert import Conversion, crop_note, share_cropped
from ancestral.data.io_errors import Unreadable
from ancestral.data.sources.arrays import to_items
from ancestral.data.sources.image_files import decode_image, read_header, strict_pillow
from ancestral.data.statistics import channel_mean, evenly_spaced_first
from ancestral.errors import InputError, one_line

if TYPE_CHECKING:
    from ancestral.data.dataset import LazyDataset

SAMPLE = 128
"""Number of items that decide on the shape, the range of floats and the mean."""
HEADER = 1 << 14
"""Number of bytes at the beginning of a file in which nearly every header ends."""
SPACED_HEADERS, FIRST_HEADERS, MOST_HEADERS = 1000, 8, 8192
"""How many headers are read in evenly spaced order before the others, and how many at once, at first and at most."""
CROP_NOTED = 0.05
"""Share of the pixels of images of one size that a crop may lose without a note."""
NOTHING_TO_LEARN = "there is nothing to learn from it"
NPY = b"\x93NUMPY"
Header = tuple[int, bool, tuple[int, int]]
"""What a header says: the number of channels needed, whether its grey has 16 bits, and (height, width)."""
Raw = bytes | Image.Image | NDArray[np.generic] | Tensor
"""An item as it is stored: the bytes of an image or .npy file, or what a torch data set returns."""


@dataclass(frozen=True)
class DataSpec:
    """The shape of one item, how it is coded, the names of its classes, and the mean of each channel.

    The mean, in the items' units, is reported only; training does not depend on it. Of data in memory it is over all
    items, else over a sample of at most SAMPLE; of points it is empty.
    """

    shape: tuple[int, ...]
    codec: Codec
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    rate: int | None = None
    """Samples in a second, of recordings."""


def spec_of_items(
    items: Tensor,
    classes: tuple[str, ...],
    name: str,
    limits: tuple[float, float] | None = None,
    rate: int | None = None,
) -> DataSpec:
    """Describe items in memory.

    Args:
        items: (N, C, *space) of uint8, uint16 or float32, or float32 points (N, 2).
        classes: The name of each label.
        name: What messages call the data.
        limits: The range of floats; None is that of `items`.
        rate: The sampling rate of recordings.

    Raises:
        InputError: If floats hold NaN or infinity, or have no range.
    """
    mean = channel_mean(items) if items.ndim > 2 else ()
    return DataSpec(tuple(items.shape[1:]), _codec(items, name, limits), classes, mean, rate)


def _codec(items: Tensor, name: str, limits: tuple[float, float] | None) -> Codec:
    if items.dtype == torch.uint8:
        return IMAGES
    if items.dtype == torch.uint16:
        return Codec("uint16")
    if items.ndim == 2:
        return POINTS
    low, high = limits or tuple(end.item() for end in items.aminmax())
    if not bool(torch.tensor([low, high]).isfinite().all()):
        odd = [i for i, item in enumerate(items) if not bool(item.isfinite().all())]
        raise InputError(
            f"{name} holds NaN or infinity in {len(odd):,} of {len(items):,} items, number {odd[0]} the first: "
            "leave those items out, or fill the gaps"
        )
    if low == high:
        raise InputError(f"{name} holds nothing but the value {low:g}: {NOTHING_TO_LEARN}")
    return Codec("float", (low, high))


def infer_spec(
    source: "LazyDataset", classes: tuple[str, ...], conversion: Conversion, dims: int | None
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
                f"items of {name} differ ({source.name_of(row)} is {size_text(item.shape)}, {source.name_of(origin)} "
                f"{size_text(first.shape)}): give --image-size HxW (height x width) to crop and resize them all"
            )
    spec = spec_of_items(torch.stack(list(items.values())), classes, name, rate=source.rate)
    return spec, resolved, _crop_notes(sizes, resolved)


@contextmanager
def reading_threads(count: int) -> Iterator[ThreadPool]:
    """Start threads for which Pillow is strict. (Made strict in each thread on its own, it is so in none for sure.)"""
    with strict_pillow(), ThreadPool(count) as pool:
        try:
            yield pool
        finally:
            pool.terminate()
            pool.join()  # workers are forked later, and a fork beside threads may inherit their locks


def _crop_notes(sizes: set[tuple[int, int]], conversion: Conversion) -> tuple[tuple[str, str], ...]:
    """The note that images of one size, by the headers that were read, lose part of it to the crop."""
    if len(sizes) != 1 or conversion.size is None or conversion.fit == "pad":
        return ()
    (size,) = sizes
    if share_cropped(*size, conversion.size) <= CROP_NOTED:
        return ()
    return (crop_note("the images looked at are", *size, conversion.size),)


def _resolve_conversion(
    source: "LazyDataset", conversion: Conversion, pool: ThreadPool
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


def _header(source: "LazyDataset", row: int, conversion: Conversion) -> Header | None:
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


def decode_item(raw: Raw, conversion: Conversion, dims: int | None) -> Tensor:
    """Decode an item to (C, *space), or (2,) of a point. The caller makes Pillow strict.

    Raises:
        Unreadable: If it is damaged, or cannot be converted.
    """
    if isinstance(raw, Image.Image) or (isinstance(raw, bytes) and not raw.startswith(NPY)):
        return decode_image(raw, conversion)
    try:
        array = np.load(io.BytesIO(raw), allow_pickle=False) if isinstance(raw, bytes) else raw
        item = to_items(array[None], "the array", conversion, dims)[0]
    except Exception as error:  # a damaged file may raise anything
        raise Unreadable(one_line(error) or type(error).__name__) from None
    if not bool(item.isfinite().all()):
        raise Unreadable("it holds NaN or infinity")
    return item


def size_text(shape: tuple[int, ...]) -> str:
    """Format the shape of an item as "height x width with C channels"."""
    return " x ".join(map(str, shape[1:])) + f" with {shape[0]} channels"
