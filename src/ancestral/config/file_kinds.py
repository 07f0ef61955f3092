"""The kinds of files that a folder of data may hold, told from their names alone, so that a preset can be chosen."""

import contextlib
import difflib
import importlib.util
import os
from itertools import islice
from pathlib import Path

from ancestral.config.output_folders import is_output
from ancestral.errors import pip_install

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""The suffixes of image files, and the format that each promises."""
HEIC = {".heic": "HEIF", ".heif": "HEIF"}
"""Those of photographs of phones, which Pillow reads with a plug-in."""
READ_HEIC = f"{pip_install()} pillow-heif reads them"
if importlib.util.find_spec("pillow_heif"):
    SUFFIXES |= HEIC
WAV = ".wav"
"""The suffix of recordings."""

ARRAYS = (".npy", ".npz", ".tar")
"""The suffixes of files that are data by themselves."""
MOST_LISTED = 10_000
"""Largest number of names in a folder that a misspelt path is compared with."""


def nearest_path(text: str) -> str | None:
    """Return the folder, or the file of arrays, whose path is most like one that does not exist; None without one.

    Only the last part of the path may be misspelt.
    """
    path, matches = Path(text), list[str]()
    with contextlib.suppress(OSError, ValueError, RuntimeError), os.scandir(path.expanduser().parent) as entries:
        names = [
            entry.name
            for entry in islice(entries, MOST_LISTED)
            if entry.name[0] != "." and (entry.name.lower().endswith(ARRAYS) or entry.is_dir())
        ]
        matches = difflib.get_close_matches(path.name, sorted(names), n=1)
    return str(path.with_name(matches[0])) if matches else None


def first_suffix(folder: str | Path) -> str | None:
    """Find the suffix of the first image or recording in a folder or below it, outside of runs; None without one."""
    real_paths: set[str] = set()
    for path, below, files in os.walk(os.path.expanduser(folder), followlinks=True):  # noqa: PTH111 (raises nothing)
        real = os.path.realpath(path)
        if real in real_paths:  # a link that leads back
            below.clear()
            continue
        real_paths.add(real)
        below[:] = sorted(name for name in below if not name.startswith(".") and not is_output(f"{path}/{name}"))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a million names)
            if suffix in (WAV, *SUFFIXES) and not name.startswith("."):
                return suffix
    return None


def holds_recordings(folder: str | Path) -> bool:
    """Whether the first image or recording that is found in a folder or below it is a recording."""
    return first_suffix(folder) == WAV
