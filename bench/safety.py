"""Overhead of checkpoints, of the log, TensorBoard and the training panel, in training steps of the digits preset.

    python bench/safety.py [--rounds 5]

One training run on one thread alternates between intervals of 100 steps without overhead, with a checkpoint, and with
log, TensorBoard and panel. The overhead is the CPU time of the process in an interval minus that of the steps. It
includes work in the thread of the steps (copies for the checkpoint, log, panel) and in other threads (writing and
hashing the checkpoint, TensorBoard's writer, the panel's clock). Other programs and the variation of the steps' own
time do not affect it. The intervals without overhead should be at 0 and show the error. A checkpoint begins at the
start of its interval, is written during the steps, and is finished before the interval ends. The table has the median
over the rounds, the minimum and the maximum.
"""

import argparse
import dataclasses
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from ancestral import config as configs
from ancestral import data
from ancestral.device import keep_freed_memory
from ancestral.render.terminal import TrainingPanel
from ancestral.training import Progress, RunFolder, Trainer
from ancestral.training.fault_tolerance import Saves
from ancestral.training.trackers import Trackers

INTERVAL = 100  # steps
Steps = Iterator[Progress]


class Interval:
    """Iterate over an interval of steps, and measure their CPU time and that of the whole process."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.seconds, self.began = steps, 0.0, time.process_time()

    def __iter__(self) -> Iterator[Progress]:
        for _ in range(INTERVAL):
            before = time.thread_time()
            progress = next(self.steps)
            self.seconds += time.thread_time() - before
            yield progress

    @property
    def overhead(self) -> float:
        """CPU time of the process outside the steps, divided by that of the steps."""
        return (time.process_time() - self.began) / self.seconds - 1


def steps_only(trainer: Trainer, folder: RunFolder, interval: Interval) -> None:
    """Run the steps only."""
    for _ in interval:
        pass


def with_checkpoint(trainer: Trainer, folder: RunFolder, interval: Interval) -> None:
    """Run the steps while a checkpoint and a model file are written."""
    saves = Saves(folder, trainer.config, trainer.distributed)
    saves.save(trainer.state, trainer.config)
    steps_only(trainer, folder, interval)
    saves.wait()


def with_logging(trackers: Trackers, trainer: Trainer, folder: RunFolder, interval: Interval) -> None:
    """Run the steps with the log, TensorBoard, and the panel on a terminal."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    panel = TrainingPanel(console)
    for progress in interval:
        panel.show(progress)
        if progress.step % trainer.config.runtime.log_every == 0:
            trackers.log(progress)
    panel.close()


def main() -> None:
    """Measure all kinds of intervals, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds after the warm-up (default: 5)")
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    torch.set_num_threads(1)
    config = configs.preset("digits")
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=10**6))
    trainer = Trainer(config, data.load("digits"), "cpu")
    T = trainer.denoiser.schedule.steps
    with tempfile.TemporaryDirectory() as path, Trackers(RunFolder(Path(path)), ("tensorboard",), T, 0) as trackers:
        folder, steps = RunFolder(Path(path)), trainer.run()
        kinds = {"steps": steps_only, "checkpoint": with_checkpoint, "log, panel": partial(with_logging, trackers)}
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for number in range(rounds + 1):
            for name, kind in kinds.items():
                interval = Interval(steps)
                kind(trainer, folder, interval)
                if number:
                    measured[name].append((interval.seconds, interval.overhead))
    print(f"{f'{INTERVAL} steps, one thread':<28}{'steps':>9}{'overhead':>9}  minimum - maximum")
    for name, intervals in measured.items():
        seconds, overheads = zip(*intervals, strict=True)
        print(
            f"{name:<28}{statistics.median(seconds):>7.2f} s{statistics.median(overheads):>9.2%}  "
            f"{min(overheads):.2%} - {max(overheads):.2%}"
        )


if __name__ == "__main__":
    main()
