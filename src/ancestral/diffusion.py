"""The reverse process p_θ and its training: a network, a schedule and a target make a denoiser.

The chain q of `schedules` is undone by p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), σ_t² I), whose mean needs only an estimate
of the noise in x_t. Training that estimate by least squares at a random time is L_simple, a reweighted variational
bound. Equation numbers are those of Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020).
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ancestral import randomness
from ancestral.errors import InputError
from ancestral.gaussian import Gaussian
from ancestral.schedules import Schedule, Time, spread
from ancestral.targets import EPS, Prediction, Target

Variance = Literal["large", "small"]
Times = Literal["uniform", "stratified"]

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, fill the unit interval more evenly than any others."""


class Diffusion(nn.Module):
    """A denoiser made of `net(x, index, **condition) -> Tensor` of the shape of x, where index = t − 1 is int64 (B,).

    `times` says how `loss` draws t: "uniform" on its own for each image, "stratified" spread evenly over the batch.
    Each image's t is uniform either way; the second makes the mean over a small batch less noisy (Kingma et al. 2021,
    appendix I.1).
    """

    def __init__(self, net: nn.Module, schedule: Schedule, target: Target = EPS, times: Times = "uniform") -> None:
        super().__init__()
        self.net = net
        self.schedule = schedule
        self.target = target
        self.times = times
        if times not in ("uniform", "stratified"):
            raise InputError(f"unknown times {times!r}; there are uniform and stratified")

    def output(self, x_t: Tensor, t: Time, **condition: Tensor) -> Tensor:
        """The network's raw answer at time t, of the shape and dtype of x_t. Here alone t becomes the index t − 1."""
        times = torch.full((len(x_t),), t) if isinstance(t, int) else t
        if times.device.type == "cpu" and times.numel() and int(times.min()) < 1:
            raise InputError("a denoiser is asked about times 1..T; at t = 0 there is no noise to find")
        output: Tensor = self.net(x_t, (times - 1).to(x_t.device, non_blocking=True), **condition)
        return output.to(x_t.dtype)

    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        """Estimates of x_0 and ε for x_t of shape (B, *) at times t in 1..T."""
        return self.target.solve(x_t, self.output(x_t, t, **condition), *self.schedule.at(t))

    def add_noise(self, x0: Tensor, t: Time, eps: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0), eq. (4), of shape (B, *)."""
        return self.schedule.add_noise(x0, t, eps)

    def posterior(self, x0: Tensor, x_t: Tensor, t: Time, s: Time | None = None) -> Gaussian:
        """q(x_s | x_t, x_0), eqs. (6) and (7); s is t − 1 unless given."""
        return self.schedule.posterior(x0, x_t, t, t - 1 if s is None else s)

    def mean(self, x_t: Tensor, t: Time, **condition: Tensor) -> Tensor:
        """μ_θ(x_t, t) as the lecture writes it, of shape (B, *).

        `reverse` reaches the same mean through x̂_0, which also allows clipping and a_t = 0; a test holds them equal.
        """
        (a, b), (a_s, _) = self.schedule.at(t), self.schedule.at(t - 1)
        root_alpha, beta_over_noise = a / a_s, self.schedule.forward_variance(t, t - 1) / b
        eps = self.predict(x_t, t, **condition).eps
        return (x_t - spread(beta_over_noise, x_t) * eps) / spread(root_alpha, x_t)  # (11)

    def errors(self, x0: Tensor, t: Time, eps: Tensor, **condition: Tensor) -> Tensor:
        """‖target − output‖² of each image, averaged over its elements: shape (B,)."""
        x_t = self.add_noise(x0, t, eps)
        error = self.target.of(x0, eps, *self.schedule.at(t)) - self.output(x_t, t, **condition)
        return (error**2).flatten(1).mean(1)

    def loss(
        self, x0: Tensor, seed: int = 0, step: int = 0, indices: Sequence[int] | None = None, **condition: Any
    ) -> Tensor:
        """L_simple over clean images x0 of shape (B, *): a scalar.

        t ~ Uniform{1..T} and ε ~ N(0, I) of each image depend on (seed, step, index) alone, so a training loop counts
        `step` up: the same step draws the same numbers again. `indices` are the images'
        places in the global batch, 0..B−1 unless given.
        """
        places = range(len(x0)) if indices is None else indices
        t = self.draw_times(seed, step, places)
        eps = randomness.normal(x0.shape[1:], seed, "forward", step, places, x0.device).to(x0.dtype)
        return self.errors(x0, t, eps, **condition).mean()  # (14)  L_simple = E ‖ε − ε_θ(√ᾱ_t x_0 + √(1−ᾱ_t) ε, t)‖²

    def draw_times(self, seed: int, step: int, places: Sequence[int]) -> Tensor:
        """T ~ Uniform{1..T} for the images at `places` of the global batch: int64 (len(places),), on the CPU."""
        if self.times == "uniform":
            return randomness.integers(1, self.schedule.steps, seed, "time", step, places)
        shared = randomness.uniform(seed, "time", step, [0])
        spread_out = (shared + torch.tensor(places, dtype=torch.float64) * GOLDEN) % 1
        return 1 + (spread_out * self.schedule.steps).long()


def reverse(schedule: Schedule, x0: Tensor, x_t: Tensor, t: Time, s: Time, variance: Variance) -> Gaussian:
    """p_θ(x_s | x_t) of an estimate x0 of the clean images: the posterior with x̂_0 in the place of x_0, eq. (1).

    `variance` is one of the paper's two fixed choices (§3.2): "large" is optimal for x_0 ~ N(0, I), "small" for one
    x_0.
    """
    mean = schedule.posterior(x0, x_t, t, s).mean  # μ_θ(x_t, t) = μ̃_t(x_t, x̂_0), (7); for s = t − 1 this is (11)
    if variance == "large":
        return Gaussian(mean, spread(schedule.forward_variance(t, s), x_t))  # σ_t² = β_t
    if variance == "small":
        return Gaussian(mean, spread(schedule.posterior_variance(t, s), x_t))  # σ_t² = β̃_t
    raise InputError(f"unknown variance {variance!r}; there are large and small")


def prior(
    schedule: Schedule, shape: Sequence[int], seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
) -> Tensor:
    """x_T ~ p(x_T) = N(0, prior_std² I) for the images `indices` of this seed: float32 (len(indices), *shape)."""
    return schedule.prior_std * randomness.normal(shape, seed, "prior", 0, indices, device)
