"""The variational bound in bits per dimension: L_T + Σ_{t>1} L_{t−1} + L_0 (Ho, Jain and Abbeel 2020, eq. 5).

What a lossless coder would spend on an image, split over time: sending x_T, each step back, and last the exact pixels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.diffusion import Variance, reverse
from ancestral.errors import InputError
from ancestral.gaussian import Gaussian
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser


class Bound(NamedTuple):
    """The terms of each image in bits/dim: L_T, L_0 and total of shape (N,), L_t of shape (N, T − 1) for t = 2..T."""

    L_T: Tensor
    L_t: Tensor
    L_0: Tensor
    total: Tensor


def prior_bits(schedule: Schedule, x0: Tensor) -> Tensor:
    """L_T of each image x0 (N, *) in bits/dim: what is left of it in x_T."""
    end = schedule.marginal(x0, schedule.steps)
    prior = Gaussian(torch.zeros_like(x0), schedule.prior_std**2)
    return _bits(end.kl(prior))  # (5)  L_T = KL(q(x_T|x_0) ‖ p(x_T))


@torch.no_grad()
def bits_per_dim(
    denoiser: Denoiser,
    x0: Tensor,
    seed: int = 0,
    variance: Variance = "large",
    clip: bool = True,
    indices: Sequence[int] | None = None,
    **condition: Tensor,
) -> Bound:
    """The bound on each image x0 (N, *) in [−1, 1], with one draw of x_t at every t: T passes of the denoiser.

    The draws follow from (seed, index), where `indices` are the images' numbers, 0..N−1 unless given. `clip` keeps x̂_0
    in [−1, 1], as the paper's evaluation does. Both variances are β̃_2 at t = 1, where β̃_1 = 0.
    """
    schedule = denoiser.schedule
    if schedule.steps < 2:
        raise InputError("the bound needs a schedule of at least 2 steps: its decoder's variance is β̃_2")

    places = range(len(x0)) if indices is None else indices

    def estimate(t: int) -> tuple[Tensor, Tensor]:
        eps = randomness.normal(x0.shape[1:], seed, "bound", t, places, x0.device).to(x0)
        x_t = schedule.add_noise(x0, t, eps)
        estimate = denoiser.predict(x_t, t, **condition).x0
        return x_t, estimate.clamp(-1, 1) if clip else estimate

    terms = []
    for t in range(2, schedule.steps + 1):
        x_t, x0_hat = estimate(t)
        q, p = schedule.posterior(x0, x_t, t, t - 1), reverse(schedule, x0_hat, x_t, t, t - 1, variance)
        terms.append(_bits(q.kl(p)))  # (5)  L_{t−1} = KL(q(x_{t−1}|x_t,x_0) ‖ p_θ(x_{t−1}|x_t))
    x_1, x0_hat = estimate(1)
    decoder = Gaussian(reverse(schedule, x0_hat, x_1, 1, 0, variance).mean, schedule.posterior_variance(2, 1))
    L_0 = -_bits(decoder.log_bins(x0, half_width=1 / 255, edge=0.999))  # (13)  L_0 = −log p_θ(x_0|x_1)
    L_T, L_t = prior_bits(schedule, x0), torch.stack(terms, dim=1)
    return Bound(L_T, L_t, L_0, L_T + L_t.sum(1) + L_0)


def _bits(nats: Tensor) -> Tensor:
    """Nats of each element (N, *) to bits/dim of each image (N,)."""
    return nats.flatten(1).mean(1) / math.log(2)
