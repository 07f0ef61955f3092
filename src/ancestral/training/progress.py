"""What a training says of itself after each step."""

from dataclasses import dataclass

from torch import Tensor

from ancestral.training.divergence import Verdict


@dataclass(frozen=True)
class Progress:
    """The state after a step."""

    step: int
    """It falls where training had to go back."""
    steps: int
    loss: float
    """L_simple, smoothed over about fifty steps; NaN before the first good one."""
    by_time: tuple[float, ...]
    """The loss in equal parts of 1..T, the earliest times first."""
    lr: float
    gradient_norm: float
    """Before it was clipped."""
    images_per_second: float
    seconds: float
    """Since this process began to train."""
    seconds_left: float
    """To the last step, at the rate of this process so far, pauses for pictures included."""
    saved: bool
    stopped: bool = False
    """Whether this is the last step because `Trainer.stop` was called on one of the processes."""
    notes: tuple[str, ...] = ()
    """What the user should know of this step, a line each."""


@dataclass(frozen=True)
class Outcome:
    """What a step came to, the same on every process."""

    verdict: Verdict
    norm: float
    t: Tensor
    """int64 (batch_size,): the times drawn."""
    losses: Tensor
    """float64 (batch_size,)"""
    stopping: bool
    notes: tuple[str, ...]


class Stopped(Exception):
    """Training was asked to end while it waited for data, which may take a minute where that is gone."""
