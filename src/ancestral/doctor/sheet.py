"""What the contact sheet shows: some of each class as training sees them, then what the findings are about."""

from collections.abc import Iterator, Sequence

from PIL import Image

from ancestral.data.statistics import evenly_spaced
from ancestral.doctor.findings import Finding, plural
from ancestral.doctor.sources import Source
from ancestral.render import Tile, TileRow, contact_sheet, picture, thumbnail
from ancestral.render.contact_sheet import CAPTIONED, COLUMNS

CLASSES, PLAIN, TROUBLES = 12, 4, 12
"""Most rows of classes, of items without classes, and of findings."""
POINTS = 4000
COPIES = {"duplicates": "same", "near_duplicates": "alike"}
OF_CLASSES = ("empty_class", "small_class")


def draw(source: Source, findings: Sequence[Finding]) -> Image.Image:
    """The contact sheet of a data set and what was found in it."""
    shape = " x ".join(map(str, source.values.shape)) or "different sizes"
    classes = f" in {plural(len(source.classes), 'class')}" if source.classes else ""
    title = f"{source.name}: {plural(source.count, 'item')}{classes}"
    mean = ", ".join(
        f"{mean:.1f} ± {std:.1f}" for mean, std in zip(source.values.mean[:4], source.values.std, strict=False)
    )
    lines = [f"as training is given them: {shape}, {source.values.dtype}; mean ± deviation by channel {mean}"]
    if len(source.values.shape) == 1:
        cloud = picture(source.items(evenly_spaced(POINTS, source.count)), height=480)
        return contact_sheet(title, lines, [("The points", [TileRow(source.name, "", [Tile(cloud)])])])
    rows = list(_by_class(source)) if source.classes else list(_plain(source))
    return contact_sheet(title, lines, [("A sample", rows), ("Look at these", list(_troubles(source, findings)))])


def _tiles(source: Source, rows: Sequence[int]) -> list[Tile]:
    """Items as small pictures."""
    return [Tile(_picture(source, row)) for row in rows]


def _picture(source: Source, row: int) -> Image.Image:
    return thumbnail(picture(source.items([row]), columns=1, limits=(source.values.low, source.values.high)))


def _by_class(source: Source) -> Iterator[TileRow]:
    largest = sorted(source.classes, key=lambda name: -source.classes[name])[:CLASSES]
    members: dict[str, list[int]] = {name: [] for name in source.classes if name in largest}
    for row in range(source.count):
        if (name := source.label(row)) in members:
            members[name].append(row)
    for name, rows in members.items():
        chosen = [rows[place] for place in evenly_spaced(COLUMNS, len(rows))]
        yield TileRow(name, plural(len(rows), "item"), _tiles(source, chosen))
    if len(source.classes) > CLASSES:
        yield TileRow(f"and {len(source.classes) - CLASSES:,} smaller classes", "", [])


def _plain(source: Source) -> Iterator[TileRow]:
    rows = evenly_spaced(PLAIN * COLUMNS, source.count)
    for start in range(0, len(rows), COLUMNS):
        yield TileRow("", "", _tiles(source, rows[start : start + COLUMNS]))


def _troubles(source: Source, findings: Sequence[Finding]) -> Iterator[TileRow]:
    """A row for each finding that names files or items."""
    told = [finding for finding in findings if finding.names and finding.code not in OF_CLASSES][:TROUBLES]
    named = [list(finding.names)[:CAPTIONED] for finding in told]
    wanted = {name for names in named for name in names}
    rows = {title: row for row in range(source.count) if (title := source.title(row)) in wanted}
    for finding, names in zip(told, named, strict=True):
        if finding.code in COPIES:  # each beside what it is a copy of
            pairs = [group.members[:2] for group in source.groups if group.kind == COPIES[finding.code]]
            members = [member for pair in pairs[: CAPTIONED // 2] for member in pair]
            tiles = [Tile(_picture(source, row), source.title(row)) for row in members]
        else:
            tiles = [
                Tile(_picture(source, rows[name]) if name in rows else None, name, finding.names[name])
                for name in names
            ]
        shown = len(tiles) // 2 if finding.code in COPIES else len(tiles)
        more = f"and {len(finding.names) - shown:,} more" if len(finding.names) > shown else ""
        yield TileRow(finding.text.partition(":")[0], more, tiles, finding.level)
