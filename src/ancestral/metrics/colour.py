"""Whether the colours of samples have drifted from those of the data."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.data import Codec
from ancestral.data.statistics import CHUNK
from ancestral.errors import InputError
from ancestral.results.evaluation_result import ChannelMoments, ColourDrift

MAX_COVARIANCES = 32
"""The largest number of channels whose covariances a result keeps."""


class ColourMoments(NamedTuple):
    """The mean (C,) and covariance (C, C) of the channels over places and items, in the items' units.

    The standard errors are those of the number of items, as the pixels of one item are not independent.
    """

    mean: Tensor
    mean_error: Tensor
    covariance: Tensor
    covariance_error: Tensor

    def result(self) -> ChannelMoments:
        """Convert the moments to plain numbers."""
        mean, mean_error, covariance, covariance_error = (tensor.tolist() for tensor in self)
        if len(mean) > MAX_COVARIANCES:
            return ChannelMoments(tuple(mean), tuple(mean_error))
        rows = (tuple(map(tuple, matrix)) for matrix in (covariance, covariance_error))
        return ChannelMoments(tuple(mean), tuple(mean_error), *rows)


def colour(items: Tensor) -> ColourMoments:
    """Compute the moments of items (N, C, *space), or points (N, C), of any number type.

    Raises:
        InputError: If there are fewer than two items.
    """
    n, channels = items.shape[:2]
    if n < 2:
        raise InputError("colours need at least 2 items to have an error")
    means = torch.cat([_means(part) for part in torch.split(items, CHUNK)])
    mean = means.mean(0)
    products = torch.cat([_products(part, mean) for part in torch.split(items, CHUNK)])
    shape = (channels, channels)
    return ColourMoments(mean, _error(means), products.mean(0).view(shape), _error(products).view(shape))


def drift(samples: Tensor, data: Tensor, codec: Codec) -> ColourDrift:
    """Compare the colours of samples with those of data, both (·, C, *space) of the codec's items.

    The largest difference in standard errors is about 1 by chance, and hardly ever above 3.
    """
    ours, theirs = colour(samples), colour(data)
    apart = ours.mean - theirs.mean
    error = torch.hypot(ours.mean_error, theirs.mean_error)
    sigmas = torch.where(apart == 0, 0.0, apart.abs() / error)  # channels that never change have no error
    worst, most = apart[apart.abs().argmax()], float(sigmas.max())
    levels = float(worst / codec.scale * 127.5)
    return ColourDrift(levels, most if math.isfinite(most) else None, ours.result(), theirs.result())


def _values(items: Tensor) -> Tensor:
    return items.double().flatten(2) if items.ndim > 2 else items.double().unsqueeze(2)


def _means(items: Tensor) -> Tensor:
    return _values(items).mean(2)


def _products(items: Tensor, mean: Tensor) -> Tensor:
    """The mean over the places of each item of (x − μ)(x − μ)ᵀ, (N, C²): its part of the covariance."""
    x = _values(items) - mean[:, None]
    return (x @ x.mT / x.shape[2]).flatten(1)


def _error(rows: Tensor) -> Tensor:
    return rows.std(0) / math.sqrt(len(rows))
