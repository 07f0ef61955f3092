"""The covariance of the data that a model was trained on, and examples of them."""

import math

from torch import Tensor

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.config import FROM_PYTHON, DataConfig
from ancestral.covariance import RANK, Covariance
from ancestral.data.spec import DataSpec

COVARIANCE_ITEMS = 8192
"""The largest number of items whose covariance is computed."""
MOST_EXAMPLES, EXAMPLE_VALUES = 1000, 2**24
"""The largest number of examples, and of all their values."""


def covariance_of_data(config: DataConfig, spec: DataSpec) -> Covariance | None:
    """Return the covariance of the items of a run, encoded; None where they cannot be read."""
    # the eigenvectors are those of the smaller side of the matrix of items
    items = _read(config, spec, COVARIANCE_ITEMS if math.prod(spec.x_shape) <= RANK else RANK)
    return None if items is None else Covariance.of(spec.encode(items))


def examples_of_data(config: DataConfig, spec: DataSpec) -> Tensor | None:
    """Return some items of a run, float32 (N, *shape) in [-1, 1]; None where they cannot be read."""
    items = _read(config, spec, min(MOST_EXAMPLES, max(EXAMPLE_VALUES // math.prod(spec.shape), 2)))
    return None if items is None else spec.codec.encode(items)


def _read(config: DataConfig, spec: DataSpec, most: int) -> Tensor | None:
    """Up to `most` items of a run, two or more; None where they cannot be read, or are not those of the model."""
    if config.source == FROM_PYTHON:
        return None
    try:
        items = data.open(config.source, **{**config.form, "given": None}).sample(most, read=most).items
    except (InputError, OSError):
        return None
    return items if items.shape[1:] == spec.shape and len(items) > 1 else None
