"""Events that a workflow reports while it runs: each workflow is a generator of events that returns a result.

Whoever runs it draws the events: the command line, a notebook, a web page, or nobody.
"""

import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ancestral.base.options import in_python, spell
from ancestral.base.result import Result

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True)
class Message:
    """A line for the user. Its options are data: `options.spelled` spells those of an event."""

    text: str
    detail: bool = False
    """Whether it is shown only on request."""


@dataclass(frozen=True)
class Work:
    """Progress of a task: `done` of `total` units of work; a total of 0 is not known."""

    task: str
    done: float
    total: float
    unit: str = ""
    """Noun of what is counted, in the plural; "" for a share of the work."""
    part: bool = False
    """Whether it is a part of a training run, which goes on after it."""


@dataclass(frozen=True)
class Wrote:
    """A file or folder that is complete."""

    path: Path


@dataclass(frozen=True)
class Measured:
    """A part of the result that is complete."""

    part: Result


@dataclass(frozen=True, eq=False)
class State:
    """A state of the reverse process of a batch of samples. Its tensors are computed when they are read.

    Attributes:
        task: The name of the task, as in `Work`. Where a model follows another, the states begin again at 0.
        index: The number of the state, from 0, which is x_T.
        total: The number of states of each sample; the last is the sample.
        t: The time.
        positions: The places of the batch among all samples.
        count: The number of all samples.
        make_x: Makes `x`.
        make_x0: Makes `x0`.
    """

    task: str
    index: int
    total: int
    t: float
    positions: Sequence[int]
    count: int
    make_x: "Callable[[], Tensor]"
    make_x0: "Callable[[], Tensor]"

    @property
    def x(self) -> "Tensor":
        """x_t in the units of the data, (B, C, *sides) on the CPU."""
        return self.make_x()

    @property
    def x0(self) -> "Tensor":
        """The estimate of the samples, as `x`."""
        return self.make_x0()


Event = Message | Work | Wrote | Measured | State


def warn(text: str) -> None:
    """Warn who calls a method of a model from Python, at their line: what a use case says by a `Message`."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "ancestral":
        frame, level = frame.f_back, level + 1
    warnings.warn(spell(text, in_python), stacklevel=level)


def finish(events: Generator[Any, None, R]) -> R:
    """Run a generator to its end, without showing what it yields, and return its result."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            result: R = end.value
            return result


def track(
    steps: Generator[T, None, R],
    task: str,
    total: float,
    unit: str = "",
    size: Callable[[T], float] = lambda _: 1.0,
    event: Callable[[T], Event] | None = None,
) -> Generator[Event, None, R]:
    """Report the progress of a generator.

    Args:
        steps: The generator.
        task: The name of the task.
        total: The amount of work of all steps.
        unit: What is counted, as in `Work`.
        size: The amount of work of a step.
        event: Makes an event of each step.

    Yields:
        The work done after each step, and the event of the step.

    Returns:
        The result of the generator.
    """
    amount = 0.0

    def events_of(step: T) -> Iterator[Event]:
        nonlocal amount
        amount += size(step)
        yield Work(task, amount, total, unit)
        if event is not None:
            yield event(step)

    return (yield from mapped(steps, events_of))


def mapped(steps: Generator[T, None, R], events_of: Callable[[T], Iterable[S]]) -> Generator[S, None, R]:
    """Report the steps of a generator as others, such as events.

    Args:
        steps: The generator.
        events_of: Returns those of a step.

    Yields:
        Those of each step.

    Returns:
        The result of the generator.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: R = end.value
            return result
        yield from events_of(step)
