"""kill -9 at random moments, also inside a save: a run that was killed and resumed ends as the one that was not.

    python bench/kill.py                      # 30 kills in float32, 30 in bfloat16: about ten minutes on two cores
    python bench/kill.py --kills 5 --runs 1

Each run is killed several times while it trains, gone on with by --resume, and at its end compared with the run that
was left alone: the SHA-256 of its last checkpoint (weights, average, optimiser and all else that is saved) and its
model file must be the same.
"""

import argparse
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
from ancestral.training import Checkpoints

SMALL = ("--width", "16", "--mults", "1", "2", "--batch-size", "8", "--dropout", "0.1", "--sample-every", "100000")
"""A network that takes a hundred steps in seconds, with everything that is random."""


@dataclass
class Tally:
    """How the kills of a run fell."""

    kills: int = 0
    inside_a_save: int = 0


def command(out: Path, precision: str, steps: int, save_every: int) -> list[str]:
    """The training, resumed if it was begun."""
    options = ["--steps", steps, "--save-every", save_every, "--precision", precision, "--trackers", "none"]
    return [
        sys.executable,
        "-m",
        "ancestral",
        "train",
        "digits",
        *SMALL,
        *map(str, options),
        "--out",
        str(out),
        "--resume",
    ]


def leave_alone(argv: list[str]) -> None:
    """Run to the end."""
    subprocess.run(argv, check=True, capture_output=True)


def saving(checkpoints: Path) -> bool:
    """Whether a checkpoint is being written: it has a temporary name until it is whole."""
    return any(path.name.startswith(".") for path in checkpoints.iterdir()) if checkpoints.is_dir() else False


def kill_once(argv: list[str], out: Path, rng: random.Random, tally: Tally) -> bool:
    """Start, kill at a random moment after the first new checkpoint, or inside a save; False if it ended before."""
    checkpoints = out / "checkpoints"
    before = set(Checkpoints(checkpoints).steps())
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and set(Checkpoints(checkpoints).steps()) <= before:
        time.sleep(0.002)
    aim, until = rng.random() < 0.5, time.monotonic() + rng.uniform(0, 1.5)
    while process.poll() is None and (time.monotonic() < until or (aim and not saving(checkpoints))):
        time.sleep(0 if aim else 0.002)
    inside = saving(checkpoints)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the training failed: {errors}")
    killed = process.returncode != 0
    tally.kills += killed
    tally.inside_a_save += killed and inside
    return killed


def compare(one: Path, other: Path) -> bool:
    """Whether two finished runs are the same to the last bit."""
    mine, theirs = Checkpoints(one / "checkpoints"), Checkpoints(other / "checkpoints")
    step = mine.steps()[-1]
    same = mine.verify(step)["sha256"] == theirs.verify(step)["sha256"]
    # safetensors writes its metadata in any order, so the model's bytes may differ where nothing in it does
    (weights, facts), (others, other_facts) = (storage.read_tensors(path / FILE_NAME) for path in (one, other))
    same = same and facts == other_facts and weights.keys() == others.keys()
    return same and all(torch.equal(weights[name], others[name]) for name in weights)


def main() -> None:
    """Kill, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10, help="of each run")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--save-every", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    for precision in ("fp32", "bf16"):
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "whole"
            leave_alone(command(whole, precision, options.steps, options.save_every))
            for number in range(options.runs):
                rng, tally, out = random.Random(options.seed + number), Tally(), Path(folder) / f"run{number}"
                argv = command(out, precision, options.steps, options.save_every)
                while tally.kills < options.kills and kill_once(argv, out, rng, tally):
                    pass
                leave_alone(argv)
                same = compare(whole, out)
                failed |= not same
                print(
                    f"{precision} run {number + 1}: killed {tally.kills} times, {tally.inside_a_save} of them inside a "
                    f"save; {'the same to the last bit' if same else 'NOT THE SAME'}",
                    flush=True,
                )
    sys.exit(failed)


if __name__ == "__main__":
    main()
