"""Recipes of samples: made of the user's options, written into PNGs, and read to make the same samples again."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ancestral import __version__, storage
from ancestral.conditions import Image
from ancestral.declarations import Sample
from ancestral.errors import InputError
from ancestral.guidance import NO_CLASS
from ancestral.model import Model
from ancestral.model.condition_values import NONE, ConditionValues, separate
from ancestral.options import option
from ancestral.render import writers
from ancestral.results.sampling_result import SamplingRecipe
from ancestral.training.preview import CONDITIONS
from ancestral.workflows.cascades import Stage

SAMPLER_OPTIONS = ("steps", "eta", "variance")
"""Options of samplers that have names of their own."""
IN_RECIPE = (
    *("n", "index", "seed", "label", "guidance", "guidance_interval", "guidance_rescale", "sampler"),
    *SAMPLER_OPTIONS,
)
"""Options that a recipe replaces."""


def sampler_options(options: Sample) -> dict[str, Any]:
    """Return the options of the sampler that have names of their own."""
    return {name: getattr(options, name) for name in SAMPLER_OPTIONS}


def by_name(given: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    """Return the conditions by name; of words as in age=31 and low=small.png, several of a name are a list.

    Raises:
        InputError: If a word is not a name and a value.
    """
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    values: dict[str, list[str]] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option('given', word)}: give the name of a condition and its value, as in age=31")
        values.setdefault(name, []).append(value)
    return {name: each[0] if len(each) == 1 else each for name, each in values.items()}


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


def of_options(options: Sample, stages: Sequence[Stage], weak: Model | None) -> SamplingRecipe:
    """Return the recipe of the user's options, whose model and sampler are filled in when they are known.

    Args:
        options: The options.
        stages: The models with the values of their conditions.
        weak: The weaker model of autoguidance.

    Raises:
        InputError: If the interval of guidance is not one, or an option of guidance is given without a scale.
    """
    for name in ("weak", "guidance_interval", "guidance_rescale"):
        if options.guidance is None and getattr(options, name) is not None:
            raise InputError(
                f"{option(name)} has no effect without a scale of guidance: add {option('guidance', 2)}, or leave it "
                "out"
            )
    values = values_of(stages)
    labelled = next((stage for stage in stages if stage.model.spec.classes), stages[0])
    most = max((len(value.rows) for value in values.values()), default=1)
    n = options.n if options.n is not None else 64 if most == 1 else most
    interval = options.guidance_interval
    if interval is not None and len(interval) != 2:
        raise InputError(f"{option('guidance_interval')} takes two noise levels, the lowest and the highest")
    return SamplingRecipe(
        model="",
        version=__version__,
        seed=options.seed or 0,
        n=n,
        sampler="",
        guidance=scale_of(options.guidance),
        index=options.index,
        label=None if labelled.label is None else class_names(labelled.model, labelled.label),
        given={name: value.described for name, value in values.items()},
        guidance_interval=interval,
        guidance_rescale=options.guidance_rescale,
        weak=_digest(weak),
    )


def read(like: Path, options: Sample, digest: str) -> SamplingRecipe:
    """Return the recipe in a PNG.

    Args:
        like: The file.
        options: The options, none of which may contradict it.
        digest: The SHA-256 of the file of the first model.

    Raises:
        InputError: If the file has no recipe, or one of another model, or an option contradicts it.
    """
    for name in IN_RECIPE:
        if getattr(options, name) is not None:
            raise InputError(f"{option('like')} makes the samples of {like} again; leave {option(name)} out")
    recipe = SamplingRecipe.from_json(writers.read_recipe(like), f"the recipe in {like}")
    if recipe.model != digest and recipe.step is None:
        this = f"this one's is {digest[:12]}" if digest else "this one is in no file"
        raise InputError(f"{like} was made by another model: the SHA-256 of its file is {recipe.model[:12]}, {this}")
    return recipe


def given_again(
    recipe: SamplingRecipe, stages: Sequence[Stage], given: Mapping[str, Any], like: str | Path | None
) -> dict[str, Any]:
    """Return the values of the conditions of a recipe: its own, and images that the user gives again.

    Args:
        recipe: The recipe.
        stages: The models.
        given: What the user gives.
        like: The file of the recipe, for messages.

    Raises:
        InputError: If an image is not given, or what the recipe holds is given again.
    """
    again = dict(given)
    for name, texts in recipe.given.items():
        if any(isinstance(stage.model.spec.conditions.get(name), Image) and stage.takes(name) for stage in stages):
            if name not in given:
                files = ", ".join(map(_name_of, texts[:3])) + ", ..." * (len(texts) > 3)
                saved = Path(like or "").parent / CONDITIONS  # of the previews of a run
                place = saved if recipe.step is not None and saved.exists() else "..."
                option_again = option("given", f"{name}={place}")
                raise InputError(f"{like} was conditioned on the image {name} ({files}): give it again, {option_again}")
        elif name in given:
            raise InputError(f"{option('like')} makes the samples of {like} again; leave {option('given', name)} out")
        else:
            again[name] = list(texts)
    if further := given.keys() - recipe.given.keys():
        raise InputError(f"{like} was made without {', '.join(sorted(further))}: leave it out")
    return again


def check_images(recipe: SamplingRecipe, stages: Sequence[Stage], like: str | Path | None) -> None:
    """Check that the images that the user gives again are those of a recipe.

    Raises:
        InputError: If they are not.
    """
    for name, values in values_of(stages).items():
        texts = recipe.given[name]
        if isinstance(values.kind, Image) and [*map(_hash, values.described)] != [*map(_hash, texts)]:
            others = f"{_name_of(texts[0])}{' and others' * (len(texts) > 1)}"
            raise InputError(f"{like} was conditioned on another image {name} ({others}): give that one")


def check_weak(recipe: SamplingRecipe, weak: Model | None) -> None:
    """Check that the weaker model is that of a recipe.

    Raises:
        InputError: If it is not.
    """
    if recipe.weak != _digest(weak):
        which = f"the model whose SHA-256 is {recipe.weak[:12]}" if recipe.weak else "no weaker model"
        raise InputError(f"these samples were guided by {which}: {option('weak')} names that one")


def differences(options: Sample, recipe: SamplingRecipe, model: Model) -> list[str]:
    """Say why samples that are made again may differ.

    Raises:
        InputError: If the recipe is that of a grid of another training run.
    """
    like, notes = options.like, []
    if recipe.version == __version__ and recipe.run not in (None, model.config.identity()):
        raise InputError(
            f"{like} is a grid of the training of another run, with other settings or data: give the model of that "
            f"run, or leave {option('like')} out"
        )
    if recipe.step not in (None, model.step):
        notes.append(f"{like} was made at step {recipe.step:,} of training; the model is of step {model.step:,}")
    if recipe.version != __version__:
        notes.append(f"{like} was made by ancestral {recipe.version}; version {__version__} may sample otherwise")
    return notes


def of_one(recipe: SamplingRecipe, model: Model, index: int) -> SamplingRecipe:
    """Return the recipe of one sample alone.

    Args:
        recipe: The recipe of all.
        model: The model whose classes the labels are.
        index: The index of the sample.
    """
    names = class_names(model, recipe.label or model.spec.classes) if model.spec.classes else None
    name = None if names is None else (names[index % len(names)],)
    given: dict[str, tuple[str, ...]] = {
        condition: (texts[index % len(texts)],) for condition, texts in recipe.given.items()
    }
    return dataclasses.replace(recipe, n=1, index=(index,), label=name, given=given, single=True)


def class_names(model: Model, label: int | str | Sequence[int | str]) -> tuple[str, ...]:
    """Return the names of the classes that labels are.

    Raises:
        InputError: If the model has no such class.
    """
    numbers = model.labels(range(len(separate(label))), label)
    assert numbers is not None  # a model without classes has refused the label
    return tuple(NONE if number == NO_CLASS else model.spec.classes[number] for number in numbers.tolist())


def values_of(stages: Sequence[Stage]) -> dict[str, ConditionValues]:
    """Return the values of the conditions besides the label, of each in the first model that has it."""
    return {name: value for stage in reversed(stages) for name, value in stage.values.items()}


def _digest(model: Model | None) -> str | None:
    return storage.sha256(model.file) if model is not None and model.file is not None else None


def _hash(described: str) -> str:
    return described.rpartition(" ")[2]


def _name_of(described: str) -> str:
    return described.partition(" sha256:")[0]
