"""The batches of a training run, from any step on, read by worker processes where the data is not in memory.

A batch is a function of (data, seed, batch size, step), whatever the number of processes and workers, so that a run
that goes on after a stop, a worker's death or a lost file system reads what it would have read.
"""

import atexit
import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral import randomness
from ancestral.data.dataset import Dataset, InMemoryDataset
from ancestral.data.io_errors import SourceLost, Unreadable
from ancestral.errors import InputError
from ancestral.options import option
from ancestral.randomness import Stream

METHOD = "fork" if sys.platform == "linux" else "spawn"
AHEAD = 2
"""Number of batches that each worker reads ahead."""
GRACE = 5.0  # seconds for a killed process to end: on a dead network file system it may not
MOST_DEATHS = 3
"""Number of times that workers may die at one step."""
PATIENCE = 60.0
"""Seconds to wait for data that is gone: a network file system may come back."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts; each pause is twice the one before."""
MOST_UNREADABLE = 100
"""Number of successive unreadable items at which training ends."""
JOB_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)}
"""Signals that a terminal or a job sends to all its processes, and that only the training process answers."""
Answer = tuple[list[int], list[int], list[str]]
"""Of the items that were read the labels, -1 without, and the indices; and notes."""


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


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Return which of `count` items make up the batch of a step: int64 (batch_size,).

    The permutations of successive epochs are cut into batches with nothing left over, so that each item is used
    equally often, and any step can be computed without the ones before.
    """
    position = torch.arange(step * batch_size, (step + 1) * batch_size)
    epoch = position // count
    epochs = range(int(epoch[0]), int(epoch[-1]) + 1)  # one, or a few
    return torch.cat([_permutation(count, seed, e)[position[epoch == e] % count] for e in epochs])


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    return randomness.permutation(count, seed, Stream.ORDER, epoch)


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
        self._data, self._seed, self._batch_size, self._positions = data, seed, batch_size, list(positions)
        self.workers = default_workers() if workers is None else workers
        if isinstance(data, InMemoryDataset):
            self.workers = 0
        self._running: Generator[Batch] | None = None

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Yield the batches of first_step, first_step + 1, ... without end; those of an earlier call end.

        Raises:
            InputError: If the data cannot be read any more, or the workers die again and again.
        """
        self.close()
        self._running = self._from_workers(first_step) if self.workers else self._from_here(first_step)
        return self._running

    def close(self) -> None:
        """End the batches and the workers."""
        if self._running is not None:
            self._running.close()
        self._running = None

    def __exit__(self, *error: object) -> None:
        self.close()

    def _indices(self, step: int) -> Tensor:
        return batch_indices(len(self._data), self._batch_size, self._seed, step)[self._positions]

    def _from_here(self, first_step: int) -> Generator[Batch]:
        data, named = self._data, set[str]()
        for step in itertools.count(first_step):
            indices = self._indices(step)
            if isinstance(data, InMemoryDataset):
                yield Batch(step, data.items[indices], data.labels_of(indices), indices)
            else:
                items = data.empty(len(indices))
                yield self._batch(step, items, fetch(data, indices, items), named)

    def _from_workers(self, step: int) -> Generator[Batch]:
        deaths, restarts, named = 0, list[str](), set[str]()
        while True:
            with self._started() as workers:
                try:
                    for number in range(step, step + AHEAD * self.workers):
                        worker = workers[number % self.workers]
                        worker.ask(number, self._indices(number))
                    while True:
                        worker = workers[step % self.workers]
                        batch = self._batch(step, *worker.answer(), named, restarts)
                        number = step + AHEAD * self.workers
                        worker.ask(number, self._indices(number))
                        yield batch
                        step, deaths, restarts = step + 1, 0, []
                except (EOFError, OSError):
                    worker.process.join(GRACE)
                    code = worker.process.exitcode or 0
            deaths, death = deaths + 1, signal.Signals(-code).name if code < 0 else f"exit code {code}"
            if deaths == MOST_DEATHS:
                raise InputError(
                    f"the data workers died {deaths} times at step {step} ({death}): free some memory, take fewer with "
                    f"{option('workers')}, or read the data without, by {option('workers', 0)}"
                )
            restarts.append(f"a data worker died at step {step} ({death}): started again")

    def _batch(self, step: int, items: Tensor, answer: Answer, named: set[str], restarts: Sequence[str] = ()) -> Batch:
        """The batch of a step, with the notes that are not `named` yet."""
        labels, rows, notes = answer
        notes = [note for note in dict.fromkeys(notes) if note not in named]
        named.update(notes)
        label_tensor = None if self._data.labels is None else torch.tensor(labels)
        return Batch(step, items, label_tensor, torch.tensor(rows), (*restarts, *notes))

    @contextlib.contextmanager
    def _started(self) -> Iterator[list["_Worker"]]:
        """Start the workers, and kill them in the end: they write nothing that could be half-written.

        They inherit the signals that are blocked while they start.
        """
        workers: list[_Worker] = []

        def kill() -> None:
            for worker in workers:
                worker.process.kill()
                worker.connection.close()
            for worker in workers:
                worker.process.join(GRACE)

        atexit.register(kill)  # before Python's own end of daemons, which would wait for those that ignore SIGTERM
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, JOB_SIGNALS) if hasattr(signal, "pthread_sigmask") else None
        try:
            try:
                for _ in range(self.workers):
                    workers.append(_Worker(self._data, len(self._positions)))
            finally:
                if mask is not None:
                    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            yield workers
        finally:
            atexit.unregister(kill)
            kill()


