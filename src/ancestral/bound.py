"""The variational bound in bits per dimension: L_T + Σ_{t>1} L_{t−1} + L_0 (Ho, Jain and Abbeel 2020, eq. 5).

What a lossless coder would spend on an image, split over time: sending x_T, each step back, and last the exact pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.errors import InputError
from ancestral.gaussian import DiagonalGaussian
from ancestral.randomness import Stream
from ancestral.reverse import Decoder, Variance, bits, step_bits
from ancestral.schedules import Schedule, Time
from ancestral.targets import Denoiser, Prediction


class Bound(NamedTuple):
    """The terms of each image in bits/dim: L_T, L_0 and total of shape (N,), L_t of shape (N, T − 1) for t = 2..T."""

    L_T: Tensor
    L_t: Tensor
    L_0: Tensor
    total: Tensor


class Term(NamedTuple):
    """One term, of each image: at t = 1 L_0, else L_{t−1}, in bits/dim, and the mean square of x_0 − x̂_0; each (N,)."""

    t: Time
    bits: Tensor
    error: Tensor


def prior_bits(schedule: Schedule, x0: Tensor) -> Tensor:
    """L_T of each image x0 (N, *) in bits/dim: what is left of it in x_T."""
    end = schedule.marginal(x0, schedule.steps)
    prior = DiagonalGaussian(torch.zeros_like(x0), schedule.prior_std**2)
    return bits(end.kl(prior))  # (5)  L_T = KL(q(x_T|x_0) ‖ p(x_T))


@dataclass(frozen=True)
class ELBO:
    """How the bound is taken. `clip` keeps x̂_0 in [−1, 1], as the paper's evaluation does; see `reverse.step_bits` for
    `variance`, `decoder` and `level`. The draws of x_t follow from (seed, t, index); `noise(shape)` replaces them.
    """

    seed: int = 0
    variance: Variance = "large"
    clip: bool = True
    decoder: Decoder = "exact"
    noise: Callable[[torch.Size], Tensor] | None = None
    level: float = 2 / 255

    @torch.no_grad()
    def term(
        self, denoiser: Denoiser, x0: Tensor, t: Time, draw: int, indices: Sequence[int], **condition: Tensor
    ) -> Term:
        """The term of images x0 (N, *) in [−1, 1] at time t, with the noise number `draw` of each: one pass."""
        schedule = denoiser.schedule
        seeded = self.noise or (
            lambda shape: randomness.normal(shape[1:], self.seed, Stream.BOUND, draw, indices, x0.device)
        )
        x_t = schedule.add_noise(x0, t, seeded(x0.shape).to(x0))
        p = denoiser.predict(x_t, t, **condition)
        if self.clip:
            p = Prediction(p.x0.clamp(-1, 1), p.eps, p.variance_fraction)  # the bound asks for x̂_0 alone
        bits = step_bits(schedule, p, x0, x_t, t, self.variance, self.decoder, self.level)
        return Term(t, bits, ((x0 - p.x0) ** 2).flatten(1).mean(1))

    def terms(
        self, denoiser: Denoiser, x0: Tensor, indices: Sequence[int] | None = None, **condition: Tensor
    ) -> Iterator[Term]:
        """Every term of images x0 (N, *), from t = T down to 1: T passes. `indices` are their numbers, 0..N−1 unless
        given.
        """
        places = range(len(x0)) if indices is None else indices
        return (self.term(denoiser, x0, t, t, places, **condition) for t in range(denoiser.schedule.steps, 0, -1))

    def estimates(
        self, denoiser: Denoiser, x0: Tensor, passes: int, indices: Sequence[int] | None = None, **condition: Tensor
    ) -> Iterator[Term]:
        """`passes` terms that stand for all: each image is asked at one time out of each of `time_strata`.

        The bits of each are already counted as often as its run is long, so their sum is unbiased for L_0 + Σ L_t. The
        images draw their times apart, so the spread of the sums over images shows the error of their mean.
        """
        places = range(len(x0)) if indices is None else indices
        for number, run in enumerate(reversed(time_strata(denoiser.schedule.steps, passes))):
            t = randomness.integers(run[0], run[-1], self.seed, Stream.BOUND_TIME, number, places)
            _, bits, error = self.term(denoiser, x0, t, number, places, **condition)
            yield Term(t, len(run) * bits, error)


def time_strata(steps: int, passes: int) -> list[range]:
    """The times 1..T in `passes` runs, each time on its own where there are as many passes.

    {1} and {T} stand out (L_0 is no L_t, and a capped schedule throws away a lot in its last step), so each is a run
    of its own, T where there are three passes or more; between them runs grow longer as the terms get smaller. Never
    less than two.
    """
    count = min(max(passes, 2), steps)
    end = steps if count > 2 else steps + 1
    edges = [1, 2]
    for left in range(count - 2 if count > 2 else count - 1, 0, -1):  # runs that share what is left of log t
        ratio = (end / edges[-1]) ** (1 / left)
        edges.append(max(round(edges[-1] * ratio), edges[-1] + 1))
    edges = sorted({*edges, steps + 1})
    return [range(low, high) for low, high in pairwise(edges)]


def bits_per_dim(
    denoiser: Denoiser,
    x0: Tensor,
    seed: int = 0,
    variance: Variance = "large",
    clip: bool = True,
    decoder: Decoder = "exact",
    noise: Callable[[torch.Size], Tensor] | None = None,
    indices: Sequence[int] | None = None,
    **condition: Tensor,
) -> Bound:
    """The bound on each image, with one draw of x_t at every t: T passes.

    Args:
        denoiser: What estimates x_0.
        x0: At least one image in [−1, 1], floats of shape (N, *).
        seed: See `ELBO`, as for variance, clip, decoder and noise.
        variance: The variance of the reverse steps.
        clip: Whether x̂_0 is kept in [−1, 1].
        decoder: How L_0 counts the mass of a bin.
        noise: `noise(shape)` replaces the seeded draws.
        indices: The images' numbers within the seed, 0..N−1 unless given.
        condition: Passed on to the denoiser.

    Returns:
        The terms and their sum, in bits/dim of each image.

    Raises:
        InputError: If the schedule has one step, there are no images, or they are not of floats.
    """
    if not len(x0):
        raise InputError("the bound of no images is not defined: x0 needs at least one")
    elbo = ELBO(seed, variance, clip, decoder, noise)
    *steps, last = (term.bits for term in elbo.terms(denoiser, x0, indices, **condition))
    L_T, L_0 = prior_bits(denoiser.schedule, x0), last
    L_t = torch.stack(steps[::-1], dim=1)
    return Bound(L_T, L_t, L_0, L_T + L_t.sum(1) + L_0)
