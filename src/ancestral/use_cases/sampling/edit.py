"""Edits with a trained model: a part sampled anew, restoration, variations and walks between two images."""

import dataclasses
import hashlib
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral import samplers
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message, Wrote
from ancestral.base.options import option
from ancestral.base.threads import cpu_threads
from ancestral.config.folders import check_outside
from ancestral.config.request import EditRequest, ImageRef, Request
from ancestral.data.decoding import from_pixels
from ancestral.data.statistics import evenly_spaced
from ancestral.declarations import Edit
from ancestral.model import editing, sampler_name
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.image_values import read_images, reading_notes
from ancestral.model.masks import box_mask, read_change
from ancestral.model.requested import recipe_of, stages_of
from ancestral.model.sampling_model import SamplingModel
from ancestral.render import compositions, pictures, writers
from ancestral.render.pictures import Beside, Flanks
from ancestral.results.editing_result import EditingResult
from ancestral.samplers import Step
from ancestral.use_cases.output_files import folder_of, path_of
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.reverse_process import sampled

FITTED = ("method", "iterations", "noise")
OF_TASK = {
    "inpaint": ("mask", "box", "changes", *FITTED),
    "restore": ("operator", *FITTED),
    "vary": ("strength",),
    "interpolate": ("other", "t", "gif"),
}
"""Options that not all tasks have."""
FILES = ".png, .npz or the name of a folder"
LONGEST_STEM = 60
"""The largest number of characters of a folder's name that are those of images."""
STATISTICS = 2
"""The smallest number of samples that have a map of their standard deviation."""


@dataclass(frozen=True)
class EditPlan:
    """An edit that is decided: how it is made, and into which files.

    Attributes:
        options: What the user gave.
        model: The model.
        name: What messages call the model.
        edit: How the samples are made.
        request: How they are made, for the metadata of PNGs.
        items: The indices of the samples.
        shown: What the user gave, as it stands before the samples.
        change: What may change, bool (*sides); None is all.
        out: The folder or the file.
        gif: An animation, if any.
        film: A film strip, if any.
        notes: What the user should know, a line each.
    """

    options: Edit
    model: SamplingModel
    name: str
    edit: editing.DecidedEdit
    request: Request
    items: Sequence[int]
    shown: tuple[Beside, ...]
    change: Tensor | None
    out: Path
    gif: Path | None
    film: Path | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """What an edit begins with.

    Attributes:
        arguments: The arguments of the function that decides it, by name.
        shown: The images, as they stand before the samples.
        change: What may change; None is all.
        values: The images and the mask by name, as they are recognised.
        notes: What reading them changed.
    """

    arguments: Mapping[str, Any]
    shown: tuple[Beside, ...] = ()
    change: Tensor | None = None
    values: dict[str, ImageRef] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def plan(options: Edit) -> EditPlan:
    """Decide how an image is edited, and into which files.

    Raises:
        InputError: If the model cannot do this, the images cannot be read, an option does not apply, or `like` was made
            otherwise.
    """
    _check_options(options)
    digest = requests.digest_at(options.model)
    like = None if options.like is None else requests.like(options, digest)
    if like is not None:
        _check_task(like, options)
    source = requests.loaded(options, digest)
    model, name = source.model, source.name
    if len(model.spec.shape) < 2:
        raise InputError(f"{name} is a model of points; images, signals and volumes can be edited")
    given = _given(options, model, like)
    if like is not None:
        _check_images(like, given)
    settings = _settings(options, given) if like is None else settings_of(like)
    request = (requests.of_options(options) if like is None else like).of_edit(settings, given.arguments)
    request = requests.with_weak(request, options, model)
    (stage,) = stages_of([source], request)
    edit = editing.edit_of(model, request)
    indices = None if options.task == "interpolate" else request.indices
    items = range(edit.count) if indices is None else indices
    out, gif, film = _paths(options, request)
    for path in filter(None, (out, gif, film)):
        check_outside(path, model.config.data.source)
    own = request.objects.sampler
    request = recipe_of(
        request,
        [stage],
        n=len(items),
        sampler=request.sampler if own is None else sampler_name(own),
        edit=dataclasses.replace(settings, method=edit.method if _fits(options) else None),
    )
    notes = [
        *given.notes,
        *edit.notes,
        *requests.never_absent(stage),
        *requests.beyond_data(stage),
        *requests.snapshot_notes(options, request.objects.weak),
        *(requests.differences(like, model) if like else ()),
    ]
    return EditPlan(
        options=options,
        model=model,
        name=name,
        edit=edit,
        request=request,
        items=items,
        shown=given.shown,
        change=given.change,
        out=out,
        gif=gif,
        film=film,
        notes=tuple(dict.fromkeys(notes)),
    )


