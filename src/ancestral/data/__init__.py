"""Data sets: `open` reads any source; a `Dataset` gives its items by index; a codec maps them to the network's [-1, 1].

open("digits")    open("photos/", image_size="64x96")    open("samples.npz", channels=1)    open("ecg.npy", dims=1)
open("shards/", memory=4)    open("hf://datasets/user/name")    open((images, labels))    open(torch_dataset)
open(["a.png", "b.jpg"])    open([pillow_image, ...])    open("s3://bucket/photos")    open("gs://bucket/{000..099}.tar")
"""

import difflib
import math
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from torch.utils import data as torch_data

from ancestral.arguments import converted, is_remote, short_source
from ancestral.conditions import LABEL
from ancestral.config import UNPLACED, Given
from ancestral.config.folders import SUFFIXES, WAV, holds_recordings, is_run, nearest_path
from ancestral.config.image_size import parse_image_size
from ancestral.data import arrays
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, InMemoryDataset, hold_out
from ancestral.data.files import Files
from ancestral.data.given import attach
from ancestral.data.given import shared_partners as shared_partners
from ancestral.data.io_errors import Unreadable
from ancestral.data.lazy_dataset import LazyDataset
from ancestral.data.remote_files import RemoteFiles
from ancestral.data.sources import hugging_face
from ancestral.data.sources.builtin import BUILTINS, TESTED
from ancestral.data.sources.file_folder import FileFolder, LocalFiles
from ancestral.data.sources.hugging_face import HuggingFaceRows
from ancestral.data.sources.python_items import PythonItems
from ancestral.data.sources.recordings import RecordingFolder, SignalForm
from ancestral.data.sources.tar_shards import TarShards
from ancestral.data.spec import IMAGES, POINTS, Codec, DataSpec
from ancestral.data.windows import enlarged
from ancestral.errors import InputError, MissingSplitError, UnsuitableError, one_line
from ancestral.events import Work, finish
from ancestral.options import option

__all__ = [
    "BUILTINS",
    "IMAGES",
    "POINTS",
    "TESTED",
    "Codec",
    "DataSpec",
    "Dataset",
    "InMemoryDataset",
    "LazyDataset",
    "Source",
    "absolute",
    "hold_out",
    "load",
    "open",
    "opening",
]

Array = Tensor | NDArray[np.generic]
Source = (
    str
    | Path
    | Array
    | tuple[Array, Array | Mapping[str, Any]]
    | list[str]
    | list[Path]
    | list[Image]
    | torch_data.Dataset[Any]
)
"""A name, a path or an address; items, or (items, labels) or (items, {name: condition}); a list of paths of images, or
of Pillow images; or a map-style data set of PyTorch."""

DIMS = dict.fromkeys(("built-in", "rows", "images", "list"), (2,)) | {"recordings": (1,)}
"""Axes besides channels of the kinds of data whose items have a fixed number of them."""


