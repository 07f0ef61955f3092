"""Images of items of every shape: grids of images and of slices of volumes, line plots of signals, clouds of points."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ancestral.data.convert import convert_bit_depth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PADDING = 2
"""Pixels between the tiles of a grid, before scaling."""
MID_GREY = 128
SLICE_GAP = 1
"""Pixels between the slices of a volume."""
SIGNAL_COLOURS = ("#1f4e8c", "#c8691c", "#2f7d4f", "#8a3f8f", "#b3261e", "#00788a")
"""Colours of a signal's channels, in turn."""
SIGNAL_GAP, OVERSAMPLING = 4, 3
"""Pixels between line plots, and the factor by which they are drawn larger, so that lines are smooth when reduced."""


def picture(
    items: Tensor, columns: int | None = None, height: int = 0, limits: tuple[float, float] | None = None
) -> Image.Image:
    """Render items of any shape and depth as one picture.

    Args:
        items: Points (N, 2) as a scatter plot, or a grid of images (N, C, H, W), of line plots of signals (N, C, L) or
            of the three middle slices of volumes (N, C, D, H, W). Two channels show the first, four and more the first
            three as RGB.
        columns: The number of tiles in a row; None makes the grid about square.
        height: Height in pixels to which small grids are enlarged by a whole factor; 0 leaves them as they are.
        limits: The values of floats that are black and white (those of a codec); None takes the minimum and maximum.

    Returns:
        An RGB image.
    """
    if items.ndim == 2:
        return scatter(items, height or 400)
    columns = columns or max(1, round(len(items) ** 0.5))
    if items.ndim == 3:
        return signal_plots(items, columns, height, limits)
    images = to_uint8(items, limits)
    return enlarge(tile(middle_slices(images) if items.ndim == 5 else images, columns), height)


def to_uint8(items: Tensor, limits: tuple[float, float] | None = None) -> Tensor:
    """Convert items of any shape and dtype to uint8; the floats `limits` become 0 and 255, others are clamped.

    None for the limits takes the minimum and maximum of the items.
    """
    if not items.is_floating_point():
        return convert_bit_depth(items, torch.uint8)
    low, high = limits or tuple(end.item() for end in items.aminmax())
    return ((items.double() - low) * (255 / ((high - low) or 1))).round().clamp(0, 255).to(torch.uint8)


def middle_slices(volumes: Tensor) -> Tensor:
    """Place the middle slices of uint8 volumes (N, C, D, H, W) along each axis side by side on mid-grey.

    From left to right, the rows and columns of the slices are (H, W), (D, W) and (D, H).
    """
    depth, height, width = volumes.shape[2:]
    slices = (volumes[:, :, depth // 2], volumes[:, :, :, height // 2], volumes[..., width // 2])
    size = max(depth, height), sum(part.shape[3] for part in slices) + 2 * SLICE_GAP
    sheet = torch.full((*volumes.shape[:2], *size), MID_GREY, dtype=torch.uint8)
    left = 0
    for part in slices:
        sheet[:, :, : part.shape[2], left : left + part.shape[3]] = part
        left += part.shape[3] + SLICE_GAP
    return sheet


def tile(images: Tensor, columns: int) -> Image.Image:
    """Tile uint8 images (N, C, H, W), `columns` a row, on mid-grey."""
    from torchvision.utils import make_grid

    shown = images[:, : 1 if images.shape[1] < 3 else 3]
    grid = make_grid(shown, nrow=columns, padding=PADDING, pad_value=MID_GREY)
    return Image.fromarray(grid.permute(1, 2, 0).contiguous().numpy())


def enlarge(image: Image.Image, height: int) -> Image.Image:
    """Enlarge an image by the whole factor that brings it nearest to `height` pixels; pixels stay square."""
    factor = max(1, round(height / image.height))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def signal_plots(signals: Tensor, columns: int, height: int, limits: tuple[float, float] | None = None) -> Image.Image:
    """Plot signals (N, C, L), a line for each channel, `columns` plots a row, about `height` pixels in all.

    All share the vertical axis `limits`, beyond which lines leave the plot; None takes the minimum and maximum.
    """
    signals = signals.double()
    low, high = limits or (float(signals.min()), float(signals.max()))
    rows = -(-len(signals) // columns)
    tall = max(24, (height or 64 * rows) // rows - SIGNAL_GAP)
    wide, edge = 2 * tall, 2
    size = columns * (wide + SIGNAL_GAP) + SIGNAL_GAP, rows * (tall + SIGNAL_GAP) + SIGNAL_GAP
    sheet = Image.new("RGB", size, "#dddddd")
    length = signals.shape[2]
    x = [OVERSAMPLING * (edge + (wide - 2 * edge) * (i + 0.5) / length) for i in range(length)]
    share = ((signals - low) / ((high - low) or 1)).clamp(-1, 2)  # keeps coordinates finite; -1 and 2 are off the plot
    y = OVERSAMPLING * (edge + (tall - 2 * edge) * (1 - share))
    for number, item in enumerate(y.tolist()):
        cell = Image.new("RGB", (OVERSAMPLING * wide, OVERSAMPLING * tall), "white")
        pen, middle = ImageDraw.Draw(cell), OVERSAMPLING * tall / 2
        pen.line([(0, middle), (OVERSAMPLING * wide, middle)], fill="#e6e6e6", width=OVERSAMPLING)
        for channel, heights in enumerate(item):
            colour = SIGNAL_COLOURS[channel % len(SIGNAL_COLOURS)]
            pen.line(list(zip(x, heights, strict=True)), fill=colour, width=OVERSAMPLING + 1)
        row, column = divmod(number, columns)
        place = SIGNAL_GAP + column * (wide + SIGNAL_GAP), SIGNAL_GAP + row * (tall + SIGNAL_GAP)
        sheet.paste(cell.reduce(OVERSAMPLING), place)
    return sheet


def scatter(points: Tensor, height: int) -> Image.Image:
    """Plot points (N, 2) of about [−1, 1] in a square of `height` pixels without axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(height / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    x, y = points[:, :2].double().T.tolist()
    axes.scatter(x, y, s=max(0.5, height / 150), color="#1f4e8c", alpha=0.6, linewidths=0)
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
    axes.set_axis_off()
    return figure_to_image(figure)


def figure_to_image(figure: "Figure") -> Image.Image:
    """Render a matplotlib figure as an RGB image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi="figure")
    return Image.open(buffer).convert("RGB")


def hstack(pictures: Sequence[Image.Image], gap: int = PADDING) -> Image.Image:
    """Place pictures from left to right on white, `gap` pixels apart."""
    return _stack(pictures, gap, 0)


def vstack(pictures: Sequence[Image.Image], gap: int = PADDING) -> Image.Image:
    """Place pictures from top to bottom on white, `gap` pixels apart."""
    return _stack(pictures, gap, 1)


def _stack(pictures: Sequence[Image.Image], gap: int, axis: int) -> Image.Image:
    size = [max(p.size[axis] for p in pictures) for axis in (0, 1)]
    size[axis] = sum(p.size[axis] for p in pictures) + gap * (len(pictures) - 1)
    sheet, place = Image.new("RGB", (size[0], size[1]), "white"), [0, 0]
    for p in pictures:
        sheet.paste(p, (place[0], place[1]))
        place[axis] += p.size[axis] + gap
    return sheet
