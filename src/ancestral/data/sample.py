"""Some items of any source, to look at."""

from contextlib import suppress
from itertools import islice

import numpy as np
import torch

from ancestral.data.dataset import Dataset
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
        if len(data) <= most:
            return Dataset(data.items, None, (), data.name)
        chosen = torch.linspace(0, len(data) - 1, most).round().long()
        return Dataset(data.items[chosen], None, (), data.name)
    most = min(most, READ)
    found = []
    if isinstance(data, Streamed):
        found = [item for item, _ in islice(data.shard(0), most)]
    else:
        for index in np.unique(np.linspace(0, len(data) - 1, most).round().astype(np.int64)):
            with suppress(Unreadable):
                found.append(data.read(int(index))[0])
    items = torch.stack(found) if found else torch.empty(0, *data.shape, dtype=data.codec.dtype)
    return Dataset(items, None, (), data.name)
