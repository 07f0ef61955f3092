"""How much memory a piece of work needs, as the system sees it."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")


def field(name: str) -> int:
    """Bytes that Linux tells of this process: VmRSS is what it holds, VmHWM the most since `forget`."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def forget() -> None:
    """Hand back what is free, so that only what lives is held, and begin a new peak."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    if STATUS.is_file():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def above(work: Callable[[], object], device: torch.device) -> tuple[int, int, int]:
    """Bytes held before the work, the most while it went on, and what of those it asked for: the difference.

    On a GPU PyTorch's allocator knows. On a CPU it is the resident memory, after freed memory was handed back.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        most = torch.cuda.max_memory_allocated()
    else:
        forget()
        before = field("VmRSS")
        work()
        most = max(before, field("VmHWM"))
    return before, most, most - before
