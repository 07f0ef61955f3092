"""Runs side by side, the same items of the same seed; and the samplers of one model over their network evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw
from torch import Tensor

from ancestral.evaluation.step_budgets import PASSES
from ancestral.render.captions import INK, font, shorten
from ancestral.render.pictures import (
    LINE_GREY,
    STYLE_COLOURS,
    TEXT_GREY,
    figure_to_image,
    hstack,
    in_figure_style,
    picture,
)
from ancestral.results import SamplerComparisonResult

SIDE, LINE, GAP = 384, 28, 16
"""Pixels to which a grid is enlarged, of the line of its name, and between two grids."""
WIDE = 20
"""The axis is logarithmic if distances differ by this factor."""
MARKS = "osD^vP"


@dataclass(frozen=True, eq=False)
class Grid:
    """Samples (N, *shape) under a name."""

    name: str
    samples: Tensor


def side_by_side(grids: Sequence[Grid], limits: tuple[float, float]) -> Image.Image:
    """Draw the grids from left to right: image i is at the same place in each.

    Args:
        grids: Samples of each run.
        limits: Those of the codec.
    """
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


@in_figure_style
def samplers_plot(result: SamplerComparisonResult) -> Image.Image:
    """Draw the distance to the data over network evaluations, a line for each sampler, 1500 pixels wide.

    A band is within the tolerance of DDPM with all steps, and a ring where a line first reaches it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, NullLocator

    figure = Figure(figsize=(10, 6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    reference, curves, floor, tolerance = result.reference, result.curves, result.floor.value, result.tolerance
    value = reference.frechet.value
    axes.axhspan(
        value, (1 + tolerance) * value, color=LINE_GREY, alpha=0.25, linewidth=0, label=f"within {tolerance:.0%} of it"
    )
    axes.axhline(value, color=TEXT_GREY, linewidth=1.2, label=f"ddpm, {reference.passes:,} passes")
    axes.axhline(floor, color=TEXT_GREY, linewidth=1, linestyle=":", label="floor: data to data")
    for number, (name, points) in enumerate(curves.items()):
        passes, distances = [p.passes for p in points], [p.frechet.value for p in points]
        errors = [p.frechet.error or 0.0 for p in points]
        cycle, place = divmod(number, len(STYLE_COLOURS))  # a colour that comes again is dashed
        colour, mark = STYLE_COLOURS[place], MARKS[number % len(MARKS)]
        axes.errorbar(passes, distances, errors, color=colour, marker=mark, markersize=4.5,
                      linestyle=("-", "--", ":")[cycle % 3], elinewidth=0.8, label=name)  # fmt: skip
        first = result.needed[name]
        if first is not None:
            axes.plot(first.passes, first.frechet.value, marker="o", markersize=11, color=colour,
                      markerfacecolor="none", markeredgewidth=1.6)  # fmt: skip
    known = [p.frechet.value for points in curves.values() for p in points] + [value, floor]
    if 0 < min(known) < max(known) / WIDE:
        axes.set_yscale("log")
    ticks = sorted({p.passes for points in curves.values() for p in points} & set(PASSES))
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("network evaluations (passes)", size=11)
    axes.set_ylabel(f"{result.titles.frechet} to the training data", size=11)
    axes.set_title("Quality against cost; ring: the fewest passes that reach DDPM", size=12.5, pad=10, loc="left")
    axes.tick_params(labelsize=10)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", fontsize=10)
    return figure_to_image(figure)
