"""Every file of a folder by itself: whether it can be read, and what is in it.

One file's pixels are in memory per thread; of each file that was read about 220 bytes and its path stay.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ancestral.data.convert import Conversion
from ancestral.data.io_errors import read_file
from ancestral.data.sources.image_files import FORMATS, GREY, SUFFIXES, decode_image, strict_pillow
from ancestral.doctor import duplicates
from ancestral.errors import one_line

BLOCK = 256  # files handed to the threads at a time, so that a million are never a million tasks
ORIENTATION = 0x0112
SUFFIX_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
}
"""What a suffix promises."""
_UNREAD = """
    apng gif mng tif tiff heic heif avif jfif jpe jp2 jxl svg psd xcf ai eps ico ppm pgm pbm pnm tga exr hdr dds
    dng cr2 cr3 nef arw raf orf rw2 raw
"""
PICTURES = frozenset(f".{suffix}" for suffix in _UNREAD.split())
"""Suffixes of images that training does not read."""
Kind = Literal["corrupt", "empty", "not_image", "too_large", "loop", "unreadable"]
LOST: dict[Kind, str] = {
    "corrupt": "damaged: it cannot be decoded to its end",
    "empty": "zero bytes long",
    "not_image": "no image, whatever the name says",
    "too_large": "too large to be decoded safely",
    "loop": "in a circle of symbolic links",
    "unreadable": "out of reach",
}
"""What is said of each kind after "this file is"."""
LOOP = "a symbolic link that leads back to itself"


@dataclass(frozen=True)
class Lost:
    """A file or folder that cannot be read, and why, in one line."""

    kind: Kind
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What is in one file."""

    format: str
    mode: str
    width: int
    height: int
    """Upright, as the EXIF block has it."""
    depth: int
    """Bits of each channel."""
    file_size: int
    animated: bool
    rotated: bool
    transparent: bool
    """Whether any pixel is."""
    item: Tensor
    """(C, H, W) as training is given it, but for its depth: uint8."""
    thumb: bytes
    digest: int
    """64 bits that tell its pixels from all others."""


def look_all(files: Sequence[Path], root: Path, conversion: Conversion, threads: int) -> Iterator[Seen | Lost]:
    """What is in each file, in their order; decoded by so many threads."""
    with strict_pillow(), ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(files), BLOCK):
            yield from pool.map(lambda file: look(file, root, conversion), files[start : start + BLOCK])


def look(file: Path, root: Path, conversion: Conversion) -> Seen | Lost:
    """What is in one file. No pipe or device is opened, and of the picture formats only those that training reads."""
    name = one_line(file.relative_to(root).as_posix())
    try:
        facts = file.stat()
        if not stat.S_ISREG(facts.st_mode):
            return Lost("unreadable", name, "a pipe, a socket or a device, not a file")
        if facts.st_size == 0:
            return Lost("empty", name, "zero bytes long")
        return _picture(file, facts.st_size, conversion)
    except UnidentifiedImageError:
        return Lost("not_image", name, _content(file))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return Lost("too_large", name, f"more than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels")
    except OSError as error:
        if error.errno is None:  # Pillow's own, which is about what the file holds
            return Lost("corrupt", name, one_line(error))
        return Lost("loop" if error.errno == errno.ELOOP else "unreadable", name, _system(file, error))
    except Exception as error:  # a decoder that meets a hostile file may raise anything
        return Lost("corrupt", name, one_line(error) or type(error).__name__)


