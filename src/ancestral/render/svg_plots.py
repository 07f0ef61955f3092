"""Line plots of report.html as SVG.

matplotlib's SVG names addresses on the web, has no dark mode, and takes longer than the whole report.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ancestral.render.lettering import drawing

CHART_WIDTH, CHART_HEIGHT = 464, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 8, 24
"""Margins around the axes."""
BUCKETS = 240
"""Intervals of a long line, of each of which the minimum and the maximum are drawn: outliers are kept."""
NARROW = 4.0
"""Ratio of the ends of a logarithmic axis below which its ticks are evenly spaced numbers."""


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


@drawing()
def svg_plot(
    title: str, x: Sequence[float], lines: Mapping[str, Sequence[float]], logarithmic: bool = False
) -> SvgPlot | None:
    """Plot lines by name over the same x from 0 up, with gaps where values are not finite; None if no value is finite.

    With `logarithmic`, the vertical axis is logarithmic if all values are above 0.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator

    finite = [value for values in lines.values() for value in values if math.isfinite(value)]
    if not finite:
        return None
    low, high, right = min(finite), max(finite), max(x) or 1
    logarithmic = logarithmic and low > 0
    if logarithmic:
        low, high = (low, high) if high > 1.2 * low else (low / 1.2, high * 1.2)
    else:
        low, high = min(low, 0.0), max(high, 0.0)
        high = high if high > low else low + 1

    def place(a: float, b: float) -> tuple[float, float]:
        share = math.log(b / low) / math.log(high / low) if logarithmic else (b - low) / (high - low)
        across, down = (
            LEFT + (CHART_WIDTH - LEFT - RIGHT) * a / right,
            CHART_HEIGHT - BOTTOM - (CHART_HEIGHT - TOP - BOTTOM) * share,
        )
        return round(across, 1), round(down, 1)

    curves = []
    for label, values in lines.items():
        points = [place(a, b) if math.isfinite(b) else None for a, b in _thinned(x, values)]
        if ends := [point for point in points if point is not None]:
            curves.append(SvgLine(label, _path(points), ends[-1]))
    linear = MaxNLocator(4, steps=[1, 2, 5, 10])
    decades = LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,), numticks=6)
    locator = decades if logarithmic and high > NARROW * low else linear
    return SvgPlot(
        title,
        tuple(curves),
        tuple((place(tick, low)[0], _tick_text(tick)) for tick in linear.tick_values(0, right) if 0 <= tick <= right),
        tuple((place(0, tick)[1], _tick_text(tick)) for tick in locator.tick_values(low, high) if low <= tick <= high),
        f"{finite[-1]:.4g}" if len(lines) == 1 else "",
    )


def _thinned(x: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """All points of a short line; of a long one the minimum and the maximum of each bucket, in order."""
    if len(x) <= 2 * BUCKETS:
        return list(zip(x, values, strict=True))
    rows: list[int] = []
    for bucket in np.array_split(np.arange(len(x)), BUCKETS):
        finite = [i for i in bucket if math.isfinite(values[i])] or [bucket[0]]
        rows += sorted({min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)})
    return [(x[i], values[i]) for i in rows]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """The data of an SVG path; a gap starts a new piece."""
    pairs = zip([None, *points], points, strict=False)
    return "".join(f"{'L' if before else 'M'}{point[0]:g} {point[1]:g}" for before, point in pairs if point)


def _tick_text(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= value < 1e7 else f"{value:.10g}"
