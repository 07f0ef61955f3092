"""Inspection of a folder of images: every file is decoded as training decodes it, and its facts are collected."""

import errno
import hashlib
import io
import os
import stat
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from ancestral.config.file_kinds import HEIC, READ_HEIC, SUFFIXES
from ancestral.data import IMAGES, Dataset
from ancestral.data.convert import Conversion, share_cropped
from ancestral.data.decoding import reading_threads
from ancestral.data.image_files import FORMATS, GREY, ORIENTATION, decode_image, strict_pillow
from ancestral.data.io_errors import SourceLost, Unreadable, read_file
from ancestral.data.sources.lazy_folder import FileIndex, LazyFolder, NameList
from ancestral.data.spec import DataSpec
from ancestral.errors import InputError, one_line
from ancestral.events import Event, Work
from ancestral.inspection.findings import FAULTS
from ancestral.inspection.near_duplicates import SIZE, Groups, duplicates, thumbnails
from ancestral.inspection.value_statistics import ValueSums
from ancestral.results.data_report import FileStatistics, UnreadableFile, ValueStatistics

BLOCK = 64  # files handed to the threads at a time, so that few decoded images wait in memory
BITS_PER_SAMPLE = 0x0102
"""Tag of TIFF."""
_UNREAD = """
    apng mng heic heif avif jfif jpe jp2 jxl svg psd xcf ai eps ico ppm pgm pbm pnm tga exr hdr dds
    dng cr2 cr3 nef arw raf orf rw2 raw
"""
UNREAD_SUFFIXES = frozenset(f".{suffix}" for suffix in _UNREAD.split())
"""Suffixes of images that training does not read."""
UNUSUAL_MODES = ("CMYK", "YCbCr", "LAB", "HSV")
RATIOS = {
    "taller than 1:2": 0.5,
    "1:2 to 3:4": 0.74,
    "3:4 to square": 0.95,
    "square": 1.05,
    "square to 4:3": 1.34,
    "4:3 to 2:1": 2.0,
    "wider than 2:1": float("inf"),
}
"""The largest ratio of width to height of each class of shapes."""
LOOP = "a symbolic link that leads back to itself"
FACTS = np.dtype(
    [
        ("format", "U4"),
        ("mode", "U8"),
        ("width", "i4"),  # upright, as the EXIF block says
        ("height", "i4"),
        ("depth", "i4"),  # bits of each channel
        ("bytes", "i8"),
        ("animated", "?"),
        ("rotated", "?"),
        ("transparent", "?"),
        ("blank", "?"),  # nothing is left of it on the background
        ("digest", "u8"),  # 64 bits that differ if any pixel does
    ]
)
"""What is kept of each file besides its thumbnails."""
Facts = tuple[tuple[Any, ...], NDArray[np.uint8], Tensor]
"""The FACTS of a file, its thumbnails and its item."""
Inspected = tuple[Dataset, ValueStatistics, dict[str, Groups], FileStatistics | None]
"""A data set, the statistics of its values, its duplicates as `duplicates` returns them, and those of its files."""


class ReadableImages(LazyFolder):
    """The images of a folder that can be read, each of its own size if the conversion has none."""

    def __init__(
        self, root: Path, index: FileIndex, rows: NDArray[np.int64], values: ValueStatistics, conversion: Conversion
    ) -> None:
        """Select `rows` of the index. Nothing is inferred, since all were read and have these values."""
        self.root, self.name = root, one_line(root.resolve().name)
        self.names = NameList(b"".join(index.names[row] + b"\0" for row in rows.tolist()))
        self.labels = None if index.labels is None else index.labels[rows]
        self.spec = DataSpec(values.shape, IMAGES, index.classes, values.mean)
        self._count, self._conversion, self.notes = len(rows), conversion, index.notes

    def read(self, index: int) -> tuple[Tensor, int]:
        """Read and decode an image."""
        with strict_pillow():
            item = decode_image(self.encoded(index), self._conversion)
        return item, -1 if self.labels is None else int(self.labels[index])


