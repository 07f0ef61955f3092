"""Samples that agree with a measurement: restoration and inpainting."""

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral import derived
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import MaskPart
from ancestral.conditions import middle_and_scale
from ancestral.config.request import EditRequest, Request
from ancestral.covariance import Covariance
from ancestral.data.arrays import unmasked
from ancestral.data.spec import DataSpec
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.editing.filling import filled
from ancestral.model.editing.measurement_noise import Observation
from ancestral.model.editing.outpainting import outpainting
from ancestral.model.editing.restoring import Aids, CustomMethod, restored
from ancestral.model.editing.windowed_edits import (
    finished_in,
    is_whole,
    place_notes,
    region_of_mask,
    window_of,
)
from ancestral.model.image_values import NOISE_REACH, NOTED_BEYOND, read_images
from ancestral.model.masks import read_change
from ancestral.model.process import Process
from ancestral.model.regions import Region
from ancestral.model.trained_model import TrainedModel
from ancestral.operators import Composed, Identity, Linear, Operator, check_noise, is_linear

LARGEST_MEASUREMENT = 4.0
"""The largest absolute value of a measurement in [-1, 1] with its noise."""
BYTE = 257
"""What integers of 16 bits are multiples of that were 8 bits."""


def restoration(
    model: TrainedModel,
    request: Request,
    image: Any,
    operator: Operator | str | None = None,
    covariance: Covariance | None = None,
    custom_method: CustomMethod | None = None,
) -> Process:
    """Decide how items are sampled that fit a measurement y = A x_0 + σ n, of a request with its `noise` and `method`.

    Args:
        model: The model.
        request: The request.
        image: y.
        operator: A; None is that of the request.
        covariance: The covariance of the data.
        custom_method: A method in place of one by name.

    Raises:
        InputError: If the model cannot do this.
    """
    settings = settings_of(request)
    operator = settings.operator if operator is None else operator
    name = "the identity" if operator is None else str(operator)
    operator, noise = _operator(operator, settings.noise or 0.0, model.spec)
    check_noise(noise)
    place = window_of(model.spec, settings, image)
    if place is not None:
        _check_window(place.region, operator, model.spec)
        image = place.items
    observation, notes = _observed(model.spec, image, operator, noise, name)
    edit = restored(model, request, observation, Aids(covariance, custom_method))
    edit = dataclasses.replace(edit, notes=(*edit.notes, *notes))
    return edit if place is None else place.put_back(edit)


def _check_window(region: Region, operator: Operator, spec: DataSpec) -> None:
    """Raise InputError if what is measured cannot be measured in a window."""
    if tuple(operator.apply(torch.zeros(1, *spec.shape)).shape[1:]) != spec.shape:
        raise InputError(
            f"{option('window')} needs an operator that keeps the size and the channels, as noise and blurs do: leave "
            "it out"
        )
    if region.scaled:
        height, width = region.shape
        raise InputError(
            "a window of restore is not scaled, which would change the noise and the operator: give "
            f"{option('window')} a width of {width} and a height of {height}"
        )


def inpainting(
    model: TrainedModel,
    request: Request,
    image: Any,
    mask: Any = None,
    changes: MaskPart | None = None,
    **aids: Any,
) -> Process:
    """Decide how a part of an image is sampled anew, of a request with its `noise` and `method`.

    Args:
        model: The model.
        request: The request.
        image: The image.
        mask: The part that changes; None is what is transparent, or missing (NaN).
        changes: The part of the mask that changes, if it is another.
        aids: The covariance of the data, and a method in place of one by name, as of `restoration`.

    Raises:
        InputError: If the model cannot do this.
    """
    spec, settings = model.spec, settings_of(request)
    check_noise(settings.noise or 0.0)
    given = read_images(spec, image, "image", keep_size=True, gapped=spec.grid is not None)
    images = spec.codec.decode(spec.codec.encode(given).nan_to_num())
    if settings.extend is not None:
        if mask is not None or changes is not None:
            raise InputError(f"{option('extend')} says what is new: leave {option('mask')} and {option('changes')} out")
        return outpainting(model, request, images, **aids)
    region, note = region_of_mask(spec, settings, read_change(spec, image, given[0], mask, changes))
    edit = filled(model, request, images, region, **aids)
    notes = (*edit.notes, *filter(None, [note]), *place_notes(region))
    finish = partial(finished_in, region, images, spec.decode)
    return dataclasses.replace(edit, finish=finish, show=finish if is_whole(region, images) else None, notes=notes)


