"""What items are conditioned on, how their estimates are guided, and the states that their trajectory visits."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.device import on_device
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import LABEL, Image, argument_name
from ancestral.config import CustomNetConfig
from ancestral.config.request import Label
from ancestral.data.spec import DataSpec, encoded
from ancestral.diffusion import Diffusion
from ancestral.guidance import NO_CLASS
from ancestral.model.condition_values import (
    NO_CLASS_NAME,
    NONE,
    ConditionValues,
    class_number,
    read_values,
    separate,
    with_label,
)
from ancestral.model.guided_model import Guidance, guided
from ancestral.model.trained_model import TrainedModel
from ancestral.nets import drawn_noise, takes
from ancestral.randomness import Stream
from ancestral.reverse import prior
from ancestral.samplers import DDPM, Continuation, Sampler, Step
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser

Prior: TypeAlias = Callable[[Schedule, Sequence[int], int, Sequence[int], torch.device | str], Tensor]
"""What draws x_T: a function of the schedule, the shape of an item, the seed, the indices of items, and the device."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What items are conditioned on, how their estimates are guided, and how their x_T is drawn.

    Attributes:
        values: The values of the other conditions in the units of the data.
        guidance: How estimates are guided.
        rows: Arguments of the network by name, a row for each item: further ones of a custom network, or conditions as
            `given.inputs` makes them, which then replace `values` and `label`.
        wrap: Makes of the guided denoiser the one that is sampled from.
        prior: Draws x_T.
    """

    label: Label = None
    values: Mapping[str, ConditionValues] = field(default_factory=dict)
    guidance: Guidance = field(default_factory=Guidance)
    rows: Mapping[str, Tensor] = field(default_factory=dict)
    wrap: Callable[[Denoiser], Denoiser] | None = None
    prior: Prior = prior

    @property
    def guided(self) -> bool:
        """Whether estimates are guided, or may be: a setting of guidance is not its default."""
        return self.guidance != Guidance()

    def wrapped(self, wrap: Callable[[Denoiser], Denoiser]) -> Self:
        """Return the same with a further wrapper around the denoiser that is sampled from."""
        inner = self.wrap
        return dataclasses.replace(self, wrap=wrap if inner is None else lambda denoiser: wrap(inner(denoiser)))

    def inputs(self, spec: DataSpec, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Return what the denoiser is conditioned on for some items, by argument; what is left out is absent."""
        values = {name: value.of(indices) for name, value in self.values.items()}
        inputs = encoded(spec, values, len(indices), device)
        labels = label_tensor(spec, indices, self.label)
        if labels is not None:
            inputs["labels"] = on_device(labels, device)
        return inputs | {name: on_device(value, device) for name, value in self.rows.items()}

    def names(self, spec: DataSpec) -> list[str]:
        """Return the names of the conditions that are given, or that guidance leads away from a value of."""
        values = {**self.values, **self.guidance.avoid}
        given = [name for name in spec.further if name in values or argument_name(name) in self.rows]
        return [*given, *[LABEL] * bool(spec.classes)]

    def notes(self) -> list[str]:
        """Say which values, also those to avoid, lie beyond the data of the model, and which texts it reads in part."""
        given = [note for name, values in self.values.items() for note in values.beyond(name)]
        avoided = [note for name, values in self.guidance.avoid.items() for note in values.beyond(name, "avoid")]
        return [*dict.fromkeys((*given, *avoided))]


@dataclass(frozen=True, eq=False)
class Route:
    """The states that a trajectory visits.

    Attributes:
        start: The states at the first time, (B, *); None is noise of the prior.
        times: The times that are visited, in place of the sampler's own.
        continuations: By the number of a state what the trajectory goes on with from there.
    """

    start: Tensor | None = None
    times: Sequence[float] | None = None
    continuations: Mapping[int, Continuation] = field(default_factory=dict)


