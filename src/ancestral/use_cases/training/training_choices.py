"""What is decided for a run once its data are open, by what its steps cost on this machine."""

import dataclasses
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from ancestral.base.errors import InputError
from ancestral.base.events import Event, Work
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.config import Config, CustomNetConfig, by_size
from ancestral.config.run_files import TrainingCost
from ancestral.training import Trainer
from ancestral.training.plateau import FEWEST_MEASUREMENTS, constant_steps
from ancestral.training.sample_distance import COMPARED_SAMPLES, SampleDistance
from ancestral.training.step_cost import (
    Measuring,
    StepMemory,
    choose_checkpointing,
    choose_measurements,
    step_memory,
    training_cost,
)

MEASURED_STEPS = 3
"""Number of steps whose time is measured before training."""


@dataclass(frozen=True)
class Choices:
    """What is decided for a run after its data are open, which its trainer takes.

    Attributes:
        config: The config of the run, with recomputed activations, the number of threads and that of steps between two
            measurements of the distance of samples, where these were chosen.
        distance: What measures that distance, if it was chosen.
        cost: The time and the memory of the steps; None if they were not measured.
        notes: What the user should know, a line each.
        details: What the user may ask for, a line each.
    """

    config: Config
    distance: SampleDistance | None
    cost: TrainingCost | None
    notes: tuple[str, ...]
    details: tuple[str, ...]


def choose_memory(trainer: Trainer) -> Generator[Event, None, tuple[StepMemory | None, tuple[str, ...]]]:
    """Measure the memory of a step, and choose whether activations are recomputed.

    Returns:
        The memory, None for several processes and for a custom network; and a line on recomputed activations.
    """
    if trainer.distributed.world > 1 or isinstance(trainer.config.net, CustomNetConfig):
        return None, ()
    yield Work("measuring the memory and the time of a step", 0, 0)
    memory, line = choose_checkpointing(trainer, step_memory(trainer, len(trainer.dataset)))
    return memory, (line,) if line else ()


def choose(trainer: Trainer, config: Config, memory: StepMemory | None, threads: int) -> Choices:
    """Decide what the config of a run leaves open. All processes take part.

    Args:
        trainer: The trainer, at the step from which it goes on.
        config: The config, without the settings that follow from the size of the items.
        memory: The memory of a step, where it was measured.
        threads: The number of threads of this process.

    Raises:
        InputError: If a run until its plateau cannot be measured.
    """
    cost, details = None, [by_size.explain(config, trainer.spec.x_shape, trainer.device.type)]
    runtime, train = trainer.planned.runtime, trainer.planned.train
    if memory is not None and memory.recomputed:
        runtime = dataclasses.replace(runtime, checkpointing=True)
    if _keeps_threads(trainer):
        runtime = dataclasses.replace(runtime, threads=threads)
        details.append(f"{plural(threads, 'CPU thread')} ({option('threads')} chooses)")
    if memory is not None and trainer.step < trainer.last_step:
        cost = training_cost(trainer, len(trainer.dataset), memory, MEASURED_STEPS)
    measuring, notes = _choose_measuring(trainer, cost)
    if measuring.every is not None:
        train = dataclasses.replace(train, measure_every=measuring.every)
    return Choices(
        dataclasses.replace(trainer.planned, runtime=runtime, train=train),
        measuring.distance,
        cost,
        notes,
        tuple(filter(None, details)),
    )


def _keeps_threads(trainer: Trainer) -> bool:
    """Whether a run goes on with the number of threads that was not given: sums are rounded by it."""
    alone = trainer.device.type == "cpu" and trainer.distributed.world == 1
    return alone and trainer.planned.runtime.threads is None and "OMP_NUM_THREADS" not in os.environ


def _choose_measuring(trainer: Trainer, cost: TrainingCost | None) -> tuple[Measuring, tuple[str, ...]]:
    """Decide when the distance of samples is measured, where the config leaves it out; and lines on that."""
    train, measuring = trainer.config.train, Measuring()
    if trainer.step >= train.steps:
        return measuring, ()
    if train.measure_every is None:
        try:
            measuring = choose_measurements(trainer, None if cost is None else cost.seconds_per_step)
        except InputError as error:
            if train.until == "plateau":
                raise
            return measuring, (f"the distance of samples is not measured: {error.text}",)
    distance = measuring.distance or trainer.distance
    if distance is None and train.until == "plateau" and trainer.validation is None:
        raise InputError(
            f"{option('until', 'plateau')} needs measurements: leave {option('measure_every', 0)} out, or give "
            f"{option('validation', 0.1)}"
        )
    every = measuring.every or train.measure_every or 0
    return measuring, tuple(_measuring_described(trainer, distance, every, measuring.share))


def _measuring_described(
    trainer: Trainer, distance: SampleDistance | None, every: int, share: float | None
) -> Iterator[str]:
    """When the distance of samples is measured, and what ends a run until its plateau, a line each."""
    train = trainer.config.train
    if distance is not None:
        times = "" if share is None else f", about {share:.1%} of the time"
        samples = f"{distance.title} of {COMPARED_SAMPLES:,} samples to {distance.compared_with}"
        yield f"measuring {samples} every {every:,} steps{times}"
    if train.until != "plateau":
        return
    fall = ""
    if train.decay == "cosine" and trainer.parts.lr_schedule is None:
        latest = constant_steps(train.steps)
        fall = f", then with a falling learning rate for a quarter of those steps (from step {latest:,} at the latest)"
    yield f"training until its plateau{fall}, at most {train.steps:,} steps"
    if distance is not None and 2 * FEWEST_MEASUREMENTS * every > train.steps:
        yield f"note: too few measurements to see a plateau: give more {option('steps')}"
