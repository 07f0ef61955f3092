"""Some items of any source, to look at or to measure."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import torch
from torch import Tensor

from ancestral.data.dataset import Dataset
from ancestral.data.evenly import evenly
from ancestral.data.indexed import Indexed
from ancestral.data.reading import Unreadable
from ancestral.data.streamed import Streamed

READ = 256
"""Items that are read from where they lie, unless told otherwise."""
SHARE = 1024
"""Most items of one shard, as long as there are others."""


def sample(data: Dataset | Indexed | Streamed, most: int, read: int = READ) -> Dataset:
    """At most so many items in memory, with their labels, evenly chosen from the first to the last.

    Of a stream they are the first of as many shards as it takes, evenly chosen; what is not in memory is `read` from
    where it lies, at most so many. Items that cannot be read are left out. Raises SourceLost.
    """
    if isinstance(data, Dataset):
        if len(data) <= most:
            return data
        rows = evenly(most, len(data))
        labels = None if data.labels is None else data.labels[rows]
        return Dataset(data.items[rows], labels, data.classes, data.name, data.skipped)
    most = min(most, read)
    found = list(islice(_streamed(data, most) if isinstance(data, Streamed) else _indexed(data, most), most))
    items = torch.stack([item for item, _ in found]) if found else torch.empty(0, *data.shape, dtype=data.codec.dtype)
    known = torch.tensor([label for _, label in found]) if data.labelled else None
    return Dataset(items, known, data.classes if data.labelled else (), data.name, data.skipped)


def _indexed(data: Indexed, most: int) -> Iterator[tuple[Tensor, int]]:
    for index in evenly(most, len(data)):
        with suppress(Unreadable):
            yield data.read(index)


def _streamed(data: Streamed, most: int) -> Iterator[tuple[Tensor, int]]:
    """Of evenly chosen shards the first items; where those are too few, of the other shards too."""
    first = evenly(-(-most // SHARE), data.shards)
    for shard in [*first, *(other for other in range(data.shards) if other not in first)]:
        yield from islice(data.shard(shard), SHARE)
