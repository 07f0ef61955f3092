"""The exercises of lesson 2, the forward process."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral import schedules
from ancestral.schedules import Schedule
from ancestral_course.exercise import Exercise, Function, values
from ancestral_course.probing import Linear
from ancestral_course.variants import near, seeded, whole

F64 = torch.float64
ZERO, ONE = torch.zeros(1, dtype=F64), torch.ones(1, dtype=F64)


def _alpha_bar(beta: Tensor) -> Tensor:
    return torch.cat([ONE, (1 - beta.double()).cumprod(0)])


def _tables(beta: Tensor) -> tuple[Tensor, Tensor]:
    schedule = schedules.from_betas(beta)
    return schedule.signal, schedule.noise


def _tables_rounded(beta: Tensor) -> tuple[Tensor, Tensor]:
    """The tables of a product in float32, if beta is, that is converted too late."""
    alpha_bar = torch.cat([ONE, (1 - beta).cumprod(0)])
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def _tables_float32(beta: Tensor) -> tuple[Tensor, Tensor]:
    alpha_bar = torch.cat([torch.ones(1), (1 - beta.float()).cumprod(0)])
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def _of_alpha_bar(
    a: Callable[[Tensor], Tensor], b: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Tables made of ᾱ by two functions."""
    return lambda beta: (a(_alpha_bar(beta)), b(_alpha_bar(beta)))


def _tables_results(f: Function) -> list[Any]:
    found: list[Any] = []
    for beta in (
        torch.linspace(near(1e-4), near(0.02), 1000, dtype=F64),
        torch.tensor([near(0.5)]),
        near(torch.tensor([0.3, 0.9], dtype=F64), 0.1),
        torch.full((7,), near(1e-6)),
    ):
        found += values(f(beta), 2, "the two tables, (a, b)")
    return found


_signal_and_noise = Exercise(
    name="signal_and_noise",
    task="The tables a and b of a variance-preserving schedule, from β_1..β_T.",
    reference=_tables,
    results=_tables_results,
    mistakes={
        "a is the square root of ᾱ, and b the square root of 1 − ᾱ: these are factors of x_0 and ε, not variances.": (
            _of_alpha_bar(lambda c: c, lambda c: 1 - c)
        ),
        "b is a square root as well: 1 − ᾱ is the variance of the noise, and ε is multiplied by its deviation.": (
            _of_alpha_bar(lambda c: c.sqrt(), lambda c: 1 - c)
        ),
        "a is the square root of ᾱ: each step multiplies the image by √(1 − β), not by 1 − β.": (
            _of_alpha_bar(lambda c: c, lambda c: (1 - c).sqrt())
        ),
        "signal and noise are swapped: a_0 = 1 and b_0 = 0.": (
            _of_alpha_bar(lambda c: (1 - c).sqrt(), lambda c: c.sqrt())
        ),
        "the difference 1 − ᾱ lost its digits in 32-bit floats. Convert beta to float64 before you compute.": (
            _tables_float32
        ),
        "1 − β was rounded to 32 bits before you converted it. Convert beta itself, before the first operation.": (
            _tables_rounded
        ),
        "ᾱ_0 is 1, not 0: at t = 0 the item is clean.": (
            lambda beta: (
                torch.cat([ZERO, _alpha_bar(beta)[1:]]).sqrt(),
                torch.cat([ONE, 1 - _alpha_bar(beta)[1:]]).sqrt(),
            )
        ),
        "the entry of the clean item belongs to the front of the tables, at t = 0; yours is at the end.": (
            lambda beta: (_alpha_bar(beta).roll(-1).sqrt(), (1 - _alpha_bar(beta).roll(-1)).sqrt())
        ),
        "ᾱ is the product of 1 − β, the share of the signal that a step keeps, not the product of β.": (
            lambda beta: (
                torch.cat([ONE, beta.double().cumprod(0)]).sqrt(),
                torch.cat([ZERO, 1 - beta.double().cumprod(0)]).sqrt(),
            )
        ),
        "b² is not the sum of β, since each step also scales the noise of the earlier steps. b² = 1 − ᾱ.": (
            lambda beta: (_alpha_bar(beta).sqrt(), torch.cat([ZERO, beta.double().cumsum(0)]).sqrt())
        ),
        "1 − a is not b: their squares add up to 1, a² + b² = 1.": (
            _of_alpha_bar(lambda c: c.sqrt(), lambda c: 1 - c.sqrt())
        ),
        "these are the factors of single steps. ᾱ_t is the product of (1 − β) over all steps from 1 to t.": (
            lambda beta: (
                torch.cat([ONE, (1 - beta.double()).sqrt()]),
                torch.cat([ZERO, beta.double().sqrt()]),
            )
        ),
        "you add up β. ᾱ_t is a product, Π (1 − β_s), since each step multiplies the image by a factor.": (
            lambda beta: (
                torch.cat([ONE, (1 - beta.double().cumsum(0)).clamp(0, 1).sqrt()]),
                torch.cat([ZERO, beta.double().cumsum(0).clamp(0, 1).sqrt()]),
            )
        ),
    },
    rtol=1e-5,
    atol=1e-9,
)


