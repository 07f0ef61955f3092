"""Classifier-free guidance: a denoiser with its conditions strengthened, by an extrapolation between its estimates."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.device_tensors import kept
from ancestral.base.errors import InputError
from ancestral.conditions import ABSENT, FACTOR
from ancestral.gaussian import Scalar
from ancestral.guidance.wrapper import Wrapper
from ancestral.schedules import Time, broadcast
from ancestral.targets import X0, Denoiser, Prediction, exact_at_zero

NO_CLASS = ABSENT
"""The label of an image without a class, for which networks learn an embedding."""


def guided(estimates: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
    """Extrapolate from the last estimate through those before it, each of which has more conditions than the next.

    Args:
        estimates: Estimates of one quantity, (B, *) each.
        scales: The scale of each difference of neighbours.

    Returns:
        The guided estimate, (B, *).
    """
    value = estimates[-1]
    for (more, fewer), scale in reversed([*zip(pairwise(estimates), scales, strict=True)]):
        # CFG (6) with scale = 1 + w; InstructPix2Pix (3) for two differences; autoguidance (3)
        value = value + scale * (more - fewer)
    return value


def checked_share(rescale: float) -> float:
    """Return the share. Raises InputError if it is none."""
    if not 0 <= rescale <= 1:
        raise InputError(f"rescale is a share from 0 to 1, not {rescale}")
    return rescale


def rescaled(prediction: Prediction, plain: Tensor, share: float, x_t: Tensor, a: Scalar, b: Scalar) -> Prediction:
    """Bring the standard deviation of each x̂_0 back to that of the plain one, in a share, with the ε̂ that then agrees.

    An estimate of standard deviation 0 stays as it is.
    """
    if not share:
        return prediction
    std_plain, std_guided = (x0.flatten(1).std(1, correction=0) for x0 in (plain, prediction.x0))
    ratio = (std_plain / std_guided).where(std_guided > 0, 1.0)  # rescaled guidance (15)
    factor = share * ratio + 1 - share  # rescaled guidance (16)
    x0, eps = X0.solve(x_t, broadcast(factor, x_t) * prediction.x0, a, b)
    return Prediction(x0, eps, prediction.variance_fraction)


@checked_class
class ClassifierFree(Wrapper):
    """Classifier-free guidance: extrapolation from the estimate without conditions through that with them.

    With one scale, all conditions are dropped together: x̂ = x̂(∅) + scale · (x̂(c) − x̂(∅)). With several, the conditions
    are added one after another, and each difference has the scale of the condition that makes it:

        x̂ = x̂(∅) + s_1 (x̂(c_1) − x̂(∅)) + s_2 (x̂(c_1, c_2) − x̂(c_1)) + ...

    Conditions of scale 1 come first, those of scale 0 last, and the others in between, in the order of the mapping. So
    a condition of scale 1 is in all estimates, as one without a scale is. Neighbours of equal scale are added together.
    All estimates come from one forward pass over a batch that is as many times larger: twice for one scale.

    Args:
        denoiser: A denoiser that was trained with and without the conditions.
        scale: 0 ignores a condition, 1 is plain conditioning, more trades diversity for fidelity. A number is the scale
            of all conditions that are given as tensors, but for the `keys` of a network's noise, or of those in `drop`.
            A mapping, as {"labels": 2, "low": 1.5},
            has the scale of each by name; those of it that are not given have no effect.
        drop: The value of a condition that stands for its absence, by name: a number, or a tensor that broadcasts
            against the condition. For others, signed integers are -1 where they are absent, and floats 0.
        rescale: The share, from 0 to 1, in which the standard deviation of each x̂_0 is brought back to that of plain
            conditioning, which large scales exceed.

    Raises:
        InputError: If an argument cannot be used.

    References:
        Ho and Salimans, *Classifier-free diffusion guidance* (2022), eq. 6.
        Brooks, Holynski and Efros, *InstructPix2Pix* (2023), eq. 3: two conditions.
        Lin et al., *Common diffusion noise schedules and sample steps are flawed* (2024), eqs. 15 and 16: rescaling,
        there of the network's output.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scale: float | Mapping[str, float],
        drop: Mapping[str, float | Tensor] | None = None,
        rescale: float = 0.0,
    ) -> None:
        super().__init__(denoiser)
        numbers = scale.values() if isinstance(scale, Mapping) else [scale]
        if not numbers or not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
            raise InputError(f"scale is a finite number, or names conditions with one each, not {scale!r}")
        if drop is not None and not (drop and all(isinstance(v, int | float | Tensor) for v in drop.values())):
            raise InputError("drop names at least one condition, each with the number or tensor that is its absence")
        if isinstance(scale, Mapping) and (unknown := [name for name in drop or () if name not in scale]):
            raise InputError(f"drop names {' and '.join(unknown)}, which scale does not: give each a scale")
        self.scale, self.drop, self.rescale = scale, dict(drop or {}), checked_share(rescale)

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε with guidance. Raises InputError if none of the conditions to strengthen is given."""
        scales, absent = self._differences(condition)
        passes = {name: self._passes(name, value, len(x_t), absent) for name, value in condition.items()}
        times = t.expand(len(x_t)).repeat(len(absent)) if isinstance(t, Tensor) else t
        estimates = self.denoiser.predict(torch.cat([x_t] * len(absent)), times, **passes)
        x0s, epss = (part.chunk(len(absent)) for part in estimates)
        fraction = estimates.variance_fraction
        prediction = Prediction(
            guided(x0s, scales), guided(epss, scales), None if fraction is None else fraction[: len(x_t)]
        )
        return rescaled(prediction, x0s[0], self.rescale, x_t, *self.schedule.at(t))

    def _differences(self, condition: Mapping[str, Any]) -> tuple[list[float], list[list[str]]]:
        """The scale of each difference, and the absent conditions of each estimate, from none to most."""
        if isinstance(self.scale, Mapping):
            scales = dict(self.scale)
        else:
            own = ("keys", FACTOR)
            tensors = (name for name, value in condition.items() if isinstance(value, Tensor) and name not in own)
            scales = dict.fromkeys(self.drop or ("labels", *tensors), self.scale)
        given = [name for name in scales if condition.get(name) is not None]
        if not given:
            names = " or ".join(scales)
            raise InputError(f"guidance strengthens {names}, and none is given: pass {names}=..., one for each image")
        # no sort and no groupby: a compiler traces comparisons of scales alone
        ones, zeros = ([name for name in given if scales[name] == special] for special in (1, 0))
        groups: list[tuple[float, list[str]]] = []
        for name in [*ones, *(name for name in given if scales[name] not in (0, 1)), *zeros]:
            if groups and groups[-1][0] == scales[name]:
                groups[-1][1].append(name)
            else:
                groups.append((scales[name], [name]))
        if groups[0][0] == 1 and len(groups) > 1:  # then the difference that adds them need not be computed
            del groups[0]
        groups.reverse()
        absent = [[name for _, names in groups[:count] for name in names] for count in range(len(groups) + 1)]
        return [scale for scale, _ in groups], absent

    def _passes(self, name: str, value: Any, count: int, absent: Sequence[Sequence[str]]) -> Any:
        """The condition in all passes; what is no tensor is the same in all, unless it is dropped."""
        dropped = any(name in names for names in absent)
        if value is None or not (dropped or isinstance(value, Tensor)):
            return value
        if not isinstance(value, Tensor):
            raise InputError(f"guidance drops {name}: give it as a tensor, one row for each image")
        if value.ndim < 1 or len(value) not in (1, count):
            raise InputError(f"{name} has the shape {tuple(value.shape)}: give it one row for each of {count} images")
        value = value.expand(count, *value.shape[1:])
        if not dropped:
            return torch.cat([value] * len(absent))
        if name not in self.drop and not value.dtype.is_signed:
            raise InputError(f"what stands for an absent {name} of {value.dtype} is not known: name its value in drop")
        absence = self.drop.get(name, 0.0 if value.is_floating_point() else ABSENT)
        if isinstance(absence, Tensor):
            nothing = kept(absence, value).expand_as(value)
        else:
            nothing = torch.full_like(value, absence)
        return torch.cat([nothing if name in names else value for names in absent])
