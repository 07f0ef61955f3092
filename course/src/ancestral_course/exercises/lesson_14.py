"""Exercises of lesson 14: replacement, second-order Tweedie, estimates given y, resampling, variations, slerp."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ancestral import operators, oracle, samplers, schedules
from ancestral_course.exercise import Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, whole

# -- replacement ------------------------------------------------------------------------------------------------------


def _replace_known(x_t: Tensor, y: Tensor, mask: Tensor, a: float, b: float, z: Tensor) -> Tensor:
    """By the package's operator, as `guidance.Replacement` does it."""
    operator, shape = operators.Mask(mask), x_t.shape[1:]
    return x_t + operator.pseudo_inverse(a * y + b * operator.apply(z) - operator.apply(x_t), shape)


def _replace_results(function: Function) -> list[Tensor]:
    """Images with a known half at three levels of noise."""
    mask = torch.zeros(4, 4, dtype=torch.float64)
    mask[:, :2] = 1
    mask[3, 3] = 1
    x_t, y, z = (normal(3, 1, 4, 4, seed=seed) for seed in range(3))
    return [function(x_t, mask * y, mask, a, b, z) for a, b in ((0.9, near(0.4)), (near(0.3), 0.95), (1.0, near(5.0)))]


REPLACE_KNOWN = Exercise(
    name="replace_known",
    task="x_t with its known pixels replaced by those of y at the same level of noise.",
    reference=_replace_known,
    results=_replace_results,
    mistakes={
        "the known pixels are clean here, and the network expects all pixels at the level of x_t: multiply y by a, and "
        "add noise.": lambda x_t, y, mask, a, b, z: mask * y + (1 - mask) * x_t,
        "y is multiplied by a here, but noise is missing: add b · z.": (
            lambda x_t, y, mask, a, b, z: mask * a * y + (1 - mask) * x_t
        ),
        "y is not multiplied by a: an item at this level is a · x_0 + b · z.": (
            lambda x_t, y, mask, a, b, z: mask * (y + b * z) + (1 - mask) * x_t
        ),
        "the noise is not multiplied by b: an item at this level is a · x_0 + b · z.": (
            lambda x_t, y, mask, a, b, z: mask * (a * y + z) + (1 - mask) * x_t
        ),
        "b is the standard deviation of the noise: multiply z by b, not by b².": (
            lambda x_t, y, mask, a, b, z: mask * (a * y + b**2 * z) + (1 - mask) * x_t
        ),
        "the mask is the other way round: it is 1 where a pixel is known.": (
            lambda x_t, y, mask, a, b, z: (1 - mask) * (a * y + b * z) + mask * x_t
        ),
        "the unknown pixels are 0 here. They stay those of x_t.": lambda x_t, y, mask, a, b, z: mask * (a * y + b * z),
        "all pixels are replaced. Those where the mask is 0 stay those of x_t.": (
            lambda x_t, y, mask, a, b, z: a * y + b * z
        ),
        "the known pixels of x_t are still there, beneath those of y: multiply x_t by 1 − mask.": (
            lambda x_t, y, mask, a, b, z: x_t + mask * (a * y + b * z)
        ),
    },
    linear=Linear("x_t, y, mask, a, b, z", inputs="x_t, y, z", at="a, b"),
)


# -- the covariance of x_0 given x_t ----------------------------------------------------------------------------------


def _covariance_given_x_t(denoise: Callable[[Tensor], Tensor], x_t: Tensor, a: float, b: float) -> Tensor:
    """By central differences, column by column."""
    h = 1e-4
    steps = h * torch.eye(len(x_t), dtype=x_t.dtype)
    columns = [(denoise(x_t + step) - denoise(x_t - step)).detach() / (2 * h) for step in steps]
    return b**2 / a * torch.stack(columns, 1)


def _covariance_results(function: Function) -> list[Tensor]:
    """A mixture of three components in three dimensions, at little and much noise."""
    schedule = schedules.cosine(100)
    stds = near(torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))
    mixture = oracle.Mixture(schedule, normal(3, 3, seed=1), stds)
    results = []
    for seed, t in enumerate((whole(15, 12, 25), whole(40, 30, 50), whole(75, 65, 80))):
        a, b = map(float, schedule.at(t))

        def denoise(x: Tensor, t: int = t) -> Tensor:
            return mixture.predict(x[None], t).x0[0]

        results.append(function(denoise, 0.7 * normal(3, seed=10 + seed), a, b))
    return results


