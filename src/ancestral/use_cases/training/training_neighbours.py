"""The training items that are nearest to samples by their pixels."""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.events import Event, Work
from ancestral.config import FROM_PYTHON
from ancestral.data import Dataset, InMemoryDataset
from ancestral.data.dataset import evenly_spaced
from ancestral.data.decoding import reading_threads
from ancestral.data.files import Unreadable
from ancestral.data.spec import Codec
from ancestral.measure.reference import loader, max_items
from ancestral.metrics.neighbours import k_nearest
from ancestral.model import Model

PART_ELEMENTS = 2**20
"""Number of elements of a part of the items that is compared at once: 8 MB of float64."""
ITEMS_BETWEEN_REPORTS = 64
"""Items between two reports of the progress of reading."""


@dataclass(frozen=True, eq=False)
class TrainingNeighbours:
    """The k nearest training items of each of n samples, the nearest first.

    Attributes:
        positions: Their numbers in the training data, int64 (n, k).
        distances: The root mean square difference of the pixels, in the units of the data (0-255 of images), float64
            (n, k). A copy is at 0.
        items: The items, (n, k, C, *sides) in the units of the data.
        labels: The numbers of their classes in the training data, int64 (n, k), -1 without; None of data without.
        classes: The names of these classes.
        searched: The number of items that were compared.
        total: The number of all training items.
    """

    positions: Tensor
    distances: Tensor
    items: Tensor
    labels: Tensor | None
    classes: tuple[str, ...]
    searched: int
    total: int


@dataclass(frozen=True, eq=False)
class TrainingItems:
    """Training items in memory, which samples are compared with: all, or evenly spaced ones of data that are not.

    Attributes:
        items: The items, (N, C, *sides) in the units of the data.
        positions: Their numbers in the training data, int64 (N,).
        labels: The numbers of their classes; None of data without.
        classes: The names of the classes.
        codec: The codec of the items.
        mirrored: Whether mirror images count too, since the model was trained on them.
        total: The number of all training items.
    """

    items: Tensor
    positions: Tensor
    labels: Tensor | None
    classes: tuple[str, ...]
    codec: Codec
    mirrored: bool
    total: int

    def nearest(self, samples: Tensor, k: int = 5) -> TrainingNeighbours:
        """Find the nearest training items.

        Args:
            samples: Samples (n, C, *sides) in the units of the data, at least one.
            k: The number of items of each.

        Raises:
            InputError: If the samples are of another shape, or k is less than 1.
        """
        shape = tuple(self.items.shape[1:])
        if tuple(samples.shape[1:]) != shape or not len(samples):
            raise InputError(f"samples have the shape {list(samples.shape)}: give at least one of {list(shape)}")
        if k < 1:
            raise InputError(f"k is the number of nearest items of each sample, 1 or more, not {k}")
        near = k_nearest(self._rows(samples)[0], self._parts(), k).index
        pairs = zip(self._rows(samples)[0].double(), near, strict=True)
        distances = torch.stack([self._distances(query, rows) for query, rows in pairs])
        order = distances.argsort(dim=1, stable=True)
        near, distances = near.gather(1, order), distances.gather(1, order)
        return TrainingNeighbours(
            self.positions[near],
            distances,
            self.items[near],
            None if self.labels is None else self.labels[near],
            self.classes,
            len(self.items),
            self.total,
        )

    def _distances(self, query: Tensor, rows: Tensor) -> Tensor:
        """The root mean square differences of a row from items, from their differences: a copy is at exactly 0."""
        forms = [(form.double() - query).square().mean(1) for form in self._rows(self.items[rows])]
        return torch.stack(forms).amin(0).sqrt() * self.codec.scale

    def _parts(self) -> Iterator[list[Tensor]]:
        """Encoded items in parts, and their mirror images."""
        size = max(1, PART_ELEMENTS // math.prod(self.items.shape[1:]))
        for start in range(0, len(self.items), size):
            yield self._rows(self.items[start : start + size])

    def _rows(self, items: Tensor) -> list[Tensor]:
        """Encoded items as rows, and those of their mirror images where these count."""
        forms = [items, items.flip(-1)] if self.mirrored and items.ndim == 4 else [items]
        return [self.codec.encode(form).flatten(1) for form in forms]


def training_items(model: Model, most: int | None = None) -> Generator[Event, None, TrainingItems]:
    """Open the items that a model was trained on, to compare samples with them.

    Args:
        model: The model.
        most: The largest number of items that are read where they are not in memory; None is 10,000, or fewer large
            ones.

    Yields:
        The progress of reading.

    Returns:
        The items, of which `TrainingItems.nearest` finds the nearest ones; it may be called often.

    Raises:
        InputError: If the training data are not known, or cannot be read any more.
    """
    config = model.config
    if config.preset == "imported" or config.data.source == FROM_PYTHON:
        raise InputError("the training data of this model are not known here, so no item of them can be shown")
    yield Work("looking at the data", 0, 0)
    dataset = loader(model.spec, config.data, config.data)(config.data.source, "train")  # without what was held out
    items, rows = yield from _read(dataset, most or max_items(dataset.shape))
    return TrainingItems(
        items,
        rows if dataset.rows is None else dataset.rows[rows],
        dataset.labels_of(rows),
        dataset.spec.classes,
        model.spec.codec,
        config.data.flip,
        len(dataset),
    )


def _read(dataset: Dataset, most: int) -> Generator[Event, None, tuple[Tensor, Tensor]]:
    """Items in memory and their numbers; those that cannot be read are left out."""
    if isinstance(dataset, InMemoryDataset):
        return dataset.items, torch.arange(len(dataset))
    rows = evenly_spaced(most, len(dataset))
    items, readable = dataset.empty(len(rows)), list[int]()

    def read(row: int) -> Tensor | None:
        try:
            return dataset.read(row)[0]
        except Unreadable:
            return None

    with reading_threads(dataset.threads) as pool:
        for done, item in enumerate(pool.imap(read, rows, chunksize=16), 1):
            if item is not None:
                items[len(readable)] = item
                readable.append(rows[done - 1])
            if done % ITEMS_BETWEEN_REPORTS == 0:
                yield Work(f"reading {dataset.name}", done, len(rows), "items")
    if not readable:
        raise InputError(f"no item of {dataset.name} can be read: `ancestral doctor` says why")
    return items[: len(readable)], torch.tensor(readable)
