"""Sources of data: the kinds of files by their names, what addresses each takes, and which address is of which source.

A new source is a row of SOURCES, and a function that opens it in a module of `data/sources`.
"""

import importlib.util
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from ancestral.base.arguments import nearest
from ancestral.base.registries import Entry, Registry
from ancestral.config.run_files import is_output

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""The suffixes of image files, and the format that each promises."""
HEIC = {".heic": "HEIF", ".heif": "HEIF"}
"""Those of photographs of phones, which Pillow reads with a plug-in."""
if importlib.util.find_spec("pillow_heif"):
    SUFFIXES |= HEIC
BESIDE = {
    *("", ".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".html", ".htm"),
    *(".ini", ".db", ".log", ".py", ".url"),
}
"""The suffixes of files that lie beside items and are none: tables, captions and descriptions."""
WAV = ".wav"
"""The suffix of recordings."""

ARRAY_FILES = (".npy", ".npz")
"""The suffixes of files of arrays."""


FIELD_FILES = (".nc", ".nc4", ".h5", ".hdf5", ".grib", ".grib2", ".nii", ".nii.gz", ".tif", ".tiff")
"""The suffixes of files of fields; a .zarr is a folder."""
FIELDS_WRITTEN = ".nc, .zarr, .nii.gz, .tif"
"""The formats of fields that samples are written in, in words."""


def first_suffix(folder: str | Path, suffixes: Collection[str] = (WAV, *SUFFIXES)) -> str | None:
    """Find the suffix of the first file with one of some suffixes, those of images and recordings by default.

    Files lie in the folder or below it, outside of runs. None without one.
    """
    real_paths: set[str] = set()
    for path, below, files in os.walk(os.path.expanduser(folder), followlinks=True):  # noqa: PTH111 (raises nothing)
        real = os.path.realpath(path)
        if real in real_paths:  # a link that leads back
            below.clear()
            continue
        real_paths.add(real)
        below[:] = sorted(name for name in below if not name.startswith(".") and not is_output(f"{path}/{name}"))
        for name in sorted(files):
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a million names)
            if suffix in suffixes and not name.startswith("."):
                return suffix
    return None


def holds_recordings(folder: str | Path) -> bool:
    """Whether the first image or recording that is found in a folder or below it is a recording."""
    return first_suffix(folder) == WAV


MOST_LISTED = 10_000
"""Largest number of names in a folder that a misspelt path is compared with."""


@dataclass(frozen=True)
class BuiltIn(Entry):
    """A built-in data set. Its place is a function of the split.

    Attributes:
        preset: The preset for it.
        tested: Whether it has a test split.
    """

    preset: str = ""
    tested: bool = True


BUILT_IN = Registry(
    "built-in data set",
    BuiltIn("digits", "data.sources.builtin:digits", "5,000 MNIST digits", preset="digits", tested=False),
    BuiltIn("fashion", "data.sources.builtin:fashion", "Fashion-MNIST, 70,000 images of clothes", preset="fashion"),
    BuiltIn("cifar10", "data.sources.builtin:cifar10", "CIFAR-10, 60,000 colour images", preset="cifar10"),
    BuiltIn("scenes", "data.sources.scenes:scenes", "coloured shapes with captions", preset="scenes"),
    BuiltIn("moons", "data.sources.builtin:moons", "two half circles of points", preset="points"),
    BuiltIn("swissroll", "data.sources.builtin:swissroll", "a spiral of points", preset="points"),
    BuiltIn("checkerboard", "data.sources.builtin:checkerboard", "eight squares of points", preset="points"),
)


@dataclass(frozen=True)
class DataSource(Entry):
    """A source of data. Its place is a function of `data.place.Place` that returns `StoredItems`.

    Attributes:
        files: Suffixes of files that are data of this source by themselves.
        folder: Suffixes of the files in a folder of such data.
        nested: Whether these files may lie in sub-folders, too, which are classes.
        marks: Names of files that a folder of such data alone has.
        scheme: The beginning of addresses that the source reads by itself.
        remote: Whether such files and folders are read from object storage.
        splits: Whether there may be a test split.
        dims: The number of axes besides channels; 0 if items may have any.
        options: Options of `data.open` for such data alone.
        preset: The preset for such data.
    """

    files: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    nested: bool = False
    marks: tuple[str, ...] = ()
    scheme: str = ""
    remote: bool = False
    splits: bool = False
    dims: int = 0
    options: tuple[str, ...] = ()
    preset: str = "folder"


SOURCES = Registry(
    "source of data",
    DataSource(
        "built-in", "data.sources.builtin:open_builtin", f"a built-in data set ({BUILT_IN.names})", splits=True, dims=2
    ),
    DataSource(
        "images",
        "data.sources.file_folder:open_images",
        "a folder of images",
        folder=tuple(SUFFIXES),
        nested=True,
        remote=True,
        dims=2,
    ),
    DataSource(
        "recordings",
        "data.sources.recordings:open_recordings",
        "a folder of .wav files",
        folder=(WAV,),
        nested=True,
        remote=True,
        dims=1,
        options=("length", "rate"),
        preset="arrays",
    ),
    DataSource(
        "arrays",
        "data.sources.array_items:open_file",
        "a .npy or .npz file",
        files=ARRAY_FILES,
        remote=True,
        options=("layout",),
        preset="arrays",
    ),
    DataSource(
        "fields",
        "data.sources.fields:open_fields",
        "a .zarr, .nc, .h5, .nii or .tif of fields",
        files=FIELD_FILES,
        marks=(".zgroup", ".zmetadata", "zarr.json"),
        options=("variables", "items"),
        preset="arrays",
    ),
    DataSource(
        "shards",
        "data.sources.tar_shards:open_shards",
        "a .tar of WebDataset samples (or a folder of them)",
        files=(".tar",),
        folder=(".tar",),
        remote=True,
    ),
    DataSource(
        "rows",
        "data.sources.hugging_face:open_rows",
        "a data set of the library datasets (a folder, also of .parquet or .arrow files, or hf://datasets/user/name)",
        folder=(".parquet", ".arrow"),
        marks=("dataset_dict.json", "state.json"),
        scheme="hf://datasets/",
        splits=True,
        dims=2,
    ),
    DataSource("array", "data.sources.array_items:open_array", "", options=("layout",), preset="arrays"),
    DataSource("data set", "data.sources.python_items:open_objects", "", options=("layout",), preset="arrays"),
    DataSource(
        "fields of Python", "data.sources.fields:open_object", "", options=("variables", "items"), preset="arrays"
    ),
    DataSource("list", "data.sources.python_items:open_objects", "", dims=2),
)
"""Where a folder fits several, the first counts. The last four are objects of Python."""

FILE_SUFFIXES = tuple(suffix for one in SOURCES.values() for suffix in one.files)
"""The suffixes of files that are data by themselves."""
NESTED = {suffix: one for one in SOURCES.values() if one.nested for suffix in one.folder}
"""The sources of files that may lie in sub-folders, by their suffixes."""


class Folder(Protocol):
    """What a folder holds, on this machine or in object storage."""

    def has(self, name: bytes) -> bool:
        """Tell whether the folder itself has a file of this name."""

    def top(self) -> set[str]:
        """Return the suffixes of the files in the folder itself, and "/" if it has a folder."""

    def first_suffix(self, suffixes: Collection[str]) -> str | None:
        """Return the suffix of the first file with one of these in the folder or below it; None without one."""


@dataclass(frozen=True)
class LocalFolder:
    """What a folder on this machine holds; nothing, where it may not be read."""

    path: Path

    def has(self, name: bytes) -> bool:
        """See `Folder.has`."""
        return os.path.isfile(self.path / os.fsdecode(name))  # noqa: PTH113 (raises nothing)

    def top(self) -> set[str]:
        """See `Folder.top`."""
        with suppress(OSError), os.scandir(self.path) as entries:
            shown = (entry for entry in entries if not entry.name.startswith("."))
            return {"/" if entry.is_dir() else suffix_of(entry.name) for entry in shown}
        return set()

    def first_suffix(self, suffixes: Collection[str]) -> str | None:
        """See `Folder.first_suffix`."""
        return first_suffix(self.path, suffixes)


def suffix_of(name: str) -> str:
    """Return the suffix of a path or an address in lower case, "" without one."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a million names)
    return ".nii.gz" if suffix == ".gz" and name.lower().endswith(".nii.gz") else suffix


