"""The accelerator of this machine, or a pretended one: what it waits for, its memory, and TF32."""

import ast
import importlib
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

import ancestral
from measure import HERE, sync_for
from resident import peak_memory

PRETENDED = "gpu"
"""The device of tests/accelerator.py, whose tensors are computed on the CPU."""
PACKAGE = Path(ancestral.__file__).parent
NEEDS_CUDA = "needs CUDA"
"""What the row of a measurement says that a device cannot make."""


def pick_accelerator() -> torch.device:
    """Return the GPU, or where there is none the pretended accelerator, which must be entered by `on`."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    sys.path.append(str(HERE.parent / "tests"))
    return torch.device(importlib.import_module("accelerator").NAME)


@contextmanager
def on(device: torch.device) -> Iterator["Accelerator"]:
    """Let a device be used, also the pretended one."""
    if device.type != PRETENDED:
        yield Accelerator(device)
        return
    with importlib.import_module("accelerator").pretended() as waits:
        yield Accelerator(device, waits)


class Accelerator:
    """A device, and what can be measured on it.

    Args:
        device: The device.
        pretended_waits: The counter of the pretended accelerator.
    """

    def __init__(self, device: torch.device, pretended_waits: "Counter[str] | None" = None) -> None:
        self.device, self.pretended_waits = device, pretended_waits
        self.synchronize = sync_for(device)

    @property
    def real(self) -> bool:
        """Whether this is a GPU."""
        return self.pretended_waits is None

    def waits(self, work: Callable[[], object]) -> dict[str, int] | None:
        """Count by function what makes the program wait for the device in `work`; None where nothing counts it."""
        if self.pretended_waits is not None:
            self.pretended_waits.clear()
            work()
            return by_function(self.pretended_waits)
        if self.device.type != "cuda":
            return None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                work()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        lines = [f"wait: {w.filename}:{w.lineno}" for w in caught if "synchronizing" in str(w.message)]
        return by_function(Counter(lines))

    def memory(self, work: Callable[[], object]) -> int | None:
        """Measure the peak of the device's memory in `work` in bytes, without what was allocated before; CUDA only."""
        return peak_memory(work, self.device)[2] if self.device.type == "cuda" else None


def by_function(waits: Mapping[str, int]) -> dict[str, int]:
    """Count waits by the functions of their lines, which changes of a module move, "what: FILE:LINE"."""
    counts = Counter[str]()
    for wait, number in waits.items():
        what, _, place = wait.partition(": ")
        file, _, line = place.rpartition(":")
        counts[f"{what}: {function_at(PACKAGE / file, int(line)) if file else place}"] += number
    return dict(counts)


def function_at(file: Path, line: int) -> str:
    """Name the function that a line is in, after its module: "model/sample_conditioning.py, states"."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    scopes = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)]
    around = [node for node in scopes if node.lineno <= line <= (node.end_lineno or node.lineno)]
    module = file.relative_to(PACKAGE) if file.is_relative_to(PACKAGE) else Path(file.name)
    return ", ".join([module.as_posix(), ".".join(node.name for node in sorted(around, key=lambda node: node.lineno))])


@contextmanager
def without_tf32() -> Iterator[None]:
    """Compute float32 convolutions and products of matrices in float32 on CUDA, not in TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
