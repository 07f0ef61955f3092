"""Line plots for the inline SVG of the report: paths and ticks as numbers, in the units of a fixed box.

matplotlib's SVG names addresses on the web, has no dark mode, and takes longer than the whole report.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 464, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 8, 24
"""Margins around the axes."""
BUCKETS = 240
"""Intervals of a long line, of each of which the minimum and the maximum are drawn: outliers are kept."""
LOG_RATIO = 20.0
"""Ratio of the largest to the smallest value above which an axis is logarithmic."""


@dataclass(frozen=True)
class SvgLine:
    """A curve: its name, the data of its SVG path, and its last point, which is all of a line with one point."""

    label: str
    path: str
    end: tuple[float, float]


@dataclass(frozen=True)
class SvgPlot:
    """A plot for the template. Ticks are (position, text); `last` is the last value of a single line."""

    title: str
    lines: tuple[SvgLine, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    last: str


def svg_plot(
    title: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], logarithmic: bool = False
) -> SvgPlot | None:
    """Plot lines by name over the same x from 0 up, with gaps where values are not finite; None if no value is finite.

    With `logarithmic`, the vertical axis is logarithmic where values differ by more than `LOG_RATIO`.
    """
    known = [value for values in lines.values() for value in values if math.isfinite(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    logarithmic = logarithmic and low > 0 and high > LOG_RATIO * low
    if not logarithmic:
        low, high = min(low, 0.0), high if high > 0 else 0.0
        high = high if high > low else low + 1
    x_high = max(x) or 1

    def x_position(value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * value / x_high, 1)

    def y_position(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    curves = []
    for label, values in lines.items():
        points = [(x_position(a), y_position(b) if math.isfinite(b) else None) for a, b in _thinned(x, values)]
        ends = [(a, b) for a, b in points if b is not None]
        if ends:
            curves.append(SvgLine(label, _path(points), ends[-1]))
    last = [value for value in next(iter(lines.values())) if math.isfinite(value)][-1:] if len(lines) == 1 else []
    return SvgPlot(
        title,
        tuple(curves),
        tuple((x_position(value), _text(value)) for value in _linear_ticks(0, x_high)),
        tuple((y_position(value), _text(value)) for value in (_log_ticks if logarithmic else _linear_ticks)(low, high)),
        f"{last[0]:.4g}" if last else "",
    )


def _thinned(x: Sequence[float], values: Sequence[float]) -> Iterator[tuple[float, float]]:
    """All points of a short line; of a long one the minimum and the maximum of each bucket, in order."""
    if len(x) <= 2 * BUCKETS:
        yield from zip(x, values, strict=True)
        return
    for bucket in range(BUCKETS):
        indices = range(bucket * len(x) // BUCKETS, (bucket + 1) * len(x) // BUCKETS)
        finite = [i for i in indices if math.isfinite(values[i])]
        chosen = {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)} if finite else {indices[0]}
        yield from ((x[i], values[i]) for i in sorted(chosen))


def _path(points: Sequence[tuple[float, float | None]]) -> str:
    """The data of an SVG path; a gap starts a new piece."""
    commands, drawing = [], False
    for a, b in points:
        if b is not None:
            commands.append(f"{'L' if drawing else 'M'}{a:g} {b:g}")
        drawing = b is not None
    return "".join(commands)


def _linear_ticks(low: float, high: float) -> list[float]:
    """About four multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [step * k for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, some of them where there are many; also 2 and 5 times them where there are few."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    powers = range(first, last + 1, max(1, (last - first) // 5))
    ticks = [factor * 10.0**power for power in powers for factor in ((1, 2, 5) if last - first <= 2 else (1,))]
    return [tick for tick in ticks if low <= tick <= high]


def _text(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= value < 1e7 else f"{value:.10g}"
