"""The folders that visitors of the studio may read, and the runs in them."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ancestral.base.errors import InputError
from ancestral.config.run_files import RUN_OR_MODEL
from ancestral_studio.answers import MissingError, RefusedError

SEARCH_DEPTH = 3
"""Folders below a named one in which runs are looked for, as runs/compared/a in the working folder."""
MOST_FOLDERS = 2000
"""Largest number of folders that are searched for runs, so that a home folder costs no more than a moment."""


class Places:
    """Folders that were named when the studio was started: no other file is read for a visitor.

    Args:
        folders: The folders, of runs or data, or single runs.
        out: The folder of what is made, which belongs to them.

    Raises:
        InputError: If one does not exist.
    """

    def __init__(self, folders: Sequence[Path], out: Path) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise InputError(f"there is no folder {folder}; name run folders, folders of runs or folders of data")
        self.folders = [folder.resolve() for folder in folders]
        self.out = out.resolve()
        self._runs: dict[str, Path] = {}

    def inside(self, text: str | Path) -> Path:
        """Return the path that a text names, without links and "..", which need not exist.

        Raises:
            RefusedError: If it is not in a named folder.
        """
        if "\0" in str(text) or not str(text):
            raise RefusedError("a path holds a NUL character, or is empty")
        try:
            path = Path(text).resolve()
        except (OSError, RuntimeError, ValueError):  # a circle of links, or a name that the system cannot hold
            raise RefusedError("this path cannot be read") from None
        if not any(path.is_relative_to(folder) for folder in (*self.folders, self.out)):
            raise RefusedError(f"{text} is outside the folders that the studio was started with; name its folder there")
        return path

    @staticmethod
    def below(folder: Path, text: str) -> Path:
        """Return the path of a file in a folder by its relative path, as a visitor sends it.

        Raises:
            MissingError: If there is none, or it leads out of the folder.
        """
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # a name that the system cannot hold, a circle
            path = (folder / text).resolve()
            if path.is_relative_to(folder.resolve()) and path.is_file():
                return path
        raise MissingError("there is no such file")

    def runs(self) -> dict[str, Path]:
        """Find the run folders, by their ids."""
        searched, runs = 0, dict[str, Path]()
        queue = [(folder, 0) for folder in self.folders]
        while queue and searched < MOST_FOLDERS:
            folder, depth = queue.pop(0)
            searched += 1
            if any((folder / name).is_file() for name in RUN_OR_MODEL):
                runs[self.id_of(folder)] = folder
                continue
            if depth < SEARCH_DEPTH:
                queue += [(inner, depth + 1) for inner in _folders_in(folder) if self._allowed(inner)]
        self._runs = runs  # at once, as several requests may search at a time
        return dict(runs)

    def run(self, name: str) -> Path:
        """Return the folder of a run by its id. Raises MissingError if there is none."""
        folder = self._runs.get(name) or self.runs().get(name)
        if folder is None or not folder.is_dir() or not self._allowed(folder):
            raise MissingError("there is no such run; it may have been moved or deleted")
        return folder

    @staticmethod
    def id_of(folder: Path) -> str:
        """Return the id of a run: it says nothing of its place, and is the same after a restart."""
        return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]  # a name may be no UTF-8

    def name_of(self, path: Path) -> str:
        """Return a path as it is shown: from the named folder on."""
        for folder in self.folders:
            if path != folder and path.is_relative_to(folder):
                return str(path.relative_to(folder))
        return path.name

    def _allowed(self, folder: Path) -> bool:
        path = folder.resolve()
        return path != self.out and any(path.is_relative_to(place) for place in self.folders)


def contents(file: Path) -> tuple[int, int]:
    """Return what tells one content of a file from the next; (0, 0) without a file.

    It is the time of the last change and the size, as two contents may be written within one tick of the clock.
    """
    with contextlib.suppress(OSError):
        facts = file.stat()
        return facts.st_mtime_ns, facts.st_size
    return 0, 0


def short_path(path: Path) -> str:
    """Write a path as one would type it in the working folder; ./digits is a folder, digits a built-in data set."""
    folder = Path.cwd()
    if path == folder or not path.is_relative_to(folder):
        return str(path)
    inner = path.relative_to(folder)
    return str(inner) if len(inner.parts) > 1 else f".{os.sep}{inner}"


def _folders_in(folder: Path) -> Iterator[Path]:
    """The folders in a folder, in the order of their names, but hidden ones and what cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except OSError:
        return
    yield from (folder / name for name in names)
