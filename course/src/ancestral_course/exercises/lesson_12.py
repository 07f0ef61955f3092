"""Exercises of lesson 12, larger images: costs of a block, patch and levels, spectrum, exact denoiser, loss floor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral import oracle
from ancestral.schedules import Schedule
from ancestral_course.exercise import Exercise, Function
from ancestral_course.variants import near, normal, whole

Costs = tuple[int, int, int]


# -- multiply-adds ----------------------------------------------------------------------------------------------------


def _costs(taps: int = 9, layers: int = 2, dense: int = 4, products: int = 2, factor: int = 1) -> Function:
    """The costs with numbers of taps, convolutions, dense layers and products of matrices."""

    def function(side: int, width: int) -> Costs:
        n = side**2
        return factor * layers * taps * width**2 * n, factor * dense * width**2 * n, factor * products * n**2 * width

    return function


def _side_for_positions(side: int, width: int) -> Costs:
    return 18 * width**2 * side, 4 * width**2 * side, 2 * side**2 * width


def _linear_products(side: int, width: int) -> Costs:
    return 18 * width**2 * side**2, 4 * width**2 * side**2, 2 * side**2 * width


def _width_squared_products(side: int, width: int) -> Costs:
    return 18 * width**2 * side**2, 4 * width**2 * side**2, 2 * side**4 * width**2


BLOCK_COSTS = Exercise(
    name="block_costs",
    task="Multiply-adds of two convolutions, four dense layers, and the two matrix products of self-attention.",
    reference=_costs(),
    results=lambda function: [
        part
        for side, width in ((8, whole(5, 4, 9)), (whole(16, 10, 20), 128), (256, 3))
        for part in map(torch.as_tensor, function(side, width))
    ],
    mistakes={
        "a block has two convolutions, and this is the cost of one.": _costs(layers=1),
        "a kernel of 3 × 3 has 9 taps, not 3.": _costs(taps=3),
        "the output is a dense layer, too: with queries, keys and values there are four.": _costs(dense=3),
        "this is the cost of one dense layer. There are four: for queries, keys, values and the output.": _costs(
            dense=1
        ),
        "there are two matrix products: the logits, and the weighted sum of the values.": _costs(products=1),
        "the number of positions is n = side², not side.": _side_for_positions,
        "the matrix products compare every position with every other one: n² pairs, with n = side².": _linear_products,
        "a pair of positions costs one product for each feature: n² · width, not n² · width².": _width_squared_products,
        "these are operations, two for each multiply-add. Count multiply-adds.": _costs(factor=2),
    },
    atol=0.5,
)


# -- patch and levels -------------------------------------------------------------------------------------------------


def _plan(side: int, first: int, last: int) -> Costs:
    patch = next(patch for patch in (1, 2, 4, 8, 16) if -(-side // patch) <= first or patch == 16)
    levels = 1
    while -(-side // (patch << (levels - 1))) > last:
        levels += 1
    return patch, levels, -(-side // (patch << (levels - 1)))


def _plan_results(function: Function) -> list[Any]:
    """Sizes from one position to more than 16 patches of `first`, and some that are no multiple of the patch."""
    cases = [(64, 32, 8), (128, 32, 8), (32, 32, 8), (256, 256, 8), (65, 32, 8), (48, 32, 8), (6, 32, 8), (100, 64, 4)]
    cases = [(whole(side, side, side + 9) if side % first else side, first, last) for side, first, last in cases]
    return [number for case in [*cases, (1024, 32, 8)] for number in map(torch.as_tensor, function(*case))]


def _planned(grow: Callable[[int, int, int], bool], halve: Callable[[int, int, int, int], bool]) -> Function:
    """The plan with other conditions for a larger patch and for one more level."""

    def function(side: int, first: int, last: int) -> Costs:
        patch = levels = 1
        while grow(side, patch, first):
            patch *= 2
        while halve(side, patch, levels, last):
            levels += 1
        return patch, levels, -(-side // (patch << (levels - 1)))

    return function


def _grow(side: int, patch: int, first: int) -> bool:
    return patch < 16 and -(-side // patch) > first


def _halve(side: int, patch: int, levels: int, last: int) -> bool:
    return -(-side // (patch << (levels - 1))) > last


def _halvings(side: int, first: int, last: int) -> Costs:
    patch, levels, lowest = _plan(side, first, last)
    return patch, levels - 1, lowest


def _first_side(side: int, first: int, last: int) -> Costs:
    patch, levels, _ = _plan(side, first, last)
    return patch, levels, -(-side // patch)


def _exact_ratio(side: int, first: int, last: int) -> Costs:
    patch = min(16, max(1, -(-side // first)))
    levels = 1
    while _halve(side, patch, levels, last):
        levels += 1
    return patch, levels, -(-side // (patch << (levels - 1)))


def _rounded_down(side: int, first: int, last: int) -> Costs:
    patch = levels = 1
    while patch < 16 and side // patch > first:
        patch *= 2
    while side // (patch << (levels - 1)) > last:
        levels += 1
    return patch, levels, side // (patch << (levels - 1))


PLAN = Exercise(
    name="plan",
    task="Patch, number of levels, and side of the lowest level of a network for images of a size.",
    reference=_plan,
    results=_plan_results,
    mistakes={
        "the second number is that of the levels, and this is the number of halvings, one less.": _halvings,
        "the third number is the side at the lowest level, and this is that of the first.": _first_side,
        "the patch is at most 16, whatever the size.": _planned(
            lambda side, patch, first: -(-side // patch) > first, _halve
        ),
        "the patch is the smallest that suffices: a side of exactly `first` positions is not folded more.": _planned(
            lambda side, patch, first: patch < 16 and -(-side // patch) >= first, _halve
        ),
        "the levels end as soon as the side is at most `last`: there is none below.": _planned(
            _grow,
            lambda side, patch, levels, last: (
                -(-side // (patch << (levels - 1))) >= last and side // patch >= 1 << levels
            ),
        ),
        "the levels halve what the patch has left, side / patch, not the side itself.": _planned(
            _grow, lambda side, patch, levels, last: -(-side // (1 << (levels - 1))) > last
        ),
        "patches are powers of 2: 1, 2, 4, 8 or 16.": _exact_ratio,
        "a side that is no multiple of the patch is padded, so the number of positions is rounded up.": _rounded_down,
    },
    atol=0.1,
)


# -- spectrum ---------------------------------------------------------------------------------------------------------


def _radius(side: int) -> Tensor:
    """The distance (side, side) of each frequency from 0, in cycles per image."""
    k = torch.arange(side, dtype=torch.float64)
    k = torch.minimum(k, side - k)
    return torch.hypot(k[:, None], k)


def _bands(power: Tensor, radius: Tensor) -> Tensor:
    """The mean power (side / 2 + 1,) of the frequencies whose radius rounds to 0, 1, ..."""
    band = radius.round().long().flatten()
    mean = power.flatten(0, 1).mean(0).flatten()
    count = len(power[0, 0]) // 2 + 1
    total = torch.zeros(int(band.max()) + 1, dtype=torch.float64).index_add(0, band, mean)
    return (total / torch.bincount(band))[:count]


def _power(images: Tensor) -> Tensor:
    power: Tensor = torch.fft.fft2(images, norm="ortho").abs() ** 2
    return power


def _band_power(images: Tensor) -> Tensor:
    return _bands(_power(images), _radius(images.shape[-1]))


def _spectrum(power: Callable[[Tensor], Tensor], radius: Callable[[int], Tensor] = _radius) -> Function:
    """The band power with another power of each frequency, or another radius."""
    return lambda images: _bands(power(images), radius(images.shape[-1]))


def _summed(images: Tensor) -> Tensor:
    side = images.shape[-1]
    counts = torch.bincount(_radius(side).round().long().flatten())[: side // 2 + 1]
    return _band_power(images) * counts


def _positive_radius(side: int) -> Tensor:
    k = torch.arange(side, dtype=torch.float64)
    return torch.hypot(k[:, None], k)


def _larger_frequency(side: int) -> Tensor:
    k = torch.arange(side, dtype=torch.float64)
    k = torch.minimum(k, side - k)
    return torch.maximum(k[:, None], k)


BAND_POWER = Exercise(
    name="band_power",
    task="The mean power of the frequencies at a distance of k = 0, 1, ... cycles per image.",
    reference=_band_power,
    results=lambda function: [
        function(normal(2, 3, 8, 8, seed=0) + near(0.5)),
        function(normal(1, 1, 12, 12, seed=1)),
        function(torch.cos(torch.arange(16, dtype=torch.float64) * torch.pi / 4).expand(1, 1, 16, 16)),
    ],
    mistakes={
        "the transform is not orthonormal, so the power of noise would grow with the size of the image: give "
        'norm="ortho".': _spectrum(lambda images: torch.fft.fft2(images).abs() ** 2),
        'norm="forward" divides by the number of pixels. The orthonormal transform is norm="ortho".': _spectrum(
            lambda images: torch.fft.fft2(images, norm="forward").abs() ** 2
        ),
        "this is the mean of the amplitudes. The power is their square.": _spectrum(
            lambda images: _power(images).sqrt()
        ),
        "the squares are of the real part alone. The power of a complex number is abs()²: both parts count.": _spectrum(
            lambda images: torch.fft.fft2(images, norm="ortho").real ** 2
        ),
        "this is the sum over a band. Bands of high frequencies have more members: take their mean.": _summed,
        "the second half of the frequencies are the negative ones: index N − 1 is −1 cycles per image, as "
        "torch.fft.fftfreq says.": _spectrum(_power, _positive_radius),
        "the distance from 0 is √(f_y² + f_x²), not the larger of the two.": _spectrum(_power, _larger_frequency),
        "round the distance to the nearest whole number; this rounds down.": _spectrum(
            _power, lambda side: _radius(side).floor()
        ),
        "the images are averaged before the transform. Their structures cancel: average the powers.": _spectrum(
            lambda images: _power(images.mean((0, 1), keepdim=True))
        ),
    },
    atol=1e-9,
)


# -- exact denoiser ---------------------------------------------------------------------------------------------------


def _hartley(x: Tensor) -> Tensor:
    """An orthonormal transform to waves with real coefficients, and its own inverse."""
    waves: Tensor = torch.fft.fft2(x, norm="ortho")
    return waves.real - waves.imag


def _wiener(x_t: Tensor, power: Tensor, a: float, b: float) -> Tensor:
    """By the package's exact denoiser of independent Gaussian elements: the coefficients of the waves."""
    signal, noise = (torch.tensor(pair, dtype=torch.float64) for pair in ((1.0, a), (0.0, b)))
    schedule = Schedule(signal, noise)
    return _hartley(oracle.Gaussian(schedule, 0.0, power.sqrt()).predict(_hartley(x_t), 1).x0)


