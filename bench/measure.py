"""Shared by all parts: interleaved timing, quartiles, a description of the machine, and the result files."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ancestral.base import storage
from ancestral.base.device import pick_dtype
from ancestral.base.errors import InputError
from ancestral.base.quantities import NORMAL, Estimate
from ancestral.render.html_report import environment

HERE = Path(__file__).parent
RESULTS = HERE / "results"
"""One JSON file for each part and kind of processor (committed), of which the page of benchmarks is made."""
OUT = HERE / "out"
"""Samples, pictures and logs (not committed)."""
PACKAGES = ("torch", "diffusers", "denoising-diffusion-pytorch", "ema-pytorch", "accelerate", "numpy")

Quartiles = dict[str, float]


def alternate(
    jobs: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int = 1,
    synchronize: Callable[[], object] = lambda: None,
    wall: bool = False,
) -> dict[str, list[float]]:
    """Time jobs in rounds.

    Every job runs once per round, in an order that changes from round to round. So noise of the machine affects all
    jobs alike, and no job always follows the same one.

    Args:
        jobs: Functions to time, by name.
        rounds: Number of timed rounds.
        warmup: Number of rounds before them that are not timed.
        synchronize: Blocks until the device has finished.
        wall: Whether to use the wall clock, for jobs that run in another process (default: the clock of `timer`).

    Returns:
        The seconds of each job in each timed round.
    """
    now = time.perf_counter if wall else timer()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for round_ in range(warmup + rounds):
        names = list(jobs)
        shift = round_ // 2 % len(names)
        names = names[shift:] + names[:shift]
        for name in names if round_ % 2 else reversed(names):
            synchronize()
            began = now()
            jobs[name]()
            synchronize()
            if round_ >= warmup:
                seconds[name].append(now() - began)
    return seconds


def clock() -> str:
    """Name the clock: "CPU" (CPU time, which excludes other programs) with one thread and no GPU, else "wall"."""
    return "CPU" if torch.get_num_threads() == 1 and not torch.cuda.is_available() else "wall"


def timer() -> Callable[[], float]:
    """Return the function that reads this clock, in seconds."""
    return time.process_time if clock() == "CPU" else time.perf_counter


def quartiles(values: Sequence[float]) -> Quartiles:
    """Compute the median, the lower and upper quartile, and the number of values."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    return {"median": middle, "low": low, "high": high, "rounds": len(values)}


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Quartiles:
    """Compute the quartiles of the ratios of two measurements, each ratio within one round."""
    return quartiles([a / b for a, b in zip(numerators, denominators, strict=True)])


def time_to(limit: Estimate, points: Sequence[tuple[float, Estimate]]) -> Estimate | str:
    """Estimate the time from which on a quality, of which less is better, is within a limit.

    Between two budgets the quality is linear in the logarithm of time. Of a convex curve that overestimates the time.

    Args:
        limit: The limit, with its standard error.
        points: The time of each budget and the quality after it, with its standard error.

    Returns:
        The time with its standard error, in which the errors of the limit and of both neighbours are independent; or
        "< TIME" or "> TIME" where no budget is on the other side.
    """
    points = sorted(points, key=lambda point: point[0])
    above = [i for i, (_, quality) in enumerate(points) if quality.value > limit.value]
    if not above:
        return f"< {points[0][0]:g}"
    if above[-1] == len(points) - 1:
        return f"> {points[-1][0]:g}"
    (t, y), (u, z) = points[above[-1] : above[-1] + 2]  # the last crossing: noise makes no time shorter
    share = (y.value - limit.value) / (y.value - z.value)
    value = t * (u / t) ** share
    errors = ((estimate.error or 0) * weight for estimate, weight in ((limit, 1), (y, 1 - share), (z, share)))
    log_error = math.log(u / t) * math.hypot(*errors) / (y.value - z.value)
    low, high = (value * math.exp(sign * NORMAL * log_error) for sign in (-1, 1))
    return Estimate(value, value * log_error, low, high)


def over_seeds(values: Sequence[float], error: float | None = None) -> Estimate:
    """Estimate the mean over seeds with its standard error; of one seed that is `error`."""
    if len(values) > 1:
        error = statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(statistics.mean(values), error)


@contextmanager
def count_evaluations() -> Iterator[Callable[[], int]]:
    """Count the items that pass through the network in this context: those of the largest modules that are called.

    Modules of one class and size are counted together: copies of the network, and a weaker one that guides it.

    Yields:
        A function that returns their number so far.
    """
    parameters: dict[nn.Module, int] = {}
    items: Counter[tuple[type, int]] = Counter()

    def count(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if module not in parameters:
            parameters[module] = sum(p.numel() for p in module.parameters())
        if arguments and isinstance(arguments[0], Tensor) and arguments[0].ndim:
            items[type(module), parameters[module]] += len(arguments[0])

    def total() -> int:
        most = max(parameters.values(), default=0)
        return max((number for (_, size), number in items.items() if 2 * size > most), default=0)

    with register_module_forward_pre_hook(count):
        yield total


def pick_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sync_for(device: torch.device) -> Callable[[], object]:
    """Return a function that blocks until the device has finished."""
    module = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type)
    return module.synchronize if module else lambda: None