def _operator(operator: Operator | str | None, noise: float, spec: DataSpec) -> tuple[Operator, float]:
    """The operator and the noise of a text; None is the identity."""
    if operator is None:
        if not noise:
            raise InputError(
                f"restore lacks {option('operator', 'upscale:4')}, which says how the image was measured, or "
                f"{option('noise', 0.1)} of an image that has noise alone"
            )
        return Identity(), noise
    if isinstance(operator, Operator):
        return operator, noise
    degradation = derived.parse(operator) if isinstance(operator, str) else None
    if degradation is None:
        raise InputError(
            f"{option('operator')} cannot be {operator!r}: give one such as upscale:4, grey, blur:2 or mask:left, "
            "several joined by +, or a custom function, package.module:function"
        )
    if degradation.noise and noise not in (0, degradation.noise):
        raise InputError(
            f"{operator} has noise {degradation.noise:g}, and {option('noise', noise)} another: give one of them"
        )
    return degradation.around(spec.periodic).operator(spec.shape[1:]), noise or degradation.noise


def edited_images(spec: DataSpec, settings: EditRequest, image: Any, operator: Operator | str | None = None) -> Tensor:
    """Read the images of an edit as a recipe recognises them.

    Args:
        spec: The description of the data of the model.
        settings: The settings of the edit.
        image: What `read_images` reads.
        operator: What restore undoes; None is that of the settings.

    Returns:
        (m, C, *sides) in the units of the data.

    Raises:
        InputError: If the image cannot be read, or does not fit the model.
    """
    if settings.task == "restore" and settings.window is None:
        operator = settings.operator if operator is None else operator
        return read_images(spec, image, "image", shape=measured_shape(spec, operator, settings.noise or 0.0))
    inpaints = settings.task == "inpaint"
    return read_images(
        spec, image, "image", inpaints or settings.window is not None, gapped=inpaints and spec.grid is not None
    )


def measured_shape(spec: DataSpec, operator: Operator | str | None, noise: float) -> tuple[int, ...]:
    """Return the shape of what an operator makes of an item; None is the identity.

    Raises:
        InputError: If it cannot be applied to the items of the model, or neither it nor the noise says anything.
    """
    operator, _ = _operator(operator, noise, spec)
    return tuple(operator.apply(torch.zeros(1, *spec.shape)).shape[1:])


