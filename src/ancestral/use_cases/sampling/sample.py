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

from ancestral import samplers
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message, Wrote
from ancestral.base.options import option
from ancestral.base.registries import DISTILLATIONS
from ancestral.base.threads import cpu_threads
from ancestral.config.folders import check_outside
from ancestral.config.request import SAMPLER_OPTIONS, ImageRef, Request
from ancestral.data.decoding import from_pixels
from ancestral.data.statistics import channel_mean, evenly_spaced
from ancestral.declarations import Sample
from ancestral.model import Model, sampler_name
from ancestral.model.condition_values import ConditionValues, captions
from ancestral.model.requested import check_followers, count_of, recipe_of, stages_of, values_of
from ancestral.model.sampling_model import SamplingModel
from ancestral.model.stages import Stage
from ancestral.render import compositions, pictures, writers
from ancestral.render.pictures import Flanks
from ancestral.render.result_text import channel_means
from ancestral.results.sampling_result import SamplingResult
from ancestral.samplers.loop import Step
from ancestral.use_cases.output_files import folder_of, other_images, path_of
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.reverse_process import sampled

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
        request: How they are made, for the metadata of PNGs. Its classes are those that samples have in turn.
        out: The grid, animation, array or folder.
        gif: An animation, if any.
        film: A film strip, if any.
        notes: What the user should know, a line each.
    """

    options: Sample
    stages: tuple[Stage, ...]
    items: Sequence[int]
    request: Request
    out: Path
    gif: Path | None
    film: Path | None
    notes: tuple[str, ...]

    @property
    def model(self) -> SamplingModel:
        """The model whose samples are written: the last of a cascade."""
        return self.stages[-1].model

    @property
    def labelled(self) -> SamplingModel:
        """The model whose classes the labels are: the first that has some."""
        return next((stage.model for stage in self.stages if stage.model.spec.classes), self.model)


def plan(options: Sample) -> SamplePlan:
    """Decide which samples are made, how, and into which files.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model.
    """
    _check(options)
    request, stages = _staged(options)
    model, last = stages[0].model, stages[-1].model
    items = model.items(count_of(request, stages), request.indices)
    last.items(len(items), request.indices)
    model.batch(options.batch_size)
    fits = writers.fits_png(last.spec.shape, last.spec.codec.dtype)
    single = len(items) == 1 and fits if options.like is None else request.single
    if single and not (len(items) == 1 and fits):
        writers.check_png(last.spec.shape, last.spec.codec.dtype)
    made = recipe_of(
        request,
        stages,
        n=len(items),
        single=single and options.captions is not True,
        sampler=sampler_name(stages[0].sampler),
        steps=None,
    )
    out, gif, film = _paths(options, made, stages)
    paths = [path for path in (out, gif, film) if path is not None]
    read = request.parent if options.branch is not None else request
    return SamplePlan(
        options=options,
        stages=tuple(stages),
        items=items,
        request=made,
        out=out,
        gif=gif,
        film=film,
        notes=(
            *(doubt for stage in stages for doubt in _doubts(stage.model, stage.sampler)),
            *(note for stage in stages for note in requests.never_absent(stage)),
            *(note for stage in stages for note in requests.beyond_data(stage)),
            *requests.snapshot_notes(options, request.objects.weak),
            *requests.differences(read or request, model),
            *other_images(paths),
        ),
    )


def _check(options: Sample) -> None:
    """Raise InputError for options that contradict each other, and a sampler that there is not."""
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, **{name: getattr(options, name) for name in SAMPLER_OPTIONS})
    if options.n is not None and options.index is not None:
        raise InputError(f"{option('index')} says which samples to make, so leave their number {option('n')} out")


def _staged(options: Sample) -> tuple[Request, list[Stage]]:
    """The request of the options, and its stages."""
    digest = requests.digest_at(options.model)
    branched = options.branch is not None or options.at is not None
    parent = requests.parent_of(options, digest) if branched else None
    request = None if options.like is None else requests.like(options, digest)
    if request is not None and request.edit is not None:
        raise InputError(f"{options.like} is an edit: make it again by ancestral edit")
    followers = _followers(options, request)
    first = requests.loaded(options, digest)
    if parent is not None:
        request = requests.branch_of(parent, options, first.model.spec.classes)
    request = requests.with_weak(request or requests.of_options(options), options, first.model)
    sources = [first, *(requests.follower(model, options.device, options.net) for model in followers)]
    stages = stages_of(sources, request)
    if parent is not None:
        requests.check_seed(options, stages[0])
    return request, stages


def _paths(options: Sample, request: Request, stages: Sequence[Stage]) -> tuple[Path, Path | None, Path | None]:
    """The file of the samples, the animation and the film strip."""
    folder = folder_of(options.model, "samples")
    stem = _stem(options, request, [stage.name for stage in stages[1:]])
    out = folder / f"{stem}.png" if options.out is None else Path(options.out)
    _check_out(out, stages[-1].model)
    gif, film = path_of(options.gif, folder / f"{stem}.gif"), path_of(options.film, folder / f"{stem}-film.png")
    for path, stage in product(filter(None, (out, gif, film)), stages):
        check_outside(path, stage.model.config.data.source)
    animations = [path for path in (out, gif) if path is not None and path.suffix.lower() in writers.ANIMATIONS]
    for path in animations:
        writers.check_animation(path)
    if not animations and (options.fps, options.scale) != (None, None):
        names = f"{option('fps')} and {option('scale')}"
        raise InputError(f"{names} are those of an animation: add {option('gif', True)}, or leave them out")
    return out, gif, film


def run(plan: SamplePlan) -> Generator[Event, None, SamplingResult]:
    """Sample the model and write the files.

    Yields:
        The progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    model, request, items, options = plan.model, plan.request, plan.items, plan.options
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
        seed=request.seed,
        sampler=str(plan.stages[0].sampler),
        label=None if request.label is None else ", ".join(map(str, request.label)),
        guidance=request.guidance,
        paths=tuple(map(str, paths)),
        codec=model.spec.codec.kind,
        means=channel_mean(samples) if samples.ndim > 2 else (),
        data_means=model.spec.mean,
        index=request.indices,
        given=request.given,
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
        return stage.trajectory([items[position] for position in positions], plan.request.seed)

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
    options, model, request, items, out = plan.options, plan.labelled, plan.request, plan.items, plan.out
    spec, limits, suffix = plan.model.spec, plan.model.spec.codec.limits, plan.out.suffix.lower()
    values = values_of(plan.stages)
    before = compositions.beside(values, items)
    tiles = 1 + sum(len(part.images) > 1 or len(items) == 1 for part in before)
    period = 1 if request.indices is not None else _period(plan, values)
    period = 1 if tiles > 1 and period >= len(items) else period
    columns = pictures.grid_columns(len(items), spec.shape, period, tiles)  # one label in each column
    names = captions(values, items, model.class_names(items, request.label)) if options.captions is not False else None
    flanks = Flanks(before)

    def text(made: Request) -> str:
        return made.to_json() if made.model else ""

    def grid(path: Path) -> None:
        picture = partial(pictures.picture, samples, columns, 500, limits, names, flanks)
        writers.write_picture(path, from_pixels(samples[0]) if request.single else picture(), text(request))

    def animate(path: Path) -> None:
        draw = partial(compositions.with_estimates, columns=columns, limits=limits, captions=names, flanks=flanks)
        drawn = compositions.animated(frames, draw, ANIMATION_HEIGHT, options.scale or 1.0)
        writers.write_animation(path, drawn, options.fps or writers.FPS)

    def single_files(path: Path) -> None:
        files = _file_names(plan, values)
        if spec.rate:
            writers.write_recordings(path, samples, spec.rate, files)
        else:
            texts = [text(requests.of_one(request, model, index)) for index in items]
            writers.write_images(path, samples, files, texts)

    def array(path: Path) -> None:
        conditions = {name: value.of(items) for name, value in values.items()}
        writers.write_array(path, samples, model.labels(items, request.label), conditions)

    def film(path: Path) -> None:
        strip = compositions.film(stills, width=1180, limits=limits, captions=names, flanks=flanks)
        writers.write_picture(path, strip, text(dataclasses.replace(request, single=False)))

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
    label, classes = plan.request.label, plan.labelled.spec.classes
    return math.lcm(len(classes if label is None else label) or 1, *(len(value.rows) for value in values.values()))


