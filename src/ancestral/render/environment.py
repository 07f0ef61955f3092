"""Where a training takes place, in words."""

import platform
import sys
from datetime import datetime
from pathlib import Path

import torch

from ancestral import __version__
from ancestral.device import pick_dtype


def environment(device: torch.device, dtype: torch.dtype, processes: int) -> dict[str, str]:
    """Versions, machine and time, by name; nothing that tells whose machine it is."""
    import psutil

    facts = {
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
        facts["GPU"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB (CUDA {torch.version.cuda})"
    return facts | {
        "device": str(device),
        "precision": str(dtype).removeprefix("torch."),
        "processes": str(processes),
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def instructions() -> str:
    """What the CPU computes with: "AVX2", or "AVX512, bfloat16" where it has that natively."""
    native = pick_dtype("auto", torch.device("cpu")) == torch.bfloat16
    return torch.backends.cpu.get_cpu_capability() + (", bfloat16" if native else "")


def _processor() -> str:
    """The processor's name; Python tells it on some systems only."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
