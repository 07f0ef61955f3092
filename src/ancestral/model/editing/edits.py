"""The edits by the name of their task."""

import inspect
from collections.abc import Callable, Mapping

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.config.request import Request
from ancestral.model.editing.edited_samples import DecidedEdit, settings_of
from ancestral.model.editing.measurements import inpainting, restoration
from ancestral.model.editing.walks import interpolation, variations
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
    return EDITS[settings.task](model, request, **arguments)
