"""The queue of what computes in this process: one job at a time, the visitors in turn."""

import contextlib
import dataclasses
import importlib
import json
import re
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ancestral.base.errors import InputError, one_line
from ancestral.base.events import Event, Message, State, Work, Wrote
from ancestral.base.options import on_command_line, spelled
from ancestral.config.request import Request
from ancestral_studio.answers import BusyError, error_line
from ancestral_studio.history import OVERVIEWS, History
from ancestral_studio.history_entry import FIELDS_FILE, TABLE_FILE, VOLUMES_FILE, HistoryEntry
from ancestral_studio.job_work import JobWork
from ancestral_studio.jobs import Job
from ancestral_studio.posted_options import PostedOptions
from ancestral_studio.recent_values import RecentValues

if TYPE_CHECKING:
    from ancestral.model import Model

MOST_OF_ONE, MOST_OF_ALL = 16, 128
"""Number of jobs that wait: of one visitor, and of all."""
STOPPING_SECONDS = 2.0
"""Seconds that a job has to stop when the studio ends."""
MOST_MODELS = 3
"""Number of models that stay in memory."""
MOST_PACES = 1000
"""Number of kinds of jobs whose speed is kept."""
STOPPED = "stopped.png"
"""The picture of the estimates when a job was stopped."""


class _Cancelled(BaseException):
    """A job was cancelled: no code between the network and the queue takes it for an error."""


class _Followed:
    """The events of a generator, and then what it returned."""

    def __init__(self, events: Generator[Event, None, Any]) -> None:
        self._events, self.result = events, None

    def __iter__(self) -> Iterator[Event]:
        self.result = yield from self._events


class ComputeJob(Job):
    """Sampling or editing in this process.

    Args:
        posted: The options.
        options: What the visitor sent.
        owner: Whose job it is.
        run: The id of the run, and what the job makes.
        queue: Where it waits.
    """

    def __init__(
        self,
        posted: PostedOptions,
        options: Mapping[str, Any],
        owner: str,
        run: tuple[str, JobWork],
        queue: "ComputeQueue",
    ) -> None:
        super().__init__(posted.case.command, options, owner)
        self.posted, self.queue = posted, queue
        self.run, self.work = run
        self.text = self.work.text
        self.keep = False
        self.position = 0
        self._ends: float | None = None

    def cancel(self, keep: bool) -> None:
        """Stop before the next evaluation of the network."""
        self.keep = keep
        self.stopping.set()
        if not self.queue.remove(self):
            self.tell("stopping", replaces="stopping")

    def plan(self, count: int, sampler: str) -> None:
        """Note what the plan of the job decided: the number of samples, and the sampler with its settings."""
        self.work = self.work.planned(count, sampler)
        self.text = self.work.text

    def expect(self, seconds: float | None) -> None:
        """Note the seconds after which its task will have ended, if they are known."""
        self._ends = None if seconds is None else time.monotonic() + seconds

    @property
    def seconds_left(self) -> float | None:
        """The seconds that its task needs as yet; None before they are known."""
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())

    def check(self, *_: object) -> None:
        """Raise _Cancelled if the job was cancelled. As a hook it is called before each evaluation of a network."""
        if self.stopping.is_set():
            raise _Cancelled


@dataclasses.dataclass(frozen=True)
class Expected:
    """A job of the queue with what is expected of it.

    Attributes:
        job: The job.
        ahead: Number of jobs that end before it begins.
        wait: Seconds until it begins; None if that is not known.
        needs: Seconds that it needs then, or as yet; None if that is not known.
    """

    job: ComputeJob
    ahead: int
    wait: float | None
    needs: float | None

    def described(self) -> dict[str, Any]:
        """Return what pages get of it besides the job: the time that is left, or until it begins."""
        return {"ahead": self.ahead, "seconds": self.wait if self.ahead else self.needs, "run": self.job.run}


