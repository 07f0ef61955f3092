"""Exercises of lesson 11: the consistency function, its stages, its sampler, progressive distillation, and errors."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ancestral import schedules
from ancestral.errors import InputError
from ancestral.objectives.distillation import earlier
from ancestral.samplers import DDIM, Consistency
from ancestral.schedules import Schedule, Time, broadcast
from ancestral.targets import Prediction, Target
from ancestral_course.exercise import Counted, Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, whole

F64 = torch.float64
Pair = tuple[Any, Any]
"""Signal a and noise b of a time."""


def _gaussian_end(x_t: Tensor, a: float, b: float, m: float, s: float) -> Tensor:
    return m + (x_t - a * m) * s / math.hypot(a * s, b)


def _gaussian_end_results(function: Function) -> list[Tensor]:
    """From hardly any noise to nothing else, on schedules with a + b = 1, a² + b² = 1 and a = 1."""
    x_t = near(torch.linspace(-2, 2, 5, dtype=F64)[:, None])
    scales = ((0.9, near(0.1)), (0.0, 1.0), (near(0.6), 0.8), (1.0, near(5.0)), (0.999, near(0.0447)))
    return [function(x_t, a, b, m, s) for a, b in scales for m, s in ((near(0.3), near(0.5)), (near(-0.7), near(1.4)))]


def _line(slope: Callable[[float, float, float], float], shrunk: bool = True, at: str = "m") -> Function:
    """A straight line with another slope, a function of (a, b, s), or with another centre."""

    def function(x_t: Tensor, a: float, b: float, m: float, s: float) -> Tensor:
        start = {"m": m, "a m": a * m, "0": 0.0}[at]
        return start + (x_t - (a * m if shrunk else m)) * slope(a, b, s)

    return function


GAUSSIAN_END = Exercise(
    "gaussian_end",
    "The consistency function of Gaussian data.",
    _gaussian_end,
    _gaussian_end_results,
    {
        "this is the estimate of a denoiser, the mean of x_0 given x_t. The end of the path lies as many standard "
        "deviations from the mean as x_t does.": _line(lambda a, b, s: a * s**2 / (a**2 * s**2 + b**2)),
        "x_t is divided by its variance a² s² + b². Divide by the standard deviation, its root.": _line(
            lambda a, b, s: s / (a**2 * s**2 + b**2)
        ),
        "the number of standard deviations is right, but it is multiplied by s². The standard deviation of "
        "the data is s.": _line(lambda a, b, s: s**2 / math.hypot(a * s, b)),
        "the mean of x_t is a m, not m: the signal has been multiplied by a.": _line(
            lambda a, b, s: s / math.hypot(a * s, b), shrunk=False
        ),
        "the end is measured from the mean of x_t, a m. At t = 0 the mean is m.": _line(
            lambda a, b, s: s / math.hypot(a * s, b), at="a m"
        ),
        "add the mean of the data at the end: this is the distance from it.": _line(
            lambda a, b, s: s / math.hypot(a * s, b), at="0"
        ),
        "the standard deviation of x_t is √(a² s² + b²): the signal has the deviation a s, not a.": _line(
            lambda a, b, s: s / math.hypot(a, b)
        ),
        "independent deviations do not add up, their squares do: √(a² s² + b²), not a s + b.": _line(
            lambda a, b, s: s / (a * s + b)
        ),
        "the quotient is upside down: divide by the deviation of x_t, multiply by that of the data.": _line(
            lambda a, b, s: math.hypot(a * s, b) / s
        ),
    },
    linear=Linear("x_t, a, b, m, s", inputs="x_t", at="a, b, m, s"),
)


def _schedules() -> list[Schedule]:
    """Schedules of each kind, long and short."""
    return [
        schedules.cosine(whole(40, 30, 50)),
        schedules.flow(whole(200, 150, 250)),
        schedules.karras(whole(60, 50, 80), sigma_max=near(20.0)),
        schedules.linear(whole(30, 20, 40)),
        schedules.cosine(2),
    ]


def _earlier_time(sigma: Tensor, t: Tensor, stage: int) -> Tensor:
    """The package's, for the schedule with this table."""
    schedule = next(schedule for schedule in _schedules() if torch.equal(schedule.noise / schedule.signal, sigma))
    return earlier(schedule, t, stage)


