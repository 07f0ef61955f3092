"""Guidance: denoisers that wrap denoisers, so that every sampler can use them."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, Self

import torch
from torch import Tensor

from ancestral.conditions import ABSENT
from ancestral.errors import InputError
from ancestral.gaussian import Scalar
from ancestral.schedules import Schedule, Time, broadcast, largest_difference, per_item
from ancestral.targets import X0, Denoiser, Prediction, exact_at_zero, for_move
from ancestral.transforms import certain

NO_CLASS = ABSENT
"""The label of an image without a class, for which networks learn an embedding."""


class Wrapper(ABC):
    """A denoiser that wraps another. It has the schedule and the device of what it wraps; a subclass defines `predict`.

    Args:
        denoiser: The denoiser to wrap.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser

    @property
    def schedule(self) -> Schedule:
        """The forward process."""
        return self.denoiser.schedule

    @property
    def device(self) -> torch.device:
        """The device of the wrapped denoiser; the CPU where it has none."""
        return getattr(self.denoiser, "device", torch.device("cpu"))

    def for_move(self, move: Any) -> Self:
        """See `targets.for_move`: the same wrapper around the wrapped denoiser of this step."""
        denoiser = for_move(self.denoiser, move)
        if denoiser is self.denoiser:
            return self
        wrapper = copy.copy(self)
        wrapper.denoiser = denoiser
        return wrapper

    @abstractmethod
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """See `Denoiser.predict`."""


