"""The index of a history: what its list says of each entry, so that an entry is read once.

The entries are the truth. A row of the index holds for one content of entry.json, which is told by its time, size and
number, and is made anew for another. So the file of the index may be lost, cut by a kill, or written by two studios at
a time: lines that cannot be read are left out, and of several lines of an entry the last counts.
"""

import contextlib
import itertools
import json
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from ancestral.base import storage
from ancestral_studio.answers import MissingError
from ancestral_studio.history_entry import ENTRY_FILE, ENTRY_ID, RUNNING, HistoryEntry, read_entry

INDEX_FILE = "index.jsonl"
VERSION = 2
"""Number of the form of a line; lines of another are left out."""
NUMBERED = "{:06d}.png"
"""The name of the picture of one sample."""
SPARE_LINES = 1000
"""Number of lines that the file may have beyond two for each entry, before it is written anew."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What is listed of an entry.

    Attributes:
        id: Its id.
        stamp: Time, size and number of entry.json when it was read.
        created: When it was begun, in seconds since 1970.
        command: Its command.
        favourite: Whether it is one.
        tags: Its tags.
        words: What a search looks through, in lower case.
        pictures: The PNGs that were written, as `names_of_pictures` yields them.
        summary: `HistoryEntry.summary` as JSON.
    """

    id: str
    stamp: tuple[int, int, int]
    created: float
    command: str
    favourite: bool
    tags: tuple[str, ...]
    words: str
    pictures: tuple[str | int, ...]
    summary: str

    @classmethod
    def of(cls, entry: HistoryEntry, stamp: tuple[int, int, int], live: bool) -> "IndexRow":
        """Make the row of an entry."""
        facts = entry.facts
        created = facts.get("created", 0)
        return cls(
            id=entry.id,
            stamp=stamp,
            created=float(created) if isinstance(created, int | float) else 0.0,
            command=str(facts.get("command", "")),
            favourite=bool(facts.get("favourite")),
            tags=tuple(entry.tags),
            words=entry.words(),
            pictures=_shortened([file["name"] for file in entry.files_at(entry.files)]),
            summary=json.dumps(entry.summary(live), ensure_ascii=False),
        )

    @classmethod
    def read(cls, line: str) -> "IndexRow | None":
        """Read a row from a line; None if it is none, or of another version."""
        with contextlib.suppress(ValueError, TypeError):
            version, name, stamp, created, command, favourite, tags, words, pictures, summary = json.loads(line)
            if version == VERSION and isinstance(words, str) and isinstance(summary, str):
                more = (tuple(tags), words, tuple(pictures), summary)
                return cls(name, tuple(stamp), float(created), command, favourite, *more)
        return None

    def line(self) -> str:
        """Write the row as a line."""
        return json.dumps([VERSION, *astuple(self)], ensure_ascii=False, separators=(",", ":"))

    def names_of_pictures(self) -> Iterator[str]:
        """Yield the names of the PNGs, below the folder of files."""
        for one in self.pictures:
            yield from map(NUMBERED.format, range(one)) if isinstance(one, int) else (one,)

    def described(self) -> dict[str, Any]:
        """Return the row as pages get it."""
        summary: dict[str, Any] = json.loads(self.summary)
        return summary


class HistoryIndex:
    """The rows of a history, in memory and in a file.

    Args:
        folder: The folder of the history.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / INDEX_FILE
        self._lock = threading.Lock()
        self._rows: dict[str, IndexRow] | None = None
        self._lines = 0

    def rows(self, live: Collection[str]) -> list[IndexRow]:
        """List the entries, the newest first; damaged ones are left out. Those that changed are read.

        Args:
            live: The ids of those that are being made now.
        """
        with self._lock:
            known = self._read() if self._rows is None else self._rows
            rows, kept, fresh = list[IndexRow](), dict[str, IndexRow](), list[IndexRow]()
            for name in _names(self.folder):
                stamp = _stamp(f"{self.folder}{os.sep}{name}{os.sep}{ENTRY_FILE}")
                row = known.get(name)
                if row is None or row.stamp != stamp:
                    try:
                        entry = read_entry(self.folder / name)
                        row = IndexRow.of(entry, stamp, name in live)
                    except (MissingError, OSError):  # damaged, or deleted meanwhile
                        continue
                    if entry.facts.get("state", RUNNING) == RUNNING:  # what it says changes without entry.json
                        rows.append(row)
                        continue
                    fresh.append(row)
                kept[name] = row
            self._rows = kept
            self._write(fresh, kept.values())
            return sorted([*rows, *kept.values()], key=lambda row: row.created, reverse=True)

    def _read(self) -> dict[str, IndexRow]:
        rows: dict[str, IndexRow] = {}
        with contextlib.suppress(OSError), self.file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._lines += 1
                if (row := IndexRow.read(line)) is not None:
                    rows[row.id] = row
        return rows

    def _write(self, fresh: list[IndexRow], rows: Collection[IndexRow]) -> None:
        """Add rows to the file, or write it anew where most of its lines are old. Without it, all is read again."""
        if not fresh:
            return
        with contextlib.suppress(OSError):  # a full disk, or one that may not be written
            if self._lines + len(fresh) > 2 * len(rows) + SPARE_LINES:
                storage.write_text(self.file, _text(rows))
                self._lines = len(rows)
            else:
                with self.file.open("ab") as file:  # begins a line, whatever a killed studio left
                    file.write(b"\n" + _text(fresh).encode("utf-8", "replace"))
                self._lines += len(fresh)


def _shortened(names: Sequence[str]) -> tuple[str | int, ...]:
    """The PNGs among names; 000000.png and those that follow it without a gap are their number."""
    pictures = [name for name in names if name.endswith(".png")]
    known = set(pictures)
    count = next(number for number in itertools.count() if NUMBERED.format(number) not in known)
    numbered = {NUMBERED.format(number) for number in range(count)}
    return (*([count] if count else []), *(name for name in pictures if name not in numbered))


def _text(rows: Iterable[IndexRow]) -> str:
    return "".join(f"{row.line()}\n" for row in rows)


def _names(folder: Path) -> list[str]:
    """The names of the folders of entries in a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [one.name for one in entries if ENTRY_ID.fullmatch(one.name) and one.is_dir()]
    return []


def _stamp(file: str) -> tuple[int, int, int]:
    """What tells one content of a file from the next, as it is replaced as a whole; zeros without a file."""
    with contextlib.suppress(OSError):
        facts = os.stat(file)  # noqa: PTH116 (10,000 of them; a Path costs as much as the question)
        return facts.st_mtime_ns, facts.st_size, facts.st_ino
    return 0, 0, 0
