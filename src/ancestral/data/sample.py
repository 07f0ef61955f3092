"""Some items of any source, to look at."""

from contextlib import suppress
from itertools import islice

import torch

from ancestral.data.dataset import Dataset
from ancestral.data.evenly import evenly
from ancestral.data.indexed import Indexed
from ancestral.data.reading import Unreadable
from ancestral.data.streamed import Streamed

READ = 256
"""Most items that are read from where they lie."""


def sample(data: Dataset | Indexed | Streamed, most: int) -> Dataset:
    """At most so many items in memory, evenly chosen from the first to the last, or the first of a stream; without
    labels. Those that cannot be read are left out. Raises SourceLost.
    """
    if isinstance(data, Dataset):
        items = data.items if len(data) <= most else data.items[evenly(most, len(data))]
        return Dataset(items, None, (), data.name)
    most = min(most, READ)
    found = []
    if isinstance(data, Streamed):
        found = [item for item, _ in islice(data.shard(0), most)]
    else:
        for index in evenly(most, len(data)):
            with suppress(Unreadable):
                found.append(data.read(index)[0])
    items = torch.stack(found) if found else torch.empty(0, *data.shape, dtype=data.codec.dtype)
    return Dataset(items, None, (), data.name)
