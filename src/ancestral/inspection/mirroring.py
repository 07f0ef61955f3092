"""Whether mirrored images look like the data, so that training on them too (--flip) adds data and not errors."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ancestral.results.estimate import Estimate

ITEMS, SIDE = 1000, 16
"""The largest number of images that are compared, and the side of the grey thumbnails that are compared."""
FEWEST = 50
"""Number of distinct images below which nothing is said."""


def mirror_test(items: Tensor) -> Estimate | None:
    """Compute the share of images that are nearer to another image than to another image mirrored.

    It is the nearest-neighbour two-sample test (Schilling 1986) of the images and their mirror images: of a
    distribution that mirroring does not change, the share is 1/2.

    Args:
        items: Images (N, C, H, W).

    Returns:
        The share and its standard error; None of other items, and of fewer than FEWEST distinct images.
    """
    if items.ndim != 4:
        return None
    rows = torch.linspace(0, len(items) - 1, min(ITEMS, len(items))).round().long()
    small = F.adaptive_avg_pool2d(items[rows].double().mean(1, keepdim=True), SIDE)[:, 0]
    small = torch.unique(small, dim=0)
    if len(small) < FEWEST:
        return None
    plain, mirrored = small.flatten(1), small.flip(-1).flatten(1)
    distances = []
    for others in (plain, mirrored):
        pairs = torch.cdist(plain, others, compute_mode="donot_use_mm_for_euclid_dist")
        distances.append(pairs.fill_diagonal_(math.inf).min(1).values)  # neither itself nor its own mirror image
    to_plain, to_mirrored = distances
    wins = (to_plain < to_mirrored).double() + 0.5 * (to_plain == to_mirrored).double()
    share = wins.mean().item()
    return Estimate(share, 0.5 / math.sqrt(len(small)))
