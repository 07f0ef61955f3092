"""Reads the items of a task, in the training process or in a worker of it, with what may go wrong on the way."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Task:
    """Which items are wanted: place in the batch -> the item's index, or its number in a stream's endless order."""

    items: dict[int, int]


@dataclass(frozen=True)
class Part:
    """The items of a task."""

    at: list[int]
    items: Tensor
    labels: Tensor
    indices: Tensor
    notes: tuple[str, ...]
    lost: str = ""
    """Why there are none; a line, for exceptions grow tracebacks on their way out of a worker."""


class Reader:
    """What a source gives, task after task."""

    def __init__(self, data: Indexed | Streamed, seed: int) -> None:
        self._data, self._seed = data, seed
        self._lanes: dict[int, Lane] = {}

    def __getitem__(self, task: Task) -> Part:
        """Read all of a task. An item that cannot be read is replaced by the next that can, and named in a note."""
        items = torch.empty(len(task.items), *self._data.shape, dtype=self._data.codec.dtype)
        labels, indices = torch.full((2, len(task.items)), -1)
        part = Part(list(task.items), items, labels, indices, ())
        notes: list[str] = []
        try:
            for row, number in enumerate(task.items.values()):
                items[row], labels[row], indices[row] = self._item(number, notes)
        except InputError as error:
            return replace(part, lost=str(error))
        return replace(part, notes=tuple(notes))

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
        (raw, label), name = self._lanes[lane].sample(position, other)
        try:
            return self._data.form.decode(raw), label, number
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from None


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
