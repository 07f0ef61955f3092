"""Writes the drawings of the README, the site and the lessons as SVG: the chain, the U-Net, a block, the matrix, a map.

    python docs/hooks/drawings.py

Each drawing is one file that can be read on a light and on a dark page: its ink follows the scheme of the page that
shows it, and its colours are those of the figure style, which have contrast on both. Facts come from the package:
shapes from the network of the paper, noisy digits and vectors from the schedules and targets, methods from the tables.
`tests/docs/test_drawings.py` fails when a file is stale.
"""

import importlib.util
import math
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ancestral import data, schedules, targets
from ancestral.config import METHODS
from ancestral.nets import UNet
from ancestral.nets.unet import DownsampleLayer, ResidualBlock, SelfAttention, UNetBlock
from ancestral.render.plots import STYLE_COLOURS

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "docs" / "images", ROOT / "course" / "src" / "ancestral_course" / "drawing_files")
"""The drawings of the site and the README, and the copies that lessons show, which the course's package holds."""
BLUE, ORANGE, GREEN, RED, VIOLET, OLIVE = STYLE_COLOURS
WIDTH = 760
"""All drawings have the width of a text column."""
SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',Arial,sans-serif"
SERIF = "'Latin Modern Math','STIX Two Text',Cambria,'Times New Roman',Times,'Liberation Serif',serif"
INK = "<style>.drawing{color:#57606a}@media(prefers-color-scheme:dark){.drawing{color:#a9b3bd}}</style>"
"""The ink in both schemes. Each of the two can still be read on the other's page, where a program hides its scheme."""
COMBINING = "\u0302\u0303\u0304"
"""Hat, tilde and bar, which stand above the letter before them."""


# -- vocabulary -------------------------------------------------------------------------------------------------------


class Drawing:
    """An SVG that is built from boxes, arrows, lines and labels. Positions are pixels from the top left corner.

    Args:
        name: The stem of its file.
        height: The height.
        title: A short title, which readers of screens read.
        description: What the drawing shows, for those who do not see it.
    """

    def __init__(self, name: str, height: int, title: str, description: str) -> None:
        self.name, self.height, self.title, self.description = name, height, title, description
        self.parts: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, colour: str = "", fill: float = 0.14, r: float = 5) -> None:
        """A rounded box with a line of a colour (the ink by default) and a ground of the same, of this opacity."""
        shade = colour or "currentColor"
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{r:g}" fill="{shade}" '
            f'fill-opacity="{fill:g}" stroke="{shade}" stroke-width="1.2"/>'
        )

    def path(
        self, d: str, colour: str = "", width: float = 1.4, dashed: bool = False, opacity: float = 1, fill: bool = False
    ) -> None:
        """A line, or an area, by the data of an SVG path."""
        shade = colour or "currentColor"
        ink = f'fill="{shade}"' if fill else f'fill="none" stroke="{shade}" stroke-width="{width:g}"'
        more = ' stroke-dasharray="5 4"' * dashed + (f' opacity="{opacity:g}"' if opacity < 1 else "")
        self.parts.append(f'<path d="{d}" {ink}{more}/>')

    def arrow(
        self,
        points: Sequence[tuple[float, float]],
        colour: str = "",
        dashed: bool = False,
        width: float = 1.5,
        radius: float = 10,
    ) -> None:
        """An arrow through points, with round corners. Its head ends at the last point."""
        (x1, y1), (x2, y2) = points[-2:]
        length, head = math.hypot(x2 - x1, y2 - y1), 8.0
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        neck = x2 - (head - 2) * ux, y2 - (head - 2) * uy
        self.path(_rounded([*points[:-1], neck], radius), colour, width, dashed)
        base = x2 - head * ux, y2 - head * uy
        tip = f"M{x2:.4g} {y2:.4g}" + "".join(
            f"L{base[0] + side * 3.6 * uy:.4g} {base[1] - side * 3.6 * ux:.4g}" for side in (1, -1)
        )
        self.path(tip + "Z", colour, fill=True)

    def circle(self, x: float, y: float, r: float, colour: str = "", filled: bool = True) -> None:
        """A dot, or a ring."""
        shade = colour or "currentColor"
        ink = f'fill="{shade}"' if filled else f'fill="none" stroke="{shade}" stroke-width="1.6"'
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" {ink}/>')

    def label(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 13,
        colour: str = "",
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """A line of text, whose base is at y. What stands between dollars is a formula, as in $x_{t-1}$."""
        style = f' fill="{colour or "currentColor"}"' + ' font-weight="bold"' * bold
        style += f' text-anchor="{anchor}"' if anchor != "start" else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{style}>{_text(text, size)}</text>')

    def svg(self) -> str:
        """The file."""
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="drawing" viewBox="0 0 {WIDTH} {self.height}" '
            f'width="{WIDTH}" height="{self.height}" role="img" aria-labelledby="title description" '
            f'font-family="{SANS}">\n<title id="title">{escape(self.title)}</title>\n'
            f'<desc id="description">{escape(self.description)}</desc>\n{INK}\n{body}\n</svg>\n'
        )


