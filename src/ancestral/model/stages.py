"""The models of a request, one after another, with their settings: cascades, as in super-resolution, and branches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import ABSENT, LABEL, Image
from ancestral.config.request import Label
from ancestral.data.spec import bits_of, limits_text
from ancestral.model.condition_values import NONE, ConditionValues, class_number, separate, with_label, with_partners
from ancestral.model.sample_conditioning import (
    Conditioning,
    Route,
    continuation,
    label_tensor,
    read_conditioning,
    states,
)
from ancestral.model.trained_model import TrainedModel
from ancestral.samplers import Continuation, Move, Sampler, Step, times_from
from ancestral.samplers.loop import GaussianDenoiser


@dataclass(frozen=True)
class Stage:
    """One of the models that make samples, one after another.

    Attributes:
        condition: The name of its condition that is the samples of the model before; "" of the first model.
        conditioning: What the items are conditioned on besides `condition`, and how their estimates are guided.
        branch: The state of another trajectory where that of this stage begins, if any.
    """

    model: TrainedModel
    condition: str
    sampler: Sampler
    conditioning: Conditioning = field(default_factory=Conditioning)
    branch: "Branch | None" = None

    def takes(self, name: str) -> bool:
        """Whether the user says the value of the condition of a name."""
        return name in self.model.spec.conditions and name != self.condition

    @property
    def first(self) -> int:
        """The number of the state at which the sampler began."""
        if self.branch is None:
            return 0
        return self.branch.parent.first if self.branch.keeps(self.sampler) else self.branch.at

    @property
    def times(self) -> list[float]:
        """The times of the states."""
        schedule = self.model.denoiser.schedule
        if self.branch is None:
            return list(self.sampler.times(schedule))
        before = self.branch.parent.times
        if self.branch.keeps(self.sampler):
            return before
        return [*before[: self.branch.at], *times_from(self.sampler, schedule, self.branch.t)]

    def trajectory(
        self,
        indices: Sequence[int],
        seed: int,
        continuations: Mapping[int, Continuation] | None = None,
        condition: Mapping[str, Tensor] | None = None,
    ) -> Iterator[Step]:
        """Sample the items `indices` of a seed in one batch, step by step.

        Args:
            indices: The indices of the items.
            seed: The seed; of a branch that of the reverse noise from there on.
            continuations: By the number of a state what the trajectory goes on with from there.
            condition: Further arguments of a custom network, a row for each item; not of a branch.
        """
        following = dict(continuations or {})
        if self.branch is None:
            conditioning = replace(self.conditioning, rows=condition or {})
            return states(self.model, indices, self.sampler, seed, conditioning, Route(continuations=following))
        parent, at = self.branch.parent, self.branch.at
        if self.branch.keeps(self.sampler):  # with its history
            own = continuation(self.model, indices, seed, self.conditioning)
            return parent.trajectory(indices, self.branch.seed, {at: own, **following})
        return self._restarted(indices, seed, following)

    def _restarted(
        self, indices: Sequence[int], seed: int, continuations: Mapping[int, Continuation]
    ) -> Iterator[Step]:
        """The states of the parent, then those of the sampler, which begins anew."""
        assert self.branch is not None
        at = self.branch.at
        for step in self.branch.parent.trajectory(indices, self.branch.seed):
            if step.index == at:
                break
            yield step
        following = {index - at: another for index, another in continuations.items()}
        times = times_from(self.sampler, self.model.denoiser.schedule, step.t)
        route = Route(step.x, times, following)
        for later in states(self.model, indices, self.sampler, seed, self.conditioning, route):
            yield replace(later, index=at + later.index)

    def given_samples(self, samples: Tensor, indices: Sequence[int]) -> "Stage":
        """Return the stage with the samples of the model before, which have these indices."""
        kind = self.model.spec.conditions[self.condition]
        names = ("",) * len(samples)
        values = {**self.conditioning.values, self.condition: ConditionValues(kind, samples, names, indices)}
        return replace(self, conditioning=replace(self.conditioning, values=values))


@dataclass(frozen=True)
class Branch:
    """The state of a trajectory at which another one leaves it.

    Attributes:
        parent: The stage whose trajectory it is.
        seed: The seed of that trajectory.
        at: The number of the state.
    """

    parent: Stage
    seed: int
    at: int

    @property
    def t(self) -> float:
        """The time of the state, which is not one of `times` where the sampler adds noise before a step."""
        parent = self.parent
        times, schedule = parent.times, parent.model.denoiser.schedule
        x = torch.zeros(1, *parent.model.spec.x_shape)
        move = Move(
            schedule,
            times[self.at],
            times[self.at + 1],
            GaussianDenoiser(schedule).predict,
            lambda _: x,
            len(times) - 1 - parent.first,
            [0],
        )
        return parent.sampler.start(x, move)[1].t

    def keeps(self, sampler: Sampler) -> bool:
        """Whether a sampler is that of the trajectory, and goes on with its history."""
        return sampler == self.parent.sampler


def condition_for(before: TrainedModel, follower: TrainedModel) -> str:
    """Return the name of the condition of a model that the samples of another can be.

    Raises:
        InputError: If it is not conditioned on such an image, or several of its conditions fit.
    """
    made, codec, name = before.spec.shape, before.spec.codec, follower.name
    images = {one: kind for one, kind in follower.spec.conditions.items() if isinstance(kind, Image)}
    if not images:
        raise InputError(
            f"{name} is not conditioned on an image, so it cannot follow {before.name}: {option('then')} names a model "
            f"that was trained with {option('given', 'upscale:4')}, or on pairs of images"
        )
    fitting = [
        one
        for one, kind in images.items()
        if (kind.channels, *(kind.sides or made[1:])) == made
        and not kind.masked
        and (kind.channel_limits == codec.channel_limits or bits_of(codec.limits) is bits_of(kind.limits) is None)
    ]
    if not fitting:
        takes = "; ".join(f"{one}, {_size(kind.channels, kind.sides)}" for one, kind in images.items())
        raise InputError(
            f"{name} cannot follow {before.name}: it is conditioned on {takes} (channels x sides), and samples of "
            f"{before.name} are {_size(made[0], made[1:])} from {limits_text(codec)}"
        )
    if len(fitting) > 1:
        raise InputError(
            f"samples of {before.name} could be several of the conditions of {name}: {', '.join(fitting)}; from "
            f"Python, name one: model.sample(given={{{fitting[0]!r}: samples}})"
        )
    return fitting[0]


def _size(channels: int, sides: Sequence[int]) -> str:
    return "x".join(map(str, (channels, *sides))) if sides else f"{channels} channels of any size"


def with_values(stages: Sequence[Stage], label: Label, given: Mapping[str, Any]) -> list[Stage]:
    """Give each of the stages the labels and the values of the conditions that it has.

    Classes are those of the first model that has the condition. The others have them by name, and a class that they do
    not know is absent. So is the label of a model behind one without a label, unless it is given.

    Raises:
        InputError: If no model has such a condition, or one cannot have the value.
    """
    images = {name for stage in stages for name, kind in stage.model.spec.conditions.items() if kind.on_grid}
    asked = with_partners(with_label(label, given), images)
    of_none = {name: value for name, value in asked.items() if not any(stage.takes(name) for stage in stages)}
    for name in of_none:
        if any(name == stage.condition for stage in stages):
            raise InputError(f"{name} is the samples of the model before: leave {option('given', name)} out")
    done: list[Stage] = []
    for stage in stages:
        values = {name: _matched(name, value, stage, stages) for name, value in asked.items() if stage.takes(name)}
        if stage is stages[0]:
            values |= of_none  # which the first model refuses
        elif stage.model.spec.classes and LABEL not in asked:
            in_turn = stages[0].model.spec.classes if done[0].conditioning.label is None else ()
            values[LABEL] = _matched(LABEL, in_turn, stage, stages) if in_turn else NONE
        conditioning = read_conditioning(stage.model.spec, None, values)
        label_tensor(stage.model.spec, [0], conditioning.label)
        done.append(replace(stage, conditioning=conditioning))
    return done


def _matched(name: str, value: Any, stage: Stage, stages: Sequence[Stage]) -> Any:
    """A value as a stage takes it: classes by their names in the first model that has the condition."""
    kinds = [other.model.spec.conditions[name] for other in stages if other.takes(name)]
    own, first = stage.model.spec.conditions[name], kinds[0]
    if not own.classes or not first.classes or own == first:
        return value
    numbers = [class_number(first.classes, one, name) for one in separate(value)]
    names = [NONE if number == ABSENT else first.classes[number] for number in numbers]
    return [one if one in own.classes else NONE for one in names]
