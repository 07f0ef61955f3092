"""The objectives: losses of a batch at a training step, as functions of (seed, step, position)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ancestral import randomness, reverse, samplers
from ancestral.base.arguments import checked_class, shown
from ancestral.base.device_tensors import kept
from ancestral.base.errors import InputError, whole
from ancestral.objectives.times import TimeDistribution
from ancestral.randomness import Stream
from ancestral.schedules import Time
from ancestral.targets import Denoiser, Prediction, Target

OBSERVED_NAME = "observed"
"""The argument of networks with the values of an item that they are given, (B, 2 C + 1, *sides): the values, 0 where
none is given, then 1 where one is, and 0 in the last channel."""
EVALUATIONS = 10
"""The number of evaluations in which `Completed` samples what is missing."""
LEAST_GIVEN = 0.5
"""The least share of the observed values that `Completed` gives, where it gives some."""
DRAWS = range(900, 903)
"""The numbers of the draws of `ForwardPass.z` that `Completed` takes."""


def _seedless(number: int) -> Tensor:
    raise InputError(
        "this forward pass has no seed to draw z of: take Objective.losses, or add it by "
        "dataclasses.replace(forward, z=...)"
    )


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """A noisy batch (B, *) and the network's answer to it, computed once and read by every part of a loss."""

    denoiser: "TrainableDenoiser"
    """The denoiser in training."""
    x0: Tensor
    eps: Tensor
    t: Time
    """Times in (0, T], one or (B,)."""
    x_t: Tensor
    answer: Tensor
    """The network's estimate of the target."""
    variance_fraction: Tensor | None
    """The learned variance between β̃ (0) and β (1)."""
    condition: Mapping[str, Tensor]
    averaged: Denoiser | None = None
    """The denoiser with the averaged weights, where the caller of the objective gave one."""
    step: int = 0
    z: Callable[[int], Tensor] = _seedless
    """Noise z ~ N(0, I) of the shape of x0; its argument numbers the draws of one step, from 0. It is a function of
    (seed, step, index), as that of a sampler's `Move`, and independent of ε."""

    @property
    def detached_prediction(self) -> Prediction:
        """x̂_0 and ε̂ without a gradient; the variance fraction keeps its gradient."""
        x0, eps = self.denoiser.target.solve(self.x_t, self.answer.detach(), *self.denoiser.schedule.at(self.t))
        return Prediction(x0, eps, self.variance_fraction)


class TrainableDenoiser(Denoiser, Protocol):
    """A denoiser that a loss can be computed of; `Diffusion` is one."""

    target: Target

    def forward_pass(self, x0: Tensor, t: Time, eps: Tensor, **condition: Tensor) -> ForwardPass:
        """Evaluate the network on x_t made of x0 and eps, each (B, *)."""
        ...


def positions(count: int) -> range:
    """Positions of this process's samples in the global batch.

    Process r of the N of a process group has r, r + N, r + 2N, ..., so no two processes draw the same t and ε, however
    many samples each has. It is the order of PyTorch's `DistributedSampler`. One process has 0..count−1.
    """
    group = torch.distributed
    in_group = group.is_available() and group.is_initialized()
    rank, world = (group.get_rank(), group.get_world_size()) if in_group else (0, 1)
    return range(rank, rank + world * count, world)


