"""A table of text, for a terminal and for a notebook."""

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Table:
    """Rows of text under column titles. The first column is left-aligned, the others are right-aligned.

    Args:
        columns: The titles. Without titles there is no header, and all columns are left-aligned.
        rows: One text for each column.
        title: A line above the table.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def __str__(self) -> str:
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
        Console(file=text, width=10_000, markup=False, emoji=False, highlight=False).print(table)
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join([self.title] * bool(self.title) + lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(title)}</th>" for title in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in self.rows)
        caption = f"<caption>{html.escape(self.title)}</caption>" if self.title else ""
        header = f"<thead><tr>{head}</tr></thead>" if head else ""
        return f"<table>{caption}{header}<tbody>{body}</tbody></table>"
