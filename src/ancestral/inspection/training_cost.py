"""Time and memory of a training run on this machine, measured on a few gradients before the first step."""

import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psutil
import torch

from ancestral.data import Dataset
from ancestral.results.data_report import TrainingCost
from ancestral.training import Trainer

PROBE = 4
"""Number of items on which memory is measured, and the time of networks so slow that a whole step would take long."""
GROWTH = 8
"""Factor of that number while the items are so small that the fixed costs of a step hide theirs."""
PATIENCE = 4.0
"""Seconds of a step above which fewer items are measured and scaled up."""
INTERVAL = 0.01
"""Seconds between two samples of the memory in use."""
LEAST_SECONDS, LEAST_BYTES = 0.2, 2**24
"""Time and memory of a few items below which more of them are measured."""


@dataclass(frozen=True)
class StepMemory:
    """Memory of a training step in bytes."""

    fixed: int
    """Weights, gradients, average, moments, and the data if it is held in memory."""
    each: int
    """For each item that is computed at once."""
    free: int

    def needed(self, count: int) -> int:
        """Return the memory of a step that computes `count` items at once."""
        return self.fixed + self.each * count

    def largest(self, count: int) -> int:
        """Return the largest number of items at once, up to `count`, whose memory is free; 0 if that of none is."""
        return max(0, min(count, (self.free - self.fixed) // max(self.each, 1)))


def step_memory(trainer: Trainer, count: int) -> StepMemory:
    """Measure the memory of a step on a few items, since a whole batch may not fit.

    The first measurement of a process is the most exact, since memory that was freed before it is used again. Nothing
    in the training run changes. `count` is the number of items of the data.
    """
    device = trainer.device
    parameters = sum(parameter.numel() for parameter in trainer.state.parameters)
    items = min(PROBE, trainer.gradients.micro_batch)
    with _peak_memory(trainer.device) as peak:
        before = peak()
        trainer.rehearse(1)
        one = peak()
        trainer.rehearse(items)
        while (some := peak()) - one < LEAST_BYTES and items < trainer.gradients.micro_batch:
            items = min(GROWTH * items, trainer.gradients.micro_batch)
            trainer.rehearse(items)
    each = (some - one) // (items - 1) if items > 1 else one - before
    with_gradient = max(one - before - each, 4 * parameters)
    fixed = with_gradient + trainer.state.save_bytes - 4 * parameters
    data_bytes = 0 if device.type == "cuda" else min(_bytes(trainer, count), int(trainer.config.data.memory * 2**30))
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else int(psutil.virtual_memory().available)
    return StepMemory(fixed + data_bytes, each, free)


def training_cost(
    trainer: Trainer, count: int, memory: StepMemory, steps: int = 1, chosen: str | None = None
) -> TrainingCost:
    """Measure the time of a step, and put it together with its memory.

    Args:
        trainer: The training run, before its next step. Nothing in it changes.
        count: The number of items of the data.
        memory: What `step_memory` measured.
        steps: The number of gradients to measure, at least 1.
        chosen: What was chosen by the size of the items, in a sentence.
    """
    config, device, share = trainer.config, trainer.device, len(trainer.gradients.positions)
    remaining_steps = config.train.steps - trainer.step
    parameters = sum(parameter.numel() for parameter in trainer.state.parameters)
    fits = memory.largest(trainer.gradients.micro_batch)
    few = min(PROBE, share)
    probe, largest_probe = few, share if fits == trainer.gradients.micro_batch else few
    # the less of two: other programs may have taken the core from one
    while (seconds := min(_seconds(trainer, probe) for _ in range(2))) < LEAST_SECONDS and probe < largest_probe:
        probe = min(GROWTH * probe, largest_probe)
    if seconds * share / probe <= PATIENCE and largest_probe == share:
        probe = share
        seconds = statistics.median(_seconds(trainer, share) for _ in range(steps))
    else:
        steps = 1
    seconds *= share / probe
    return TrainingCost(
        device=device.type,
        dtype=str(trainer.dtype).removeprefix("torch."),
        shape=tuple(trainer.spec.shape),
        parameters=parameters,
        batch_size=trainer.gradients.batch_size,
        steps=remaining_steps,
        measured=steps,
        scaled_from=probe * trainer.gradients.batch_size // share,
        seconds_per_step=seconds,
        seconds=seconds * remaining_steps,
        weights=trainer.state.save_bytes,  # in memory there is the gradient in place of the model file
        data=_bytes(trainer, count),
        memory=memory.needed(trainer.gradients.micro_batch),
        available=memory.free,
        snapshots=trainer.snapshot_count * trainer.state.pair_bytes,
        network=str(config.net),
        chosen=chosen or None,
        micro_batch=None if fits == trainer.gradients.micro_batch else fits,
    )


def _bytes(trainer: Trainer, count: int) -> int:
    """The size of `count` items and of the images that they are conditioned on, decoded."""
    item = trainer.spec.codec.dtype.itemsize * math.prod(trainer.spec.shape)
    images = [values.empty(1).nbytes for values in trainer.dataset.conditions.values() if isinstance(values, Dataset)]
    return (item + sum(images)) * count


def _seconds(trainer: Trainer, count: int) -> float:
    """The time of the gradient of `count` items."""
    began = time.perf_counter()
    trainer.rehearse(count)
    if trainer.device.type != "cpu":
        torch.accelerator.synchronize(trainer.device)
    return time.perf_counter() - began


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """Yield what returns the largest number of bytes in use so far: PyTorch's of a GPU, else sampled of the process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield partial(torch.cuda.max_memory_allocated, device)
        return
    process, done, samples = psutil.Process(), threading.Event(), [0]

    def peak() -> int:
        samples[0] = max(samples[0], process.memory_info().rss)
        return samples[0]

    def watch() -> None:
        while not done.wait(INTERVAL):
            peak()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
