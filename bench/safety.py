"""What safety and looks cost: steps of the digits preset bare, with a save, and with log, TensorBoard and panel.

    python bench/safety.py [--rounds 10]

One training takes turns of 100 steps. The save of a turn begins at its start and goes on beside the steps, as in a
user's training, and its end is waited for inside the turn. Medians of the ratios to the bare turn of the same round,
with the quartiles, by the clock and by CPU time.
"""

import argparse
import dataclasses
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from ancestral import config as configs
from ancestral import data
from ancestral.cli.panel import panel
from ancestral.device import keep_freed_memory
from ancestral.training import Progress, RunFolder, Trainer
from ancestral.training.trackers import Trackers

TURN = 100
Steps = Iterator[Progress]


def bare(trainer: Trainer, folder: RunFolder, steps: Steps) -> None:
    """Steps alone."""
    for _ in range(TURN):
        next(steps)


def saved(trainer: Trainer, folder: RunFolder, steps: Steps) -> None:
    """And a checkpoint and a model file, written meanwhile."""
    checkpoints = trainer.checkpoints(folder)
    trainer._save(folder, checkpoints)
    bare(trainer, folder, steps)
    checkpoints.wait()


def shown(
    trackers: Trackers, show: Callable[[Progress], None], trainer: Trainer, folder: RunFolder, steps: Steps
) -> None:
    """And the log, TensorBoard, and the panel on a terminal."""
    for _ in range(TURN):
        progress = next(steps)
        show(progress)
        if progress.step % trainer.config.engine.log_every == 0:
            trackers.log(progress)


def main() -> None:
    """Take turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    keep_freed_memory()
    config = configs.digits()
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=10**6))
    trainer = Trainer(config, data.load("digits"), "cpu")
    T, console = trainer.denoiser.schedule.steps, Console(file=io.StringIO(), force_terminal=True, width=120)
    with (
        tempfile.TemporaryDirectory() as path,
        Trackers(RunFolder(Path(path)), ("tensorboard",), T, 0) as trackers,
        panel(console, T, trainer.engine.memory) as show,
    ):
        folder, steps = RunFolder(Path(path)), trainer.run()
        kinds = {"bare": bare, "a save": saved, "log, TensorBoard, panel": partial(shown, trackers, show)}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for turn in range(rounds + 1):
            names = list(kinds)[turn % 3 :] + list(kinds)[: turn % 3]  # no kind always follows the same other
            for name in names:
                before = time.perf_counter(), time.process_time()
                kinds[name](trainer, folder, steps)
                if turn:
                    times[name].append((time.perf_counter() - before[0], time.process_time() - before[1]))
    print(
        f"{'of ' + str(TURN) + ' steps':<26}{'clock':>10}{'ratio':>9} {'quartiles':<17}{'CPU':>9}{'ratio':>9} quartiles"
    )
    for name in kinds:
        line = f"{name:<26}"
        for place in (0, 1):
            ratios = [one[place] / base[place] for one, base in zip(times[name], times["bare"], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            line += f"{statistics.median(t[place] for t in times[name]):>8.2f} s{middle:>9.4f} "
            line += f"{low:.4f}-{high:.4f}  "
        print(line)


if __name__ == "__main__":
    main()
