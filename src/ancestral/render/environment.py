"""Versions and hardware, for reports."""

import platform
import sys
from datetime import datetime
from pathlib import Path

import torch

from ancestral import __version__
from ancestral.device import pick_dtype


def environment(device: torch.device, dtype: torch.dtype, processes: int) -> dict[str, str]:
    """Describe versions, hardware and time by name, without anything that identifies the owner of the machine."""
    import psutil

    rows = {
        "ancestral": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "PyTorch": torch.__version__,
        "system": platform.platform(),
        "processor": f"{_processor()} ({instructions()})",
        "cores": f"{psutil.cpu_count(logical=False) or '?'}, {psutil.cpu_count()} threads; "
        f"{torch.get_num_threads()} used by each process",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        rows["GPU"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB (CUDA {torch.version.cuda})"
    return rows | {
        "device": str(device),
        "precision": str(dtype).removeprefix("torch."),
        "processes": str(processes),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def instructions() -> str:
    """Name the instructions of the CPU: "AVX2"; where bfloat16 is native "AVX512, bfloat16", or "AVX512, AMX", which
    multiplies bfloat16 matrices several times as fast.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if torch.cpu._is_amx_tile_supported():
        return f"{capability}, AMX"
    native = pick_dtype("auto", torch.device("cpu")) == torch.bfloat16
    return capability + (", bfloat16" if native else "")


def _processor() -> str:
    """The name of the processor, which Python knows on some systems only."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
