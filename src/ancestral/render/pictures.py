"""Images of items of every shape: grids of images and of slices of volumes, line plots of signals, clouds of points.

What items are conditioned on, and true items, stand beside them. Captions are legible at the size in which a page shows
the picture.
"""

import colorsys
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ancestral.base.errors import one_line
from ancestral.conditions import resized
from ancestral.data.convert import composite, has_alpha, to_uint8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = "ancestral.render.figures"
"""The figure style, `figures.mplstyle`: it can be read on a light and on a dark page."""
PADDING = 2
"""Pixels between the tiles of a grid, before scaling."""
MAX_PERIOD, LEGEND, MAX_HUES = 12, 20, 100
"""Largest numbers of classes that have columns of their own, that a legend names, and that have colours."""
MID_GREY = 128
CHECKERBOARD, SQUARES = (232, 192), 8
"""The two greys behind transparent pixels, between which both white and black are seen; the squares of a long side."""
SLICE_GAP = 1
"""Pixels between the slices of a volume."""
SIGNAL_COLOURS = ("#1f4e8c", "#c8691c", "#2f7d4f", "#8a3f8f", "#b3261e", "#00788a")
"""Colours of a signal's channels, in turn."""
SIGNAL_GAP, OVERSAMPLING = 4, 3
"""Pixels between line plots, and the factor by which they are drawn larger, so that lines are smooth when reduced."""
PLOT = 96
"""Height in pixels of the line plot of a signal that stands alone."""
SIGNAL_GROUND = (221, 221, 221)
"""The grey between line plots, and behind what a mask hides of a signal."""
SAMPLE, TRUTH = "sample", "truth"
"""The names of samples and of true items where they stand side by side."""
X_T, X_0 = "$x_t$", r"$\hat{x}_0$"
"""The names of noisy states and of estimates, as matplotlib writes formulas."""
INK = "#22262b"
PAGE = 920
"""Pixels of the report's page: a wider picture is shown reduced to it."""
SMALLEST, LARGEST = 13, 20
"""Sizes of fonts in pixels on the page."""
NARROWEST = 84
"""Pixels to which a column is widened for a long caption; what is longer is cut."""
SIDE = 3
"""Pixels on each side of a caption."""
DRAWING = RLock()
"""Held while matplotlib draws, whose style and parser of formulas serve one thread at a time."""


@dataclass(frozen=True, eq=False)
class Beside:
    """What stands beside the items of a picture: a condition before them, true items after them.

    Attributes:
        name: The name that stands above it.
        images: Of the kind of the items, (m, C, *sides) on any grid, or points. Item i has image i modulo m.
        limits: The values of floats that are black and white.
        masked: Whether the last channel says what is known, in the upper half of the limits.
    """

    name: str
    images: Tensor
    limits: tuple[float, float] | None = None
    masked: bool = False

    def at(self, indices: Sequence[int]) -> "Beside":
        """Return the images of some items; a single image stays that of all."""
        if len(self.images) == 1:
            return self
        return replace(self, images=self.images[[index % len(self.images) for index in indices]])


