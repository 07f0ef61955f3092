"""Measure the time of a training step with conditions and without them.

    python bench/overhead.py                                  # conditional steps against unconditional ones, 32x32
    python bench/overhead.py --before OTHER/src               # unconditional steps of this version and of another one
    python bench/overhead.py --only folder "folder upscale:4" --rounds 30 --processes 3

Each contestant trains in a process of its own with one thread, at preset settings and with its data in memory. Within a
round every contestant takes a step in turn, then again in the reverse order, and a ratio is that of the CPU times of
both steps to those of the first contestant. The table has the medians of the ratios and of the differences with their
standard errors (from their quartiles). The processes are started again several times, since the places of tensors in
memory change the times too. A cost of a step that does not depend on the batch is measured best with `--batch-size 1`.
"""

import argparse
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

import ancestral
from measure import quartiles

HERE = Path(ancestral.__file__).resolve().parents[1]
SIDE, ITEMS, WARMUP = 32, 256, 3
BEFORE = "before"


def work(name: str, batch_size: int | None) -> None:
    """Take one training step for each line of the input, and print its CPU time."""
    from ancestral import config as configs
    from ancestral import data
    from ancestral.device import keep_freed_memory
    from ancestral.training import Trainer

    keep_freed_memory()
    torch.set_num_threads(1)
    preset, _, condition = name.partition(" ")
    if preset == "digits":
        source = data.load("digits", **({"given": condition} if condition else {}))
    else:
        images = torch.randint(256, (2, ITEMS, 3, SIDE, SIDE), dtype=torch.uint8)
        if condition == "image":
            source = data.load((images[0], {"image": images[1]}))
        else:
            source = data.load(images[0], **({"given": condition} if condition else {}))
    config = configs.preset(preset).with_settings(
        source="digits",
        class_labels=False,
        threads=1,
        snapshots=0,  # the data are those of `source`
    )
    if batch_size:
        config = config.with_settings(batch_size=batch_size)
    trainer = Trainer(config, source, "cpu")
    for _ in range(WARMUP):
        trainer.advance()
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.process_time()
        trainer.advance()
        print(time.process_time() - began, flush=True)


class Contestant:
    """A process that takes training steps of a preset, with a condition or without, by the package at a place."""

    def __init__(self, name: str, source: Path, batch_size: int | None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(source), str(Path(__file__).parent)])
        command = [sys.executable, "-W", "ignore", __file__, "--work", name]
        command += ["--batch-size", str(batch_size)] if batch_size else []
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended with code {self.process.wait()}")
        return line

    def step(self) -> float:
        """Take a step and return its CPU time."""
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def median(values: list[float]) -> tuple[float, float]:
    """Return the median and its standard error, from the quartiles of normal values."""
    parts = quartiles(values)
    return parts["median"], 0.93 * (parts["high"] - parts["low"]) / math.sqrt(len(values))


def compare(contestants: dict[str, tuple[str, Path]], rounds: int, processes: int, batch_size: int | None) -> None:
    """Print the CPU time of a step of each contestant, its ratio to that of the first one, and the difference."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(processes):
        running = {name: Contestant(*contestant, batch_size) for name, contestant in contestants.items()}
        for _ in range(rounds):
            both = dict.fromkeys(running, 0.0)
            for name in (*running, *reversed(running)):
                both[name] += running[name].step()
            for name, value in both.items():
                seconds[name].append(value / 2)
        for contestant in running.values():
            contestant.close()
    first, *_ = seconds.values()
    for name, values in seconds.items():
        ratio, error = median([value / base for value, base in zip(values, first, strict=True)])
        more, more_error = median([1000 * (value - base) for value, base in zip(values, first, strict=True)])
        print(
            f"{name:24s} {1000 * median(values)[0]:7.1f} ms  {ratio:.4f} ± {error:.4f}  "
            f"{more:+.2f} ± {more_error:.2f} ms",
            flush=True,
        )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="folder src of the other version")
    parser.add_argument("--only", nargs="+", help="presets with or without a condition, the first one the base")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each start of the processes (default: 20)")
    parser.add_argument("--processes", type=int, default=3, help="number of starts (default: 3)")
    parser.add_argument("--batch-size", type=int, help="items in a batch (default: the preset's)")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.batch_size)
    elif options.before:
        for name in options.only or ("digits", "folder"):
            pair = {f"{name}, {BEFORE}": (name, options.before.resolve()), f"{name}, now": (name, HERE)}
            compare(pair, options.rounds, options.processes, options.batch_size)
    else:
        names = options.only or ("folder", "folder upscale:4", "folder image")
        compare({name: (name, HERE) for name in names}, options.rounds, options.processes, options.batch_size)


if __name__ == "__main__":
    main()
