"""Pictures that are there twice: the same pixels, or the same picture saved again at another size or quality.

Each picture is kept as 192 bytes: its brightness on 12 x 12 cells and its colour on 4 x 4. Those whose 64-bit
difference hash (is a cell brighter than its right neighbour?) is the same, or would be but for a few bits that were
nearly undecided, are compared by these bytes. Nothing is compared with everything.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

CELLS, COLOURS = 12, 4
SIZE = CELLS**2 + 3 * COLOURS**2
"""Bytes of a thumbnail."""
MARGIN = 4.0
"""Levels by which a cell must be brighter: what is flat has no say in the hash, whatever noise lies on it."""
FLIPS = 3
"""The bits nearest to the margin are taken both ways."""
NEIGHBOURS = 16
"""Of pictures with the same hash, each is compared with so many that are next to it in brightness."""
BRIGHTNESS, CONTRAST, COLOUR = 2.5, 0.06, 4.0
"""How far two thumbnails may lie apart, root mean square: in levels, as a share of their contrast, and in colour."""
LARGE = 96
CHUNK = 8192  # thumbnails at a time, so that temporaries stay small
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Group:
    """Pictures that are one picture, by number."""

    kind: Literal["same", "alike"]
    """The same pixels, or the same to the eye."""
    members: tuple[int, ...]


def thumbnails(images: Tensor) -> NDArray[np.uint8]:
    """Uint8 images (N, 1 or 3, H, W) of one size -> uint8 (N, SIZE)."""
    if min(images.shape[2:]) > LARGE:  # in bytes first: a photograph in floats takes four times its memory
        images = F.interpolate(images, size=(LARGE, LARGE), mode="bilinear", antialias=True)
    x = images.expand(-1, 3, -1, -1).float()
    grey = (x * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    parts = [
        F.interpolate(part, size=(side, side), mode="bilinear", antialias=True).round().clamp(0, 255).flatten(1)
        for part, side in ((grey, CELLS), (x, COLOURS))
    ]
    return torch.cat(parts, 1).byte().numpy()


def find(thumbs: NDArray[np.uint8], digests: NDArray[np.uint64]) -> list[Group]:
    """All groups of two and more, first by kind, then by their first member. `digests` (N,) tell pixels apart."""
    exact = same(digests)
    alone = np.ones(len(digests), dtype=bool)
    for group in exact:
        alone[list(group.members[1:])] = False
    kept = np.flatnonzero(alone)  # one of each group stands for it, so that a thousand copies are compared once
    return exact + [Group("alike", tuple(kept[list(members)].tolist())) for members in _alike(thumbs[kept])]


def same(digests: NDArray[np.uint64]) -> list[Group]:
    """Groups of equal digests (N,)."""
    order = np.argsort(digests, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(digests[order])) + 1)
    return sorted((Group("same", tuple(p.tolist())) for p in parts if len(p) > 1), key=lambda group: group.members)


def _alike(thumbs: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """Groups of thumbnails (N, SIZE) that show the same picture."""
    keys = _keys(thumbs)
    owner = np.repeat(np.arange(len(thumbs)), keys.shape[1])
    order = np.lexsort((thumbs[:, : CELLS**2].mean(1, dtype=np.float32)[owner], keys.ravel()))
    key, owner = keys.ravel()[order], owner[order]
    groups = _Groups(len(thumbs))
    for gap in range(1, min(NEIGHBOURS + 1, len(key))):
        together = np.flatnonzero(key[:-gap] == key[gap:])
        if not len(together):
            break
        low, high = np.sort([owner[together], owner[together + gap]], axis=0)
        apart = groups.of[low] != groups.of[high]  # what is joined already need not be compared again
        pairs = np.unique(low[apart] * len(thumbs) + high[apart])
        low, high = np.divmod(pairs, len(thumbs))
        close = _close(thumbs, low, high)
        groups.join(low[close], high[close])
    return groups.members()


def _keys(thumbs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Uint64 (N, 2^FLIPS): the hash, with its least certain bits both ways."""
    keys = np.empty((len(thumbs), 2**FLIPS), dtype=np.uint64)
    for start in range(0, len(thumbs), CHUNK):
        part = torch.from_numpy(thumbs[start : start + CHUNK, : CELLS**2]).float().view(-1, 1, CELLS, CELLS)
        cells = F.adaptive_avg_pool2d(part, (8, 9))
        over = ((cells[..., :-1] - cells[..., 1:]).flatten(1) - MARGIN).numpy()
        weak = np.argpartition(np.abs(over), FLIPS, axis=1)[:, :FLIPS].astype(np.uint64)
        place = np.uint64(1) << np.arange(64, dtype=np.uint64)
        key = ((over > 0) * place).sum(1, dtype=np.uint64)[:, None]
        for bit in range(FLIPS):
            key = np.concatenate([key, key ^ (np.uint64(1) << weak[:, bit : bit + 1])], axis=1)
        keys[start : start + CHUNK] = key
    return keys


def _close(thumbs: NDArray[np.uint8], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs of thumbnails, numbers (P,) and (P,), show the same picture: bool (P,)."""
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


class _Groups:
    """The connected groups of a growing graph of `count` pictures."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))
        self.of = np.arange(count)
        """The group of each, named by its first member."""

    def join(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
        """Add the edges from low (P,) to high (P,)."""
        for one, other in zip(low.tolist(), high.tolist(), strict=True):
            first, second = sorted((self._root(one), self._root(other)))
            self.parent[second] = first
        if len(low):
            self.of = np.array([self._root(member) for member in range(len(self.parent))])

    def _root(self, member: int) -> int:
        while self.parent[member] != member:
            self.parent[member] = member = self.parent[self.parent[member]]
        return member

    def members(self) -> list[tuple[int, ...]]:
        """The groups of two and more, by their first member."""
        order = np.argsort(self.of, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.of[order])) + 1)
        return [tuple(part.tolist()) for part in parts if len(part) > 1]
