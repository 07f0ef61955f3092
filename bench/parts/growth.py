"""Cost growth: time for each image of a training step, over image size, batch, width and number of processes.

The paper's architecture, narrow (width 64 unless it is what grows) so that it takes minutes; ours and diffusers take
turns. Processes are started by torchrun with one thread each and split a batch of fixed size: ours by `Trainer`,
diffusers' by PyTorch's DDP. More processes than cores cannot help, and are not asked for.
"""

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
from typing import Any

from ancestral.device import keep_freed_memory
from measure import HERE, alternate, paired, pick_device, spread, waiter, write
from peers.paper import PAPERS, Setting

BASE = Setting(batch=8, precision="fp32", side=32, width=64)
GROWING: dict[str, tuple[int, ...]] = {"side": (16, 32, 64), "batch": (1, 4, 16, 64), "width": (32, 64, 128)}
SIDES = ("ancestral", "diffusers")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the part."""
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count; one more warms up")
    parser.add_argument("--over", nargs="+", default=[*GROWING, "processes"], choices=[*GROWING, "processes"])
    parser.add_argument("--most", type=int, default=10**9, help="leave out larger values: for a quick look")


def run(options: argparse.Namespace) -> None:
    """Measure and write results/growth.KIND.json."""
    keep_freed_memory()
    device = pick_device()
    rows: list[dict[str, Any]] = []
    for over in options.over:
        values = (1, 2) if over == "processes" else [value for value in GROWING[over] if value <= options.most]
        for value in values:
            if over == "processes":
                seconds = processes(value, options.rounds, BASE.width)
                images = 16
            else:
                setting = dataclasses.replace(BASE, device=device, **{over: value})
                papers = {name: PAPERS[name](setting) for name in SIDES}
                seconds = alternate({n: p.step for n, p in papers.items()}, options.rounds, wait=waiter(device))
                images = setting.batch
            for name in SIDES:
                row = {
                    "over": over,
                    "value": value,
                    "contestant": name,
                    "seconds_per_image": spread([s / images for s in seconds[name]]),
                    "ratio": paired(seconds[name], seconds["ancestral"]),
                }
                rows.append(row)
                print(f"{over} {value} {name}: {1e3 * row['seconds_per_image']['median']:.1f} ms an image", flush=True)
    write("growth", device, {"rounds": options.rounds, "base": {"batch": 8, "side": 32, "width": 64}}, rows)


def exponent(points: list[tuple[float, float]]) -> float:
    """The slope of log y over log x, by least squares: y grows as x to this power."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def processes(count: int, rounds: int, width: int) -> dict[str, list[float]]:
    """Seconds of each side's steps of 16 images, by so many processes of one thread."""
    code = str(HERE / "parts" / "launched.py")
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}"}
    words = [str(count), code, str(rounds), str(width)]
    done = subprocess.run([*launcher, *words], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found
