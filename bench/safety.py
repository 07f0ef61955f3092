"""What safety and looks cost: steps of the digits preset bare, with a save, and with log, TensorBoard and panel.

    python bench/safety.py [--rounds 5]

One training on one thread takes turns of 100 steps. Whatever the process computed in a turn beyond the steps
themselves, in this thread (copies for the save, log, panel) or in others (writing the checkpoint and hashing it,
TensorBoard's writer, the panel's clock), is the cost, by CPU time: so neither a busy machine nor the spread of the
steps' own time is in it, and the bare turns, whose cost should be nothing, show how exact it is. The save of a turn
begins at its start and goes on beside the steps, as in a user's training, and its end is waited for inside the turn.
Medians over the rounds, with the least and the greatest.
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
from ancestral.render.training_panel import TrainingPanel
from ancestral.training import Progress, RunFolder, Trainer
from ancestral.training.trackers import Trackers

TURN = 100
Steps = Iterator[Progress]


class Turn:
    """The CPU time of the steps of a turn, in their own thread, and of all else that the process did meanwhile."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.own, self.began = steps, 0.0, time.process_time()

    def __iter__(self) -> Iterator[Progress]:
        for _ in range(TURN):
            before = time.thread_time()
            progress = next(self.steps)
            self.own += time.thread_time() - before
            yield progress

    @property
    def share(self) -> float:
        """What was done beside the steps, as a share of them."""
        return (time.process_time() - self.began) / self.own - 1


def bare(trainer: Trainer, folder: RunFolder, turn: Turn) -> None:
    """Steps alone."""
    for _ in turn:
        pass


def saved(trainer: Trainer, folder: RunFolder, turn: Turn) -> None:
    """And a checkpoint and a model file, written meanwhile."""
    checkpoints = trainer.checkpoints(folder)
    trainer._save(folder, checkpoints)
    bare(trainer, folder, turn)
    checkpoints.wait()


def shown(trackers: Trackers, trainer: Trainer, folder: RunFolder, turn: Turn) -> None:
    """And the log, TensorBoard, and the panel on a terminal."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    panel = TrainingPanel(console)
    for progress in turn:
        panel.show(progress)
        if progress.step % trainer.config.runtime.log_every == 0:
            trackers.log(progress)
    panel.close()


def main() -> None:
    """Take turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    torch.set_num_threads(1)
    config = configs.digits()
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=10**6))
    trainer = Trainer(config, data.load("digits"), "cpu")
    T = trainer.denoiser.schedule.steps
    with tempfile.TemporaryDirectory() as path, Trackers(RunFolder(Path(path)), ("tensorboard",), T, 0) as trackers:
        folder, steps = RunFolder(Path(path)), trainer.run()
        kinds = {"bare": bare, "a save": saved, "log, TensorBoard, panel": partial(shown, trackers)}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for turn_number in range(rounds + 1):
            for name, kind in kinds.items():
                turn = Turn(steps)
                kind(trainer, folder, turn)
                if turn_number:
                    found[name].append((turn.own, turn.share))
    print(f"{'of ' + str(TURN) + ' steps, one thread':<28}{'steps':>9}{'beside':>9}  least - greatest")
    for name, turns in found.items():
        own, shares = zip(*turns, strict=True)
        print(
            f"{name:<28}{statistics.median(own):>7.2f} s{statistics.median(shares):>9.2%}  "
            f"{min(shares):.2%} - {max(shares):.2%}"
        )


if __name__ == "__main__":
    main()
