"""A map-style data set of PyTorch: of tensors, arrays or Pillow images, alone or in pairs with a class number."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ancestral.data.arrays import to_labels
from ancestral.data.convert import Conversion
from ancestral.data.decoding import Raw
from ancestral.data.lazy_dataset import LazyDataset
from ancestral.errors import InputError, one_line


class TorchDataset(LazyDataset):
    """The items of a `torch.utils.data.Dataset` with a length.

    Labels are its attribute `targets`, if that holds one whole number for each item, as torchvision's data sets have
    it; else every item is read once. The names of classes are its attribute `classes`, else the numbers. Images of
    Pillow are read, like the headers of files, until it is certain whether all of them are grey.
    """

    threads = 1  # a data set of the user need not be thread-safe

    def __init__(self, source: Any, conversion: Conversion, dims: int | None) -> None:
        """Find labels and classes. Raises InputError if items are of other types, or as `infer_spec` does."""
        self._source, name = source, type(source).__name__
        if not hasattr(source, "__len__") or not len(source):
            raise InputError(f"{name} holds no items, or has no length: give a map-style data set with items")
        first = self._item(0)
        self._tuples = isinstance(first, tuple | list) and len(first) in (1, 2)
        item = first[0] if self._tuples else first
        if not isinstance(item, Tensor | np.ndarray | Image.Image):
            raise InputError(
                f"item 0 of {name} is a {type(first).__name__}: return a tensor, an array or a Pillow image, or a pair "
                "of it and a class number"
            )
        self._headers = isinstance(item, Image.Image)
        labels = self._labels(name) if self._tuples and len(first) == 2 else None
        count = 0 if labels is None else int(labels.max()) + 1
        known = getattr(source, "classes", None)
        if not isinstance(known, Sequence) or isinstance(known, str) or len(known) < count:
            known = range(count)
        classes = tuple(one_line(each) for each in known) if labels is not None else ()
        super().__init__(name, len(source), labels, classes, (), conversion, dims)

    def _labels(self, name: str) -> Tensor:
        targets = getattr(self._source, "targets", None)
        if targets is not None and len(targets) == len(self._source):
            targets = np.asarray(targets)
            if targets.ndim == 1 and targets.dtype.kind in "iu":
                return to_labels(targets, name, len(self._source))
        try:
            numbers = [operator.index(self._item(index)[1]) for index in range(len(self._source))]
        except TypeError:
            raise InputError(f"{name} has labels that are no whole numbers: return (item, class number)") from None
        return to_labels(torch.tensor(numbers), name, len(numbers))

    def encoded(self, index: int) -> Raw:
        """Return an item without its label."""
        found = self._item(index)
        item: Raw = found[0] if self._tuples else found
        return item

    def _item(self, index: int) -> Any:
        try:
            return self._source[index]
        except Exception as error:  # whatever code of the user raises
            name = type(self._source).__name__
            raise InputError(f"item {index} of {name} cannot be read: {type(error).__name__}: {error}") from error

    def encoded_begin(self, index: int) -> Raw | None:
        """Return an image; None of arrays, which have no headers."""
        return self.encoded(index) if self._headers else None
