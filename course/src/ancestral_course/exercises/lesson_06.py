"""Exercises of lesson 6: steps of samplers, and their order."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ancestral import oracle, schedules
from ancestral.samplers import Heun
from ancestral.samplers.dpm_solver import DPMSolver, Previous
from ancestral.samplers.loop import Move
from ancestral.schedules import Schedule
from ancestral.targets import EPS, Denoiser, Prediction
from ancestral_course.exercise import Counted, Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, whole

Pair = tuple[float, float]
"""Signal a and noise b at one time."""


def _ddim_step(x_t: Tensor, eps: Tensor, now: Pair, then: Pair) -> Tensor:
    return then[0] * EPS.solve(x_t, eps, *now).x0 + then[1] * eps


def _ddim_results(function: Function) -> list[Tensor]:
    """Steps on DDPM's schedule (also to s = 0), on EDM's, where a = 1, and on rectified flow's."""
    linear, karras, flow = schedules.linear(1000), schedules.karras(20), schedules.flow(10)
    steps = [
        (linear, whole(600, 550, 700), whole(400, 300, 500)),
        (linear, 1, 0),
        (karras, 20, whole(7, 5, 12)),
        (flow, whole(9, 7, 9), whole(2, 1, 4)),
        (flow, whole(3, 2, 5), 0),
    ]
    found = []
    for number, (schedule, t, s) in enumerate(steps):
        dtype = torch.float32 if number % 2 else torch.float64
        x, eps = (normal(3, 1, 5, 4, seed=seed + number, dtype=dtype) for seed in (10, 20))
        found.append(function(x, eps, schedule.at(t), schedule.at(s)))
    return found


def _x0(x: Tensor, eps: Tensor, now: Pair) -> Tensor:
    return (x - now[1] * eps) / now[0]


def _root(b: float) -> float:
    """√(1 − b²), which is a where a² + b² = 1."""
    return math.sqrt(abs(1 - b**2))


DDIM_STEP = Exercise(
    "ddim_step",
    "A DDIM step from x_t and the estimated noise, on any schedule.",
    _ddim_step,
    _ddim_results,
    {
        "this is x̂_0, the last step of sampling. A step to s mixes it with the noise again: a_s x̂_0 + b_s ε̂.": (
            lambda x, eps, now, then: _x0(x, eps, now)
        ),
        "x̂_0 is multiplied by a_t. The new point has the signal a_s and the noise b_s of the time s.": (
            lambda x, eps, now, then: now[0] * _x0(x, eps, now) + then[1] * eps
        ),
        "the factor of ε̂ is b_s, the noise of the new point; here it is b_t, as if the noise did not change.": (
            lambda x, eps, now, then: then[0] * _x0(x, eps, now) + now[1] * eps
        ),
        "x̂_0 is not divided by a_t: solve x_t = a_t x̂_0 + b_t ε̂ for x̂_0.": (
            lambda x, eps, now, then: then[0] * (x - now[1] * eps) + then[1] * eps
        ),
        "x_t was taken for x̂_0. First remove the noise from x_t: x̂_0 = (x_t − b_t ε̂)/a_t.": (
            lambda x, eps, now, then: then[0] * x + then[1] * eps
        ),
        "b_s was computed as √(1 − a_s²). That holds for DDPM's schedule alone: take the b_s that is given.": (
            lambda x, eps, now, then: then[0] * _x0(x, eps, now) + _root(then[0]) * eps
        ),
        "b_t was computed as √(1 − a_t²). That holds for DDPM's schedule alone: take the b_t that is given.": (
            lambda x, eps, now, then: then[0] * _x0(x, eps, (now[0], _root(now[0]))) + then[1] * eps
        ),
        "b_t and b_s were computed as √(1 − a²). That holds for DDPM's schedule alone: take those that are given.": (
            lambda x, eps, now, then: then[0] * _x0(x, eps, (now[0], _root(now[0]))) + _root(then[0]) * eps
        ),
        "a and b are already the factors of x_0 and ε, and have no square root: a_t is √ᾱ_t, not ᾱ_t.": (
            lambda x, eps, now, then: (
                math.sqrt(then[0]) * (x - math.sqrt(now[1]) * eps) / math.sqrt(now[0]) + math.sqrt(then[1]) * eps
            )
        ),
        "the noise at the end of the step is b_s ε̂, with a plus.": (
            lambda x, eps, now, then: then[0] * _x0(x, eps, now) - then[1] * eps
        ),
        "the times are swapped: x_t has the pair `now`, and x_s the pair `then`.": (
            lambda x, eps, now, then: now[0] * (x - then[1] * eps) / then[0] + now[1] * eps
        ),
        "this is the change of x over the step. Add it to x_t.": (
            lambda x, eps, now, then: (then[0] - now[0]) * _x0(x, eps, now) + (then[1] - now[1]) * eps
        ),
        "the changes are a_s − a_t and b_s − b_t, from the time t to the time s. You have the other sign.": (
            lambda x, eps, now, then: x - (then[0] - now[0]) * _x0(x, eps, now) - (then[1] - now[1]) * eps
        ),
    },
    linear=Linear("x_t, eps, now, then", inputs="x_t, eps", at="now, then"),
)


