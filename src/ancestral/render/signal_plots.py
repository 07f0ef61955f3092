"""Line plots of signals, small and many."""

from PIL import Image, ImageDraw
from torch import Tensor

COLOURS = ("#1f4e8c", "#c8691c", "#2f7d4f", "#8a3f8f", "#b3261e", "#00788a")
"""Of the channels, in turn."""
FINE = 3
"""Lines are drawn so many times larger: reduced, they are smooth."""
GAP = 4


def lines(signals: Tensor, columns: int, height: int, limits: tuple[float, float] | None = None) -> Image.Image:
    """Signals (N, C, L) as line plots, `columns` a row, twice as wide as high, about `height` pixels in all.

    All share the vertical axis `limits`, beyond which lines leave the plot; None takes their least and largest value.
    A fine line marks the middle. Channels differ in colour.
    """
    signals = signals.double()
    low, high = limits or (float(signals.min()), float(signals.max()))
    rows = -(-len(signals) // columns)
    tall = max(24, (height or 64 * rows) // rows - GAP)
    wide, edge = 2 * tall, 2
    sheet = Image.new("RGB", (columns * (wide + GAP) + GAP, rows * (tall + GAP) + GAP), "#dddddd")
    length = signals.shape[2]
    across = [FINE * (edge + (wide - 2 * edge) * (i + 0.5) / length) for i in range(length)]
    share = ((signals - low) / ((high - low) or 1)).clamp(-1, 2)  # far beyond is beyond
    down = FINE * (edge + (tall - 2 * edge) * (1 - share))
    for place, item in enumerate(down.tolist()):
        cell = Image.new("RGB", (FINE * wide, FINE * tall), "white")
        pen = ImageDraw.Draw(cell)
        pen.line([(0, FINE * tall / 2), (FINE * wide, FINE * tall / 2)], fill="#e6e6e6", width=FINE)
        for channel, heights in enumerate(item):
            pen.line(list(zip(across, heights, strict=True)), fill=COLOURS[channel % len(COLOURS)], width=FINE + 1)
        row, column = divmod(place, columns)
        sheet.paste(cell.reduce(FINE), (GAP + column * (wide + GAP), GAP + row * (tall + GAP)))
    return sheet