def states(
    model: TrainedModel,
    indices: Sequence[int],
    sampler: Sampler,
    seed: int,
    conditioning: Conditioning,
    route: Route = Route(),  # frozen
) -> Iterator[Step]:
    """Sample the items `indices` of a seed in one batch, step by step; `spec.decode` decodes the states.

    Args:
        model: The model.
        indices: The indices of the items.
        sampler: The sampler.
        seed: The seed of all noise.
        conditioning: What they are conditioned on.
        route: The states that are visited; by default those of the sampler, from noise of the prior.

    Raises:
        InputError: If the samples are no finite numbers.
    """
    if isinstance(sampler, DDPM) and sampler.variance == "analytic":
        sampler = dataclasses.replace(sampler, variance=model.analytic_variance)
    first = continuation(model, indices, seed, conditioning)
    start = noise(model, indices, seed, conditioning, model.device) if route.start is None else route.start
    x_T = on_device(start.to(torch.promote_types(model.dtype, torch.float32)), model.device)
    options: dict[str, Any] = {"seed": seed, "indices": indices, "continuations": route.continuations}
    for step in sampler.trajectory(first.denoiser, x_T, route.times, **options, **first.condition):
        if step.t == 0 and not bool(step.x.isfinite().all()):
            raise InputError(f"the samples are no finite numbers: the network diverged, or {sampler} cannot do it")
        yield step


def noise(
    model: TrainedModel,
    indices: Sequence[int],
    seed: int,
    conditioning: Conditioning,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw x_T, at which the trajectories of some items begin, float32 (len(indices), *x_shape)."""
    return conditioning.prior(model.denoiser.schedule, model.spec.x_shape, seed, indices, device)


def continuation(model: TrainedModel, indices: Sequence[int], seed: int, conditioning: Conditioning) -> Continuation:
    """Return the guided denoiser, what it is conditioned on, and the seed of the noise of some items."""
    inputs = conditioning.inputs(model.spec, indices, model.device)
    if "keys" not in inputs and _draws_noise(model):
        inputs["keys"] = on_device(randomness.keys(seed, Stream.KEYS, 0, indices), model.device)
    denoiser = model.denoiser
    if conditioning.guided:
        denoiser = guided(model, conditioning.guidance, conditioning.names(model.spec), indices)
    return Continuation(denoiser if conditioning.wrap is None else conditioning.wrap(denoiser), inputs, seed)


def _draws_noise(model: TrainedModel) -> bool:
    """Whether the network draws noise by keys, as those of an energy score do, and maybe one of the user's."""
    custom, denoiser = isinstance(model.config.net, CustomNetConfig), model.denoiser
    if not isinstance(denoiser, Diffusion):
        return False
    return drawn_noise(denoiser.net) is not None or (custom and takes(denoiser.net, "keys"))


def label_tensor(spec: DataSpec, indices: Sequence[int], label: Label) -> Tensor | None:
    """Return the labels (len(indices),) of items, or None for data without classes.

    Raises:
        InputError: If there is no such class.
    """
    classes = spec.classes
    if not classes and label is not None:
        raise InputError("this model was trained without classes, so leave the label out")
    if not classes:
        return None
    numbers = range(len(classes)) if label is None else [class_number(classes, name) for name in separate(label)]
    if not numbers:
        raise InputError(f"{option('label')} names no class; leave it out to sample all classes in turn")
    return torch.tensor([numbers[index % len(numbers)] for index in indices])


def class_names(spec: DataSpec, indices: Sequence[int], label: Label) -> list[str] | None:
    """Return the names of the classes of items, as `label_tensor` does their numbers."""
    labels = label_tensor(spec, indices, label)
    if labels is None:
        return None
    return [NO_CLASS_NAME if number == NO_CLASS else spec.classes[number] for number in labels.tolist()]


def read_conditioning(spec: DataSpec, label: Label, given: Mapping[str, Any] | None) -> Conditioning:
    """Read labels and the values of the other conditions as users write them.

    The label is absent if it is None among the given values, or left out beside others.

    Raises:
        InputError: If the label is given twice, the model has no such condition, or not with this value.
    """
    others = with_label(label, given)
    in_turn = not others
    if spec.whole == spec.shape[1:]:  # there is one position
        others = dict.fromkeys(positions_of(spec), ",".join("0" * len(spec.whole))) | others
    labels, values = others.pop(LABEL, None), read_values(spec, others)
    return Conditioning(NONE if labels is None and not in_turn and spec.classes else labels, values)


def positions_of(spec: DataSpec) -> list[str]:
    """Return the names of the conditions that are positions of windows."""
    return [name for name, kind in spec.further.items() if isinstance(kind, Image) and kind.window == "position"]
