"""Where the conditions of a model come from, besides its classes; config.json and a command line have it as a text."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ancestral.base.arguments import is_remote, short_source
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import TEXT_KINDS

UNPLACED = "…/"
"""Placeholder for the folders of a path that are not shared."""


def unplaced(source: str) -> str:
    """Return a source as it may be shared: an absolute path as …/NAME, which cannot be opened by mistake."""
    return UNPLACED + short_source(source) if Path(source).is_absolute() else source


@dataclass(frozen=True)
class Given:
    """Where a condition comes from; its text is [NAME=]WHAT.

    Attributes:
        name: The name of the condition; "" where the source decides it.
        what: A column of the data, or several joined by commas; a column of text as words:COLUMN or classes:COLUMN; a
            folder or a file of arrays; an operator or a function that makes it of the item.
    """

    name: str
    what: str

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a text. Raises InputError if it names no source."""
        name, _, what = (part.strip() for part in (text.partition("=") if "=" in text else ("", "", text)))
        if not what:
            example = option("given", f"{name or 'NAME'}=WHAT")
            raise InputError(f"{option('given', text)} names no source: say where the condition comes from, {example}")
        return cls(name, what)

    def __str__(self) -> str:
        return f"{self.name}={self.what}" if self.name else self.what

    @property
    def condition(self) -> str:
        """The name of the condition of a column, or one that the user named."""
        return self.name or self.column

    @property
    def read_as(self) -> str:
        """What a column of text is read as, if the user says so: words or classes; else ""."""
        kind, colon, _ = self.what.partition(":")
        return kind if colon and kind in TEXT_KINDS else ""

    @property
    def column(self) -> str:
        """The source without `read_as`."""
        return self.what.removeprefix(f"{self.read_as}:")

    @property
    def is_place(self) -> bool:
        """Whether the source is an absolute path, also without its folders, or an address."""
        return self.what.startswith(UNPLACED) or Path(self.what).is_absolute() or is_remote(self.what)

    @property
    def lost(self) -> bool:
        """Whether the source is a folder or file that does not exist."""
        return bool(self.name) and self.is_place and not (is_remote(self.what) or Path(self.what).exists())

    def renamed(self, place: Callable[[str], str]) -> Self:
        """Return the same with another name for its place, if its source is one, as `place` returns it."""
        return replace(self, what=place(self.what)) if self.is_place else self

    @property
    def placeless(self) -> Self:
        """The same with nothing but the suffix of a place, since data may be moved and renamed."""
        return self.renamed(lambda place: UNPLACED + Path(place).suffix.lower())


def placeless(given: Iterable[Given] | None) -> tuple[Given, ...] | None:
    """Return all of `given` without their places."""
    return None if given is None else tuple(one.placeless for one in given)
