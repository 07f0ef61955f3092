"""The files that samples are written to: grids, single files, arrays, animations and film strips."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import format_hours
from ancestral.config.data_sources import FIELDS_WRITTEN, suffix_of
from ancestral.config.request import SAMPLER_OPTIONS, ImageRef, Request
from ancestral.config.run_files import check_outside
from ancestral.data import field_files
from ancestral.data.decoding import from_pixels
from ancestral.declarations import Sample
from ancestral.model.condition_values import ConditionValues, captions
from ancestral.model.process import Process
from ancestral.model.sample_conditioning import class_names, label_tensor
from ancestral.model.trained_model import TrainedModel
from ancestral.render import compositions, pictures, writers
from ancestral.render.pictures import ContextColumns
from ancestral.samplers import Recording, Step
from ancestral.use_cases.output_files import check_empty, check_kind_of_path, folder_of, path_of, stem_of
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.sampling_plan import SamplingPlan

SAMPLE_FILES = f".png, .gif, .webp, .mp4, .npz, {FIELDS_WRITTEN} or the name of a folder"
LONGEST_SAMPLE_STEM = 100
"""The largest number of characters of a file name that is made of the settings, without its suffix."""
ANIMATION_HEIGHT = 400
"""Pixels: about the height of x_t in an animation, which has x̂_0 beside it; lower than a grid, since noise is large."""


def paths_of(options: Sample, process: Process) -> tuple[Path, Path | None, Path | None]:
    """The file of the samples, the animation and the film strip."""
    folder = folder_of(options.model, "samples")
    stem = _stem(options, process.recipe, [one.model.name for one in process.chain[1:]])
    out = folder / f"{stem}.png" if options.out is None else Path(options.out)
    _check_out(out, process.model, bool(process.rollout))
    gif, film = path_of(options.gif, folder / f"{stem}.gif"), path_of(options.film, folder / f"{stem}-film.png")
    for path, one in product(filter(None, (out, gif, film)), process.chain):
        check_outside(path, one.model.config.data.source)
    animations = [path for path in (out, gif) if path is not None and path.suffix.lower() in writers.ANIMATIONS]
    for path in animations:
        writers.check_animation(path)
    if not animations and (options.fps, options.scale) != (None, None):
        names = f"{option('fps')} and {option('scale')}"
        raise InputError(f"{names} are those of an animation: add {option('gif', True)}, or leave them out")
    return out, gif, film


def files_of(
    plan: SamplingPlan, recording: Recording, frames: Sequence[Step], stills: Sequence[Step]
) -> dict[Path, Callable[[Path], None]]:
    """The files of a plan, each with what writes it."""
    process, options, out, samples = plan.process.given(recording), plan.options, plan.out, recording.samples
    assert isinstance(options, Sample)
    model, request, items, values = process.labelled or process.model, process.recipe, process.items, process.values
    spec, limits, suffix = process.model.spec, process.limits, suffix_of(out.name)
    before = compositions.condition_columns(values, items, limits)
    tiles = 1 + sum(len(part.images) > 1 or len(items) == 1 for part in before)
    period = 1 if request.indices is not None else _period(request, model, values)
    period = 1 if tiles > 1 and period >= len(items) else period
    columns = pictures.grid_columns(len(items), pictures.shown_shape(spec), period, tiles)  # one label in each column
    names = (
        captions(values, items, class_names(model.spec, items, request.label))
        if options.captions is not False
        else None
    )
    context = ContextColumns(before)

    def text(made: Request) -> str:
        return made.to_json() if made.model else ""

    def grid(path: Path) -> None:
        picture = partial(pictures.picture, samples, columns, 500, limits, names, context)
        if process.rollout:  # a row for each sample
            states = range(1, samples.shape[1] + 1)
            leads = [format_hours(state * spec.hours) if spec.hours else str(state) for state in states] * len(samples)
            titles = None if options.captions is False else leads
            picture = partial(pictures.picture, samples.flatten(0, 1), len(states), 500, limits, titles)
        drawn = from_pixels(samples[0]) if request.single else picture()
        legend = None if request.single or options.captions is False else limits
        writers.write_picture(path, pictures.with_legend(drawn, legend), text(request))

    def animate(path: Path) -> None:
        draw = partial(compositions.with_estimates, columns=columns, limits=limits, captions=names, context=context)
        drawn = compositions.animated(frames, draw, ANIMATION_HEIGHT, options.scale or 1.0)
        writers.write_animation(path, drawn, options.fps or writers.FPS)

    def single_files(path: Path) -> None:
        files = _file_names(items, values)
        if spec.rate:
            writers.write_recordings(path, samples, spec.rate, files)
        else:
            texts = [text(requests.of_one(request, model, item)) for item in items]
            writers.write_images(path, samples, files, texts)

    def array(path: Path) -> None:
        conditions = {name: value.array(items) for name, value in values.items()}
        writers.write_array(path, samples, label_tensor(model.spec, items, request.label), conditions)

    def fields(path: Path) -> None:
        conditions = {name: value.array(items) for name, value in values.items()}
        content = field_files.to_xarray(samples, spec, text(request), conditions, plan.process.start)
        field_files.write_fields(path, content, spec)

    def film(path: Path) -> None:
        strip = compositions.film(stills, width=1180, limits=limits, captions=names, context=context)
        writers.write_picture(path, strip, text(dataclasses.replace(request, single=False)))

    kinds: dict[str, Callable[[Path], None]] = dict.fromkeys(writers.ANIMATIONS, animate)
    kinds |= {".npz": array, ".png": grid, **dict.fromkeys(field_files.FORMATS, fields)}
    files = {out: kinds.get(suffix, single_files)}
    if plan.gif is not None:
        files[plan.gif] = animate
    if plan.film is not None:
        files[plan.film] = film
    return files


def _period(request: Request, model: TrainedModel, values: Mapping[str, ConditionValues]) -> int:
    """The number of samples after which their conditions repeat."""
    label, classes = request.label, model.spec.classes
    return math.lcm(len(classes if label is None else label) or 1, *(len(value.rows) for value in values.values()))


def _file_names(items: Sequence[int], values: Mapping[str, ConditionValues]) -> list[str]:
    """The names of single files, without suffix: those of the files of a condition if it has several, else numbers.

    Samples of one file have their number after its name.
    """
    numbers = list(writers.numbered(items))
    for value in values.values():
        files = [Path(name).absolute() for name in value.names]
        if value.kind.on_grid and len(files) > 1 and len(set(files)) == len(files):
            root = os.path.commonpath([file.parent for file in files])
            stems = [str(file.relative_to(root).with_suffix("")) for file in files]
            names = [stems[index % len(stems)] for index in items]
            if len(set(names)) == len(names):
                return names
            return [f"{name}-{number}" for name, number in zip(names, numbers, strict=True)]
    return numbers


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
    return stem_of("-".join([f"seed{request.seed}", *parts]), LONGEST_SAMPLE_STEM)


def _scale_text(scale: float | Mapping[str, float]) -> str | None:
    """The scale of guidance in the name of a file; None without guidance."""
    if isinstance(scale, Mapping):
        return "-" + "_".join(f"{name}{value:g}" for name, value in scale.items())
    return None if scale == 1 else f"{scale:g}"


def _without_suffix(value: ImageRef | str) -> str:
    """The text of a value in the name of a file: numbers, a class, or the stem of an image's file."""
    return Path(value.name).stem if isinstance(value, ImageRef) else value


def _check_out(out: Path, model: TrainedModel, in_time: bool) -> None:
    """Raise InputError if the samples could not be written."""
    if out.suffix.lower() == ".npz" and (name := writers.array_name(model.spec.shape)) in model.spec.conditions:
        raise InputError(f"{out} would hold two arrays called {name}, the samples and a condition: give a folder")
    if suffix_of(out.name) in field_files.FORMATS:
        field_files.check_format(out, model.spec, "states in time" * in_time)
        return
    if in_time and out.suffix.lower() not in (".npz", ".png"):
        raise InputError(f"{option('rollout')} writes a .nc, .zarr, .npz or .png: give {option('out', 'forecast.nc')}")
    if out.suffix.lower() in (*writers.ANIMATIONS, ".npz", ".png"):
        return
    if out.suffix:
        recordings = ", which gets a .wav for each sample" if model.spec.rate else ""
        raise InputError(f"cannot write {out.suffix} files; {option('out')} takes {SAMPLE_FILES}{recordings}")
    if model.spec.rate is None:
        writers.check_png(model.spec.shape, model.spec.codec.dtype)
    check_kind_of_path(out, SAMPLE_FILES)
    check_empty(out, "images of two runs")
