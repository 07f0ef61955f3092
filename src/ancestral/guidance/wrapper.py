"""Denoisers that wrap another: their base, clipping, x_t itself at low noise, and guidance at some noise levels."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.base.transforms import certain, pullback
from ancestral.schedules import Schedule, Time, per_item
from ancestral.targets import SKIP, Denoiser, Prediction, exact_at_zero, for_move


@checked_class
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

    def estimate(
        self, x_t: Tensor, t: Time, condition: Mapping[str, Any]
    ) -> tuple[tuple[Tensor, ...], Callable[[Tensor], Tensor]]:
        """Evaluate the wrapped denoiser, for estimates that need its Jacobian.

        Returns:
            x̂_0 and, where it is learned, the variance fraction; and v ↦ (∂x̂_0/∂x_t)ᵀ v. See `transforms.pullback`.

        Raises:
            InputError: If x̂_0 carries no gradient of x_t.
        """

        def results(x: Tensor) -> tuple[Tensor, ...]:
            prediction = self.denoiser.predict(x, t, **condition)
            if not prediction.x0.requires_grad:
                raise InputError(
                    f"x̂_0 of this {type(self.denoiser).__name__} carries no gradient of x_t, which "
                    f"{type(self).__name__} needs here: leave out no_grad and detach, or take a method without Jacobian"
                )
            fraction = prediction.variance_fraction
            return (prediction.x0,) if fraction is None else (prediction.x0, fraction)

        return pullback(results, x_t)


class MoveWrapper(Wrapper):
    """A wrapper whose estimates depend on the step that a sampler makes.

    Attributes:
        move: The step, a `samplers.Move`; None outside of a sampler.
    """

    move: Any = None

    def for_move(self, move: Any) -> Self:
        """See `targets.for_move`: the wrapper of this step."""
        wrapper = copy.copy(self)
        wrapper.denoiser, wrapper.move = for_move(self.denoiser, move), move
        return wrapper


@checked_class
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


class Skip(Wrapper):
    """A denoiser that takes x_t itself for clean where little noise is left: c x_t/a + (1 − c) x̂_0, c = s²/(s² + σ²).

    These are the weights of two independent estimates of x_0, of which x_t/a has the variance σ² = b²/a² and that of
    the denoiser s², with s = `targets.SKIP_SIGMA`. A network's x̂_0 of a clean image is not that image. So the exact
    inverse of its sampler, if there is one, has an x_T far from normal: it grows as the error of x̂_0 over the noise of
    the last time. With this wrapper each x_0 has an x_T, of order 1 for errors of order s; see `samplers.invert`. The
    price are samples with noise: a part s of the noise of x_T stays in them.

    Args:
        denoiser: The denoiser to wrap.

    References:
        Song et al., *Consistency models* (2023), appendix C: c_skip and c_out, here around any denoiser.
    """

    @exact_at_zero
    def predict(self, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        """Estimate x_0 and ε."""
        estimate = self.denoiser.predict(x_t, t, **condition)
        x0, eps = SKIP.solve(x_t, estimate.x0, *self.schedule.at(t))
        return Prediction(x0, eps, estimate.variance_fraction)


@checked_class
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
