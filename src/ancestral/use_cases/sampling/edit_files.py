"""The files that edits are written to: pictures, arrays, overviews, animations and film strips."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Limits
from ancestral.config.folders import check_outside
from ancestral.config.request import Request
from ancestral.data.decoding import from_pixels
from ancestral.declarations import Edit
from ancestral.model import editing
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.sampling_model import SamplingModel
from ancestral.render import compositions, pictures, writers
from ancestral.render.pictures import Beside, Flanks
from ancestral.results.editing_result import EditedCell
from ancestral.samplers import Step
from ancestral.use_cases.output_files import check_empty, check_kind_of_path, folder_of, path_of, stem_of

EDIT_FILES = ".png, .npz or the name of a folder"
LONGEST_EDIT_STEM = 60
"""The largest number of characters of a folder's name that are those of images."""


@dataclass(frozen=True)
class DecidedEditing:
    """An edit that is decided, with its recipe.

    Attributes:
        options: What the user gave.
        model: The model.
        name: What messages call the model.
        edit: How the samples are made.
        request: How they are made, for the metadata of PNGs.
        items: The indices of the samples.
        notes: What the user should know, a line each.
        change: What may change, bool (*sides); None is all.
    """

    options: Edit
    model: SamplingModel
    name: str
    edit: editing.DecidedEdit
    request: Request
    items: Sequence[int]
    notes: tuple[str, ...]
    change: Tensor | None

    @property
    def decode(self) -> Callable[[Tensor], Tensor]:
        """What brings states to the units of the data."""
        return self.edit.decode or self.model.spec.decode

    def mean_deviation(self, deviation: Tensor | None) -> float | None:
        """Return the mean of the map of the standard deviation where the image may change."""
        changed = deviation if deviation is None or self.change is None else deviation[self.change]
        return None if changed is None else float(changed.mean())

    @property
    def states(self) -> int:
        """The number of states of each sample."""
        return len(self.edit.times)

    @property
    def work(self) -> int:
        """The number of states of all batches."""
        return -(-self.edit.count // self.model.batch(self.options.batch_size)) * self.states


@dataclass(frozen=True)
class EditPlan(DecidedEditing):
    """An edit that is decided, and the files that it is written to.

    Attributes:
        shown: What the user gave, as it stands before the samples.
        out: The folder or the file.
        gif: An animation, if any.
        film: A film strip, if any.
    """

    shown: tuple[Beside, ...]
    out: Path
    gif: Path | None
    film: Path | None


class WrittenEdit(NamedTuple):
    """The samples of an edit that are made and written.

    Attributes:
        samples: Their number.
        seconds: The time in which they were made.
        paths: The files.
        deviation: The mean of the map of the standard deviation, if there is one.
        remarks: What the user should know of the samples.
        cells: The cells of a table.
    """

    samples: int
    seconds: float
    paths: tuple[str, ...]
    deviation: float | None = None
    remarks: tuple[str, ...] = ()
    cells: tuple[EditedCell, ...] | None = None


def of_part(request: Request, part: str) -> Request:
    """Return the request of a picture of an edit."""
    return dataclasses.replace(request, edit=dataclasses.replace(settings_of(request), part=part))


def _stem(options: Edit, request: Request) -> str:
    """The name of the folder: that of the images, the task and the seed."""
    names = [Path(ref.name).stem for name, ref in settings_of(request).images.items() if name != "mask"]
    text = stem_of("-".join(names), LONGEST_EDIT_STEM)
    return "-".join(filter(None, [text, options.task, f"seed{request.seed}"]))


def paths_of(options: Edit, request: Request, model: SamplingModel) -> tuple[Path, Path | None, Path | None]:
    """The folder or the file of the samples, the animation and the film strip."""
    folder = folder_of(options.model, "edits") / _stem(options, request)
    out = folder if options.out is None else Path(options.out)
    _check_out(out, options)
    default = out / "film.png" if out.suffix == "" else out.with_name(f"{out.stem}-film.png")
    film = path_of(options.film, default)
    gif = path_of(options.gif, default.with_name(default.name.replace("film.png", "walk.gif")))
    if gif is not None:
        writers.check_animation(gif)
    for path in filter(None, (out, gif, film)):
        check_outside(path, model.config.data.source)
    return out, gif, film


def _check_out(out: Path, options: Edit) -> None:
    """Raise InputError if the samples could not be written."""
    suffix = out.suffix.lower()
    if suffix and suffix not in (".png", ".npz"):
        raise InputError(f"cannot write {out.suffix} files; {option('out')} takes {EDIT_FILES}")
    if not suffix:
        check_kind_of_path(out, EDIT_FILES)
    if not suffix and options.out is not None:
        check_empty(out, "files of two edits")


def files_of(
    plan: EditPlan, items: Tensor, deviation: Tensor | None, states: Sequence[Step]
) -> dict[Path, Callable[[Path], None]]:
    """The files of a plan, each with what writes it."""
    spec, limits, request = plan.model.spec, plan.model.spec.codec.channel_limits, plan.request
    numbers = list(writers.numbered(plan.items))
    is_picture = writers.fits_png(spec.shape, items.dtype)

    def text(part: str) -> str:
        return of_part(request, part).to_json() if request.model else ""

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


def _animate(path: Path, items: Tensor, limits: Limits) -> None:
    """Write the items as the frames of an animation."""
    frames = [pictures.picture(item[None], 1, 256, limits) for item in items]
    writers.write_animation(path, frames)


def _captions(plan: EditPlan) -> list[str]:
    """The names of the samples in the overview."""
    if plan.options.task == "interpolate" and plan.edit.count > 1:
        return [f"{number / (plan.edit.count - 1):.2g}" for number in range(plan.edit.count)]
    return [f"sample {index}" for index in plan.items]
