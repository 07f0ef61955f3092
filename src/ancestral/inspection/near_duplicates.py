"""Duplicates: images of the same pixels, and images saved again at another size or quality.

A thumbnail of an image has 192 bytes: its brightness on 12 x 12 cells and its colour on 4 x 4. Images whose 64-bit
difference hash (is a cell brighter than its right neighbour?) agrees, but for a few bits that are nearly undecided, are
compared by their thumbnails. So the time does not grow with the square of the number of images. Images whose
transparency is kept have two thumbnails, on black and on white, and look alike if they do on both.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ancestral.data.convert import composite, has_alpha

CELLS, COLOURS = 12, 4
SIZE = CELLS**2 + 3 * COLOURS**2
"""Number of bytes of a thumbnail."""
MARGIN = 4.0
"""Levels by which a cell must be brighter, so that noise on a flat area does not change the hash."""
FLIPS = 3
"""The number of bits nearest to the margin that are tried both ways."""
NEIGHBOURS = 16
"""Of images with the same hash, each is compared with this number of those next to it in brightness."""
BRIGHTNESS, CONTRAST, COLOUR = 2.5, 0.06, 4.0
"""Largest root-mean-square differences of two thumbnails: in levels, relative to their contrast, and in colour."""
LARGE = 96
CHUNK = 8192  # thumbnails at a time, so that temporaries stay small
GROUNDS = (0, 0, 0), (255, 255, 255)
LUMA = (0.299, 0.587, 0.114)
Groups = list[tuple[int, ...]]
"""Groups of two and more images by index, in the order of their first members."""


def thumbnails(images: Tensor) -> NDArray[np.uint8]:
    """Reduce uint8 images (N, 1..4, H, W) to thumbnails, uint8 (N, 1, SIZE); (N, 2, SIZE) if they have alpha."""
    views = GROUNDS if has_alpha(images.shape[1:], images.dtype) else GROUNDS[:1]
    return np.stack([_thumbnails(composite(images, ground)) for ground in views], 1)


def _thumbnails(images: Tensor) -> NDArray[np.uint8]:
    """Reduce uint8 images (N, 1 or 3, H, W) to thumbnails, uint8 (N, SIZE)."""
    if min(images.shape[2:]) > LARGE:  # in bytes first: a photograph in floats takes four times its memory
        images = F.interpolate(images, size=(LARGE, LARGE), mode="bilinear", antialias=True)
    x = images.expand(-1, 3, -1, -1).float()
    grey = (x * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    parts = [
        F.interpolate(part, size=(side, side), mode="bilinear", antialias=True).round().clamp(0, 255).flatten(1)
        for part, side in ((grey, CELLS), (x, COLOURS))
    ]
    return torch.cat(parts, 1).byte().numpy()


def item_duplicates(items: Tensor) -> dict[str, Groups]:
    """Find duplicates among items in memory as `duplicates` does; those that are not bytes are never "alike"."""
    hashes = (hashlib.blake2b(item.numpy().tobytes(), digest_size=8).digest() for item in items)
    digests = np.fromiter((int.from_bytes(h, "little") for h in hashes), dtype=np.uint64, count=len(items))
    if items.dtype != torch.uint8 or items.ndim != 4 or items.shape[1] > 4:
        return {"same": _equal(digests), "alike": []}
    return duplicates(np.concatenate([thumbnails(chunk) for chunk in torch.split(items, 1024)]), digests)


def duplicates(thumbs: NDArray[np.uint8], digests: NDArray[np.uint64]) -> dict[str, Groups]:
    """Find images that are there twice.

    Args:
        thumbs: The thumbnails (N, number of views, SIZE).
        digests: 64-bit digests of the pixels (N,).

    Returns:
        Groups of the "same" pixels, and groups that look "alike", in which the first of a group of the same stands for
        all of them.
    """
    same = _equal(digests)
    first = np.ones(len(thumbs), dtype=bool)
    for group in same:
        first[list(group[1:])] = False
    rows = np.flatnonzero(first)
    key = np.zeros(len(rows), dtype=np.int64)
    for view in np.moveaxis(thumbs[rows], 1, 0):
        key = np.unique(key * len(rows) + _components(view), return_inverse=True)[1]
    return {"same": same, "alike": [tuple(rows[list(group)].tolist()) for group in _equal(key)]}


def _equal(values: NDArray[np.integer]) -> Groups:
    """Group the indices of equal values (N,)."""
    order = np.argsort(values, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(values[order])) + 1)
    return sorted(tuple(part.tolist()) for part in parts if len(part) > 1)


def _components(thumbs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The first member of each thumbnail's group, (N,)."""
    keys = _hashes(thumbs)
    owner = np.repeat(np.arange(len(thumbs)), keys.shape[1])
    order = np.lexsort((thumbs[:, : CELLS**2].mean(1, dtype=np.float32)[owner], keys.ravel()))
    key, owner = keys.ravel()[order], owner[order]
    first = np.arange(len(thumbs))
    for gap in range(1, min(NEIGHBOURS + 1, len(key))):
        together = np.flatnonzero(key[:-gap] == key[gap:])
        if not len(together):
            break
        low, high = np.sort([owner[together], owner[together + gap]], axis=0)
        apart = first[low] != first[high]  # members of one group need not be compared again
        pairs = np.unique(low[apart] * len(thumbs) + high[apart])
        low, high = np.divmod(pairs, len(thumbs))
        close = _close(thumbs, low, high)
        _join(first, low[close], high[close])
    return first


