"""Scales of floats: each channel's units to those of a network, and back.

x = (f(v) − middle)/half, where f is the identity or one of `CURVES`. A scale of bounded data maps its range to [−1, 1]
(`data.Codec`). All others bring f(v) to mean 0 and standard deviation ½, which targets and schedules assume of data,
and have no bounds: what lies beyond the training data, an extreme, comes back as it is.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ancestral.base.errors import InputError

DEVIATION = 0.5
"""The standard deviation that data without bounds have in the units of a network."""
KNOTS = 65
"""Quantiles that the scale `quantile` keeps at most, at equal distances of normal scores."""
MOST_SCORE = 3.2
"""The largest normal score of them: one value in 1,500 lies beyond. The curve goes on as a line."""


@dataclass(frozen=True)
class Scale:
    """The scale of one channel, or of all.

    Attributes:
        name: The curve f: "standard" is the identity, "log1p" sign(v) log(1 + |v|/unit), "asinh" asinh(v/unit), and
            "quantile" the normal score of v among the training data.
        middle: What is 0 to a network, f(v).
        half: What 1 is to a network, beyond `middle`; 0 of a constant channel, which is 0 to networks.
        unit: The unit of v in f.
        knots: Values and their normal scores, both rising, of "quantile".
    """

    name: str
    middle: float = 0.0
    half: float = 1.0
    unit: float = 1.0
    knots: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.middle, self.half, self.unit, *(number for knot in self.knots for number in knot))
        pairs = zip(self.knots, self.knots[1:], strict=False)
        rising = all(one[0] < other[0] and one[1] < other[1] for one, other in pairs)
        if self.name not in CURVES or (self.name == "quantile") != (len(self.knots) > 1) or not rising:
            names = ", ".join(CURVES)
            raise InputError(f"there is no scale {self.name!r} with {len(self.knots)} quantiles: take {names}")
        if not all(map(math.isfinite, numbers)) or self.half < 0 or self.unit <= 0:
            raise InputError(f"a scale cannot have middle {self.middle}, half {self.half} and unit {self.unit}")

    @classmethod
    def of(cls, name: str, values: Tensor) -> "Scale":
        """Fit the scale of a name to values of any shape; missing ones (NaN) do not count.

        Raises:
            InputError: If there is no such scale, or no value.
        """
        v = values.flatten().double()
        v = v[v.isfinite()]
        if name not in CURVES:
            raise InputError(f"there is no scale {name!r}: take minmax, {', '.join(CURVES)}")
        if not len(v):
            raise InputError("a channel has no value that is there: leave it out")
        if bool((v == v[0]).all()):
            return cls("standard", float(v[0]), 0.0)
        scale = cls(name, knots=_quantiles(v)) if name == "quantile" else cls(name, unit=_unit(name, v))
        f = scale._f(v)
        return dataclasses.replace(scale, middle=float(f.mean()), half=float(f.std(correction=0)) / DEVIATION)

    @property
    def linear(self) -> bool:
        """Whether f is the identity, so that x has the units of v but for a factor."""
        return self.name == "standard"

    def encode(self, v: Tensor) -> Tensor:
        """Bring values to the units of a network, float32, or float64 of such values. Differentiable."""
        f = self._f(v.to(torch.promote_types(v.dtype, torch.float32)))
        return (f - self.middle) / self.half if self.half else torch.zeros_like(f)

    def decode(self, x: Tensor) -> Tensor:
        """Undo `encode`; a constant channel has its value, whatever x is. Differentiable."""
        return CURVES[self.name][1](self, x * self.half + self.middle)

    def _f(self, v: Tensor) -> Tensor:
        return CURVES[self.name][0](self, v)


def _unit(name: str, v: Tensor) -> float:
    """The median size of what is not 0, so that a scale does not depend on the units of the data."""
    return 1.0 if name == "standard" else float(v[v != 0].abs().median())


def _quantiles(v: Tensor) -> tuple[tuple[float, float], ...]:
    """Values at equal distances of normal scores, from the least to the largest. Equal values have their mean score."""
    most = min(MOST_SCORE, -float(torch.special.ndtri(torch.tensor(0.5 / len(v), dtype=torch.float64))))
    scores = torch.linspace(-most, most, KNOTS, dtype=torch.float64)
    shares = torch.special.ndtr(scores)
    places = (shares - shares[0]) / (shares[-1] - shares[0]) * (len(v) - 1)
    ordered, low = v.sort().values, places.long()
    values = ordered[low].lerp(ordered[(low + 1).clamp(max=len(v) - 1)], places - low).float()
    knots, group = torch.unique(values, return_inverse=True)
    means = torch.zeros(len(knots), dtype=torch.float64).scatter_reduce(0, group, scores, "mean", include_self=False)
    return tuple(zip(knots.tolist(), means.tolist(), strict=True))


def _interpolated(v: Tensor, knots: Sequence[tuple[float, float]], forward: bool) -> Tensor:
    """The line through knots, from their first numbers to the second or back, which goes on beyond the ends."""
    ends = torch.tensor(knots, dtype=v.dtype, device=v.device)
    xs, ys = ends.unbind(1) if forward else ends.flip(1).unbind(1)
    place = torch.bucketize(v.detach(), xs[1:-1].contiguous())
    return ys[place] + (v - xs[place]) * ((ys[1:] - ys[:-1]) / (xs[1:] - xs[:-1]))[place]


CURVES: dict[str, tuple[Callable[[Any, Tensor], Tensor], Callable[[Any, Tensor], Tensor]]] = {
    "standard": (lambda scale, v: v, lambda scale, f: f),
    "log1p": (
        lambda scale, v: v.sign() * (v.abs() / scale.unit).log1p(),
        lambda scale, f: f.sign() * f.abs().expm1() * scale.unit,
    ),
    "asinh": (lambda scale, v: (v / scale.unit).asinh(), lambda scale, f: f.sinh() * scale.unit),
    "quantile": (
        lambda scale, v: _interpolated(v, scale.knots, True),
        lambda scale, f: _interpolated(f, scale.knots, False),
    ),
}
"""The curves of scales without bounds by name: f and its inverse."""


def encoded(v: Tensor, scales: Sequence[Scale]) -> Tensor:
    """Bring values (B, C, *) to the units of a network by the scale of all channels, or of each. Differentiable."""
    if len(scales) == 1:
        return scales[0].encode(v)
    return torch.stack([scale.encode(v[:, number]) for number, scale in enumerate(scales)], dim=1)


def decoded(x: Tensor, scales: Sequence[Scale]) -> Tensor:
    """Undo `encoded`. Differentiable."""
    if len(scales) == 1:
        return scales[0].decode(x)
    return torch.stack([scale.decode(x[:, number]) for number, scale in enumerate(scales)], dim=1)
