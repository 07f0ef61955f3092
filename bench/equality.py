"""Equality of an accelerator with the CPU: trainings, samples, edits and an evaluation on both.

Random numbers are functions of the seed, so that only rounding differs. "relative" is the norm of the difference, as a
share of the norm of the CPU's values: of the change of the weights in trainings, of the samples, and of the metrics.
A training from other random numbers has a relative difference of about 1.
"""

import contextlib
import dataclasses
import functools
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ancestral
from accelerators import NEEDS_CUDA, Accelerator, without_tf32
from ancestral import config, data, operators
from ancestral.data import InMemoryDataset
from ancestral.training import Trainer

Row = dict[str, Any]

TRAININGS = {
    "adam, float32": ("adam", "fp32", 0.002),
    "muon, float32": ("muon", "fp32", 0.01),
    "adam, TF32": ("adam", "fp32", 0.1),
    "adam, bf16": ("adam", "bf16", 0.2),
    "adam, fp16": ("adam", "fp16", 0.2),
}
"""The optimiser, the precision and the largest relative difference of each training. On a CPU the relative difference
between bf16 and float32 is 0.03, and after a change of the first weights by 1e-6 it is 4e-5 (Adam) or 2e-4 (Muon)."""
SAMPLERS = ("ddim", "ddpm", "dpm", "heun", "unipc", "euler-ancestral")
TOLERANCE = 0.01
"""Largest relative difference of samples, edits and metrics, in float32."""


@dataclasses.dataclass(frozen=True)
class Size:
    """What is computed on both devices."""

    side: int = 28
    width: int = 32
    images: int = 1000
    batch: int = 32
    steps: int = 10
    """Number of training steps."""
    model_steps: int = 100
    """Number of training steps of the model that is sampled from, on the CPU."""
    samples: int = 16
    sampling_steps: int = 10
    compared: int = 100
    """Number of samples that the evaluation compares with the data."""


SMALLEST = Size(side=8, width=16, images=40, batch=8, steps=3, model_steps=4, samples=2, sampling_steps=3, compared=16)
"""For the pretended accelerator, which is about fifty times as slow as a CPU."""


