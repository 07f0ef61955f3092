"""Decoding of stored items: image files, which may be damaged or hostile, .npy files, images of Pillow, arrays.

Of animations and documents of several pages the first image is read.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.pool import ThreadPool
from threading import Condition

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from ancestral.base.errors import one_line
from ancestral.config.data_sources import SUFFIXES
from ancestral.data.arrays import to_items
from ancestral.data.convert import DEPTHS, Conversion, convert_bit_depth, to_channels
from ancestral.data.files import Unreadable
from ancestral.data.spec import LARGEST_VALUES

IMAGE_FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))
"""Formats that are read, whatever the suffix is. A closed list: Pillow would run Ghostscript on a PostScript file."""
ORIENTATION = 0x0112
"""Tag of EXIF and TIFF."""
PILLOW_FORMATS = tuple(name for name in IMAGE_FORMATS if name != "HEIF")
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
HEADER = 1 << 14
"""Number of bytes at the beginning of a file in which nearly every header ends."""
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
"""What stands in the bytes 8 to 12 of a HEIC image."""
NPY, JPEG = b"\x93NUMPY", b"\xff\xd8\xff"
BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
LARGEST_PHOTOGRAPH = 1 << 28
"""Largest number of pixels of a JPEG that is decoded at 1/2, 1/4 or 1/8 of its size."""
PIXELS_AT_ONCE = 1 << 26
"""Number of pixels that all threads decode at the same time, about 12 bytes each; a larger image is decoded alone."""
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


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Silence Pillow's warnings in all threads, but make a decompression bomb an error before it is decompressed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def to_pixels(image: Image.Image, bits: int = 8) -> Tensor:
    """Convert a Pillow image of any mode to integers.

    Args:
        image: The image.
        bits: 8, or 16 to keep the depth of grey images of 16 bits; Pillow reads colour with 8.

    Returns:
        (C, H, W) of uint8, or uint16 of 16 bits; C = 1..4: grey, grey + alpha, RGB, RGBA.
    """
    alpha = image.has_transparency_data
    if image.mode == "F":  # Pillow would cut its values off at 0 and 255, whatever their range is
        raise ValueError("its pixels are floating-point numbers: save it with 8 or 16 bits, or give a .npy file")
    if image.mode.startswith("I"):
        return convert_bit_depth(_sixteen_bits(image), DEPTHS[bits])
    mode = ("L" if image.mode in GREY_MODES else "RGB") + ("A" if alpha else "")
    array = np.array(image.convert(mode))
    return torch.from_numpy(array.reshape(image.height, image.width, -1)).permute(2, 0, 1)


def from_pixels(pixels: Tensor) -> Image.Image:
    """Convert integers (C, H, W) to Pillow's L, LA, RGB or RGBA, or I;16 of one channel of 16 bits."""
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array.squeeze(2) if len(pixels) == 1 else array)


def _sixteen_bits(image: Image.Image) -> Tensor:
    """Uint16 (1 or 2, H, W) of grey, and alpha where there is any. (Pillow's own conversion clips all above 255.)"""
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its pixels are beyond 16 bits: save it with 8")
    bands = [levels]
    if image.has_transparency_data:  # one grey value stands for "transparent"
        bands.append(np.where(levels == image.info["transparency"], 0, 65535))
    return torch.from_numpy(np.stack(bands).astype(np.uint16))


def _with_alpha(image: Tensor, channels: int) -> Tensor:
    """Integer (C, H, W), C = 1..4, as (2 or 4, H, W): grey or RGB, and alpha, opaque where there is none."""
    if len(image) in (1, 3):
        image = torch.cat([image, torch.full_like(image[:1], LARGEST_VALUES[image.dtype])])
    return torch.cat([to_channels(image[None, :-1], channels - 1)[0], image[-1:]])


def _photograph_of_a_phone(image: bytes) -> Image.Image | None:
    """Open a HEIC image by the plug-in, where it is installed; None for other images.

    The plug-in is not registered with Pillow, which other parts of a program use too.
    """
    if image[4:8] != b"ftyp" or image[8:12] not in HEIC_BRANDS or "HEIF" not in IMAGE_FORMATS:
        return None
    from pillow_heif import HeifImageFile

    try:
        opened: Image.Image = HeifImageFile(io.BytesIO(image))  # type: ignore[no-untyped-call]
    except SyntaxError:  # what Pillow makes of it
        raise UnidentifiedImageError from None
    if _is_large(opened):
        raise Image.DecompressionBombError
    return opened