def _file_names(plan: SamplePlan, values: Mapping[str, ConditionValues]) -> list[str]:
    """The names of single files, without suffix: those of the files of a condition if it has several, else numbers.

    Samples of one file have their number after its name.
    """
    numbers = list(writers.numbered(plan.items))
    for value in values.values():
        files = [Path(name).absolute() for name in value.names]
        if value.kind.on_grid and len(files) > 1 and len(set(files)) == len(files):
            root = os.path.commonpath([file.parent for file in files])
            stems = [str(file.relative_to(root).with_suffix("")) for file in files]
            names = [stems[index % len(stems)] for index in plan.items]
            if len(set(names)) == len(names):
                return names
            return [f"{name}-{number}" for name, number in zip(names, numbers, strict=True)]
    return numbers


# -- the models -------------------------------------------------------------------------------------------------------


def _followers(options: Sample, request: Request | None) -> list[Model | str | Path]:
    """The models of a cascade behind the first. Raises InputError unless they are as many as those of a request."""
    then = options.then
    followers = [] if then is None else [then] if isinstance(then, Model | str | Path) else [*then]
    if request is not None and followers and not request.then:
        raise InputError(f"{options.like} was made by one; leave {option('then')} out")
    if request is not None and len(followers) != len(request.then):
        check_followers(request, ["..."] * len(followers))
    return followers


def _doubts(model: SamplingModel, sampler: samplers.Sampler) -> list[str]:
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


def _stem(options: Sample, request: Request, followers: Sequence[str]) -> str:
    """The stem of a file's name: the seed and the settings that were given."""
    settings = {
        "branch": request.at,
        "index": request.indices and "_".join(map(str, request.indices)),
        "label": request.label and "_".join(map(str, request.label)),
        "sampler": options.sampler,
        **{name: getattr(options, name) for name in SAMPLER_OPTIONS},
        **{name: "_".join(map(_without_suffix, refs)) for name, refs in request.given.items()},
        "guidance": _scale_text(request.guidance),
        "then": "_".join(Path(name).name for name in followers) or None,
    }
    parts = [f"{name}{value}" for name, value in settings.items() if value is not None]
    return re.sub(r"[^\w.-]+", "-", "-".join([f"seed{request.seed}", *parts]))[:LONGEST_STEM]


def _scale_text(scale: float | Mapping[str, float]) -> str | None:
    """The scale of guidance in the name of a file; None without guidance."""
    if isinstance(scale, Mapping):
        return "-" + "_".join(f"{name}{value:g}" for name, value in scale.items())
    return None if scale == 1 else f"{scale:g}"


def _without_suffix(value: ImageRef | str) -> str:
    """The text of a value in the name of a file: numbers, a class, or the stem of an image's file."""
    return Path(value.name).stem if isinstance(value, ImageRef) else value


def _check_out(out: Path, model: SamplingModel) -> None:
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
