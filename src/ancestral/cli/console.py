"""Where tables and notes are printed: whole lines, and no name in them is taken for markup, an emoji or a number."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> "Console":
    """A console on standard output."""
    from rich.console import Console

    return Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
