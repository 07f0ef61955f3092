"""What the routes of the studio share."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral_studio.compute_queue import ComputeJob, ComputeQueue
from ancestral_studio.history import History
from ancestral_studio.job_work import work_of
from ancestral_studio.jobs import ENDS, Jobs
from ancestral_studio.live_runs import LiveRuns
from ancestral_studio.places import Places
from ancestral_studio.posted_options import QUEUED, ReadableFiles, read_posted
from ancestral_studio.processes import Processes
from ancestral_studio.uploads import Uploads

if TYPE_CHECKING:
    from starlette.requests import Request


VISITOR = re.compile(r"[\w-]{1,64}", re.ASCII)
"""The form of the cookie of a visitor: no address of a machine has it, by which those without one are told."""


class StudioState:
    """The state of a studio, as `state_of(request)` returns it.

    Args:
        places: The folders that may be read.
        out: The folder of what is made: history, uploads, logs of processes.
        token: What visitors must know; "" if nothing.

    Attributes:
        processes: The commands that were started as processes of their own.
        runs: The runs in the folders.
        history: What was made.
        uploads: The files of visitors.
        queue: What computes in this process, with the models in memory.
        jobs: The jobs of the queue.
        closing: Whether the studio ends, and with it the streams of events.
        port: The port at which it listens.
    """

    def __init__(self, places: Places, out: Path, token: str = "") -> None:
        self.places, self.out, self.token = places, out.resolve(), token
        self.port = 0
        self.processes = Processes(places)
        self.runs = LiveRuns(places, self.processes)
        self.history = History(self.out / "history")
        self.uploads = Uploads(self.out / "uploads")
        self.queue = ComputeQueue(self.history)
        self.jobs = Jobs()
        self.closing = False

    def start(self, command: str, options: Mapping[str, Any], client: str) -> str:
        """Start what a visitor sent: in the queue of this process, or as a process of its own.

        Args:
            command: The command.
            options: The values of its options, as `read_posted` takes them.
            client: Whose job it is.

        Returns:
            The id of the job, or of the process.

        Raises:
            InputError: If the options cannot be used, or too many jobs wait.
        """
        posted = read_posted(ReadableFiles(self.places, self.uploads, self.history), command, options)
        if command not in QUEUED:
            return self.processes.start(posted, owner_of(client)).id
        folder = Path(str(posted.values["model"]))
        run = folder if folder.is_dir() else folder.parent
        work = work_of(posted, self.places.name_of(run))
        job = ComputeJob(posted, options, owner_of(client), (self.places.id_of(run), work), self.queue)
        self.queue.add(job)
        self.jobs.add(job)
        return job.id

    def live(self) -> set[str]:
        """The ids of the jobs that did not end."""
        return {job.id for job in self.jobs.all() if job.state not in ENDS}

    def close(self) -> None:
        """End the streams. Trainings are processes of their own, and go on."""
        self.closing = True
        for job in self.jobs.all():
            job.wake()


def state_of(request: "Request") -> StudioState:
    """Return the state of the studio that a request came to."""
    state: StudioState = request.app.state.studio
    return state


def cookie(name: str, port: int) -> str:
    """Name a cookie. Browsers do not tell ports apart, and several studios may run."""
    return f"ancestral_{name}_{port}"


def new_visitor() -> str:
    """Return a text by which a visitor is told from others."""
    return secrets.token_urlsafe(12)


def owner_of(client: str) -> str:
    """Return by what a visitor is known who started something: no cookie can be made of it."""
    return hashlib.sha256(client.encode()).hexdigest()[:16]


def client_of(request: "Request") -> str:
    """Return by what the visitor of a request is told from others: the cookie of the page, or the address."""
    value = request.cookies.get(cookie("visitor", state_of(request).port), "")
    return value if VISITOR.fullmatch(value) else request.client.host if request.client else ""
