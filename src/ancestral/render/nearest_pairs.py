"""A picture of the samples that are nearest to training items, and of these items."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from ancestral.evaluation.sample_quality import NearestPairs
from ancestral.render.captions import INK, font
from ancestral.render.pictures import hstack, picture, vstack

GREY = "#5b636c"
HEIGHT, WIDEST = 96, 1600
"""Pixels of a row's height, to which small items are enlarged, and of the largest width of the picture."""
LEFT, LINE, GAP = 88, 28, 16
"""Pixels of the names of the rows, of a title, and between two groups."""


def nearest_pairs(groups: Sequence[NearestPairs], limits: tuple[float, float]) -> Image.Image:
    """Draw each group as a row of samples above a row of training items.

    Args:
        groups: The pairs.
        limits: Those of the codec.
    """
    return vstack([_group(group, limits) for group in groups], GAP)


def _group(group: NearestPairs, limits: tuple[float, float]) -> Image.Image:
    count = len(group.samples)
    points = group.samples.ndim == 2
    rows = [picture(items, count, 0 if points else HEIGHT, limits) for items in (group.samples, group.items)]
    body = hstack(rows, GAP) if points else vstack(rows)
    if body.width > WIDEST - LEFT:
        size = (WIDEST - LEFT, max(1, body.height * (WIDEST - LEFT) // body.width))
        body = body.resize(size, Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (LEFT + body.width, LINE + body.height), "white")
    sheet.paste(body, (LEFT, LINE))
    pen = ImageDraw.Draw(sheet)
    pen.text((4, 5), group.title, fill=INK, font=font(14, bold=True))
    for name, place in (("samples", 0.25), ("nearest", 0.75)):
        across, down = (LEFT + round(body.width * place), 8) if points else (4, LINE + round(body.height * place) - 8)
        pen.text((across, down), name, fill=GREY, font=font(13))
    return sheet