def _least_squares(steps: Sequence[int], errors: Sequence[float]) -> float:
    """The order by solving the linear system of a line through the points."""
    u = torch.tensor([math.log(n) for n in steps], dtype=torch.float64)
    v = torch.tensor([math.log(error) for error in errors], dtype=torch.float64)
    solution = torch.linalg.lstsq(torch.stack([u, torch.ones_like(u)], dim=1), v[:, None]).solution
    return -float(solution[0, 0])


def _order_results(function: Function) -> list[float]:
    """Exact powers, and errors that lie on no straight line."""
    return [
        function([10, 20, 40], [near(0.08) / k for k in (1, 2, 4)]),
        function([5, 7, 31, 100], [near(3.0) / n**2 for n in (5, 7, 31, 100)]),
        function([10, 20, 50, 80, 160], [near(error) for error in (2.4e-2, 7.1e-3, 1.4e-3, 2.2e-4, 3e-5)]),
        function([whole(4, 3, 8), whole(64, 40, 90)], [1.0, near(0.5)]),
    ]


def _slope(u: Sequence[float], v: Sequence[float]) -> float:
    """The slope of the line through the points (u, v), by least squares."""
    mean_u, mean_v = sum(u) / len(u), sum(v) / len(v)
    above = sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True))
    return above / sum((a - mean_u) ** 2 for a in u)


def _logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in values]


ORDER = Exercise(
    "order",
    "The order of convergence of a method, from its errors.",
    _least_squares,
    _order_results,
    {
        "the sign: the error falls as n grows, so the slope is negative, and the order is minus the slope.": (
            lambda steps, errors: _slope(_logs(steps), _logs(errors))
        ),
        "the line is fitted to log error over n. Take the logarithm of the numbers of steps, too.": (
            lambda steps, errors: -_slope(steps, _logs(errors))
        ),
        "the line is fitted to the errors themselves. Take the logarithm of both.": (
            lambda steps, errors: -_slope(steps, errors)
        ),
        "the line is fitted to the error over log n. Take the logarithm of the errors, too.": (
            lambda steps, errors: -_slope(_logs(steps), errors)
        ),
        "this uses only the first and the last point. The fit uses all of them, so that one odd point counts less.": (
            lambda steps, errors: -math.log(errors[-1] / errors[0]) / math.log(steps[-1] / steps[0])
        ),
        "the two axes are swapped: this is the slope of log n over log error. Divide by Σ(u − ū)², with u = log n.": (
            lambda steps, errors: -_slope(_logs(errors), _logs(steps))
        ),
        "the line is forced through the origin. Subtract the means ū and v̄ first.": (
            lambda steps, errors: (
                -sum(a * b for a, b in zip(_logs(steps), _logs(errors), strict=True)) / sum(a**2 for a in _logs(steps))
            )
        ),
        "this is the mean of the slopes between neighbours. The least-squares line is fitted to all points at once.": (
            lambda steps, errors: (
                -sum(
                    math.log(errors[i + 1] / errors[i]) / math.log(steps[i + 1] / steps[i])
                    for i in range(len(steps) - 1)
                )
                / (len(steps) - 1)
            )
        ),
    },
)


