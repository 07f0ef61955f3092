"""Exercises of lesson 4: averaged weights, the error of a difference, targets into one another, merged steps."""

import statistics
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ancestral import schedules, targets
from ancestral_course.exercise import Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import near, one_of, seeded, whole

# Exercise 1: the bias-corrected moving average


def _average(weights: Tensor, decay: float) -> Tensor:
    """The mean of the weights with the factors d^(n−k), which are those of the moving average up to their sum."""
    n = len(weights)
    factors = decay ** torch.arange(n - 1, -1, -1, dtype=weights.dtype)
    return factors @ weights / factors.sum()


def _average_results(f: Function) -> Sequence[Tensor]:
    weights = torch.randn(6, 3, generator=seeded(0), dtype=torch.float64) + 1
    return [f(weights, near(0.9, 0.1)), f(weights[:1], 0.999), f(weights[:3].float(), near(0.5))]


def _moving(weights: Tensor, start: Tensor, decay: float, share: float) -> Tensor:
    for weight in weights:
        start = decay * start + share * weight
    return start


AVERAGE = Exercise(
    "average",
    "the exponential moving average of weights, without the bias of its beginning",
    reference=_average,
    results=_average_results,
    mistakes={
        "the average begins at 0, so it is too small. Divide by the sum of the factors, 1 − decayⁿ": (
            lambda w, d: _moving(w, 0 * w[0], d, 1 - d)
        ),
        "the average begins at 0. You begin it at the first weights, which then count too much": (
            lambda w, d: _moving(w, w[0], d, 1 - d)
        ),
        "the correction divides by 1 − decayⁿ, with n the number of steps. You divide by 1 − decay, which is right "
        "after one step only": lambda w, d: _moving(w, 0 * w[0], d, 1 - d) / (1 - d),
        "the correction is 1 − decayⁿ, where n counts all steps. You counted one step too few": (
            lambda w, d: _moving(w, 0 * w[0], d, 1 - d) / (1 - d ** max(len(w) - 1, 0.5))
        ),
        "the correction is 1 − decayⁿ, where n counts all steps. You counted one step too many": (
            lambda w, d: _moving(w, 0 * w[0], d, 1 - d) / (1 - d ** (len(w) + 1))
        ),
        "decay belongs to the old average, and 1 − decay to the new weights. You swapped them": (
            lambda w, d: _average(w, 1 - d)
        ),
        "the newest weights count most. You gave the oldest the largest factor": lambda w, d: _average(w.flip(0), d),
        "the correction multiplies. Divide by 1 − decayⁿ": (
            lambda w, d: _moving(w, 0 * w[0], d, 1 - d) * (1 - d ** len(w))
        ),
        "this is the plain mean of all weights. The factor of θ_k is (1 − decay) decayⁿ⁻ᵏ": lambda w, d: w.mean(0),
    },
    linear=Linear("weights, decay", inputs="weights[]", at="decay"),
)


# Exercise 2: a paired difference and its standard error


def _effect(variant: Tensor, baseline: Tensor) -> tuple[float, float]:
    differences = [a - b for a, b in zip(variant.tolist(), baseline.tolist(), strict=True)]
    return statistics.fmean(differences), statistics.stdev(differences) / len(differences) ** 0.5


def _effect_results(f: Function) -> Sequence[Tensor | float]:
    draws = seeded(0)
    results: list[Tensor | float] = []
    for n in (2, 4, 7):
        baseline = 1 + torch.rand(n, generator=draws, dtype=torch.float64)
        variant = baseline + 0.3 + 0.1 * torch.randn(n, generator=draws, dtype=torch.float64)
        results += [torch.as_tensor(value) for value in f(variant, baseline)]
    return results


def _of_differences(error: Callable[[Tensor], Tensor], sign: int = 1) -> Function:
    return lambda v, b: (sign * (v - b).mean(), error(v - b))


