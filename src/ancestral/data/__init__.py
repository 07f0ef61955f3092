"""Data sets: `open` reads any source; a `Dataset` gives its items by index; a codec maps them to the network's [-1, 1].

open("digits")    open("photos/", image_size="64x96")    open("samples.npz", channels=1)    open("ecg.npy", dims=1)
open("shards/", memory=4)    open("hf://datasets/user/name")    open((images, labels))    open(torch_dataset)
open(["a.png", "b.jpg"])    open([pillow_image, ...])
"""

import difflib
import math
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor
from torch.utils import data as torch_data

from ancestral.arguments import short_source
from ancestral.config import UNPLACED
from ancestral.config.file_kinds import SUFFIXES, WAV, holds_recordings, nearest_path
from ancestral.config.output_folders import is_run
from ancestral.data import arrays
from ancestral.data.codec import IMAGES, POINTS, Codec
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, InMemoryDataset
from ancestral.data.held_out import hold_out
from ancestral.data.lazy_dataset import LazyDataset
from ancestral.data.sources import builtin, hugging_face
from ancestral.data.sources.hugging_face import HuggingFaceDataset
from ancestral.data.sources.image_list import ImageList
from ancestral.data.sources.lazy_folder import LazyFolder
from ancestral.data.sources.recordings import RecordingFolder
from ancestral.data.sources.tar_shards import TarShards
from ancestral.data.sources.torch_dataset import TorchDataset
from ancestral.data.spec import DataSpec
from ancestral.errors import InputError, UnsuitableError, one_line
from ancestral.events import Work
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
Source = str | Path | Array | tuple[Array, Array] | list[str] | list[Path] | list[Image] | torch_data.Dataset[Any]
"""A name, a path or an address; items, or (items, labels); a list of paths of images, or of Pillow images; or a
map-style data set of PyTorch."""

BUILTINS: dict[str, Callable[[str], InMemoryDataset]] = {
    "digits": builtin.digits,
    "fashion": builtin.fashion,
    "cifar10": builtin.cifar10,
    "moons": builtin.moons,
    "swissroll": builtin.swissroll,
    "checkerboard": builtin.checkerboard,
}
TESTED = frozenset(BUILTINS) - {"digits"}
"""Built-in data sets with a test split."""


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
    memory: float = 1.0,
    split: str = "train",
) -> Dataset:
    """Open a data set, in memory if its decoded items fit, else read by index.

    Args:
        source: The name of a built-in data set; a folder of images (`./digits` is a folder) or of .wav recordings; a
            .npy or .npz file; a .tar of WebDataset samples or a folder of them; a data set of the library `datasets`: a
            folder that `save_to_disk` wrote, or of .parquet or .arrow files, or hf://datasets/user/name; items as a
            tensor or array (N, C, *space) or points (N, 2), alone or as (items, labels); a list of paths of images, or
            of Pillow images; or a map-style data set of PyTorch, whose items are tensors, arrays or Pillow images,
            alone or as (item, label).
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
        memory: GiB of decoded items that are held in memory. It changes neither shape, codec nor classes. Arrays and
            built-in data sets are always in memory.
        split: "train" or "test", of built-in data sets and those of `datasets`.

    Returns:
        The data set. For `channels` and `bits` None, headers were read until the answer was certain: a few of RGB
        files, all of grey ones.

    Raises:
        InputError: If the source cannot be read, or an option does not apply to it.
    """
    if split not in ("train", "test"):
        raise InputError(f"unknown split {split!r}: use train or test")
    if isinstance(source, Dataset):
        return source
    conversion = Conversion(image_size, channels, background, bits, fit)
    if length is not None and length < 1:
        raise InputError(f"recordings of {length} samples are impossible: give {option('length', 1)} or more")
    if isinstance(source, str | Path):
        data = _open_name(source, conversion, dims, length, split)
    elif length is not None:
        raise UnsuitableError(f"only folders of .wav files are cut to a length: leave {option('length')} out")
    else:
        data = _open_object(source, conversion, dims)
    return data.load() if isinstance(data, LazyDataset) and data.nbytes <= memory * 2**30 else data


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
    if source in BUILTINS or source.startswith(hugging_face.SCHEME):
        return source
    return str(_existing(source).resolve())


