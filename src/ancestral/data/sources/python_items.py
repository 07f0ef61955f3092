"""Items that Python hands over one by one: a map-style data set of PyTorch, or a list of images or of their paths."""

import operator
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ancestral.base.errors import InputError, one_line
from ancestral.conditions import ABSENT, LABEL
from ancestral.data.arrays import to_labels
from ancestral.data.decoding import HEADER, Raw, strict_pillow
from ancestral.data.files import Unreadable, read_file
from ancestral.data.lazy_dataset import StoredItems
from ancestral.data.place import Place

ITEM_KEYS = ("image", "images", "x", "item", "signal", "volume")
"""The keys of a dict, the first of which holds the item."""
Stored = Tensor | np.ndarray | Image.Image | Path


class PythonItems(StoredItems):
    """The tensors, arrays or Pillow images of a `torch.utils.data.Dataset` with a length, or the images of a list.

    Its items are alone, (item, label), (item, {name: condition}), or dicts with the item under one of ITEM_KEYS, its
    label under `label`, and conditions under all other keys. Labels are its attribute `targets`, if that holds one
    whole number for each item, as torchvision's data sets have it; else every item is read once, as it is for
    conditions. Those that are images are read with the item, by one access; if item 0 has no others, it has to have
    all of them. The names of classes are its attribute `classes`, else the numbers. Images of Pillow are read, like the
    headers of files, until it is certain whether all of them are grey.
    """

    threads = 1  # a data set of the user and images of Pillow need not be thread-safe
    uses_all = True

    def __init__(self, source: Any) -> None:
        """Find labels and classes. Raises InputError if there are no items, or they are of other types."""
        name = "the list" if isinstance(source, list) else type(source).__name__
        if not hasattr(source, "__len__") or not len(source):
            raise InputError(f"{name} holds no items, or has no length: give a map-style data set with items")
        super().__init__(name, len(source))
        self._source = source
        if isinstance(source, list):
            self.name, self._source = "images", [_image_or_path(number, item) for number, item in enumerate(source)]
            if all(isinstance(item, Path) for item in self._source):
                self.threads = StoredItems.threads
        self._last: tuple[int, Mapping[str, Any]] = (-1, {})
        first = self._item(0)
        self._pairs = isinstance(first, tuple | list) and len(first) in (1, 2)
        item, fields = self._parts(0, first)
        if not isinstance(item, Stored):
            keys = f" without any of {', '.join(ITEM_KEYS)}" if isinstance(first, Mapping) else ""
            raise InputError(
                f"item 0 of {name} is a {type(first).__name__}{keys}: return a tensor, an array or a Pillow image, "
                "or a pair of it and a class number or a dict of conditions, or a dict of all"
            )
        self._headers = isinstance(item, Image.Image | Path)
        labels = self._targets() if LABEL in fields else None
        if all(_is_image(value) or (name == LABEL and labels is not None) for name, value in fields.items()):
            columns: dict[str, Any] = {name: _Images(self, name) for name in fields}
        else:
            columns = self._read_columns()
        self._names = columns.keys() | fields.keys()
        label_column = columns.pop(LABEL, None)
        self.columns = columns
        self.labels = self._labels_of(label_column) if labels is None and label_column is not None else labels
        if self.labels is not None:
            count = int(self.labels.max()) + 1
            names = getattr(source, "classes", None)
            if not isinstance(names, Sequence) or isinstance(names, str) or len(names) < count:
                names = range(count)
            self.classes = tuple(map(one_line, names))

    def _targets(self) -> Tensor | None:
        """The labels, if the data set has them as an attribute."""
        targets = getattr(self._source, "targets", None)
        if targets is not None and len(targets) == self.count:
            targets = np.asarray(targets)
            if targets.ndim == 1 and targets.dtype.kind in "iu":
                return to_labels(targets, self.name, self.count)
        return None

    def _read_columns(self) -> dict[str, Any]:
        """Read every item once, for the labels and conditions that any item has: lists, with None where one has none.

        Of images nothing is kept: they are read with the item.
        """
        values: dict[str, dict[int, Any]] = {}
        images = set[str]()
        for row in range(self.count):
            for name, value in self._parts(row, self._item(row))[1].items():
                column = values.setdefault(name, {})
                if _is_image(value):
                    images.add(name)
                else:
                    column[row] = value
        return {
            name: _Images(self, name) if name in images else [column.get(row) for row in range(self.count)]
            for name, column in values.items()
        }

    def _labels_of(self, column: Any) -> Tensor | None:
        """The labels of all items, -1 where there is None; None if none of them has one."""
        try:
            numbers = {row: operator.index(one) for row, one in enumerate(column) if one is not None}
        except TypeError:
            raise InputError(f"{self.name} has labels that are no whole numbers: return (item, class number)") from None
        if not numbers:
            return None
        labels = torch.full((self.count,), ABSENT)
        labels[list(numbers)] = to_labels(np.array(list(numbers.values())), self.name, len(numbers))
        return labels

    def _parts(self, row: int, content: Any) -> tuple[Any, Mapping[str, Any]]:
        """The item, None if there is none, and its conditions with the label among them."""
        if isinstance(content, Mapping):
            key = next((key for key in ITEM_KEYS if key in content), None)
            rest = {name: value for name, value in content.items() if name != key}
            if not all(isinstance(name, str) for name in rest):
                raise InputError(f"item {row} of {self.name} has keys that are no texts: give conditions by name")
            return None if key is None else content[key], rest
        if not self._pairs:
            return content, {}
        if len(content) == 2 and isinstance(content[1], Mapping):
            return content[0], self._parts(row, content[1])[1]
        return content[0], {LABEL: content[1]} if len(content) == 2 else {}

    def _item(self, row: int) -> Any:
        try:
            return self._source[row]
        except Exception as error:  # whatever code of the user raises
            raise InputError(f"item {row} of {self.name} cannot be read: {type(error).__name__}: {error}") from error

    def raw(self, row: int) -> Raw:
        """Return an item without its label, or the bytes of a file."""
        return self._raw(row, -1)

    def condition(self, row: int, name: str) -> Any:
        """Return a condition of an item, of the access that read the item if that was the last one."""
        last, conditions = self._last
        if last != row or name not in conditions:
            conditions = self._parts(row, self._item(row))[1]
        self._last = (row, {key: value for key, value in conditions.items() if key != name})
        if name not in conditions:
            raise Unreadable(f"it has no {name}")
        return conditions[name]

    def head(self, row: int) -> Raw | None:
        """Return an image, or the first bytes of a file; None of arrays, which have no headers."""
        return self._raw(row, HEADER) if self._headers else None

    def _raw(self, row: int, size: int) -> Raw:
        raw, conditions = self._parts(row, self._item(row))
        if unknown := [name for name in conditions if name not in self._names]:
            raise InputError(
                f"item {row} of {self.name} has the condition {unknown[0]}, and item 0 has none: give item 0 one too, "
                "None if it is missing"
            )
        self._last = (row, conditions)
        return _loaded(raw, size)

    def name_of(self, row: int) -> str:
        """The path of a file, as it was given."""
        paths = isinstance(self._source, list) and isinstance(self._source[row], Path)
        return one_line(self._source[row]) if paths else super().name_of(row)


