"""Time to quality: each contestant trains from scratch for the same CPU time, then samples 1,000 images.

CPU time is summed over all threads of the process, so other programs do not count. It excludes loading the data,
building the network, estimating the time of a step, and sampling. The number of steps that the budget allows is
estimated again after each step, and the learning rate schedule ends there. In a distillation later steps take longer:
a short run shows by how much. A curve over CPU time needs one training run for each budget: --minutes 1 2 4. The
samples are compared with images that no contestant was trained on (image_sets.py). Each contestant has a process of
its own. Samples, a grid, the losses and our models are in bench/out/quality.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

import image_sets
from ancestral.base.device import keep_freed_memory
from ancestral.base.errors import InputError, whole
from ancestral.base.storage import write_text
from ancestral.data import IMAGES
from ancestral.metrics import extractors, uncertainty
from ancestral.render.pictures import tile
from ancestral.render.writers import write_array, write_picture
from measure import OUT, count_evaluations, read_rows, record_row, run_code, sync_for, write_json
from peers import DISTILLED, NAMES, factory
from peers.contest import Contestant, Task
from peers.ours import Ancestral

MINUTES = {
    **{"digits": 5.0, "fashion": 15.0, "emoji": 15.0, "oxygen": 15.0},
    **dict.fromkeys(image_sets.LARGER, 60.0),
}
"""Default budget of each data set, in CPU-minutes of training."""


@dataclass(frozen=True)
class Run:
    """A training run from scratch, and what is sampled after it."""

    contestant: str
    """A name of `peers.NAMES`, or package.module:function."""
    data: str
    minutes: float
    """Budget in CPU-minutes."""
    seed: int = 0
    """Seed of the training run and of the samples."""
    samples: int = 1000
    """Number of samples."""
    curve: tuple[int, ...] = ()
    """Numbers of sampling steps for which KID is computed too."""
    change: dict[str, Any] = field(default_factory=dict)
    """Settings that replace the contestant's own."""
    tag: str = ""
    """Name of the trial, in its folder."""
    device: str = "cpu"
    """Device to train and sample on."""
    wall: bool = False
    """Whether the budget is wall-clock time, not CPU time."""

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            unit = "minutes" if self.wall else "CPU-minutes"
            raise InputError(f"a budget must be more than 0 {unit}, not {self.minutes:g}")
        whole(self.samples, 2, math.inf, f"the number of samples must be at least 2, not {self.samples}")
        whole(self.seed, 0, math.inf, f"a seed must be at least 0, not {self.seed}")
        for steps in self.curve:
            whole(steps, 1, math.inf, f"the number of sampling steps must be at least 1, not {steps}")
        if not isinstance(self.change, dict):
            raise InputError(f'settings must be a JSON object, as in {{"lr": 0.003}}, not {self.change!r}')

    @property
    def folder(self) -> Path:
        """The folder of the samples, the grid, the losses and the row."""
        place = f"{self.device}-wall" * self.wall
        parts = [self.data, self.contestant.replace(":", "."), self.tag, place]
        return OUT / "quality" / "-".join([*filter(None, parts), f"{self.minutes:g}min", f"seed{self.seed}"])