def inspect_folder(root: Path, conversion: Conversion, threads: int) -> Generator[Event, None, Inspected | None]:
    """Inspect all images below a folder.

    Args:
        root: The folder.
        conversion: How training converts the images; those of 16 bits are inspected with 8.
        threads: The number of threads that decode files.

    Returns:
        The images that can be read, and what was found out; None without images, if it may be data of another kind.

    Raises:
        InputError: If the folder holds no image that can be read.
    """
    others: list[bytes] = []
    index = FileIndex(root, others)
    others.sort()
    count = len(index.names)
    if not count:
        _reject_others(root, [path for path in others if not path.endswith(b"/")])
        return None
    if conversion.channels not in (None, 1, 2, 3, 4):
        raise InputError(
            f"image files have 1 to 4 channels, not {conversion.channels}: give 1 (grey), 3 (RGB) or 4 (RGBA)"
        )
    facts, readable = np.zeros(count, FACTS), np.zeros(count, dtype=bool)
    thumbs = np.zeros((count, 2 if conversion.channels in (2, 4) else 1, SIZE), dtype=np.uint8)
    unreadable: list[UnreadableFile] = []
    sums = ValueSums()

    def inspect(row: int) -> Facts | UnreadableFile:
        return _inspect_file(root / os.fsdecode(index.names[row]), _text(index.names[row]), conversion)

    with reading_threads(threads) as pool:
        for start in range(0, count, BLOCK):
            for row, result in enumerate(pool.imap(inspect, range(start, min(start + BLOCK, count))), start):
                if isinstance(result, UnreadableFile):
                    unreadable.append(result)
                else:
                    facts[row], thumbs[row], item = result
                    readable[row] = True
                    sums.add(item[None])
                yield Work("reading", row + 1, count, "images")
    if not readable.any():
        first = unreadable[0]
        which = "the one image file" if count == 1 else f"none of the {count:,} image files"
        can = "cannot" if count == 1 else "can"
        fault = FAULTS[first.kind][0]
        raise InputError(f"{which} in {root} {can} be read: {first.name} is {fault} ({first.reason})")
    rows, values = np.flatnonzero(readable), sums.statistics()
    settled = replace(conversion, channels=conversion.channels or len(values.mean), bits=8)
    images = ReadableImages(root, index, rows, values, settled)
    unreadable += _unreachable(root, index, others)
    files = _statistics(facts[rows], images, count, conversion, unreadable, others)
    groups = duplicates(thumbs[rows], facts["digest"][rows])
    seen = ([row for row in group if not facts["blank"][rows[row]]] for group in groups["alike"])
    return images, values, {**groups, "alike": [tuple(group) for group in seen if len(group) > 1]}, files


def _text(name: bytes) -> str:
    return one_line(os.fsdecode(name))


def _reject_others(root: Path, others: Sequence[bytes]) -> None:
    """Raise InputError if a folder without images holds other files, unless they may be data of another kind."""
    kinds = sorted({PurePosixPath(os.fsdecode(path)).suffix.lower() for path in others} - {""})
    if others and not {".tar", ".parquet", ".arrow"} & set(kinds):
        more_of_heic = f"; of HEIC files, {READ_HEIC}" if HEIC.keys() & set(kinds) else ""
        more = f" ({', '.join(kinds[:5])}{' ...' if len(kinds) > 5 else ''})" if kinds else ""
        raise InputError(
            f"no images in {root}, but {len(others):,} other files{more}, {_text(others[0])} for example: "
            f"give a folder of {', '.join(SUFFIXES)}, or convert them{more_of_heic}"
        )


