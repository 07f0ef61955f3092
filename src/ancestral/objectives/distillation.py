"""Distillation: objectives under which x̂_0 of one or a few evaluations of the network is a sample.

Both train in stages, from many steps of the reverse process to few. They may begin with the denoising loss, which
converts a model whose x̂_0 is ill-conditioned at high noise to another target.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.gaussian import Scalar
from ancestral.objectives.objective import ForwardPass, Objective, ObjectiveWrapper, TrainableDenoiser
from ancestral.samplers.loop import spaced_times
from ancestral.schedules import Schedule, broadcast
from ancestral.targets import Denoiser, Prediction, Target, from_name


class Stages(NamedTuple):
    """The stages of a training run: `number` of equal length, after `begin` of the `steps` with the denoising loss."""

    steps: int
    number: int
    begin: int = 0

    @classmethod
    def of(cls, config: Any) -> Self:
        """Return the stages of a run, by its config."""
        train, distil = config.train, config.distil
        return cls(train.steps, distil.stages, int(distil.convert * train.steps))

    def at(self, step: int) -> int:
        """Return the stage 0..number − 1 of a training step; −1 while the denoising loss is minimised."""
        stage = (step - self.begin) * self.number // max(self.steps - self.begin, 1)
        return -1 if step < self.begin else min(stage, self.number - 1)


class _Distillation(ObjectiveWrapper):
    """An objective in stages."""

    def __init__(self, denoising: Objective, stages: Stages, clip: float | None = None) -> None:
        super().__init__(denoising)
        if self.times.continuous:
            raise InputError("distillation compares integer times of the schedule, so times cannot be continuous")
        self.stages, self.clip = stages, clip

    def clipped(self, prediction: Prediction, x: Tensor, scales: tuple[Scalar, Scalar]) -> Prediction:
        """The prediction as samplers use it."""
        return prediction if self.clip is None else prediction.clipped(self.clip, x, *scales)

    def estimate(self, forward: ForwardPass) -> Tensor:
        """x̂_0 of the network in training, clipped, with the gradient of the one that is not."""
        scales = forward.denoiser.schedule.at(forward.t)
        prediction = forward.denoiser.target.solve(forward.x_t, forward.answer, *scales)
        return prediction.x0 + (self.clipped(prediction, forward.x_t, scales).x0 - prediction.x0).detach()


@checked_class
class ConsistencyTuning(_Distillation):
    """Easy consistency tuning: x̂_0 at t should be x̂_0 at an earlier time r of the same path x_0 + σ ε.

    Then x̂_0 is the same along a path of the probability flow, so it is the end of the path, a sample. In stage k the
    time r is where σ_r/σ_t = 1 − n(σ_t)/2^(k+1); where that is not above 0, r = 0 and the loss is that of denoising.
    Each stage halves the distance of t and r.

    Many x_0 fit one x_t, so the difference of the two estimates varies, and the more so relative to its mean the
    shorter the step is. A step of Heun's method from x_t along the probability flow of a teacher does not vary, but has
    the teacher's errors (consistency distillation). So from a stage on, where steps are short enough, x_r is a mean of
    the two.

    Args:
        denoising: The objective before the first stage. Its time distribution is that of all stages.
        stages: The stages.
        clip: x̂_0 is clipped to [−clip, clip] in the loss, as samplers clip it; None: it is not.
        teacher: A denoiser and module, which is copied; None for easy consistency tuning in all stages.
        taught_from: The first stage with steps of the teacher.
        share: The weight of the teacher's step in this mean, 0 to 1.

    References:
        Geng et al., *Consistency models made easy* (2024).
        Song et al., *Consistency models* (2023), algorithm 2, for steps of a teacher.
    """

    HUBER = 0.1
    """Norm of the difference below which the loss is quadratic. So it has a gradient at 0, and in few dimensions its
    minimum is the mean over the noise, as that of the probability flow, not the median. In many the two are alike."""
    LEAST = 0.01
    """Smallest σ_t − σ_r in the weight, so that noise levels that no sampler visits do not outweigh all others."""
    MOST = 80.0
    """Largest σ_t − σ_r in the weight, so that times with hardly any signal count too: EDM's largest noise level."""

    def __init__(
        self,
        denoising: Objective,
        stages: Stages,
        clip: float | None = None,
        teacher: Any = None,
        taught_from: int = 0,
        share: float = 0.5,
    ) -> None:
        super().__init__(denoising, stages, clip)
        self.teacher: Any = None if teacher is None else _frozen(teacher)
        self.taught_from, self.share = taught_from, share

    @classmethod
    def from_config(cls, config: Any, denoising: Objective, denoiser: Any) -> Self:
        """Build the objective of a run; see `objectives.from_config`."""
        distil = config.distil
        teacher = None if distil.taught_from is None else copy.copy(denoiser)
        if teacher is not None and distil.teacher_target:
            teacher.target = from_name(distil.teacher_target)
        return cls(denoising, Stages.of(config), float(config.process.clip) or None, teacher, distil.taught_from or 0)

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`."""
        stage, schedule = self.stages.at(forward.step), forward.denoiser.schedule
        if stage < 0:
            return self.inner.errors(forward)
        t = torch.as_tensor(schedule.time(forward.t)).expand(len(forward.x0))
        r = earlier(schedule, t, stage)
        later = r.clamp(min=1)
        with torch.no_grad():  # the same ε, and the same dropout by its keys
            x_r = schedule.add_noise(forward.x0, later, forward.eps)
            if self.teacher is not None and stage >= self.taught_from:
                x_r = torch.lerp(x_r, self._step(forward, t, later), self.share)
            prediction = self.clipped(
                forward.denoiser.predict(x_r, later, **forward.condition), x_r, schedule.at(later)
            )
        noisy = (r > 0).view(-1, *[1] * (forward.x0.ndim - 1)).to(forward.x0.device)
        goal = prediction.x0.where(noisy, forward.x0)
        squares = ((self.estimate(forward) - goal) ** 2).flatten(1)
        norm = ((squares.sum(1) + self.HUBER**2).sqrt() - self.HUBER) / math.sqrt(squares.shape[1])
        sigma = schedule.noise / schedule.signal
        step = torch.nan_to_num(sigma[t] - sigma[r], nan=self.MOST)  # NaN: neither t nor r has a signal
        return norm / step.clamp(self.LEAST, self.MOST).to(norm)

    def _step(self, forward: ForwardPass, t: Tensor, r: Tensor) -> Tensor:
        """x_r by the teacher: Heun's step of dx = x̂_0 da + ε̂ db from (x_t, t) to r, as `samplers.Heun` takes it."""
        schedule, x_t = forward.denoiser.schedule, forward.x_t
        one = self.clipped(self.teacher.predict(x_t, t, **forward.condition), x_t, schedule.at(t))
        x_r = schedule.add_noise(one.x0, r, one.eps)  # Euler's step
        two = self.clipped(self.teacher.predict(x_r, r, **forward.condition), x_r, schedule.at(r))
        da, db = (broadcast(end - start, x_t) for start, end in zip(schedule.at(t), schedule.at(r), strict=True))
        return x_t + da * torch.lerp(one.x0, two.x0, 0.5) + db * torch.lerp(one.eps, two.eps, 0.5)

    @property
    def state(self) -> dict[str, Tensor]:
        """See `Objective.state`: the teacher too."""
        return super().state | _weights(self.teacher)


def earlier(schedule: Schedule, t: Tensor, stage: int) -> Tensor:
    """Compute r < t of consistency tuning for times t in 1..T, int64 (B,): the last time at or below σ_r, or t − 1."""
    sigma = schedule.noise / schedule.signal
    share = 1 - (1 + 8 * torch.sigmoid(-sigma[t])) / 2 ** (stage + 1)
    below = torch.searchsorted(sigma, sigma[t] * share.clamp(min=torch.finfo(sigma.dtype).tiny), right=True) - 1
    return torch.minimum(below, t - 1)


@checked_class
class ProgressiveDistillation(_Distillation):
    """Progressive distillation: one DDIM step of the network should be two steps of its teacher.

    Each stage halves the number of steps, down to `evaluations` in the last one. At the end of a stage the averaged
    weights become the teacher. The map from noise to image stays that of the first teacher.

    Args:
        denoising: See `ConsistencyTuning`.
        stages: The stages.
        teacher: The first teacher, a denoiser and module with the weights that training starts from. It is copied.
        evaluations: The number of steps of the last stage.
        clip: See `ConsistencyTuning`.

    References:
        Salimans and Ho, *Progressive distillation for fast sampling of diffusion models* (2022), algorithm 2.
    """

    reads_average = True

    def __init__(
        self, denoising: Objective, stages: Stages, teacher: Any, evaluations: int = 1, clip: float | None = None
    ) -> None:
        super().__init__(denoising, stages, clip)
        self.teacher = _frozen(teacher)
        self.stage = torch.tensor(stages.at(0))
        """The stage that the teacher is of: state, since it changes with the teacher."""
        schedule, counts = self.teacher.schedule, [evaluations * 2**k for k in range(stages.number, 0, -1)]
        if counts[0] > schedule.steps:
            raise InputError(
                f"{stages.number} stages down to {evaluations} steps begin with {counts[0]} steps of the teacher, "
                f"and its schedule has {schedule.steps}; take fewer {option('stages')}"
            )
        self.grids = [torch.tensor(spaced_times(schedule, count, "trailing")[::-1]) for count in counts]
        """The times of the teacher's steps in each stage, rising from 0. Every second one is a time of the student."""

    @classmethod
    def from_config(cls, config: Any, denoising: Objective, denoiser: Any) -> Self:
        """Build the objective of a run; see `objectives.from_config`."""
        clip = float(config.process.clip) or None
        return cls(denoising, Stages.of(config), denoiser, config.distil.evaluations, clip)

    def prepare(self, denoiser: TrainableDenoiser, step: int, averaged: Denoiser | None) -> None:
        """See `Objective.prepare`: at a new stage the averaged weights become the teacher."""
        if self.stages.at(step) > self.stage and isinstance(averaged, nn.Module) and isinstance(denoiser, nn.Module):
            values = [*averaged.parameters(), *denoiser.buffers()]  # buffers are not averaged
            for tensor, value in zip([*self.teacher.parameters(), *self.teacher.buffers()], values, strict=True):
                tensor.copy_(value)
            self.stage.fill_(self.stages.at(step))

    def draw(self, seed: int, step: int, positions: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """See `Objective.draw`: the next time at which the student takes a step."""
        t, importance = super().draw(seed, step, positions)
        times = self.grids[int(self.stage)][::2].contiguous()
        return (t if self.stage < 0 else times[torch.searchsorted(times, t)]), importance

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`. The weight is the paper's truncated signal-to-noise ratio."""
        if self.stage < 0:
            return self.inner.errors(forward)
        schedule, grid = self.teacher.schedule, self.grids[int(self.stage)]
        t = torch.as_tensor(schedule.time(forward.t)).expand(len(forward.x0))
        place = torch.searchsorted(grid, t).clamp(min=2)  # smaller at times of a validation loss only
        x_s, s = forward.x_t, t
        with torch.no_grad():
            for earlier_by in (1, 2):
                t_before, s = s, grid[place - earlier_by]
                prediction = self.teacher.predict(x_s, t_before, **forward.condition)
                x0, eps = self.clipped(prediction, x_s, schedule.at(t_before))
                x_s = schedule.add_noise(x0, s, eps)  # DDIM (12)
            goal = Target("x_s", lambda a, b: schedule.at(s)[0], lambda a, b: schedule.at(s)[1])
            x0 = goal.solve(forward.x_t, x_s, *schedule.at(t)).x0  # the x̂_0 whose one DDIM step from t ends at x_s
        squares = ((self.estimate(forward) - x0) ** 2).flatten(1).mean(1)
        weight: Tensor = schedule.snr[t].clamp(min=1)
        return squares * weight.to(squares)

    @property
    def state(self) -> dict[str, Tensor]:
        """See `Objective.state`: the stage and the teacher too."""
        return super().state | {"stage": self.stage} | _weights(self.teacher)


def _frozen(teacher: Any) -> Any:
    return copy.deepcopy(teacher).requires_grad_(False).eval()


def _weights(teacher: nn.Module | None) -> dict[str, Tensor]:
    return {f"teacher.{name}": value for name, value in teacher.state_dict().items()} if teacher is not None else {}
