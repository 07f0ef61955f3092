"""Events that a workflow reports while it runs: each workflow is a generator of events that returns a result.

Whoever runs it draws the events: the command line, a notebook, a web page, or nobody.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ancestral.results.result import Result

T = TypeVar("T")
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


Event = Message | Work | Wrote | Measured


def finish(events: Generator[Any, None, R]) -> R:
    """Run a generator to its end, without showing what it yields, and return its result."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            result: R = end.value
            return result


def track(
    steps: Generator[T, None, R], task: str, total: float, unit: str = "", size: Callable[[T], float] = lambda _: 1.0
) -> Generator[Event, None, R]:
    """Report the progress of a generator.

    Args:
        steps: The generator.
        task: The name of the task.
        total: The amount of work of all steps.
        unit: What is counted, as in `Work`.
        size: The amount of work of a step.

    Yields:
        The work done after each step.

    Returns:
        The result of the generator.
    """
    amount = 0.0
    while True:
        try:
            amount += size(next(steps))
        except StopIteration as end:
            result: R = end.value
            return result
        yield Work(task, amount, total, unit)
