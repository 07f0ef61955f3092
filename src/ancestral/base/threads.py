"""The number of CPU threads: given, or one for each physical core that the process may use."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import plural

MOST_THREADS = 256
"""Largest number of threads, or the number of processors if that is larger."""
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Linux's limit of a container: its CPU time in each period, both in microseconds, or "max"."""


def check_count(count: int) -> None:
    """Raise InputError for a number of threads that no program needs: the system ends one with too many."""
    processors = os.cpu_count() or 1
    most = max(MOST_THREADS, processors)
    if count > most:
        raise InputError(
            f"{option('threads', count)} are too many: this machine has {plural(processors, 'processor')}; give at "
            f"most {most}"
        )


def default_count() -> int:
    """Return PyTorch's number, one thread for each physical core, but no more than the container may use.

    If OMP_NUM_THREADS is set, that number is kept.
    """
    count = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ:
        return count
    try:
        quota, period = map(int, CPU_QUOTA.read_text().split())
    except (OSError, ValueError):  # another system, or no limit
        return count
    return min(count, max(1, quota // period))


@contextlib.contextmanager
def cpu_threads(count: int | None) -> Iterator[int]:
    """Compute with a number of threads, and restore the number before.

    Args:
        count: The number of threads; None takes `default_count`.

    Yields:
        The number.

    Raises:
        InputError: If the number is far beyond that of the processors.
    """
    before = torch.get_num_threads()
    if count is None:
        count = default_count()
    else:
        check_count(count)
    try:
        torch.set_num_threads(count)
        yield count
    finally:
        torch.set_num_threads(before)
