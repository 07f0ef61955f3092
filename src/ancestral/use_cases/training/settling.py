"""What the config of a run leaves open, settled on a trainer that is made for this alone and thrown away."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator
from functools import partial

import torch
from torch import Tensor

from ancestral import model as models
from ancestral.base import storage
from ancestral.base.device import cpu_threads, items_at_once
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Work
from ancestral.base.options import option
from ancestral.base.quantities import Estimate, format_bytes, plural
from ancestral.config import CustomNetConfig, by_size
from ancestral.data import DataSpec
from ancestral.metrics import extractors, uncertainty
from ancestral.training import Checkpoints, RunFolder, Trainer
from ancestral.training.step_cost import choose_checkpointing, measuring_interval, step_memory, training_cost
from ancestral.training.trackers import used_trackers
from ancestral.training.training_state import spec_of
from ancestral.use_cases.training import fine_tuning
from ancestral.use_cases.training.opened_data import RunSetup
from ancestral.use_cases.training.plan_training import TrainPlan
from ancestral.use_cases.training.training_messages import setting_warnings

MEASURED_STEPS = 3
"""Number of steps whose time is measured before training."""
GRID_BYTES = 500_000
"""About the size of a grid of samples, which trackers keep once more."""


def settle(plan: TrainPlan, setup: RunSetup) -> Generator[Event, None, RunSetup]:
    """Settle what a run leaves open before it starts: the weights that it starts from, activation checkpointing, the
    number of threads, and when the distance of samples is measured.

    A trainer at step 0 measures the memory and the time of a step, and is thrown away. All processes take part.

    Returns:
        The setup with the complete config, the cost of the run, and what the user should know.

    Raises:
        InputError: If parts do not fit the data or each other, there is no memory or disk for the run, or a run until
            its plateau cannot be measured.
    """
    setup = dataclasses.replace(setup, parts=dataclasses.replace(setup.parts, metric=KernelDistance))
    if setup.config.latent.latent is not None:
        spec, seed = spec_of(setup.training, setup.config), setup.config.train.seed
        autoencoder = models.build_autoencoder(setup.config.latent, spec, seed, plan.autoencoder)
        setup = dataclasses.replace(setup, autoencoder=autoencoder)
    with contextlib.closing(setup.trainer(plan.device)) as probe:
        setup = _checked(probe, plan, setup)
        return (yield from _measured(probe, plan, setup))


def _checked(probe: Trainer, plan: TrainPlan, setup: RunSetup) -> RunSetup:
    """Return the setup with the weights that the run starts from, and with notes on what does not fit well."""
    config, notes, parts = probe.config, list[str](), setup.parts
    if plan.start is not None:
        weights, start_notes = fine_tuning.initial_weights(probe, plan.start)
        parts, notes = dataclasses.replace(parts, weights=weights), [str(plan.start), *start_notes]
    if config.distil.method and plan.saved is None:
        notes.append(f"distilling {config.distil}: samples by {config.sample.sampler}")
    if config.net.kind != setup.config.net.kind:
        notes.append(f"points have no neighbours for a U-Net: the network is an {config.net}")
    notes += [*setting_warnings(probe), *disk_warning(probe, plan.folder)]
    models.check_sampler(probe.denoiser, config.sample.sampler)
    models.metadata_of(probe.denoiser, config, probe.spec, 0)  # what no file can hold is refused now
    details = [by_size.explain(setup.config, probe.spec.x_shape, probe.device.type)]
    config = config if plan.saved is not None else config.begun(*plan.parts.names)
    return dataclasses.replace(
        setup, config=config, parts=parts, notes=(*setup.notes, *notes), details=tuple(filter(None, details))
    )


def _measured(probe: Trainer, plan: TrainPlan, setup: RunSetup) -> Generator[Event, None, RunSetup]:
    """Return the setup with what follows from the memory and the time of a step."""
    config, notes, details, cost = setup.config, [*setup.notes], [*setup.details], None
    step = 0 if plan.saved is None else Checkpoints(plan.folder.checkpoints).last_step
    left, alone = config.train.steps - step, probe.distributed.world == 1
    with cpu_threads(config.runtime.threads) as threads:
        if alone and not isinstance(config.net, CustomNetConfig):
            yield Work("measuring the memory and the time of a step", 0, 0)
            memory, line = choose_checkpointing(probe, step_memory(probe, len(setup.training)))
            if memory.recomputed:
                config = config.with_settings(checkpointing=True)
            notes += [line] if line else []
            if left > 0:
                cost = training_cost(probe, len(setup.training), memory, MEASURED_STEPS)
                cost = dataclasses.replace(cost, steps=left, seconds=cost.seconds_per_step * left)
        if alone and _keeps_threads(probe):
            config = config.with_settings(threads=threads)
            details.append(f"{plural(threads, 'CPU thread')} ({option('threads')} chooses)")
        if left > 0 and config.train.measure_every is None:
            try:
                every = measuring_interval(probe, None if cost is None else cost.seconds_per_step)
                config = config if every is None else config.with_settings(measure_every=every)
            except InputError as error:
                if config.train.until == "plateau":
                    raise
                notes.append(f"the distance of samples is not measured: {error.text}")
    if left > 0 and config.train.until == "plateau" and not config.train.measure_every and probe.validation is None:
        raise InputError(
            f"{option('until', 'plateau')} needs measurements: leave {option('measure_every', 0)} out, or give "
            f"{option('validation', 0.1)}"
        )
    return dataclasses.replace(setup, config=config, notes=tuple(notes), details=tuple(details), cost=cost)


def _keeps_threads(probe: Trainer) -> bool:
    """Whether a run goes on with the number of threads that was not given: sums are rounded by it."""
    return probe.device.type == "cpu" and probe.config.runtime.threads is None and "OMP_NUM_THREADS" not in os.environ


def disk_warning(trainer: Trainer, folder: RunFolder) -> list[str]:
    """Return a line if the disk has less room than the run takes at its largest; none if it has no steps left.

    Raises:
        InputError: If it has none for a first checkpoint and the model.
    """
    train, runtime, state = trainer.config.train, trainer.config.runtime, trainer.state
    if Checkpoints(folder.checkpoints).last_step >= train.steps:
        return []
    saves, model = -(-train.steps // train.save_every), state.pair_bytes // 2
    checkpoints = min(saves, runtime.keep + (train.steps // runtime.keep_every if runtime.keep_every else 0))
    grids = -(-train.steps // train.sample_every) * (1 + bool(used_trackers(runtime.trackers)))
    parts = {  # while a save is written, there are another checkpoint and another model file
        "model": model * min(saves, 2),
        "checkpoints": (state.save_bytes - model) * min(saves, checkpoints + 1),
        "snapshots": trainer.snapshot_count * state.pair_bytes,
        "grids of samples": grids * GRID_BYTES,
    }
    present, free = storage.size_of(folder.path), storage.free_bytes(folder.path)
    needed = sum(parts.values()) - present
    elsewhere = f"make room, or give {option('out')} a folder on another disk"
    if not present and free < state.save_bytes:
        raise InputError(
            f"the disk of {folder.path} has {format_bytes(free)} free, and a checkpoint and the model take "
            f"{format_bytes(state.save_bytes)}: {elsewhere}"
        )
    if free >= needed:
        return []
    sizes = ", ".join(f"{name} {format_bytes(size)}" for name, size in parts.items() if size)
    return [
        f"warning: the run takes about {format_bytes(needed)} more on the disk ({sizes}), and {format_bytes(free)} "
        f"are free: {elsewhere}, or {option('snapshots', 0)} {option('keep', 1)}"
    ]


class KernelDistance:
    """The kernel distance of the features of the default extractor: a `training.sample_distance.ItemMetric`.

    Args:
        spec: The description of the data.
        device: Where the feature extractor runs.

    Raises:
        InputError: If the extractor's package is missing.
    """

    def __init__(self, spec: DataSpec, device: torch.device) -> None:
        self.extractor = extractors.extractor(extractors.default_name(spec), spec.shape, spec.codec, device)
        self.title = self.extractor.title("KID")
        self.width = self.extractor.width

    def features(self, items: Tensor) -> Tensor:
        """Return the features (N, width) of decoded items (N, C, *sides)."""
        return self.extractor(items).values

    def reference_features(self, items: Tensor) -> Tensor:
        """Return the same in batches; the user's cache keeps them."""
        batches = extractors.features(self.extractor, items, items_at_once(items.shape[1:]))
        return extractors.concatenate(batches).values

    def to(self, reference: Tensor) -> Callable[[Tensor], Estimate]:
        """Return the distance of features to those of a reference set."""
        return partial(uncertainty.kernel, y=uncertainty.Reference(reference))
