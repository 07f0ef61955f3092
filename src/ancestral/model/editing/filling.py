"""How what is masked in windows of images is sampled, given the rest of the windows."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.config.request import Request
from ancestral.data.spec import DataSpec
from ancestral.model.editing.edited_samples import settings_of
from ancestral.model.editing.measurement_noise import Observation
from ancestral.model.editing.restoring import Aids, restored
from ancestral.model.process import Process
from ancestral.model.regions import Region
from ancestral.model.trained_model import TrainedModel
from ancestral.nets.autoencoder import Autoencoder
from ancestral.nets.space import fold, pad
from ancestral.operators import Mask, Operator

MAX_POOL: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
"""The largest value around each position by the number of axes of space."""


def filled(model: TrainedModel, request: Request, images: Tensor, region: Region, **aids: Any) -> Process:
    """Decide how the masked part of a window is sampled, of a request with its `noise` and `method`.

    Args:
        model: The model.
        request: The request.
        images: The images (m, C, *sides), in the units of the data; sample i is of image i modulo m.
        region: The window.
        aids: The covariance of the data, and a method in place of one by name, as of `restoration`.

    Returns:
        The edit, whose samples are windows in the size of the model's items.

    Raises:
        InputError: If the model cannot do this.
    """
    spec = model.spec
    cut = spec.codec.encode(region.cut(images))
    operator = Mask(~region.cut_mask)
    latents = None if spec.autoencoder is None else _known_latents(spec.autoencoder, spec, cut, region.cut_mask)
    measurement = Observation(operator.apply(cut), operator, settings_of(request).noise or 0.0, 0.0, str(operator))
    return restored(model, request, measurement, Aids(**aids, of_latents=latents))


def _known_latents(autoencoder: Autoencoder, spec: DataSpec, encoded: Tensor, mask: Tensor) -> tuple[Tensor, Operator]:
    """The latents of what is known of images in [-1, 1] (B, C, *sides), and the operator that keeps these.

    Latents beside unknown positions depend on these too, so they are unknown. What is unknown is encoded as the mean.
    """
    known = (~mask).expand_as(encoded)
    means = torch.stack([image[:, ~mask].mean(1) for image in encoded])
    filled = encoded.where(known, means.reshape(*means.shape, *[1] * mask.ndim))
    factor = autoencoder.factor
    cells = fold(pad(mask[None, None].float(), factor), factor).amax(1, keepdim=True)
    near = MAX_POOL[mask.ndim](cells, 3, 1, 1)[0, 0] > 0
    if bool(near.all()):
        raise InputError("too little is known for a model of latents: change less of the image at once")
    operator = Mask(~near)
    return operator.apply(spec.to_x(filled)), operator
