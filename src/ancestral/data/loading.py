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
import types
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.data.dataset import Dataset, InMemoryDataset
from ancestral.data.files import SourceLost, Unreadable
from ancestral.randomness import Stream

METHOD = "fork" if sys.platform == "linux" else "spawn"
GRACE = 5.0  # seconds for a killed process to end: on a dead network file system it may not
MOST_DEATHS = 3
"""Number of times that workers may die at one step."""
LOST_DATA_TIMEOUT = 60.0
"""Seconds to wait for data that is gone: a network file system may come back."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts; each pause is twice the one before."""
MOST_UNREADABLE = 100
"""Number of successive unreadable items at which training ends."""
JOB_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)}
"""Signals that a terminal or a job sends to all its processes, and that only the training process answers."""
Answer = tuple[Tensor, list[int], list[str], dict[str, Tensor]] | InputError
"""The items of a batch, their indices and notes, and the images that they are conditioned on; or why they cannot be
read."""


@dataclass(frozen=True)
class Batch:
    """The items of a step that belong to this process."""

    step: int
    items: Tensor
    """(len(positions), C, *space), as the source has them: images from which windows are cut are whole."""
    labels: Tensor | None
    """int64 (len(positions),), -1 for an item without a class; None if the source has no classes."""
    indices: Tensor
    """int64 (len(positions),): the items' numbers in the data set."""
    notes: tuple[str, ...] = ()
    """Notes for the user: items left out, workers that died, waiting. One line each."""
    conditions: Mapping[str, Tensor] = field(default_factory=dict)
    """The values of the conditions that the data hold besides the label, as `Dataset.conditions_of` returns them."""


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