def open_objects(place: Place) -> PythonItems:
    """Open a map-style data set of PyTorch, or a list of images or of their paths."""
    return PythonItems(place.source)


class _Images(StoredItems):
    threads = 1

    def __init__(self, items: PythonItems, key: str) -> None:
        super().__init__(f"{key} of {items.name}", items.count)
        self._items, self._key = items, key

    def raw(self, row: int) -> Raw:
        """Return the image of an item, or the bytes of a file."""
        value = self._items.condition(row, self._key)
        if not isinstance(value, Stored):
            raise Unreadable(f"its {self._key} is a {type(value).__name__}")
        return _loaded(value, -1)


def _is_image(value: Any) -> bool:
    """Whether a condition is an image, a signal with channels or a volume, and no number, vector or text."""
    return isinstance(value, Image.Image | Path) or (isinstance(value, Tensor | np.ndarray) and value.ndim > 1)


def _loaded(raw: Raw | Path, size: int) -> Raw:
    """An item as it is stored, of a file the first `size` bytes, or all for -1."""
    if isinstance(raw, Path):
        return read_file(raw, size)
    if isinstance(raw, Image.Image):
        try:
            raw.load()
        except Exception as error:  # whatever a decoder raises of a damaged file
            raise Unreadable(one_line(error) or type(error).__name__) from None
    return raw


def _image_or_path(number: int, item: Any) -> Image.Image | Path:
    """An item of a list; images are decoded, as processes that are forked later would share their files."""
    if isinstance(item, Image.Image):
        with strict_pillow(), suppress(Exception):  # it is left out when it is read, with the reason
            item.load()
        return item
    if isinstance(item, str | os.PathLike) and Path(item).expanduser().is_file():
        return Path(item).expanduser()
    text = f"{one_line(item)}, which is no file" if isinstance(item, str | os.PathLike) else f"a {type(item).__name__}"
    raise InputError(
        f"item {number} of the list is {text}: give paths of image files or Pillow images, and of tensors or arrays "
        "one that is stacked, (N, C, H, W)"
    )