def _scaled(factor: Callable[[float, float], float], change: Callable[[Tensor], Tensor] = lambda J: J) -> Function:
    """The Jacobian times another factor, or a part of it."""

    def function(denoise: Callable[[Tensor], Tensor], x_t: Tensor, a: float, b: float) -> Tensor:
        return factor(a, b) * change(_covariance_given_x_t(denoise, x_t, 1.0, 1.0))

    return function


COVARIANCE_GIVEN_X_T = Exercise(
    name="covariance_given_x_t",
    task="The covariance of x_0 given x_t, out of the denoiser alone.",
    reference=_covariance_given_x_t,
    results=_covariance_results,
    mistakes={
        "this is the derivative of x̂ itself. What factor of a and b makes the variance of the text out of the gain of "
        "the text?": _scaled(lambda a, b: 1.0),
        "divide by a: the gain a s² / (a² s² + b²) has a factor a that the variance has not.": _scaled(
            lambda a, b: b**2
        ),
        "divide by a once, not by a²: the gain has the factor a once.": _scaled(lambda a, b: b**2 / a**2),
        "b is not squared: the variance s² b² / (a² s² + b²) has b².": _scaled(lambda a, b: b / a),
        "this is the factor upside down: the variance is the gain times b² / a.": _scaled(lambda a, b: a / b**2),
        "the gain is divided by a, and b² is missing.": _scaled(lambda a, b: 1 / a),
        "multiply by b² and divide by a: this multiplies by both.": _scaled(lambda a, b: a * b**2),
        "these are the variances alone. The covariances of two elements are in the derivative as well: keep what is "
        "off the diagonal.": _scaled(lambda a, b: b**2 / a, lambda J: J.diagonal().diag()),
    },
    rtol=1e-3,
)


# -- the estimate given y ---------------------------------------------------------------------------------------------


def _estimate_given_y(
    estimate: Tensor, y: Tensor, operator: Tensor, sigma: float, inner: Tensor, outer: Tensor
) -> Tensor:
    """By a pseudo-inverse of the variance of y."""
    system = operator @ inner @ operator.T + sigma**2 * torch.eye(len(y), dtype=y.dtype)
    result: Tensor = estimate + outer @ operator.T @ torch.linalg.pinv(system) @ (y - operator @ estimate)
    return result


def _estimate_results(function: Function) -> list[Tensor]:
    """Fewer measurements than values, as many, and one; inner and outer covariances differ."""
    results = []
    for seed, (values, measured, sigma) in enumerate([(4, 2, near(0.5)), (3, 3, near(2.0)), (5, 1, near(0.1))]):
        roots = [normal(values, values, seed=20 + seed), normal(values, values, seed=30 + seed)]
        inner, outer = (root @ root.T for root in roots)
        case = normal(values, seed=seed), normal(measured, seed=40 + seed), normal(measured, values, seed=50 + seed)
        results.append(function(*case, sigma, inner, outer))
    return results


def _corrected(
    noise: Callable[[float], float] = lambda sigma: sigma**2,
    residual: Callable[[Tensor, Tensor], Tensor] = lambda y, made: y - made,
    start: float = 1.0,
    pick: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda inner, outer: (inner, outer),
    solve: bool = True,
) -> Function:
    """The estimate with another noise, difference, or place of the covariances."""

    def function(x: Tensor, y: Tensor, operator: Tensor, sigma: float, inner: Tensor, outer: Tensor) -> Tensor:
        inner, outer = pick(inner, outer)
        system = operator @ inner @ operator.T + noise(sigma) * torch.eye(len(y), dtype=y.dtype)
        gain = outer @ operator.T @ (torch.linalg.pinv(system) if solve else system)
        return start * x + gain @ residual(y, operator @ x)

    return function


