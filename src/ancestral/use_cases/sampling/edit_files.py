"""The files that edits are written to: pictures, arrays, overviews, animations and film strips."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Limits
from ancestral.config.data_sources import FIELDS_WRITTEN, suffix_of
from ancestral.config.request import Request
from ancestral.config.run_files import check_outside
from ancestral.data import field_files
from ancestral.data.decoding import from_pixels
from ancestral.declarations import Edit
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.process import Process
from ancestral.model.trained_model import TrainedModel
from ancestral.render import compositions, pictures, writers
from ancestral.render.pictures import ContextColumns
from ancestral.samplers import Recording
from ancestral.use_cases.output_files import check_empty, check_kind_of_path, folder_of, path_of, stem_of
from ancestral.use_cases.sampling.sampling_plan import SamplingPlan

EDIT_FILES = f".png, .npz, {FIELDS_WRITTEN} or the name of a folder"
LONGEST_EDIT_STEM = 60
"""The largest number of characters of a folder's name that are those of images."""


def of_part(request: Request, part: str) -> Request:
    """Return the request of a picture of an edit."""
    return dataclasses.replace(request, edit=dataclasses.replace(settings_of(request), part=part))


def _stem(options: Edit, request: Request) -> str:
    """The name of the folder: that of the images, the task and the seed."""
    names = [Path(ref.name).stem for name, ref in settings_of(request).images.items() if name != "mask"]
    text = stem_of("-".join(names), LONGEST_EDIT_STEM)
    return "-".join(filter(None, [text, options.task, f"seed{request.seed}"]))


def paths_of(options: Edit, request: Request, model: TrainedModel) -> tuple[Path, Path | None, Path | None]:
    """The folder or the file of the samples, the animation and the film strip."""
    folder = folder_of(options.model, "edits") / _stem(options, request)
    out = folder if options.out is None else Path(options.out)
    _check_out(out, options, model)
    default = out / "film.png" if out.suffix == "" else out.with_name(f"{out.stem}-film.png")
    film = path_of(options.film, default)
    gif = path_of(options.gif, default.with_name(default.name.replace("film.png", "walk.gif")))
    if gif is not None:
        writers.check_animation(gif)
    for path in filter(None, (out, gif, film)):
        check_outside(path, model.config.data.source)
    return out, gif, film


def _check_out(out: Path, options: Edit, model: TrainedModel) -> None:
    """Raise InputError if the samples could not be written."""
    suffix = out.suffix.lower()
    if suffix_of(out.name) in field_files.FORMATS:
        field_files.check_format(out, model.spec)
        return
    if suffix and suffix not in (".png", ".npz"):
        raise InputError(f"cannot write {out.suffix} files; {option('out')} takes {EDIT_FILES}")
    if not suffix:
        check_kind_of_path(out, EDIT_FILES)
    if not suffix and options.out is not None:
        check_empty(out, "files of two edits")


def files_of(plan: SamplingPlan, recording: Recording, deviation: Tensor | None) -> dict[Path, Callable[[Path], None]]:
    """The files of a plan, each with what writes it."""
    process, given, items, request = plan.process, plan.given, recording.samples, plan.recipe
    assert given is not None
    spec, limits, numbers = process.model.spec, process.limits, list(writers.numbered(process.items))
    is_picture = writers.fits_png(spec.shape, items.dtype)

    def text(part: str) -> str:
        return of_part(request, part).to_json() if request.model else ""

    names = _captions(process)

    def overview(path: Path) -> None:
        sheet = compositions.edit_overview(given.shown, items, names, deviation, limits)
        writers.write_picture(path, sheet, text("overview"))

    def picture(path: Path) -> None:
        if is_picture and len(items) == 1:
            writers.write_picture(path, from_pixels(items[0]), text(numbers[0]))
        else:
            overview(path)

    def array(path: Path) -> None:
        arrays = {writers.array_name(spec.shape): items.numpy()}
        if deviation is not None:
            arrays["std"] = deviation.float().numpy()
        writers.write_arrays(path, arrays)

    def film(path: Path) -> None:
        whole = (
            given.change is None or tuple(given.change.shape) == spec.shape[1:]
        )  # else the states are a window of it
        before = given.shown[-1:] if whole else ()
        strip = compositions.film(
            recording.states, width=1180, limits=limits, captions=names, context=ContextColumns(before)
        )
        writers.write_picture(path, strip, text("film"))

    def folder(path: Path) -> None:
        path.mkdir()
        if is_picture:
            writers.write_images(path, items, numbers, map(text, numbers))
        elif spec.rate:
            writers.write_recordings(path, items, spec.rate, numbers)
        if not is_picture:
            array(path / "samples.npz")
        if is_picture and deviation is not None:
            writers.write_picture(path / "std.png", compositions.deviation_map(deviation, limits), text("std"))
        overview(path / "overview.png")
        for extra, write in extras.items():
            if extra.parent == plan.out:
                write(path / extra.name)

    extras: dict[Path, Callable[[Path], None]] = {}
    if plan.gif is not None:
        extras[plan.gif] = partial(_animate, items=items, limits=limits)
    if plan.film is not None:
        extras[plan.film] = film

    def fields(path: Path) -> None:
        field_files.write_fields(path, field_files.to_xarray(items, spec, text("")), spec)

    kinds: dict[str, Callable[[Path], None]] = {".png": picture, ".npz": array}
    kinds |= dict.fromkeys(field_files.FORMATS, fields)
    files = {plan.out: kinds.get(suffix_of(plan.out.name), folder)}
    return files | {path: write for path, write in extras.items() if plan.out.suffix or path.parent != plan.out}


def _animate(path: Path, items: Tensor, limits: Limits) -> None:
    """Write the items as the frames of an animation."""
    frames = [pictures.picture(item[None], 1, 256, limits) for item in items]
    writers.write_animation(path, frames)


def _captions(process: Process) -> list[str]:
    """The names of the samples in the overview."""
    if settings_of(process.recipe).task == "interpolate" and process.count > 1:
        return [f"{number / (process.count - 1):.2g}" for number in range(process.count)]
    return [f"sample {index}" for index in process.items]
