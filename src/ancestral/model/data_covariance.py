"""The covariance of the data that a model was trained on."""

import math

from ancestral import data
from ancestral.config import FROM_PYTHON, DataConfig
from ancestral.covariance import RANK, Covariance
from ancestral.data.spec import DataSpec
from ancestral.errors import InputError

MOST_ITEMS = 8192
"""The largest number of items whose covariance is computed."""


def covariance_of_data(config: DataConfig, spec: DataSpec) -> Covariance | None:
    """Return the covariance of the items of a run, encoded; None where they cannot be read.

    Args:
        config: The data of the run.
        spec: The items of the model.
    """
    if config.source == FROM_PYTHON:
        return None
    # the eigenvectors are those of the smaller side of the matrix of items
    most = MOST_ITEMS if math.prod(spec.x_shape) <= RANK else RANK
    try:
        items = data.open(config.source, **{**config.form, "given": None}).sample(most, read=most).items
    except (InputError, OSError):
        return None
    return Covariance.of(spec.encode(items)) if items.shape[1:] == spec.shape and len(items) > 1 else None
