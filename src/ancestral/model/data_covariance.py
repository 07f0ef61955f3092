"""The covariance of the data that a model was trained on, examples of them, and the errors of its x̂_0 on them."""

import math
from typing import Any

import torch
from torch import Tensor

from ancestral import data
from ancestral.base.device import on_device
from ancestral.base.errors import InputError
from ancestral.config import FROM_PYTHON, DataConfig
from ancestral.covariance import RANK, Covariance
from ancestral.data.spec import DataSpec
from ancestral.reverse import AnalyticVariance
from ancestral.targets import Denoiser

COVARIANCE_ITEMS = 8192
"""The largest number of items whose covariance is computed."""
MOST_EXAMPLES, EXAMPLE_VALUES = 1000, 2**24
"""The largest number of examples, and of all their values."""
VARIANCE_ITEMS, VARIANCE_VALUES = 128, 2**12
"""The number of items on which an analytic variance is measured: at least as many as these, or with as many values."""


def covariance_of_data(config: DataConfig, spec: DataSpec) -> Covariance | None:
    """Return the covariance of the items of a run, encoded; None where they cannot be read."""
    # the eigenvectors are those of the smaller side of the matrix of items
    items = _read(config, spec, COVARIANCE_ITEMS if math.prod(spec.x_shape) <= RANK else RANK)
    return None if items is None else Covariance.of(spec.encode(items.items))


def examples_of_data(config: DataConfig, spec: DataSpec) -> Tensor | None:
    """Return some items of a run, float32 (N, *shape) in [-1, 1]; None where they cannot be read."""
    items = _read(config, spec, min(MOST_EXAMPLES, max(EXAMPLE_VALUES // math.prod(spec.shape), 2)))
    return None if items is None else spec.codec.encode(items.items)


def analytic_variance_of(
    denoiser: Denoiser, config: DataConfig, spec: DataSpec, device: torch.device
) -> AnalyticVariance:
    """Measure the analytic variance of a denoiser on the items of its run, with their classes.

    Raises:
        InputError: If they cannot be read, or the model has other conditions.
    """
    if spec.further:
        raise InputError(
            f"the analytic variance is measured on items with no condition but a class, and this model has "
            f"{', '.join(spec.further)}: take the variance large or small"
        )
    items = _read(config, spec, min(MOST_EXAMPLES, max(VARIANCE_ITEMS, VARIANCE_VALUES // math.prod(spec.x_shape))))
    if items is None:
        raise InputError(
            f"the analytic variance is measured on the training data, and {config.source or 'they'} cannot be read "
            "here: take the variance large or small"
        )
    x0 = on_device(spec.encode(items.items), device)
    labels: dict[str, Any] = (
        {"labels": on_device(items.labels.long(), device)} if spec.classes and items.labels is not None else {}
    )
    return AnalyticVariance.of(denoiser, x0, **labels)


def _read(config: DataConfig, spec: DataSpec, most: int) -> data.InMemoryDataset | None:
    """Up to `most` items of a run, two or more; None where they cannot be read, or are not those of the model."""
    if config.source == FROM_PYTHON:
        return None
    try:
        found = data.open(config.source, **{**config.form, "given": None}).sample(most, read=most)
    except (InputError, OSError):
        return None
    return found if found.items.shape[1:] == spec.shape and len(found) > 1 else None