class Clipped(Wrapper):
    """A denoiser whose x̂_0 is clipped to [−limit, limit], with the ε̂ that then agrees with x_t.

    A network that was trained by the loss of its clipped x̂_0 may answer anything beyond the range of the data. Such
    estimates of two models can be compared only after they are clipped.

    Args:
        denoiser: The denoiser to wrap.
        limit: The largest absolute value of x̂_0.
    """

    def __init__(self, denoiser: Denoiser, limit: float = 1.0) -> None:
        super().__init__(denoiser)
        self.limit = limit

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε, as the denoiser does, and clip x̂_0."""
        return self.denoiser.predict(x_t, t, **condition).clipped(self.limit, x_t, *self.schedule.at(t))


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
            of all conditions that are given as tensors, or of those in `drop`. A mapping, as {"labels": 2, "low": 1.5},
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
        if drop is not None and not (
            isinstance(drop, Mapping) and drop and all(isinstance(v, int | float | Tensor) for v in drop.values())
        ):
            raise InputError("drop names at least one condition, each with the number or tensor that is its absence")
        if isinstance(scale, Mapping) and (unknown := [name for name in drop or () if name not in scale]):
            raise InputError(f"drop names {' and '.join(unknown)}, which scale does not: give each a scale")
        self.scale, self.drop, self.rescale = scale, dict(drop or {}), _share(rescale)

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
        return _rescaled(prediction, x0s[0], self.rescale, x_t, *self.schedule.at(t))

    def _differences(self, condition: Mapping[str, Any]) -> tuple[list[float], list[list[str]]]:
        """The scale of each difference, and the absent conditions of each estimate, from none to most."""
        if isinstance(self.scale, Mapping):
            scales = dict(self.scale)
        else:
            tensors = (name for name, value in condition.items() if isinstance(value, Tensor))
            scales = dict.fromkeys(self.drop or ("labels", *tensors), self.scale)
        given = [name for name in scales if condition.get(name) is not None]
        if not given:
            names = " or ".join(scales)
            raise InputError(f"guidance strengthens {names}, and none is given: pass {names}=..., one for each image")
        given.sort(key=lambda name: (scales[name] != 1, scales[name] == 0))
        groups = [(scale, list(names)) for scale, names in groupby(given, scales.__getitem__)]
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
        nothing = torch.as_tensor(absence, dtype=value.dtype, device=value.device).expand_as(value)
        return torch.cat([nothing if name in names else value for names in absent])


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


def _share(rescale: float) -> float:
    if not 0 <= rescale <= 1:
        raise InputError(f"rescale is a share from 0 to 1, not {rescale}")
    return rescale


def _rescaled(prediction: Prediction, plain: Tensor, share: float, x_t: Tensor, a: Scalar, b: Scalar) -> Prediction:
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


class AutoGuidance(Wrapper):
    """Guidance by a weaker model of the same data: extrapolation from its estimate through that of the denoiser.

    It needs no condition. A step costs a forward pass of each model.

    Args:
        denoiser: The denoiser.
        weak: A denoiser that makes the same errors, only larger: a snapshot of the run, or a smaller model.
        scale: 0 is the weaker model, 1 the denoiser alone, more leads away from the errors of the weaker one.
        rescale: The share, from 0 to 1, in which the standard deviation of each x̂_0 is brought back to that of the
            denoiser alone.
        without: Names of conditions that the weaker model does not take. It gets all others.

    Raises:
        InputError: If the two have other schedules, or `rescale` is no share.

    References:
        Karras et al., autoguidance: *Guiding a diffusion model with a bad version of itself* (2024), eq. 3.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        weak: Denoiser,
        scale: float,
        rescale: float = 0.0,
        without: Collection[str] = (),
    ) -> None:
        super().__init__(denoiser)
        self.weak, self.scale, self.rescale, self.without = weak, scale, _share(rescale), frozenset(without)
        if not isinstance(weak, Denoiser) or not isinstance(scale, int | float) or not math.isfinite(scale):
            raise InputError("autoguidance takes a weaker denoiser and a finite scale")
        one, other = (torch.stack([each.schedule.signal, each.schedule.noise]) for each in (denoiser, weak))
        if one.shape != other.shape:
            difference = f"{weak.schedule.steps} steps, not {denoiser.schedule.steps}"
        elif (t := largest_difference(one, other)) is not None:
            difference = f"noise {other[1, t]:.4g} at t = {t}, not {one[1, t]:.4g}"
        else:
            return
        raise InputError(f"the weaker model has another schedule ({difference}): take a snapshot of the same run")

    def for_move(self, move: Any) -> Self:
        """See `targets.for_move`: guidance of the denoiser of this step by the weaker one of this step."""
        wrapper, weak = super().for_move(move), for_move(self.weak, move)
        if weak is not self.weak:
            wrapper = copy.copy(wrapper)
            wrapper.weak = weak
        return wrapper

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε, by a forward pass of each model."""
        strong = self.denoiser.predict(x_t, t, **condition)
        weak = self.weak.predict(x_t, t, **{name: v for name, v in condition.items() if name not in self.without})
        x0, eps = (guided(pair, [self.scale]) for pair in zip(strong, weak, strict=True))
        prediction = Prediction(x0, eps, strong.variance_fraction)
        return _rescaled(prediction, strong.x0, self.rescale, x_t, *self.schedule.at(t))


class Interval(Wrapper):
    """Guidance within an interval of noise levels, and the denoiser without it at others, which costs less.

    Args:
        guidance: A wrapper of a denoiser.
        low: The noise level b_t/a_t above which the wrapper is used.
        high: The highest noise level at which it is.

    Raises:
        InputError: If `guidance` is no wrapper, or the interval is empty.

    References:
        Kynkäänniemi et al., *Applying guidance in a limited interval improves sample and distribution quality in
        diffusion models* (2024), eq. 6.
    """

    denoiser: Wrapper

    def __init__(self, guidance: Wrapper, low: float = 0.0, high: float = math.inf) -> None:
        super().__init__(guidance)
        if not isinstance(guidance, Wrapper):
            raise InputError(f"an interval limits guidance, and a {type(guidance).__name__} has none: wrap it first")
        if not 0 <= low < high:
            raise InputError(f"an interval of noise levels needs 0 <= low < high, not {low} and {high}")
        self.low, self.high = low, high

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε. A batch of times inside and outside of the interval is evaluated with and without."""
        a, b = (torch.as_tensor(scale, dtype=torch.float64) for scale in self.schedule.at(t))
        inside = (self.low < b / a) & (b / a <= self.high)  # guidance interval (6)
        if certain(inside.all()):
            return self.denoiser.predict(x_t, t, **condition)
        plain = self.denoiser.denoiser.predict(x_t, t, **condition)
        if certain(~inside.any()):
            return plain
        guidance, rows = self.denoiser.predict(x_t, t, **condition), per_item(inside, x_t)
        return Prediction(
            guidance.x0.where(rows, plain.x0), guidance.eps.where(rows, plain.eps), plain.variance_fraction
        )
