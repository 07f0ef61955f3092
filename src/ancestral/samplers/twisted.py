"""The twisted diffusion sampler: particles whose law tends to the posterior of a measurement as their number grows."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.device_tensors import float64_device
from ancestral.base.errors import InputError, whole
from ancestral.gaussian import normal_tail
from ancestral.operators import Operator, check_fit, check_linear, check_measurement, conjugate_gradients
from ancestral.samplers.loop import Move, Sampler, Spacing
from ancestral.schedules import Schedule
from ancestral.targets import SIGMA_DATA, Prediction


@dataclass(frozen=True, eq=False)
class Particles:
    """The weights of particles, `Step.state` of a trajectory of `TDS` from its second state on.

    Attributes:
        log_weights: Log weights (G, K), which need no sum of 1: before the last state without p̃(y | x_t).
        log_evidence: The logarithm of an unbiased estimate of p(y), (G,), with all elements of y counted, also those
            that A sets to 0. In the last state it is whole; before, it is that of the resamplings so far.
        effective: The effective sample size 1/Σw² of each group, from 1 to K, (G,), in which the particles entered the
            step before, ahead of its resampling; in the last state that of the final weights.
    """

    log_weights: Tensor
    log_evidence: Tensor
    effective: Tensor


@checked_class
@dataclass(frozen=True, eq=False)
class TDS(Sampler):
    """Draws of x_0 given y = A x_0 + σ n, by K particles for each, which are weighted and resampled.

    Each step is that of DDPM with the variance β̃, its mean moved along the gradient of the twisting function

        p̃(y | x_t) = N(y; A x̂_0(x_t), σ² 1 + r_t² A Aᵀ),    r_t² = b² v/(a² v + b²),

    which for x_0 ~ N(0, v 1) is exact. Weights correct the rest: w ← w · p(x_s | x_t) p̃(y | x_s)/(p̃(y | x_t) q(x_s |
    x_t)), with the exact likelihood at t = 0. Groups whose effective sample size 1/Σw² falls below a share of K are
    resampled systematically. With growing K the law of the particles tends to that of the samples of `DDPM("small")`
    given y, whatever the twisting function. It is that of the data up to the error of the denoiser and of the steps.

    A batch holds groups of K particles, one group after another, and the indices of a group are gK to gK + K − 1. At
    the end each particle of a group is a draw by the weights, and so is the first alone; but draws of the same group
    are not independent. The last state of the trajectory holds an estimate of the evidence p(y), and each one effective
    sample sizes (`Particles`). What is drawn for a group is a function of the seed and its indices. Times fall to 0:
    above 0 particles are not weighted yet. Each particle takes one evaluation a step, and its backward pass.

    Attributes:
        y: One measurement (1, *), or one for each group of the batch (G, *).
        operator: A.
        noise: σ, above 0, in the units of the items: [-1, 1].
        particles: K.
        variance: v, the variance of an element of the data.
        threshold: The share of K below which the effective sample size of a group has it resampled: 1 is always, 0
            never before the end.

    References:
        Wu et al., *Practical and asymptotically exact conditional sampling in diffusion models* (2023), algorithm 1;
        there the twisting function has another covariance.
        Song et al., *Pseudoinverse-guided diffusion models for inverse problems* (2023): r_t.
        Kitagawa, *Monte Carlo filter and smoother for non-Gaussian nonlinear state space models* (1996): systematic
        resampling.
    """

    y: Tensor
    operator: Operator
    noise: float
    particles: int = 16
    variance: float = SIGMA_DATA**2
    threshold: float = 0.5
    steps: int | None = 100
    clip: float | None = 1.0
    spacing: Spacing = "trailing"
    differentiates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_measurement(self.y, self.noise)
        whole(self.particles, 1, math.inf, f"the number of particles is whole, 1 or more, not {self.particles}")
        if not (self.noise > 0 and self.variance > 0 and 0 <= self.threshold <= 1):
            raise InputError(
                f"TDS needs noise and a variance above 0, and a threshold from 0 to 1, not {self.noise}, "
                f"{self.variance} and {self.threshold}"
            )

    def nfe(self, schedule: Schedule) -> int:
        """See `Sampler.nfe`: of one particle."""
        return len(self.times(schedule)) - 1

    def advance(
        self, x: Tensor, prediction: Prediction, move: Move, state: Particles | None
    ) -> tuple[Tensor, Particles]:
        """See `Sampler.advance`. The numbers of the state are float64, on the device of x if that has float64."""
        check_linear(self.operator, x)
        before = self._first(move, x) if state is None else state
        x0, shape = prediction.x0, x.shape[1:]
        made = self.operator.apply(x0.detach())
        y = check_fit(self.y, made[:: self.particles], x[:: self.particles])
        residual = (y.repeat_interleave(self.particles, 0) if len(y) > 1 else y) - made
        if move.s == 0:
            weights = before.log_weights - self._by_group(residual**2) / (2 * self.noise**2)
            constant = residual[0].numel() * math.log(self.noise * math.sqrt(2 * math.pi))
            evidence = before.log_evidence + _log_mean(weights) - constant
            offset = (self._uniform(move, 2) * self.particles).long()[:, None] + self._numbers(weights)
            ancestors = self._resampled(weights, move).gather(1, offset % self.particles)
            return x0[self._rows(ancestors, x)], Particles(weights, evidence, _effective(weights))

        a, b = move.schedule.at(move.t)
        spread = b**2 * self.variance / (a**2 * self.variance + b**2)

        def covariance(v: Tensor) -> Tensor:
            return self.noise**2 * v + spread * self.operator.apply(self.operator.adjoint(v, shape))

        solved = conjugate_gradients(covariance, residual)
        twist = -0.5 * self._by_group(residual * solved)  # log p̃(y | x_t), but for what all particles share
        (score,) = torch.autograd.grad(x0, x, self.operator.adjoint(solved, shape))
        x0 = x0.detach()
        guided = x0 + (b**2 / a if a > 0 else 0.0) * score
        guided = guided if self.clip is None else guided.clamp(-self.clip, self.clip)

        weights = before.log_weights + twist
        effective = _effective(weights)
        poor = (effective < self.threshold * self.particles)[:, None]
        ancestors = self._resampled(weights, move).where(poor, self._numbers(weights))
        rows = self._rows(ancestors, x)
        x, x0, guided = x.detach()[rows], x0[rows], guided[rows]

        p, q = (move.schedule.posterior(estimate, x, move.t, move.s) for estimate in (x0, guided))
        deviation, z = math.sqrt(float(p.variance)), move.z(0)
        shift = (q.mean - p.mean) / deviation
        ratio = -self._by_group(z * shift + 0.5 * shift**2)  # log p(x_s | x_t) − log q(x_s | x_t)
        state = Particles(
            weights.where(~poor, 0.0) + ratio - twist.gather(1, ancestors),
            before.log_evidence + _log_mean(weights).where(poor[:, 0], 0.0),
            effective,
        )
        return q.mean + deviation * z, state

    def _first(self, move: Move, x: Tensor) -> Particles:
        """Particles of equal weights. Raises InputError unless the batch is of whole groups."""
        K, count, indices = self.particles, len(x), torch.as_tensor(move.indices)
        whole_groups = count % K == 0 and bool((indices[::K] % K == 0).all())
        if not whole_groups or bool((indices.reshape(-1, K) != indices[::K, None] + torch.arange(K)).any()):
            raise InputError(
                f"a batch of TDS holds whole groups of {K} particles, with the indices 0..{K - 1}, {K}..{2 * K - 1} "
                f"and so on; these are {count} particles: give other x_T and indices"
            )
        weights = torch.zeros(count // K, K, dtype=torch.float64, device=float64_device(x.device))
        return Particles(weights, weights[:, 0], _effective(weights))

    def _by_group(self, values: Tensor) -> Tensor:
        """The sum over each particle (B, *): float64 (G, K)."""
        return self._doubled(values.detach().flatten(1).sum(1)).reshape(-1, self.particles)

    def _uniform(self, move: Move, draw: int) -> Tensor:
        """A number from U[0, 1) for each group, (G,): Φ of the first normal of its first particle."""
        return normal_tail(-self._doubled(move.z(draw)[:: self.particles].flatten(1)[:, 0]))

    @staticmethod
    def _doubled(values: Tensor) -> Tensor:
        return values.to(float64_device(values.device)).double()

    def _numbers(self, weights: Tensor) -> Tensor:
        """The numbers of the particles of a group, (K,)."""
        return torch.arange(self.particles, device=weights.device)

    def _resampled(self, weights: Tensor, move: Move) -> Tensor:
        """Ancestors within each group, int64 (G, K), by systematic resampling of its log weights."""
        K = self.particles
        positions = (self._uniform(move, 1)[:, None] + self._numbers(weights)) / K
        cumulative = weights.softmax(1).cumsum(1)
        return torch.searchsorted(cumulative, positions, right=True).clamp(max=K - 1)

    def _rows(self, ancestors: Tensor, x: Tensor) -> Tensor:
        """Rows of the batch (B,) from ancestors within each group."""
        groups = self.particles * torch.arange(len(ancestors), device=ancestors.device)
        return (ancestors + groups[:, None]).flatten().to(x.device)


def _log_mean(weights: Tensor) -> Tensor:
    """The logarithm of the mean weight of each group, (G,), of log weights (G, K)."""
    return weights.logsumexp(1) - math.log(weights.shape[1])


def _effective(weights: Tensor) -> Tensor:
    """The effective sample size of each group, (G,), of log weights (G, K)."""
    return 1 / weights.softmax(1).square().sum(1)