def load(source: Source, **options: Any) -> InMemoryDataset:
    """Open a data set with all items in memory. The options are those of `open` except `memory`."""
    data = open(source, memory=math.inf, **options)
    assert isinstance(data, InMemoryDataset)
    return data


def _open_object(source: Any, conversion: Conversion, dims: int | None) -> Dataset:
    """Open items that are in memory, or a data set of PyTorch."""
    items, labels = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
    if isinstance(items, Tensor | np.ndarray):
        converted = arrays.to_items(items, "the array", conversion, dims)
        known = None if labels is None else arrays.to_labels(labels, "the array", len(converted))
        return _labelled(converted, known, arrays.reading_notes(items, "the array", dims), "arrays")
    if isinstance(source, torch_data.Dataset):
        return TorchDataset(source, conversion, dims)
    if isinstance(source, list):
        if dims in (1, 3):
            raise InputError(f"a list of images holds no {arrays.NAMES[dims]}: leave {option('dims')} out")
        return ImageList(source, conversion)
    if isinstance(items, list):
        raise InputError(
            "a list of images has no labels: give a map-style data set of PyTorch of (image, class number)"
        )
    raise InputError(
        f"a {type(source).__name__} cannot be read as data: give a name or path, a tensor or array (N, C, ...), "
        "(items, labels), a list of paths or Pillow images, or a map-style data set of PyTorch"
    )


def _open_name(source: str | Path, conversion: Conversion, dims: int | None, length: int | None, split: str) -> Dataset:
    name, path = one_line(source), Path(source)
    if isinstance(source, str) and source.startswith(hugging_face.SCHEME):
        kind = "hub"
    elif isinstance(source, str) and source in BUILTINS:
        kind = "builtin"
    else:
        path = _existing(source)
        kind = _kind(path)
    if split != "train" and kind not in ("hub", "builtin", "datasets"):
        raise InputError(f"{name} has no {split} split: give the path of the {split} data itself")
    if length is not None and kind != "recordings":
        raise UnsuitableError(f"{name} holds no .wav files: leave {option('length')} out")
    if kind == "recordings" and dims in (None, 1):
        return RecordingFolder(path, conversion, length)
    if dims in (1, 3) and kind not in ("arrays", "tar", ""):
        raise InputError(
            f"{name} holds no {arrays.NAMES[dims]}: leave {option('dims')} out, or give a .npy or .npz file of them"
        )
    match kind:
        case "builtin":
            data = BUILTINS[str(source)](split)
            if data.items.is_floating_point():
                conversion.reject_points(name)
                return data
            return replace(data, items=conversion(data.items))
        case "hub" | "datasets":
            return HuggingFaceDataset(str(source) if kind == "hub" else path, conversion, split)
        case "tar":
            paths = sorted(path.glob("*.tar")) if path.is_dir() else [path]
            return TarShards(paths, one_line(path.resolve().stem), conversion, dims)
        case "images":
            return LazyFolder(path, conversion)
        case "arrays":
            return _labelled(*arrays.load(path, conversion, dims), one_line(path.stem))
    raise InputError(
        f"{name} cannot be read as data: give a folder of images, a .npy or .npz file, a .tar, or the folder of a "
        ".parquet file"
    )


def _kind(path: Path) -> str:
    """The kind of data at a path, by its name and the names in it; folders with folders or images are of images."""
    if not path.is_dir():
        suffix = path.suffix.lower() if path.is_file() else ""  # opening a pipe would block for ever
        return {".npy": "arrays", ".npz": "arrays", ".tar": "tar"}.get(suffix, "")
    if is_run(path):
        raise InputError(f"{one_line(path)} is a run folder, whose pictures are samples: give the data itself")
    if hugging_face.is_saved(path):
        return "datasets"
    kinds = {"/" if below.is_dir() else below.suffix.lower() for below in path.iterdir() if below.name[0] != "."}
    if kinds & {"/", WAV, *SUFFIXES}:
        return "recordings" if holds_recordings(path) else "images"
    return "tar" if ".tar" in kinds else "datasets" if kinds & {".parquet", ".arrow"} else "images"


def _labelled(items: Tensor, labels: Tensor | None, notes: tuple[tuple[str, str], ...], name: str) -> InMemoryDataset:
    """Items whose classes are called by their numbers."""
    classes = () if labels is None else tuple(str(i) for i in range(int(labels.max()) + 1))
    data = InMemoryDataset(items, labels, classes, name, notes=notes)
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
