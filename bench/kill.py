"""Kill training runs at random times, also during a save, and check that resuming gives bitwise the same result.

    python bench/kill.py                                          # 30 kills in float32, 30 in bfloat16: ten minutes
    python bench/kill.py --kills 5 --runs 1
    python bench/kill.py --processes 2 4 --shard no yes --runs 1  # workers of torchrun --max-restarts

Each run is killed by SIGKILL several times and resumed by --resume. With --processes it is started by torchrun, which
restarts the workers after one of them is killed: while they start, in the middle of a step, or during a save. Each
fifth kill is of all processes, torchrun included, as when a machine is switched off; then the run is resumed by
--resume. At its end it is compared with a run that was not interrupted. The SHA-256 of the last checkpoint (weights,
averages, optimiser and the other training state), the model file, the snapshots of averages, and the log without its
times must be equal.
"""

import argparse
import contextlib
import csv
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ancestral.base import storage
from ancestral.config.run_files import MODEL
from ancestral.training import Checkpoints, Snapshots

SMALL = ("--width", "16", "--mults", "1", "2", "--batch-size", "8", "--dropout", "0.1", "--sample-every", "100000")
"""A small network, which takes seconds for a hundred steps, with dropout, so that all random numbers are tested."""
MOMENTS = ("start", "step", "save")
"""When a worker is killed: while it starts, in a step, or while a checkpoint is written."""
START, STEP = 6.0, 1.5
"""Longest time in seconds from the start of the workers, and from their first checkpoint, to a kill."""
EACH = 5
"""Of this number of kills one is of torchrun and all its workers."""
TIMES = ("images_per_second", "seconds")
"""Columns of the log that differ between two runs."""


@dataclass
class Tally:
    """The number of kills of a run, and of those during a save."""

    kills: int = 0
    during_save: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    """The number of kills of workers by their moment, and of all processes ("all")."""


def command(
    out: Path, precision: str, steps: int, save_every: int, *more: object, processes: int = 1, restarts: int = 0
) -> list[str]:
    """Return the command that starts or resumes the training run, with more options.

    Under torchrun it has no --resume: workers that are restarted resume without.
    """
    options = ["--steps", steps, "--save-every", save_every, "--precision", precision, "--trackers", "none"]
    options += ["--log-every", 1, *more]
    torchrun = [
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        processes,
        "--max-restarts",
        restarts,
        "-m",
    ]
    launcher = torchrun if processes > 1 else []
    words = ["-m", *launcher, "ancestral", "train", "digits", *SMALL, *options, "--out", out]
    return [sys.executable, *map(str, words), *(["--resume"] if processes == 1 else [])]


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
    aim_at_save, until = rng.random() < 0.5, time.monotonic() + rng.uniform(0, STEP)
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


def kill_workers(argv: list[str], out: Path, rng: random.Random, kills: int, tally: Tally) -> bool:
    """Start a run by torchrun, and kill its workers until there were `kills`, or all processes, or the run ends.

    Args:
        argv: The command of the run.
        out: Its run folder.
        rng: Source of the random times, ranks and moments.
        kills: Number of kills, those that `tally` has included.
        tally: Receives the counts.

    Returns:
        Whether the run has ended, rather than torchrun been killed.

    Raises:
        RuntimeError: If the run fails.
    """
    checkpoints, log = out / "checkpoints", out.with_suffix(".txt")
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=file)
    attempt = 0
    while tally.kills < kills:
        wait_for(process, lambda attempt=attempt: workers_of(process, attempt))
        before = set(Checkpoints(checkpoints).steps())
        every = tally.kills % EACH == EACH - 1
        moment = rng.choice(MOMENTS)
        if moment == "start":
            time.sleep(rng.uniform(0, START))
        else:
            wait_for(process, lambda before=before: not set(Checkpoints(checkpoints).steps()) <= before)
            time.sleep(rng.uniform(0, STEP))
            if moment == "save":
                wait_for(process, lambda: is_saving(checkpoints), pause=0)
        during_save = is_saving(checkpoints)
        wait_for(process, lambda attempt=attempt: workers_of(process, attempt))
        workers = workers_of(process, attempt)
        if process.poll() is not None:
            break
        victims = [psutil.Process(process.pid), *workers] if every else workers and [rng.choice(workers)]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        if not victims:
            continue
        tally.kills += 1
        tally.during_save += during_save
        tally.moments["all" if every else moment] += 1
        if every:
            process.wait()
            return False
        attempt += 1
    if process.wait() != 0:
        raise RuntimeError(f"the training run failed:\n{log.read_text(encoding='utf-8')[-8000:]}")
    return True


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool], pause: float = 0.002) -> None:
    """Wait for a condition, or the end of a process."""
    while process.poll() is None and not condition():
        time.sleep(pause)


