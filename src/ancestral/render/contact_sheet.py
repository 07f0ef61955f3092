"""Contact sheets of data sets: some items of each class as training receives them, and those that findings concern."""

import contextlib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps
from PIL.PngImagePlugin import PngInfo

from ancestral.data import Dataset
from ancestral.data.statistics import evenly_spaced
from ancestral.errors import InputError
from ancestral.options import option
from ancestral.quantities import format_shape, plural
from ancestral.render.captions import INK, font, shorten
from ancestral.render.pictures import picture
from ancestral.results.data_report import DataReport
from ancestral.storage import atomic

WIDTH, MARGIN, LEFT, TILE, GAP = 1240, 32, 210, 64, 7
"""Pixels: width of the sheet, margin, width of the names of rows, side of a thumbnail, gap between thumbnails."""
LEFT_CHARACTERS = 23
"""Characters of a line of a row's name, which is shortened if it is still too wide."""
COLUMNS = (WIDTH - 2 * MARGIN - LEFT + GAP) // (TILE + GAP)
"""Thumbnails in a row without captions."""
CAPTIONED = 6
"""Thumbnails in a row with captions."""
CLASSES, PLAIN, FINDINGS, POINTS = 12, 4, 12, 4000
"""Largest numbers of rows of classes, of items without classes and of findings, and of points."""
COPIES = {"duplicates": "same", "near_duplicates": "alike"}
"""The groups of duplicates by the code of their finding."""
SIGNATURE = "ancestral doctor"
GREY, PALE, GROUND = "#5b636c", "#d5dade", "#f1f3f5"
COLOURS = {"error": "#b3261e", "warning": "#b35c00", "note": "#1f5fa8"}


@dataclass(frozen=True)
class _Tile:
    """An image, or None for an item that cannot be read, above a caption and, in grey, a remark."""

    image: Image.Image | None
    caption: str = ""
    remark: str = ""


@dataclass(frozen=True)
class _Row:
    """Tiles beside a name; those of a finding have captions, and the name has the colour of its level."""

    name: str
    remark: str
    tiles: Sequence[_Tile]
    level: str = ""

    @property
    def height(self) -> int:
        tallest = max((tile.image.height for tile in self.tiles if tile.image is not None), default=TILE)
        return max(TILE, tallest) + 36 * (self.level != "")


