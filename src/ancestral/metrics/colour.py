"""Whether the colours of samples have drifted from those of the data."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.data import Codec
from ancestral.data.spec import SUMMED_ITEMS
from ancestral.results.sample_result import ChannelMoments, ColourDrift

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


def colour(items: Tensor) -> ColourMoments:
    """Compute the moments of items (N, C, *space), or points (N, C), of any number type. Differentiable in the items.

    Raises:
        InputError: If there are fewer than two items.
    """
    n = len(items)
    if n < 2:
        raise InputError("colours need at least 2 items to have an error")
    # the mean over the places of each item of x, and of (x − μ)(x − μ)ᵀ, its part of the covariance
    gapped = items.is_floating_point() and bool(items.isnan().any())  # of the values that are there
    means = torch.cat(
        [_values(part).nanmean(2) if gapped else _values(part).mean(2) for part in torch.split(items, SUMMED_ITEMS)]
    )
    mean, products = means.nanmean(0) if gapped else means.mean(0), []
    for part in torch.split(items, SUMMED_ITEMS):
        x = _values(part) - mean[:, None]
        there = (~x.isnan()).double()
        products.append(
            x.nan_to_num() @ x.nan_to_num().mT / (there @ there.mT).clamp(min=1) if gapped else x @ x.mT / x.shape[2]
        )
    covariances = torch.cat(products)
    root = math.sqrt(n)
    means = means.where(~means.isnan(), mean)
    return ColourMoments(mean, means.std(0) / root, covariances.mean(0), covariances.std(0) / root)


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
    return ColourDrift(levels, most if math.isfinite(most) else None, _result(ours), _result(theirs))


def _values(items: Tensor) -> Tensor:
    return items.double().flatten(2) if items.ndim > 2 else items.double().unsqueeze(2)


def _result(moments: ColourMoments) -> ChannelMoments:
    mean, mean_error, *covariances = (tensor.tolist() for tensor in moments)
    if len(mean) > MAX_COVARIANCES:
        return ChannelMoments(tuple(mean), tuple(mean_error))
    rows = (tuple(map(tuple, matrix)) for matrix in covariances)
    return ChannelMoments(tuple(mean), tuple(mean_error), *rows)
