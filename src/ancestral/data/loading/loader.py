"""The batches of a training run, from any step on, read by worker processes where the data is not in memory.

A batch is a function of (data, seed, batch size, step), whatever the number of processes and workers, so that a run
that goes on after a stop, a worker's death or a lost file system reads what it would have read.
"""

import atexit
import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ancestral.data.dataset import Dataset, InMemoryDataset
from ancestral.data.io_errors import SourceLost
from ancestral.data.loading.fetch import BatchFetcher, Fetched
from ancestral.data.loading.order import StepSampler
from ancestral.errors import InputError
from ancestral.options import option

METHOD = "fork" if sys.platform == "linux" else "spawn"
MOST_DEATHS = 3
"""Number of times that workers may die at one step."""
GRACE = 5.0  # seconds for a killed process to end: on a dead network file system it may not
JOB_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)}
"""Signals that a terminal or a job sends to all its processes, and that only the training process answers."""


@dataclass(frozen=True)
class Batch:
    """The items of a step that belong to this process."""

    step: int
    items: Tensor
    """(len(positions), C, *space), as the source has them."""
    labels: Tensor | None
    """int64 (len(positions),), -1 for an item without a class; None if the source has no classes."""
    indices: Tensor
    """int64 (len(positions),): the items' numbers in the data set."""
    notes: tuple[str, ...] = ()
    """What the user should know: items left out, workers that died, waiting. One line each."""


class Loader(contextlib.AbstractContextManager["Loader"]):
    """The batches of a training run. Use it as a context, or `close` it, so that no worker is left behind."""

    def __init__(
        self, data: Dataset, *, seed: int, batch_size: int, positions: range, workers: int | None = None
    ) -> None:
        """Set up; workers start with `batches`.

        Args:
            data: The data set.
            seed: Seed of the order.
            batch_size: Size of the global batch.
            positions: This process's positions in the global batch: range(rank, batch_size, processes).
            workers: Number of worker processes; None is this process's share of the cores, up to 8. Data in memory
                needs none.
        """
        self._data, self._seed, self._batch_size, self._positions = data, seed, batch_size, positions
        self.workers = 0 if isinstance(data, InMemoryDataset) else default_workers() if workers is None else workers
        self._running: Generator[Batch] | None = None

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Yield the batches of first_step, first_step + 1, ... without end; those of an earlier call end.

        Raises:
            SourceLost: If the data cannot be read any more.
            InputError: If the workers die again and again.
        """
        self.close()
        data = self._data
        if isinstance(data, InMemoryDataset):
            self._running = self._from_memory(data, first_step)
        else:
            self._running = self._from_workers(first_step)
        return self._running

    def close(self) -> None:
        """End the batches and the workers."""
        if self._running is not None:
            self._running.close()
        self._running = None

    def __exit__(self, *error: object) -> None:
        self.close()

    def _sampler(self, first_step: int) -> StepSampler:
        return StepSampler(len(self._data), self._batch_size, self._seed, self._positions, first_step)

    def _from_memory(self, data: InMemoryDataset, first_step: int) -> Generator[Batch]:
        sampler = self._sampler(first_step)
        for step in itertools.count(first_step):
            indices = sampler.indices(step)
            yield Batch(step, data.items[indices], None if data.labels is None else data.labels[indices], indices)

    def _from_workers(self, step: int) -> Generator[Batch]:
        deaths, restarts, named = 0, list[str](), set[str]()
        while True:
            with _started(BatchFetcher(self._data), self._sampler(step), self.workers) as (batches, processes):
                while True:
                    try:
                        fetched = next(batches)
                    except (RuntimeError, OSError, EOFError):
                        death = _death(processes)
                        if death is None:
                            raise
                        break
                    if fetched.error:
                        raise SourceLost(fetched.error)
                    notes = [note for note in dict.fromkeys(fetched.notes) if note not in named]
                    named.update(notes)
                    labels, indices = fetched.labels_and_indices
                    known = None if self._data.labels is None else labels
                    yield Batch(step, fetched.items, known, indices, (*restarts, *notes))
                    step, deaths, restarts = step + 1, 0, []
            deaths += 1
            if deaths == MOST_DEATHS:
                raise InputError(
                    f"the data workers died {deaths} times at step {step} ({death}): free some memory (and "
                    f"/dev/shm, through which they return items), take fewer with {option('workers')}, or read the "
                    f"data without, by {option('workers', 0)}"
                )
            restarts.append(f"a data worker died at step {step} ({death}): started again")


@contextlib.contextmanager
def _started(
    fetcher: BatchFetcher, sampler: StepSampler, workers: int
) -> Iterator[tuple[Iterator[Fetched], list[BaseProcess]]]:
    """Batches of a DataLoader, and its workers, which are killed in the end."""
    before = multiprocessing.active_children()
    with warnings.catch_warnings(), _worker_signals():
        warnings.simplefilter("ignore")  # of more workers than cores, and Python 3.12's, of forks beside threads
        batches: Iterator[Fetched] = iter(
            DataLoader(
                fetcher,
                batch_sampler=sampler,
                num_workers=workers,
                collate_fn=_identity,
                generator=torch.Generator(),  # or it would draw a number from the global one
                multiprocessing_context=METHOD if workers else None,
                worker_init_fn=functools.partial(_end_with_parent, os.getpid()),
            )
        )
    processes: list[BaseProcess] = [child for child in multiprocessing.active_children() if child not in before]

    def kill() -> None:  # workers write nothing, so nothing can be half-written
        for process in processes:
            process.kill()
        for process in processes:
            process.join(GRACE)

    atexit.register(kill)  # before Python's own end of daemons, which would wait for those that ignore SIGTERM
    try:
        yield batches, processes
    finally:
        atexit.unregister(kill)
        kill()


def _death(processes: list[BaseProcess]) -> str | None:
    """How a worker ended; None if all are alive."""
    for sentinel in wait([process.sentinel for process in processes], timeout=1):  # an error may come before the end
        process = next(process for process in processes if process.sentinel == sentinel)
        process.join(GRACE)
        if code := process.exitcode:
            return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return None


@contextlib.contextmanager
def _worker_signals() -> Iterator[None]:
    """Start workers that ignore JOB_SIGNALS, and leave the handlers of this process as they are.

    Workers inherit the mask. A DataLoader installs a handler of SIGCHLD that raises a worker's death in whatever the
    training process is doing, maybe half of an optimiser's step. Without it `next` finds the death, within 5 seconds.
    """
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD) if main and hasattr(signal, "SIGCHLD") else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, JOB_SIGNALS) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGCHLD, handler)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _identity(batch: Any) -> Any:
    return batch


def _end_with_parent(pid: int, _worker: int) -> None:
    """End this worker when the training process `pid` is gone, even if that dies while the worker starts or reads."""

    def watch() -> None:
        while os.getppid() == pid:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_worker_death(error: BaseException) -> bool:
    """Whether an error is a DataLoader's, of a worker that died.

    `Loader` starts dead workers again by itself. But where the user's own code has started another DataLoader before,
    that one's handler of SIGCHLD may raise this error anywhere in the training process.
    """
    return isinstance(error, RuntimeError) and "DataLoader worker (pid" in str(error)


def default_workers() -> int:
    """Return the number of cores over that of training processes on this machine, at least 1 and at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