def _earlier_time_results(function: Function) -> list[Tensor]:
    """All times of schedules with different noise levels, one of them infinite, in early and late stages."""
    found = []
    for schedule in _schedules():
        sigma = schedule.noise / schedule.signal
        t = torch.arange(1, schedule.steps + 1).flip(0)
        found += [function(sigma, t, stage) for stage in (0, 1, 3, 9)]
    return found


def _with_factor(factor: Callable[[Tensor, int], Tensor], below: int = 1) -> Function:
    """r with another factor of σ_t, a function of (σ_t, stage), or another index than count − 1."""

    def function(sigma: Tensor, t: Tensor, stage: int) -> Tensor:
        wanted = torch.nan_to_num(sigma[t] * factor(sigma[t], stage).clamp(min=0), posinf=math.inf)
        return torch.minimum(torch.searchsorted(sigma, wanted, right=True) - below, t - 1)

    return function


def _n(sigma: Tensor) -> Tensor:
    return 1 + 8 * torch.sigmoid(-sigma)


def _factor(sigma: Tensor, stage: int) -> Tensor:
    factor: Tensor = 1 - _n(sigma) / 2 ** (stage + 1)
    return factor


def _of_time(sigma: Tensor, t: Tensor, stage: int) -> Tensor:
    found: Tensor = (t * (1 - _n(sigma[t]) / 2 ** (stage + 1))).floor().clamp(min=0).long()
    return torch.minimum(found, t - 1)


def _uncapped(sigma: Tensor, t: Tensor, stage: int) -> Tensor:
    wanted = sigma[t] * _factor(sigma[t], stage).clamp(min=0)
    return torch.searchsorted(sigma, wanted, right=True) - 1


def _unclamped(sigma: Tensor, t: Tensor, stage: int) -> Tensor:
    found = torch.searchsorted(sigma, sigma[t] * _factor(sigma[t], stage), right=True) - 1
    return torch.minimum(found, t - 1)


EARLIER_TIME = Exercise(
    "earlier_time",
    "The earlier times r of consistency tuning.",
    _earlier_time,
    _earlier_time_results,
    {
        "some times are −1. Where the formula is not above 0, r is 0: clamp σ_r, and count the entries at or below it "
        "(right=True).": _unclamped,
        "r has to be at most t − 1. For an infinite noise level the last time at or below σ_r would be t.": _uncapped,
        "searchsorted with right=True counts the entries at or below the value; since the table begins at t = 0, the "
        "last of them has the index count − 1.": _with_factor(_factor, below=0),
        "the exponent is stage + 1: in stage 0 the distance is n/2.": _with_factor(
            lambda sigma, stage: 1 - _n(sigma) / 2**stage
        ),
        "n/(2 (k + 1)) falls too slowly. Each stage halves the distance: n/2^(k + 1).": _with_factor(
            lambda sigma, stage: 1 - _n(sigma) / (2 * (stage + 1))
        ),
        "the sigmoid is of −σ, so that n is 5 at little noise and 1 at much noise.": _with_factor(
            lambda sigma, stage: 1 - (1 + 8 * torch.sigmoid(sigma)) / 2 ** (stage + 1)
        ),
        "n is missing: the distance is n(σ)/2^(k + 1), with n from 5 down to 1.": _with_factor(
            lambda sigma, stage: 1 - torch.ones_like(sigma) / 2 ** (stage + 1)
        ),
        "n = 1 + 8 sigmoid(−σ): the 1 is missing, and at much noise r would be t itself.": _with_factor(
            lambda sigma, stage: 1 - 8 * torch.sigmoid(-sigma) / 2 ** (stage + 1)
        ),
        "this is the distance σ_t − σ_r, not σ_r: subtract it from σ_t.": _with_factor(
            lambda sigma, stage: _n(sigma) / 2 ** (stage + 1)
        ),
        "the factor is of the noise level σ_t, not of the time t: look the result up in the table.": _of_time,
    },
    rtol=0,
    atol=0,
)


