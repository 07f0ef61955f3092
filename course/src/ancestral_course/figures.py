"""Figures of the lessons, in the figure style of the package."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ancestral.render.plots import STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def show(rows: Sequence[Any], titles: Sequence[str] = (), labels: Sequence[str] = (), size: float = 0.9) -> None:
    """Draw rows of images.

    Args:
        rows: Rows of images of shape (1, H, W) or (3, H, W), with values in [−1, 1].
        titles: Titles of the columns.
        labels: Labels of the rows.
        size: Width of an image, in inches.
    """
    import matplotlib.pyplot as plt

    height, width = len(rows), max(len(row) for row in rows)
    with plt.style.context(STYLE):
        figure, axes = plt.subplots(height, width, figsize=(size * width, size * height + 0.3), squeeze=False)
        for row, images in enumerate(rows):
            for column in range(width):
                axis = axes[row, column]
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
                if column >= len(images):
                    axis.axis("off")
                    continue
                image = ((images[column].detach().float().cpu() + 1) / 2).clamp(0, 1)
                axis.imshow(image.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
                axis.set_title(titles[column] if row == 0 and column < len(titles) else "", fontsize=9)
                axis.set_ylabel(labels[row] if column == 0 and row < len(labels) else "", fontsize=9)
        figure.tight_layout(pad=0.3)
        plt.show()


def plot(
    x: Any, curves: Mapping[str, Any], xlabel: str = "t", ylabel: str = "", kind: str = "plot", **options: Any
) -> None:
    """Draw labelled curves over x.

    Args:
        x: Values of the horizontal axis.
        curves: Values of each curve by its label.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        kind: plot, semilogy, semilogx or loglog.
        options: More settings of the curves, such as marker="o".
    """
    import matplotlib.pyplot as plt

    with plt.style.context(STYLE):
        figure, axis = plt.subplots(figsize=(5.5, 2.6))
        for label, y in curves.items():
            getattr(axis, kind)(x, y, label=label, **options)
        axis.set(xlabel=xlabel, ylabel=ylabel)
        if any(curves):
            axis.legend()
        figure.tight_layout()
        plt.show()


def scatter(clouds: Mapping[str, Tensor], limit: float = 3.0, size: float = 2.2) -> None:
    """Draw clouds of points in the plane side by side.

    Args:
        clouds: Points of shape (N, 2) by their title.
        limit: The axes run from −limit to limit.
        size: Width of a cloud, in inches.
    """
    import matplotlib.pyplot as plt

    with plt.style.context(STYLE):
        figure, axes = plt.subplots(1, len(clouds), figsize=(size * len(clouds), size + 0.3), squeeze=False)
        for axis, (title, points) in zip(axes[0], clouds.items(), strict=True):
            axis.scatter(*points.detach().float().cpu().T.numpy(), s=2, alpha=0.6, linewidths=0)
            axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
            frame(axis)
            axis.set_title(title, fontsize=9)
        figure.tight_layout(pad=0.3)
        plt.show()


def frame(axis: "Axes") -> None:
    """Draw a thin line around axes without ticks, on all four sides: two sides alone would be axes without numbers.

    Args:
        axis: The axes, of points or a picture in the plane.
    """
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set(visible=True, alpha=0.6, linewidth=0.8)


def mark_ends(axis: "Axes", x: Any, y: Any, color: str = "C0") -> None:
    """Mark where paths begin, by rings, and where they end, by dots.

    Args:
        axis: The axes.
        x: Horizontal coordinates of shape (S,) or (S, N), of N paths of S states, as `axis.plot` takes them.
        y: Vertical coordinates, (S, N).
        color: The colour of the paths.
    """
    y = np.asarray(y)
    x = np.broadcast_to(np.asarray(x).reshape(len(y), -1), y.shape)
    style: dict[str, Any] = {"s": 14, "clip_on": False, "zorder": 4}
    axis.scatter(x[0], y[0], facecolors="none", edgecolors=color, linewidths=0.9, **style)
    axis.scatter(x[-1], y[-1], color=color, linewidths=0, **style)
