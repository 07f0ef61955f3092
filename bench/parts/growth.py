"""Cost growth: time per image of a training step by image size, batch size, width and number of processes.

The architecture is that of the DDPM paper with width 64, except where the width varies, so that it takes minutes.
Steps of ours and of diffusers are interleaved. torchrun starts processes of one thread, which split a batch of fixed
size: ours by `Trainer`, diffusers' by PyTorch's DDP. There are at most two processes, for machines with two cores.
"""

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
from typing import Any

from ancestral.base.device import keep_freed_memory
from measure import HERE, alternate, paired_ratio, pick_device, quartiles, sync_for, write_result
from peers.paper import BENCHMARKS, Setting, available

BASE = Setting(batch=8, precision="fp32", side=32, width=64)
VALUES: dict[str, tuple[int, ...]] = {"side": (16, 32, 64), "batch": (1, 4, 16, 64), "width": (32, 64, 128)}
VARIABLES = [*VALUES, "processes"]
LIBRARIES = ("ancestral", "diffusers")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--rounds", type=int, default=5, help="number of timed rounds after the warm-up (default: 5)")
    parser.add_argument("--over", nargs="+", default=VARIABLES, choices=VARIABLES, help="variables")
    parser.add_argument("--most", type=int, default=10**9, help="largest value of a variable (default: no limit)")


def run(options: argparse.Namespace) -> None:
    """Measure all variables and write results/growth.KIND.json."""
    keep_freed_memory()
    device = pick_device()
    rows: list[dict[str, Any]] = []
    libraries = [name for name in LIBRARIES if name in available()]
    for over in options.over:
        values = (1, 2) if over == "processes" else [value for value in VALUES[over] if value <= options.most]
        for value in values:
            if over == "processes":
                seconds = time_processes(value, options.rounds, BASE.width)
                images = 16
            else:
                setting = dataclasses.replace(BASE, device=device, **{over: value})
                jobs = {name: BENCHMARKS[name](setting).step for name in libraries}
                seconds = alternate(jobs, options.rounds, synchronize=sync_for(device))
                images = setting.batch
            for name in libraries:
                row = {
                    "over": over,
                    "value": value,
                    "contestant": name,
                    "seconds_per_image": quartiles([s / images for s in seconds[name]]),
                    "ratio": paired_ratio(seconds[name], seconds["ancestral"]),
                }
                rows.append(row)
                print(f"{over} {value} {name}: {1e3 * row['seconds_per_image']['median']:.1f} ms per image", flush=True)
    write_result("growth", device, {"rounds": options.rounds, "base": {"batch": 8, "side": 32, "width": 64}}, rows)


def exponent(points: list[tuple[float, float]]) -> float:
    """Return the least-squares slope p of log y over log x, so that y grows as x^p."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def time_processes(count: int, rounds: int, width: int) -> dict[str, list[float]]:
    """Time each library's steps of 16 images, split among `count` processes of one thread, in seconds."""
    code = str(HERE / "parts" / "launched.py")
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
    arguments = [str(count), code, str(rounds), str(width)]
    done = subprocess.run([*launcher, *arguments], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    seconds: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return seconds
