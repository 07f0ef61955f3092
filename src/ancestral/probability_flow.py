"""The exact likelihood of a denoiser's probability-flow ODE (Song et al. 2021, eqs. 13 and 39).

Sampling without noise moves x along dx = x̂_0 da + ε̂ db, an invertible flow, so by the change of variables

    log p(x_0) = log p(x_T) + ∫ div(dx),      div(dx) = div x̂_0 da + div ε̂ db,   from the data to the prior.

Both integrals are computed by the trapezoid rule, of order 2, along the schedule's curve (a, b), or with adaptive steps
of order 5. They begin at t = 0, where x̂_0 = x and ε̂ = 0 for data that has a density.

Where gradients are recorded, states and likelihoods are differentiable in x_0 and in the leaves that the denoiser
reads, such as the parameters of a network, but not in those of a learned schedule. The gradient is that of the steps
that are made, to rounding, where adaptive steps have the lengths that they have. Each step is computed again in the
backward pass, so that beside the memory of one step a state of each is kept. Without need of gradients call it under
`torch.no_grad()`, which keeps nothing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.adaptive import angle, check_rtol, dormand_prince, flow_state, parameters, records, velocity
from ancestral.base.errors import InputError, whole
from ancestral.base.transforms import pullback, recomputed
from ancestral.gaussian import DiagonalGaussian
from ancestral.randomness import Stream
from ancestral.samplers.loop import Spacing, spaced_times
from ancestral.schedules import Schedule, Time, broadcast, check_floats
from ancestral.targets import X0, Denoiser, Prediction, check_denoiser


class OdeState(NamedTuple):
    """The state of the integration at time t, one or (N,): x (N, *) and ∫ div from 0 to t (N,), in nats."""

    t: Time
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
    rtol: float | None = None,
    **condition: Tensor,
) -> Iterator[OdeState]:
    """Integrate the probability flow from data to noise.

    The steps are those of the schedule's times, with two evaluations of the denoiser each, or adaptive, with six.

    Args:
        denoiser: What estimates x_0.
        x0: Data with a density, floats (N, *).
        steps: The number of the schedule's times; all by default.
        probes: 0 for the exact divergence, by one backward pass for each element of x, or the number of random sign
            vectors in Hutchinson's unbiased estimate.
        seed: The seed of the signs, which are functions of (seed, index).
        spacing: How the times are spaced; "leading" ends below T.
        indices: The indices of the data within the seed, 0..N−1 by default.
        rtol: The tolerance of adaptive steps, each item with its own, in the place of `steps` and `spacing`; see
            `adaptive.dormand_prince`. They evaluate the denoiser between the integer times, below t = 1 too.
        condition: What the denoiser is conditioned on.

    Yields:
        The state at t = 0 and after each step; of adaptive steps the last is at T. Differentiable in x0 and the leaves
        that the denoiser reads, any number of times; see above.

    Raises:
        InputError: If x0 is not of floats, `probes` is negative, the times cannot be used (see `spaced_times`), or both
            `steps` and `rtol` are given.

    References:
        Song et al., *Score-based generative modeling through stochastic differential equations* (2021), eqs. 13 and 39.
    """
    check_denoiser(denoiser)
    check_floats(x0)
    schedule = denoiser.schedule
    indices = range(len(x0)) if indices is None else indices
    probes = whole(probes, 0, math.inf, f"probes is a whole number, 0 (exact) or more, not {probes}")
    recorded = records(x0)
    flow = _Flow(denoiser, condition, _directions(x0, probes, seed, indices), probes, {} if recorded else None)
    size = x0.shape[1:].numel()

    def slope(theta: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """du/dθ and its divergence."""
        x, t, s = flow_state(schedule, theta, state[0])
        prediction, div_x0, div_eps = flow.evaluate(x, t)
        scale, cos, sin = (broadcast(value, div_x0) for value in (s, theta.cos(), theta.sin()))
        return velocity(prediction, theta), (scale * (cos * div_eps - sin * div_x0))[:, None]

    x, total = x0, x0.new_zeros(len(x0))
    yield OdeState(0, x, total)
    if rtol is not None:
        if steps is not None:
            raise InputError("with rtol the steps are adaptive: leave steps out")
        check_rtol(rtol, x0)
        end_angle = angle(schedule, schedule.steps)
        for theta, (u, part) in dormand_prince(slope, (x0, total[:, None]), 0.0, end_angle, rtol, flow.leaves):
            with torch.no_grad():
                _, t, s = flow_state(schedule, theta, u)
            total = part.squeeze(1)
            # x = s u, and div(u ds) = size · d log s
            yield OdeState(t, broadcast(s, u) * u, total + size * broadcast(s.log(), total))
        return
    for start, end in pairwise(reversed(spaced_times(schedule, steps, spacing))):
        step = partial(flow.step, start, end)
        if flow.leaves is None:
            x, total = step(x, total)
        else:
            with torch.no_grad():
                results = step(x.detach(), total.detach())
            x, total = recomputed(step, (x, total), flow.leaves.values(), results)
        yield OdeState(end, x, total)


class _Flow(NamedTuple):
    """Estimates of a denoiser with their divergences. Where gradients are recorded, `leaves` are those met so far."""

    denoiser: Denoiser
    condition: Mapping[str, Tensor]
    directions: Sequence[Tensor]
    probes: int
    leaves: dict[int, Tensor] | None

    def step(self, start: int, end: int, x: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
        """A step of the trapezoid rule: x (N, *) and ∫ div (N,) at its end."""
        at = self.denoiser.schedule.at
        da, db = (late - early for late, early in zip(at(end), at(start), strict=True))
        (x0_s, eps_s), div_x0_s, div_eps_s = self.evaluate(x, start)
        (x0_t, eps_t), div_x0_t, div_eps_t = self.evaluate(x + da * x0_s + db * eps_s, end)
        x = x + da * (x0_s + x0_t) / 2 + db * (eps_s + eps_t) / 2  # score SDE (13)
        return x, total + da * (div_x0_s + div_x0_t) / 2 + db * (div_eps_s + div_eps_t) / 2  # score SDE (39)

    def evaluate(self, x: Tensor, t: Time) -> tuple[Prediction, Tensor, Tensor]:
        """x̂_0 and ε̂ at x, and the divergence of each; times (N,) are all 0 or all above."""
        (a, b), size = self.denoiser.schedule.at(t), x.shape[1:].numel()
        if not bool(torch.as_tensor(b).any()):
            return Prediction(x, torch.zeros_like(x)), x.new_full((len(x),), size), x.new_zeros(len(x))

        def predict(x: Tensor) -> tuple[Tensor]:
            x0 = self.denoiser.predict(x, t, **self.condition).x0
            if self.leaves is not None and x.is_leaf:
                found = parameters(self.denoiser.schedule, x0)
                found.pop(id(x), None)
                self.leaves.update(found)
            return (x0,)

        (estimate,), transpose = pullback(predict, x)
        products = [(v * transpose(v)).flatten(1).sum(1) for v in self.directions]
        div_x0 = torch.stack(products).sum(0) / (self.probes or 1)  # score SDE (40)
        a, b = (scale.to(div_x0.dtype) if isinstance(scale, Tensor) else scale for scale in (a, b))
        div_eps = (size - broadcast(a, div_x0) * div_x0) / broadcast(b, div_x0)
        return X0.solve(x, estimate, a, b), div_x0, div_eps


def log_likelihood(denoiser: Denoiser, x0: Tensor, **options: object) -> Tensor:
    """log p(x_0) of each of x0 (N, *) in nats, (N,). The options are those of `integrate`.

    Differentiable in x0 and the leaves that the denoiser reads, such as the parameters of a network, any number of
    times; not in the parameters of a learned schedule. See the head of this module.
    """
    *_, end = integrate(denoiser, x0, **options)  # type: ignore[arg-type]
    return log_density(denoiser.schedule, end)


def log_density(schedule: Schedule, end: OdeState) -> Tensor:
    """log p(x_0) of each image in nats, (N,), given its last state. Differentiable in its x and divergence."""
    with torch.no_grad():
        variance = broadcast(schedule.prior_deviation(end.t) ** 2, end.x)
    prior = DiagonalGaussian(torch.zeros_like(end.x), variance)
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
