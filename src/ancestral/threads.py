"""The number of CPU threads: given, or measured, since more threads are slower where other programs use the cores."""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ancestral.errors import InputError
from ancestral.options import option
from ancestral.quantities import plural

ROUNDS = 4
"""Number of times that the work is timed with each number of threads, in turn."""
PATIENCE, LONGEST = 1.0, 20.0
"""Seconds of work with one thread from which it is timed once, and from which all threads are taken without timing."""
MOST = 256
"""Largest number of threads, or the number of processors if that is larger."""
GAIN = 1.1
"""More threads must be this many times as fast as one: threads that are left free serve other programs."""


@dataclass(frozen=True)
class Threads:
    """The number of threads, and a line on why; "" where there was no choice."""

    count: int
    reason: str = ""


def check_count(count: int) -> None:
    """Raise InputError for a number of threads that no program needs: the system ends one with too many."""
    processors = os.cpu_count() or 1
    most = max(MOST, processors)
    if count > most:
        raise InputError(
            f"{option('threads', count)} are too many: this machine has {plural(processors, 'processor')}; give at "
            f"most {most}"
        )


@contextlib.contextmanager
def cpu_threads(count: int | None, device: torch.device, work: Callable[[], object] | None) -> Iterator[Threads]:
    """Compute with the number of threads that serves best, and restore the number before.

    Args:
        count: The number of threads; None measures the work with one thread, with half of all and with all.
        device: Where the work is computed. Only for the CPU is anything measured.
        work: A small part of the work, which may be repeated; None keeps PyTorch's number.

    Yields:
        The number, and the reason. If OMP_NUM_THREADS is set, that number is kept.

    Raises:
        InputError: If the number is far beyond that of the processors.
    """
    default_count = torch.get_num_threads()
    try:
        if count is not None:
            check_count(count)
            torch.set_num_threads(count)
            yield Threads(count)
        elif work is None or device.type != "cpu" or default_count == 1 or "OMP_NUM_THREADS" in os.environ:
            yield Threads(default_count)
        else:
            yield _measure(work, default_count)
    finally:
        torch.set_num_threads(default_count)


def _measure(work: Callable[[], object], most: int) -> Threads:
    """Time the work with each number of threads, and keep the number that serves best."""
    torch.set_num_threads(1)  # threads that compete with other programs would make the first call slower still
    _seconds(work)
    alone = _seconds(work)
    if alone > LONGEST:
        torch.set_num_threads(most)
        return Threads(most, f"{most} CPU threads (with one, a step takes {alone:.0f} s; {option('threads')} chooses)")
    counts = sorted({1, max(1, most // 2), most})
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(ROUNDS if alone < PATIENCE else 1):
        for count in counts:
            torch.set_num_threads(count)
            times[count].append(_seconds(work))
    means = {count: statistics.mean(times[count]) for count in counts}
    best = min(counts, key=lambda count: means[count] * (1 if count == 1 else GAIN))
    torch.set_num_threads(best)
    measured = ", ".join(f"{count}: {mean:.3g} s" for count, mean in means.items())
    return Threads(
        best, f"{best} CPU thread{'s' * (best > 1)} of {most} (measured {measured}; {option('threads')} chooses)"
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
