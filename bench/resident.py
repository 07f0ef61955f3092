"""The peak memory of a function: resident memory on a CPU, allocated memory on a GPU."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")


def status_bytes(name: str) -> int:
    """Read a field of /proc/self/status in bytes: VmRSS is the resident memory, VmHWM its peak since `reset_peak`."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def reset_peak() -> None:
    """Return freed memory to the system and reset the peak of the resident memory."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    if STATUS.is_file():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(work: Callable[[], object], device: torch.device) -> tuple[int, int, int]:
    """Measure the memory of `work` in bytes.

    On a GPU this is the memory that PyTorch has allocated. On a CPU it is the resident memory, and freed memory is
    returned to the system first.

    Returns:
        (memory before, peak, difference).
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
    else:
        reset_peak()
        before = status_bytes("VmRSS")
        work()
        peak = max(before, status_bytes("VmHWM"))
    return before, peak, peak - before