ESTIMATE_GIVEN_Y = Exercise(
    name="estimate_given_y",
    task="The estimate of x_0 given a measurement, by a covariance inside of the inverse and one outside.",
    reference=_estimate_given_y,
    results=_estimate_results,
    mistakes={
        "the two covariances are exchanged: `inner` is in the variance of y, which is inverted.": _corrected(
            pick=lambda inner, outer: (outer, inner)
        ),
        "`inner` is in both places. The first factor, the covariance of x_0 and y, has `outer`.": _corrected(
            pick=lambda inner, outer: (inner, inner)
        ),
        "`outer` is in both places. The variance of y, which is inverted, has `inner`.": _corrected(
            pick=lambda inner, outer: (outer, outer)
        ),
        "`outer` is missing: the covariance of x_0 and y is outer · Aᵀ.": _corrected(
            pick=lambda inner, outer: (inner, torch.eye(len(outer), dtype=outer.dtype))
        ),
        "`inner` is missing: the variance of y is A · inner · Aᵀ + σ² 1.": _corrected(
            pick=lambda inner, outer: (torch.eye(len(outer), dtype=outer.dtype), outer)
        ),
        "the variance of the noise is sigma², not sigma.": _corrected(noise=lambda sigma: sigma),
        "the noise is missing: the variance of y has sigma² on its diagonal, too.": _corrected(noise=lambda sigma: 0.0),
        "y is compared with 0. What the estimate says of y is A x̂: take the difference.": _corrected(
            residual=lambda y, made: y
        ),
        "the sign is the other way round: the estimate moves towards y, by y − A x̂.": _corrected(
            residual=lambda y, made: made - y
        ),
        "this is the correction alone. It is added to the estimate.": _corrected(start=0.0),
        "the variance of y is multiplied, not inverted: the gain is Cov(x_0, y) / Var(y).": _corrected(solve=False),
    },
    linear=Linear("estimate, y, operator, sigma, inner, outer", inputs="estimate, y", at="sigma"),
)


# -- systematic resampling --------------------------------------------------------------------------------------------


def _systematic(weights: Tensor, u: float) -> Tensor:
    """One after another: the tooth (k + u)/K belongs to the particle whose part of the line it lies on."""
    ends, total = [], 0.0
    for weight in weights.tolist():
        total += weight
        ends.append(total)
    teeth = [(k + u) / len(weights) for k in range(len(weights))]
    return torch.tensor([sum(end <= tooth for end in ends[:-1]) for tooth in teeth])


def _systematic_results(function: Function) -> list[Tensor]:
    """How often each particle is taken: for single numbers u, and on average over many."""

    def counts(weights: Tensor, u: float) -> Tensor:
        chosen = torch.as_tensor(function(weights, u)).long().reshape(-1)
        return torch.bincount(chosen, minlength=len(weights)).double()

    results = []
    for seed, size in enumerate((4, 6, 9)):
        weights = (1.5 * normal(size, seed=60 + seed)).softmax(0)
        results += [counts(weights, u) for u in (near(0.07), near(0.48), 0.93)]
        results.append(torch.stack([counts(weights, (i + 0.5) / 200) for i in range(200)]).mean(0))
    return results


def _teeth(
    place: Callable[[Tensor, float, int], Tensor], line: Callable[[Tensor], Tensor] = lambda w: w.cumsum(0)
) -> Function:
    """Resampling with teeth at other places, or along another line."""

    def function(weights: Tensor, u: float) -> Tensor:
        K = len(weights)
        teeth = place(torch.arange(K, dtype=weights.dtype), u, K)
        return torch.searchsorted(line(weights), teeth, right=True).clamp(0, K - 1)

    return function


def _comb(k: Tensor, u: float, K: int) -> Tensor:
    return (k + u) / K


def _next(weights: Tensor, u: float) -> Tensor:
    return (_systematic(weights, u) + 1).clamp(max=len(weights) - 1)


def _rounded(weights: Tensor, u: float) -> Tensor:
    return torch.arange(len(weights)).repeat_interleave((len(weights) * weights).round().long())


def _edges(function: Function) -> str:
    """What to say of resampling that is wrong where a tooth stands between two particles, at u = 0, or ""."""
    for weights in ([0.5, 0.5], [0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0.125, 0.125], [0.0, 0.5, 0.5, 0.0]):
        line = torch.tensor(weights, dtype=torch.float64)
        found, right = (torch.as_tensor(one(line, 0.0)).flatten().tolist() for one in (function, _systematic))
        if sorted(found) != sorted(right):
            return (
                f"right, but not at u = 0: of the weights {weights} it takes {found}, not {right}. A tooth that stands "
                "where one part ends and the next begins belongs to the next: searchsorted with right=True"
            )
    return ""


