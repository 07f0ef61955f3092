"""Plots: items as lines and points, results in the figure style of documentation, course and reports, and SVG lines.

The SVG plots are those of report.html: matplotlib's SVG names addresses on the web, has no dark mode, and takes longer
than the whole report.
"""

import colorsys
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ancestral.conditions import Limits
from ancestral.data.convert import ends_of
from ancestral.measure.step_budgets import TRIED_PASSES
from ancestral.render.lettering import drawing, shorten
from ancestral.results.comparison_result import AveragingResult, SamplerComparisonResult
from ancestral.results.evaluation_result import BoundOverTime, Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
CHART_WIDTH, CHART_HEIGHT = 464, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 8, 24
"""Margins around the axes."""
BUCKETS = 240
"""Intervals of a long line, of each of which the minimum and the maximum are drawn: outliers are kept."""
NARROW = 4.0
"""Ratio of the ends of a logarithmic axis below which its ticks are evenly spaced numbers."""


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


STYLE_COLOURS = ("#3b82c4", "#d9772b", "#2f9e6e", "#c2455f", "#8f6bc2", "#9a8420")
TEXT_GREY, LINE_GREY = "#7f7f7f", "#808080"
"""Colours of the style, for plots that choose them."""
BLUE, ORANGE = STYLE_COLOURS[:2]
SIZES = {
    "axes.titlesize": 12.5,
    "axes.titlepad": 10,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
}
RING: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "markeredgewidth": 1.6, "linestyle": ""}
LOGARITHMIC_FROM = 20
"""The axis is logarithmic if distances differ by this factor."""
MAX_TICKS = 20
"""Ranks whose numbers are written."""
MARKS = "osD^vP"


