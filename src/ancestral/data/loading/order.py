"""The order in which training reads the data: an endless shuffle that is a function of (seed, step)."""

import itertools
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import Sampler

from ancestral import randomness
from ancestral.randomness import Stream


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Return which of `count` items make up the batch of a step: int64 (batch_size,).

    The permutations of successive epochs are cut into batches with nothing left over, so that each item is used
    equally often, and any step can be computed without the ones before.
    """
    position = torch.arange(step * batch_size, (step + 1) * batch_size)
    epoch = position // count
    epochs = range(int(epoch[0]), int(epoch[-1]) + 1)  # one, or a few
    return torch.cat([_permutation(count, seed, e)[position[epoch == e] % count] for e in epochs])


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    return randomness.permutation(count, seed, Stream.ORDER, epoch)


class StepSampler(Sampler[list[int]]):
    """The items of one process in the batches of first_step, first_step + 1, ... without end."""

    def __init__(self, count: int, batch_size: int, seed: int, positions: range, first_step: int) -> None:
        """Take what `batch_indices` takes, and the process's positions in the global batch."""
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._positions, self._first_step = list(positions), first_step

    def indices(self, step: int) -> Tensor:
        """Return the items of a step: int64 (len(positions),)."""
        return batch_indices(self._count, self._batch_size, self._seed, step)[self._positions]

    def __iter__(self) -> Iterator[list[int]]:
        return (self.indices(step).tolist() for step in itertools.count(self._first_step))
