"""The edits by the name of their task."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.config.request import Request
from ancestral.data.spec import DataSpec
from ancestral.model.editing.edited_samples import DecidedEdit, settings_of
from ancestral.model.editing.measurements import inpainting, restoration
from ancestral.model.editing.walks import interpolation, variations
from ancestral.model.image_values import beyond_limits, read_images
from ancestral.model.sampling_model import SamplingModel

EDITS: Mapping[str, Callable[..., DecidedEdit]] = {
    "inpaint": inpainting,
    "restore": restoration,
    "vary": variations,
    "interpolate": interpolation,
}
"""What decides an edit, by the name of its task."""


def edit_of(model: SamplingModel, request: Request) -> DecidedEdit:
    """Decide an edit: what is edited are the arguments of the objects of the request.

    Raises:
        InputError: If the model cannot do this, or an image of a request that was read is not given again.
    """
    settings, arguments = settings_of(request), request.objects.arguments
    if missing := [name for name in settings.images if name not in arguments]:
        names = ", ".join(f"{name} ({settings.images[name].name})" for name in missing)
        raise InputError(f"{request.source} is an edit of {names}: give it again, request.replace({missing[0]}=...)")
    if settings.task not in EDITS:
        raise InputError(
            f"{request.source} is an edit of another kind, {shown(settings.task)}: give {', '.join(EDITS)}"
        )
    try:
        inspect.signature(EDITS[settings.task]).bind(model, request, **arguments)
    except TypeError as error:
        raise InputError(f"{request.source} is an edit, {settings.task}, that cannot be made: {error}") from None
    edit = EDITS[settings.task](model, request, **arguments)
    images = [] if settings.task == "restore" else [arguments.get(name) for name in ("image", "other")]
    beyond = [note for image in images if image is not None for note in beyond_data(model.spec, image)]
    return dataclasses.replace(edit, beyond=tuple(dict.fromkeys(beyond))) if beyond else edit


def beyond_data(spec: DataSpec, image: Any) -> list[str]:
    """Say if images of floats lie beyond the data of the model; of integers they cannot."""
    if spec.codec.level is not None:
        return []
    return beyond_limits(read_images(spec, image, "image", keep_size=True), spec.codec.channel_limits, "The image")