def open(
    source: Source,
    *,
    image_size: int | str | tuple[int, int] | None = None,
    fit: str = "crop",
    channels: int | None = None,
    background: str = "white",
    dims: int | None = None,
    bits: int | None = None,
    length: int | None = None,
    rate: int | None = None,
    memory: float = 1.0,
    split: str = "train",
    given: str | Given | Sequence[str | Given] | None = None,
    crop: float = 1.0,
    faults: list[InputError] | None = None,
) -> Dataset:
    """Open a data set, in memory if its decoded items fit, else read by index.

    Args:
        source: The name of a built-in data set; a folder of images (`./digits` is a folder) or of .wav recordings; a
            .npy or .npz file; a .tar of WebDataset samples or a folder of them; a data set of the library `datasets`: a
            folder that `save_to_disk` wrote, or of .parquet or .arrow files, or hf://datasets/user/name; the
            address of images, recordings, shards or arrays in object storage, s3://bucket/folder or gs://bucket/folder,
            or of shards by their numbers, s3://bucket/{000..099}.tar; items as a tensor or array (N, C, *space) or
            points (N, 2), alone, as (items, labels) or as (items, {name: condition}), where a condition is (N,)
            integers, (N,) or (N, k) floats, or (N, C, *space) images; a list of paths of images, or of Pillow images;
            or a map-style data set of PyTorch, whose items are tensors, arrays or Pillow images, alone, as (item,
            label), as (item, {name: condition}), or as a dict in which `image`, `images`, `x`, `item`, `signal` or
            `volume` is the item, `label` its label, and all else a condition: text and integers are classes, floats and
            (k,) floats vectors, and arrays of more axes and Pillow images images.
        image_size: The size that images are brought to, never stretched: the side of a square, "HEIGHTxWIDTH" or
            (height, width); None keeps their size.
        fit: "crop" cuts images to the shape of `image_size` around their centre; "pad" keeps all of each image, and
            adds edges in the colour of the background.
        channels: 1 or 3 converts to grey or RGB, and the images' own number keeps all channels as they are; None gives
            grey if all images are grey, else RGB, and keeps what is no colour.
        background: Colour behind transparent pixels.
        dims: Number of axes besides channels: 1 for signals, 2 for images, 3 for volumes; None reads it off the shape
            of an array.
        bits: 8 or 16 makes integers so deep; None keeps 16 if all files are so deep.
        length: The number of samples of recordings: longer ones are cut at their end, shorter ones filled with silence;
            None needs all to be of one length.
        rate: The sampling rate in Hz that recordings are brought to; None needs all to be of one rate.
        memory: GiB of decoded items that are held in memory. It changes neither shape, codec nor classes. Arrays and
            built-in data sets are always in memory.
        split: "train" or "test", of built-in data sets and those of `datasets`.
        given: What each item is conditioned on besides its label, `[name=]what` for each condition, where `what` is a
            column of the data (several, joined by commas, are one vector), an operator that makes the condition of the
            item ("upscale:4"), a function ("package.module:function"), a folder with a file of the same name for
            each, or a .npy or .npz file with a row for each. Columns are those of metadata.csv or metadata.jsonl in a
            folder, the other arrays of a .npz, the other members of WebDataset samples and fields of their json, and
            the other columns of a data set of `datasets`; text in them is a class, and numbers are a vector. None takes
            the conditions that come from Python with the items, and none of files.
        crop: Above 1, images are brought to this multiple of `image_size`, and items are the windows of `image_size` at
            their centre. Training cuts others at random.
        faults: Receives the errors of conditions that do not fit, which are left out then; None raises the first.

    Returns:
        The data set. For `channels` and `bits` None, headers were read until the answer was certain: a few of RGB
        files, all of grey ones.

    Raises:
        InputError: If the source cannot be read, or an option does not apply to it.
    """
    conditions = converted("given", given, tuple[Given, ...] | None)
    if isinstance(source, Dataset):
        return source if conditions is None else attach(source, conditions, {}, faults=faults)
    remote = RemoteFiles(source) if is_remote(source) and not _is_name(source) else None
    place, kind = _place_and_kind(source) if remote is None else (remote, _kind_of_address(remote))
    name = one_line(source) if isinstance(source, str | Path) else f"the {kind}"
    whole = image_size if crop == 1 else enlarged(image_size, crop)
    conversion = Conversion(whole, channels, background, bits, fit)
    if split not in ("train", "test"):
        raise InputError(f"unknown split {split!r}: use train or test")
    if split != "train" and kind not in ("built-in", "rows"):
        raise MissingSplitError(f"{name} has no {split} split: give the path of the {split} data itself")
    for setting, value, unit in (("length", length, "samples"), ("rate", rate, "Hz")):
        if value is not None and kind != "recordings":
            text = f"{name} holds no .wav files, which alone have a {setting}"
            raise UnsuitableError(f"{text}: leave {option(setting)} out")
        if value is not None and value < 1:
            raise InputError(f"recordings of {value} {unit} are impossible: give {option(setting, 1)} or more")
    if dims in arrays.NAMES and dims not in DIMS.get(kind, arrays.NAMES):
        raise InputError(
            f"{name} holds no {arrays.NAMES[dims]}: leave {option('dims')} out, or give a .npy or .npz file of them"
        )
    data, columns, uses_all = _read(source, place, kind, conversion, dims, SignalForm(length, rate), split)
    data = data if crop == 1 or image_size is None else data.windows(parse_image_size(image_size))
    data = attach(data, conditions, columns, uses_all, conversion, faults)
    if crop != 1 and (images := [name for name, values in data.conditions.items() if isinstance(values, Dataset)]):
        raise InputError(
            f"{option('crop', crop)} cuts windows of the items alone, and {images[0]} has an image for each: leave one "
            "of the two out"
        )
    return finish(data.loading()) if isinstance(data, LazyDataset) and data.nbytes <= memory * 2**30 else data


