"""The reverse process: p_θ(x_s | x_t) made from an estimate of x_0, and the bits per dimension of each of its steps.

The chain q of `schedules` is reversed by p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), σ_t² I), whose mean is that of the
posterior with x̂_0 in place of x_0. All but the prior is differentiable in samples and predictions; the variances that
`AnalyticVariance.of` measures are detached. Equation numbers are those of Ho, Jain and Abbeel, *Denoising diffusion
probabilistic models* (2020).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.gaussian import DiagonalGaussian, log, normal_tail, tanh_tail
from ancestral.randomness import Stream
from ancestral.schedules import Schedule, Time, broadcast, per_item
from ancestral.targets import SIGMA_DATA, Denoiser, Prediction

MEASURED_TIMES = 32
"""Number of times at which the error of x̂_0 is measured; between them it is interpolated."""


@dataclass(frozen=True, eq=False)
class AnalyticVariance:
    """The variance of a reverse step for which the bound is least: β̃ + κ² u_t, for the mean that x̂_0 makes.

    u_t is the mean square of x_0 − x̂_0, and κ = a_s β_ts/b_t² the weight of x̂_0 in the mean. Where x̂_0 is E[x_0 | x_t],
    u_t = (b_t/a_t)² (1 − E‖ε̂‖²/d), by which the paper estimates it without x_0. The square itself is measured here: it
    is no small difference at high noise, holds where a_t = 0, and its variance is best for an x̂_0 with errors too.

    Attributes:
        errors: u_t for t = 0..T, float64 (T + 1,).

    References:
        Bao et al., *Analytic-DPM* (2022), eq. 7.
        Bao et al., *Estimating the optimal covariance with imperfect mean in diffusion probabilistic models* (2022).
    """

    errors: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, denoiser: Denoiser, x0: Tensor, clip: float | None = 1.0, seed: int = 0, **condition: Any) -> Self:
        """Measure the errors of a denoiser on samples that it was trained for.

        Args:
            denoiser: The denoiser.
            x0: Clean samples, (B, *). Each is evaluated once at `MEASURED_TIMES` times, with noise of its own.
            clip: The limit to which x̂_0 is clipped, as samplers clip it; None: it is not.
            seed: The seed of the noise.
            condition: What the denoiser is conditioned on, a row for each sample.
        """
        schedule, indices = denoiser.schedule, range(len(x0))
        times = _measured_times(schedule)
        ratios = []
        for t in times:
            eps = randomness.normal(x0.shape[1:], seed, Stream.VARIANCE, t, indices, x0.device).to(x0)
            x_t, (a, b) = schedule.add_noise(x0, t, eps), schedule.at(t)
            estimate = denoiser.predict(x_t, t, **condition)
            estimate = estimate if clip is None else estimate.clipped(clip, x_t, a, b)
            error = float((x0 - estimate.x0).double().square().mean())
            ratios.append(error / _gaussian_error(a, b))
        every = torch.arange(1, schedule.steps + 1)
        a, b = (torch.as_tensor(scale, dtype=torch.float64) for scale in schedule.at(every))
        ratio = _interpolated(torch.tensor(times), torch.tensor(ratios, dtype=torch.float64), every)
        return cls(torch.cat([torch.zeros(1, dtype=torch.float64), ratio * _gaussian_error(a, b)]))

    def __call__(self, schedule: Schedule, t: Time, s: Time) -> Tensor:
        """The variance of the step from t to s, or for times (B,)."""
        (a_s, _), (_, b) = schedule.at(s), schedule.at(t)
        weight = a_s * schedule.forward_variance(t, s) / b**2  # (7)
        at = torch.as_tensor(t, dtype=torch.float64).cpu()
        error = torch.lerp(self.errors[at.floor().long()], self.errors[at.ceil().long()], at % 1)
        least: Tensor = torch.as_tensor(schedule.posterior_variance(t, s), dtype=torch.float64) + weight**2 * error
        return least  # Analytic-DPM (7)


def _gaussian_error(a: Any, b: Any) -> Any:
    """u_t of Gaussian data of deviation σ_d: errors of other data are a smooth multiple of it."""
    return SIGMA_DATA**2 * b**2 / (a**2 * SIGMA_DATA**2 + b**2)


def _measured_times(schedule: Schedule) -> list[int]:
    """Times out of 1..T whose log a/b is spread evenly, with both ends, rising."""
    curve = (schedule.noise[1:] / schedule.signal[1:]).log()
    finite = curve[curve.isfinite()]
    even = torch.linspace(float(finite[0]), float(finite[-1]), MEASURED_TIMES, dtype=torch.float64)
    return sorted({*(1 + torch.searchsorted(finite, even).clamp(max=len(finite) - 1)).tolist(), schedule.steps})


def _interpolated(times: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """Values at times between those that are known."""
    right = torch.searchsorted(times, at).clamp(1, max(len(times) - 1, 1)) if len(times) > 1 else torch.zeros_like(at)
    left = (right - 1).clamp(min=0)
    width = (times[right] - times[left]).clamp(min=1)
    return torch.lerp(values[left], values[right], (at - times[left]).double() / width)


Variance = Literal["large", "small", "learned", "analytic"] | AnalyticVariance
DecoderName = Literal["exact", "tanh", "density"]


def prior(
    schedule: Schedule, shape: Sequence[int], seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
) -> Tensor:
    """Sample x_T ~ p(x_T) = N(0, prior_std² I) for the images `indices` of a seed: float32 (len(indices), *shape)."""
    return schedule.prior_std * randomness.normal(shape, seed, Stream.PRIOR, 0, indices, device)  # (1)  p(x_T)


def transition(
    schedule: Schedule, prediction: Prediction, x_t: Tensor, t: Time, s: Time, variance: Variance
) -> DiagonalGaussian:
    """p_θ(x_s | x_t), eq. (1): the posterior with x̂_0 in place of x_0.

    Args:
        schedule: The forward process.
        prediction: The estimate of x_0, and the variance fraction for a learned variance.
        x_t: Noisy samples, (B, *).
        t: Their time, or times (B,).
        s: The time after the step, s < t.
        variance: "large" is optimal for x_0 ~ N(0, I), "small" for a single x_0 (§3.2); "learned" lies between them,
            and so does an `AnalyticVariance`, which was measured.

    Raises:
        InputError: For an unknown variance, "learned" without a variance fraction, and "analytic", which a `Model`
            measures and this function does not.
    """
    mean = schedule.posterior(prediction.x0, x_t, t, s).mean  # μ_θ(x_t, t) = μ̃_t(x_t, x̂_0), (7); for s = t − 1 (11)
    if variance == "large":
        return DiagonalGaussian(mean, broadcast(schedule.forward_variance(t, s), x_t))  # (1)  σ_t² = β_t
    if variance == "small":
        return DiagonalGaussian(mean, broadcast(schedule.posterior_variance(t, s), x_t))  # (1)  σ_t² = β̃_t
    if isinstance(variance, AnalyticVariance):
        return DiagonalGaussian(mean, broadcast(variance(schedule, t, s), x_t))
    if variance == "analytic":
        raise InputError(
            "the analytic variance is measured on data: give variance=reverse.AnalyticVariance.of(denoiser, x0), or "
            "sample from a model whose training data can be read"
        )
    check_variance(variance, prediction.variance_fraction is not None)
    assert prediction.variance_fraction is not None
    upper, lower = (broadcast(log(v), x_t) for v in (schedule.forward_variance(t, s), _least_variance(schedule, t, s)))
    fraction = prediction.variance_fraction
    return DiagonalGaussian(mean, (fraction * upper + (1 - fraction) * lower).exp())  # improved DDPM (15)


def check_variance(variance: Variance, learned: bool) -> None:
    """Raise InputError for an unknown variance, and for "learned" unless the model learned it."""
    if not isinstance(variance, AnalyticVariance) and variance not in ("large", "small", "learned", "analytic"):
        raise InputError(f"unknown variance {variance!r}; there are large, small, learned and analytic")
    if variance == "learned" and not learned:
        raise InputError("this model did not learn its variance (preset improved does); use large, small or analytic")


def decode(schedule: Schedule, prediction: Prediction, x_1: Tensor, t: Time, variance: Variance) -> DiagonalGaussian:
    """p_θ(x_0 | x_1), at t = 1. "large" and "small" are both β̃_2 there, since β̃_1 = 0, as in the paper's code."""
    step = transition(schedule, prediction, x_1, t, t - 1, variance)
    own = variance == "learned" or isinstance(variance, AnalyticVariance)
    return step if own else DiagonalGaussian(step.mean, schedule.posterior_variance(2, 1))


