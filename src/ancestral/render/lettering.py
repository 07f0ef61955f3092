"""Text in pictures: captions, which are legible at the size in which a page shows the picture, and formulas."""

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ancestral.base.errors import InputError, one_line

INK = "#22262b"
PAGE = 920
"""Pixels of the report's page: a wider picture is shown reduced to it."""
SMALLEST_FONT, LARGEST_FONT = 13, 20
"""Sizes of fonts in pixels on the page."""
NARROWEST = 84
"""Pixels to which a column is widened for a long caption; what is longer is cut."""
MOST_LINES = 4
"""The largest number of lines of a caption."""
SIDE = 3
"""Pixels on each side of a caption."""
MATPLOTLIB_LOCK = RLock()
"""Held while matplotlib draws, whose style and parser of formulas serve one thread at a time."""
X_T, X_0 = "$x_t$", r"$\hat{x}_0$"
"""The names of noisy states and of estimates, as matplotlib writes formulas."""


@contextlib.contextmanager
def drawing(*styles: str | dict[str, Any]) -> Iterator[None]:
    """Draw with matplotlib's defaults and these styles, whatever a matplotlibrc says; also a decorator.

    One thread draws at a time, and afterwards the settings are those of the user's own plots again.

    Raises:
        InputError: If matplotlib cannot be imported, as beside a matplotlibrc that is no text.
    """
    try:
        from matplotlib import style
    except Exception as error:  # whatever its files raise
        raise InputError(
            f"matplotlib cannot be imported, which draws pictures ({type(error).__name__}: {error}): repair or remove "
            "the file matplotlibrc of this folder or of your settings, or install matplotlib again"
        ) from error
    with MATPLOTLIB_LOCK, style.context(["default", *styles]):
        yield


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib and has most alphabets, so that file names can be read."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    with drawing():
        import matplotlib

        return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def shorten(text: str, size: int, width: int, bold: bool = False) -> str:
    """Return a text as it is drawn: in one line, and of `width` pixels, by leaving out its middle: ends differ."""
    text = one_line(text)
    face, short = font(size, bold), text
    keep = len(text)
    while keep > 2 and face.getlength(short) > width:
        keep -= 1
        short = f"{text[: keep // 3]}…{text[len(text) - (keep - keep // 3) :]}"
    return short


def text_width(text: str, size: int) -> float:
    """Return the width in pixels of a text in one line."""
    return font(size).getlength(one_line(text))


def broken(text: str, size: int, width: int) -> list[str]:
    """Break a caption that is wider than its column at commas, since each of several conditions should be read, and
    what is longer still between its words, into at most MOST_LINES lines.
    """
    parts = _filled(text.split(", "), ", ", size, width)
    lines = [line for part in parts for line in _filled(part.split(" "), " ", size, width)]
    return [*lines[: MOST_LINES - 1], " ".join(lines[MOST_LINES - 1 :])] if len(lines) > MOST_LINES else lines


def _filled(parts: Sequence[str], separator: str, size: int, width: int) -> list[str]:
    """Lines of parts, as many in each as fit."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}{separator}{part}" if lines else part
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def caption_width(captions: Sequence[str]) -> int:
    """Return the width in pixels that a column needs for its captions, at most NARROWEST."""
    return min(NARROWEST, math.ceil(max(text_width(text, SMALLEST_FONT) for text in captions)) + 2 * SIDE)


def caption_size(captions: Sequence[str], column: float, picture: int) -> int:
    """Choose the largest size at which all captions fit into a column, legible in a picture of this width."""
    scale = max(1.0, picture / PAGE)
    sizes = range(round(LARGEST_FONT * scale), math.ceil(SMALLEST_FONT * scale), -1)
    widest = max(captions, key=lambda text: text_width(text, SMALLEST_FONT))
    room = column - 2 * SIDE * scale
    return next((size for size in sizes if text_width(widest, size) <= room), math.ceil(SMALLEST_FONT * scale))


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


@drawing()
def formula(text: str, size: int) -> Image.Image:
    """Draw a formula of matplotlib, such as $x_t$, on white; letters have the size of a caption's."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    buffer = io.BytesIO()
    math_to_image(text, buffer, FontProperties(size=size), dpi=72, format="png", color=INK)
    return Image.open(buffer).convert("RGB")
