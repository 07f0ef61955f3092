"""Exercises of lesson 10: patches, a shifted schedule, a target of one's own, Adams-Bashforth, and a Huber loss."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral import schedules
from ancestral.schedules import Schedule
from ancestral.targets import Prediction
from ancestral_course.exercise import Exercise, Function, lost_gradient
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, whole

Pair = tuple[Tensor, Tensor]


def _unpatchify(patches: Tensor, size: int, height: int, width: int) -> Tensor:
    folded = patches.mT.reshape(len(patches), -1, height // size, width // size)
    return F.pixel_shuffle(folded, size)


def _unpatchify_results(function: Function) -> list[Tensor]:
    """Images that are no squares, of several channels, cut by `pixel_unshuffle`."""
    found = []
    for seed, (batch, channels, height, width, size) in enumerate(
        [(2, 3, 6, 9, 3), (1, 1, whole(4, 3, 5) * 2, 4, 2), (3, 2, 4, whole(5, 3, 7) * 2, 2)]
    ):
        images = normal(batch, channels, height, width, seed=seed, dtype=torch.float32)
        found.append(function(F.pixel_unshuffle(images, size).flatten(2).mT.contiguous(), size, height, width))
    return found


def _unpatchify_gradient(function: Function) -> str:
    patches = normal(2, 6, 12, seed=0, dtype=torch.float32)
    return lost_gradient(lambda x: function(x, 2, 6, 4), lambda x: _unpatchify(x, 2, 6, 4), patches)


def _permuted(*order: int) -> Function:
    """Patches to images with another permutation of the axes (B, patch row, patch column, C, row, column)."""

    def function(patches: Tensor, size: int, height: int, width: int) -> Tensor:
        batch, rows, columns = len(patches), height // size, width // size
        cut = patches.reshape(batch, rows, columns, -1, size, size)
        return cut.permute(*order).reshape(batch, -1, height, width)

    return function


def _swapped_grid(patches: Tensor, size: int, height: int, width: int) -> Tensor:
    batch, rows, columns = len(patches), height // size, width // size
    cut = patches.reshape(batch, columns, rows, -1, size, size)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(batch, -1, height, width)


def _channels_last(patches: Tensor, size: int, height: int, width: int) -> Tensor:
    batch, rows, columns = len(patches), height // size, width // size
    cut = patches.reshape(batch, rows, columns, size, size, -1)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(batch, -1, height, width)


UNPATCHIFY = Exercise(
    "unpatchify",
    "The inverse of patchify: from patches to images.",
    _unpatchify,
    _unpatchify_results,
    {
        "reshape alone moves no number, so the pixels of a patch still stand side by side. Split the axes, permute "
        "them so that each row in a patch stands behind its patch row, and then join.": (
            lambda patches, size, height, width: patches.reshape(len(patches), -1, height, width)
        ),
        "the channel is in place, but H is joined from (patch row, patch column). H consists of (patch row, row in "
        "the patch), and W of (patch column, column in the patch).": _permuted(0, 3, 1, 2, 4, 5),
        "this permutes as patchify does. The inverse brings (patch row, patch column, channel, row, column) to "
        "(channel, patch row, row, patch column, column).": _permuted(0, 2, 4, 1, 3, 5),
        "each patch is transposed: the row in a patch belongs behind the patch row, and the column behind the patch "
        "column.": _permuted(0, 3, 1, 5, 2, 4),
        "the grid of patches is transposed: the patch row belongs to the height, and the patch column to the width.": (
            _permuted(0, 3, 2, 4, 1, 5)
        ),
        "the rows and columns of the grid are swapped where the patches are split: patches come row by row, so N is "
        "height/size rows of width/size patches.": _swapped_grid,
        "the channel is the first axis within a patch, not the last: patchify flattens (C, row, column).": (
            _channels_last
        ),
    },
    demand=_unpatchify_gradient,
)


def _shifted(a: Tensor, b: Tensor, ratio: float) -> Pair:
    angle = torch.atan2(ratio * b, a)
    return angle.cos(), angle.sin()


def _shifted_results(function: Function) -> list[Tensor]:
    """Schedules that end with and without signal, for larger and smaller images."""
    found = []
    for schedule in (
        schedules.cosine(whole(40, 30, 50)),
        schedules.flow(whole(9, 7, 15)),
        schedules.zero_terminal(schedules.linear(whole(25, 20, 30))),
    ):
        for ratio in (near(2.0), near(0.5), near(3.0)):
            a, b = function(schedule.signal.clone(), schedule.noise.clone(), ratio)
            found += [a, b]
    return found


def _by_quotient(a: Tensor, b: Tensor, ratio: float) -> Pair:
    signal = 1 / (1 + (ratio * b / a) ** 2).sqrt()
    return signal, ratio * b / a * signal


def _only_noise(a: Tensor, b: Tensor, ratio: float) -> Pair:
    return a, ratio * b / (a**2 + (ratio * b) ** 2).sqrt()


def _less_signal(a: Tensor, b: Tensor, ratio: float) -> Pair:
    return a / ratio, (1 - (a / ratio) ** 2).abs().sqrt()


def _squared_length(a: Tensor, b: Tensor, ratio: float) -> Pair:
    length = a**2 + (ratio * b) ** 2
    return a / length, ratio * b / length


SHIFTED = Exercise(
    "shifted",
    "The curves of a schedule with its log SNR lowered by 2 ln ratio.",
    _shifted,
    _shifted_results,
    {
        "the shift goes in the wrong direction. Larger images (ratio above 1) need more noise: b'/a' = ratio · b/a.": (
            lambda a, b, ratio: _shifted(a, b, 1 / ratio)
        ),
        "b/a is multiplied by ratio², so the SNR is divided by ratio⁴. Multiply b/a by ratio.": (
            lambda a, b, ratio: _shifted(a, b, ratio**2)
        ),
        "the SNR is divided by ratio. It is b/a that is multiplied by ratio, and the SNR is its square, inverted.": (
            lambda a, b, ratio: _shifted(a, b, ratio**0.5)
        ),
        "the ratio is right, but a'² + b'² is not 1: divide both by their length.": lambda a, b, ratio: (a, ratio * b),
        "divide by the length √(a² + (ratio · b)²), not by its square.": _squared_length,
        "only b is scaled to length 1. Divide a by the same length, or the ratio changes.": _only_noise,
        "a/ratio makes a'_0 = 1/ratio, and clean data have a'_0 = 1. Multiply b by ratio, scale both.": _less_signal,
        "there is a value that is not a number: where a = 0, b/a is infinite. Scale the pair (a, ratio · b), without a "
        "division by a.": _by_quotient,
        "these are the curves as they were. Multiply b by ratio, then scale both to length 1.": (
            lambda a, b, ratio: (a, b)
        ),
    },
)


def _unknown_part(a: Tensor, b: Tensor, s: float) -> Pair:
    angle = torch.atan2(b, s * a)  # (s a, b) is the direction of x_t in units of the deviations of x_0 and ε
    return angle.sin() / s, -angle.cos()


def _unknown_part_results(function: Function) -> list[Tensor]:
    """From clean data (b = 0) to pure noise (a = 0), for three deviations of the data."""
    found = []
    for schedule in (schedules.cosine(whole(20, 15, 30)), schedules.flow(whole(8, 6, 12))):
        for s in (near(0.42), 1.0, near(2.0)):
            p, q = function(schedule.signal.clone(), schedule.noise.clone(), s)
            found += [p, q]
    return found


def _row(factor: Callable[[Tensor, Tensor, float], Any], p: Any, q: Any) -> Function:
    """The row (p, q) divided by a factor, each a function of (a, b, s)."""
    return lambda a, b, s: (p(a, b, s) / factor(a, b, s), q(a, b, s) / factor(a, b, s))


def _ratio_first(a: Tensor, b: Tensor, s: float) -> Pair:
    slope = -a * s**2 / b
    p = 1 / (s**2 + slope**2).sqrt()
    return p, slope * p


def _deviation(a: Tensor, b: Tensor, s: float) -> Tensor:
    return (b**2 + s**2 * a**2).sqrt()


def _opposite(a: Tensor, b: Tensor, s: float) -> Pair:
    p, q = _unknown_part(a, b, s)
    return -p, -q


UNKNOWN_PART = Exercise(
    "unknown_part",
    "The target with variance 1 that is uncorrelated with x_t, for data of standard deviation s.",
    _unknown_part,
    _unknown_part_results,
    {
        "right up to the sign: p shall be at least 0.": _opposite,
        "this is −v, which is right for s = 1 alone. In p a s² + q b = 0 the data have the variance s².": (
            lambda a, b, s: (b, -a)
        ),
        "uncorrelated, but the variance p² s² + q² is not 1: divide both by its root.": lambda a, b, s: (b, -a * s**2),
        "uncorrelated, but its variance is s², not 1: divide both by s.": _row(
            _deviation, lambda a, b, s: b, lambda a, b, s: -a * s**2
        ),
        "you scaled to p² + q² = 1. The variance of p x_0 is p² s², so it is p² s² + q² that is 1.": _row(
            lambda a, b, s: (b**2 + s**4 * a**2).sqrt(), lambda a, b, s: b, lambda a, b, s: -a * s**2
        ),
        "the covariance has the variance of the data, s², and you took s: p a s² + q b = 0.": _row(
            lambda a, b, s: s * (a**2 + b**2).sqrt(), lambda a, b, s: b, lambda a, b, s: -a * s
        ),
        "this is x_t divided by its deviation, the part that is known. The target shall be uncorrelated with it.": _row(
            _deviation, lambda a, b, s: a, lambda a, b, s: b
        ),
        "this is EDM's choice, s = 0.5. Take the s that is given.": lambda a, b, s: _unknown_part(a, b, 0.5),
        "there is a value that is not a number: where b = 0, a/b is infinite. Take (b, −a s²), which has the right "
        "ratio everywhere, and scale it.": _ratio_first,
    },
)


def _extrapolated(
    x: Tensor, now: Prediction, before: Prediction, schedule: Schedule, weight: float, t: int, s: int
) -> Any:
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    x0 = (1 + weight) * now.x0 - weight * before.x0
    eps = (1 + weight) * now.eps - weight * before.eps
    return x + (float(a_s) - float(a_t)) * x0 + (float(b_s) - float(b_t)) * eps


def _weighted_step(weight: Callable[[int, int, int], float]) -> Function:
    """The step with another weight of the difference, a function of (t_before, t, s)."""
    return lambda x, now, before, schedule, t_before, t, s: _extrapolated(
        x, now, before, schedule, weight(t_before, t, s), t, s
    )


def _adams_bashforth(
    x: Tensor, now: Prediction, before: Prediction, schedule: Schedule, t_before: int, t: int, s: int
) -> Any:
    """Lagrange's form of the line through both predictions, at the middle of the step."""
    middle = (t + s) / 2
    here, there = (middle - t_before) / (t - t_before), (middle - t) / (t_before - t)
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    x0, eps = here * now.x0 + there * before.x0, here * now.eps + there * before.eps
    return x + (a_s - a_t) * x0 + (b_s - b_t) * eps


