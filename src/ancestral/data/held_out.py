"""The share of a data set that is held out of training."""

import torch

from ancestral import randomness
from ancestral.data.dataset import Dataset
from ancestral.errors import InputError
from ancestral.options import option
from ancestral.randomness import Stream


def hold_out(data: Dataset, share: float) -> tuple[Dataset, Dataset]:
    """Split a data set into the items to train on and those that are held out.

    The items are chosen at random, from each class in proportion to its size. The choice depends on the number of items
    and their labels alone, so a run that is resumed, an evaluation and all processes make the same one.

    Args:
        data: The whole data set.
        share: The share that is held out, above 0 and below 1.

    Returns:
        The two parts, each in the order of the data.

    Raises:
        InputError: If a part has fewer than two items, of which no standard error can be computed.
    """
    count = len(data)
    n = round(share * count)
    if min(n, count - n) < 2:
        raise InputError(
            f"{option('validation', f'{share:g}')} of {count:,} items holds out {n:,} and leaves {count - n:,} to "
            "train on: give a share that makes both at least 2, or other data"
        )
    key = randomness.uniform(0, Stream.HELD_OUT, 0, range(count))
    order = (key if data.labels is None else key + data.labels).argsort(stable=True)  # by class, at random within each
    held = torch.zeros(count, dtype=torch.bool)
    held[order[((torch.arange(n) + 0.5) * (count / n)).long()]] = True
    return data.subset((~held).nonzero().flatten()), data.subset(held.nonzero().flatten())
