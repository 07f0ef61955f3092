"""Samples during training: each process samples its share, and one sum collects them."""

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ancestral.conditions import Image
from ancestral.data import InMemoryDataset
from ancestral.events import Event, Work
from ancestral.guidance import NO_CLASS
from ancestral.model import sampler_for
from ancestral.model.condition_values import NONE, ConditionValues, values_of_items
from ancestral.samplers import Recording, Sampler, record
from ancestral.training.trainer import Trainer

STATES = 12
"""Number of states of the reverse process that are recorded, evenly over its steps."""
BATCH = 64
"""Number of items that are sampled at once."""
CONDITIONS = "given.npz"
"""The file beside the previews of a run with the images that they are conditioned on, for `sample --like`."""


@dataclass(frozen=True)
class Examples:
    """Items whose conditions a preview has: sample i has those of item i modulo their number.

    Attributes:
        items: The items, held-out ones if there are some; None of a model that has no condition besides the label.
        values: Their conditions besides the label, by name.
        label: The names of their classes; None takes all classes in turn.
    """

    items: InMemoryDataset | None = None
    values: dict[str, ConditionValues] = field(default_factory=dict)
    label: tuple[str, ...] | None = None

    @property
    def images(self) -> dict[str, Tensor]:
        """The conditions that are images, by name."""
        return {name: value.rows for name, value in self.values.items() if isinstance(value.kind, Image)}


def examples(trainer: Trainer, n: int) -> Examples:
    """Choose at most n items for all previews of a run, evenly spaced. Each process chooses the same."""
    spec = trainer.spec
    if not spec.further:
        return Examples()
    items = (trainer.held_out or trainer.dataset).sample(n)
    names = dict(enumerate(spec.classes)) | {NO_CLASS: NONE}
    label = None
    if spec.classes:
        label = (NONE,) * len(items) if items.labels is None else tuple(names[one] for one in items.labels.tolist())
    return Examples(items, values_of_items(items, spec), label)


def preview_sampler(trainer: Trainer, max_steps: int) -> Sampler:
    """Choose the run's own sampler, with at most `max_steps` steps."""
    name, denoiser = trainer.config.sample.sampler, trainer.denoiser
    default = len(sampler_for(denoiser, name).times(denoiser.schedule)) - 1
    return sampler_for(denoiser, name, steps=min(max_steps, default))


def sample_preview(
    trainer: Trainer, n: int, max_steps: int, followed: int = 0, given: Examples | None = None
) -> Generator[Event, None, Recording | None]:
    """Sample items 0..n−1 of seed 0 from the averaged weights, given the conditions of examples.

    All processes take part.

    Returns:
        Decoded items on the CPU, the same on every process, and states of the `followed` first ones of this process;
        None if the run was asked to stop meanwhile.
    """
    model, distributed, given = trainer.model(), trainer.distributed, given or Examples()
    sampler = preview_sampler(trainer, max_steps)
    steps = len(sampler.times(model.denoiser.schedule)) - 1
    decode = model.spec.codec.decode
    positions = distributed.positions(n)
    encoded = torch.zeros(n, *model.spec.shape, device=distributed.device)
    recorded = torch.linspace(0, steps, STATES).round().long().tolist() if followed else ()
    trajectory = partial(model.trajectory, sampler=sampler, label=given.label, values=given.values)
    loop = record(trajectory, positions, BATCH, lambda x: decode(x).cpu(), recorded, followed)
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
