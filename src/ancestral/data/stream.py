"""The order in which training sees the data: an endless shuffle that is a function of (seed, step)."""

from functools import lru_cache

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.randomness import Stream


def batch(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Which of `count` items make up the batch of a step: int64 (batch_size,).

    Epoch after epoch of fresh permutations are cut into batches with nothing left over, so each item is seen equally
    often, and any step can be asked for without the ones before.
    """
    place = torch.arange(step * batch_size, (step + 1) * batch_size)
    epoch = place // count
    epochs = range(int(epoch[0]), int(epoch[-1]) + 1)  # one, or a few
    return torch.cat([_shuffled(count, seed, e)[place[epoch == e] % count] for e in epochs])


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, epoch: int) -> Tensor:
    return randomness.permutation(count, seed, Stream.ORDER, epoch)
