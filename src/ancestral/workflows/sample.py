"""Samples of a trained model, written as a grid, single files, an array, an animation or a film strip."""

import dataclasses
import math
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from ancestral import __version__, samplers, storage
from ancestral.conditions import Image
from ancestral.config.folders import check_outside
from ancestral.data.decoding import from_pixels
from ancestral.data.statistics import channel_mean, evenly_spaced
from ancestral.declarations import Sample
from ancestral.errors import InputError
from ancestral.events import Event, Message, Wrote
from ancestral.model import Model, find, load, sampler_name
from ancestral.model.condition_values import ConditionValues, captions
from ancestral.options import option
from ancestral.registries import DISTILLATIONS
from ancestral.render import compositions, pictures, writers
from ancestral.render.result_text import channel_means
from ancestral.results.sampling_result import SamplingRecipe, SamplingResult
from ancestral.samplers.loop import Step
from ancestral.threads import cpu_threads
from ancestral.workflows import branches, recipes
from ancestral.workflows.cascades import Stage, condition_for, opened, with_values
from ancestral.workflows.output_files import folder_of, other_images, path_of
from ancestral.workflows.reverse_process import sampled

FILES = ".png, .gif, .webp, .mp4, .npz or the name of a folder"
LONGEST_STEM = 100
"""The largest number of characters of a file name that is made of the settings, without its suffix."""
ANIMATION_HEIGHT = 400
"""Pixels: about the height of x_t in an animation, which has x̂_0 beside it; lower than a grid, since noise is large."""


@dataclass(frozen=True)
class SamplePlan:
    """Samples that are decided: which, how they are made, and into which files.

    Attributes:
        options: What the user gave.
        stages: The model, and those that follow it in a cascade.
        items: The indices of the samples.
        recipe: How they are made, for the metadata of PNGs. Its classes are those that samples have in turn.
        out: The grid, animation, array or folder.
        gif: An animation, if any.
        film: A film strip, if any.
        notes: What the user should know, a line each.
    """

    options: Sample
    stages: tuple[Stage, ...]
    items: Sequence[int]
    recipe: SamplingRecipe
    out: Path
    gif: Path | None
    film: Path | None
    notes: tuple[str, ...]

    @property
    def model(self) -> Model:
        """The model whose samples are written: the last of a cascade."""
        return self.stages[-1].model

    @property
    def labelled(self) -> Model:
        """The model whose classes the labels are: the first that has some."""
        return next((stage.model for stage in self.stages if stage.model.spec.classes), self.model)


