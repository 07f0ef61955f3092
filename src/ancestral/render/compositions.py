"""Pictures composed of others: film strips, contact sheets of data sets, nearest pairs, and runs side by side."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import FieldLimits, Limits
from ancestral.conditions import Image as ImageCondition
from ancestral.data import Dataset, InMemoryDataset
from ancestral.data.dataset import evenly_spaced
from ancestral.measure.sample_quality import NearestPairs
from ancestral.model.condition_values import ConditionValues, captions, values_of_items
from ancestral.render import lettering, pictures, plots
from ancestral.render.pictures import NO_CONTEXT, ContextColumn, ContextColumns
from ancestral.render.writers import write_picture
from ancestral.results.data_report import DataReport
from ancestral.samplers import Step

FILM_ITEMS, FILM_STATES, CLOUDS = 8, 12, 6
"""Items in a film strip, and its largest number of states; of points, whose plots have axes that must be legible."""
GAP = 12
"""Pixels between two items of a film strip, two groups of pairs, two runs, or states and estimates."""
WIDE_FRAME = 1.3
"""Ratio of width to height above which the estimates stand below the states, and not beside them."""
TALLEST = 1.75
"""Largest height of a film strip of several items, in its width."""
SHEET_ITEMS, SHEET_COLUMNS, SHEET_HEIGHT, SHEET_POINTS = 32, 16, 160, 1000
"""Numbers of items of a contact sheet's sample and of a row, the height in pixels of two rows, which is larger for tall
images, and the number of points."""
FONT, SHEET_WIDTH = 16, 1240
"""Pixels: size of the font of headings, and width of a contact sheet, at least."""
TILE_HEIGHT, OVERVIEW_WIDTH, BAR_HEIGHT = 160, 1400, 10
"""Pixels: height of the tiles of an overview of an edit, about; its largest width; height of the bar of a map."""
HEAT_COLOURS = "magma"
"""The colours of a map, of matplotlib: from black to bright."""
SIGNATURE = "ancestral doctor"
GRID_SIDE, PAIR_HEIGHT, PAIRS_WIDTH, PAIRS_LEFT = 384, 96, 1600, 88
"""Pixels to which a run's grid is enlarged; those of a row of pairs, the largest width of all pairs, and the width of
the names of their rows."""


def film(
    states: Sequence[Step],
    columns: int = FILM_STATES,
    width: int = 1032,
    limits: Limits | None = None,
    captions: Sequence[str] | None = (),
    context: ContextColumns = NO_CONTEXT,
) -> Image.Image:
    """Draw a film strip: time from left to right; for each of the first items, x_t above the estimate x̂_0.

    Args:
        states: Decoded items, as `samplers.record` keeps them; at most `columns` of them are shown.
        columns: The largest number of states, of points at most CLOUDS.
        width: About the width in pixels of that many states. Small items are enlarged by a whole factor.
        limits: Those of `picture`.
        captions: A text above each item, such as its class; t stands above each state then, and x_t and x̂_0 beside
            their rows, also with (). None draws no text.
        context: Context columns beside the states of each item.
    """
    if states[0].x.ndim == 2:
        return _clouds([states[i] for i in evenly_spaced(min(columns, CLOUDS), len(states))], captions is not None)
    columns_states = [states[i] for i in evenly_spaced(columns, len(states))]
    small = pictures.picture(columns_states[0].x[:1], 1, 0, limits)
    columns = max(columns, len(columns_states) + len(context.before) + len(context.after))
    height = round(small.height * max(1, width // columns - pictures.PADDING) / small.width)

    def rows(item: int) -> list[Image.Image]:
        kinds = [state.x for state in columns_states], [state.x0 for state in columns_states]
        tiles = [[pictures.picture(x[item : item + 1], 1, height, limits) for x in kind] for kind in kinds]
        return [pictures.hstack(row) for row in tiles]

    strips = [rows(0)]
    across, down = pictures.vstack(strips[0]).size
    column = (across + pictures.PADDING) / len(columns_states)
    count = min(FILM_ITEMS, len(states[0].x), max(1, int(TALLEST * columns * column / (down + GAP))))
    strips += map(rows, range(1, count))
    tall = down // 2 - pictures.PADDING
    both = context.before, context.after
    sides = [
        [[pictures.tiles(part.at([item]), states[0].x, tall)[0] for part in parts] for item in range(count)]
        for parts in both
    ]
    if captions is None:
        blocks = [_flanked(pictures.vstack(strip), *ends) for strip, *ends in zip(strips, *sides, strict=True)]
        return pictures.vstack(blocks, GAP)
    times = [f"t = {state.t}" for state in columns_states]
    size = lettering.caption_size(times, column, across)
    labels = [lettering.formula(text, size) for text in (lettering.X_T, lettering.X_0)]
    left = max(label.width for label in labels) + 2 * lettering.SIDE
    line = lettering.caption_line(times, size, column, left, left + across)
    wide = next((tile.width for side in sides for tile in side[0]), 0)
    heads = [[lettering.caption_line([part.name], size, wide, 0, wide) for part in parts] for parts in both]
    empty = [[Image.new("RGB", (wide, 1), "white")] * len(parts) for parts in both]
    parts = [_flanked(line, *heads)]
    for item, strip in enumerate(strips):
        if captions:
            name = lettering.caption_line([captions[item]], size, across, left, left + across, centred=False)
            parts.append(_flanked(name, *empty))
        elif item:
            parts.append(Image.new("RGB", (1, GAP), "white"))
        parts.append(_flanked(_named_rows(strip, labels, left), sides[0][item], sides[1][item]))
    return pictures.with_legend(pictures.vstack(parts, 0), limits)


def animated(
    states: Sequence[Step], draw: Callable[[Step, int], Image.Image], height: int = 400, scale: float = 1.0
) -> list[Image.Image]:
    """Draw states as the frames of an animation, which have the size of the last one.

    Args:
        states: Decoded items.
        draw: Draws a state, at about a height in pixels.
        height: The height.
        scale: Width and height, as a share of those of what is drawn.
    """
    across, down = draw(states[-1], height).size
    size = max(1, round(scale * across)), max(1, round(scale * down))
    frames = [draw(state, max(1, round(scale * height))) for state in states]
    return [frame if frame.size == size else frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]


def with_estimates(
    state: Step,
    height: int,
    columns: int | None = None,
    limits: Limits | None = None,
    captions: Sequence[str] | None = None,
    context: ContextColumns = NO_CONTEXT,
) -> Image.Image:
    """Draw x_t beside x̂_0, or above it where it is wide, each below its name unless captions are None.

    Args:
        state: Decoded items.
        height: That of `picture`.
        columns: That of `picture`.
        limits: Those of `picture`.
        captions: Those of `picture`.
        context: Those of x_t, as of `picture`.
    """
    parts = [
        pictures.picture(state.x, columns, height, limits, captions, context),
        pictures.picture(state.x0, columns, height, limits, captions),
    ]
    noisy = parts[0]
    stack = pictures.vstack if noisy.width > WIDE_FRAME * noisy.height else pictures.hstack
    if captions is not None:
        size = lettering.caption_size(["t = 1000"], min(part.width for part in parts) / 2, noisy.width)
        texts = ((lettering.X_T, f"t = {state.t}"), (lettering.X_0, ""))
        parts = [
            pictures.vstack([_formula_line(*text, size, part.width), part], 0)
            for text, part in zip(texts, parts, strict=True)
        ]
    return stack(parts, GAP)


def _formula_line(name: str, text: str, size: int, width: int) -> Image.Image:
    """A line with a formula at its left and a text behind it."""
    formula = lettering.formula(name, size)
    line = Image.new("RGB", (width, 2 * size), "white")
    line.paste(formula, (lettering.SIDE, (line.height - formula.height) // 2))
    place = 2 * lettering.SIDE + formula.width + size, line.height / 2
    ImageDraw.Draw(line).text(place, text, lettering.INK, lettering.font(size), "lm")
    return line


def condition_columns(
    values: Mapping[str, ConditionValues], indices: Sequence[int], limits: Limits
) -> list[ContextColumn]:
    """Return the images that samples are conditioned on, to stand before them.

    Args:
        values: The values of the conditions, by name.
        indices: The indices of the samples.
        limits: Those of the samples. Beside fields each condition has as many channels as these, of states the nearest.
    """
    parts = []
    for name, value in values.items():
        if isinstance(value.kind, ImageCondition) and value.kind.window != "position":
            images = value.rows if len(value.rows) == 1 else value.of(indices)
            own, count = value.kind.channel_limits, len(limits)
            if isinstance(limits, FieldLimits) and not value.kind.masked:
                ranges: Any = own if isinstance(own[0], tuple) else (own,)
                images, own = images[:, :count], FieldLimits((*ranges, *[ranges[-1]] * count)[:count])
            parts.append(ContextColumn(name, images, own, value.kind.masked))
    return parts


def edit_overview(
    shown: Sequence[ContextColumn],
    items: Tensor,
    names: Sequence[str],
    deviation: Tensor | None,
    limits: Limits,
) -> Image.Image:
    """Draw an edit: what was given, the samples, and the map of their standard deviation, each below its name.

    Args:
        shown: What was given.
        items: The samples (n, C, *sides) in the units of the data.
        names: The names of the samples.
        deviation: Their standard deviation (*sides); None draws none.
        limits: Those of the codec.
    """
    count = len(shown) + len(items) + (deviation is not None)
    height = max(TILE_HEIGHT // 2, min(TILE_HEIGHT, OVERVIEW_WIDTH // count - GAP))
    parts = [(part.name, pictures.tiles(part, items, height)[0]) for part in shown]
    parts += zip(names, pictures.tiles(ContextColumn("", items, limits), items, height), strict=True)
    if deviation is not None:
        parts.append((f"std, 0 to {float(deviation.max()):.3g}", _heat(deviation, height)))
    for _, tile in parts:
        if tile.height > 2 * TILE_HEIGHT:
            tile.thumbnail((8 * TILE_HEIGHT, 2 * TILE_HEIGHT), Image.Resampling.LANCZOS)
    across = max(tile.width for _, tile in parts)
    size = lettering.caption_size([name for name, _ in parts], across, across)
    across = max(across, *(math.ceil(lettering.text_width(name, size)) + 2 * lettering.SIDE for name, _ in parts))
    blocks = []
    for name, tile in parts:
        sheet = Image.new("RGB", (across, tile.height), "white")
        sheet.paste(tile, ((across - tile.width) // 2, 0))
        blocks.append(pictures.vstack([lettering.caption_line([name], size, across, 0, across), sheet], 0))
    lines = -(-len(blocks) // max(1, OVERVIEW_WIDTH // (across + GAP)))
    columns = -(-len(blocks) // lines)
    rows = [pictures.hstack(blocks[start : start + columns], GAP) for start in range(0, len(blocks), columns)]
    return pictures.with_legend(pictures.vstack(rows, GAP), limits)


def deviation_map(deviation: Tensor, limits: Limits) -> Image.Image:
    """Draw a map of a standard deviation, (*sides) in the units of the data, above a bar with its scale.

    Where channels have ranges of their own, it is in units of [-1, 1], to which each is scaled.

    Args:
        deviation: The map.
        limits: Those of the codec.
    """
    picture, most = _heat(deviation, TILE_HEIGHT), float(deviation.max())
    width = max(picture.width, 2 * TILE_HEIGHT)
    steps = torch.linspace(0, most or 1.0, width).expand(BAR_HEIGHT, width)
    ends: Any = limits[0] if len(limits) == 1 else limits if not isinstance(limits[0], tuple) else (-1.0, 1.0)
    low, high = ends
    units = limits.names[0] if isinstance(limits, FieldLimits) and limits.names and len(limits) == 1 else ""
    texts = ["0", f"{most:.3g} of {high - low:g}{units and f' ({units})'}"]
    line = Image.new("RGB", (width, round(1.5 * FONT)), "white")
    for text, left, anchor in ((texts[0], lettering.SIDE, "lm"), (texts[1], width - lettering.SIDE, "rm")):
        ImageDraw.Draw(line).text((left, line.height / 2), text, lettering.INK, lettering.font(FONT), anchor)
    title = lettering.caption_line(["standard deviation"], FONT, width, 0, width)
    sheet = Image.new("RGB", (width, picture.height), "white")
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    return pictures.vstack([title, sheet, _heat(steps, 0), line])


@lettering.drawing()
def _heat(values: Tensor, height: int) -> Image.Image:
    """Draw values from 0 to their maximum: images and slices of volumes in colours, signals as lines."""
    most = float(values.max()) or 1.0
    if values.ndim == 1:
        return pictures.tiles(ContextColumn("", values[None, None], (0.0, most)), values[None, None], height)[0]
    from matplotlib import colormaps

    colours = torch.from_numpy(colormaps[HEAT_COLOURS]((values / most).numpy(), bytes=True)[..., :3].copy())
    return pictures.picture(colours.movedim(-1, 0)[None], 1, height)


def _flanked(part: Image.Image, left: Sequence[Image.Image], right: Sequence[Image.Image]) -> Image.Image:
    """A part of a strip between tiles, all in the middle of its height."""
    tall, sheets = max(one.height for one in (*left, part, *right)), []
    for one in (*left, part, *right):
        sheets.append(Image.new("RGB", (one.width, tall), "white"))
        sheets[-1].paste(one, (0, (tall - one.height) // 2))
    return pictures.hstack(sheets, pictures.PADDING)


def _named_rows(rows: Sequence[Image.Image], labels: Sequence[Image.Image], left: int) -> Image.Image:
    """Rows of equal size under each other, each with its label in the `left` pixels beside it."""
    down = max(rows[0].height, *(label.height for label in labels))  # items may be one pixel high
    sheets = []
    for row, label in zip(rows, labels, strict=True):
        sheets.append(Image.new("RGB", (left + row.width, down), "white"))
        sheets[-1].paste(row, (left, (down - row.height) // 2))
        sheets[-1].paste(label, ((left - label.width) // 2, (down - label.height) // 2))
    return pictures.vstack(sheets)


@lettering.drawing()
def _clouds(states: Sequence[Step], captions: bool) -> Image.Image:
    """Plot x_t above x̂_0 for each state of points, in a colour for each time."""
    from matplotlib.figure import Figure

    dpi = 2 * lettering.PAGE / 9.2
    figure = Figure(figsize=(1.5 * len(states) + 0.2, 3.5), dpi=dpi, layout="constrained")
    grid = figure.subplots(2, len(states), squeeze=False)
    for column, state in enumerate(states):
        for axes, points in zip(grid[:, column], (state.x, state.x0), strict=True):
            x, y = points[:, :2].double().T.tolist()
            size = max(1.5, min(9.0, 2500 / len(x)))
            axes.scatter(x, y, s=size, color=plots.hue(column, len(states)), alpha=0.7, linewidths=0)
            # noise of large scale is shown at its own scale, and 1.5 holds the data
            reach = max(1.5, 1.1 * float(points.double().abs().quantile(0.99)))
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            axes.locator_params(nbins=3)
            axes.tick_params(labelsize=7.5, length=2.5, colors="#5b636c")
            axes.spines[:].set(color="#c9ced4", linewidth=0.8)
        if captions:
            grid[0, column].set_title(f"t = {state.t}", fontsize=9.5, color=lettering.INK)
    for axes, name in zip(grid[:, 0], (lettering.X_T, lettering.X_0), strict=True):
        axes.set_ylabel(name, fontsize=10, color=lettering.INK)
    return plots.figure_to_image(figure)


def side_by_side(
    grids: Sequence[tuple[str, Tensor]], limits: Limits, names: Sequence[str] | None = None
) -> Image.Image:
    """Draw the samples (N, *shape) of runs, by their names, from left to right: image i is at the same place in each.

    Args:
        grids: The name and the samples of each run.
        limits: Those of the codec.
        names: The classes of the samples, which are those of all runs; classes in turn have a column each.
    """
    parts, period = [], len(set(names or ())) or 1
    for name, samples in grids:
        columns = pictures.grid_columns(len(samples), samples.shape[1:], period)
        body = pictures.picture(samples, columns, GRID_SIDE, limits, names)
        if max(body.size) > 2 * GRID_SIDE:
            body.thumbnail((2 * GRID_SIDE, 2 * GRID_SIDE), Image.Resampling.LANCZOS)
        parts.append(pictures.vstack([_heading(name, body.width), body]))
    return pictures.with_legend(pictures.hstack(parts, GAP), limits)


def nearest_pairs(groups: Sequence[NearestPairs], limits: Limits) -> Image.Image:
    """Draw each group as a row of samples above a row of training items.

    Args:
        groups: The pairs.
        limits: Those of the codec.
    """
    parts = []
    for group in groups:
        height = 0 if group.samples.ndim == 2 else PAIR_HEIGHT
        rows = [pictures.picture(items, len(items), height, limits) for items in (group.samples, group.items)]
        share = min(1.0, (PAIRS_WIDTH - PAIRS_LEFT) / rows[0].width)
        rows = [row.resize((round(share * row.width), max(1, round(share * row.height))), Image.Resampling.LANCZOS)
                for row in rows]  # fmt: skip
        labels = [_heading(name, PAIRS_LEFT) for name in ("samples", "nearest")]
        named = _named_rows(rows, labels, PAIRS_LEFT)
        parts.append(pictures.vstack([_heading(group.title, named.width), named], 0))
    return pictures.with_legend(pictures.vstack(parts, GAP), limits)


def truth_and_samples(rows: Sequence[Tensor], limits: Limits) -> Image.Image:
    """Draw items (n, *shape) in a row, and samples for the conditions of each below them, row by row."""
    drawn = [pictures.picture(row, len(row), PAIR_HEIGHT, limits) for row in rows]
    names = [pictures.TRUTH_TITLE, *[pictures.SAMPLE_TITLE] * (len(rows) - 1)]
    named = _named_rows(drawn, [_heading(name, PAIRS_LEFT) for name in names], PAIRS_LEFT)
    return pictures.with_legend(named, limits)


def sample_picture(data: Dataset) -> Image.Image:
    """Draw some evenly spaced items of a data set, each with the name of its class."""
    return _items_picture(data.sample(SHEET_POINTS if len(data.shape) == 1 else SHEET_ITEMS))


def _items_picture(data: InMemoryDataset) -> Image.Image:
    labels = None
    if data.labels is not None:
        labels = [data.classes[label] if label >= 0 else "no class" for label in data.labels.tolist()]
    values, rows = values_of_items(data, data.spec), range(len(data))
    names, before = captions(values, rows, labels), condition_columns(values, rows, data.spec.limits)
    if len(data.shape) == 1:
        return pictures.picture(data.items, height=400, captions=names)
    columns = max(1, SHEET_COLUMNS // (1 + len(before)))
    height = SHEET_HEIGHT * -(-len(data) // columns) // 2
    if len(data.shape) == 3:
        height = max(height, height * data.shape[1] // data.shape[2])
    limits, context = data.spec.limits, ContextColumns(before, name="item")
    return pictures.with_legend(pictures.picture(data.items, columns, height, limits, names, context), limits)


def contact_sheet(report: DataReport, data: Dataset) -> Image.Image:
    """Draw the contact sheet of a data set and the report on it: some items, and those that findings concern."""
    parts = [_heading(f"{data.name}: a sample", SHEET_WIDTH), sample_picture(data)]
    row_of = {data.name_of(row): row for row in range(len(data))}
    for finding in report.findings:
        if rows := [row_of[name] for name in finding.names if name in row_of][:SHEET_COLUMNS]:
            items = data.subset(torch.tensor(rows)).sample(SHEET_COLUMNS)
            parts += [_heading(finding.text, SHEET_WIDTH), _items_picture(items)]
    return pictures.vstack(parts, gap=8)


def _heading(text: str, width: int) -> Image.Image:
    return lettering.caption_line([text], FONT, width, 0, width, centred=False)


def check_sheet(path: Path) -> None:
    """Raise InputError if `path` is taken by anything but a contact sheet."""
    if not path.exists() and not path.is_symlink():
        return
    with contextlib.suppress(Exception), Image.open(path, formats=("PNG",)) as image:
        if path.is_file() and image.info.get("Software") == SIGNATURE:
            return
    raise InputError(
        f"{path} exists already and is not a contact sheet of ancestral; give {option('out')} another name"
    )


def write_sheet(path: Path, sheet: Image.Image) -> None:
    """Write a contact sheet atomically as a PNG with the signature that `check_sheet` looks for."""
    write_picture(path, sheet, SIGNATURE, "Software")
