"""Exercises of lesson 17: principal components, the size of latents, the decoder of noisy latents, water-filling."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral_course.exercise import Exercise, Function, WrongForm, values
from ancestral_course.variants import near, seeded

F64 = torch.float64


# principal components


def _data(seed: int, count: int, variances: list[float], offset: float) -> Tensor:
    """Items (count, D) of a mean that is not 0, whose principal components are no axes."""
    draws = seeded(seed)
    rotation, _ = torch.linalg.qr(torch.randn(len(variances), len(variances), generator=draws, dtype=F64))
    numbers = torch.randn(count, len(variances), generator=draws, dtype=F64)
    items: Tensor = numbers * torch.tensor(variances, dtype=F64).sqrt() @ rotation.T + offset
    return items


def _eigenvectors(x: Tensor) -> Tensor:
    """Eigenvectors (D, D) of the covariance, those of small variance first."""
    found: Tensor = torch.linalg.eigh((x - x.mean(0)).T @ (x - x.mean(0))).eigenvectors
    return found


def _principal(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return x.mean(0), _eigenvectors(x)[:, -k:]


def _principal_results(function: Function) -> list[Any]:
    """The mean, and W Wᵀ and Wᵀ W, which do not depend on signs and order of the columns."""
    found: list[Any] = []
    for x, k in (
        (_data(0, 200, [9.0, 4.0, 1.0, 0.1, 0.01], 3.0), 2),
        (_data(1, 50, [5.0, 0.2, 1.0], -1.0), 1),
        (_data(2, 30, [1.0, 2.0, 4.0, 8.0], 0.5), 3),
        *((_data(seed, 40, [1 + 0.3 * step for step in range(12)], 0.2), 5) for seed in range(3, 6)),
    ):
        m, W = map(torch.as_tensor, values(function(x, k), 2, "the mean and W, (m, W)"))
        if W.shape != (x.shape[1], k):
            raise WrongForm(
                f"return W in the shape {(x.shape[1], k)}, not {tuple(W.shape)}: its columns are the directions"
            )
        found += [m, W @ W.T, W.T @ W]
    return found


def _subspace(of: Callable[[Tensor, int], Tensor]) -> Function:
    return lambda x, k: (x.mean(0), of(x, k))


def _of_correlation(x: Tensor, k: int) -> Tensor:
    scaled = (x - x.mean(0)) / x.std(0)
    found: Tensor = torch.linalg.eigh(scaled.T @ scaled).eigenvectors[:, -k:]
    return found


def _scaled(x: Tensor, k: int) -> Tensor:
    values, vectors = torch.linalg.eigh((x - x.mean(0)).T @ (x - x.mean(0)) / len(x))
    found: Tensor = vectors[:, -k:] * values[-k:].sqrt()
    return found


_PRINCIPAL = Exercise(
    name="principal",
    task="The mean and the principal components of data: the best linear autoencoder.",
    reference=_principal,
    results=_principal_results,
    mistakes={
        "m is right. These are the directions of the smallest variance: eigh sorts from the smallest up, svd from the "
        "largest down.": _subspace(lambda x, k: _eigenvectors(x)[:, :k]),
        "m is right. The directions are the rows of Vh; you take its columns.": _subspace(
            lambda x, k: torch.linalg.svd(x - x.mean(0)).Vh[:, :k]
        ),
        "m is right. eig promises no order; eigh sorts.": _subspace(
            lambda x, k: torch.linalg.eig((x - x.mean(0)).T @ (x - x.mean(0))).eigenvectors.real[:, :k]
        ),
        "m is right. These are eigenvectors of the mean of x xᵀ. Subtract the mean first: the covariance.": _subspace(
            lambda x, k: torch.linalg.eigh(x.T @ x).eigenvectors[:, -k:]
        ),
        "m is right. You divide each number by its deviation first, which counts small ones as much as large ones.": (
            _subspace(_of_correlation)
        ),
        "m is right. The columns of W have the length 1; yours are multiplied by the deviations of z.": _subspace(
            _scaled
        ),
        "m is right. Eigenvectors are the columns of what eigh returns; you take its rows.": _subspace(
            lambda x, k: _eigenvectors(x)[-k:].T
        ),
        "m is right. These are the first k axes. Take the eigenvectors of the covariance.": _subspace(
            lambda x, k: torch.eye(x.shape[1], dtype=x.dtype)[:, :k]
        ),
        "W is right. m is the mean of the data: with 0 the error has the square of the mean's distance to W.": (
            lambda x, k: (torch.zeros_like(x[0]), _eigenvectors(x)[:, -k:])
        ),
        "W is right. m is the mean over the data; yours is the mean over all numbers.": (
            lambda x, k: (x.mean().expand(x.shape[1]), _eigenvectors(x)[:, -k:])
        ),
        "W is right. m is the mean of the data, not their median.": (
            lambda x, k: (x.median(0).values, _eigenvectors(x)[:, -k:])
        ),
    },
)


# the size of latents


_LOG_SNR_SHIFT = Exercise(
    name="log_snr_shift",
    task="What is added to ln SNR for latents of another standard deviation.",
    reference=lambda s: -2 * s.log(),
    results=lambda f: [
        f(near(torch.tensor([0.2, 0.5, 1.0, 5.5], dtype=F64))),
        f(near(torch.tensor([0.18], dtype=F64))),
    ],
    mistakes={
        "the sign is wrong: large latents are harder to hide, so they need more noise, a lower SNR.": (
            lambda s: 2 * s.log()
        ),
        "the SNR has squares, a²/b², so it is divided by s²: −2 ln s. The 2 is missing.": lambda s: -s.log(),
        "the sign is wrong, and the 2 is missing: the SNR is divided by s².": lambda s: s.log(),
        "this is the factor of the SNR. Its logarithm is what is added to ln SNR.": lambda s: 1 / s**2,
        "this is the factor of the SNR for 1/s. For s it is 1/s², and its logarithm is added to ln SNR.": (
            lambda s: s**2
        ),
        "this is in powers of ten. ln is the natural logarithm.": lambda s: -2 * s.log10(),
        "this is in bits. ln is the natural logarithm.": lambda s: -2 * s.log2(),
        "the error relative to s² is 1/(1 + s² SNR). You keep the 1: the shift is the same for all t.": (
            lambda s: -torch.log1p(s**2)
        ),
        "divide the error by s²: then it depends on s² SNR alone. Yours is relative to s.": lambda s: -3 * s.log(),
    },
)


# the decoder of a noisy latent


def _noisy_decoder(variance: Tensor, power: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    return (variance * power).sqrt() / (power + sigma**2), variance * sigma**2 / (power + sigma**2)


def _decoder_results(function: Function) -> list[Any]:
    variance = near(torch.tensor([0.3, 2.0, 1.0, 5.0], dtype=F64))
    power = near(torch.tensor([0.5, 0.1, 1.0, 0.0], dtype=F64))
    found: list[Any] = []
    for sigma in (near(0.05), near(0.7)):
        found += values(function(variance, power, sigma), 2, "the factor and the error, (d, error)")
    return found


def _decoder(factor: Callable[..., Tensor] | None = None, error: Callable[..., Tensor] | None = None) -> Function:
    """A decoder one of whose values is a function of (λ, p, σ²), and the other is right."""

    def f(variance: Tensor, power: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        right = _noisy_decoder(variance, power, sigma)
        values = (variance, power, sigma**2)
        return factor(*values) if factor else right[0], error(*values) if error else right[1]

    return f


_NOISY_DECODER = Exercise(
    name="noisy_decoder",
    task="The best decoder of a noisy latent, and its error.",
    reference=_noisy_decoder,
    results=_decoder_results,
    mistakes={
        "the error is right. d is E[x z̃]/E[z̃²]: the noise is missing in the denominator.": _decoder(
            lambda v, p, s: (v * p).sqrt() / p
        ),
        "the error is right. d takes z to x: E[x z̃] = gλ = √(λ p); yours has √(p/λ).": _decoder(
            lambda v, p, s: (p / v).sqrt() / (p + s)
        ),
        "the error is right. d takes z to x, so it has √(λ p) in the numerator; yours has p, the factor from z to z.": (
            _decoder(lambda v, p, s: p / (p + s))
        ),
        "the error is right. d has √(λ p), the root of the product, in the numerator; yours lacks the root.": _decoder(
            lambda v, p, s: v * p / (p + s)
        ),
        "the error is right. The noise has the variance σ² in the denominator of d, not σ.": _decoder(
            lambda v, p, s: (v * p).sqrt() / (p + s**0.5)
        ),
        "the error is right. d is that of a decoder that knows no g: √λ/(…) lacks √p.": _decoder(
            lambda v, p, s: v.sqrt() / (p + s)
        ),
        "d is right. The error is λσ²/(p + σ²); yours is relative to λ.": _decoder(None, lambda v, p, s: s / (p + s)),
        "d is right. This is what is kept, λ p/(p + σ²). The error is the rest of λ.": _decoder(
            None, lambda v, p, s: v * p / (p + s)
        ),
        "d is right. The error is d² σ² and what d g is short of 1, (1 − d g)² λ. The second is missing.": (
            _decoder(None, lambda v, p, s: v * p * s / (p + s) ** 2)
        ),
        "d is right. The error has what the noise adds, d² σ², beside (1 − d g)² λ; the noise is missing.": _decoder(
            None, lambda v, p, s: v * s**2 / (p + s) ** 2
        ),
        "d is right. This is the root of the error.": _decoder(None, lambda v, p, s: (v * s / (p + s)).sqrt()),
        "d is right. The noise has the variance σ² in the error, not σ.": _decoder(
            None, lambda v, p, s: v * s**0.5 / (p + s**0.5)
        ),
        "the noise has the variance σ², not σ, in both.": lambda v, p, s: (
            (v * p).sqrt() / (p + s),
            v * s / (p + s),
        ),
        "the order is the factor, then the error.": lambda v, p, s: _noisy_decoder(v, p, s)[::-1],
    },
)


# water-filling


def _powers(variances: Tensor, total: float, sigma: float) -> Tensor:
    roots = variances.sqrt().sort(descending=True).values
    c = (total + torch.arange(1, len(roots) + 1) * sigma**2) / roots.cumsum(0)
    level = c[int((c * roots > sigma**2).nonzero().max())]
    return (level * variances.sqrt() - sigma**2).clamp(min=0)


def _powers_results(function: Function) -> list[Any]:
    """All have power, some have none, one has all; not sorted."""
    variances = near(torch.tensor([0.5, 4.0, 0.01, 1.0, 2.0, 0.1, 0.5], dtype=F64))
    return [
        function(variances, total, sigma)
        for total, sigma in ((near(20.0), near(0.5)), (near(2.0), 1.0), (near(0.05), 1.0), (near(3.0), near(0.8)))
    ]


def _all_filled(variances: Tensor, total: float, sigma: float) -> Tensor:
    roots = variances.sqrt()
    return (total + len(roots) * sigma**2) / roots.sum() * roots - sigma**2


def _rescaled(powers: Tensor, total: float) -> Tensor:
    return powers * total / powers.sum()


def _capacity(variances: Tensor, total: float, sigma: float) -> Tensor:
    """Water-filling for the most bits of channels with noise σ²/λ."""
    noise = sigma**2 / variances
    order = noise.sort().values
    level = (total + order.cumsum(0)) / torch.arange(1, len(order) + 1)
    return (level[int((level > order).nonzero().max())] - noise).clamp(min=0)


def _of_variances(variances: Tensor, total: float, sigma: float) -> Tensor:
    """The level with λ in the place of its root."""
    return _powers(variances**2, total, sigma)


def _of_sigma(variances: Tensor, total: float, sigma: float) -> Tensor:
    return _powers(variances, total, sigma**0.5)


def _sorted(variances: Tensor, total: float, sigma: float) -> Tensor:
    return _powers(variances, total, sigma).sort(descending=True).values


def _in_place_of_order(variances: Tensor, total: float, sigma: float) -> Tensor:
    """The sums over the first numbers instead of the largest ones."""
    roots = variances.sqrt()
    c = (total + torch.arange(1, len(roots) + 1) * sigma**2) / roots.cumsum(0)
    return (c[int((c * roots > sigma**2).nonzero().max())] * roots - sigma**2).clamp(min=0)


_POWERS = Exercise(
    name="powers",
    task="The powers of latents with the least error for a total power.",
    reference=_powers,
    results=_powers_results,
    mistakes={
        "some powers are negative: a number whose share would be below 0 gets none, and the others share the total.": (
            _all_filled
        ),
        "the sum is more than the total: after negative powers are set to 0, c has to be found again.": (
            lambda variances, total, sigma: _all_filled(variances, total, sigma).clamp(min=0)
        ),
        "after negative powers are set to 0 you scale the rest. Find c again for those that are left.": (
            lambda variances, total, sigma: _rescaled(_all_filled(variances, total, sigma).clamp(min=0), total)
        ),
        "these are equal powers. Numbers of a larger variance gain more from the same power.": (
            lambda variances, total, sigma: torch.full_like(variances, total / len(variances))
        ),
        "these are shares in proportion to the variance. At the optimum p + σ² is in proportion to its root.": (
            lambda variances, total, sigma: total * variances / variances.sum()
        ),
        "these are shares in proportion to √λ. It is p + σ² that is, not p.": (
            lambda variances, total, sigma: total * variances.sqrt() / variances.sqrt().sum()
        ),
        "p + σ² is in proportion to √λ, not to λ: the derivative has the square of p + σ².": _of_variances,
        "the noise has the variance σ², not σ.": _of_sigma,
        "all power goes to the largest variance. Its error falls more and more slowly: others come next.": (
            lambda variances, total, sigma: torch.where(variances == variances.max(), total, 0.0)
        ),
        "this is the power that carries the most bits. The least squared error has p + σ² in proportion to √λ.": (
            _capacity
        ),
        "return the powers in the order of the variances that were given; yours are sorted.": _sorted,
        "the sums have to run over the largest variances: sort them first. They were not given in order.": (
            _in_place_of_order
        ),
    },
)

EXERCISES: tuple[Exercise, ...] = (_PRINCIPAL, _LOG_SNR_SHIFT, _NOISY_DECODER, _POWERS)
