"""The exact likelihood of a denoiser's probability-flow ODE (Song et al. 2021, eqs. 13 and 39).

Sampling without noise moves x along dx = x̂_0 da + ε̂ db, an invertible flow, so by the change of variables

    log p(x_0) = log p(x_T) + ∫ div(dx),      div(dx) = div x̂_0 da + div ε̂ db,   from the data to the prior.

Both integrals are computed by the trapezoid rule, of order 2, along the schedule's curve (a, b). It begins at t = 0,
where x̂_0 = x and ε̂ = 0 for data that has a density.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.errors import whole
from ancestral.gaussian import DiagonalGaussian
from ancestral.randomness import Stream
from ancestral.samplers.loop import Spacing, spaced_times
from ancestral.schedules import Schedule, check_floats
from ancestral.targets import X0, Denoiser, Prediction


class OdeState(NamedTuple):
    """The state of the integration at time t: x (N, *) and ∫ div from 0 to t (N,), in nats."""

    t: int
    x: Tensor
    divergence: Tensor


def integrate(
    denoiser: Denoiser,
    x0: Tensor,
    steps: int | None = None,
    probes: int = 0,
    seed: int = 0,
    spacing: Spacing = "trailing",
    indices: Sequence[int] | None = None,
    **condition: Tensor,
) -> Iterator[OdeState]:
    """Integrate the probability flow from data to noise, by two evaluations of the denoiser a step.

    Args:
        denoiser: What estimates x_0.
        x0: Data with a density, floats (N, *).
        steps: The number of the schedule's times; all by default.
        probes: 0 for the exact divergence, by one backward pass for each element of x, or the number of random sign
            vectors in Hutchinson's unbiased estimate.
        seed: The seed of the signs, which are functions of (seed, index).
        spacing: How the times are spaced; "leading" ends below T.
        indices: The indices of the data within the seed, 0..N−1 by default.
        condition: What the denoiser is conditioned on.

    Yields:
        The state at t = 0 and after each step.

    Raises:
        InputError: If x0 is not of floats, `probes` is negative, or the times cannot be used (see `spaced_times`).

    References:
        Song et al., *Score-based generative modeling through stochastic differential equations* (2021), eqs. 13 and 39.
    """
    check_floats(x0)
    schedule = denoiser.schedule
    indices = range(len(x0)) if indices is None else indices
    probes = whole(probes, 0, math.inf, f"probes is a whole number, 0 (exact) or more, not {probes}")
    directions = _directions(x0, probes, seed, indices)

    def evaluate(x: Tensor, t: int) -> tuple[Prediction, Tensor, Tensor]:
        """x̂_0 and ε̂ at x, and the divergence of each."""
        a, b = schedule.at(t)
        size = x.shape[1:].numel()
        if t == 0:
            return Prediction(x, torch.zeros_like(x)), x.new_full((len(x),), size), x.new_zeros(len(x))
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            estimate = denoiser.predict(x, t, **condition).x0
            last = len(directions) - 1
            products = [
                (v * torch.autograd.grad(estimate, x, v, retain_graph=number < last)[0]).flatten(1).sum(1)
                for number, v in enumerate(directions)
            ]
        div_x0 = torch.stack(products).sum(0) / (probes or 1)  # score SDE (40)
        return X0.solve(x.detach(), estimate.detach(), a, b), div_x0, (size - a * div_x0) / b

    x, total = x0, x0.new_zeros(len(x0))
    yield OdeState(0, x, total)
    for s, t in pairwise(reversed(spaced_times(schedule, steps, spacing))):
        da, db = (late - early for late, early in zip(schedule.at(t), schedule.at(s), strict=True))
        (x0_s, eps_s), div_x0_s, div_eps_s = evaluate(x, s)
        (x0_t, eps_t), div_x0_t, div_eps_t = evaluate(x + da * x0_s + db * eps_s, t)
        x = x + da * (x0_s + x0_t) / 2 + db * (eps_s + eps_t) / 2  # score SDE (13)
        total = total + da * (div_x0_s + div_x0_t) / 2 + db * (div_eps_s + div_eps_t) / 2  # score SDE (39)
        yield OdeState(t, x, total)


def log_likelihood(denoiser: Denoiser, x0: Tensor, **options: object) -> Tensor:
    """log p(x_0) of each of x0 (N, *) in nats, (N,). The options are those of `integrate`."""
    *_, end = integrate(denoiser, x0, **options)  # type: ignore[arg-type]
    return log_density(denoiser.schedule, end)


def log_density(schedule: Schedule, end: OdeState) -> Tensor:
    """log p(x_0) of each image in nats, (N,), given the last state of the flow."""
    prior = DiagonalGaussian(torch.zeros_like(end.x), schedule.prior_deviation(end.t) ** 2)
    return prior.log_density(end.x).flatten(1).sum(1) + end.divergence


def _directions(x: Tensor, probes: int, seed: int, indices: Sequence[int]) -> list[Tensor]:
    """Unit vectors of all elements, or random signs, each of the shape of x."""
    if probes:
        return [
            randomness.normal(x.shape[1:], seed, Stream.HUTCHINSON, k, indices, x.device).sign().to(x)
            for k in range(probes)
        ]
    size = x.shape[1:].numel()
    return list(torch.eye(size, dtype=x.dtype, device=x.device).reshape(size, 1, *x.shape[1:]).expand(size, *x.shape))
