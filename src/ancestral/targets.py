"""The second row of the matrix: what the network predicts, and the one solve that turns its output into x_0 and ε.

    [ x_t    ]   [ a  b ] [ x_0 ]
    [ target ] = [ p  q ] [ ε   ]

A target is two functions p(a, b) and q(a, b). With d = a q − b p, the output and x_t give back x_0 and ε. No other
conversion exists in the package: clipping x̂_0 and the exact denoisers go through `X0.solve` too. All is differentiable
in samples, in estimates and in scales that are tensors, any number of times.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, SupportsIndex, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.base.registries import TARGETS
from ancestral.base.transforms import certain
from ancestral.gaussian import Scalar, sqrt
from ancestral.schedules import Schedule, Time, broadcast, check_count, per_item


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """Estimates of the two unknowns of the first row, with x_t = a x0 + b eps. It unpacks as `x0, eps`.

    Attributes:
        x0: The estimate of x_0, (B, *).
        eps: The estimate of ε, (B, *).
        variance_fraction: A learned reverse variance, (B, *): 0 is β̃, 1 is β. None where it is not learned.
    """

    x0: Tensor
    eps: Tensor
    variance_fraction: Tensor | None = None

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.x0, self.eps))

    def clipped(self, limit: float, x_t: Tensor, a: Scalar, b: Scalar) -> "Prediction":
        """Clip x̂_0 to [−limit, limit], with the ε̂ that then agrees with x_t."""
        x0, eps = X0.solve(x_t, self.x0.clamp(-limit, limit), a, b)
        return Prediction(x0, eps, self.variance_fraction)


@runtime_checkable
class Denoiser(Protocol):
    """Anything that estimates x_0 and ε from x_t: a trained `Diffusion`, an exact oracle, or a wrapper of either."""

    @property
    def schedule(self) -> Schedule:
        """The forward process that made x_t."""
        ...

    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        """Estimate x_0 and ε, for x_t (B, *) at times t in [0, T]. At t = 0 they are x_t and 0."""
        ...


def for_move(denoiser: Denoiser, move: Any) -> Denoiser:
    """The denoiser of one step of a sampler, by its method `for_move`, for those that have one.

    A denoiser that depends on more than (x_t, t), for example on the time after the step or on the images' indices,
    has a method `for_move(move)` that returns the denoiser of this step; the sampling loop calls it before each step. A
    denoiser without one is the same in every step.

    Args:
        denoiser: Any denoiser.
        move: The step, a `samplers.Move`.
    """
    specialise: Callable[[Any], Denoiser] | None = getattr(denoiser, "for_move", None)
    return denoiser if specialise is None else specialise(move)


DROP_RATES = ("p", "dropout", "drop_prob")
"""Attributes of layers that hold the probability with which they drop elements, or branches, in training."""


def check_denoiser(denoiser: object) -> None:
    """Refuse what is no denoiser, and warn if a layer of one, or of those that it wraps, answers at random.

    A layer that drops elements or normalises by the batch does so in training mode. Modules are built in this mode, and
    their owner chooses it: nothing is changed here. A layer that answers the same in both modes is no reason to warn.

    Raises:
        InputError: If it has no schedule, or no method `predict`.
    """
    if not isinstance(denoiser, Denoiser):
        wrap = ": wrap the network, Diffusion(net, schedule, target)" if isinstance(denoiser, nn.Module) else ""
        raise InputError(f"a denoiser needs a schedule and a method predict, which {shown(denoiser)} lacks{wrap}")
    seen: set[int] = set()
    parts = [denoiser]
    while parts:
        part = parts.pop()
        if isinstance(part, nn.Module):
            layer = next(filter(_differs_in_training, part.modules()), None)
            if layer is not None:
                warnings.warn(
                    f"the network is in training mode, in which its layer {type(layer).__name__} answers at random or "
                    "by the other items of the batch: call .eval() on the denoiser before",
                    stacklevel=2,
                )
                return
        elif id(part) not in seen:
            seen.add(id(part))
            values = getattr(part, "__dict__", {}).values()
            parts += [value for value in values if isinstance(value, nn.Module) or hasattr(value, "predict")]


def _differs_in_training(layer: nn.Module) -> bool:
    rates = (getattr(layer, name, None) for name in DROP_RATES)
    drops = any(isinstance(rate, float) and 0 < rate < 1 for rate in rates)
    return layer.training and (drops or isinstance(layer, nn.modules.batchnorm._BatchNorm))


_Predict = TypeVar("_Predict", bound=Callable[..., Prediction])


def exact_at_zero(predict: _Predict) -> _Predict:
    """Complete a method `predict` that is defined for t > 0: clean samples, at t = 0, are (x_t, 0) without evaluation.

    The method is then called with times that `Schedule.time` returned.
    """

    @functools.wraps(predict)
    def complete(self: Any, x_t: Tensor, t: Time, **condition: Any) -> Prediction:
        t = self.schedule.time(t)
        if not isinstance(t, Tensor):
            return predict(self, x_t, t, **condition) if t > 0 else Prediction(x_t, torch.zeros_like(x_t))
        check_count(t, x_t)
        noisy = t > 0
        if certain(noisy.all()):
            return predict(self, x_t, t, **condition)
        if certain(~noisy.any()):
            return Prediction(x_t, torch.zeros_like(x_t))
        prediction = predict(self, x_t, t.where(noisy, 1), **condition)
        mask = per_item(noisy, x_t)
        x0, eps = prediction.x0.where(mask, x_t), prediction.eps.where(mask, 0.0)
        return Prediction(x0, eps, prediction.variance_fraction)

    return cast(_Predict, complete)


def unscaled(a: Scalar, b: Scalar) -> Scalar:
    """The scale 1."""
    return 1.0


@dataclass(frozen=True)
class Target:
    """One choice of the second row, with the scales of the network's input and output.

    The targets of this module are pickled by their names. For others, take functions that have names, not lambdas.

    Attributes:
        name: Its name in a config and in a model file.
        p: The coefficient of x_0, a function of (a, b).
        q: The coefficient of ε, likewise.
        input_scale: The factor of the network's input; None: 1, or `unit_scale` where noise b_T exceeds 1.
        output_scale: The factor of the network's answer.
    """

    name: str
    p: Callable[[Scalar, Scalar], Scalar]
    q: Callable[[Scalar, Scalar], Scalar]
    input_scale: Callable[[Scalar, Scalar], Scalar] | None = None
    output_scale: Callable[[Scalar, Scalar], Scalar] = unscaled

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        return (from_name, (self.name,)) if BY_NAME.get(self.name) is self else super().__reduce_ex__(protocol)

    def scales(self, schedule: Schedule, t: Time) -> tuple[Scalar, Scalar]:
        """Factors of the network's input and of its output at times t in (0, T], which keep both of order 1."""
        a, b = schedule.at(t)
        input_scale = self.input_scale or (unit_scale if schedule.largest_noise > 1 else unscaled)
        return input_scale(a, b), self.output_scale(a, b)

    def tables(self, schedule: Schedule) -> dict[str, list[float]]:
        """The coefficients and the scales at t = 1..T, by their names in the files for other programs."""
        t = torch.arange(1, schedule.steps + 1)
        a, b = schedule.at(t)
        input_scale, output_scale = self.scales(schedule, t)
        columns = {
            "target_x0": self.p(a, b),
            "target_eps": self.q(a, b),
            "input_scale": input_scale,
            "output_scale": output_scale,
        }
        return {name: torch.as_tensor(column).expand(len(t)).tolist() for name, column in columns.items()}

    def from_x0_eps(self, x0: Tensor, eps: Tensor, a: Scalar, b: Scalar) -> Tensor:
        """The target p x_0 + q ε, of shape (B, *)."""
        p, q = broadcast(self.p(a, b), x0), broadcast(self.q(a, b), x0)
        return p * x0 + q * eps

    def determinant(self, a: Scalar, b: Scalar) -> Scalar:
        """The determinant d = a q − b p. If d = 0 the system is singular and x_0 cannot be recovered."""
        return a * self.q(a, b) - b * self.p(a, b)

    def solve(self, x_t: Tensor, output: Tensor, a: Scalar, b: Scalar) -> Prediction:
        """Solve for x_0 and ε, given x_t and an estimate of the target, both (B, *). Coefficients are float64.

        Raises:
            InputError: If the determinant is 0, as for ε where no signal is left (a = 0).
        """
        p, q, d = self.p(a, b), self.q(a, b), self.determinant(a, b)
        if certain((d == 0).any()) if isinstance(d, Tensor) else d == 0:
            raise InputError(
                f"the target {self.name} says nothing where signal is {a} and noise {b}: start from another time, or "
                "train another target (v, flow and edm are defined everywhere)"
            )
        x0 = broadcast(q / d, x_t) * x_t - broadcast(b / d, x_t) * output  # (15), DDIM (9), for p = 0 and q = 1
        eps = broadcast(a / d, x_t) * output - broadcast(p / d, x_t) * x_t
        return Prediction(x0, eps)