def dataset(size: Size) -> InMemoryDataset:
    """Return digits of the package, of which the middle is kept."""
    digits, edge = data.load("digits"), (28 - size.side) // 2
    assert digits.labels is not None
    chosen = torch.arange(size.images) * (len(digits) // size.images)  # they are in the order of their labels
    items = digits.items[chosen, :, edge : edge + size.side, edge : edge + size.side].contiguous()
    return InMemoryDataset(items, digits.labels[chosen], digits.classes, "digits")


def settings(size: Size, **train: Any) -> config.Config:
    """Return the preset digits with a network of this size, without warm-up."""
    base = config.preset("digits")
    small: dict[str, Any] = {} if size.side == 28 else {"mults": (1,), "blocks": 1, "attention": (8,)}
    return dataclasses.replace(
        base,
        net=dataclasses.replace(base.net, width=size.width, **small),
        train=dataclasses.replace(base.train, steps=1000, batch_size=size.batch, warmup=0, **train),
        runtime=dataclasses.replace(base.runtime, snapshots=0),
    )


def compare(accelerator: Accelerator, size: Size) -> list[Row]:
    """Compute everything on the CPU and on the accelerator, and return a row of the differences of each.

    Args:
        accelerator: The accelerator.
        size: What is computed.
    """
    rows = [compare_training(name, accelerator, size) for name in TRAININGS]
    with tempfile.TemporaryDirectory() as folder, without_tf32():
        run = train_model(size, Path(folder) / "run")
        models = [ancestral.load(run, device=str(device)) for device in (accelerator.device, "cpu")]
        for name, work in {**samples(size), **edits(size)}.items():
            rows.append(difference(name, *(work(model) for model in models), TOLERANCE))
        metrics = [evaluate(run, str(device), size) for device in (accelerator.device, "cpu")]
        rows.append(difference("evaluation: FD and KID of pixels", *metrics, TOLERANCE))
    return rows


def compare_training(name: str, accelerator: Accelerator, size: Size) -> Row:
    """Train on both devices, and compare the changes of the weights."""
    optimiser, precision, tolerance = TRAININGS[name]
    if name.endswith("TF32") and accelerator.device.type != "cuda":
        return {"what": "equality", "case": f"training: {name}", "needs": NEEDS_CUDA}
    changes = []
    with contextlib.nullcontext() if name.endswith("TF32") else without_tf32():
        for device in (accelerator.device, "cpu"):
            chosen = settings(size, optimiser=optimiser, precision=precision)
            trainer = Trainer(chosen, dataset(size), str(device))
            before = weights(trainer)
            for _ in range(size.steps):
                trainer.advance()
            changes.append(weights(trainer) - before)
            trainer.close()
    return difference(f"training: {name}", *changes, tolerance)


def weights(trainer: Trainer) -> Tensor:
    """Return all parameters of the network as one vector on the CPU."""
    return torch.cat([p.detach().cpu().flatten() for p in trainer.state.net.parameters()])


def train_model(size: Size, folder: Path) -> Path:
    """Train a model on the CPU and return its folder."""
    items = dataset(size)
    run = ancestral.train(
        settings(size), data=(items.items, items.labels), steps=size.model_steps, out=folder, device="cpu", keep=1,
        trackers=("none",), progress=False, sample_every=10**6,
    )  # fmt: skip
    return run.folder


def samples(size: Size) -> dict[str, Callable[[Any], Tensor]]:
    """Return functions of a model that sample."""
    count, steps = size.samples, size.sampling_steps
    each: dict[str, Callable[[Any], Tensor]] = {
        f"samples: {name}": lambda model, name=name: model.sample(count, name, steps, decode=False) for name in SAMPLERS
    }
    return each | {
        "samples: guidance 2": lambda model: model.sample(count, "ddim", steps, label="3", guidance=2.0, decode=False)
    }


def edits(size: Size) -> dict[str, Callable[[Any], Tensor]]:
    """Return functions of a model that restore and inpaint an image."""
    image, half, operator = dataset(size).items[:1] / 127.5 - 1, size.side // 2, operators.Downsample(2)
    mask = torch.zeros(size.side, size.side, dtype=torch.bool)
    mask[:, :half] = True
    restored = functools.partial(dict, n=size.samples, steps=size.sampling_steps, decode=False)
    small = operator.apply(image)
    return {
        "edit: inpainting": lambda model: model.inpaint(image, mask, **restored()),
        "edit: restoration by ddnm": lambda model: model.restore(small, operator, 0.1, method="ddnm", **restored()),
    }


def evaluate(run: Path, device: str, size: Size) -> Tensor:
    """Evaluate a run with the pixels as features, and return FD and KID."""
    items = dataset(size)
    result = ancestral.evaluate(
        run, (items.items, items.labels), device=device, extractor="pixels", samples=size.compared,
        sampler=f"ddim:steps={size.sampling_steps}", progress=False,
    )  # fmt: skip
    metrics = json.loads(result.to_json())["samples"]["metrics"]
    return torch.tensor([metrics[name]["value"]["value"] for name in ("frechet", "kernel")])


def difference(name: str, value: Tensor, truth: Tensor, tolerance: float) -> Row:
    """Return the row of the differences between what an accelerator and the CPU computed; None if not finite."""
    value, truth = value.detach().cpu().double(), truth.detach().double()
    relative = float((value - truth).norm() / truth.norm())
    finite = math.isfinite(relative)
    return {
        "what": "equality",
        "case": name,
        "difference": float((value - truth).abs().max()) if finite else None,
        "largest": float(truth.abs().max()) if truth.isfinite().all() else None,
        "relative": relative if finite else None,
        "tolerance": tolerance,
        "within": finite and relative <= tolerance,
    }
