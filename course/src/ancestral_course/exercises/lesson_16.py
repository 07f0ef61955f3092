"""Exercises of lesson 16: the SDE of a schedule, the Fokker-Planck equation, the reverse family, Langevin, Tweedie."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral import schedules
from ancestral_course.exercise import Exercise, Function, values
from ancestral_course.variants import near, seeded

# drift and diffusion


def _drift_and_diffusion(a: Tensor, b: Tensor, da: Tensor, db: Tensor) -> tuple[Tensor, Tensor]:
    """(i): the limits of a_t/a_s and β_ts."""
    f = da / a
    return f, 2 * b * db - 2 * f * b**2


def _sde_results(function: Function) -> list[Any]:
    """Schedules of each kind at several times, and scales that are no schedule's: all four numbers are independent."""
    found: list[Any] = []
    times = near(torch.tensor([100.5, 400.5, 900.5], dtype=torch.float64), 0.1)
    for schedule in (schedules.cosine(), schedules.flow(), schedules.geometric(), schedules.linear()):
        found += values(function(*schedule.at(times), *schedule.rates(times)), 2, "both values, (f, g²)")
    rows = [[0.9, 0.5, 0.2], [0.3, 0.7, 2.0], [-0.4, -1.5, -0.1], [0.8, 0.2, 3.0]]
    numbers = near(torch.tensor(rows, dtype=torch.float64))
    return found + values(function(*numbers), 2, "both values, (f, g²)")


def _sde(drift: Callable[..., Any], variance: Callable[..., Any]) -> Function:
    return lambda a, b, da, db: (drift(a, b, da, db), variance(a, b, da, db))


def _right_f(a: Tensor, b: Tensor, da: Tensor, db: Tensor) -> Tensor:
    return da / a


def _right_g2(a: Tensor, b: Tensor, da: Tensor, db: Tensor) -> Tensor:
    return 2 * b * db - 2 * da / a * b**2


_DRIFT_AND_DIFFUSION = Exercise(
    name="drift_and_diffusion",
    task="The drift f and the squared diffusion g² of a schedule.",
    reference=_drift_and_diffusion,
    results=_sde_results,
    mistakes={
        "f is right. g² is −2f only where a² + b² = 1: in general it is d(b²)/dt − 2f b².": _sde(
            _right_f, lambda a, b, da, db: -2 * da / a
        ),
        "f is right. The second term of g² is missing: the noise that is there shrinks with the signal, −2f b².": _sde(
            _right_f, lambda a, b, da, db: 2 * b * db
        ),
        "f is right. d(b²)/dt is 2 b db, by the chain rule; a 2 is missing.": _sde(
            _right_f, lambda a, b, da, db: b * db - 2 * da / a * b**2
        ),
        "f is right. d(b²)/dt is 2 b db, by the chain rule; yours lacks the b.": _sde(
            _right_f, lambda a, b, da, db: 2 * db - 2 * da / a * b**2
        ),
        "f is right. d(b²)/dt is 2 b db; you square the derivative.": _sde(
            _right_f, lambda a, b, da, db: db**2 - 2 * da / a * b**2
        ),
        "f is right. The second term of g² has a 2, since a_t²/a_s² = 1 + 2f dt.": _sde(
            _right_f, lambda a, b, da, db: 2 * b * db - da / a * b**2
        ),
        "f is right. The second term of g² has b², a variance, not b.": _sde(
            _right_f, lambda a, b, da, db: 2 * b * db - 2 * da / a * b
        ),
        "f is right. The sign of the second term of g² is wrong: β_ts subtracts what is left of the old noise.": _sde(
            _right_f, lambda a, b, da, db: 2 * b * db + 2 * da / a * b**2
        ),
        "f is right, and the second value is g. Return g², its square.": _sde(
            _right_f, lambda a, b, da, db: _right_g2(a, b, da, db).sqrt()
        ),
        "f is right. The second term of g² has f = da/a, not da.": _sde(
            _right_f, lambda a, b, da, db: 2 * b * db - 2 * da * b**2
        ),
        "f = da/a: the derivative of the logarithm of a. Yours lacks the division by a.": _sde(
            lambda a, b, da, db: da, lambda a, b, da, db: 2 * b * db - 2 * da * b**2
        ),
        "g² is right. f = da/a; yours lacks the division by a.": _sde(lambda a, b, da, db: da, _right_g2),
        "g² is right. The sign of f is wrong: a falls, so f = da/a is negative.": _sde(
            lambda a, b, da, db: -da / a, _right_g2
        ),
        "the sign of f is wrong, and with it that of a term of g²: a falls, so f = da/a is negative.": _sde(
            lambda a, b, da, db: -da / a, lambda a, b, da, db: 2 * b * db + 2 * da / a * b**2
        ),
        "f is upside down: it is da/a.": _sde(
            lambda a, b, da, db: a / da, lambda a, b, da, db: 2 * b * db - 2 * a / da * b**2
        ),
        "f comes from the signal: da/a. You take the noise, db/b.": _sde(
            lambda a, b, da, db: db / b, lambda a, b, da, db: 2 * b * db - 2 * db / b * b**2
        ),
        "f = da/a. With β = −2f your drift lacks the ½ of −½β.": _sde(lambda a, b, da, db: 2 * da / a, _right_g2),
        "the order is f, then g².": lambda a, b, da, db: (_right_g2(a, b, da, db), da / a),
    },
)