@contextmanager
def opened_image(image: bytes | Image.Image) -> Iterator[Image.Image]:
    """Open an image of IMAGE_FORMATS, which is not decoded. A photograph may have more pixels than Pillow decodes."""
    if not isinstance(image, bytes):
        yield image
        return
    if not image:
        raise OSError("the file is empty")
    try:
        opened = _photograph_of_a_phone(image) or Image.open(io.BytesIO(image), formats=PILLOW_FORMATS)
    except BOMBS:
        if not image.startswith(JPEG):
            raise
        opened = JpegImageFile(io.BytesIO(image))
        if opened.width * opened.height > LARGEST_PHOTOGRAPH or opened.info.get("progressive"):
            raise  # a decoder holds all coefficients of a progressive one
    with opened:
        yield opened


def read_header(image: bytes | Image.Image, conversion: Conversion) -> tuple[int, bool, tuple[int, int]] | None:
    """Read the number of channels that an image needs, whether its grey has 16 bits, and its size.

    Args:
        image: A Pillow image, or at least the bytes of the file in which the header ends.
        conversion: May set the number of channels.

    Returns:
        (channels, 16 bits, (height, width)), or None if the header cannot be read.
    """
    with suppress(Exception), opened_image(image) as opened:
        grey, transparent = opened.mode in GREY_MODES, opened.has_transparency_data
        size = opened.height, opened.width
        if opened.format in ("JPEG", "MPO") and _turn(opened) >= 5:  # photographs, whose header holds the EXIF block
            size = opened.width, opened.height
        return conversion.channels_of(grey, transparent), opened.mode.startswith("I"), size
    return None


def _is_large(image: Image.Image) -> bool:
    return Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS


def _turn(image: Image.Image) -> int:
    """The orientation of a photograph; 1 is upright, and 5 and more lie on their side."""
    with suppress(Exception):  # a broken EXIF block is no reason to lose the image
        return int(image.getexif().get(ORIENTATION, 1))
    return 1


class _PixelLimit:
    """The limit of the pixels that threads decode at the same time."""

    def __init__(self) -> None:
        self.pixels, self.changed = 0, Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Decode this many pixels in the block, which begins below the limit, or when nothing else is decoded."""
        with self.changed:
            self.changed.wait_for(lambda: not self.pixels or self.pixels + pixels <= PIXELS_AT_ONCE)
            self.pixels += pixels
        try:
            yield
        finally:
            with self.changed:
                self.pixels -= pixels
                self.changed.notify_all()


PIXEL_LIMIT = _PixelLimit()


def decode_image(image: bytes | Image.Image, conversion: Conversion) -> Tensor:
    """Decode and convert an image: (C, H, W) of the channels and bits (8 for None) of `conversion`.

    Raises:
        Unreadable: If it is no image of IMAGE_FORMATS, is damaged, or is too large.
    """
    try:
        with opened_image(image) as opened:
            if conversion.size and opened is not image:  # a JPEG decodes faster at 1/2, 1/4 or 1/8 of its size
                factor = 1 if _is_large(opened) else 2
                opened.draft(None, (factor * max(conversion.size),) * 2)
            if opened is not image and _is_large(opened):
                raise Image.DecompressionBombError
            with PIXEL_LIMIT.taken(opened.width * opened.height):
                return _loaded(opened, conversion)
    except UnidentifiedImageError:
        reason = f"not an image of a kind that is read ({', '.join(IMAGE_FORMATS)})"
    except BOMBS:
        limit = f"more than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels"
        advice = "save it smaller, or as a JPEG that is not progressive, which a small image size reads"
        reason = f"{limit}: too large to be decoded safely; {advice}"
    except Exception as error:  # a decoder that meets a hostile file may raise anything
        reason = one_line(error) or type(error).__name__
    raise Unreadable(reason)


def _loaded(opened: Image.Image, conversion: Conversion) -> Tensor:
    """Decode an image that is open, and convert it as `decode_image` does."""
    opened.load()
    upright = opened
    with suppress(Exception):  # a broken EXIF block is no reason to lose the image
        upright = ImageOps.exif_transpose(opened)
    pixels = to_pixels(upright, conversion.bits or 8)
    if conversion.channels in (2, 4):
        pixels = _with_alpha(pixels, conversion.channels)
    return conversion(pixels.unsqueeze(0))[0]


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
    gapped = isinstance(raw, Tensor) or conversion.gaps
    empty = bool(item.isnan().all()) and conversion.beside is None  # a condition may be absent
    if not bool(item.isfinite().all()) and (not gapped or empty or bool(item.isinf().any())):
        raise Unreadable("it holds infinity" if gapped and not empty else "it holds NaN or infinity")
    return item