def opening(source: Source, *, memory: float = 1.0, **options: Any) -> Generator[Work, None, Dataset]:
    """Open a data set as `open` does, and report the progress. The options are those of `open`."""
    yield Work("looking at the data", 0, 0)
    data = open(source, memory=0, **options)
    if isinstance(data, LazyDataset) and data is not source and data.nbytes <= memory * 2**30:
        data = yield from data.loading()
    return data


def absolute(source: str) -> str:
    """Return a name or address of data as it is, and a path as an absolute one.

    Raises:
        InputError: If there is no such file or folder.
    """
    if is_remote(source):
        protocol, _, path = source.partition("://")
        return source if _is_name(source) else f"{protocol}://{path.rstrip('/')}"
    return source if _is_name(source) else str(_existing(source).resolve())


def load(source: Source, **options: Any) -> InMemoryDataset:
    """Open a data set with all items in memory. The options are those of `open` except `memory`."""
    data = open(source, memory=math.inf, **options)
    assert isinstance(data, InMemoryDataset)
    return data


def _is_name(source: str | Path) -> bool:
    """Whether a source is a built-in data set or on the Hub."""
    return isinstance(source, str) and (source in BUILTINS or source.startswith(hugging_face.SCHEME))


def _place_and_kind(source: Any) -> tuple[Path, str]:
    """The path of a source, if it has one, and the kind of data that it is, which `_read` reads."""
    if isinstance(source, str | Path):
        if _is_name(source):
            return Path(source), "built-in" if source in BUILTINS else "rows"
        path = _existing(source)
        return path, _kind_of_path(path)
    items = source[0] if isinstance(source, tuple) and len(source) == 2 else source
    if isinstance(items, Tensor | np.ndarray):
        return Path(), "array"
    if isinstance(source, torch_data.Dataset):
        return Path(), "data set"
    if isinstance(source, list):
        return Path(), "list"
    if isinstance(items, list):
        raise InputError(
            "a list of images has no labels: give a map-style data set of PyTorch of (image, class number)"
        )
    raise InputError(
        f"an object of type {type(source).__name__} cannot be read as data: give a name or path, a tensor or array "
        "(N, C, ...), (items, labels), a list of paths or Pillow images, or a map-style data set of PyTorch"
    )


def _kind_of_path(path: Path) -> str:
    """The kind of data at a path, by its name and the names in it; folders with folders or images are of images."""
    if not path.is_dir():
        kinds = {".npy": "arrays", ".npz": "arrays", ".tar": "shards"}
        kind = kinds.get(path.suffix.lower()) if path.is_file() else None  # opening a pipe would block for ever
        if kind is None:
            raise InputError(
                f"{one_line(path)} cannot be read as data: give a folder of images, a .npy or .npz file, a .tar, or "
                "the folder of a .parquet file"
            )
        return kind
    if not os.access(path, os.R_OK | os.X_OK):
        raise InputError(f"{one_line(path)} may not be read: permission denied")
    if is_run(path):
        raise InputError(f"{one_line(path)} is a run folder, whose pictures are samples: give the data itself")
    if hugging_face.is_saved(path):
        return "rows"
    suffixes = {"/" if below.is_dir() else below.suffix.lower() for below in path.iterdir() if below.name[0] != "."}
    if suffixes & {"/", WAV, *SUFFIXES}:
        return "recordings" if holds_recordings(path) else "images"
    return "shards" if ".tar" in suffixes else "rows" if suffixes & {".parquet", ".arrow"} else "images"


def _kind_of_address(files: RemoteFiles) -> str:
    """The kind of data at an address, by the names of the objects, as `_kind_of_path` chooses it."""
    if files.only:
        return "shards" if files.only[0].lower().endswith(b".tar") else "arrays"
    suffixes = files.top()
    if suffixes & {"/", WAV, *SUFFIXES}:
        first = next(files.names((WAV, *SUFFIXES), [], []), b"")
        return "recordings" if first.lower().endswith(WAV.encode()) else "images"
    if suffixes & {".parquet", ".arrow"} and ".tar" not in suffixes:
        raise InputError(
            f"{files} holds .parquet or .arrow files, which are read on this machine: copy them to a folder, or read "
            "them from the Hub by hf://datasets/user/name"
        )
    return "shards" if ".tar" in suffixes else "images"


