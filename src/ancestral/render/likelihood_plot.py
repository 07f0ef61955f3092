"""Plots of a likelihood over time: what each step costs, and what is known of the image when so much was paid."""

import math
from collections.abc import Sequence

from PIL import Image

from ancestral.evaluation import Point
from ancestral.render.pictures import figure_to_image

BLUE, ORANGE, GREY = "#1f4e8c", "#c8691c", "#555555"


def likelihood_plot(points: Sequence[Point], scale: float, unit: str) -> Image.Image:
    """Three panels, 1800 pixels wide: L_t over t; distortion over rate; both over t. `scale` turns errors into `unit`.

    Points that stand for several times are marked, each in the middle of its run.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    t = [(point.first + point.last) / 2 for point in points]
    rate, distortion = [point.rate for point in points], [scale * math.sqrt(point.error) for point in points]
    sparse = any(point.last > point.first for point in points) or len(points) < 40
    style = {"linewidth": 1.8 if sparse else 1.3, "marker": "o" if sparse else "", "markersize": 4.5}
    # unclipped, x̂_0 can be anything where next to no signal is left: such times go beyond the panel
    usual = sorted(distortion)[9 * (len(points) - 1) // 10]
    bounds = (0, min(1.05 * max(distortion), 1.5 * usual) or None)
    label = f"distortion: RMSE of $\\hat{{x}}_0$ ({unit})"

    figure = Figure(figsize=(12, 4), dpi=150, layout=ConstrainedLayoutEngine(wspace=0.06))
    costs, trade, both = figure.subplots(1, 3)
    steps = [(x, point.bits) for x, point in zip(t, points, strict=True) if point.first > 1 and point.bits > 0]
    if steps:
        costs.plot(*zip(*steps, strict=True), color=BLUE, **style)
        costs.set_yscale("log")
    costs.set(title="What a step costs", xlabel="time $t$", ylabel="$L_{t-1}$ (bits/dim)")
    trade.plot(rate, distortion, color=BLUE, **style)
    trade.set(title="Rate and distortion", xlabel="rate (bits/dim)", ylabel=label, ylim=bounds)
    both.plot(t, distortion, color=BLUE, **style)
    both.set(title="Over time", xlabel="time $t$", ylim=bounds)
    both.set_ylabel(label, color=BLUE)
    right = both.twinx()
    right.plot(t, rate, color=ORANGE, **style)
    right.set_ylabel("rate (bits/dim)", color=ORANGE)
    right.set_ylim(0, None)
    for axes, colour in ((costs, GREY), (trade, GREY), (both, BLUE), (right, ORANGE)):
        axes.tick_params(axis="y", colors=colour, labelsize=10)
        axes.tick_params(axis="x", colors=GREY, labelsize=10)
        axes.spines[["top"] if axes in (both, right) else ["top", "right"]].set_visible(False)
        axes.spines[:].set_color("#bbbbbb")
        axes.set_title(axes.get_title(), fontsize=12.5, pad=10)
        axes.xaxis.label.set_size(11)
        axes.yaxis.label.set_size(11)
    for axes in (costs, trade, both):
        axes.grid(color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure_to_image(figure)
