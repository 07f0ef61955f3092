"""Stub until the branch feed lands."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.data import stream
from ancestral.data.dataset import Dataset


@dataclass(frozen=True)
class Batch:
    """One process's share of a global batch."""

    step: int
    items: Tensor
    labels: Tensor | None
    indices: Tensor
    notes: tuple[str, ...] = ()


class Loader:
    """Batches of a data set from any step on."""

    def __init__(self, data: Dataset, *, seed: int, batch_size: int, places: range, workers: int | None = None) -> None:
        self.data, self.seed, self.batch_size, self.places = data, seed, batch_size, torch.tensor(places)

    def batches(self, first: int) -> Iterator[Batch]:
        """Endless, from step `first` on."""
        step = first
        while True:
            chosen = stream.batch(len(self.data), self.batch_size, self.seed, step)[self.places]
            labels = None if self.data.labels is None else self.data.labels[chosen]
            yield Batch(step, self.data.items[chosen], labels, chosen)
            step += 1

    def close(self) -> None:
        """Nothing to close."""
