"""Columns of metadata.csv or metadata.jsonl beside files, as Hugging Face's ImageFolder has them.

The column `file_name` holds the path of a file from the folder of the table. The table lies in the folder of the data,
or each immediate sub-folder has one. A .csv is UTF-8, its fields are separated by commas, semicolons or tabs, and an
empty one is missing, like null or an absent key of a .jsonl. In a .csv a column of numbers alone is numbers, any other
is text. Numbers have decimal points.
"""

import csv
import io
import math
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from ancestral.base.arguments import parse_json, shortened
from ancestral.base.errors import InputError, one_line
from ancestral.base.quantities import plural
from ancestral.data.files import Files, Unreadable

TABLE_FILES = ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
SEPARATORS = ",;\t"
PEEKED_ROWS = 100
"""Number of rows of a .jsonl whose keys are its columns."""
CSV = 2
"""Marks the rows of a .csv."""
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
"""A number as many languages write it, and Excel with them."""
NUL_TEXT = "NUL (it may be UTF-16)"
"""What a text holds that no model file can hold."""
MOST_IN_MESSAGE = 3
"""Largest number of names in a message."""


class ItemsError(InputError):
    """A fault of some items, whose names a report lists.

    Attributes:
        names: A remark by the name of each item.
    """

    def __init__(self, message: str, names: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.names = dict(names or {})


def has_nul(text: str) -> bool:
    """Tell whether a text holds NUL: most likely it is UTF-16 without a mark at its beginning."""
    return "\0" in text


def listed(names: Iterable[str]) -> str:
    """Join the first names."""
    first = list(islice(names, MOST_IN_MESSAGE + 1))
    return ", ".join(first[:MOST_IN_MESSAGE]) + (", ..." if len(first) > MOST_IN_MESSAGE else "")


class ColumnFile(NamedTuple):
    """A table of a folder or sub-folder."""

    name: str
    """Its path or address for messages, in one line."""
    files: Files
    """The files among which it is."""
    file: bytes
    """Its name among them."""
    prefix: bytes
    """What its names of files lack to be paths from the root: b"", or the sub-folder with a slash."""


class MetadataTable(Mapping[str, Any]):
    """The columns of the tables of a folder, each read when it is looked up, in the order of the files.

    A column is float64 (N,) with NaN where it is missing; or a list of text and None; or of a .jsonl also a list of
    sequences of numbers. Files without a row are missing in all columns.
    """

    def __init__(self, files: Files, names: Sequence[bytes], folders: Iterable[bytes] = ()) -> None:
        """Set up; nothing is read.

        Args:
            files: The files below the folder.
            names: The path of each file that is read, from the folder.
            folders: The names of its sub-folders.
        """
        self._files, self._names, self._prefixes = files, names, [b"", *(name + b"/" for name in folders)]
        self._columns: dict[str, ColumnFile] | None = None
        self._problem = ""

    def __getitem__(self, name: str) -> Any:
        """Read a column. Raises KeyError if there is none, and InputError if a table is damaged or does not fit."""
        if name not in self._peek():
            if self._problem:
                raise InputError(self._problem)
            raise KeyError(name)
        values: list[Any] = [None] * len(self._names)
        seen = bytearray(len(values))
        rows = {file: row for row, file in enumerate(self._names)}
        origin = self._peek()[name].name
        strangers, absolute, twice, count = list[str](), list[str](), dict[str, str](), 0
        for table in self._tables():
            mark = CSV if _is_csv(table) else 1
            for file, value in _rows(table, name):
                path, count = table.prefix + _path_of(file), count + 1
                row = rows.get(path, -1)
                if os.path.isabs(_normal(file)):  # noqa: PTH117 (a million names)
                    absolute.append(one_line(file))
                elif row < 0:
                    strangers += [] if self._files.has(path) else [one_line(os.fsdecode(path))]
                elif seen[row]:
                    twice[one_line(os.fsdecode(path))] = "several rows"
                else:
                    seen[row], values[row] = mark, value
        if twice:
            raise ItemsError(
                f"{origin} has several rows for {plural(len(twice), 'file')} ({listed(twice)}): keep one for each",
                twice,
            )
        if strangers:
            raise ItemsError(
                f"{origin} has {plural(len(strangers), 'row')} for files that do not exist ({listed(strangers)}): "
                f"correct {FILE_NAME}, or delete these rows",
                dict.fromkeys(strangers, "no such file"),
            )
        wrong = f"{plural(len(absolute), 'row')} with absolute paths ({listed(absolute)})" if absolute else ""
        if not any(seen):
            wrong = wrong or (f"{plural(count, 'row')}, and none for a file that is read" if count else "no rows")
        if wrong:
            example = f"as in {self._name(0)}"
            raise ItemsError(
                f"{origin} has {wrong}: write {FILE_NAME} from the folder of the table, {example}, in a row for each",
                dict.fromkeys(absolute, "absolute path"),
            )
        return self._numbers_or_text(values, f"the column {name} of {origin}", seen)

    def __iter__(self) -> Iterator[str]:
        return iter(self._peek())

    def __len__(self) -> int:
        return len(self._peek())

    def __contains__(self, name: object) -> bool:
        return name in self._peek()

    @property
    def note(self) -> tuple[str, list[str]] | None:
        """What columns there are, and their names; None without a table."""
        names = list(self)
        if not names:
            return None
        file = next(iter(self._peek().values())).name.rpartition("/")[2]
        columns = f"the column {names[0]}" if len(names) == 1 else f"the columns {listed(names)}"
        return f"{file} has {columns}", names

    def _tables(self) -> list[ColumnFile]:
        """The tables of the folder and of its sub-folders. Raises InputError for two in one folder."""
        tables = list[ColumnFile]()
        for prefix in self._prefixes:
            here = [prefix + file.encode() for file in TABLE_FILES if self._files.has(prefix + file.encode())]
            if len(here) > 1:
                folder = f"{self._files}/{os.fsdecode(prefix)}"[:-1]
                raise InputError(f"{one_line(folder)} holds {' and '.join(TABLE_FILES)}: keep one of them")
            for file in here:
                if target := self._files.outside(file, self._names[0] if len(self._names) else b""):
                    raise InputError(
                        f"{one_line(f'{self._files}/{os.fsdecode(file)}')} is a link out of the data to {target}: "
                        "put a copy in its place, or remove it"
                    )
            tables += [
                ColumnFile(one_line(f"{self._files}/{os.fsdecode(name)}"), self._files, name, prefix) for name in here
            ]
        return tables

    def _peek(self) -> dict[str, ColumnFile]:
        """The table of each column; none, with the reason, if a table is damaged."""
        if self._columns is None:
            self._columns = {}
            try:
                tables = self._tables()
                for table in tables:
                    self._columns |= {name: table for name in _column_names(table) if name not in self._columns}
            except InputError as error:
                self._columns, self._problem = {}, error.text
        return self._columns

    def _numbers_or_text(self, values: list[Any], name: str, formats: Sequence[int]) -> Any:
        """Numbers as an array, text and others as a list. Rows of a .csv have text alone, which is parsed."""
        numbers, wrong, large, texts, others = array("d"), array("q"), array("q"), array("q"), 0
        for row, value in enumerate(values):
            number = math.nan
            if isinstance(value, bool):
                values[row] = str(value).lower()
                texts.append(row)
            elif isinstance(value, str) and formats[row] != CSV:
                texts.append(row)
            elif value is not None:
                try:
                    number = float(value)
                    if not math.isfinite(number):
                        wrong.append(row)
                except OverflowError:  # an integer
                    large.append(row)
                except ValueError:
                    texts.append(row)
                except TypeError:
                    others += 1
            numbers.append(number)
        filled = len(values) - values.count(None)
        commas = bool(texts) and all(DECIMAL_COMMA.fullmatch(values[row]) for row in texts)
        if others or not filled or (2 * len(texts) >= filled and not commas):
            return values
        for rows, what, advice in (
            (
                texts if commas else (),
                "has decimal commas",
                "write a point, as in 0.5 (names of classes need a letter)",
            ),
            (texts, "holds numbers, and text", "give numbers alone, nothing where they are missing, or text alone"),
            (large, "is too large", "correct it, or take another unit"),
            (wrong, "is not finite", "give numbers, and nothing where they are missing"),
        ):
            if rows:
                names = {self._name(row): shortened(values[row]) for row in rows}
                example, value = next(iter(names.items()))
                raise ItemsError(f"{name} {what} in {plural(len(rows), 'row')} ({value} of {example}): {advice}", names)
        return np.array(numbers)

    def _name(self, row: int) -> str:
        return one_line(os.fsdecode(self._names[row]))


def _path_of(file: str) -> bytes:
    """The path of a file in a table, as the system writes it; JSON may hold what no system writes."""
    name = _normal(file)
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")


def _normal(file: str) -> str:
    """A path as it is listed: without ./ before it, and with slashes."""
    file = file.replace("\\", "/") if "\\" in file else file
    return file[2:] if file.startswith("./") else file


def _is_csv(table: ColumnFile) -> bool:
    return table.name.endswith(".csv")


def _column_names(table: ColumnFile) -> list[str]:
    """The columns besides the names of files. Raises InputError if there are no such names."""
    if _is_csv(table):
        header, _ = next(_csv(table))
        names = header
    else:
        names = list(dict.fromkeys(key for row in islice(_jsonl(table), PEEKED_ROWS) for key in row))
    if not any(names):
        where = "in its first line: write" if _is_csv(table) else "in its first rows: give"
        raise InputError(f"{table.name} has no columns {where} {FILE_NAME}, and a name for each other column")
    if FILE_NAME not in names:
        raise InputError(
            f"{table.name} has no column {FILE_NAME} (its columns are {', '.join(map(one_line, names[:9]))}): "
            "name the column with the path of each file so"
        )
    return [name for name in names if name and name != FILE_NAME]


def _rows(table: ColumnFile, name: str) -> Iterator[tuple[str, Any]]:
    """The name of the file and the value of a column in each row; None where it is missing."""
    if not _is_csv(table):
        for number, content in enumerate(_jsonl(table), 1):
            file, value = content.get(FILE_NAME), content.get(name)
            if not isinstance(file, str):
                raise InputError(f"{table.name} has no {FILE_NAME} in row {number:,}: give the path of the file")
            yield file, None if value == "" else value
        return
    rows = _csv(table)
    header, _ = next(rows)
    if header.count(name) > 1:
        raise InputError(f"{table.name} has several columns {one_line(name)}: give each a name of its own")
    place, column = header.index(FILE_NAME), header.index(name) if name in header else -1
    texts: dict[str, str] = {}  # equal cells are one object
    for row, number in rows:
        if len(row) > len(header):
            raise InputError(
                f"{table.name} has {len(row)} fields in line {number:,}, and {len(header)} columns: quote text "
                "with separators in it"
            )
        cell = row[column].strip() if -1 < column < len(row) else ""
        yield row[place].strip() if place < len(row) else "", texts.setdefault(cell, cell) if cell else None


def _csv(table: ColumnFile) -> Iterator[tuple[list[str], int]]:
    """The header and the rows of a .csv that are not empty, with the numbers of their lines."""
    with _explained(table), _opened(table) as file:
        first = file.readline()
        _check_nul(first, 1, table)
        file.seek(0)
        fields = {mark: [cell.strip().strip('"') for cell in first.split(mark)] for mark in SEPARATORS}
        separator = next((mark for mark in SEPARATORS if FILE_NAME in fields[mark]), ",")
        reader = csv.reader(file, delimiter=separator)
        header = next(reader, [])
        yield [cell.strip() for cell in header], 1
        for row in reader:
            if row:
                yield row, reader.line_num


def _jsonl(table: ColumnFile) -> Iterator[dict[str, Any]]:
    with _explained(table), _opened(table) as file:
        for number, line in enumerate(file, 1):
            _check_nul(line, number, table)
            if line.strip():
                try:
                    content = parse_json(line)
                except ValueError as error:
                    raise InputError(f"{table.name} is no JSON in line {number:,} ({error}): correct it") from None
                if not isinstance(content, dict):
                    raise InputError(f"{table.name} has no JSON object in line {number:,}: write one in each line")
                yield content


def _check_nul(line: str, number: int, table: ColumnFile) -> None:
    if has_nul(line):
        raise InputError(f"{table.name} holds {NUL_TEXT} in line {number:,}: save it as UTF-8")


def _opened(table: ColumnFile) -> io.TextIOWrapper:
    return io.TextIOWrapper(table.files.stream(table.file), encoding="utf-8-sig", newline="")


class _explained:
    """Turn what reading a table raises into an InputError."""

    def __init__(self, table: ColumnFile) -> None:
        self._table = table

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, UnicodeDecodeError):
            raise InputError(f"{self._table.name} is not UTF-8: save it so, in Excel as CSV UTF-8") from None
        if isinstance(error, csv.Error | Unreadable):
            raise InputError(f"{self._table.name} cannot be read: {error}") from None
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise InputError(f"{self._table.name} cannot be read: {reason}") from None
