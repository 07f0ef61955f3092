"""The exercises of lesson 3, the reverse process and the bound."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral import schedules
from ancestral.gaussian import DiagonalGaussian, normal_tail
from ancestral.schedules import Schedule
from ancestral.targets import SCORE
from ancestral_course.exercise import Exercise, Function, values
from ancestral_course.probing import Linear
from ancestral_course.variants import near, seeded, whole

F64 = torch.float64


def _cases() -> list[tuple[Schedule, int, int]]:
    """Schedules of each kind with two times s < t."""
    return [
        (schedules.linear(), 1, 2),
        (schedules.linear(), whole(200, 100, 300), whole(500, 400, 700)),
        (schedules.linear(), 0, 1),
        (schedules.cosine(2), 1, 2),
        (schedules.geometric(20, near(0.01), near(3.0)), whole(5, 3, 8), whole(18, 15, 19)),
        (schedules.flow(10), whole(3, 2, 4), whole(7, 6, 8)),
    ]


"""Schedules with two times s < t: neighbours and not, clean data, T = 2, and schedules with a² + b² ≠ 1."""


def _numbers(*shape: int, count: int = 2) -> list[Tensor]:
    """Normal numbers, the same at each call."""
    g = seeded(0)
    return [torch.randn(*shape, generator=g, dtype=F64) for _ in range(count)]


def _beta(a: Tensor, b: Tensor, s: int, t: int) -> Tensor:
    return b[t] ** 2 - (a[t] / a[s]) ** 2 * b[s] ** 2


# the posterior


def _posterior(x_0: Tensor, x_t: Tensor, s: int, t: int, a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
    q = Schedule(a, b).posterior(x_0, x_t, t, s)
    return q.mean, q.variance


def _posterior_with(
    x0_weight: Callable[..., Tensor] | None = None,
    xt_weight: Callable[..., Tensor] | None = None,
    variance: Callable[..., Tensor] | None = None,
) -> Function:
    """A posterior one of whose parts is a function of (a_s, b_s, a_t, b_t, r, β), and the others are right."""

    def f(x_0: Tensor, x_t: Tensor, s: int, t: int, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        r, beta = a[t] / a[s], _beta(a, b, s, t)
        values = (a[s], b[s], a[t], b[t], r, beta)
        first = x0_weight(*values) if x0_weight else a[s] * beta / b[t] ** 2
        second = xt_weight(*values) if xt_weight else r * b[s] ** 2 / b[t] ** 2
        return first * x_0 + second * x_t, variance(*values) if variance else beta * b[s] ** 2 / b[t] ** 2

    return f


def _posterior_of(beta_of: Callable[..., Tensor]) -> Function:
    """A posterior with a wrong β, a function of (a_s, b_s, a_t, b_t)."""

    def f(x_0: Tensor, x_t: Tensor, s: int, t: int, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        beta = beta_of(a[s], b[s], a[t], b[t])
        mean = a[s] * beta / b[t] ** 2 * x_0 + a[t] / a[s] * b[s] ** 2 / b[t] ** 2 * x_t
        return mean, beta * b[s] ** 2 / b[t] ** 2

    return f


def _precisions(x_0: Tensor, x_t: Tensor, s: int, t: int, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    r, beta = a[t] / a[s], _beta(a, b, s, t)
    big_a = r**2 / beta + 1 / b[s] ** 2
    return (r * x_t / beta + a[s] * x_0 / b[s] ** 2) / big_a, 1 / big_a


def _posterior_results(f: Function) -> list[Any]:
    x_0, x_t = _numbers(3, 5)
    found: list[Any] = []
    for schedule, s, t in _cases():
        pair = f(x_0, x_t, s, t, schedule.signal, schedule.noise)
        mean, variance = values(pair, 2, "the mean and the variance, (mean, variance)")
        found += [mean, torch.as_tensor(variance, dtype=F64).broadcast_to(x_0.shape)]
    return found


_POSTERIOR = Exercise(
    name="posterior",
    task="The mean and variance of q(x_s | x_t, x_0), for any schedule and two times.",
    reference=_posterior,
    results=_posterior_results,
    mistakes={
        "the two weights are swapped: the one with β belongs to x_0.": _posterior_with(
            lambda a_s, b_s, a_t, b_t, r, beta: r * b_s**2 / b_t**2,
            lambda a_s, b_s, a_t, b_t, r, beta: a_s * beta / b_t**2,
        ),
        "the weight of x_0 has a_s, the signal in x_s, not a_t.": _posterior_with(
            lambda a_s, b_s, a_t, b_t, r, beta: a_t * beta / b_t**2
        ),
        "the weight of x_t has r = a_t/a_s, not a_t.": _posterior_with(
            None, lambda a_s, b_s, a_t, b_t, r, beta: a_t * b_s**2 / b_t**2
        ),
        "this variance is β, that of the forward step q(x_t | x_s). Known x_0 makes it smaller, by b_s²/b_t².": (
            _posterior_with(None, None, lambda a_s, b_s, a_t, b_t, r, beta: beta)
        ),
        "return the variance, not the standard deviation.": _posterior_with(
            None, None, lambda a_s, b_s, a_t, b_t, r, beta: (beta * b_s**2 / b_t**2).sqrt()
        ),
        "b is a standard deviation: the result has b_s² and b_t².": _posterior_with(
            lambda a_s, b_s, a_t, b_t, r, beta: a_s * beta / b_t,
            lambda a_s, b_s, a_t, b_t, r, beta: r * b_s / b_t,
            lambda a_s, b_s, a_t, b_t, r, beta: beta * b_s / b_t,
        ),
        "β = 1 − (a_t/a_s)² holds for variance-preserving schedules only. In general β = b_t² − (a_t/a_s)² b_s².": (
            _posterior_of(lambda a_s, b_s, a_t, b_t: 1 - (a_t / a_s) ** 2)
        ),
        "β is not b_t² − b_s²: the noise in x_s is scaled by (a_t/a_s)² on the way to t.": _posterior_of(
            lambda a_s, b_s, a_t, b_t: b_t**2 - b_s**2
        ),
        "the weight of x_0 has the factor a_s, the signal in x_s; yours lacks it.": _posterior_with(
            lambda a_s, b_s, a_t, b_t, r, beta: beta / b_t**2
        ),
        "the weight of x_t has the factor r = a_t/a_s; yours lacks it.": _posterior_with(
            None, lambda a_s, b_s, a_t, b_t, r, beta: b_s**2 / b_t**2
        ),
        "add both terms of the mean; you subtract the term of x_t.": _posterior_with(
            None, lambda a_s, b_s, a_t, b_t, r, beta: -r * b_s**2 / b_t**2
        ),
        "divide both weights of the mean by b_t².": _posterior_with(
            lambda a_s, b_s, a_t, b_t, r, beta: a_s * beta, lambda a_s, b_s, a_t, b_t, r, beta: r * b_s**2
        ),
        "divide both weights of the mean by b_t², not by b_t.": _posterior_with(
            lambda a_s, b_s, a_t, b_t, r, beta: a_s * beta / b_t, lambda a_s, b_s, a_t, b_t, r, beta: r * b_s**2 / b_t
        ),
        "the variance is β b_s²/b_t²; you have b_s/b_t without the squares.": _posterior_with(
            None, None, lambda a_s, b_s, a_t, b_t, r, beta: beta * b_s / b_t
        ),
        "a_s and r are factors, not variances: the mean has them without a square root.": _posterior_with(
            lambda a_s, b_s, a_t, b_t, r, beta: a_s.sqrt() * beta / b_t**2,
            lambda a_s, b_s, a_t, b_t, r, beta: r.sqrt() * b_s**2 / b_t**2,
        ),
        "r is squared in β = b_t² − r² b_s².": _posterior_of(lambda a_s, b_s, a_t, b_t: b_t**2 - a_t / a_s * b_s**2),
        "you take s = t − 1. Here s may be any earlier time: use the s that is given.": (
            lambda x_0, x_t, s, t, a, b: _posterior_with()(x_0, x_t, t - 1, t, a, b)
        ),
        "at s = 0 your function divides by b_0 = 0. Multiply by β b_s²: then all denominators are b_t².": _precisions,
    },
    linear=Linear("x_0, x_t, s, t, a, b", inputs="x_0, x_t", at="s, t, b[t]", parts="the mean, the variance"),
)


# the mean from the score


def _mean_from_score(x_t: Tensor, score: Tensor, s: int, t: int, a: Tensor, b: Tensor) -> Tensor:
    prediction = SCORE.solve(x_t, score, float(a[t]), float(b[t]))
    return Schedule(a, b).posterior(prediction.x0, x_t, t, s).mean


def _score_results(f: Function) -> list[Any]:
    x_t, score = _numbers(3, 5)
    return [f(x_t, score, s, t, schedule.signal, schedule.noise) for schedule, s, t in _cases()]


_MEAN_FROM_SCORE = Exercise(
    name="mean_from_score",
    task="The mean of a reverse step from the score, for any schedule and two times.",
    reference=_mean_from_score,
    results=_score_results,
    mistakes={
        "the sign is wrong: the score points uphill, to larger density, and so does the step.": (
            lambda x_t, score, s, t, a, b: (x_t - _beta(a, b, s, t) * score) * a[s] / a[t]
        ),
        "the score is taken for the noise: ε̂ = −b_t s_θ, so the factor of the score is β, not −β/b_t.": (
            lambda x_t, score, s, t, a, b: (x_t - _beta(a, b, s, t) / b[t] * score) * a[s] / a[t]
        ),
        "the factor of the score is β. The division by b_t belongs to the noise, and s_θ = −ε̂/b_t has it already.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t) / b[t] * score) * a[s] / a[t]
        ),
        "the shrinking is not undone: divide the whole bracket by r = a_t/a_s.": (
            lambda x_t, score, s, t, a, b: x_t + _beta(a, b, s, t) * score
        ),
        "the score is inside the bracket, too: both x_t and β s_θ are divided by r.": (
            lambda x_t, score, s, t, a, b: x_t * a[s] / a[t] + _beta(a, b, s, t) * score
        ),
        "divide by r = a_t/a_s; you multiply.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t) * score) * a[t] / a[s]
        ),
        "the factor of the score is β itself, not its square root. The root belongs to the noise of the step.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t).sqrt() * score) * a[s] / a[t]
        ),
        "the factor of the score is β, the variance of the step from s to t, not b_t², that of all steps from 0.": (
            lambda x_t, score, s, t, a, b: (x_t + b[t] ** 2 * score) * a[s] / a[t]
        ),
        "ε̂ is −b_t times the score; you divide the score by b_t.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t) / b[t] ** 2 * score) * a[s] / a[t]
        ),
        "the factor of the score is β. You multiply by b_t, too, which form 2 has to divide by.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t) * b[t] * score) * a[s] / a[t]
        ),
        "divide by r = a_t/a_s, the shrinking from s to t, not by a_t, that from 0.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t) * score) / a[t]
        ),
        "divide by r itself, not by its square root: a_t and a_s are factors.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t) * score) * (a[s] / a[t]).sqrt()
        ),
        "divide by r, not by r².": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t) * score) * (a[s] / a[t]) ** 2
        ),
        "the score alone is divided by r in your function. Divide the whole bracket, x_t as well.": (
            lambda x_t, score, s, t, a, b: x_t + _beta(a, b, s, t) * score * a[s] / a[t]
        ),
        "β is not b_t² − b_s²: the noise in x_s is scaled by (a_t/a_s)² on the way to t.": (
            lambda x_t, score, s, t, a, b: (x_t + (b[t] ** 2 - b[s] ** 2) * score) * a[s] / a[t]
        ),
        "this is x̂_0. The step goes from t to s only: take β of this step, and r, in place of b_t² and a_t.": (
            lambda x_t, score, s, t, a, b: (x_t + b[t] ** 2 * score) / a[t]
        ),
        "β = 1 − (a_t/a_s)² holds for variance-preserving schedules only. In general β = b_t² − (a_t/a_s)² b_s².": (
            lambda x_t, score, s, t, a, b: (x_t + (1 - (a[t] / a[s]) ** 2) * score) * a[s] / a[t]
        ),
        "β belongs to the step from s = t − 1 in your function. Here s may be any earlier time.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, t - 1, t) * score) * a[t - 1] / a[t]
        ),
        "the step has the length β, not β/2: half of it would be the step of Langevin dynamics or of the ODE.": (
            lambda x_t, score, s, t, a, b: (x_t + _beta(a, b, s, t) / 2 * score) * a[s] / a[t]
        ),
    },
    linear=Linear("x_t, score, s, t, a, b", inputs="x_t, score", at="s, t, b[t]"),
)


# the divergence of two Gaussians


def _kl_bits(mean_q: Tensor, var_q: Tensor, mean_p: Tensor, var_p: Tensor) -> Tensor:
    return DiagonalGaussian(mean_q, var_q).kl(DiagonalGaussian(mean_p, var_p)) / math.log(2)


def _kl_of(rule: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Function:
    """A divergence made of the variances of q and p and the squared distance of the means, in nats."""
    return lambda mean_q, var_q, mean_p, var_p: rule(var_q, var_p, (mean_q - mean_p) ** 2) / math.log(2)


def _kl_results(f: Function) -> list[Any]:
    mean_q, mean_p = _numbers(2, 3)
    var_q, var_p = (number.exp() for number in _numbers(2, 3, count=2))
    one = torch.ones(2, 3, dtype=F64)
    return [
        f(mean_q, var_q, mean_p, var_p),
        f(mean_q, one, mean_p, one),
        f(mean_q, near(2.0) * var_q, mean_q, var_q),
        f(mean_q.float(), var_q.float(), mean_p.float(), var_p.float()),
    ]


_KL_BITS = Exercise(
    name="kl_bits",
    task="The Kullback-Leibler divergence of two Gaussians, in bits.",
    reference=_kl_bits,
    results=_kl_results,
    mistakes={
        "this is in nats. Divide by ln 2 for bits.": (
            lambda mean_q, var_q, mean_p, var_p: _kl_bits(mean_q, var_q, mean_p, var_p) * math.log(2)
        ),
        "you multiply by ln 2. A bit is ln 2 = 0.69 nats, so divide.": (
            lambda mean_q, var_q, mean_p, var_p: _kl_bits(mean_q, var_q, mean_p, var_p) * math.log(2) ** 2
        ),
        "only the logarithm is in base 2. Compute all terms in nats, then divide the sum by ln 2.": (
            lambda mean_q, var_q, mean_p, var_p: (
                0.5 * (var_q / var_p - 1 - (var_q / var_p).log2() + (mean_q - mean_p) ** 2 / var_p)
            )
        ),
        "q and p are swapped: the mean is taken over q, so the variances are compared in units of p's.": (
            lambda mean_q, var_q, mean_p, var_p: _kl_bits(mean_p, var_p, mean_q, var_q)
        ),
        "the factor ½ is missing.": _kl_of(lambda q, p, d: q / p - 1 - (q / p).log() + d / p),
        "the sign of the logarithm is wrong: the divergence of equal variances is the least, at ratio 1.": _kl_of(
            lambda q, p, d: 0.5 * (q / p - 1 + (q / p).log() + d / p)
        ),
        "the distance of the means is measured in units of p's variance, not of q's.": _kl_of(
            lambda q, p, d: 0.5 * (q / p - 1 - (q / p).log() + d / q)
        ),
        "square the distance of the means.": (
            lambda mean_q, var_q, mean_p, var_p: (
                0.5 * (var_q / var_p - 1 - (var_q / var_p).log() + (mean_q - mean_p).abs() / var_p) / math.log(2)
            )
        ),
        "var_q and var_p are variances already: do not square them.": _kl_of(
            lambda q, p, d: 0.5 * ((q / p) ** 2 - 1 - 2 * (q / p).log() + d / p**2)
        ),
        "the −1 is missing: equal Gaussians have a divergence of 0.": _kl_of(
            lambda q, p, d: 0.5 * (q / p - (q / p).log() + d / p)
        ),
        "add the squared distance of the means; you subtract it.": _kl_of(
            lambda q, p, d: 0.5 * (q / p - 1 - (q / p).log() - d / p)
        ),
        "the factor ½ belongs to all terms, to the squared distance as well.": _kl_of(
            lambda q, p, d: 0.5 * (q / p - 1 - (q / p).log()) + d / p
        ),
        "var_p is a variance: divide the squared distance by it, not by its square.": _kl_of(
            lambda q, p, d: 0.5 * (q / p - 1 - (q / p).log() + d / p**2)
        ),
        "the ratio of the variances is upside down: it is σ_q²/σ_p².": _kl_of(
            lambda q, p, d: 0.5 * (p / q - 1 - (p / q).log() + d / p)
        ),
        "the formula has the ratio of the variances, not that of the standard deviations: take no root.": _kl_of(
            lambda q, p, d: 0.5 * ((q / p).sqrt() - 1 - 0.5 * (q / p).log() + d / p)
        ),
        "the 1 is subtracted: equal Gaussians have a divergence of 0.": _kl_of(
            lambda q, p, d: 0.5 * (q / p + 1 - (q / p).log() + d / p)
        ),
        "the squared distance of the means is missing.": _kl_of(lambda q, p, d: 0.5 * (q / p - 1 - (q / p).log())),
        "the terms of the variances are missing.": _kl_of(lambda q, p, d: 0.5 * d / p),
    },
)


# the mass of a bin


def _ends(x: Tensor, mean: Tensor, std: float, half: float = 1 / 255, edges: bool = True) -> tuple[Tensor, Tensor]:
    """Both ends of a bin in standard deviations from the mean."""
    lower, upper = (x - half - mean) / std, (x + half - mean) / std
    if not edges:
        return lower, upper
    return lower.where(x > -0.999, -math.inf), upper.where(x < 0.999, math.inf)


def _log_mass(lower: Tensor, upper: Tensor) -> Tensor:
    """log P(lower < Z < upper): the difference of two tails of the side on which the bin lies."""
    side = torch.where(lower + upper > 0, 1.0, -1.0)
    near, far = torch.minimum(side * lower, side * upper), torch.maximum(side * lower, side * upper)
    return (normal_tail(near) - normal_tail(far)).log()


def _log_bin(x: Tensor, mean: Tensor, std: float) -> Tensor:
    return _log_mass(*_ends(x.double(), mean.double(), std))


def _right_tails(lower: Tensor, upper: Tensor) -> Tensor:
    """The log of a difference of tails above both ends, which is lost left of the mean."""
    return (normal_tail(lower) - normal_tail(upper)).log()


def _log_ratio(lower: Tensor, upper: Tensor) -> Any:
    return torch.special.log_ndtr(upper) - torch.special.log_ndtr(lower)


def _opened_late(x: Tensor, mean: Tensor, std: float) -> Tensor:
    """The open ends belong to the mirrored bin, and so to the wrong side."""
    lower, upper = _ends(x.double(), mean.double(), std, edges=False)
    left = lower + upper < 0
    lower, upper = torch.where(left, -upper, lower), torch.where(left, -lower, upper)
    lower, upper = lower.where(x > -0.999, -math.inf), upper.where(x < 0.999, math.inf)
    return (normal_tail(lower) - normal_tail(upper)).log()


def _floored(floor: float) -> Function:
    return lambda x, mean, std: _log_bin(x, mean, std).clamp(min=math.log(floor))


def _log_bin_results(f: Function) -> list[Any]:
    """Bins near the mean, far from it on both sides (10 and 20 σ), and the two open ones."""
    found = []
    for std in (near(0.0074), near(0.05)):
        level = torch.tensor([whole(n, n - 9, n + 9) for n in (51, 128, 200, 130, 120)]) / 127.5 - 1
        close = level + std * near(torch.tensor([0.0, 0.9, -1.4, 2.2, -0.3]))
        ends = torch.tensor([-1.0, -1.0, 1.0, 1.0])
        beside = ends + std * near(torch.tensor([1.1, -1.2, 1.4, -0.8]))
        far = torch.tensor([128, 128, 128, 128]) / 127.5 - 1
        away = far + std * near(torch.tensor([10.0, -10.0, 20.0, -20.0]))
        found += [f(level, close, std), f(ends, beside, std), f(far, away, std)]
    return found


_LOG_BIN = Exercise(
    name="log_bin",
    task="The log of the mass of a grey level's bin under a Gaussian, right far from the mean.",
    reference=_log_bin,
    results=_log_bin_results,
    mistakes={
        "left of the mean, far away, your mass is 0: both tails are 1 there. Mirror such a bin to the right side.": (
            lambda x, mean, std: _right_tails(*_ends(x.double(), mean.double(), std))
        ),
        "right of the mean, far away, your mass is 0: Φ is 1 there at both ends. Mirror such a bin.": (
            lambda x, mean, std: _right_tails(*(-end for end in reversed(_ends(x.double(), mean.double(), std))))
        ),
        "far from the mean your mass is 0 on both sides. ndtr and erf (torch) have no digits there: take "
        "the difference of two tails by torch.erfc, where both are small.": (
            lambda x, mean, std: _log_bin(x, mean, std).where((x - mean).abs() < 5 * std, -math.inf)
        ),
        "at 20 σ the mass is too small for a 32-bit float. Convert x and mean to float64 first.": (
            lambda x, mean, std: _log_bin(x, mean, std).where((x - mean).abs() < 15 * std, -math.inf)
        ),
        "a floor of 1e-12 hides the far bins. Compute their mass instead; it is not 0.": _floored(1e-12),
        "the bins of −1 and 1 extend to infinity; yours end at x ± 1/255.": (
            lambda x, mean, std: _log_mass(*_ends(x.double(), mean.double(), std, edges=False))
        ),
        "levels are 2/255 apart, so a bin reaches 1/255 to each side. Yours reaches 2/255.": (
            lambda x, mean, std: _log_mass(*_ends(x.double(), mean.double(), std, half=2 / 255))
        ),
        "levels are 2/255 apart, so a bin reaches 1/255 to each side. Yours reaches half as far.": (
            lambda x, mean, std: _log_mass(*_ends(x.double(), mean.double(), std, half=0.5 / 255))
        ),
        "there are 256 levels but 255 steps between them: a bin reaches 1/255 to each side, not 1/256.": (
            lambda x, mean, std: _log_mass(*_ends(x.double(), mean.double(), std, half=1 / 256))
        ),
        "a floor of 1e-30 hides the far bins. Compute their mass instead; it is not 0.": _floored(1e-30),
        "you open the bins of −1 and 1 after mirroring, when the two ends have changed places. Open them first.": (
            _opened_late
        ),
        "the lower end of the first bin is −∞, not +∞.": (
            lambda x, mean, std: _log_bin(x, mean, std).where(x > -0.999, math.nan)
        ),
        "torch.erfc is twice the tail, and measures z in units of √2 σ: the tail is erfc(z/√2)/2. The ½ is missing.": (
            lambda x, mean, std: _log_bin(x, mean, std) + math.log(2)
        ),
        "the tail is erfc(z/√2)/2; you leave out the √2.": (
            lambda x, mean, std: _log_mass(*(end * math.sqrt(2) for end in _ends(x.double(), mean.double(), std)))
        ),
        "the ends are measured in standard deviations: divide their distance from the mean by std.": (
            lambda x, mean, std: _log_mass(*_ends(x.double(), mean.double(), 1.0))
        ),
        "the log of a difference is not the difference of the logs: subtract the masses first.": (
            lambda x, mean, std: _log_ratio(*_ends(x.double(), mean.double(), std))
        ),
        "this is the density times the width, which is not the mass where the density changes within the bin.": (
            lambda x, mean, std: DiagonalGaussian(mean.double(), std**2).log_density(x.double()) + math.log(2 / 255)
        ),
        "this is the log density. A probability needs the integral over the bin.": (
            lambda x, mean, std: DiagonalGaussian(mean.double(), std**2).log_density(x.double())
        ),
        "this is the mass. Its logarithm is asked for.": lambda x, mean, std: _log_bin(x, mean, std).exp(),
        "this is −log of the mass. Return the log of the mass, which is at most 0.": (
            lambda x, mean, std: -_log_bin(x, mean, std)
        ),
        "this is in bits. Return nats, the natural logarithm.": (
            lambda x, mean, std: _log_bin(x, mean, std) / math.log(2)
        ),
    },
    rtol=1e-4,
    atol=1e-3,
)


# the weight of the noise error


def _eps_weight(t: int, a: Tensor, b: Tensor, variance: Any) -> Tensor:
    """From the mean's dependence on x_0 and the error x_0 − x̂_0 = −(b_t/a_t) (ε − ε̂)."""
    x0_weight = a[t - 1] * _beta(a, b, t - 1, t) / b[t] ** 2
    return torch.as_tensor((x0_weight * b[t] / a[t]) ** 2 / (2 * variance))


