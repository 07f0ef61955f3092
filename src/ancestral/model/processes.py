"""A request becomes a process: of samples, of a branch of them, of a cascade, or of an edit."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ancestral import __version__
from ancestral.base.arguments import shown
from ancestral.base.errors import InputError, whole
from ancestral.base.options import option
from ancestral.conditions import rolling
from ancestral.config.request import Request
from ancestral.data.spec import DataSpec
from ancestral.model.advice import answer_notes, coupling_notes, differences, guidance_notes, sampler_notes
from ancestral.model.building import sampler_name
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.editing.measurements import inpainting, restoration
from ancestral.model.editing.walks import interpolation, variations
from ancestral.model.enlarged import tile_note
from ancestral.model.image_values import beyond_limits, read_images
from ancestral.model.process import Process
from ancestral.model.requested import (
    check_model,
    count_of,
    labelled_stage,
    recipe_of,
    stages_of,
)
from ancestral.model.stages import Stage
from ancestral.model.trained_model import TrainedModel
from ancestral.randomness import further_seed
from ancestral.samplers import Recording, Step

Rows: TypeAlias = Callable[[Sequence[int]], Mapping[str, Tensor]]
"""What else a network is given for samples at some places, a row for each, by the names of its arguments."""
EDITS: Mapping[str, Callable[..., Process]] = {
    "inpaint": inpainting,
    "restore": restoration,
    "vary": variations,
    "interpolate": interpolation,
}
"""What decides an edit, by the name of its task."""
MEASURED = ("inpaint", "restore")
"""The tasks that have a method."""


def process_of(model: TrainedModel, request: Request, condition: Mapping[str, Tensor] | Rows | None = None) -> Process:
    """Return the process of a request without a sweep, also of the cell of one, whose scale of guidance may be 1.

    Args:
        model: The model.
        request: The request.
        condition: Further arguments of a custom network, by name: tensors with one row
            for all samples or one for each, or a function of places of samples that returns a row for each.

    Raises:
        InputError: If the model cannot do this, the request is one of another model, or an image that it names is not
            given again.
    """
    if not isinstance(request, Request):
        raise InputError(f"a request cannot be {shown(request)}: Request.read(file) reads that of a picture")
    if request.sweep is not None:
        raise InputError("this request is a table, which has a process for each cell")
    if request.model:
        check_model(request, model.digest)
    process = _sampling(model, request, condition or {}) if request.edit is None else _editing(model, request)
    notes = process.notes
    if request.version != __version__ or request.run is not None or request.step is not None:
        notes += tuple(differences(request, model))
    return replace(process, notes=tuple(dict.fromkeys(notes)))


def _sampling(model: TrainedModel, request: Request, condition: Mapping[str, Tensor] | Rows) -> Process:
    """The process of samples, of a branch of them, or of a cascade."""
    models = [model, *request.objects.then]
    stages = stages_of(models, request, condition([0]) if callable(condition) else condition)
    items = model.items(count_of(request, stages), request.indices)
    models[-1].items(len(items), request.indices)
    rows = condition if callable(condition) else partial(_at, _rows(condition, len(items)))
    sampler = sampler_name(stages[0].sampler)
    recipe = recipe_of(request, stages, n=len(items), sampler=sampler, steps=None)
    process = _of_stages(stages, items, recipe, rows)
    if request.rollout is not None:
        process = _rolling(stages, process, request.rollout)
    tiles = [] if request.size is None else tile_note(model, stages[0].model)
    return replace(
        process,
        notes=(*tiles, *(note for stage in stages for note in _notes_of(stage))),
        warnings=tuple(note for stage in stages for note in (*answer_notes(stage), *stage.conditioning.notes())),
        labelled=labelled_stage(stages).model,
    )


def _of_stages(stages: Sequence[Stage], items: Sequence[int], recipe: Request, rows: Rows) -> Process:
    """The process of the last of some stages, each of which goes on from samples of the one before."""
    *earlier, stage = stages
    before = _of_stages(earlier, items, recipe, rows) if earlier else None
    spec = stage.model.spec
    sides = f" of {'x'.join(map(str, spec.shape[1:]))}" if recipe.then else ""
    return Process(
        stage.model,
        recipe,
        items,
        stage.sampler,
        stage.times,
        partial(_steps, stage, items, recipe.seed, _nothing if earlier else rows),
        decode=spec.decode,
        task=f"{len(items)} image{'s' * (len(items) > 1)}{sides}",
        values={**stage.conditioning.values, **(before.values if before is not None else {})},
        before=before,
        following=partial(_followed, stage) if earlier else None,
    )


def _followed(stage: Stage, process: Process, recording: Recording) -> Process:
    """A process of a stage that goes on from samples of the process before."""
    assert process.before is not None
    stage = stage.given_samples(recording.samples, process.items)
    values = {**stage.conditioning.values, **process.before.given(recording).values}
    steps = partial(_steps, stage, process.items, process.recipe.seed, _nothing)
    return replace(process, steps=steps, values=values)


def _rolling(stages: Sequence[Stage], process: Process, count: int) -> Process:
    """The process of several states in time, each given those before it.

    Raises:
        InputError: If the model has no states before as a condition, or the first ones are not given.
    """
    stage = stages[-1]
    whole(count, 1, math.inf, f"the number of states of {option('rollout', count)} must be at least 1")
    name, _ = rolling({} if len(stages) > 1 else stage.model.spec.further, count)
    if name not in stage.conditioning.values:
        raise InputError(
            f"{option('rollout', count)} begins with states: give them, {option('given', f'{name}=FILE.nc')}"
        )
    stage.model.items(count * process.count, None)
    following = partial(_advanced, replace(stage, condition=name), 1)
    return replace(process, rollout=count, following=following)


def _advanced(stage: Stage, number: int, process: Process, recording: Recording) -> Process:
    """The process of a further state of samples in time, by its number from 0."""
    before = process.values[stage.condition].of(process.items)
    states = torch.cat([recording.samples, before[:, : before.shape[1] - recording.samples.shape[1]]], 1)
    given = stage.given_samples(states, process.items)
    seed = further_seed(process.recipe.seed, number)
    return replace(
        process,
        steps=partial(_steps, given, process.items, seed, _nothing),
        values={**process.values, stage.condition: given.conditioning.values[stage.condition]},
        following=partial(_advanced, stage, number + 1),
    )


def _steps(stage: Stage, items: Sequence[int], seed: int, rows: Rows, positions: Sequence[int]) -> Iterator[Step]:
    """The steps of samples at some places."""
    return stage.trajectory([items[position] for position in positions], seed, condition=rows(positions))


def _nothing(positions: Sequence[int]) -> dict[str, Tensor]:
    return {}


def _at(rows: Mapping[str, Tensor], positions: Sequence[int]) -> dict[str, Tensor]:
    return {name: value[list(positions)] for name, value in rows.items()}


def _rows(condition: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Expand each condition to one row for each of `count` items. Raises InputError where that is not possible."""
    for name, value in condition.items():
        if name == "labels":
            raise InputError("classes are given as label=..., not as a condition")
        if not isinstance(value, Tensor) or not value.ndim or len(value) not in (1, count):
            what = f"the shape {list(value.shape)}" if isinstance(value, Tensor) else shown(value)
            raise InputError(f"condition {name!r} must be a tensor with 1 or {count} rows, not {what}")
    return {name: value.expand(count, *value.shape[1:]) for name, value in condition.items()}


