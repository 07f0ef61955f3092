"""A denoiser that wraps another."""

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor

from ancestral.schedules import Schedule, Time
from ancestral.targets import Denoiser, Prediction, exact_at_zero, for_move


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
