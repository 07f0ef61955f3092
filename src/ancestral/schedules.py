"""The first row of the matrix: x_t = a_t x_0 + b_t ε, and with it all of the forward process q.

A schedule is two curves over t in [0, T], a_t and b_t, with clean data at t = 0 (a = 1, b = 0). At the integers they
are the tables `signal` and `noise`, between them a closed form or a smooth interpolation. Nothing in q is learned, so
everything about it is a method here: the steps q(x_t | x_{t−1}), their closed form q(x_t | x_0), and the posterior
q(x_{t−1} | x_t, x_0) that the reverse process imitates. For times s < t the step is again Gaussian,

    q(x_t | x_s) = N((a_t/a_s) x_s, β_ts),      β_ts = b_t² − (a_t/a_s)² b_s²,

which for s = t − 1 is the paper's β_t. The subtraction is deliberate: 1 − (a_t/a_s)² has ten times its rounding error.
Equation numbers are those of Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020).

All is differentiable in samples and, except at kinks of a curve, in times that are float tensors. Times that are
tensors have gradients in the parameters of a learned curve too; numbers have none.
"""

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ancestral import curves
from ancestral.base.arguments import checked
from ancestral.base.errors import InputError, whole
from ancestral.base.registries import SCHEDULES
from ancestral.base.transforms import certain, transformed
from ancestral.curves import Curve, Interpolation, Level
from ancestral.gaussian import DiagonalGaussian, Scalar

