"""Folders: the kinds of files that data may be, by their names alone, and what this package writes itself.

The pictures in runs and reports are samples, which no data set takes for items.
"""

import contextlib
import importlib.util
import os
from collections.abc import Collection
from pathlib import Path

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config.run_files import CONFIG, IN_RUN

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
if importlib.util.find_spec("pillow_heif"):
    SUFFIXES |= HEIC
BESIDE = {
    *("", ".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".html", ".htm"),
    *(".ini", ".db", ".log", ".py", ".url"),
}
"""The suffixes of files that lie beside items and are none: tables, captions and descriptions."""
WAV = ".wav"
"""The suffix of recordings."""

ARRAY_FILES = (".npy", ".npz")
"""The suffixes of files of arrays."""


def first_suffix(folder: str | Path, suffixes: Collection[str] = (WAV, *SUFFIXES)) -> str | None:
    """Find the suffix of the first file with one of some suffixes, those of images and recordings by default.

    Files lie in the folder or below it, outside of runs. None without one.
    """
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
            if suffix in suffixes and not name.startswith("."):
                return suffix
    return None


def holds_recordings(folder: str | Path) -> bool:
    """Whether the first image or recording that is found in a folder or below it is a recording."""
    return first_suffix(folder) == WAV


RUNS = "runs"
"""The folder in which commands write where no other is given."""
REPORTS = ("compare", "doctor", "studio")
"""Folders in RUNS that hold what commands write of data and of several runs, and are no runs."""


def is_run(folder: str | Path) -> bool:
    """Tell whether a folder is a run folder."""
    path = Path(folder)
    try:
        return (path / CONFIG).is_file() and any((path / name).exists() for name in IN_RUN)
    except PermissionError:  # a folder that may not be read
        return False


def is_output(folder: str | Path) -> bool:
    """Tell whether a folder is a run, a folder of reports, or the folder RUNS with one of them in it."""
    path = Path(folder)
    if is_run(path) or _is_report(path):
        return True
    if path.name != RUNS:
        return False
    with contextlib.suppress(OSError):
        return any(_is_report(inner) or is_run(inner) for inner in path.iterdir())
    return False


def _is_report(path: Path) -> bool:
    return path.name in REPORTS and path.absolute().parent.name == RUNS


def check_outside(path: Path, data: object) -> None:
    """Check that a picture is not written among the data, where training would read it.

    Args:
        path: The file, or the folder of files, that is written.
        data: The source of the data. Only of a folder the path can be a part.

    Raises:
        InputError: If it lies in the folder, and in no run or reports there.
    """
    root, place = _root(data), path.resolve()
    if root is not None and place.is_relative_to(root) and not any(map(is_output, _folders_below(root, place))):
        raise InputError(f"{path} lies in the data and would be trained on; give {option('out')} a place outside")


def check_run_folder(folder: Path, data: object) -> None:
    """Check that a new run folder holds no part of the data, which would be skipped as a run from then on.

    Raises:
        InputError: If it lies in the data and is not empty.
    """
    root, place = _root(data), folder.resolve()
    if root is None or not place.is_relative_to(root) or not place.is_dir() or is_output(place):
        return
    if any(not entry.name.startswith(".") for entry in place.iterdir()):
        raise InputError(
            f"{folder} holds data, and a run folder is skipped as data; give {option('out')} a folder of its own"
        )


def _root(data: object) -> Path | None:
    root = Path(data).expanduser().resolve() if isinstance(data, str | Path) and data else None
    return root if root is not None and root.is_dir() else None


def _folders_below(root: Path, place: Path) -> list[Path]:
    return [folder for folder in (place, *place.parents) if folder != root and folder.is_relative_to(root)]
