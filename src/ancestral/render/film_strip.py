"""The reverse process as a film strip of x_t above x̂_0."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from ancestral.data.statistics import evenly_spaced
from ancestral.render.captions import INK, PAGE, SIDE, caption_line, caption_size, formula
from ancestral.render.pictures import PADDING, figure_to_image, hstack, hue, picture, vstack
from ancestral.samplers import Step

FILM_ITEMS, GAP = 8, 12
"""Items in a film strip, and pixels between two; points are one cloud."""
TALLEST = 1.75
"""Largest height of a film strip of several items, in its width."""
FILM_STATES = 12
"""Largest number of states in a film strip of items."""
X_T, X_0 = "$x_t$", r"$\hat{x}_0$"
"""The names of the two rows, as matplotlib writes formulas."""
CLOUDS = 6
"""Largest number of states in a film strip of points, whose plots have axes that must be legible."""


def film(
    states: Sequence[Step],
    columns: int = FILM_STATES,
    width: int = 1032,
    limits: tuple[float, float] | None = None,
    names: Sequence[str] | None = None,
    captions: bool = True,
) -> Image.Image:
    """Draw a film strip: time from left to right; for each of the first items, x_t above the estimate x̂_0.

    Args:
        states: Decoded items, as `samplers.record` keeps them; at most `columns` of them are shown.
        columns: The largest number of states, of points at most CLOUDS.
        width: About the width in pixels of that many states. Small items are enlarged by a whole factor.
        limits: Those of `picture`.
        names: The classes of the items.
        captions: Whether t stands above each state, x_t and x̂_0 beside their rows, and its class above each item.

    Returns:
        An RGB image. Of points it is one figure with axes, in a colour for each time.
    """
    if states[0].x.ndim == 2:
        return _clouds([states[i] for i in evenly_spaced(min(columns, CLOUDS), len(states))], captions)
    shown = [states[i] for i in evenly_spaced(columns, len(states))]
    one = picture(shown[0].x[:1], 1, 0, limits)
    height = round(one.height * max(1, width // columns - PADDING) / one.width)

    def row(tensors: Sequence[Tensor], item: int) -> Image.Image:
        return hstack([picture(tensor[item : item + 1], 1, height, limits) for tensor in tensors])

    def strip(item: int) -> Image.Image:
        return vstack([row([state.x for state in shown], item), row([state.x0 for state in shown], item)])

    first = strip(0)
    column = (first.width + PADDING) / len(shown)
    count = min(FILM_ITEMS, len(shown[0].x), max(1, int(TALLEST * columns * column / (first.height + GAP))))
    strips = [first, *map(strip, range(1, count))]
    if not captions:
        return vstack(strips, GAP)
    times = [f"t = {state.t}" for state in shown]
    size = caption_size(times, column, first.width)
    labels = [formula(text, size) for text in (X_T, X_0)]
    left = max(label.width for label in labels) + 2 * SIDE
    width, high = left + first.width, (first.height - PADDING) // 2
    tall = max(high, *(label.height for label in labels))  # items may be one pixel high
    parts = [caption_line(times, size, column, left, width)]
    for item, body in enumerate(strips):
        if names:
            parts.append(caption_line([names[item]], size, first.width, left, width, centred=False))
        elif item:
            parts.append(Image.new("RGB", (1, GAP), "white"))
        named = Image.new("RGB", (width, 2 * tall + PADDING), "white")
        for number, label in enumerate(labels):
            above = number * (high + PADDING)
            top = number * (tall + PADDING)
            named.paste(body.crop((0, above, body.width, above + high)), (left, top + (tall - high) // 2))
            named.paste(label, ((left - label.width) // 2, top + (tall - label.height) // 2))
        parts.append(named)
    return vstack(parts, 0)


def _clouds(states: Sequence[Step], captions: bool) -> Image.Image:
    """Plot x_t above x̂_0 for each state of points, in a colour for each time."""
    from matplotlib.figure import Figure

    dpi = 2 * PAGE / 9.2
    figure = Figure(figsize=(1.5 * len(states) + 0.2, 3.5), dpi=dpi, layout="constrained")
    grid = figure.subplots(2, len(states), squeeze=False)
    for column, state in enumerate(states):
        for axes, points in zip(grid[:, column], (state.x, state.x0), strict=True):
            x, y = points[:, :2].double().T.tolist()
            size = max(1.5, min(9.0, 2500 / len(x)))
            axes.scatter(x, y, s=size, color=hue(column, len(states)), alpha=0.7, linewidths=0)
            # noise of large scale is shown at its own scale, and 1.5 holds the data
            reach = max(1.5, 1.1 * float(points.double().abs().quantile(0.99)))
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            axes.locator_params(nbins=3)
            axes.tick_params(labelsize=7.5, length=2.5, colors="#5b636c")
            axes.spines[:].set(color="#c9ced4", linewidth=0.8)
        if captions:
            grid[0, column].set_title(f"t = {state.t}", fontsize=9.5, color=INK)
    for axes, name in zip(grid[:, 0], (X_T, X_0), strict=True):
        axes.set_ylabel(name, fontsize=10, color=INK)
    return figure_to_image(figure)
