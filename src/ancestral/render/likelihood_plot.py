"""Plots of the variational bound over time: bits/dim of each step, and rate against distortion."""

from PIL import Image

from ancestral.render.pictures import STYLE_COLOURS, figure_to_image, in_figure_style
from ancestral.results.evaluation_result import BoundOverTime

BLUE, ORANGE = STYLE_COLOURS[:2]


@in_figure_style
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
    known = zip(t, bound.bits_per_dim_of_a_step, bound.t_first, strict=True)
    steps = [(x, bits) for x, bits, first in known if first > 1 and bits > 0]
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
    for axes, colour in ((both, BLUE), (right, ORANGE)):
        axes.tick_params(axis="y", colors=colour)
        axes.spines["right"].set_visible(True)
    right.grid(False)
    for axes in (costs, trade, both):
        axes.set_title(axes.get_title(), fontsize=12.5, pad=10)
        axes.set_axisbelow(True)
    for axes in (costs, trade, both, right):
        axes.tick_params(labelsize=10)
        axes.xaxis.label.set_size(11)
        axes.yaxis.label.set_size(11)
    return figure_to_image(figure)