def workers_of(launcher: subprocess.Popen[bytes], attempt: int) -> list[psutil.Process]:
    """Return the workers that torchrun runs after this number of restarts, by rank."""
    workers: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(launcher.pid).children():
            with contextlib.suppress(psutil.Error, KeyError):
                variables = child.environ()
                if int(variables["TORCHELASTIC_RESTART_COUNT"]) == attempt:
                    workers[int(variables["RANK"])] = child
    return [workers[rank] for rank in sorted(workers)]


def killed_run(out: Path, precision: str, steps: int, save_every: int, kills: int, seed: int, *more: object) -> Tally:
    """Train on one process, kill it several times, resume it to its end, and return the counts."""
    rng, tally = random.Random(seed), Tally()
    argv = command(out, precision, steps, save_every, *more)
    while tally.kills < kills and kill_once(argv, out, rng, tally):
        pass
    run_to_end(argv)
    return tally


def restarted_run(
    out: Path, precision: str, steps: int, save_every: int, kills: int, seed: int, processes: int, *more: object
) -> Tally:
    """Train on several processes, kill them several times, and return the counts."""
    rng, tally = random.Random(seed), Tally()
    argv = command(out, precision, steps, save_every, *more, processes=processes, restarts=kills)
    by_hand: list[str] = []
    while not kill_workers([*argv, *by_hand], out, rng, kills, tally):
        by_hand = ["--resume"]  # torchrun itself was killed
    return tally


def equal(one: Path, other: Path) -> bool:
    """Return whether two finished runs are bitwise equal."""
    first, second = Checkpoints(one / "checkpoints"), Checkpoints(other / "checkpoints")
    step = first.steps()[-1]
    same = first.verify(step)["sha256"] == second.verify(step)["sha256"]
    same = same and first.verify(step)["facts"] == second.verify(step)["facts"]
    same = same and (one / MODEL).read_bytes() == (other / MODEL).read_bytes()
    return same and _snapshots(one) == _snapshots(other) and logged(one) == logged(other)


def logged(run: Path) -> list[dict[str, str]]:
    """Return the rows of the log without the columns of times."""
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--runs", type=int, default=3, help="number of runs of each kind (default: 3)")
    parser.add_argument("--kills", type=int, default=10, help="number of kills of each run (default: 10)")
    parser.add_argument("--steps", type=int, default=600, help="number of training steps (default: 600)")
    parser.add_argument("--save-every", type=int, default=10, help="steps between checkpoints (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the times of the kills (default: 0)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1], help="numbers of processes (default: 1)")
    parser.add_argument(
        "--shard", nargs="+", default=["no"], choices=["no", "yes"], help="replicated, sharded or both (default: no)"
    )
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], help="precisions (default: fp32 bf16)")
    options = parser.parse_args()
    failed = False
    for processes in options.processes:
        for precision in options.precision:
            for shard in options.shard if processes > 1 else ["no"]:
                failed |= not compare(options, processes, precision, shard == "yes")
    sys.exit(failed)


def compare(options: argparse.Namespace, processes: int, precision: str, shard: bool) -> bool:
    """Compare killed runs of a kind with one that was not interrupted, and return whether all are equal."""
    size, more = (precision, options.steps, options.save_every), ["--shard"] if shard else []
    all_equal = True
    with tempfile.TemporaryDirectory() as folder:
        uninterrupted = Path(folder) / "uninterrupted"
        run_to_end(command(uninterrupted, *size, *more, processes=processes))
        for number in range(options.runs):
            out, seed = Path(folder) / f"run{number}", options.seed + number
            if processes == 1:
                tally = killed_run(out, *size, options.kills, seed)
            else:
                tally = restarted_run(out, *size, options.kills, seed, processes, *more)
            same = equal(uninterrupted, out)
            all_equal = all_equal and same
            kind, moments = "sharded" if shard else "replicated", dict(sorted(tally.moments.items()))
            print(
                f"{processes} process{'es' * (processes > 1)}, {kind}, {precision}, run {number + 1}: killed "
                f"{tally.kills} times {moments or ''}, {tally.during_save} of them during a save; "
                f"{'bitwise equal' if same else 'NOT EQUAL'}",
                flush=True,
            )
    return all_equal


if __name__ == "__main__":
    main()
