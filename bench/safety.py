"""What safety and looks cost: the digits preset bare, saving every 100 steps, and with trackers and the live panel too.

    python bench/safety.py [--rounds 5]

Three trainings of the same config take turns of 100 steps in one process; a turn of the second ends in a save, which
goes on beside the next turn, and is counted where it falls: so turns are followed by a wait for it, inside the clock.
Medians of the ratios to the bare one in the same round, by the clock and by CPU time.
"""

import argparse
import dataclasses
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from ancestral import config as configs
from ancestral import data
from ancestral.cli.panel import panel
from ancestral.device import keep_freed_memory
from ancestral.training import RunFolder, Trainer
from ancestral.training.trackers import Trackers

TURN = 100


def bare(trainer: Trainer, folder: RunFolder) -> Iterator[None]:
    """Steps alone."""
    for progress in trainer.run():
        if progress.step % TURN == 0:
            yield


def saving(trainer: Trainer, folder: RunFolder) -> Iterator[None]:
    """And a checkpoint and a model file each turn, waited for."""
    checkpoints = trainer.checkpoints(folder)
    for progress in trainer.run():
        if progress.step % TURN == 0:
            trainer._save(folder, checkpoints)
            checkpoints.wait()
            yield


def beside(trainer: Trainer, folder: RunFolder) -> Iterator[None]:
    """As a user's training does it: the save goes on while the next turn is computed."""
    for progress in trainer.run(folder):
        if progress.step % TURN == 0:
            yield


def shown(trainer: Trainer, folder: RunFolder) -> Iterator[None]:
    """The log, TensorBoard, and the panel on a terminal."""
    T = trainer.denoiser.schedule.steps
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with panel(console, T, trainer.engine.memory) as show, Trackers(folder, ("tensorboard",), T, 0) as trackers:
        for progress in trainer.run():
            show(progress)
            if progress.step % trainer.config.engine.log_every == 0:
                trackers.log(progress)
            if progress.step % TURN == 0:
                yield


def main() -> None:
    """Take turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    config, dataset = configs.digits(), data.load("digits")
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=10**6, save_every=TURN))
    kinds: dict[str, Callable[[Trainer, RunFolder], Iterator[None]]] = {
        "bare": bare, "saving, waited for": saving, "saving": beside, "log, TensorBoard, panel": shown
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as path:
        turns = {}
        for number, (name, kind) in enumerate(kinds.items()):
            folder = RunFolder(Path(path) / str(number))
            folder.begin(config)
            turns[name] = kind(Trainer(config, dataset, "cpu"), folder)
        wall: dict[str, list[float]] = {name: [] for name in kinds}
        cpu: dict[str, list[float]] = {name: [] for name in kinds}
        for turn in range(rounds + 1):
            for name, steps in turns.items():
                before = time.perf_counter(), time.process_time()
                next(steps)
                if turn:  # the first warms up
                    wall[name].append(time.perf_counter() - before[0])
                    cpu[name].append(time.process_time() - before[1])
        for steps in turns.values():
            steps.close()  # type: ignore[attr-defined]
    print(f"{'':<26}{'clock':>10}{'ratio':>9}{'CPU':>10}{'ratio':>9}   of {TURN} steps, {rounds} rounds")
    for name in kinds:
        ratios = [
            statistics.median(one / base for one, base in zip(times[name], times["bare"], strict=True))
            for times in (wall, cpu)
        ]
        print(f"{name:<26}{statistics.median(wall[name]):>8.2f} s{ratios[0]:>9.4f}"
              f"{statistics.median(cpu[name]):>8.2f} s{ratios[1]:>9.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
