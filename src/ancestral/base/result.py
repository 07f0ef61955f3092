"""Base class of all results: JSON with a version of its schema, and tables for a terminal and a notebook.

The schema is the dataclass: a field is a key, a nested dataclass an object. A field whose default is None is left out
of the JSON where it is None. Files may come from anywhere: a value of another type than its field's is refused.
"""

import dataclasses
import html
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, ClassVar, Literal, Self

from ancestral.base.arguments import from_json, read_json, stored_fields
from ancestral.base.errors import InputError, lines
from ancestral.base.options import Spelling, in_python, on_command_line, spelled
from ancestral.base.plugins import import_effects_undone

ATTACHED = {"attached": True}
"""The metadata of a field that JSON does not hold, such as a model or a picture. Its default is None."""
SITE = "https://ancestral-diffusion.github.io/ancestral/"
"""The site with the documentation and the JSON Schemas; pyproject.toml names it too."""


def schema_address(name: str) -> str:
    """Return the address of the JSON Schema of a kind of file, such as config."""
    return f"{SITE}schemas/{name}.json"


@dataclass(frozen=True)
class Table:
    """Rows of text under column titles. The first column is left-aligned, the others are right-aligned.

    Args:
        columns: The titles. Without titles there is no header, and all columns are left-aligned.
        rows: One text for each column.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        with import_effects_undone():
            from rich.console import Console
            from rich.table import Table as RichTable

        table = RichTable(box=None, pad_edge=False, show_header=bool(self.columns))
        for number in range(max(map(len, (self.columns, *self.rows)), default=0)):
            title = self.columns[number] if self.columns else ""
            justify: Literal["right", "left"] = "right" if self.columns and number else "left"
            table.add_column(title, justify=justify, style="bold" if not number else None, no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        text = io.StringIO()
        # in a notebook rich would display the table, or add colours
        plain = Console(file=text, force_jupyter=False, force_terminal=False, width=10_000, markup=False, emoji=False)
        plain.print(table, highlight=False)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(title)}</th>" for title in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in self.rows)
        header = f"<thead><tr>{head}</tr></thead>" if head else ""
        return f"<table>{header}<tbody>{body}</tbody></table>"


@singledispatch
def parts_of(result: "Result") -> "Sequence[Table | str]":
    """Make the tables and lines of text that show a result, by its type.

    `render` registers those of the results of this package, and every use case imports it; of other types all values
    are listed by name.
    """
    return [Table((), [(name, str(value)) for name, value in vars(result).items()])]


class Result:
    """The base of a frozen dataclass of plain numbers and text that a workflow returns."""

    SCHEMA: ClassVar[str]
    """The name and the version of the JSON schema."""

    def parts(self) -> Sequence[Table | str]:
        """Make the tables and lines of text that show the result."""
        parts: Sequence[Table | str] = parts_of(self)
        return parts

    def to_text(self, spelling: Spelling) -> str:
        """Write the tables and lines of the result, with options as `spelling` spells them.

        Control characters are escaped: names in files of others may hold some, which a terminal would obey.
        """
        return lines("\n".join(str(spelled(part, spelling)) for part in self.parts()))

    def __str__(self) -> str:
        return self.to_text(in_python)

    def _repr_html_(self) -> str:
        return "\n".join(
            f"<p>{html.escape(part)}</p>" if isinstance(part, str) else part._repr_html_()
            for part in spelled(list(self.parts()), in_python)
        )

    @classmethod
    def head(cls) -> dict[str, str]:
        """Return the keys that say what the JSON is: the address of its JSON Schema, and the schema by its version.

        A class of another program has no address, since the site has JSON Schemas of the results of this package.
        """
        ours = cls.__module__.partition(".")[0] == __name__.partition(".")[0]
        return ({"$schema": schema_address(cls.SCHEMA)} if ours else {}) | {"schema": cls.SCHEMA}

    def to_json(self) -> str:
        """Write the result as JSON. Numbers that are not finite become null."""
        tree = {**self.head(), **spelled(to_plain(self), on_command_line)}
        return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, name: str = "the text") -> Self:
        """Read a result from JSON.

        Args:
            text: What `to_json` wrote, in this version of the schema.
            name: What error messages call the text, such as the path of its file.

        Returns:
            The result.

        Raises:
            InputError: If the text is not JSON, is of another schema, or a value is missing or of another type.
        """
        try:
            tree = read_json(text, name)
            if tree.get("schema", cls.SCHEMA) != cls.SCHEMA:
                raise InputError(
                    f"{name} has the schema {tree['schema']!r}, but this version reads {cls.SCHEMA!r}: make it anew, "
                    "or read it with the version that wrote it"
                )
            result: Self = from_json(cls, tree, name)
        except RecursionError:
            raise InputError(f"{name} is nested too deeply") from None
        return result


@dataclass(frozen=True)
class PlaceResult(Result):
    """What a command printed of a result that is a path or an address in Python."""

    SCHEMA: ClassVar[str] = "place-1"

    place: str
    """Path of the file or folder that was made; of a model on the Hugging Face Hub its URL."""


def to_plain(value: Any) -> Any:
    """Convert a dataclass and all that it holds to dicts, lists, numbers and text."""
    if hasattr(type(value), "from_text"):  # which reads the text again
        return str(value)
    if dataclasses.is_dataclass(value):
        tree = {}
        for field in stored_fields(value):
            part = getattr(value, field.name)
            if "keys" in field.metadata and part is not None:
                tree[field.name] = {key: to_plain(getattr(part, name)) for name, key in field.metadata["keys"].items()}
            elif part is not None or field.default is not None:
                tree[field.metadata.get("key", field.name)] = to_plain(part)
        return tree
    if isinstance(value, dict):
        return {name: to_plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
