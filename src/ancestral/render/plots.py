"""Plots of results in the figure style of documentation, course and reports."""

from typing import TYPE_CHECKING, Any

from PIL import Image

from ancestral.measure.step_budgets import TRIED_PASSES
from ancestral.render.item_plots import STYLE, figure_to_image
from ancestral.render.lettering import drawing
from ancestral.results.comparison_result import AveragingResult, SamplerComparisonResult
from ancestral.results.ensemble_result import Calibration
from ancestral.results.evaluation_result import BoundOverTime

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
