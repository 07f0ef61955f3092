"""Lesson 8, likelihood: units, the decoder of 8-bit pixels, the rate of a step, and the flow's change of density."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral import schedules
from ancestral.gaussian import DiagonalGaussian, normal_tail
from ancestral.measure.bound_terms import bits_from_nats
from ancestral.reverse import step_bits
from ancestral.schedules import Schedule
from ancestral.targets import Prediction
from ancestral_course.exercise import Exercise, Function
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, whole

LEVEL = 2 / 255
"""The distance of two grey levels of an 8-bit image in [−1, 1]."""
Velocity = Callable[[Tensor], Tensor]


# -- bits per dimension -----------------------------------------------------------------------------------------------


def _bits_per_dim(log_density: Tensor, dims: int) -> Tensor:
    return bits_from_nats(-log_density, dims, LEVEL)


def _bits_results(function: Function) -> list[Any]:
    nats = near(torch.tensor([-1.5, 0.0, 7.25], dtype=torch.float64))
    return [function(nats, 1), function(500 * nats, whole(196, 100, 400)), function((2000 * nats).float(), 3072)]


BITS_PER_DIM = Exercise(
    name="bits_per_dim",
    task="Bits per dimension of 8-bit images from their log density in nats.",
    reference=_bits_per_dim,
    results=_bits_results,
    mistakes={
        "the scaling is missing: a grey level is 1/127.5 wide, so its probability is the density divided by 127.5, "
        "which costs log2(127.5) = 6.99 more bits.": lambda nats, dims: -nats / (dims * math.log(2)),
        "the scaling is subtracted. A bin is narrower than 1, so its probability is less than the density, and less "
        "probability is more bits.": lambda nats, dims: -nats / (dims * math.log(2)) - math.log2(127.5),
        "the log density is still in nats: 1 nat is 1/ln 2 = 1.44 bits.": lambda nats, dims: (
            -nats / dims + math.log2(127.5)
        ),
        "you multiply by ln 2. A nat is more than a bit, so the number of bits is the larger one: divide by "
        "ln 2.": lambda nats, dims: -nats / dims * math.log(2) + math.log2(127.5),
        "the scaling is in nats: add log2(127.5), not ln(127.5), to a number of bits.": lambda nats, dims: (
            -nats / (dims * math.log(2)) + math.log(127.5)
        ),
        "the sign: a larger density is a shorter code, so bits are the negative logarithm.": lambda nats, dims: (
            nats / (dims * math.log(2)) + math.log2(127.5)
        ),
        "this is bits per image: divide the bits of the density by the number of dimensions.": lambda nats, dims: (
            -nats / math.log(2) + math.log2(127.5)
        ),
        "every dimension is scaled: log2(127.5) is there for each of them, so per dimension it is not "
        "divided.": lambda nats, dims: (-nats / math.log(2) + math.log2(127.5)) / dims,
        "log2(256) = 8 is the cost of a uniform guess. The scaling from 0..255 to [−1, 1] divides by 127.5, so add "
        "log2(127.5).": lambda nats, dims: -nats / (dims * math.log(2)) + 8,
    },
    atol=1e-6,
    linear=Linear("log_density, dims", inputs="log_density", at="dims"),
)


# -- the mass of a bin ------------------------------------------------------------------------------------------------


def _bin_mass(x: Tensor, mean: Tensor, std: float) -> Tensor:
    return DiagonalGaussian(mean, std**2).log_bins(x, LEVEL / 2, 1 - LEVEL / 4).exp()


def _cdf(u: Tensor) -> Tensor:
    return 1 - normal_tail(u)


def _bins(half: float = LEVEL / 2, low: bool = True, high: bool = True) -> Function:
    """The mass of bins of another width, or without the bins at one of the edges."""

    def function(x: Tensor, mean: Tensor, std: float) -> Tensor:
        upper, lower = _cdf((x + half - mean) / std), _cdf((x - half - mean) / std)
        upper = torch.where(x > 1 - LEVEL / 4, torch.ones_like(upper), upper) if high else upper
        lower = torch.where(x < LEVEL / 4 - 1, torch.zeros_like(lower), lower) if low else lower
        return upper - lower

    return function


def _edges(lower_at_1: bool = False) -> Function:
    """Bins at the edges that extend to the inner side, or have the probability 1."""

    def function(x: Tensor, mean: Tensor, std: float) -> Tensor:
        upper, lower = _cdf((x + LEVEL / 2 - mean) / std), _cdf((x - LEVEL / 2 - mean) / std)
        first, last = x < LEVEL / 4 - 1, x > 1 - LEVEL / 4
        if lower_at_1:
            return upper.masked_fill(first, 1.0) - lower.masked_fill(last, 0.0)
        return (upper - lower).masked_fill(first | last, 1.0)

    return function


def _mass_outside(x: Tensor, mean: Tensor, std: float) -> Tensor:
    """Clip the mean to [−1, 1] in place of widening the bins at the edges."""
    found: Tensor = _bins(low=False, high=False)(x, mean.clamp(-1, 1), std)
    return found


def _mass_results(function: Function) -> list[Any]:
    levels = (2 * torch.arange(256, dtype=torch.float64) / 255 - 1)[None]
    means = near(torch.tensor([[0.1], [0.9], [-1.2]], dtype=torch.float64))
    return [function(levels, means.expand(3, 256), std) for std in (near(0.01), near(0.3), near(2.0))]


BIN_MASS = Exercise(
    name="bin_mass",
    task="The probability of each 8-bit pixel under a normal distribution, as in (13).",
    reference=_bin_mass,
    results=_mass_results,
    mistakes={
        "the bins at the edges are missing: the bin of −1 extends to −∞ and that of 1 to +∞. Without them the 256 "
        "probabilities do not sum to 1.": _bins(low=False, high=False),
        "the bin of x = 1 extends to +∞: its upper limit has the cumulative probability 1.": _bins(high=False),
        "the bin of x = −1 extends to −∞: its lower limit has the cumulative probability 0.": _bins(low=False),
        "both edges are on the wrong side: the bin of −1 extends to −∞, to its lower side, and that of 1 to +∞.": (
            _edges(lower_at_1=True)
        ),
        "the bins of −1 and 1 have the probability beyond their inner limit, not 1.": _edges(),
        "your bins are twice as wide as they should be: a bin reaches half the distance of two levels, 1/255, to "
        "each side of x.": _bins(half=LEVEL),
        "a bin reaches 1/255 to each side, since 256 levels in [−1, 1] are 2/255 apart, not 2/256.": _bins(
            half=1 / 256
        ),
        "this is the density times the width of the bin. It is close in the middle of a wide distribution, but a "
        "probability is the difference of two cumulative ones.": lambda x, mean, std: (
            DiagonalGaussian(mean, std**2).log_density(x).exp() * LEVEL
        ),
        "the difference is divided by std, not by std squared.": lambda x, mean, std: _bins()(x, mean, std**2),
        "this is the logarithm. Return the probability.": lambda x, mean, std: _bin_mass(x, mean, std).log(),
        "clipping the mean to [−1, 1] is not the same: the bins at the edges take all the mass outside.": _mass_outside,
    },
    atol=1e-7,
)


# -- the rate of a step -----------------------------------------------------------------------------------------------


def _rate_of_step(x_0: Tensor, x_0_hat: Tensor, schedule: Schedule, t: int) -> Tensor:
    nothing = torch.zeros_like(x_0)  # neither x_t nor ε̂ changes the divergence of two Gaussians of one variance
    return step_bits(schedule, Prediction(x_0_hat, nothing), x_0, nothing, t, "small")


def _squares(x_0: Tensor, x_0_hat: Tensor) -> Tensor:
    return (x_0 - x_0_hat).square().flatten(1).mean(1)


def _step_results(function: Function) -> list[Any]:
    x_0, x_0_hat = normal(3, 1, 5, 4, seed=1), normal(3, 1, 5, 4, seed=2)
    ddpm, short = schedules.linear(), schedules.cosine(4)
    cases = [(ddpm, 2), (ddpm, whole(500, 300, 700)), (ddpm, 1000), (short, 2), (short, 4)]
    return [function(x_0, x_0_hat, schedule, t) for schedule, t in cases]


def _rate(factor: Callable[[Tensor, int], Tensor], scale: float = 1.0) -> Function:
    """Mean squares times another factor of the SNR."""
    return lambda x_0, x_0_hat, schedule, t: (
        scale * factor(schedule.snr, t) / (2 * math.log(2)) * _squares(x_0, x_0_hat)
    )


def _fall(snr: Tensor, t: int) -> Tensor:
    return snr[t - 1] - snr[t]


RATE_OF_STEP = Exercise(
    name="rate_of_step",
    task="The term of step t of the bound in bits per dimension, for the variance β̃_t.",
    reference=_rate_of_step,
    results=_step_results,
    mistakes={
        "the factor ½ of the divergence of two Gaussians is missing.": _rate(_fall, 2),
        "this is in nats: divide by ln 2.": _rate(_fall, math.log(2)),
        "you multiply by ln 2. Nats become bits by dividing by ln 2.": _rate(_fall, math.log(2) ** 2),
        "the sign: the SNR falls with t, so SNR(t − 1) − SNR(t) is positive.": _rate(lambda snr, t: -_fall(snr, t)),
        "this has the whole SNR(t). The step from t to t − 1 pays only for the SNR that it gains, "
        "SNR(t − 1) − SNR(t).": _rate(lambda snr, t: snr[t]),
        "this has the whole SNR(t − 1). The step from t to t − 1 pays only for the SNR that it gains, "
        "SNR(t − 1) − SNR(t).": _rate(lambda snr, t: snr[t - 1]),
        "a rate per dimension is a mean over the elements of an image, not their sum.": lambda x_0, x_0_hat, s, t: (
            _fall(s.snr, t) / (2 * math.log(2)) * (x_0 - x_0_hat).square().flatten(1).sum(1)
        ),
        "the error is squared.": lambda x_0, x_0_hat, s, t: (
            _fall(s.snr, t) / (2 * math.log(2)) * (x_0 - x_0_hat).abs().flatten(1).mean(1)
        ),
        "the error is squared, and the difference of the SNR is not.": _rate(lambda snr, t: _fall(snr, t) ** 2),
    },
    atol=1e-9,
)


# -- the probability flow ---------------------------------------------------------------------------------------------


def _jacobians(velocity: Velocity, x: Tensor) -> Tensor:
    """The Jacobian at each of the points x (B, D), (B, D, D)."""
    one = torch.func.jacrev(lambda point: velocity(point[None])[0])
    found: Tensor = torch.func.vmap(one)(x)
    return found


def _turned(x: Tensor) -> Tensor:
    """A velocity whose Jacobian is neither symmetric nor constant."""
    matrix = torch.linspace(-1.5, 2.0, x.shape[1] ** 2, dtype=x.dtype).reshape(x.shape[1], -1)
    return torch.tanh(x @ matrix.T) + 0.5 * x.flip(1) ** 2


def _stretched(x: Tensor) -> Tensor:
    """A velocity whose Jacobian is one diagonal matrix."""
    return x * torch.linspace(-3.0, 1.0, x.shape[1], dtype=x.dtype)


def _log_density_change(velocity: Velocity, x: Tensor, h: float) -> Tensor:
    jacobians = _jacobians(velocity, x)
    found: Tensor = torch.linalg.slogdet(torch.eye(x.shape[1], dtype=x.dtype) + h * jacobians).logabsdet
    return found


def _trace(velocity: Velocity, x: Tensor) -> Tensor:
    return _jacobians(velocity, x).diagonal(dim1=1, dim2=2).sum(1)


def _change_results(function: Function) -> list[Any]:
    points = normal(4, 2, seed=3)
    return [
        function(_turned, points, near(0.1)),
        function(_turned, points.float(), near(-0.2)),
        function(_stretched, points, near(0.25)),
        function(_turned, normal(2, 3, seed=4), near(0.05)),
        function(_stretched, points, near(0.7, 0.1)),  # one direction is turned round: the determinant is negative
    ]


LOG_DENSITY_CHANGE = Exercise(
    name="log_density_change",
    task="The change of the log density over one Euler step of a flow.",
    reference=_log_density_change,
    results=_change_results,
    mistakes={
        "this is h times the trace, which is right for a step of length 0 only. For a step of length h take the "
        "logarithm of the determinant of I + h J.": lambda velocity, x, h: h * _trace(velocity, x),
        "the sign: where the step spreads points apart, the determinant is above 1 and the density at x was higher "
        "than at the end.": lambda velocity, x, h: -_log_density_change(velocity, x, h),
        "take the logarithm of the determinant: log densities add up, densities multiply.": lambda velocity, x, h: (
            _log_density_change(velocity, x, h).exp()
        ),
        "the step is x + h velocity(x), so its Jacobian is I + h J: the identity is missing.": lambda velocity, x, h: (
            torch.linalg.slogdet(h * _jacobians(velocity, x)).logabsdet
        ),
        "h is missing: the Jacobian of x + h velocity(x) is I + h J.": lambda velocity, x, h: _log_density_change(
            velocity, x, 1.0
        ),
        "the Jacobian of the velocity is taken at the end of the step. Take it at x, where the velocity "
        "was.": lambda velocity, x, h: (
            _log_density_change(velocity, x + h * velocity(x), h) * torch.ones(len(x), dtype=x.dtype)
        ),
        "the determinant may be negative, where a step turns a direction round. Take its absolute value.": (
            lambda velocity, x, h: torch.logdet(torch.eye(x.shape[1], dtype=x.dtype) + h * _jacobians(velocity, x))
        ),
        "only the diagonal of the Jacobian is used. The determinant needs all of it.": lambda velocity, x, h: (
            (1 + h * _jacobians(velocity, x).diagonal(dim1=1, dim2=2)).abs().log().sum(1)
        ),
    },
    rtol=1e-4,
    atol=1e-6,
)


# -- Hutchinson's estimate --------------------------------------------------------------------------------------------


def _hutchinson(velocity: Velocity, x: Tensor, probes: Tensor) -> Tensor:
    found: Tensor = torch.einsum("kbi,bij,kbj->kb", probes, _jacobians(velocity, x), probes).mean(0)
    return found


def _hutchinson_results(function: Function) -> list[Any]:
    x, signs = normal(3, 4, seed=5), normal(5, 3, 4, seed=6).sign()
    wide = normal(2, 9, seed=7)
    return [
        function(_turned, x, signs),
        function(_turned, x.float(), signs.float()),
        function(_turned, x, signs[:1]),
        function(_turned, wide, normal(2, 2, 9, seed=8).sign()),
    ]


HUTCHINSON = Exercise(
    name="hutchinson",
    task="Hutchinson's estimate of the divergence of a velocity, from given probes.",
    reference=_hutchinson,
    results=_hutchinson_results,
    mistakes={
        "you sum over the probes. Each is an estimate on its own: take their mean.": lambda velocity, x, probes: (
            len(probes) * _hutchinson(velocity, x, probes)
        ),
        "the product with the probe on the second side is missing: vᵀJ is a vector, and the estimate is the number "
        "vᵀJv.": lambda velocity, x, probes: (
            torch.einsum("kbi,bij->kbj", probes, _jacobians(velocity, x)).sum(2).mean(0)
        ),
        "sum over the dimensions: a divergence is a sum of derivatives, not their mean.": lambda velocity, x, probes: (
            _hutchinson(velocity, x, probes) / x.shape[1]
        ),
        "only one probe is used. Take the mean over all of them.": lambda velocity, x, probes: _hutchinson(
            velocity, x, probes[:1]
        ),
        "this is the exact divergence. The exercise asks for the estimate by the given probes, which needs one "
        "backward pass a probe.": lambda velocity, x, probes: _trace(velocity, x),
        "this multiplies the probe by the velocity itself. The estimate has the derivative of the "
        "velocity.": lambda velocity, x, probes: (probes * velocity(x)).sum(2).mean(0),
        "the mean of the probes is taken before the product. Of the products vᵀJv take the "
        "mean.": lambda velocity, x, probes: _hutchinson(velocity, x, probes.mean(0, keepdim=True)),
        "return one number for each point, not their mean.": lambda velocity, x, probes: (
            _hutchinson(velocity, x, probes).mean().expand(len(x))
        ),
    },
)

EXERCISES = (BITS_PER_DIM, BIN_MASS, RATE_OF_STEP, LOG_DENSITY_CHANGE, HUTCHINSON)
"""The exercises, in the order of the lesson."""
