"""Pictures of items: images and slices of volumes tiled, signals and points plotted. All that is shown is of these."""

import io
from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from ancestral.render.signal_plots import lines
from ancestral.render.to_uint8 import in_bytes, in_colours, slices

PADDING = 2
"""Pixels between the tiles of a grid, before scaling."""


def picture(
    items: Tensor, columns: int | None = None, height: int = 0, limits: tuple[float, float] | None = None
) -> Image.Image:
    """One picture of items of any shape and depth: points (N, 2) as a scatter plot; else a grid of `columns`.

    Its cells are images (N, C, H, W), line plots of signals (N, C, L), or the three middle slices of volumes
    (N, C, D, H, W). Two channels show the first, four and more the first three as RGB. `limits` are those of a codec,
    the values that are black and white; None takes the least and largest there is of floats. Small grids are enlarged
    by a whole factor, pixels kept square, to about `height` pixels (left alone for 0).
    """
    if items.ndim == 2:
        return scatter(items, height or 400)
    columns = columns or max(1, round(len(items) ** 0.5))
    if items.ndim == 3:
        return lines(items, columns, height, limits)
    seen = in_bytes(items, limits)
    return enlarge(tile(slices(seen) if items.ndim == 5 else seen, columns), height)


def tile(images: Tensor, columns: int) -> Image.Image:
    """Uint8 images (N, C, H, W) side by side, `columns` a row, on mid-grey."""
    from torchvision.utils import make_grid

    grid = make_grid(in_colours(images), nrow=columns, padding=PADDING, pad_value=128)
    return Image.fromarray(grid.permute(1, 2, 0).contiguous().numpy())


def enlarge(image: Image.Image, height: int) -> Image.Image:
    """The image with each pixel made a square of whole size, up to about `height` pixels high."""
    factor = max(1, round(height / image.height))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def scatter(points: Tensor, height: int) -> Image.Image:
    """Points (N, 2) of about [−1, 1] in a square plot without axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(height / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    x, y = points[:, :2].double().T.tolist()
    axes.scatter(x, y, s=max(0.5, height / 150), color="#1f4e8c", alpha=0.6, linewidths=0)
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
    axes.set_axis_off()
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return Image.open(buffer).convert("RGB")


def beside(pictures: Sequence[Image.Image], gap: int = PADDING) -> Image.Image:
    """Pictures from left to right on white."""
    width = sum(p.width for p in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(p.height for p in pictures)), "white")
    left = 0
    for p in pictures:
        sheet.paste(p, (left, 0))
        left += p.width + gap
    return sheet


def above(pictures: Sequence[Image.Image], gap: int = PADDING) -> Image.Image:
    """Pictures from top to bottom on white."""
    height = sum(p.height for p in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (max(p.width for p in pictures), height), "white")
    top = 0
    for p in pictures:
        sheet.paste(p, (0, top))
        top += p.height + gap
    return sheet
