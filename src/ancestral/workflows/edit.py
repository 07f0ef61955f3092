"""Edits with a trained model: a part sampled anew, restoration, variations and walks between two images."""

import dataclasses
import hashlib
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral import __version__, samplers, storage
from ancestral.config.folders import check_outside
from ancestral.data.decoding import from_pixels
from ancestral.data.statistics import evenly_spaced
from ancestral.declarations import Edit
from ancestral.errors import InputError
from ancestral.events import Event, Message, Wrote
from ancestral.model import Model, editing, find, load, sampler_name
from ancestral.model.image_values import read_images, reading_notes
from ancestral.model.regions import box_mask, read_change
from ancestral.options import option
from ancestral.render import compositions, writers
from ancestral.render.pictures import Beside
from ancestral.results.editing_result import EditingResult, EditRecipe
from ancestral.samplers import Step
from ancestral.threads import cpu_threads
from ancestral.workflows import recipes
from ancestral.workflows.cascades import Stage, with_values
from ancestral.workflows.output_files import folder_of, path_of
from ancestral.workflows.reverse_process import sampled

FITTED = ("method", "particles", "iterations", "noise")
OF_TASK = {
    "inpaint": ("mask", "box", "changes", *FITTED),
    "restore": ("operator", *FITTED),
    "vary": ("strength",),
    "interpolate": ("other", "t", "gif"),
}
"""Options that not all tasks have."""
OWN = ("method", "noise", "strength", "t", "particles", "iterations")
"""Options of edits alone that a recipe holds as they are."""
HELD = (
    *("n", "index", "seed", "label", "guidance", "guidance_interval", "guidance_rescale", "sampler", "steps"),
    *OWN,
)
"""Options that a recipe replaces."""
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
        recipe: How they are made, for the metadata of PNGs.
        items: The indices of the samples.
        shown: What the user gave, as it stands before the samples.
        change: What may change, bool (*sides); None is all.
        out: The folder or the file.
        gif: An animation, if any.
        film: A film strip, if any.
        notes: What the user should know, a line each.
    """

    options: Edit
    model: Model
    name: str
    edit: editing.Edit
    recipe: EditRecipe
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
        arguments: The arguments of the function that decides it, after the model.
        shown: The images, as they stand before the samples.
        change: What may change; None is all.
        values: The images and the mask by name, as they are recognised.
        notes: What reading them changed.
    """

    arguments: tuple[Any, ...]
    shown: tuple[Beside, ...] = ()
    change: Tensor | None = None
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def plan(options: Edit) -> EditPlan:
    """Decide how an image is edited, and into which files.

    Raises:
        InputError: If the model cannot do this, the images cannot be read, an option does not apply, or `like` was made
            otherwise.
    """
    _check_options(options)
    file = options.model.file if isinstance(options.model, Model) else find(options.model)
    digest = storage.sha256(file) if file and file.is_file() else ""
    like = None
    if options.like is not None:
        like = recipes.read(Path(options.like), options, digest, EditRecipe, HELD)
        _check_task(like, options)
    model = options.model if isinstance(options.model, Model) else load(options.model, options.device, net=options.net)
    name = str(file or "the model") if isinstance(options.model, Model) else str(options.model)
    if len(model.spec.shape) < 2:
        raise InputError(f"{name} is a model of points; images, signals and volumes can be edited")
    given = _given(options, model, like)
    stage = Stage(model, name, digest, "", model.sampler())
    label, others, weak = options.label, recipes.by_name(options.given), recipes.weak_model(options, model)
    if like is not None:
        label, others = like.label, recipes.given_again(like, [stage], others, options.like)
        recipes.check_weak(like, weak)
        _check_images(like, given, options.like)
    (stage,) = with_values([stage], label, others)
    recipe = like or _recipe(options, stage, weak, given)
    if like is not None:
        recipes.check_images(like, [stage], options.like)
    stage = recipes.with_guidance(stage, recipe, weak, [stage])
    edit = _decided(options, recipe, model, given, label, others, stage)
    items = recipe.index if recipe.index is not None and options.task != "interpolate" else range(edit.count)
    folder = folder_of(options.model, "edits") / _stem(options, recipe)
    out = folder if options.out is None else Path(options.out)
    _check_out(out, options, edit)
    inside = out.suffix == ""
    default = out / "film.png" if inside else out.with_name(f"{out.stem}-film.png")
    film = path_of(options.film, default)
    gif = path_of(options.gif, default.with_name(default.name.replace("film.png", "walk.gif")))
    paths = [path for path in (out, gif, film) if path is not None]
    for path in paths:
        check_outside(path, model.config.data.source)
    if gif is not None:
        writers.check_animation(gif)
    recipe = dataclasses.replace(
        recipe, model=digest, version=__version__, n=len(items), method=edit.method if _fits(options) else None
    )
    notes = [
        *given.notes,
        *edit.notes,
        *recipes.never_absent(stage),
        *recipes.beyond_data(stage),
        *recipes.snapshot_notes(options, weak),
        *(recipes.differences(options.like, like, model) if like else ()),
    ]
    return EditPlan(
        options=options,
        model=model,
        name=name,
        edit=edit,
        recipe=recipe,
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
        seed=plan.recipe.seed,
        method=edit.method,
        reason=edit.reason,
        evaluations=edit.evaluations,
        seconds=seconds,
        paths=tuple(map(str, paths)),
        deviation=None if changed is None else float(changed.mean()),
        index=plan.recipe.index,
        given=plan.recipe.given,
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


def _given(options: Edit, model: Model, like: EditRecipe | None) -> Given:
    """Read what an edit begins with."""
    spec, task = model.spec, options.task
    if task == "interpolate":
        if options.image is None:
            return Given((None, None))
        pairs = {"image": options.image, "other": options.other}
        images = {name: _one(read_images(spec, value, name), name) for name, value in pairs.items()}
        notes = tuple(note for value in pairs.values() for note in reading_notes(spec, value))
        values = {name: described(pairs[name], image) for name, image in images.items()}
        return Given((options.image, options.other), values=values, notes=notes)
    if task == "restore":
        operator = like.operator if like is not None and options.operator is None else options.operator
        noise = options.noise if like is None else like.noise
        shape = editing.measured_shape(spec, operator, noise or 0.0)
        image = _one(read_images(spec, options.image, "image", shape=shape), "image")
        part = Beside("input", image[None], spec.codec.limits)
        notes = tuple(reading_notes(spec, options.image) if spec.rate and shape == spec.shape else ())
        return Given((options.image, operator), (part,), values={"image": described(options.image, image)}, notes=notes)
    keep_size = task == "inpaint"
    image = _one(read_images(spec, options.image, "image", keep_size), "image")
    shown, values = [Beside("input", image[None], spec.codec.limits)], {"image": described(options.image, image)}
    notes = tuple(reading_notes(spec, options.image, keep_size))
    if task == "vary":
        return Given((options.image,), tuple(shown), values=values, notes=notes)
    sides = image.shape[1:]
    if options.box is None:
        mask, note = read_change(spec, options.image, image, options.mask, options.changes)
    else:
        mask, note = box_mask(options.box, sides), ""
    low, high = spec.codec.limits
    known = torch.where(mask, low, high).to(image.dtype)[None]
    shown.append(Beside("known", torch.cat([image, known])[None], spec.codec.limits, masked=True))
    values["mask"] = described(
        (options.image if options.mask is None else options.mask) if options.box is None else "box", mask
    )
    return Given((options.image, mask), tuple(shown), mask, values, (*filter(None, [note]), *notes))


def _one(images: Tensor, name: str) -> Tensor:
    """The only image. Raises InputError if there are several."""
    if len(images) > 1:
        raise InputError(f"{len(images)} images are given as {name}: give one in a call")
    return images[0]


def described(value: Any, values: Tensor) -> str:
    """The name of an image and the SHA-256 of its values, by which a recipe recognises it."""
    name = Path(value).name if isinstance(value, str | Path) else "image"
    content = str(tuple(values.shape)).encode() + values.contiguous().numpy().tobytes()
    return f"{name} sha256:{hashlib.sha256(content).hexdigest()[:16]}"


def _fits(options: Edit) -> bool:
    """Whether the task has methods to choose from."""
    return "method" in OF_TASK[options.task]


def _decided(
    options: Edit,
    recipe: EditRecipe,
    model: Model,
    given: Given,
    label: Any,
    others: Mapping[str, Any],
    stage: Stage,
) -> editing.Edit:
    """Decide the edit of a recipe."""
    own = {name: getattr(recipe, name) for name in OWN}
    settings = {name: value for name, value in own.items() if value is not None and name in OF_TASK[options.task]}
    if recipe.n:
        settings["n"] = recipe.n
    if recipe.index is not None:
        settings["indices"] = recipe.index
        if options.task != "interpolate":
            settings["n"] = len(recipe.index)
    sampler = options.sampler if recipe.sampler and isinstance(options.sampler, samplers.Sampler) else recipe.sampler
    functions: dict[str, Callable[..., editing.Edit]] = {
        "inpaint": editing.inpainting,
        "restore": editing.restoration,
        "vary": editing.variations,
        "interpolate": editing.interpolation,
    }
    return functions[options.task](
        model,
        *given.arguments,
        sampler=sampler or None,
        steps=recipe.steps,
        seed=recipe.seed,
        label=label,
        given=others or None,
        guidance=stage.guidance,
        **settings,
    )


# -- the recipe -------------------------------------------------------------------------------------------------------


def _recipe(options: Edit, stage: Stage, weak: Model | None, given: Given) -> EditRecipe:
    """The recipe of the user's options; n is 0 where it is the default of the task."""
    sampler = options.sampler
    name = sampler if isinstance(sampler, str | None) else sampler_name(sampler)
    common = recipes.of_options(options, [stage], weak)
    own = {name: getattr(options, name) for name in ("steps", *OWN)}
    return EditRecipe(
        **{
            **vars(common),
            "n": options.n or 0,
            "sampler": name or "",
            "task": options.task,
            "images": dict(given.values),
            "operator": None if options.operator is None else str(options.operator),
            **own,
        }
    )


def _check_task(recipe: EditRecipe, options: Edit) -> None:
    """Raise InputError if a recipe is one of another task, or of another operator."""
    if recipe.task != options.task:
        raise InputError(f"{options.like} was made by {recipe.task}, not by {options.task}")
    if options.operator is not None and str(options.operator) != recipe.operator:
        raise InputError(f"{options.like} was made with the operator {recipe.operator}: leave {option('operator')} out")


def _check_images(recipe: EditRecipe, given: Given, like: str | Path | None) -> None:
    """Raise InputError unless the images and the mask are those of a recipe."""
    for name in dict.fromkeys((*recipe.images, *given.values)):
        was, now = recipe.images.get(name, "none"), given.values.get(name, "none")
        if was.rpartition(" ")[2] != now.rpartition(" ")[2]:
            raise InputError(f"{like} was made with another {name} ({was.partition(' sha256:')[0]}): give that one")


# -- the files --------------------------------------------------------------------------------------------------------


def _stem(options: Edit, recipe: EditRecipe) -> str:
    """The name of the folder: that of the images, the task and the seed."""
    names = [Path(text.partition(" sha256:")[0]).stem for name, text in recipe.images.items() if name != "mask"]
    text = re.sub(r"[^\w.-]+", "-", "-".join(names))[:LONGEST_STEM]
    return "-".join(filter(None, [text, options.task, f"seed{recipe.seed}"]))


def _check_out(out: Path, options: Edit, edit: editing.Edit) -> None:
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
    spec, limits, recipe = plan.model.spec, plan.model.spec.codec.limits, plan.recipe
    numbers = list(writers.numbered(plan.items))
    is_picture = writers.fits_png(spec.shape, items.dtype)

    def text(part: str) -> str:
        return dataclasses.replace(recipe, part=part).to_json() if recipe.model else ""

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
        strip = compositions.film(states, width=1180, limits=limits, names=names, before=before)
        writers.write_picture(path, strip, text("film"))

    def animate(path: Path) -> None:
        frames = [Step(index, 0.0, item[None], item[None]) for index, item in enumerate(items)]
        writers.write_animation(path, frames, 1, 256, limits)

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
        extras[plan.gif] = animate
    if plan.film is not None:
        extras[plan.film] = film
    kinds: dict[str, Callable[[Path], None]] = {".png": picture, ".npz": array}
    files = {plan.out: kinds.get(plan.out.suffix.lower(), folder)}
    return files | {path: write for path, write in extras.items() if plan.out.suffix or path.parent != plan.out}


def _captions(plan: EditPlan) -> list[str]:
    """The names of the samples in the overview."""
    if plan.options.task == "interpolate" and plan.edit.count > 1:
        return [f"{number / (plan.edit.count - 1):.2g}" for number in range(plan.edit.count)]
    return [f"sample {index}" for index in plan.items]