SIGMA_DATA = 0.5
"""EDM's σ_d, the standard deviation that its preconditioning assumes of data in [−1, 1]."""
SKIP_SIGMA = 0.03
"""The noise level σ = b/a at which x̂_0 of the target `SKIP` is half x_t/a and half the network's answer."""


def unit_scale(a: Scalar, b: Scalar) -> Scalar:
    """1/√(b² + σ_d² a²), which scales x_t to standard deviation 1: EDM's c_in."""
    return 1 / _deviation(a, b)


def _deviation(a: Scalar, b: Scalar) -> Scalar:
    return sqrt(b**2 + SIGMA_DATA**2 * a**2)


EPS = Target("eps", lambda a, b: 0.0, lambda a, b: 1.0)  # Ho et al. 2020
X0 = Target("x0", lambda a, b: 1.0, lambda a, b: 0.0)
V = Target("v", lambda a, b: -b, lambda a, b: a)  # Salimans and Ho 2022
SCORE = Target(  # ∇ log p_t: NCSN (5), EDM (3). The network's answer is divided by σ: NCSNv2's technique 3 (2020)
    "score", lambda a, b: 0.0, lambda a, b: -1 / b, input_scale=unit_scale, output_scale=lambda a, b: 1 / b
)
FLOW = Target("flow", lambda a, b: -1.0, lambda a, b: 1.0)  # the velocity ε − x_0: rectified flow (1)
EDM = Target(  # F of EDM (7), with c_in as the input scale; for σ_d = 1 it is −v
    "edm",
    lambda a, b: b / (SIGMA_DATA * _deviation(a, b)),
    lambda a, b: -SIGMA_DATA * a / _deviation(a, b),
    input_scale=unit_scale,
)
SKIP = Target(  # x̂_0 = c x_t/a + (1 − c) output, with c = s²/(s² + σ²) and σ = b/a: Song et al. 2023, appendix C
    "skip", lambda a, b: 1.0, lambda a, b: -(SKIP_SIGMA**2) * a / b
)

BY_NAME: dict[str, Target] = TARGETS.load()


def from_name(name: str) -> Target:
    """Return the target called `name`. Raises InputError for an unknown name."""
    return BY_NAME[TARGETS.find(name).name]
