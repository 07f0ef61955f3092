"""Inspection of the items of a data set as training reads them, and of the files of a folder of images."""

import hashlib
import io
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ancestral.data import Dataset, InMemoryDataset, LazyDataset
from ancestral.data.convert import Conversion, to_uint8
from ancestral.data.decoding import FORMATS, read_header, reading_threads
from ancestral.data.io_errors import Unreadable
from ancestral.data.sources.folders import FileFolder
from ancestral.errors import InputError
from ancestral.events import Event, Work
from ancestral.inspection.near_duplicates import SIZE, thumbnails
from ancestral.inspection.value_statistics import ValueSums
from ancestral.results.data_report import ValueStatistics

BLOCK, IN_MEMORY = 16, 256
"""Numbers of items that a thread reads at a time: items that are decoded, and items in memory."""
FACTS = np.dtype(
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
    """What was found in the items of a data set; arrays have a row for each readable item.

    Attributes:
        data: The readable items.
        values: The statistics of their values.
        unreadable: The reason by the name of each file or item that cannot be read.
        flat: Whether an image or signal has one colour throughout, (N,).
        digests: 64 bits that differ if any value does, (N,).
        thumbnails: Small versions of integer images, uint8 (N, number of views, SIZE); None of other items.
        files: The FACTS of the files of a folder of images, (N,); None of other data.
    """

    data: Dataset
    values: ValueStatistics
    unreadable: dict[str, str]
    flat: NDArray[np.bool_]
    digests: NDArray[np.uint64]
    thumbnails: NDArray[np.uint8] | None
    files: NDArray[np.void] | None


def inspect_items(data: Dataset, threads: int) -> Generator[Event, None, InspectedItems]:
    """Read all items of a data set once, with a number of threads.

    Raises:
        InputError: If no item can be read.
    """
    count, images = len(data), not data.codec.dtype.is_floating_point and len(data.shape) == 3 and data.shape[0] <= 4
    folder = data.source if images and isinstance(data, LazyDataset) and isinstance(data.source, FileFolder) else None
    flat, digests = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.uint64)
    small = np.zeros((count if images else 0, 2 if data.shape[0] in (2, 4) else 1, SIZE), dtype=np.uint8)
    files, sums = np.zeros(0 if folder is None else count, FACTS), ValueSums()
    unreadable, readable = dict(line.split(": ", 1) for line in data.skipped), list[int]()

    def read(rows: Sequence[int]) -> tuple[list[int], Tensor | None, dict[str, str]]:
        items, reasons = dict[int, Tensor](), dict[str, str]()
        for row in rows:
            try:
                items[row] = data.read(row)[0]
                if folder is not None and isinstance(raw := folder.raw(row), bytes):
                    files[row] = _file_facts(raw)
            except Unreadable as reason:
                reasons[data.name_of(row)] = str(reason)
        if not items:
            return [], None, reasons
        block, found = torch.stack([*items.values()]), [*items]
        if block.ndim > 2:
            pixels = block.flatten(2).double()
            flat[found] = (pixels.amax(2) == pixels.amin(2)).all(1).numpy()
        digests[found] = [_digest(item) for item in block]
        if images:
            small[found] = thumbnails(to_uint8(block))
        return found, block, reasons

    size = IN_MEMORY if isinstance(data, InMemoryDataset) else BLOCK
    blocks = [range(start, min(start + size, count)) for start in range(0, count, size)]
    with reading_threads(threads) as pool:
        for rows, (found, block, reasons) in zip(blocks, pool.imap(read, blocks), strict=True):
            unreadable |= reasons
            readable += found
            if block is not None:
                sums.add(block)
            yield Work("reading", rows.stop, count, "items")
    if not readable:
        raise InputError(f"{data.name} holds no items that can be read")
    return InspectedItems(
        data=data if len(readable) == count else data.subset(torch.tensor(readable)),
        values=sums.statistics(),
        unreadable=unreadable,
        flat=flat[readable],
        digests=digests[readable],
        thumbnails=small[readable] if images else None,
        files=None if folder is None else files[readable],
    )


def _digest(item: Tensor) -> int:
    return int.from_bytes(hashlib.blake2b(item.numpy().tobytes(), digest_size=8).digest(), "little")


def _file_facts(raw: bytes) -> tuple[str, int, int, int, bool, bool]:
    """The FACTS of a file that can be decoded."""
    header = read_header(raw, Conversion())
    assert header is not None
    with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
        mode = image.mode
        alpha = np.asarray(image.convert("RGBA"))[..., 3] if image.has_transparency_data else np.array(255)
        animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"  # a photograph and previews
    return mode, *header[2], len(raw), animated, bool((alpha < 255).any())
