"""Image files anywhere, or images of Pillow, that Python hands over as a list."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from ancestral.data.convert import Conversion
from ancestral.data.decoding import HEADER
from ancestral.data.image_files import strict_pillow
from ancestral.data.io_errors import Unreadable, read_file
from ancestral.data.lazy_dataset import LazyDataset
from ancestral.errors import InputError, one_line


class ImageList(LazyDataset):
    """The images of a list, in its order and without labels; they are converted as those of a folder are.

    Images of Pillow are decoded at once, in this thread, since Pillow's objects are not made for several.
    """

    def __init__(self, source: Sequence[Any], conversion: Conversion) -> None:
        """Check the list. Raises InputError if it is empty or holds anything else, or as `infer_spec` does."""
        if not source:
            raise InputError("the list of images is empty: give paths of image files, or Pillow images")
        kind = Image.Image if isinstance(source[0], Image.Image) else str | os.PathLike
        for index, item in enumerate(source):
            if not isinstance(item, str | os.PathLike | Image.Image):
                raise InputError(
                    f"item {index} of the list is a {type(item).__name__}: give paths of image files or Pillow images, "
                    "and of tensors or arrays one that is stacked, (N, C, H, W)"
                )
            if not isinstance(item, kind):
                raise InputError(
                    f"item {index} of the list is a {type(item).__name__}, and item 0 a {type(source[0]).__name__}: "
                    "give paths alone, or Pillow images alone"
                )
        self._items: list[Any] = list(source)
        if kind is Image.Image:
            self.threads = 1
            with strict_pillow():
                for image in self._items:
                    with suppress(Exception):  # it is left out when it is read, with the reason
                        image.load()
        else:
            self._items = [Path(item).expanduser() for item in self._items]
            for index, path in enumerate(self._items):
                if not path.is_file():
                    what = "is no file" if path.exists() else "does not exist"
                    raise InputError(f"item {index} of the list, {one_line(path)}, {what}: give paths of image files")
        super().__init__("images", len(self._items), None, (), (), conversion)

    def encoded(self, index: int) -> bytes | Image.Image:
        """Return an image, or read the bytes of a file."""
        item: Path | Image.Image = self._items[index]
        if isinstance(item, Path):
            return read_file(item)
        try:
            item.load()
        except Exception as error:  # whatever a decoder raises of a damaged file
            raise Unreadable(one_line(error) or type(error).__name__) from None
        return item

    def encoded_begin(self, index: int) -> bytes | Image.Image:
        """Return an image, or read the first bytes of a file."""
        item: Path | Image.Image = self._items[index]
        return read_file(item, HEADER) if isinstance(item, Path) else item

    def name_of(self, index: int) -> str:
        """The path of a file, as it was given."""
        item: Path | Image.Image = self._items[index]
        return one_line(item) if isinstance(item, Path) else super().name_of(index)