def run(plan: EditPlan) -> Generator[Event, None, EditingResult]:
    """Make the samples of an edit and write the files.

    Yields:
        The method and why it was taken, the progress, each state of the reverse process, and the files written.

    Returns:
        The files, and how the samples were made.
    """
    edit, model, options = plan.edit, plan.model, plan.options
    yield Message(f"{edit.method}: {edit.reason}")
    yield from map(Message, plan.notes)
    size, began = model.batch(options.batch_size), time.perf_counter()
    keep = evenly_spaced(compositions.FILM_STATES, len(edit.times)) if plan.film else []
    with cpu_threads(options.threads):
        task = f"{edit.count} sample{'s' * (edit.count > 1)}"
        same_sides = plan.change is not None and tuple(plan.change.shape) == model.spec.shape[1:]
        recording = yield from sampled(
            edit.trajectory,
            edit.count,
            size,
            task,
            len(edit.times),
            model.spec.decode,
            keep,
            Tensor.cpu,
            edit.finish if same_sides else None,  # else a state would be a large image around a small window
        )
    seconds = time.perf_counter() - began
    items = edit.finish(recording.samples)
    remarks = edit.check(items)
    yield from map(Message, remarks)
    deviation = None
    if options.task != "interpolate" and edit.count >= STATISTICS:
        deviation = editing.deviation_of(items)
    decode = model.spec.decode
    states = [Step(state.index, state.t, decode(state.x), decode(state.x0)) for state in recording.states]
    paths = []
    for path, write in _files(plan, items, deviation, states).items():
        paths.append(storage.write_new(path, write))
        yield Wrote(paths[-1])
    changed = deviation if deviation is None or plan.change is None else deviation[plan.change]
    return EditingResult(
        model=plan.name,
        task=options.task,
        count=edit.count,
        seed=plan.request.seed,
        method=edit.method,
        reason=edit.reason,
        evaluations=edit.evaluations,
        seconds=seconds,
        paths=tuple(map(str, paths)),
        deviation=None if changed is None else float(changed.mean()),
        index=plan.request.indices,
        given=plan.request.given,
        notes=(*plan.notes, *remarks),
    )


# -- what the user gives ----------------------------------------------------------------------------------------------


def _check_options(options: Edit) -> None:
    """Raise InputError for options that the task does not have, or lacks."""
    task = options.task
    for name in dict.fromkeys(name for names in OF_TASK.values() for name in names):
        value = getattr(options, name)
        if name not in OF_TASK[task] and value is not None and value is not False:
            tasks = " and ".join(other for other, names in OF_TASK.items() if name in names)
            raise InputError(f"{option(name)} is an option of {tasks}, and has no meaning in {task}: leave it out")
    if options.image is None and task != "interpolate":
        raise InputError(f"{task} needs an image: give it after the task")
    for name in ("mask", "changes"):
        if getattr(options, name) is not None and options.box is not None:
            raise InputError(f"{option(name)} and {option('box')} both say what changes: give one of them")
    if (options.image is None) != (options.other is None) and task == "interpolate":
        raise InputError(
            "interpolate walks between two images: give both, or none to walk between labels or conditions"
        )
    if task == "interpolate" and len(options.index or (0,)) != 1:
        raise InputError(f"interpolate begins at the noise of one sample: give one {option('index')}")
    if options.n is not None and options.index is not None and task != "interpolate":
        raise InputError(f"{option('index')} says which samples to make, so leave their number {option('n')} out")
    if isinstance(options.sampler, str):  # a misspelt name is refused before a large model is read
        samplers.check_name(options.sampler, steps=options.steps)


