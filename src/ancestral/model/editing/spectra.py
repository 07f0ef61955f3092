"""Whether images are like the data: their power at each frequency beside that of items of the data."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

BANDS = 2
"""The number of frequency bands in an octave."""
FALSE_ALARMS = 0.01
"""The share of the data that is further from the nearest other item than the limit."""
LEAST_DEVIATION = 0.01
"""The least standard deviation of the log of a power that is taken for one."""
LEAST = 50
"""The smallest number of items of the data that others are compared with."""


class Spectra:
    """Power spectra of items of the data, which others are compared with.

    A spectrum is the log of the mean power in each half of an octave of frequency, over channels and directions.
    Distances are in units of the covariance of the spectra of the data. An item is unlike the data if its spectrum is
    further from the nearest one of the data than 99 % of these are from their nearest: about 1 % of items of the same
    kind are.

    Args:
        items: Items of the data, (N, *), or measurements of them.
        floor: The standard deviation of noise that is not seen: its variance is added to all power.
    """

    def __init__(self, items: Tensor, floor: float) -> None:
        self.floor = floor
        spectra = self._spectrum(items)
        covariance = spectra.T.cov() + LEAST_DEVIATION**2 * torch.eye(spectra.shape[1], dtype=spectra.dtype)
        self.factor = torch.linalg.cholesky(covariance)
        self.spectra, self.whitened = spectra, self._whitened(spectra)
        distances = torch.cdist(self.whitened, self.whitened).fill_diagonal_(math.inf).amin(1)
        self.limit = distances.quantile(1 - FALSE_ALARMS, interpolation="higher")

    def compare(self, x: Tensor) -> Tensor:
        """Return 0 for each item (B, *) that is like the data; of the others 1 with more power than the nearest has.

        Those with less have −1.
        """
        spectra = self._spectrum(x)
        distances, nearest = torch.cdist(self._whitened(spectra), self.whitened).min(1)
        signs: Tensor = (spectra - self.spectra[nearest]).sum(1).sign()
        signs[distances <= self.limit] = 0.0
        return signs

    def _whitened(self, spectra: Tensor) -> Tensor:
        """Spectra whose Euclidean distances are in units of the covariance."""
        whitened: Tensor = torch.linalg.solve_triangular(self.factor, spectra.T, upper=False).T
        return whitened

    def _spectrum(self, x: Tensor) -> Tensor:
        """The log of the power in each band, float64 (B, bands); the mean of an item has no part in it."""
        x = x.detach().cpu().double()
        power = powers(x if x.ndim > 2 else x[:, None], BANDS, over_channels=True).power[:, 0]
        spectra: Tensor = (power + self.floor**2).log()
        return spectra


class Powers(NamedTuple):
    """The mean power of items in bands of frequency, (B, C, bands), and the octave of each band.

    Octave k begins at 2^k cycles along the longest side; the first one has all that is lower, but for the mean.
    """

    power: Tensor
    octaves: Tensor


def powers(x: Tensor, bands: int = 1, over_channels: bool = False) -> Powers:
    """Return the power of items (B, C, *sides) in bands of frequency, over all directions; the mean has no part in it.

    Args:
        x: The items.
        bands: The number of bands in an octave.
        over_channels: Whether it is that of all channels together.
    """
    sides, axes = x.shape[2:], range(2, x.ndim)
    for axis in axes:  # mirrored, as a jump from one border to the other would have power at all frequencies
        x = torch.cat([x, x.flip(axis)], axis)
    power = torch.fft.fftn(x, dim=tuple(axes), norm="ortho").abs().square()
    power = (power.mean(1, keepdim=True) if over_channels else power).flatten(2)
    # in cycles along the longest side
    grid = torch.meshgrid(*(torch.fft.fftfreq(2 * side) * max(sides) for side in sides), indexing="ij")
    frequency = torch.stack(grid).square().sum(0).sqrt().flatten()
    varying = frequency > 0
    # the corners beyond the highest frequency of an axis are a part of the last band
    octave = (bands * frequency[varying].clamp(1, max(1.0, 0.49 * max(sides))).log2()).long()
    found, band = torch.unique(octave, return_inverse=True)  # without the bands that hold no frequency
    sums = power.new_zeros(*power.shape[:2], len(found)).index_add_(2, band, power[..., varying])
    return Powers(sums / band.bincount(), found / bands)
