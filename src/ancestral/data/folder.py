"""A folder of images, of any size and mode, with files among them that are not what they seem.

Files are decoded by a pool of threads (Pillow lets go of Python's lock), each straight into its row of the result.
"""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ancestral.data.codec import LARGEST
from ancestral.data.convert import DEPTHS, Conversion, deepen, recolour
from ancestral.data.dataset import Dataset, one_line
from ancestral.data.files import Files, scan
from ancestral.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# What a file may hold, whatever its suffix says. A closed list: Pillow would run Ghostscript on a PostScript file.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")


def load(root: Path, conversion: Conversion, scanned: Files | None = None) -> Dataset:
    """All images below `root`, in sorted order; a class for each immediate sub-folder. `scanned` is what `scan` found.

    If an image lies in `root` itself there are no labels: it has no class. Files that cannot be read are listed in
    `skipped`. Raises InputError if no image can be read, or if sizes differ and no image_size is given.
    """
    files = find(root) if scanned is None else scanned.paths()
    if not files:
        raise InputError(f"no images in {one_line(root)}: looked for {', '.join(SUFFIXES)} there and in sub-folders")
    names = [one_line(file.relative_to(root).as_posix()) for file in files]
    with quiet(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        conversion = settled(conversion, files, pool)
        first = next((image for image in (decode(f, conversion) for f in files) if isinstance(image, Tensor)), None)
        if first is None:
            reason = decode(files[0], conversion)
            raise InputError(f"no image in {one_line(root)} can be read, {names[0]} for example: {reason}")
        items = torch.empty(len(files), *first.shape, dtype=first.dtype)

        def place(row: int) -> str | None:
            image = decode(files[row], conversion)
            if isinstance(image, str):
                return image
            if image.shape != items.shape[1:]:
                height, width = image.shape[1:]
                raise InputError(
                    f"images differ in size ({names[row]} has {width} x {height} pixels, another "
                    f"{items.shape[3]} x {items.shape[2]}): give --image-size N to crop and resize them all"
                )
            items[row] = image
            return None

        reasons = list(pool.map(place, range(len(files))))
    kept = [row for row, reason in enumerate(reasons) if reason is None]
    for new, old in enumerate(kept):  # close the gaps in place: items[kept] would hold everything twice
        if new != old:
            items[new] = items[old]
    labels, classes = _classes([files[row].relative_to(root) for row in kept])
    skipped = tuple(f"{name}: {reason}" for name, reason in zip(names, reasons, strict=True) if reason is not None)
    return Dataset(items[: len(kept)], labels, classes, one_line(root.resolve().name), skipped)


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


def settled(conversion: Conversion, files: Sequence[Path | bytes], pool: ThreadPoolExecutor) -> Conversion:
    """The conversion with channels and bits, where it leaves them open, as the headers of these files ask for.

    Raises InputError for channels that no image file has.
    """
    if conversion.channels not in (None, 1, 2, 3, 4):
        raise InputError(
            f"image files have 1 to 4 channels, not {conversion.channels}: give 1 (grey), 3 (RGB) or 4 (RGBA)"
        )
    if conversion.channels is None:
        conversion = replace(conversion, channels=max(pool.map(lambda file: _channels(file, conversion), files)))
    if conversion.bits is None:
        conversion = replace(conversion, bits=16 if all(map(_deep, files)) else 8)
    return conversion


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


def _channels(file: Path | bytes, conversion: Conversion) -> int:
    """Channels that the file asks for, by its header alone; 1 if it has none that can be read."""
    with suppress(Exception), _open(file) as image:
        return conversion.channels_of(grey=image.mode in GREY, transparent=image.has_transparency_data)
    return 1


def _deep(file: Path | bytes) -> bool:
    """Whether the file's grey has 16 bits, by its header alone; True if it has none that can be read."""
    with suppress(Exception), _open(file) as image:
        return image.mode.startswith("I")
    return True


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


def _classes(paths: list[Path]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels and class names of paths relative to the root."""
    if any(len(path.parts) == 1 for path in paths):
        return None, ()
    folders = sorted({path.parts[0] for path in paths})
    number = {folder: i for i, folder in enumerate(folders)}
    return torch.tensor([number[path.parts[0]] for path in paths]), tuple(map(one_line, folders))
