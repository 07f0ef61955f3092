"""WebDataset shards: samples in .tar files, read by index, so that epochs and shuffles are exact."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from ancestral.data.convert import Conversion
from ancestral.data.dataset import one_line
from ancestral.data.form import HEADER
from ancestral.data.indexed import Indexed
from ancestral.data.reading import SourceLost, section
from ancestral.data.tar_index import tar_index
from ancestral.errors import InputError

HANDLES = 64  # shards that are open at once


class Shards(Indexed):
    """The samples of some .tar files, one file after the other. Shards that are damaged give what is whole."""

    def __init__(self, paths: list[Path], name: str, conversion: Conversion, dims: int | None) -> None:
        """Raises InputError where there is no whole sample, or like `survey`."""
        self.paths = paths
        indices = [tar_index(path) for path in paths]
        self.bounds = np.cumsum([0] + [len(index.starts) for index in indices])
        """Shard k holds the items from bounds[k] to bounds[k + 1]."""
        self._starts = np.concatenate([index.starts for index in indices])
        self._sizes = np.concatenate([index.sizes for index in indices])
        self._names = [index.names for index in indices]
        self._handles: dict[int, _Handle] = {}
        skipped = tuple(f"{one_line(p.name)}: {i.trouble}" for p, i in zip(paths, indices, strict=True) if i.trouble)
        if not self.bounds[-1]:
            found = (
                f"{skipped[0]}" if skipped else "write them as webdataset does, with names such as 01.png and 01.cls"
            )
            raise InputError(f"no whole sample with an image in the shards of {name}: {found}")
        labels = np.concatenate([index.labels for index in indices])
        if missing := int((labels < 0).sum()):
            if missing < len(labels):
                skipped += (f"the labels, which {missing:,} of {len(labels):,} samples do not have",)
            super().__init__(name, len(labels), None, (), skipped, conversion, dims)
        else:
            classes = tuple(str(number) for number in range(int(labels.max()) + 1))
            super().__init__(name, len(labels), labels, classes, skipped, conversion, dims)

    def encoded(self, index: int) -> bytes:
        """The bytes of an image in its shard."""
        return self._section(index, int(self._sizes[index]))

    def begin(self, index: int) -> bytes:
        """The first of them."""
        return self._section(index, min(int(self._sizes[index]), HEADER))

    def _section(self, index: int, size: int) -> bytes:
        shard = self._shard(index)
        handle = self._handle(shard)
        try:
            return section(self.paths[shard], handle.number, int(self._starts[index]), size)
        except SourceLost:
            self._handles.pop(shard, None)  # a handle from before a network file system went away stays stale
            raise

    def name_of(self, index: int) -> str:
        """The shard, and the member in it."""
        shard = self._shard(index)
        member = self._names[shard][index - int(self.bounds[shard])]
        return one_line(f"{self.paths[shard].name}/{member.decode('utf-8', 'surrogateescape')}")

    def _shard(self, index: int) -> int:
        return int(np.searchsorted(self.bounds, index, side="right")) - 1

    def _handle(self, shard: int) -> "_Handle":
        """The open shard. It is read at offsets, so threads, and processes that were forked, may share it."""
        handle = self._handles.get(shard)
        if handle is None:
            while len(self._handles) >= HANDLES:
                self._handles.pop(next(iter(self._handles)), None)
            handle = self._handles[shard] = _Handle(self.paths[shard])
        return handle

    def __getstate__(self) -> dict[str, Any]:
        """All but the open files, which another process does not have."""
        return self.__dict__ | {"_handles": {}}


class _Handle:
    """An open file, closed when nobody reads from it any more."""

    def __init__(self, path: Path) -> None:
        try:
            self.number = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise SourceLost(f"{one_line(path)} cannot be opened: {error.strerror}") from None

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)