Time = int | float | Tensor
"""One time for the whole batch, or a tensor (B,) with one for each image. Integers and floats are both times."""
MAX_STEPS = 1_000_000
"""The largest T of the schedules below, whose tables then take 16 MB."""
LEARNED_TABLES = ("signal", "noise", "largest_noise")
"""The attributes that a schedule with a learned curve computes when they are read."""
CLOSE = 1e-6
"""The relative difference up to which two tables, or a curve and its table, agree."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """The scales a_t and b_t, and with them the forward process q.

    Attributes:
        signal: a_t, float64 (T + 1,) on the CPU, from a_0 = 1, which is clean data.
        noise: b_t, likewise, from b_0 = 0; b_t/a_t never falls.
        prior_std: Standard deviation of x_T, from which sampling starts.
        spec: The name and arguments from which `from_spec` rebuilds the schedule, as kept in a model file.
        curve: a and b between the integers, through the tables; by default a smooth interpolation of them. A model file
            keeps the tables alone, so a custom form is given again to `load`. A curve with parameters, a module or
            a function whose values require gradients, is evaluated at the integers too: `signal` and `noise` are its
            present values there, and `at` and `rates` are differentiable in the parameters.
        extends: Whether the curve goes on above T, as the noise levels of `karras` do: float times may then exceed T.
        steps: T, the number of noisy states.
        learned: Whether the curve has parameters.
        largest_noise: b_T.
    """

    signal: Tensor = field(repr=False)
    noise: Tensor = field(repr=False)
    prior_std: float = 1.0
    spec: dict[str, Any] = field(default_factory=dict)
    curve: Curve = field(default=None, repr=False)  # type: ignore[assignment]  # never None after __post_init__
    extends: bool = False
    steps: int = field(init=False, repr=False)
    learned: bool = field(init=False, repr=False)
    largest_noise: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Convert the tables to float64. Raises InputError if they are not those of a forward process."""
        try:
            a, b = (torch.as_tensor(table, dtype=torch.float64, device="cpu") for table in (self.signal, self.noise))
        except (TypeError, ValueError, RuntimeError):
            raise InputError("signal and noise must be tables of numbers, a_0..a_T and b_0..b_T") from None
        a, b = a.detach(), b.detach()
        if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
            raise InputError(f"signal and noise must be two tables of T + 1, not {list(a.shape)} and {list(b.shape)}")
        if not bool((a.isfinite() & b.isfinite() & (a >= 0) & (b >= 0)).all()):
            raise InputError("signal and noise must be finite numbers, at least 0")
        if a[0] != 1 or b[0] != 0 or not bool((b[1:] > 0).all()):
            raise InputError("signal must begin with 1 and noise with 0, which is clean data, and then have noise")
        if not bool((b[:-1] * a[1:] <= b[1:] * a[:-1] * (1 + 1e-9)).all()):
            raise InputError("noise/signal must not fall from one time to the next")
        if not 0 < self.prior_std < math.inf:
            raise InputError(f"prior_std must be a number above 0, not {self.prior_std}")
        object.__setattr__(self, "signal", a)
        object.__setattr__(self, "noise", b)
        object.__setattr__(self, "steps", len(a) - 1)
        object.__setattr__(self, "largest_noise", float(b[-1]))  # a number, which a compiler can ask for
        if self.curve is None or not self._curve_passes():
            object.__setattr__(self, "curve", Interpolation.of(a, b))
            object.__setattr__(self, "extends", False)
        object.__setattr__(self, "learned", self._curve_has_parameters())
        if self.learned:
            for table in LEARNED_TABLES:
                object.__delattr__(self, table)

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            """Compute a table of a learned curve, which has none, from the present parameters."""
            if name not in LEARNED_TABLES:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            with torch.no_grad():
                signal, noise = self.at(torch.arange(self.steps + 1))
            return signal if name == "signal" else noise if name == "noise" else float(noise[-1])

    def _curve_has_parameters(self) -> bool:
        """Whether the curve is a module, a method of one, or has values that require gradients."""
        if isinstance(self.curve, nn.Module) or isinstance(getattr(self.curve, "__self__", None), nn.Module):
            return True
        with torch.enable_grad():
            return any(scale.requires_grad for scale in self.curve(torch.zeros(1, dtype=torch.float64)))

    def _curve_passes(self) -> bool:
        """Whether the curve passes through the tables.

        Raises:
            InputError: If a custom one does not. One of this package does not where only the tables were replaced.
        """
        t = torch.arange(len(self.signal), dtype=torch.float64)
        try:
            a, b = self.curve(t)
            curve_values = torch.stack([a.expand_as(t), b.expand_as(t)]).detach()
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(f"curve maps times, a float64 tensor (*), to two tensors a and b (*): {error}") from None
        tables = torch.stack([self.signal, self.noise])
        worst = largest_difference(tables, curve_values)
        if worst is None:
            return True
        if getattr(getattr(self.curve, "func", type(self.curve)), "__module__", "") != curves.__name__:
            (a_t, b_t), (a_c, b_c) = tables[:, worst].tolist(), curve_values[:, worst].tolist()
            raise InputError(
                f"curve does not pass through the tables: at t = {worst} it is a = {a_c:.4g}, b = {b_c:.4g}, and they "
                f"hold {a_t:.4g}, {b_t:.4g}; give no curve to interpolate them"
            )
        return False

    @property
    def alpha_bar(self) -> Tensor:
        """ᾱ_t = a_t², float64 of T + 1 entries."""
        return self.signal**2

    @property
    def snr(self) -> Tensor:
        """The signal-to-noise ratio a_t²/b_t², float64 of T + 1 entries, falling from ∞ at t = 0."""
        return (self.signal / self.noise) ** 2

    @property
    def beta(self) -> Tensor:
        """β_t, the variance of the step t − 1 → t: float64 of T + 1 entries, with β_0 = 0."""
        t = torch.arange(1, self.steps + 1)
        with torch.no_grad():
            return torch.cat([torch.zeros(1, dtype=torch.float64), torch.as_tensor(self.forward_variance(t, t - 1))])

    def at(self, t: Time) -> tuple[Scalar, Scalar]:
        """Scales (a_t, b_t) at time t in [0, T]: two floats for one time, float64 (B,) on the CPU for a tensor (B,).

        At the integers they are the entries of the tables, for floats too. They are differentiable in a float tensor t,
        and those of a tensor t in the parameters of a learned curve.

        Raises:
            InputError: If t is not a number, or not in [0, T].
        """
        t = self.time(t)
        if isinstance(t, int) and not self.learned:
            return float(self.signal[t]), float(self.noise[t])
        if not isinstance(t, Tensor):
            with torch.no_grad():
                a, b = self.curve(torch.tensor(t, dtype=torch.float64))
            return float(a), float(b)
        if self.learned:
            a, b = self.curve(t.double())
            return a.expand_as(t), b.expand_as(t)
        if not t.is_floating_point():
            return self.signal[t], self.noise[t]
        entries = t.detach().round().long().clamp(max=self.steps)
        exact = (t == entries).detach()
        return tuple(  # type: ignore[return-value]  # the table's value, with the curve's derivative
            value + (table[entries] - value).detach().where(exact, 0.0)
            for value, table in zip(self.curve(t), (self.signal, self.noise), strict=True)
        )

    def rates(self, t: Time) -> tuple[Scalar, Scalar]:
        """Derivatives (da/dt, db/dt) at time t in [0, T]: two floats, or float64 (B,) on the CPU for a tensor (B,).

        At t = 0, db/dt is infinite on `sigmoid`, and on `cosine` with an offset. Where the curve has a kink, it is the
        derivative to the right. Those of a tensor t are differentiable in it and in the parameters of a learned curve.

        Raises:
            InputError: If t is not a number, or not in [0, T].
        """
        t = self.time(t)
        at = torch.as_tensor(t, dtype=torch.float64)
        keep_graph = at.requires_grad or (self.learned and isinstance(t, Tensor) and torch.is_grad_enabled())
        with torch.enable_grad():
            leaf = at if at.requires_grad else at.detach().clone().requires_grad_()
            da, db = (  # the sum has the derivatives of all; a constant curve has none
                torch.autograd.grad(scale.expand_as(at).sum(), leaf, None, True, keep_graph, materialize_grads=True)[0]
                if scale.requires_grad
                else torch.zeros_like(at)
                for scale in self.curve(leaf)
            )
        return (da, db) if isinstance(t, Tensor) else (float(da), float(db))

    def time_at(self, sigma: Scalar) -> Scalar:
        """Find the time t at which the noise level b_t/a_t is sigma.

        Args:
            sigma: Noise levels, 0 or more; a float, or a tensor (B,).

        Returns:
            t in [0, T], a float, or float64 (B,) on the CPU; T where sigma is above the level at T, unless the schedule
            `extends`. It is differentiable in sigma, any number of times, by dt/dσ = 1/(dσ/dt), which is 0 above the
            level at T. It has no gradient in the parameters of a learned curve.

        Raises:
            InputError: If a level is negative or NaN, or infinite where the schedule `extends`.
        """
        if not isinstance(sigma, Tensor | numbers.Real) or isinstance(sigma, bool):
            raise InputError(f"a noise level is a number of at least 0, or a tensor (B,) of them, not {sigma!r}")
        level = torch.as_tensor(sigma, dtype=torch.float64, device="cpu")
        if not bool((level >= 0).all()) or (self.extends and not bool(level.isfinite().all())):
            finite = ", and finite on a schedule that goes on above T" if self.extends else ""
            raise InputError(f"a noise level is a number of at least 0{finite}, not {sigma}")
        t = _TimeAt.apply(self, level) if level.requires_grad else self._time_at(level)
        return t if isinstance(sigma, Tensor) else float(t)

    @torch.no_grad()
    def _time_at(self, level: Tensor) -> Tensor:
        """See `time_at`, for noise levels, float64 (*), on the CPU."""
        cos, sin = torch.cos(level.atan()), torch.sin(level.atan())

        def excess(t: Tensor) -> Tensor:  # of the angle of (a, b), whose tangent is the noise level
            a, b = self.curve(t)
            return cos * b - sin * a

        table = self.noise / self.signal
        high = torch.searchsorted(table, level).clamp(1, self.steps).double()
        low = high - 1
        while self.extends and bool((excess(high) < 0).any()):
            low, high = torch.where(excess(high) < 0, high, low), torch.where(excess(high) < 0, 2 * high, high)
        t = curves.root(excess, low, high).where(level > 0, 0.0)
        return t if self.extends else t.where(level < table[-1], float(self.steps))

    def time(self, t: Time) -> Time:
        """Convert t to one of three types.

        Args:
            t: One time, a number of Python or NumPy, or a tensor of any real dtype, of shape (B,) or ().

        Returns:
            An int (for a float without a fraction too), a float, or a tensor on the CPU: int64, or float64 for floats.

        Raises:
            InputError: If t is not a number, not in [0, T], or a tensor of another shape.
        """
        top = math.inf if self.extends else self.steps
        if torch.compiler.is_compiling() and not isinstance(t, Tensor):  # or each number would be compiled anew
            t = torch.full((1,), t, dtype=torch.float64 if isinstance(t, float) else torch.int64)
        if not isinstance(t, Tensor):
            if isinstance(t, numbers.Real) and not isinstance(t, bool) and 0 <= t <= top and t < math.inf:
                if t <= self.steps and t == int(t):
                    return int(t)
                if not isinstance(t, numbers.Integral):
                    return float(t)
            raise InputError(f"times must be numbers in 0..{self.steps}, or a tensor (B,) of them, not {t}")
        if t.is_complex() or t.dtype == torch.bool or t.ndim > 1:
            raise InputError(
                f"times must be numbers, a tensor (B,) of integers or floats, not {t.dtype} {tuple(t.shape)}"
            )
        t = t.cpu().double() if t.is_floating_point() else t.long().cpu()
        if torch.compiler.is_compiling() or transformed():
            t = t.reshape(-1)  # tables cannot be indexed with () there
        last = top if t.is_floating_point() else self.steps
        if certain(~((t >= 0) & (t <= last) & (t < math.inf)).all()):
            raise InputError(f"times {t.min().item()}..{t.max().item()} are outside this schedule's 0..{self.steps}")
        return t

    def prior_deviation(self, t: Time) -> Scalar:
        """Standard deviation of the prior at time t: `prior_std` · b_t/b_T, a float or float64 (B,).

        x_T ~ N(0, prior_std²) holds no data, so the DDIM step from T to t with x̂_0 = 0 multiplies it by b_t/b_T.
        """
        last = self.at(torch.tensor([self.steps]) if self.learned and isinstance(t, Tensor) else self.steps)
        return self.prior_std * (self.at(t)[1] / last[1])

    def forward_variance(self, t: Time, s: Time) -> Scalar:
        """β_ts, the variance of q(x_t | x_s) for s < t, in float64."""
        (a_t, b_t), (a_s, b_s) = self.at(t), self.at(s)
        return b_t**2 - (a_t / a_s) ** 2 * b_s**2  # β_t for s = t − 1; of longer steps improved DDPM (19)

    def posterior_variance(self, t: Time, s: Time) -> Scalar:
        """β̃_ts, the variance of q(x_s | x_t, x_0) for s < t, in float64."""
        (_, b_t), (_, b_s) = self.at(t), self.at(s)
        return self.forward_variance(t, s) * b_s**2 / b_t**2  # (7), improved DDPM (19)

    def forward(self, x_s: Tensor, t: Time, s: Time) -> DiagonalGaussian:
        """q(x_t | x_s), for x_s of shape (B, *); with s = t − 1 one step of the chain."""
        (a_t, _), (a_s, _) = self.at(t), self.at(s)
        # (2)  q(x_t|x_{t−1}) = N(√(1−β_t) x_{t−1}, β_t I)
        return DiagonalGaussian(broadcast(a_t / a_s, x_s) * x_s, broadcast(self.forward_variance(t, s), x_s))

    def marginal(self, x0: Tensor, t: Time) -> DiagonalGaussian:
        """q(x_t | x_0), all t steps at once, for x0 of shape (B, *)."""
        a, b = (broadcast(scale, x0) for scale in self.at(t))
        return DiagonalGaussian(a * x0, b**2)  # (4)  q(x_t|x_0) = N(√ᾱ_t x_0, (1−ᾱ_t) I)

    def add_noise(self, x0: Tensor, t: Time, eps: Tensor) -> Tensor:
        """x_t of shape (B, *) from clean x0 and noise eps ~ N(0, I) of the same shape."""
        a, b = (broadcast(scale, x0) for scale in self.at(t))
        return a * x0 + b * eps  # (4), sampled: x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε

    def posterior(self, x0: Tensor, x_t: Tensor, t: Time, s: Time) -> DiagonalGaussian:
        """q(x_s | x_t, x_0) for s < t: the reverse step if x_0 were known."""
        (a_t, b_t), (a_s, b_s) = self.at(t), self.at(s)
        x0_weight = a_s * self.forward_variance(t, s) / b_t**2  # (7)  √ᾱ_{t−1} β_t / (1−ᾱ_t)
        xt_weight = (a_t / a_s) * b_s**2 / b_t**2  # (7)  √α_t (1−ᾱ_{t−1}) / (1−ᾱ_t)
        mean = broadcast(x0_weight, x0) * x0 + broadcast(xt_weight, x0) * x_t
        return DiagonalGaussian(mean, broadcast(self.posterior_variance(t, s), x0))  # (6)