def strays(root: Path) -> Iterator[Lost | str]:
    """What lies below `root` but is not among its images: what cannot be reached, and the names of other files.

    Folders are walked as training walks them.
    """
    lost: list[Lost] = []

    def failed(error: OSError) -> None:
        name = one_line(os.path.relpath(error.filename, root))
        lost.append(Lost("unreadable", f"{name}/", f"this folder cannot be listed: {error.strerror}"))

    above = set(root.resolve().parents)
    entered: set[Path] = set()
    for here, below, names in os.walk(root, onerror=failed, followlinks=True):
        real = Path(here).resolve()
        name = one_line(Path(here).relative_to(root).as_posix())
        if real in above or real in entered:
            where = "above it" if real in above or Path(here).absolute().is_relative_to(real) else "that was read"
            yield Lost("loop", name, f"a symbolic link that leads back to a folder {where}; it is not entered again")
            below[:] = []
            continue
        if here != str(root) and here.lower().endswith(SUFFIXES):
            yield Lost("unreadable", name, "a folder with the name of an image; what is in it is read")
        entered.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if name.startswith(".") or not name.lower().endswith(SUFFIXES):
                shown = one_line(path.relative_to(root).as_posix())
                yield _dead(path, shown) or shown
    yield from lost


def _dead(path: Path, name: str) -> Lost | None:
    """A link to nowhere; None for anything else."""
    try:
        if path.is_symlink():
            path.stat()
    except OSError as error:
        return Lost("loop" if error.errno == errno.ELOOP else "unreadable", name, _system(path, error))
    return None


def _system(path: Path, error: OSError) -> str:
    """What the operating system has against a file."""
    if error.errno == errno.ELOOP:
        return LOOP
    if error.errno == errno.ENOENT and path.is_symlink():
        return f"a symbolic link to {one_line(path.readlink())}, which is not there"
    return error.strerror or type(error).__name__


def _content(file: Path) -> str:
    """What a file that is no image seems to be, by its first bytes."""
    with suppress(OSError), file.open("rb") as opened:
        head = opened.read(512)
        text = head.lstrip().lower()
        if text.startswith((b"<!doctype html", b"<html")):
            return "a web page, not an image: the download went wrong"
        if text.startswith(b"version https://git-lfs"):
            return "a Git LFS pointer, not the image: run git lfs pull"
        if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
            return "a HEIC or AVIF image, which is not read"
        if head[:4] in (b"II*\0", b"MM\0*"):
            return "a TIFF image, which is not read"
        if text.startswith((b"<svg", b"<?xml")):
            return "an SVG drawing, which is not read"
    return f"not an image of a kind that is read ({', '.join(FORMATS)})"


def _picture(file: Path, size: int, conversion: Conversion) -> Seen:
    with Image.open(file, formats=FORMATS) as image:
        kind, mode, (width, height) = image.format or "", image.mode, image.size
        depth = _depth(file) if kind == "PNG" else 8
        turn = 1
        with suppress(Exception):  # a broken EXIF block is no reason to lose the picture
            turn = image.getexif().get(ORIENTATION, 1)
        animated = bool(getattr(image, "is_animated", False)) and kind != "MPO"
        kind = "JPEG" if kind == "MPO" else kind  # a phone's photograph, with previews behind it
    rgba = decode_image(read_file(file), Conversion(channels=4, bits=8))
    transparent = bool((rgba[3] < 255).any())
    whole = rgba if transparent else rgba[:3]
    picture = replace(conversion, image_size=None, channels=3, bits=None)(whole[None])
    seen = hashlib.blake2b(rgba.numpy().tobytes(), digest_size=8, key=f"{width} {height}".encode()).digest()
    if 5 <= turn <= 8:
        width, height = height, width
    return Seen(
        kind,
        mode,
        width,
        height,
        depth,
        size,
        animated,
        turn in range(2, 9),
        transparent,
        _item(file, whole, mode in GREY, transparent, conversion),
        duplicates.thumbnails(picture)[0].tobytes(),
        int.from_bytes(seen, "little"),
    )


def _item(file: Path, whole: Tensor, grey: bool, transparent: bool, conversion: Conversion) -> Tensor:
    """The picture as training is given it."""
    if conversion.channels in (2, 4):
        return decode_image(read_file(file), replace(conversion, bits=8))
    channels = conversion.channels_of(grey, transparent)
    return replace(conversion, channels=channels, bits=8)(whole[None])[0].to(torch.uint8)


def _depth(file: Path) -> int:
    """The bit depth in a PNG's header: Pillow hides that of colour."""
    with file.open("rb") as opened:
        head = opened.read(25)
    return head[24] if len(head) == 25 else 8
