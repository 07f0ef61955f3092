"""NumPy files: .npy or .npz of uint8, uint16 or floats, as points, signals, images or volumes. Nothing is unpickled.

Points are floats (N, 2). Signals are (N, L) or, told dims=1, (N, C, L); images (N, H, W), (N, H, W, C) or (N, C, H, W);
volumes (N, C, D, H, W), (N, D, H, W, C) or, told dims=3, (N, D, H, W). Which axis of images and volumes the channels
are: a last one of 1..4 is; else, of the second and the last, the one as long as the channels asked for, or the shorter,
or the second. So (N, 3, 32, 4) is read as 3 x 32 pixels of RGBA.
"""

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, one_line
from ancestral.errors import InputError

SUFFIXES = (".npy", ".npz")
NAMES = {1: "signals", 2: "images", 3: "volumes"}
"""What an array in a .npz is called by its axes of space. `signals` and `volumes` tell dims; `images` may be any."""
MAX_CLASSES = 100_000  # a label stands for a class name, so a wild one would fill the memory


def load(path: Path, conversion: Conversion, dims: int | None = None) -> Dataset:
    """The array of a .npy, or `images`, `signals`, `volumes` (or the only array) and optional `labels` of a .npz.

    Raises InputError if the file is damaged, of a shape or type that is none of ours, or holds NaN or infinity.
    """
    name = one_line(path)
    array, key, numbers = _read(path, name)
    if array.size == 0:
        raise InputError(f"{name} holds no items: its shape is {array.shape}")
    if dims is None:
        dims = {"signals": 1, "volumes": 3}.get(key)
    items = _items(array, name, conversion, dims)
    labels = None if numbers is None else _labels(numbers, name, len(items))
    classes = () if labels is None else tuple(str(i) for i in range(int(labels.max()) + 1))
    data = Dataset(items, labels, classes, one_line(path.stem))
    _ = data.codec  # floats without a range are refused now
    return data


def item(file: BinaryIO, conversion: Conversion, dims: int | None) -> Tensor:
    """The one item (C, *space) of a .npy, laid out as `load` has it but for the first axis. Raises whatever it may."""
    return _items(np.load(file, allow_pickle=False)[None], "the array", conversion, dims)[0]


def _items(array: NDArray[np.generic], name: str, conversion: Conversion, dims: int | None) -> Tensor:
    array = _numbers(array, name)
    if array.dtype == np.float32 and array.ndim == 2 and array.shape[1] == 2 and dims is None:
        return _points(array, name, conversion)
    array = _channels_first(array, name, dims, conversion.channels)
    return conversion(torch.from_numpy(np.ascontiguousarray(array)))


def _read(path: Path, name: str) -> tuple[NDArray[np.generic], str, NDArray[np.generic] | None]:
    """The items, what they are called ("" in a .npy), and their labels."""
    try:
        with warnings.catch_warnings(), path.open("rb") as file:  # opened here: np.load leaks it if the file is damaged
            warnings.simplefilter("ignore")  # NumPy's, on odd but readable headers
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                return loaded, "", None
            with loaded:
                others = [key for key in loaded.files if key != "labels"]
                known = [key for key in NAMES.values() if key in others] or others
                arrays = {key: loaded[key] for key in ("labels", *known[:1]) if key in loaded.files}
    except Exception as error:  # a damaged file may raise anything, from BadZipFile to tokenize.TokenError
        raise InputError(
            f"{name} is not a whole NumPy file of plain numbers ({one_line(error)}): write it with "
            "np.save or np.savez, uint8, uint16 or float32"
        ) from error
    if len(known) != 1:
        keys = ", ".join(others) or "nothing"
        raise InputError(
            f"{name} holds {one_line(keys)}: name the array of images `images` (or `signals`, `volumes`), as np.savez "
            "does with images="
        )
    return arrays[known[0]], known[0], arrays.get("labels")


def _numbers(array: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """The array as uint8, uint16 or float32, in this machine's byte order."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity, and is refused as that
            return array.astype(np.float32, copy=False)
    for kind in (np.uint8, np.uint16):
        if array.dtype == kind or array.dtype == np.dtype(kind).newbyteorder():
            return array.astype(kind, copy=False)
    raise InputError(
        f"{name} holds {array.dtype} numbers of shape {array.shape}, not uint8, uint16 or floats: convert them, if "
        "values are in 0..255 as in np.save('images.npy', images.astype('uint8')), else .astype('float32')"
    )


def _channels_first(
    array: NDArray[np.generic], name: str, dims: int | None, channels: int | None
) -> NDArray[np.generic]:
    """(N, C, *space), from each layout."""
    space = {2: 1, 3: 2, 4: 2, 5: 3}.get(array.ndim) if dims is None else dims
    if space is None or array.ndim - space not in (1, 2):
        raise InputError(
            f"{name} has shape {array.shape}{'' if dims is None else f' with dims {dims}'}: signals are (N, L) or "
            "(N, C, L) with --dims 1, images are (N, H, W), (N, H, W, C) or (N, C, H, W), volumes (N, C, D, H, W), "
            "(N, D, H, W, C) or (N, D, H, W) with --dims 3"
        )
    if array.ndim == space + 1:
        return array[:, None]
    second, last = array.shape[1], array.shape[-1]
    if space > 1 and (last <= 4 or (second != channels and (last == channels or last < second))):
        return np.moveaxis(array, -1, 1)
    return array


def _points(array: NDArray[np.generic], name: str, conversion: Conversion) -> Tensor:
    conversion.refuse(name)
    x = torch.from_numpy(np.ascontiguousarray(array))
    if not bool((x.abs() <= 1).all()):  # False for NaN too
        raise InputError(f"{name} holds points beyond [-1, 1]: scale them, as in points / abs(points).max()")
    return x


def _labels(array: NDArray[np.generic], name: str, count: int) -> Tensor:
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise InputError(f"{name} has {array.dtype} labels of shape {array.shape}: give integers of shape ({count},)")
    if array.min() < 0 or array.max() >= MAX_CLASSES:
        raise InputError(f"{name} has labels from {array.min()} to {array.max()}: number the classes 0, 1, 2, ...")
    return torch.from_numpy(array.astype(np.int64))