def _adams_bashforth_results(function: Function) -> list[Tensor]:
    """Steps shorter and longer than the one before, from t = T and to s = 0."""
    linear, karras, flow = schedules.linear(1000), schedules.karras(40), schedules.flow(10)
    steps = [
        (linear, whole(700, 650, 800), whole(500, 400, 600), whole(200, 100, 300)),
        (karras, 40, whole(37, 35, 39), whole(20, 15, 25)),
        (flow, 10, 6, whole(5, 4, 5)),
        (linear, whole(5, 4, 7), whole(2, 1, 3), 0),
    ]
    found = []
    for number, (schedule, t_before, t, s) in enumerate(steps):
        dtype = torch.float32 if number % 2 else torch.float64
        x, *parts = (normal(3, 1, 4, 5, seed=5 * number + k, dtype=dtype) for k in range(5))
        now, before = Prediction(*parts[:2]), Prediction(*parts[2:])
        found.append(function(x, now, before, schedule, t_before, t, s))
    return found


def _only_x0(x: Tensor, now: Prediction, before: Prediction, schedule: Schedule, t_before: int, t: int, s: int) -> Any:
    weight = (t - s) / 2 / (t_before - t)
    return _extrapolated(x, now, Prediction(before.x0, now.eps), schedule, weight, t, s)