def contact_sheet(report: DataReport, data: Dataset) -> Image.Image:
    """Draw the contact sheet of a data set and the report on it."""
    values = report.values
    classes = f" in {plural(len(report.classes), 'class')}" if report.classes else ""
    title = f"{data.name}: {plural(report.count, 'item')}{classes}"
    mean = ", ".join(f"{mean:.1f} ± {std:.1f}" for mean, std in zip(values.mean[:4], values.std, strict=False))
    shape = format_shape(values.shape)
    line = f"as training receives them: {shape}, {values.dtype}; mean ± deviation by channel {mean}"
    if len(values.shape) == 1:
        cloud = picture(data.sample(POINTS).items, height=480)
        return _draw(title, line, {"The points": [_Row(data.name, "", [_Tile(cloud)])]})
    limits = values.low, values.high

    def thumbnail(row: int) -> Image.Image:
        return _fit(picture(data.read(row)[0][None], columns=1, limits=limits))

    def samples(rows: Sequence[int]) -> list[_Tile]:
        return [_Tile(thumbnail(row)) for row in rows]

    if data.labels is None:
        rows = evenly_spaced(PLAIN * COLUMNS, len(data))
        sample = [_Row("", "", samples(rows[start : start + COLUMNS])) for start in range(0, len(rows), COLUMNS)]
    else:
        largest = sorted(report.classes, key=lambda name: -report.classes[name])[:CLASSES]
        sample = []
        for label, (name, count) in enumerate(report.classes.items()):
            if name in largest:
                rows = (data.labels == label).nonzero().flatten().tolist()
                chosen = [rows[place] for place in evenly_spaced(COLUMNS, count)]
                sample.append(_Row(name, plural(count, "item"), samples(chosen)))
        if len(report.classes) > CLASSES:
            sample.append(_Row(f"and {len(report.classes) - CLASSES:,} smaller classes", "", []))

    shown = [f for f in report.findings if f.names and f.code not in ("empty_class", "small_class")][:FINDINGS]
    pairs = {code: [group[:2] for group in report.duplicates[kind]][: CAPTIONED // 2] for code, kind in COPIES.items()}
    wanted = {name for finding in shown for name in list(finding.names)[:CAPTIONED]}
    wanted |= {name for groups in pairs.values() for pair in groups for name in pair}
    row_of = {name: row for row in range(len(data)) if (name := data.name_of(row)) in wanted}
    concerned = []
    for finding in shown:
        if finding.code in COPIES:  # each beside what it is a copy of
            tiles = [_Tile(thumbnail(row_of[name]), name) for pair in pairs[finding.code] for name in pair]
            more = len(finding.names) - len(pairs[finding.code])
        else:
            names = list(finding.names.items())[:CAPTIONED]
            tiles = [_Tile(thumbnail(row_of[name]) if name in row_of else None, name, text) for name, text in names]
            more = len(finding.names) - len(tiles)
        remark = f"and {more:,} more" if more > 0 else ""
        concerned.append(_Row(finding.text.partition(":")[0], remark, tiles, finding.level))
    return _draw(title, line, {"A sample": sample, "Look at these": concerned})


def _draw(title: str, line: str, sections: dict[str, list[_Row]]) -> Image.Image:
    shown = {heading: rows for heading, rows in sections.items() if rows}
    height = 106 + sum(44 + sum(row.height + 14 for row in rows) for rows in shown.values()) + MARGIN // 2
    sheet = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 26), shorten(title, 26, WIDTH - 2 * MARGIN, bold=True), fill=INK, font=font(26, bold=True))
    pen.text((MARGIN, 70), shorten(line, 14, WIDTH - 2 * MARGIN), fill=GREY, font=font(14))
    top = 92
    for heading, rows in shown.items():
        top += 12
        pen.line([(MARGIN, top), (WIDTH - MARGIN, top)], fill=PALE)
        pen.text((MARGIN, top + 8), heading, fill=INK, font=font(15, bold=True))
        top += 32
        for row in rows:
            _draw_row(sheet, pen, row, top)
            top += row.height + 14
    return sheet


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: _Row, top: int) -> None:
    colour = COLOURS.get(row.level, INK)
    below = top + 2
    for line in textwrap.wrap(row.name, LEFT_CHARACTERS, max_lines=3, placeholder=" …"):
        pen.text((MARGIN, below), shorten(line, 13, LEFT - 18, bold=True), fill=colour, font=font(13, bold=True))
        below += 18
    for line in textwrap.wrap(row.remark, LEFT_CHARACTERS, max_lines=2, placeholder=" …"):
        pen.text((MARGIN, below + 1), shorten(line, 12, LEFT - 18), fill=GREY, font=font(12))
        below += 16
    wide = (WIDTH - 2 * MARGIN - LEFT + GAP) // CAPTIONED if row.level else TILE + GAP
    for place, tile in enumerate(row.tiles):
        left = MARGIN + LEFT + place * wide
        room = (wide if place + 1 < len(row.tiles) else WIDTH - MARGIN - left) - 8
        if tile.image is None:
            pen.rectangle([left, top, left + TILE - 1, top + TILE - 1], fill=GROUND, outline=PALE)
            pen.line([(left + 22, top + 22), (left + 41, top + 41)], fill=GREY, width=2)
            pen.line([(left + 41, top + 22), (left + 22, top + 41)], fill=GREY, width=2)
        else:
            sheet.paste(tile.image, (left, top))
            right, bottom = left + tile.image.width, top + tile.image.height
            pen.rectangle([left - 1, top - 1, right, bottom], outline=PALE)  # shows the edge of white images
        if tile.caption:
            pen.text((left, top + TILE + 4), shorten(tile.caption, 11, room), fill=INK, font=font(11))
        if tile.remark:
            pen.text((left, top + TILE + 20), shorten(tile.remark, 11, room), fill=GREY, font=font(11))


def _fit(image: Image.Image) -> Image.Image:
    """Fit an image into a square tile: enlarged by a whole factor, or reduced with antialiasing."""
    if factor := TILE // max(image.size):
        image = ImageOps.scale(image, factor, Image.Resampling.NEAREST)
    image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (TILE, TILE), GROUND)
    square.paste(image, ((TILE - image.width) // 2, (TILE - image.height) // 2))
    return square


def check_sheet(path: Path) -> None:
    """Raise InputError if `path` is taken by anything but a contact sheet."""
    if not path.exists() and not path.is_symlink():
        return
    with contextlib.suppress(Exception), Image.open(path, formats=("PNG",)) as image:
        if path.is_file() and image.info.get("Software") == SIGNATURE:
            return
    raise InputError(
        f"{path} exists already and is not a contact sheet of ancestral; give {option('out')} another name"
    )


def write_sheet(path: Path, sheet: Image.Image) -> None:
    """Write a contact sheet atomically as a PNG with the signature that `check_sheet` looks for."""
    text = PngInfo()
    text.add_text("Software", SIGNATURE)
    with atomic(path) as temporary:
        sheet.save(temporary, pnginfo=text, optimize=True)
