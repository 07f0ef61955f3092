"""How the loss is weighted over time, and which times it is asked at.

Every weighting is a weight on ‖x_0 − x̂_0‖², and by x_0 = (q x_t − b output)/d the same on the network's own error is
that times (b/d)². So one definition serves every target.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.errors import InputError
from ancestral.randomness import Stream
from ancestral.schedules import Schedule
from ancestral.targets import SIGMA_DATA, Target

Weighting = Literal["simple", "snr", "min-snr", "variational", "edm"]
TimesName = Literal["uniform", "stratified", "lognormal", "importance"]

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, fill the unit interval more evenly than any others."""

GAMMA = 5.0
"""Min-SNR's γ, as its authors recommend."""


def on_x0(name: Weighting, schedule: Schedule) -> Tensor:
    """The weight on ‖x_0 − x̂_0‖² at t = 1..T: float64 (T,). Raises InputError for an unknown name."""
    snr = schedule.snr
    if name == "variational" and schedule.steps < 2:
        raise InputError("the variational weighting needs a schedule of at least 2 steps: the last is decoded with β̃_2")
    if name == "snr":
        return snr[1:]  # ‖ε − ε̂‖²: L_simple (14), and NCSN's λ(σ) = σ² on the score
    if name == "min-snr":
        return snr[1:].clamp(max=GAMMA)  # Hang et al. 2023
    if name == "variational":  # T L_{t−1} with σ² = β̃ in bits/dim (Kingma et al. 2021, eq. 15); β̃_2 decodes at t = 1
        first = 1 / torch.as_tensor(schedule.posterior_variance(2, 1), dtype=torch.float64)
        return schedule.steps / (2 * math.log(2)) * torch.cat([first[None], snr[1:-1] - snr[2:]])
    if name == "edm":
        return snr[1:] + 1 / SIGMA_DATA**2  # Karras et al. 2022, table 1: λ(σ) = (σ² + σ_d²)/(σ σ_d)²
    raise InputError(f"unknown weighting {name!r}; there are simple, snr, min-snr, variational and edm")


def table(name: Weighting, schedule: Schedule, target: Target) -> Tensor | None:
    """The weight on the network's squared error at t = 0..T: float64 (T + 1,), or None for "simple", which is 1."""
    if name == "simple":
        return None
    a, b = schedule.at(torch.arange(1, schedule.steps + 1))
    weights = on_x0(name, schedule) * (b / target.determinant(a, b)) ** 2
    if not bool(weights.isfinite().all()):
        raise InputError(f"the weighting {name} has no meaning for the target {target.name} where no signal is left")
    return torch.cat([torch.zeros(1, dtype=torch.float64), weights])