def _as_ddim(x: Tensor, now: Prediction, before: Prediction, schedule: Schedule, t_before: int, t: int, s: int) -> Any:
    (a_s, b_s), weight = schedule.at(s), (t - s) / 2 / (t_before - t)
    return a_s * torch.lerp(before.x0, now.x0, 1 + weight) + b_s * torch.lerp(before.eps, now.eps, 1 + weight)


def _away(x: Tensor, now: Prediction, before: Prediction, schedule: Schedule, t_before: int, t: int, s: int) -> Any:
    return 2 * x - _adams_bashforth(x, now, before, schedule, t_before, t, s)


ADAMS_BASHFORTH_STEP = Exercise(
    "adams_bashforth_step",
    "A step of second order from the predictions at two times, for steps of any length.",
    _adams_bashforth,
    _adams_bashforth_results,
    {
        "the weight ½ is that of equal steps. The middle lies (t − s)/2 beyond t, in units of the step before, "
        "t_before − t.": _weighted_step(lambda t_before, t, s: 0.5),
        "the quotient of the two steps is upside down: a long step after a short one goes far beyond the last "
        "prediction.": _weighted_step(lambda t_before, t, s: (t_before - t) / (t - s) / 2),
        "you extrapolate to the end of the step. The middle is half as far.": _weighted_step(
            lambda t_before, t, s: (t - s) / (t_before - t)
        ),
        "the difference has the wrong sign: the line is followed back to the step before. Go on from t towards s.": (
            _weighted_step(lambda t_before, t, s: -(t - s) / 2 / (t_before - t))
        ),
        "the difference of the predictions belongs to the step before, from t_before to t, not to the way from "
        "t_before to s.": _weighted_step(lambda t_before, t, s: (t - s) / 2 / (t_before - s)),
        "this is Euler's step: `before` is not used.": _weighted_step(lambda t_before, t, s: 0.0),
        "the step is the mean of the two predictions, which belongs to the middle of the step before. Extrapolate.": (
            _weighted_step(lambda t_before, t, s: -0.5)
        ),
        "only x̂_0 is extrapolated. ε̂ needs the same.": _only_x0,
        "a_s x̂_0 + b_s ε̂ is DDIM's step. It equals x + Δa x̂_0 + Δb ε̂ only while x = a_t x̂_0 + b_t ε̂, and the "
        "extrapolated pair does not add up to x.": _as_ddim,
        "x moves in the wrong direction: the changes are a_s − a_t and b_s − b_t.": _away,
    },
    linear=Linear(
        "x, now, before, schedule, t_before, t, s",
        inputs="x, now.x0, now.eps, before.x0, before.eps",
        at="t_before, t, s",
    ),
)


