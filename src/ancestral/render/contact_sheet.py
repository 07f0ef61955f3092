"""Contact sheets: rows of thumbnails, each row with a name, and thumbnails with captions where they have them."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ancestral.errors import InputError
from ancestral.storage import atomic

WIDTH, MARGIN, LEFT, TILE, GAP = 1240, 32, 210, 64, 7
"""Pixels: width of the sheet, margin, width of the names of rows, side of a thumbnail, gap between thumbnails."""
COLUMNS = (WIDTH - 2 * MARGIN - LEFT + GAP) // (TILE + GAP)
"""Thumbnails in a row without captions."""
CAPTIONED = 6
"""Thumbnails in a row with captions."""
SIGNATURE = "ancestral doctor"
INK, GREY, PALE, GROUND = "#22262b", "#5b636c", "#d5dade", "#f1f3f5"
COLOURS = {"error": "#b3261e", "warning": "#b35c00", "note": "#1f5fa8"}


@dataclass(frozen=True)
class Tile:
    """A picture, or None for an item that cannot be read, above a caption and, in grey, a remark."""

    picture: Image.Image | None
    caption: str = ""
    remark: str = ""


@dataclass(frozen=True)
class TileRow:
    """Tiles beside a name, which has the colour of a finding's `level`. Tiles that do not fit are left out."""

    name: str
    remark: str
    tiles: Sequence[Tile]
    level: str = ""


def contact_sheet(title: str, lines: Sequence[str], sections: Sequence[tuple[str, Sequence[TileRow]]]) -> Image.Image:
    """Draw a contact sheet: a title, lines of text below it, and sections of a heading and rows each."""
    shown = [(heading, rows) for heading, rows in sections if rows]
    height = 84 + 22 * len(lines) + sum(44 + sum(_height(row) + 14 for row in rows) for _, rows in shown) + MARGIN // 2
    sheet = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 26), shorten(title, 26, WIDTH - 2 * MARGIN, bold=True), fill=INK, font=font(26, bold=True))
    top = 70
    for line in lines:
        pen.text((MARGIN, top), shorten(line, 14, WIDTH - 2 * MARGIN), fill=GREY, font=font(14))
        top += 22
    for heading, rows in shown:
        top += 12
        pen.line([(MARGIN, top), (WIDTH - MARGIN, top)], fill=PALE)
        pen.text((MARGIN, top + 8), heading, fill=INK, font=font(15, bold=True))
        top += 32
        for row in rows:
            _draw_row(sheet, pen, row, top)
            top += _height(row) + 14
    return sheet


def _height(row: TileRow) -> int:
    tallest = max((tile.picture.height for tile in row.tiles if tile.picture is not None), default=TILE)
    return max(TILE, tallest) + (20 if _captioned(row) else 0) + (16 if any(tile.remark for tile in row.tiles) else 0)


def _captioned(row: TileRow) -> bool:
    return any(tile.caption for tile in row.tiles)


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: TileRow, top: int) -> None:
    colour = COLOURS.get(row.level, INK)
    below = top + 2
    for line in _wrapped(row.name, 13, LEFT - 18, 3):
        pen.text((MARGIN, below), line, fill=colour, font=font(13, bold=True))
        below += 18
    for line in _wrapped(row.remark, 12, LEFT - 18, 2):
        pen.text((MARGIN, below + 1), line, fill=GREY, font=font(12))
        below += 16
    wide = (WIDTH - 2 * MARGIN - LEFT + GAP) // CAPTIONED if _captioned(row) else TILE + GAP
    tiles = row.tiles[: CAPTIONED if _captioned(row) else COLUMNS]
    for place, tile in enumerate(tiles):
        left = MARGIN + LEFT + place * wide
        room = (wide if place + 1 < len(tiles) else WIDTH - MARGIN - left) - 8
        if tile.picture is None:
            pen.rectangle([left, top, left + TILE - 1, top + TILE - 1], fill=GROUND, outline=PALE)
            pen.line([(left + 22, top + 22), (left + 41, top + 41)], fill=GREY, width=2)
            pen.line([(left + 41, top + 22), (left + 22, top + 41)], fill=GREY, width=2)
        else:
            sheet.paste(tile.picture, (left, top))
            right, bottom = left + tile.picture.width, top + tile.picture.height
            pen.rectangle([left - 1, top - 1, right, bottom], outline=PALE)  # shows the edge of white pictures
        if tile.caption:
            pen.text((left, top + TILE + 4), shorten(tile.caption, 11, room), fill=INK, font=font(11))
        if tile.remark:
            pen.text((left, top + TILE + 20), shorten(tile.remark, 11, room), fill=GREY, font=font(11))


def thumbnail(picture: Image.Image, side: int = TILE) -> Image.Image:
    """Fit a picture into a square of `side` pixels: enlarged by a whole factor, or reduced smoothly."""
    picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    factor = side // max(picture.size)
    if factor >= 1:
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    else:
        picture = picture.copy()
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    if picture.size == (side, side):
        return picture
    square = Image.new("RGB", (side, side), GROUND)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def check_sheet(path: Path) -> None:
    """Raise InputError if `path` is taken by anything but a contact sheet."""
    if not path.exists() and not path.is_symlink():
        return
    with contextlib.suppress(Exception), Image.open(path, formats=("PNG",)) as image:
        if path.is_file() and image.info.get("Software") == SIGNATURE:
            return
    raise InputError(f"{path} exists already and is not a contact sheet of ancestral; give --out another name")


def write_sheet(path: Path, sheet: Image.Image) -> None:
    """Write a contact sheet atomically as a PNG with the signature that `check_sheet` looks for."""
    text = PngInfo()
    text.add_text("Software", SIGNATURE)
    with atomic(path) as temporary:
        sheet.save(temporary, pnginfo=text, optimize=True)


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib and has most alphabets, so that file names can be read."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def shorten(text: str, size: int, width: int, bold: bool = False) -> str:
    """Shorten a text to `width` pixels by leaving out its middle, since names differ at their ends."""
    face, short = font(size, bold), text
    keep = len(text)
    while keep > 2 and face.getlength(short) > width:
        keep -= 1
        short = f"{text[: keep // 3]}…{text[len(text) - (keep - keep // 3) :]}"
    return short


def _wrapped(text: str, size: int, width: int, most: int) -> list[str]:
    """A text on at most `most` lines, broken between words."""
    face, lines = font(size, bold=True), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and face.getlength(longer) > width and len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = longer
    return [shorten(line, size, width, bold=True) for line in lines if line]
