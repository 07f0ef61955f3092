"""Measure what the power-function averages cost a training run, in CPU time: `python bench/averaging.py`.

It takes about a minute on one core.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import torch

from ancestral import config as configs
from ancestral import data
from ancestral.config import Config
from ancestral.training import RunFolder, Trainer
from ancestral.training.fault_tolerance import Saves

POINTS = configs.preset("points")
RUNS = {
    "digits": (configs.preset("digits"), 1),
    "points": (POINTS, 5),
    "points, an MLP of width 16, batches of 32": (
        dataclasses.replace(POINTS, net=configs.MLPConfig(width=16, blocks=1)).with_settings(batch_size=32),
        20,
    ),
}
"""Configs, and the factor of their number of measured steps: small networks have short steps."""
WARM_UP = 3
"""Steps that do not count."""


def measure(config: Config, steps: int) -> tuple[float, float, float, int]:
    """Return the median CPU seconds of a step, of its updates of averages and of a snapshot, and their number in a run.

    After each step the averages are updated once more, by which alone the updates are timed: the machine is in the same
    state as within the step.
    """
    trainer = Trainer(config.with_settings(snapshots=64), data.open(config.data.source, **config.data.form), "cpu")
    whole, updates, writes = [], [], []
    for _ in range(steps + WARM_UP):
        began = time.process_time()
        trainer.advance()
        done = time.process_time()
        for average in trainer.state.powers.values():
            average.update(trainer.state.parameters, trainer.step)
        whole.append(done - began)
        updates.append(time.process_time() - done)
    with tempfile.TemporaryDirectory() as folder:
        saves = Saves(RunFolder(Path(folder)), trainer.config, trainer.distributed)
        for _ in range(9):
            began = time.process_time()
            saves.write_snapshot(trainer.state, trainer.config.train.steps, ending=True)
            writes.append(time.process_time() - began)
    step, update = (statistics.median(times[WARM_UP:]) for times in (whole, updates))
    return step, update, statistics.median(writes), trainer.snapshot_count


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=60, help="number of measured steps of digits (default: 60)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'run':<44}{'step':>11}{'averages':>11}{'snapshot':>11}{'of a run':>10}")
    for name, (config, factor) in RUNS.items():
        step, update, snapshot, count = measure(config, options.steps * factor)
        steps = config.train.steps
        share = (steps * update + count * snapshot) / (steps * (step - update))
        print(f"{name:<44}{1e3 * step:>8.2f} ms{1e3 * update:>8.2f} ms{1e3 * snapshot:>8.2f} ms{share:>10.1%}")


if __name__ == "__main__":
    main()