def _huber_errors(truth: Tensor, answer: Tensor, t: Tensor, weights: Tensor, c: float) -> Tensor:
    each = 2 * F.huber_loss(answer, truth, reduction="none", delta=c)
    return weights.gather(0, t) * each.flatten(1).mean(1)


def _huber_errors_results(function: Function) -> list[Tensor]:
    """Images and points with small and large errors, at times from t = 1 to t = T, and with two thresholds."""
    found = []
    for seed, (shape, c) in enumerate([((4, 1, 3, 5), near(0.5)), ((4, 2), near(1.2))]):
        truth, answer = (normal(*shape, seed=10 * seed + k, dtype=torch.float32) for k in range(2))
        weights = torch.linspace(near(0.3), near(2.1), 8, dtype=torch.float64) ** 2
        found.append(function(truth, answer, torch.tensor([1, 7, whole(4, 4, 6), whole(3, 2, 3)]), weights, c))
    return found


def _huber_gradient(function: Function) -> str:
    truth, answer = (normal(4, 3, 5, seed=seed, dtype=torch.float32) for seed in range(2))
    rest = torch.tensor([1, 7, 4, 3]), torch.linspace(0.3, 2.1, 8, dtype=torch.float64), 0.5
    return lost_gradient(lambda x: function(truth, x, *rest), lambda x: _huber_errors(truth, x, *rest), answer)


