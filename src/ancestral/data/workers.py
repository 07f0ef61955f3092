"""Worker processes that read ahead: PyTorch's DataLoader, made safe for a training that must not be disturbed.

On Linux workers are forked. They share the index of the data without a copy, start in milliseconds, and need no
importable main module; a worker keeps to one thread and to this package's decoding, so it takes no lock that another
thread may have held at the fork, and touches no GPU. Elsewhere they are spawned.

PyTorch would raise a worker's death as an exception out of a signal handler, in the middle of whatever the training is
doing, maybe half of an optimiser's step. That handler is taken out again: a death is found where its batch is missed.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data import DataLoader

from ancestral.data.reader import Part, Reader, Task

METHOD = "fork" if sys.platform == "linux" else "spawn"
AHEAD = 2  # tasks of each worker that are read before they are asked for
DIED = "DataLoader worker (pid"  # what PyTorch's message of a death begins with


class WorkerDied(Exception):
    """A worker ended that should not have. The message says how."""


def parts(reader: Reader, tasks: Iterator[Task], workers: int) -> Generator[Part]:
    """What the reader makes of each task, in order; read ahead by so many workers, or here and now by none.

    Raises WorkerDied. Closing it ends the workers.
    """
    if workers == 0:
        yield from map(reader.__getitem__, tasks)
        return
    running, processes = _started(reader, tasks, workers)
    try:
        while True:
            try:
                part = next(running)
            except RuntimeError as error:
                if not str(error).startswith(DIED):
                    raise
                raise WorkerDied(_how(processes)) from None
            yield part
    finally:
        del running  # PyTorch ends the workers with their iterator


def _started(reader: Reader, tasks: Iterable[Task], workers: int) -> tuple[Iterator[Part], list[BaseProcess]]:
    """The running loader and its processes."""
    loader: DataLoader[Part] = DataLoader(
        reader,  # type: ignore[arg-type]
        batch_size=None,
        sampler=tasks,
        num_workers=workers,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
        worker_init_fn=_begin,
        multiprocessing_context=METHOD,
        generator=torch.Generator(),  # else it draws a number from the training's own
    )
    before = set(multiprocessing.active_children())
    with _undisturbed():
        running = iter(loader)
    return running, [process for process in multiprocessing.active_children() if process not in before]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes that never see Ctrl-C, and leave this one's signal handlers as they were."""
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD) if in_main and hasattr(signal, "SIGCHLD") else None
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, of forks beside threads; see above
            yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGCHLD, handler)
        if masked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def _begin(_number: int) -> None:
    """First thing in a worker: leave the terminal's process group, whose signals are the training process's to judge.

    SIGTERM still ends a worker: that is how PyTorch stops one that hangs.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        os.setpgid(0, 0)


def _as_it_is(part: Any) -> Any:
    return part


def _how(processes: list[BaseProcess]) -> str:
    """How the workers ended that did."""
    codes = sorted({process.exitcode for process in processes if process.exitcode})
    words = [signal.Signals(-code).name if code < 0 else f"exit code {code}" for code in codes]
    return ", ".join(words) or "no exit code"
