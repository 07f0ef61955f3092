"""The picture of a sweep: a table of samples, with the values of the columns above and those of the rows beside it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from ancestral.conditions import Limits
from ancestral.render import lettering, pictures

TABLE_SIDE, LOWEST_CELL, HIGHEST_CELL = 960, 48, 256
"""Pixels: about the longer side of all cells, and the least and the largest height to which one is enlarged."""
CELL_GAP = 4
"""Pixels between two cells."""
WIDEST_ROW_TEXT = 220
"""Pixels of the texts of rows; what is longer is cut."""


class Heading(NamedTuple):
    """What stands above the columns or beside the rows: the name of a setting, and its values."""

    name: str
    texts: Sequence[str]


def sweep_picture(
    cells: Sequence[Tensor],
    limits: Limits,
    columns: Heading,
    rows: Heading | None = None,
    captions: bool = True,
) -> Image.Image:
    """Draw a table of samples.

    Args:
        cells: The samples (n, C, *sides) of each cell by rows, in the units of the data.
        limits: Those of the codec.
        columns: The values above the columns.
        rows: The values beside the rows; None of a single row.
        captions: Whether there are texts.
    """
    count, shape = len(columns.texts), pictures.shown(cells[0], limits)[0].shape[1:]
    height = max(LOWEST_CELL, min(HIGHEST_CELL, TABLE_SIDE // max(count, len(cells) // count)))
    across = pictures.grid_columns(len(cells[0]), shape)
    tiles = [pictures.picture(samples, across, height, limits) for samples in cells]
    needed = lettering.caption_width([*columns.texts, *(() if rows is None else (rows.name,))]) if captions else 0
    wide, tall = max(needed, *(tile.width for tile in tiles)), max(tile.height for tile in tiles)
    pitch = wide + CELL_GAP
    size = lettering.caption_size(columns.texts, wide, count * pitch)
    lines = [_row(tiles[start : start + count], wide, tall) for start in range(0, len(tiles), count)]
    if not captions:
        return pictures.vstack(lines, CELL_GAP)
    left = 0 if rows is None else _left(rows, size)
    names = lettering.caption_line([columns.name], size, lines[0].width, left, left + lines[0].width)
    head = lettering.caption_line(columns.texts, size, pitch, left - CELL_GAP / 2, left + lines[0].width)
    if rows is not None:
        head.paste(_text(rows.name, size, left, head.height), (0, 0))
        texts = [_text(text, size, left, line.height) for text, line in zip(rows.texts, lines, strict=True)]
        lines = [pictures.hstack(pair, 0) for pair in zip(texts, lines, strict=True)]
    table = pictures.vstack([names, pictures.vstack([head, pictures.vstack(lines, CELL_GAP)], 0)], 0)
    return pictures.with_legend(table, limits)


def _row(tiles: Sequence[Image.Image], wide: int, tall: int) -> Image.Image:
    """Cells beside one another, each in the middle of its place."""
    sheets = []
    for tile in tiles:
        sheets.append(Image.new("RGB", (wide, tall), "white"))
        sheets[-1].paste(tile, ((wide - tile.width) // 2, (tall - tile.height) // 2))
    return pictures.hstack(sheets, CELL_GAP)


def _left(rows: Heading, size: int) -> int:
    """The pixels that the texts of rows need."""
    widest = max(lettering.text_width(text, size) for text in (rows.name, *rows.texts))
    return min(WIDEST_ROW_TEXT, math.ceil(widest)) + 4 * lettering.SIDE


def _text(text: str, size: int, width: int, height: int) -> Image.Image:
    """A text in the middle of a place of this size."""
    sheet, line = Image.new("RGB", (width, height), "white"), lettering.caption_line([text], size, width, 0, width)
    sheet.paste(line, (0, (height - line.height) // 2))
    return sheet