EFFECT = Exercise(
    "effect",
    "the mean difference of two variants over paired seeds, and its standard error",
    reference=_effect,
    results=_effect_results,
    mistakes={
        "the standard deviation of the differences says how much one seed differs from another. The mean of n of them "
        "is more certain, by √n": _of_differences(lambda d: d.std()),
        "the standard deviation has n − 1 in its denominator, since the mean was estimated from the same n numbers": (
            _of_differences(lambda d: d.std(correction=0) / len(d) ** 0.5)
        ),
        "divide the standard deviation by √n, not by n": _of_differences(lambda d: d.std() / len(d)),
        "this is the square of the standard error: take the root": _of_differences(lambda d: d.var() / len(d)),
        "the effect is variant − baseline. You have the other sign": _of_differences(
            lambda d: d.std() / len(d) ** 0.5, -1
        ),
        "you treat the two sets as independent. They share their seeds: take the standard error of the differences": (
            lambda v, b: ((v - b).mean(), ((v.var() + b.var()) / len(v)).sqrt())
        ),
        "this is the standard error of the variant alone. Take that of the differences": (
            lambda v, b: ((v - b).mean(), v.std() / len(v) ** 0.5)
        ),
        "the difference of two standard errors is no error of the difference": (
            lambda v, b: ((v - b).mean(), (v.std() - b.std()) / len(v) ** 0.5)
        ),
    },
)


# Exercise 3: from one target to another

_Row = tuple[float, float]


def _convert(answer: Tensor, x_t: Tensor, a: float, b: float, old: _Row, new: _Row) -> Tensor:
    """Through the package's solve, with a target that is made of the two numbers."""
    x0, eps = targets.Target("old", lambda a, b: old[0], lambda a, b: old[1]).solve(x_t, answer, a, b)
    return targets.Target("new", lambda a, b: new[0], lambda a, b: new[1]).from_x0_eps(x0, eps, a, b)


def _convert_results(f: Function) -> Sequence[Tensor]:
    draws = seeded(0)
    results = []
    for t in (1, whole(400, 200, 700), 1000):
        a, b = schedules.cosine().at(t)
        rows = {"eps": (0.0, 1.0), "x0": (1.0, 0.0), "v": (-b, a)}
        for old, new in (("v", "eps"), ("v", "x0"), ("x0", "v"), ("eps", "v")):
            if 1 < t < 1000 or old == "v":
                x_t, answer = (torch.randn(2, 64, generator=draws, dtype=torch.float64) for _ in range(2))
                results.append(f(answer, x_t, a, b, rows[old], rows[new]))
    for a, b in ((0.0, 1.0), (1.0, 0.0)):  # pure noise, and no noise: v has an answer for both
        x_t, answer = (torch.randn(2, 64, generator=draws, dtype=torch.float64) for _ in range(2))
        results += [f(answer, x_t, a, b, (-b, a), new) for new in ((0.0, 1.0), (1.0, 0.0))]
    return results


def _by_solution(solution: Function) -> Function:
    """The new target from the estimates of x_0 and ε that a wrong solution makes."""

    def convert(answer: Tensor, x_t: Tensor, a: float, b: float, old: _Row, new: _Row) -> Tensor:
        x0, eps = solution(answer, x_t, a, b, *old, a * old[1] - b * old[0])
        result: Tensor = new[0] * x0 + new[1] * eps
        return result

    return convert


