"""Image files of any size and mode, with files among them that are not what they seem."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ancestral.data.codec import LARGEST
from ancestral.data.convert import DEPTHS, Conversion, deepen, recolour
from ancestral.data.dataset import one_line
from ancestral.data.files import scan

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# What a file may hold, whatever its suffix says. A closed list: Pillow would run Ghostscript on a PostScript file.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")


def find(root: Path) -> list[Path]:
    """All files below `root` with an image's suffix, as `scan` finds them."""
    return scan(root, SUFFIXES).paths()


@contextmanager
def quiet() -> Iterator[None]:
    """While inside, in all threads, Pillow's warnings are silent, but a bomb is an error before it is decompressed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def pixels(image: Image.Image, bits: int = 8) -> Tensor:
    """A Pillow image of any mode -> uint8 (C, H, W), C = 1..4: grey, grey + alpha, RGB, RGBA.

    With `bits` 16, those that Pillow keeps as deep (grey ones) are uint16.
    """
    alpha = image.has_transparency_data
    if image.mode.startswith("I"):
        return deepen(_sixteen_bits(image), DEPTHS[bits])
    mode = ("L" if image.mode in GREY else "RGB") + ("A" if alpha else "")
    array = np.array(image.convert(mode))
    return torch.from_numpy(array.reshape(image.height, image.width, -1)).permute(2, 0, 1)


def _sixteen_bits(image: Image.Image) -> Tensor:
    """Uint16 (1 or 2, H, W) of grey, and alpha where there is any. (Pillow's own conversion clips all above 255.)"""
    deep = np.asarray(image).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
        raise ValueError("its pixels are beyond 16 bits: save it with 8")
    bands = [deep]
    if image.has_transparency_data:  # one grey value stands for "transparent"
        bands.append(np.where(deep == image.info["transparency"], 0, 65535))
    return torch.from_numpy(np.stack(bands).astype(np.uint16))


def _with_alpha(image: Tensor, channels: int) -> Tensor:
    """Integer (C, H, W), C = 1..4, as (2 or 4, H, W): grey or RGB, and alpha, opaque where there is none."""
    if len(image) in (1, 3):
        image = torch.cat([image, torch.full_like(image[:1], LARGEST[image.dtype])])
    return torch.cat([recolour(image[None, :-1], channels - 1)[0], image[-1:]])


def _open(file: Path | bytes) -> Image.Image:
    """A file, or the bytes of one."""
    if isinstance(file, Path) and not file.is_file():  # a pipe would wait for ever
        raise OSError("not a regular file")
    if (len(file) if isinstance(file, bytes) else file.stat().st_size) == 0:
        raise OSError("the file is empty")
    return Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=FORMATS)


def header(begin: bytes, conversion: Conversion) -> tuple[int, bool] | None:
    """The channels that a file needs and whether its grey has 16 bits; None if its header cannot be read.

    The first bytes of the file are enough if the header ends in them.
    """
    with suppress(Exception), _open(begin) as image:
        grey, transparent = image.mode in GREY, image.has_transparency_data
        return conversion.channels_of(grey, transparent), image.mode.startswith("I")
    return None


def decode(file: Path | bytes, conversion: Conversion) -> Tensor | str:
    """(C, H, W) of the channels and bits (8 for None) of `conversion`, or why the file cannot be read."""
    try:
        with _open(file) as image:
            if conversion.image_size is not None:  # a JPEG decodes faster at 1/2, 1/4 or 1/8 of its size
                image.draft(None, (2 * conversion.image_size, 2 * conversion.image_size))
            image.load()
            upright = image
            with suppress(Exception):  # a broken EXIF block is no reason to lose the picture
                upright = ImageOps.exif_transpose(image)
            image_pixels = pixels(upright, conversion.bits or 8)
            if conversion.channels in (2, 4):
                image_pixels = _with_alpha(image_pixels, conversion.channels)
            return conversion(image_pixels.unsqueeze(0))[0]
    except UnidentifiedImageError:
        return f"not an image of a kind that is read ({', '.join(FORMATS)})"
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return f"more than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels: too large to be decoded safely"
    except Exception as error:  # a decoder that meets a hostile file may raise anything
        return one_line(error) or type(error).__name__