class ComputeQueue:
    """Jobs that wait for the one thread that computes. Of several visitors each has a turn, whatever others wait for.

    Args:
        history: Where what is made is kept.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self._models: RecentValues[Model] = RecentValues(MOST_MODELS)
        self.running: ComputeJob | None = None
        self._paces: dict[Hashable, float] = {}
        self._waiting: OrderedDict[str, deque[ComputeJob]] = OrderedDict()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def model(self, path: str | Path, device: str = "auto") -> "Model":
        """Return the model in a file or a run folder, on a device. Raises InputError if it cannot be loaded."""
        from ancestral.model import find, load  # needs torch

        file = find(path)
        return self._models.get(file, lambda: load(file, device), device)

    def add(self, job: ComputeJob) -> None:
        """Add a job. Raises BusyError if too many wait."""
        with self._changed:
            count = len(self._waiting.get(job.owner, ()))
            if count >= MOST_OF_ONE:
                raise BusyError(f"{count} of your jobs wait already: wait for one, or cancel some")
            if sum(map(len, self._waiting.values())) >= MOST_OF_ALL:
                raise BusyError("too many jobs wait in this studio: try again in a while")
            self._waiting.setdefault(job.owner, deque()).append(job)
            self._tell_positions()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="studio-compute", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, job: ComputeJob) -> bool:
        """Take a job out that waits; one that runs, or has ended, stays as it is. Returns whether it waited."""
        with self._changed:
            waiting = self._waiting.get(job.owner)
            if waiting is None or job not in waiting:
                return False
            waiting.remove(job)
            if not waiting:
                del self._waiting[job.owner]
            self._tell_positions()
        job.tell("cancelled", entry=None)
        return True

    def close(self) -> None:
        """Stop what runs, keep what there is of it, and wait a moment for that."""
        job, thread = self.running, self._thread
        if job is not None and thread is not None:
            job.cancel(keep=True)
            ended = time.monotonic() + STOPPING_SECONDS
            while self.running is job and time.monotonic() < ended:
                time.sleep(0.01)

    def order(self) -> list[ComputeJob]:
        """List the jobs that wait, in the order in which they will run if none is added."""
        with self._changed:
            rounds = [list(jobs) for jobs in self._waiting.values()]
        return [jobs[turn] for turn in range(max(map(len, rounds), default=0)) for jobs in rounds if turn < len(jobs)]

    def expected(self) -> list[Expected]:
        """List the job that runs and those that wait, in their order, with the times that are expected of them."""
        with self._changed:
            running = [] if self.running is None else [self.running]
            jobs, wait, rows = [*running, *self.order()], 0.0, list[Expected]()
        known: float | None = wait
        for ahead, job in enumerate(jobs):
            needs = 0.0 if job.stopping.is_set() else job.seconds_left
            if needs is None and job.work.kind in self._paces and job.work.amount:
                needs = self._paces[job.work.kind] * job.work.amount
            rows.append(Expected(job, ahead, known, needs))
            known = None if known is None or needs is None else known + needs
        return rows

    def _tell_positions(self) -> None:
        positions = {job.id: position for position, job in enumerate(self.order(), 1)}
        for one in self.expected():
            position = positions.get(one.job.id)
            if position is not None and one.job.position != position:
                one.job.position = position
                facts = {"text": one.job.text, "ahead": one.ahead, "seconds": one.wait}
                one.job.tell("queued", replaces="queued", position=position, **facts)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                owner, jobs = self._waiting.popitem(last=False)
                job = jobs.popleft()
                if jobs:
                    self._waiting[owner] = jobs  # behind all others
                self.running = job
                self._tell_positions()
            try:
                self._run(job)
            except BaseException as error:  # the thread goes on whatever a job does
                traceback.print_exc()
                job.tell("failed", **error_line(error))
            with self._changed:
                self.running = None
            del job

    def _run(self, job: ComputeJob) -> None:
        job.tell("started", text=job.text)
        named = {"run": job.run, "run_name": job.work.run, "title": job.text}
        entry, began = self.history.begin(job.id, job.command, job.options, **named), time.monotonic()
        state, facts = "failed", dict[str, str | None]()
        try:
            job.check()
            self._follow(job, entry)
            state = "done"
        except _Cancelled:
            state = "cancelled"
        except (InputError, OSError) as error:
            facts = error_line(error)
            facts["error"] = self._as_sent(str(facts["error"]))
        except Exception as error:
            traceback.print_exc()
            facts = {
                "error": f"this is a defect of ancestral: {one_line(f'{type(error).__name__}: {error}')}",
                "option": None,
            }
        if (state == "cancelled" and not job.keep) or not (entry.steps() or entry.files.exists()):
            self.history.delete(entry.id)
            description = None
        else:
            if state == "cancelled":
                from ancestral_studio.step_pictures import write_last

                write_last(entry, STOPPED)
            seconds = round(time.monotonic() - began, 2)
            entry.save(state=state, error=facts.get("error"), title=job.text, seconds=seconds)
            description = entry.described(live=False)
        self.running = None  # first, since a page looks at the queue when its job ends
        job.tell(state, **(facts if state == "failed" else {}), entry=description)

    def _as_sent(self, text: str) -> str:
        """Return a line with files that visitors sent, or that were made, by their names alone."""
        kept = r"(?:uploads[/\\][0-9a-f]{24}|history[/\\][0-9a-f]{16})[/\\]"
        return re.sub(rf"{re.escape(str(self.history.folder.parent))}[/\\]{kept}", "", text)

    def _follow(self, job: ComputeJob, entry: HistoryEntry) -> None:
        """Plan and run the use case, write what it shows into the entry, and say so."""
        from ancestral_studio.step_pictures import StepPictures, write_last

        options, models = self._options(job, entry)
        job.check()
        module = importlib.import_module(job.posted.case.module)
        networks = [cast(Any, model.denoiser).net for model in models]
        with hooked(networks, job.check):
            plan = module.plan(options)
            job.plan(plan.count, plan.sampler)
            job.tell("planned", replaces="planned", text=job.text)
            recipe = plan.recipe.to_json() if plan.recipe.model else ""
            pictures, task, stage = StepPictures(entry), "", -1
            work, began = "", 0.0
            events = _Followed(module.run(plan))
            for event in events:
                job.check()
                event = spelled(event, on_command_line) if isinstance(event, Message) else event
                if isinstance(event, State):
                    if event.task != task:
                        task, stage = event.task, stage + 1
                    step = pictures.add(event, plan.limits[stage])
                    job.tell("step", replaces=f"step {step['index']}", **step)
                elif isinstance(event, Message):
                    job.tell("message", text=self._as_sent(event.text))
                elif isinstance(event, Work):
                    if event.task != work:
                        work, began = event.task, time.monotonic()
                    facts = work_event(event, began)
                    self._expect(job, facts["seconds_left"], began if stage == 0 and work == task else None)
                    job.tell("work", replaces="work", **facts)
                elif isinstance(event, Wrote):
                    for file in entry.files_at(event.path):
                        job.tell("file", **file)
        if job.command == "sample" and options.out.suffix != ".png":
            write_last(entry, OVERVIEWS[0], recipe, plan.limits[-1])
        made = [dataclasses.asdict(cell) for cell in getattr(events.result, "cells", None) or ()]
        entry.save(recipe=json.loads(recipe) if recipe else None, **({"cells": made} if made else {}))

    def _expect(self, job: ComputeJob, left: float | None, began: float | None) -> None:
        """Note how long a job takes, for itself and for others of its kind.

        Args:
            job: The job.
            left: The seconds that are left.
            began: When its sampling began; None if this is another task.
        """
        job.expect(left)
        if left is not None and began is not None and job.work.amount:
            if len(self._paces) >= MOST_PACES:
                self._paces.clear()
            self._paces[job.work.kind] = (time.monotonic() - began + left) / job.work.amount

    def _options(self, job: ComputeJob, entry: HistoryEntry) -> tuple[Any, list["Model"]]:
        """The options with loaded models, and files that go into the entry."""
        options: Any = job.posted.declaration
        changes: dict[str, Any] = {"out": entry.files}
        models = list["Model"]()
        for name in (one.name for one in dataclasses.fields(options) if one.metadata.get("names") == "run"):
            value = getattr(options, name)
            if value is None or isinstance(value, int):  # a snapshot of the run
                continue
            paths = value if isinstance(value, tuple) else (value,)
            loaded = tuple(self.model(path, options.device) for path in paths)
            models += loaded
            changes[name] = loaded if isinstance(value, tuple) else loaded[0]
        if _is_table(options):
            changes["out"] = entry.files / TABLE_FILE
        elif job.command == "sample":
            last = changes["then"][-1] if "then" in changes else models[0]
            changes["out"] = entry.files / _samples_file(last)
        if job.command == "sample":
            names = {"gif": "animation.gif", "film": "film.png"}
            changes |= {name: entry.files / file for name, file in names.items() if getattr(options, name)}
        return dataclasses.replace(options, **changes), models


def work_event(event: Work, began: float) -> dict[str, Any]:
    """Return what pages get of the progress of a task that began at a time of `time.monotonic`."""
    left = (time.monotonic() - began) * (event.total - event.done) / event.done if event.done and event.total else None
    return {"task": event.task, "done": event.done, "total": event.total, "unit": event.unit, "seconds_left": left}


def _is_table(options: Any) -> bool:
    """Whether options are those of a table of samples, or its picture."""
    return options.sweep is not None or (options.like is not None and Request.read(options.like).sweep is not None)


def _samples_file(model: "Model") -> str:
    """The file of all samples of a model, NetCDF, an array or a picture; "" where each has its own."""
    from ancestral.render.writers import fits_png

    if model.spec.rate or fits_png(model.spec.shape, model.spec.codec.dtype):
        return ""
    if model.spec.grid is not None and len(model.spec.shape) < 4:
        return FIELDS_FILE
    return VOLUMES_FILE if len(model.spec.shape) == 4 else "samples.png"


@contextlib.contextmanager
def hooked(networks: Sequence[Any], check: Callable[..., None]) -> Iterator[None]:
    """Call a function before each evaluation of networks, within the block.

    Args:
        networks: The modules.
        check: Raises what ends the evaluation.
    """
    handles = [network.register_forward_pre_hook(lambda *_: check()) for network in networks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
