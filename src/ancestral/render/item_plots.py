"""Plots of single items: lines of the channels of a signal, and clouds of points."""

import colorsys
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ancestral.conditions import Limits
from ancestral.data.convert import ends_of
from ancestral.render.lettering import drawing, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = "ancestral.render.figures"
"""The figure style, `figures.mplstyle`: it can be read on a light and on a dark page."""
SIGNAL_COLOURS = ("#1f4e8c", "#c8691c", "#2f7d4f", "#8a3f8f", "#b3261e", "#00788a")
"""Colours of a signal's channels, in turn."""
SIGNAL_GROUND = (221, 221, 221)
"""The grey between line plots, and behind what a mask hides of a signal."""
OVERSAMPLING = 3
"""The factor by which line plots are drawn larger, so that lines are smooth when reduced."""
LEGEND = 20
"""The largest number of classes that a legend names."""


def line_plots(
    signals: Tensor, wide: int, tall: int, limits: Limits | None, known: Tensor | None = None
) -> list[Image.Image]:
    """Plots of signals (N, C, L), grey and without lines where values are not known, bool (N, L)."""
    signals = signals.double()
    low, high = ends_of(signals, limits)
    edge, length = 2, signals.shape[2]
    step = (wide - 2 * edge) / length
    x = [OVERSAMPLING * (edge + (wide - 2 * edge) * (i + 0.5) / length) for i in range(length)]
    span = high - low
    share = ((signals - low) / (span if isinstance(span, Tensor) else span or 1)).clamp(
        -1, 2
    )  # keeps coordinates finite; -1 and 2 are off the plot
    y = OVERSAMPLING * (edge + (tall - 2 * edge) * (1 - share))
    runs = [[(0, length)]] * len(signals) if known is None else [_runs(one.tolist()) for one in known]
    plots = []
    for item, ends in zip(y.tolist(), runs, strict=True):
        cell = Image.new("RGB", (OVERSAMPLING * wide, OVERSAMPLING * tall), "white" if known is None else SIGNAL_GROUND)
        pen, middle = ImageDraw.Draw(cell), OVERSAMPLING * tall / 2
        for start, end in ends if known is not None else []:
            left, right = (OVERSAMPLING * (edge + step * place) for place in (start, end))
            pen.rectangle([(left, 0), (right, OVERSAMPLING * tall)], fill="white")
        pen.line([(0, middle), (OVERSAMPLING * wide, middle)], fill="#e6e6e6", width=OVERSAMPLING)
        for channel, heights in enumerate(item):
            colour = SIGNAL_COLOURS[channel % len(SIGNAL_COLOURS)]
            for start, end in ends:
                points = list(zip(x[start:end], heights[start:end], strict=True))
                pen.line(points, fill=colour, width=OVERSAMPLING + 1)
        plots.append(cell.reduce(OVERSAMPLING))
    return plots


def _runs(known: Sequence[bool]) -> list[tuple[int, int]]:
    """Where stretches of known values begin and end."""
    changes = [i for i in range(len(known) + 1) if (i < len(known) and known[i]) != (i > 0 and known[i - 1])]
    return list(zip(changes[::2], changes[1::2], strict=True))


@drawing()
def scatter(points: Tensor, height: int, captions: Sequence[str] | None = None) -> Image.Image:
    """Plot points (N, 2) of about [−1, 1] in a square of `height` pixels without axes, in a colour for each caption."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(captions or ()))
    figure = Figure(figsize=(height / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    for number, name in enumerate(names or [""]):
        group = points[torch.tensor([text == name for text in captions])] if captions else points
        x, y = group[:, :2].double().T.tolist()
        colour = hue(number, len(names)) if names else "#1f4e8c"
        axes.scatter(x, y, s=max(0.5, height / 150), color=colour, alpha=0.6, linewidths=0,
                     label=shorten(name, 13, 120))  # fmt: skip
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
    axes.set_axis_off()
    if 0 < len(names) <= LEGEND:
        figure.set_size_inches(height / 100 + 1.5, height / 100)
        share = height / (height + 150)
        axes.set_position((0, 0, share, 1))
        legend = figure.legend(
            loc="center left", bbox_to_anchor=(share, 0.5), frameon=False, markerscale=3, fontsize=9.5
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a name with $ is no formula
    return figure_to_image(figure)


def hue(number: int, of: int) -> tuple[float, float, float]:
    """One of several colours from blue to red, all dark enough for small dots on white."""
    return colorsys.hsv_to_rgb(0.64 * (1 - number / max(1, of - 1)), 0.9, 0.72)


def figure_to_image(figure: "Figure") -> Image.Image:
    """Render a matplotlib figure, in `drawing`, as an RGB image, or as RGBA if its ground is transparent."""
    from matplotlib.colors import to_rgba

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi="figure")
    return Image.open(buffer).convert("RGB" if to_rgba(figure.get_facecolor())[3] else "RGBA")
