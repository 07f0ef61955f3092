"""Requests of the options of `sample` and `edit`: of what is given, of a picture by `like`, or of a branch of one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ancestral.base import storage
from ancestral.base.arguments import is_digits
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config import CustomNetConfig
from ancestral.config.request import SAMPLER_OPTIONS, SETTINGS, EditRequest, ImageRef, Objects, Request
from ancestral.config.sweep_values import SweptValue, read_axes
from ancestral.declarations import Edit, Sample
from ancestral.model import Model, describe_file, find, load
from ancestral.model.process import Process
from ancestral.model.requested import check_are_models, check_followers, check_model, check_scale, class_names
from ancestral.model.trained_model import TrainedModel
from ancestral.samplers.loop import GaussianDenoiser
from ancestral.training.snapshot_models import load_snapshot

GIVEN_AGAIN = ("model", "version", "given", "weak", "then", "objects", "task", "images", "operator")
"""What a picture names by a hash or that is said again, of all that its request holds."""
MOST_BRANCHES = 16
"""The largest number of branches of branches."""


def by_name(given: Mapping[str, Any] | Sequence[str] | None, name: str = "given") -> dict[str, Any]:
    """Return the conditions by name; of words as in age=31 and low=small.png, several of a name are a list.

    Args:
        given: The conditions, or words.
        name: The option that holds them.

    Raises:
        InputError: If a word is not a name and a value.
    """
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    values: dict[str, list[str]] = {}
    for word in given:
        condition, equals, value = word.partition("=")
        if not (condition and equals and value):
            raise InputError(
                f"{option(name, word)}: give the name of a condition and its value, as in age=31, or none where it is "
                "absent"
            )
        values.setdefault(condition, []).append(value)
    return {condition: each[0] if len(each) == 1 else each for condition, each in values.items()}


def scale_of(guidance: float | Mapping[str, float] | Sequence[str] | None) -> float | dict[str, float]:
    """Return the scale of guidance, or one for each condition; of words as in 2, or label=2 low=1.

    Raises:
        InputError: If a word is no such scale.
    """
    if guidance is None:
        return 1.0
    if isinstance(guidance, Mapping):
        return dict(guidance)
    if isinstance(guidance, int | float):
        return guidance
    try:
        if len(guidance) == 1 and "=" not in guidance[0]:
            return float(guidance[0])
        pairs = [word.partition("=") for word in guidance]
        scales = {name: float(value) for name, _, value in pairs}
    except ValueError:
        words = " ".join(guidance)
        raise InputError(f"{option('guidance')} cannot be {words!r}: give a number, or one by name (label=2)") from None
    if len(scales) < len(pairs):
        words = " ".join(guidance)
        raise InputError(f"{option('guidance')} has two scales of one condition in {words!r}: give one of each")
    return scales


READERS: Mapping[str, Callable[[Any], Any]] = {
    "given": by_name,
    "avoid": partial(by_name, name="avoid"),
    "guidance": scale_of,
}
"""What reads settings that are written as words."""


def recipe_options() -> tuple[str, ...]:
    """Name the options that a picture holds."""
    fields = [one for kind in (Request, EditRequest) for one in dataclasses.fields(kind)]
    names = [one.metadata.get("key", one.name) for one in fields if one.name not in GIVEN_AGAIN]
    return (*names, *SAMPLER_OPTIONS, "branch", "by")


def of_options(options: Sample | Edit) -> Request:
    """Return the request of the user's options; its weaker model and those that follow are added when they are loaded.

    Raises:
        InputError: If an option cannot be read, or has no effect.
    """
    axes = swept_axes(options)
    guided = options.guidance is not None or "guidance" in {name.partition(".")[0] for name in axes or ()}
    for name in ("weak", "guidance_interval", "guidance_rescale"):
        if not guided and getattr(options, name) is not None:
            raise InputError(
                f"{option(name)} has no effect without a scale of guidance: add {option('guidance', 2)}, or leave it "
                "out"
            )
    interval = options.guidance_interval
    if interval is not None and len(interval) != 2:
        raise InputError(f"{option('guidance_interval')} takes two noise levels, the lowest and the highest")
    request = Request.of(**_given(options)).replace(sweep=axes)
    check_scale(request)
    return _with_sampler(request, options)


def swept_axes(options: Sample | Edit) -> dict[str, tuple[SweptValue, ...]] | None:
    """Return the values of what the options sweep, by name; None without a sweep.

    Raises:
        InputError: If one cannot be read, or is named twice, or there is a second one alone.
    """
    if options.sweep is None and options.by is None:
        return None
    if options.sweep is None:
        raise InputError(
            f"{option('by')} gives the rows of a table, whose columns {option('sweep', 'NAME=VALUES')} gives: add it"
        )
    columns, rows = read_axes(options.sweep), {} if options.by is None else read_axes(options.by)
    if columns.keys() & rows.keys():
        raise InputError(f"{option('sweep')} and {option('by')} name {', '.join(rows)} both: give another to one")
    return columns | rows


def _given(options: Sample | Edit) -> dict[str, Any]:
    """The settings of a request that are given, by the names of `Request.of`; models are loaded later."""
    values = {name: getattr(options, key, None) for name, key in SETTINGS.items() if name != "weak"}
    return {name: READERS.get(name, lambda value: value)(value) for name, value in values.items() if value is not None}


def _with_sampler(request: Request, options: Sample | Edit) -> Request:
    """The request with the options of its sampler that have names of their own."""
    further = {name: getattr(options, name, None) for name in SAMPLER_OPTIONS if name not in SETTINGS}
    return with_objects(request, sampler_options=further)


def like(options: Sample | Edit, digest: str) -> Request:
    """Return the request in the PNG that is made again, with the images that the user gives again.

    Args:
        options: The options, none of which may contradict it.
        digest: The SHA-256 of the file of the first model.

    Raises:
        InputError: If the file has no recipe, or one of another model, or an option contradicts it.
    """
    names = recipe_options()
    for one in dataclasses.fields(options):
        if one.name in names and getattr(options, one.name) is not None:
            raise InputError(
                f"{option('like')} makes the samples of {options.like} again; leave {option(one.name)} out"
            )
    request = Request.read(str(options.like))
    check_model(request, digest)
    return given_again(request, by_name(options.given))


def given_again(request: Request, given: Mapping[str, Any]) -> Request:
    """Return a request that was read with the images that it names, as the user gives them again.

    Raises:
        InputError: If what the request holds is given again, or what it does not have.
    """
    for name, refs in request.given.items():
        if name in given and not isinstance(refs[0], ImageRef):
            raise InputError(
                f"{option('like')} makes the samples of {request.source} again; leave {option('given', name)} out"
            )
    if further := given.keys() - request.given.keys():
        raise InputError(f"{request.source} was made without {', '.join(sorted(further))}: leave it out")
    return dataclasses.replace(request, objects=Objects(given=given))


def of_one(request: Request, model: TrainedModel, index: int) -> Request:
    """Return the request of one sample alone.

    Args:
        request: The request of all.
        model: The model whose classes the labels are.
        index: The index of the sample.
    """
    names = class_names(model, request.label or model.spec.classes) if model.spec.classes else None
    name = None if names is None else (names[index % len(names)],)
    given: dict[str, tuple[ImageRef | str, ...]] = {
        condition: (refs[index % len(refs)],) for condition, refs in request.given.items()
    }
    avoid: dict[str, tuple[str, ...]] = {
        condition: (texts[index % len(texts)],) for condition, texts in request.avoid.items()
    }
    return dataclasses.replace(request, n=1, indices=(index,), label=name, given=given, avoid=avoid, single=True)


# -- the models --------------------------------------------------------------------------------------------------------


def digest_at(model: Model | str | Path) -> str:
    """Return the SHA-256 of the file of a model, or of where one is; "" if it is in none."""
    return model.digest if isinstance(model, Model) else storage.sha256(find(model))


def loaded(options: Sample | Edit) -> Model:
    """Return the model of the options, loaded unless it is one."""
    model = options.model
    return model if isinstance(model, Model) else load(model, options.device, net=options.net)


def followers(options: Sample, request: Request | None) -> list[Model | str | Path]:
    """Return the models of a cascade behind the first.

    Raises:
        InputError: Unless they are as many as those of a request that is made again.
    """
    then = options.then
    several = [] if then is None else [then] if isinstance(then, Model | str | Path) else [*then]
    if request is not None and several and not request.then:
        raise InputError(f"{options.like} was made by one; leave {option('then')} out")
    if request is not None and len(several) != len(request.then):
        check_followers(request, ["..."] * len(several))
    return several


def follower(model: Model | str | Path, device: str, net: Any) -> Model:
    """Return a model that follows another.

    Args:
        model: The model, or where it is.
        device: The device for a model that is read.
        net: The custom network, for models that have one.

    Raises:
        InputError: If there is no such model.
    """
    if not isinstance(model, str | Path):
        check_are_models([model])
        return model
    own = isinstance(describe_file(find(model))[0].net, CustomNetConfig)
    return load(model, device, net=net if own else None)


def with_objects(request: Request, **objects: Any) -> Request:
    """Return a request with parts that memory alone holds, by the names of `Objects`."""
    return dataclasses.replace(request, objects=dataclasses.replace(request.objects, **objects))


def with_weak(request: Request, options: Sample | Edit, model: TrainedModel) -> Request:
    """Return the request with the weaker model of autoguidance: a number is the step of a snapshot of the run.

    Raises:
        InputError: If there is none, or the request that was read was made with another.
    """
    weak = options.weak
    if isinstance(weak, int) or (isinstance(weak, str) and is_digits(weak)):
        assert isinstance(model, Model)  # as all that are loaded
        weak = load_snapshot(model, int(weak))
    elif weak is not None and not isinstance(weak, Model):
        weak = load(weak, options.device, net=options.net)
    if options.like is not None and request.weak is None and weak is not None:  # of another one `stages_of` says so
        raise InputError(f"these samples were guided by no weaker model: {option('weak')} names that one")
    return with_objects(request, weak=weak)


# -- branches ----------------------------------------------------------------------------------------------------------


def parent_of(options: Sample, digest: str) -> Request:
    """Return the request of the picture that is branched.

    Args:
        options: The options, of which `branch` names the picture.
        digest: The SHA-256 of the file of the model.

    Raises:
        InputError: If the picture cannot be branched, or an option does not apply.
    """
    file, at = options.branch, options.at
    if file is None or at is None:
        raise InputError(
            f"{option('branch')} and {option('at')} belong together: give a picture and the number of one of its states"
        )
    for one in dataclasses.fields(options):
        if not one.metadata.get("branches", True) and getattr(options, one.name) is not None:
            raise InputError(f"{option('branch')} goes on with the samples of {file}: leave {option(one.name)} out")
    request = Request.read(file)
    check_model(request, digest)
    if request.step is not None:
        raise InputError(f"{file} is a grid of training, whose weights are in no file: branch samples of the model")
    if request.then:
        raise InputError(f"{file} was made by several models, one after another: branch samples of one model")
    if request.edit is not None:
        raise InputError(f"{file} is an edit, and has no states to branch from: branch samples of the model")
    if request.at is not None and at < request.at:
        raise InputError(
            f"{file} is itself a branch, from state {request.at}: give {option('at')} of {request.at} or more, or "
            "branch the picture that it came from"
        )
    depth, parent = 1, request.parent
    while parent is not None:
        depth, parent = depth + 1, parent.parent
    if depth > MOST_BRANCHES:
        raise InputError(
            f"{file} is the end of {depth - 1} branches, and there may be {MOST_BRANCHES}: branch an earlier one"
        )
    indices = range(request.n or 0) if request.indices is None else request.indices
    if others := sorted(index for index in options.index or () if index not in indices):
        raise InputError(f"{option('index', others[0])} is none of the samples of {file}: leave it out, or choose some")
    return request


def branch_of(parent: Request, options: Sample, classes: Sequence[str]) -> Request:
    """Return the request of options with those of a picture's in the place of what was not given.

    Args:
        parent: The request of the picture.
        options: The options.
        classes: The classes of the model.
    """
    given = by_name(options.given)
    label = parent.label if options.label is None else options.label
    if label is None and given and not parent.given:
        label = classes or None  # in turn, as before: beside other conditions none would be absent
    settings = {**_given(options), "given": given, "label": label}
    return _with_sampler(parent.replace(**settings, at=options.at, parent=parent), options)


def check_seed(options: Sample, process: Process) -> None:
    """Raise InputError if another seed has no effect, since the sampler draws no noise after the branch."""
    parent, at, schedule = process.recipe.parent, process.recipe.at, process.model.denoiser.schedule
    assert parent is not None
    if options.seed in (None, parent.seed):
        return
    drawn = False

    def noise(shape: torch.Size) -> torch.Tensor:
        nonlocal drawn
        drawn = True
        return torch.zeros(shape)

    x = torch.zeros(1, 1, dtype=torch.float64)
    for _ in process.sampler.trajectory(GaussianDenoiser(schedule), x, process.times[at:], noise):
        if drawn:
            return
    name = type(process.sampler).__name__
    raise InputError(
        f"{option('seed', options.seed)} has no effect: {name} draws no noise after state {at}. Give a "
        f"sampler that does ({option('eta', 1)}, or {option('sampler', 'ddpm')}), or leave it out"
    )


def snapshot_notes(options: Sample | Edit, weak: TrainedModel | None) -> list[str]:
    """Say which snapshot the weaker model is, if it is one of another step than that which was given."""
    number = str(options.weak)
    if weak is None or not is_digits(number) or int(number) == weak.step:
        return []
    return [f"the weaker model is the run at step {weak.step:,}, the nearest of its snapshots"]