class _Curved:
    """A denoiser with a curved x̂_0 for samples of any shape, at one time or at times (B,)."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def predict(self, x_t: Tensor, t: Time, **_: Tensor) -> Prediction:
        """x̂_0 and the ε̂ that agrees with x_t, each (B, *). Raises InputError at t = 0, as a network does."""
        if int(torch.as_tensor(t).min()) < 1:
            raise InputError("a denoiser takes times 1..T; at t = 0 there is no noise to find")
        a, b = (broadcast(scale, x_t) for scale in self.schedule.at(t))
        x0 = torch.tanh(1.3 * x_t - 0.2) * (1 - 0.3 * b / (a + b))
        return Prediction(x0, (x_t - a * x0) / b)


def _consistency_sample(denoiser: _Curved, x: Tensor, times: Sequence[int], noise: Tensor) -> Tensor:
    draws = iter(noise)
    return Consistency(clip=None).sample(denoiser, x, times=list(times), noise=lambda shape: next(draws))


def _consistency_results(function: Function) -> list[Tensor]:
    """One, two and five evaluations, from T and from below, for points and images."""
    found = []
    for seed, (schedule, times, shape) in enumerate(
        [
            (schedules.flow(100), [100, 0], (4, 1)),
            (schedules.cosine(50), [50, whole(20, 10, 30), 0], (3, 1, 2, 2)),
            (schedules.karras(40, sigma_max=near(10.0)), [whole(37, 35, 39), 30, whole(22, 15, 28), 9, 2, 0], (4, 2)),
        ]
    ):
        x, noise = normal(*shape, seed=seed), normal(len(times) - 1, *shape, seed=10 + seed)
        found.append(function(_Curved(schedule), x, times, noise))
    return found


def _consistency_evaluations(function: Function) -> str:
    """The hint for more than one evaluation a step, or ""."""
    denoiser = Counted(_Curved(schedules.flow(100)))
    function(denoiser, normal(4, 2, seed=0), [100, 60, 20, 0], normal(3, 4, 2, seed=10))
    return denoiser.needless(3)


def _moves(move: Callable[[Tensor, Prediction, Tensor, Pair, Pair], Tensor]) -> Function:
    """A sampler with another step, a function of (x, prediction, z, (a_t, b_t), (a_s, b_s))."""

    def function(denoiser: _Curved, x: Tensor, times: Sequence[int], noise: Tensor) -> Tensor:
        for t, s, z in zip(times[:-1], times[1:], noise, strict=True):
            x = move(x, denoiser.predict(x, t), z, denoiser.schedule.at(t), denoiser.schedule.at(s))
        return x

    return function


def _one_noise(denoiser: _Curved, x: Tensor, times: Sequence[int], noise: Tensor) -> Tensor:
    return _consistency_sample(denoiser, x, times, noise[:1].expand_as(noise))


def _first_only(denoiser: _Curved, x: Tensor, times: Sequence[int], noise: Tensor) -> Tensor:
    return denoiser.predict(x, times[0]).x0


def _first_time(denoiser: _Curved, x: Tensor, times: Sequence[int], noise: Tensor) -> Tensor:
    for s, z in zip(times[1:], noise, strict=True):
        x = denoiser.schedule.add_noise(denoiser.predict(x, times[0]).x0, s, z)
    return x


def _stops_early(denoiser: _Curved, x: Tensor, times: Sequence[int], noise: Tensor) -> Tensor:
    for t, s, z in zip(times[:-2], times[1:-1], noise[:-1], strict=True):
        x = denoiser.schedule.add_noise(denoiser.predict(x, t).x0, s, z)
    return x


CONSISTENCY_SAMPLE = Exercise(
    "consistency_sample",
    "The sampler of consistency models.",
    _consistency_sample,
    _consistency_results,
    {
        "this is DDIM: ε̂ in place of new noise. It belongs to x̂_0, so the density would not be p_s.": _moves(
            lambda x, now, z, t, s: s[0] * now.x0 + s[1] * now.eps
        ),
        "the noise is added with the scales of t, where x_t was. The next state lies at s.": _moves(
            lambda x, now, z, t, s: now.x0 if s[1] == 0 else t[0] * now.x0 + t[1] * z
        ),
        "the signal is missing: x̂_0 is multiplied by a_s.": _moves(lambda x, now, z, t, s: now.x0 + s[1] * z),
        "the noise is added to x_t. Add it to x̂_0, which is clean.": _moves(
            lambda x, now, z, t, s: now.x0 if s[1] == 0 else s[0] * x + s[1] * z
        ),
        "no noise is added: the network expects x_s with the noise of time s.": _moves(
            lambda x, now, z, t, s: s[0] * now.x0
        ),
        "the noise is not scaled: multiply it by b_s, which is 0 at the end.": _moves(
            lambda x, now, z, t, s: s[0] * now.x0 + z
        ),
        "each step gets the first noise. noise[i] is that of step i.": _one_noise,
        "only one evaluation is made: repeat it at each of the times.": _first_only,
        "all evaluations are made at times[0]. After a step the state lies at the next time.": _first_time,
        "the last step to t = 0 is missing: the result still has noise.": _stops_early,
    },
    demand=_consistency_evaluations,
)


def _progressive_goal(teacher: _Curved, x_t: Tensor, t: int, middle: int, s: int) -> Tensor:
    end = DDIM(clip=None).sample(teacher, x_t, times=[t, middle, s])
    goal = Target("x_s", lambda a, b: teacher.schedule.at(s)[0], lambda a, b: teacher.schedule.at(s)[1])
    return goal.solve(x_t, end, *teacher.schedule.at(t)).x0


def _progressive_results(function: Function) -> list[Tensor]:
    """Steps that end above 0 and at 0, one that starts without signal, for points and images."""
    found = []
    for seed, (schedule, times, shape) in enumerate(
        [
            (schedules.flow(100), (100, whole(75, 65, 90), whole(50, 30, 60)), (4, 1)),
            (schedules.cosine(50), (whole(30, 26, 40), whole(20, 15, 25), whole(5, 3, 9)), (3, 1, 2, 2)),
            (schedules.karras(40, sigma_max=near(10.0)), (whole(20, 15, 30), whole(9, 5, 12), 0), (4, 2)),
        ]
    ):
        found.append(function(_Curved(schedule), normal(*shape, seed=seed), *times))
    return found


def _progressive_evaluations(function: Function) -> str:
    """The hint for more than two evaluations of the teacher, or ""."""
    teacher = Counted(_Curved(schedules.flow(100)))
    function(teacher, normal(4, 1, seed=0), 90, 75, 50)
    return teacher.needless(2)


def _two_steps(teacher: _Curved, x_t: Tensor, t: int, middle: int, s: int) -> Tensor:
    return DDIM(clip=None).sample(teacher, x_t, times=[t, middle, s])


def _solved(end: Callable[[_Curved, Tensor, int, int, int], Tensor]) -> Function:
    """The goal for another end of the teacher's way."""

    def function(teacher: _Curved, x_t: Tensor, t: int, middle: int, s: int) -> Tensor:
        (a_t, b_t), (a_s, b_s) = teacher.schedule.at(t), teacher.schedule.at(s)
        return (end(teacher, x_t, t, middle, s) - b_s / b_t * x_t) / (a_s - b_s / b_t * a_t)

    return function


