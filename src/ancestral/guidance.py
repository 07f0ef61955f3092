"""Guidance: denoisers that wrap denoisers, so that every sampler can use them."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ancestral.errors import InputError
from ancestral.schedules import Schedule, Time
from ancestral.targets import Denoiser, Prediction, for_move

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
    """Classifier-free guidance: extrapolation from the estimate without a condition to that with it.

    Both estimates come from one forward pass over a doubled batch.

    Args:
        denoiser: A denoiser that was trained with and without the condition.
        scale: 0 ignores the condition, 1 is plain conditioning, more trades diversity for fidelity.
        drop: The conditions to drop for the second estimate, by name, with the value that stands for their absence: a
            number, or a tensor that broadcasts against the condition. By default the labels.

    References:
        Ho and Salimans, *Classifier-free diffusion guidance* (2022), eq. 6.
    """

    def __init__(self, denoiser: Denoiser, scale: float, drop: Mapping[str, float | Tensor] | None = None) -> None:
        super().__init__(denoiser)
        drop = {"labels": NO_CLASS} if drop is None else drop
        if (
            not isinstance(drop, Mapping)
            or not drop
            or not all(isinstance(v, int | float | Tensor) for v in drop.values())
        ):
            raise InputError("drop names at least one condition, each with the number or tensor that is its absence")
        self.scale, self.drop = scale, dict(drop)

    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε with guidance. Raises InputError if none of the conditions to drop is given."""
        if all(condition.get(name) is None for name in self.drop):
            names = " or ".join(self.drop)
            raise InputError(f"guidance strengthens {names}, and none is given: pass {names}=..., one for each image")
        both = {name: self._pair(name, value, len(x_t)) for name, value in condition.items()}
        times = t.expand(len(x_t)).repeat(2) if isinstance(t, Tensor) else t
        estimates = self.denoiser.predict(torch.cat([x_t, x_t]), times, **both)
        (x0, free_x0), (eps, free_eps) = (part.chunk(2) for part in estimates)
        variance_fraction = None if estimates.variance_fraction is None else estimates.variance_fraction[: len(x_t)]
        return Prediction(  # CFG (6), with scale = 1 + w
            free_x0 + self.scale * (x0 - free_x0), free_eps + self.scale * (eps - free_eps), variance_fraction
        )

    def _pair(self, name: str, value: Any, count: int) -> Any:
        """The condition for both halves of the batch; what is no tensor is the same for both, unless it is dropped."""
        if value is None or (name not in self.drop and not isinstance(value, Tensor)):
            return value
        if not isinstance(value, Tensor):
            raise InputError(f"guidance drops {name}: give it as a tensor, one row for each image")
        value = value.expand(count, *value.shape[1:])
        absent = torch.as_tensor(self.drop.get(name, 0), dtype=value.dtype, device=value.device)
        return torch.cat([value, absent.expand_as(value) if name in self.drop else value])