class BalancedOrder:
    """The items of each batch where every class is trained on equally often, however many items it has.

    The positions of a run are cut into rounds of K, in which each of K classes has one, in random order. A class fills
    its positions with successive permutations of its items. So after any number of positions the numbers of two classes
    differ by at most one, and so do those of two items of a class.

    Args:
        labels: The class of each item, integers (N,). Items without a class, -1, count as one class.
        seed: Seed of the order.
    """

    def __init__(self, labels: Tensor, seed: int) -> None:
        self._rows: list[Tensor] = [(labels == label).nonzero().flatten() for label in torch.unique(labels)]
        self._seed = seed
        self._permuted = lru_cache(maxsize=2 * len(self._rows))(self._draw)

    def indices(self, batch_size: int, step: int) -> Tensor:
        """Return which items make up the batch of a step: int64 (batch_size,)."""
        count, start, stop = len(self._rows), step * batch_size, (step + 1) * batch_size
        places = range(start // count * count, -(-stop // count) * count)  # of whole rounds
        order = randomness.uniform(self._seed, Stream.BALANCE, 0, places).view(-1, count).argsort(1).flatten().tolist()
        items = list[Tensor]()
        for position in range(start, stop):
            number, turn = order[position - places.start], position // count
            size = len(self._rows[number])
            items.append(self._permuted(number, turn // size)[turn % size])
        return torch.stack(items)

    def _draw(self, number: int, epoch: int) -> Tensor:
        """The items of a class in the order of an epoch of the class."""
        rows = self._rows[number]
        permutation = randomness.permutation(len(rows), self._seed, Stream.BALANCE, epoch, draw=number)
        return rows[permutation]


class Loader(contextlib.AbstractContextManager["Loader"]):
    """The batches of a training run. Use it as a context, or `close` it, so that no worker is left behind."""

    def __init__(
        self,
        data: Dataset,
        *,
        seed: int,
        batch_size: int,
        positions: range,
        workers: int | None = None,
        balance: bool = False,
    ) -> None:
        """Set up; workers start with `batches`.

        Args:
            data: The data set.
            seed: Seed of the order.
            batch_size: Size of the global batch.
            positions: This process's positions in the global batch: range(rank, batch_size, processes).
            workers: Number of worker processes; None is this process's share of the cores, up to 8. Data in memory
                needs none.
            balance: Whether each class is trained on equally often, however many items it has.

        Raises:
            InputError: If classes are to be balanced, and the data have none.
        """
        self._data, self._positions = data, list(positions)
        self._indices: Callable[[int], Tensor] = partial(batch_indices, len(data), batch_size, seed)
        if balance:
            if data.labels is None:
                raise InputError(
                    f"{data.name} has no classes to balance: leave {option('balance', True)} out, or give a folder "
                    "with a sub-folder for each class"
                )
            self._indices = partial(BalancedOrder(data.labels, seed).indices, batch_size)
        self.workers = 0 if isinstance(data, InMemoryDataset) else default_workers() if workers is None else workers
        self._running: Generator[Batch] | None = None

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Yield the batches of first_step, first_step + 1, ... without end; those of an earlier call end.

        Raises:
            InputError: If the data cannot be read any more, or the workers die again and again.
        """
        self.close()
        self._running = self._batches(first_step)
        return self._running

    def close(self) -> None:
        """End the batches and the workers."""
        if self._running is not None:
            self._running.close()
        self._running = None

    def __exit__(self, *error: object) -> None:
        self.close()

    def _order(self, first_step: int) -> Iterator[tuple[int, list[int]]]:
        for step in itertools.count(first_step):
            yield step, self._indices(step)[self._positions].tolist()

    def _batches(self, step: int) -> Generator[Batch]:
        deaths, restarts, named = 0, list[str](), set[str]()
        while True:
            with _started(self._data, self._order(step), self.workers) as (answers, processes):
                while True:
                    try:
                        answer = next(answers)
                    except (RuntimeError, OSError, EOFError):
                        death = _death(processes)
                        if death is None:
                            raise
                        break
                    if isinstance(answer, InputError):
                        raise answer
                    items, rows, answer_notes, images = answer
                    notes = [note for note in dict.fromkeys(answer_notes) if note not in named]
                    named.update(notes)
                    yield Batch(
                        step,
                        items,
                        self._data.labels_of(rows),
                        torch.tensor(rows),
                        (*restarts, *notes),
                        self._data.numbers_of(rows) | images,
                    )
                    step, deaths, restarts = step + 1, 0, []
            deaths += 1
            if deaths == MOST_DEATHS:
                raise InputError(
                    f"the data workers died {deaths} times at step {step} ({death}): free some memory (and "
                    f"/dev/shm, through which they return items), take fewer with {option('workers')}, or read the "
                    f"data without, by {option('workers', 0)}"
                )
            restarts.append(f"a data worker died at step {step} ({death}): started again")


class _Reader(torch_data.Dataset[Answer]):
    def __init__(self, data: Dataset) -> None:
        self._data = data

    def __getitem__(self, batch: tuple[int, list[int]]) -> Answer:
        """Read a batch. Errors are returned, since a DataLoader would raise them with a traceback in the message.

        A data set of the user that draws random numbers in a worker draws others in each step.
        """
        step, indices = batch
        partners = {name: part for name, part in self._data.conditions.items() if isinstance(part, Dataset)}
        if isinstance(self._data, InMemoryDataset):
            images = {
                name: part.all_stored[indices] for name, part in partners.items() if isinstance(part, InMemoryDataset)
            }
            return self._data.all_stored[indices], indices, [], images
        items, rows, notes = self._data.empty_stored(len(indices)), list[int](), list[str]()
        images = {name: part.empty_stored(len(indices)) for name, part in partners.items()}
        try:
            if torch_data.get_worker_info() is not None:
                torch.manual_seed(step)
                random.seed(step)
                np.random.seed(step % 2**32)
                for tensor in (items, *images.values()):
                    _share(tensor)
            self._data.prefetch(indices)
            for position, index in enumerate(indices):
                items[position], partner_images, row = _read_next(self._data, index, notes)
                for name, image in partner_images.items():
                    images[name][position] = image
                rows.append(row)
        except InputError as error:
            return error
        return items, rows, notes, images


def _identity(answer: Any) -> Any:
    return answer


def _share(items: Tensor) -> None:
    try:
        items.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise InputError(
            f"a data worker cannot share {items.nbytes / 2**20:.3g} MiB ({error}): enlarge /dev/shm, or read the data "
            f"without workers, by {option('workers', 0)}"
        ) from error


@contextlib.contextmanager
def _started(
    data: Dataset, order: Iterator[tuple[int, list[int]]], workers: int
) -> Iterator[tuple[Iterator[Answer], list[BaseProcess]]]:
    """The batches of a DataLoader and its workers, which are killed in the end."""
    before = multiprocessing.active_children()
    images = [values for values in data.conditions.values() if isinstance(values, Dataset)]
    method = METHOD if all(one.fork_safe for one in (data, *images)) else "spawn"
    with warnings.catch_warnings(), _worker_signals(), _safe_path(), _script_hidden(method != METHOD):
        warnings.simplefilter("ignore")  # of more workers than cores, and Python 3.12's, of forks beside threads
        answers: Iterator[Answer] = iter(
            torch_data.DataLoader(
                _Reader(data),
                batch_size=None,
                sampler=order,
                num_workers=workers,
                collate_fn=_identity,  # a DataLoader's own looks at every index
                generator=torch.Generator(),  # or it would draw a number from the global one
                multiprocessing_context=method if workers else None,
                worker_init_fn=partial(_end_with_parent, os.getpid()),
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
        yield answers, processes
    finally:
        atexit.unregister(kill)
        kill()


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Let a Python that is spawned begin without the working folder in its path; `multiprocessing` hands this one's on.

    Without, a file of the working folder could stand for a module of Python.
    """
    name = "PYTHONSAFEPATH"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@contextlib.contextmanager
def _script_hidden(hidden: bool) -> Iterator[None]:
    """Let a Python that is spawned not run the user's script, which it would where forks are usual and it is not asked
    for by `if __name__ == "__main__"`.
    """
    script = sys.modules["__main__"]
    if hidden:
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _death(processes: list[BaseProcess]) -> str | None:
    """The end of a worker, in words; None if all are alive."""
    for process in sorted(processes, key=BaseProcess.is_alive):
        process.join(1)  # an error may come before the end
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


def _end_with_parent(pid: int, _worker: int) -> None:
    """End this worker when the training process `pid` is gone, even if that dies while the worker starts or reads."""

    def watch() -> None:
        while os.getppid() == pid:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    multiprocessing.set_start_method(METHOD, force=True)  # forks name no locks, which a killed worker would leave


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


def _read_next(data: Dataset, index: int, notes: list[str]) -> tuple[Tensor, dict[str, Tensor], int]:
    """The first readable item from `index` on, its images and its index. Those before are named in `notes`."""
    reason = ""
    for offset in range(MOST_UNREADABLE):
        row = (index + offset) % len(data)
        try:
            return *_read_patiently(data, row, notes), row
        except Unreadable as error:
            reason = f"{data.name_of(row)}: {error}"
            notes.append(f"left out {reason}")
    raise InputError(f"{MOST_UNREADABLE} items of {data.name} one after the other cannot be read: {reason}")


def _read_patiently(data: Dataset, index: int, notes: list[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Read an item and its images, trying again while the data is gone. Raises SourceLost after LOST_DATA_TIMEOUT."""
    began, pause, lost = time.monotonic(), FIRST_PAUSE, ""
    while True:
        try:
            item, images = data.read_stored(index), data.images_of(index, stored=True)
        except SourceLost as error:
            lost = error.text
            if time.monotonic() - began > LOST_DATA_TIMEOUT:
                raise SourceLost(
                    f"{lost} (for {LOST_DATA_TIMEOUT:g} s now): bring it back, then go on with {option('resume', True)}"
                ) from None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        if lost:
            notes.append(f"waited {time.monotonic() - began:.1f} s: {lost}")
        return item, images
