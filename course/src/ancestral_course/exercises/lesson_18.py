"""Exercises of lesson 18: four methods from an empty file, and the parts of a U-Net."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ancestral import schedules
from ancestral.schedules import Schedule
from ancestral_course.building import Block, ImageNetwork, Network, Sampling, Training, exact, per_point, probe
from ancestral_course.exercise import Exercise, Function, lost_gradient
from ancestral_course.variants import near, normal, seeded, whole


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return normal(*shape, seed=seed, dtype=torch.float32)


def _loss_exercise(
    name: str, task: str, loss: Function, mistakes: Mapping[str, Function], times: Callable[[], Tensor]
) -> Exercise:
    """A loss of (net, x_0, t, eps): its value at given arguments, and its gradient by the network's answer."""

    def points() -> tuple[Tensor, Tensor, Tensor]:
        return 0.6 * _normal(64, 2), times(), _normal(64, 2, seed=1)

    def results(function: Function) -> list[Any]:
        x0, t, eps = points()
        return [function(probe, x0, t, eps), function(lambda x, t: 0 * x, x0[:7], t[:7], eps[:7])]

    def demand(function: Function) -> str:
        x0, t, eps = points()

        def scaled(one: Function) -> Function:
            return lambda leaf: one(lambda x, t: leaf * probe(x, t), x0, t, eps)

        return lost_gradient(scaled(function), scaled(loss), torch.tensor(1.3))

    return Exercise(
        name,
        task,
        loss,
        results,
        mistakes,
        rtol=1e-3,
        atol=1e-4,
        demand=demand,
    )


def _walk(start: float, steps: Callable[[Tensor, Callable[[], Tensor]], Tensor]) -> Callable[[int], Tensor]:
    """Samples of n points that begin at normal noise of a deviation."""

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = start * torch.randn(n, 2)
        return steps(x, lambda: torch.randn(n, 2))

    return sample


def _targets(predict: Callable[[Tensor, Any], tuple[Tensor, Tensor, Any]], right: str) -> dict[str, Network]:
    """What ideal networks of other targets than the right one answer, by x̂_0, ε̂ and the deviation of the noise."""
    rules: dict[str, Callable[[Tensor, Tensor, Any], Tensor]] = {
        "x_0": lambda x0, eps, b: x0,
        "the noise ε": lambda x0, eps, b: eps,
        "the score": lambda x0, eps, b: -eps / b,
        "the velocity ε − x_0": lambda x0, eps, b: eps - x0,
    }

    def ideal(rule: Callable[[Tensor, Tensor, Any], Tensor]) -> Network:
        return lambda x, t: rule(*predict(x, t))

    return {f"{name}, not {right}": ideal(rule) for name, rule in rules.items() if name != right}


# -- DDPM -------------------------------------------------------------------------------------------------------------

T = 200
BETA = torch.cat([torch.zeros(1), torch.linspace(5e-4, 0.1, T)])


def _ddpm_schedule(beta: Tensor = BETA) -> tuple[Tensor, Tensor]:
    alpha_bar = (1 - beta).cumprod(0)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


A, B = _ddpm_schedule()


_DDPM_EXACT = exact(Schedule(A, B))


def _ddpm_parts(x: Tensor, t: Any) -> tuple[Tensor, Tensor, Tensor]:
    level = per_point(t, x).long()
    return *_DDPM_EXACT.predict(x, level), B[level][:, None]


def _ddpm_exact(x: Tensor, t: Any) -> Tensor:
    return _ddpm_parts(x, t)[1]