def _weight_of(rule: Callable[..., Tensor]) -> Function:
    """A weight made of (β, r, a_t, b_t, variance)."""
    return lambda t, a, b, variance: rule(_beta(a, b, t - 1, t), a[t] / a[t - 1], a[t], b[t], variance)


def _weight_results(f: Function) -> list[Any]:
    found = []
    for schedule, t in (
        (schedules.linear(), 1),
        (schedules.linear(), 2),
        (schedules.linear(), 1000),
        (schedules.cosine(2), 2),
        (schedules.cosine(50), whole(20, 15, 35)),
        (schedules.geometric(20, near(0.1), near(3.0)), whole(7, 4, 12)),
        (schedules.flow(10), whole(5, 4, 7)),
    ):
        variance = schedule.beta[t] if t % 2 else near(0.7) * schedule.beta[t]
        found.append(f(t, schedule.signal, schedule.noise, variance))
    return found


_EPS_WEIGHT = Exercise(
    name="eps_weight",
    task="The weight of the noise error in a term of the bound.",
    reference=_eps_weight,
    results=_weight_results,
    mistakes={
        "β is squared: the difference of the means has the factor β, and its square enters the divergence.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta / (2 * v * r**2 * b_t**2))
        ),
        "the 2 of 1/(2σ²) is missing.": _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (v * r**2 * b_t**2)),
        "r is squared, too: the difference of the means is divided by r, and then squared.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (2 * v * r * b_t**2))
        ),
        "the division by r is missing: (11) divides the whole bracket by r = a_t/a_{t−1}.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (2 * v * b_t**2))
        ),
        "b_t is squared: it is a standard deviation, and (12) has 1 − ᾱ_t, a variance.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (2 * v * r**2 * b_t))
        ),
        "the division by b_t² is missing: the difference of the means is β/(r b_t) times ε − ε̂.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (2 * v * r**2))
        ),
        "the denominator has 2σ_t², the variance that is given, not its square root.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (2 * torch.as_tensor(v).sqrt() * r**2 * b_t**2))
        ),
        "r is in the denominator: the difference of the means is β/(r b_t) times ε − ε̂.": (
            _weight_of(lambda beta, r, a_t, b_t, v: (beta * r / b_t) ** 2 / (2 * v))
        ),
        "put the whole denominator in brackets: in Python, x / 2 * y is x y/2.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / 2 * v * r**2 * b_t**2)
        ),
        "the difference of the means is squared: (β/(r b_t))², not β/(r b_t).": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta / (2 * v * r * b_t))
        ),
        "the noise is that of x_t: (12) has b_t², not b_{t−1}².": (
            lambda t, a, b, variance: (
                _beta(a, b, t - 1, t) ** 2 / (2 * variance * (a[t] / a[t - 1]) ** 2 * b[t - 1] ** 2)
            )
        ),
        "β_t is not b_t² − b_{t−1}²: the noise in x_{t−1} is scaled by r² in the step.": (
            lambda t, a, b, variance: (
                (b[t] ** 2 - b[t - 1] ** 2) ** 2 / (2 * variance * (a[t] / a[t - 1]) ** 2 * b[t] ** 2)
            )
        ),
        "variance is σ_t² already: do not square it.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (2 * v**2 * r**2 * b_t**2))
        ),
        "(12) has α_t = r² = (a_t/a_{t−1})², the factor of one step, not ᾱ_t = a_t².": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (2 * v * a_t**2 * b_t**2))
        ),
        "this is the weight of (x_0 − x̂_0)². The noise error is SNR_t times this error, so divide by the SNR.": (
            _weight_of(lambda beta, r, a_t, b_t, v: (beta * a_t / (r * b_t**2)) ** 2 / (2 * v))
        ),
        "the variance that is given belongs in the denominator; you take β for it.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta / (2 * r**2 * b_t**2) + 0 * v)
        ),
        "β = 1 − r² holds for variance-preserving schedules only. In general β = b_t² − r² b_{t−1}².": (
            _weight_of(lambda beta, r, a_t, b_t, v: (1 - r**2) ** 2 / (2 * v * r**2 * b_t**2))
        ),
        "this is in bits. The term is asked for in nats.": (
            _weight_of(lambda beta, r, a_t, b_t, v: beta**2 / (2 * v * r**2 * b_t**2) / math.log(2))
        ),
    },
)

EXERCISES: tuple[Exercise, ...] = (_POSTERIOR, _MEAN_FROM_SCORE, _KL_BITS, _LOG_BIN, _EPS_WEIGHT)
