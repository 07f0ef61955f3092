"""Sources -> items, in one tensor or read one by one, and the codec between items and the network's [-1, 1].

load("digits")    load("photos/", image_size=64)    load("samples.npz", channels=1)    load("ecg.npy", dims=1)
open("shards/", memory=4)    open("hf://datasets/user/name", streaming=True)
"""

import difflib
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ancestral.data import arrays, cifar, digits, fashion, folder, hugging_face, points
from ancestral.data.codec import IMAGES, POINTS, Codec
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, one_line
from ancestral.data.hugging_face import HuggingFace, HuggingFaceStream
from ancestral.data.indexed import Indexed, gathered
from ancestral.data.sample import sample
from ancestral.data.shards import Shards
from ancestral.data.streamed import InOrder, Streamed
from ancestral.data.tree import Tree
from ancestral.errors import InputError

__all__ = [
    "BUILTINS",
    "IMAGES",
    "POINTS",
    "TESTED",
    "Codec",
    "Data",
    "Dataset",
    "Indexed",
    "Streamed",
    "load",
    "open",
    "sample",
]

Data = Dataset | Indexed | Streamed
"""What can be trained on: all in memory, or read by index, or in order."""

BUILTINS: dict[str, Callable[[str], Dataset]] = {
    "digits": digits.load,
    "fashion": fashion.load,
    "cifar10": cifar.load,
    "moons": points.moons,
    "swissroll": points.swissroll,
    "checkerboard": points.checkerboard,
}
TESTED = frozenset(BUILTINS) - {"digits"}
"""Those with a test split."""


def load(
    source: str,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    background: str = "white",
    dims: int | None = None,
    bits: int | None = None,
    split: str = "train",
) -> Dataset:
    """All of `source`, in memory. Options and errors are those of `open`."""
    conversion = Conversion(image_size, channels, background, bits)
    data = _open(source, conversion, dims, split, math.inf, streaming=False)
    assert isinstance(data, Dataset)
    return data


def open(
    source: str,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    background: str = "white",
    dims: int | None = None,
    bits: int | None = None,
    memory: float = 1.0,
    streaming: bool = False,
    split: str = "train",
) -> Data:
    """`source` in memory where its decoded items fit into `memory` GiB, else read by index, or in order if `streaming`.

    A source is a built-in's name, a folder of images, a .npy or .npz file (always held in memory), a .tar of WebDataset
    samples or a folder of them, or a data set of the library `datasets`: a folder that `save_to_disk` wrote, or of
    .parquet or .arrow files, or hf://datasets/user/name. (`./digits` is a folder.)

    Images are cropped to their centre square and resized to `image_size`, never stretched; None keeps their size.
    `channels` 1 or 3 converts to grey or RGB, and the images' own number keeps all channels as they are; None gives
    grey if all images are grey, else RGB, and keeps what is no colour. `background` shows through transparent pixels.
    `dims`, the axes besides channels, says whether an array is of signals, images or volumes; None reads it off the
    shape. `bits` 8 or 16 makes integers so deep; None keeps 16 where all files are so deep. `split`, "train" or "test",
    is for built-ins and for data sets of `datasets`. Raises InputError.

    `memory` changes neither shape, codec nor classes. For `channels` and `bits` None, headers are read until the answer
    is certain: a few of RGB files, all of grey ones. Of a data set of `datasets` that is streamed, only the first 128
    items are looked at: give both if these are not like all others.
    """
    conversion = Conversion(image_size, channels, background, bits)
    return _open(source, conversion, dims, split, memory * 2**30, streaming)


def _open(source: str, conversion: Conversion, dims: int | None, split: str, most: float, streaming: bool) -> Data:
    if split not in ("train", "test"):
        raise InputError(f"unknown split {split!r}: use train or test")
    name = one_line(source)
    if hugging_face.is_address(source):
        _check_dims(name, dims)
        return _hugging_face(source, conversion, split, most, streaming)
    if source in BUILTINS:
        _check_dims(name, dims)
        _check_streaming(name, streaming)
        return _builtin(source, split, conversion)
    path = _existing(source)
    kind = _kind(path)
    if kind == "datasets":
        _check_dims(name, dims)
        return _hugging_face(path, conversion, split, most, streaming)
    if split != "train":
        raise InputError(f"{name} has no {split} split: give the path of the {split} data itself")
    if kind == "tar":
        tars = sorted(path.glob("*.tar")) if path.is_dir() else [path]
        shards = Shards(tars, one_line(path.resolve().stem), conversion, dims)
        return InOrder(shards, shards.bounds.tolist()) if streaming else _fitted(shards, most)
    _check_streaming(name, streaming)
    if kind == "images":
        _check_dims(name, dims)
        return _fitted(Tree(path, conversion), most)
    if kind == "arrays":
        return arrays.load(path, conversion, dims)
    raise InputError(
        f"{name} cannot be read as data: give a folder of images, a .npy or .npz file, a .tar, or the folder of a "
        ".parquet file"
    )


def _kind(path: Path) -> str:
    """What a path holds, as far as its name and the names in it tell; folders with folders or images are of images."""
    if not path.is_dir():
        return "arrays" if path.suffix.lower() in arrays.SUFFIXES else "tar" if path.suffix.lower() == ".tar" else ""
    if hugging_face.is_saved(path):
        return "datasets"
    kinds = {"/" if below.is_dir() else below.suffix.lower() for below in path.iterdir() if below.name[0] != "."}
    if kinds & {"/", *folder.SUFFIXES}:
        return "images"
    return "tar" if ".tar" in kinds else "datasets" if kinds & {".parquet", ".arrow"} else "images"


def _hugging_face(source: str | Path, conversion: Conversion, split: str, most: float, streaming: bool) -> Data:
    if streaming:
        return HuggingFaceStream(source, conversion, split)
    return _fitted(HuggingFace(source, conversion, split), most)


def _fitted(data: Indexed, most: float) -> Dataset | Indexed:
    """The same in memory where it takes at most so many bytes."""
    return gathered(data) if data.size <= most else data


def _check_streaming(name: str, streaming: bool) -> None:
    if streaming:
        raise InputError(
            f"{name} cannot be streamed, only .tar shards and data sets of the library datasets: leave --streaming out"
        )


def _check_dims(name: str, dims: int | None) -> None:
    if dims in (1, 3):
        raise InputError(f"{name} holds no {arrays.NAMES[dims]}: leave --dims out, or give a .npy or .npz file of them")


def _builtin(name: str, split: str, conversion: Conversion) -> Dataset:
    data = BUILTINS[name](split)
    if data.items.is_floating_point():
        conversion.refuse(name)
        return data
    return Dataset(conversion(data.items), data.labels, data.classes, data.name)


def _existing(source: str) -> Path:
    """The file or folder `source`, or an InputError that helps with the spelling."""
    with suppress(OSError, RuntimeError):  # a name too long for the system; the home of a user who is not there
        path = Path(source).expanduser()
        if source.strip() and path.exists():
            return path
    close = difflib.get_close_matches(source.lower(), BUILTINS, n=1)
    if close and not {"/", "\\", "."} & set(source):
        raise InputError(f"no data called {source!r}: did you mean {close[0]}?")
    raise InputError(f"no such file or folder: {source!r} (built-in data: {', '.join(BUILTINS)})")