def _notes_of(stage: Stage) -> tuple[str, ...]:
    config = stage.model.config
    suited = not config.distil.method and config.train.coupling == "independent" and config.train.energy is None
    of_sampler = [] if suited else sampler_notes(stage)
    return (*of_sampler, *(guidance_notes(stage) if stage.conditioning.guided else ()), *stage.conditioning.notes())


# -- edits -------------------------------------------------------------------------------------------------------------


def _editing(model: TrainedModel, request: Request) -> Process:
    """The process of an edit: what is edited are the arguments of the objects of the request."""
    for name in ("rollout", "size", "seamless"):
        if (value := getattr(request, name)) is not None:
            raise InputError(f"{option(name, value)} is for samples: leave it out of an edit")
    settings, arguments, own = settings_of(request), request.objects.arguments, request.objects.sampler
    (stage,) = stages_of([model], request)
    process = _edit(model, request)
    method = process.method if settings.task in MEASURED else None
    recipe = recipe_of(
        request,
        [stage],
        n=process.count,
        sampler=request.sampler if own is None else sampler_name(own),
        edit=replace(settings, method=method),
    )
    images = [] if settings.task == "restore" else [arguments.get(name) for name in ("image", "other")]
    beyond = [note for image in images if image is not None for note in beyond_data(model.spec, image)]
    advice = [*coupling_notes(model), *guidance_notes(stage), *stage.conditioning.notes()]
    return replace(
        process,
        recipe=recipe,
        task=f"{process.count} sample{'s' * (process.count > 1)}",
        notes=(*process.notes, *(f"{note}." for note in beyond), *advice),
        warnings=(*beyond, *stage.conditioning.notes()),
        values=stage.conditioning.values,
        labelled=model,
    )


def _edit(model: TrainedModel, request: Request) -> Process:
    """The process of an edit by the name of its task.

    Raises:
        InputError: If the model cannot do this, or an image of a request that was read is not given again.
    """
    settings, arguments = settings_of(request), request.objects.arguments
    if missing := [name for name in settings.images if name not in arguments]:
        names = ", ".join(f"{name} ({settings.images[name].name})" for name in missing)
        raise InputError(f"{request.source} is an edit of {names}: give it again, request.replace({missing[0]}=...)")
    if settings.task not in EDITS:
        raise InputError(
            f"{request.source} is an edit of another kind, {shown(settings.task)}: give {', '.join(EDITS)}"
        )
    if model.config.train.energy is not None and settings.task not in MEASURED:
        raise InputError(
            f"this model knows no times between noise and answers, which {settings.task} needs: take a diffusion model"
        )
    try:
        inspect.signature(EDITS[settings.task]).bind(model, request, **arguments)
    except TypeError as error:
        raise InputError(f"{request.source} is an edit, {settings.task}, that cannot be made: {error}") from None
    return EDITS[settings.task](model, request, **arguments)


def beyond_data(spec: DataSpec, image: Any) -> list[str]:
    """Say if images of floats lie beyond the data of the model; of integers they cannot."""
    if spec.codec.level is not None:
        return []
    items = read_images(spec, image, "image", keep_size=True, gapped=spec.grid is not None)
    means = items.float().nanmean((0, *range(2, items.ndim)), keepdim=True)
    known = items.where(~items.isnan(), means.to(items.dtype))
    return beyond_limits(known, spec.codec.channel_limits, "The image")
