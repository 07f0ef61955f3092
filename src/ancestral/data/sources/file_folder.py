"""Folders of image files. The names of a million files are one buffer, never a million objects."""

import os
import stat
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from ancestral.base.errors import InputError, one_line, pip_install
from ancestral.base.options import option
from ancestral.base.quantities import are, plural
from ancestral.config.data_sources import BESIDE, HEIC, SOURCES, SUFFIXES
from ancestral.config.run_files import is_output
from ancestral.data.decoding import HEADER, Raw
from ancestral.data.files import Files, NameList, Section, SourceLost, Unreadable, classify, read_file, suffix_of
from ancestral.data.lazy_dataset import StoredItems
from ancestral.data.place import Place
from ancestral.data.sources.folder_columns import TEXT_FILE, FolderColumns

MOST_LINKS = 1000
"""The largest number of links that are followed to say whether they leave the folder."""
MOST_NAMED_KINDS = 5
"""Largest number of kinds of unread files that a note names."""


class LocalFiles(Files):
    """The files below a folder of a disk."""

    def __init__(self, root: Path) -> None:
        """Set up; nothing is read."""
        self.root, self.links = root, list[bytes]()

    def __str__(self) -> str:
        return str(self.root)

    @property
    def name(self) -> str:
        """The name of the folder, in one line."""
        return one_line(self.root.resolve().name)

    def names(
        self, suffixes: Iterable[str], skipped: list[str], runs: list[str], others: Counter[str] | None = None
    ) -> Iterator[bytes]:
        """See `scan`."""
        self.links = []
        return scan(self.root, suffixes, skipped, runs, others, self.links)

    def outside(self, name: bytes, beside: bytes = b"") -> str:
        """See `Files.outside`."""
        path = self.local(name)
        try:
            if not path.is_symlink():
                return ""
            target, root = path.resolve(), self.root.resolve()
            inside = target.is_relative_to(root) or (beside and target.parent == self.local(beside).resolve().parent)
        except (OSError, RuntimeError):  # a circle of links, which cannot be read either
            return ""
        return "" if inside else one_line(target)

    def has(self, name: bytes) -> bool:
        """See `Files.has`."""
        with suppress(OSError, ValueError):
            return bool(name) and os.path.isfile(os.path.join(os.fsencode(self.root), name))  # noqa: PTH113, PTH118 (bytes)
        return False

    def size(self, name: bytes) -> int:
        """See `Files.size`."""
        return self._status(name).st_size

    def version(self, name: bytes) -> str:
        """See `Files.version`."""
        status = self._status(name)
        return f"{self.local(name).resolve()} {status.st_size} {status.st_mtime_ns}"

    def read(self, name: bytes, size: int = -1) -> bytes:
        """See `Files.read`."""
        return read_file(self.local(name), size)

    def section(self, place: Section) -> bytes:
        """See `Files.section`."""
        name, start, size = place
        path = self.local(name)
        try:
            with path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), size, start)
        except OSError as error:
            raise SourceLost(f"{path} cannot be read: {error.strerror}") from None

    def stream(self, name: bytes) -> BinaryIO:
        """See `Files.stream`."""
        return self.local(name).open("rb")

    def local(self, name: bytes) -> Path:
        """Return the path of a file."""
        return self.root / os.fsdecode(name)

    def _status(self, name: bytes) -> os.stat_result:
        try:
            status = self.local(name).stat()
        except OSError as error:
            raise classify(error, self.local(name)) from None
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block for ever
            raise Unreadable(f"{self.local(name)} is not a regular file")
        return status


class FileFolder(StoredItems):
    """All files below a folder that have one of some suffixes, images or others, in the order of their paths' parts.

    Each immediate sub-folder is a class. If a file lies in the folder itself, it has no class, so there are no labels.
    Classes follow from names alone, so files that cannot be read count. The columns are those of `FolderColumns`.
    """

    def __init__(self, root: Path | Files, suffixes: Iterable[str] = SUFFIXES) -> None:
        """Find the files. Raises InputError if there are none, or as `scan` does."""
        self.files = LocalFiles(root) if isinstance(root, Path) else root
        self.threads, self.fork_safe = self.files.threads, self.files.fork_safe
        skipped, runs, others = list[str](), list[str](), Counter[str]()
        buffer, labels, tops = bytearray(), array("i"), [b""]
        for path in self.files.names(suffixes, skipped, runs, others):
            buffer += path + b"\0"
            top = path[: path.find(b"/")] if b"/" in path else b""
            if top != tops[-1]:
                tops.append(top)
            labels.append(len(tops) - 2)
        notes = list[tuple[str, str]]()
        if runs:
            names = ", ".join(runs[:3]) + (", ..." if len(runs) > 3 else "")
            text = (
                f"{plural(len(runs), 'folder')} of runs {'is' if len(runs) == 1 else 'are'} among the data and skipped"
            )
            notes.append((f"{text} ({names})", f"{option('out')} keeps runs at another place"))
        self.link_notes = _link_notes(self.files)
        notes += [*self.link_notes, *(unread := _unread_notes(others))]
        if not labels:
            if unread:
                raise InputError(f"no images in {root}, and {'; '.join(map(': '.join, unread))}")
            *further, last = (suffix for one in SOURCES.values() for suffix in one.folder if suffix not in SUFFIXES)
            raise InputError(
                f"no images in {root}: looked for {', '.join(SUFFIXES)} there and in sub-folders, and for "
                f"{', '.join(further)} and {last} files"
            )
        classed = b"" not in tops[1:] and min(labels) >= 0
        self.names = NameList(bytes(buffer))
        folders = dict.fromkeys(filter(None, tops))
        self.columns = FolderColumns(self.files, self.names, folders, has_texts=others[TEXT_FILE] > 0)
        super().__init__(
            self.files.name,
            len(labels),
            torch.from_numpy(np.array(labels)) if classed else None,
            tuple(one_line(os.fsdecode(top)) for top in tops[1:]) if classed else (),
            tuple(skipped),
            tuple(notes),
        )

    def raw(self, row: int) -> Raw:
        """Read the bytes of a file."""
        return self.files.read(self.names[row])

    def head(self, row: int) -> Raw | None:
        """Read the first bytes of a file."""
        return self.files.read(self.names[row], HEADER)

    def prefetch(self, rows: Sequence[int]) -> None:
        """Fetch files that are read next."""
        self.files.prefetch([self.names[row] for row in rows])

    def name_of(self, row: int) -> str:
        """The file's path from the root."""
        return one_line(self.names[row].decode("utf-8", "surrogateescape"))