def step_bits(
    schedule: Schedule,
    prediction: Prediction,
    x0: Tensor,
    x_t: Tensor,
    t: Time,
    variance: Variance,
    decoder: DecoderName = "exact",
    level: float = 2 / 255,
) -> Tensor:
    """Bits per dimension of the step t → t − 1: the bound's term L_{t−1} for t > 1, L_0 at t = 1.

    Args:
        schedule: The forward process, of at least 2 steps.
        prediction: The estimate of x_0.
        x0: Clean samples, (B, *).
        x_t: Noisy samples, (B, *).
        t: Their time in 1..T, or times (B,); the bound is one of integer times.
        variance: The variance of the reverse step.
        decoder: How L_0 is computed: the probability of a bin by the "exact" normal distribution, or by the "tanh" of
            the DDPM authors' code, or the "density", for data without levels.
        level: The width of a bin; by default that of 8-bit data in [−1, 1].

    Returns:
        Bits/dim of each sample, (B,).

    Raises:
        InputError: For an unknown decoder or variance, a schedule of 1 step, and times that are not integers.
    """

    def step() -> Tensor:
        at = t.clamp(min=2) if isinstance(t, Tensor) else t  # those at 1 are replaced below, and must not give log 0
        q, p = schedule.posterior(x0, x_t, at, at - 1), transition(schedule, prediction, x_t, at, at - 1, variance)
        return bits(q.kl(p))  # (5)  L_{t−1} = KL(q(x_{t−1}|x_t,x_0) ‖ p_θ(x_{t−1}|x_t))

    def last() -> Tensor:
        p = decode(schedule, prediction, x_t, 1, variance)
        if decoder == "density":
            return -bits(p.log_density(x0))
        tail = tanh_tail if decoder == "tanh" else normal_tail
        mass = p.log_bins(x0, half_width=level / 2, edge=1 - level / 4, tail=tail)
        return -bits(mass)  # (13)  L_0 = −log p_θ(x_0|x_1)

    t = schedule.time(t)
    if isinstance(t, float) or (isinstance(t, Tensor) and t.is_floating_point()):
        raise InputError("the bound, and a learned variance, need integer times: draw none between them")
    if decoder not in ("exact", "tanh", "density"):
        raise InputError(f"unknown decoder {decoder!r}; there are exact, tanh and density")
    if schedule.steps < 2:
        raise InputError("the bound needs a schedule of at least 2 steps: its decoder's variance is β̃_2")
    if isinstance(t, int):
        return last() if t == 1 else step()
    if not bool((t == 1).any()):
        return step()
    ends = last()
    return ends.where(per_item(t == 1, ends), step())


def _least_variance(schedule: Schedule, t: Time, s: Time) -> Tensor | float:
    """β̃_ts, and β̃_2 at s = 0, where it would be 0."""
    least = schedule.posterior_variance(t, s)
    if isinstance(least, Tensor):
        return least.where(torch.as_tensor(s).cpu() > 0, schedule.posterior_variance(2, 1))
    return least if s else schedule.posterior_variance(2, 1)


def bits(nats: Tensor) -> Tensor:
    """Convert nats of each element (B, *) to bits/dim of each image (B,)."""
    return nats.flatten(1).mean(1) / math.log(2)
