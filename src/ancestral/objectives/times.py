"""Distributions of the time t in a training step."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.base.registries import TIMES, TimesName
from ancestral.randomness import Stream
from ancestral.schedules import Schedule

GOLDEN = (5**0.5 - 1) / 2
"""The golden ratio's fraction. Its multiples modulo 1 fill the unit interval more evenly than those of any other."""


class TimeDistribution(ABC):
    """A distribution of t: on the integers 1..T, or `continuous`, on the interval (0, T].

    Most are functions of (seed, step, position); one that learns has a `state`.
    """

    continuous: bool = False

    @abstractmethod
    def draw(self, seed: int, step: int, positions: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Draw t for the samples at `positions` of the global batch.

        Args:
            seed: The seed of the training run.
            step: The training step.
            positions: The samples' positions in the global batch, B of them.

        Returns:
            t, int64 (B,) on the CPU, or float64 if continuous, and importance weights of the losses, float64 (B,), or
            None where all are 1.
        """

    def update(self, t: Tensor, losses: Tensor) -> None:  # noqa: B027  # most have nothing to learn
        """Learn from the losses (B,), importance weights included, at times t (B,)."""

    @property
    def learns(self) -> bool:
        """Whether `update` learns."""
        return type(self).update is not TimeDistribution.update

    @property
    def state(self) -> dict[str, Tensor]:
        """Tensors to save with the weights, by name; a restart copies the saved values into them in place."""
        return {}


class UniformTimes(TimeDistribution):
    """Each t with the same probability, each sample independent of the others."""

    def __init__(self, schedule: Schedule, continuous: bool = False) -> None:
        self.steps, self.continuous = schedule.steps, continuous

    def draw(self, seed: int, step: int, positions: Sequence[int]) -> tuple[Tensor, None]:
        """See `TimeDistribution.draw`."""
        u = self.unit(seed, step, positions)
        return (u + 2**-53) * self.steps if self.continuous else 1 + (u * self.steps).long(), None

    def unit(self, seed: int, step: int, positions: Sequence[int]) -> Tensor:
        """Draw from U[0, 1) for each position: float64 (len(positions),)."""
        return randomness.uniform(seed, Stream.TIME, step, positions)


class StratifiedTimes(UniformTimes):
    """Each t with the same probability, spread evenly over a batch, so that its mean loss is less noisy.

    References:
        Kingma et al., *Variational diffusion models* (2021), appendix I.1.
    """

    def unit(self, seed: int, step: int, positions: Sequence[int]) -> Tensor:
        """See `UniformTimes.unit`."""
        return stratified(seed, step, positions)


class AnswerTimes(TimeDistribution):
    """The times of a sampler of a few steps, T and its fractions, each with the same probability.

    Args:
        count: The number of times.
    """

    def __init__(self, count: int) -> None:
        self.count, self.steps = count, count

    def draw(self, seed: int, step: int, positions: Sequence[int]) -> tuple[Tensor, None]:
        """See `TimeDistribution.draw`."""
        return self._times(randomness.integers(0, self.count - 1, seed, Stream.TIME, step, positions)), None

    def nearest(self, t: Tensor) -> Tensor:
        """Return the nearest of the times to times (B,), int64."""
        return self._times(((self.steps - t.double()) * self.count / self.steps).round().clamp(max=self.count - 1))

    def _times(self, number: Tensor) -> Tensor:
        return (self.steps - number.double() * self.steps / self.count).round().long()


class LogNormalTimes(TimeDistribution):
    """EDM's distribution: ln σ ~ N(mean, std²) for σ = b/a; of the integer times' noise levels, unless continuous.

    It is part of EDM's weighting, so there are no importance weights. The logit of a flow's time t = b is ln(b/a), so
    the logit-normal distribution of rectified flows is the same one, with JiT's mean and deviation of 0.8.

    References:
        Karras et al., *Elucidating the design space of diffusion-based generative models* (2022), table 1.
        Esser et al., *Scaling rectified flow transformers for high-resolution image synthesis* (2024), section 3.1.
    """

    def __init__(self, schedule: Schedule, continuous: bool = False, mean: float = -1.2, std: float = 1.2) -> None:
        self.schedule, self.continuous, self.mean, self.std = schedule, continuous, mean, std

    @property
    def probabilities(self) -> Tensor:
        """Probabilities of t = 1..T, float64 (T,): each t stands for the noise levels that are nearest to its own."""
        level = (self.schedule.noise[1:] / self.schedule.signal[1:]).log()
        edges = torch.special.ndtr((0.5 * (level[1:] + level[:-1]) - self.mean) / self.std)
        return torch.diff(edges, prepend=edges.new_zeros(1), append=edges.new_ones(1))

    def draw(self, seed: int, step: int, positions: Sequence[int]) -> tuple[Tensor, None]:
        """See `TimeDistribution.draw`. A continuous t is at most T."""
        u = stratified(seed, step, positions)
        if not self.continuous:
            return _invert(self.probabilities, u), None
        sigma = (self.mean + self.std * torch.special.ndtri(u + 2**-54)).exp()
        return torch.as_tensor(self.schedule.time_at(sigma)).clamp(max=self.schedule.steps), None


class ImportanceTimes(TimeDistribution):
    """Improved DDPM's distribution: p_t ∝ √E[L_t²], estimated from the last 10 losses at each t.

    It is uniform until there are 10 losses at every t. The history is state: the trainer passes the losses to `update`
    and saves `state` with the weights.

    References:
        Nichol and Dhariwal, *Improved denoising diffusion probabilistic models* (2021), eq. 18.
    """

    KEEP = 10
    UNIFORM = 0.001
    """Share of the distribution that stays uniform, so that every t keeps a probability above 0."""

    def __init__(self, schedule: Schedule, continuous: bool = False) -> None:
        """Raises InputError for continuous times: the losses of each integer time are remembered."""
        if continuous:
            raise InputError("importance times remember the loss of each integer time, so they cannot be continuous")
        self.history = torch.zeros(schedule.steps, self.KEEP, dtype=torch.float64)
        self.counts = torch.zeros(schedule.steps, dtype=torch.int64)

    @property
    def probabilities(self) -> Tensor:
        """p_t for t = 1..T, float64 (T,); uniform also where every loss is 0."""
        flat = torch.full((len(self.counts),), 1 / len(self.counts), dtype=torch.float64)
        peak = self.history.abs().max()  # divided by, so that no square overflows
        if bool((self.counts < self.KEEP).any()) or not float(peak) > 0:
            return flat
        size = ((self.history / peak) ** 2).mean(1).sqrt()
        return torch.lerp(size / size.sum(), flat, self.UNIFORM)  # improved DDPM (18)

    def draw(self, seed: int, step: int, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `TimeDistribution.draw`."""
        probabilities = self.probabilities
        t = _invert(probabilities, stratified(seed, step, positions))
        return t, 1 / (len(probabilities) * probabilities[t - 1])

    def update(self, t: Tensor, losses: Tensor) -> None:
        """See `TimeDistribution.update`. A loss that is not finite is ignored: it would make p_t NaN."""
        raw = losses.double().cpu() * len(self.counts) * self.probabilities[t - 1]
        for time, loss in zip(t.tolist(), raw.tolist(), strict=True):
            if math.isfinite(loss):
                self.history[time - 1, int(self.counts[time - 1]) % self.KEEP] = loss
                self.counts[time - 1] += 1

    @property
    def state(self) -> dict[str, Tensor]:
        """See `TimeDistribution.state`."""
        return {"history": self.history, "counts": self.counts}


def time_distribution(name: TimesName, schedule: Schedule, continuous: bool = False) -> TimeDistribution:
    """Build the time distribution called `name`, of integers or continuous.

    Raises:
        InputError: For an unknown name, and one that cannot be continuous.
    """
    times: TimeDistribution = TIMES.find(name).make(schedule, continuous)
    return times


def stratified(seed: int, step: int, positions: Sequence[int]) -> Tensor:
    """Draw U[0, 1) for each position, spread evenly over the batch: float64 (len(positions),).

    One draw is shared; each position adds a multiple of the golden ratio.
    """
    shared = randomness.uniform(seed, Stream.TIME, step, [0])
    return (shared + torch.tensor(positions, dtype=torch.float64) * GOLDEN) % 1


def _invert(probabilities: Tensor, u: Tensor) -> Tensor:
    """t whose cumulated probability is the first above u."""
    return 1 + torch.searchsorted(probabilities.cumsum(0), u, right=True).clamp(max=len(probabilities) - 1)