def _snr_results(f: Function) -> list[Any]:
    error, std = near(torch.tensor([0.05, 0.2, 0.3], dtype=F64)), near(torch.tensor([0.5, 1.0, 2.0], dtype=F64))
    error, std = (torch.cat([value, torch.full((1,), near(0.5))]) for value in (error, std))  # no signal
    return [f(error, std), f(error[1:2].float(), std[2:3].float())]


_snr_for_error = Exercise(
    name="snr_for_error",
    task="The SNR at which the best estimate of Gaussian data has a given RMS error.",
    reference=lambda error, std: (std - error) * (std + error) / (error * std) ** 2,
    results=_snr_results,
    mistakes={
        "what is known before x_t is seen is missing: the data alone has the precision 1/std².": (
            lambda error, std: 1 / error**2
        ),
        "the sign is wrong: the SNR is what has to be added to 1/std² to reach 1/error².": (
            lambda error, std: 1 / error**2 + 1 / std**2
        ),
        "the two terms are swapped, so the SNR is negative. The smaller the error, the larger the SNR.": (
            lambda error, std: 1 / std**2 - 1 / error**2
        ),
        "precision is 1 divided by the variance: square the error and the standard deviation.": (
            lambda error, std: 1 / error - 1 / std
        ),
        "take both squares first, then the difference of the precisions.": lambda error, std: (
            (1 / error - 1 / std) ** 2
        ),
        "precisions are subtracted, not variances: take 1/… of each, then the difference.": (
            lambda error, std: 1 / (error**2 - std**2)
        ),
        "the data has the precision 1/std², not std².": lambda error, std: 1 / error**2 - std**2,
        "the data has the precision 1/std²: square the standard deviation.": lambda error, std: 1 / error**2 - 1 / std,
        "the wanted precision is 1/error²: square the error.": lambda error, std: 1 / error - 1 / std**2,
        "this is the SNR times std². The SNR is a²/b², the ratio of the factors, whatever the size of the data.": (
            lambda error, std: (std / error) ** 2 - 1
        ),
        "this is the ratio a/b. The SNR is its square.": (
            lambda error, std: (1 / error**2 - 1 / std**2).clamp_min(0).sqrt()
        ),
        "this is the log-SNR. The SNR itself is asked for.": lambda error, std: (1 / error**2 - 1 / std**2).log(),
    },
)


def _betas(log_snr: Tensor) -> Tensor:
    a, b = torch.cat([ONE, log_snr.sigmoid().sqrt()]), torch.cat([ZERO, (-log_snr).sigmoid().sqrt()])
    return Schedule(a, b).beta[1:]


def _ratios(alpha_bar: Tensor, before: Tensor) -> Tensor:
    return 1 - alpha_bar / torch.cat([before, alpha_bar[:-1]])


def _betas_results(f: Function) -> list[Any]:
    lines = (
        torch.linspace(near(10.0), near(-10.0), 1000, dtype=F64),
        near(torch.tensor([2.0], dtype=F64)),
        near(torch.tensor([5.0, -3.0], dtype=F64)),
    )
    return [f(log_snr) for log_snr in lines]


