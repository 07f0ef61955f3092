"""Exercises of lesson 5: one step or one formula of five methods from 2019 to 2022."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral import schedules, targets
from ancestral.samplers import langevin
from ancestral_course.exercise import Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, whole

# Exercise 1: one Langevin step


def _langevin_results(f: Function) -> Sequence[Tensor]:
    x, eps, z = normal(5, 2), normal(5, 2, seed=1), normal(5, 2, seed=2)
    quiet = torch.zeros_like(z)
    return [
        f(x, eps, near(0.3), near(0.02), z),
        f(x, eps, near(2.0), near(0.5), z),
        f(x.float(), eps.float(), near(0.01), near(2e-5), quiet.float()),
    ]


_LANGEVIN = Exercise(
    name="langevin_step",
    task="one step of Langevin dynamics, from the estimate of the noise",
    reference=lambda x, e, s, a, z: langevin.langevin_step(x, e, s, a, z),
    results=_langevin_results,
    mistakes={
        "the score is −ε̂/σ: without the minus sign the step goes downhill, away from the data": (
            lambda x, e, s, a, z: x + a / 2 * e / s + a**0.5 * z
        ),
        "the score is −ε̂/σ, not −ε̂. The gradient of log N(x; x_0, σ²I) is −(x − x_0)/σ², and x − x_0 is σ ε": (
            lambda x, e, s, a, z: x - a / 2 * e + a**0.5 * z
        ),
        "the score is −ε̂/σ: x − x_0 is σ ε, and it is divided by σ², so one σ is left": (
            lambda x, e, s, a, z: x - a / 2 * e / s**2 + a**0.5 * z
        ),
        "the noise has the variance α, so z is multiplied by √α": lambda x, e, s, a, z: x - a / 2 * e / s + a * z,
        "the step along the score is α/2, not α. With √α z this would sample a density that is too narrow": (
            lambda x, e, s, a, z: x - a * e / s + a**0.5 * z
        ),
        "√(2α) z belongs to a step of α along the score. Here the step is α/2, and the noise √α z": (
            lambda x, e, s, a, z: x - a / 2 * e / s + (2 * a) ** 0.5 * z
        ),
        "the noise z is missing: without it all points climb to the nearest maximum of the density": (
            lambda x, e, s, a, z: x - a / 2 * e / s
        ),
        "the step starts at x: add x": lambda x, e, s, a, z: -a / 2 * e / s + a**0.5 * z,
        "the score is −ε̂/σ, not −ε̂ · σ. The gradient of log N(x; x_0, σ²I) divides x − x_0 = σ ε by σ²": (
            lambda x, e, s, a, z: x - a / 2 * e * s + a**0.5 * z
        ),
    },
    linear=Linear("x, eps_hat, sigma, alpha, z", inputs="x, eps_hat, z", at="sigma, alpha"),
)


# Exercise 2: one DDIM step


def _ddim(x: Tensor, e: Tensor, a: float, b: float, a_s: float, b_s: float, eta: float, z: Tensor) -> Tensor:
    """The mean of q(x_s | x_t, x̂_0) with the noise of DDPM, and the part of ε̂ that η leaves."""
    variance = eta**2 * (b**2 - (a / a_s) ** 2 * b_s**2) * b_s**2 / b**2
    x0, eps = targets.EPS.solve(x, e, a, b)
    result: Tensor = a_s * x0 + math.sqrt(b_s**2 - variance) * eps + math.sqrt(variance) * z
    return result


def _ddim_results(f: Function) -> Sequence[Tensor]:
    x, eps, z = normal(5, 2), normal(5, 2, seed=1), normal(5, 2, seed=2)
    results = []
    for schedule, t, s, eta in (
        (schedules.linear(), whole(600, 550, 700), whole(400, 300, 500), 0.0),
        (schedules.linear(), whole(600, 595, 650), whole(580, 550, 590), near(0.7)),
        (schedules.cosine(), whole(300, 250, 400), whole(100, 50, 150), 1.0),
        (schedules.geometric(sigma_max=near(5.0)), whole(700, 650, 800), whole(500, 400, 600), near(0.4)),
        (schedules.linear(), whole(20, 15, 40), 0, 1.0),
    ):
        results.append(f(x, eps, *schedule.at(t), *schedule.at(s), eta, z))
    return results


def _ddim_variant(variance: Function, mix: Function) -> Function:
    """A DDIM step with another variance, or another mixture of x̂_0, ε̂ and z."""

    def step(x: Tensor, e: Tensor, a: float, b: float, a_s: float, b_s: float, eta: float, z: Tensor) -> Tensor:
        v = variance(a, b, a_s, b_s, eta)
        result: Tensor = mix(x, (x - b * e) / a, e, a_s, b_s, v, z)
        return result

    return step


def _variance(a: float, b: float, a_s: float, b_s: float, eta: float) -> float:
    return eta**2 * (b**2 - (a / a_s) ** 2 * b_s**2) * b_s**2 / b**2


def _mix(x: Tensor, x0: Tensor, e: Tensor, a_s: float, b_s: float, v: float, z: Tensor) -> Tensor:
    return a_s * x0 + math.sqrt(max(b_s**2 - v, 0.0)) * e + math.sqrt(v) * z


_DDIM = Exercise(
    name="ddim_step",
    task="one step of DDIM with fresh noise of the share η",
    reference=_ddim,
    results=_ddim_results,
    mistakes={
        "the first term is the clean estimate: a_s x̂_0, with x̂_0 = (x_t − b_t ε̂)/a_t, not a_s x_t": _ddim_variant(
            _variance, lambda x, x0, e, a_s, b_s, v, z: _mix(x, x, e, a_s, b_s, v, z)
        ),
        "x̂_0 is multiplied by a_s: mix it again for the time s": _ddim_variant(
            _variance, lambda x, x0, e, a_s, b_s, v, z: _mix(x, x0, e, 1.0, b_s, v, z)
        ),
        "the factor of ε̂ must shrink when fresh noise is added: √(b_s² − η²β̃). Otherwise x_s has too much noise": (
            _ddim_variant(_variance, lambda x, x0, e, a_s, b_s, v, z: a_s * x0 + b_s * e + v**0.5 * z)
        ),
        "η is squared in the variance: the standard deviation of the fresh noise is η √β̃": _ddim_variant(
            lambda a, b, a_s, b_s, eta: eta and _variance(a, b, a_s, b_s, 1.0) * eta, _mix
        ),
        "z is multiplied by a standard deviation, the square root of the variance": _ddim_variant(
            _variance, lambda x, x0, e, a_s, b_s, v, z: a_s * x0 + max(b_s**2 - v, 0.0) ** 0.5 * e + v * z
        ),
        "b_s² − η²β̃ is a variance: take its square root for the factor of ε̂": _ddim_variant(
            _variance, lambda x, x0, e, a_s, b_s, v, z: a_s * x0 + (b_s**2 - v) * e + v**0.5 * z
        ),
        "β̃ has the factor b_s²/b_t², which makes it the variance given x_0": _ddim_variant(
            lambda a, b, a_s, b_s, eta: eta**2 * (b**2 - (a / a_s) ** 2 * b_s**2), _mix
        ),
        "the factor of β̃ is b_s²/b_t², with squares": _ddim_variant(
            lambda a, b, a_s, b_s, eta: eta**2 * (b**2 - (a / a_s) ** 2 * b_s**2) * b_s / b, _mix
        ),
        "β̃ has a_t²/a_s², the square of what is left of the signal from s to t": _ddim_variant(
            lambda a, b, a_s, b_s, eta: eta**2 * max(b**2 - (a / a_s) * b_s**2, 0.0) * b_s**2 / b**2, _mix
        ),
        "the fresh noise has the standard deviation η √β̃, not η b_s, the whole noise of the time s": _ddim_variant(
            lambda a, b, a_s, b_s, eta: (eta * b_s) ** 2, _mix
        ),
        "1 − a_t²/a_s² holds for DDPM's schedule alone: in general β̃ has b_t² − a_t²/a_s² · b_s² in its place": (
            _ddim_variant(lambda a, b, a_s, b_s, eta: eta**2 * (1 - (a / a_s) ** 2) * b_s**2 / b**2, _mix)
        ),
        "this is the step without fresh noise. For η > 0 a part of ε̂ is replaced by z": _ddim_variant(
            lambda a, b, a_s, b_s, eta: 0.0, _mix
        ),
        "x̂_0 is (x_t − b_t ε̂)/a_t: divide by a_t": (
            lambda x, e, a, b, a_s, b_s, eta, z: _mix(x, x - b * e, e, a_s, b_s, _variance(a, b, a_s, b_s, eta), z)
        ),
    },
    linear=Linear("x_t, eps_hat, a_t, b_t, a_s, b_s, eta, z", inputs="x_t, eps_hat, z", at="b_t, b_s, eta"),
)


# Exercise 3: the probability flow


def _rate(x: Tensor, e: Tensor, u: float) -> Tensor:
    """x̂_0 da/du + ε̂ db/du, with both derivatives by automatic differentiation."""
    time = torch.tensor(u, dtype=torch.float64, requires_grad=True)
    log_alpha_bar = -(0.1 * time + 19.9 * time**2 / 2)
    a, b = (log_alpha_bar / 2).exp(), (-torch.expm1(log_alpha_bar)).sqrt()
    (da,) = torch.autograd.grad(a, time, retain_graph=True)
    (db,) = torch.autograd.grad(b, time)
    x0, eps = targets.EPS.solve(x, e, a.item(), b.item())
    result: Tensor = x0 * da.item() + eps * db.item()
    return result


def _rate_results(f: Function) -> Sequence[Tensor]:
    x, eps = normal(5, 2), normal(5, 2, seed=1)
    return [f(x, eps, near(0.001)), f(x, eps, near(0.1)), f(x.float(), eps.float(), near(0.5)), f(x, eps, 1.0)]


def _rate_of(score: Function, factor: float = -0.5) -> Function:
    """The flow with another score, as a function of (x, ε̂, ᾱ, u), or another factor."""

    def rate(x: Tensor, e: Tensor, u: float) -> Tensor:
        alpha_bar = math.exp(-(0.1 * u + 19.9 * u**2 / 2))
        result: Tensor = factor * (0.1 + 19.9 * u) * (x + score(e, alpha_bar, u))
        return result

    return rate


def _score(e: Tensor, alpha_bar: float, u: float) -> Tensor:
    return -e / math.sqrt(1 - alpha_bar)


_FLOW_RATE = Exercise(
    name="flow_rate",
    task="the right-hand side of the probability flow for DDPM's schedule",
    reference=_rate,
    results=_rate_results,
    mistakes={
        "the sign of ε̂ is wrong. ε̂ db/du is above 0, since the noise grows with u, and −b ε̂ in x̂_0 meets da/du < 0": (
            _rate_of(lambda e, c, u: e / (1 - c) ** 0.5)
        ),
        "ε̂ is divided by b, and b is the square root of 1 − ᾱ": _rate_of(lambda e, c, u: -e / (1 - c)),
        "the two terms of ε̂ add up to ½β (b + a²/b) ε̂, which is ½β ε̂/b, since a² + b² = 1. You have ½β ε̂": _rate_of(
            lambda e, c, u: -e
        ),
        "the factor of ε̂ is ½β/b: the sign is wrong, and b is missing": _rate_of(lambda e, c, u: e),
        "the factor of ε̂ is ½β/b, with ½ as in that of x. With β/b this would be the reverse SDE without its noise": (
            lambda x, e, u: (
                _rate_of(_score, 0.0)(x, e, u)
                - (0.1 + 19.9 * u) * (x / 2 + _score(e, math.exp(-(0.1 * u + 19.9 * u**2 / 2)), u))
            )
        ),
        "the factor ½ is missing: a is the root of ᾱ, so da/du is −½β a": _rate_of(_score, -1.0),
        "the sign is wrong: u runs from data to noise, so a falls, and da/du is −½β a": _rate_of(_score, 0.5),
        "the integral of β from 0 to u is 0.1 u + 19.9 u²/2, with a half, and not β(u) · u": (
            lambda x, e, u: -(0.1 + 19.9 * u) / 2 * (x - e / (1 - math.exp(-(0.1 + 19.9 * u) * u)) ** 0.5)
        ),
        "b is √(1 − ᾱ), the standard deviation of the noise. You divide by √ᾱ, the factor of the signal": _rate_of(
            lambda e, c, u: -e / c**0.5
        ),
        "ᾱ(u) is exp(−∫β). You have exp(−½∫β), which is √ᾱ": _rate_of(lambda e, c, u: -e / (1 - c**0.5) ** 0.5),
        "this is x̂_0 da/du alone. b changes, too: add ε̂ db/du": _rate_of(lambda e, c, u: -e * (1 - c) ** 0.5),
        "this is ε̂ db/du alone. a changes, too: add x̂_0 da/du": (
            lambda x, e, u: _rate_of(lambda e, c, u: -e * c / (1 - c) ** 0.5)(0 * x, e, u)
        ),
        "x̂_0 is (x − b ε̂)/a. You took x for a x̂_0": _rate_of(lambda e, c, u: -e * c / (1 - c) ** 0.5),
    },
    linear=Linear("x, eps_hat, u", inputs="x, eps_hat", at="u"),
)


# Exercise 4: EDM's preconditioning


def _edm(sigma: Tensor, sigma_d: float) -> tuple[Tensor, Tensor, Tensor]:
    """c_skip is the slope of the linear regression of x_0 on x_t, and c_out the deviation of what it leaves."""
    covariance, variance = sigma_d**2, sigma**2 + sigma_d**2
    slope = covariance / variance
    return slope, (sigma_d**2 - slope * covariance).sqrt(), variance.rsqrt()


def _edm_results(f: Function) -> Sequence[Tensor]:
    results: list[Tensor] = []
    for sigma_d in (near(0.5), near(0.2)):
        results += f(near(torch.tensor([0.05, 0.5, 3.0], dtype=torch.float64)), sigma_d)
    return results


FACTORS = ("c_skip", "c_out", "c_in")


def _edm_order(*order: int) -> Function:
    """The right factors in another order."""
    return lambda s, d: tuple(_edm(s, d)[i] for i in order)


_EDM = Exercise(
    name="edm_factors",
    task="c_skip, c_out and c_in of EDM, from the deviation of the data",
    reference=_edm,
    results=_edm_results,
    mistakes={
        "c_skip and c_out are swapped: return c_skip, c_out, c_in in this order": (
            lambda s, d: (_edm(s, d)[1], _edm(s, d)[0], _edm(s, d)[2])
        ),
        **{
            f"the order is c_skip, c_out, c_in, and yours is {', '.join(FACTORS[i] for i in order)}": _edm_order(*order)
            for order in ((2, 0, 1), (0, 2, 1), (1, 2, 0), (2, 1, 0))
        },
        "c_in divides by the standard deviation of x_t, the square root of its variance": (
            lambda s, d: (*_edm(s, d)[:2], 1 / (s**2 + d**2))
        ),
        "c_in is 1 divided by the standard deviation of x_t": lambda s, d: (*_edm(s, d)[:2], (s**2 + d**2) ** 0.5),
        "c_out and c_in divide by the standard deviation of x_t, the square root of its variance": (
            lambda s, d: (_edm(s, d)[0], s * d / (s**2 + d**2), 1 / (s**2 + d**2))
        ),
        "c_out divides by the standard deviation of x_t, the square root of its variance": (
            lambda s, d: (_edm(s, d)[0], s * d / (s**2 + d**2), _edm(s, d)[2])
        ),
        "c_out and c_in belong to standard deviations: take the square root of both variances": (
            lambda s, d: (_edm(s, d)[0], _edm(s, d)[1] ** 2, _edm(s, d)[2] ** 2)
        ),
        "variances add up, standard deviations do not: that of x_t is √(σ² + σ_d²), not σ + σ_d": (
            lambda s, d: (d / (s + d), s * d / (s + d), 1 / (s + d))
        ),
        "c_skip has the variance of the data above, not that of the noise: at little noise x̂_0 is nearly x_t": (
            lambda s, d: (s**2 / (s**2 + d**2), *_edm(s, d)[1:])
        ),
        "c_out is a standard deviation: take the square root of the variance that (ii) gives": (
            lambda s, d: (_edm(s, d)[0], _edm(s, d)[1] ** 2, _edm(s, d)[2])
        ),
        "c_out² is (1 − c_skip)² σ_d² + c_skip² σ². You left out one of the two parts": (
            lambda s, d: (_edm(s, d)[0], (1 - _edm(s, d)[0]) * d, _edm(s, d)[2])
        ),
        "c_out² is (1 − c_skip)² σ_d² + c_skip² σ². You left out the part of the data": (
            lambda s, d: (_edm(s, d)[0], _edm(s, d)[0] * s, _edm(s, d)[2])
        ),
        "c_out² = (1 − c_skip)² σ_d² + c_skip² σ² is smallest at c_skip = σ_d²/(σ² + σ_d²), without a square root": (
            lambda s, d: (_edm(s, d)[0] ** 0.5, *_edm(s, d)[1:])
        ),
        "the standard deviation of the data is the argument sigma_d, not always ½": lambda s, d: _edm(s, 0.5),
    },
)


# Exercise 5: the velocity of flow matching


def _ends(x: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    x0, eps = targets.FLOW.solve(x, v, 1 - u, u)
    return x0, eps


def _ends_results(f: Function) -> Sequence[Tensor]:
    x, v, u = normal(4, 2), normal(4, 2, seed=1), near(torch.tensor([0.001, 0.3, 0.8, 1.0]))
    first = f(x, v, u.double())
    second = f(x[:2].float(), v[:2].float(), u[2:])
    return [*first, *second]


def _column(f: Function) -> Function:
    return lambda x, v, u: f(x, v, u[:, None])


_VELOCITY = Exercise(
    name="ends_of_the_line",
    task="x̂_0 and ε̂ from the velocity of the straight line",
    reference=_ends,
    results=_ends_results,
    mistakes={
        "x̂_0 and ε̂ are swapped: return x̂_0 first": _column(lambda x, v, u: (x + (1 - u) * v, x - u * v)),
        "the velocity points from the data to the noise, so x̂_0 lies against it: look at the signs": _column(
            lambda x, v, u: (x + u * v, x - (1 - u) * v)
        ),
        "ε̂ lies ahead of x_t, in the direction of the velocity: look at its sign": _column(
            lambda x, v, u: (x - u * v, x - (1 - u) * v)
        ),
        "the way from x_t to ε is 1 − u, since x_t has already gone the way u": _column(
            lambda x, v, u: (x - u * v, x + u * v)
        ),
        "u and 1 − u are swapped: at u = 1, x_t is noise, and the data are at the distance u": _column(
            lambda x, v, u: (x - (1 - u) * v, x + u * v)
        ),
        "this x̂_0 is right. ε̂ is not the velocity itself, which is ε − x_0": _column(
            lambda x, v, u: (x - u * v, v + 0 * u)
        ),
        "x̂_0 is not the whole velocity away from x_t. That is right at u = 1 only": _column(
            lambda x, v, u: (x - v, x + (1 - u) * v)
        ),
        "ε̂ is not the whole velocity away from x_t: follow the line from u to 1": _column(
            lambda x, v, u: (x - u * v, x + v)
        ),
    },
    linear=Linear("x_t, velocity, u", inputs="x_t, velocity", at="u", parts="x̂_0, ε̂"),
)

EXERCISES: tuple[Exercise, ...] = (_LANGEVIN, _DDIM, _FLOW_RATE, _EDM, _VELOCITY)
