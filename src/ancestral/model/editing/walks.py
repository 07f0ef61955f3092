"""Samples that begin at images: variations, inversion, and walks between two images or conditions."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ancestral.base.errors import InputError, whole
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.conditions import LABEL, Vector, argument_name
from ancestral.config.request import Label, Request
from ancestral.data.spec import DataSpec
from ancestral.guidance import Blend, Clipped, Skip
from ancestral.model.condition_values import NONE, ConditionValues, separate
from ancestral.model.editing.edited_samples import (
    EDIT_SAMPLES,
    STRENGTH,
    WALK,
    EditPlan,
    conditions_of,
    evaluations,
    flow_sampler,
    items_of,
    sampler_of,
    settings_of,
)
from ancestral.model.guided_model import Guidance
from ancestral.model.image_values import read_images
from ancestral.model.requested import guidance_of
from ancestral.model.trained_model import TrainedModel
from ancestral.reverse import prior
from ancestral.samplers import (
    Sampler,
    Step,
    invert,
    slerp,
    time_at_strength,
    times_from,
)
from ancestral.targets import Denoiser

DEVIATIONS = 4
"""The number of standard deviations that chance allows the mean of noise; one of 16,000 means has more."""


def variations(model: TrainedModel, request: Request, image: Any) -> EditPlan:
    """Decide how variations of an image are sampled, of a request with its `strength`.

    Raises:
        InputError: If the model cannot do this.
    """
    spec, schedule, strength = model.spec, model.denoiser.schedule, settings_of(request).strength
    x0 = spec.encode(read_images(spec, image, "image"))
    items, sampler = items_of(model, request, EDIT_SAMPLES * len(x0)), sampler_of(model, request)
    label, values = conditions_of(model, request)
    t = time_at_strength(schedule, STRENGTH if strength is None else strength)
    times = times_from(sampler, schedule, t)
    a, b = schedule.at(t)

    def steps(positions: Sequence[int]) -> Iterator[Step]:
        batch = [items[position] for position in positions]
        z = prior(schedule, spec.x_shape, request.seed, batch) / schedule.prior_std
        start = schedule.add_noise(x0[[position % len(x0) for position in positions]], t, z)
        return model.trajectory(
            batch, sampler, request.seed, label, guidance_of(request), values=values, start=start, times=times
        )

    return EditPlan(
        method=f"noise to t = {t} of {schedule.steps}",
        reason=f"What is hidden by noise of {b:.2g} beside a signal of {a:.2g} is sampled anew.",
        count=len(items),
        inputs=len(x0),
        evaluations=evaluations(sampler, schedule, times),
        times=times,
        steps=steps,
        finish=spec.decode,
    )


def inversion(model: TrainedModel, request: Request, image: Any) -> Tensor:
    """Find the noise that an image is sampled from.

    Raises:
        InputError: If the model cannot do this.
    """
    x0 = model.spec.encode(read_images(model.spec, image, "image"))
    label, values = conditions_of(model, request)
    conditions, names = model.conditions(range(len(x0)), label, None, values)
    return _inverted(model, x0, flow_sampler(model, request), guidance_of(request), names, conditions)


def reconstruction(model: TrainedModel, request: Request, x_T: Tensor) -> EditPlan:
    """Decide how items are sampled from given noise.

    Raises:
        InputError: If the model cannot do this.
    """
    spec = model.spec
    if x_T.shape[1:] != spec.x_shape or not x_T.is_floating_point():
        raise InputError(f"x_T must hold floats (n, {', '.join(map(str, spec.x_shape))}), not {list(x_T.shape)}")
    sampler = flow_sampler(model, request)
    label, values = conditions_of(model, request)
    times = sampler.times(model.denoiser.schedule)

    def run(positions: Sequence[int]) -> Iterator[Step]:
        start = x_T[list(positions)]
        return model.trajectory(
            positions, sampler, request.seed, label, guidance_of(request), values=values, wrap=_flow, start=start
        )

    passes, notes = evaluations(sampler, model.denoiser.schedule, times), _casts(model, x_T)
    return EditPlan("flow", "The noise was given.", len(x_T), len(x_T), passes, times, run, spec.decode, notes)


def interpolation(model: TrainedModel, request: Request, image: Any = None, other: Any = None) -> EditPlan:
    """Decide how a walk between two images is sampled, of a request with its time `t`.

    Raises:
        InputError: If the model cannot do this.
    """
    spec, schedule, t = model.spec, model.denoiser.schedule, settings_of(request).t
    n = WALK if request.n is None else request.n
    whole(n, 2, math.inf, f"a walk has two ends: give {option('n')} of at least 2, not {n}")
    if (image is None) != (other is None):
        raise InputError("a walk is between two images: give both, or none to walk between conditions alone")
    weights = torch.linspace(0, 1, n, dtype=torch.float64)
    ends = _ends(model, request, n)
    (item,) = items_of(model, dataclasses.replace(request, n=1), 1)
    guided, seed = guidance_of(request), request.seed
    ends_given = ((image, "a"), (other, "b"))
    images = [None if one is None else _single(read_images(spec, one, name)) for one, name in ends_given]
    z = prior(schedule, spec.x_shape, seed, [item])
    along_flow = t is None and image is not None
    sampler = flow_sampler(model, request) if along_flow else sampler_of(model, request)
    times: Sequence[float] | None = None
    notes: tuple[str, ...] = ()
    if image is None:
        if t is not None:
            raise InputError(f"{option('t')} is the noise that is added to images: give two, or leave it out")
        states = z.expand(n, *spec.x_shape)
        reason = "All samples begin at the same noise; only what they are conditioned on differs."
    else:
        first, second = (spec.encode(one[None]) for one in images if one is not None)
        if t is None:
            x_T = [
                _inverted(model, x0, sampler, guided, end.names, end.of([place], model))
                for x0, end, place in ((first, ends[0], 0), (second, ends[1], n - 1))
            ]
            notes = _casts(model, torch.cat(x_T))
            states = slerp(x_T[0].expand(n, *spec.x_shape), x_T[1].expand(n, *spec.x_shape), weights)
            reason = "The noise that each image is sampled from was found along the probability flow."
        else:
            times = times_from(sampler, schedule, t)
            noisy = [schedule.add_noise(x0, times[0], z / schedule.prior_std) for x0 in (first, second)]
            states = torch.lerp(noisy[0], noisy[1], weights.float().reshape(n, *[1] * len(spec.x_shape)))
            reason = "Both images have the same noise added, and what lies between them is sampled from there."

    def steps(positions: Sequence[int]) -> Iterator[Step]:
        condition, other = (end.of(positions, model) for end in ends)
        differing = {name: value for name, value in other.items() if not torch.equal(value, condition[name])}

        def wrap(denoiser: Denoiser) -> Denoiser:
            denoiser = Blend(denoiser, differing, weights[list(positions)]) if differing else denoiser
            return _flow(denoiser) if along_flow else denoiser

        return model.trajectory(
            [item] * len(positions), sampler, seed, NONE if spec.classes else None, guided, condition, None, wrap,
            states[list(positions)], times,
        )  # fmt: skip

    visited = sampler.times(schedule) if times is None else times
    method = "conditions" if image is None else "flow" if t is None else f"noise to t = {t:g} of {schedule.steps}"
    return EditPlan(
        method,
        reason,
        n,
        n,
        evaluations(sampler, schedule, visited),
        visited,
        steps,
        partial(_between, spec, images),
        notes,
    )


def _between(spec: DataSpec, images: Sequence[Tensor | None], x: Tensor) -> Tensor:
    """The samples of a walk in the units of the data, with the images at its ends."""
    walk = spec.decode(x)
    for place, image in zip((0, -1), images, strict=True):
        if image is not None:
            walk[place] = image.to(walk.dtype)
    return walk


def _casts(model: TrainedModel, x_T: Tensor) -> tuple[str, ...]:
    """Say how light or dark noise (m, *) is that images are sampled from, where chance does not make it so."""
    means = x_T.flatten(2).double().mean(2) / model.denoiser.schedule.prior_std
    chance = DEVIATIONS / math.sqrt(x_T[0, 0].numel())
    largest = means.gather(1, means.abs().argmax(1, keepdim=True))[:, 0]
    if not bool((largest.abs() > chance).any()):
        return ()
    return (
        f"The noise of {plural(len(x_T), 'image')} has a mean of {', '.join(f'{mean:.2f}' for mean in largest)} in the "
        f"channel where it is largest, and that of noise that is drawn is within ±{chance:.2f}: samples between such "
        "noise may be too light or too dark, or have a cast of colour.",
    )


@dataclass(frozen=True)
class _End:
    """What one end of a walk is conditioned on."""

    label: Label
    values: Mapping[str, ConditionValues]

    @property
    def names(self) -> list[str]:
        """The names of the conditions."""
        return [*self.values, *([] if self.label is None else [LABEL])]

    def of(self, positions: Sequence[int], model: TrainedModel) -> dict[str, Tensor]:
        """Return what a network gets at some places of the walk, without what is absent."""
        conditions, _ = model.conditions(positions, self.label, None, self.values)
        arguments = {"labels", *map(argument_name, self.values)}
        return {name: value for name, value in conditions.items() if name in arguments}


def _ends(model: TrainedModel, request: Request, n: int) -> tuple[_End, _End]:
    """What the two ends of a walk of n samples are conditioned on. Numbers are interpolated, and so the same in both.

    Raises:
        InputError: If a condition has more than two values.
    """
    label, values = conditions_of(model, request)
    pairs: dict[str, tuple[ConditionValues, ConditionValues]] = {}
    for name, value in values.items():
        first, last = (dataclasses.replace(value, rows=value.rows[[i]], names=(value.names[i],)) for i in (0, -1))
        _check_ends(name, len(value.rows))
        if isinstance(value.kind, Vector):
            shares = torch.linspace(0, 1, n, dtype=torch.float64)[:, None]
            rows = torch.lerp(first.rows.expand(n, -1), last.rows.expand(n, -1), shares)
            first = last = dataclasses.replace(value, rows=rows, names=("",) * n)
        pairs[name] = (first, last)
    labels = [None] if label is None else list(separate(label))
    _check_ends(LABEL, len(labels))
    one, other = ({name: pair[end] for name, pair in pairs.items()} for end in (0, 1))
    return _End(labels[0], one), _End(labels[-1], other)


def _check_ends(name: str, count: int) -> None:
    """Raise InputError if a condition has more than two values."""
    if count > 2:
        raise InputError(f"{name} has {count} values: give one, or two for the two ends of the walk")


def _single(images: Tensor) -> Tensor:
    """The only image. Raises InputError if there are several."""
    if len(images) != 1:
        raise InputError(f"a walk is between two images, and {len(images)} are given for one end: give one")
    return images[0]


def _flow(denoiser: Denoiser) -> Denoiser:
    """The denoiser whose probability flow is followed both ways."""
    return Skip(Clipped(denoiser, 1.0))


def _inverted(
    model: TrainedModel,
    x0: Tensor,
    sampler: Sampler,
    guidance: Guidance,
    names: Sequence[str],
    condition: dict[str, Any],
) -> Tensor:
    """The noise that encoded items are sampled from, on the CPU."""
    return invert(_flow(model.guided(guidance, names)), x0.to(model.device), sampler, **condition).cpu()