def _rounded(points: Sequence[tuple[float, float]], radius: float) -> str:
    """The data of a path through points, with its corners rounded."""
    d = f"M{points[0][0]:g} {points[0][1]:g}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        ends = []
        for other in (before, after):
            length = math.dist(corner, other)
            share = min(radius, length / 2) / length
            ends.append([c + share * (o - c) for c, o in zip(corner, other, strict=True)])
        d += "L{:g} {:g}Q{:g} {:g} {:g} {:g}".format(*ends[0], *corner, *ends[1])
    return d + f"L{points[-1][0]:g} {points[-1][1]:g}"


def _text(text: str, size: float) -> str:
    """Text with formulas as tspans: letters of formulas are italic, indices smaller and lower."""
    spans = []
    for number, part in enumerate(text.split("$")):
        spans += [escape(part)] if number % 2 == 0 else list(_formula(part.replace("-", "−"), size))
    return "".join(spans)


def _formula(text: str, size: float) -> Iterator[str]:
    """The tspans of a formula."""
    shift = 0.0
    for run, level in _levels(text):
        for italic, letters in _by_style(run):
            move = {0: 0.0, -1: 0.26 * size, 1: -0.36 * size}[level] - shift
            shift += move
            style = f' font-size="{0.72 * size:.4g}"' if level else ""
            style += f' dy="{move:.3g}"' if abs(move) > 1e-9 else ""
            style += ' font-style="italic"' if italic else ""
            yield f'<tspan font-family="{SERIF}"{style}>{escape(letters)}</tspan>'
    if abs(shift) > 1e-9:
        yield f'<tspan dy="{-shift:.3g}">\u200b</tspan>'  # back to the base line, for what follows


def _levels(text: str) -> Iterator[tuple[str, int]]:
    """Pieces of a formula with their level: 0, −1 for an index, 1 for an exponent."""
    place, plain = 0, ""
    while place < len(text):
        if text[place] in "_^":
            if plain:
                yield plain, 0
                plain = ""
            level, place = (-1 if text[place] == "_" else 1), place + 1
            end = text.index("}", place) if text[place] == "{" else place
            yield (text[place + 1 : end] if text[place] == "{" else text[place]), level
            place = end + 1
        else:
            plain, place = plain + text[place], place + 1
    if plain:
        yield plain, 0


def _by_style(run: str) -> Iterator[tuple[bool, str]]:
    """Pieces of a run that are all letters, which are italic, or no letters."""
    piece, italic = "", False
    for sign in run:
        of_letter = italic if sign in COMBINING else sign.isalpha() and sign not in "𝒩√"
        if piece and of_letter != italic:
            yield italic, piece
            piece = ""
        piece, italic = piece + sign, of_letter
    yield italic, piece


# -- the chain --------------------------------------------------------------------------------------------------------

DIGIT, MOMENT, LEVELS = 3500, 250, 8
"""The digit of the chain (that of lesson 1), the time t that is drawn, and the grey levels."""


@cache
def noisy_digits() -> dict[int, list[list[int]]]:
    """Grey levels (12, 12) of a digit at the times of the chain, by q(x_t | x_0) of the linear schedule.

    The same noise is in all, so that two neighbours differ by one step.
    """
    schedule, items = schedules.linear(), data.load("digits").items
    x_0 = F.avg_pool2d(items[DIGIT : DIGIT + 1, :, 2:-2, 2:-2] / 127.5 - 1, 2)
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(3))
    pictures = {}
    for t in (schedule.steps, MOMENT, MOMENT - 1, 0):
        a, b = schedule.at(t)
        levels = ((a * x_0 + b * noise).clamp(-1, 1) + 1) / 2 * (LEVELS - 1)
        pictures[t] = levels.round().int()[0, 0].tolist()
    return pictures