def _with_loss(each: Callable[[Tensor, float], Tensor]) -> Function:
    """The losses with another function of each element's absolute error."""
    return lambda truth, answer, t, weights, c: weights[t] * each((truth - answer).abs(), c).flatten(1).mean(1)


def _huber(error: Tensor, c: float) -> Tensor:
    return torch.where(error <= c, error**2, c * (2 * error - c))


def _sum(truth: Tensor, answer: Tensor, t: Tensor, weights: Tensor, c: float) -> Tensor:
    return _huber_errors(truth, answer, t, weights, c) * truth[0].numel()


def _unweighted(truth: Tensor, answer: Tensor, t: Tensor, weights: Tensor, c: float) -> Tensor:
    return _huber((truth - answer).abs(), c).flatten(1).mean(1)


def _of_whole_sample(truth: Tensor, answer: Tensor, t: Tensor, weights: Tensor, c: float) -> Tensor:
    return weights[t] * _huber((truth - answer).square().flatten(1).mean(1).sqrt(), c)


def _of_mean_error(truth: Tensor, answer: Tensor, t: Tensor, weights: Tensor, c: float) -> Tensor:
    return weights[t] * _huber((truth - answer).abs().flatten(1).mean(1), c)


HUBER_ERRORS = Exercise(
    "huber_errors",
    "The Huber loss of each sample, weighted by its time.",
    _huber_errors,
    _huber_errors_results,
    {
        "this is PyTorch's Huber loss, half of what the text defines: Δ² has no factor ½ here.": _with_loss(
            lambda error, c: _huber(error, c) / 2
        ),
        "take the mean over the elements of a sample, not the sum.": _sum,
        "the weights are missing: multiply the loss of each sample by weights[t].": _unweighted,
        "the weights stand at t = 0..T, so the weight of time t is weights[t], not weights[t − 1].": (
            lambda truth, answer, t, weights, c: _huber_errors(truth, answer, t - 1, weights, c)
        ),
        "this is the squared error: errors above c count as c (2|Δ| − c).": _with_loss(lambda error, c: error**2),
        "beyond c the loss jumps: it is c (2|Δ| − c), so that value and slope agree at |Δ| = c.": _with_loss(
            lambda error, c: torch.where(error <= c, error**2, c * error)
        ),
        "the two branches are swapped: small errors are squared.": _with_loss(
            lambda error, c: torch.where(error > c, error**2, c * (2 * error - c))
        ),
        "this is the pseudo-Huber loss of the wrapper. Write h with its two branches.": _with_loss(
            lambda error, c: 2 * c * ((error**2 + c**2).sqrt() - c)
        ),
        "the threshold is applied to the root mean square error of a whole sample. Apply h to each element, then take "
        "the mean.": _of_whole_sample,
        "the threshold is applied to the mean error of a whole sample. Apply h to each element, then take the mean.": (
            _of_mean_error
        ),
    },
    demand=_huber_gradient,
)


EXERCISES = (UNPATCHIFY, SHIFTED, UNKNOWN_PART, ADAMS_BASHFORTH_STEP, HUBER_ERRORS)