def picture(
    items: Tensor,
    columns: int | None = None,
    height: int = 0,
    limits: tuple[float, float] | None = None,
    captions: Sequence[str] | None = None,
    before: Sequence[Beside] = (),
    after: Sequence[Beside] = (),
    name: str = SAMPLE,
) -> Image.Image:
    """Render items of any shape and depth as one picture.

    Args:
        items: Points (N, 2) as a scatter plot, or a grid of images (N, C, H, W), of line plots of signals (N, C, L) or
            of the three middle slices of volumes (N, C, D, H, W). Two channels show the first, four and more the first
            three as RGB; but integers of two and four channels are grey and RGB with alpha, shown on a checkerboard.
        columns: The number of items in a row; None makes the grid about square, as `grid_columns` does.
        height: Height in pixels to which small grids are enlarged by a whole factor; 0 leaves them as they are.
        limits: The values of floats that are black and white (those of a codec); None takes the minimum and maximum.
        captions: A text above each item, such as its class; one line above the grid if those of a column are equal.
            Points have one colour for each, and a legend. None draws no text; () names what stands beside the items.
        before: What stands to the left of each item, in its size. One image of all items is drawn once.
        after: What stands to the right of each item; for points, of their plot.
        name: What the items are called beside others.

    Returns:
        An RGB image.
    """
    if items.ndim == 2:
        captions = captions if len(set(captions or ())) <= MAX_HUES else None
        plots = [scatter(points, height or 400, captions) for points in (items, *(part.images for part in after))]
        return plots[0] if not after else _named([name, *(part.name for part in after)], plots)
    if before or after:
        return _groups(Beside(name, items, limits), columns, height, captions, before, after)
    columns = min(len(items), columns or grid_columns(len(items), items.shape[1:]))
    if not captions:
        return _grid(items, columns, height, limits)[0]
    grid, gap = _grid(items, columns, height, limits)
    if grid.width < (needed := columns * caption_width(captions)):
        grid, gap = _grid(items, columns, grid.height * -(-needed // grid.width), limits)
    return _captioned(grid, gap, columns, captions)


def grid_columns(n: int, shape: Sequence[int], period: int = 1, tiles: int = 1) -> int:
    """Choose the number of columns that makes a grid of n items about square.

    Args:
        n: The number of items.
        shape: The shape of an item.
        period: The number of items after which their classes repeat; up to MAX_PERIOD, each column has one class.
        tiles: The number of tiles of an item: its own, and what stands beside it.
    """
    ratio = 1.0
    if len(shape) == 3:
        ratio = shape[1] / shape[2]
    elif len(shape) == 4:
        ratio = max(shape[1:3]) / (2 * shape[3] + shape[2] + 2 * SLICE_GAP)
    columns = max(1.0, math.sqrt(n * ratio / tiles))
    return period * math.ceil(columns / period) if 1 < period <= MAX_PERIOD else round(columns)


def _grid(items: Tensor, columns: int, height: int, limits: tuple[float, float] | None) -> tuple[Image.Image, int]:
    """A grid of items with axes, and the pixels between its tiles."""
    if items.ndim == 3:
        return signal_plots(items, columns, height, limits), SIGNAL_GAP
    small = tile(_flat(to_uint8(items, limits), has_alpha(items.shape[1:], items.dtype)), columns)
    large = enlarge(small, height)
    return large, 0 if len(items) == 1 else PADDING * large.width // small.width


def _flat(images: Tensor, alpha: bool, masked: bool = False) -> Tensor:
    """Images, or slices of volumes, as uint8 (N, C, H, W); what is transparent or hidden is a checkerboard."""
    if masked:
        images = images[:, :-1].where(images[:, -1:] > MID_GREY - 1, checkerboard(images.shape[2:]))
    images = on_checkerboard(images) if alpha else images
    return middle_slices(images) if images.ndim == 5 else images


def _groups(
    middle: Beside,
    columns: int | None,
    height: int,
    captions: Sequence[str] | None,
    before: Sequence[Beside],
    after: Sequence[Beside],
) -> Image.Image:
    """A grid whose tiles are groups: what stands before an item, the item, and what stands after it."""
    items = middle.images
    alone = [part for part in before if len(part.images) == 1 and len(items) > 1]
    parts = [part for part in before if part not in alone] + [middle, *after]
    columns = min(len(items), columns or grid_columns(len(items), items.shape[1:], tiles=len(parts)))
    rows = -(-len(items) // columns)
    needed = 0 if captions is None else len(parts) * caption_width([part.name for part in (*alone, *parts)])
    needed = max(needed, caption_width(captions)) if captions else needed
    tall, gap = _row(items, rows, height)
    across = _pitch(len(parts), _wide(items, tall), gap)[1]
    if across < needed:
        tall, gap = _row(items, rows, (tall + gap) * rows * -(-needed // across))
    drawn = [tiles(part, items, tall) for part in parts]
    groups = [[each[number % len(each)] for each in drawn] for number in range(len(items))]
    sheets = [_sheet(groups, columns, gap, items.ndim)]
    if captions:
        sheets = [_captioned(sheets[0], gap, columns, captions)]
    if alone:
        sheets.insert(0, _sheet([[tiles(part, items, tall)[0] for part in alone]], 1, gap, items.ndim))
    if captions is None:
        return hstack(sheets, gap)
    names = [[part.name for part in some] for some in (alone, parts)]
    size = caption_size([*names[0], *names[1]], drawn[0][0].width, sum(sheet.width for sheet in sheets))
    headed = [
        vstack([_headings(texts, size, drawn[0][0].width, gap, sheet.width), sheet], 0)
        for texts, sheet in zip(names if alone else names[1:], sheets, strict=True)
    ]
    return hstack(headed, gap)


def _row(items: Tensor, rows: int, height: int) -> tuple[int, int]:
    """The height of the tiles of a grid of about this height, and the gap between them."""
    if items.ndim == 3:
        return max(24, (height or 64 * rows) // rows - SIGNAL_GAP), SIGNAL_GAP
    side = max(items.shape[2:4]) if items.ndim == 5 else items.shape[2]
    factor = max(1, round(height / (rows * (side + PADDING) + PADDING)))
    return factor * side, factor * PADDING


def _wide(items: Tensor, tall: int) -> int:
    """The width of a tile of this height."""
    if items.ndim == 3:
        return 2 * tall
    height, width = middle_slices(items[:1, :1]).shape[2:] if items.ndim == 5 else items.shape[2:]
    return int(width * tall // height)


def tiles(part: Beside, items: Tensor, tall: int) -> list[Image.Image]:
    """Draw each image of a part in the size of a tile of the items (N, C, *sides), of this height.

    Images and volumes of a smaller grid have larger pixels; of a larger one they are averaged, as a network gets them.
    """
    if items.ndim == 3:
        known = part.images[:, -1] > sum(part.limits or (0.0, 0.0)) / 2 if part.masked else None
        signals = part.images[:, :-1] if part.masked else part.images
        return _line_plots(signals, 2 * tall, tall, part.limits, known)
    images, sides = to_uint8(part.images, part.limits), items.shape[2:]
    if any(before > after for before, after in zip(images.shape[2:], sides, strict=True)):
        images = resized(images.float(), sides).round().to(torch.uint8)
    images = F.interpolate(images, tuple(sides), mode="nearest-exact")
    flat = _flat(images, has_alpha((images.shape[1] - part.masked, *sides), part.images.dtype), part.masked)
    colours = flat[:, :1].expand(-1, 3, -1, -1) if flat.shape[1] < 3 else flat[:, :3]
    return [enlarge(Image.fromarray(one.permute(1, 2, 0).contiguous().numpy()), tall) for one in colours]


def _sheet(groups: Sequence[Sequence[Image.Image]], columns: int, gap: int, axes: int) -> Image.Image:
    """Groups of tiles of one size in rows: a gap between the tiles of a group, and three between groups."""
    wide, tall = groups[0][0].size
    left, pitch = _pitch(len(groups[0]), wide, gap)
    size = columns * pitch + gap, -(-len(groups) // columns) * (tall + gap) + gap
    sheet = Image.new("RGB", size, SIGNAL_GROUND if axes == 3 else (MID_GREY,) * 3)
    for number, group in enumerate(groups):
        row, column = divmod(number, columns)
        for place, one in enumerate(group):
            sheet.paste(one, (left + column * pitch + place * (wide + gap), gap + row * (tall + gap)))
    return sheet


def _pitch(count: int, wide: int, gap: int) -> tuple[int, int]:
    """The left edge of the first group of tiles, and the distance between groups."""
    more = 2 * gap if count > 1 else 0
    return gap + more // 2, count * (wide + gap) + more


def _headings(names: Sequence[str], size: int, wide: int, gap: int, width: int) -> Image.Image:
    """A line with the name of each tile of the groups of a sheet of this width; a name alone is in its middle."""
    if len(names) == 1:
        return caption_line(names, size, width, 0, width)
    line = Image.new("RGB", (width, round(1.5 * size)), "white")
    start, pitch = _pitch(len(names), wide, gap)
    for left in range(start, width - gap, pitch):
        for place, name in enumerate(names):
            middle = left + place * (wide + gap) + wide / 2
            text = shorten(name, size, wide + gap - 2 * SIDE)
            ImageDraw.Draw(line).text((middle, line.height / 2), text, fill=INK, font=font(size), anchor="mm")
    return line


def _named(names: Sequence[str], plots: Sequence[Image.Image]) -> Image.Image:
    """Plots side by side, each below its name."""
    size = caption_size(names, plots[0].width, sum(plot.width for plot in plots))
    lines = [caption_line([name], size, plot.width, 0, plot.width) for name, plot in zip(names, plots, strict=True)]
    return hstack([vstack(parts, 0) for parts in zip(lines, plots, strict=True)])


def _captioned(grid: Image.Image, gap: int, columns: int, captions: Sequence[str]) -> Image.Image:
    """The grid with a line of captions above each row, or above the first if the others repeat it."""
    lines = [captions[start : start + columns] for start in range(0, len(captions), columns)]
    down = (grid.height - gap) / len(lines)
    if all(line == lines[0][: len(line)] for line in lines):
        lines, down = lines[:1], grid.height - gap
    across = (grid.width - gap) / columns
    size = caption_size(captions, across, grid.width)
    parts = []
    for number, texts in enumerate(lines):
        row = grid.crop((0, round(number * down), grid.width, round((number + 1) * down) + gap))
        broken = [_broken(text, size, int(across - 2 * SIDE)) for text in texts]
        for place in range(max(map(len, broken))):
            shown = ["".join(each[place : place + 1]) for each in broken]
            parts.append(caption_line(shown, size, across, gap / 2, grid.width))
        parts.append(row)
    return vstack(parts, gap=0)


def on_checkerboard(images: Tensor) -> Tensor:
    """Composite uint8 images (N, 2 or 4, H, W), whose last channel is alpha, on a checkerboard: (N, 1 or 3, H, W)."""
    return composite(images, checkerboard(images.shape[2:]))


def checkerboard(sides: Sequence[int]) -> Tensor:
    """Two greys in turn, uint8 (*sides)."""
    side = max(1, max(sides) // SQUARES)
    places = torch.meshgrid(*(torch.arange(length) // side for length in sides), indexing="ij")
    return torch.tensor(CHECKERBOARD, dtype=torch.uint8)[torch.stack(places).sum(0) % 2]


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

    channels = images[:, : 1 if images.shape[1] < 3 else 3]
    grid = make_grid(channels, nrow=columns, padding=PADDING, pad_value=MID_GREY)
    return Image.fromarray(grid.permute(1, 2, 0).contiguous().numpy())


def bare_tiles(items: Tensor, limits: tuple[float, float] | None = None) -> Tensor:
    """Draw each item at its own pixels, with nothing between or beside it.

    Args:
        items: Items as `picture` takes them.
        limits: Those of `picture`.

    Returns:
        Tiles, uint8 (N, 1 or 3, H, W), by the channels of `picture`; of points one tile of all.
    """
    if items.ndim < 4:
        drawn = _line_plots(items, 2 * PLOT, PLOT, limits) if items.ndim == 3 else [scatter(items, 2 * PLOT)]
        return torch.stack([torch.from_numpy(np.array(one.convert("RGB"))).permute(2, 0, 1) for one in drawn])
    flat = _flat(to_uint8(items, limits), has_alpha(items.shape[1:], items.dtype))
    return flat[:, : 1 if flat.shape[1] < 3 else 3]


def enlarge(image: Image.Image, height: int) -> Image.Image:
    """Enlarge an image by the whole factor that brings it nearest to `height` pixels; pixels stay square."""
    factor = max(1, round(height / image.height))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def signal_plots(signals: Tensor, columns: int, height: int, limits: tuple[float, float] | None = None) -> Image.Image:
    """Plot signals (N, C, L), a line for each channel, `columns` plots a row, about `height` pixels in all.

    All share the vertical axis `limits`, beyond which lines leave the plot; None takes the minimum and maximum.
    """
    rows = -(-len(signals) // columns)
    tall, _ = _row(signals, rows, height)
    wide = 2 * tall
    size = columns * (wide + SIGNAL_GAP) + SIGNAL_GAP, rows * (tall + SIGNAL_GAP) + SIGNAL_GAP
    sheet = Image.new("RGB", size, SIGNAL_GROUND)
    for number, plot in enumerate(_line_plots(signals, wide, tall, limits)):
        row, column = divmod(number, columns)
        sheet.paste(plot, (SIGNAL_GAP + column * (wide + SIGNAL_GAP), SIGNAL_GAP + row * (tall + SIGNAL_GAP)))
    return sheet


def _line_plots(
    signals: Tensor, wide: int, tall: int, limits: tuple[float, float] | None, known: Tensor | None = None
) -> list[Image.Image]:
    """Plots of signals (N, C, L), grey and without lines where values are not known, bool (N, L)."""
    signals = signals.double()
    low, high = limits or (float(signals.min()), float(signals.max()))
    edge, length = 2, signals.shape[2]
    step = (wide - 2 * edge) / length
    x = [OVERSAMPLING * (edge + (wide - 2 * edge) * (i + 0.5) / length) for i in range(length)]
    share = ((signals - low) / ((high - low) or 1)).clamp(-1, 2)  # keeps coordinates finite; -1 and 2 are off the plot
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
    """Render a matplotlib figure as an RGB image, or as RGBA if its ground is transparent."""
    from matplotlib.colors import to_rgba

    buffer = io.BytesIO()
    with DRAWING:
        figure.savefig(buffer, format="png", dpi="figure")
    return Image.open(buffer).convert("RGB" if to_rgba(figure.get_facecolor())[3] else "RGBA")


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


# -- captions ---------------------------------------------------------------------------------------------------------


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib and has most alphabets, so that file names can be read."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def shorten(text: str, size: int, width: int, bold: bool = False) -> str:
    """Return a text as it is drawn: in one line, and of `width` pixels, by leaving out its middle: ends differ."""
    text = one_line(text)
    face, short = font(size, bold), text
    keep = len(text)
    while keep > 2 and face.getlength(short) > width:
        keep -= 1
        short = f"{text[: keep // 3]}…{text[len(text) - (keep - keep // 3) :]}"
    return short


def text_width(text: str, size: int) -> float:
    """Return the width in pixels of a text in one line."""
    return font(size).getlength(one_line(text))


def _broken(text: str, size: int, width: int) -> list[str]:
    """Break a caption that is wider than its column at commas, since each of several conditions should be read."""
    lines: list[str] = []
    for part in text.split(", "):
        longer = f"{lines[-1]}, {part}" if lines else part
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def caption_width(captions: Sequence[str]) -> int:
    """Return the width in pixels that a column needs for its captions, at most NARROWEST."""
    return min(NARROWEST, math.ceil(max(text_width(text, SMALLEST) for text in captions)) + 2 * SIDE)


def caption_size(captions: Sequence[str], column: float, picture: int) -> int:
    """Choose the largest size at which all captions fit into a column, legible in a picture of this width."""
    scale = max(1.0, picture / PAGE)
    sizes = range(round(LARGEST * scale), math.ceil(SMALLEST * scale), -1)
    widest = max(captions, key=lambda text: text_width(text, SMALLEST))
    room = column - 2 * SIDE * scale
    return next((size for size in sizes if text_width(widest, size) <= room), math.ceil(SMALLEST * scale))


def caption_line(
    captions: Sequence[str], size: int, column: float, left: float, width: int, centred: bool = True
) -> Image.Image:
    """Draw a line of captions, each above its column.

    Args:
        captions: The texts; those that are too long are cut.
        size: The size of the font.
        column: The distance of two columns in pixels.
        left: Where the first column begins.
        width: The width of the picture.
        centred: Whether a caption is in the middle of its column, or at its left.
    """
    line = Image.new("RGB", (width, round(1.5 * size)), "white")
    pen = ImageDraw.Draw(line)
    for place, text in enumerate(captions):
        short = shorten(text, size, int(column - 2 * SIDE))
        across = left + column * (place + 0.5 * centred)
        pen.text((across, line.height / 2), short, fill=INK, font=font(size), anchor="mm" if centred else "lm")
    return line


def formula(text: str, size: int) -> Image.Image:
    """Draw a formula of matplotlib, such as $x_t$, on white; letters have the size of a caption's."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    buffer = io.BytesIO()
    with DRAWING:
        math_to_image(text, buffer, FontProperties(size=size), dpi=72, format="png", color=INK)
    return Image.open(buffer).convert("RGB")