class _Everywhere:
    """An exact denoiser that can be evaluated at t = 0 too, so that a needless evaluation there shows in the result."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        means = torch.tensor([[-0.8, 0.3], [0.5, -0.2]], dtype=torch.float64)
        self.exact = oracle.Mixture(schedule, means, torch.tensor([0.1, 0.3], dtype=torch.float64))

    def predict(self, x_t: Tensor, t: int, **_: Tensor) -> Prediction:
        return self.exact.predict(x_t, t) if t else Prediction(x_t, torch.zeros_like(x_t))


def _heun_step(denoiser: Denoiser, x: Tensor, t: int, s: int) -> Tensor:
    return Heun().sample(denoiser, x, times=[t, s])


def _heun_results(function: Function) -> list[Tensor]:
    """Steps on three schedules, neighbouring and distant, to s = 0 as well."""
    linear, karras, flow = schedules.linear(1000), schedules.karras(20), schedules.flow(10)
    steps = [
        (linear, whole(600, 550, 700), whole(400, 300, 500)),
        (linear, 2, 1),
        (linear, whole(50, 30, 80), 0),
        (karras, whole(18, 15, 19), whole(11, 8, 12)),
        (flow, whole(8, 7, 9), whole(3, 2, 5)),
        (flow, 1, 0),
    ]
    return [
        function(_Everywhere(schedule), 0.7 * normal(5, 2, seed=30 + number), t, s)
        for number, (schedule, t, s) in enumerate(steps)
    ]


def _heun_evaluations(function: Function) -> str:
    """The hint for more than two evaluations in a step, or more than one in the last; or ""."""
    for s, enough in ((3, 2), (0, 1)):
        denoiser = Counted(_Everywhere(schedules.flow(10)))
        function(denoiser, normal(5, 2, seed=30), 8, s)
        if hint := denoiser.needless(enough):
            return hint
    return ""


def _heun_variant(
    denoiser: Denoiser,
    x: Tensor,
    t: int,
    s: int,
    *,
    weight: float = 0.5,
    trial: bool = True,
    end: bool = True,
    origin: bool = True,
    noise: bool = True,
    last: bool = True,
) -> Tensor:
    """A Heun step with one of its parts replaced; the defaults are right."""
    (a_t, b_t), (a_s, b_s) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    euler = x + (a_s - a_t) * x0 + (b_s - b_t) * eps
    if s == 0 and last:
        return euler
    x0_end, eps_end = denoiser.predict(euler if trial else x, s if end else t)
    mean_x0 = (1 - weight) * x0 + weight * x0_end
    mean_eps = (1 - weight) * eps + weight * eps_end if noise else eps
    return (x if origin else euler) + (a_s - a_t) * mean_x0 + (b_s - b_t) * mean_eps


def _heun_sum(denoiser: Denoiser, x: Tensor, t: int, s: int) -> Tensor:
    """The sum of the estimates in place of their mean."""
    (a_t, b_t), (a_s, b_s) = denoiser.schedule.at(t), denoiser.schedule.at(s)
    x0, eps = denoiser.predict(x, t)
    euler = x + (a_s - a_t) * x0 + (b_s - b_t) * eps
    if s == 0:
        return euler
    x0_end, eps_end = denoiser.predict(euler, s)
    return x + (a_s - a_t) * (x0 + x0_end) + (b_s - b_t) * (eps + eps_end)


HEUN_STEP = Exercise(
    "heun_step",
    "A step of Heun's method on the probability flow ODE.",
    _heun_step,
    _heun_results,
    {
        "this is Euler's step. Evaluate again at its end, and step from x with the means: x + Δa x̂_0 + Δb ε̂. "
        "(a_s x̂_0 + b_s ε̂ with the means gives Euler's step again.)": (lambda *a: _heun_variant(*a, weight=0.0)),
        "the step takes the estimates at its end alone. Take the mean of those at the start and at the end.": (
            lambda *a: _heun_variant(*a, weight=1.0)
        ),
        "the estimates of both ends are added. Take half of the sum.": _heun_sum,
        "the second evaluation is at the old point x. Evaluate at the trial point x̃_s, where the step would end.": (
            lambda *a: _heun_variant(*a, trial=False)
        ),
        "the second evaluation is at the time t. The trial point x̃_s has the time s.": (
            lambda *a: _heun_variant(*a, end=False)
        ),
        "the corrected step begins at the trial point, so that two steps are made. Begin at x again.": (
            lambda *a: _heun_variant(*a, origin=False)
        ),
        "only x̂_0 is averaged. The estimate of the noise changes, too: average both.": (
            lambda *a: _heun_variant(*a, noise=False)
        ),
        "at s = 0 there is no noise to estimate: return Euler's step, without a second evaluation.": (
            lambda *a: _heun_variant(*a, last=False)
        ),
    },
    demand=_heun_evaluations,
)


def _pairs_to_schedule(*pairs: Pair) -> Schedule:
    """A schedule whose times 3, 2, 1 have these pairs."""
    a, b = zip(*reversed(pairs), strict=True)
    return Schedule(torch.tensor([1.0, *a], dtype=torch.float64), torch.tensor([0.0, *b], dtype=torch.float64))


def _dpm_solver_step(x: Tensor, x0: Tensor, x0_before: Tensor, before: Pair, now: Pair, then: Pair) -> Tensor:
    move = Move(_pairs_to_schedule(before, now, then), 2, 1, lambda x, t: Prediction(x0, x), lambda draw: x)
    return DPMSolver().advance(x, Prediction(x0, x), move, Previous(3, x0_before))[0]


def _dpm_solver_results(function: Function) -> list[Tensor]:
    """Even and uneven steps, on DDPM's schedule and on EDM's."""
    linear, karras = schedules.linear(1000), schedules.karras(20)
    steps = [
        (linear, (whole(900, 800, 950), whole(600, 550, 700), whole(400, 300, 500))),
        (linear, (whole(500, 496, 550), whole(490, 450, 495), whole(100, 60, 150))),
        (linear, (3, 2, 1)),
        (karras, (20, whole(13, 12, 16), whole(9, 6, 10))),
    ]
    found = []
    for number, (schedule, times) in enumerate(steps):
        dtype = torch.float32 if number == 1 else torch.float64
        x, x0, x0_before = (normal(3, 1, 3, 5, seed=seed + number, dtype=dtype) for seed in (40, 50, 60))
        found.append(function(x, x0, x0_before, *(schedule.at(t) for t in times)))
    return found


def _dpm_variant(line: Function, step: Function | None = None) -> Function:
    """A step with another D, a function of x0, x0_before and the three λ, or with another use of D."""

    def call(x: Tensor, x0: Tensor, x0_before: Tensor, before: Pair, now: Pair, then: Pair) -> Any:
        early, middle, late = (math.log(a / b) for a, b in (before, now, then))
        D = line(x0, x0_before, early, middle, late)
        if step is not None:
            return step(x, D, now, then)
        return then[1] / now[1] * x + (then[0] - now[0] * then[1] / now[1]) * D

    return call


def _right_line(x0: Tensor, old: Tensor, early: float, middle: float, late: float) -> Tensor:
    return x0 + (late - middle) / (2 * (middle - early)) * (x0 - old)


def _snr_line(x: Tensor, x0: Tensor, old: Tensor, before: Pair, now: Pair, then: Pair) -> Tensor:
    """The line in a/b, without the logarithm."""
    early, middle, late = (a / b for a, b in (before, now, then))
    D = _right_line(x0, old, early, middle, late)
    return then[1] / now[1] * x + (then[0] - now[0] * then[1] / now[1]) * D


DPM_SOLVER_STEP = Exercise(
    "dpm_solver_step",
    "A step of DPM-Solver++ 2M.",
    _dpm_solver_step,
    _dpm_solver_results,
    {
        "this is DDIM's step, with x̂_0 alone. Continue the line through the last two estimates: D.": (
            _dpm_variant(lambda x0, old, early, middle, late: x0)
        ),
        "the factor of the difference is h/(2 h_before): the middle of the step is only h/2 away.": (
            _dpm_variant(lambda x0, old, early, middle, late: x0 + (late - middle) / (middle - early) * (x0 - old))
        ),
        "the ratio of the steps is upside down: the line's slope is the difference over h_before, its length h/2.": (
            _dpm_variant(
                lambda x0, old, early, middle, late: x0 + (middle - early) / (2 * (late - middle)) * (x0 - old)
            )
        ),
        "the factor ½ holds only for steps of equal length. Multiply it by h/h_before.": (
            _dpm_variant(lambda x0, old, early, middle, late: x0 + 0.5 * (x0 - old))
        ),
        "the difference has the wrong sign: the line is continued beyond x̂_0, away from the estimate before.": (
            _dpm_variant(lambda x0, old, early, middle, late: 2 * x0 - _right_line(x0, old, early, middle, late))
        ),
        "this is the mean of the two estimates, in the middle of the step before. D lies in the middle of this step.": (
            _dpm_variant(lambda x0, old, early, middle, late: (x0 + old) / 2)
        ),
        "the line starts at the older estimate. D is x̂_0 plus the continued difference.": (
            _dpm_variant(
                lambda x0, old, early, middle, late: old + (late - middle) / (2 * (middle - early)) * (x0 - old)
            )
        ),
        "the line is taken in a/b. DPM-Solver++ takes it in λ = log(a/b).": _snr_line,
        "x is multiplied by a_s/a_t. In this form it is b_s/b_t, since x/b changes with a/b.": (
            _dpm_variant(
                _right_line,
                lambda x, D, now, then: then[0] / now[0] * x + (then[0] - now[0] * then[1] / now[1]) * D,
            )
        ),
        "the factor of D is a_s − a_t b_s/b_t: the part of x_t that is kept holds some of x̂_0 already.": (
            _dpm_variant(_right_line, lambda x, D, now, then: then[1] / now[1] * x + then[0] * D)
        ),
        "the factor of D is a_s − a_t b_s/b_t, which is −a_s (e^−h − 1), with a minus before it.": (
            _dpm_variant(
                _right_line,
                lambda x, D, now, then: then[1] / now[1] * x - (then[0] - now[0] * then[1] / now[1]) * D,
            )
        ),
    },
    linear=Linear("x, x0, x0_before, before, now, then", inputs="x, x0, x0_before", at="now, then"),
)


def _noise_std(alpha_bar_t: Tensor, alpha_bar_s: Tensor, eta: float) -> Tensor:
    """η √β̃ of the package's schedule with these ᾱ, step by step."""
    found = []
    for late, early in zip(alpha_bar_t.double(), alpha_bar_s.double(), strict=True):
        clean = early == 1
        levels = torch.stack([late] if clean else [early, late])
        one = torch.ones(1, dtype=torch.float64)
        schedule = Schedule(torch.cat([one, levels.sqrt()]), torch.cat([0 * one, (1 - levels).sqrt()]))
        found.append(eta * math.sqrt(schedule.posterior_variance(len(levels), len(levels) - 1)))
    return torch.tensor(found, dtype=alpha_bar_t.dtype)


