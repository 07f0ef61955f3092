"""What a workflow reports while it runs: each workflow is a generator of events that returns a result.

Whoever runs it draws the events: the command line, a notebook, a web page, or nobody.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")


@dataclass(frozen=True)
class Message:
    """A line for the user."""

    text: str


@dataclass(frozen=True)
class Work:
    """Progress of a task: `done` of `total` units of work."""

    task: str
    done: float
    total: float
    unit: str = ""
    """What is counted, in the plural; "" for a share of the work."""


@dataclass(frozen=True)
class Wrote:
    """A file or folder that is complete."""

    path: Path


Event = Message | Work | Wrote


def finish(events: Generator[Any, None, R]) -> R:
    """Run a generator to its end, without showing what it yields, and return its result."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            result: R = end.value
            return result
