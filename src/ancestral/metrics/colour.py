"""Whether the colours of samples have drifted from those of the data."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.data import Codec
from ancestral.data.statistics import CHUNK
from ancestral.errors import InputError


class Colour(NamedTuple):
    """Of a set of items, in their own units: `mean` (C,), `covariance` (C, C) over places and items, each with the
    standard error that comes of the number of items (pixels of one item are not independent).
    """

    mean: Tensor
    mean_error: Tensor
    covariance: Tensor
    covariance_error: Tensor


class Drift(NamedTuple):
    """Samples against data."""

    samples: Colour
    data: Colour
    sigmas: float
    """The largest difference of a channel's mean, in its standard error: about 1 by chance, above 3 hardly ever."""
    levels: float
    """The largest difference of a channel's mean, signed, in grey levels: 255ths of the range of values."""


def colour(items: Tensor) -> Colour:
    """Of items (N, C, *space), or points (N, C), of any number type. Raises InputError for fewer than two."""
    n, channels = items.shape[:2]
    if n < 2:
        raise InputError("colours need at least 2 items to have an error")
    means = torch.cat([_means(part) for part in torch.split(items, CHUNK)])
    mean = means.mean(0)
    products = torch.cat([_products(part, mean) for part in torch.split(items, CHUNK)])
    shape = (channels, channels)
    return Colour(mean, _error(means), products.mean(0).view(shape), _error(products).view(shape))


def drift(samples: Tensor, data: Tensor, codec: Codec) -> Drift:
    """How far the colours of samples are from the data's, both (·, C, *space) in the codec's items."""
    ours, theirs = colour(samples), colour(data)
    apart = ours.mean - theirs.mean
    error = torch.hypot(ours.mean_error, theirs.mean_error)
    sigmas = torch.where(apart == 0, 0.0, apart.abs() / error)  # channels that never change have no error
    worst = apart[apart.abs().argmax()]
    return Drift(ours, theirs, float(sigmas.max()), float(worst / codec.scale * 127.5))


def _values(items: Tensor) -> Tensor:
    return items.double().flatten(2) if items.ndim > 2 else items.double().unsqueeze(2)


def _means(items: Tensor) -> Tensor:
    return _values(items).mean(2)


def _products(items: Tensor, mean: Tensor) -> Tensor:
    """Of each item, the mean over its places of (x − μ)(x − μ)ᵀ, (N, C²): what it adds to the covariance."""
    x = _values(items) - mean[:, None]
    return (x @ x.mT / x.shape[2]).flatten(1)


def _error(rows: Tensor) -> Tensor:
    return rows.std(0) / math.sqrt(len(rows))
