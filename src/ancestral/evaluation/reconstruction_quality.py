"""What an autoencoder loses: its reconstructions of real items, compared with these."""

import contextlib
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.data import DataSpec
from ancestral.errors import InputError
from ancestral.events import Work
from ancestral.metrics import distances, extractors
from ancestral.metrics.extractors import Extractor

MOST_ITEMS = 1000
"""Largest number of items that are reconstructed."""
BATCH = 32
"""Number of items at a time."""
FEWEST = 12
"""Smallest number of items whose halves have a kernel distance."""
EXTRACTOR = "lite0"
"""Default features by which the halves are compared."""


@dataclass(frozen=True)
class ReconstructionQuality:
    """How close reconstructions are to the items.

    Attributes:
        count: The number of items.
        psnr: The peak signal-to-noise ratio in dB, of the mean square error over all items.
        kid: The kernel distance of the reconstructions of one half of the items to the other half; None where there is
            no network for such items.
        halves: That of the halves themselves, without the autoencoder.
        title: The name of that distance, which names the features.
    """

    count: int
    psnr: float
    kid: float | None = None
    halves: float | None = None
    title: str = "KID"

    def __str__(self) -> str:
        kid = "" if self.kid is None else f", {self.title} {self.kid:.4f} (of the items {self.halves:.4f})"
        text = f"reconstructions of {self.count:,} items: PSNR {self.psnr:.1f} dB{kid}"
        return f"{text}; what is sampled cannot be better"


def reconstruct(spec: DataSpec, items: Tensor, device: torch.device) -> Iterator[Tensor]:
    """Encode and decode items (N, C, *sides), batch by batch: what a perfect model of latents would make of them."""
    for part in torch.split(items, BATCH):
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
    pairs = zip(torch.split(items, BATCH), torch.split(made, BATCH), strict=True)
    squares = [(spec.codec.encode(one) - spec.codec.encode(other)).double().square().sum() for one, other in pairs]
    error = float(sum(squares, torch.zeros(()))) / made.numel() / 4  # of values from -1 to 1
    psnr = -10 * math.log10(error) if error else math.inf
    if extractor is None and len(spec.shape) == 3 and spec.shape[0] in (1, 3):
        with contextlib.suppress(InputError):  # it is not installed
            extractor = extractors.extractor(EXTRACTOR, spec.shape, spec.codec, device)
    if extractor is None or len(items) < FEWEST:
        return ReconstructionQuality(len(items), psnr), made
    features = []
    for half in (made[::2], items[1::2], items[::2]):
        values = []
        for part in torch.split(half, BATCH):
            values.append(extractor(part).values)
            yield Work("features of reconstructions", sum(map(len, values)), len(half), "items", part=True)
        features.append(torch.cat(values))
    kid, halves = (distances.kernel(one, features[1]) for one in (features[0], features[2]))
    return ReconstructionQuality(len(items), psnr, kid, halves, extractor.title("KID")), made