def source_of_name(name: str) -> DataSource | None:
    """Return the source of a built-in data set, or of an address that a source reads by itself; None of a place."""
    if name in BUILT_IN:
        return SOURCES["built-in"]
    return next((one for one in SOURCES.values() if one.scheme and name.startswith(one.scheme)), None)


def source_of_file(name: str) -> DataSource | None:
    """Return the source of a file by its suffix; None if such a file is no data."""
    return next((one for one in SOURCES.values() if suffix_of(name) in one.files), None)


def source_of_folder(folder: Folder) -> DataSource:
    """Return the source of a folder by the names in it; a folder of folders is one of images or recordings."""
    for one in SOURCES.values():
        if any(folder.has(name.encode()) for name in one.marks):
            return one
    top = folder.top()
    if top & {"/", *NESTED}:
        return NESTED.get(folder.first_suffix(NESTED) or "", SOURCES["images"])
    return next((one for one in SOURCES.values() if top & {*one.folder}), SOURCES["images"])


def source_of(place: str | Path) -> DataSource:
    """Return the source of a name, a path or an address, whether it exists or not: images where nothing else fits."""
    path = Path(os.path.expanduser(place))  # noqa: PTH111 (no error of an unknown user)
    if named := source_of_name(str(place)):
        return named
    if os.path.isdir(path):  # noqa: PTH112 (no error of a name that is too long)
        return source_of_folder(LocalFolder(path))
    return source_of_file(str(place)) or SOURCES["images"]


def described(sources: Iterable[DataSource]) -> str:
    """List sources in words."""
    *others, last = (one.text for one in sources if one.text)
    return f"{', '.join(others)} or {last}"


def nearest_path(text: str) -> str | None:
    """Return the folder, or the file of data, whose path is most like one that does not exist; None without one.

    Only the last part of the path may be misspelt.
    """
    path, near = Path(text), None
    with suppress(OSError, ValueError, RuntimeError), os.scandir(path.expanduser().parent) as entries:
        names = [
            entry.name
            for entry in islice(entries, MOST_LISTED)
            if entry.name[0] != "." and (entry.name.lower().endswith(FILE_SUFFIXES) or entry.is_dir())
        ]
        near = nearest(path.name, sorted(names))
    return None if near is None else str(path.with_name(near))
