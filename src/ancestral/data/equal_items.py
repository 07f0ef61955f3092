"""Copies: items of a data set that have equal values. A split keeps them together, so that no copy is held out.

Each item is read, decoded and hashed once. Items in memory take about 1 s for each GB; items that are read lazily take
as long as the reading of one epoch.
"""

import hashlib
from collections.abc import Generator
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.base.events import Work
from ancestral.config.data_config import HeldOut
from ancestral.data.dataset import Dataset, InMemoryDataset, held_out_keys, held_out_mask
from ancestral.data.decoding import reading_threads
from ancestral.data.files import Unreadable

THREAD_ITEMS = 16
"""Number of items that a thread reads and hashes at a time."""
SEARCH = "looking for copies"
HASHED_ITEMS = 4096
"""Number of items in memory that are hashed between two reports of the progress."""


def digests(items: Tensor) -> NDArray[np.uint64]:
    """Compute 64 bits of each of some items (N, *shape) that differ if any value does, uint64 (N,); 0.0 is -0.0."""
    values = (items + 0.0 if items.is_floating_point() else items).flatten(1).contiguous().numpy()
    hashes = (hashlib.sha256(row).digest()[:8] for row in values)  # processors have instructions for it
    return np.frombuffer(b"".join(hashes), "<u8").astype(np.uint64)


def digests_of(data: Dataset) -> Generator[Work, None, NDArray[np.uint64]]:
    """Compute the digest of each item of a data set, uint64 (N,); that of an item that cannot be read is its number."""
    count, values = len(data), np.arange(len(data), dtype=np.uint64)

    def hash_block(block: range) -> None:
        for row in block:
            with suppress(Unreadable):
                values[row] = digests(data.read(row)[0][None])[0]

    if isinstance(data, InMemoryDataset):
        for start in range(0, count, HASHED_ITEMS):
            values[start : start + HASHED_ITEMS] = digests(data.items[start : start + HASHED_ITEMS])
            yield Work(SEARCH, min(start + HASHED_ITEMS, count), count, "items")
        return values
    blocks = [range(start, min(start + THREAD_ITEMS, count)) for start in range(0, count, THREAD_ITEMS)]
    with reading_threads(data.threads) as pool:
        for block, _ in zip(blocks, pool.imap(hash_block, blocks), strict=True):
            yield Work(SEARCH, block.stop, count, "items")
    return values


def moved_rows(data: Dataset, share: float | HeldOut) -> Generator[Work, None, tuple[int, ...]]:
    """Find the items that have to change sides in the split of `hold_out`, so that copies are on one side.

    Items without a copy stay where they are. Sets of copies are held out in random order, each as long as no more items
    are held out than before.

    Args:
        data: The whole data set.
        share: The share that is held out, and how.

    Returns:
        Their rows, ascending; () if no item has a copy.
    """
    _, inverse, counts = np.unique((yield from digests_of(data)), return_inverse=True, return_counts=True)
    copied = torch.from_numpy(counts[inverse] > 1)
    if not bool(copied.any()):
        return ()
    mask = held_out_mask(data, share)
    room, key = int(mask[copied].sum()), held_out_keys(len(data))
    rows = copied.nonzero().flatten()
    rows = rows[key[rows].argsort(stable=True)]
    sets = inverse[rows.numpy()]
    _, first = np.unique(sets, return_index=True)
    chosen = np.zeros(len(counts), dtype=bool)
    for number in sets[np.sort(first)].tolist():
        if counts[number] <= room:
            chosen[number] = True
            room -= int(counts[number])
    together = torch.where(copied, torch.from_numpy(chosen[inverse]), mask)
    return tuple((together != mask).nonzero().flatten().tolist())


def first_equal(items: Tensor, others: Tensor) -> Tensor:
    """Find the first of `others` (M, *shape) with the values of each of `items` (N, *shape), int64 (N,); -1 without."""
    first = dict[int, int]()
    for row, one in enumerate(digests(others).tolist()):
        first.setdefault(one, row)
    return torch.tensor([first.get(one, -1) for one in digests(items).tolist()], dtype=torch.int64)
