"""Exercises of lesson 13: estimates given a condition, dropping, encoding, posteriors, guidance, and scores."""

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral import conditions, oracle
from ancestral.guidance import guided
from ancestral.metrics import ensembles
from ancestral.schedules import Schedule
from ancestral_course.exercise import Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, seeded, whole

# -- the best estimate ------------------------------------------------------------------------------------------------


def _schedule(a: float, b: float) -> Schedule:
    """A process of one time, with the factors a and b."""
    return Schedule(torch.tensor([1.0, a], dtype=torch.float64), torch.tensor([0.0, b], dtype=torch.float64))


def _best_estimate(x_t: Tensor, c: Tensor, a: float, b: float, slope: float, std: float) -> Tensor:
    """By the package's exact denoiser, about the mean that c gives."""
    mean = slope * c
    return mean + oracle.Gaussian(_schedule(a, b), 0.0, std).predict(x_t - a * mean, 1).x0


def _best_results(function: Function) -> list[Tensor]:
    """Little and much noise, a condition without effect, and one that nearly determines x_0."""
    cases = [
        (0.9, near(0.4), near(0.8), near(0.5)),
        (near(0.2), 0.98, near(-1.5), near(0.3)),
        (1.0, near(3.0), 0.0, near(2.0)),
        (near(0.6), 0.8, near(1.3), 0.01),
    ]
    return [function(normal(6, seed=seed), normal(6, seed=10 + seed), *case) for seed, case in enumerate(cases)]


def _estimate(mean: Callable[..., Tensor], gain: Callable[..., float], shift: Callable[..., Tensor]) -> Function:
    """An estimate with another mean, gain, or mean of x_t."""

    def function(x_t: Tensor, c: Tensor, a: float, b: float, slope: float, std: float) -> Tensor:
        m = mean(c, slope)
        return m + gain(a, b, slope, std) * (x_t - shift(m, a))

    return function


def _given(c: Tensor, slope: float) -> Tensor:
    return slope * c


def _gain(a: float, b: float, slope: float, std: float) -> float:
    return a * std**2 / (a**2 * std**2 + b**2)


def _moved(mean: Tensor, a: float) -> Tensor:
    return a * mean


BEST_ESTIMATE = Exercise(
    name="best_estimate",
    task="E[x_0 | x_t, c] of a joint Gaussian.",
    reference=_best_estimate,
    results=_best_results,
    mistakes={
        "this is E[x_0 | x_t], without the condition: its mean is 0 and its variance slope² + std². Given c the mean "
        "is slope · c, and the variance std².": _estimate(
            lambda c, slope: torch.zeros_like(c),
            lambda a, b, slope, std: a * (slope**2 + std**2) / (a**2 * (slope**2 + std**2) + b**2),
            _moved,
        ),
        "the variance of x_0 given c is std² alone. The part slope² is that of c, which is known.": _estimate(
            _given,
            lambda a, b, slope, std: a * (slope**2 + std**2) / (a**2 * (slope**2 + std**2) + b**2),
            _moved,
        ),
        "this is E[x_0 | c]. x_t says something, too: add the gain times its difference from a · slope · c.": _estimate(
            _given, lambda a, b, slope, std: 0.0, _moved
        ),
        "the mean of x_t given c is a · slope · c: x_0 is multiplied by a before the noise is added.": _estimate(
            _given, _gain, lambda mean, a: mean
        ),
        "x_t is compared with 0. Its mean given c is a · slope · c.": _estimate(
            _given, _gain, lambda mean, a: torch.zeros_like(mean)
        ),
        "the gain has a², which is that of a · x_0. The covariance of x_0 and x_t is a · std².": _estimate(
            _given, lambda a, b, slope, std: a * _gain(a, b, slope, std), _moved
        ),
        "a is missing in the gain: the covariance of x_0 and x_t is a · std².": _estimate(
            _given, lambda a, b, slope, std: std**2 / (a**2 * std**2 + b**2), _moved
        ),
        "a is not squared in the variance of x_t, which is a² · std² + b².": _estimate(
            _given, lambda a, b, slope, std: a * std**2 / (a * std**2 + b**2), _moved
        ),
        "standard deviations are not squared: variances are std² and b².": _estimate(
            _given, lambda a, b, slope, std: a * std / (a**2 * std + b), _moved
        ),
        "this is the correction alone. It is added to the mean slope · c.": _estimate(
            lambda c, slope: torch.zeros_like(c), _gain, _moved
        ),
    },
    atol=1e-8,
    linear=Linear("x_t, c, a, b, slope, std", inputs="x_t, c", at="a, slope, std"),
)


