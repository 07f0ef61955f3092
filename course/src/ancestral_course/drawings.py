"""Drawings of the lessons, which `docs/hooks/drawings.py` of the repository writes."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from ancestral.errors import InputError

FOLDER = Path(__file__).parent / "drawing_files"


@dataclass(frozen=True)
class Drawing:
    """A drawing as the last value of a cell: notebooks show it, and scripts print nothing.

    Args:
        title: What it shows, in a few words.
        svg: The text of the SVG file.
    """

    title: str
    svg: str

    def __repr__(self) -> str:
        return f"<drawing: {self.title}>"

    def _repr_html_(self) -> str:
        """An image that holds its file, since SVG elements of notebooks that are not trusted are removed."""
        content = base64.b64encode(self.svg.encode()).decode()
        return f'<img src="data:image/svg+xml;base64,{content}" alt="{self.title}" style="max-width: 100%">'


def drawing(name: str) -> Drawing:
    """Return a drawing of the course.

    Args:
        name: chain, unet, block, matrix or methods.

    Returns:
        The drawing, which a notebook shows if it is the last value of a cell.

    Raises:
        InputError: There is no drawing of this name.
    """
    path = FOLDER / f"{name}.svg"
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.svg")))
        raise InputError(f"there is no drawing {name!r}; there are {names}")
    svg = path.read_text(encoding="utf-8")
    title = re.search(r"<title[^>]*>([^<]*)</title>", svg)
    return Drawing(title[1] if title else name, svg)