SYSTEMATIC = Exercise(
    name="systematic",
    task="Systematic resampling: which particles are copied, by one random number.",
    reference=_systematic,
    results=_systematic_results,
    mistakes={
        "nothing is resampled: each particle is taken once, whatever its weight.": (
            lambda weights, u: torch.arange(len(weights))
        ),
        "the teeth go beyond 1, the length of the line: divide by K, (k + u) / K.": _teeth(lambda k, u, K: k + u),
        "u is not used: each number of copies is then fixed, and its mean is not K times the weight.": _teeth(
            lambda k, u, K: k / K
        ),
        "u is not used. Teeth in the middle of their parts are not random, so the mean number of copies is not K times "
        "the weight.": _teeth(lambda k, u, K: (k + 0.5) / K),
        "u shifts the comb by up to 1 here, so that many teeth lie beyond the line. They are 1 / K apart, "
        "and the shift is u / K.": _teeth(lambda k, u, K: k / K + u),
        "this comb is shifted by u and what lies beyond 1 is put back to the front. The means are right, but the task "
        "has the teeth (k + u) / K.": _teeth(lambda k, u, K: (k / K + u) % 1),
        "all K teeth lie at the same place: tooth k is at (k + u) / K.": _teeth(lambda k, u, K: 0 * k + u),
        "the teeth are compared with the weights. The parts of the line end at their cumulative sums.": _teeth(
            _comb, lambda weights: weights
        ),
        "each result is one particle too far: tooth 0 belongs to particle 0 if it lies below the first weight.": _next,
        "all are copies of the heaviest particle. A particle of weight w has K w copies on average.": (
            lambda weights, u: weights.argmax().expand(len(weights))
        ),
        "numbers of copies that are rounded are not K in sum, and a light particle has none ever.": (_rounded),
    },
    atol=1e-9,
    demand=_edges,
)


# -- variations -------------------------------------------------------------------------------------------------------


def _varied(x_0: Tensor, strength: float, signal: Tensor, noise: Tensor, eps: Tensor) -> Tensor:
    """By the package's time at a strength and its forward process."""
    schedule = schedules.Schedule(signal, noise)
    return schedule.add_noise(x_0, samplers.time_at_strength(schedule, strength), eps)


def _varied_results(function: Function) -> list[Tensor]:
    """Strengths whose times are rounded up or down, the largest, and one so small that no time would be left."""
    schedule = schedules.cosine(50)
    signal, noise = schedule.signal.double(), schedule.noise.double()
    strengths = [(whole(t, t - 3, t + 3) + part) / 50 for t, part in ((16, 0.75), (41, 0.85), (6, 0.25))]
    x_0, eps = normal(2, 1, 3, 3, seed=70), normal(2, 1, 3, 3, seed=71)
    return [function(x_0, strength, signal, noise, eps) for strength in (*strengths, 1.0, 0.002)]


def _noised(
    time: Callable[[float, int], int] = lambda strength, T: max(1, round(strength * T)),
    mix: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = lambda x, eps, a, b: a * x + b * eps,
) -> Function:
    """Noise of another time, or mixed in another way."""

    def function(x_0: Tensor, strength: float, signal: Tensor, noise: Tensor, eps: Tensor) -> Tensor:
        t = time(strength, len(signal) - 1)
        return mix(x_0, eps, signal[t], noise[t])

    return function


VARIED = Exercise(
    name="varied",
    task="An item with the noise of the time at which its variation begins.",
    reference=_varied,
    results=_varied_results,
    mistakes={
        "the time is not at least 1: a small strength gives time 0 here, and nothing would be varied.": _noised(
            lambda strength, T: round(strength * T)
        ),
        "the tables hold T + 1 times, from 0 to T: the last time is len(signal) − 1.": _noised(
            lambda strength, T: min(T, max(1, round(strength * (T + 1))))
        ),
        "the share is rounded down. Round it to the nearest time.": _noised(
            lambda strength, T: max(1, int(strength * T))
        ),
        "the share is rounded up. Round it to the nearest time.": _noised(
            lambda strength, T: max(1, math.ceil(strength * T))
        ),
        "a large strength is much noise, so a late time: strength · T, not (1 − strength) · T.": _noised(
            lambda strength, T: max(1, round((1 - strength) * T))
        ),
        "the item is not multiplied by the signal of that time.": _noised(mix=lambda x, eps, a, b: x + b * eps),
        "the noise is not multiplied by its deviation at that time.": _noised(mix=lambda x, eps, a, b: a * x + eps),
        "the factors are exchanged: the signal belongs to the item, and the noise to eps.": _noised(
            mix=lambda x, eps, a, b: b * x + a * eps
        ),
        "the table holds standard deviations: it is not rooted or squared.": _noised(
            mix=lambda x, eps, a, b: a * x + b**2 * eps
        ),
        "this is noise alone. The item is what is varied.": _noised(mix=lambda x, eps, a, b: b * eps),
        "strength is a share of the time, not of the mixture: look signal and noise up at the time strength · T.": (
            lambda x_0, strength, signal, noise, eps: (1 - strength) * x_0 + strength * eps
        ),
    },
    atol=1e-9,
    linear=Linear("x_0, strength, signal, noise, eps", inputs="x_0, eps", at="strength"),
)