CONVERT = Exercise(
    "convert",
    "the answer for one target from the answer for another",
    reference=_convert,
    results=_convert_results,
    mistakes={
        "both solutions are divided by the determinant d = a q − b p": _by_solution(
            lambda y, x, a, b, p, q, d: (q * x - b * y, a * y - p * x)
        ),
        "the determinant is a q − b p, with a minus": _by_solution(
            lambda y, x, a, b, p, q, d: (
                (q * x - b * y) / (a * q + b * p + 1e-9),
                (a * y - p * x) / (a * q + b * p + 1e-9),
            )
        ),
        "x_0 and ε are swapped: p' belongs to x_0 and q' to ε": _by_solution(
            lambda y, x, a, b, p, q, d: ((a * y - p * x) / d, (q * x - b * y) / d)
        ),
        "x_0 is (q x_t − b · answer)/d: look at the sign": _by_solution(
            lambda y, x, a, b, p, q, d: ((q * x + b * y) / d, (a * y - p * x) / d)
        ),
        "ε is (a · answer − p x_t)/d: look at the sign": _by_solution(
            lambda y, x, a, b, p, q, d: ((q * x - b * y) / d, (a * y + p * x) / d)
        ),
        "you took old and new the wrong way round": lambda y, x, a, b, old, new: _by_solution(
            lambda y, x, a, b, p, q, d: ((q * x - b * y) / d, (a * y - p * x) / d)
        )(y, x, a, b, new, old),
        "right, but not a number at a = 0, where v has q = 0, too: divide by the determinant alone": _by_solution(
            lambda y, x, a, b, p, q, d: ((q * x - b * y) / d, (a * y - p * x) / d * (a / torch.tensor(a)))
        ),
        "right, but not a number at b = 0, where v has p = 0, too: divide by the determinant alone": _by_solution(
            lambda y, x, a, b, p, q, d: ((q * x - b * y) / d, (a * y - p * x) / d * (b / torch.tensor(b)))
        ),
        "x_t and the answer are swapped: the first row of the system is that of x_t": _by_solution(
            lambda y, x, a, b, p, q, d: ((q * y - b * x) / d, (a * x - p * y) / d)
        ),
        "the answer is a mixture of x_0 and ε for the old target. You treat it as ε itself": _by_solution(
            lambda y, x, a, b, p, q, d: ((x - b * y) / a, y)
        ),
    },
    linear=Linear("answer, x_t, a, b, old, new", inputs="answer, x_t", at="a, old, new"),
)


# Exercise 4: fewer steps on the same curve


def _merge(beta: Tensor, k: int) -> Tensor:
    """From ᾱ at the ends of the merged steps, by the package's schedule."""
    schedule = schedules.from_betas(beta)
    ends = torch.arange(k, len(beta) + 1, k)
    alpha = schedule.alpha_bar[ends] / schedule.alpha_bar[ends - k]
    return (1 - alpha).to(beta.dtype)


def _merge_results(f: Function) -> Sequence[Tensor]:
    beta = torch.linspace(near(1e-4), near(0.02), 1000, dtype=torch.float64)
    uneven = near(torch.tensor([0.1, 0.5, 0.2, 0.3, 0.9, 0.4], dtype=torch.float64), 0.1)
    return [f(beta, one_of([10, 8, 20, 25])), f(uneven, one_of([3, 2])), f(uneven, 1), f(uneven, 6)]


MERGE_STEPS = Exercise(
    "merge_steps",
    "the β of a chain in which k steps are one",
    reference=_merge,
    results=_merge_results,
    mistakes={
        "variances of steps do not add up: each step also shrinks the noise of those before. Multiply the 1 − β": (
            lambda b, k: b.reshape(-1, k).sum(1)
        ),
        "this leaves out steps. A merged step destroys as much signal as its k steps together": lambda b, k: b[
            k - 1 :: k
        ],
        "this leaves out all but the first of the k steps. A merged step destroys as much as all of them": (
            lambda b, k: b[::k]
        ),
        "this is the mean of the k steps. A merged step destroys as much signal as all of them together": (
            lambda b, k: b.reshape(-1, k).mean(1)
        ),
        "this is k times the β of one step. The k steps differ, and their 1 − β are multiplied": lambda b, k: (
            k * b[k - 1 :: k]
        ),
        "this is what is left, the product of the 1 − β. β is 1 minus it": lambda b, k: (1 - b).reshape(-1, k).prod(1),
        "multiply the factors 1 − β that are kept, not the β": lambda b, k: b.reshape(-1, k).prod(1),
        "1 − β is the factor of the signal's power. You took its square root: the signal itself has √(1 − β)": (
            lambda b, k: 1 - (1 - b).reshape(-1, k).prod(1).sqrt()
        ),
        "these steps are far apart in the chain: steps 1 to k become one, then k + 1 to 2k (reshape(-1, k), not "
        "reshape(k, -1))": lambda b, k: 1 - (1 - b).reshape(k, -1).prod(0),
        "this is 1 − ᾱ at the end of each merged step. Divide by ᾱ at its beginning": lambda b, k: (
            1 - (1 - b).cumprod(0)[k - 1 :: k]
        ),
    },
)

EXERCISES = (AVERAGE, EFFECT, CONVERT, MERGE_STEPS)