class _TimeAt(torch.autograd.Function):
    """`Schedule.time_at` of a tensor, with the derivative of the inverse function."""

    @staticmethod
    def forward(schedule: Schedule, level: Tensor) -> Tensor:
        return schedule._time_at(level)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Schedule, Tensor], output: Tensor) -> None:
        ctx.schedule, level = inputs
        ctx.save_for_backward(level)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        schedule: Schedule = ctx.schedule
        (level,) = ctx.saved_tensors
        t = schedule.time_at(level)  # with its own gradient, for second derivatives
        (a, b), (da, db) = schedule.at(t), schedule.rates(t)
        slope = (a**2 + b**2) / ((a * db - b * da) * (1 + level**2))  # of the angle arctan(b/a), which is finite
        inside = level.isfinite() & ((t < schedule.steps) | schedule.extends | (level == b / a))
        return None, gradient * slope.where(inside, 0.0)


def broadcast(value: Scalar, like: Tensor) -> Scalar:
    """Prepare a coefficient to multiply images.

    Args:
        value: A float, or one number for each image, (B,).
        like: The images, floats (B, *).

    Returns:
        A float unchanged; a tensor with the dtype, device and number of dimensions of `like`.

    Raises:
        InputError: If `like` is not of floats, or `value` has neither one nor B elements.
    """
    check_floats(like)
    if not isinstance(value, Tensor):
        return value
    check_count(value, like)
    return per_item(value.to(dtype=like.dtype), like)