# the Fokker-Planck equation


def _density_rate(p: Tensor, dp: Tensor, ddp: Tensor, mu: Tensor, dmu: Tensor, g2: float) -> Tensor:
    return -(dmu * p + mu * dp) + g2 / 2 * ddp


def _rate_results(function: Function) -> list[Any]:
    draws = seeded(0)
    return [
        function(*torch.randn(5, 7, generator=draws, dtype=torch.float64).unbind(), g2) for g2 in (near(0.3), near(2.0))
    ]


_DENSITY_RATE = Exercise(
    name="density_rate",
    task="The right side of the Fokker-Planck equation in one dimension.",
    reference=_density_rate,
    results=_rate_results,
    mistakes={
        "the spread is right. The divergence of μ p has two terms, by the product rule; μ' p is missing.": (
            lambda p, dp, ddp, mu, dmu, g2: -mu * dp + g2 / 2 * ddp
        ),
        "the spread is right. The divergence of μ p has two terms, by the product rule; μ p' is missing.": (
            lambda p, dp, ddp, mu, dmu, g2: -dmu * p + g2 / 2 * ddp
        ),
        "the derivative of a product is not the product of the derivatives: (μ p)' = μ' p + μ p'.": (
            lambda p, dp, ddp, mu, dmu, g2: -dmu * dp + g2 / 2 * ddp
        ),
        "the sign of the drift is wrong: where more flows out than in, the density falls.": (
            lambda p, dp, ddp, mu, dmu, g2: dmu * p + mu * dp + g2 / 2 * ddp
        ),
        "the sign of μ p' is wrong: the minus is in front of the whole divergence (in Python, use brackets).": (
            lambda p, dp, ddp, mu, dmu, g2: -dmu * p + mu * dp + g2 / 2 * ddp
        ),
        "the sign of the spread is wrong: where the density is curved upwards, p'' > 0, it rises.": (
            lambda p, dp, ddp, mu, dmu, g2: -(dmu * p + mu * dp) - g2 / 2 * ddp
        ),
        "the drift is right. The ½ of the second order of Taylor's expansion is missing.": (
            lambda p, dp, ddp, mu, dmu, g2: -(dmu * p + mu * dp) + g2 * ddp
        ),
        "the drift is right. The spread has g², which is given; you square it again.": (
            lambda p, dp, ddp, mu, dmu, g2: -(dmu * p + mu * dp) + g2**2 / 2 * ddp
        ),
        "the drift is right. The spread has g², not its root.": (
            lambda p, dp, ddp, mu, dmu, g2: -(dmu * p + mu * dp) + math.sqrt(g2) / 2 * ddp
        ),
        "the drift is right. The spread has the second derivative of p, not the first.": (
            lambda p, dp, ddp, mu, dmu, g2: -(dmu * p + mu * dp) + g2 / 2 * dp
        ),
        "the drift is right. The spread is missing.": lambda p, dp, ddp, mu, dmu, g2: -(dmu * p + mu * dp),
        "the spread is right. The drift is missing.": lambda p, dp, ddp, mu, dmu, g2: g2 / 2 * ddp,
        "this is μ p, not its derivative: the density changes by what flows in less what flows out.": (
            lambda p, dp, ddp, mu, dmu, g2: -mu * p + g2 / 2 * ddp
        ),
        "both signs are wrong: this is the density of time that runs backwards.": (
            lambda p, dp, ddp, mu, dmu, g2: dmu * p + mu * dp - g2 / 2 * ddp
        ),
        "the ½ is that of the spread alone: the drift has none.": (
            lambda p, dp, ddp, mu, dmu, g2: (-(dmu * p + mu * dp) + g2 * ddp) / 2
        ),
    },
)

