"""What lies beside the files of a folder: the columns of its tables, and captions in text files.

The captions of `name.png` are the lines of `name.txt` that are not empty, as kohya's scripts and OneTrainer have them.
They are the column `caption`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ancestral.base.errors import InputError, one_line
from ancestral.base.quantities import plural
from ancestral.data.decoding import reading_threads
from ancestral.data.files import Files, NameList, Unreadable
from ancestral.data.sources.metadata_table import NUL_TEXT, ItemsError, MetadataTable

CAPTION, TEXT_FILE = "caption", ".txt"
"""The column of the text files, and their suffix."""
LARGEST_TEXT_FILE = 1 << 16
"""Largest size in bytes of a text file."""
FETCHED_AT_ONCE = 1024
"""Number of text files that are fetched at the same time, from another machine."""


class FolderColumns(Mapping[str, Any]):
    """The columns of tables as `MetadataTable` has them, and the captions of text files: a tuple for each item."""

    def __init__(self, files: Files, names: Sequence[bytes], folders: Iterable[bytes], has_texts: bool) -> None:
        """Set up; nothing is read.

        Args:
            files: The files below the folder.
            names: The path of each file that is read, from the folder.
            folders: The names of its sub-folders.
            has_texts: Whether there are text files.
        """
        self._files, self._names, self._has_texts = files, names, has_texts
        self._table = MetadataTable(files, names, folders)

    def __getitem__(self, name: str) -> Any:
        """Read a column. Raises KeyError if there is none, and InputError if files are damaged or contradict."""
        if name != CAPTION or not self._text_files:
            return self._table[name]
        if name in self._table:
            raise InputError(f"{self._found()}: rename the column {CAPTION}, or move the {TEXT_FILE} files away")
        captions: list[tuple[str, ...]] = [()] * len(self._names)
        faults: dict[str, str] = {}
        rows = list(self._text_files)
        with reading_threads(self._files.threads) as pool:
            for first in range(0, len(rows), FETCHED_AT_ONCE):
                part = rows[first : first + FETCHED_AT_ONCE]
                files = [self._text_files[row] for row in part]
                self._files.prefetch(files)
                for row, file, lines in zip(part, files, pool.map(self._lines, part), strict=True):
                    if isinstance(lines, str):
                        faults[one_line(file.decode("utf-8", "surrogateescape"))] = lines
                    else:
                        captions[row] = lines
        if faults:
            example = ": ".join(next(iter(faults.items())))
            raise ItemsError(
                f"{plural(len(faults), 'file')} of captions cannot be read ({example}): write UTF-8 of at most "
                f"{LARGEST_TEXT_FILE >> 10} KiB beside the images, or delete what is no caption",
                faults,
            )
        return captions

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._table, *[CAPTION] * bool(self._text_files)]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._table or (name == CAPTION and bool(self._text_files))

    @property
    def note(self) -> tuple[str, list[str]] | None:
        """What there is, and the names of columns; None without any."""
        return (self._found(), list(self)) if len(self) else None

    def _found(self) -> str:
        of_table = [] if self._table.note is None else [self._table.note[0]]
        count = len(self._text_files)
        of_files = [f"{plural(count, 'item')} {'has' if count == 1 else 'have'} captions in {TEXT_FILE} files"]
        return ", and ".join(of_table + of_files * bool(count))

    @cached_property
    def _text_files(self) -> dict[int, bytes]:
        """By the row of an item its text file."""
        if not self._has_texts:
            return {}
        found = NameList(b"".join(name + b"\0" for name in self._files.names([TEXT_FILE], [], [])))
        numbers = {name[: -len(TEXT_FILE)]: number for number, name in enumerate(found)}
        stems = (name.rpartition(b".")[0] for name in self._names)
        return {row: found[numbers[stem]] for row, stem in enumerate(stems) if stem in numbers}

    def _lines(self, row: int) -> tuple[str, ...] | str:
        """The captions in the text file of an item, or why it cannot be read."""
        file = self._text_files[row]
        try:
            if target := self._files.outside(file, self._names[row]):
                return f"a link out of the data to {target}"
            raw = self._files.read(file, LARGEST_TEXT_FILE + 1)
            if len(raw) > LARGEST_TEXT_FILE:
                return f"more than {LARGEST_TEXT_FILE >> 10} KiB"
            return f"it holds {NUL_TEXT}" if b"\0" in raw else lines(raw)
        except Unreadable as error:
            return str(error)
        except UnicodeDecodeError:
            return "not UTF-8"


def lines(raw: bytes, errors: str = "strict") -> tuple[str, ...]:
    """Return the lines of a text file that are not empty. Raises UnicodeDecodeError where errors are strict."""
    return tuple(filter(None, map(str.strip, raw.decode("utf-8-sig", errors).splitlines())))
