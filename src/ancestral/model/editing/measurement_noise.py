"""The noise of a measurement, and whether the operator and the data explain it."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.model.editing.spectra import LEAST, Spectra
from ancestral.model.trained_model import TrainedModel
from ancestral.operators import Operator
from ancestral.randomness import Stream

GAIN = math.sqrt(12)
"""How much A⁺ may enlarge noise where samples agree with integers exactly: their rounding is then less than a level."""
LARGEST_INVERSE = 1.1
"""The largest root mean square of A⁺ y; that of items in [-1, 1] is 1 at most."""
FAR = 4.0
"""How many times its noise samples may differ from a measurement before it is said."""
LEAST_NOISE = 1e-4
"""The least noise that is looked for in floats."""
NOISES = 2.0 ** (torch.arange(1, 27) / 2)
"""Noises that are tried, as multiples of the least one."""


class Explanation(NamedTuple):
    """How a measurement came about.

    Attributes:
        noise: The standard deviation of the noise that y is taken to have.
        enlarged: That of the noise of A⁺ y; 0 where A⁺ enlarges it by little.
        notes: What the user should know, a sentence each.
    """

    noise: float
    enlarged: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observation:
    """What the user measured.

    Attributes:
        y: The measurements (m, *).
        operator: A.
        noise: The standard deviation of their noise, as the user says it.
        rounding: The standard deviation of their rounding to integers; 0 of floats.
        name: What messages call the operator.
        linear: Whether the operator is linear in the items.
    """

    y: Tensor
    operator: Operator
    noise: float
    rounding: float
    name: str
    linear: bool = True

    def gain(self, shape: Sequence[int]) -> float:
        """The factor by which A⁺ enlarges white noise of y, measured by one draw; items have a shape."""
        z = randomness.normal(self.y.shape[1:], 0, Stream.MEASUREMENT, 0, [0])
        return float(self.operator.pseudo_inverse(z, shape).square().mean().sqrt())

    def like(self, x: Tensor, noise: float) -> Tensor:
        """Measure items x in the precision of y, with noise of which rounding is a part."""
        y = self.operator.apply(x)
        added = math.sqrt(max(noise**2 - self.rounding**2, 0.0))
        y = y + added * randomness.normal(y.shape[1:], 0, Stream.MEASUREMENT, 1, range(len(y)))
        if not self.rounding:
            return y
        low, level = -self.operator.apply(torch.ones_like(x[:1])), self.rounding * math.sqrt(12)
        return ((y - low) / level).round().clamp(0, 2 / level) * level + low


def explained(model: TrainedModel, measurement: Observation) -> Explanation:
    """Decide which noise a measurement is taken to have.

    Where A⁺ enlarges the noise of y, agreement with y exactly would show it, so that of rounding is taken at least. If
    y then has more power than measurements of the data, the least noise is taken that explains it, unless the user says
    how much there is.

    Raises:
        InputError: If no items in [-1, 1] have this y, and nothing tells how much noise it has.
    """
    shape, operator, y, noise = model.spec.shape, measurement.operator, measurement.y, measurement.noise
    if not measurement.linear:  # it has no inverse
        return Explanation(noise)
    gain = measurement.gain(shape)
    if gain <= GAIN:
        if noise and model.examples is not None and len(model.examples) >= LEAST:
            return Explanation(noise, notes=_less_noise(model.examples, measurement))
        return Explanation(noise)
    least = max(noise, measurement.rounding)
    if not least:
        size = float(operator.pseudo_inverse(y, shape).flatten(1).square().mean(1).max().sqrt())
        if size <= LARGEST_INVERSE:
            return Explanation(0.0)
        if model.examples is None:
            raise InputError(
                f"y has noise, or {measurement.name} is another operator: the smallest items that agree with y have a "
                f"root mean square of {size:.2g}, and items are in [-1, 1]; give the noise, as {option('noise', 0.01)}"
            )
    notes = []
    if measurement.rounding > noise:
        notes.append(
            f"Rounding has noise of {least:.2g} in [-1, 1], which the inverse of {measurement.name} enlarges "
            f"{gain:.2g} times: it is taken for noise of the image."
        )
    if model.examples is not None and len(model.examples) >= LEAST:
        least, remark = _compared(model.examples, measurement, max(least, LEAST_NOISE))
        notes += [remark] if remark else []
    return Explanation(least, gain * least, tuple(notes))


def _remainder(examples: Tensor, measurement: Observation, noise: float) -> float:
    """Above 0 if most of y have more power than what is measured of the data with this noise, below 0 if less."""
    spectra = Spectra(measurement.like(examples, noise), measurement.rounding or LEAST_NOISE)
    return float(spectra.compare(measurement.y).quantile(0.5, interpolation="nearest"))


def _less_noise(examples: Tensor, measurement: Observation) -> tuple[str, ...]:
    """A remark if y is smoother than the data with the noise that the user says."""
    if _remainder(examples, measurement, measurement.noise) >= 0:
        return ()
    return (
        f"The image has less noise than {measurement.noise:.2g}, or is smoother than the data: if it has less, the "
        "samples lack detail.",
    )


def _compared(examples: Tensor, measurement: Observation, least: float) -> tuple[float, str]:
    """The noise that explains y, and a remark if it is not the least one."""
    name = measurement.name
    sign = _remainder(examples, measurement, least)
    if sign == 0:
        return least, ""
    if sign < 0:
        return least, (
            f"The image is smoother than {name} leaves the data with noise of {least:.2g}: if it has less noise, or "
            "was measured otherwise, as by a wider blur, the samples are too smooth."
        )
    known = f"The image is rougher than {name} leaves the data with noise of {least:.2g}"
    if measurement.noise:
        return least, f"{known}: it has more noise, or was measured otherwise, as by a narrower blur."
    noises = [least, *(least * NOISES).tolist()]
    place = bisect_left(
        noises, True, hi=len(noises) - 1, key=lambda noise: _remainder(examples, measurement, noise) <= 0
    )
    return noises[place], (
        f"{known}: noise of {noises[place]:.2g} is taken, which explains it. If it was measured otherwise, as by a "
        "narrower blur, name that; if you know its noise, give that."
    )


def disagreement(measurement: Observation, items: Tensor, noise: float) -> tuple[str, ...]:
    """Say whether samples are further from a measurement than its noise.

    Args:
        measurement: The measurement.
        items: Samples (n, *) in [-1, 1]; sample i is of measurement i mod their number.
        noise: The standard deviation of the noise that the measurement is taken to have.
    """
    order = torch.arange(len(items)) % len(measurement.y)
    distance = float((measurement.operator.apply(items) - measurement.y[order]).square().mean().sqrt())
    explained_by = max(noise, measurement.rounding, LEAST_NOISE)
    if distance <= FAR * explained_by:
        return ()
    return (
        f"Measured by {measurement.name}, the samples differ from the image by {distance:.2g} (root mean square in "
        f"[-1, 1]), {distance / explained_by:.0f} times its noise: it was measured otherwise, or the model does not "
        f"know such images well; more {option('steps')} or another {option('method')} may bring them nearer.",
    )


def resemblance(examples: Tensor | None, items: Tensor, floor: float) -> tuple[str, ...]:
    """Say whether samples are unlike the data.

    Args:
        examples: Items of the data, (N, *) in [-1, 1].
        items: Samples (n, *), likewise.
        floor: The noise that is not seen.
    """
    if examples is None or len(examples) < LEAST:
        return ()
    signs = Spectra(examples, floor).compare(items)
    for sign, how in ((1, "more noise or ringing"), (-1, "less detail")):
        count = int((signs == sign).sum())
        if 2 * count > len(items):
            return (
                f"{count} of {len(items)} samples have {how} than the data: their power at each frequency is further "
                f"from that of {len(examples):,} items than 99 % of these are from each other.",
            )
    return ()
