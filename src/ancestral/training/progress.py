"""Progress that a training run reports after each step."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.config.run_files import MeasuredDistance, ValidationLosses
from ancestral.model import Model
from ancestral.training.divergence import Verdict

BINS = 8
"""Number of equal bins of the times 1..T."""


def _no_model() -> Model:
    raise InputError("this progress is of no training run that goes on")


@dataclass(frozen=True)
class Progress:
    """The state of a run after a step.

    Losses and the gradient norm are those that were read last: on a GPU, which no step waits for, with the log.
    """

    step: int
    """It falls at a rollback."""
    steps: int
    """The number of steps of the run."""
    loss: float
    """L_simple, smoothed over about fifty steps; NaN before the first good one."""
    by_time: tuple[float, ...]
    """The loss in equal bins of 1..T."""
    lr: float
    """The learning rate."""
    gradient_norm: float
    """Before clipping."""
    images_per_second: float
    seconds: float
    """Since this process began to train."""
    seconds_left: float
    """Until the last step, at the average speed of this process, pauses for previews included."""
    saved: bool
    """Whether a checkpoint is being written."""
    T: int
    """The number of noise levels."""
    memory: int
    """Bytes in use: the peak so far on a GPU, else those of this process now."""
    stopped: bool = False
    """Whether this is the last step because `Trainer.stop` was called on one of the processes."""
    preempted: bool = False
    """Whether that was because a machine is taken away."""
    notes: tuple[str, ...] = ()
    """Notes on this step for the user, a line each."""
    validation: ValidationLosses | None = None
    """The last validation loss since this process began to train; None without one."""
    distance: MeasuredDistance | None = None
    """The last distance of samples that was measured since this process began to train; None without one."""
    model: Callable[[], Model] = field(default=_no_model, repr=False, compare=False)
    """Copies the model with the averaged weights of this step. Call it before the next step is taken. Raises InputError
    if the weights are distributed (--shard)."""

    @property
    def interrupted(self) -> bool:
        """Whether the run ends here though there are steps left."""
        return self.stopped and self.step < self.steps


@dataclass(frozen=True)
class StepOutcome:
    """Outcome of a training step, the same on every process; by default that of no step."""

    verdict: Verdict = "good"
    norm: float = math.nan
    """The norm of the gradient, before clipping."""
    t: Tensor = field(default_factory=lambda: torch.empty(0))
    """int64 (batch_size,): the times drawn; float64 where they are drawn continuously."""
    losses: Tensor = field(default_factory=lambda: torch.empty(0))
    """float64 (batch_size,)."""
    stopping: bool = False
    """Whether a process was asked to stop."""
    preempted: bool = False
    """Whether that was because its machine is taken away."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnreadStep:
    """A training step whose outcome is on the device: reading it waits."""

    step: int
    t: Tensor
    """(batch_size,): the times drawn."""
    losses: Tensor
    """(batch_size,)."""
    norm: Tensor
    """(): of the gradient, before clipping."""
    guard: Tensor
    """(3,): the numbers of the guard after the step."""
    flags: Tensor
    """(2,): whether a process was asked to stop, and whether its machine is taken away."""
    gradient_sizes: Mapping[str, Tensor]
    """(): the largest element of each gradient, by the name of the parameter; {} for a step that was known to be good.
    """
    indices: Tensor
    """The numbers of the items of this process."""


class Stopped(Exception):
    """Training was asked to end while it waited for data."""


class LossByTime:
    """The mean loss of each bin of 1..T, with exponentially decaying weights."""

    def __init__(self, T: int, memory: float = 0.98) -> None:
        self.T, self.memory = T, memory
        self.sums, self.counts = torch.zeros(2, BINS, dtype=torch.float64)

    @property
    def state(self) -> dict[str, list[float]]:
        """The numbers to save; they survive JSON bit for bit."""
        return {"sums": self.sums.tolist(), "counts": self.counts.tolist()}

    def restore(self, state: Mapping[str, list[float]]) -> None:
        """Take up saved numbers."""
        self.sums, self.counts = (torch.tensor(state[key], dtype=torch.float64) for key in ("sums", "counts"))

    def add(self, t: Tensor, losses: Tensor) -> None:
        """Count the losses (B,), float64, at times t (B,)."""
        self.sums *= self.memory
        self.counts *= self.memory
        bins = (t.ceil().long() - 1) * BINS // self.T
        self.sums.index_add_(0, bins, losses)
        self.counts.index_add_(0, bins, torch.ones_like(losses))

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of each bin; NaN where no time was drawn yet."""
        return tuple((self.sums / self.counts).tolist())