def _filtered(gain: Callable[[Tensor, float, float], Tensor]) -> Function:
    """The image with another gain of each frequency, a function of (power, a, b)."""
    return lambda x_t, power, a, b: torch.fft.ifft2(gain(power, a, b) * torch.fft.fft2(x_t)).real


def _wiener_results(function: Function) -> list[Tensor]:
    """Fields with the spectrum of photographs and with one that depends on the direction, at little and much noise."""
    found = []
    for seed, (side, a, b) in enumerate([(8, 0.9, near(0.4)), (6, near(0.3), 0.95), (8, 1.0, near(5.0))]):
        k = torch.fft.fftfreq(side, 1 / side, dtype=torch.float64)
        power = near(30.0) / (1 + k[:, None] ** 2 + (seed + 1) * k**2) ** (1 + 0.2 * seed)
        found.append(function(normal(2, 1, side, side, seed=seed), power, a, b))
    return found


def _eps(x_t: Tensor, power: Tensor, a: float, b: float) -> Tensor:
    return (x_t - a * _wiener(x_t, power, a, b)) / b


def _once(x_t: Tensor, power: Tensor, a: float, b: float) -> Tensor:
    waves: Tensor = torch.fft.fft2(a * power / (a**2 * power + b**2) * torch.fft.fft2(x_t))
    return waves.real