def read_settings(text: str) -> Any:
    """Parse JSON; the error names it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON, as in '{{\"lr\": 0.003}}': {error}") from None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--data", nargs="+", default=list(image_sets.NAMES), choices=list(MINUTES), help="data sets")
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=[*NAMES, DISTILLED], help="contestants")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="+",
        help="budgets in CPU-minutes of training (default: 5 for digits, 60 for larger images, else 15)",
    )
    parser.add_argument("--samples", type=int, default=1000, help="number of samples (default: 1000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds, with one training run each")
    parser.add_argument("--curve", type=int, nargs="*", default=[], help="also compute KID with these numbers of steps")
    parser.add_argument(
        "--set", type=read_settings, default={}, metavar="JSON", help="settings of a trial, which is not recorded"
    )
    parser.add_argument("--tag", default="", help="name of a trial, in its folder in bench/out/quality; not recorded")


def run(options: argparse.Namespace) -> None:
    """Train and evaluate each contestant in a process of its own, and record its row."""
    threads = options.threads or 1
    torch.set_num_threads(threads)  # also for the floor: two threads are very slow if one core is busy
    trial = bool(options.set or options.tag)
    runs = [
        Run(contestant, name, minutes, seed, options.samples, tuple(options.curve), options.set, options.tag)
        for name in options.data
        for minutes in options.minutes or [MINUTES[name]]
        for seed in options.seeds
        for contestant in options.only
    ]
    for one in runs:
        if not trial and not any(row["data"] == one.data for row in read_rows("quality")):
            record(training_images_row(one.data, one.samples), threads)
        row = run_alone(one, threads)
        if not trial:
            record(row, threads)


def record(row: dict[str, Any], threads: int) -> None:
    """Write a row to the result file; it replaces the row of the same contestant, data, budget and seed."""
    record_row("quality", row, ("data", "contestant", "minutes", "seed"), threads)


def run_alone(one: Run, threads: int) -> dict[str, Any]:
    """Train and evaluate a contestant in a process of its own, and return its row."""
    code = "import sys; from parts.quality import run_contestant; run_contestant(sys.argv[1])"
    run_code(code, json.dumps(asdict(one)), threads=threads, echo=True)
    row: dict[str, Any] = json.loads((one.folder / "result.json").read_text(encoding="utf-8"))
    return row


def run_contestant(text: str) -> None:
    """Train and evaluate a contestant in this process, and write its row to result.json.

    Args:
        text: The fields of a `Run`, in JSON.
    """
    one = Run(**json.loads(text))
    keep_freed_memory()
    images = image_sets.load(one.data)
    train_set = images.train
    assert train_set.labels is not None
    task = Task(
        one.data, train_set.items, train_set.labels, 1000, one.seed, one.change, len(train_set.classes), one.device
    )
    trained, used, losses = train(factory(one.contestant), task, 60 * one.minutes, one.wall)
    load, clock = psutil.getloadavg()[0], "wall-clock" if one.wall else "CPU"
    print(f"{one.contestant}: {len(losses)} steps in {used:.1f} s of {clock} time, loss {final_loss(losses):.4f}")
    write_text(one.folder / "loss.csv", "".join(f"{step},{loss}\n" for step, loss in enumerate(losses, 1)))
    began = time.process_time()
    with count_evaluations() as evaluations:
        samples = trained.sample(one.samples, one.seed)
    sampling = time.process_time() - began
    write_array(one.folder / "samples.npz", samples, None)
    write_picture(one.folder / "grid.png", tile(samples[:100], 10))
    if isinstance(trained, Ancestral):
        trained.trainer.model().save(one.folder / "model.safetensors")  # so that other samplers can be tried
    row = {
        "data": one.data,
        "contestant": one.contestant,
        "minutes": one.minutes,
        "seed": one.seed,
        "steps": len(losses),
        f"training_{'wall' if one.wall else 'cpu'}_seconds": used,
        "load": load,
        "loss": final_loss(losses),
        "samples": len(samples),
        "sampling_cpu_seconds": sampling,
        "evaluations": evaluations() / len(samples),
        "threads": torch.get_num_threads(),
        "data_sha256": image_sets.digest(images),
        **evaluate(samples, images.reference),
        "curve": {},
        "curve_evaluations": {},
        "settings": trained.settings,
    }
    for steps in one.curve:
        with count_evaluations() as evaluations:
            samples = trained.sample(one.samples, one.seed, steps)
        row["curve"][steps] = evaluate(samples, images.reference)["KID"]["value"]
        row["curve_evaluations"][steps] = evaluations() / len(samples)
    write_json(one.folder / "result.json", json.loads(json.dumps(row)))
    print(f"{one.contestant} on {one.data}: KID {row['KID']['value']:.4f} ± {row['KID']['error']:.4f}, ", end="")
    print(
        f"FD {row['FD']['value']:.2f}; {sampling:.0f} s of CPU time for sampling; {one.folder / 'grid.png'}", flush=True
    )


def train(build: Any, task: Task, budget: float, wall: bool = False) -> tuple[Contestant, float, list[float]]:
    """Train a contestant for a budget of time.

    Args:
        build: Builds the contestant for a task.
        task: The data and the seed; its number of steps is replaced by what the budget allows.
        budget: Time in seconds.
        wall: Whether that is wall-clock time, with the device synchronised after each step, not CPU time.

    Returns:
        (the trained contestant, the time used in seconds, the loss of each step).
    """
    synchronize = sync_for(torch.device(task.device))

    def now() -> float:
        synchronize()
        return time.perf_counter() if wall else time.process_time()

    share_of_time, share_of_steps, cost = short_run(build(task), now, budget / 10)
    torch.manual_seed(task.seed)
    contestant = build(task)
    contestant.steps = max(1, round(budget / cost))
    losses: list[float] = []
    began = now()
    used = 0.0
    while len(losses) < contestant.steps and used < budget:
        losses.append(contestant.step())
        used = now() - began
        done = float(np.interp(used / budget, share_of_time, share_of_steps))
        contestant.steps = max(len(losses), round(len(losses) / done))
    return contestant, used, losses


def short_run(
    contestant: Contestant, now: Callable[[], float], budget: float
) -> tuple[list[float], list[float], float]:
    """Run a contestant from the first to the last of a few steps, to see how its time is spread over them.

    Args:
        contestant: The contestant, which is of no use afterwards.
        now: The clock.
        budget: Time for the run in seconds. At least 3 steps and at most 40 are made, after 3 that do not count.

    Returns:
        (the shares of the time after each step, from 0 to 1, the shares of the steps, the mean time of a step).
    """
    for _ in range(2):
        contestant.step()
    began = now()
    contestant.step()
    count = min(40, max(3, int(budget / (now() - began))))
    contestant.steps = 3 + count
    times = [now()]
    for _ in range(count):
        contestant.step()
        times.append(now())
    total = times[-1] - times[0]
    return [(time - times[0]) / total for time in times], [k / count for k in range(count + 1)], total / count


def final_loss(losses: list[float]) -> float:
    """Return the mean loss of the last tenth of the steps."""
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


def evaluate(images: Tensor, reference: Tensor) -> dict[str, Any]:
    """Compute FD-lite0 and KID-lite0 to the reference set, with their standard errors and intervals."""
    extractor = extractors.extractor("lite0", tuple(images.shape[1:]), IMAGES)
    x, y = (
        extractors.concatenate(extractors.features(extractor, items, folder=OUT / "features")).values
        for items in (images, reference)
    )
    return {
        "KID": asdict(uncertainty.kernel(x, y)),
        "FD": asdict(uncertainty.frechet(x, y)),
        "reference": len(y),
    }


def training_images_row(name: str, count: int) -> dict[str, Any]:
    """Evaluate `count` training images in place of samples, as a floor of the distances."""
    images = image_sets.load(name)
    return {
        "data": name,
        "contestant": "training images",
        "minutes": 0.0,
        "seed": 0,
        **evaluate(some(images.train.items, count), images.reference),
    }


def some(items: Tensor, count: int) -> Tensor:
    """Return `count` random items, always the same, or all if there are fewer."""
    return items[torch.randperm(len(items), generator=torch.Generator().manual_seed(0))[:count]]
