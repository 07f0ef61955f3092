"""Runs side by side, the same items of the same seed; and the samplers of one model over the passes that they take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

from ancestral.evaluation.comparison import PASSES, SLACK, Point, fewest
from ancestral.metrics.uncertainty import Estimate
from ancestral.render.contact_sheet import GREY, INK, PALE, font, shorten
from ancestral.render.pictures import figure_to_image, hstack, picture

SIDE, LINE, GAP = 384, 28, 16
"""Pixels that a grid is enlarged to, of the line of its name, and between two grids."""
WIDE = 20
"""Distances that differ by such a factor are drawn on a logarithmic axis."""
COLOURS = (
    "#1f5fa8", "#14868c", "#d1741a", "#e0a63c", "#bf2c44", "#4f8a2a", "#7a3e9d", "#b07cc6", "#8a5a3b", "#666d75",
    "#e0709f", "#35b26f",
)  # fmt: skip
MARKS = "osD^vP"


@dataclass(frozen=True, eq=False)
class Grid:
    """Samples (N, *shape) under a name."""

    name: str
    samples: Tensor


def side_by_side(grids: Sequence[Grid], limits: tuple[float, float]) -> Image.Image:
    """The grids from left to right: image i stands at the same place in each. `limits` are those of a codec."""
    return hstack([_named(grid, limits) for grid in grids], GAP)


def _named(grid: Grid, limits: tuple[float, float]) -> Image.Image:
    body = picture(grid.samples, height=SIDE, limits=limits)
    if max(body.size) > 2 * SIDE:
        body.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (body.width, LINE + body.height), "white")
    sheet.paste(body, (0, LINE))
    name = shorten(grid.name, 14, body.width - 8, bold=True)
    ImageDraw.Draw(sheet).text((4, 5), name, fill=INK, font=font(14, bold=True))
    return sheet


def samplers_plot(curves: Mapping[str, Sequence[Point]], level: Point, floor: Estimate, title: str) -> Image.Image:
    """The distance called `title` over passes of the network, a line for each sampler, 1500 pixels wide.

    `level` is DDPM's by all steps, drawn with what is within SLACK of it, and a ring is where a line first gets there.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, NullLocator

    figure = Figure(figsize=(10, 6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    value = level.frechet.value
    axes.axhspan(value, (1 + SLACK) * value, color=PALE, linewidth=0, label=f"within {SLACK:.0%} of it")
    axes.axhline(value, color=INK, linewidth=1.2, label=f"ddpm, {level.passes:,} passes")
    axes.axhline(floor.value, color=GREY, linewidth=1, linestyle=":", label="floor: data to data")
    for number, (name, points) in enumerate(curves.items()):
        passes, distances = [p.passes for p in points], [p.frechet.value for p in points]
        colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
        axes.errorbar(passes, distances, [p.frechet.error for p in points], color=colour, marker=mark, markersize=4.5,
                      linewidth=1.6, elinewidth=0.8, label=name)  # fmt: skip
        first = fewest(points, value)
        if first is not None:
            axes.plot(first.passes, first.frechet.value, marker="o", markersize=11, color=colour,
                      markerfacecolor="none", markeredgewidth=1.6)  # fmt: skip
    known = [p.frechet.value for points in curves.values() for p in points] + [value, floor.value]
    if 0 < min(known) < max(known) / WIDE:
        axes.set_yscale("log")
    ticks = sorted({p.passes for points in curves.values() for p in points} & set(PASSES))
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("passes of the network", size=11)
    axes.set_ylabel(f"{title} to the training data", size=11)
    axes.set_title("Quality against cost; ring: the fewest passes that reach DDPM", size=12.5, pad=10, loc="left")
    axes.tick_params(colors=GREY, labelsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color("#bbbbbb")
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False, fontsize=10)
    return figure_to_image(figure)
