"""Image files anywhere, or images of Pillow, that Python hands over as a list."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from ancestral.data.decoding import HEADER, strict_pillow
from ancestral.data.io_errors import Unreadable, read_file
from ancestral.data.lazy_dataset import StoredItems
from ancestral.errors import InputError, one_line


class ImageList(StoredItems):
    """The images of a list, in its order and without labels; they are converted as those of a folder are.

    Images of Pillow are decoded at once, in this thread, since Pillow's objects are not made for several.
    """

    def __init__(self, source: Sequence[Any]) -> None:
        """Check the list. Raises InputError if it is empty or holds anything but paths of files and Pillow images."""
        super().__init__("images", len(source))
        self._items = [
            item if isinstance(item, Image.Image) else _path(number, item) for number, item in enumerate(source)
        ]
        images = [item for item in self._items if isinstance(item, Image.Image)]
        if images:
            self.threads = 1
        with strict_pillow():
            for image in images:
                with suppress(Exception):  # it is left out when it is read, with the reason
                    image.load()

    def raw(self, row: int) -> bytes | Image.Image:
        """Return an image, or read the bytes of a file."""
        item = self._items[row]
        if isinstance(item, Path):
            return read_file(item)
        try:
            item.load()
        except Exception as error:  # whatever a decoder raises of a damaged file
            raise Unreadable(one_line(error) or type(error).__name__) from None
        return item

    def head(self, row: int) -> bytes | Image.Image:
        """Return an image, or read the first bytes of a file."""
        item = self._items[row]
        return read_file(item, HEADER) if isinstance(item, Path) else item

    def name_of(self, row: int) -> str:
        """The path of a file, as it was given."""
        item = self._items[row]
        return one_line(item) if isinstance(item, Path) else super().name_of(row)


def _path(number: int, item: Any) -> Path:
    """The path of an image file. Raises InputError if it is none."""
    path = Path(item).expanduser() if isinstance(item, str | os.PathLike) else None
    if path is None or not path.is_file():
        what = f"a {type(item).__name__}" if path is None else f"{one_line(path)}, which is no file"
        raise InputError(
            f"item {number} of the list is {what}: give paths of image files or Pillow images, and of tensors or "
            "arrays one that is stacked, (N, C, H, W)"
        )
    return path