def _noise_std_results(function: Function) -> list[Tensor]:
    """Neighbouring and distant times of DDPM's schedule, the step to 0, and three values of η."""
    alpha_bar, middle = schedules.linear(1000).alpha_bar, whole(600, 550, 700)
    t, s = (
        torch.tensor([1000, middle, middle, whole(20, 15, 40), 2, 1]),
        torch.tensor([999, whole(400, 300, 500), 1, 10, 1, 0]),
    )
    return [function(alpha_bar[t], alpha_bar[s], eta) for eta in (0.0, near(0.3), 1.0)]


NOISE_STD = Exercise(
    "noise_std",
    "The standard deviation of the noise in DDIM's steps, (16) of DDIM.",
    _noise_std,
    _noise_std_results,
    {
        "this is the variance of the noise for η = 1, times η. Take the square root of the variance first.": (
            lambda t, s, eta: eta * (1 - s) / (1 - t) * (1 - t / s)
        ),
        "this is the variance. The deviation is its square root.": (
            lambda t, s, eta: eta**2 * (1 - s) / (1 - t) * (1 - t / s)
        ),
        "η stands before the roots, not under them.": (
            lambda t, s, eta: math.sqrt(eta) * ((1 - s) / (1 - t) * (1 - t / s)).sqrt()
        ),
        "this is the noise with √β, DDPM's larger variance. The factor √((1−ᾱ_s)/(1−ᾱ_t)) is missing.": (
            lambda t, s, eta: eta * (1 - t / s).sqrt()
        ),
        "the factor √(1 − ᾱ_t/ᾱ_s) is missing: it is small when the step is short.": (
            lambda t, s, eta: eta * ((1 - s) / (1 - t)).sqrt()
        ),
        "the fraction (1−ᾱ_s)/(1−ᾱ_t) is upside down: at s = 0 the noise has to vanish.": (
            lambda t, s, eta: eta * ((1 - t) / (1 - s)).sqrt() * (1 - t / s).sqrt()
        ),
        "the fraction ᾱ_t/ᾱ_s is upside down. ᾱ_t is the smaller one, so the root of 1 − ᾱ_s/ᾱ_t is not a number.": (
            lambda t, s, eta: eta * ((1 - s) / (1 - t)).sqrt() * (1 - s / t).sqrt()
        ),
        "η is missing.": lambda t, s, eta: ((1 - s) / (1 - t)).sqrt() * (1 - t / s).sqrt(),
        "only the noise of the steps from s to t counts, not that of all steps from 0 to t: compute β_ts.": (
            lambda t, s, eta: eta * ((1 - s) / (1 - t)).sqrt() * (1 - t).sqrt()
        ),
        "this is √(b_s² − σ²), the factor of the estimated noise, times η. Solve for σ.": (
            lambda t, s, eta: eta * (t / s).sqrt() * (1 - s) / (1 - t).sqrt()
        ),
        "the covariance by (12) is b_t √(b_s² − σ²), as x_t − a_t x_0 is b_t ε̂. You left out b_t.": (
            lambda t, s, eta: eta * ((1 - s) - t / s * (1 - s) ** 2).sqrt()
        ),
        "the denominator √(1−ᾱ_t) is missing. (The covariance in the chain is r b_s², with the variance of x_s.)": (
            lambda t, s, eta: eta * ((1 - s) * (1 - t / s)).sqrt()
        ),
    },
)

EXERCISES: tuple[Exercise, ...] = (DDIM_STEP, ORDER, HEUN_STEP, DPM_SOLVER_STEP, NOISE_STD)
"""The exercises, in the order of the lesson."""
