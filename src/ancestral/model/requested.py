"""From a request to what makes its samples: the models with the values of their conditions, guidance and samplers."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ancestral import __version__
from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Condition
from ancestral.config.request import ImageRef, Label, Objects, Request
from ancestral.config.run_files import CONDITIONS
from ancestral.data.spec import DataSpec
from ancestral.guidance import NO_CLASS
from ancestral.model.building import sampler_name
from ancestral.model.condition_values import NONE, ConditionValues, read_values, separate
from ancestral.model.enlarged import enlarged
from ancestral.model.guided_model import Guidance, check_guidance
from ancestral.model.sample_conditioning import Conditioning, label_tensor
from ancestral.model.stages import Branch, Stage, condition_for, with_values
from ancestral.model.trained_model import TrainedModel
from ancestral.samplers import Sampler

DEFAULT_SAMPLES = 64
"""Default number of samples."""


def check_model(request: Request, digest: str) -> None:
    """Raise InputError if a request that was read is one of another model; grids of training are of none."""
    if request.model != digest and request.step is None:
        this = f"this one's is {digest[:12]}" if digest else "this one is in no file"
        raise InputError(
            f"{request.source} was made by another model: the SHA-256 of its file is {request.model[:12]}, {this}"
        )


def stages_of(
    models: Sequence[TrainedModel], request: Request, rows: Mapping[str, Tensor] | None = None
) -> list[Stage]:
    """Return the stages that make the samples of a request.

    Args:
        models: The model, and those that follow it in a cascade.
        request: The request, with its objects.
        rows: What else the first model is given, by the names of arguments of its network.

    Raises:
        InputError: If the models cannot do this, or an image or a model is not that of the request.
    """
    own, *followers = models
    plain = request.size is None and request.seamless is None
    first, tiled = (own, None) if plain else enlarged(own, request)
    weak = request.objects.weak
    check_are_models([*followers, *([] if weak is None else [weak])])
    check_followers(request, [one.name for one in followers], [one.digest for one in followers])
    stages = [Stage(first, "", _sampler(first, request))]
    for model in followers:
        condition, name = condition_for(stages[-1].model, model), request.then.get(model.digest)
        stages.append(Stage(model, condition, model.sampler(name) if name else _sampler(model, request)))
    check_avoided(request, {name: kind for stage in stages for name, kind in stage.model.spec.conditions.items()})
    stages = [
        dataclasses.replace(stage, conditioning=with_settings(stage.conditioning, request, stage.model.spec))
        for stage in with_values(stages, request.label, user_values(request))
    ]
    check_images(request, values_of(stages))
    if (request.parent is None) != (request.at is None):
        raise InputError(f"{request.source} has a picture to branch without the number of its state, or the other way")
    if request.weak is not None and (weak is None or request.weak != weak.digest):
        raise InputError(
            f"these samples were guided by the model whose SHA-256 is {request.weak[:12]}: {option('weak')} names that "
            "one"
        )
    stages = [_guided(stage, stages, rows or {}) for stage in stages]
    if tiled is not None:
        stages[0] = dataclasses.replace(stages[0], conditioning=stages[0].conditioning.wrapped(tiled))
    if request.parent is not None and request.at is not None:
        stages[0] = _branched(stages[0], own, request.parent, request)
    return stages


def check_are_models(models: Sequence[Any]) -> None:
    """Raise InputError for what is no model."""
    for model in models:
        if not isinstance(getattr(model, "spec", None), DataSpec):
            raise InputError(f"a model cannot be {shown(model)}: give one as ancestral.load returns it")


def recipe_of(request: Request, stages: Sequence[Stage], **changes: Any) -> Request:
    """Return a request with what its JSON names models, classes, images and samplers by.

    Args:
        request: The request.
        stages: Its stages.
        changes: Further fields.
    """
    values, weak = values_of(stages), request.objects.weak
    labelled = labelled_stage(stages)
    label = labelled.conditioning.label
    return dataclasses.replace(
        request,
        model=stages[0].model.digest if all(stage.model.digest for stage in stages) else "",
        version=__version__,
        label=None if label is None else class_names(labelled.model, label),
        given={name: request.given.get(name, value.refs) for name, value in values.items()},
        avoid={name: value.names for stage in stages for name, value in stage.conditioning.guidance.avoid.items()},
        weak=None if weak is None else weak.digest,
        then={stage.model.digest: sampler_name(stage.sampler) for stage in stages[1:]},
        step=None,
        run=None,
        **changes,
    )


def labelled_stage(stages: Sequence[Stage]) -> Stage:
    """Return the stage whose classes the labels are: the first that has some."""
    return next((stage for stage in stages if stage.model.spec.classes), stages[0])


def with_settings(conditioning: Conditioning, request: Request, spec: DataSpec) -> Conditioning:
    """Return what items are conditioned on with the settings of a request: of samples, branches, cascades and edits."""
    low, high = request.guidance_interval or Guidance.interval
    guidance = Guidance(
        request.guidance,
        (low, high),
        request.guidance_rescale or 0.0,
        request.objects.weak,
        values_to_avoid(spec, request),
    )
    return dataclasses.replace(conditioning, guidance=guidance)


def check_avoided(request: Request, kinds: Mapping[str, Condition]) -> None:
    """Raise InputError if guidance is to lead away from a value of a condition that there is not, or from an image."""
    for name in request.avoided:
        if name not in kinds:
            has = ", ".join(kinds) or "none"
            raise InputError(f"{option('avoid')} names {shown(name)}, and the conditions of the model are: {has}")
        if kinds[name].on_grid:
            raise InputError(f"{option('avoid')} names the image {name}: name a text, a class or numbers")


def check_scale(request: Request) -> None:
    """Raise InputError if guidance is to lead away from a value, and has no scale; cells of a sweep may have none."""
    scale, swept = request.guidance, {name.partition(".")[0] for name in request.sweep or ()}
    for name in request.avoided:
        if (scale.get(name, 1) if isinstance(scale, Mapping) else scale) == 1 and "guidance" not in swept:
            raise InputError(
                f"{option('avoid', f'{name}=...')} has no effect without a scale of guidance: add "
                f"{option('guidance', f'{name}=3')}, or leave it out"
            )


def values_to_avoid(spec: DataSpec, request: Request) -> dict[str, ConditionValues]:
    """Return the values that guidance leads away from, of the conditions that a model has.

    Raises:
        InputError: If the model cannot have such a value.
    """
    return read_values(spec, {name: value for name, value in request.avoided.items() if name in spec.conditions})


def user_values(request: Request) -> dict[str, Any]:
    """Return the values of the conditions of a request besides its label, as a user writes them.

    Raises:
        InputError: If an image of a request that was read is not given again.
    """
    values = dict(request.objects.given)
    for name, refs in request.given.items():
        if name in values:
            continue
        images = [ref.name for ref in refs if isinstance(ref, ImageRef)]
        if images:
            files = ", ".join(images[:3]) + ", ..." * (len(images) > 3)
            saved = Path(request.source).parent / CONDITIONS  # of the previews of a run
            place = saved if request.step is not None and saved.exists() else "..."
            raise InputError(
                f"{request.source} was conditioned on the image {name} ({files}): give it again, "
                f"{option('given', f'{name}={place}')}"
            )
        values[name] = list(refs)
    return values


def check_images(request: Request, values: Mapping[str, ConditionValues]) -> None:
    """Raise InputError if images that are given again are not those of the request."""
    for name, refs in request.given.items():
        if name not in values or not values[name].kind.on_grid:
            continue
        old, new = ([ref.digest for ref in each if isinstance(ref, ImageRef)] for each in (refs, values[name].refs))
        if old != new:
            others = f"{getattr(refs[0], 'name', refs[0])}{' and others' * (len(refs) > 1)}"
            raise InputError(f"{request.source} was conditioned on another image {name} ({others}): give that one")


def values_of(stages: Sequence[Stage]) -> dict[str, ConditionValues]:
    """Return the values of the conditions besides the label, of each in the first model that has it."""
    return {name: value for stage in reversed(stages) for name, value in stage.conditioning.values.items()}


def count_of(request: Request, stages: Sequence[Stage]) -> int:
    """Return the number of samples of a request: its own, or the largest number of values of a condition, or 64."""
    if request.n is not None:
        return request.n
    most = max((len(value.rows) for value in values_of(stages).values()), default=1)
    return DEFAULT_SAMPLES if most == 1 else most


def class_names(model: TrainedModel, label: Label) -> tuple[str, ...]:
    """Return the names of the classes that labels are.

    Raises:
        InputError: If the model has no such class.
    """
    numbers = label_tensor(model.spec, range(len(separate(label))), label)
    assert numbers is not None  # a model without classes has refused the label
    return tuple(NONE if number == NO_CLASS else model.spec.classes[number] for number in numbers.tolist())


def check_followers(request: Request, names: Sequence[str], digests: Sequence[str] = ()) -> None:
    """Raise InputError if a request that was read names other models that follow, or another number of them.

    Args:
        request: The request.
        names: What messages call the models that are given.
        digests: The SHA-256 of their files, where they are known.
    """
    wanted = " ".join(digest[:12] for digest in request.then)
    if request.then and len(names) != len(request.then):
        raise InputError(
            f"{request.source} was made by further models, whose SHA-256 are {wanted}: {option('then')} names them"
        )
    for name, digest in zip(names, digests, strict=False):
        if request.then and digest not in request.then:
            raise InputError(f"{request.source} was made by further models whose SHA-256 are {wanted}, not by {name}")


def _sampler(model: TrainedModel, request: Request) -> Sampler:
    objects = request.objects
    if request.edit is not None:  # which has a sampler of its own
        return model.sampler()
    options = {"steps": request.steps, **objects.sampler_options}
    return model.sampler(objects.sampler or request.sampler or None, **options)


def _guided(stage: Stage, stages: Sequence[Stage], rows: Mapping[str, Tensor]) -> Stage:
    """The stage with its guidance: one scale is that of the first, those by name are of all that have them.

    Raises:
        InputError: If a scale has no effect, or the model cannot be guided so.
    """
    guidance, first, own = stage.conditioning.guidance, stage is stages[0], stage.model.spec.conditions
    if not stage.conditioning.guided:
        return stage
    scale = guidance.scale
    if isinstance(scale, Mapping):
        known = {name for each in stages for name in each.model.spec.conditions}
        scale = {name: value for name, value in scale.items() if name in own or (first and name not in known)}
    elif not first:
        scale = 1.0
    avoid = guidance.avoid if first or isinstance(scale, Mapping) else {}
    guidance = dataclasses.replace(guidance, scale=scale, weak=guidance.weak if first else None, avoid=avoid)
    conditioning = dataclasses.replace(stage.conditioning, guidance=guidance)
    names = dataclasses.replace(conditioning, rows=rows if first else {}).names(stage.model.spec)
    names += [] if first else [stage.condition]
    check_guidance(stage.model, guidance, names)
    for name, value in scale.items() if isinstance(scale, Mapping) else ():
        if name in own and name not in names and value != 1:
            raise InputError(
                f"{option('guidance', f'{name}={value:g}')} has no effect, since {name} is not given: give it "
                f"({option('given', f'{name}=VALUE')}), or leave this scale out"
            )
    return dataclasses.replace(stage, conditioning=conditioning)


def _branched(stage: Stage, model: TrainedModel, parent: Request, request: Request) -> Stage:
    """The stage that goes on from the state `at` of the trajectory of a request, whose images are given again.

    `model` is that of the stage, in its own sides.

    Raises:
        InputError: If there is no such state, or an image or the weaker model is not that of the parent.
    """
    images = {name for name, refs in parent.given.items() if isinstance(refs[0], ImageRef)}
    given = {name: value for name, value in request.objects.given.items() if name in images}
    objects = Objects(given=given, weak=request.objects.weak if parent.weak else None)
    (before,) = stages_of([model], dataclasses.replace(parent, source=request.source, objects=objects))
    last, at = len(before.times) - 2, request.at
    if at is None or not 0 <= at <= last:
        raise InputError(
            f"{option('at', at)} is no state of {request.source} that steps follow: give a number from 0 to {last}"
        )
    return dataclasses.replace(stage, branch=Branch(before, parent.seed, at))
