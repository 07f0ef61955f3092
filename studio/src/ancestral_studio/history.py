"""The history of a studio: all that was made, listed, marked, deleted and copied."""

import contextlib
import io
import shutil
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral_studio.history_entry import FILES_FOLDER, RUNNING, TABLE_FILE, HistoryEntry, read_entry
from ancestral_studio.history_index import HistoryIndex, IndexRow
from ancestral_studio.places import Places

EXPORTS_FOLDER = "exports"
OVERVIEWS = ("grid.png", "samples.png", "overview.png", TABLE_FILE)
"""The files that hold all samples and their recipe: that which the studio adds to single files, or the command's."""
LONGEST_TITLE, LONGEST_TAG, MOST_TAGS = 80, 40, 20
PIECE_BYTES = 1 << 20
"""Number of bytes of a file that are in memory while an archive is sent."""


class History:
    """All that was made in a studio.

    Args:
        folder: Where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = HistoryIndex(folder)

    def begin(self, name: str, command: str, options: Mapping[str, Any], **facts: Any) -> HistoryEntry:
        """Make the folder of an entry.

        Args:
            name: Its id, that of the job.
            command: The command.
            options: What the visitor sent.
            facts: More of what entry.json holds.
        """
        folder = self.folder / name
        folder.mkdir(parents=True)
        entry = HistoryEntry(folder, {})
        entry.save(command=command, options=dict(options), created=time.time(), state=RUNNING, **facts)
        return entry

    def get(self, name: str) -> HistoryEntry:
        """Return an entry. Raises MissingError if there is none."""
        return read_entry(self.folder / name)

    def rows(self, live: Collection[str] = ()) -> list[IndexRow]:
        """List the entries, the newest first; damaged ones are left out. Those that did not change are not read.

        Args:
            live: The ids of those that are being made now.
        """
        return self._index.rows(live)

    def file(self, name: str, path: str) -> Path:
        """Return a file of an entry; "" is the picture of all samples. Raises MissingError if there is none."""
        folder = self.get(name).folder
        whole = [f"{FILES_FOLDER}/{file}" for file in OVERVIEWS if (folder / FILES_FOLDER / file).is_file()]
        path = path or next(iter(whole), "")
        return Places.below(folder, path)

    def favour(self, name: str, favourite: bool) -> None:
        """Note whether an entry is a favourite. Raises MissingError if there is none."""
        self.get(name).save(favourite=favourite)

    def tag(self, name: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Change the tags of an entry.

        Args:
            name: Its id.
            add: Tags that it gets.
            remove: Tags that it has no more.

        Raises:
            MissingError: If there is no such entry.
            InputError: If a tag is empty or too long, or there are too many.
        """
        entry, new = self.get(name), [" ".join(tag.split()) for tag in add]
        if any(not 0 < len(tag) <= LONGEST_TAG for tag in new):
            raise InputError(f"a tag has 1 to {LONGEST_TAG} characters")
        tags = [tag for tag in dict.fromkeys([*entry.tags, *new]) if tag not in remove]
        if len(tags) > MOST_TAGS:
            raise InputError(f"an entry has at most {MOST_TAGS} tags: remove one first")
        entry.save(tags=tags)

    def delete(self, name: str) -> None:
        """Remove an entry, as a whole or not at all. Raises MissingError if there is none."""
        folder = self.get(name).folder
        grave = folder.with_name(f".{folder.name}-deleted")
        folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def export(self, names: Sequence[str], title: str) -> Path:
        """Copy the files of entries into a new folder, each under the name of its entry.

        Args:
            names: The entries.
            title: The name of the folder.

        Returns:
            The folder.

        Raises:
            MissingError: If there is no such entry.
            InputError: If there are none.
        """
        entries = [self.get(name) for name in names]
        if not entries:
            raise InputError("there is nothing to export: choose entries of the history, or mark favourites")
        safe = "".join(c if c.isalnum() or c in "-_ " else "_" for c in title).strip()[:LONGEST_TITLE] or "export"

        def write(folder: Path) -> None:
            for entry in entries:
                for name, file in entry.kept_files():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, folder / name)

        return storage.write_new(self.folder.parent / EXPORTS_FOLDER / safe, write)

    def archive(self, names: Sequence[str]) -> Iterator[bytes]:
        """Return the files of entries as a ZIP archive, in pieces.

        Args:
            names: The entries.

        Raises:
            MissingError: If there is no such entry.
        """
        return zipped([self.get(name) for name in names])


def zipped(entries: Sequence[HistoryEntry]) -> Iterator[bytes]:
    """Yield a ZIP archive of the files of entries. What was deleted meanwhile is left out."""
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED) as archive:  # pictures do not shrink
        for entry in entries:
            for name, file in entry.kept_files():
                with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
                    with archive.open(zipfile.ZipInfo.from_file(file, name, strict_timestamps=False), "w") as member:
                        while piece := content.read(PIECE_BYTES):
                            member.write(piece)
                            yield pieces.taken()
                    yield pieces.taken()
    yield pieces.taken()


class _Pieces(io.RawIOBase):
    """A file that cannot be read, whose bytes are taken as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._bytes += content
        return len(content)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken
