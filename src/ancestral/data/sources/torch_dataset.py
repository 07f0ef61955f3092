"""A map-style data set of PyTorch: of tensors, arrays or Pillow images, alone or in pairs with a class number."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ancestral.data.arrays import to_labels
from ancestral.data.decoding import Raw
from ancestral.data.lazy_dataset import StoredItems
from ancestral.errors import InputError, one_line


class TorchItems(StoredItems):
    """The items of a `torch.utils.data.Dataset` with a length.

    Labels are its attribute `targets`, if that holds one whole number for each item, as torchvision's data sets have
    it; else every item is read once. The names of classes are its attribute `classes`, else the numbers. Images of
    Pillow are read, like the headers of files, until it is certain whether all of them are grey.
    """

    threads = 1  # a data set of the user need not be thread-safe

    def __init__(self, source: Any) -> None:
        """Find labels and classes. Raises InputError if items are of other types."""
        name = type(source).__name__
        if not hasattr(source, "__len__") or not len(source):
            raise InputError(f"{name} holds no items, or has no length: give a map-style data set with items")
        super().__init__(name, len(source))
        self._source = source
        first = self._item(0)
        self._tuples = isinstance(first, tuple | list) and len(first) in (1, 2)
        item = first[0] if self._tuples else first
        if not isinstance(item, Tensor | np.ndarray | Image.Image):
            raise InputError(
                f"item 0 of {name} is a {type(first).__name__}: return a tensor, an array or a Pillow image, or a pair "
                "of it and a class number"
            )
        self._headers = isinstance(item, Image.Image)
        if self._tuples and len(first) == 2:
            self.labels = self._labels()
            count = int(self.labels.max()) + 1
            names = getattr(source, "classes", None)
            if not isinstance(names, Sequence) or isinstance(names, str) or len(names) < count:
                names = range(count)
            self.classes = tuple(map(one_line, names))

    def _labels(self) -> Tensor:
        targets = getattr(self._source, "targets", None)
        if targets is not None and len(targets) == self.count:
            targets = np.asarray(targets)
            if targets.ndim == 1 and targets.dtype.kind in "iu":
                return to_labels(targets, self.name, self.count)
        try:
            numbers = [operator.index(self._item(row)[1]) for row in range(self.count)]
        except TypeError:
            raise InputError(f"{self.name} has labels that are no whole numbers: return (item, class number)") from None
        return to_labels(torch.tensor(numbers), self.name, self.count)

    def _item(self, row: int) -> Any:
        try:
            return self._source[row]
        except Exception as error:  # whatever code of the user raises
            raise InputError(f"item {row} of {self.name} cannot be read: {type(error).__name__}: {error}") from error

    def raw(self, row: int) -> Raw:
        """Return an item without its label."""
        item = self._item(row)
        raw: Raw = item[0] if self._tuples else item
        return raw

    def head(self, row: int) -> Raw | None:
        """Return an image; None of arrays, which have no headers."""
        return self.raw(row) if self._headers else None
