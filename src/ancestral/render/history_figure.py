"""The figure of the history: for each method its noise curve, paths, samples and distance over network passes."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from ancestral.config import PAPERS
from ancestral.evaluation.step_sweep import MAX_PASSES, PATHS, StepSweep
from ancestral.model import Model
from ancestral.render.pictures import LINE_GREY, STYLE_COLOURS, TEXT_GREY, figure_to_image, in_figure_style
from ancestral.results.history_result import HistoryMethod, HistoryResult
from ancestral.samplers import Step
from ancestral.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    **dict(zip(("ddpm", "edm", "improved", "flow", "ncsn", "ddim"), STYLE_COLOURS, strict=True)),
    "consistency": "#17a2b8",
}
CLOUD = 2000
"""The largest number of points that are drawn."""
PREDICTIONS = {
    "score": r"the score  $\nabla\,\log\,p_t(x_t) = -\varepsilon/b$",
    "eps": r"the noise  $\varepsilon$",
    "edm": r"$F$, between $x_0$ and $\varepsilon$ by the noise",
    "flow": r"the velocity  $\varepsilon - x_0$",
}
SAMPLERS = {"heun": "Heun", "euler": "Euler", "langevin": "annealed Langevin", "consistency": "consistency"}
CURVE_TEXT = """$x_t = a_t\\,x_0 + b_t\\,\\varepsilon$

dashed:  $a_t$, the signal
solid:  $b_t$, the noise

over $t/T$, from data to noise;
logarithmic above 1"""
PATHS_TEXT = f"""{PATHS} paths by the method's own
sampler, from $x_T$ (ring) to the
sample (dot), over the data.