def plan(options: Sample) -> SamplePlan:
    """Decide which samples are made, how, and into which files.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model.
    """
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, **recipes.sampler_options(options))
    if options.n is not None and options.index is not None:
        raise InputError(f"{option('index')} says which samples to make, so leave their number {option('n')} out")
    file = options.model.file if isinstance(options.model, Model) else find(options.model)
    digest = storage.sha256(file) if file and file.is_file() else ""
    branched, user_options = options.branch is not None or options.at is not None, options
    parent_recipe = branches.read(options, digest) if branched else None
    like_recipe = None if options.like is None else recipes.read(Path(options.like), options, digest)
    model = options.model if isinstance(options.model, Model) else load(options.model, options.device, net=options.net)
    if parent_recipe is not None:
        options = branches.completed(options, parent_recipe, model)
    sampler_options = recipes.sampler_options(options)
    sampler = model.sampler(options.sampler if like_recipe is None else like_recipe.sampler, **sampler_options)
    name = str(file or "the model") if isinstance(options.model, Model) else str(options.model)
    stages = [Stage(model, name, digest, "", sampler)]
    for follower in _followers(options, like_recipe):
        stages.append(_next_stage(stages[-1], follower, options, like_recipe))
    label, given, weak = options.label, recipes.by_name(options.given), recipes.weak_model(options, model)
    if like_recipe is not None:
        label, given = like_recipe.label, recipes.given_again(like_recipe, stages, given, options.like)
        recipes.check_weak(like_recipe, weak)
    stages = with_values(stages, label, given)
    recipe = recipes.of_options(options, stages, weak) if like_recipe is None else like_recipe
    if like_recipe is not None:
        recipes.check_images(like_recipe, stages, options.like)
    if parent_recipe is not None:
        recipe = dataclasses.replace(recipe, parent=parent_recipe, at=options.at)
    stages = [recipes.with_guidance(stage, recipe, weak if stage is stages[0] else None, stages) for stage in stages]
    if recipe.parent is not None and recipe.at is not None:
        picture = options.branch or options.like
        stages[0] = branches.branched(stages[0], recipe.parent, recipe.at, given, weak, picture)
        if parent_recipe is not None:
            branches.check_seed(options, stages[0])
    items = model.items(recipe.n, recipe.index, options.batch_size)
    model = stages[-1].model
    model.items(recipe.n, recipe.index, options.batch_size)
    single = len(items) == 1 and writers.fits_png(model.spec.shape, model.spec.codec.dtype)
    if like_recipe is not None and like_recipe.single and not single:
        writers.check_png(model.spec.shape, model.spec.codec.dtype)
    single = (single if like_recipe is None else like_recipe.single) and options.captions is not True
    folder, stem = (
        folder_of(options.model, "samples"),
        _stem(user_options, recipe, [stage.name for stage in stages[1:]]),
    )
    out = folder / f"{stem}.png" if options.out is None else Path(options.out)
    _check_out(out, model)
    gif, film = (
        path_of(options.gif, folder / f"{stem}.gif"),
        path_of(options.film, folder / f"{stem}-film.png"),
    )
    paths = [path for path in (out, gif, film) if path is not None]
    for path, stage in product(paths, stages):
        check_outside(path, stage.model.config.data.source)
    animations = [path for path in (out, gif) if path is not None and path.suffix.lower() in writers.ANIMATIONS]
    for path in animations:
        writers.check_animation(path)
    if not animations and (options.fps, options.scale) != (None, None):
        names = f"{option('fps')} and {option('scale')}"
        raise InputError(f"{names} are those of an animation: add {option('gif', True)}, or leave them out")
    return SamplePlan(
        options=options,
        stages=tuple(stages),
        items=items,
        recipe=dataclasses.replace(
            recipe,
            model=digest if all(stage.digest for stage in stages) else "",
            version=__version__,
            n=len(items),
            single=single,
            sampler=sampler_name(sampler),
            step=None,
            run=None,
            then={stage.digest: sampler_name(stage.sampler) for stage in stages[1:]},
        ),
        out=out,
        gif=gif,
        film=film,
        notes=(
            *(doubt for stage in stages for doubt in _doubts(stage.model, stage.sampler)),
            *(note for stage in stages for note in recipes.never_absent(stage)),
            *(note for stage in stages for note in recipes.beyond_data(stage)),
            *recipes.snapshot_notes(options, weak),
            *recipes.differences(options.branch or options.like, parent_recipe or recipe, stages[0].model),
            *other_images(paths),
        ),
    )