def open_images(place: Place) -> FileFolder:
    """Open a folder of images."""
    assert place.at is not None  # since folders have a place
    return FileFolder(place.at)


def _link_notes(files: Files) -> tuple[tuple[str, str], ...]:
    """The note on links to files and folders outside, which are read."""
    targets = {name: target for name in files.links[:MOST_LINKS] if (target := files.outside(name))}
    if not targets:
        return ()
    name, target = next(iter(targets.items()))
    text = f"{plural(len(targets), 'link')} {'leads' if len(targets) == 1 else 'lead'} out of the folder {files.name}"
    more = " at least" if len(files.links) > MOST_LINKS else ""
    example = one_line(name.rstrip(b"/").decode("utf-8", "surrogateescape"))
    return ((f"{text}{more} ({example} to {target})", "what it leads to is read; remove links that you did not make"),)


def _unread_notes(others: Counter[str]) -> list[tuple[str, str]]:
    """The notes on files of kinds that are not read, by the number of files of each suffix."""
    counts = {suffix: count for suffix, count in others.items() if suffix not in BESIDE}
    heic = sum(counts.pop(suffix, 0) for suffix in HEIC)
    notes = [(f"{are(heic, 'HEIC file')} not read", f"{pip_install()} pillow-heif reads them")] if heic else []
    if counts:
        kinds = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))
        named = ", ".join(f"{counts[kind]:,} {one_line(kind[1:].upper())}" for kind in kinds[:MOST_NAMED_KINDS])
        more = ", ..." if len(kinds) > MOST_NAMED_KINDS else ""
        text = f"{are(sum(counts.values()), 'file')} of kinds that are not read ({named}{more})"
        notes.append((text, "convert images to PNG or JPEG, and recordings to .wav, or leave them out"))
    return notes


def scan(
    root: Path,
    suffixes: Iterable[str],
    skipped: list[str],
    runs: list[str],
    others: Counter[str] | None = None,
    links: list[bytes] | None = None,
) -> Iterator[bytes]:
    """Find all files below `root` with one of some suffixes, in any case, but no hidden ones and no pictures of runs.

    Links to folders are followed, but no folder is entered twice, nor one that contains `root`. `skipped` gets one line
    for each sub-folder that cannot be listed, and `runs` the paths of the folders of runs, which are not entered.
    `others` counts the files of all other suffixes, and `links` gets the paths of links.

    Yields:
        Paths from the root, in the order of their parts.

    Raises:
        InputError: If `root` itself cannot be listed.
    """
    endings = tuple(map(os.fsencode, suffixes))
    entered = {_identity(os.fsencode(parent)) for parent in root.resolve().parents}

    def below(folder: bytes) -> Iterator[bytes]:
        path = os.path.join(os.fsencode(root), folder[:-1])  # noqa: PTH118 (bytes)
        if folder and is_output(os.fsdecode(path)):
            runs.append(one_line(os.fsdecode(folder[:-1])))
            return
        try:
            identity = _identity(path)
            file_links = list[bytes]()
            names = [] if identity in entered else _names(path, endings, others, file_links)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if not folder:
                raise InputError(f"{root} cannot be listed: {reason}") from None
            skipped.append(f"{one_line(os.fsdecode(folder))}: {reason}")
            return
        if links is not None and identity not in entered:
            links.extend([folder] * (bool(folder) and os.path.islink(path)))  # noqa: PTH114 (bytes)
            links.extend(folder + link for link in sorted(file_links))
        entered.add(identity)
        for name in sorted(names, key=lambda name: name.rstrip(b"/")):
            if name.endswith(b"/"):
                yield from below(folder + name)
            else:
                yield folder + name

    return below(b"")


def _identity(path: bytes) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 (bytes)
    return status.st_dev, status.st_ino


def _names(path: bytes, endings: tuple[bytes, ...], others: Counter[str] | None, links: list[bytes]) -> list[bytes]:
    """The names of sub-folders, with a slash, and of the files that end in one of `endings`; others are counted.

    `links` gets the files that are links.
    """
    names = list[bytes]()
    with os.scandir(path) as entries:
        for entry in entries:
            is_folder = False
            with suppress(OSError):  # a link that leads to itself
                is_folder = entry.is_dir()
            if entry.name.startswith(b"."):
                continue
            if is_folder or entry.name.lower().endswith(endings):
                names.append(entry.name + b"/" * is_folder)
                links += [entry.name] * (not is_folder and entry.is_symlink())
            elif others is not None:
                others[suffix_of(entry.name)] += 1
    return names
