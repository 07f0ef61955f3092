"""Items that Python hands over one by one: a map-style data set of PyTorch, or a list of images or of their paths."""

import operator
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ancestral.data.arrays import to_labels
from ancestral.data.decoding import HEADER, Raw, strict_pillow
from ancestral.data.io_errors import Unreadable, read_file
from ancestral.data.lazy_dataset import StoredItems
from ancestral.errors import InputError, one_line


class PythonItems(StoredItems):
    """The tensors, arrays or Pillow images of a `torch.utils.data.Dataset` with a length, or the images of a list.

    Labels are its attribute `targets`, if that holds one whole number for each item, as torchvision's data sets have
    it; else every item is read once. The names of classes are its attribute `classes`, else the numbers. Images of
    Pillow are read, like the headers of files, until it is certain whether all of them are grey.
    """

    threads = 1  # a data set of the user and images of Pillow need not be thread-safe

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
        first = self._item(0)
        self._tuples = isinstance(first, tuple | list) and len(first) in (1, 2)
        item = first[0] if self._tuples else first
        if not isinstance(item, Tensor | np.ndarray | Image.Image | Path):
            raise InputError(
                f"item 0 of {name} is a {type(first).__name__}: return a tensor, an array or a Pillow image, or a pair "
                "of it and a class number"
            )
        self._headers = isinstance(item, Image.Image | Path)
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
        """Return an item without its label, or the bytes of a file."""
        return self._raw(row, -1)

    def head(self, row: int) -> Raw | None:
        """Return an image, or the first bytes of a file; None of arrays, which have no headers."""
        return self._raw(row, HEADER) if self._headers else None

    def _raw(self, row: int, size: int) -> Raw:
        item = self._item(row)
        raw: Raw | Path = item[0] if self._tuples else item
        if isinstance(raw, Path):
            return read_file(raw, size)
        if isinstance(raw, Image.Image):
            try:
                raw.load()
            except Exception as error:  # whatever a decoder raises of a damaged file
                raise Unreadable(one_line(error) or type(error).__name__) from None
        return raw

    def name_of(self, row: int) -> str:
        """The path of a file, as it was given."""
        paths = isinstance(self._source, list) and isinstance(self._source[row], Path)
        return one_line(self._source[row]) if paths else super().name_of(row)


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