def _given(options: Edit, model: SamplingModel, like: Request | None) -> Given:
    """Read what an edit begins with."""
    spec, task = model.spec, options.task
    if task == "interpolate":
        if options.image is None:
            return Given({})
        pairs = {"image": options.image, "other": options.other}
        images = {name: _one(read_images(spec, value, name), name) for name, value in pairs.items()}
        notes = tuple(note for value in pairs.values() for note in reading_notes(spec, value))
        values = {name: image_ref(pairs[name], image) for name, image in images.items()}
        return Given({"image": options.image, "other": options.other}, values=values, notes=notes)
    if task == "restore":
        kept = None if like is None else settings_of(like)
        operator = kept.operator if kept is not None and options.operator is None else options.operator
        noise = options.noise if kept is None else kept.noise
        shape = editing.measured_shape(spec, operator, noise or 0.0)
        image = _one(read_images(spec, options.image, "image", shape=shape), "image")
        part = Beside("input", image[None], spec.codec.limits)
        notes = tuple(reading_notes(spec, options.image) if spec.rate and shape == spec.shape else ())
        values = {"image": image_ref(options.image, image)}
        return Given({"image": options.image, "operator": operator}, (part,), values=values, notes=notes)
    keep_size = task == "inpaint"
    image = _one(read_images(spec, options.image, "image", keep_size), "image")
    shown, values = [Beside("input", image[None], spec.codec.limits)], {"image": image_ref(options.image, image)}
    notes = tuple(reading_notes(spec, options.image, keep_size))
    if task == "vary":
        return Given({"image": options.image}, tuple(shown), values=values, notes=notes)
    sides = image.shape[1:]
    if options.box is None:
        mask, note = read_change(spec, options.image, image, options.mask, options.changes)
    else:
        mask, note = box_mask(options.box, sides), ""
    low, high = spec.codec.limits
    known = torch.where(mask, low, high).to(image.dtype)[None]
    shown.append(Beside("known", torch.cat([image, known])[None], spec.codec.limits, masked=True))
    values["mask"] = image_ref(
        (options.image if options.mask is None else options.mask) if options.box is None else "box", mask
    )
    return Given({"image": options.image, "mask": mask}, tuple(shown), mask, values, (*filter(None, [note]), *notes))


def _one(images: Tensor, name: str) -> Tensor:
    """The only image. Raises InputError if there are several."""
    if len(images) > 1:
        raise InputError(f"{len(images)} images are given as {name}: give one in a call")
    return images[0]


def image_ref(value: Any, values: Tensor) -> ImageRef:
    """The reference to an image of an edit: its name and the SHA-256 of its values."""
    name = Path(value).name if isinstance(value, str | Path) else "image"
    content = str(tuple(values.shape)).encode() + values.contiguous().numpy().tobytes()
    return ImageRef(name, hashlib.sha256(content).hexdigest()[:16])


def _fits(options: Edit) -> bool:
    """Whether the task has methods to choose from."""
    return "method" in OF_TASK[options.task]


def _settings(options: Edit, given: Given) -> EditRequest:
    """What the request has of the edit."""
    own = {name: getattr(options, name) for name in ("strength", "t", "iterations", "noise", "method")}
    operator = None if options.operator is None else str(options.operator)
    return EditRequest(options.task, given.values, operator=operator, **own)


def _check_task(like: Request, options: Edit) -> None:
    """Raise InputError if a request is one of another task, or of another operator."""
    settings = settings_of(like)
    if settings.task != options.task:
        task = settings.task or "ancestral sample"
        raise InputError(f"{options.like} was made by {task}, not by {options.task}")
    if options.operator is not None and str(options.operator) != settings.operator:
        raise InputError(
            f"{options.like} was made with the operator {settings.operator}: leave {option('operator')} out"
        )