def largest_difference(tables: Tensor, others: Tensor) -> int | None:
    """Return the time at which two tables of (a_t, b_t), (2, T + 1), differ most; None if they agree up to CLOSE."""
    difference = ((others - tables).abs() / tables.clamp(min=CLOSE)).nan_to_num(nan=math.inf).amax(0)
    return int(difference.argmax()) if float(difference.max()) > CLOSE else None


def per_item(value: Tensor, like: Tensor) -> Tensor:
    """Return `value`, one number or truth value for each item, with the device and number of dimensions of `like`."""
    return value.to(like.device, non_blocking=True).reshape(-1, *[1] * (like.ndim - 1))


def check_count(value: Tensor, images: Tensor) -> None:
    """Raise InputError unless `value` has one element, or one for each of the images (B, *)."""
    if value.numel() not in (1, len(images)):
        raise InputError(f"{len(images)} images need one time or {len(images)} times, not {value.numel()}")


def check_floats(x: Tensor) -> None:
    """Raise InputError unless x is of floats: an integer dtype would round the scales to 0."""
    if not x.is_floating_point():
        raise InputError(f"images must be floats in [-1, 1], not {x.dtype}: convert uint8 by x.float() / 127.5 - 1")


@checked
def from_betas(betas: Sequence[float] | Tensor) -> Schedule:
    """The schedule of given β_1..β_T, each in (0, 1): a_t = √ᾱ_t, b_t = √(1−ᾱ_t), ᾱ_t = Π (1−β_s)."""
    beta = torch.as_tensor(betas, dtype=torch.float64)
    if beta.ndim != 1 or not len(beta) or not bool(((beta > 0) & (beta < 1)).all()):
        raise InputError("betas must be a non-empty list of numbers between 0 and 1, the variances of steps 1..T")
    return _variance_preserving(torch.log1p(-beta).cumsum(0), {"name": "from_betas", "betas": beta.tolist()})