def _same_time(teacher: _Curved, x_t: Tensor, t: int, middle: int, s: int) -> Tensor:
    half = DDIM(clip=None).sample(teacher, x_t, times=[t, middle])
    x0, eps = teacher.predict(half, t)
    return teacher.schedule.add_noise(x0, s, eps)


def _last_estimate(teacher: _Curved, x_t: Tensor, t: int, middle: int, s: int) -> Tensor:
    return teacher.predict(DDIM(clip=None).sample(teacher, x_t, times=[t, middle]), middle).x0


def _without_divisor(teacher: _Curved, x_t: Tensor, t: int, middle: int, s: int) -> Tensor:
    return _two_steps(teacher, x_t, t, middle, s) - teacher.schedule.at(s)[1] / teacher.schedule.at(t)[1] * x_t


def _plus(teacher: _Curved, x_t: Tensor, t: int, middle: int, s: int) -> Tensor:
    (a_t, b_t), (a_s, b_s) = teacher.schedule.at(t), teacher.schedule.at(s)
    return (_two_steps(teacher, x_t, t, middle, s) - b_s / b_t * x_t) / (a_s + b_s / b_t * a_t)


def _only_signal(teacher: _Curved, x_t: Tensor, t: int, middle: int, s: int) -> Tensor:
    (_, b_t), (a_s, b_s) = teacher.schedule.at(t), teacher.schedule.at(s)
    return (_two_steps(teacher, x_t, t, middle, s) - b_s / b_t * x_t) / a_s


