"""Time and memory of a training run on this machine, measured on a few gradients before the first step."""

import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import psutil
import torch

from ancestral.base.device import free_memory
from ancestral.base.options import option
from ancestral.base.quantities import format_bytes, plural
from ancestral.config import CustomNetConfig
from ancestral.config.run_files import TrainingCost
from ancestral.data import Dataset
from ancestral.training.activation_memory import recomputed_activations, recomputed_share
from ancestral.training.plateau import FEWEST_MEASUREMENTS
from ancestral.training.trainer import Trainer

MEASURING, MEASURING_OFTEN = 0.05, 0.2
"""Largest share of the training time that measuring the distance of samples takes by default, and in a run that ends at
its plateau and is too short for enough measurements otherwise."""
SHORTEST_RUN = 600
"""Seconds of a run below which no distances are measured by default."""
MEASUREMENTS = 30, 100
"""Smallest number of measurements of a run that ends at its plateau, and largest number of those of any run: samples of
a network that has hardly learned do not change, which is no plateau."""
BUSY_ITEMS = {"cuda": 8}
"""Smallest number of items in a forward pass that keeps a device busy; 1 on others."""
PROBE_ITEMS = 4
"""Number of items on which memory is measured, and the time of networks so slow that a whole step would take long."""
GROWTH = 8
"""Factor of that number while the items are so small that the fixed costs of a step hide theirs."""
SLOW_STEP = 4.0
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
    recomputed: bool = False
    """Whether activation checkpointing was chosen, for a run whose config leaves it out."""

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
    items = min(PROBE_ITEMS, trainer.gradients.micro_batch)
    with _peak_memory(trainer.device) as peak:
        before = peak()
        trainer.dry_run(1)
        one = peak()
        trainer.dry_run(items)
        while (some := peak()) - one < LEAST_BYTES and items < trainer.gradients.micro_batch:
            items = min(GROWTH * items, trainer.gradients.micro_batch)
            trainer.dry_run(items)
    each = (some - one) // (items - 1) if items > 1 else one - before
    with_gradient = max(one - before - each, 4 * parameters)
    fixed = with_gradient + trainer.state.save_bytes - 4 * parameters
    data_bytes = 0 if device.type == "cuda" else min(_bytes(trainer, count), int(trainer.config.data.memory * 2**30))
    data_bytes += 0 if trainer.gradients.cache is None else trainer.gradients.cache.nbytes
    return StepMemory(fixed + data_bytes, each, free_memory(device))


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
    few = min(PROBE_ITEMS, share)
    probe, largest_probe = few, share if fits == trainer.gradients.micro_batch else few
    with recomputed_activations(trainer) if memory.recomputed else nullcontext():
        # the less of two: other programs may have taken the core from one
        while (seconds := min(_seconds(trainer, probe) for _ in range(2))) < LEAST_SECONDS and probe < largest_probe:
            probe = min(GROWTH * probe, largest_probe)
        if seconds * share / probe <= SLOW_STEP and largest_probe == share:
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


def choose_checkpointing(trainer: Trainer, memory: StepMemory) -> tuple[StepMemory, str]:
    """Choose activation checkpointing where the memory is short and the config leaves it out.

    Smaller parts of a batch need less memory at the same gradients, and no more time while they keep the device busy.
    So blocks are recomputed only where fewer than `BUSY_ITEMS` items fit at once.

    Returns:
        The memory as the run takes it, and a line on it with and without; "" where no activations are recomputed.
    """
    runtime, count = trainer.config.runtime, trainer.gradients.micro_batch
    before, after = memory, memory
    if runtime.checkpointing:
        before = replace(memory, each=int(memory.each / max(recomputed_share(trainer), 1e-3)))
    short = memory.largest(count) < min(count, BUSY_ITEMS.get(trainer.device.type, 1))
    if short and runtime.checkpointing is None and not runtime.compile:
        after = replace(memory, each=int(memory.each * recomputed_share(trainer)), recomputed=True)
    if not runtime.checkpointing and not after.recomputed:
        return memory, ""
    return after, (
        f"activation checkpointing: a step of {plural(count, 'item')} at once takes about "
        f"{format_bytes(after.needed(count))} instead of {format_bytes(before.needed(count))}, with the same "
        f"gradients, in about a third more time; {format_bytes(memory.free)} are free "
        f"({option('checkpointing', False)} keeps the activations)"
    )


def measuring_interval(trainer: Trainer, step_seconds: float | None = None) -> int | None:
    """Choose the number of steps between two measurements of the distance of samples, where the config leaves it out.

    All processes take part, and the first one's times decide. The time of a custom network is not measured.

    Args:
        trainer: The training run, before its next step.
        step_seconds: The time of a step; None measures it.

    Returns:
        The number; None where the distance is not measured: in short runs, and in those of a custom network that do not
        end at their plateau.

    Raises:
        InputError: If no distance can be measured on these data.
    """
    train, distributed = trainer.config.train, trainer.distributed
    until_plateau = train.until == "plateau"
    longest, shortest = (max(1, train.steps // number) for number in MEASUREMENTS)
    if isinstance(trainer.config.net, CustomNetConfig):
        return longest if until_plateau else None
    if step_seconds is None:
        share = len(trainer.gradients.positions)
        step_seconds = min(_seconds(trainer, share) for _ in range(2))
    numbers = torch.tensor([step_seconds if distributed.main else 0.0], dtype=torch.float64)
    step_seconds = float(distributed.total(numbers)[0])
    if not until_plateau and step_seconds * train.steps < SHORTEST_RUN:
        return None
    numbers[0] = trainer.new_distance().seconds(trainer.model(), trainer.config, distributed)
    if not distributed.main:
        numbers[0] = 0
    seconds = float(distributed.total(numbers)[0])
    seldom, often = (seconds / (share * step_seconds) for share in (MEASURING, MEASURING_OFTEN))
    every = _round_up(math.ceil(max(shortest, max(often, min(seldom, longest)) if until_plateau else seldom)))
    enough = until_plateau or 2 * FEWEST_MEASUREMENTS * every <= train.steps  # else there are too few for the rule
    return every if enough else None


def _round_up(number: int) -> int:
    """Round up to one digit, or to one digit and a half, as in 350: multiples of it are easily found."""
    unit = max(1, int(10 ** (len(str(number)) - 1)) // 2)
    return -(-number // unit) * unit


def _bytes(trainer: Trainer, count: int) -> int:
    """The size of `count` items and of the images that they are conditioned on, decoded."""
    item = trainer.spec.codec.dtype.itemsize * math.prod(trainer.spec.shape)
    images = [values.empty(1).nbytes for values in trainer.dataset.conditions.values() if isinstance(values, Dataset)]
    return (item + sum(images)) * count


def _seconds(trainer: Trainer, count: int) -> float:
    began = time.perf_counter()
    trainer.dry_run(count)
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
