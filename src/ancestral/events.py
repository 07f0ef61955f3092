"""What a workflow reports while it runs: each workflow is a generator of events that returns a result.

Whoever runs it draws the events: the command line, a notebook, a web page, or nobody.
"""

from dataclasses import dataclass
from pathlib import Path


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
