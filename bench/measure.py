"""What all measurements share: taking turns, medians with quartiles, where it was measured, and the file they are
written to.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ancestral import storage
from ancestral.render.environment import environment, instructions

HERE = Path(__file__).parent
RESULTS = HERE / "results"
"""One JSON of each part and kind of processor, committed: docs/benchmarks.md is made of them."""
OUT = HERE / "out"
"""Samples, pictures and logs; not committed."""
PACKAGES = ("torch", "diffusers", "denoising-diffusion-pytorch", "ema-pytorch", "accelerate", "numpy")

Spread = dict[str, float]


def alternate(
    jobs: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int = 1,
    wait: Callable[[], object] = lambda: None,
    wall: bool = False,
) -> dict[str, list[float]]:
    """Seconds of each job in each round, after `warmup` rounds that do not count.

    Every job runs once a round, in an order that turns from round to round, so that a noisy machine disturbs all alike
    and none always follows the same one. `wait` returns when the device has done what it was asked. `wall` is for jobs
    that do their work in another process.
    """
    now = time.perf_counter if wall else timer()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(warmup + rounds):
        names = list(jobs)
        shift = round_ // 2 % len(names)
        names = names[shift:] + names[:shift]
        for name in names if round_ % 2 else reversed(names):
            wait()
            began = now()
            jobs[name]()
            wait()
            if round_ >= warmup:
                seconds[name].append(now() - began)
    return seconds


def clock() -> str:
    """CPU time where one thread does it all: other programs on the machine do not count then. Else wall time."""
    return "CPU" if torch.get_num_threads() == 1 and not torch.cuda.is_available() else "wall"


def timer() -> Callable[[], float]:
    """What tells the seconds of that clock."""
    return time.process_time if clock() == "CPU" else time.perf_counter


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles, and of how many."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return {"median": middle, "low": low, "high": high, "rounds": len(values)}


def paired(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The spread of the ratios of what was measured in the same round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def pick_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def waiter(device: torch.device) -> Callable[[], object]:
    """Returns when the device is done."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def where(device: torch.device) -> dict[str, Any]:
    """Machine, date, versions and threads."""
    facts = environment(device, torch.float32, 1)
    versions = {"ancestral": facts["ancestral"], "Python": facts["Python"]}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    machine = {"system": platform.system(), "cores": str(os.cpu_count())}
    machine |= {name: facts[name] for name in ("processor", "memory", "GPU") if name in facts}
    return {
        "device": device.type,
        "machine": machine,
        "versions": versions,
        "date": facts["date"],
        "threads": torch.get_num_threads(),
        "clock": clock(),
    }


def file(part: str, device: torch.device) -> Path:
    """bench/results/PART.KIND.json, where KIND is cuda, or the instructions of the CPU (cpu-avx2, cpu-avx512-bfloat16):
    they make a factor of four, so what was measured on one kind is not replaced from another, nor compared with it.
    """
    kind = device.type
    if kind == "cpu":
        kind += "-" + instructions().lower().replace(",", "").replace(" ", "-")
    return RESULTS / f"{part}.{kind}.json"


def write(part: str, device: torch.device, settings: dict[str, Any], rows: list[dict[str, Any]]) -> Path:
    """Write the file of a part."""
    path = file(part, device)
    write_json(path, {"part": part, **where(device), "settings": settings, "rows": rows})
    print(path, flush=True)
    return path


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write settings and finite numbers as JSON, atomically."""
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    storage.write_text(path, text + "\n")


def record(part: str, row: dict[str, Any] | None = None, key: Sequence[str] = (), threads: int = 1) -> list[Any]:
    """The rows of a part whose rows are measured one by one, on the CPU; `row`, if given, first takes the place of the
    one with the same `key`, or comes last, with the date and the threads of its own.
    """
    path = file(part, torch.device("cpu"))
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    if row is not None:
        facts = {**where(torch.device("cpu")), "threads": threads}
        row = {**row, "date": facts["date"]}
        rows = [old for old in rows if any(old[name] != row[name] for name in key)] + [row]
        write_json(path, {"part": part, **facts, "settings": {}, "rows": rows})
    return rows


def child(code: str, *words: str, threads: int | None = None, echo: bool = False) -> str:
    """What Python code prints in a process of its own, with `words` as its sys.argv[1:] and this folder on its path.

    `echo` shows it as it comes instead. Raises CalledProcessError where it fails, with its error shown.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    if threads:
        environ |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *words],
        env=environ,
        stdout=None if echo else subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout or ""
