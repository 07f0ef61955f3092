"""Samples of a trained model, written as a grid, single files, an array, an animation or a film strip."""

import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from pathlib import Path

import torch
from torch import Tensor

from ancestral import __version__, hub, samplers, storage
from ancestral.conditions import LABEL, Image
from ancestral.config.folders import SUFFIXES, check_outside, is_output
from ancestral.data.decoding import from_pixels
from ancestral.data.statistics import channel_mean, evenly_spaced
from ancestral.declarations import Sample
from ancestral.errors import InputError
from ancestral.events import Event, Message, Wrote, track
from ancestral.model import Guidance, Model, find, load, sampler_name
from ancestral.model.condition_values import ConditionValues, captions
from ancestral.options import option
from ancestral.registries import DISTILLATIONS
from ancestral.render import compositions, pictures, writers
from ancestral.render.result_text import channel_means
from ancestral.results.sampling_result import SamplingRecipe, SamplingResult
from ancestral.samplers.loop import Step
from ancestral.threads import cpu_threads
from ancestral.training import RunFolder
from ancestral.training.snapshot_models import load_snapshot
from ancestral.workflows import recipes
from ancestral.workflows.cascades import Stage, condition_for, opened, with_values
from ancestral.workflows.model_cards import home

FILES = ".png, .gif, .webp, .mp4, .npz or the name of a folder"
EVERYWHERE = (0.0, math.inf)
"""The interval of all noise levels."""
LONGEST_STEM = 100
"""The largest number of characters of a file name that is made of the settings, without its suffix."""
STILLS, LOOKED_AT = SUFFIXES.keys() - writers.ANIMATIONS.keys(), 100
"""Suffixes of images, of which samples are PNGs with a recipe; how many entries of a folder are looked at."""


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
    sampler_options = recipes.sampler_options(options)
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, **sampler_options)
    if options.n is not None and options.index is not None:
        raise InputError(f"{option('index')} says which samples to make, so leave their number {option('n')} out")
    file = options.model.file if isinstance(options.model, Model) else find(options.model)
    digest = storage.sha256(file) if file and file.is_file() else ""
    like_recipe = None if options.like is None else recipes.read(Path(options.like), options, digest)
    model = options.model if isinstance(options.model, Model) else load(options.model, options.device, net=options.net)
    sampler = model.sampler(options.sampler if like_recipe is None else like_recipe.sampler, **sampler_options)
    name = str(file or "the model") if isinstance(options.model, Model) else str(options.model)
    stages = [Stage(model, name, digest, "", sampler)]
    for follower in _followers(options, like_recipe):
        stages.append(_next_stage(stages[-1], follower, options, like_recipe))
    label, given, weak = options.label, recipes.by_name(options.given), _weak(options, model)
    if like_recipe is not None:
        label, given = like_recipe.label, recipes.given_again(like_recipe, stages, given, options.like)
        recipes.check_weak(like_recipe, weak)
    stages = with_values(stages, label, given)
    recipe = recipes.of_options(options, stages, weak) if like_recipe is None else like_recipe
    if like_recipe is not None:
        recipes.check_images(like_recipe, stages, options.like)
    stages = [_with_guidance(stage, recipe, weak if stage is stages[0] else None, stages) for stage in stages]
    items = model.items(recipe.n, recipe.index, options.batch_size)
    model = stages[-1].model
    model.items(recipe.n, recipe.index, options.batch_size)
    if recipe.single:
        writers.check_png(model.spec.shape, model.spec.codec.dtype)
    folder, stem = _samples_folder(options.model), _stem(options, recipe, [stage.name for stage in stages[1:]])
    out = folder / f"{stem}.png" if options.out is None else Path(options.out)
    _check_out(out, model)
    gif, film = _path(options.gif, folder / f"{stem}.gif"), _path(options.film, folder / f"{stem}-film.png")
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
            *(note for stage in stages for note in _never_absent(stage)),
            *_snapshots(options, weak),
            *recipes.differences(options, recipe, stages[0].model),
            *_other_images(paths),
        ),
    )


