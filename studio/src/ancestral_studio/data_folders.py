"""The data that a visitor may choose: the built-in data sets, and the folders below the named ones."""

import contextlib
import os
from itertools import islice
from pathlib import Path
from typing import Any

from ancestral.config import PRESETS
from ancestral.config.data_sources import BUILT_IN, FILE_SUFFIXES, NESTED, suffix_of
from ancestral.config.run_files import is_output
from ancestral_studio.places import Places, short_path

MOST_ENTRIES, MOST_COUNTED = 2000, 20_000
"""Largest numbers of entries of a folder that are listed, and of files below one that are counted."""


def listing(places: Places, text: str) -> dict[str, Any]:
    """List the folders and files of arrays in a folder, with the number of items in each.

    Args:
        places: The folders that may be read.
        text: The path of the folder; "" lists the named ones.

    Raises:
        RefusedError: If it is outside the named folders.
    """
    if not text:
        folders = [_described(folder, folder.name or str(folder), places.out) for folder in places.folders]
        names = {"builtins": [*BUILT_IN], "presets": [*PRESETS]}
        return {"path": "", "parent": None, "folders": folders, "files": [], "items": 0, "more": 0} | names
    folder = places.inside(os.path.expanduser(text))  # noqa: PTH111 (no error of an unknown user)
    parent = "" if folder in places.folders else short_path(folder.parent)
    entries = _entries(folder)
    inner = [path for path in entries if path.is_dir() and _is_inside(places, path)]
    files = [path for path in entries if suffix_of(path.name) in FILE_SUFFIXES and path.is_file()]
    return {
        "path": short_path(folder),
        "parent": parent,
        "folders": [
            _described(path, path.name, places.out) for path in inner if not is_output(path) and path != places.out
        ],
        "files": [{"path": short_path(path), "name": path.name, "bytes": path.stat().st_size} for path in files],
        "items": sum(_is_item(path.name) for path in entries),
        "more": max(0, len(entries) - MOST_ENTRIES),
    }


def _described(folder: Path, name: str, out: Path) -> dict[str, Any]:
    items, whole = _count(folder, out)
    return {"path": short_path(folder), "name": name, "items": items, "whole": whole}


def _count(folder: Path, out: Path) -> tuple[int, bool]:
    """The number of images and recordings in a folder and below it, but in runs, and whether all were counted."""
    items = seen = 0
    for path, below, files in os.walk(folder):
        inner = ((name, Path(path, name)) for name in sorted(below) if name[0] != ".")
        below[:] = [name for name, place in inner if place != out and not is_output(place)]
        items += sum(map(_is_item, files))
        seen += len(files) + len(below)
        if seen > MOST_COUNTED:
            return items, False
    return items, True


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in islice(entries, MOST_ENTRIES) if entry.name[0] != ".")
    return []


def _is_item(name: str) -> bool:
    return name[0] != "." and suffix_of(name) in NESTED


def _is_inside(places: Places, path: Path) -> bool:
    """Whether a folder is where it seems to be, and not a link out of the named folders."""
    resolved = path.resolve()
    return any(resolved.is_relative_to(folder) for folder in places.folders)