Where noise is added to a signal
of constant scale (NCSN, EDM),
$x_t$ is divided by $(a^2 + b^2)^{{1/2}}$
to fit into the plot."""


@in_figure_style
def history_figure(result: HistoryResult, sweeps: Mapping[str, StepSweep], points: Tensor) -> Image.Image:
    """Draw the figure: a row for the data, then one for each method.

    Args:
        result: The measured distances.
        sweeps: The sweeps of the same methods, with their samples and paths.
        points: Points (N, 2) of the data.
    """
    from matplotlib.figure import Figure

    rows = 1 + len(sweeps)
    height = 182 + 240 * rows
    figure = Figure(figsize=(16, height / 100), dpi=100)
    grid = figure.subplots(
        rows,
        5,
        squeeze=False,
        width_ratios=(285, 208, 216, 216, 470),
        gridspec_kw={"left": 0.015, "right": 0.985, "top": 1 - 138 / height, "bottom": 78 / height,
                     "wspace": 0.14, "hspace": 0.25},
    )  # fmt: skip
    _text(grid[0, 0], 0, -84, "A history of denoising diffusion", size=21, weight="bold")
    subtitle = "Every row is the same core with a few settings changed, and the same small network."
    _text(grid[0, 0], 0, -56, subtitle, size=11)
    _data_row(grid[0], result, points)
    for row, (name, method) in zip(grid[1:], result.methods.items(), strict=True):
        sweep = sweeps[name]
        row[0].plot(
            [0, 5.442],
            [1.09, 1.09],
            transform=row[0].transAxes,
            color=LINE_GREY,
            alpha=0.4,
            linewidth=0.8,
            clip_on=False,
        )
        _describe(row[0], name, method, sweep.model)
        _curve(row[1], sweep.model.denoiser.schedule, COLOURS[name])
        _paths(row[2], sweep, points, COLOURS[name])
        _scatter(row[3], sweep.samples, COLOURS[name])
        _costs(row[4], result, name)
    foot = (
        f"Ring: the fewest passes within {result.tolerance} times the method's best distance, or as near as the data "
        f"is to itself (dotted). Distance: sliced Wasserstein-2, {result.samples:,} samples to as many held-out points."
    )
    figure.text(0.015, 12 / height, foot, size=9.5)
    return figure_to_image(figure)


def _data_row(row: Sequence["Axes"], result: HistoryResult, points: Tensor) -> None:
    """The titles of the columns, and the data and all methods together."""
    titles = ("", "noise curve", "from noise to sample", "samples", "distance to the data, over passes of the network")
    for axes, title in zip(row, titles, strict=True):
        axes.set_title(title, loc="left", fontsize=11.5, weight="bold", pad=12)
    _text(row[0], 0, -23, "The data", size=16, weight="bold")
    _text(row[0], 0, 0, f"{len(points):,} points of {result.data}\nthat no method was trained on", size=10.5)
    for axes, text in zip(row[1:3], (CURVE_TEXT, PATHS_TEXT), strict=True):
        axes.set_axis_off()
        _text(axes, 0, 0, text, size=10)
    row[0].set_axis_off()
    _scatter(row[3], points, TEXT_GREY)
    _costs(row[4], result, None)


def _describe(axes: "Axes", name: str, method: HistoryMethod, model: Model) -> None:
    """What the method is."""
    axes.set_axis_off()
    title, paper = PAPERS[name]
    _text(axes, 0, 0, title, size=16, weight="bold", color=COLOURS[name])
    start = f", starting from {PAPERS[method.starts_from][0]}" if method.starts_from else ""
    _text(axes, 0, 20, paper + start, size=10.5)
    config, spec = model.config, model.denoiser.schedule.spec
    sigmas = ", σ {sigma_min:g} to {sigma_max:g}".format_map(spec) if "sigma_max" in spec else ""
    sampler, _, options = config.sample.sampler.partition(":")
    per_level = options.partition("steps_per_level=")[2].partition(",")[0]
    steps = f"{method.own.steps} × {per_level}" if per_level else method.own.steps
    learned = ", learned variance" if config.process.learned_variance else ""
    rows = {
        "predicts": PREDICTIONS[config.process.target],
        "schedule": f"{spec['name']}{sigmas}",
        "sampler": f"{SAMPLERS.get(sampler, sampler.upper())}, {steps} steps{learned}",
    }
    for number, (key, value) in enumerate(rows.items()):
        _text(axes, 0, 42 + 17 * number, key, size=9.5)
        _text(axes, 49, 42 + 17 * number, value, size=9.5)
    passes = method.needed.passes
    _text(axes, 0, 96, f"needs {passes} pass{'es' if passes > 1 else ''}", size=12, weight="bold")


def _curve(axes: "Axes", schedule: Schedule, colour: str) -> None:
    """a_t and b_t, linear up to 1 and logarithmic above, so that all schedules share an axis."""
    u = [t / schedule.steps for t in range(schedule.steps + 1)]
    axes.axhline(1, color=LINE_GREY, alpha=0.4, linewidth=1, zorder=0)
    axes.plot(u, schedule.signal.tolist(), color=colour, linewidth=1.6, dashes=(4, 2))
    axes.plot(u, schedule.noise.tolist(), color=colour, linewidth=2)
    axes.set_yscale("symlog", linthresh=1, linscale=1.6)
    axes.set(xlim=(0, 1), ylim=(0, 130))
    axes.set_xticks([0, 0.5, 1], ["0", "t/T", "1"])
    axes.set_yticks([0, 0.5, 1, 10, 100], ["0", "½", "1", "10", "100"])
    _plain(axes)


def one_scale(schedule: Schedule, states: Sequence[Step]) -> Tensor:
    """Return x_t/max(1, √(a_t² + b_t²)) of all states, (S, N, 2): paths of exploding schedules at the data's scale."""
    return torch.stack([state.x / max(1.0, math.hypot(*schedule.at(state.t))) for state in states])


