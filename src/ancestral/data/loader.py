"""Batches of any source, in the order of the run, from any step on; decoded in worker processes where there are any.

A batch is a function of (data, seed, batch size, step), whatever the processes and workers, so training that goes on
after a stop, a worker's death or a lost file system sees what it would have seen.
"""

import math
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from types import TracebackType

import torch
from torch import Tensor

from ancestral.data import stream
from ancestral.data.dataset import Dataset
from ancestral.data.indexed import Indexed
from ancestral.data.reader import Part, Reader, Task
from ancestral.data.reading import SourceLost
from ancestral.data.streamed import Streamed
from ancestral.data.workers import WorkerDied, parts
from ancestral.errors import InputError

DEATHS = 3
"""So many times the workers may die at one step."""


@dataclass(frozen=True)
class Batch:
    """The items of a step that are this process's."""

    step: int
    items: Tensor
    """(len(places), C, *space), as the source has them."""
    labels: Tensor | None
    """int64 (len(places),), -1 for an item without a class; None where the source has no classes."""
    indices: Tensor
    """int64 (len(places),): which items these are; of a stream, their numbers in its endless order."""
    notes: tuple[str, ...] = ()
    """What the user should know: items left out, workers that died, waiting. One line each."""


class Loader:
    """The batches of a run. Use it as a context, or `close` it, so that no worker is left behind."""

    def __init__(
        self,
        data: Dataset | Indexed | Streamed,
        *,
        seed: int,
        batch_size: int,
        places: range,
        workers: int | None = None,
    ) -> None:
        """`places` are this process's of the 0..batch_size−1 of a step: range(rank, batch_size, processes).

        `workers` None is none for data in memory, else as many as this process's share of the cores, up to 8.
        """
        self._data, self._seed, self._batch_size, self._places = data, seed, batch_size, places
        self.workers = 0 if isinstance(data, Dataset) else default_workers() if workers is None else workers
        self._running: Generator[Batch] | None = None

    def batches(self, first: int) -> Iterator[Batch]:
        """The batches of the steps first, first + 1, ... without end; those of an earlier call end.

        Raises InputError where the data cannot be read any more, or the workers die again and again.
        """
        self.close()
        data = self._data
        self._running = self._from_memory(data, first) if isinstance(data, Dataset) else self._read(data, first)
        return self._running

    def close(self) -> None:
        """End the batches and the workers."""
        if self._running is not None:
            self._running.close()
        self._running = None

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _chosen(self, count: int, step: int) -> Tensor:
        """Which of `count` items this process has at a step."""
        return stream.batch(count, self._batch_size, self._seed, step)[list(self._places)]

    def _from_memory(self, data: Dataset, step: int) -> Generator[Batch]:
        while True:
            chosen = self._chosen(len(data), step)
            yield Batch(step, data.items[chosen], None if data.labels is None else data.labels[chosen], chosen)
            step += 1

    def _read(self, data: Indexed | Streamed, first: int) -> Generator[Batch]:
        step, deaths = first, 0
        news: tuple[str, ...] = ()
        told: set[str] = set()
        while True:
            tasks, share = self._tasks(data, step), len(self._places)
            with closing(parts(Reader(data, self._seed), tasks, share, self.workers)) as source:
                try:
                    while True:
                        pieces = [next(source) for _ in range(self._pieces)]
                        batch = _whole(step, pieces, data.labelled)
                        fresh = tuple(dict.fromkeys(note for note in batch.notes if note not in told))
                        told.update(fresh)
                        yield replace(batch, notes=news + fresh)
                        step, deaths, news = step + 1, 0, ()
                except WorkerDied as death:
                    deaths += 1
                    if deaths == DEATHS:
                        raise InputError(
                            f"the data workers died {deaths} times at step {step} ({death}): free some memory, take "
                            "fewer with --workers, or read the data without, by --workers 0"
                        ) from None
                    news += (f"a data worker died at step {step} ({death}): started again",)

    @property
    def _pieces(self) -> int:
        """Parts of a batch: of a stream one for each worker, who keeps to lanes of its own."""
        return max(1, self.workers) if isinstance(self._data, Streamed) else 1

    def _tasks(self, data: Indexed | Streamed, step: int) -> Iterator[Task]:
        """What to read for each step from this one on, part after part. The workers take turns."""
        while True:
            if isinstance(data, Streamed):
                numbers = [step * self._batch_size + place for place in self._places]
                lanes, width = data.lanes, math.gcd(self._places.step, data.lanes)
                owners = [number % lanes // width % self._pieces for number in numbers]
                for piece in range(self._pieces):
                    yield {at: number for at, number in enumerate(numbers) if owners[at] == piece}
            else:
                yield dict(enumerate(self._chosen(len(data), step).tolist()))
            step += 1


def _whole(step: int, pieces: list[Part], labelled: bool) -> Batch:
    """The batch that the parts make up. Raises SourceLost if one could not be had."""
    for piece in pieces:
        if piece.lost:
            raise SourceLost(piece.lost)
    notes = tuple(note for piece in pieces for note in piece.notes)
    if len(pieces) == 1:
        (piece,) = pieces
        items, labels, indices = piece.items, piece.labels, piece.indices
    else:
        order = torch.tensor([at for piece in pieces for at in piece.at]).argsort()
        items = torch.cat([piece.items for piece in pieces])[order]
        labels = torch.cat([piece.labels for piece in pieces])[order]
        indices = torch.cat([piece.indices for piece in pieces])[order]
    return Batch(step, items, labels if labelled else None, indices, notes)


def default_workers() -> int:
    """The cores of the machine over its training processes, at least 1 and at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
