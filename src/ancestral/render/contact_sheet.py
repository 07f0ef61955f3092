"""Contact sheets of data sets: some items as training receives them, and those that findings concern."""

import contextlib
from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ancestral.data import Dataset, InMemoryDataset
from ancestral.errors import InputError
from ancestral.options import option
from ancestral.render.captions import caption_line
from ancestral.render.pictures import picture, vstack
from ancestral.results.data_report import DataReport
from ancestral.storage import atomic

SHOWN, COLUMNS, HEIGHT, POINTS = 32, 16, 160, 1000
"""Numbers of items of the sample and of a row, the height in pixels of two rows, which is larger for tall images, and
the number of points."""
FONT, WIDTH = 16, 1240
"""Pixels: size of the font of headings, and width of the sheet, at least."""
SIGNATURE = "ancestral doctor"


def sample_picture(data: Dataset) -> Image.Image:
    """Draw some evenly spaced items of a data set, each with the name of its class."""
    return _picture(data.sample(POINTS if len(data.shape) == 1 else SHOWN))


def _picture(some: InMemoryDataset) -> Image.Image:
    names = None
    if some.labels is not None:
        names = [some.classes[label] if label >= 0 else "no class" for label in some.labels.tolist()]
    if len(some.shape) == 1:
        return picture(some.items, height=400, captions=names)
    rows = -(-len(some) // COLUMNS)
    height = HEIGHT * rows // 2
    if len(some.shape) == 3:
        height = max(height, height * some.shape[1] // some.shape[2])
    return picture(some.items, COLUMNS, height, some.codec.limits, names)


def contact_sheet(report: DataReport, data: Dataset) -> Image.Image:
    """Draw the contact sheet of a data set and the report on it."""
    parts = [_heading(f"{data.name}: a sample"), sample_picture(data)]
    row_of = {data.name_of(row): row for row in range(len(data))}
    for finding in report.findings:
        if rows := [row_of[name] for name in finding.names if name in row_of][:COLUMNS]:
            parts += [_heading(finding.text), _picture(data.subset(torch.tensor(rows)).sample(COLUMNS))]
    return vstack(parts, gap=8)


def _heading(text: str) -> Image.Image:
    return caption_line([text], FONT, WIDTH, 0, WIDTH, centred=False)


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
