"""Where to compute, in which precision and memory layout, and with how many threads of the CPU."""

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import psutil
import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import plural

Precision = Literal["auto", "fp32", "bf16", "fp16"]
MemoryFormat = Literal["auto", "channels-last", "contiguous"]

DATA_SHARE = 0.25
"""Share of the free memory of a device that data may take, so that most is left to networks and activations."""
UNPINNED = {"cpu", "mps"}
"""Kinds of devices that read the memory of the CPU itself, so that no copies from pinned memory are faster."""
POSITIONS_AT_ONCE = 64 * 64 * 64
"""Most positions of all items of a batch that nobody gave the size of."""
MOST_THREADS = 256
"""Largest number of threads, or the number of processors if that is larger."""
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Linux's limit of a container: its CPU time in each period, both in microseconds, or "max"."""


def pick_device(name: str = "auto") -> torch.device:
    """Choose a device: "cpu", "cuda", "cuda:1", "mps"; "auto" is the first GPU, else the CPU.

    Raises:
        InputError: If this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device).cpu()  # "meta" is a device of PyTorch that computes nothing
    except (RuntimeError, AssertionError):  # NotImplementedError is a RuntimeError
        raise InputError(f"this machine has no device {name!r}; use {option('device', 'auto')}, or cpu") from None
    return device


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Choose the dtype of the network's arithmetic; weights, loss and sampling stay float32.

    "auto" is bfloat16 where the hardware supports it natively, else float32: emulated bfloat16 is slower.
    """
    if precision == "auto":
        return torch.bfloat16 if _native_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def check_memory(count: int, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Raise InputError if this number of samples does not fit into the free memory."""
    sample_bytes, free_bytes = count * math.prod(shape) * dtype.itemsize, free_memory(torch.device("cpu"))
    if sample_bytes > free_bytes:
        sizes = f"{sample_bytes / 2**30:,.3g} GiB of memory, and {free_bytes / 2**30:.3g} are free"
        raise InputError(f"{count:,} samples take {sizes}; give a smaller number")


def free_memory(device: torch.device) -> int:
    """Return the bytes of memory that are free on a device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else int(psutil.virtual_memory().available)


def home_of(nbytes: int, device: torch.device) -> torch.device:
    """Choose where data that each step reads a part of are kept: on the device if they fit, else on the CPU.

    They fit if they take at most `DATA_SHARE` of the memory that is free there.
    """
    fits = device.type != "cpu" and nbytes <= DATA_SHARE * free_memory(device)
    return device if fits else torch.device("cpu")


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor from which a copy to the device does not wait: for a GPU in pinned memory."""
    pins = tensor.device.type == "cpu" and device.type not in UNPINNED
    return tensor.contiguous().pin_memory() if pins else tensor


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, by a copy that waits for nothing."""
    return pinned(tensor, device).to(device, non_blocking=True)


def items_at_once(shape: Sequence[int], given: int | None = None) -> int:
    """Return how many items of this shape are sampled or measured in a batch: as many as given, else 64 of up to 64×64.

    The features of a network take memory in proportion to the positions: 64 photographs of 256×256 took 20 GB.
    """
    return max(1, min(64, POSITIONS_AT_ONCE // math.prod(shape[1:]))) if given is None else given


CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The memory format with the channels innermost, by the number of axes of a batch."""


def memory_format(axes: int, choice: MemoryFormat = "auto") -> torch.memory_format:
    """Choose the memory format of batches with this number of axes, and of their network.

    By default images have the channels innermost. Volumes with channels innermost took 4 % longer to train on a CPU.
    """
    innermost = axes == 4 if choice == "auto" else choice == "channels-last"
    return CHANNELS_LAST.get(axes, torch.contiguous_format) if innermost else torch.contiguous_format


def _native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def keep_freed_memory() -> None:
    """Make the C library keep freed memory instead of returning it to the system (Linux, CPU).

    Otherwise activations of a few MB are mapped and zeroed again at every step, a fifth of a small network's time. It
    concerns the whole process, so workflows call it, and the library itself does not.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no mallopt
            libc = ctypes.CDLL(None)
            libc.mallopt(-4, 0)  # M_MMAP_MAX: no allocation gets a mapping of its own
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the top of the heap is not given back


def check_threads(count: int) -> None:
    """Raise InputError for a number of threads that no program needs: the system ends one with too many."""
    processors = os.cpu_count() or 1
    most = max(MOST_THREADS, processors)
    if count > most:
        raise InputError(
            f"{option('threads', count)} are too many: this machine has {plural(processors, 'processor')}; give at "
            f"most {most}"
        )


def default_threads() -> int:
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
        count: The number of threads; None takes `default_threads`.

    Yields:
        The number.

    Raises:
        InputError: If the number is far beyond that of the processors.
    """
    before = torch.get_num_threads()
    if count is None:
        count = default_threads()
    else:
        check_threads(count)
    try:
        torch.set_num_threads(count)
        yield count
    finally:
        torch.set_num_threads(before)
