"""Kill training runs at random times, also during a save, and check that resuming gives bitwise the same result.

    python bench/kill.py                      # 30 kills in float32, 30 in bfloat16: about ten minutes on two cores
    python bench/kill.py --kills 5 --runs 1

Each run is killed by SIGKILL several times and resumed by --resume. At its end it is compared with a run that was not
interrupted. The SHA-256 of the last checkpoint (weights, averages, optimiser and the other training state), the tensors
of the model file, and the snapshots of averages must be equal.
"""

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ancestral import storage
from ancestral.model import FILE_NAME
from ancestral.training import Checkpoints, Snapshots

SMALL = ("--width", "16", "--mults", "1", "2", "--batch-size", "8", "--dropout", "0.1", "--sample-every", "100000")
"""A small network, which takes seconds for a hundred steps, with dropout, so that all random numbers are tested."""


@dataclass
class Tally:
    """The number of kills of a run, and of those during a save."""

    kills: int = 0
    during_save: int = 0


def command(out: Path, precision: str, steps: int, save_every: int, *more: object) -> list[str]:
    """Return the command that starts or resumes the training run, with more options."""
    options = ["--steps", steps, "--save-every", save_every, "--precision", precision, "--trackers", "none"]
    return [
        sys.executable,
        "-m",
        "ancestral",
        "train",
        "digits",
        *SMALL,
        *map(str, [*options, *more]),
        "--out",
        str(out),
        "--resume",
    ]


def run_to_end(argv: list[str]) -> None:
    """Run the command to its end."""
    subprocess.run(argv, check=True, capture_output=True)


def is_saving(checkpoints: Path) -> bool:
    """Return whether a checkpoint is being written: it has a temporary name until it is complete."""
    return any(path.name.startswith(".") for path in checkpoints.iterdir()) if checkpoints.is_dir() else False


def kill_once(argv: list[str], out: Path, rng: random.Random, tally: Tally) -> bool:
    """Start a run, and kill it at a random time after its first new checkpoint, in half of the cases during a save.

    Args:
        argv: The command of the run.
        out: Its run folder.
        rng: Source of the random times.
        tally: Receives the counts.

    Returns:
        Whether the run was killed, and not finished before.

    Raises:
        RuntimeError: If the run fails by itself.
    """
    checkpoints = out / "checkpoints"
    before = set(Checkpoints(checkpoints).steps())
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and set(Checkpoints(checkpoints).steps()) <= before:
        time.sleep(0.002)
    aim_at_save, until = rng.random() < 0.5, time.monotonic() + rng.uniform(0, 1.5)
    while process.poll() is None and (time.monotonic() < until or (aim_at_save and not is_saving(checkpoints))):
        time.sleep(0 if aim_at_save else 0.002)
    during_save = is_saving(checkpoints)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the training run failed: {errors}")
    killed = process.returncode != 0
    tally.kills += killed
    tally.during_save += killed and during_save
    return killed


def equal(one: Path, other: Path) -> bool:
    """Return whether two finished runs are bitwise equal."""
    first, second = Checkpoints(one / "checkpoints"), Checkpoints(other / "checkpoints")
    step = first.steps()[-1]
    same = first.verify(step)["sha256"] == second.verify(step)["sha256"]
    # safetensors writes its metadata in any order, so equal models may have different bytes
    (weights, facts), (other_weights, other_facts) = (storage.read_tensors(path / FILE_NAME) for path in (one, other))
    same = same and facts == other_facts and weights.keys() == other_weights.keys()
    same = same and all(torch.equal(weights[name], other_weights[name]) for name in weights)
    return same and _snapshots(one) == _snapshots(other)


def _snapshots(run: Path) -> dict[int, str]:
    """Return the content of each snapshot of averages by its step, as a hash."""
    snapshots = Snapshots(run / "snapshots")
    hashes = {}
    for step in snapshots.steps():
        tensors, _ = storage.read_tensors(snapshots.path(step))
        hashes[step] = hashlib.sha256(storage.tensors_to_bytes(dict(sorted(tensors.items())))).hexdigest()
    return hashes


def main() -> None:
    """Run all comparisons, and exit with 1 if a run differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="number of runs of each precision (default: 3)")
    parser.add_argument("--kills", type=int, default=10, help="number of kills of each run (default: 10)")
    parser.add_argument("--steps", type=int, default=600, help="number of training steps (default: 600)")
    parser.add_argument("--save-every", type=int, default=10, help="steps between checkpoints (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the times of the kills (default: 0)")
    options = parser.parse_args()
    failed = False
    for precision in ("fp32", "bf16"):
        with tempfile.TemporaryDirectory() as folder:
            uninterrupted = Path(folder) / "uninterrupted"
            run_to_end(command(uninterrupted, precision, options.steps, options.save_every))
            for number in range(options.runs):
                rng, tally, out = random.Random(options.seed + number), Tally(), Path(folder) / f"run{number}"
                argv = command(out, precision, options.steps, options.save_every)
                while tally.kills < options.kills and kill_once(argv, out, rng, tally):
                    pass
                run_to_end(argv)
                same = equal(uninterrupted, out)
                failed |= not same
                print(
                    f"{precision} run {number + 1}: killed {tally.kills} times, {tally.during_save} of them during a "
                    f"save; {'bitwise equal' if same else 'NOT EQUAL'}",
                    flush=True,
                )
    sys.exit(failed)


if __name__ == "__main__":
    main()