def _in_space(x_t: Tensor, power: Tensor, a: float, b: float) -> Tensor:
    return a * power / (a**2 * power + b**2) * x_t


WIENER = Exercise(
    name="wiener",
    task="E[x_0 | x_t] of Gaussian images with a given power spectrum.",
    reference=_wiener,
    results=_wiener_results,
    mistakes={
        "this is E[a x_0 | x_t]: the numerator has a², and that of E[x_0 | x_t] has a.": _filtered(
            lambda power, a, b: a**2 * power / (a**2 * power + b**2)
        ),
        "a is missing in the numerator: the covariance of x_0 and x_t is a P.": _filtered(
            lambda power, a, b: power / (a**2 * power + b**2)
        ),
        "the power is the variance of a frequency already: do not square it.": _filtered(
            lambda power, a, b: a * power**2 / (a**2 * power**2 + b**2)
        ),
        "b is not squared: the variance of x_t is a² P + b².": _filtered(
            lambda power, a, b: a * power / (a**2 * power + b)
        ),
        "a is not squared in the variance of x_t, which is a² P + b².": _filtered(
            lambda power, a, b: a * power / (a * power + b**2)
        ),
        "this is the gain for the noise, b²/(a² P + b²), of x_t. The image has a P/(a² P + b²).": _filtered(
            lambda power, a, b: b**2 / (a**2 * power + b**2)
        ),
        "this is E[ε | x_t]. The exercise asks for E[x_0 | x_t].": _eps,
        "this is x_t / a, as if there were no noise.": _filtered(lambda power, a, b: torch.ones_like(power) / a),
        "the inverse is ifft2, not fft2 once more.": _once,
        "the gain belongs to the frequencies. It is multiplied with the pixels here: transform x_t first.": _in_space,
    },
    atol=1e-7,
)


