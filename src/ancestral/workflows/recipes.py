"""Recipes of samples: made of the user's options, written into PNGs, and read to make the same samples again."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from ancestral import __version__, storage
from ancestral.conditions import LABEL, Image, Vector
from ancestral.declarations import Edit, Sample
from ancestral.errors import InputError
from ancestral.guidance import NO_CLASS
from ancestral.model import Guidance, Model, load
from ancestral.model.condition_values import NONE, ConditionValues, separate
from ancestral.options import option
from ancestral.render import writers
from ancestral.results.sampling_result import SamplingRecipe
from ancestral.training.preview import CONDITIONS
from ancestral.training.snapshot_models import load_snapshot
from ancestral.workflows.cascades import Stage

SAMPLER_OPTIONS = ("steps", "eta", "variance")
"""Options of samplers that have names of their own."""
IN_RECIPE = (
    *("n", "index", "seed", "label", "guidance", "guidance_interval", "guidance_rescale", "sampler"),
    *SAMPLER_OPTIONS,
    *("branch", "at"),
)
"""Options that a recipe replaces."""
EVERYWHERE = (0.0, math.inf)
"""The interval of all noise levels."""
R = TypeVar("R", bound=SamplingRecipe)


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


def of_options(options: Sample | Edit, stages: Sequence[Stage], weak: Model | None) -> SamplingRecipe:
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


def read(
    like: Path,
    options: Sample | Edit,
    digest: str,
    kind: type[R] = SamplingRecipe,  # type: ignore[assignment]
    held: Sequence[str] = IN_RECIPE,
) -> R:
    """Return the recipe in a PNG.

    Args:
        like: The file.
        options: The options, none of which may contradict it.
        digest: The SHA-256 of the file of the first model.
        kind: The kind of the recipe.
        held: Options that the recipe holds.

    Raises:
        InputError: If the file has no recipe, or one of another model, or an option contradicts it.
    """
    for name in held:
        if getattr(options, name) is not None:
            raise InputError(f"{option('like')} makes the samples of {like} again; leave {option(name)} out")
    recipe = kind.from_json(writers.read_recipe(like), f"the recipe in {like}")
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
        hashes = [[*map(_hash, described)] for described in (values.described, values.described_whole)]
        if isinstance(values.kind, Image) and [*map(_hash, texts)] not in hashes:
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


def differences(like: str | Path | None, recipe: SamplingRecipe, model: Model) -> list[str]:
    """Say why samples that are made again may differ.

    Args:
        like: The file of the recipe.
        recipe: The recipe.
        model: The model.

    Raises:
        InputError: If the recipe is that of a grid of another training run.
    """
    notes = []
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


# -- guidance ----------------------------------------------------------------------------------------------------------


def weak_model(options: Sample | Edit, model: Model) -> Model | None:
    """Return the weaker model of autoguidance: a number is the step of a snapshot of the run."""
    weak = options.weak
    if weak is None or isinstance(weak, Model):
        return weak
    if isinstance(weak, int) or (isinstance(weak, str) and weak.isdecimal()):
        return load_snapshot(model, int(weak))
    return load(weak, options.device, net=options.net)


def snapshot_notes(options: Sample | Edit, weak: Model | None) -> list[str]:
    """Say which snapshot the weaker model is, if it is one of another step than that which was given."""
    if weak is None or not str(options.weak).isdecimal() or int(str(options.weak)) == weak.step:
        return []
    return [f"the weaker model is the run at step {weak.step:,}, the nearest of its snapshots"]


def with_guidance(stage: Stage, recipe: SamplingRecipe, weak: Model | None, stages: Sequence[Stage]) -> Stage:
    """Return the stage with its guidance: one scale is that of the first, those by name are of all that have them.

    Raises:
        InputError: If a scale has no effect, or the model cannot be guided so.
    """
    scale, first = recipe.guidance, stage is stages[0]
    if isinstance(scale, Mapping):
        known = {name for each in stages for name in each.model.spec.conditions}
        own = stage.model.spec.conditions
        scale = {name: value for name, value in scale.items() if name in own or (first and name not in known)}
    elif not first:
        scale = 1.0
    low, high = recipe.guidance_interval or EVERYWHERE
    guidance = Guidance(scale, (low, high), recipe.guidance_rescale or 0.0, weak)
    names = [*stage.values, *[stage.condition] * (not first), *[LABEL] * bool(stage.model.spec.classes)]
    stage.model.guided(guidance, names)
    for name, value in scale.items() if isinstance(scale, Mapping) else ():
        if name in stage.model.spec.conditions and name not in names and value != 1:
            raise InputError(
                f"{option('guidance', f'{name}={value:g}')} has no effect, since {name} is not given: give it "
                f"({option('given', f'{name}=VALUE')}), or leave this scale out"
            )
    return dataclasses.replace(stage, guidance=guidance)


def beyond_data(stage: Stage) -> list[str]:
    """Say which numbers lie beyond the data that the model was trained on."""
    notes = list[str]()
    for name, values in stage.values.items():
        kind = values.kind
        if not isinstance(kind, Vector) or not (ranges := kind.ranges()):
            continue
        low, high = (torch.tensor(end, dtype=values.rows.dtype) for end in (kind.low, kind.high))
        rows, places = ((values.rows < low) | (values.rows > high)).nonzero(as_tuple=True)
        if len(rows):
            place, value = int(places[0]), option("given", f"{name}={values.names[int(rows[0])]}")
            number = "" if kind.size == 1 else f"{kind.names[place] if kind.names else f'number {place + 1}'} is "
            notes.append(f"{value} lies beyond the data of the model ({number}{ranges[place]}): it saw nothing like it")
    return notes


def never_absent(stage: Stage) -> list[str]:
    """Say which conditions guidance strengthens although the model never learned without them."""
    train, further, guidance = stage.model.config.train, stage.model.spec.further, stage.guidance
    if guidance.off or guidance.weak is not None or (further and train.condition_dropout):
        return []
    names = [*stage.values, *[stage.condition] * bool(stage.condition)]
    names += [LABEL] * (bool(stage.model.spec.classes) and not train.label_dropout)
    names = [name for name, scale in guidance.scales(names).items() if scale != 1]
    if not names:
        return []
    dropout = option("label_dropout" if names == [LABEL] else "condition_dropout", 0)
    return [
        f"{stage.name} was trained with {dropout}, so guidance compares with estimates without {', '.join(names)} that "
        "it never learned: train with the default of that option, or leave guidance out"
    ]