# the drift of the reverse process


def _reverse_drift(x: Tensor, f: float, g2: float, score: Tensor, eta: float) -> Tensor:
    return -f * x + (1 + eta**2) / 2 * g2 * score


def _reverse_results(function: Function) -> list[Any]:
    draws = seeded(0)
    x, score = torch.randn(2, 6, generator=draws, dtype=torch.float64)
    return [
        function(x, f, g2, score, eta)
        for f, g2 in ((near(-0.3), near(0.7)), (0.0, near(2.0)))
        for eta in (0.0, near(0.5), 1.0, near(1.7))
    ]


_REVERSE_DRIFT = Exercise(
    name="reverse_drift",
    task="The drift of the reverse process for any share of noise.",
    reference=_reverse_drift,
    results=_reverse_results,
    mistakes={
        "this is right for η = 1 only. η scales the noise, so the score's factor is ½ (1 + η²) g².": (
            lambda x, f, g2, score, eta: -f * x + g2 * score
        ),
        "this is right for η = 0 only. The noise has to be made up for: the score's factor is ½ (1 + η²) g².": (
            lambda x, f, g2, score, eta: -f * x + g2 / 2 * score
        ),
        "the factor has η², the variance of the noise, not η.": (
            lambda x, f, g2, score, eta: -f * x + (1 + eta) / 2 * g2 * score
        ),
        "the ½ is missing: the flow, η = 0, has ½ g².": (
            lambda x, f, g2, score, eta: -f * x + (1 + eta**2) * g2 * score
        ),
        "the ½ is missing in front of 1: both parts have it.": (
            lambda x, f, g2, score, eta: -f * x + (1 + eta**2 / 2) * g2 * score
        ),
        "the ½ is missing in front of η²: both parts have it.": (
            lambda x, f, g2, score, eta: -f * x + (0.5 + eta**2) * g2 * score
        ),
        "the 1 is missing: at η = 0 there would be no score, and the noise of the forward process is not undone.": (
            lambda x, f, g2, score, eta: -f * x + eta**2 / 2 * g2 * score
        ),
        "noise is made up for by more drift along the score, not by less: 1 + η².": (
            lambda x, f, g2, score, eta: -f * x + (1 - eta**2) / 2 * g2 * score
        ),
        "time runs backwards: the drift of the forward process changes its sign, −f x.": (
            lambda x, f, g2, score, eta: f * x + (1 + eta**2) / 2 * g2 * score
        ),
        "the score's sign is wrong: backwards in time, samples move up the density.": (
            lambda x, f, g2, score, eta: -f * x - (1 + eta**2) / 2 * g2 * score
        ),
        "this is the drift for time that runs forwards. Here it runs backwards: change the sign of all of it.": (
            lambda x, f, g2, score, eta: f * x - (1 + eta**2) / 2 * g2 * score
        ),
        "g2 is g² already: do not square it.": (lambda x, f, g2, score, eta: -f * x + (1 + eta**2) / 2 * g2**2 * score),
        "the score's factor is that of g², a variance, not g.": (
            lambda x, f, g2, score, eta: -f * x + (1 + eta**2) / 2 * math.sqrt(g2) * score
        ),
        "the first term is −f x; you leave out the x.": (
            lambda x, f, g2, score, eta: -f + (1 + eta**2) / 2 * g2 * score
        ),
        "the first term, −f x, is missing.": lambda x, f, g2, score, eta: (1 + eta**2) / 2 * g2 * score,
        "the square is that of η alone: ½ (1 + η²), not ½ (1 + η)².": (
            lambda x, f, g2, score, eta: -f * x + (1 + eta) ** 2 / 2 * g2 * score
        ),
    },
)

