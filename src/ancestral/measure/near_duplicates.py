"""Duplicates: items of the same values, and images saved again at another size or quality.

A thumbnail of an image has 192 bytes: its brightness on 12 x 12 cells and its colour on 4 x 4. Images whose
transparency is kept have two thumbnails, on black and on white, and look alike if they do on both.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ancestral.data.convert import composite, has_alpha

CELLS, COLOURS = 12, 4
SIZE = CELLS**2 + 3 * COLOURS**2
"""Number of bytes of a thumbnail."""
BRIGHTNESS, CONTRAST, COLOUR = 2.5, 0.06, 4.0
"""Largest root-mean-square differences of two thumbnails: in levels, relative to their contrast, and in colour."""
DETAIL_SIDE = 96
THUMBNAILS_AT_ONCE = 64  # thumbnails that are compared with others at a time, so that temporaries stay small
GROUNDS = (0, 0, 0), (255, 255, 255)
LUMA_WEIGHTS = (0.299, 0.587, 0.114)


def thumbnails(images: Tensor) -> NDArray[np.uint8]:
    """Reduce uint8 images (N, 1..4, H, W) to thumbnails, uint8 (N, 1, SIZE); (N, 2, SIZE) if they have alpha."""
    views = GROUNDS if has_alpha(images.shape[1:], images.dtype) else GROUNDS[:1]
    return np.stack([_thumbnails(composite(images, ground)) for ground in views], 1)


def _thumbnails(images: Tensor) -> NDArray[np.uint8]:
    """Reduce uint8 images (N, 1 or 3, H, W) to thumbnails, uint8 (N, SIZE)."""
    if min(images.shape[2:]) > DETAIL_SIDE:  # in bytes first: a photograph in floats takes four times its memory
        images = F.interpolate(images, size=(DETAIL_SIDE, DETAIL_SIDE), mode="bilinear", antialias=True)
    x = images.expand(-1, 3, -1, -1).float()
    grey = (x * torch.tensor(LUMA_WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)
    parts = [
        F.interpolate(part, size=(side, side), mode="bilinear", antialias=True).round().clamp(0, 255).flatten(1)
        for part, side in ((grey, CELLS), (x, COLOURS))
    ]
    return torch.cat(parts, 1).byte().numpy()


def first_alike(thumbs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find the first image of each image's group, in which each looks like another.

    Two thumbnails differ by at least the difference of their mean brightness, so only those of nearly the same mean
    are compared, and the time grows far less than with the square of the number of images.

    Args:
        thumbs: The thumbnails (N, number of views, SIZE).

    Returns:
        Indices (N,); an image that looks like no earlier one has its own.
    """
    views = torch.from_numpy(thumbs).transpose(0, 1)
    mean = thumbs[..., : CELLS**2].mean((1, 2))
    order = np.argsort(mean, kind="stable")
    levels, first = mean[order], torch.arange(len(thumbs))
    for start in range(0, len(thumbs), THUMBNAILS_AT_ONCE):
        stop = min(start + THUMBNAILS_AT_ONCE, len(thumbs))
        low, high = levels[start] - BRIGHTNESS, levels[stop - 1] + BRIGHTNESS
        window = torch.from_numpy(order[np.searchsorted(levels, low) : np.searchsorted(levels, high, "right")])
        rows = torch.from_numpy(order[start:stop])
        first[rows] = torch.where(_alike(views[:, rows], views[:, window]), window, len(thumbs)).amin(1)
    while not torch.equal(earlier := first[first], first):
        first = earlier
    return first.numpy()


def first_copies(
    digests: NDArray[np.uint64], flat: NDArray[np.bool_], thumbs: NDArray[np.uint8] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the item that each item is a copy of. Items of one colour are no copies of each other.

    Args:
        digests: 64 bits of each item that differ if any value does, (N,).
        flat: Whether an item has one colour throughout, (N,).
        thumbs: The thumbnails of images; None of other items.

    Returns:
        The first item of the same values, and among items of different values the first one of the same look, (N,)
        each. An item that is no copy has its own row.
    """
    rows = np.arange(len(digests))
    _, first_rows, groups = np.unique(digests, return_index=True, return_inverse=True)
    equal = np.where(flat, rows, first_rows[groups])
    alike, distinct = rows.copy(), np.flatnonzero((equal == rows) & ~flat)
    if thumbs is not None:
        alike[distinct] = distinct[first_alike(thumbs[distinct])]
    return equal, alike


def _alike(these: Tensor, others: Tensor) -> Tensor:
    """Whether thumbnails (number of views, A, SIZE) and (number of views, B, SIZE) show the same image, bool (A, B)."""
    (grey, colour), (other_grey, other_colour) = (
        (side[..., : CELLS**2].float(), side[..., CELLS**2 :].float()) for side in (these, others)
    )
    contrast = torch.minimum(grey.std(-1)[:, :, None], other_grey.std(-1)[:, None])
    brightness = torch.cdist(grey, other_grey) / CELLS
    colours = torch.cdist(colour, other_colour) / math.sqrt(SIZE - CELLS**2)
    return ((brightness <= (CONTRAST * contrast).clamp(1.0, BRIGHTNESS)) & (colours <= COLOUR)).all(0)