def _read(
    source: Any,
    place: Path | RemoteFiles,
    kind: str,
    conversion: Conversion,
    dims: int | None,
    signals: SignalForm,
    split: str,
) -> tuple[Dataset, Mapping[str, Any], bool]:
    """Read data of a kind; return them, their columns, and whether all of these are conditions."""
    match kind:
        case "built-in":
            builtin = BUILTINS[source](split)
            return replace(builtin, items=conversion(builtin.items)), {}, False
        case "array":
            items, labels = source if isinstance(source, tuple) else (source, None)
            columns: Any = dict(labels) if isinstance(labels, Mapping) else {}
            if not all(isinstance(name, str) for name in columns):
                raise InputError("the names of conditions are texts: give (items, {name: condition})")
            label_column = columns.pop(LABEL, None)
            plain_labels = None if isinstance(labels, Mapping) else labels
            data: Dataset = _labelled(items, plain_labels, "the array", "arrays", conversion, dims)
            data = data if label_column is None else attach(data, [Given("", LABEL)], {LABEL: label_column})
            return data, columns, True
        case "arrays":
            path = place if isinstance(place, Path) else _copied(place)
            items, labels, implied_dims, columns = arrays.load(path)
            dims, origin = dims or implied_dims, one_line(source)
            stem = one_line(Path(source).stem)
            return _labelled(items, labels, origin, stem, conversion, dims), columns, False
        case "recordings":
            data = LazyDataset(RecordingFolder(place, conversion, signals), replace(conversion, channels=None), dims=1)
        case "shards":
            if isinstance(place, Path):
                folder, names = (place, sorted(place.glob("*.tar"))) if place.is_dir() else (place.parent, [place])
                files: Files = LocalFiles(folder)
                shards, name = [os.fsencode(path.name) for path in names], one_line(place.resolve().stem)
            else:
                files, name = place, one_line(Path(place.address).name)
                shards = place.only or [one for one in place.names([".tar"], [], []) if b"/" not in one]
            data = LazyDataset(TarShards(files, shards, name), conversion, dims)
        case "data set" | "list":
            data = LazyDataset(PythonItems(source), conversion, dims)
        case "rows":
            assert isinstance(place, Path)
            data = LazyDataset(HuggingFaceRows(source if _is_name(source) else place, split), conversion)
        case _:
            data = LazyDataset(FileFolder(place), conversion)
    return data, data.source.columns, data.source.uses_all


def _copied(files: RemoteFiles) -> Path:
    """The copy of a file of arrays on this machine."""
    try:
        return files.local(files.only[0])
    except Unreadable as error:
        raise InputError(f"{files.address_of(files.only[0])} cannot be read: {error}") from None


def _labelled(
    array: Array, labels: Array | None, origin: str, name: str, conversion: Conversion, dims: int | None
) -> InMemoryDataset:
    """Items in memory, whose classes are called by their numbers. Messages call the array `origin`."""
    items = arrays.to_items(array, origin, conversion, dims)
    numbers = None if labels is None else arrays.to_labels(labels, origin, len(items))
    classes = () if numbers is None else tuple(map(str, range(int(numbers.max()) + 1)))
    data = InMemoryDataset(items, numbers, classes, name, notes=arrays.reading_notes(array, origin, dims))
    _ = data.spec  # floats without a range are refused now
    return data


def _existing(source: str | Path) -> Path:
    """The file or folder `source`, or an InputError that helps with the spelling."""
    text = str(source)
    if text.startswith(UNPLACED):
        raise InputError(
            f"a model file does not say where its data, {short_source(text)}, lie: say it by {option('data')}"
        )
    with suppress(OSError, RuntimeError):  # a name too long for the system; the home of a user who is not there
        path = Path(source).expanduser()
        if text.strip() and path.exists():
            return path
    close = difflib.get_close_matches(text.lower(), BUILTINS, n=1)
    if close and not {"/", "\\", "."} & set(text):
        raise InputError(f"no data called {text!r}: did you mean {close[0]}?")
    if near := nearest_path(text):
        raise InputError(f"no such file or folder: {text!r}; did you mean {near}?")
    raise InputError(f"no such file or folder: {text!r} (built-in data: {', '.join(BUILTINS)})")
