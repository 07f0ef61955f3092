"""Worker processes that read ahead, made for a training that must not be disturbed.

Not PyTorch's DataLoader: it raises a worker's death out of a signal handler, in the middle of whatever the training is
doing, maybe half of an optimiser's step; else finds it after five seconds; loses what a worker that died had read; dies
itself where a container's /dev/shm is small; and draws from the global generator. Here each worker has a pipe and some
anonymous shared memory of its own, so the death of one leaves the others, and what it had finished, whole.

On Linux workers are forked: they share the index of the data without a copy, start in milliseconds, and need no main
module that can be imported. A worker keeps to one thread and to reading and decoding, so it takes no lock that another
thread may have held at the fork, and touches no GPU. Elsewhere they are spawned.
"""

import atexit
import contextlib
import mmap
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections import deque
from collections.abc import Generator, Iterator
from multiprocessing.connection import Connection, wait

import torch
from torch import Tensor

from ancestral.data.reader import Outcome, Part, Reader, Slot, Task

METHOD = "fork" if sys.platform == "linux" else "spawn"
AHEAD = 2  # tasks of each worker that are read before they are asked for
GRACE = 5.0  # seconds for a process that was killed to end: on a dead network file system it may not
FOR_THE_TRAINING = ("SIGINT", "SIGTERM", "SIGUSR1")
"""Signals that reach all processes of a terminal or a job at once, and are the training process's to judge."""


class WorkerDied(Exception):
    """A worker ended that should not have. The message says how."""


def parts(reader: Reader, tasks: Iterator[Task], share: int, workers: int) -> Generator[Part]:
    """What the reader makes of each of the endless tasks, in order; read ahead by so many workers, or here by none.

    A task has at most `share` items. Raises WorkerDied. Closing it ends the workers.
    """
    if workers == 0:
        slot = reader.slot(share, torch.empty)
        while True:
            task = next(tasks)
            yield slot.part(task, reader.fill(slot.put(task)))
    pool: list[_Worker] = []
    try:
        pool += (_Worker(reader, share) for _ in range(workers))
        turns = deque(pool * AHEAD)
        for worker in turns:
            worker.ask(next(tasks))
        while True:
            part = turns[0].answer()
            turns[0].ask(next(tasks))
            turns.rotate(-1)
            yield part
    finally:
        for worker in pool:
            worker.end()


class _Worker:
    """A process, its pipe, and the memory in which it leaves what it read."""

    def __init__(self, reader: Reader, share: int) -> None:
        slots = [reader.slot(share, _shared) for _ in range(AHEAD)]
        context = multiprocessing.get_context(METHOD)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(reader, slots, theirs), daemon=True)  # type: ignore[attr-defined]
        with _undisturbed():
            self._process.start()
        theirs.close()
        atexit.register(self.end)  # before Python's own end of daemons, which would wait for one that hears no SIGTERM
        self._free, self._asked = deque(enumerate(slots)), deque[tuple[Task, tuple[int, Slot]]]()

    def ask(self, task: Task) -> None:
        """Have a task read; at most AHEAD are under way."""
        number, slot = self._free.popleft()
        self._asked.append((task, (number, slot)))
        slot.put(task)
        with contextlib.suppress(OSError):  # a worker that is dead is found where its answer is missed
            self._pipe.send((number, len(task)))

    def answer(self) -> Part:
        """The part of the oldest task. Raises WorkerDied."""
        wait([self._pipe, self._process.sentinel])
        try:
            if not self._pipe.poll():
                raise EOFError
            outcome: Outcome = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(GRACE)
            code = self._process.exitcode or 0
            raise WorkerDied(signal.Signals(-code).name if code < 0 else f"exit code {code}") from None
        if outcome.defect:
            raise RuntimeError(f"a data worker failed:\n{outcome.defect}")
        task, (number, slot) = self._asked.popleft()
        self._free.append((number, slot))
        return slot.part(task, outcome)

    def end(self) -> None:
        """End the process at once: it writes nothing, so nothing can be half-written."""
        atexit.unregister(self.end)
        self._pipe.close()
        self._process.kill()
        self._process.join(GRACE)
        if self._process.exitcode is not None:
            self._process.close()


def _work(reader: Reader, slots: list[Slot], pipe: Connection) -> None:
    """Read tasks until the pipe or the training process ends."""
    for name in FOR_THE_TRAINING:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _signals())
    torch.set_num_threads(1)
    parent = os.getppid()
    with contextlib.suppress(EOFError, OSError):
        while os.getppid() == parent:
            if not pipe.poll(1.0):  # siblings may hold the other end open, so the training's end need not show in it
                continue
            number, count = pipe.recv()
            try:
                outcome = reader.fill(slots[number].first(count))
            except Exception:
                outcome = Outcome(defect=traceback.format_exc())
            pipe.send(outcome)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Start a process in which no signal is heard before it has said which it ignores."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _signals()) if hasattr(signal, "pthread_sigmask") else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, of forks beside threads; see above
            yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signals() -> set[signal.Signals]:
    return {signal.Signals[name] for name in FOR_THE_TRAINING if hasattr(signal, name)}


def _shared(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory that a worker shares; when it is forked, memory that no limit of /dev/shm counts."""
    size = torch.empty(shape, dtype=dtype, device="meta").nbytes
    if METHOD == "fork":
        return torch.frombuffer(mmap.mmap(-1, max(1, size)), dtype=torch.uint8)[:size].view(dtype).view(shape)
    memory = torch.empty(shape, dtype=dtype)
    memory.share_memory_()  # type: ignore[no-untyped-call]
    return memory