def _ddpm_x_t(x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    return A[t][:, None] * x_0 + B[t][:, None] * eps


def _ddpm_loss(net: Network, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    return ((net(_ddpm_x_t(x_0, t, eps), t) - eps) ** 2).mean()


def _ddpm_step(net: Network, x: Tensor, t: int, z: Tensor) -> Tensor:
    mean = (x - BETA[t] / B[t] * net(x, t)) / (1 - BETA[t]).sqrt()
    return mean + (BETA[t].sqrt() * z if t > 1 else 0)


def _ddpm_sampler(
    step: Callable[..., Tensor] = _ddpm_step,
) -> Callable[[Network, int], Tensor]:
    def sample(net: Network, n: int) -> Tensor:
        def steps(x: Tensor, z: Callable[[], Tensor]) -> Tensor:
            for t in range(T, 0, -1):
                x = step(net, x, t, z())
            return x

        return _walk(1.0, steps)(n)

    return sample


def _shown(rule: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Function:
    """A loss that shows the network another x_t, made of x_0, t and ε."""
    return lambda net, x_0, t, eps: ((net(rule(x_0, t, eps), t) - eps) ** 2).mean()


def _mean(rule: Callable[[int], Any], noise: Callable[[int], Any] = lambda t: BETA[t].sqrt()) -> Function:
    """A step with another mean: (x − rule[0] ε̂)/rule[1]."""

    def step(net: Network, x: Tensor, t: int, z: Tensor) -> Tensor:
        factor, divisor = rule(t)
        out: Tensor = (x - factor * net(x, t)) / divisor + (noise(t) * z if t > 1 else 0)
        return out

    return step


def _right_mean(t: int) -> tuple[Tensor, Tensor]:
    return BETA[t] / B[t], (1 - BETA[t]).sqrt()


@torch.no_grad()
def _same_noise(net: Network, n: int) -> Tensor:
    x, z = torch.randn(n, 2), torch.randn(n, 2)
    for t in range(T, 0, -1):
        x = _ddpm_step(net, x, t, z)
    return x


_DDPM = (
    Exercise(
        "ddpm_schedule",
        "The scales a and b of DDPM for t = 0..T.",
        lambda: (A, B),
        lambda f: list(f()),
        {
            "these are ᾱ and 1 − ᾱ. a and b are their roots.": lambda: (A**2, B**2),
            "a is right; b is the root of 1 − ᾱ, not 1 − ᾱ.": lambda: (A, B**2),
            "b is right; a is the root of ᾱ.": lambda: (A**2, B),
            "a² + b² = 1; your b is 1 − a.": lambda: (A, 1 - A),
            "ᾱ_t is the product of all 1 − β up to t; yours is that of t alone.": (
                lambda: ((1 - BETA).sqrt(), BETA.sqrt())
            ),
            "ᾱ_t is the product of 1 − β; you multiply β.": lambda: _ddpm_schedule(1 - BETA.clamp(min=1e-9)),
            "β rises from 5e-4 to 0.1; yours is that of 1,000 steps, and leaves much of the signal at T.": (
                lambda: _ddpm_schedule(torch.cat([torch.zeros(1), torch.linspace(1e-4, 0.02, T)]))
            ),
            "the order is a, then b.": lambda: (B, A),
        },
        rtol=1e-3,
        atol=1e-4,
    ),
    _loss_exercise(
        "ddpm_loss",
        "The mean squared error of the predicted noise.",
        _ddpm_loss,
        {
            "the network sees x_0; it should see x_t = a x_0 + b ε.": _shown(lambda x_0, t, eps: x_0),
            "the network sees the noise alone; it should see x_t = a x_0 + b ε.": _shown(lambda x_0, t, eps: eps),
            "a and b are swapped in x_t.": _shown(lambda x_0, t, eps: B[t][:, None] * x_0 + A[t][:, None] * eps),
            "x_t has the root of ᾱ in front of x_0; you square it.": _shown(
                lambda x_0, t, eps: A[t][:, None] ** 2 * x_0 + B[t][:, None] * eps
            ),
            "b is missing: x_t = a x_0 + b ε, not a x_0 + ε.": _shown(lambda x_0, t, eps: A[t][:, None] * x_0 + eps),
            "a is missing: x_t = a x_0 + b ε, not x_0 + b ε.": _shown(lambda x_0, t, eps: x_0 + B[t][:, None] * eps),
            "x_t has b, a deviation; you take b².": _shown(
                lambda x_0, t, eps: A[t][:, None] * x_0 + B[t][:, None] ** 2 * eps
            ),
            "all points have the time of the first one: index the tables by t, one time for each.": _shown(
                lambda x_0, t, eps: A[t[0]] * x_0 + B[t[0]] * eps
            ),
            "x_t is right. The table is off by one: a[t], not a[t − 1].": _shown(
                lambda x_0, t, eps: A[t - 1][:, None] * x_0 + B[t - 1][:, None] * eps
            ),
            "the target is ε; you compare with x_0.": lambda net, x_0, t, eps: (
                (net(_ddpm_x_t(x_0, t, eps), t) - x_0) ** 2
            ).mean(),
            "the sign is wrong: the difference of the answer and ε, not their sum.": lambda net, x_0, t, eps: (
                (net(_ddpm_x_t(x_0, t, eps), t) + eps) ** 2
            ).mean(),
            "square the differences; yours are absolute.": lambda net, x_0, t, eps: (
                (net(_ddpm_x_t(x_0, t, eps), t) - eps).abs().mean()
            ),
            "the differences are not squared, so their mean may have any sign.": lambda net, x_0, t, eps: (
                net(_ddpm_x_t(x_0, t, eps), t) - eps
            ).mean(),
            "this is the sum over both coordinates. Take the mean over all numbers: it is 1 for the answer 0.": (
                lambda net, x_0, t, eps: 2 * _ddpm_loss(net, x_0, t, eps)
            ),
            "this is the sum over the batch. Take the mean.": lambda net, x_0, t, eps: (
                (net(_ddpm_x_t(x_0, t, eps), t) - eps) ** 2
            ).sum(),
            "this is the root of the mean. Leave the root out: its gradient is another one.": lambda net, x_0, t, eps: (
                _ddpm_loss(net, x_0, t, eps).sqrt()
            ),
            "the network gets t/T. Give it t as it is, and scale within the network.": lambda net, x_0, t, eps: (
                (net(_ddpm_x_t(x_0, t, eps), t / T) - eps) ** 2
            ).mean(),
            "the error is weighted by 1/b² or so. L_simple has no weight.": lambda net, x_0, t, eps: (
                (net(_ddpm_x_t(x_0, t, eps), t) - eps) ** 2 / B[t][:, None] ** 2
            ).mean(),
        },
        lambda: torch.randint(2, T + 1, (64,), generator=seeded(2)),
    ),
    Exercise(
        "ddpm_step",
        "One step of the reverse chain, from x_t to x_{t−1}.",
        _ddpm_step,
        lambda f: [f(probe, _normal(6, 2), t, _normal(6, 2, seed=1)) for t in (T, whole(90, 60, 150), 2, 1)],
        {
            "noise is added at the last step, t = 1. The sample is the mean there.": lambda net, x, t, z: (
                _ddpm_step(net, x, max(t, 2), z) if t > 1 else _ddpm_step(net, x, 1, z) + BETA[1].sqrt() * z
            ),
            "the mean is right. The noise has the deviation √β_t; yours is β_t.": _mean(_right_mean, lambda t: BETA[t]),
            "the mean is right. The noise is missing.": _mean(_right_mean, lambda t: 0.0),
            "the mean is right. The noise has the deviation √β_t; yours is 1.": _mean(_right_mean, lambda t: 1.0),
            "the mean is right. The noise has the deviation √β_t; yours is b_t, that of all steps.": _mean(
                _right_mean, lambda t: B[t]
            ),
            "the mean is right. The variance here is β_t; yours is β̃_t, the paper's other choice.": _mean(
                _right_mean, lambda t: BETA[t].sqrt() * B[t - 1] / B[t]
            ),
            "the factor of ε̂ is β_t/b_t; yours is β_t.": _mean(lambda t: (BETA[t], (1 - BETA[t]).sqrt())),
            "the factor of ε̂ is β_t/b_t; you divide by b_t².": _mean(
                lambda t: (BETA[t] / B[t] ** 2, (1 - BETA[t]).sqrt())
            ),
            "the factor of ε̂ is β_t/b_t; yours is √β_t/b_t.": _mean(
                lambda t: (BETA[t].sqrt() / B[t], (1 - BETA[t]).sqrt())
            ),
            "the factor of ε̂ is β_t/b_t; yours is b_t, which removes all noise at once.": _mean(
                lambda t: (B[t], (1 - BETA[t]).sqrt())
            ),
            "the bracket is divided by √(1 − β_t); yours lacks the root.": _mean(
                lambda t: (BETA[t] / B[t], 1 - BETA[t])
            ),
            "the division by √(1 − β_t) is missing: a step makes the signal smaller, and the way back larger.": _mean(
                lambda t: (BETA[t] / B[t], torch.ones(()))
            ),
            "the bracket is divided by √(1 − β_t), the factor of one step; you take a_t, that of all.": _mean(
                lambda t: (BETA[t] / B[t], A[t])
            ),
            "the bracket is divided by √(1 − β_t); you multiply.": _mean(
                lambda t: (BETA[t] / B[t], 1 / (1 - BETA[t]).sqrt())
            ),
            "the sign of ε̂ is wrong: the noise is taken away.": _mean(
                lambda t: (-BETA[t] / B[t], (1 - BETA[t]).sqrt())
            ),
            "the tables are off by one: the step from t has β_t, not β_{t−1}.": lambda net, x, t, z: (
                (x - BETA[t - 1] / B[t] * net(x, t)) / (1 - BETA[t - 1]).sqrt()
                + (BETA[t - 1].sqrt() * z if t > 1 else 0)
            ),
            "the network gets t divided by T. Give it t as it is.": lambda net, x, t, z: _ddpm_step(
                lambda x, t: net(x, t / T), x, t, z
            ),
        },
        rtol=1e-3,
        atol=1e-4,
    ),
    Training(
        "ddpm_train",
        "A network that predicts the noise, trained for a number of steps.",
        _ddpm_sampler(),
        _ddpm_exact,
        lambda share: (1 + share * (T - 1)).round().long(),
        _ddpm_x_t,
        _targets(_ddpm_parts, "the noise ε"),
    ),
    Sampling(
        "ddpm_sample",
        "The reverse chain from noise.",
        _ddpm_exact,
        (T, 1.0),
        1.0,
        {
            "the points never change: keep the result of each step.": lambda net, n: torch.randn(n, 2),
            "the noise z is the same in each step: draw it again.": lambda net, n: _same_noise(net, n),
            "the noise z is 0 in each step: samples gather in the middle of each part.": _ddpm_sampler(
                lambda net, x, t, z: _ddpm_step(net, x, t, 0 * z)
            ),
        },
    ),
)


# -- NCSN -------------------------------------------------------------------------------------------------------------

LEVELS, EACH = 20, 10
SIGMA = torch.logspace(math.log10(2.0), math.log10(0.02), LEVELS)


_NCSN_EXACT = exact(Schedule(torch.ones(LEVELS + 1), torch.cat([torch.zeros(1), SIGMA.flip(0)])))


def _ncsn_parts(x: Tensor, i: Any) -> tuple[Tensor, Tensor, Tensor]:
    level = per_point(i, x).long()
    return *_NCSN_EXACT.predict(x, LEVELS - level), SIGMA[level][:, None]


def _ncsn_exact(x: Tensor, i: Any) -> Tensor:
    _, eps, sigma = _ncsn_parts(x, i)
    return -eps / sigma


def _ncsn_x(x_0: Tensor, i: Tensor, eps: Tensor) -> Tensor:
    return x_0 + SIGMA[i][:, None] * eps


def _ncsn_loss(net: Network, x_0: Tensor, i: Tensor, eps: Tensor) -> Tensor:
    return ((SIGMA[i][:, None] * net(_ncsn_x(x_0, i, eps), i) + eps) ** 2).mean()


def _langevin(net: Network, x: Tensor, i: int, z: Tensor, size: float = 0.2) -> Tensor:
    alpha = size * SIGMA[i] ** 2
    return x + alpha / 2 * net(x, i) + alpha.sqrt() * z


def _ncsn_sampler(step: Callable[..., Tensor] = _langevin, each: int = EACH) -> Callable[[Network, int], Tensor]:
    def sample(net: Network, n: int) -> Tensor:
        def steps(x: Tensor, z: Callable[[], Tensor]) -> Tensor:
            for i in range(LEVELS):
                for _ in range(each):
                    x = step(net, x, i, z())
            return x

        return _walk(2.0, steps)(n)

    return sample


_NCSN = (
    Exercise(
        "ncsn_schedule",
        "The noise levels, from the largest to the smallest.",
        lambda: SIGMA,
        lambda f: [f()],
        {
            "the levels begin with the largest.": lambda: SIGMA.flip(0),
            "neighbouring levels have equal ratios; yours have equal differences.": (
                lambda: torch.linspace(2.0, 0.02, LEVELS)
            ),
            "these are the variances. Return the deviations σ.": lambda: SIGMA**2,
            "this is the logarithm of σ.": lambda: SIGMA.log(),
            "the largest level is 2; yours is 1.": lambda: torch.logspace(0, math.log10(0.02), LEVELS),
            "torch.logspace takes powers of 10 unless you give it another base.": lambda: torch.logspace(
                math.log(2.0), math.log(0.02), LEVELS
            ),
        },
        rtol=1e-3,
        atol=1e-5,
    ),
    _loss_exercise(
        "ncsn_loss",
        "Denoising score matching, weighted by σ².",
        _ncsn_loss,
        {
            "the sign is wrong: the score of x given x_0 is −ε/σ, so σ s + ε is 0 for the right answer.": (
                lambda net, x_0, i, eps: ((SIGMA[i][:, None] * net(_ncsn_x(x_0, i, eps), i) - eps) ** 2).mean()
            ),
            "the network predicts the score, and you compare it with the noise: σ s + ε.": (
                lambda net, x_0, i, eps: ((net(_ncsn_x(x_0, i, eps), i) - eps) ** 2).mean()
            ),
            "the factor σ of the score is missing: σ s + ε.": (
                lambda net, x_0, i, eps: ((net(_ncsn_x(x_0, i, eps), i) + eps) ** 2).mean()
            ),
            "the weight σ² is missing: without it the smallest level outweighs all others.": (
                lambda net, x_0, i, eps: ((net(_ncsn_x(x_0, i, eps), i) + eps / SIGMA[i][:, None]) ** 2).mean()
            ),
            "the score is −ε/σ; you divide by σ².": (
                lambda net, x_0, i, eps: (
                    (SIGMA[i][:, None] * net(_ncsn_x(x_0, i, eps), i) + eps / SIGMA[i][:, None]) ** 2
                ).mean()
            ),
            "σ is missing in x = x_0 + σ ε.": (
                lambda net, x_0, i, eps: ((SIGMA[i][:, None] * net(x_0 + eps, i) + eps) ** 2).mean()
            ),
            "x = x_0 + σ ε: the signal is not made smaller here.": (
                lambda net, x_0, i, eps: (
                    (
                        SIGMA[i][:, None]
                        * net((1 - SIGMA[i][:, None] ** 2).clamp(min=0).sqrt() * x_0 + SIGMA[i][:, None] * eps, i)
                        + eps
                    )
                    ** 2
                ).mean()
            ),
            "the network gets σ. Give it the number i of the level, as the contract says.": (
                lambda net, x_0, i, eps: ((SIGMA[i][:, None] * net(_ncsn_x(x_0, i, eps), SIGMA[i]) + eps) ** 2).mean()
            ),
            "this is the sum over both coordinates. Take the mean over all numbers.": (
                lambda net, x_0, i, eps: 2 * _ncsn_loss(net, x_0, i, eps)
            ),
            "this is half of it. The ½ of the paper is left out here.": (
                lambda net, x_0, i, eps: _ncsn_loss(net, x_0, i, eps) / 2
            ),
            "the network sees x_0, without noise.": (
                lambda net, x_0, i, eps: ((SIGMA[i][:, None] * net(x_0, i) + eps) ** 2).mean()
            ),
        },
        lambda: torch.randint(0, LEVELS, (64,), generator=seeded(3)),
    ),
    Exercise(
        "ncsn_step",
        "A Langevin step at a level.",
        _langevin,
        lambda f: [f(probe, _normal(6, 2), i, _normal(6, 2, seed=1)) for i in (0, whole(7, 4, 15), LEVELS - 1)],
        {
            "the noise has the deviation √α; yours is α.": lambda net, x, i, z: (
                x + 0.1 * SIGMA[i] ** 2 * net(x, i) + 0.2 * SIGMA[i] ** 2 * z
            ),
            "the step along the score is α/2, not α.": lambda net, x, i, z: (
                x + 0.2 * SIGMA[i] ** 2 * net(x, i) + (0.2 * SIGMA[i] ** 2).sqrt() * z
            ),
            "√(2α) z belongs to a step of α along the score. Here the step is α/2, and the noise √α z.": (
                lambda net, x, i, z: x + 0.1 * SIGMA[i] ** 2 * net(x, i) + (0.4 * SIGMA[i] ** 2).sqrt() * z
            ),
            "the sign of the score is wrong: walk up the density.": lambda net, x, i, z: (
                x - 0.1 * SIGMA[i] ** 2 * net(x, i) + (0.2 * SIGMA[i] ** 2).sqrt() * z
            ),
            "the noise is missing.": lambda net, x, i, z: x + 0.1 * SIGMA[i] ** 2 * net(x, i),
            "α = 0.2 σ²; yours is 0.2 σ.": lambda net, x, i, z: (
                x + 0.1 * SIGMA[i] * net(x, i) + (0.2 * SIGMA[i]).sqrt() * z
            ),
            "α = 0.2 σ²; yours is the same at each level.": lambda net, x, i, z: (
                x + 0.1 * net(x, i) + math.sqrt(0.2) * z
            ),
            "the score is the network's answer; you divide it by σ once more.": lambda net, x, i, z: (
                x + 0.1 * SIGMA[i] * net(x, i) + (0.2 * SIGMA[i] ** 2).sqrt() * z
            ),
            "the step starts at x: add x.": lambda net, x, i, z: _langevin(net, x, i, z) - x,
        },
        rtol=1e-3,
        atol=1e-5,
    ),
    Training(
        "ncsn_train",
        "A network that predicts the score at each level.",
        _ncsn_sampler(),
        _ncsn_exact,
        lambda share: ((1 - share) * (LEVELS - 1)).round().long(),
        _ncsn_x,
        _targets(_ncsn_parts, "the score"),
    ),
    Sampling(
        "ncsn_sample",
        "Annealed Langevin dynamics.",
        _ncsn_exact,
        (0, 2.0),
        LEVELS - 1,
        {
            "one step at each level is too few: make ten.": _ncsn_sampler(each=1),
            "the points never change: keep the result of each step.": lambda net, n: 2 * torch.randn(n, 2),
        },
    ),
)

# -- the VP-SDE -------------------------------------------------------------------------------------------------------

LOW, HIGH = 0.1, 20.0


def _rate(t: Any) -> Any:
    """β(t), t in [0, 1]."""
    return LOW + (HIGH - LOW) * t


def _sde_scales(t: Tensor) -> tuple[Tensor, Tensor]:
    a = (-(LOW * t + (HIGH - LOW) * t**2 / 2) / 2).exp()
    return a, (1 - a**2).sqrt()


_SDE_EXACT = exact(
    Schedule(*_sde_scales(torch.linspace(0, 1, 1001, dtype=torch.float64)), curve=lambda t: _sde_scales(t / 1000))
)


def _sde_parts(x: Tensor, t: Any) -> tuple[Tensor, Tensor, Tensor]:
    time = per_point(t, x).double()
    return *_SDE_EXACT.predict(x, 1000 * time), _sde_scales(time)[1][:, None].to(x)


def _sde_exact(x: Tensor, t: Any) -> Tensor:
    _, eps, b = _sde_parts(x, t)
    return -eps / b


def _sde_x(x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    a, b = _sde_scales(t)
    return a[:, None] * x_0 + b[:, None] * eps


def _sde_loss(net: Network, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    return ((_sde_scales(t)[1][:, None] * net(_sde_x(x_0, t, eps), t) + eps) ** 2).mean()


def _sde_step(net: Network, x: Tensor, t: float, dt: float, z: Tensor) -> Tensor:
    out: Tensor = x + (_rate(t) / 2 * x + _rate(t) * net(x, t)) * dt + math.sqrt(_rate(t) * dt) * z
    return out


def _sde_of(drift: Callable[[Tensor, Tensor, Any], Tensor], noise: Callable[[Any, float], float]) -> Function:
    return lambda net, x, t, dt, z: x + drift(x, net(x, t), _rate(t)) * dt + noise(_rate(t), dt) * z


def _right_noise(rate: Any, dt: float) -> float:
    return math.sqrt(rate * dt)


def _sde_sampler(step: Callable[..., Tensor] = _sde_step, count: int = 500) -> Callable[[Network, int], Tensor]:
    def sample(net: Network, n: int) -> Tensor:
        def steps(x: Tensor, z: Callable[[], Tensor]) -> Tensor:
            times = torch.linspace(1, 1e-3, count + 1).tolist()
            for t, s in pairwise(times):
                x = step(net, x, t, t - s, z())
            return x

        return _walk(1.0, steps)(n)

    return sample


def _times_of_sde() -> Tensor:
    return 0.02 + 0.98 * torch.rand(64, generator=seeded(2))


_SDE = (
    Exercise(
        "sde_schedule",
        "The scales a and b of the VP-SDE at times in [0, 1].",
        _sde_scales,
        lambda f: [
            value
            for t in (near(torch.tensor([0.05, 0.3, 0.7, 1.0])).clamp(max=1), near(torch.tensor([0.5])))
            for value in f(t)
        ],
        {
            "a = exp(−½ ∫β): the integral of β(t) = 0.1 + 19.9 t is 0.1 t + 19.9 t²/2. You take β(t) t.": lambda t: (
                (a := (-_rate(t) * t / 2).exp()),
                (1 - a**2).sqrt(),
            ),
            "a = exp(−½ ∫β); the ½ is missing, so this is a².": lambda t: (
                (a := _sde_scales(t)[0] ** 2),
                (1 - a**2).sqrt(),
            ),
            "a is right; b is the root of 1 − a².": lambda t: (_sde_scales(t)[0], 1 - _sde_scales(t)[0] ** 2),
            "a is right; a² + b² = 1, so b is not 1 − a.": lambda t: (_sde_scales(t)[0], 1 - _sde_scales(t)[0]),
            "a = exp(−½ ∫β); you take β(t), not its integral.": lambda t: (
                (a := (-_rate(t) / 2).exp()),
                (1 - a**2).sqrt(),
            ),
            "the sign of the exponent is wrong: a falls.": lambda t: (
                (a := 1 / _sde_scales(t)[0]),
                (1 - a**2).sqrt(),
            ),
            "the order is a, then b.": lambda t: _sde_scales(t)[::-1],
        },
        rtol=1e-3,
        atol=1e-5,
    ),
    _loss_exercise(
        "sde_loss",
        "Denoising score matching in continuous time, weighted by b².",
        _sde_loss,
        {
            "the sign is wrong: the score of x_t given x_0 is −ε/b, so b s + ε is 0 for the right answer.": (
                lambda net, x_0, t, eps: ((_sde_scales(t)[1][:, None] * net(_sde_x(x_0, t, eps), t) - eps) ** 2).mean()
            ),
            "the network predicts the score, and you compare it with the noise: b s + ε.": (
                lambda net, x_0, t, eps: ((net(_sde_x(x_0, t, eps), t) - eps) ** 2).mean()
            ),
            "the factor b of the score is missing: b s + ε.": (
                lambda net, x_0, t, eps: ((net(_sde_x(x_0, t, eps), t) + eps) ** 2).mean()
            ),
            "the weight b² is missing: without it the smallest noise outweighs all.": (
                lambda net, x_0, t, eps: ((net(_sde_x(x_0, t, eps), t) + eps / _sde_scales(t)[1][:, None]) ** 2).mean()
            ),
            "the factor of the score is b, not b².": (
                lambda net, x_0, t, eps: (
                    (_sde_scales(t)[1][:, None] ** 2 * net(_sde_x(x_0, t, eps), t) + eps) ** 2
                ).mean()
            ),
            "the network sees x_0, without noise.": (
                lambda net, x_0, t, eps: ((_sde_scales(t)[1][:, None] * net(x_0, t) + eps) ** 2).mean()
            ),
            "this is the sum over both coordinates. Take the mean over all numbers.": (
                lambda net, x_0, t, eps: 2 * _sde_loss(net, x_0, t, eps)
            ),
        },
        _times_of_sde,
    ),
    Exercise(
        "sde_step",
        "A step of Euler-Maruyama of the reverse SDE.",
        _sde_step,
        lambda f: [
            f(probe, _normal(6, 2), t, dt, _normal(6, 2, seed=1))
            for t, dt in ((1.0, near(0.01)), (near(0.3), near(0.002)))
        ],
        {
            "time runs backwards: the drift −½β x of the forward process changes its sign.": _sde_of(
                lambda x, s, r: -r / 2 * x + r * s, _right_noise
            ),
            "the sign of the score is wrong: backwards in time, points move up the density.": _sde_of(
                lambda x, s, r: r / 2 * x - r * s, _right_noise
            ),
            "½ β is the score's factor in the flow, without noise. With the noise it is β.": _sde_of(
                lambda x, s, r: r / 2 * x + r / 2 * s, _right_noise
            ),
            "the ½ is missing in front of x: f = −½β.": _sde_of(lambda x, s, r: r * x + r * s, _right_noise),
            "the term ½β x is missing.": _sde_of(lambda x, s, r: r * s, _right_noise),
            "β is missing in front of the score: g² s.": _sde_of(lambda x, s, r: r / 2 * x + s, _right_noise),
            "the noise of a time dt has the variance β dt, so z is multiplied by √(β dt); you multiply by β dt.": (
                _sde_of(lambda x, s, r: r / 2 * x + r * s, lambda r, dt: r * dt)
            ),
            "z is multiplied by √(β dt); yours lacks the root of dt.": _sde_of(
                lambda x, s, r: r / 2 * x + r * s, lambda r, dt: math.sqrt(r) * dt
            ),
            "z is multiplied by √(β dt); yours lacks dt.": _sde_of(
                lambda x, s, r: r / 2 * x + r * s, lambda r, dt: math.sqrt(r)
            ),
            "z is multiplied by √(β dt); yours lacks β.": _sde_of(
                lambda x, s, r: r / 2 * x + r * s, lambda r, dt: math.sqrt(dt)
            ),
            "the noise is missing. Without it the score has the factor ½β (the flow).": _sde_of(
                lambda x, s, r: r / 2 * x + r * s, lambda r, dt: 0.0
            ),
            "dt is missing: the drift is multiplied by dt.": lambda net, x, t, dt, z: (
                x + _rate(t) / 2 * x + _rate(t) * net(x, t) + math.sqrt(_rate(t) * dt) * z
            ),
        },
        rtol=1e-3,
        atol=1e-4,
    ),
    Training(
        "sde_train",
        "A network that predicts the score at any time.",
        _sde_sampler(),
        _sde_exact,
        lambda share: 0.01 + 0.99 * share,
        _sde_x,
        _targets(_sde_parts, "the score"),
    ),
    Sampling(
        "sde_sample",
        "The reverse SDE from noise.",
        _sde_exact,
        (1.0, 1.0),
        0.02,
        {
            "the points never change: keep the result of each step.": lambda net, n: torch.randn(n, 2),
            "the steps are too few for Euler-Maruyama: take 500.": _sde_sampler(count=15),
            "the noise z is 0 in each step.": _sde_sampler(lambda net, x, t, dt, z: _sde_step(net, x, t, dt, 0 * z)),
        },
    ),
)

# -- flow matching ----------------------------------------------------------------------------------------------------


def _flow_scales(t: Tensor) -> tuple[Tensor, Tensor]:
    return 1 - t, t


_FLOW_EXACT = exact(schedules.flow())


def _flow_parts(x: Tensor, t: Any) -> tuple[Tensor, Tensor, Tensor]:
    time = per_point(t, x).double()
    return *_FLOW_EXACT.predict(x, 1000 * time), time[:, None].to(x)


def _flow_exact(x: Tensor, t: Any) -> Tensor:
    x0, eps, _ = _flow_parts(x, t)
    return eps - x0


def _flow_x(x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    return (1 - t)[:, None] * x_0 + t[:, None] * eps


def _flow_loss(net: Network, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    return ((net(_flow_x(x_0, t, eps), t) - (eps - x_0)) ** 2).mean()


def _flow_step(net: Network, x: Tensor, t: float, dt: float) -> Tensor:
    return x - net(x, t) * dt


def _flow_sampler(step: Callable[..., Tensor] = _flow_step, count: int = 100) -> Callable[[Network, int], Tensor]:
    def sample(net: Network, n: int) -> Tensor:
        def steps(x: Tensor, z: Callable[[], Tensor]) -> Tensor:
            times = torch.linspace(1, 0, count + 1).tolist()
            for t, s in pairwise(times):
                x = step(net, x, t, t - s)
            return x

        return _walk(1.0, steps)(n)

    return sample


_FLOW = (
    Exercise(
        "flow_schedule",
        "The scales a and b of the straight line.",
        _flow_scales,
        lambda f: list(f(near(torch.tensor([0.1, 0.5, 0.9]), 0.1))),
        {
            "here t = 0 is data and t = 1 is noise; yours is the other way round.": lambda t: (t, 1 - t),
            "the line is straight: a = 1 − t, b = t, without roots.": lambda t: ((1 - t).sqrt(), t.sqrt()),
            "a is right; b = t. a² + b² = 1 does not hold on a straight line.": lambda t: (
                1 - t,
                (1 - (1 - t) ** 2).sqrt(),
            ),
            "b is right; a = 1 − t. a² + b² = 1 does not hold on a straight line.": lambda t: ((1 - t**2).sqrt(), t),
            "a falls as t grows: a = 1 − t.": lambda t: (torch.ones_like(t), t),
        },
        rtol=1e-3,
        atol=1e-5,
    ),
    _loss_exercise(
        "flow_loss",
        "The mean squared error of the velocity.",
        _flow_loss,
        {
            "the velocity is ε − x_0, from data to noise as t grows; yours has the other sign.": (
                lambda net, x_0, t, eps: ((net(_flow_x(x_0, t, eps), t) - (x_0 - eps)) ** 2).mean()
            ),
            "the network predicts the velocity ε − x_0, not ε.": (
                lambda net, x_0, t, eps: ((net(_flow_x(x_0, t, eps), t) - eps) ** 2).mean()
            ),
            "the network predicts the velocity ε − x_0, not x_0.": (
                lambda net, x_0, t, eps: ((net(_flow_x(x_0, t, eps), t) - x_0) ** 2).mean()
            ),
            "the velocity of the path is ε − x_0; you take ε − x_t.": (
                lambda net, x_0, t, eps: ((net(_flow_x(x_0, t, eps), t) - (eps - _flow_x(x_0, t, eps))) ** 2).mean()
            ),
            "t is the share of the noise: x_t = (1 − t) x_0 + t ε; yours is the other way round.": (
                lambda net, x_0, t, eps: ((net(_flow_x(eps, t, x_0), t) - (eps - x_0)) ** 2).mean()
            ),
            "the network sees x_0, without noise.": (
                lambda net, x_0, t, eps: ((net(x_0, t) - (eps - x_0)) ** 2).mean()
            ),
            "the network gets 1 − t. Give it t as it is.": (
                lambda net, x_0, t, eps: ((net(_flow_x(x_0, t, eps), 1 - t) - (eps - x_0)) ** 2).mean()
            ),
            "this is the sum over both coordinates. Take the mean over all numbers.": (
                lambda net, x_0, t, eps: 2 * _flow_loss(net, x_0, t, eps)
            ),
            "the velocity does not depend on t; you multiply it by t.": (
                lambda net, x_0, t, eps: ((net(_flow_x(x_0, t, eps), t) - t[:, None] * (eps - x_0)) ** 2).mean()
            ),
            "the sum of the answer and the velocity has to be their difference.": (
                lambda net, x_0, t, eps: ((net(_flow_x(x_0, t, eps), t) + eps + x_0) ** 2).mean()
            ),
        },
        lambda: torch.rand(64, generator=seeded(2)),
    ),
    Exercise(
        "flow_step",
        "Euler's step of the flow, from t to t − dt.",
        _flow_step,
        lambda f: [f(probe, _normal(6, 2), t, dt) for t, dt in ((1.0, near(0.1)), (near(0.3), near(0.02)))],
        {
            "time falls by dt: the velocity is subtracted.": lambda net, x, t, dt: x + net(x, t) * dt,
            "the velocity is multiplied by dt.": lambda net, x, t, dt: x - net(x, t),
            "the velocity is multiplied by dt; you take its root, as for noise.": lambda net, x, t, dt: (
                x - net(x, t) * math.sqrt(dt)
            ),
            "the velocity is multiplied by dt, not by t.": lambda net, x, t, dt: x - net(x, t) * t,
            "Euler's step takes the velocity at its beginning, t, not at t − dt.": lambda net, x, t, dt: (
                x - net(x, t - dt) * dt
            ),
            "the step starts at x: add x.": lambda net, x, t, dt: -net(x, t) * dt,
            "the network gets 1 − t. Give it t as it is.": lambda net, x, t, dt: x - net(x, 1 - t) * dt,
        },
        rtol=1e-3,
        atol=1e-5,
    ),
    Training(
        "flow_train",
        "A network that predicts the velocity at any time.",
        _flow_sampler(),
        _flow_exact,
        lambda share: 0.01 + 0.99 * share,
        _flow_x,
        _targets(_flow_parts, "the velocity ε − x_0"),
    ),
    Sampling(
        "flow_sample",
        "The flow from noise.",
        _flow_exact,
        (1.0, 1.0),
        0.1,
        {
            "the points never change: keep the result of each step.": lambda net, n: torch.randn(n, 2),
            "the steps are too few: take a hundred.": _flow_sampler(count=5),
            "noise is added on the way: the flow has none.": _flow_sampler(
                lambda net, x, t, dt: _flow_step(net, x, t, dt) + math.sqrt(dt) * torch.randn_like(x)
            ),
        },
    ),
)

# -- the parts of a U-Net ---------------------------------------------------------------------------------------------


def _time_embedding(t: Tensor, width: int) -> Tensor:
    frequency = 10000 ** (-torch.arange(width // 2) / (width // 2))
    angle = t[:, None].float() * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _embedding(rule: Callable[[Tensor, int], Tensor], join: Callable[[Tensor], Tensor] | None = None) -> Function:
    """An embedding with other frequencies, or joined in another way."""

    def embed(t: Tensor, width: int) -> Tensor:
        angle = rule(t[:, None].float(), width // 2)
        return torch.cat([angle.sin(), angle.cos()], dim=1) if join is None else join(angle)

    return embed


def _usual(t: Tensor, half: int) -> Tensor:
    return t * 10000 ** (-torch.arange(half) / half)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(1, 2) / math.sqrt(q.shape[2])).softmax(2) @ v


_PARTS = (
    Exercise(
        "time_embedding",
        "Sines and cosines of the time at falling frequencies.",
        _time_embedding,
        lambda f: [f(torch.tensor([0, 1, whole(10, 5, 20), whole(500, 400, 900)]), 8), f(torch.tensor([3, 999]), 32)],
        {
            "the cosines come first; the contract has the sines first.": _embedding(
                _usual, lambda angle: torch.cat([angle.cos(), angle.sin()], dim=1)
            ),
            "sines and cosines alternate; the contract has all sines, then all cosines.": _embedding(
                _usual, lambda angle: torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
            ),
            "the exponent is −i/(width/2) here; you divide by width/2 − 1, as lesson 1 does.": _embedding(
                lambda t, half: t * 10000 ** (-torch.arange(half) / (half - 1))
            ),
            "the exponent is −i/(width/2); you divide by the width.": _embedding(
                lambda t, half: t * 10000 ** (-torch.arange(half) / (2 * half))
            ),
            "the frequencies fall: the exponent is negative.": _embedding(
                lambda t, half: t * 10000 ** (torch.arange(half) / half)
            ),
            "the frequencies are powers of 10000; yours fall evenly.": _embedding(
                lambda t, half: t * (1 - torch.arange(half) / half)
            ),
            "all frequencies are 1.": _embedding(lambda t, half: t * torch.ones(half)),
        },
        rtol=1e-3,
        atol=1e-3,
    ),
    Exercise(
        "attention",
        "Scaled dot-product attention of one head.",
        _attention,
        lambda f: [
            f(*(scale * _normal(2, 5, width, seed=seed) for seed in range(3))) for width, scale in ((4, 1.0), (9, 2.0))
        ],
        {
            "the scale 1/√d is missing: with many channels the softmax becomes a choice of one.": lambda q, k, v: (
                (q @ k.transpose(1, 2)).softmax(2) @ v
            ),
            "the scale is 1/√d; yours is 1/d.": lambda q, k, v: (q @ k.transpose(1, 2) / q.shape[2]).softmax(2) @ v,
            "d is the number of channels; you take the number of positions.": lambda q, k, v: (
                (q @ k.transpose(1, 2) / math.sqrt(q.shape[1])).softmax(2) @ v
            ),
            "the softmax is over the keys, the last axis; yours is over the queries.": lambda q, k, v: (
                (q @ k.transpose(1, 2) / math.sqrt(q.shape[2])).softmax(1) @ v
            ),
            "queries and keys are swapped.": lambda q, k, v: _attention(k, q, v),
            "the softmax is missing.": lambda q, k, v: (q @ k.transpose(1, 2) / math.sqrt(q.shape[2])) @ v,
            "the values are multiplied by the logits' scale again.": lambda q, k, v: (
                _attention(q, k, v) / math.sqrt(q.shape[2])
            ),
            "the softmax is over the batch, the first axis; it is over the keys, the last one.": lambda q, k, v: (
                (q @ k.transpose(1, 2) / math.sqrt(q.shape[2])).softmax(0) @ v
            ),
        },
        rtol=1e-3,
        atol=1e-4,
    ),
    Block("ResidualBlock", "A residual block that reads the time."),
    ImageNetwork("UNet", "A network of 8×8 digits that predicts the noise."),
)

METHODS = {"ddpm": _DDPM, "ncsn": _NCSN, "sde": _SDE, "flow": _FLOW, "unet": _PARTS}
"""The exercises of each method, in the order in which they are written."""
EXERCISES: tuple[Exercise | Training | Sampling | Block | ImageNetwork, ...] = (*_DDPM, *_NCSN, *_SDE, *_FLOW, *_PARTS)
