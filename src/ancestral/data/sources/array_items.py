"""Arrays, from .npy and .npz files or from Python, whose items are in memory as soon as they are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ancestral.base.errors import InputError, one_line
from ancestral.data import arrays
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, InMemoryDataset
from ancestral.data.files import Unreadable
from ancestral.data.lazy_dataset import StoredItems
from ancestral.data.place import Place
from ancestral.data.remote_files import RemoteFiles
from ancestral.data.spec import with_gaps


class ArrayItems(StoredItems):
    """Items that are in memory, and converted."""

    def __init__(self, data: InMemoryDataset, columns: Mapping[str, Any] | None = None, uses_all: bool = False) -> None:
        super().__init__(data.name, len(data), data.labels, data.classes, data.skipped, data.notes)
        self._data, self.columns, self.uses_all = data, columns or {}, uses_all

    def raw(self, row: int) -> Tensor:
        """Return an item."""
        return self._data.items[row]

    def dataset(self, conversion: Conversion, dims: int | None) -> Dataset:
        """Return the items as they are."""
        return self._data


def open_file(place: Place) -> ArrayItems:
    """Open a .npy or .npz file."""
    assert place.at is not None  # since files have a place
    path = _copied(place.at) if isinstance(place.at, RemoteFiles) else place.at
    items, labels, dims, columns = arrays.load(path)
    origin, name = one_line(place.source), one_line(Path(place.source).stem)
    return ArrayItems(_labelled(items, labels, origin, name, place.conversion, place.dims or dims), columns)


def open_array(place: Place) -> ArrayItems:
    """Open a tensor or array, alone, as (items, labels) or as (items, {name: condition})."""
    items, labels = place.source if isinstance(place.source, tuple) else (place.source, None)
    columns: dict[Any, Any] = dict(labels) if isinstance(labels, Mapping) else {}
    if not all(isinstance(name, str) for name in columns):
        raise InputError("the names of conditions are texts: give (items, {name: condition})")
    labels = None if isinstance(labels, Mapping) else labels
    data = _labelled(items, labels, "the array", "arrays", place.conversion, place.dims)
    return ArrayItems(data, columns, uses_all=True)


def _copied(files: RemoteFiles) -> Path:
    """The copy of a file of arrays on this machine."""
    try:
        return files.local(files.only[0])
    except Unreadable as error:
        raise InputError(f"{files.address_of(files.only[0])} cannot be read: {error}") from None


def _labelled(
    array: arrays.Array, labels: arrays.Array | None, origin: str, name: str, conversion: Conversion, dims: int | None
) -> InMemoryDataset:
    """Items in memory, whose classes are called by their numbers. Messages call the array `origin`."""
    items = arrays.to_items(array, origin, conversion, dims)
    numbers = None if labels is None else arrays.to_labels(labels, origin, len(items))
    classes = () if numbers is None else tuple(map(str, range(int(numbers.max()) + 1)))
    notes = arrays.reading_notes(array, origin, dims, conversion)
    gapped = with_gaps(items, name, conversion.gaps) if conversion.gaps else None
    data = InMemoryDataset(items, numbers, classes, name, notes=notes, coded=gapped)
    _ = data.spec  # floats without a range are refused now
    return data
