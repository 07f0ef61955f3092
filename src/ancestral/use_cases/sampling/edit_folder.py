"""Edits of a folder: each image is edited with the same options, one after another, into a new folder."""

import dataclasses
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from ancestral.base.errors import InputError, one_line, text_of
from ancestral.base.events import Event, Message, State, Work, mapped
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.config.run_files import check_outside
from ancestral.data.partners import partner_rows
from ancestral.declarations import Edit
from ancestral.model.image_values import image_files
from ancestral.render import writers
from ancestral.results.sampling_result import EditingResult
from ancestral.use_cases.output_files import check_empty, check_kind_of_path, folder_of, stem_of
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.edit_files import LONGEST_EDIT_STEM

ONE_IMAGE = ("like", "sweep", "by")
"""Options of one image alone."""
LEFT_OUT_SHOWN = 5
"""The largest number of images that are left out and named in the result."""


class FolderImage(NamedTuple):
    """An image of a folder.

    Attributes:
        name: Its path from the folder.
        options: How it is edited, and where the samples go.
    """

    name: str
    options: Edit


@dataclass(frozen=True)
class FolderPlan:
    """The edits of a folder that are decided.

    Attributes:
        model: What messages call the model.
        images: The images in their order.
    """

    model: str
    images: tuple[FolderImage, ...]


def is_folder(options: Edit) -> bool:
    """Whether the images of a folder are edited, one after another."""
    image = options.image
    return options.task != "interpolate" and isinstance(image, str | Path) and image != "" and Path(image).is_dir()


def planned_folder(options: Edit) -> FolderPlan:
    """Decide how the images of a folder are edited.

    Raises:
        InputError: If an option is of one image alone, or masks and images are not paired by their names.
    """
    for name in ONE_IMAGE:
        if getattr(options, name) is not None:
            raise InputError(f"{option(name)} is of one image, and {options.image} is a folder: leave it out")
    if isinstance(options.film, str | Path):
        raise InputError(f"{option('film', options.film)} names one file for all images: give no path")
    folder = Path(options.image)
    files = image_files(folder, one_line(folder))
    masks = _masks(options, folder, files)
    model = requests.loaded(options)
    out = _new_folder(options, folder)
    check_outside(out, model.config.data.source)
    single = (options.n if options.index is None else len(options.index)) == 1
    suffix = ".png" if single and writers.fits_png(model.spec.shape, model.spec.codec.dtype) else ""
    images = list[FolderImage]()
    for file, mask in zip(files, masks, strict=True):
        path = file.relative_to(folder)
        place = (out / path).with_name(f"{path.stem}{suffix}")
        own: dict[str, Any] = {"model": model, "image": file, "mask": mask, "out": place}
        images.append(FolderImage(one_line(path), dataclasses.replace(options, **own)))
    return FolderPlan(model.name, tuple(images))


def _masks(options: Edit, folder: Path, files: Sequence[Path]) -> list[object]:
    """The mask of each image: that of all, or the one of its name in a folder."""
    mask = options.mask
    if not (isinstance(mask, str | Path) and mask != "" and Path(mask).is_dir()):
        return [mask] * len(files)
    masks = image_files(Path(mask), option("mask", mask))
    names, image_names = (
        [os.fsencode(file.relative_to(place)) for file in each] for place, each in ((mask, masks), (folder, files))
    )
    return [masks[row] for row in partner_rows(option("mask", mask), names, "images", image_names)]


def _new_folder(options: Edit, folder: Path) -> Path:
    """The folder of all results, which is new or empty."""
    if options.out is not None:
        out = Path(options.out)
        if out.suffix.lower() in (".png", ".npz"):
            raise InputError(f"{option('out', out)} is one file, and {folder} has many images: give a new folder")
        if out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{out} lies among the images of {folder}: give {option('out')} a place outside")
        check_kind_of_path(out, "the name of a folder")
        check_empty(out, "images of two edits")
        return out
    stem = f"{stem_of(folder.resolve().name, LONGEST_EDIT_STEM)}-{options.task}-seed{options.seed or 0}"
    place = folder_of(options.model, "edits") / stem
    return next(path for path in chain([place], _numbered(place)) if not path.exists())


def _numbered(place: Path) -> Generator[Path, None, None]:
    for number in count(2):
        yield place.with_name(f"{place.name}-{number}")


def edited_folder(
    plan: FolderPlan, edit: Callable[[Edit], Generator[Event, None, EditingResult]]
) -> Generator[Event, None, EditingResult]:
    """Edit the images of a folder. One that cannot be edited is said, and the others follow.

    Args:
        plan: The plan.
        edit: Plans and runs the edit of one image.

    Yields:
        The events of each image; what is said of several is said once.

    Returns:
        The files of all images.

    Raises:
        InputError: If no image can be edited.
    """
    results, refusals, said, untold = list[EditingResult](), list[str](), set[str](), list[Message]()
    for number, (name, options) in enumerate(plan.images, 1):
        task = f"image {number:,} of {len(plan.images):,}"
        try:
            results.append((yield from mapped(edit(options), partial(_of_image, name, task, said))))
        except InputError as error:
            refusals.append(text_of(error))
            untold.append(Message(f"{name} is left out: {text_of(error)}"))
        if results:  # else all may be refused for one reason, which is said once
            yield from untold
            untold.clear()
    if not results:
        raise InputError(f"no image of the folder can be edited: {refusals[0]}")
    return _together(plan, results, refusals)


def _together(plan: FolderPlan, results: Sequence[EditingResult], refusals: Sequence[str]) -> EditingResult:
    """The result of all images; the method is that of the first."""
    notes = [f"{plural(len(results), 'image')} of {len(plan.images):,} were edited."]
    notes += [f"Left out: {text}" for text in refusals[:LEFT_OUT_SHOWN]]
    if len(refusals) > LEFT_OUT_SHOWN:
        notes.append(f"Left out: {plural(len(refusals) - LEFT_OUT_SHOWN, 'image')} more")
    return dataclasses.replace(
        results[0],
        model=plan.model,
        count=sum(one.count for one in results),
        seconds=sum(one.seconds for one in results),
        paths=tuple(path for one in results for path in one.paths),
        deviation=None,
        notes=tuple(notes),
    )


def _of_image(name: str, task: str, said: set[str], event: Event) -> Iterator[Event]:
    """An event of an image, with its number as the task; messages of several images come once."""
    if isinstance(event, Message):
        if event.text not in said:
            said.add(event.text)
            yield dataclasses.replace(event, text=f"{name}: {event.text}")
    elif isinstance(event, Work | State):
        yield dataclasses.replace(event, task=task)
    else:
        yield event
