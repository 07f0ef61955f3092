"""Images of items of every shape: grids of images and of slices of volumes, line plots of signals, clouds of points.

What items are conditioned on, and true items, stand beside them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from ancestral.conditions import FieldLimits, Limits, resized
from ancestral.data import DataSpec
from ancestral.data.convert import composite, has_alpha, middle_of, to_uint8
from ancestral.render.lettering import (
    INK,
    SIDE,
    broken,
    caption_line,
    caption_size,
    caption_width,
    font,
    shorten,
)
from ancestral.render.plots import SIGNAL_GROUND, line_plots, scatter

PADDING = 2
"""Pixels between the tiles of a grid, before scaling."""
MAX_PERIOD, MAX_HUES = 12, 100
"""Largest numbers of classes that have columns of their own, and that have colours."""
MID_GREY = 128
SQUARE_GREYS, SQUARES = (232, 192), 8
"""The two greys behind transparent pixels, between which both white and black are seen; the squares of a long side."""
SLICE_GAP = 1
"""Pixels between the slices of a volume."""
SIGNAL_GAP = 4
"""Pixels between line plots."""
PLOT = 96
"""Height in pixels of the line plot of a signal that stands alone."""
MOST_CHANNELS = 8
"""The largest number of channels of fields that are shown."""
LEGEND, LEGEND_FONT = 320, 13
"""Pixels: the least width of what says which values are black and white, and the size of its font."""
SAMPLE_TITLE, TRUTH_TITLE = "sample", "truth"
"""The names of samples and of true items where they stand side by side."""


@dataclass(frozen=True, eq=False)
class ContextColumn:
    """Images drawn beside the items of a picture: a condition before them, or true items after them.

    Attributes:
        name: The name that stands above it.
        images: Of the kind of the items, (m, C, *sides) on any grid, or points. Item i has image i modulo m.
        limits: The values of floats that are black and white.
        masked: Whether the last channel says what is known, in the upper half of the limits.
    """

    name: str
    images: Tensor
    limits: Limits | None = None
    masked: bool = False

    def at(self, indices: Sequence[int]) -> "ContextColumn":
        """Return the images of some items; a single image stays that of all."""
        if len(self.images) == 1:
            return self
        return replace(self, images=self.images[[index % len(self.images) for index in indices]])


@dataclass(frozen=True, eq=False)
class ContextColumns:
    """Context columns on both sides of each item of a picture, in its size.

    Attributes:
        before: To its left. One image of all items is drawn once.
        after: To its right; for points, to the right of their plot.
        name: What the items are called beside others.
    """

    before: Sequence[ContextColumn] = ()
    after: Sequence[ContextColumn] = ()
    name: str = SAMPLE_TITLE

    def at(self, indices: Sequence[int]) -> "ContextColumns":
        """Return the context columns of some of the items."""
        before, after = ([part.at(indices) for part in parts] for parts in (self.before, self.after))
        return replace(self, before=before, after=after)


NO_CONTEXT = ContextColumns()


def picture(
    items: Tensor,
    columns: int | None = None,
    height: int = 0,
    limits: Limits | None = None,
    captions: Sequence[str] | None = None,
    context: ContextColumns = NO_CONTEXT,
) -> Image.Image:
    """Render items of any shape and depth as one picture.

    Args:
        items: Points (N, 2) as a scatter plot, or a grid of images (N, C, H, W), of line plots of signals (N, C, L) or
            of the three middle slices of volumes (N, C, D, H, W). Two channels show the first, four and more the first
            three as RGB; but integers of two and four channels are grey and RGB with alpha, shown on a checkerboard.
        columns: The number of items in a row; None makes the grid about square, as `grid_columns` does.
        height: Height in pixels to which small grids are enlarged by a whole factor; 0 leaves them as they are.
        limits: The values of floats that are black and white, as of `DataSpec.limits`; None takes the minimum and
            maximum. Those of fields show each channel, below one another.
        captions: A text above each item, such as its class; one line above the grid if those of a column are equal.
            Points have one colour for each, and a legend. None draws no text; () names what stands beside the items.
        context: Context columns beside each item.

    Returns:
        An RGB image.
    """
    if items.ndim == 2:
        captions = captions if len(set(captions or ())) <= MAX_HUES else None
        plots = [
            scatter(points, height or 400, captions) for points in (items, *(part.images for part in context.after))
        ]
        return _named([context.name, *(part.name for part in context.after)], plots) if context.after else plots[0]
    if context.before or context.after:
        before, after = (list(map(_as_shown, parts)) for parts in (context.before, context.after))
        middle = _as_shown(ContextColumn(context.name, items, limits))
        return _groups(middle, columns, height, captions, replace(context, before=before, after=after))
    items, limits = shown(items, limits)
    columns = min(len(items), columns or grid_columns(len(items), items.shape[1:]))
    if not captions:
        return _grid(items, columns, height, limits)[0]
    grid, gap = _grid(items, columns, height, limits)
    if grid.width < (needed := columns * caption_width(captions)):
        grid, gap = _grid(items, columns, grid.height * -(-needed // grid.width), limits)
    return _captioned(grid, gap, columns, captions)


def shown(items: Tensor, limits: Limits | None, masked: bool = False) -> tuple[Tensor, Limits | None]:
    """Return items and their limits as tiles show them: the channels of fields below one another, as one in grey.

    What is missing, or by the last channel not known, is a checkerboard.

    Args:
        items: Items as `picture` takes them.
        limits: Those of `picture`.
        masked: As of `ContextColumn`; the limits are those of the other channels.
    """
    if not isinstance(limits, FieldLimits) or items.ndim < 4:
        return items, limits
    values = (items[:, :-1] if masked else items)[:, :MOST_CHANNELS]
    known = items[:, -1:] > middle_of(limits) if masked else ~values.isnan()
    levels = to_uint8(values, limits).where(known, checkerboard(values.shape[2:]))
    levels = middle_slices(levels) if levels.ndim == 5 else levels
    blank = levels.new_full((len(levels), 1, SLICE_GAP, levels.shape[3]), MID_GREY)
    rows = [part for channel in torch.split(levels, 1, 1) for part in (blank, channel)]
    lacking = min(MOST_CHANNELS, len(limits)) - levels.shape[1]
    rows += [blank.expand(-1, -1, SLICE_GAP + levels.shape[2], -1)] * lacking
    return torch.cat(rows[1:], 2), None


def shown_shape(spec: DataSpec) -> Sequence[int]:
    """The shape of an item of some data as a tile shows it, for `grid_columns`."""
    return shown(torch.zeros(1, *spec.shape), spec.limits)[0].shape[1:]


def _as_shown(part: ContextColumn) -> ContextColumn:
    images, limits = shown(part.images, part.limits, part.masked)
    return part if images is part.images else replace(part, images=images, limits=limits, masked=False)


def with_legend(image: Image.Image, limits: Limits | None) -> Image.Image:
    """Add to a picture of fields which values are black and white in each channel, in their units.

    Args:
        image: The picture.
        limits: Those of `picture`.
    """
    named = channels_shown(limits)
    further = len(limits) - MOST_CHANNELS if named and limits is not None else 0
    texts = [f"{one.name}: black is {one.low:.4g}, white {one.high:.4g}" for one in named]
    texts += [f"and {further} channels more"] if further > 0 else []
    width = max(image.width, LEGEND)
    lines = [caption_line([text], LEGEND_FONT, width, SIDE, width, centred=False) for text in texts]
    return vstack([image, *lines], 0) if lines else image


class ShownChannel(NamedTuple):
    """A channel of fields in a picture: its name with its units, and the values that are black and white."""

    name: str
    low: float
    high: float


def channels_shown(limits: Limits | None) -> list[ShownChannel]:
    """Return the channels of fields that `picture` shows, from the top; none of other items."""
    if not isinstance(limits, FieldLimits):
        return []
    ends = zip(limits.names, limits, strict=False)
    return [ShownChannel(name, low, high) for name, (low, high) in ends][:MOST_CHANNELS]


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


def _grid(items: Tensor, columns: int, height: int, limits: Limits | None) -> tuple[Image.Image, int]:
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
    middle: ContextColumn, columns: int | None, height: int, captions: Sequence[str] | None, context: ContextColumns
) -> Image.Image:
    """A grid whose tiles are groups: what stands before an item, the item, and what stands after it."""
    items = middle.images
    alone = [part for part in context.before if len(part.images) == 1 and len(items) > 1]
    parts = [part for part in context.before if part not in alone] + [middle, *context.after]
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


def tiles(part: ContextColumn, items: Tensor, tall: int) -> list[Image.Image]:
    """Draw each image of a part in the size of a tile of the items (N, C, *sides), of this height.

    Images and volumes of a smaller grid have larger pixels; of a larger one they are averaged, as a network gets them.
    """
    part, (items, _) = _as_shown(part), shown(items[:1], part.limits)
    if items.ndim == 3:
        known = part.images[:, -1] > middle_of(part.limits or (0.0, 0.0)) if part.masked else None
        signals = part.images[:, :-1] if part.masked else part.images
        return line_plots(signals, 2 * tall, tall, part.limits, known)
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
        split = [broken(text, size, int(across - 2 * SIDE)) for text in texts]
        for place in range(max(map(len, split))):
            shown = ["".join(each[place : place + 1]) for each in split]
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
    return torch.tensor(SQUARE_GREYS, dtype=torch.uint8)[torch.stack(places).sum(0) % 2]


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
    """Tile uint8 images (N, C, H, W), `columns` a row, on mid-grey; an image alone has no margin."""
    channels = images[:, : 1 if images.shape[1] < 3 else 3].expand(-1, 3, -1, -1)
    count, _, height, width = channels.shape
    if count == 1:
        return Image.fromarray(channels[0].permute(1, 2, 0).contiguous().numpy())
    columns = min(columns, count)
    down, right = height + PADDING, width + PADDING
    size = PADDING + math.ceil(count / columns) * down, PADDING + columns * right
    sheet = torch.full((*size, 3), MID_GREY, dtype=torch.uint8)
    for number, image in enumerate(channels):
        top, left = PADDING + number // columns * down, PADDING + number % columns * right
        sheet[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return Image.fromarray(sheet.numpy())


def bare_tiles(items: Tensor, limits: Limits | None = None) -> Tensor:
    """Draw each item at its own pixels, with nothing between or beside it.

    Args:
        items: Items as `picture` takes them.
        limits: Those of `picture`.

    Returns:
        Tiles, uint8 (N, 1 or 3, H, W), by the channels of `picture`; of points one tile of all.
    """
    if items.ndim < 4:
        drawn = line_plots(items, 2 * PLOT, PLOT, limits) if items.ndim == 3 else [scatter(items, 2 * PLOT)]
        return torch.stack([torch.from_numpy(np.array(one.convert("RGB"))).permute(2, 0, 1) for one in drawn])
    items, limits = shown(items, limits)
    flat = _flat(to_uint8(items, limits), has_alpha(items.shape[1:], items.dtype))
    return flat[:, : 1 if flat.shape[1] < 3 else 3]


def enlarge(image: Image.Image, height: int) -> Image.Image:
    """Enlarge an image by the whole factor that brings it nearest to `height` pixels; pixels stay square."""
    factor = max(1, round(height / image.height))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def signal_plots(signals: Tensor, columns: int, height: int, limits: Limits | None = None) -> Image.Image:
    """Plot signals (N, C, L), a line for each channel, `columns` plots a row, about `height` pixels in all.

    All share the vertical axis `limits`, beyond which lines leave the plot; None takes the minimum and maximum.
    """
    rows = -(-len(signals) // columns)
    tall, _ = _row(signals, rows, height)
    wide = 2 * tall
    size = columns * (wide + SIGNAL_GAP) + SIGNAL_GAP, rows * (tall + SIGNAL_GAP) + SIGNAL_GAP
    sheet = Image.new("RGB", size, SIGNAL_GROUND)
    for number, plot in enumerate(line_plots(signals, wide, tall, limits)):
        row, column = divmod(number, columns)
        sheet.paste(plot, (SIGNAL_GAP + column * (wide + SIGNAL_GAP), SIGNAL_GAP + row * (tall + SIGNAL_GAP)))
    return sheet


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