def _join(first: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
    """Join the groups of `low` and `high` (P,) in place; `first` (N,) has the first member of each one's group."""
    while len(apart := np.flatnonzero(first[low] != first[high])):
        low, high = low[apart], high[apart]
        one, other = np.sort([first[low], first[high]], axis=0)
        np.minimum.at(first, other, one)
        while (first[first] != first).any():
            first[:] = first[first]


def _hashes(thumbs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Difference hashes, uint64 (N, 2^FLIPS): with each choice of the least certain bits."""
    keys = np.empty((len(thumbs), 2**FLIPS), dtype=np.uint64)
    for start in range(0, len(thumbs), CHUNK):
        part = torch.from_numpy(thumbs[start : start + CHUNK, : CELLS**2]).float().view(-1, 1, CELLS, CELLS)
        cells = F.adaptive_avg_pool2d(part, (8, 9))
        over = ((cells[..., :-1] - cells[..., 1:]).flatten(1) - MARGIN).numpy()
        weak = np.argpartition(np.abs(over), FLIPS, axis=1)[:, :FLIPS].astype(np.uint64)
        key = ((over > 0) * (np.uint64(1) << np.arange(64, dtype=np.uint64))).sum(1, dtype=np.uint64)[:, None]
        for bit in range(FLIPS):
            key = np.concatenate([key, key ^ (np.uint64(1) << weak[:, bit : bit + 1])], axis=1)
        keys[start : start + CHUNK] = key
    return keys


def _close(thumbs: NDArray[np.uint8], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the thumbnails `low` and `high` (P,) show the same image, bool (P,)."""
    close = np.empty(len(low), dtype=bool)
    for start in range(0, len(low), CHUNK):
        one, other = (thumbs[side[start : start + CHUNK]].astype(np.float32) for side in (low, high))
        apart, grey = one - other, slice(0, CELLS**2)
        contrast = np.minimum(one[:, grey].std(1), other[:, grey].std(1))
        brightness = np.sqrt(np.square(apart[:, grey]).mean(1))
        colour = np.sqrt(np.square(apart[:, CELLS**2 :]).mean(1))
        allowed = np.clip(CONTRAST * contrast, 1.0, BRIGHTNESS)
        close[start : start + CHUNK] = (brightness <= allowed) & (colour <= COLOUR)
    return close