def instructions() -> str:
    """Name the instructions of the CPU: "AVX2"; where bfloat16 is native "AVX512, bfloat16", or "AVX512, AMX", which
    multiplies bfloat16 matrices several times as fast.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if torch.cpu._is_amx_tile_supported():
        return f"{capability}, AMX"
    native = pick_dtype("auto", torch.device("cpu")) == torch.bfloat16
    return capability + (", bfloat16" if native else "")


def commit() -> str:
    """Return the commit of the working tree, which ends in "-dirty" if tracked files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    return done.stdout.strip() or "unknown-dirty"


def provenance(device: torch.device) -> dict[str, Any]:
    """Describe the device, the machine, the versions, the date, the number of threads and the clock."""
    facts = environment(device, torch.float32, 1)
    versions = {"ancestral": facts["ancestral"], "Python": facts["Python"]}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    machine = {"system": platform.system(), "cores": str(os.cpu_count())}
    machine |= {name: facts[name] for name in ("processor", "memory", "GPU") if name in facts}
    machine["processor"] = f"{machine['processor'].rpartition(' (')[0]} ({instructions()})"
    return {
        "device": device.type,
        "machine": machine,
        "versions": versions,
        "date": facts["date"],
        "threads": torch.get_num_threads(),
        "clock": clock(),
    }


def result_path(part: str, device: torch.device) -> Path:
    """Return bench/results/PART.KIND.json; KIND is cuda, mps, gpu (the pretended accelerator) or the
    instruction set (cpu-avx2, cpu-avx512-bfloat16, cpu-avx512-amx).

    The instruction set changes times by a factor of four, so each has results of its own.
    """
    kind = device.type
    if kind == "cpu":
        kind += "-" + instructions().lower().replace(",", "").replace(" ", "-")
    return RESULTS / f"{part}.{kind}.json"


def write_result(part: str, device: torch.device, settings: dict[str, Any], rows: list[dict[str, Any]]) -> Path:
    """Write the result file of a part and return its path."""
    path = result_path(part, device)
    write_json(path, {"part": part, **provenance(device), "settings": settings, "rows": rows})
    print(path, flush=True)
    return path


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file atomically; NaN and infinity raise ValueError."""
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    storage.write_text(path, text + "\n")


def read_rows(part: str) -> list[Any]:
    """Read the rows of a part that were measured on this kind of CPU, empty if there is no file."""
    path = result_path(part, torch.device("cpu"))
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def record_row(part: str, row: dict[str, Any], key: Sequence[str], threads: int) -> None:
    """Append a dated row to the CPU result file of a part; it replaces the row with the same values of `key`."""
    facts = {**provenance(torch.device("cpu")), "threads": threads}
    row = {**row, "date": facts["date"]}
    rows = [old for old in read_rows(part) if any(old[name] != row[name] for name in key)] + [row]
    write_json(result_path(part, torch.device("cpu")), {"part": part, **facts, "settings": {}, "rows": rows})


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Print an InputError of this context as one line, and exit with code 2."""
    try:
        yield
    except InputError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)


def run_python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in a new process.

    Args:
        arguments: Its arguments.
        options: Those of `subprocess.run`.

    Raises:
        SystemExit: If the process exits with code 2, after it has printed an InputError.
        CalledProcessError: If it fails otherwise; its standard error has been printed.
    """
    done = subprocess.run([sys.executable, *arguments], text=True, **options)
    if done.returncode == 2:
        sys.exit(2)
    done.check_returncode()
    return done


def run_code(code: str, *arguments: str, threads: int | None = None, echo: bool = False) -> str:
    """Run Python code in a new process, with this folder on its import path.

    Args:
        code: The code.
        arguments: Its sys.argv[1:].
        threads: Number of threads (default: that of the environment).
        echo: Whether to print the output immediately instead of returning it.

    Returns:
        The standard output, empty with `echo`.

    Raises:
        SystemExit: If the code raises InputError, which has been printed as one line.
        CalledProcessError: If it fails otherwise; its standard error has been printed.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    if threads:
        environ |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    guarded = "from measure import errors_in_one_line\nwith errors_in_one_line():\n" + textwrap.indent(code, "    ")
    stdout = None if echo else subprocess.PIPE
    return run_python("-W", "ignore", "-c", guarded, *arguments, env=environ, stdout=stdout).stdout or ""
