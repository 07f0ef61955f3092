"""Samples during training: each process samples its share, and one sum collects them."""

from collections.abc import Generator

import torch

from ancestral.events import Event, Work
from ancestral.model import sampler_for
from ancestral.samplers import Recording, Sampler, record
from ancestral.training.trainer import Trainer

STATES = 12
"""Number of states of the reverse process that are recorded, evenly over its steps."""
BATCH = 64
"""Number of items that are sampled at once."""


def preview_sampler(trainer: Trainer, max_steps: int) -> Sampler:
    """Choose the run's own sampler, with at most `max_steps` steps."""
    name, denoiser = trainer.config.sample.sampler, trainer.denoiser
    default = len(sampler_for(denoiser, name).times(denoiser.schedule)) - 1
    return sampler_for(denoiser, name, steps=min(max_steps, default))


def sample_preview(
    trainer: Trainer, n: int, max_steps: int, followed: int = 0
) -> Generator[Event, None, Recording | None]:
    """Sample items 0..n−1 of seed 0 from the averaged weights. All processes take part.

    Returns:
        Decoded items on the CPU, the same on every process, and states of the `followed` first ones of this process;
        None if the run was asked to stop meanwhile.
    """
    model, distributed = trainer.model(), trainer.distributed
    sampler = preview_sampler(trainer, max_steps)
    steps = len(sampler.times(model.denoiser.schedule)) - 1
    decode = model.spec.codec.decode
    positions = distributed.positions(n)
    encoded = torch.zeros(n, *model.spec.shape, device=distributed.device)
    recorded = torch.linspace(0, steps, STATES).round().long().tolist() if followed else ()
    loop = record(
        lambda batch: model.trajectory(batch, sampler), positions, BATCH, lambda x: decode(x).cpu(), recorded, followed
    )
    done, total = 0, -(-len(positions) // BATCH) * (steps + 1)
    while True:
        try:
            batch, step = next(loop)
        except StopIteration as end:
            return Recording(decode(distributed.total(encoded)), end.value.states)
        if step.t == 0:
            encoded[list(batch)] = step.x
        if trainer.stopping and distributed.world == 1:
            return None
        done += 1
        yield Work("sampling a preview", done, total, part=True)