class Times(ABC):
    """A way to draw t. Most are functions of (seed, step, place); one that learns says what it keeps as `state`."""

    @abstractmethod
    def draw(self, seed: int, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Draw t in {1, ..., T} for the samples at `places` of the global batch: a function of its arguments.

        Returns (t, importance weights or None): int64 (len(places),) on the CPU, and float64 factors of the losses.
        """

    def learn(self, t: Tensor, losses: Tensor) -> None:  # noqa: B027  # most have nothing to learn
        """Remember the losses (B,) that were drawn at times t (B,), with their factors."""

    @property
    def state(self) -> dict[str, Tensor]:
        """The tensors to keep with the weights, by name; a restart copies them back in place."""
        return {}


class Uniform(Times):
    """Each t as likely as the others; `even` spreads the t of a batch, by multiples of the golden ratio after one
    shared draw, which makes the mean over a small batch less noisy (Kingma et al. 2021, appendix I.1).
    """

    def __init__(self, schedule: Schedule, even: bool = False) -> None:
        self.steps, self.even = schedule.steps, even

    def draw(self, seed: int, step: int, places: Sequence[int]) -> tuple[Tensor, None]:
        """See `Times`."""
        u = evenly(seed, step, places) if self.even else randomness.uniform(seed, Stream.TIME, step, places)
        return 1 + (u * self.steps).long(), None


class LogNormal(Times):
    """EDM's choice (Karras et al. 2022, table 1): ln σ ~ N(mean, std²) for σ = b/a, here on the schedule's own levels.

    It is part of the weighting, so the losses are not corrected for it.
    """

    def __init__(self, schedule: Schedule, mean: float = -1.2, std: float = 1.2) -> None:
        level = (schedule.noise[1:] / schedule.signal[1:]).log()  # each t stands for the levels that are nearest to it
        edges = torch.special.ndtr((0.5 * (level[1:] + level[:-1]) - mean) / std)
        self.chances = torch.diff(edges, prepend=edges.new_zeros(1), append=edges.new_ones(1))

    def draw(self, seed: int, step: int, places: Sequence[int]) -> tuple[Tensor, None]:
        """See `Times`."""
        return _invert(self.chances, evenly(seed, step, places)), None


class Importance(Times):
    """Improved DDPM's choice (Nichol and Dhariwal 2021, eq. 18): p_t ∝ √E[L_t²], from the last 10 losses of each t.

    Until each t has been asked 10 times, all are equally likely. The history is state: whoever trains tells it the
    losses by `learn`, and keeps `state` with the weights.
    """

    KEEP = 10
    UNIFORM = 0.001
    """Share of the draws that stays uniform, so that no t is forgotten."""

    def __init__(self, schedule: Schedule) -> None:
        self.history = torch.zeros(schedule.steps, self.KEEP, dtype=torch.float64)
        self.counts = torch.zeros(schedule.steps, dtype=torch.int64)

    @property
    def chances(self) -> Tensor:
        """p_t for t = 1..T, float64: all equal also where every loss is 0."""
        flat = torch.full((len(self.counts),), 1 / len(self.counts), dtype=torch.float64)
        peak = self.history.abs().max()  # divided by, so that no square overflows
        if bool((self.counts < self.KEEP).any()) or not float(peak) > 0:
            return flat
        size = ((self.history / peak) ** 2).mean(1).sqrt()
        return torch.lerp(size / size.sum(), flat, self.UNIFORM)

    def draw(self, seed: int, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `Times`."""
        chances = self.chances
        t = _invert(chances, evenly(seed, step, places))
        return t, 1 / (len(chances) * chances[t - 1])

    @property
    def state(self) -> dict[str, Tensor]:
        """See `Times`."""
        return {"history": self.history, "counts": self.counts}

    def learn(self, t: Tensor, losses: Tensor) -> None:
        """See `Times`. A loss that is not finite is not remembered: its t would be drawn with p_t = NaN."""
        raw = losses.double().cpu() * len(self.counts) * self.chances[t - 1]
        for time, loss in zip(t.tolist(), raw.tolist(), strict=True):
            if math.isfinite(loss):
                self.history[time - 1, int(self.counts[time - 1]) % self.KEEP] = loss
                self.counts[time - 1] += 1


def times(name: TimesName, schedule: Schedule) -> Times:
    """The draw called `name`. All but "uniform" spread the t of a batch evenly. Raises InputError."""
    kinds: dict[str, Callable[[Schedule], Times]] = {"lognormal": LogNormal, "importance": Importance}
    if name not in ("uniform", "stratified", *kinds):
        raise InputError(f"unknown times {name!r}; there are uniform, stratified, lognormal and importance")
    return kinds[name](schedule) if name in kinds else Uniform(schedule, even=name == "stratified")


def evenly(seed: int, step: int, places: Sequence[int]) -> Tensor:
    """U[0, 1) for each place, spread over the batch: float64 (len(places),)."""
    shared = randomness.uniform(seed, Stream.TIME, step, [0])
    return (shared + torch.tensor(places, dtype=torch.float64) * GOLDEN) % 1


def _invert(chances: Tensor, u: Tensor) -> Tensor:
    """t = 1 + the number of cumulated chances that u has passed."""
    return 1 + torch.searchsorted(chances.cumsum(0), u, right=True).clamp(max=len(chances) - 1)