def chain() -> Drawing:
    """The chain with q and p_θ."""
    drawing = Drawing(
        "chain",
        312,
        "The chain of a diffusion model",
        "Four states from left to right: noise x_T, x_t, x_(t-1) and the clean image x_0. Solid arrows to the right "
        "are steps of the reverse process p_theta, which is learned. Dashed arrows to the left are steps of the "
        "forward process q, which is fixed. A long arrow leads from x_0 to x_t: q(x_t | x_0), all steps at once.",
    )
    tile, gap, top = 96, 112, 78
    lefts = [20 + number * (tile + gap) for number in range(4)]
    drawing.label(20, 24, "Reverse process", 15, ORANGE, bold=True)
    drawing.label(20, 44, "learned: removes a little noise in each step")
    drawing.label(740, 24, "$p_θ(x_{t-1} | x_t) = 𝒩(μ_θ(x_t, t), σ_t^2 I)$", 16, ORANGE, "end")
    names = ("$x_T$", "$x_t$", "$x_{t-1}$", "$x_0$")
    for left, name, (t, levels) in zip(lefts, names, noisy_digits().items(), strict=True):
        _pixels(drawing, left, top, tile / len(levels), levels)
        drawing.box(left, top, tile, tile, fill=0, r=0)
        drawing.label(left + tile / 2, top + tile + 22, name, 18, anchor="middle")
        drawing.label(left + tile / 2, top + tile + 40, f"$t$ = {t}", 12, anchor="middle")
    for number, left in enumerate(lefts[:-1]):
        start, end = left + tile + 9, left + tile + gap - 9
        middle = (start + end) / 2
        high, low = top + 34, top + 62
        if number == 1:
            drawing.arrow([(start, high), (end, high)], ORANGE, width=2)
            drawing.arrow([(end, low), (start, low)], BLUE, dashed=True, width=2)
            drawing.label(middle, high - 10, "$p_θ(x_{t-1} | x_t)$", 15, ORANGE, "middle")
            drawing.label(middle, low + 21, "$q(x_t | x_{t-1})$", 15, BLUE, "middle")
        else:
            for y, colour, dashed in ((high, ORANGE, False), (low, BLUE, True)):
                ends = [(start, y), (middle - 14, y)], [(middle + 14, y), (end, y)]
                for one in ends:
                    drawing.arrow(one if not dashed else one[::-1], colour, dashed, 2)
                for dot in (-6, 0, 6):
                    drawing.circle(middle + dot, y, 1.5, colour)
    x_t, x_0 = lefts[1] + tile / 2, lefts[3] + tile / 2
    drawing.arrow([(x_0, 222), (x_0, 248), (x_t, 248), (x_t, 222)], BLUE, dashed=True, width=2)
    drawing.label((x_t + x_0) / 2, 240, "$q(x_t | x_0)$: all steps at once", 15, BLUE, "middle")
    drawing.label(20, 284, "Forward process", 15, BLUE, bold=True)
    drawing.label(20, 304, "fixed: adds a little noise in each step")
    drawing.label(740, 294, "$q(x_t | x_{t-1}) = 𝒩(√(1-β_t) x_{t-1}, β_t I)$", 16, BLUE, "end")
    return drawing


def _pixels(drawing: Drawing, left: float, top: float, side: float, levels: Sequence[Sequence[int]]) -> None:
    """A small image: one path for each grey level, of runs of equal pixels."""
    height, width = len(levels), len(levels[0])
    drawing.parts.append(f'<g transform="translate({left:g} {top:g}) scale({side:g})" shape-rendering="crispEdges">')
    drawing.parts.append(f'<path d="M0 0h{width}v{height}h-{width}z" fill="#000"/>')
    for level in range(1, LEVELS):
        d = ""
        for row, values in enumerate(levels):
            column = 0
            while column < width:
                run = 1
                while column + run < width and values[column + run] == values[column]:
                    run += 1
                if values[column] == level:
                    d += f"M{column} {row}h{run}v1h-{run}z"
                column += run
        grey = round(255 * level / (LEVELS - 1))
        if d:
            drawing.parts.append(f'<path d="{d}" fill="#{grey:02x}{grey:02x}{grey:02x}"/>')
    drawing.parts.append("</g>")


# -- the U-Net --------------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A module of the U-Net: its kind, the shape (C, H, W) that it returns, and whether self-attention follows."""

    kind: str
    shape: tuple[int, ...]
    attends: bool = False


class Shapes(NamedTuple):
    """The modules of the paper's U-Net in the order of the forward pass, and the widths of its time embedding."""

    first_half: list[Part]
    middle: list[Part]
    second_half: list[Part]
    output: tuple[int, ...]
    time: tuple[int, int]
    parameters: int


@cache
def unet_shapes() -> Shapes:
    """Evaluate the CIFAR-10 network of the paper, without memory for its numbers, and read the shapes by hooks."""
    with torch.device("meta"):
        net = UNet()
        shapes: dict[nn.Module, tuple[int, ...]] = {}
        for module in net.modules():
            module.register_forward_hook(lambda module, _, out: shapes.__setitem__(module, tuple(out.shape[1:])))
        net(torch.zeros(1, net.channels, 32, 32), torch.zeros(1, dtype=torch.long))

    def part(module: nn.Module) -> Part:
        kind = "block" if isinstance(module, UNetBlock) else "down" if isinstance(module, DownsampleLayer) else "up"
        return Part(kind, shapes[module], isinstance(getattr(module, "attention", None), SelfAttention))

    return Shapes(
        [Part("stem", shapes[net.stem]), *map(part, net.down)],
        [part(module) for module in net.middle],
        [*(part(module) for module in net.up), Part("out", shapes[net.out])],
        shapes[net.out],
        (net.time[0].in_features, shapes[net.time][0]),
        sum(parameter.numel() for parameter in net.parameters()),
    )


