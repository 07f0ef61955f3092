"""Samples that begin at images: variations, inversion, and walks between two images or conditions."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ancestral.base.device import on_device
from ancestral.base.errors import InputError, whole
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.conditions import LABEL, argument_name
from ancestral.config.request import Request
from ancestral.data.spec import DataSpec
from ancestral.guidance import Blend, Clipped, Skip
from ancestral.model.condition_values import NONE, ConditionValues, separate
from ancestral.model.editing.edited_samples import (
    EDIT_SAMPLES,
    STRENGTH,
    WALK,
    conditioning_of,
    evaluations,
    flow_sampler,
    items_of,
    sampler_of,
    settings_of,
)
from ancestral.model.editing.windowed_edits import window_of
from ancestral.model.image_values import read_images
from ancestral.model.process import Process
from ancestral.model.sample_conditioning import Conditioning, Route, continuation, noise, states
from ancestral.model.trained_model import TrainedModel
from ancestral.samplers import Continuation, Sampler, Step, invert, slerp, time_at_strength, times_from
from ancestral.targets import Denoiser

DEVIATIONS = 4
"""The number of standard deviations that chance allows the mean of noise; one of 16,000 means has more."""


def variations(model: TrainedModel, request: Request, image: Any) -> Process:
    """Decide how variations of an image are sampled, of a request with its `strength`.

    Raises:
        InputError: If the model cannot do this.
    """
    spec, schedule, strength = model.spec, model.denoiser.schedule, settings_of(request).strength
    place = window_of(spec, settings_of(request), image)
    x0 = spec.encode(read_images(spec, image, "image") if place is None else place.items)
    items, sampler = items_of(model, request, EDIT_SAMPLES * len(x0)), sampler_of(model, request)
    conditioning = conditioning_of(model, request)
    t = time_at_strength(schedule, STRENGTH if strength is None else strength)
    times = times_from(sampler, schedule, t)
    a, b = schedule.at(t)

    def steps(positions: Sequence[int]) -> Iterator[Step]:
        batch = [items[position] for position in positions]
        z = noise(model, batch, request.seed, conditioning) / schedule.prior_std
        start = schedule.add_noise(x0[[position % len(x0) for position in positions]], t, z)
        return states(model, batch, sampler, request.seed, conditioning, Route(start, times))

    edit = Process(
        model,
        request,
        items,
        sampler,
        times,
        steps,
        decode=spec.decode,
        finish=spec.decode,
        method=f"noise to t = {t} of {schedule.steps}",
        reason=f"What is hidden by noise of {b:.2g} beside a signal of {a:.2g} is sampled anew.",
        inputs=len(x0),
        evaluations=evaluations(sampler, schedule, times),
    )
    return edit if place is None else place.put_back(edit)


def inversion(model: TrainedModel, request: Request, image: Any) -> Tensor:
    """Find the noise that an image is sampled from.

    Raises:
        InputError: If the model cannot do this.
    """
    x0 = model.spec.encode(read_images(model.spec, image, "image"))
    estimates = continuation(model, range(len(x0)), request.seed, conditioning_of(model, request))
    return _inverted(model, x0, flow_sampler(model, request), estimates)


def reconstruction(model: TrainedModel, request: Request, x_T: Tensor) -> Process:
    """Decide how items are sampled from given noise.

    Raises:
        InputError: If the model cannot do this.
    """
    spec = model.spec
    if x_T.shape[1:] != spec.x_shape or not x_T.is_floating_point():
        raise InputError(f"x_T must hold floats (n, {', '.join(map(str, spec.x_shape))}), not {list(x_T.shape)}")
    sampler = flow_sampler(model, request)
    conditioning = conditioning_of(model, request).wrapped(_flow)
    times = sampler.times(model.denoiser.schedule)

    def run(positions: Sequence[int]) -> Iterator[Step]:
        return states(model, positions, sampler, request.seed, conditioning, Route(x_T[list(positions)]))

    return Process(
        model,
        request,
        range(len(x_T)),
        sampler,
        times,
        run,
        decode=spec.decode,
        finish=spec.decode,
        notes=_casts(model, x_T),
        warnings=tuple(conditioning.notes()),
        method="flow",
        reason="The noise was given.",
        inputs=len(x_T),
        evaluations=evaluations(sampler, model.denoiser.schedule, times),
    )


def interpolation(model: TrainedModel, request: Request, image: Any = None, other: Any = None) -> Process:
    """Decide how a walk between two images is sampled, of a request with its time `t`.

    Raises:
        InputError: If the model cannot do this.
    """
    spec, t = model.spec, settings_of(request).t
    n = WALK if request.n is None else request.n
    whole(n, 2, math.inf, f"a walk has two ends: give {option('n')} of at least 2, not {n}")
    if (image is None) != (other is None):
        raise InputError("a walk is between two images: give both, or none to walk between conditions alone")
    weights = torch.linspace(0, 1, n, dtype=torch.float64)
    conditioning = conditioning_of(model, request)
    ends = _ends(conditioning, n)
    (item,) = items_of(model, dataclasses.replace(request, n=1), 1)
    ends_given = ((image, "a"), (other, "b"))
    images = [None if one is None else _single(read_images(spec, one, name)) for one, name in ends_given]
    x_T = noise(model, [item], request.seed, conditioning)
    x0 = [spec.encode(one[None]) for one in images if one is not None]
    along_flow = t is None and image is not None
    if image is None:
        begin = _at_one_noise(model, request, x_T)
    elif t is None:
        begin = _inverted_ends(model, request, x0, ends, weights)
    else:
        begin = _noisy(model, request, x0, x_T, weights)

    def steps(positions: Sequence[int]) -> Iterator[Step]:
        condition, others = (_given_inputs(end, positions, model) for end in ends)
        differing = {
            name: on_device(value, model.device)
            for name, value in others.items()
            if not torch.equal(value, condition[name])
        }

        def wrap(denoiser: Denoiser) -> Denoiser:
            denoiser = Blend(denoiser, differing, weights[list(positions)]) if differing else denoiser
            return _flow(denoiser) if along_flow else denoiser

        label = NONE if spec.classes else None
        of_rows = dataclasses.replace(conditioning.wrapped(wrap), label=label, values={}, rows=condition)
        route = Route(begin.states.expand(n, *spec.x_shape)[list(positions)], begin.times)
        return states(model, [item] * len(positions), begin.sampler, request.seed, of_rows, route)

    visited = begin.sampler.times(model.denoiser.schedule) if begin.times is None else begin.times
    return Process(
        model,
        request,
        range(n),
        begin.sampler,
        visited,
        steps,
        decode=spec.decode,
        finish=partial(_between, spec, images),
        notes=begin.notes,
        method=begin.method,
        reason=begin.reason,
        inputs=n,
        evaluations=evaluations(begin.sampler, model.denoiser.schedule, visited),
    )


class _Beginning(NamedTuple):
    """The states at which the samples of a walk begin, and how that is said."""

    method: str
    reason: str
    sampler: Sampler
    states: Tensor
    times: Sequence[float] | None = None
    notes: tuple[str, ...] = ()


def _at_one_noise(model: TrainedModel, request: Request, x_T: Tensor) -> _Beginning:
    """The noise at which all samples begin that differ by their conditions alone."""
    if settings_of(request).t is not None:
        raise InputError(f"{option('t')} is the noise that is added to images: give two, or leave it out")
    reason = "All samples begin at the same noise; only what they are conditioned on differs."
    return _Beginning("conditions", reason, sampler_of(model, request), x_T)


def _inverted_ends(
    model: TrainedModel, request: Request, x0: Sequence[Tensor], ends: Sequence[Conditioning], weights: Tensor
) -> _Beginning:
    """The noise between that which the images at the ends are sampled from along the probability flow."""
    sampler, n = flow_sampler(model, request), len(weights)
    found = []
    for one, end, place in zip(x0, ends, (0, n - 1), strict=True):
        found.append(_inverted(model, one, sampler, continuation(model, [place], request.seed, end)))
    first, last = found
    between = slerp(first.expand(n, *first.shape[1:]), last.expand(n, *last.shape[1:]), weights)
    reason = "The noise that each image is sampled from was found along the probability flow."
    return _Beginning("flow", reason, sampler, between, notes=_casts(model, torch.cat([first, last])))


def _noisy(model: TrainedModel, request: Request, x0: Sequence[Tensor], x_T: Tensor, weights: Tensor) -> _Beginning:
    """The states between the images at the ends with the same noise, at the time t of the request."""
    schedule, t, sampler = model.denoiser.schedule, settings_of(request).t, sampler_of(model, request)
    assert t is not None
    times = times_from(sampler, schedule, t)
    first, last = (schedule.add_noise(one, times[0], x_T / schedule.prior_std) for one in x0)
    between = torch.lerp(first, last, weights.float().reshape(len(weights), *[1] * (x_T.ndim - 1)))
    reason = "Both images have the same noise added, and what lies between them is sampled from there."
    return _Beginning(f"noise to t = {t:g} of {schedule.steps}", reason, sampler, between, times)


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


def _given_inputs(end: Conditioning, positions: Sequence[int], model: TrainedModel) -> dict[str, Tensor]:
    """What a network gets at some places of a walk, without what is absent, on the CPU."""
    arguments = {"labels", *map(argument_name, end.names(model.spec))}
    inputs = end.inputs(model.spec, positions, torch.device("cpu"))
    return {name: value for name, value in inputs.items() if name in arguments}


def _ends(conditioning: Conditioning, n: int) -> tuple[Conditioning, Conditioning]:
    """What the two ends of a walk of n samples are conditioned on. Values that lie between two are the same in both.

    Raises:
        InputError: If a condition has more than two values, or two that have nothing between them.
    """
    label, values = conditioning.label, conditioning.values
    pairs: dict[str, tuple[ConditionValues, ConditionValues]] = {}
    for name, value in values.items():
        first, last = (dataclasses.replace(value, rows=value.rows[[i]], names=(value.names[i],)) for i in (0, -1))
        _check_ends(name, len(value.rows))
        weights = torch.linspace(0, 1, n, dtype=torch.float64)
        if len(value.rows) == 2 and (rows := value.kind.between(name, first.rows, last.rows, weights)) is not None:
            first = last = dataclasses.replace(value, rows=rows, names=("",) * n)
        pairs[name] = (first, last)
    labels = [None] if label is None else list(separate(label))
    _check_ends(LABEL, len(labels))
    one, other = ({name: pair[end] for name, pair in pairs.items()} for end in (0, 1))
    first_end = dataclasses.replace(conditioning, label=labels[0], values=one)
    return first_end, dataclasses.replace(conditioning, label=labels[-1], values=other)


def _check_ends(name: str, count: int) -> None:
    if count > 2:
        raise InputError(f"{name} has {count} values: give one, or two for the two ends of the walk")


def _single(images: Tensor) -> Tensor:
    """The only image. Raises InputError if there are several."""
    if len(images) != 1:
        raise InputError(f"a walk starts and ends at one image, but {len(images)} are given for one end: give one")
    return images[0]


def _flow(denoiser: Denoiser) -> Denoiser:
    """The denoiser whose probability flow is followed both ways."""
    return Skip(Clipped(denoiser, 1.0))


def _inverted(model: TrainedModel, x0: Tensor, sampler: Sampler, estimates: Continuation) -> Tensor:
    """The noise that encoded items are sampled from, on the CPU."""
    return invert(_flow(estimates.denoiser), x0.to(model.device), sampler, **estimates.condition).cpu()
