"""The curves a(t) and b(t) of a schedule between the integer times: closed forms, and a smooth interpolation of tables.

A curve maps times t, float64 of any shape, to a_t and b_t of that shape. It is differentiable in t, and made of
module-level functions, so that a schedule can be pickled.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Curve = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Times t, float64 (*), to (a_t, b_t), float64 (*)."""
Level = Callable[[Tensor], Tensor]
"""Relative times u, 0 at t = 1 and 1 at t = T, to the noise level σ."""


class Interpolation(NamedTuple):
    """Monotone cubic interpolation of a and b: exact at the integers, once differentiable, without overshoot.

    Where a² + b² = 1 at the integers, it is 1 between them too.

    Attributes:
        tables: a_t and b_t for t = 0..T, float64 (2, T + 1).
        slopes: Their derivatives there.
        unit: Whether a² + b² = 1.

    References:
        Fritsch and Butland, *A method for constructing local monotone piecewise cubic interpolants* (1984).
    """

    tables: Tensor
    slopes: Tensor
    unit: bool

    @staticmethod
    def of(signal: Tensor, noise: Tensor) -> "Interpolation":
        """Interpolate tables a_t and b_t for t = 0..T, float64 (T + 1,)."""
        tables = torch.stack([signal, noise])
        unit = bool(((tables**2).sum(0) - 1).abs().max() < 1e-12)
        return Interpolation(tables, torch.stack([_slopes(signal.diff()), _slopes(noise.diff())]), unit)

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """See `Curve`, for t in 0..T."""
        left = t.detach().floor().long().clamp(0, self.tables.shape[1] - 2)
        u = t - left
        (y_0, y_1), (d_0, d_1) = (
            (table[:, left], table[:, left + 1]) for table in (self.tables, self.slopes)
        )  # the ends of the interval
        rise = y_1 - y_0
        a, b = y_0 + u * (d_0 + u * (3 * rise - 2 * d_0 - d_1 + u * (d_0 + d_1 - 2 * rise)))
        length = torch.hypot(a, b) if self.unit else torch.ones_like(a)
        return a / length, b / length


def _slopes(rise: Tensor) -> Tensor:
    """Derivatives at the T + 1 points of a table with differences `rise` (T,): the harmonic mean of two neighbours, 0
    where their signs differ. At the ends it is that of a parabola through three points, if the parabola is monotone.
    """
    if len(rise) == 1:
        return rise.expand(2)
    left, right = rise[:-1], rise[1:]
    inner = torch.where(left * right > 0, 2 * left * right / (left + right), 0.0)
    near, after = rise[[0, -1]], rise[[1, -2]]
    parabola = (3 * near - after) / 2
    first, last = torch.where(parabola * near > 0, near.sign() * torch.minimum(parabola.abs(), 3 * near.abs()), 0.0)
    return torch.cat([first[None], inner, last[None]])


@torch.no_grad()
def root(function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Find where a function, ≤ 0 at `low` and ≥ 0 at `high`, crosses 0: by Ridders' method, to the last bits of t.

    The result is detached.

    Args:
        function: Maps t, float64 (*), to numbers (*).
        low: The lower ends, float64 (*).
        high: The upper ends, float64 (*).
    """
    below, above = function(low), function(high)
    for _ in range(7):  # each doubles the number of right digits
        middle = (low + high) / 2
        between = function(middle)
        t = middle - (middle - low) * between / (between**2 - below * above).sqrt().clamp(min=1e-300)
        for point, value in ((middle, between), (t, function(t))):
            inside = (low <= point) & (point <= high)
            rises, falls = inside & (value < 0), inside & (value >= 0)
            low, below = torch.where(rises, point, low), torch.where(rises, value, below)
            high, above = torch.where(falls, point, high), torch.where(falls, value, above)
    return torch.where(-below < above, low, high)


def piecewise(t: Tensor, edge: float, below: Curve, above: Curve) -> tuple[Tensor, Tensor]:
    """The curve `below` for t < edge, and `above` from there on."""
    (a, b), (high_a, high_b) = below(torch.where(t < edge, t, edge)), above(torch.where(t < edge, edge, t))
    return a.where(t < edge, high_a), b.where(t < edge, high_b)


def flow(t: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The straight line from data to noise."""
    return 1 - t / steps, t / steps


def cosine(t: Tensor, steps: int, offset: float) -> tuple[Tensor, Tensor]:
    """a ∝ cos((u + offset)/(1 + offset) · π/2), u = t/T; b² is a product of sines, since 1 − a² would lose digits."""
    rate = math.pi / 2 / (1 + offset)
    start, angle = offset * rate, (t / steps + offset) * rate
    if offset == 0:
        return torch.cos(angle), torch.sin(angle)
    b = _root(torch.sin(angle - start)) * torch.sin(angle + start).sqrt() / math.cos(start)
    return torch.cos(angle) / math.cos(start), b


def sigmoid(t: Tensor, steps: int, start: float, end: float) -> tuple[Tensor, Tensor]:
    """a² = (f(z) − f(end))/(f(start) − f(end)) with f(z) = 1/(1 + eᶻ) and z from `start` to `end`.

    The numerator of b² is f(start) − f(z) = f(start) f(−z) (1 − eˢ) with s = start − z: 0 at t = 0, without rounding.
    """
    first, last = (1 / (1 + math.exp(z)) for z in (start, end))
    rise = (end - start) * t / steps
    a = ((torch.sigmoid(-start - rise) - last).clamp(min=0) / (first - last)).sqrt()
    return a, _root(-torch.expm1(-rise)) * (first / (first - last) * torch.sigmoid(start + rise)).sqrt()


def _root(x: Tensor) -> Tensor:
    """√x of x ≥ 0. Its derivative at 0 is infinite, as that of a line; it does not depend on PyTorch's for √0."""
    largest = torch.finfo(x.dtype).max
    line = x * largest * largest
    return torch.where(x == 0, line, torch.where(x == 0, 1.0, x).sqrt())


def variance_exploding(t: Tensor, steps: int, level: Level) -> tuple[Tensor, Tensor]:
    """a = 1 and b = σ, which below t = 1 rises linearly from 0 to σ_1."""
    u = torch.where(t < 1, 0.0, t - 1) / (steps - 1) if steps > 1 else torch.ones_like(t)
    sigma = level(u)
    return torch.ones_like(t), torch.where(t < 1, t * sigma, sigma)


def geometric(u: Tensor, sigma_min: float, sigma_max: float) -> Tensor:
    """σ in equal ratios, from σ_min at u = 0 to σ_max at u = 1."""
    sigma: Tensor = sigma_min ** (1 - u) * sigma_max**u
    return sigma


def karras(u: Tensor, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """σ whose ρ-th root grows evenly, from σ_min at u = 0 to σ_max at u = 1."""
    sigma: Tensor = ((1 - u) * sigma_min ** (1 / rho) + u * sigma_max ** (1 / rho)) ** rho  # EDM (5)
    return sigma


def zero_terminal(t: Tensor, curve: Curve, first: float, last: float) -> tuple[Tensor, Tensor]:
    """Shift and scale a from a_1 = first and a_T = last to a_1 and 0, with a² + b² = 1, for t ≥ 1."""
    a = (curve(t)[0] - last) * first / (first - last)
    return a, (1 - a**2).clamp(min=0).sqrt()