# the variance of Langevin steps


def _langevin_variance(v: float, alpha: float) -> float:
    return v / (1 - alpha / (4 * v))


def _langevin_results(function: Function) -> list[Any]:
    return [
        function(v, alpha)
        for v, alpha in ((1.0, near(0.1)), (near(0.25), near(0.3)), (near(2.0), near(0.5)), (0.5, near(1.5)))
    ]


def _repeated(factor: Callable[[float, float], float], noise: Callable[[float], float]) -> Function:
    """The variance that stays under x ← factor · x + noise of this variance."""
    return lambda v, alpha: noise(alpha) / (1 - factor(v, alpha) ** 2)


_LANGEVIN_VARIANCE = Exercise(
    name="langevin_variance",
    task="The variance that repeated Langevin steps end with, for normal data.",
    reference=_langevin_variance,
    results=_langevin_results,
    mistakes={
        "this is the variance of the data. A step of finite size does not keep it: solve V = (1 − α/2v)² V + α.": (
            lambda v, alpha: v
        ),
        "this is the first order in α. Solve V = (1 − α/2v)² V + α without leaving out α².": (
            lambda v, alpha: v + alpha / 4
        ),
        "the drift is ½ α times the score; yours has no ½.": _repeated(
            lambda v, alpha: 1 - alpha / v, lambda alpha: alpha
        ),
        "the factor is 1 − α/(2v): the score is −x/v, with the variance v. Yours is right for v = 1 only.": _repeated(
            lambda v, alpha: 1 - alpha / 2, lambda alpha: alpha
        ),
        "the score of N(0, v) is −x/v, not −x/√v.": _repeated(
            lambda v, alpha: 1 - alpha / (2 * math.sqrt(v)), lambda alpha: alpha
        ),
        "the score of N(0, v) is −x/v; you divide by v².": _repeated(
            lambda v, alpha: 1 - alpha / (2 * v**2), lambda alpha: alpha
        ),
        "the noise √α z has the variance α, not √α.": _repeated(lambda v, alpha: 1 - alpha / (2 * v), math.sqrt),
        "the noise √α z has the variance α, not α².": _repeated(
            lambda v, alpha: 1 - alpha / (2 * v), lambda alpha: alpha**2
        ),
        "the noise √α z has the variance α; you take 2α.": _repeated(
            lambda v, alpha: 1 - alpha / (2 * v), lambda alpha: 2 * alpha
        ),
        "a factor of x is squared in the variance: V = (1 − α/2v)² V + α.": (lambda v, alpha: 2 * v),
        "this is the standard deviation. Return the variance.": lambda v, alpha: math.sqrt(
            _langevin_variance(v, alpha)
        ),
        "the sign is wrong: a finite step leaves too much variance, not too little.": (
            lambda v, alpha: v / (1 + alpha / (4 * v))
        ),
        "this is one step from the data, (1 − α/2v)² v + α. Repeat it until V stays.": (
            lambda v, alpha: (1 - alpha / (2 * v)) ** 2 * v + alpha
        ),
        "nearly: α/(1 − (1 − α/2v)²) has α/(4v), where you have α/(2v).": lambda v, alpha: v / (1 - alpha / (2 * v)),
        "this lacks a factor v: at α → 0 the variance is that of the data, v.": (
            lambda v, alpha: 1 / (1 - alpha / (4 * v))
        ),
    },
)