# -- spherical interpolation ------------------------------------------------------------------------------------------


def _slerp(x: Tensor, y: Tensor, weight: float) -> Tensor:
    return samplers.slerp(x, y, weight)


def _slerp_results(function: Function) -> list[Tensor]:
    """Vectors of noise, in few dimensions too, where angles are far from right ones; the middle, and both ends."""
    cases = [(normal(3, size, seed=80 + size), normal(3, size, seed=90 + size)) for size in (3, 40)]
    return [function(x, y, weight) for x, y in cases for weight in (near(0.25), near(0.7), 0.0, 1.0)]


def _angle(x: Tensor, y: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(x, y, dim=1)[:, None].acos()


def _arc(
    angle: Callable[[Tensor, Tensor], Tensor] = _angle,
    factors: Callable[[Tensor, float], tuple[Tensor, Tensor]] = lambda angle, w: (
        ((1 - w) * angle).sin() / angle.sin(),
        (w * angle).sin() / angle.sin(),
    ),
    change: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda between, x, y: between,
) -> Function:
    """The arc with another angle, other factors, or a changed result."""

    def function(x: Tensor, y: Tensor, weight: float) -> Tensor:
        of_x, of_y = factors(angle(x, y), weight)
        return change(of_x * x + of_y * y, x, y)

    return function


def _lengths(between: Tensor, x: Tensor, y: Tensor) -> Tensor:
    result: Tensor = between / between.norm(dim=1, keepdim=True)
    return result


SLERP = Exercise(
    name="slerp",
    task="Spherical interpolation of two vectors of noise.",
    reference=_slerp,
    results=_slerp_results,
    mistakes={
        "this is the straight line, which is shorter than noise in its middle. Take the arc: sines of parts of the "
        "angle.": lambda x, y, weight: torch.lerp(x, y, weight),
        "the weight is the other way round: 0 is x, and 1 is y.": (lambda x, y, weight: _slerp(y, x, weight)),
        "this is the straight line brought to another length. Its points are not evenly spaced in the angle.": (
            lambda x, y, weight: _lengths(torch.lerp(x, y, weight), x, y) * x.norm(dim=1, keepdim=True)
        ),
        "each pair of vectors has an angle of its own. This takes one for the whole batch.": _arc(
            lambda x, y: torch.nn.functional.cosine_similarity(x.flatten(), y.flatten(), dim=0).acos()
        ),
        "the cosine is x · y divided by both lengths. Without them the angle is wrong, or none.": _arc(
            lambda x, y: (x * y).sum(1, keepdim=True).clamp(-1, 1).acos()
        ),
        "the division by the sine of the whole angle is missing.": _arc(
            factors=lambda angle, w: (((1 - w) * angle).sin(), (w * angle).sin())
        ),
        "the result has length 1. Noise has a length of about √D: combine x and y themselves.": _arc(change=_lengths),
        "this takes a quarter of a circle for every pair. In few dimensions the angle of x and y is another.": _arc(
            lambda x, y: torch.full_like(x[:, :1], torch.pi / 2)
        ),
        "these are the square roots of the weights, which are right for vectors at a right angle in the ends and the "
        "middle alone.": lambda x, y, weight: (1 - weight) ** 0.5 * x + weight**0.5 * y,
        "these are cosines. In a triangle the sides are as the sines of the angles opposite to them.": _arc(
            factors=lambda angle, w: (((1 - w) * angle).cos(), (w * angle).cos())
        ),
    },
    atol=1e-7,
)

EXERCISES = (REPLACE_KNOWN, ESTIMATE_GIVEN_Y, COVARIANCE_GIVEN_X_T, SYSTEMATIC, VARIED, SLERP)
"""The exercises, in the order of the lesson."""
