"""Reading the items of a batch, in the training process or in a worker, and what is done if one cannot be read."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import data as torch_data

from ancestral.data.dataset import Dataset
from ancestral.data.io_errors import SourceLost, Unreadable
from ancestral.errors import InputError
from ancestral.options import option

PATIENCE = 60.0
"""Seconds to wait for data that is gone: a network file system may come back."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts; each pause is twice the one before."""
MOST_UNREADABLE = 100
"""Number of successive unreadable items at which training ends."""


@dataclass(frozen=True)
class Fetched:
    """The items of a batch, or why they cannot be read."""

    items: Tensor
    """(N, *shape)."""
    labels_and_indices: Tensor
    """int64 (2, N). One tensor, since each that a worker returns costs a file descriptor."""
    notes: tuple[str, ...] = ()
    error: str = ""


class BatchFetcher(torch_data.Dataset[Fetched]):
    """Gives whole batches of a data set to a DataLoader."""

    def __init__(self, data: Dataset) -> None:
        self._data = data

    def __getitems__(self, indices: list[int]) -> Fetched:
        """Read items. One that is unreadable is replaced by the next that is not, and named in a note.

        Errors are returned, since a DataLoader would raise them with a traceback in the message.
        """
        labels, read, notes = list[int](), list[int](), list[str]()
        try:
            items = self._allocate(len(indices))
            for row, index in enumerate(indices):
                items[row], label, other = self._read_next(index, notes)
                labels.append(label)
                read.append(other)
        except InputError as error:
            return Fetched(torch.empty(0), torch.empty(0), error=error.text)
        return Fetched(items, torch.tensor([labels, read]), tuple(notes))

    def _allocate(self, count: int) -> Tensor:
        """Memory for items, in a worker shared with the training process."""
        items = torch.empty(count, *self._data.shape, dtype=self._data.codec.dtype)
        if torch_data.get_worker_info() is not None:
            try:
                items.share_memory_()  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise InputError(
                    f"a data worker cannot share {items.nbytes / 2**20:.3g} MiB ({error}): enlarge /dev/shm, or "
                    f"read the data without workers, by {option('workers', 0)}"
                ) from error
        return items

    def _read_next(self, index: int, notes: list[str]) -> tuple[Tensor, int, int]:
        """The first readable item from `index` on, its label, and its index."""
        reason = ""
        for offset in range(MOST_UNREADABLE):
            other = (index + offset) % len(self._data)
            try:
                return *_read_patiently(self._data, other, notes), other
            except Unreadable as error:
                reason = f"{self._data.name_of(other)}: {error}"
                notes.append(f"left out {reason}")
        raise InputError(f"{MOST_UNREADABLE} items of {self._data.name} one after the other cannot be read: {reason}")


def _read_patiently(data: Dataset, index: int, notes: list[str]) -> tuple[Tensor, int]:
    """Read an item, trying again while the data is gone. Raises SourceLost after PATIENCE."""
    began, pause, lost = time.monotonic(), FIRST_PAUSE, ""
    while True:
        try:
            item = data.read(index)
        except SourceLost as error:
            lost = error.text
            if time.monotonic() - began > PATIENCE:
                raise SourceLost(
                    f"{lost} (for {PATIENCE:g} s now): bring it back, then go on with {option('resume', True)}"
                ) from None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        if lost:
            notes.append(f"waited {time.monotonic() - began:.1f} s: {lost}")
        return item