def run(plan: SamplePlan) -> Generator[Event, None, SamplingResult]:
    """Sample the model and write the files.

    Yields:
        The progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    model, recipe, items, options = plan.model, plan.recipe, plan.items, plan.options
    yield from map(Message, plan.notes)
    times = plan.stages[-1].times
    animated = plan.gif is not None or plan.out.suffix.lower() in writers.ANIMATIONS
    in_animation = evenly_spaced(writers.frame_count(options.fps or writers.FPS), len(times)) if animated else []
    in_film = evenly_spaced(compositions.FILM_STATES, len(times)) if plan.film else []
    stages, samples = list[Stage](), torch.empty(0)
    with cpu_threads(options.threads):
        for stage in plan.stages:
            stages.append(stage.given_samples(samples, items) if stages else stage)
            keep = sorted({*in_animation, *in_film}) if stage is plan.stages[-1] else []
            samples, states = yield from _sampled(stages[-1], plan, keep)
    plan = dataclasses.replace(plan, stages=tuple(stages))
    frames, stills = ([state for state in states if state.index in indices] for indices in (in_animation, in_film))
    paths = []
    for path, write in _files(plan, samples, frames, stills).items():
        paths.append(storage.write_new(path, write))
        yield Wrote(paths[-1])
    result = SamplingResult(
        model=plan.stages[0].name,
        count=len(items),
        seed=recipe.seed,
        sampler=str(plan.stages[0].sampler),
        label=None if recipe.label is None else ", ".join(recipe.label),
        guidance=recipe.guidance,
        paths=tuple(map(str, paths)),
        codec=model.spec.codec.kind,
        means=channel_mean(samples) if samples.ndim > 2 else (),
        data_means=model.spec.mean,
        index=recipe.index,
        given=recipe.given,
        then=tuple(stage.name for stage in plan.stages[1:]),
    )
    if means := channel_means(result):
        yield Message(means)
    return result


def _sampled(stage: Stage, plan: SamplePlan, keep: Sequence[int]) -> Generator[Event, None, samplers.Recording]:
    """Make the samples of a stage, and keep some of the states."""
    model, items = stage.model, plan.items
    sides = f" of {'x'.join(map(str, model.spec.shape[1:]))}" if len(plan.stages) > 1 else ""

    def trajectory(positions: Sequence[int]) -> Iterator[Step]:
        return stage.trajectory([items[position] for position in positions], plan.recipe.seed)

    return (
        yield from sampled(
            trajectory,
            len(items),
            model.batch(plan.options.batch_size),
            f"{len(items)} image{'s' * (len(items) > 1)}{sides}",
            len(stage.times),
            model.spec.decode,
            keep,
        )
    )


def _files(
    plan: SamplePlan, samples: Tensor, frames: Sequence[Step], stills: Sequence[Step]
) -> dict[Path, Callable[[Path], None]]:
    """The files of a plan, each with what writes it."""
    options, model, recipe, items, out = plan.options, plan.labelled, plan.recipe, plan.items, plan.out
    spec, limits, suffix = plan.model.spec, plan.model.spec.codec.limits, plan.out.suffix.lower()
    values = recipes.values_of(plan.stages)
    before = compositions.beside(values, items)
    tiles = 1 + sum(len(part.images) > 1 or len(items) == 1 for part in before)
    period = 1 if recipe.index is not None else _period(plan, values)
    period = 1 if tiles > 1 and period >= len(items) else period
    columns = pictures.grid_columns(len(items), spec.shape, period, tiles)  # one label in each column
    names = captions(values, items, model.class_names(items, recipe.label)) if options.captions is not False else None
    animate = partial(
        writers.write_animation,
        states=frames,
        columns=columns,
        height=ANIMATION_HEIGHT,
        limits=limits,
        fps=options.fps or writers.FPS,
        scale=options.scale or 1.0,
        before=before,
        captions=names,
        estimates=True,
    )

    def text(recipe: SamplingRecipe) -> str:
        return recipe.to_json() if recipe.model else ""

    def grid(path: Path) -> None:
        picture = partial(pictures.picture, samples, columns, 500, limits, names, before)
        writers.write_picture(path, from_pixels(samples[0]) if recipe.single else picture(), text(recipe))

    def single_files(path: Path) -> None:
        files = _file_names(plan, values)
        if spec.rate:
            writers.write_recordings(path, samples, spec.rate, files)
        else:
            writers.write_images(path, samples, files, [text(recipes.of_one(recipe, model, index)) for index in items])

    def array(path: Path) -> None:
        conditions = {name: value.of(items) for name, value in values.items()}
        writers.write_array(path, samples, model.labels(items, recipe.label), conditions)

    def film(path: Path) -> None:
        strip = compositions.film(
            stills, width=1180, limits=limits, names=names, captions=options.captions is not False, before=before
        )
        writers.write_picture(path, strip, text(dataclasses.replace(recipe, single=False)))

    kinds: dict[str, Callable[[Path], None]] = dict.fromkeys(writers.ANIMATIONS, animate)
    kinds |= {".npz": array, ".png": grid}
    files = {out: kinds.get(suffix, single_files)}
    if plan.gif is not None:
        files[plan.gif] = animate
    if plan.film is not None:
        files[plan.film] = film
    return files


def _period(plan: SamplePlan, values: Mapping[str, ConditionValues]) -> int:
    """The number of samples after which their conditions repeat."""
    label, classes = plan.recipe.label, plan.labelled.spec.classes
    return math.lcm(len(classes if label is None else label) or 1, *(len(value.rows) for value in values.values()))


def _file_names(plan: SamplePlan, values: Mapping[str, ConditionValues]) -> list[str]:
    """The names of single files, without suffix: those of the files of a condition if it has several, else numbers.

    Samples of one file have their number after its name.
    """
    numbers = list(writers.numbered(plan.items))
    for value in values.values():
        files = [Path(name).absolute() for name in value.names]
        if isinstance(value.kind, Image) and len(files) > 1 and len(set(files)) == len(files):
            root = os.path.commonpath([file.parent for file in files])
            stems = [str(file.relative_to(root).with_suffix("")) for file in files]
            names = [stems[index % len(stems)] for index in plan.items]
            if len(set(names)) == len(names):
                return names
            return [f"{name}-{number}" for name, number in zip(names, numbers, strict=True)]
    return numbers


# -- the models -------------------------------------------------------------------------------------------------------


def _followers(options: Sample, recipe: SamplingRecipe | None) -> list[Model | str | Path]:
    """The models of a cascade behind the first. Raises InputError unless they are as many as those of a recipe."""
    then = options.then
    followers = [] if then is None else [then] if isinstance(then, Model | str | Path) else [*then]
    if recipe is not None and len(followers) != len(recipe.then):
        digests = " ".join(digest[:12] for digest in recipe.then)
        which = f"by further models, whose SHA-256 are {digests}: {option('then')} names them" if digests else "by one"
        raise InputError(f"{options.like} was made {which}" + ("" if digests else f"; leave {option('then')} out"))
    return followers


def _next_stage(before: Stage, follower: Model | str | Path, options: Sample, recipe: SamplingRecipe | None) -> Stage:
    """The stage of a model that follows another, as in a recipe if there is one."""
    model, name, digest = opened(follower, options.device, options.net)
    condition = condition_for(before, model, name)
    if recipe is None:
        sampler = model.sampler(options.sampler, **recipes.sampler_options(options))
        return Stage(model, name, digest, condition, sampler)
    if digest not in recipe.then:
        digests = " ".join(one[:12] for one in recipe.then)
        raise InputError(f"{options.like} was made by further models whose SHA-256 are {digests}, not by {name}")
    return Stage(model, name, digest, condition, model.sampler(recipe.then[digest]))


def _doubts(model: Model, sampler: samplers.Sampler) -> list[str]:
    """Why a sampler does not suit a distilled model."""
    distil = model.config.distil
    if not distil.method:
        return []
    if DISTILLATIONS[distil.method].consistent:
        advice = "the x̂_0 of this model is a sample, for the sampler consistency; others take it for a mean"
        return [] if isinstance(sampler, samplers.Consistency) else [f"{advice}, and get worse with each step"]
    suits = isinstance(sampler, samplers.DDIM) and sampler.steps == distil.evaluations
    advice = f"this model was distilled for {distil.evaluations} steps of ddim; other samples of it are worse"
    return [] if suits else [advice]


# -- the files --------------------------------------------------------------------------------------------------------


def _stem(options: Sample, recipe: SamplingRecipe, followers: Sequence[str]) -> str:
    """The stem of a file's name: the seed and the settings that were given."""
    settings = {
        "branch": recipe.at,
        "index": recipe.index and "_".join(map(str, recipe.index)),
        "label": recipe.label and "_".join(recipe.label),
        "sampler": options.sampler,
        **recipes.sampler_options(options),
        **{name: "_".join(map(_without_suffix, texts)) for name, texts in recipe.given.items()},
        "guidance": _scale_text(recipe.guidance),
        "then": "_".join(Path(name).name for name in followers) or None,
    }
    parts = [f"{name}{value}" for name, value in settings.items() if value is not None]
    return re.sub(r"[^\w.-]+", "-", "-".join([f"seed{recipe.seed}", *parts]))[:LONGEST_STEM]