# -- dropping ---------------------------------------------------------------------------------------------------------


def _subset_share(present: Sequence[bool], p: float) -> float:
    """By enumeration of all draws: the joint one first, then one for each condition."""
    total = 0.0
    for every, *each in product((True, False), repeat=1 + len(present)):
        probability = math.prod(p if drop else 1 - p for drop in (every, *each))
        if all(there == (not every and not drop) for there, drop in zip(present, each, strict=True)):
            total += probability
    return total


def _subset_results(function: Function) -> list[float]:
    """All subsets of two and of three conditions, with some shares."""
    subsets = [*product((True, False), repeat=2), *product((True, False), repeat=3)]
    return [function(list(subset), p) for p in (near(0.1), near(0.25), 0.0) for subset in subsets]


def _own(present: Sequence[bool], p: float) -> float:
    return math.prod(1 - p if there else p for there in present)


SUBSET_SHARE = Exercise(
    name="subset_share",
    task="The probability that exactly a subset of the conditions is present in training.",
    reference=_subset_share,
    results=_subset_results,
    mistakes={
        "the joint draw is missing: with probability p all conditions are absent, whatever their own draws.": _own,
        "if all are dropped together none is present: the subset without any condition gets p more.": (
            lambda present, p: (1 - p) * _own(present, p)
        ),
        "the joint draw adds p to the subset without any condition alone. All others are impossible then.": (
            lambda present, p: p + (1 - p) * _own(present, p)
        ),
        "p is the probability that a condition is absent, and 1 − p that it is present.": (
            lambda present, p: (1 - p) * _own([not there for there in present], p) + p * (not any(present))
        ),
        "the absent conditions count as well: each of them is dropped, with the probability p.": (
            lambda present, p: (1 - p) * math.prod(1 - p for there in present if there) + p * (not any(present))
        ),
        "the present conditions count as well: each of them is kept, with the probability 1 − p.": (
            lambda present, p: (1 - p) * math.prod(p for there in present if not there) + p * (not any(present))
        ),
        "their own draws count only where not all are dropped together: multiply by 1 − p.": (
            lambda present, p: _own(present, p) + p * (not any(present))
        ),
        "without any condition: the joint draw comes first, p + (1 − p) · pᵏ. This is p alone.": (
            lambda present, p: (1 - p) * _own(present, p) if any(present) else p
        ),
    },
    atol=1e-9,
)


# -- encoding ---------------------------------------------------------------------------------------------------------


