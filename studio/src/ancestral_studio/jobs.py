"""Jobs of the studio: what visitors started, with the events that those who follow it get."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ancestral_studio.answers import MissingError

ENDS = ("done", "failed", "cancelled")
"""The kinds of events after which none comes."""
MOST_ENDED = 200
"""Number of jobs that ended and are still known. What they made stays in the history."""
MOST_MESSAGES = 500
"""Number of messages of a job that are kept; a training run that says the same every step would fill the memory."""


class Job:
    """Something that a visitor started. A subclass does the work and says what happens by `tell`.

    Events have numbers that rise, so that a page which lost its connection goes on where it was. An event that makes an
    older one useless replaces it: the memory of a job is bounded by what it shows, not by how long it runs.

    Args:
        command: The command.
        options: What the visitor sent, by the names of the options.
        owner: Whose job it is.

    Attributes:
        state: "waiting", "running", or one of `ENDS`.
        text: What it does, in words.
        stopping: Set once it is to stop.
    """

    def __init__(self, command: str, options: Mapping[str, Any], owner: str) -> None:
        self.id = secrets.token_hex(8)
        self.command, self.options, self.owner = command, dict(options), owner
        self.text = command
        self.stopping = threading.Event()
        self.created = time.time()
        self.state = "waiting"
        self._events: dict[int, tuple[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._messages = 0
        self._last = 0
        self._lock = threading.Lock()
        self._wakes: set[Callable[[], None]] = set()

    def tell(self, kind: str, replaces: str | None = None, **data: Any) -> None:
        """Add an event. May be called in any thread; nobody who follows the job holds it up.

        Args:
            kind: Its kind, as the pages know it.
            replaces: A name: the event of this name before is dropped.
            data: What it says.
        """
        with self._lock:
            if self.state in ENDS:
                return
            self._last += 1
            if kind == "message":
                replaces, self._messages = f"message {self._messages % MOST_MESSAGES}", self._messages + 1
            if replaces is not None:
                self._events.pop(self._numbers.get(replaces, 0), None)
                self._numbers[replaces] = self._last
            self._events[self._last] = (kind, data)
            if kind in ENDS:
                self.state = kind
            elif kind == "started":
                self.state = "running"
        self.wake()

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each event, in the thread in which it happens. Returns what ends this."""
        self._wakes.add(wake)
        return lambda: self._wakes.discard(wake)

    def wake(self) -> None:
        """Call those who listen. No lock is held, as a signal may come at any time."""
        for wake in tuple(self._wakes):
            wake()

    @property
    def followed(self) -> bool:
        """Whether anybody listens."""
        return bool(self._wakes)

    def events_after(self, number: int) -> list[tuple[int, str, Any]]:
        """List the events after a number, the oldest first."""
        with self._lock:
            events = []
            for key in reversed(self._events):
                if key <= number:
                    break
                events.append((key, *self._events[key]))
        return events[::-1]

    def cancel(self, keep: bool) -> None:
        """Stop the work, and keep what there is if `keep`. The event "cancelled" follows."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """Return what the list of jobs says of it."""
        return {
            "id": self.id,
            "command": self.command,
            "text": self.text,
            "stopping": self.stopping.is_set() and self.state not in ENDS,
            "options": self.options,
            "state": self.state,
            "created": self.created,
        }


class Jobs:
    """The jobs of this server, by their ids."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.RLock()  # a signal may come while this thread holds it

    def add(self, job: Job) -> None:
        """Add a job; of those that ended, the oldest are forgotten."""
        with self._lock:
            self._jobs[job.id] = job
            ended = [one.id for one in self._jobs.values() if one.state in ENDS]
            for name in ended[: max(0, len(ended) - MOST_ENDED)]:
                del self._jobs[name]

    def get(self, name: str) -> Job:
        """Return a job. Raises MissingError if there is none."""
        job = self._jobs.get(name)
        if job is None:
            raise MissingError("there is no such job; what it made is in the history")
        return job

    def all(self) -> list[Job]:
        """List the jobs, the newest first."""
        with self._lock:
            return list(self._jobs.values())[::-1]
