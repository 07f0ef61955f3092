"""Branches: a picture's trajectory up to one of its states, and from there on with other settings."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ancestral.conditions import Image
from ancestral.declarations import Sample
from ancestral.errors import InputError
from ancestral.model import Model
from ancestral.options import option
from ancestral.results.sampling_result import SamplingRecipe
from ancestral.samplers.loop import GaussianDenoiser
from ancestral.workflows import recipes
from ancestral.workflows.cascades import Branch, Stage, with_values

DEPTH = 16
"""The largest number of branches of branches."""


def read(options: Sample, digest: str) -> SamplingRecipe:
    """Return the recipe of the picture that is branched.

    Args:
        options: The options, of which `branch` names the picture.
        digest: The SHA-256 of the file of the model.

    Raises:
        InputError: If the picture cannot be branched, or an option does not apply.
    """
    file, at = options.branch, options.at
    if file is None or at is None:
        raise InputError(f"{option('branch')} and {option('at')} belong together: a picture and one of its states")
    for name in ("n", "like", "then"):
        if getattr(options, name) is not None:
            raise InputError(f"{option('branch')} goes on with the samples of {file}: leave {option(name)} out")
    recipe: SamplingRecipe = recipes.read(Path(file), options, digest, held=())
    if recipe.step is not None:
        raise InputError(f"{file} is a grid of training, whose weights are in no file: branch samples of the model")
    if recipe.then:
        raise InputError(f"{file} was made by several models, one after another: branch samples of one model")
    if recipe.at is not None and at < recipe.at:
        raise InputError(
            f"{file} is itself a branch, from state {recipe.at}: give {option('at')} of {recipe.at} or more, or branch "
            "the picture that it came from"
        )
    depth, parent = 1, recipe.parent
    while parent is not None:
        depth, parent = depth + 1, parent.parent
    if depth > DEPTH:
        raise InputError(f"{file} is the end of {depth - 1} branches, and there may be {DEPTH}: branch an earlier one")
    indices = range(recipe.n) if recipe.index is None else recipe.index
    if others := sorted(set(options.index or ()) - set(indices)):
        raise InputError(f"{option('index', others[0])} is none of the samples of {file}: leave it out, or choose some")
    return recipe


def completed(options: Sample, recipe: SamplingRecipe, model: Model) -> Sample:
    """Return the options with those of the recipe in the place of what was not given.

    Images stay those that the user gives.

    Raises:
        InputError: If an image of the recipe is not given.
    """
    given = recipes.by_name(options.given)
    values = {**recipes.given_again(recipe, [_bare(model)], _images_of(recipe, model, given), options.branch), **given}
    label = recipe.label if options.label is None else options.label
    if label is None and values and not recipe.given and model.spec.classes:
        label = model.spec.classes  # in turn, as before: beside other conditions none would be absent
    changes: dict[str, Any] = {
        name: getattr(recipe, name)
        for name in ("seed", "guidance", "guidance_interval", "guidance_rescale", "index")
        if getattr(options, name) is None
    }
    if options.sampler is None:
        changes["sampler"] = recipe.sampler
    n = None if options.index or recipe.index else recipe.n
    return dataclasses.replace(options, **{**changes, "n": n, "label": label, "given": values})


def branched(
    stage: Stage,
    recipe: SamplingRecipe,
    at: int,
    given: Mapping[str, Any],
    weak: Model | None,
    file: str | Path | None,
) -> Stage:
    """Return a stage that goes on from a state of a recipe's trajectory.

    Args:
        stage: The stage, with the settings from there on.
        recipe: The recipe.
        at: The number of the state.
        given: The values of the conditions that the user gives.
        weak: The weaker model that the user gives.
        file: The picture, for messages.

    Raises:
        InputError: If there is no such state, or an image or the weaker model is not that of the recipe.
    """
    model = stage.model
    values = recipes.given_again(recipe, [stage], _images_of(recipe, model, given), file)
    parent = dataclasses.replace(stage, sampler=model.sampler(recipe.sampler), branch=None)
    (parent,) = with_values([parent], recipe.label, values)
    recipes.check_images(recipe, [parent], file)
    if recipe.weak is not None:
        recipes.check_weak(recipe, weak)
    parent = recipes.with_guidance(parent, recipe, weak if recipe.weak else None, [parent])
    if recipe.parent is not None and recipe.at is not None:
        parent = branched(parent, recipe.parent, recipe.at, given, weak, file)
    last = len(parent.times) - 2
    if not 0 <= at <= last:
        raise InputError(f"{option('at', at)} is no state of {file} that steps follow: give a number from 0 to {last}")
    return dataclasses.replace(stage, branch=Branch(parent, recipe.seed, at))


def check_seed(options: Sample, stage: Stage) -> None:
    """Raise InputError if another seed has no effect, since the sampler draws no noise after the branch."""
    branch, schedule = stage.branch, stage.model.denoiser.schedule
    assert branch is not None
    if options.seed in (None, branch.seed):
        return
    drawn = False

    def noise(shape: torch.Size) -> torch.Tensor:
        nonlocal drawn
        drawn = True
        return torch.zeros(shape)

    x = torch.zeros(1, 1, dtype=torch.float64)
    for _ in stage.sampler.trajectory(GaussianDenoiser(schedule), x, stage.times[branch.at :], noise):
        if drawn:
            return
    if not drawn:
        name = type(stage.sampler).__name__
        raise InputError(
            f"{option('seed', options.seed)} has no effect: {name} draws no noise after state {branch.at}. Give a "
            f"sampler that does ({option('eta', 1)}, or {option('sampler', 'ddpm')}), or leave it out"
        )


def _bare(model: Model) -> Stage:
    """A stage of a model without settings."""
    return Stage(model, "", "", "", model.sampler())


def _images_of(recipe: SamplingRecipe, model: Model, given: Mapping[str, Any]) -> dict[str, Any]:
    """The images among the given values that a recipe has too."""
    kinds = model.spec.conditions
    return {name: value for name, value in given.items() if name in recipe.given and isinstance(kinds.get(name), Image)}