HEIGHTS, BASES = {32: 70, 16: 54, 8: 42, 4: 32}, {32: 106, 16: 200, 8: 281, 4: 352}
"""Pixels: the height of the bars of a resolution, and where they end."""


def unet() -> Drawing:
    """The U-Net of the paper with its shapes."""
    shapes = unet_shapes()
    channels = {part.shape[1]: part.shape[0] for part in shapes.first_half if part.kind == "block"}
    drawing = Drawing(
        "unet",
        404,
        "The U-Net of the DDPM paper for images of 32 × 32 pixels",
        "Two residual blocks at each resolution on the way down, two in the middle, and three at each on the way up: "
        + ", ".join(f"{side} × {side} with {width} channels" for side, width in channels.items())
        + ". Self-attention follows at 16 × 16, and between the two blocks in the middle. Skip connections join each "
        "output of the first half to a block of the second half at the same resolution. The time embedding is added in "
        "every block.",
    )
    down, middle, up = (_placed(parts, x) for parts, x in _starts(shapes))
    bars = [*down, *middle, *up]
    number: dict[int, int] = {}
    for (part, x), (_, x_up) in zip(reversed(down), (bar for bar in up if bar[0].kind == "block"), strict=True):
        number[part.shape[1]] = rise = number.get(part.shape[1], 0) + 1  # what was computed last is used first
        top, start, end = _top(part) - 1, x + _bar(part) / 2, x_up + _bar(part) / 4 + 2
        line = [(start, top), (start, top - 5 - 6 * rise), (end, top - 5 - 6 * rise), (end, top)]
        drawing.arrow(line, GREEN, width=1.2, radius=4)
    for (part, x), (after, x_after) in pairwise(bars):
        side, following = part.shape[1], after.shape[1]
        if side == following:
            drawing.path(f"M{x + _bar(part):g} {_level(part):g}H{x_after:g}", width=1.2)
        elif side > following:
            start = x + _bar(part) / 2
            drawing.arrow([(start, BASES[side]), (start, _level(after)), (x_after, _level(after))], width=1.2)
        else:
            end = x_after + _bar(after) / 2
            drawing.arrow([(x + _bar(part), _level(part)), (end, _level(part)), (end, BASES[following])], width=1.2)
    for part, x in bars:
        drawing.box(x, _top(part), _bar(part), HEIGHTS[part.shape[1]], *_look(part), 3)
        if part.kind == "block":
            drawing.circle(x + _bar(part) / 2, BASES[part.shape[1]] - 8, 2.6, OLIVE)
    for side, width in channels.items():
        left = max(x + _bar(part) for part, x in down if part.shape[1] == side)
        right = min(x for part, x in up if part.shape[1] == side)
        y = BASES[side] - HEIGHTS[side] / 2 + 5 if side > min(channels) else BASES[side] + 22
        drawing.label((left + right) / 2, y, f"{side} × {side}, {width} channels", 14, anchor="middle")
    (first, x_first), (last, x_last) = bars[0], bars[-1]
    shape = " × ".join(map(str, shapes.output[1:])) + f", {shapes.output[0]}"
    drawing.arrow([(x_first - 36, _level(first)), (x_first, _level(first))])
    drawing.arrow([(x_last + _bar(last), _level(last)), (x_last + _bar(last) + 30, _level(last))])
    drawing.label(12, _level(first) + 5, "$x_t$", 18)
    drawing.label(12, BASES[32] + 20, shape, 12)
    drawing.label(748, BASES[32] + 6, "$ε_θ(x_t, t)$", 16, anchor="end")
    drawing.label(748, BASES[32] + 24, shape, 12, anchor="end")
    _time_and_legend(drawing, shapes)
    return drawing


def _starts(shapes: Shapes) -> list[tuple[list[Part], float]]:
    """The parts of both halves and of the middle with their left edges, so that the whole is in the middle."""
    groups, x, starts = (shapes.first_half, shapes.middle, shapes.second_half), 0.0, []
    for parts in groups:
        starts.append(x)
        last = _placed(parts, x)[-1]
        x = last[1] + _bar(last[0]) + 16
    return [(parts, start + (WIDTH - x + 16) / 2) for parts, start in zip(groups, starts, strict=True)]


