"""Samples of a trained model, written as a grid, single files, an array, an animation or a film strip."""

import dataclasses
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from torch import Tensor

from ancestral import __version__, hub, render, samplers, storage
from ancestral.config.output_folders import check_outside, is_output
from ancestral.data.decoding import from_pixels
from ancestral.data.statistics import channel_mean, evenly_spaced
from ancestral.declarations import Sample
from ancestral.errors import InputError, whole
from ancestral.events import Event, Message, Wrote, track
from ancestral.fields import arguments_of
from ancestral.guidance import NO_CLASS
from ancestral.model import Model, find, load, sampler_name, several
from ancestral.options import option
from ancestral.registries import DISTILLATIONS
from ancestral.render.result_text import channel_means
from ancestral.results.sampling_recipe import SamplingRecipe
from ancestral.results.sampling_result import SamplingResult
from ancestral.samplers.loop import Step
from ancestral.threads import cpu_threads
from ancestral.training import RunFolder
from ancestral.workflows.model_cards import home

SCALES = 0.05, 10.0
"""Smallest and largest scale of an animation."""
IMAGES, LOOKED_AT = (".png", ".jpg", ".jpeg"), 100
"""Files that are either sampled, and PNGs with a recipe, or other images; how many of a folder are looked at."""
SAMPLER_OPTIONS = ("steps", "eta", "variance")
"""Options of samplers that have names of their own."""
LONGEST_STEM = 100
"""The largest number of characters of a file name that is made of the settings, without its suffix."""


@dataclass(frozen=True)
class SamplePlan:
    """Samples that are decided: which, how they are made, and into which files.

    Attributes:
        model: The model.
        name: What the result calls it.
        sampler: The sampler.
        items: The indices of the samples.
        names: The classes that samples are conditioned on in turn; None for all of them.
        recipe: How they are made, for the metadata of PNGs.
        batch_size: The number of samples in a batch.
        threads: The number of CPU threads; None measures it.
        out: The grid, animation, array or folder.
        gif: An animation, if any.
        film: A film strip, if any.
        fps: The frames in a second of an animation.
        scale: Its scale.
        captions: Whether pictures name classes and times.
        notes: What the user should know, a line each.
    """

    model: Model
    name: str
    sampler: samplers.Sampler
    items: Sequence[int]
    names: tuple[str, ...] | None
    recipe: SamplingRecipe
    batch_size: int
    threads: int | None
    out: Path
    gif: Path | None
    film: Path | None
    fps: int
    scale: float
    captions: bool
    notes: tuple[str, ...]


def plan(options: Sample) -> SamplePlan:
    """Decide which samples are made, how, and into which files.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model or with other settings.
    """
    named = {name: getattr(options, name) for name in SAMPLER_OPTIONS}
    _check_suffixes(options)
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, **named)
    if options.n is not None and options.index is not None:
        raise InputError(f"{option('index')} says which samples to make, so leave their number {option('n')} out")
    file = options.model.file if isinstance(options.model, Model) else find(options.model)
    digest = storage.sha256(file) if file and file.is_file() else ""
    like = None if options.like is None else Path(options.like)
    recipe = None if like is None else _read_recipe(like, file, digest)
    folder = _samples_folder(options.model)
    name = str(file if isinstance(options.model, Model) else options.model)
    model = options.model if isinstance(options.model, Model) else load(options.model, options.device, net=options.net)
    sampler = model.sampler(options.sampler or (recipe.sampler if recipe else None), **named)
    names = None if options.label is None else _class_names(model, options.label)
    notes = [_doubt(model, sampler)]
    if like is not None and recipe is not None:
        notes += _check_like(like, recipe, options, model, sampler, names, name)
        n, index, seed, names, guidance = recipe.n, recipe.index, recipe.seed, recipe.label, recipe.guidance
    else:
        n, index, seed = 64 if options.n is None else options.n, options.index, options.seed or 0
        guidance = 1.0 if options.guidance is None else options.guidance
    items, single = model.items(n, index, options.batch_size), recipe is not None and recipe.single
    if single:
        render.check_png(model.spec.shape, model.spec.codec.dtype)
    parts = {
        "index": index and "_".join(map(str, index)),
        "label": names and "_".join(names),
        "sampler": options.sampler,
    }
    stem = _stem(seed, {**parts, **named, "guidance": None if guidance == 1 else guidance})
    out = folder / f"{stem}.png" if options.out is None else Path(options.out)
    _check_out(out, model)
    gif, film = _path(options.gif, folder / f"{stem}.gif"), _path(options.film, folder / f"{stem}-film.png")
    for path in filter(None, (out, gif, film)):
        check_outside(path, model.config.data.source)
    notes.append(_neighbour_note(out, [Path()] if folder == Path("samples") else []))
    animated = [path for path in (out, gif) if path is not None and path.suffix.lower() in render.ANIMATIONS]
    fps, scale = _check_animation(animated, options.fps, options.scale)
    return SamplePlan(
        model=model,
        name=name,
        sampler=sampler,
        items=items,
        names=names,
        recipe=SamplingRecipe(
            digest, __version__, seed, len(items), sampler_name(sampler), guidance, index, names, single
        ),
        batch_size=options.batch_size,
        threads=options.threads,
        out=out,
        gif=gif,
        film=film,
        fps=fps,
        scale=scale,
        captions=options.captions,
        notes=tuple(filter(None, notes)),
    )