@drawing(STYLE, SIZES)
def averaging_plot(result: AveragingResult) -> Image.Image:
    """Draw two panels, 1650 pixels wide: the Fréchet and the kernel distance over the length, with standard errors.

    Wide bars are the errors of the differences from the best, whose samples have the same noise. The EMA of training is
    a mark at the length of its own profile, and a ring is around the best length.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.9), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    _averaging_panel(left, result, "frechet", result.titles.frechet)
    _averaging_panel(right, result, "kernel", result.titles.kernel)
    others = [(point.length, point.frechet.value, point.behind.error or 0) for point in result.points if point.behind]
    if others:
        left.errorbar(*zip(*others, strict=True), color=BLUE, linestyle="", elinewidth=4, alpha=0.4,
                      label="error of the difference from the best")  # fmt: skip
    head = f"{result.samples.count:,} samples each, after step {result.end:,}; floor {result.floor}"
    left.set_title(head, size=12, loc="left")  # a line at the floor would flatten the curve
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure_to_image(figure)


def _averaging_panel(axes: "Axes", result: AveragingResult, name: str, title: str) -> None:
    lengths, values = [point.length for point in result.points], [getattr(point, name) for point in result.points]
    best, ema = result.best, result.ema
    ema_value = getattr(ema, name)
    axes.errorbar(lengths, [one.value for one in values], [one.error or 0 for one in values], color=BLUE, marker="o",
                  markersize=4.5, elinewidth=0.8, label="power-function averages, standard errors")  # fmt: skip
    axes.errorbar([ema.length], [ema_value.value], [ema_value.error or 0], color=ORANGE, marker="D", markersize=6,
                  linestyle="", elinewidth=0.8,
                  label=f"EMA of training, decay {result.decay:g}, step {result.model.step:,}")  # fmt: skip
    axes.plot(best.length, getattr(best, name).value, color=BLUE, markersize=12, **RING,
              label=f"best {result.titles.frechet}: {best.length:g}")  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(lengths, [f"{length:g}" for length in lengths])
    axes.minorticks_off()
    axes.set_xlabel("averaging length $\\sigma_{rel}$ (share of the steps)")
    axes.set_ylabel(f"{title} to the training data")


@drawing(STYLE, SIZES)
def rank_plot(calibration: Calibration) -> Image.Image:
    """Draw the rank histogram with standard errors and the line of a calibrated ensemble, 1050 pixels wide.

    It is empty where no value differs from any sample.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    axes, count = figure.add_subplot(), calibration.members + 1
    ranks = range(len(calibration.ranks))
    shares = [100 * share.value for share in calibration.ranks]
    errors = [100 * (share.error or 0) for share in calibration.ranks]
    axes.bar(ranks, shares, 0.85, color=BLUE, yerr=errors, error_kw={"elinewidth": 0.9, "ecolor": TEXT_GREY})
    axes.axhline(100 / count, color=ORANGE, linewidth=1.4, label=f"calibrated, {100 / count:.3g} % each")
    axes.set_xticks(range(0, count, 1 + count // MAX_TICKS))
    axes.set(xlabel=f"samples of {calibration.members:,} below the true value", ylabel="share of true values (%)")
    coverage = "" if calibration.coverage is None else f"; coverage {calibration.coverage.percent}"
    axes.set_title(f"Ranks among the samples{coverage}, {100 * calibration.nominal:.3g} % if calibrated", loc="left")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center")
    return figure_to_image(figure)


@drawing(STYLE, SIZES)
def likelihood_plot(bound: BoundOverTime) -> Image.Image:
    """Draw three panels, 1800 pixels wide: L_t over t; distortion over rate; both over t.

    Strata of several times are marked, each at its middle.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    strata = list(zip(bound.t_first, bound.t_last, strict=True))
    t, rate, distortion = [(first + last) / 2 for first, last in strata], bound.rate, bound.distortion
    sparse = any(last > first for first, last in strata) or len(strata) < 40
    style = {"linewidth": 1.8 if sparse else 1.3, "marker": "o" if sparse else "", "markersize": 4.5}
    # unclipped, x̂_0 can be anything where almost no signal is left: such times lie beyond the panel
    usual = sorted(distortion)[9 * (len(strata) - 1) // 10]
    bounds = (0, min(1.05 * max(distortion), 1.5 * usual) or None)
    label = f"distortion: RMSE of $\\hat{{x}}_0$ ({bound.unit})"

    figure = Figure(figsize=(12, 4), dpi=150, layout=ConstrainedLayoutEngine(wspace=0.06))
    costs, trade, both = figure.subplots(1, 3)
    step_bits = zip(t, bound.bits_per_dim_of_a_step, bound.t_first, strict=True)
    steps = [(x, bits) for x, bits, first in step_bits if first > 1 and bits > 0]
    if steps:
        costs.plot(*zip(*steps, strict=True), color=BLUE, **style)
        costs.set_yscale("log")
    costs.set(title="Bits/dim of a step", xlabel="time $t$", ylabel="$L_{t-1}$ (bits/dim)")
    trade.plot(rate, distortion, color=BLUE, **style)
    trade.set(title="Rate and distortion", xlabel="rate (bits/dim)", ylabel=label, ylim=bounds)
    both.plot(t, distortion, color=BLUE, **style)
    both.set(title="Over time", xlabel="time $t$", ylim=bounds)
    both.set_ylabel(label, color=BLUE)
    right = both.twinx()
    right.plot(t, rate, color=ORANGE, **style)
    right.set_ylabel("rate (bits/dim)", color=ORANGE)
    right.set_ylim(0, None)
    right.grid(False)
    for axes, colour in ((both, BLUE), (right, ORANGE)):
        axes.tick_params(axis="y", colors=colour)
        axes.spines["right"].set_visible(True)
    return figure_to_image(figure)


@drawing(STYLE, SIZES)
def samplers_plot(result: SamplerComparisonResult) -> Image.Image:
    """Draw the distance to the data over network evaluations, a line for each sampler, 1500 pixels wide.

    A band is within the tolerance of DDPM with all steps, and a ring where a line first reaches it.
    """
    from matplotlib.figure import Figure

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
        axes.errorbar(passes, distances, errors, color=STYLE_COLOURS[place], marker=MARKS[number % len(MARKS)],
                      markersize=4.5, linestyle=("-", "--", ":")[cycle % 3], elinewidth=0.8, label=name)  # fmt: skip
        if (first := result.needed[name]) is not None:
            axes.plot(first.passes, first.frechet.value, color=STYLE_COLOURS[place], markersize=11, **RING)
    values = [p.frechet.value for points in curves.values() for p in points] + [value, floor]
    if 0 < min(values) < max(values) / LOGARITHMIC_FROM:
        axes.set_yscale("log")
    ticks = sorted({p.passes for points in curves.values() for p in points} & set(TRIED_PASSES))
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.minorticks_off()
    axes.set_xlabel("network evaluations (passes)")
    axes.set_ylabel(f"{result.titles.frechet} to the training data")
    axes.set_title("Quality against cost; ring: the fewest passes that reach DDPM", loc="left")
    figure.legend(loc="outside right upper")
    return figure_to_image(figure)


@dataclass(frozen=True)
class SvgLine:
    """A curve: its name, the data of its SVG path, and its last point, which is all of a line with one point."""

    label: str
    path: str
    end: tuple[float, float]


@dataclass(frozen=True)
class SvgPlot:
    """A plot for the template. Ticks are (position, text); `last` is the last value of a single line."""

    title: str
    lines: tuple[SvgLine, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    last: str


@drawing()
def svg_plot(
    title: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], logarithmic: bool = False
) -> SvgPlot | None:
    """Plot lines by name over the same x from 0 up, with gaps where values are not finite; None if no value is finite.

    With `logarithmic`, the vertical axis is logarithmic if all values are above 0.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator

    finite = [value for values in lines.values() for value in values if math.isfinite(value)]
    if not finite:
        return None
    low, high, right = min(finite), max(finite), max(x) or 1
    logarithmic = logarithmic and low > 0
    if logarithmic:
        low, high = (low, high) if high > 1.2 * low else (low / 1.2, high * 1.2)
    else:
        low, high = min(low, 0.0), max(high, 0.0)
        high = high if high > low else low + 1

    def place(a: float, b: float) -> tuple[float, float]:
        share = math.log(b / low) / math.log(high / low) if logarithmic else (b - low) / (high - low)
        across, down = (
            LEFT + (CHART_WIDTH - LEFT - RIGHT) * a / right,
            CHART_HEIGHT - BOTTOM - (CHART_HEIGHT - TOP - BOTTOM) * share,
        )
        return round(across, 1), round(down, 1)

    curves = []
    for label, values in lines.items():
        points = [place(a, b) if math.isfinite(b) else None for a, b in _thinned(x, values)]
        if ends := [point for point in points if point is not None]:
            curves.append(SvgLine(label, _path(points), ends[-1]))
    linear = MaxNLocator(4, steps=[1, 2, 5, 10])
    decades = LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,), numticks=6)
    locator = decades if logarithmic and high > NARROW * low else linear
    return SvgPlot(
        title,
        tuple(curves),
        tuple((place(tick, low)[0], _tick_text(tick)) for tick in linear.tick_values(0, right) if 0 <= tick <= right),
        tuple((place(0, tick)[1], _tick_text(tick)) for tick in locator.tick_values(low, high) if low <= tick <= high),
        f"{finite[-1]:.4g}" if len(lines) == 1 else "",
    )


def _thinned(x: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """All points of a short line; of a long one the minimum and the maximum of each bucket, in order."""
    if len(x) <= 2 * BUCKETS:
        return list(zip(x, values, strict=True))
    rows: list[int] = []
    for bucket in np.array_split(np.arange(len(x)), BUCKETS):
        finite = [i for i in bucket if math.isfinite(values[i])] or [bucket[0]]
        rows += sorted({min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)})
    return [(x[i], values[i]) for i in rows]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """The data of an SVG path; a gap starts a new piece."""
    pairs = zip([None, *points], points, strict=False)
    return "".join(f"{'L' if before else 'M'}{point[0]:g} {point[1]:g}" for before, point in pairs if point)


def _tick_text(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= value < 1e7 else f"{value:.10g}"
