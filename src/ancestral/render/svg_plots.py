"""Line plots as numbers for the page's inline SVG: paths and ticks, in the units of a fixed box."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 464, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 8, 24
"""Margins of the axes in the box."""
BUCKETS = 240
"""Of a long line each bucket shows its least and its greatest value, so that no outlier is lost."""
WIDE = 20.0
"""Values that differ by such a factor are drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Line:
    """A curve: its name, its path in SVG's letters, and where it ends, for one that is a single point."""

    label: str
    path: str
    end: tuple[float, float] | None


@dataclass(frozen=True)
class Plot:
    """What the template draws. Ticks are (place, text)."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    last: str
    """The last value of a single line, to be read as a number."""


def plot(title: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], spread: bool = False) -> Plot | None:
    """Lines over the same x, by name; gaps where a value is no finite number. None where there is nothing to draw.

    `spread` allows a logarithmic axis, which is taken where values differ much.
    """
    known = [value for values in lines.values() for value in values if math.isfinite(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    logarithmic = spread and low > 0 and high > WIDE * low
    if not logarithmic:
        low, high = min(low, 0.0), high if high > 0 else 0.0
        high = high if high > low else low + 1
    x_high = max(x) or 1

    def across(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * value / x_high, 1)

    def up(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    drawn = []
    for label, values in lines.items():
        points = [(across(a), up(b) if math.isfinite(b) else None) for a, b in _thinned(x, values)]
        ends = [(a, b) for a, b in points if b is not None]
        if ends:
            drawn.append(Line(label, _path(points), ends[-1]))
    last = [value for value in next(iter(lines.values())) if math.isfinite(value)][-1:] if len(lines) == 1 else []
    y_ticks = _powers(low, high) if logarithmic else _even(low, high)
    return Plot(
        title,
        tuple(drawn),
        tuple((across(value), _text(value)) for value in _even(0, x_high)),
        tuple((up(value), _text(value)) for value in y_ticks),
        f"{last[0]:.4g}" if last else "",
    )


def _thinned(x: Sequence[float], values: Sequence[float]) -> Iterator[tuple[float, float]]:
    """All points of a short line; of a long one the least and the greatest of each bucket, in their order."""
    if len(x) <= 2 * BUCKETS:
        yield from zip(x, values, strict=True)
        return
    for bucket in range(BUCKETS):
        places = range(bucket * len(x) // BUCKETS, (bucket + 1) * len(x) // BUCKETS)
        finite = [i for i in places if math.isfinite(values[i])]
        chosen = {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)} if finite else {places[0]}
        yield from ((x[i], values[i]) for i in sorted(chosen))


def _path(points: Sequence[tuple[float, float | None]]) -> str:
    """Moves and lines; a gap begins a new piece."""
    words, drawing = [], False
    for a, b in points:
        if b is not None:
            words.append(f"{'L' if drawing else 'M'}{a:g} {b:g}")
        drawing = b is not None
    return "".join(words)


def _even(low: float, high: float) -> list[float]:
    """About four multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [step * k for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten, fewer where there are many; between them 2 and 5 where there are few."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    apart = max(1, (last - first) // 5)
    ticks = [factor * 10.0**power for power in range(first, last + 1, apart) for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def _text(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= value < 1e7 else f"{value:.10g}"