def _check_images(like: Request, given: Given) -> None:
    """Raise InputError unless the images and the mask are those of a request."""
    images = settings_of(like).images
    for name in dict.fromkeys((*images, *given.values)):
        was, now = images.get(name), given.values.get(name)
        if (was and was.digest) != (now and now.digest):
            which = was.name if was else "none"
            raise InputError(f"{like.source} was made with another {name} ({which}): give that one")


# -- the files --------------------------------------------------------------------------------------------------------


def _stem(options: Edit, request: Request) -> str:
    """The name of the folder: that of the images, the task and the seed."""
    names = [Path(ref.name).stem for name, ref in settings_of(request).images.items() if name != "mask"]
    text = re.sub(r"[^\w.-]+", "-", "-".join(names))[:LONGEST_STEM]
    return "-".join(filter(None, [text, options.task, f"seed{request.seed}"]))


def _paths(options: Edit, request: Request) -> tuple[Path, Path | None, Path | None]:
    """The folder or the file of the samples, the animation and the film strip."""
    folder = folder_of(options.model, "edits") / _stem(options, request)
    out = folder if options.out is None else Path(options.out)
    _check_out(out, options)
    default = out / "film.png" if out.suffix == "" else out.with_name(f"{out.stem}-film.png")
    film = path_of(options.film, default)
    gif = path_of(options.gif, default.with_name(default.name.replace("film.png", "walk.gif")))
    if gif is not None:
        writers.check_animation(gif)
    return out, gif, film


def _check_out(out: Path, options: Edit) -> None:
    """Raise InputError if the samples could not be written."""
    suffix = out.suffix.lower()
    if suffix and suffix not in (".png", ".npz"):
        raise InputError(f"cannot write {out.suffix} files; {option('out')} takes {FILES}")
    if not suffix and out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; {option('out')} takes {FILES}")
    if options.out is not None and not suffix and out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty, and the files of two edits would mix; give {option('out')} a new folder")


def _files(
    plan: EditPlan, items: Tensor, deviation: Tensor | None, states: Sequence[Step]
) -> dict[Path, Callable[[Path], None]]:
    """The files of a plan, each with what writes it."""
    spec, limits, request = plan.model.spec, plan.model.spec.codec.limits, plan.request
    numbers = list(writers.numbered(plan.items))
    is_picture = writers.fits_png(spec.shape, items.dtype)

    def text(part: str) -> str:
        edit = dataclasses.replace(settings_of(request), part=part)
        return dataclasses.replace(request, edit=edit).to_json() if request.model else ""

    names = _captions(plan)

    def overview(path: Path) -> None:
        sheet = compositions.edit_overview(plan.shown, items, names, deviation, limits)
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
        whole = plan.change is None or tuple(plan.change.shape) == spec.shape[1:]  # else the states are a window of it
        before = plan.shown[-1:] if whole else ()
        strip = compositions.film(states, width=1180, limits=limits, captions=names, flanks=Flanks(before))
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
    kinds: dict[str, Callable[[Path], None]] = {".png": picture, ".npz": array}
    files = {plan.out: kinds.get(plan.out.suffix.lower(), folder)}
    return files | {path: write for path, write in extras.items() if plan.out.suffix or path.parent != plan.out}


def _animate(path: Path, items: Tensor, limits: tuple[float, float]) -> None:
    """Write the items as the frames of an animation."""
    frames = [pictures.picture(item[None], 1, 256, limits) for item in items]
    writers.write_animation(path, frames)


def _captions(plan: EditPlan) -> list[str]:
    """The names of the samples in the overview."""
    if plan.options.task == "interpolate" and plan.edit.count > 1:
        return [f"{number / (plan.edit.count - 1):.2g}" for number in range(plan.edit.count)]
    return [f"sample {index}" for index in plan.items]