# -- floor of the loss ------------------------------------------------------------------------------------------------


def _loss_floor(variances: Tensor, p: float, q: float, width: int) -> Tensor:
    target = p**2 * variances + q**2
    largest = target.topk(min(width, len(target))).values
    return (target.sum() - largest.sum()).clamp(min=0) / len(target)


def _floor_results(function: Function) -> list[Any]:
    """Data in few and in all directions, in any order, for ε, x_0, v and a mixture, with narrow and wide networks."""
    few = near(torch.tensor([0.0, 3.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64))
    many = normal(12, seed=3).square()
    cases = [
        (few, 0.0, 1.0, 3),
        (few, 1.0, 0.0, 2),
        (many, near(-0.6), 0.8, whole(5, 3, 8)),
        (many, near(2.0), near(0.5), 12),
        (many, 1.0, 0.0, 0),
    ]
    return [torch.as_tensor(function(*case)).double() for case in [*cases, (many, 0.5, 1.0, 20)]]


def _tail(
    order: Callable[[Tensor], Tensor], target: Callable[[Tensor, float, float], Tensor], mean: bool = False
) -> Function:
    """The floor with another order of the directions, and other variances of the target."""

    def function(variances: Tensor, p: float, q: float, width: int) -> Tensor:
        left = order(target(variances, p, q))[width:]
        return left.sum() / (max(1, len(left)) if mean else len(variances))

    return function


def _descending(x: Tensor) -> Tensor:
    return x.sort(descending=True).values


def _variance(variances: Tensor, p: float, q: float) -> Tensor:
    return p**2 * variances + q**2


def _kept(variances: Tensor, p: float, q: float, width: int) -> Tensor:
    return _variance(variances, p, q).sum() / len(variances) - _loss_floor(variances, p, q, width)


LOSS_FLOOR = Exercise(
    name="loss_floor",
    task="The smallest possible mean squared error of a network whose last layer has `width` inputs.",
    reference=_loss_floor,
    results=_floor_results,
    mistakes={
        "this is what the layer can represent. The floor is what it cannot: the other directions.": _kept,
        "the layer takes the directions with the largest variance. Sort them, largest first.": _tail(
            lambda x: x, _variance
        ),
        "sorted from the smallest: the layer would take the directions that matter least.": _tail(
            lambda x: x.sort().values, _variance
        ),
        "this is the sum over all directions. The loss is a mean over the D elements: divide by D.": (
            lambda variances, p, q, width: _loss_floor(variances, p, q, width) * len(variances)
        ),
        "the mean is over all D elements, not over the directions that are left.": _tail(
            _descending, _variance, mean=True
        ),
        "p and q are factors of x_0 and ε, so the variance has p² and q².": _tail(
            _descending, lambda variances, p, q: p * variances + q
        ),
        "noise has a variance, too: q² in every direction.": _tail(
            _descending, lambda variances, p, q: p**2 * variances
        ),
        "this is the floor for the data. The target is p x_0 + q ε, with the variance p² λ + q².": _tail(
            _descending, lambda variances, p, q: variances
        ),
    },
    atol=1e-7,
)

EXERCISES = (BLOCK_COSTS, PLAN, BAND_POWER, WIENER, LOSS_FLOOR)
"""The exercises, in the order of the lesson."""