def _observed(
    spec: DataSpec, y: Any, operator: Operator, noise: float, name: str
) -> tuple[Observation, tuple[str, ...]]:
    """The measurements (m, *) as an operator makes them of encoded items, and a line if they lie beyond the data.

    Raises:
        InputError: If they are none; of an operator that is not linear, if they are no floats, which alone are as it
            makes them of encoded items.
    """
    ones, linear = operator.apply(torch.ones(1, *spec.shape)), is_linear(operator, torch.empty(1, *spec.shape))
    shape, codec = ones.shape[1:], spec.codec
    array = torch.from_numpy(np.ascontiguousarray(unmasked(y, "y"))) if isinstance(y, np.ndarray) else y
    if not linear and not (isinstance(array, Tensor) and array.is_floating_point()):
        raise InputError("the operator is not linear: give y as floats, as it makes them of items in [-1, 1]")
    if isinstance(array, Tensor) and array.is_floating_point():
        rows = array.detach().cpu().float()
        rows = rows[None] if rows.shape == shape else rows
        if rows.shape[1:] != shape or not len(rows):
            raise InputError(f"y has the shape {list(rows.shape)}, and the operator makes {list(shape)} of an item")
        if not bool(rows.isfinite().all()):
            raise InputError("y holds NaN or infinity: give finite values, and a mask where some are missing")
        if codec.level is not None or not linear:
            if float(rows.abs().max()) > LARGEST_MEASUREMENT and not isinstance(operator, Linear):
                raise InputError(f"y has values up to {float(rows.abs().max()):g}: give floats in [-1, 1], or integers")
            observation = Observation(rows, operator, noise, 0.0, name, linear)
            return observation, _beyond_data(observation, ones, rows, torch.ones(()))
        rounding = 0.0
    else:
        rows = read_images(spec, array, "y", shape=shape)
        rounding = 0.0 if rows.is_floating_point() else codec.rounding
        if rows.dtype == torch.uint16 and bool((rows.int() % BYTE == 0).all()):  # they were 8 bits
            rounding *= BYTE
        rows = rows.float()
    if not all(scale.linear for scale in codec.scaling):
        if derived.known_part(operator, spec.shape) is None:
            raise InputError(
                "the scale of these data is a curve, so A x of items is not A x of what the network has: give y of a "
                "mask, or train with the scale standard"
            )
        encoded, unit = codec.encode(rows) * ones, torch.ones(())
    elif codec.ranges or codec.scaling:
        encoded, operator, unit = _by_channel(spec, rows, operator)
    else:  # y = A d of items d = scale x + middle
        encoded, unit = rows / codec.scale - ones * (sum(codec.limits) / 2 / codec.scale), torch.tensor(codec.scale)
    observation = Observation(encoded, operator, noise, rounding, name)
    return observation, _beyond_data(observation, ones, rows, unit)


def _by_channel(spec: DataSpec, y: Tensor, operator: Operator) -> tuple[Tensor, Operator, Tensor]:
    """A measurement of items whose channels have ranges of their own as one of encoded items, its operator, and what 1
    is there in the units of y.

    y = A d of items d = S x + m, with a scale for each channel. An operator of each channel by itself measures x
    likewise: S⁻¹ (y - A m) = A x. One that mixes them measures x by another operator: (y - A m) / s = A (S / s) x, with
    the scale s of all channels.
    """
    codec, dims = spec.codec, len(spec.shape) - 1
    if codec.scaling:
        ends = torch.tensor([(one.middle, one.half) for one in codec.scaling]).view(-1, 2, *[1] * dims)
        middle, scale = (part.expand(spec.shape[0], *[1] * dims) for part in ends.unbind(1))
    else:
        middle, scale = middle_and_scale(codec.ranges, 2 + dims)
    rest = y - operator.apply(middle.expand(1, *spec.shape).contiguous())
    if not derived.mixes_channels(operator, spec.shape):
        unit = scale.view(-1, *[1] * (y.ndim - 2))
        return (rest / unit).where(unit > 0, 0.0), operator, unit
    shared = float(scale.max()) if codec.scaling else (codec.limits[1] - codec.limits[0]) / 2
    mixed = Linear(lambda x: operator.apply(x * (scale / shared).to(x)))
    return rest / shared, mixed, torch.tensor(shared)


def _beyond_data(observation: Observation, ones: Tensor, given: Tensor, unit: Tensor) -> tuple[str, ...]:
    """A line if no data can have a measurement by an operator of weights that are not negative, which functions of the
    user's own may have: then |y| is at most A 1.

    Args:
        observation: The measurement of encoded items.
        ones: A 1.
        given: The measurement in its own units.
        unit: What 1 of the encoded one is in these.
    """
    parts = observation.operator.parts if isinstance(observation.operator, Composed) else (observation.operator,)
    if not observation.linear or any(isinstance(part, Linear) for part in parts):
        return ()
    y = observation.y
    beyond = (y.abs() - ones * (1 + 2 * NOTED_BEYOND) - NOISE_REACH * observation.noise).where(ones > 0, 0.0)
    if float(beyond.max()) <= 0:
        return ()
    place = int(beyond.argmax())
    value, low, high = (
        float(part.expand(y.shape).flatten()[place])
        for part in (given, given - (y + ones) * unit, given + (ones - y) * unit)
    )
    return (
        f"y has the value {value:.6g}, and {observation.name} makes {low:.6g} to {high:.6g} there of the data that the "
        "model was trained on: it saw nothing like it.",
    )
