"""The part of an image that is edited: a window that the user chose, or one around the mask, with its soft edges."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config.request import EditRequest
from ancestral.data.spec import DataSpec
from ancestral.model.image_values import read_images
from ancestral.model.masks import MaskReading
from ancestral.model.process import Process
from ancestral.model.rectangles import Rectangle
from ancestral.model.regions import Region

SOFT_EDGES = (
    "Soft edges: samples of all that changes are blended with the image; pixels that do not change stay to the bit."
)


class Place(NamedTuple):
    """A window of images all of which changes.

    Attributes:
        images: The images (m, C, H, W), in the units of the data.
        region: The window.
    """

    images: Tensor
    region: Region

    @property
    def items(self) -> Tensor:
        """The windows in the size of the items of the model."""
        return self.region.reduced(self.images)

    def put_back(self, edit: Process) -> Process:
        """Return the edit of the items with its samples in the windows of the images."""
        images, region, misfit = self.images, self.region, edit.misfit
        finish = partial(finished_in, region, images, edit.finish or edit.decode)
        # blended samples do not fit the measurement along the edge
        check = (lambda full: edit.check(region.reduced(full))) if region.weights is None else lambda full: ()
        return dataclasses.replace(
            edit,
            finish=finish,
            show=finish if is_whole(region, images) else None,
            check=check,
            misfit=None if misfit is None else lambda full: misfit(region.reduced(full)),
            notes=(*edit.notes, *place_notes(region)),
        )


def finished_in(region: Region, images: Tensor, finish: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return images with finished samples in their window."""
    return region.paste(images, finish(x))


def is_whole(region: Region, images: Tensor) -> bool:
    """Whether a window has the size of the only image, so that its states are shown as those of the image."""
    return len(images) == 1 and tuple(images.shape[2:]) == tuple(region.shape)


def large_images(spec: DataSpec, image: Any) -> Tensor:
    """Read images of any size into which samples are put: integers of data of integers.

    Args:
        spec: The description of the data of the model.
        image: What `read_images` reads.

    Returns:
        (m, C, H, W) in the units of the data.

    Raises:
        InputError: If the image cannot be read, or does not fit the model.
    """
    return spec.codec.decode(spec.codec.encode(read_images(spec, image, "image", keep_size=True)))


def window_of(spec: DataSpec, settings: EditRequest, image: Any) -> Place | None:
    """Return the window of the settings of an edit, in which all changes; None if there is none.

    Raises:
        InputError: If it does not fit the image and the model, or there are soft edges of no window.
    """
    if settings.window is None:
        if settings.soften:
            raise InputError(
                f"{option('soften', settings.soften)} has no edge to soften: give {option('window', 'x,y,w,h')}, or "
                "leave it out"
            )
        return None
    images = large_images(spec, image)
    window = Rectangle.read(settings.window, "window", images.shape[2:])
    return Place(images, _chosen(spec, settings, MaskReading(window.mask(images.shape[2:])), window))


def region_of_mask(spec: DataSpec, settings: EditRequest, reading: MaskReading) -> tuple[Region, str]:
    """Return the window of an inpainted image, and what is said of its mask.

    Args:
        spec: The description of the data of the model.
        settings: The settings of the edit.
        reading: The mask.

    Raises:
        InputError: If the window does not fit the image and the model, nothing in it changes, or too little is known.
    """
    if settings.window is None:
        soft = reading.softened(settings.soften or 0.0)
        return dataclasses.replace(Region.around(soft.mask, spec.shape[1:]), weights=soft.weights), reading.note
    window = Rectangle.read(settings.window, "window", reading.mask.shape)
    region = _chosen(spec, settings, reading.inside(window), window)
    region.check_known()
    return region, reading.note


def changed_part(settings: EditRequest, sides: Sequence[int], reading: MaskReading | None = None) -> Tensor | None:
    """Return what an edit may change of an image, bool (*sides); None is all.

    Args:
        settings: The settings of the edit.
        sides: The sides of the image.
        reading: Its mask, if there is one.

    Raises:
        InputError: If the window does not fit the image, or nothing in it changes.
    """
    if settings.window is None:
        return None if reading is None else reading.mask
    window = Rectangle.read(settings.window, "window", sides)
    return window.mask(sides) if reading is None else reading.inside(window).mask


def _chosen(spec: DataSpec, settings: EditRequest, reading: MaskReading, window: Rectangle) -> Region:
    soft = reading.softened(settings.soften or 0.0)
    return dataclasses.replace(Region.in_window(soft.mask, spec.shape[1:], window), weights=soft.weights)


def place_notes(region: Region) -> tuple[str, ...]:
    """Say which window is edited, and that its edges are soft."""
    return tuple(filter(None, [region.note, "" if region.weights is None else SOFT_EDGES]))
