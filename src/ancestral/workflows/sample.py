"""Samples of a trained model, written as a grid, single files, an array, an animation or a film strip."""

import dataclasses
import re
from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ancestral import __version__, hub, render, samplers, storage
from ancestral.arguments import checked
from ancestral.config.output_folders import check_outside, is_output
from ancestral.data.image_files import from_pixels
from ancestral.data.statistics import channel_mean, evenly_spaced
from ancestral.errors import InputError, whole
from ancestral.events import Event, Message, Wrote, track
from ancestral.guidance import NO_CLASS
from ancestral.model import Label, Model, NetSource, find, load, sampler_name, several
from ancestral.results.sampling_recipe import SamplingRecipe
from ancestral.results.sampling_result import SamplingResult
from ancestral.threads import cpu_threads
from ancestral.training import RunFolder
from ancestral.workflows.publish import home

SCALES = 0.05, 10.0
"""Smallest and largest scale of an animation."""
IMAGES, LOOKED_AT = (".png", ".jpg", ".jpeg"), 100
"""Files that are either sampled, and PNGs with a recipe, or other images; how many of a folder are looked at."""
LONGEST_STEM = 100
"""The largest number of characters of a file name that is made of the settings, without its suffix."""


@checked
def sample(
    model: Model | str | Path,
    n: int | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    variance: str | None = None,
    seed: int | None = None,
    label: Label = None,
    guidance: float | None = None,
    batch_size: int = 64,
    out: Path | None = None,
    gif: Path | bool = False,
    film: Path | bool = False,
    fps: int | None = None,
    scale: float | None = None,
    captions: bool = True,
    device: str = "auto",
    threads: int | None = None,
    net: NetSource | None = None,
    indices: Sequence[int] | None = None,
    like: Path | None = None,
) -> Generator[Event, None, SamplingResult]:
    """Sample a model and write files.

    No file is overwritten: where one exists, the new one gets a number, as in seed0-2.png. Each PNG of a model that was
    loaded from a file holds its `SamplingRecipe` in its metadata.

    Args:
        model: A model, or the run folder, the model file or the hf:// address of one.
        n: The number of samples: those with indices 0..n-1 of the seed; None is 64.
        sampler: A sampler's name, with options or without; None is the one of the model's config.
        steps: The sampler's number of steps.
        eta: The noise of ddim and dpm.
        variance: The variance of ddpm.
        seed: The seed of all noise; None is 0.
        label: Name or number of a class, or "none"; of several, sample i of the seed has label i mod their number. None
            samples all classes in turn.
        guidance: The scale of classifier-free guidance; None is 1.
        batch_size: The number of samples in a batch.
        out: A .png for a grid, .gif, .webp or .mp4 for an animation, .npz for an array, else a new folder of single
            PNGs (of .wav files, of a model of recordings); None is a grid in the folder `samples` of the run, or of the
            working folder for a model outside a run.
        gif: A .gif, .webp or .mp4 for an animation as well; True is a GIF in the folder `samples` of the run.
        film: A path for a film strip as well; True is one in the folder `samples` of the run.
        fps: Frames in a second of the animation, which shows the reverse process in 2.5 seconds; None is 8.
        scale: Width and height of the animation, as a share of its usual ones; None is 1.
        captions: Whether grids and film strips name the class of each item, and film strips t.
        device: The device on which a model is loaded.
        threads: The number of CPU threads; None measures which serves.
        net: The network of your own, or its function package.module:function, that the model was trained with.
        indices: Which samples of the seed, in place of the first n.
        like: A PNG that was written here: the same samples again. Settings that differ from its recipe are refused. Of
            a grid of training, whose weights may be gone, the items are those of the same noise and settings.

    Yields:
        The progress, and the files written.

    Returns:
        The files, and how the samples were made.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model or with other settings, before any work is done.
    """
    options: dict[str, Any] = {"steps": steps, "eta": eta, "variance": variance}
    if sampler:  # a misspelt name is refused before a large model is read
        samplers.check_name(sampler, **options)
    if n is not None and indices is not None:
        raise InputError("--index says which samples to make, so leave their number -n out")
    file = model.file if isinstance(model, Model) else find(model)
    digest = storage.sha256(file) if file and file.is_file() else ""
    recipe = _read_recipe(like, file, digest) if like else None
    folder = _samples_folder(model)
    name = str(model.file if isinstance(model, Model) else model)
    model = model if isinstance(model, Model) else load(model, device, net=net)
    if like and recipe and recipe.version == __version__ and recipe.run not in (None, model.config.identity()):
        raise InputError(
            f"{like} is a grid of the training of another run, with other settings or data than those of {name}: give "
            "the model of that run, or leave --like out"
        )
    chosen, spec = model.sampler(sampler or (recipe.sampler if recipe else None), **options), model.spec
    if doubt := _doubt(model, chosen):
        yield Message(doubt)
    names = None if label is None else _class_names(model, label)
    if like and recipe:
        made = model.sampler(recipe.sampler)
        _check_same(like, "number", n, recipe.n)
        _check_same(like, "index", None if indices is None else tuple(indices), recipe.index)
        _check_same(like, "seed", seed, recipe.seed)
        _check_same(like, "label", names, recipe.label)
        _check_same(like, "guidance", guidance, recipe.guidance)
        _check_same(like, "sampler", chosen, made)
        n, indices, seed, names, guidance = recipe.n, recipe.index, recipe.seed, recipe.label, recipe.guidance
        if recipe.step not in (None, model.step):
            yield Message(f"{like} was made at step {recipe.step:,} of training; the model is of step {model.step:,}")
        if recipe.version != __version__:
            yield Message(f"{like} was made by ancestral {recipe.version}; version {__version__} may sample otherwise")
    else:
        n, seed, guidance = 64 if n is None else n, seed or 0, 1.0 if guidance is None else guidance
    items, single = model.items(n, indices, batch_size), recipe is not None and recipe.single
    if single:
        render.check_png(spec.shape, spec.codec.dtype)
    index = None if indices is None else tuple(indices)
    strength = None if guidance == 1 else guidance
    parts = {"index": index and "_".join(map(str, index)), "label": names and "_".join(names), "sampler": sampler}
    stem = _stem(seed, {**parts, **options, "guidance": strength})
    out = out or folder / f"{stem}.png"
    _check_out(out, model)
    gif_path, film_path = _path(gif, folder / f"{stem}.gif"), _path(film, folder / f"{stem}-film.png")
    for path in filter(None, (out, gif_path, film_path)):
        check_outside(path, model.config.data.source)
    if beside := _other_image(out.parent, *([Path()] if folder == Path("samples") else [])):
        yield Message(
            f"warning: {out} lies beside {beside}, which is no sample: who trains on that folder trains on both; "
            "--out takes a place elsewhere"
        )

    animated = [path for path in (out,) if path.suffix.lower() in render.ANIMATIONS] + ([gif_path] if gif_path else [])
    speed, size = _check_animation(animated, fps, scale)
    times = chosen.times(model.denoiser.schedule)
    in_animation = evenly_spaced(render.frame_count(speed), len(times)) if animated else []
    in_film = evenly_spaced(render.FILM_STATES, len(times)) if film_path else []
    steps_of_batches = samplers.record(
        lambda batch: model.trajectory(batch, chosen, seed, names, guidance),
        items,
        batch_size,
        lambda x: spec.codec.decode(x).cpu(),
        sorted({*in_animation, *in_film}),
    )
    task = f"{len(items)} image{'s' * (len(items) > 1)}"
    with cpu_threads(threads, model.device, partial(model.rehearse, min(batch_size, len(items)))) as used:
        if used.reason:
            yield Message(used.reason)
        samples, states = yield from track(steps_of_batches, task, -(-len(items) // batch_size) * len(times))

    made_as = SamplingRecipe(
        digest, __version__, seed, len(items), sampler_name(chosen), guidance, index, names, single
    )
    text, film_text = (r.to_json() if digest else "" for r in (made_as, dataclasses.replace(made_as, single=False)))
    period = 1 if index is not None else len(spec.classes if names is None else names)  # one label in each column
    columns = render.grid_columns(len(items), spec.shape, period or 1)
    limits, classes = spec.codec.limits, model.class_names(items, names) if captions else None
    frames, stills = ([state for state in states if state.index in kept] for kept in (in_animation, in_film))
    animate = partial(
        render.write_animation, states=frames, columns=columns, height=500, limits=limits, fps=speed, scale=size
    )
    files: dict[Path, Callable[[Path], None]] = {}
    if out in animated:
        files[out] = animate
    elif out.suffix.lower() == ".npz":
        files[out] = lambda path: render.write_array(path, samples, model.labels(items, names))
    elif out.suffix.lower() == ".png" and single:
        files[out] = lambda path: render.write_picture(path, from_pixels(samples[0]), text)
    elif out.suffix.lower() == ".png":
        grid = partial(render.picture, samples, columns, 500, limits, classes)
        files[out] = lambda path: render.write_picture(path, grid(), text)
    elif rate := spec.rate:
        files[out] = lambda path: render.write_recordings(path, samples, rate)
    else:
        each = [_recipe_of_one(made_as, model, index).to_json() if digest else "" for index in items]
        files[out] = lambda path: render.write_images(path, samples, items, each)
    if gif_path:
        files[gif_path] = animate
    if film_path:
        strip = partial(render.film, stills, width=1180, limits=limits, names=classes, captions=captions)
        files[film_path] = lambda path: render.write_picture(path, strip(), film_text)
    written = []
    for path, write in files.items():
        written.append(storage.write_new(path, write))
        yield Wrote(written[-1])
    return SamplingResult(
        model=name,
        count=len(items),
        seed=seed,
        sampler=str(chosen),
        label=None if names is None else ", ".join(names),
        guidance=guidance,
        paths=tuple(map(str, written)),
        codec=spec.codec.kind,
        means=channel_mean(samples) if samples.ndim > 2 else (),
        data_means=spec.mean,
        index=index,
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
    if distil.method in ("consistency", "tuning") and not isinstance(sampler, samplers.Consistency):
        return (
            "the x̂_0 of this model is a sample, for the sampler consistency; others take it for a mean, and get worse "
            "with each step"
        )
    suits = isinstance(sampler, samplers.DDIM) and sampler.steps == distil.evaluations
    if distil.method == "progressive" and not suits:
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
        "leave that option out, or leave out --like"
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
        raise InputError("--fps and --scale are those of an animation: add --gif, or leave them out")
    fps, scale = render.FPS if fps is None else fps, 1.0 if scale is None else scale
    least, most = SCALES
    if not least <= scale <= most:
        raise InputError(f"--scale must be from {least:g} to {most:g}, not {scale:g}")
    return whole(fps, 1, 50, f"--fps must be a whole number from 1 to 50, not {fps}"), scale


def _check_out(out: Path, model: Model) -> None:
    """Raise InputError if the samples could not be written."""
    if out.suffix.lower() in (*render.ANIMATIONS, ".npz", ".png"):
        return
    if out.suffix:
        if out.suffix.lower() == ".wav" and model.spec.rate:
            raise InputError(
                f"{out} names one file; give --out the name of a folder, which gets a .wav for each sample"
            )
        raise InputError(
            f"cannot write {out.suffix} files; --out takes .png, .gif, .webp, .mp4, .npz or the name of a folder"
        )
    if model.spec.rate is None:
        render.check_png(model.spec.shape, model.spec.codec.dtype)
    if out.exists() and not out.is_dir():
        raise InputError(
            f"{out} is a file; give --out a folder, or a name that ends in .png, .gif, .webp, .mp4 or .npz"
        )
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty, and the images of two runs would mix; give --out a new folder")


def _path(given: Path | bool, default: Path) -> Path | None:
    return given if isinstance(given, Path) else default if given else None


def _stem(seed: int, settings: dict[str, object]) -> str:
    """The stem of a file's name: the seed and the settings that were given."""
    given = [f"{name}{value}" for name, value in settings.items() if value is not None]
    return re.sub(r"[^\w.-]+", "-", "-".join([f"seed{seed}", *given]))[:LONGEST_STEM]
