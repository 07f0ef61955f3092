"""Text in pictures: captions that are legible at the size in which a page shows the picture."""

import io
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import RLock

from PIL import Image, ImageDraw, ImageFont

INK = "#22262b"
PAGE = 920
"""Pixels of the report's page: a wider picture is shown reduced to it."""
SMALLEST, LARGEST = 13, 20
"""Sizes of fonts in pixels on the page."""
NARROWEST = 84
"""Pixels to which a column is widened for a long caption; what is longer is cut."""
SIDE = 3
"""Pixels on each side of a caption."""
DRAWING = RLock()
"""Held while matplotlib draws, whose style and parser of formulas serve one thread at a time."""


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


def caption_width(captions: Sequence[str]) -> int:
    """Return the width in pixels that a column needs for its captions, at most NARROWEST."""
    return min(NARROWEST, math.ceil(max(font(SMALLEST).getlength(text) for text in captions)) + 2 * SIDE)


def caption_size(captions: Sequence[str], column: float, picture: int) -> int:
    """Choose the largest size at which all captions fit into a column, legible in a picture of this width."""
    scale = max(1.0, picture / PAGE)
    sizes = range(round(LARGEST * scale), math.ceil(SMALLEST * scale), -1)
    widest = max(captions, key=font(SMALLEST).getlength)
    room = column - 2 * SIDE * scale
    return next((size for size in sizes if font(size).getlength(widest) <= room), math.ceil(SMALLEST * scale))


def caption_line(
    captions: Sequence[str], size: int, column: float, left: float, width: int, centred: bool = True
) -> Image.Image:
    """Draw a line of captions, each above its column.

    Args:
        captions: The texts; those that are too long are cut.
        size: The size of the font.
        column: The distance of two columns in pixels.
        left: Where the first column begins.
        width: The width of the picture.
        centred: Whether a caption is in the middle of its column, or at its left.
    """
    line = Image.new("RGB", (width, round(1.5 * size)), "white")
    pen = ImageDraw.Draw(line)
    for place, text in enumerate(captions):
        short = shorten(text, size, int(column - 2 * SIDE))
        across = left + column * (place + 0.5 * centred)
        pen.text((across, line.height / 2), short, fill=INK, font=font(size), anchor="mm" if centred else "lm")
    return line


def formula(text: str, size: int) -> Image.Image:
    """Draw a formula of matplotlib, such as $x_t$, on white; letters have the size of a caption's."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    buffer = io.BytesIO()
    with DRAWING:
        math_to_image(text, buffer, FontProperties(size=size), dpi=72, format="png", color=INK)
    return Image.open(buffer).convert("RGB")
