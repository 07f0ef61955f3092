"""A plot of the distance of samples to the data over the length of the average of the weights."""

from typing import TYPE_CHECKING

from PIL import Image

from ancestral.render.pictures import STYLE_COLOURS, figure_to_image, in_figure_style
from ancestral.results import AveragingResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE = STYLE_COLOURS[:2]


@in_figure_style
def averaging_plot(result: AveragingResult) -> Image.Image:
    """Draw two panels, 1650 pixels wide: the Fréchet and the kernel distance over the length, with standard errors.

    Wide bars are the errors of the differences from the best, whose samples have the same noise. The EMA of training is
    a mark at the length of its own profile, and a ring is around the best length.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.9), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    _panel(left, result, "frechet", result.titles.frechet)
    _panel(right, result, "kernel", result.titles.kernel)
    others = [(point.length, point.frechet.value, point.behind.error or 0) for point in result.points if point.behind]
    if others:
        left.errorbar(*zip(*others, strict=True), color=BLUE, linestyle="", elinewidth=4, alpha=0.4,
                      label="error of the difference from the best")  # fmt: skip
    head = f"{result.samples.count:,} samples each, after step {result.end:,}; floor {result.floor}"
    left.set_title(head, size=12, pad=10, loc="left")  # a line at the floor would flatten the curve
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=10)
    return figure_to_image(figure)


def _panel(axes: "Axes", result: AveragingResult, name: str, title: str) -> None:
    lengths, values = [point.length for point in result.points], [getattr(point, name) for point in result.points]
    best, ema = result.best, result.ema
    own, of_best = getattr(ema, name), getattr(best, name)
    of_training = f"EMA of training, decay {result.decay:g}, step {result.model.step:,}"
    axes.errorbar(lengths, [one.value for one in values], [one.error or 0 for one in values], color=BLUE, marker="o",
                  markersize=4.5, elinewidth=0.8, label="power-function averages, standard errors")  # fmt: skip
    axes.errorbar([ema.length], [own.value], [own.error or 0], color=ORANGE, marker="D", markersize=6, linestyle="",
                  elinewidth=0.8, label=of_training)  # fmt: skip
    axes.plot(best.length, of_best.value, marker="o", markersize=12, color=BLUE, markerfacecolor="none",
              markeredgewidth=1.6, linestyle="", label=f"best {result.titles.frechet}: {best.length:g}")  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(lengths, [f"{length:g}" for length in lengths])
    axes.minorticks_off()
    axes.set_xlabel("averaging length $\\sigma_{rel}$ (share of the steps)", size=11)
    axes.set_ylabel(f"{title} to the training data", size=11)
    axes.tick_params(labelsize=10)
    axes.set_axisbelow(True)