def _placed(parts: Sequence[Part], x: float) -> list[tuple[Part, float]]:
    """Parts with their left edges: close together within a resolution, farther apart where it changes."""
    placed, x = [(parts[0], x)], x
    for before, part in pairwise(parts):
        x += _bar(before) + (6 if before.shape[1] == part.shape[1] else 16)
        placed.append((part, x))
    return placed


def _bar(part: Part) -> float:
    """The width of a bar: by the channels of a block, and narrow for a single convolution."""
    return 6 if part.kind != "block" else part.shape[0] / 16


def _top(part: Part) -> float:
    return BASES[part.shape[1]] - HEIGHTS[part.shape[1]]


def _level(part: Part) -> float:
    return BASES[part.shape[1]] - HEIGHTS[part.shape[1]] / 2


def _look(part: Part) -> tuple[str, float]:
    """Colour and opacity of a bar."""
    if part.kind != "block":
        return "", 0.3
    return (VIOLET, 0.5) if part.attends else (BLUE, 0.4)


def _time_and_legend(drawing: Drawing, shapes: Shapes) -> None:
    """What fills the corners below the U: the time embedding, and what colours mean."""
    features, width = shapes.time
    drawing.label(20, 252, "Time embedding", 13, OLIVE, bold=True)
    drawing.label(27, 291, "$t$", 18, OLIVE, "middle")
    drawing.arrow([(36, 286), (56, 286)], OLIVE)
    drawing.box(56, 270, 124, 32, OLIVE)
    drawing.label(118, 291, f"sin, cos: {features}", anchor="middle")
    drawing.arrow([(118, 302), (118, 322)], OLIVE)
    drawing.box(56, 322, 124, 32, OLIVE)
    drawing.label(118, 343, f"two layers: {width}", anchor="middle")
    drawing.arrow([(118, 354), (118, 374)], OLIVE)
    drawing.label(118, 391, "added in every block", 13, OLIVE, "middle")
    rows = (
        (("block", False), "residual block"),
        (("block", True), "and self-attention"),
        (("down", False), "single convolution"),
    )
    for number, ((kind, attends), text) in enumerate(rows):
        y = 262 + 26 * number
        colour, fill = _look(Part(kind, (128, 32, 32), attends))
        drawing.box(558 + (0 if kind == "block" else 4), y - 11, 14 if kind == "block" else 6, 16, colour, fill, 3)
        drawing.label(582, y + 2, text)
    drawing.path("M552 336H574", GREEN, 1.6)
    drawing.label(582, 341, "skip connection")
    drawing.circle(565, 362, 2.6, OLIVE)
    drawing.label(582, 367, "input of the time")
    drawing.label(748, 396, f"{shapes.parameters / 1e6:.1f} million parameters", 13, anchor="end")


# -- the residual block -----------------------------------------------------------------------------------------------


