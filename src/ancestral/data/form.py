"""What all items of a source that is read bit by bit have in common, found in a sample of it."""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral.data import arrays, folder
from ancestral.data.codec import Codec
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, one_line
from ancestral.data.evenly import evenly
from ancestral.data.reading import Unreadable
from ancestral.data.statistics import channel_mean
from ancestral.errors import InputError

HEADERS, SAMPLE = 1000, 128
"""How many headers decide on channels and depth, and how many items on the size, the range of floats and the mean."""
NPY = b"\x93NUMPY"


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
    header: Callable[[int], Path | bytes],
    conversion: Conversion,
    dims: int | None,
) -> Form:
    """The form of the `count` items of `source`, by a spread sample of them.

    `read` gives an item's bytes, `header` something in which Pillow can read its header. Raises InputError where no
    item of the sample can be read, or where sizes differ and no image_size is given.
    """
    with folder.quiet(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:

        def attempt(row: int, conversion: Conversion) -> Tensor | str:
            try:
                return _decoded(read(row), conversion, dims)
            except Unreadable as error:
                return str(error)

        def images(row: int) -> Path | bytes | None:
            try:
                found = header(row)
            except Unreadable:
                return None
            return None if isinstance(found, bytes) and found.startswith(NPY) else found

        heads = [head for head in pool.map(images, evenly(HEADERS, count)) if head is not None]
        if heads:
            conversion = folder.settled(conversion, heads, pool)
        found = list(pool.map(lambda row: attempt(row, conversion), evenly(SAMPLE, count)))
    items = [item for item in found if isinstance(item, Tensor)]
    if not items:
        raise InputError(f"no item of {source} can be read ({len(found)} were tried): {found[0]}")
    for item in items:
        if (item.shape, item.dtype) != (items[0].shape, items[0].dtype):
            raise InputError(
                f"{source} holds items that differ ({_sides(item)}, and {_sides(items[0])}): give --image-size N to "
                "crop and resize them all"
            )
    sample = Dataset(torch.stack(items), None, (), source)
    return Form(sample.shape, sample.codec, channel_mean(sample.items), conversion, dims)


def _decoded(raw: bytes, conversion: Conversion, dims: int | None) -> Tensor:
    """(C, *space). Raises Unreadable. Warnings are the caller's to silence."""
    if raw.startswith(NPY):
        try:
            return arrays.item(io.BytesIO(raw), conversion, dims)
        except Exception as error:  # a damaged file may raise anything
            raise Unreadable(one_line(error) or type(error).__name__) from None
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
        """Mean of each channel over a sample, or over the first items of a stream, in the items' units."""
        return self.form.mean
