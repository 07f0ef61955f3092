"""Samples of a trained model, written as a grid, single files, an array, an animation or a film strip."""

import re
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from ancestral import render, samplers
from ancestral.arguments import checked
from ancestral.data.statistics import channel_mean, evenly_spaced
from ancestral.errors import InputError
from ancestral.events import Event, Wrote, track
from ancestral.model import Model, NetSource, load
from ancestral.results.sampling_result import SamplingResult
from ancestral.workflows.publish import home

ANIMATIONS = (".gif", ".webp")
FRAMES = 40
"""The number of states of the reverse process in an animation."""


@checked
def sample(
    model: Model | str | Path,
    n: int = 64,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    variance: str | None = None,
    seed: int = 0,
    label: int | str | None = None,
    guidance: float = 1.0,
    batch_size: int = 64,
    out: Path | None = None,
    gif: Path | bool = False,
    film: Path | bool = False,
    captions: bool = True,
    device: str = "auto",
    net: NetSource | None = None,
) -> Generator[Event, None, SamplingResult]:
    """Sample a model and write files.

    Args:
        model: A model, or the run folder, the model file or the hf:// address of one.
        n: The number of samples: those with indices 0..n-1 of the seed.
        sampler: A sampler's name, with options or without; None is the one of the model's config.
        steps: The sampler's number of steps.
        eta: The noise of ddim and dpm.
        variance: The variance of ddpm.
        seed: The seed of all noise.
        label: Name or number of a class, or "none"; None samples all classes in turn.
        guidance: The scale of classifier-free guidance.
        batch_size: The number of samples in a batch.
        out: A .png for a grid, .gif or .webp for an animation, .npz for an array, else a new folder of single PNGs (of
            .wav files, of a model of recordings); None is a grid in the folder `samples` of the run.
        gif: A path for an animation as well; True is one in the folder `samples` of the run.
        film: A path for a film strip as well; True is one in the folder `samples` of the run.
        captions: Whether grids and film strips name the class of each item, and film strips t.
        device: The device on which a model is loaded.
        net: The network of your own, or its function package.module:function, that the model was trained with.

    Yields:
        The progress, and the files written.

    Returns:
        The files, and how the samples were made.

    Raises:
        InputError: If the model cannot be sampled so or the samples cannot be written so, before any work is done.
    """
    options: dict[str, Any] = {"steps": steps, "eta": eta, "variance": variance}
    if sampler:  # a misspelt name is refused before a large model is read
        samplers.from_name(sampler, **options)
    folder = home(model) / "samples"
    name = str(model.file if isinstance(model, Model) else model)
    model = model if isinstance(model, Model) else load(model, device, net=net)
    model.check_count(n, batch_size)
    chosen, spec = model.sampler(sampler, **options), model.spec
    strength = None if guidance == 1 else guidance
    stem = _stem(seed, {"": label, "sampler": sampler, **options, "guidance": strength})
    out = out or folder / f"{stem}.png"
    _check_out(out, model)
    gif_path, film_path = _path(gif, folder / f"{stem}.gif"), _path(film, folder / f"{stem}-film.png")

    times = chosen.times(model.denoiser.schedule)
    keep = evenly_spaced(FRAMES, len(times)) if gif_path or film_path or out.suffix.lower() in ANIMATIONS else []
    steps_of_batches = samplers.record(
        lambda indices: model.trajectory(indices, chosen, seed, label, guidance),
        range(n),
        batch_size,
        lambda x: spec.codec.decode(x).cpu(),
        keep,
    )
    samples, states = yield from track(steps_of_batches, f"{n} images", -(-n // batch_size) * len(times))

    columns = render.grid_columns(n, spec.shape, len(spec.classes) if spec.classes and label is None else 1)
    limits, names = spec.codec.limits, model.class_names(range(n), label) if captions else None
    animate = partial(render.write_animation, states=states, columns=columns, height=500, limits=limits)
    files: dict[Path, Callable[[Path], None]] = {}
    if out.suffix.lower() in ANIMATIONS:
        files[out] = animate
    elif out.suffix.lower() == ".npz":
        files[out] = lambda path: render.write_array(path, samples, model.labels(range(n), label))
    elif out.suffix.lower() == ".png":
        files[out] = lambda path: render.write_picture(path, render.picture(samples, columns, 500, limits, names))
    elif rate := spec.rate:
        files[out] = lambda path: render.write_recordings(path, samples, rate)
    else:
        files[out] = lambda path: render.write_images(path, samples)
    if gif_path:
        files[gif_path] = animate
    if film_path:
        strip = partial(render.film, states, width=1180, limits=limits, names=names, captions=captions)
        files[film_path] = lambda path: render.write_picture(path, strip())
    for path, write in files.items():
        write(path)
        yield Wrote(path)
    return SamplingResult(
        model=name,
        count=n,
        seed=seed,
        sampler=str(chosen),
        label=None if label is None else str(label),
        guidance=guidance,
        paths=tuple(map(str, files)),
        codec=spec.codec.kind,
        means=channel_mean(samples) if samples.ndim > 2 else (),
        data_means=spec.mean,
    )


def _check_out(out: Path, model: Model) -> None:
    """Raise InputError if the samples could not be written."""
    if out.suffix.lower() in (*ANIMATIONS, ".npz", ".png"):
        return
    if out.suffix:
        raise InputError(
            f"cannot write {out.suffix} files; --out takes .png, .gif, .webp, .npz or the name of a folder"
        )
    if model.spec.rate is None:
        render.check_png(model.spec.shape, model.spec.codec.dtype)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out a folder, or a name that ends in .png, .gif, .webp or .npz")
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty, and the images of two runs would mix; give --out a new folder")


def _path(given: Path | bool, default: Path) -> Path | None:
    return given if isinstance(given, Path) else default if given else None


def _stem(seed: int, settings: dict[str, object]) -> str:
    """The stem of a file's name: the seed and the settings that were given."""
    given = [f"{name}{value}" for name, value in settings.items() if value is not None]
    return re.sub(r"[^\w.-]+", "-", "-".join([f"seed{seed}", *given]))