@checked_class
class Objective(ABC):
    """An objective of training: the mean of the losses of a batch, whose t are of the distribution `times`.

    A subclass defines `errors`.
    """

    reads_average = False
    """Whether `losses` reads `averaged`, the denoiser with the averaged weights."""

    def __init__(self, times: TimeDistribution) -> None:
        self.times = times

    def prepare(self, denoiser: TrainableDenoiser, step: int, averaged: Denoiser | None) -> None:  # noqa: B027
        """Prepare a training step, for objectives that change over a run; most need nothing."""

    def draw(self, seed: int, step: int, positions: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Draw t for the samples at `positions`, and importance weights; see `TimeDistribution.draw`."""
        return self.times.draw(seed, step, positions)

    def pair(self, x0: Tensor, eps: Tensor, **condition: Tensor) -> Tensor:
        """Pair samples with noise, before the forward pass; by default each sample has the noise that was drawn for it.

        The noise of all samples with one condition must stay N(0, I): it may be dealt out among them, and not chosen.
        In a run it is called once for a step, with the whole batch, however many processes and micro-batches share it.
        In a custom loop it is called with the samples of each call of the loss.

        Args:
            x0: Clean samples, (B, *).
            eps: The noise, (B, *).
            condition: What the network is conditioned on, a row for each sample.

        Returns:
            The noise of each sample, (B, *).
        """
        return eps

    @property
    def pairs(self) -> bool:
        """Whether `pair` does anything."""
        return type(self).pair is not Objective.pair

    def evaluate(
        self,
        denoiser: TrainableDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        z: Callable[[int], Tensor],
        condition: Mapping[str, Any],
    ) -> ForwardPass:
        """Evaluate the network of a denoiser for `errors`: once for each sample, or several times.

        Args:
            denoiser: The denoiser.
            x0: Clean samples, (B, *).
            t: Their times, (B,).
            eps: ε, (B, *).
            z: Further noise, as of `ForwardPass`.
            condition: What the network is conditioned on.
        """
        return denoiser.forward_pass(x0, t, eps, **condition)

    def keys(
        self, denoiser: TrainableDenoiser, seed: int, stream: Stream, step: int, indices: Sequence[int]
    ) -> dict[str, Tensor]:
        """Return the keys of the noise that the network of a denoiser draws, by the name of the argument; most draw
        none.
        """
        return {}

    @abstractmethod
    def errors(self, forward: ForwardPass) -> Tensor:
        """Compute the loss of each sample at its time, (B,), given the forward pass of the network."""

    def losses(
        self,
        denoiser: TrainableDenoiser,
        x0: Tensor,
        *,
        step: int,
        seed: int = 0,
        indices: Sequence[int] | Tensor | None = None,
        averaged: Denoiser | None = None,
        eps: Tensor | None = None,
        **condition: Any,
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of each sample, at a random time t and with random noise ε.

        Args:
            denoiser: The denoiser in training.
            x0: Clean samples in [−1, 1], (B, *).
            step: The training step. t and ε are functions of (seed, step, index).
            seed: The seed of the training run.
            indices: A whole number for each sample, another one for every sample of the step on all processes and in
                all micro-batches: positions in the global batch, or numbers of items. By default `positions`.
            averaged: The denoiser with the averaged weights, for objectives that read it.
            eps: The noise, (B, *), where it is paired with the samples already; by default `draw_noise` draws it and
                `pair` pairs it.
            condition: What the network is conditioned on, for example `labels`.

        Returns:
            The times t, int64 (B,) on the CPU (float64 where they are drawn continuously), and the losses, (B,).

        Raises:
            InputError: If the step is not a whole number, 0 or more, or there is not one index for each sample.
        """
        step = whole(step, 0, randomness.MASK, f"a step is a whole number, 0 or more, not {step}")
        if isinstance(indices, Tensor):
            indices = indices.tolist()
        indices = positions(len(x0)) if indices is None else indices
        if len(indices) != len(x0):
            raise InputError(f"give one index for each sample: there are {len(x0)} samples and {len(indices)} indices")
        self.prepare(denoiser, step, averaged)
        t, importance = self.draw(seed, step, indices)  # algorithm 1, line 3
        if eps is None:
            eps = draw_noise(x0, seed, step, indices)
            eps = self.pair(x0, eps, **condition) if self.pairs else eps
        if "keys" not in condition:
            condition |= self.keys(denoiser, seed, Stream.ANSWER, step, indices)
        z = partial(draw_noise, x0, seed, step, indices)
        forward = self.evaluate(denoiser, x0, t, eps, z, condition)
        errors = self.errors(replace(forward, averaged=averaged, step=step, z=z))
        if not isinstance(errors, Tensor) or errors.shape != (len(x0),):
            answer = f"the shape {list(errors.shape)}" if isinstance(errors, Tensor) else f"the value {shown(errors)}"
            raise InputError(
                f"the errors of the objective have {answer} for {len(x0)} samples: they should be the loss of each "
                "sample, (B,)"
            )
        return t, errors if importance is None else errors * importance.to(errors, non_blocking=True)

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters of the objective itself, such as learned loss weights, by name: they are trained with the network.

        Those of an objective that is a module too are found.
        """
        return dict(self.named_parameters()) if isinstance(self, nn.Module) else {}

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Let the time distribution learn from the losses (B,) of the whole batch at times t (B,)."""
        self.times.update(t, losses)

    @property
    def learns(self) -> bool:
        """Whether `update` learns from the losses, so that the next step needs them."""
        return self.times.learns or type(self).update is not Objective.update

    @property
    def state(self) -> dict[str, Tensor]:
        """Tensors to save with the weights, by name; a restart copies the saved values into them in place."""
        return self.times.state


def draw_noise(
    x0: Tensor,
    seed: int,
    step: int,
    indices: Sequence[int],
    number: int | None = None,
    stream: Stream = Stream.FORWARD,
) -> Tensor:
    """Draw noise for samples x0 (B, *) of their shape and type: ε of a training step, or its z of a number."""
    return randomness.normal(x0.shape[1:], seed, stream, step, indices, x0.device, number).to(x0.dtype)


class Denoising(Objective):
    """L_simple, the mean squared error of the network's answer.

    References:
        Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020), eq. 14.
    """

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`."""
        truth = forward.denoiser.target.from_x0_eps(forward.x0, forward.eps, *forward.denoiser.schedule.at(forward.t))
        return ((truth - forward.answer) ** 2).flatten(1).mean(1)  # (14)  L_simple = E ‖ε − ε_θ(x_t, t)‖²


@checked_class
class ObjectiveWrapper(Objective):
    """An objective that changes the errors of another one."""

    def __init__(self, inner: Objective) -> None:
        super().__init__(inner.times)
        self.inner = inner
        self.reads_average = self.reads_average or inner.reads_average

    def prepare(self, denoiser: TrainableDenoiser, step: int, averaged: Denoiser | None) -> None:
        """See `Objective.prepare`: as the inner objective does."""
        self.inner.prepare(denoiser, step, averaged)

    def pair(self, x0: Tensor, eps: Tensor, **condition: Tensor) -> Tensor:
        """See `Objective.pair`: as the inner objective does."""
        return self.inner.pair(x0, eps, **condition)

    def evaluate(self, *arguments: Any, **options: Any) -> ForwardPass:
        """See `Objective.evaluate`: as the inner objective does."""
        return self.inner.evaluate(*arguments, **options)

    def keys(self, *arguments: Any, **options: Any) -> dict[str, Tensor]:
        """See `Objective.keys`: as the inner objective does."""
        return self.inner.keys(*arguments, **options)

    @property
    def pairs(self) -> bool:
        """See `Objective.pairs`."""
        return type(self).pair is not ObjectiveWrapper.pair or self.inner.pairs

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """See `Objective.trainable`."""
        return self.inner.trainable


@checked_class
class OfCells(ObjectiveWrapper):
    """Another objective over the values that are there, each weighted by the size of its cell.

    Missing values of x0 are NaN, and 0 to the network. The answer is moved to truth + √w (answer − truth), so that any
    squared distance of it is weighted by w, which is 0 where a value is missing and 1 on average over an item.

    Args:
        inner: The other objective.
        weights: The weights of the cells, (*space); None are equal ones.
    """

    def __init__(self, inner: Objective, weights: Tensor | None = None) -> None:
        super().__init__(inner)
        self.weights = weights

    def evaluate(
        self,
        denoiser: TrainableDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        z: Callable[[int], Tensor],
        condition: Mapping[str, Any],
    ) -> ForwardPass:
        """See `Objective.evaluate`: missing values are 0."""
        values = x0.masked_fill(x0.isnan(), 0.0)
        return replace(self.inner.evaluate(denoiser, values, t, eps, z, condition), x0=x0)

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`."""
        there = ~forward.x0.isnan()
        x0, weights = forward.x0.where(there, 0.0), there.to(forward.x0.dtype)
        if self.weights is not None:
            weights = weights * kept(self.weights, weights)
        weights = weights / weights.flatten(1).mean(1).clamp(min=1e-12).view(-1, *[1] * (x0.ndim - 1))
        members = len(forward.answer) // len(x0)
        repeated = (members, *[1] * (x0.ndim - 1))
        scales = forward.denoiser.schedule.at(forward.t)
        truth = forward.denoiser.target.from_x0_eps(x0.repeat(repeated), forward.eps, *scales)
        answer = truth + weights.sqrt().repeat(repeated) * (forward.answer - truth)
        return self.inner.errors(replace(forward, x0=x0, answer=answer))


@checked_class
class Completed(OfCells):
    """Another objective over complete items, of data whose values are missing at random: expectation maximisation.

    The averaged network samples the missing values of each item given its observed ones, and the network in training
    learns the items that are complete so. To sample them it has to know p(x_t | observed): half of the items give it a
    share of their observed values, and are judged by observed values alone, so that it learns this from data and never
    from its own samples. Where one samples the model, nothing is given.

    Before the step `begins` missing values are their expectation at pure noise, and all items are judged by observed
    values alone, as they are by a denoiser in evaluation.

    Args:
        inner: The other objective, of a target from which x̂_0 follows at pure noise.
        weights: The weights of the cells, (*space); None are equal ones.
        begins: The first step that samples missing values.

    References:
        Rozet et al., *Learning diffusion priors from observations by expectation maximization* (2024).
        Daras et al., *Ambient diffusion: learning clean distributions from corrupted data* (2023).
    """

    def __init__(self, inner: Objective, weights: Tensor | None = None, begins: int = 0) -> None:
        super().__init__(inner, weights)
        self.begins, self.reads_average = begins, True
        self._averaged: Denoiser | None = None
        self._samples = True

    def prepare(self, denoiser: TrainableDenoiser, step: int, averaged: Denoiser | None) -> None:
        """See `Objective.prepare`: missing values are sampled by the averaged weights, from the step `begins` on."""
        super().prepare(denoiser, step, averaged)
        self._averaged, self._samples = averaged, step >= self.begins

    def evaluate(
        self,
        denoiser: TrainableDenoiser,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        z: Callable[[int], Tensor],
        condition: Mapping[str, Any],
    ) -> ForwardPass:
        """See `Objective.evaluate`: of items without missing values."""
        trains = getattr(denoiser, "training", True)
        samples, averaged = self._samples and trains, (self._averaged if trains else None) or denoiser
        observed, values = ~x0.isnan(), x0.masked_fill(x0.isnan(), 0.0)
        chances, of_items, noise = (z(number) for number in DRAWS)
        of_items = torch.special.ndtr(of_items).flatten(1)[:, [0, -1]].T.reshape(2, -1, *[1] * (x0.ndim - 1))
        asked = of_items[0] < 0.5
        share = LEAST_GIVEN + (1 - LEAST_GIVEN) * of_items[1]
        given = observed & asked & (torch.special.ndtr(chances) < share)
        sampler = samplers.UniPC(EVALUATIONS if samples else 1, clip=None, spacing="logsnr")
        with torch.no_grad():
            made = sampler.sample(averaged, noise, **{**condition, OBSERVED_NAME: _given(values, observed)})
        complete = values.where(observed, made.to(values.dtype))
        condition = {**condition, OBSERVED_NAME: _given(values, given)}
        judged = observed | ~asked if samples else observed
        forward = self.inner.evaluate(denoiser, complete, t, eps, z, condition)
        return replace(forward, x0=complete.masked_fill(~judged, math.nan))


def _given(values: Tensor, given: Tensor) -> Tensor:
    """What a network gets of values (B, C, *sides) that it is given where `given` says so."""
    known = given.to(values.dtype)
    return torch.cat([values * known, known, torch.zeros_like(known[:, :1])], 1)


class ClippedLoss(ObjectiveWrapper):
    """The loss of x̂_0 clipped to [−1, 1], as samplers clip it, so that an answer beyond black or white costs nothing.

    The gradient is that of the answer itself; otherwise an x̂_0 outside the range would never be pulled back.
    """

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`."""
        scales = forward.denoiser.schedule.at(forward.t)
        x0, eps = forward.detached_prediction.clipped(1.0, forward.x_t, *scales)
        clipped = forward.denoiser.target.from_x0_eps(x0, eps, *scales)
        return self.inner.errors(replace(forward, answer=forward.answer + (clipped - forward.answer).detach()))


@checked_class
class Weighted(ObjectiveWrapper):
    """Another objective's errors times a weight for each t.

    Args:
        inner: The other objective.
        weights: The weights for t = 0..T, (T + 1,), or a function of float times (B,) that returns weights (B,).
    """

    def __init__(self, inner: Objective, weights: Tensor | Callable[[Tensor], Tensor]) -> None:
        super().__init__(inner)
        self.weights = weights

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`. Raises InputError for times between the integers if the weights are a table."""
        errors, t = self.inner.errors(forward), forward.denoiser.schedule.time(forward.t)
        if not isinstance(self.weights, Tensor):
            return errors * self.weights(torch.as_tensor(t, dtype=torch.float64)).to(errors, non_blocking=True)
        if isinstance(t, float) or (isinstance(t, Tensor) and t.is_floating_point()):
            raise InputError("these weights are a table of t = 0..T; continuous times need weights that are a function")
        return errors * self.weights[t].to(errors, non_blocking=True)


@checked_class
class Hybrid(ObjectiveWrapper):
    """L_hybrid = L_simple + λ L_vlb, which trains a learned variance. L_vlb is T times the bound's term of step t.

    The bound trains the variance alone: the mean has no gradient in it.

    References:
        Nichol and Dhariwal, *Improved denoising diffusion probabilistic models* (2021), eq. 16.
    """

    def __init__(self, inner: Objective, weight: float = 0.001) -> None:
        super().__init__(inner)
        self.weight = weight

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`. Raises InputError where the network does not predict its variance."""
        schedule, prediction = forward.denoiser.schedule, forward.detached_prediction
        bits = reverse.step_bits(schedule, prediction, forward.x0, forward.x_t, forward.t, "learned")
        return self.inner.errors(forward) + self.weight * (schedule.steps * bits)  # improved DDPM (16)


def independent(inner: Objective) -> Objective:
    """Return the objective itself, in which each sample has the noise that was drawn for it."""
    return inner