@checked
def linear(steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> Schedule:
    """DDPM's schedule (§4): β rises linearly over 1,000 steps, from `beta_start` to `beta_end`.

    The two ends belong to a chain of 1,000 steps. With another T the curve ᾱ(t/T) stays the same, interpolated where T
    does not divide 1,000, so T changes the step size and not the process.
    """
    steps = _check_steps(steps)
    if not 0 < beta_start <= beta_end < 1:
        raise InputError(f"linear needs 0 < beta_start <= beta_end < 1, not {beta_start} and {beta_end}")
    beta = torch.linspace(beta_start, beta_end, 1000, dtype=torch.float64)
    curve = torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-beta).cumsum(0)])  # log ᾱ at 0..1000
    position = torch.arange(1, steps + 1, dtype=torch.float64) * 1000 / steps
    below = position.floor().long().clamp(max=999)
    log_alpha_bar = torch.lerp(curve[below], curve[below + 1], position - below)
    spec = {"name": "linear", "steps": steps, "beta_start": beta_start, "beta_end": beta_end}
    return _variance_preserving(log_alpha_bar, spec)


@checked
def cosine(steps: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> Schedule:
    """Improved DDPM's schedule (Nichol and Dhariwal 2021, eq. 17): ᾱ(u) ∝ cos²((u + offset)/(1 + offset) · π/2).

    `max_beta` caps the last steps, which would otherwise destroy the signal entirely.
    """
    steps = _check_steps(steps)
    if not offset >= 0 or not 0 < max_beta < 1:
        raise InputError(f"cosine needs offset >= 0 and 0 < max_beta < 1, not {offset} and {max_beta}")
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    alpha_bar = torch.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2  # improved DDPM (17)
    spec = {"name": "cosine", "steps": steps, "offset": offset, "max_beta": max_beta}
    return _capped(alpha_bar, spec, partial(curves.cosine, steps=steps, offset=offset))


@checked
def sigmoid(steps: int = 1000, start: float = -3.0, end: float = 3.0, max_beta: float = 0.999) -> Schedule:
    """The sigmoid schedule of Jabri, Fleet and Chen 2022: ᾱ(u) falls as 1/(1 + eᶻ), z from `start` to `end`.

    It is shifted and scaled to ᾱ(0) = 1 and ᾱ(1) = 0; `max_beta` caps the last step as in `cosine`.
    """
    steps = _check_steps(steps)
    if not start < end or not 0 < max_beta < 1:
        raise InputError(f"sigmoid needs start < end and 0 < max_beta < 1, not {start}, {end} and {max_beta}")
    fall = torch.sigmoid(-torch.linspace(start, end, steps + 1, dtype=torch.float64))
    alpha_bar = (fall - fall[-1]) / (fall[0] - fall[-1])
    spec = {"name": "sigmoid", "steps": steps, "start": start, "end": end, "max_beta": max_beta}
    return _capped(alpha_bar, spec, partial(curves.sigmoid, steps=steps, start=start, end=end))


@checked
def geometric(steps: int = 1000, sigma_min: float = 0.01, sigma_max: float = 50.0) -> Schedule:
    """NCSN's noise levels (Song and Ermon 2019): a_t = 1, b_t from σ_min at t = 1 to σ_max at T in equal ratios."""
    _check_sigmas("geometric", sigma_min, sigma_max)
    level = partial(curves.geometric, sigma_min=sigma_min, sigma_max=sigma_max)
    return _variance_exploding(steps, level, {"name": "geometric", "sigma_min": sigma_min, "sigma_max": sigma_max})


@checked
def karras(steps: int = 1000, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Schedule:
    """EDM's noise levels (Karras et al. 2022, eq. 5): a_t = 1, and b_t^(1/ρ) grows evenly from t = 1 to t = T."""
    _check_sigmas("karras", sigma_min, sigma_max)
    if not 0.1 <= rho <= 100:
        raise InputError(f"karras needs a rho between 0.1 and 100, not {rho}")
    level = partial(curves.karras, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
    spec = {"name": "karras", "sigma_min": sigma_min, "sigma_max": sigma_max, "rho": rho}
    return _variance_exploding(steps, level, spec)


@checked
def flow(steps: int = 1000) -> Schedule:
    """The straight line from data to noise (rectified flow; Liu, Gong and Liu 2022): a_t = 1 − t/T, b_t = t/T."""
    steps = _check_steps(steps)
    curve = partial(curves.flow, steps=steps)
    signal, noise = curve(torch.arange(steps + 1, dtype=torch.float64))
    return Schedule(signal, noise, spec={"name": "flow", "steps": steps}, curve=curve)


@checked
def zero_terminal(schedule: Schedule) -> Schedule:
    """`schedule` with a shifted and scaled to a_T = 0, so that x_T holds nothing of the data.

    a_1 stays, and b = √(1 − a²) (Lin et al. 2024, algorithm 1). Raises InputError unless a² + b² = 1, and
    for a learned curve.
    """
    first, last = schedule.signal[1], schedule.signal[-1]
    if schedule.learned:
        raise InputError("a learned curve cannot be shifted to zero terminal SNR: let the curve itself end in a = 0")
    if not torch.allclose(schedule.alpha_bar + schedule.noise**2, torch.ones(1, dtype=torch.float64)):
        raise InputError("only a schedule with a² + b² = 1 can be shifted to zero terminal SNR")
    if not last < first:
        raise InputError("a schedule of 1 step cannot have zero terminal SNR: its only noisy state is the last")
    signal = torch.cat([schedule.signal[:1], (schedule.signal[1:] - last) * first / (first - last)])
    tables = Schedule(signal, (1 - signal**2).sqrt(), spec={"name": "zero_terminal", "of": schedule.spec})
    shifted = partial(curves.zero_terminal, curve=schedule.curve, first=float(first), last=float(last))
    return replace(tables, curve=partial(curves.piecewise, edge=1.0, below=tables.curve, above=shifted))


BY_NAME: dict[str, Callable[..., Schedule]] = {
    **SCHEDULES.load(),
    "from_betas": from_betas,
    "zero_terminal": lambda of: zero_terminal(from_spec(of)),
}


def from_spec(spec: dict[str, Any]) -> Schedule:
    """Build a schedule from its `spec`: {"name": ..., and its arguments}.

    Raises:
        InputError: For an unknown name, and arguments that the schedule cannot have.
    """
    arguments = dict(spec)
    name = arguments.pop("name", None)
    if name not in BY_NAME:
        SCHEDULES.find(name)
    if name in SCHEDULES:
        SCHEDULES[name].check_options("schedule", arguments)
    try:
        return BY_NAME[name](**arguments)
    except TypeError:
        raise InputError(f"schedule {name} does not take the arguments {', '.join(arguments)}") from None


def _capped(alpha_bar: Tensor, spec: dict[str, Any], curve: Curve) -> Schedule:
    """The schedule of ᾱ_0..ᾱ_T, a² + b² = 1, each β_t at most spec["max_beta"]; `curve` is the form without that."""
    free = 1 - alpha_bar[1:] / alpha_bar[:-1]
    beta = free.clamp(max=spec["max_beta"])
    schedule = _variance_preserving(torch.log1p(-beta).cumsum(0), spec)
    edge = float((beta == free).cumprod(0).sum())  # the last time before the first step that is capped
    below = partial(curves.piecewise, edge=edge, below=curve, above=schedule.curve)
    return replace(schedule, curve=below) if edge else schedule


def _variance_preserving(log_alpha_bar: Tensor, spec: dict[str, Any]) -> Schedule:
    """The schedule with a² + b² = 1 whose log ᾱ_1..log ᾱ_T are given; b comes from ᾱ itself, not from a rounded a."""
    log_alpha_bar = torch.cat([torch.zeros(1, dtype=torch.float64), log_alpha_bar])
    if not bool(((log_alpha_bar / 2).exp() > 0).all()):  # NaN is not either
        raise InputError(f"the schedule {spec['name']} with these settings loses all signal before its end")
    return Schedule((log_alpha_bar / 2).exp(), (-torch.expm1(log_alpha_bar)).sqrt(), spec=spec)


def _variance_exploding(steps: int, level: Level, spec: dict[str, Any]) -> Schedule:
    """The schedule with a = 1 and the noise levels σ_1..σ_T."""
    steps = _check_steps(steps)
    curve = partial(curves.variance_exploding, steps=steps, level=level)
    signal, noise = curve(torch.arange(steps + 1, dtype=torch.float64))
    return Schedule(signal, noise, float(noise[-1]), {"steps": steps, **spec}, curve, extends=steps > 1)


def _check_sigmas(name: str, sigma_min: float, sigma_max: float) -> None:
    if not 0 < sigma_min < sigma_max < math.inf:
        raise InputError(f"{name} needs 0 < sigma_min < sigma_max, not {sigma_min} and {sigma_max}")


def _check_steps(steps: int) -> int:
    return whole(steps, 1, MAX_STEPS, f"a schedule has a whole number of steps, 1 to {MAX_STEPS:,}, not {steps!r}")