def run(plan: SamplePlan) -> Generator[Event, None, SamplingResult]:
    """Sample the model and write the files.

    Yields:
        The progress, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    model, spec, recipe, items = plan.model, plan.model.spec, plan.recipe, plan.items
    for note in plan.notes:
        yield Message(note)
    times = plan.sampler.times(model.denoiser.schedule)
    animated = plan.gif is not None or plan.out.suffix.lower() in render.ANIMATIONS
    in_animation = evenly_spaced(render.frame_count(plan.fps), len(times)) if animated else []
    in_film = evenly_spaced(render.FILM_STATES, len(times)) if plan.film else []
    steps_of_batches = samplers.record(
        lambda batch: model.trajectory(batch, plan.sampler, recipe.seed, plan.names, recipe.guidance),
        items,
        plan.batch_size,
        lambda x: spec.codec.decode(x).cpu(),
        sorted({*in_animation, *in_film}),
    )
    task = f"{len(items)} image{'s' * (len(items) > 1)}"
    work = partial(model.rehearse, min(plan.batch_size, len(items)))
    with cpu_threads(plan.threads, model.device, work) as used:
        if used.reason:
            yield Message(used.reason)
        samples, states = yield from track(steps_of_batches, task, -(-len(items) // plan.batch_size) * len(times))
    frames, stills = ([state for state in states if state.index in kept] for kept in (in_animation, in_film))
    written = []
    for path, write in _files(plan, samples, frames, stills).items():
        written.append(storage.write_new(path, write))
        yield Wrote(written[-1])
    result = SamplingResult(
        model=plan.name,
        count=len(items),
        seed=recipe.seed,
        sampler=str(plan.sampler),
        label=None if plan.names is None else ", ".join(plan.names),
        guidance=recipe.guidance,
        paths=tuple(map(str, written)),
        codec=spec.codec.kind,
        means=channel_mean(samples) if samples.ndim > 2 else (),
        data_means=spec.mean,
        index=recipe.index,
    )
    if means := channel_means(result):
        yield Message(means)
    return result


def _files(
    plan: SamplePlan, samples: Tensor, frames: Sequence[Step], stills: Sequence[Step]
) -> dict[Path, Callable[[Path], None]]:
    """The files of a plan, each with what writes it."""
    model, spec, recipe, items, out = plan.model, plan.model.spec, plan.recipe, plan.items, plan.out
    of_model = bool(recipe.model)
    period = 1 if recipe.index is not None else len(spec.classes if plan.names is None else plan.names)
    columns = render.grid_columns(len(items), spec.shape, period or 1)  # one label in each column
    limits, classes = spec.codec.limits, model.class_names(items, plan.names) if plan.captions else None
    animate = partial(
        render.write_animation,
        states=frames,
        columns=columns,
        height=500,
        limits=limits,
        fps=plan.fps,
        scale=plan.scale,
    )
    files: dict[Path, Callable[[Path], None]] = {}
    suffix = out.suffix.lower()
    if suffix in render.ANIMATIONS:
        files[out] = animate
    elif suffix == ".npz":
        files[out] = lambda path: render.write_array(path, samples, model.labels(items, plan.names))
    elif suffix == ".png":
        text = recipe.to_json() if of_model else ""
        grid = partial(render.picture, samples, columns, 500, limits, classes)
        files[out] = lambda path: render.write_picture(path, from_pixels(samples[0]) if recipe.single else grid(), text)
    elif rate := spec.rate:
        files[out] = lambda path: render.write_recordings(path, samples, rate)
    else:
        each = [_recipe_of_one(recipe, model, index).to_json() if of_model else "" for index in items]
        files[out] = lambda path: render.write_images(path, samples, items, each)
    if plan.gif is not None:
        files[plan.gif] = animate
    if plan.film is not None:
        text_of_film = dataclasses.replace(recipe, single=False).to_json() if of_model else ""
        strip = partial(render.film, stills, width=1180, limits=limits, names=classes, captions=plan.captions)
        files[plan.film] = lambda path: render.write_picture(path, strip(), text_of_film)
    return files


def _check_like(
    like: Path,
    recipe: SamplingRecipe,
    options: Sample,
    model: Model,
    sampler: samplers.Sampler,
    names: tuple[str, ...] | None,
    name: str,
) -> list[str]:
    """What to say of samples that are made again.

    Raises:
        InputError: If the recipe is of another run, or an option is not that of the recipe.
    """
    if recipe.version == __version__ and recipe.run not in (None, model.config.identity()):
        raise InputError(
            f"{like} is a grid of the training of another run, with other settings or data than those of {name}: give "
            f"the model of that run, or leave {option('like')} out"
        )
    for what, given, made in (
        ("number", options.n, recipe.n),
        ("index", options.index, recipe.index),
        ("seed", options.seed, recipe.seed),
        ("label", names, recipe.label),
        ("guidance", options.guidance, recipe.guidance),
        ("sampler", sampler, model.sampler(recipe.sampler)),
    ):
        _check_same(like, what, given, made)
    notes = []
    if recipe.step not in (None, model.step):
        notes.append(f"{like} was made at step {recipe.step:,} of training; the model is of step {model.step:,}")
    if recipe.version != __version__:
        notes.append(f"{like} was made by ancestral {recipe.version}; version {__version__} may sample otherwise")
    return notes


def _neighbour_note(out: Path, others: Sequence[Path]) -> str:
    """A warning if samples are written beside images that are none, or ""."""
    beside = _other_image(out.parent, *others)
    if beside is None:
        return ""
    return (
        f"warning: {out} lies beside {beside}, which is no sample: who trains on that folder trains on both; "
        f"{option('out')} takes a place elsewhere"
    )


def _samples_folder(model: Model | str | Path) -> Path:
    """The folder for files without a path: `samples` of the run, or of the working folder for a model outside a run."""
    place = home(model)
    in_run = hub.is_address(model) or RunFolder(place).config.exists()
    return place / "samples" if in_run else Path("samples")


def _other_image(*folders: Path) -> Path | None:
    """An image in one of these folders that was not sampled; those of runs and reports are."""
    files = (
        file
        for folder in folders
        if folder.is_dir() and not any(map(is_output, (folder.absolute(), *folder.absolute().parents)))
        for file in islice(sorted(folder.iterdir()), LOOKED_AT)
        if file.suffix.lower() in IMAGES
    )
    for file in files:
        try:
            render.read_recipe(file)
        except InputError:
            return file
    return None


def _doubt(model: Model, sampler: samplers.Sampler) -> str:
    """Why a sampler does not suit a distilled model, or ""."""
    distil = model.config.distil
    if distil.method and DISTILLATIONS[distil.method].consistent and not isinstance(sampler, samplers.Consistency):
        return (
            "the x̂_0 of this model is a sample, for the sampler consistency; others take it for a mean, and get worse "
            "with each step"
        )
    suits = isinstance(sampler, samplers.DDIM) and sampler.steps == distil.evaluations
    if distil.method and not DISTILLATIONS[distil.method].consistent and not suits:
        return f"this model was distilled for {distil.evaluations} steps of ddim; other samples of it are worse"
    return ""


def _class_names(model: Model, label: int | str | Sequence[int | str]) -> tuple[str, ...]:
    """The names of the classes that labels are. Raises InputError if the model has no such class."""
    numbers = model.labels(range(len(several(label))), label)
    assert numbers is not None  # a model without classes has refused the label
    return tuple("none" if number == NO_CLASS else model.spec.classes[number] for number in numbers.tolist())


def _read_recipe(like: Path, file: Path | None, digest: str) -> SamplingRecipe:
    """The recipe in a PNG. Raises InputError if it has none, or was made by another model than those of training."""
    recipe = SamplingRecipe.from_json(render.read_recipe(like), f"the recipe in {like}")
    if recipe.model != digest and recipe.step is None:
        own = f"{file} is {digest[:12]}" if file else "this one is in no file"
        raise InputError(f"{like} was made by another model: the SHA-256 of its file is {recipe.model[:12]}, {own}")
    return recipe


def _check_same(like: Path, name: str, given: object, made: object) -> None:
    """Raise InputError for a setting that was given and is not that of the recipe."""
    if given is None or given == made:
        return
    wanted, had = (" ".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in (given, made))
    raise InputError(
        f"{like} was made {f'with the {name} {had}' if made is not None else f'without {name}'}, not with {wanted}; "
        f"leave that option out, or leave out {option('like')}"
    )


def _recipe_of_one(recipe: SamplingRecipe, model: Model, index: int) -> SamplingRecipe:
    """The recipe of one of the items alone."""
    names = _class_names(model, recipe.label or model.spec.classes) if model.spec.classes else None
    name = None if names is None else (names[index % len(names)],)
    return dataclasses.replace(recipe, n=1, index=(index,), label=name, single=True)


def _check_animation(paths: Sequence[Path], fps: int | None, scale: float | None) -> tuple[int, float]:
    """Frames in a second and scale of the animations. Raises InputError if they could not be written so."""
    for path in paths:
        render.check_animation(path)
    if not paths and (fps, scale) != (None, None):
        raise InputError(
            f"{option('fps')} and {option('scale')} are those of an animation: add {option('gif', True)}, or leave "
            "them out"
        )
    fps, scale = render.FPS if fps is None else fps, 1.0 if scale is None else scale
    least, most = SCALES
    if not least <= scale <= most:
        raise InputError(f"{option('scale')} must be from {least:g} to {most:g}, not {scale:g}")
    return whole(fps, 1, 50, f"{option('fps')} must be a whole number from 1 to 50, not {fps}"), scale


def _check_out(out: Path, model: Model) -> None:
    """Raise InputError if the samples could not be written."""
    if out.suffix.lower() in (*render.ANIMATIONS, ".npz", ".png"):
        return
    if out.suffix:
        if out.suffix.lower() == ".wav" and model.spec.rate:
            raise InputError(
                f"{out} names one file; give {option('out')} the name of a folder, which gets a .wav for each sample"
            )
        raise InputError(
            f"cannot write {out.suffix} files; {option('out')} takes .png, .gif, .webp, .mp4, .npz or the name of a "
            "folder"
        )
    if model.spec.rate is None:
        render.check_png(model.spec.shape, model.spec.codec.dtype)
    if out.exists() and not out.is_dir():
        raise InputError(
            f"{out} is a file; give {option('out')} a folder, or a name that ends in .png, .gif, .webp, .mp4 or .npz"
        )
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty, and the images of two runs would mix; give {option('out')} a new folder")


def _path(given: str | Path | bool, default: Path) -> Path | None:
    if isinstance(given, bool):
        return default if given else None
    return Path(given)


def _check_suffixes(options: Sample) -> None:
    """Raise InputError for a file of a kind that an option does not write."""
    for one in arguments_of(Sample):
        path = getattr(options, one.name)
        if one.suffixes and not isinstance(path, bool) and Path(path).suffix.lower() not in one.suffixes:
            *most, last = one.suffixes
            kinds = f"{', '.join(most)} or {last}" if most else last
            raise InputError(f"{option(one.name)} writes {kinds} files, not {path}")


def _stem(seed: int, settings: dict[str, object]) -> str:
    """The stem of a file's name: the seed and the settings that were given."""
    given = [f"{name}{value}" for name, value in settings.items() if value is not None]
    return re.sub(r"[^\w.-]+", "-", "-".join([f"seed{seed}", *given]))[:LONGEST_STEM]