def _encode_vector(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return conditions.Vector(tuple(mean.tolist()), tuple(std.tolist())).encode(values).to(values.dtype)


def _vector_results(function: Function) -> list[Tensor]:
    """A row without a number, one in which a single number is missing, and none that is missing."""
    values = normal(5, 2, seed=20) * 3 + 40
    values[1] = math.nan
    values[3, 0] = math.nan
    mean, std = near(torch.tensor([40.0, 38.0]).double(), 0.05), near(torch.tensor([3.0, 0.5]).double())
    return [function(values, mean, std), function(normal(3, 1, seed=21), mean[:1] / 40, std[:1])]


def _vector(
    standardise: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda values, mean, std: (values - mean) / std,
    missing: Callable[[Tensor], Tensor] = lambda values: values.isnan().any(1),
    presence: Callable[[Tensor], Tensor] = lambda absent: (~absent).double(),
    zero: bool = True,
) -> Function:
    """The encoding with another scale, other rows that are absent, or another last number."""

    def function(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        absent = missing(values)
        inputs = standardise(values, mean, std)
        inputs = inputs.masked_fill(absent[:, None], 0.0) if zero else inputs.nan_to_num(0.0)
        return torch.cat([inputs, presence(absent)[:, None]], 1)

    return function


def _nan_rows(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    there = (~values.isnan().any(1, keepdim=True)).double()
    return torch.cat([(values - mean) / std * there, there], 1)


def _presence_first(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    inputs: Tensor = _vector()(values, mean, std)
    return inputs.roll(1, 1)


ENCODE_VECTOR = Exercise(
    name="encode_vector",
    task="What a network gets of vectors, some of which are missing.",
    reference=_encode_vector,
    results=_vector_results,
    mistakes={
        "the numbers are not standardised: subtract the mean and divide by the standard deviation.": _vector(
            lambda values, mean, std: values
        ),
        "the mean is not subtracted.": _vector(lambda values, mean, std: values / std),
        "divide by the standard deviation, not by the variance.": _vector(
            lambda values, mean, std: (values - mean) / std**2
        ),
        "the result is not divided by the standard deviation.": _vector(lambda values, mean, std: values - mean),
        "divide the difference, (values − mean) / std: the division comes before the subtraction here.": _vector(
            lambda values, mean, std: values - mean / std
        ),
        "the mean and the standard deviation are those of the whole data set, which are given. This takes those of the "
        "batch, so the same number would mean something else in each batch.": _vector(
            lambda values, mean, std: (values - values.nanmean(0)) / _nanstd(values)
        ),
        "the last number is 1 where the vector is there and 0 where it is absent, not the other way round.": _vector(
            presence=lambda absent: absent.double()
        ),
        "absent rows are zeros in all places, the last number too. Here it is 1 for all rows.": _vector(
            presence=lambda absent: torch.ones(len(absent), dtype=torch.float64)
        ),
        "a vector with one NaN is absent as a whole: its other numbers are zeros as well.": _vector(zero=False),
        "a vector with one NaN is absent: this says that only those without any number are.": _vector(
            missing=lambda values: values.isnan().all(1), zero=False
        ),
        "the presence is the last column, not the first.": _presence_first,
        "NaN is left in absent rows. 0 · NaN is NaN: choose with torch.where or masked_fill.": _nan_rows,
    },
)


def _nanstd(values: Tensor) -> Tensor:
    return (values - values.nanmean(0)).square().nanmean(0).sqrt()


def _encode_image(image: Tensor, side: int) -> Tensor:
    return conditions.Image(image.shape[1]).encode(image, (side, side))


def _image_results(function: Function) -> list[Tensor]:
    """Bytes with one channel and with three, brought to finer grids, one of them no multiple."""
    draws = seeded(22)
    images = [torch.randint(256, shape, generator=draws).byte() for shape in ((2, 1, 3, 3), (1, 3, 4, 4))]
    images[0][0, 0, 0, :2] = torch.tensor([0, 255])
    return [function(images[0], whole(12, 6, 15)), function(images[1], whole(10, 9, 11))]


def _image(
    scale: Callable[[Tensor], Tensor] = lambda x: x / 127.5 - 1,
    ones: Callable[[Tensor], Tensor] = torch.ones_like,
    mode: str = "bilinear",
    corners: bool | None = False,
) -> Function:
    """The encoding with another scale, another last channel, or another interpolation."""

    def function(image: Tensor, side: int) -> Tensor:
        x = F.interpolate(scale(image.float()), (side, side), mode=mode, align_corners=corners)
        return torch.cat([x, ones(x[:, :1])], 1)

    return function


def _after_the_ones(image: Tensor, side: int) -> Tensor:
    x: Tensor = _image()(image, side)
    return x.roll(1, 1)


ENCODE_IMAGE = Exercise(
    name="encode_image",
    task="What a network gets of an image condition: on the grid of x, with a channel of ones.",
    reference=_encode_image,
    results=_image_results,
    mistakes={
        "the values are those of bytes, 0 to 255. Scale them to [−1, 1]: / 127.5 − 1.": _image(lambda x: x),
        "this scales to [0, 1]. Items and conditions are in [−1, 1]: / 127.5 − 1.": _image(lambda x: x / 255),
        "0 becomes −1, and 255 becomes 1: divide by 127.5. This divides by 128.": _image(lambda x: x / 128 - 1),
        "the nearest pixel makes blocks. The package interpolates linearly: mode='bilinear'.": _image(
            mode="nearest", corners=None
        ),
        "corners are aligned here, so that the pixels of the two grids lie shifted: align_corners=False keeps the "
        "centres of pixels where they are.": _image(corners=True),
        "this interpolation is bicubic, which goes beyond [−1, 1] at edges. Take mode='bilinear'.": _image(
            mode="bicubic"
        ),
        "the last channel says that the image is there: ones. Zeros are the sign of an absent one.": _image(
            ones=torch.zeros_like
        ),
        "the channel of ones is the last, not the first.": _after_the_ones,
    },
    atol=1e-4,
)


# -- the posterior of a measurement -----------------------------------------------------------------------------------


def _posterior(y: Tensor, operator: Tensor, mean: Tensor, covariance: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """By precisions: that of the prior and that of the measurement add up."""
    precision = covariance.inverse() + operator.T @ operator / sigma**2
    posterior = precision.inverse()
    return posterior @ (covariance.inverse() @ mean + operator.T @ y / sigma**2), posterior


def _posterior_results(function: Function) -> list[Tensor]:
    """Fewer measurements than values, as many, and one that is nearly exact."""
    results: list[Tensor] = []
    for seed, (values, measured, sigma) in enumerate([(4, 2, near(0.5)), (3, 3, near(2.0)), (5, 1, near(0.05))]):
        root = normal(values, values, seed=30 + seed)
        covariance = root @ root.T + torch.eye(values, dtype=torch.float64)
        case = normal(measured, seed=40 + seed), normal(measured, values, seed=50 + seed), normal(values, seed=seed)
        results += map(torch.as_tensor, function(*case, covariance, sigma))
    return results


def _update(
    noise: Callable[[float], float] = lambda sigma: sigma**2,
    residual: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda y, operator, mean: y - operator @ mean,
    prior: Callable[[Tensor], Tensor] = lambda mean: mean,
    spread: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda covariance, gain, operator: (
        covariance - gain @ operator @ covariance
    ),
) -> Function:
    """The update by the gain with another variance of the noise, difference, prior mean, or posterior covariance."""

    def function(y: Tensor, operator: Tensor, mean: Tensor, covariance: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        eye = torch.eye(len(y), dtype=y.dtype)
        gain = covariance @ operator.T @ (operator @ covariance @ operator.T + noise(sigma) * eye).inverse()
        return prior(mean) + gain @ residual(y, operator, mean), spread(covariance, gain, operator)

    return function


POSTERIOR = Exercise(
    name="posterior",
    task="Mean and covariance of a Gaussian x given y = A x + noise.",
    reference=_posterior,
    results=_posterior_results,
    mistakes={
        "sigma is a standard deviation: the variance of the noise is sigma².": _update(lambda sigma: sigma),
        "the noise is missing: the covariance of y is A Σ Aᵀ + sigma² I.": _update(lambda sigma: 0.0),
        "y is compared with 0. What is expected of it is A m.": _update(residual=lambda y, operator, mean: y),
        "the prior mean is missing: m + K (y − A m).": _update(prior=torch.zeros_like),
        "the difference has the wrong sign: y − A m.": _update(residual=lambda y, operator, mean: operator @ mean - y),
        "the covariance is still that of the prior. The measurement makes it smaller: Σ − K A Σ.": _update(
            spread=lambda covariance, gain, operator: covariance
        ),
        "a measurement makes the covariance smaller: Σ − K A Σ, not plus.": _update(
            spread=lambda covariance, gain, operator: covariance + gain @ operator @ covariance
        ),
        "this is K A Σ, by which the covariance becomes smaller. Subtract it from Σ.": _update(
            spread=lambda covariance, gain, operator: gain @ operator @ covariance
        ),
        "I − K A is the share of Σ that remains: multiply it by Σ.": _update(
            spread=lambda covariance, gain, operator: torch.eye(len(covariance)).double() - gain @ operator
        ),
        "the precision of the prior is missing in this one: 1/sigma² Aᵀ A knows nothing where A does not measure.": (
            lambda y, operator, mean, covariance, sigma: (
                _least_squares(y, operator),
                (operator.T @ operator / sigma**2).pinverse(),
            )
        ),
    },
    atol=1e-6,
    linear=Linear(
        "y, operator, mean, covariance, sigma", inputs="y, mean", at="sigma", parts="the mean, the covariance"
    ),
)


def _least_squares(y: Tensor, operator: Tensor) -> Tensor:
    return operator.pinverse() @ y


# -- guidance ---------------------------------------------------------------------------------------------------------


def _two_scales(none: Tensor, first: Tensor, both: Tensor, s_1: float, s_2: float) -> Tensor:
    return guided([both, first, none], [s_2, s_1])


def _scales_results(function: Function) -> list[Tensor]:
    estimates = [normal(3, 2, seed=seed) for seed in (60, 61, 62)]
    return [
        function(*estimates, *scales)
        for scales in ((1.0, near(3.0)), (near(2.0), near(4.0)), (near(1.5), 0.0), (0.0, near(2.0)), (2.0, 2.0))
    ]


TWO_SCALES = Exercise(
    name="two_scales",
    task="The guided estimate with a scale for each of two conditions.",
    reference=_two_scales,
    results=_scales_results,
    mistakes={
        "the second difference begins at the estimate without conditions. It is both − first: what the second "
        "condition adds to the first.": (
            lambda none, first, both, s_1, s_2: none + s_1 * (first - none) + s_2 * (both - none)
        ),
        "the scales are exchanged: s_1 belongs to the first condition.": (
            lambda none, first, both, s_1, s_2: none + s_2 * (first - none) + s_1 * (both - first)
        ),
        "this begins at the estimate with both, as if scale 0 were no guidance. Scale 1 is: begin at none.": (
            lambda none, first, both, s_1, s_2: both + s_1 * (first - none) + s_2 * (both - first)
        ),
        "the estimate without conditions is missing: begin with it.": (
            lambda none, first, both, s_1, s_2: s_1 * (first - none) + s_2 * (both - first)
        ),
        "the estimates are scaled, and not their differences.": (
            lambda none, first, both, s_1, s_2: none + s_1 * first + s_2 * both
        ),
        "a difference has the wrong sign: more conditions minus fewer.": (
            lambda none, first, both, s_1, s_2: none + s_1 * (none - first) + s_2 * (first - both)
        ),
        "the product of the scales: the scale of the second difference is s_2 alone.": (
            lambda none, first, both, s_1, s_2: none + s_1 * (first - none + s_2 * (both - first))
        ),
        "the scale of the first condition is not used.": (
            lambda none, first, both, s_1, s_2: first + s_2 * (both - first)
        ),
        "this is guidance for both together, with the scale of the second.": (
            lambda none, first, both, s_1, s_2: none + s_2 * (both - none)
        ),
    },
    atol=1e-8,
    linear=Linear("none, first, both, s_1, s_2", inputs="none, first, both", at="s_1, s_2"),
)


# -- scores -----------------------------------------------------------------------------------------------------------


def _score_results(function: Function) -> list[Tensor]:
    """Several dimensions, one dimension, and two members."""
    shapes = [(4, whole(5, 4, 6), 3), (3, 8, 1), (2, 2, 6)]
    return [
        function(normal(*shape, seed=70 + k), normal(shape[0], shape[2], seed=80 + k)) for k, shape in enumerate(shapes)
    ]


def _scored(
    pairs: Callable[[int], float] = lambda members: members * (members - 1),
    half: float = 0.5,
    root: Callable[[int], float] = math.sqrt,
    power: float = 1.0,
    root_between: Callable[[int], float] | None = None,
) -> Function:
    """The score with another number of pairs, factor, norms, or power of the distance."""

    def function(samples: Tensor, truth: Tensor) -> Tensor:
        size = root(samples.shape[2])
        to_truth = ((samples - truth[:, None]).norm(dim=2) / size) ** power
        size = root_between(samples.shape[2]) if root_between else size
        between = (torch.cdist(samples, samples, compute_mode="donot_use_mm_for_euclid_dist") / size) ** power
        score: Tensor = to_truth.mean(1) - half * between.sum((1, 2)) / pairs(samples.shape[1])
        return score

    return function


ENERGY_SCORE = Exercise(
    name="energy_score",
    task="The energy score of each ensemble.",
    reference=ensembles.energy_scores,
    results=_score_results,
    mistakes={
        "a pair of a member with itself has the distance 0, and makes the mean smaller. There are K (K − 1) pairs of "
        "different members: divide the sum by this number, not by K².": _scored(lambda members: members**2),
        "the second term is twice too large: half of the mean is subtracted, and K (K − 1) counts each pair in both "
        "orders.": _scored(half=1.0),
        "the second term is added. Spread is rewarded: subtract it.": _scored(half=-0.5),
        "the second term is missing: this is the mean distance, for which a single best guess is optimal.": _scored(
            half=0.0
        ),
        "the distance is the root mean square: divide the norm by √D.": _scored(root=lambda size: 1.0),
        "the distance is the root mean square: divide the norm by √D, not by D.": _scored(root=float),
        "both distances are root mean squares: divide that of two members, which cdist gives, by √D as well.": _scored(
            root_between=lambda size: 1.0
        ),
        "distances are squared here. Of squares the score depends on the mean of the ensemble alone.": _scored(
            power=2.0
        ),
    },
    atol=1e-9,
)


def _nominal_coverage(members: int, rank: int) -> float:
    """The share of the K + 1 places of the truth, all equally frequent, that lie in the interval."""
    return sum(rank <= place <= members - rank for place in range(members + 1)) / (members + 1)


NOMINAL_COVERAGE = Exercise(
    name="nominal_coverage",
    task="The exact coverage of the interval between two members of an ensemble.",
    reference=_nominal_coverage,
    results=lambda function: [
        function(*case)
        for case in (
            (whole(19, 15, 30), 1),
            (whole(8, 6, 12), 1),
            (8, whole(3, 2, 3)),
            (39, 2),
            (whole(100, 80, 120), 5),
            (2, 1),
        )
    ],
    mistakes={
        "the members are not all places: K members have K + 1 gaps, the outer ones included. Divide by K + 1.": (
            lambda members, rank: (members - 2 * rank + 1) / members
        ),
        "this counts 2 r of K: the share of members outside. The places of one more member are K + 1, and the interval "
        "has K + 1 − 2 r of them.": lambda members, rank: 1 - 2 * rank / members,
        "this is one gap too few: between the r-th from below and the r-th from above there are K + 1 − 2 r.": (
            lambda members, rank: (members - 2 * rank) / (members + 1)
        ),
        "one side is forgotten: r places lie below the interval, and r above it.": (
            lambda members, rank: 1 - rank / (members + 1)
        ),
        "this is the share of places outside of the interval.": lambda members, rank: 2 * rank / (members + 1),
        "with r = 1 the interval leaves one place at each side: r, not r − 1.": (
            lambda members, rank: 1 - 2 * (rank - 1) / (members + 1)
        ),
        "this is the expected distance of the members' ranks, with K − 1 gaps. The two outer gaps count as well.": (
            lambda members, rank: (members + 1 - 2 * rank) / (members - 1)
        ),
    },
    atol=1e-9,
)

EXERCISES = (
    BEST_ESTIMATE,
    SUBSET_SHARE,
    ENCODE_VECTOR,
    ENCODE_IMAGE,
    POSTERIOR,
    TWO_SCALES,
    ENERGY_SCORE,
    NOMINAL_COVERAGE,
)
"""The exercises, in the order of the lesson."""
