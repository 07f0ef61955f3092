"""Samples during training from the averaged weights: each process samples its share, and one sum collects them."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ancestral.base.events import Event, Work
from ancestral.config import Config
from ancestral.config.request import Request
from ancestral.data import Dataset, InMemoryDataset
from ancestral.data.spec import DataSpec
from ancestral.diffusion import Diffusion
from ancestral.guidance import NO_CLASS
from ancestral.model import Model, sampler_for
from ancestral.model.condition_values import NONE, ConditionValues, values_of_items
from ancestral.model.process import Process, made
from ancestral.samplers import Recording, Sampler, Step
from ancestral.training.distributed import Distributed

STATES = 12
"""Number of states of the reverse process that are recorded, evenly over its steps."""


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
        return {name: value.rows for name, value in self.values.items() if value.kind.on_grid}


def examples_of(items: Dataset, spec: DataSpec, n: int) -> Examples:
    """Choose at most n items, evenly spaced. Each process chooses the same."""
    if not spec.further:
        return Examples()
    chosen = items.sample(n)
    names = dict(enumerate(spec.classes)) | {NO_CLASS: NONE}
    label = None
    if spec.classes:
        label = (NONE,) * len(chosen) if chosen.labels is None else tuple(names[one] for one in chosen.labels.tolist())
    return Examples(chosen, values_of_items(chosen, spec), label)


def sampler_of_run(config: Config, denoiser: Diffusion, max_steps: int) -> Sampler:
    """Choose the run's own sampler, with at most `max_steps` steps."""
    name = config.sample.sampler
    default = len(sampler_for(denoiser, name).times(denoiser.schedule)) - 1
    return sampler_for(denoiser, name, steps=min(max_steps, default))


@dataclass(frozen=True)
class SharedSampling:
    """Samples of seed 0 during training, of which each process makes its share.

    Attributes:
        model: The model with the averaged weights.
        given: The items whose conditions the samples have.
    """

    model: Model
    sampler: Sampler
    distributed: Distributed
    given: Examples

    def process(self, n: int) -> Process:
        """Return the process of the samples 0..n−1."""
        return self.model.process(Request.of(n, self.sampler, label=self.given.label, given=self.given.values))

    def sample(
        self, n: int, stopping: Callable[[], bool], followed: int = 0, task: str = "sampling a preview"
    ) -> Generator[Event, None, Recording | None]:
        """Sample items 0..n−1. All processes take part, and where sampling fails on one, it ends on all.

        Returns:
            Decoded items on the CPU, the same on every process, and states of the `followed` first ones of this
            process; None if this process, the only one, was asked to stop meanwhile.
        """
        distributed, error, recording = self.distributed, None, None
        encoded = torch.zeros(n, *self.model.spec.x_shape, device=distributed.device)
        try:
            recording = yield from self._share(encoded, stopping, followed, task)
        except Exception as failure:
            error = failure
        failures = distributed.total(torch.tensor([float(error is not None)], device=distributed.device))
        if error is not None:
            raise error
        if float(failures[0]):
            raise RuntimeError("sampling failed on another process")
        if recording is None:
            return None
        decode = self.model.spec.decode
        states = [Step(one.index, one.t, decode(one.x), decode(one.x0)) for one in recording.states]
        return Recording(decode(distributed.total(encoded)), states)

    def _share(
        self, encoded: Tensor, stopping: Callable[[], bool], followed: int, task: str
    ) -> Generator[Event, None, Recording | None]:
        """Sample the items of this process into `encoded`, which holds all."""
        process, positions = self.process(len(encoded)), self.distributed.positions(len(encoded))
        recorded = torch.linspace(0, len(process.times) - 1, STATES).round().long().tolist() if followed else ()
        loop = made(process, None, recorded, False, positions, followed)
        while True:
            try:
                event = next(loop)
            except StopIteration as end:
                recording: Recording = end.value
                encoded[list(positions)] = recording.samples.to(encoded)
                return recording
            if stopping() and self.distributed.world == 1:
                return None
            if isinstance(event, Work):
                yield Work(task, event.done, event.total, part=True)
