"""What edits begin with: images, masks and operators, read, recognised by their hashes, and as they are shown."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.conditions import FieldLimits, Limits
from ancestral.config.request import EditRequest, ImageRef, Request
from ancestral.data.spec import DataSpec
from ancestral.declarations import Edit
from ancestral.model import editing
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.image_values import read_images, reading_notes
from ancestral.model.masks import MaskReading, box_mask, read_change
from ancestral.model.trained_model import TrainedModel
from ancestral.render.pictures import ContextColumn


@dataclass(frozen=True)
class EditInput:
    """What an edit begins with.

    Attributes:
        arguments: The arguments of the function that decides it, by name.
        shown: The images, as they stand before the samples.
        change: What may change; None is all.
        values: The images and the mask by name, as they are recognised.
        notes: What reading them changed.
    """

    arguments: Mapping[str, Any]
    shown: tuple[ContextColumn, ...] = ()
    change: Tensor | None = None
    values: dict[str, ImageRef] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def edit_input(options: Edit, model: TrainedModel, settings: EditRequest) -> EditInput:
    """Read what an edit begins with.

    Args:
        options: The options.
        model: The model.
        settings: The settings of the edit.

    Raises:
        InputError: If an image, a mask or an operator cannot be read, or does not fit the model.
    """
    spec, task = model.spec, options.task
    if task == "interpolate":
        return _input_of_walk(options, spec)
    if task == "inpaint":
        return _input_with_mask(options, spec, settings)
    operator = settings.operator if options.operator is None else options.operator
    image = _one(editing.edited_images(spec, settings, options.image, operator), "image")
    windowed, is_measured = settings.window is not None, task == "restore"
    notes = list[str]()
    if windowed or not is_measured or (spec.rate and image.shape == spec.shape):
        notes = reading_notes(spec, options.image, windowed)
    return EditInput(
        {"image": options.image, **({"operator": operator} if is_measured else {})},
        (ContextColumn("input", image[None], spec.limits),),
        editing.changed_part(settings, image.shape[1:]),
        {"image": image_ref(options.image, image)},
        tuple(notes),
    )


def _input_of_walk(options: Edit, spec: DataSpec) -> EditInput:
    if options.image is None:
        return EditInput({})
    pairs = {"image": options.image, "other": options.other}
    images = {name: _one(read_images(spec, value, name), name) for name, value in pairs.items()}
    notes = tuple(note for value in pairs.values() for note in reading_notes(spec, value))
    return EditInput(pairs, values={name: image_ref(pairs[name], image) for name, image in images.items()}, notes=notes)


def _input_with_mask(options: Edit, spec: DataSpec, settings: EditRequest) -> EditInput:
    image = _one(editing.edited_images(spec, settings, options.image), "image")
    notes = reading_notes(spec, options.image, keep_size=True)
    values = {"image": image_ref(options.image, image)}
    if settings.extend is not None:
        canvas = editing.canvas_of(settings.extend, image.shape[1:])
        limits = spec.limits
        shown = (ContextColumn("input", image[None], limits), _known(spec, canvas.widened(image), canvas.new))
        return EditInput({"image": options.image}, shown, canvas.new, values, tuple(notes))
    if options.box is None:
        reading = read_change(spec, options.image, image, options.mask, options.changes)
        source = options.image if options.mask is None else options.mask
    else:
        reading, source = MaskReading(box_mask(options.box, image.shape[1:])), "box"
    change = editing.changed_part(settings, image.shape[1:], reading)
    assert change is not None  # as there is a mask
    return EditInput(
        {"image": options.image, "mask": reading},
        (ContextColumn("input", image[None], spec.limits), _known(spec, image, change)),
        change,
        {**values, "mask": image_ref(source, reading.values)},
        (*filter(None, [reading.note]), *notes),
    )


def _known(spec: DataSpec, image: Tensor, change: Tensor) -> ContextColumn:
    """An image (C, *sides) as it is shown without what changes."""
    codec = spec.codec
    known, limits = torch.where(change, *codec.limits).to(image.dtype)[None], codec.limits
    by_channel: Limits = (*codec.ranges, limits) if codec.ranges else limits
    if isinstance(spec.limits, FieldLimits):  # `limits` lie around those of each channel
        by_channel = spec.limits
    return ContextColumn("known", torch.cat([image, known])[None], by_channel, masked=True)


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


def check_images(like: Request, given: EditInput) -> None:
    """Raise InputError unless the images and the mask are those of a request."""
    images = settings_of(like).images
    for name in dict.fromkeys((*images, *given.values)):
        was, now = images.get(name), given.values.get(name)
        if (was and was.digest) != (now and now.digest):
            which = was.name if was else "none"
            raise InputError(f"{like.source} was made with another {name} ({which}): give that one")
