"""Reads the items of a task, in the training process or in a worker of it, with what may go wrong on the way."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ancestral.data.indexed import Indexed
from ancestral.data.reading import SourceLost, Unreadable
from ancestral.data.streamed import Lane, Streamed
from ancestral.errors import InputError

PATIENCE = 60.0
"""Seconds for which data that is gone is waited for: a network file system may come back."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts; each pause is twice the one before."""
IN_A_ROW = 100
"""So many unreadable items one after the other are more than bad luck."""

T = TypeVar("T")


Task = dict[int, int]
"""Which items are wanted: place in the batch -> the item's index, or its number in a stream's endless order."""


@dataclass(frozen=True)
class Outcome:
    """How the reading went: notes for the user; and if there are no items, why, or the traceback of a defect."""

    notes: tuple[str, ...] = ()
    lost: str = ""
    defect: str = ""


@dataclass(frozen=True)
class Part:
    """The items of a task, at their places in the batch, or in one line why there are none."""

    at: list[int]
    items: Tensor
    labels: Tensor
    indices: Tensor
    notes: tuple[str, ...]
    lost: str


@dataclass(frozen=True)
class Slot:
    """Memory for what is asked, and for what is read; a worker's is shared with it."""

    numbers: Tensor
    items: Tensor
    labels: Tensor
    indices: Tensor

    def first(self, count: int) -> "Slot":
        """The memory of the first `count` items."""
        return Slot(self.numbers[:count], self.items[:count], self.labels[:count], self.indices[:count])

    def put(self, task: Task) -> "Slot":
        """Write down what is asked, and return the memory of that many items."""
        asked = self.first(len(task))
        asked.numbers.copy_(torch.tensor(list(task.values()), dtype=torch.int64))
        return asked

    def part(self, task: Task, outcome: Outcome) -> Part:
        """A copy of what was read."""
        read = self.first(len(task))
        copies = (read.items.clone(), read.labels.clone(), read.indices.clone())
        return Part(list(task), *copies, outcome.notes, outcome.lost)


class Reader:
    """What a source gives, task after task."""

    def __init__(self, data: Indexed | Streamed, seed: int) -> None:
        self._data, self._seed = data, seed
        self._lanes: dict[int, Lane] = {}

    def slot(self, share: int, allocate: Callable[..., Tensor]) -> Slot:
        """Memory for `share` items, by torch.empty or something like it."""
        numbers, labels, indices = (allocate(share, dtype=torch.int64) for _ in range(3))
        return Slot(numbers, allocate(share, *self._data.shape, dtype=self._data.codec.dtype), labels, indices)

    def fill(self, slot: Slot) -> Outcome:
        """Read all that is asked. An item that cannot be read is replaced by the next that can, named in a note."""
        notes: list[str] = []
        labels, indices = [], []
        try:
            for row, number in enumerate(slot.numbers.tolist()):
                slot.items[row], label, index = self._item(number, notes)
                labels.append(label)
                indices.append(index)
        except InputError as error:
            return Outcome(lost=str(error))
        slot.labels.copy_(torch.tensor(labels, dtype=torch.int64))
        slot.indices.copy_(torch.tensor(indices, dtype=torch.int64))
        return Outcome(tuple(notes))

    def _item(self, number: int, notes: list[str]) -> tuple[Tensor, int, int]:
        """An item, its label, and which one it is."""
        read = self._by_index if isinstance(self._data, Indexed) else self._in_order
        reason = ""
        for other in range(IN_A_ROW):
            try:
                return patiently(lambda other=other: read(number, other), notes)  # type: ignore[misc]
            except Unreadable as error:
                reason = str(error)
                notes.append(f"left out {reason}")
        raise InputError(f"{IN_A_ROW} items of {self._data.name} one after the other cannot be read: {reason}")

    def _by_index(self, number: int, other: int) -> tuple[Tensor, int, int]:
        assert isinstance(self._data, Indexed)
        index = (number + other) % len(self._data)
        try:
            return (*self._data.read(index), index)
        except Unreadable as error:
            raise Unreadable(f"{self._data.name_of(index)}: {error}") from None

    def _in_order(self, number: int, other: int) -> tuple[Tensor, int, int]:
        assert isinstance(self._data, Streamed)
        position, lane = divmod(number, self._data.lanes)
        if lane not in self._lanes:
            self._lanes[lane] = Lane(self._data, self._seed, lane)
        (raw, label), shard, place = self._lanes[lane].sample(position, other)
        try:
            return self._data.form.decode(raw), label, number
        except Unreadable as error:
            raise Unreadable(f"sample {place} of shard {shard}: {error}") from None


def patiently(read: Callable[[], T], notes: list[str]) -> T:
    """What `read` returns, tried again and again while the data is gone. Raises SourceLost when that takes too long."""
    began, pause, gone = time.monotonic(), FIRST_PAUSE, ""
    while True:
        try:
            result = read()
        except SourceLost as error:
            gone = str(error)
            if time.monotonic() - began > PATIENCE:
                raise SourceLost(f"{gone} (for {PATIENCE:g} s now): bring it back, then go on with --resume") from None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        if gone:
            notes.append(f"waited {time.monotonic() - began:.1f} s: {gone}")
        return result
