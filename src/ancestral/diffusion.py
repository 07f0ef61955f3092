"""Training and asking a network: with a schedule and a target it is a denoiser.

Least squares at a random time is L_simple, a reweighted variational bound. Equation numbers are those of Ho, Jain and
Abbeel, *Denoising diffusion probabilistic models* (2020).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ancestral import randomness, reverse
from ancestral import weighting as _weighting
from ancestral.errors import InputError
from ancestral.gaussian import Gaussian
from ancestral.randomness import Stream
from ancestral.schedules import Schedule, Time, broadcast, check_count
from ancestral.targets import EPS, Prediction, Target
from ancestral.weighting import TimesName, Weighting

HYBRID = 0.001
"""λ of L_hybrid = L_simple + λ L_vlb (Nichol and Dhariwal 2021, eq. 16)."""


class Diffusion(nn.Module):
    """A denoiser made of `net(x, index, **condition) -> Tensor` of the shape of x, where index = t − 1 is int64 (B,).

    `times` says how the loss draws t and `weighting` what each t counts; see `weighting`. With `learned_variance` the
    network answers with twice the channels: the target, and where the variance lies between β̃ (−1) and β (1), trained
    by the bound. With `clip` the loss is that of x̂_0 clipped to [−1, 1], as samplers use it.
    """

    def __init__(
        self,
        net: nn.Module,
        schedule: Schedule,
        target: Target = EPS,
        times: TimesName = "uniform",
        weighting: Weighting = "simple",
        learned_variance: bool = False,
        clip: bool = False,
    ) -> None:
        super().__init__()
        self.net = net
        self.schedule = schedule
        self.target = target
        self.times = _weighting.times(times, schedule)
        self.weights = _weighting.table(weighting, schedule, target)
        self.learned_variance, self.clip = learned_variance, clip
        if learned_variance and schedule.steps < 2:
            raise InputError("a learned variance needs a schedule of at least 2 steps: it lies between β̃ and β")

    def output(self, x_t: Tensor, t: Time, **condition: Tensor) -> Tensor:
        """The network's raw answer at time t, in the dtype of x_t. Here alone t becomes the index t − 1."""
        t = self.schedule.time(t)
        if isinstance(t, Tensor):
            check_count(t, x_t)
        if t < 1 if isinstance(t, int) else t.numel() and int(t.min()) < 1:
            raise InputError("a denoiser takes times 1..T; at t = 0 there is no noise to find")
        x = broadcast(self.target.input_scale(*self.schedule.at(t)), x_t) * x_t
        times = torch.full((len(x_t),), t) if isinstance(t, int) else t.expand(len(x_t))
        output: Tensor = self.net(x, (times - 1).to(x_t.device, non_blocking=True), **condition)
        return output.to(x_t.dtype)

    def predict(self, x_t: Tensor, t: Time, **condition: Tensor) -> Prediction:
        """Estimates of x_0 and ε for x_t of shape (B, *) at times t in 1..T."""
        return self._prediction(x_t, self.output(x_t, t, **condition), t)

    def _prediction(self, x_t: Tensor, output: Tensor, t: Time) -> Prediction:
        """What the output says of x_0 and ε, and of the variance where that is learned."""
        x0, eps = self.target.solve(x_t, self._answer(output, x_t), *self.schedule.at(t))
        return Prediction(x0, eps, (output.chunk(2, dim=1)[1] + 1) / 2 if self.learned_variance else None)

    def _answer(self, output: Tensor, x: Tensor) -> Tensor:
        """The part of the output that answers the target. Raises InputError where it is not of the shape of x."""
        answer = output.chunk(2, dim=1)[0] if self.learned_variance else output
        if answer.shape != x.shape or (self.learned_variance and output.shape[1] != 2 * x.shape[1]):
            raise InputError(
                f"the network answers {list(output.shape)} to x of {list(x.shape)}; it should be of one shape, and "
                "with learned_variance, and only then, have twice the channels"
            )
        return answer

    def add_noise(self, x0: Tensor, t: Time, eps: Tensor) -> Tensor:
        """x_t ~ q(x_t | x_0), eq. (4), of shape (B, *)."""
        return self.schedule.add_noise(x0, t, eps)

    def posterior(self, x0: Tensor, x_t: Tensor, t: Time, s: Time | None = None) -> Gaussian:
        """q(x_s | x_t, x_0), eqs. (6) and (7); s is t − 1 unless given."""
        return self.schedule.posterior(x0, x_t, t, t - 1 if s is None else s)

    def mean(self, x_t: Tensor, t: Time, **condition: Tensor) -> Tensor:
        """μ_θ(x_t, t) as the lecture writes it, of shape (B, *).

        `reverse.transition` reaches the same mean through x̂_0, which also allows clipping and a_t = 0; a test holds
        them equal.
        """
        (a, b), (a_s, _) = self.schedule.at(t), self.schedule.at(t - 1)
        root_alpha, beta_over_noise = a / a_s, self.schedule.forward_variance(t, t - 1) / b
        eps = self.predict(x_t, t, **condition).eps
        return (x_t - broadcast(beta_over_noise, x_t) * eps) / broadcast(root_alpha, x_t)  # (11)

    def errors(self, x0: Tensor, t: Time, eps: Tensor, **condition: Tensor) -> Tensor:
        """What each image costs at its time t: shape (B,).

        ‖target − output‖² averaged over its elements, times the weight of t; and with a learned variance, λ of the
        bound, T times the cost of the step from t, in which only the variance learns.
        """
        x_t = self.add_noise(x0, t, eps)
        output = self.output(x_t, t, **condition)
        answer, at = self._answer(output, x_t), self.schedule.at(t)
        if self.clip:  # what lies beyond costs nothing, so black can be black; the gradient stays the answer's own
            clipped = self._prediction(x_t, output.detach(), t).clipped(1.0, x_t, *at)
            answer = answer + (self.target.from_x0_eps(clipped.x0, clipped.eps, *at) - answer).detach()
        error = self.target.from_x0_eps(x0, eps, *at) - answer
        errors = (error**2).flatten(1).mean(1)
        if self.weights is not None:
            errors = errors * self.weights[self.schedule.time(t)].to(errors)
        if self.learned_variance:
            p = self._prediction(x_t, output, t)
            frozen = Prediction(p.x0.detach(), p.eps.detach(), p.variance_fraction)
            bound = self.schedule.steps * reverse.cost(self.schedule, frozen, x0, x_t, t, "learned")
            errors = errors + HYBRID * bound  # L_hybrid (16 of Nichol and Dhariwal)
        return errors

    def losses(
        self, x0: Tensor, *, step: int, seed: int = 0, indices: Sequence[int] | None = None, **condition: Any
    ) -> tuple[Tensor, Tensor]:
        """The loss of each image, at a random time t and with random noise ε.

        Args:
            x0: Clean images in [−1, 1], of shape (B, *).
            step: Number of the training step. t and ε are functions of (seed, step, index) alone: the same step draws
                the same numbers again, so a training loop counts it up.
            seed: Seed of the training run.
            indices: Positions of the images in the global batch, 0..B−1 unless given.
            condition: What the network is conditioned on, for example `labels`.

        Returns:
            The times t, int64 of shape (B,) on the CPU, and the losses, of shape (B,), whose mean is the loss.
        """
        places = range(len(x0)) if indices is None else indices
        t, factors = self.times.draw(seed, step, places)
        eps = randomness.normal(x0.shape[1:], seed, Stream.FORWARD, step, places, x0.device).to(x0.dtype)
        errors = self.errors(x0, t, eps, **condition)
        return t, errors if factors is None else errors * factors.to(errors)

    def loss(
        self, x0: Tensor, *, step: int, seed: int = 0, indices: Sequence[int] | None = None, **condition: Any
    ) -> Tensor:
        """L_simple over clean images, the mean of `losses`.

        Args:
            x0: Clean images in [−1, 1], of shape (B, *), at least one.
            step: As in `losses`, like seed, indices and condition.
            seed: Seed of the training run.
            indices: Positions of the images in the global batch, 0..B−1 unless given.
            condition: What the network is conditioned on, for example `labels`.

        Returns:
            A scalar.

        Raises:
            InputError: If there are no images, or they are not floats.
        """
        if not len(x0):
            raise InputError("the loss of no images is not defined: x0 needs at least one")
        _, losses = self.losses(x0, step=step, seed=seed, indices=indices, **condition)
        return losses.mean()  # (14)  L_simple = E ‖ε − ε_θ(√ᾱ_t x_0 + √(1−ᾱ_t) ε, t)‖²
