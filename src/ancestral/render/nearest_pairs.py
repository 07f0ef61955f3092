"""Samples beside the training items that they come nearest to: what a number cannot tell, the eye does."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

from ancestral.render.contact_sheet import GREY, INK, font
from ancestral.render.pictures import hstack, picture, vstack

HEIGHT, WIDEST = 96, 1600
"""Pixels of a row's height, which small items are enlarged to, and of the whole, which large ones are reduced to."""
LEFT, LINE, GAP = 88, 28, 16
"""Pixels for the names of the rows, for a title, and between two groups."""


@dataclass(frozen=True, eq=False)
class Twins:
    """Samples (N, *shape) and of each its nearest training item, under a title."""

    title: str
    samples: Tensor
    items: Tensor


def memorisation(groups: Sequence[Twins], limits: tuple[float, float]) -> Image.Image:
    """Each group as a row of samples above a row of training items. `limits` are those of a codec."""
    return vstack([_group(group, limits) for group in groups], GAP)


def _group(group: Twins, limits: tuple[float, float]) -> Image.Image:
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