# Tweedie's formula to second order


def _covariance_from_score(a: float, b: float, hessian: Tensor) -> Tensor:
    return b**2 / a**2 * (torch.eye(len(hessian), dtype=hessian.dtype) + b**2 * hessian)


def _covariance_results(function: Function) -> list[Any]:
    """The Hessian of normal data, another symmetric one, and one number."""
    draws = seeded(0)
    root = torch.randn(3, 3, generator=draws, dtype=torch.float64)
    hessians = (
        -(root @ root.T + torch.eye(3)).inverse(),
        root + root.T,
        near(torch.tensor([[-0.7]], dtype=torch.float64)),
    )
    return [
        function(a, b, hessian) for a, b in ((near(0.8), near(0.6)), (near(0.3), near(1.2))) for hessian in hessians
    ]


def _covariance(rule: Callable[[float, float, Tensor, Tensor], Tensor]) -> Function:
    return lambda a, b, hessian: rule(a, b, hessian, torch.eye(len(hessian), dtype=hessian.dtype))


_COVARIANCE_FROM_SCORE = Exercise(
    name="covariance_from_score",
    task="The covariance of x_0 given x_t, from the second derivatives of log p_t.",
    reference=_covariance_from_score,
    results=_covariance_results,
    mistakes={
        "1 is added to every element. The identity matrix has ones on the diagonal only: torch.eye.": (
            lambda a, b, hessian: b**2 / a**2 * (1 + b**2 * hessian)
        ),
        "this is the derivative of the estimate, (I + b² ∇²)/a. Times b²/a it is the covariance.": _covariance(
            lambda a, b, h, one: (one + b**2 * h) / a
        ),
        "the factor in front is b²/a², not b²/a: one 1/a is that of the estimate, one of a/b².": _covariance(
            lambda a, b, h, one: b**2 / a * (one + b**2 * h)
        ),
        "the factor in front is b²/a²; yours is upside down.": _covariance(
            lambda a, b, h, one: a**2 / b**2 * (one + b**2 * h)
        ),
        "the factor in front is b²/a²; yours lacks the b².": _covariance(lambda a, b, h, one: (one + b**2 * h) / a**2),
        "the factor in front is b²/a²; yours lacks the 1/a².": _covariance(
            lambda a, b, h, one: b**2 * (one + b**2 * h)
        ),
        "the factor in front is missing: b²/a².": _covariance(lambda a, b, h, one: one + b**2 * h),
        "the factor in front has squares: b²/a², not b/a.": _covariance(lambda a, b, h, one: b / a * (one + b**2 * h)),
        "the factor of the second derivatives is b², a variance, not b.": _covariance(
            lambda a, b, h, one: b**2 / a**2 * (one + b * h)
        ),
        "the factor of the second derivatives, b², is missing.": _covariance(
            lambda a, b, h, one: b**2 / a**2 * (one + h)
        ),
        "the sign is wrong: where the density is peaked, its second derivatives are negative and x_0 is sure.": (
            _covariance(lambda a, b, h, one: b**2 / a**2 * (one - b**2 * h))
        ),
        "the identity is missing: with a flat density, x_0 varies as the noise does.": _covariance(
            lambda a, b, h, one: b**2 / a**2 * b**2 * h
        ),
        "the second term has b⁴/a²: the brackets are missing.": _covariance(
            lambda a, b, h, one: b**2 / a**2 * one + b**2 * h
        ),
        "only the diagonal is right: the elements beside it are the covariances of two numbers.": _covariance(
            lambda a, b, h, one: b**2 / a**2 * (one + b**2 * h) * one
        ),
    },
)

EXERCISES: tuple[Exercise, ...] = (
    _DRIFT_AND_DIFFUSION,
    _DENSITY_RATE,
    _REVERSE_DRIFT,
    _LANGEVIN_VARIANCE,
    _COVARIANCE_FROM_SCORE,
)
