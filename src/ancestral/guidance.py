"""Guidance: denoisers that wrap denoisers, so that every sampler can use them."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ancestral.errors import InputError
from ancestral.schedules import Schedule, Time, broadcast, largest_difference
from ancestral.targets import X0, Denoiser, Prediction, for_move

NO_CLASS = -1
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

    def for_move(self, move: Any) -> "Wrapper":
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


class ClassifierFree(Wrapper):
    """Classifier-free guidance: extrapolation from the estimate without conditions to that with them.

    All estimates come from one forward pass over a larger batch: a doubled one with one scale.

    Args:
        denoiser: A denoiser that was trained with and without the conditions.
        scale: 0 ignores the conditions, 1 is plain conditioning, more trades diversity for fidelity. By name, as in
            {"labels": 2, "low": 1}, each condition has its own: to those of scale 1 the others are added one after
            another in this order, and each difference counts by its scale.
        drop: The conditions to drop, by name, with the value that stands for their absence: a number, or a tensor that
            broadcasts against the condition. By default the labels, or all that have a scale; of these, integers are -1
            where they are absent, and floats 0.
        rescale: The share, from 0 to 1, in which the standard deviation of each x̂_0 is brought back to that of plain
            conditioning, which large scales exceed.

    References:
        Ho and Salimans, *Classifier-free diffusion guidance* (2022), eq. 6.
        Brooks, Holynski and Efros, *InstructPix2Pix* (2023): two conditions.
        Lin et al., *Common diffusion noise schedules and sample steps are flawed* (2024): rescaling.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scale: float | Mapping[str, float],
        drop: Mapping[str, float | Tensor] | None = None,
        rescale: float = 0.0,
    ) -> None:
        super().__init__(denoiser)
        if drop is not None and not (
            isinstance(drop, Mapping) and drop and all(isinstance(v, int | float | Tensor) for v in drop.values())
        ):
            raise InputError("drop names at least one condition, each with the number or tensor that is its absence")
        if not 0 <= rescale <= 1:
            raise InputError(f"rescale is a share from 0 to 1, not {rescale}")
        self.drop, self.rescale = dict(drop or {}), rescale
        self.scales = dict(scale) if isinstance(scale, Mapping) else dict.fromkeys(drop or ("labels",), scale)
        """The scale of each condition."""

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε with guidance. Raises InputError if none of the conditions to drop is given."""
        present = {name: scale for name, scale in self.scales.items() if condition.get(name) is not None}
        if not present:
            names = " or ".join(self.scales)
            raise InputError(f"guidance strengthens {names}, and none is given: pass {names}=..., one for each image")
        scales = [scale for scale in dict.fromkeys(reversed(present.values())) if scale != 1] or [1.0]
        absent = [[name for name in present if present[name] in scales[:count]] for count in range(len(scales) + 1)]
        passes = {name: self._passes(name, value, len(x_t), absent) for name, value in condition.items()}
        times = t.expand(len(x_t)).repeat(len(absent)) if isinstance(t, Tensor) else t
        estimates = self.denoiser.predict(torch.cat([x_t] * len(absent)), times, **passes)
        x0s, epss = estimates.x0.chunk(len(absent)), estimates.eps.chunk(len(absent))
        x0, eps = guided(x0s, scales), guided(epss, scales)
        if self.rescale:
            deviation, plain = (each.flatten(1).std(1) for each in (x0, x0s[0]))
            x0 = broadcast(1 - self.rescale + self.rescale * plain / deviation, x0) * x0
            _, eps = X0.solve(x_t, x0, *self.schedule.at(t))
        fraction = estimates.variance_fraction
        return Prediction(x0, eps, None if fraction is None else fraction[: len(x_t)])

    def _passes(self, name: str, value: Any, count: int, absent: Sequence[Sequence[str]]) -> Any:
        """The condition in all passes; what is no tensor is the same in all, unless it is dropped."""
        if value is None or (name not in self.scales and not isinstance(value, Tensor)):
            return value
        if not isinstance(value, Tensor):
            raise InputError(f"guidance drops {name}: give it as a tensor, one row for each image")
        value = value.expand(count, *value.shape[1:])
        nothing = torch.as_tensor(self.drop.get(name, 0.0 if value.is_floating_point() else NO_CLASS)).to(value)
        return torch.cat([nothing.expand_as(value) if name in names else value for names in absent])


def guided(estimates: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
    """Extrapolate from the last estimate through those before, each of which has more conditions than the next."""
    value = estimates[-1]
    for (more, fewer), scale in reversed([*zip(pairwise(estimates), scales, strict=True)]):
        value = value + scale * (more - fewer)  # CFG (6), with scale = 1 + w
    return value


class AutoGuidance(Wrapper):
    """Guidance by a weaker model of the same data: extrapolation from its estimate to that of the denoiser.

    Args:
        denoiser: The denoiser.
        weak: A denoiser that makes the same errors, only larger: a snapshot of the run, or a smaller model. It gets the
            same conditions.
        scale: 1 is the denoiser alone, more trades diversity for fidelity.

    Raises:
        InputError: If the two have other schedules.

    References:
        Karras et al., *Guiding a diffusion model with a bad version of itself* (2024).
    """

    def __init__(self, denoiser: Denoiser, weak: Denoiser, scale: float) -> None:
        super().__init__(denoiser)
        self.weak, self.scale = weak, scale
        one, other = (torch.stack([each.schedule.signal, each.schedule.noise]) for each in (denoiser, weak))
        if one.shape != other.shape or largest_difference(one, other) is not None:
            raise InputError("the weaker model has another schedule: take a snapshot of the same run")

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε, by a forward pass of each model."""
        strong, weak = (each.predict(x_t, t, **condition) for each in (self.denoiser, self.weak))
        x0, eps = guided([strong.x0, weak.x0], [self.scale]), guided([strong.eps, weak.eps], [self.scale])
        return Prediction(x0, eps, strong.variance_fraction)


class Interval(Wrapper):
    """Guidance within an interval of noise levels, and the plain denoiser outside of it.

    Args:
        guidance: A wrapper of a denoiser.
        low: The lowest noise level b_t/a_t that is guided.
        high: The highest one.

    References:
        Kynkäänniemi et al., *Applying guidance in a limited interval improves sample and distribution quality in
        diffusion models* (2024).
    """

    def __init__(self, guidance: Wrapper, low: float = 0.0, high: float = math.inf) -> None:
        super().__init__(guidance)
        if not 0 <= low < high:
            raise InputError(f"an interval of noise levels needs 0 <= low < high, not {low} and {high}")
        self.low, self.high = low, high

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε. Times of a batch that differ take both forward passes where some are in the interval."""
        assert isinstance(self.denoiser, Wrapper)
        a, b = (torch.as_tensor(scale) for scale in self.schedule.at(t))
        inside = (self.low * a <= b) & (b <= self.high * a)
        if not bool(inside.any()):
            return self.denoiser.denoiser.predict(x_t, t, **condition)
        prediction = self.denoiser.predict(x_t, t, **condition)
        if bool(inside.all()):
            return prediction
        plain = self.denoiser.denoiser.predict(x_t, t, **condition)
        rows = inside.to(x_t.device).reshape(-1, *[1] * (x_t.ndim - 1))
        return Prediction(
            prediction.x0.where(rows, plain.x0), prediction.eps.where(rows, plain.eps), plain.variance_fraction
        )
