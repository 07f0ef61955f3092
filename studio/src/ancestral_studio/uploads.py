"""Files that visitors send: images, arrays, recordings and fields, checked before anything else reads them."""

import json
import re
import secrets
import threading
import wave
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ancestral.base import storage
from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral_studio.answers import MissingError, TooLargeError

MOST_UPLOAD_BYTES = 64 << 20
"""Largest number of bytes of an upload."""
MOST_PIXELS = 64_000_000
"""Largest number of pixels of an image, of all its frames together, and a quarter of the bytes of an array: what is
small as a file may fill the memory when it is decoded."""
MOST_KEPT = 2 << 30
"""Number of bytes of all uploads; of more, the oldest are removed."""
SUFFIXES_BY_FORMAT = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif"}
"""The formats of images, of those that the package reads, and the suffix that each gets whatever its name was."""
IN_BROWSERS = {".png", ".jpg", ".webp", ".bmp", ".gif"}
FACTS_FILE, PREVIEW_FILE = "upload.json", "preview.png"
LONGEST_FILE_NAME = 100
UPLOAD_ID = re.compile(r"[0-9a-f]{24}")


class Uploads:
    """The uploads of a studio, by the SHA-256 of their content: what is sent twice is kept once.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock, self._decoding = threading.Lock(), threading.Lock()

    async def receive(self, name: str, chunks: AsyncIterator[bytes], length: int | None) -> Path:
        """Write what a visitor sends to a temporary file.

        Args:
            name: The name that the visitor gave it.
            chunks: The content.
            length: Its length in bytes, if the visitor says so.

        Returns:
            The temporary file, for `keep`.

        Raises:
            TooLargeError: If it is too long; the rest is not read.
        """
        if length is not None and length > MOST_UPLOAD_BYTES:
            raise TooLargeError(_too_long(name))
        self.folder.mkdir(parents=True, exist_ok=True)
        path, size = self.folder / f".upload-{secrets.token_hex(8)}", 0
        try:
            with path.open("xb") as file:  # unlike a file of `tempfile`, it has the rights that the user gives to files
                async for chunk in chunks:
                    size += len(chunk)
                    if size > MOST_UPLOAD_BYTES:
                        raise TooLargeError(_too_long(name))
                    file.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def keep(self, temporary: Path, name: str) -> dict[str, Any]:
        """Check a file that was received and keep it.

        Args:
            temporary: The file, which is moved or removed.
            name: The name that the visitor gave it.

        Returns:
            Its facts: id, name, suffix, and the width and height of an image.

        Raises:
            InputError: If it is no image, array or recording that can be read.
            TooLargeError: If its decoded content would be too large.
        """
        try:
            with self._decoding:  # a small file may be a large image, and many visitors upload at once
                suffix, sides = _checked(temporary, name)
            number = storage.sha256(temporary)[:24]
            folder = self.folder / number
            file_name = _safe_name(name, suffix)
            facts: dict[str, Any] = {"id": number, "name": file_name, **sides}
            with self._lock:
                if (old := self._facts(number)) is not None:
                    return old | {"name": file_name}  # this visitor's, though the file has that of the first one
                with storage.atomic_folder(folder) as inside:
                    temporary.replace(inside / file_name)
                    if sides and suffix not in IN_BROWSERS:
                        _write_preview(inside / file_name, inside / PREVIEW_FILE)
                        facts["preview"] = True
                    (inside / FACTS_FILE).write_text(json.dumps(facts), encoding="utf-8")
        finally:
            temporary.unlink(missing_ok=True)
        self._trim(number)
        return facts

    def facts(self, number: str) -> dict[str, Any]:
        """Return the facts of an upload. Raises MissingError if there is none."""
        facts = self._facts(number)
        if facts is None:
            raise MissingError("there is no such upload any more: give the file again")
        return facts

    def path(self, number: str) -> Path:
        """Return the file of an upload. Raises MissingError if there is none."""
        return self.folder / number / str(self.facts(number)["name"])

    def shown(self, number: str) -> Path:
        """Return the file that a browser shows for an upload. Raises MissingError if there is none."""
        preview = self.folder / number / PREVIEW_FILE
        return preview if self.facts(number).get("preview") else self.path(number)

    def _facts(self, number: str) -> dict[str, Any] | None:
        if not UPLOAD_ID.fullmatch(number):
            return None
        try:
            facts: dict[str, Any] = json.loads((self.folder / number / FACTS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return facts if (self.folder / number / str(facts["name"])).is_file() else None

    def _trim(self, newest: str) -> None:
        """Remove the oldest uploads where all are too many."""
        with self._lock:
            folders = [folder for folder in self.folder.iterdir() if UPLOAD_ID.fullmatch(folder.name)]
            ages = sorted((folder.stat().st_mtime, folder) for folder in folders if folder.name != newest)
            total = sum(map(storage.size_of, folders))
            for _, folder in ages:
                if total <= MOST_KEPT:
                    break
                total -= storage.size_of(folder)
                for file in folder.iterdir():
                    file.unlink(missing_ok=True)
                folder.rmdir()


def _too_long(name: str) -> str:
    most = f"{MOST_UPLOAD_BYTES >> 20} MB"
    return f"{shown(name)} is too large: an upload has at most {most}; name its folder when the studio starts instead"


def _safe_name(name: str, suffix: str) -> str:
    """A name for a file: that of the visitor without folders, with the suffix of what it holds."""
    stem = Path(name.replace("\\", "/")).name.rpartition(".")[0] or Path(name).name
    letters = "".join(c if c.isalnum() or c in "-_ ()+,." else "_" for c in stem).strip(". ")
    return f"{letters[:LONGEST_FILE_NAME] or 'file'}{suffix}"


def _checked(file: Path, name: str) -> tuple[str, dict[str, int]]:
    """The suffix of what a file holds, and the sides of an image."""
    with file.open("rb") as content:
        start = content.read(16)
    if start.startswith(b"\x93NUMPY"):
        with file.open("rb") as content:
            _check_array(content, file.stat().st_size, name)
        return ".npy", {}
    if start.startswith(b"PK\x03\x04"):
        _check_arrays(file, name)
        return ".npz", {}
    if start.startswith(b"RIFF") and start[8:12] == b"WAVE":
        _check_recording(file, name)
        return ".wav", {}
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        _check_fields(file, name)
        return ".nc", {}
    return _check_image(file, name)


def _check_image(file: Path, name: str) -> tuple[str, dict[str, int]]:
    try:
        with Image.open(file, formats=[*SUFFIXES_BY_FORMAT]) as image:
            frames = getattr(image, "n_frames", 1)
            if image.width * image.height * frames > MOST_PIXELS:
                raise TooLargeError(
                    f"{shown(name)} has {image.width} x {image.height} pixels"
                    f"{f' in {frames} frames' if frames > 1 else ''}: an image has at most {MOST_PIXELS:,}"
                )
            image.load()
            return SUFFIXES_BY_FORMAT[str(image.format)], {"width": image.width, "height": image.height}
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLargeError(f"{shown(name)} is too large: an image has at most {MOST_PIXELS:,} pixels") from None
    except Exception:  # a damaged file may raise anything
        kinds = ", ".join(suffix.lstrip(".") for suffix in SUFFIXES_BY_FORMAT.values())
        raise InputError(f"{shown(name)} is no image ({kinds}), .npy, .npz, .wav or .nc that can be read") from None


def _check_array(content: IO[bytes], size: int, name: str) -> None:
    """Check the header of an array of numbers: what it promises is what the file holds."""
    try:
        version = np.lib.format.read_magic(content)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(content)
    except Exception:  # NumPy reads the header as Python: what is no header may raise anything
        raise InputError(f"{shown(name)} is no array of numbers that can be read") from None
    if dtype.hasobject or dtype.kind not in "biuf":
        raise InputError(f"{shown(name)} holds no numbers: give an array of integers or floats")
    if any(length < 0 for length in shape):
        raise InputError(f"{shown(name)} is no array of numbers that can be read")
    count = 1
    for length in shape:
        count *= length
    if count * dtype.itemsize > 4 * MOST_PIXELS:
        raise TooLargeError(f"{shown(name)} is too large: an array has at most {4 * MOST_PIXELS >> 20} MB")
    if count * dtype.itemsize > size:
        raise InputError(f"{shown(name)} is cut short")


def _check_arrays(file: Path, name: str) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > 4 * MOST_PIXELS:
                raise TooLargeError(f"{shown(name)} is too large: arrays have at most {4 * MOST_PIXELS >> 20} MB")
            for part in parts:
                with archive.open(part) as content:
                    _check_array(content, part.file_size, name)
            if archive.testzip() is not None:
                raise InputError(f"{shown(name)} is damaged")
    except InputError:
        raise
    except Exception:  # a damaged archive may raise anything
        raise InputError(f"{shown(name)} is no .npz that can be read") from None


def _check_fields(file: Path, name: str) -> None:
    """Check that a NetCDF-4 file holds what it promises, and takes nothing from other files of this machine."""
    from ancestral.data.sources.fields import imported

    h5py = imported("h5py")

    def sizes(group: Any) -> Iterator[int]:
        for key in group:
            part = None if isinstance(group.get(key, getlink=True), h5py.ExternalLink) else group[key]
            if part is None or (isinstance(part, h5py.Dataset) and (part.external or part.is_virtual)):
                raise InputError(f"{shown(name)} refers to other files: give one that holds all of its values")
            yield from [part.nbytes] if isinstance(part, h5py.Dataset) else sizes(part)

    try:
        with h5py.File(file, "r") as content:
            if sum(sizes(content)) > 4 * MOST_PIXELS:
                raise TooLargeError(f"{shown(name)} is too large: fields have at most {4 * MOST_PIXELS >> 20} MB")
    except InputError:
        raise
    except Exception:  # a damaged file may raise anything
        raise InputError(f"{shown(name)} is no .nc that can be read") from None


def _check_recording(file: Path, name: str) -> None:
    try:
        with wave.open(str(file), "rb") as content:
            if content.getnframes() * content.getnchannels() * content.getsampwidth() > file.stat().st_size:
                raise InputError(f"{shown(name)} is cut short")
    except InputError:
        raise
    except Exception:  # a damaged recording may raise anything
        raise InputError(f"{shown(name)} is no .wav that can be read") from None


def _write_preview(file: Path, preview: Path) -> None:
    """Write what browsers show of an image that they cannot."""
    with Image.open(file) as image:
        image.convert("RGB").save(preview, format="PNG")
