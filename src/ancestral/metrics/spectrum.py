"""Whether samples have the power of the data at each wave length."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral.base.quantities import Estimate
from ancestral.data.spec import SUMMED_ITEMS
from ancestral.model.editing.spectra import powers
from ancestral.results.sample_result import PowerSpectrum


def spectrum(samples: Tensor, data: Tensor, unseen: Tensor | None, names: Sequence[str]) -> PowerSpectrum:
    """Compare the power of samples with that of data, all (·, C, *sides), by channel and octave of the wave length.

    Missing values, NaN, are the mean of their channel in the data. Channels that are constant in the data are left out.
    The errors are those of the numbers of items.

    Args:
        samples: The samples.
        data: The training items.
        unseen: Held-out items, whose power is the floor; None takes every other training item for that.
        names: The name of each channel.
    """
    axes = (0, *range(2, data.ndim))
    varying = data.nan_to_num(-math.inf).amax(axes) > data.nan_to_num(math.inf).amin(axes)
    names = [name for name, varies in zip(names, varying.tolist(), strict=True) if varies]
    mean = data[:, varying].double().nanmean(axes, keepdim=True)
    theirs, octaves = _powers(data[:, varying], mean)
    ours = _powers(samples[:, varying], mean)[0]
    floor = (theirs[::2], theirs[1::2]) if unseen is None else (_powers(unseen[:, varying], mean)[0], theirs)
    ends = 2.0 ** torch.cat([octaves, octaves[-1:] + 1])
    waves = tuple((max(data.shape[2:]) / ends).tolist())
    return PowerSpectrum(waves, _ratios(ours, theirs, names), _ratios(*floor, names))


def _powers(items: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """The power of each item in each channel and octave, float64 (N, C, octaves), and the numbers of the octaves."""
    parts = [(part.double() - mean).nan_to_num(0.0) for part in torch.split(items, SUMMED_ITEMS)]
    found = [powers(part) for part in parts]
    return torch.cat([one.power for one in found]), found[0].octaves


def _ratios(powers: Tensor, others: Tensor, names: Sequence[str]) -> dict[str, tuple[Estimate, ...]]:
    """The ratio of mean powers, with its standard error; by channel, for each octave."""
    means = [part.mean(0) for part in (powers, others)]
    errors = [part.std(0) / len(part) ** 0.5 / mean for part, mean in zip((powers, others), means, strict=True)]
    ratio = means[0] / means[1]
    table = zip(ratio.tolist(), (ratio * torch.hypot(*errors)).tolist(), strict=True)
    return {name: tuple(map(Estimate, *rows)) for name, rows in zip(names, table, strict=True)}