@cache
def block_shapes() -> dict[str, tuple[int, ...]]:
    """The shape (C, H, W) that each part of a residual block returns: the first of the paper's U-Net that widens."""
    with torch.device("meta"):
        net = UNet()
        block = next(
            one for one in net.modules() if isinstance(one, ResidualBlock) and isinstance(one.shortcut, nn.Conv2d)
        )
        shapes: dict[str, tuple[int, ...]] = {}
        for name, part in [*block.named_children(), ("out", block)]:
            part.register_forward_hook(lambda _, given, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
        block.register_forward_pre_hook(
            lambda _, given: shapes.update({"x": tuple(given[0].shape[1:]), "temb": tuple(given[1].shape[1:])})
        )
        net(torch.zeros(1, net.channels, 32, 32), torch.zeros(1, dtype=torch.long))
    return shapes


def residual_block() -> Drawing:
    """The residual block of the U-Net with its shapes."""
    shapes = {name: "×".join(map(str, shape)) for name, shape in block_shapes().items()}
    drawing = Drawing(
        "block",
        236,
        "A residual block of the U-Net",
        "From left to right: group norm and SiLU, a 3 × 3 convolution, the time embedding is added, group norm and "
        "SiLU, dropout, a 3 × 3 convolution; the input is added to the result, through a 1 × 1 convolution where the "
        f"number of channels changes. This block maps {shapes['x']} to {shapes['out']}.",
    )
    y, x, gap, places = 112.0, 66.0, 20.0, {}
    for name, text, width in (
        ("norm1", "Norm, SiLU", 92),
        ("conv1", "Conv 3 × 3", 92),
        ("plus1", "", 24),
        ("norm2", "Norm, SiLU", 92),
        ("dropout", "Dropout", 92),
        ("conv2", "Conv 3 × 3", 92),
        ("plus2", "", 24),
    ):
        drawing.arrow([(x - gap if places else 34, y), (x, y)])
        if text:
            drawing.box(x, y - 24, width, 48, BLUE if name.startswith("conv") else "", 0.14 if "conv" in name else 0.07)
            drawing.label(x + width / 2, y - 3, text, 14, anchor="middle")
            drawing.label(x + width / 2, y + 15, shapes[name], 11.5, anchor="middle")
        else:
            _plus(drawing, x + 12, y)
        places[name] = x
        x += width + gap
    drawing.arrow([(x - gap, y), (x + 6, y)])
    drawing.label(22, y + 6, "$x$", 19, anchor="middle")
    drawing.label(10, y + 42, shapes["x"], 11.5)
    drawing.label(750, y + 42, shapes["out"], 11.5, anchor="end")
    end, middle = places["plus2"] + 12, WIDTH / 2
    drawing.path(_rounded([(46, y), (46, 34), (middle - 180, 34)], 10), GREEN, 1.5)
    drawing.circle(46, y, 2.4, GREEN)
    drawing.box(middle - 180, 16, 360, 36, GREEN)
    drawing.label(middle, 39, "Conv 1 × 1, where the number of channels changes", 13, anchor="middle")
    drawing.arrow([(middle + 180, 34), (end, 34), (end, y - 12)], GREEN)
    time = places["plus1"] + 12
    drawing.box(time - 60, 178, 120, 44, OLIVE)
    drawing.label(time, 197, "SiLU, Linear", 14, anchor="middle")
    drawing.label(time, 214, shapes["time"], 11.5, anchor="middle")
    drawing.arrow([(time, 178), (time, y + 12)], OLIVE)
    drawing.arrow([(time - 96, 200), (time - 60, 200)], OLIVE)
    drawing.label(time - 104, 197, "time embedding", 13, OLIVE, "end", bold=True)
    drawing.label(time - 104, 214, shapes["temb"], 11.5, anchor="end")
    return drawing


def _plus(drawing: Drawing, x: float, y: float) -> None:
    """A sum."""
    drawing.circle(x, y, 11, filled=False)
    drawing.path(f"M{x - 6:g} {y:g}h12M{x:g} {y - 6:g}v12", width=1.6)


# -- the matrix -------------------------------------------------------------------------------------------------------

VECTORS = (
    ("x0", targets.X0, "$x_0$"),
    ("eps", targets.EPS, "$ε$"),
    ("v", targets.V, "$v$"),
    ("flow", targets.FLOW, "velocity"),
)
"""The targets of the matrix, each with its label."""
SHARE = 0.42
"""The time t/T at which its vectors are drawn."""


def matrix() -> Drawing:
    """The 2 × 2 matrix: schedule and target, its inverse, and its rows as vectors."""
    drawing = Drawing(
        "matrix",
        338,
        "Two equations with two unknowns",
        "Left: (x_t, target) is a matrix with the rows (a, b) and (p, q) times (x_0, epsilon). The first row is the "
        "schedule, the second row the target. Below: the inverse of the matrix gives the estimates of x_0 and epsilon "
        "from x_t and the answer of the network. Right: the rows as vectors in the plane of x_0 and epsilon. (a, b) "
        "moves from x_0 to epsilon with time; the targets x_0, epsilon, v and velocity are fixed or turn with it.",
    )
    drawing.label(20, 26, "Training: the two rows", 15, bold=True)
    for y, colour, name, words in (
        (44, BLUE, "schedule", "how $x_t$ is mixed"),
        (84, ORANGE, "target", "what the network predicts"),
    ):
        drawing.parts.append(
            f'<rect x="20" y="{y}" width="226" height="36" rx="5" fill="{colour}" fill-opacity="0.14"/>'
        )
        drawing.label(258, y + 16, name, 14, colour, bold=True)
        drawing.label(258, y + 33, words, 12.5)
    _vector(drawing, 30, 44, 62, ("$x_t$", "target"), (BLUE, ORANGE))
    drawing.label(107, 88, "=", 18, anchor="middle")
    _matrix(drawing, 120, 44, (("a", "b"), ("p", "q")), ((BLUE, BLUE), (ORANGE, ORANGE)))
    _vector(drawing, 200, 44, 36, ("$x_0$", "$ε$"), ("", ""))
    drawing.label(20, 172, "Sampling: both unknowns", 15, bold=True)
    _vector(drawing, 30, 190, 36, ("$x_0$", "$ε$"), ("", ""))
    for x, y in ((44, 201), (48, 241)):  # not every font has a hat that fits on ε
        drawing.path(f"M{x - 4} {y}l4 -5l4 5", width=1.3)
    drawing.label(82, 234, "=", 18, anchor="middle")
    drawing.label(108, 222, "1", 17, anchor="middle")
    drawing.path("M98 228h20", width=1.3)
    drawing.label(108, 247, "$d$", 18, anchor="middle")
    _matrix(drawing, 128, 190, (("q", "-b"), ("-p", "a")), ((ORANGE, BLUE), (ORANGE, BLUE)))
    _vector(drawing, 208, 190, 62, ("$x_t$", "answer"), (BLUE, ORANGE))
    drawing.label(20, 302, "$d = aq - bp$", 17)
    drawing.label(126, 302, "is the shaded area, here of the target $v$.", 12.5)
    drawing.label(20, 324, "$x_t$ is known, and the network gives the answer.", 12.5)
    _plane(drawing)
    return drawing


def _bracket(drawing: Drawing, x: float, y: float, w: float, h: float) -> None:
    drawing.path(f"M{x + 5:g} {y:g}H{x:g}v{h:g}h5M{x + w - 5:g} {y:g}h5v{h:g}h-5", width=1.4)


def _vector(drawing: Drawing, x: float, y: float, w: float, rows: Sequence[str], colours: Sequence[str]) -> None:
    _bracket(drawing, x, y - 2, w, 80)
    for number, (text, colour) in enumerate(zip(rows, colours, strict=True)):
        drawing.label(x + w / 2, y + 24 + 40 * number, text, 19 if "$" in text else 14, colour, "middle")


def _matrix(
    drawing: Drawing, x: float, y: float, rows: Sequence[Sequence[str]], colours: Sequence[Sequence[str]]
) -> None:
    _bracket(drawing, x, y - 2, 74, 80)
    for row, (texts, shades) in enumerate(zip(rows, colours, strict=True)):
        for column, (text, colour) in enumerate(zip(texts, shades, strict=True)):
            drawing.label(x + 21 + 34 * column, y + 24 + 40 * row, f"${text}$", 20, colour, "middle")


def vectors() -> dict[str, tuple[float, float]]:
    """The rows of the matrix at the time that is drawn: (a, b) of the cosine schedule, and (p, q) of each target."""
    schedule = schedules.cosine()
    a, b = schedule.at(round(SHARE * schedule.steps))
    return {"x_t": (a, b)} | {name: (float(target.p(a, b)), float(target.q(a, b))) for name, target, _ in VECTORS}


def _plane(drawing: Drawing) -> None:
    """The rows as vectors in the plane of x_0 and ε."""
    left, low, unit = 610.0, 258.0, 112.0
    place = lambda p, q: (round(left + unit * p, 1), round(low - unit * q, 1))  # noqa: E731
    rows, schedule = vectors(), schedules.cosine()
    drawing.label(740, 26, "The rows as vectors", 15, anchor="end", bold=True)
    (a, b), (p, q) = rows["x_t"], rows["v"]
    corners = [place(0, 0), place(a, b), place(a + p, b + q), place(p, q)]
    drawing.path("M" + "L".join(f"{x:g} {y:g}" for x, y in corners) + "Z", opacity=0.09, fill=True)
    drawing.label(*place(0.28, 0.68), "$d$", 17, anchor="middle")
    curve = [place(*schedule.at(round(schedule.steps * number / 40))) for number in range(41)]
    drawing.path("M" + "L".join(f"{x:g} {y:g}" for x, y in curve), BLUE, 1.3, dashed=True)
    for number in range(0, 41, 5):
        drawing.circle(*curve[number], 2.4, BLUE)
    for name, _, text in VECTORS:
        drawing.arrow([place(0, 0), place(*rows[name])], ORANGE, width=2)
        across, down, anchor = {"x0": (0, 24, "middle"), "eps": (-9, -4, "end")}.get(name, (-4, -8, "middle"))
        x, y = place(*rows[name])
        drawing.label(x + across, y + down, text, 18 if "$" in text else 13, ORANGE, anchor)
    drawing.arrow([place(0, 0), place(a, b)], BLUE, width=2.4)
    x, y = place(a, b)
    drawing.label(x + 7, y + 2, "$(a_t, b_t)$", 15, BLUE)
    drawing.circle(*place(0, 0), 3)
    drawing.label(curve[0][0] + 2, low + 42, "$t = 0$", 13, BLUE, "middle")
    drawing.label(curve[-1][0] + 4, curve[-1][1] - 9, "$t = T$", 13, BLUE)


# -- the map of methods -----------------------------------------------------------------------------------------------

PARENTS = {"ddpm": "ncsn", "ddim": "ddpm", "improved": "ddpm", "edm": "ncsn", "flow": "ddim", "consistency": "edm"}
"""Of each method, the one whose rows or sampler it changes: what is like that one's is grey."""
LANES = {"ncsn": 0, "ddpm": 1, "ddim": 2, "improved": 1, "edm": 0, "flow": 2, "consistency": 0}
SCHEDULES = {
    "geometric": "$1, σ$ geometric",
    "linear": "$√α\u0304, √(1-α\u0304)$: linear $β$",
    "cosine": "$√α\u0304, √(1-α\u0304)$: cosine",
    "karras": "$1, σ$ even in $σ^{1/7}$",
    "flow": "$1 - t/T, t/T$",
}
TARGETS = {"score": "score", "eps": "noise $ε$", "edm": "$F$ of EDM", "flow": "velocity $ε - x_0$"}
SAMPLERS = {"langevin": "Langevin steps", "ddpm": "reverse chain", "ddim": "DDIM", "heun": "Heun", "euler": "Euler"}
"""How the settings of `config.METHODS` are written."""


@cache
def _history() -> ModuleType:
    """examples/history.py, which has the names, papers and colours of the methods."""
    path = ROOT / "examples" / "history.py"
    spec = importlib.util.spec_from_file_location("history_of_drawings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module


def method_rows() -> dict[str, tuple[str, str, str]]:
    """Schedule, target and sampler of each method, from `config.METHODS`. The last one continues from EDM."""
    rows = {}
    for name, (_, sampler, settings) in METHODS.items():
        target = TARGETS[str(settings.get("target", "eps"))] + (", variance" * bool(settings.get("learned_variance")))
        how, _, options = sampler.partition(":")
        rows[name] = (
            SCHEDULES[str(settings["schedule"])],
            target,
            "chain, learned $σ_t$" if "variance=learned" in options else SAMPLERS[how],
        )
    return rows | {"consistency": (*rows["edm"][:2], "$x\u0302_0$ itself")}


def methods() -> Drawing:
    """The map of methods by year."""
    known, rows, pitch, top = _history().METHODS, method_rows(), 50, 66
    names = sorted(rows, key=lambda name: _year(known[name].paper))
    drawing = Drawing(
        "methods",
        top + pitch * len(names) + 16,
        "Seven methods by year",
        "; ".join(
            f"{known[name].title} ({_authors(known[name].paper)} {_year(known[name].paper)})"
            + (f" changes {known[PARENTS[name]].title}" if name in PARENTS else "")
            for name in names
        )
        + ".",
    )
    columns = (140, 314, 472, 622)
    for x, text in zip(columns, ("method", "schedule: $a_t, b_t$", "target", "sampler"), strict=True):
        drawing.label(x, 24, text, 13, bold=True)
    drawing.path(f"M20 38H{WIDTH - 20}", opacity=0.4, width=0.8)
    spots = {name: (76 + 22 * LANES[name], top + pitch * number + 6) for number, name in enumerate(names)}
    for name, parent in PARENTS.items():
        (x, y), (x_parent, y_parent) = spots[name], spots[parent]
        d = f"M{x_parent} {y_parent}" + (
            f"V{y}" if x == x_parent else f"C{x_parent} {(y + y_parent) / 2:g} {x} {(y + y_parent) / 2:g} {x} {y}"
        )
        drawing.path(d, known[name].colour, 2)
    year = None
    for number, name in enumerate(names):
        method, (x, y) = known[name], spots[name]
        if number:
            drawing.path(f"M{columns[0]} {y - pitch / 2:g}H{WIDTH - 20}", opacity=0.2, width=0.8)
        if _year(method.paper) != year:
            year = _year(method.paper)
            drawing.label(20, y + 5, str(year), 14, bold=True)
        drawing.circle(x, y, 5.5, method.colour)
        drawing.label(columns[0], y - 1, method.title, 15, method.colour, bold=True)
        drawing.label(columns[0], y + 16, _authors(method.paper), 12)
        before = rows.get(PARENTS.get(name, ""), ("", "", ""))
        for left, text, old in zip(columns[1:], rows[name], before, strict=True):
            drawing.label(left, y + 5, text, 13.5, "" if text == old else method.colour)
    foot = "Lines lead from a method to those that build on it. In colour: what is new against it."
    drawing.label(20, drawing.height - 8, foot, 12)
    return drawing


def _year(paper: str) -> int:
    return next(int(word) for word in paper.replace(",", "").split() if word.isdecimal())


def _authors(paper: str) -> str:
    return paper.partition(f" {_year(paper)}")[0]


DRAWINGS = (chain, unet, residual_block, matrix, methods)


def files() -> dict[str, str]:
    """The SVG files by their names."""
    drawings = [draw() for draw in DRAWINGS]
    return {f"{drawing.name}.svg": drawing.svg() for drawing in drawings}


if __name__ == "__main__":
    for folder in FOLDERS:
        folder.mkdir(exist_ok=True)
        for name, text in files().items():
            (folder / name).write_text(text, encoding="utf-8")