def run(plan: SamplePlan) -> Generator[Event, None, SamplingResult]:
    """Sample the model and write the files.

    Yields:
        The progress, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    model, recipe, items, options = plan.model, plan.recipe, plan.items, plan.options
    yield from map(Message, plan.notes)
    times = plan.stages[-1].sampler.times(model.denoiser.schedule)
    animated = plan.gif is not None or plan.out.suffix.lower() in writers.ANIMATIONS
    in_animation = evenly_spaced(writers.frame_count(options.fps or writers.FPS), len(times)) if animated else []
    in_film = evenly_spaced(compositions.FILM_STATES, len(times)) if plan.film else []
    work = partial(model.rehearse, min(options.batch_size, len(items)))
    stages, samples = list[Stage](), torch.empty(0)
    with cpu_threads(options.threads, model.device, work) as threads:
        if threads.reason:
            yield Message(threads.reason)
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
    model, items, size = stage.model, plan.items, plan.options.batch_size
    steps_of_batches = samplers.record(
        lambda batch: stage.trajectory(batch, plan.recipe.seed),
        items,
        size,
        lambda x: model.spec.codec.decode(x).cpu(),
        keep,
    )
    sides = f" of {'x'.join(map(str, model.spec.shape[1:]))}" if len(plan.stages) > 1 else ""
    task = f"{len(items)} image{'s' * (len(items) > 1)}{sides}"
    total = -(-len(items) // size) * len(stage.sampler.times(model.denoiser.schedule))
    return (yield from track(steps_of_batches, task, total))


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
    names = captions(values, items, model.class_names(items, recipe.label)) if options.captions else None
    animate = partial(
        writers.write_animation,
        states=frames,
        columns=columns,
        height=500,
        limits=limits,
        fps=options.fps or writers.FPS,
        scale=options.scale or 1.0,
        before=before,
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
            stills, width=1180, limits=limits, names=names, captions=options.captions, before=before
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


def _weak(options: Sample, model: Model) -> Model | None:
    """The weaker model of autoguidance: a number is the step of a snapshot of the run."""
    weak = options.weak
    if weak is None or isinstance(weak, Model):
        return weak
    if isinstance(weak, int) or (isinstance(weak, str) and weak.isdecimal()):
        return load_snapshot(model, int(weak))
    return load(weak, options.device, net=options.net)


def _snapshots(options: Sample, weak: Model | None) -> list[str]:
    """Say which snapshot the weaker model is, if it is one of another step than that which was given."""
    if weak is None or not str(options.weak).isdecimal() or int(str(options.weak)) == weak.step:
        return []
    return [f"the weaker model is the run at step {weak.step:,}, the nearest of its snapshots"]


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


def _with_guidance(stage: Stage, recipe: SamplingRecipe, weak: Model | None, stages: Sequence[Stage]) -> Stage:
    """The stage with its guidance: one scale is that of the first stage, those by name are of all that have them."""
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


def _never_absent(stage: Stage) -> list[str]:
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


# -- the files --------------------------------------------------------------------------------------------------------


def _samples_folder(model: Model | str | Path) -> Path:
    """The folder for files without a path: `samples` of the run, or of the working folder for a model outside a run."""
    place = home(model)
    in_run = hub.is_address(model) or RunFolder(place).config.exists()
    return place / "samples" if in_run else Path("samples")


def _other_images(paths: Sequence[Path]) -> list[str]:
    """Warn of an image that is no sample, in the folder of a file or in that of the folder `samples`.

    A new folder in the working folder is a place of its own.
    """
    here = Path().absolute()  # in which the pictures of several pages lie beside a new folder
    folders = {path.parent for path in paths if path.suffix or path.parent.absolute() != here}
    for folder in sorted(folders | ({Path()} if Path("samples") in folders else set())):
        if folder.is_dir() and not any(map(is_output, (folder.absolute(), *folder.absolute().parents))):
            for file in islice(sorted(folder.iterdir()), LOOKED_AT):
                if file.suffix.lower() in STILLS and not _is_sample(file):
                    place = f"{file} is no sample, and samples are written beside it"
                    advice = f"who trains on that folder trains on both; {option('out')} takes a place elsewhere"
                    return [f"warning: {place}: {advice}"]
    return []


def _is_sample(file: Path) -> bool:
    with contextlib.suppress(InputError):
        return bool(writers.read_recipe(file))
    return False


def _stem(options: Sample, recipe: SamplingRecipe, followers: Sequence[str]) -> str:
    """The stem of a file's name: the seed and the settings that were given."""
    settings = {
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


def _path(value: str | Path | bool, default: Path) -> Path | None:
    if isinstance(value, bool):
        return default if value else None
    return Path(value)


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
