"""Partners of the files of a folder: the files of the same names in another folder."""

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np

from ancestral.base.arguments import is_remote
from ancestral.base.errors import InputError, one_line
from ancestral.config.data_sources import SUFFIXES, WAV
from ancestral.data.dataset import Dataset
from ancestral.data.decoding import Raw
from ancestral.data.files import Files
from ancestral.data.lazy_dataset import LazyDataset, StoredItems
from ancestral.data.remote_files import RemoteFiles
from ancestral.data.sources.file_folder import FileFolder, LocalFiles, scan
from ancestral.data.sources.metadata_table import ItemsError, listed
from ancestral.data.sources.recordings import RecordingFolder

COMPARED = 8
"""Largest number of files of a name that are compared with each other."""
SEVERAL = -2
"""The partner of an item that has several."""


class AbsentError(ItemsError):
    """The data have no such condition at all, of no item."""


class Partners(StoredItems):
    """The files of a folder in the order of the items whose names they share, whatever the suffix."""

    def __init__(self, folder: FileFolder, items: FileFolder) -> None:
        """Find the partner of each item: the file of its name, else that of its name with another suffix.

        Raises:
            InputError: If items have none, or several.
        """
        rows = partner_rows(folder.name, folder.names, "items", items.names)
        self._folder, self._rows, self.rate = folder, np.array(rows), folder.rate
        self.fork_safe = folder.fork_safe
        super().__init__(folder.name, items.count, notes=folder.link_notes)

    def raw(self, row: int) -> Raw:
        """Read the partner of an item."""
        return self._folder.raw(int(self._rows[row]))

    def head(self, row: int) -> Raw | None:
        """Read the first bytes of the partner of an item."""
        return self._folder.head(int(self._rows[row]))

    def prefetch(self, rows: Sequence[int]) -> None:
        """Fetch partners that are read next."""
        self._folder.prefetch([int(self._rows[row]) for row in rows])

    def name_of(self, row: int) -> str:
        """The path of the partner, from the parent of its folder."""
        return f"{self.name}/{self.key_of(row)}"

    def key_of(self, row: int) -> str:
        """The path of the partner from its folder."""
        return self._folder.name_of(int(self._rows[row]))


def partner_rows(folder: str, names: Sequence[bytes], items: str, item_names: Sequence[bytes]) -> list[int]:
    """Find the partner of each item: the file of its name, else that of its name with another suffix.

    Args:
        folder: What messages call the folder of the partners.
        names: The paths of its files from there.
        items: What messages call the items.
        item_names: The paths of the items from their own folder.

    Returns:
        The row of each item's partner in `names`.

    Raises:
        InputError: If items have none, or several.
    """
    by_name = {name: row for row, name in enumerate(names)}
    by_stem: dict[bytes, int] = {}
    for name, row in by_name.items():
        stem = name.rpartition(b".")[0]
        by_stem[stem] = SEVERAL if stem in by_stem else row
    rows = [by_name.get(name, by_stem.get(name.rpartition(b".")[0], -1)) for name in item_names]
    for number, text, advice in (
        (-1, "no partner", "give each a file of the same name there, or leave them out"),
        (SEVERAL, "several partners", "keep one for each"),
    ):
        wrong = [one_line(os.fsdecode(name)) for name, row in zip(item_names, rows, strict=True) if row == number]
        if wrong:
            error = AbsentError if number == -1 and len(wrong) == len(rows) else ItemsError
            raise error(
                f"{folder} has {text} for {len(wrong):,} of {len(rows):,} {items} ({listed(wrong)}): {advice}",
                dict.fromkeys(wrong, text),
            )
    return rows


def shared_partners(folder: Path, items: Path, others: Path) -> str:
    """List files of a folder that have the partner of another file in a second folder; "" without one.

    Args:
        folder: The folder of the partners.
        items: A folder.
        others: The second folder. A copy of the file in the first one shares its partner rightly.
    """
    roots = [path.expanduser() for path in (folder, items, others)]
    if not all(root.is_dir() for root in roots):
        return ""
    partners, *both = [[*scan(root, (*SUFFIXES, WAV), [], [])] for root in roots]
    with suppress(InputError, OSError):  # they are raised where the data are opened
        rows = [partner_rows(folder.name, partners, "items", names) for names in both]
        first = dict(zip(rows[0], both[0], strict=True))
        pairs = ((first[row], name) for row, name in zip(rows[1], both[1], strict=True) if row in first)
        files = ([root / os.fsdecode(name) for root, name in zip(roots[1:], pair, strict=True)] for pair in pairs)
        return listed(str(other) for one, other in islice(files, COMPARED) if one.read_bytes() != other.read_bytes())
    return ""


def partners_of(data: Dataset, folder: str) -> Partners:
    """Return the files of a folder, by its path or address, for the items of a data set.

    Raises:
        InputError: If the items are no files, or have none there, or several.
    """
    place = RemoteFiles(folder) if is_remote(folder) else Path(folder).expanduser()
    source = data.source if isinstance(data, LazyDataset) else None
    if not isinstance(source, FileFolder):
        raise AbsentError(
            f"{place} holds files for those of a folder, and {data.name} is none: give its conditions as columns, or "
            "as a .npy file",
            {},
        )
    if _is_inside(place, source.files):
        raise InputError(f"{place} lies in the data, so its files are items themselves: move it to a place beside them")
    if isinstance(source, RecordingFolder):
        return Partners(source.partner(place), source)
    return Partners(FileFolder(place), source)


def _is_inside(place: Path | RemoteFiles, files: Files) -> bool:
    if isinstance(place, Path) and isinstance(files, LocalFiles):
        path, root = place.resolve(), files.root.resolve()
        return path != root and path.is_relative_to(root)
    return str(place).startswith(f"{files}/")
