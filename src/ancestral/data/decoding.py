"""Items as they are stored, and how each is decoded: image files, .npy files, Pillow images and arrays."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ancestral.data.arrays import to_items
from ancestral.data.convert import Conversion
from ancestral.data.image_files import decode_image, strict_pillow
from ancestral.data.io_errors import Unreadable
from ancestral.errors import one_line

HEADER = 1 << 14
"""Number of bytes at the beginning of a file in which nearly every header ends."""
NPY = b"\x93NUMPY"
Raw = bytes | Image.Image | NDArray[np.generic] | Tensor
"""An item as it is stored: the bytes of an image or .npy file, or what a torch data set returns."""


@contextmanager
def reading_threads(count: int) -> Iterator[ThreadPool]:
    """Start threads for which Pillow is strict. (Made strict in each thread on its own, it is so in none for sure.)"""
    with strict_pillow(), ThreadPool(count) as pool:
        try:
            yield pool
        finally:
            pool.terminate()
            pool.join()  # workers are forked later, and a fork beside threads may inherit their locks


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