_betas_for_log_snr = Exercise(
    name="betas_for_log_snr",
    task="β_1..β_T of the variance-preserving schedule with a given log-SNR.",
    reference=_betas,
    results=_betas_results,
    mistakes={
        "this is 1 − ᾱ_t, the noise of all steps together. β_t belongs to one step: ᾱ_t = ᾱ_{t−1} (1 − β_t).": (
            lambda log_snr: (-log_snr).sigmoid()
        ),
        "this is 1 − β_t, the factor of ᾱ in one step.": lambda log_snr: 1 - _betas(log_snr),
        "the first step starts at clean data: ᾱ_0 = 1, so β_1 = 1 − ᾱ_1.": (
            lambda log_snr: _ratios(log_snr.sigmoid(), log_snr[:1].sigmoid())
        ),
        "the first step starts at clean data, ᾱ_0 = 1; you take 0 for it.": (
            lambda log_snr: _ratios(log_snr.sigmoid(), ZERO)
        ),
        "the ratio is upside down: 1 − β_t = ᾱ_t/ᾱ_{t−1}.": (
            lambda log_snr: 1 - torch.cat([ONE, log_snr.sigmoid()[:-1]]) / log_snr.sigmoid()
        ),
        "the sign is wrong: β_t = 1 − ᾱ_t/ᾱ_{t−1} is positive.": lambda log_snr: -_betas(log_snr),
        "exp(log_snr) is the SNR. ᾱ follows from it: ᾱ = SNR/(1 + SNR).": lambda log_snr: _ratios(log_snr.exp(), ONE),
        "ᾱ = SNR/(1 + SNR); you have a minus in the denominator.": (
            lambda log_snr: _ratios(log_snr.exp() / (1 - log_snr.exp()), ONE)
        ),
        "this is √β_t, the standard deviation of the noise of a step.": lambda log_snr: _betas(log_snr).sqrt(),
        "this is ᾱ_t. β_t = 1 − ᾱ_t/ᾱ_{t−1} follows from it.": lambda log_snr: log_snr.sigmoid(),
        "log_snr is a logarithm: ᾱ = SNR/(1 + SNR) with SNR = exp(log_snr).": (
            lambda log_snr: _ratios(log_snr / (1 + log_snr), ONE)
        ),
        "ᾱ_t/(1 − ᾱ_t) = SNR has no square root: a and b have, but the SNR is the ratio of their squares.": (
            lambda log_snr: _ratios((log_snr / 2).sigmoid(), ONE)
        ),
        "√ᾱ stands in the place of ᾱ: 1 − β_t is ᾱ_t/ᾱ_{t−1}, the ratio of squares of a.": (
            lambda log_snr: _ratios(log_snr.sigmoid().sqrt(), ONE)
        ),
        "the difference of two ᾱ has to be divided by ᾱ_{t−1}: each step takes a share of what is left.": (
            lambda log_snr: -torch.cat([ONE, log_snr.sigmoid()]).diff()
        ),
        "divide by ᾱ_{t−1}, not by ᾱ_t: ᾱ_t = ᾱ_{t−1} (1 − β_t).": (
            lambda log_snr: torch.cat([ONE, log_snr.sigmoid()])[:-1] / log_snr.sigmoid() - 1
        ),
        "signal and noise are swapped: ᾱ_t = sigmoid(λ_t), so that a large λ means little noise.": (
            lambda log_snr: _ratios((-log_snr).sigmoid(), ONE)
        ),
    },
    rtol=1e-5,
    atol=1e-9,
)


def _jumped(x_s: Tensor, eps: Tensor, s: int, t: int, a: Tensor, b: Tensor) -> Tensor:
    return Schedule(a, b).forward(x_s, t, s).sample(eps)


def _jump_with(
    factor: Callable[[Tensor, Tensor], Tensor], variance: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
) -> Function:
    """A jump whose factor is a function of (a_s, a_t), and whose variance is one of (a_s, b_s, a_t, b_t)."""

    def f(x_s: Tensor, eps: Tensor, s: int, t: int, a: Tensor, b: Tensor) -> Tensor:
        return factor(a[s], a[t]) * x_s + variance(a[s], b[s], a[t], b[t]).clamp_min(0).sqrt() * eps

    return f