def _inspect_file(path: Path, name: str, conversion: Conversion) -> Facts | UnreadableFile:
    """Decode a file: its FACTS, its thumbnails and its item, or why it cannot be read. No pipe or device is opened."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return UnreadableFile("unreadable", name, "a pipe, a socket or a device, not a file")
        if status.st_size == 0:
            return UnreadableFile("empty", name, "zero bytes long")
        raw = read_file(path)
    except OSError as error:
        return _unreachable_file(path, name, error)
    except (Unreadable, SourceLost) as error:
        return UnreadableFile("unreadable", name, str(error))
    try:
        return _facts(raw, conversion)
    except UnidentifiedImageError:
        return UnreadableFile("not_image", name, _guess_content(raw))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        return UnreadableFile("too_large", name, f"more than {limit} million pixels")
    except Exception as error:  # a decoder that meets a hostile file may raise anything
        return UnreadableFile("corrupt", name, one_line(error) or type(error).__name__)


def _facts(raw: bytes, conversion: Conversion) -> Facts:
    with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
        kind, mode = image.format or "", image.mode
        turn = 1
        with suppress(Exception):  # a broken EXIF block is no reason to lose the image
            turn = image.getexif().get(ORIENTATION, 1)
        animated = bool(getattr(image, "is_animated", False)) and kind != "MPO"
        kind = "JPEG" if kind == "MPO" else kind  # a phone's photograph, followed by previews
        depth = _depth(image, raw)
        rgba = decode_image(image, Conversion(channels=4, bits=8))  # in full, so that all damage is seen
    height, width = rgba.shape[1:]
    transparent = bool((rgba[3] < 255).any())
    pixels = rgba if transparent else rgba[:3]
    digest = hashlib.blake2b(rgba.numpy().tobytes(), digest_size=8, key=f"{width} {height}".encode()).digest()
    if conversion.channels in (2, 4):
        item, shown, blank = decode_image(raw, replace(conversion, bits=8)), rgba[None], False
    else:
        channels = conversion.channels_of(mode in GREY, transparent)
        item = replace(conversion, channels=channels, bits=8)(pixels[None])[0].to(torch.uint8)
        shown = Conversion(channels=3, background=conversion.background)(pixels[None])
        blank = bool((rgba[3] != rgba[3, 0, 0]).any()) and bool((item == item[:, :1, :1]).all())
    flags = animated, turn in range(2, 9), transparent, blank
    facts = (kind, mode, width, height, depth, len(raw), *flags, int.from_bytes(digest, "little"))
    return facts, thumbnails(shown)[0], item


def _depth(image: Image.Image, raw: bytes) -> int:
    """Bits of a channel, by the header: Pillow reads colour with 8."""
    if image.format == "PNG":
        return raw[24]
    return max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) if isinstance(image, TiffImageFile) else 8


def _guess_content(raw: bytes) -> str:
    """What a file that is no image seems to be, by its first bytes."""
    text = raw[:512].lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, not an image: the download went wrong"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the image: run git lfs pull"
    if raw[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "a HEIC or AVIF image, which is not read (HEIC is by a plug-in: pip install pillow-heif)"
    if text.startswith((b"<svg", b"<?xml")):
        return "an SVG drawing, which is not read"
    return f"not an image of a kind that is read ({', '.join(FORMATS)})"


def _unreachable_file(path: Path, name: str, error: OSError) -> UnreadableFile:
    """Why the operating system does not open a file."""
    if error.errno == errno.ELOOP:
        return UnreadableFile("loop", name, LOOP)
    reason = error.strerror or type(error).__name__
    if error.errno == errno.ENOENT and path.is_symlink():
        reason = f"a symbolic link to {one_line(path.readlink())}, which is not there"
    return UnreadableFile("unreadable", name, reason)


def _unreachable(root: Path, index: FileIndex, others: Sequence[bytes]) -> list[UnreadableFile]:
    """Links that lead nowhere or back, and folders that cannot be listed or have the name of an image."""
    found = []
    real_root = root.resolve()
    for path in others:
        file, name = root / os.fsdecode(path), _text(path).rstrip("/")
        if path.endswith(b"/"):
            real = file.resolve()
            above = real_root.is_relative_to(real) or file.absolute().is_relative_to(real)
            where = "above it" if above else "that was read"
            reason = f"a symbolic link that leads back to a folder {where}; it is not entered again"
            found.append(UnreadableFile("loop", name, reason))
        elif file.is_symlink():
            try:
                file.stat()
            except OSError as error:
                found.append(_unreachable_file(file, name, error))
    names = (PurePosixPath(_text(index.names[row])) for row in range(len(index.names)))
    parents = {folder for path in names for folder in path.parents}
    for folder in sorted(str(folder) for folder in parents if folder.suffix.lower() in SUFFIXES):
        found.append(UnreadableFile("unreadable", folder, "a folder with the name of an image; what is in it is read"))
    for line in index.skipped:
        name, _, reason = line.rpartition(": ")
        found.append(UnreadableFile("unreadable", name, f"this folder cannot be listed: {reason}"))
    return found


def _statistics(
    facts: NDArray[np.void],
    images: ReadableImages,
    found: int,
    conversion: Conversion,
    unreadable: Sequence[UnreadableFile],
    others: Sequence[bytes],
) -> FileStatistics:
    """The statistics of the files of FACTS `facts`, which are `images`; `others` are all other paths."""
    width, height = facts["width"], facts["height"]
    ratio = width / height
    bins = np.searchsorted(list(RATIOS.values()), ratio)
    cut = share_cropped(height, width, conversion.size or (1, 1)) * (conversion.fit == "crop")
    promised = np.array([SUFFIXES[Path(images.name_of(row)).suffix.lower()] for row in range(len(facts))])

    high, wide = conversion.size or (8, 8)
    tiny = (height < high) & (width < wide) if conversion.fit == "pad" else (height < high) | (width < wide)

    def named(which: NDArray[np.bool_], remark: Callable[[np.void], str]) -> dict[str, str]:
        return {images.name_of(row): remark(facts[row]) for row in np.flatnonzero(which).tolist()}

    unusual = {
        "animated": named(facts["animated"], lambda _: "only its first frame is used"),
        "deep": named(facts["depth"] > 8, lambda file: f"{file['depth']} bits a channel"),
        "mode": named(np.isin(facts["mode"], UNUSUAL_MODES), lambda file: str(file["mode"])),
        "suffix": named(facts["format"] != promised, lambda file: f"holds a {file['format']}"),
        "blank": named(facts["blank"], lambda _: f"one colour on {conversion.background}"),
        "tiny": named(tiny, lambda file: f"{file['height']}x{file['width']}"),
        "cropped": {
            images.name_of(row): f"{height[row]}x{width[row]} loses {cut[row]:.0%}"
            for row in np.argsort(-cut, kind="stable").tolist()
            if cut[row] > 1 / 3
        },
    }
    links = {file.name for file in unreadable}
    names = [PurePosixPath(_text(path)) for path in others if not path.endswith(b"/") and _text(path) not in links]
    visible = [name for name in names if not name.name.startswith(".")]
    unusual["unread"] = {
        str(name): f"{suffix} files are not read" + (f": {READ_HEIC}" if suffix in HEIC else "")
        for name in visible
        if (suffix := name.suffix.lower()) in UNREAD_SUFFIXES
    }
    return FileStatistics(
        found=found,
        read=len(facts),
        bytes=int(facts["bytes"].sum()),
        formats=_frequencies(facts["format"].tolist()),
        modes=_frequencies(facts["mode"].tolist()),
        depths=_frequencies(map(str, facts["depth"].tolist())),
        width=_min_median_max(width),
        height=_min_median_max(height),
        sizes=dict(list(_frequencies(f"{h}x{w}" for w, h in zip(width, height, strict=True)).items())[:10]),
        ratios={name: int((bins == place).sum()) for place, name in enumerate(RATIOS) if (bins == place).any()},
        cropped=float(cut.mean()),
        transparent=int(facts["transparent"].sum()),
        rotated=int(facts["rotated"].sum()),
        others=_frequencies(name.suffix.lower() or "no suffix" for name in visible),
        hidden=len(names) - len(visible),
        unreadable=tuple(unreadable),
        unusual={kind: rows for kind, rows in unusual.items() if rows},
    )


def _frequencies(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _min_median_max(sides: NDArray[np.integer]) -> tuple[int, int, int]:
    return int(sides.min()), int(np.median(sides)), int(sides.max())
