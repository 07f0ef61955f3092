"""The variational bound (ELBO) in bits per dimension: L_T + Σ_{t>1} L_{t−1} + L_0 (Ho, Jain and Abbeel 2020, eq. 5).

It is the rate of a lossless coder, split over time: that of x_T, of each reverse step, and of the exact pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.gaussian import DiagonalGaussian
from ancestral.randomness import Stream
from ancestral.reverse import DecoderName, Variance, bits, step_bits
from ancestral.schedules import Schedule, Time
from ancestral.targets import Denoiser, Prediction, check_denoiser


class Bound(NamedTuple):
    """The terms for each image in bits/dim: L_T, L_0 and total (N,), L_t (N, T − 1) for t = 2..T."""

    L_T: Tensor
    L_t: Tensor
    L_0: Tensor
    total: Tensor


class Term(NamedTuple):
    """The term of time t for each image (N,): L_{t−1}, or L_0 at t = 1, in bits/dim, and the mean of (x_0 − x̂_0)²."""

    t: Time
    bits: Tensor
    error: Tensor


def prior_bits(schedule: Schedule, x0: Tensor) -> Tensor:
    """L_T of each image x0 (N, *) in bits/dim, (N,). Differentiable in x0."""
    end = schedule.marginal(x0, schedule.steps)
    prior = DiagonalGaussian(torch.zeros_like(x0), schedule.prior_std**2)
    return bits(end.kl(prior))  # (5)  L_T = KL(q(x_T|x_0) ‖ p(x_T))


@dataclass(frozen=True)
class ELBO:
    """Settings of the bound, and its terms.

    Attributes:
        seed: The seed of the noise in x_t, which is a function of (seed, t, index).
        variance: The variance of the reverse steps; see `reverse.transition`.
        clip: Whether x̂_0 is clipped to [−1, 1], as in the paper's evaluation.
        decoder: How L_0 is computed; see `reverse.step_bits`.
        noise: `noise(shape)` replaces the seeded noise.
        level: The width of a bin; see `reverse.step_bits`.
    """

    seed: int = 0
    variance: Variance = "large"
    clip: bool = True
    decoder: DecoderName = "exact"
    noise: Callable[[torch.Size], Tensor] | None = None
    level: float = 2 / 255

    @torch.no_grad()
    def term(
        self, denoiser: Denoiser, x0: Tensor, t: Time, draw: int, indices: Sequence[int], **condition: Tensor
    ) -> Term:
        """Compute the term of time t by one evaluation of the denoiser. The result is detached.

        Args:
            denoiser: What estimates x_0.
            x0: Images in [−1, 1], (N, *).
            t: One time, or times (N,).
            draw: The number of the noise within the seed.
            indices: The images' indices within the seed.
            condition: What the denoiser is conditioned on.
        """
        schedule = denoiser.schedule
        seeded = self.noise or (
            lambda shape: randomness.normal(shape[1:], self.seed, Stream.BOUND, draw, indices, x0.device)
        )
        x_t = schedule.add_noise(x0, t, seeded(x0.shape).to(x0))
        p = denoiser.predict(x_t, t, **condition)
        if self.clip:
            p = Prediction(p.x0.clamp(-1, 1), p.eps, p.variance_fraction)  # the bound depends on x̂_0 alone
        bits = step_bits(schedule, p, x0, x_t, t, self.variance, self.decoder, self.level)
        return Term(t, bits, ((x0 - p.x0) ** 2).flatten(1).mean(1))

    def terms(
        self, denoiser: Denoiser, x0: Tensor, indices: Sequence[int] | None = None, **condition: Tensor
    ) -> Iterator[Term]:
        """Compute every term of images x0 (N, *), from t = T to 1, by T evaluations of the denoiser, detached."""
        check_denoiser(denoiser)
        indices = range(len(x0)) if indices is None else indices
        return (self.term(denoiser, x0, t, t, indices, **condition) for t in range(denoiser.schedule.steps, 0, -1))

    def estimates(
        self, denoiser: Denoiser, x0: Tensor, passes: int, indices: Sequence[int] | None = None, **condition: Tensor
    ) -> Iterator[Term]:
        """Estimate the sum of the terms from `passes` evaluations, each at a random time of one of `time_strata`.

        The bits of each term are multiplied by the number of times in its stratum, so their sum is unbiased for L_0 + Σ
        L_t. Each image draws its own times, so the spread of the sums over images shows the error of their mean. The
        terms are detached.
        """
        check_denoiser(denoiser)
        indices = range(len(x0)) if indices is None else indices
        for number, stratum in enumerate(reversed(time_strata(denoiser.schedule.steps, passes))):
            t = randomness.integers(stratum[0], stratum[-1], self.seed, Stream.BOUND_TIME, number, indices)
            _, bits, error = self.term(denoiser, x0, t, number, indices, **condition)
            yield Term(t, len(stratum) * bits, error)


def time_strata(steps: int, passes: int) -> list[range]:
    """Split the times 1..T into `passes` strata, at least 2 and at most T.

    {1} is a stratum of its own, since L_0 is no L_t, and of three or more strata {T} is one too, since a capped
    schedule loses much signal in its last step. Between them the strata grow with t, as the terms become smaller.
    """
    count = min(max(passes, 2), steps)
    end = steps if count > 2 else steps + 1
    edges = [1, 2]
    for remaining in range(count - 2 if count > 2 else count - 1, 0, -1):  # strata that share the rest of log t
        ratio = (end / edges[-1]) ** (1 / remaining)
        edges.append(max(round(edges[-1] * ratio), edges[-1] + 1))
    edges = sorted({*edges, steps + 1})
    return [range(low, high) for low, high in pairwise(edges)]


@torch.no_grad()
def bits_per_dim(
    denoiser: Denoiser,
    x0: Tensor,
    seed: int = 0,
    variance: Variance = "large",
    clip: bool = True,
    decoder: DecoderName = "exact",
    noise: Callable[[torch.Size], Tensor] | None = None,
    indices: Sequence[int] | None = None,
    **condition: Tensor,
) -> Bound:
    """Compute the bound on each image, with one x_t at every t: T evaluations of the denoiser.

    Args:
        denoiser: What estimates x_0.
        x0: At least one image in [−1, 1], floats (N, *).
        seed: See `ELBO`, as for variance, clip, decoder and noise.
        variance: The variance of the reverse steps.
        clip: Whether x̂_0 is clipped to [−1, 1].
        decoder: How L_0 is computed.
        noise: `noise(shape)` replaces the seeded noise.
        indices: The images' indices within the seed, 0..N−1 by default.
        condition: What the denoiser is conditioned on.

    Returns:
        The terms and their sum, in bits/dim of each image, detached. A gradient is that of `reverse.step_bits`.

    Raises:
        InputError: If the schedule has one step, there are no images, or they are not floats.

    References:
        Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020), eq. 5.
    """
    if not len(x0):
        raise InputError("the bound of no images is not defined: x0 needs at least one")
    elbo = ELBO(seed, variance, clip, decoder, noise)
    *steps, last = (term.bits for term in elbo.terms(denoiser, x0, indices, **condition))
    L_T, L_0 = prior_bits(denoiser.schedule, x0), last
    L_t = torch.stack(steps[::-1], dim=1)
    return Bound(L_T, L_t, L_0, L_T + L_t.sum(1) + L_0)