def _jump_results(f: Function) -> list[Any]:
    g = seeded(0)
    x, eps = torch.randn(3, 5, generator=g, dtype=F64), torch.randn(3, 5, generator=g, dtype=F64)
    cases = [
        (schedules.linear(), whole(100, 50, 200), whole(400, 300, 600)),
        (schedules.geometric(20, near(0.01), near(3.0)), whole(5, 3, 8), whole(18, 15, 19)),
        (schedules.flow(10), whole(4, 2, 5), whole(9, 7, 9)),
        (schedules.flow(10), 0, 10),
        (schedules.cosine(2), 1, 2),
    ]
    return [f(x, eps, s, t, schedule.signal, schedule.noise) for schedule, s, t in cases]


def _ratio(a_s: Tensor, a_t: Tensor) -> Tensor:
    return a_t / a_s


def _added(a_s: Tensor, b_s: Tensor, a_t: Tensor, b_t: Tensor) -> Tensor:
    return b_t**2 - (a_t / a_s) ** 2 * b_s**2


_jump = Exercise(
    name="jump",
    task="The jump from time s to a later time t, for any schedule.",
    reference=_jumped,
    results=_jump_results,
    mistakes={
        "the variance 1 − (a_t/a_s)² is right for variance-preserving schedules only. In general it is what is missing "
        "from b_t² after the old noise was multiplied by a_t/a_s.": _jump_with(
            _ratio, lambda a_s, b_s, a_t, b_t: 1 - (a_t / a_s) ** 2
        ),
        "the noise in x_s is scaled together with x_s. Its variance after the jump is (a_t/a_s)² b_s², not b_s².": (
            _jump_with(_ratio, lambda a_s, b_s, a_t, b_t: b_t**2 - b_s**2)
        ),
        "x_s holds noise already. Add only what is missing from b_t².": _jump_with(
            _ratio, lambda a_s, b_s, a_t, b_t: b_t**2
        ),
        "multiply eps by the standard deviation, the square root of the variance.": _jump_with(
            _ratio, lambda a_s, b_s, a_t, b_t: _added(a_s, b_s, a_t, b_t) ** 2
        ),
        "the noise in x_s has the variance (a_t/a_s)² b_s² after the jump: the factor is squared, too.": _jump_with(
            _ratio, lambda a_s, b_s, a_t, b_t: b_t**2 - (a_t / a_s) * b_s**2
        ),
        "x_s holds the signal a_s x_0 already, so its factor is a_t/a_s. With a_t you would start at clean data.": (
            _jump_with(lambda a_s, a_t: a_t, _added)
        ),
        "you jump from time 0: x_s is no clean item. Its factor is a_t/a_s, and it holds noise already.": _jump_with(
            lambda a_s, a_t: a_t, lambda a_s, b_s, a_t, b_t: b_t**2
        ),
        "variances of independent noise add, deviations do not: take the difference of squares, then the root.": (
            _jump_with(_ratio, lambda a_s, b_s, a_t, b_t: (b_t - (a_t / a_s) * b_s) ** 2)
        ),
        "the factor of x_s is a_t/a_s; you take its inverse.": _jump_with(lambda a_s, a_t: a_s / a_t, _added),
        "the factor a_t/a_s has no square root: a² and b² are the variances, a and b are factors.": _jump_with(
            lambda a_s, a_t: (a_t / a_s).sqrt(), _added
        ),
        "the factor of x_s is a_t/a_s, not its square.": _jump_with(lambda a_s, a_t: (a_t / a_s) ** 2, _added),
        "x_s has to be multiplied by a_t/a_s, so that the signal gets the factor a_t.": _jump_with(
            lambda a_s, a_t: torch.ones_like(a_s), _added
        ),
        "the noise eps is missing.": _jump_with(_ratio, lambda a_s, b_s, a_t, b_t: torch.zeros_like(b_t)),
        "b_t − b_s is not the factor of eps: variances of independent noise add, and the old noise is scaled.": (
            _jump_with(_ratio, lambda a_s, b_s, a_t, b_t: (b_t - b_s) ** 2)
        ),
        "both variances are squares: b is a standard deviation.": _jump_with(
            _ratio, lambda a_s, b_s, a_t, b_t: b_t - (a_t / a_s) ** 2 * b_s
        ),
    },
    linear=Linear("x_s, eps, s, t, a, b", inputs="x_s, eps", at="s, t, b[t]"),
)

EXERCISES: tuple[Exercise, ...] = (_signal_and_noise, _snr_for_error, _betas_for_log_snr, _jump)
