"""What an autoencoder loses: its reconstructions of real items, compared with these."""

import contextlib
import math
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.events import Work
from ancestral.data import DataSpec
from ancestral.metrics import distances, extractors
from ancestral.metrics.extractors import Extractor
from ancestral.results.sample_result import ReconstructionQuality

MOST_RECONSTRUCTED = 1000
"""Largest number of items that are reconstructed."""
ITEMS_AT_ONCE = 32
"""Number of items at a time."""
FEWEST_OF_KERNEL = 12
"""Smallest number of items whose halves have a kernel distance."""
LEAST_ERROR = 1e-12
"""Mean square error below which float32 sees none: 120 dB."""
EXTRACTOR = "lite0"
"""Default features by which the halves are compared."""


def reconstruct(spec: DataSpec, items: Tensor, device: torch.device) -> Iterator[Tensor]:
    """Encode and decode items (N, C, *sides), batch by batch: what a perfect model of latents would make of them."""
    for part in torch.split(items, ITEMS_AT_ONCE):
        yield spec.decode(spec.encode(part.to(device))).cpu()


def reconstruction_quality(
    spec: DataSpec, items: Tensor, device: torch.device, extractor: Extractor | None = None
) -> Generator[Work, None, tuple[ReconstructionQuality, Tensor]]:
    """Measure the reconstructions of items.

    Args:
        spec: The description of the items, with an autoencoder.
        items: The items (N, C, *sides).
        device: Where they are computed.
        extractor: The features; None is lite0 for images of 1 or 3 channels, where it is installed.

    Returns:
        The measures, and the reconstructions.
    """
    parts = list[Tensor]()
    for part in reconstruct(spec, items, device):
        parts.append(part)
        yield Work("reconstructions", sum(map(len, parts)), len(items), "items", part=True)
    made = torch.cat(parts)
    pairs = zip(torch.split(items, ITEMS_AT_ONCE), torch.split(made, ITEMS_AT_ONCE), strict=True)
    squares = [(spec.codec.encode(one) - spec.codec.encode(other)).double().square().sum() for one, other in pairs]
    error = float(sum(squares, torch.zeros(()))) / made.numel() / 4  # of values from -1 to 1
    psnr = -10 * math.log10(max(error, LEAST_ERROR))
    if extractor is None and len(spec.shape) == 3 and spec.shape[0] in (1, 3):
        with contextlib.suppress(InputError):  # it is not installed
            extractor = extractors.extractor(EXTRACTOR, spec.shape, spec.codec, device)
    if extractor is None or len(items) < FEWEST_OF_KERNEL:
        return ReconstructionQuality(len(items), psnr), made
    features = []
    for half in (made[::2], items[1::2], items[::2]):
        values = []
        for part in torch.split(half, ITEMS_AT_ONCE):
            values.append(extractor(part).values)
            yield Work("features of reconstructions", sum(map(len, values)), len(half), "items", part=True)
        features.append(torch.cat(values))
    kid, halves = (distances.kernel(one, features[1]) for one in (features[0], features[2]))
    return ReconstructionQuality(len(items), psnr, kid, halves, extractor.title("KID")), made