def _scale_text(scale: float | Mapping[str, float]) -> str | None:
    """The scale of guidance in the name of a file; None without guidance."""
    if isinstance(scale, Mapping):
        return "-" + "_".join(f"{name}{value:g}" for name, value in scale.items())
    return None if scale == 1 else f"{scale:g}"


def _without_suffix(described: str) -> str:
    """The text of a value in the name of a file: numbers, a class, or the stem of an image's file."""
    name, image, _ = described.partition(" sha256:")
    return Path(name).stem if image else name


def _check_out(out: Path, model: Model) -> None:
    """Raise InputError if the samples could not be written."""
    if out.suffix.lower() == ".npz" and (name := writers.array_name(model.spec.shape)) in model.spec.conditions:
        raise InputError(f"{out} would hold two arrays called {name}, the samples and a condition: give a folder")
    if out.suffix.lower() in (*writers.ANIMATIONS, ".npz", ".png"):
        return
    if out.suffix:
        recordings = ", which gets a .wav for each sample" if model.spec.rate else ""
        raise InputError(f"cannot write {out.suffix} files; {option('out')} takes {FILES}{recordings}")
    if model.spec.rate is None:
        writers.check_png(model.spec.shape, model.spec.codec.dtype)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; {option('out')} takes {FILES}")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty, and the images of two runs would mix; give {option('out')} a new folder")