def _paths(axes: "Axes", sweep: StepSweep, points: Tensor, colour: str) -> None:
    """Lines that darken from x_T to the sample, over the data."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    paths = one_scale(sweep.model.denoiser.schedule, sweep.states).double()
    _dots(axes, points[:CLOUD], s=6, color=LINE_GREY, linewidths=0, alpha=0.3, zorder=1)
    count = len(paths) - 1
    faint = min(0.6, 2 / float(paths.diff(dim=0).norm(dim=2).sum(0).mean()))  # long random walks would fill the plot
    shades = [to_rgba(colour, faint + (0.8 - faint) * (i / count) ** 3) for i in range(count)]
    for path in paths.transpose(0, 1):
        lines = torch.stack([path[:-1], path[1:]], dim=1)
        axes.add_collection(LineCollection(lines.tolist(), colors=shades, linewidths=0.8, zorder=2))
    _dots(axes, paths[0], s=10, facecolors="none", edgecolors=colour, linewidths=0.9, zorder=3)
    _dots(axes, paths[-1], s=18, color=TEXT_GREY, linewidths=0, zorder=4)
    axes.set(xlim=(-2.9, 2.9), ylim=(-2.46, 2.46), xticks=[], yticks=[])
    _plain(axes)


def _dots(axes: "Axes", points: Tensor, **style: Any) -> None:
    x, y = points.double().T.tolist()
    axes.scatter(x, y, **style)


def _scatter(axes: "Axes", cloud: Tensor, colour: str) -> None:
    _dots(axes, cloud[:CLOUD], s=4, color=colour, linewidths=0, alpha=0.55)
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.21, 1.21), xticks=[], yticks=[])
    _plain(axes)


def _costs(axes: "Axes", result: HistoryResult, name: str | None) -> None:
    """Distance over passes: of one method before the others in grey, or of all in their colours."""
    axes.axhline(result.floor, color=TEXT_GREY, linewidth=1, dashes=(2, 2), zorder=1)
    for place, (other, method) in enumerate(result.methods.items()):
        shown = name in (None, other)
        colour, marker = COLOURS[other] if shown else LINE_GREY, "o" if other == name else ""
        axes.plot([p.passes for p in method.measures], [p.distance for p in method.measures], color=colour,
                  alpha=1 if shown else 0.3,
                  linewidth=1.8 if shown else 1.2, marker=marker, markersize=4, zorder=3 if shown else 0)  # fmt: skip
        if name is None:
            axes.text(0.985, 0.97 - 0.08 * place, PAPERS[other][0], transform=axes.transAxes, fontsize=9.5,
                      color=colour, ha="right", va="top")  # fmt: skip
    if name is None:
        axes.text(1.1, result.floor * 0.93, "the data itself", fontsize=9, color=TEXT_GREY, va="top")
    else:
        needed, colour = result.methods[name].needed, COLOURS[name]
        axes.plot(needed.passes, needed.distance, marker="o", markersize=10, markerfacecolor="none",
                  markeredgecolor=colour, markeredgewidth=1.6, zorder=4)  # fmt: skip
        axes.annotate(str(needed.passes), (needed.passes, needed.distance), (0, 11), textcoords="offset points",
                      ha="center", fontsize=10.5, weight="bold", color=colour)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(0.9, 1.25 * MAX_PASSES), ylim=(0.006, 1.3))
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    _plain(axes)


def _plain(axes: "Axes") -> None:
    axes.minorticks_off()
    axes.grid(False)
    axes.tick_params(labelsize=8.5, length=3)
    axes.spines[:].set(color=LINE_GREY, alpha=0.6, linewidth=0.8, visible=True)


def _text(axes: "Axes", x: float, y: float, text: str, **style: Any) -> None:
    """Text at (x, y) points right of and below the top left corner of axes."""
    axes.annotate(text, (0, 1), (x, -y), xycoords="axes fraction", textcoords="offset points", va="top",
                  annotation_clip=False, linespacing=1.5, **style)  # fmt: skip