class _Worker:
    """A process that reads batches into AHEAD slots of shared memory in turn, and answers by a pipe of its own."""

    def __init__(self, data: Dataset, batch: int) -> None:
        slots = data.empty(AHEAD, batch)
        try:
            slots.share_memory_()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise InputError(
                f"{slots.nbytes / 2**20:.3g} MiB cannot be shared with a data worker ({error}): enlarge /dev/shm, or "
                f"read the data without workers, by {option('workers', 0)}"
            ) from error
        self._turns = itertools.cycle(slots)
        context: Any = multiprocessing.get_context(METHOD)
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(data, slots, other, os.getpid()), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12's, of forks beside threads
            self.process.start()
        other.close()  # so that the end of the process ends the connection

    def ask(self, step: int, indices: Tensor) -> None:
        self.connection.send((step, indices.numpy()))

    def answer(self) -> tuple[Tensor, Answer]:
        answer, items = self.connection.recv(), next(self._turns).clone()
        if isinstance(answer, Exception):
            raise answer
        return items, answer


def _serve(data: Dataset, slots: Tensor, connection: Connection, parent: int) -> None:
    """Read batches in a worker until the training process `parent` is gone, even if that dies while the worker starts.

    A data set of the user that draws random numbers draws others in each step.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError):
        for slot in itertools.cycle(slots):
            step, indices = connection.recv()
            torch.manual_seed(step)
            random.seed(step)
            np.random.seed(step % 2**32)
            try:
                answer: Answer | Exception = fetch(data, torch.from_numpy(indices), slot)
            except Exception as error:
                error.add_note(traceback.format_exc())
                answer = error
            connection.send(answer)


def default_workers() -> int:
    """Return the number of cores over that of training processes on this machine, at least 1 and at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def fetch(data: Dataset, indices: Tensor, items: Tensor) -> Answer:
    """Read items into `items`. One that is unreadable is replaced by the next that is not, and named in a note.

    Raises:
        InputError: If too many items in a row are unreadable; a SourceLost after PATIENCE.
    """
    labels, rows, notes = list[int](), list[int](), list[str]()
    for position, index in enumerate(indices.tolist()):
        items[position], label, row = _read_next(data, index, notes)
        labels.append(label)
        rows.append(row)
    return labels, rows, notes


def _read_next(data: Dataset, index: int, notes: list[str]) -> tuple[Tensor, int, int]:
    """The first readable item from `index` on, its label, and its index."""
    reason = ""
    for offset in range(MOST_UNREADABLE):
        row = (index + offset) % len(data)
        try:
            return *_read_patiently(data, row, notes), row
        except Unreadable as error:
            reason = f"{data.name_of(row)}: {error}"
            notes.append(f"left out {reason}")
    raise InputError(f"{MOST_UNREADABLE} items of {data.name} one after the other cannot be read: {reason}")


def _read_patiently(data: Dataset, index: int, notes: list[str]) -> tuple[Tensor, int]:
    """Read an item, trying again while the data is gone. Raises SourceLost after PATIENCE."""
    began, pause, lost = time.monotonic(), FIRST_PAUSE, ""
    while True:
        try:
            item = data.read(index)
        except SourceLost as error:
            lost = error.text
            if time.monotonic() - began > PATIENCE:
                raise SourceLost(
                    f"{lost} (for {PATIENCE:g} s now): bring it back, then go on with {option('resume', True)}"
                ) from None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        if lost:
            notes.append(f"waited {time.monotonic() - began:.1f} s: {lost}")
        return item