PROGRESSIVE_GOAL = Exercise(
    "progressive_goal",
    "The goal of progressive distillation.",
    _progressive_goal,
    _progressive_results,
    {
        "this is x_s, where the teacher ends. The goal is the x̂_0 whose one step from x_t ends there.": _two_steps,
        "this is the teacher's x̂_0 in the middle, the goal of its second step alone. The student starts at x_t, so its "
        "goal has to make up for the first step too.": _last_estimate,
        "this is the teacher's own x̂_0 at x_t, the goal of one step. Evaluate it again in the middle.": (
            lambda teacher, x_t, t, middle, s: teacher.predict(x_t, t).x0
        ),
        "the second evaluation is made at time t. The state after the first step lies at the time in the middle.": (
            _solved(_same_time)
        ),
        "the teacher ends in the middle: its second step, to s, is missing.": _solved(
            lambda teacher, x_t, t, middle, s: DDIM(clip=None).sample(teacher, x_t, times=[t, middle])
        ),
        "divide by a_s − a_t b_s/b_t, the factor of x̃ in the student's step.": _without_divisor,
        "the divisor has a minus: ε̃ = (x_t − a_t x̃)/b_t contains −a_t x̃.": _plus,
        "the divisor is a_s − a_t b_s/b_t, since ε̃ depends on x̃ as well.": _only_signal,
    },
    demand=_progressive_evaluations,
)


def _error_factor(p: float, q: float, now: Pair, then: Pair) -> float:
    target = Target("own", lambda a, b: p, lambda a, b: q)
    x0, eps = target.solve(torch.zeros(1, 1, dtype=F64), torch.ones(1, 1, dtype=F64), *now)
    return abs(float(then[0] * x0 + then[1] * eps))


def _error_factor_results(function: Function) -> list[float]:
    """ε, x_0, v, flow and a row of no name, for long and short steps."""
    found = []
    first, second, last = (near(0.1), 0.995), (near(0.6), 0.8), (0.98, near(0.199))
    for now, then in ((first, second), (second, last), ((1.0, near(4.0, 0.1)), (1.0, near(3.0, 0.1)))):
        for p, q in ((0.0, 1.0), (1.0, 0.0), (-now[1], now[0]), (-1.0, 1.0), (near(0.3), near(2.0))):
            found.append(function(p, q, now, then))
    return found


def _quotient(top: Callable[[Pair, Pair], float], signed: bool = False) -> Function:
    """Another numerator, a function of now and then, over the determinant."""

    def function(p: float, q: float, now: Pair, then: Pair) -> float:
        found: float = top(now, then) / (now[0] * q - now[1] * p)
        return found if signed else abs(found)

    return function


def _numerator(now: Pair, then: Pair) -> Any:
    return now[0] * then[1] - then[0] * now[1]


ERROR_FACTOR = Exercise(
    "error_factor",
    "The factor from the error of a network's answer to that of x_s.",
    _error_factor,
    _error_factor_results,
    {
        "right up to the sign: return the absolute value.": _quotient(_numerator, signed=True),
        "this is the error of x̂_0 alone. x_s contains ε̂ too, whose error partly cancels it.": _quotient(
            lambda now, then: now[1]
        ),
        "this is the error of a_s x̂_0. b_s ε̂ is off as well, with the other sign.": _quotient(
            lambda now, then: then[0] * now[1]
        ),
        "this is the error of b_s ε̂. a_s x̂_0 is off as well, with the other sign.": _quotient(
            lambda now, then: now[0] * then[1]
        ),
        "the two errors have opposite signs: x̂_0 changes by −b_t δ/d, ε̂ by +a_t δ/d. Add them before the absolute "
        "value.": _quotient(lambda now, then: now[0] * then[1] + then[0] * now[1]),
        "x̂_0 changes by −b_t/d and ε̂ by a_t/d; here the two are exchanged.": _quotient(
            lambda now, then: now[1] * then[1] - then[0] * now[0]
        ),
        "this is right for ε alone, where d = a_t. For another target divide by d = a_t q − b_t p.": (
            lambda p, q, now, then: abs(_numerator(now, then) / now[0])
        ),
        "divide by the determinant d = a_t q − b_t p.": lambda p, q, now, then: abs(_numerator(now, then)),
        "the determinant is a_t q − b_t p, with a minus.": (
            lambda p, q, now, then: abs(_numerator(now, then) / (now[0] * q + now[1] * p))
        ),
        "the determinant has the scales of t, where the network was evaluated, not of s.": (
            lambda p, q, now, then: abs(_numerator(now, then) / (then[0] * q - then[1] * p))
        ),
    },
)


EXERCISES: tuple[Exercise, ...] = (GAUSSIAN_END, EARLIER_TIME, CONSISTENCY_SAMPLE, PROGRESSIVE_GOAL, ERROR_FACTOR)
"""The exercises, in the order of the lesson."""
