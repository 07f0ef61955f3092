"""What a training of this data by this config will take on this machine, from a few steps of it."""

import contextlib
import dataclasses
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import torch

from ancestral.config import Config
from ancestral.data import InMemoryDataset
from ancestral.training import Trainer

PROBE = 4
"""Images of the first try, which tells whether whole batches can be waited for."""
PATIENCE = 4.0
"""Seconds that a step may take; if it takes more, smaller batches are measured and scaled up."""
WARM_UP = 2
"""Steps that are not counted: memory is mapped and kernels are chosen in them."""
COPIES = 5
"""Of each weight in memory: itself, its gradient, its average, and Adam's two moments. On the disk the average is there
twice, in the state and as the model, and no gradient."""


@dataclass(frozen=True)
class Estimate:
    """Time and memory of a training. Bytes, seconds."""

    preset: str
    device: str
    dtype: str
    shape: tuple[int, ...]
    """Of one item."""
    parameters: int
    batch_size: int
    steps: int
    measured: int
    """Steps that were timed."""
    scaled_from: int
    """The batch that was timed; where it is smaller than `batch_size`, the figures were scaled up."""
    seconds_per_step: float
    """The median."""
    seconds: float
    """Of all steps, without saving and drawing."""
    weights: int
    """Weights, gradients, average and moments."""
    data: int
    """The whole data set, decoded."""
    memory: int
    """At most, all together, with the data where it is held in memory: added to the process on a CPU, or to a GPU."""
    available: int
    """Free memory there."""
    checkpoint: int
    """One saved state, the model file with it."""


def estimate(config: Config, dataset: InMemoryDataset, count: int, device: str = "auto", steps: int = 5) -> Estimate:
    """Measure `steps` training steps (at least 1) on a few items that stand for `count`.

    Raises InputError where config and data do not fit.
    """
    whole, before = config.train.batch_size, psutil.Process().memory_info().rss
    batch = min(whole, PROBE)
    seconds, trainer, peak = _measure(config, dataset, device, batch, 1, 1, before)
    if batch < whole and seconds * whole / batch <= PATIENCE:
        batch = whole
        del trainer
        seconds, trainer, peak = _measure(config, dataset, device, batch, WARM_UP, steps, before)
    elif seconds < PATIENCE:
        seconds, trainer, peak = _measure(config, dataset, device, batch, 1, steps, before)
    else:
        steps = 1
    parameters = sum(parameter.numel() for parameter in trainer.parameters)
    weights = 4 * parameters * COPIES
    data = dataset.items[:1].nbytes * count
    held = 0 if trainer.device.type == "cuda" else min(data, int(config.data.memory * 2**30))
    return Estimate(
        preset=config.preset,
        device=trainer.device.type,
        dtype=str(trainer.dtype).removeprefix("torch."),
        shape=dataset.shape,
        parameters=parameters,
        batch_size=whole,
        steps=config.train.steps,
        measured=steps,
        scaled_from=batch,
        seconds_per_step=seconds * whole / batch,
        seconds=seconds * whole / batch * config.train.steps,
        weights=weights,
        data=data,
        memory=int(weights + max(peak - weights, 0) * whole / batch + held),
        available=_available(trainer.device),
        checkpoint=4 * parameters * COPIES,
    )


def _measure(
    config: Config, dataset: InMemoryDataset, device: str, batch: int, warm_up: int, steps: int, before: int
) -> tuple[float, Trainer, int]:
    """Seconds of a step of `batch` items, the trainer, and the most bytes held beyond those `before`."""
    train = dataclasses.replace(config.train, batch_size=batch)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with _watched(before) as most:
        trainer = Trainer(dataclasses.replace(config, train=train), dataset, device)
        for _ in range(warm_up):
            _step(trainer)
        times = [_step(trainer) for _ in range(steps)]
        peak = most()
    if trainer.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(trainer.device)
    return statistics.median(times), trainer, peak


def _step(trainer: Trainer) -> float:
    """Seconds of one step, the device waited for."""
    began = time.perf_counter()
    trainer.advance()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    elif trainer.device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - began


@contextlib.contextmanager
def _watched(before: int, interval: float = 0.01) -> Iterator[Callable[[], int]]:
    """The most memory that the process holds meanwhile, looked at again and again: bytes beyond those `before`."""
    process = psutil.Process()
    most, done = before, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(interval):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: max(most, process.memory_info().rss) - before
    finally:
        done.set()
        watcher.join()


def _available(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
