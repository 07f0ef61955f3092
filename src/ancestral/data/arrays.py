"""NumPy files: uint8 images in .npy or .npz, or float32 points. Nothing in them is unpickled.

Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1..4. A last axis of 1..4 is the channels; only else the
second axis is. So (N, 3, 32, 4) is read as 3 x 32 pixels of RGBA.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, one_line
from ancestral.errors import InputError

SUFFIXES = (".npy", ".npz")
MAX_CLASSES = 100_000  # a label stands for a class name, so a wild one would fill the memory


def load(path: Path, conversion: Conversion) -> Dataset:
    """The array of a .npy, or `images` (or the only array) and the optional `labels` of a .npz.

    Raises InputError if the file is damaged, or holds anything but uint8 images or float32 (N, 2) points in [-1, 1].
    """
    name = one_line(path)
    array, numbers = _read(path, name)
    if array.size == 0:
        raise InputError(f"{name} holds no items: its shape is {array.shape}")
    if array.dtype == np.float32 and array.ndim == 2 and array.shape[1] == 2:
        items = _points(array, name, conversion)
    else:
        items = conversion(_images(array, name))
    labels = None if numbers is None else _labels(numbers, name, len(items))
    classes = () if labels is None else tuple(str(i) for i in range(int(labels.max()) + 1))
    return Dataset(items, labels, classes, one_line(path.stem))


def _read(path: Path, name: str) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
    try:
        with warnings.catch_warnings(), path.open("rb") as file:  # opened here: np.load leaks it if the file is damaged
            warnings.simplefilter("ignore")  # NumPy's, on odd but readable headers
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                return loaded, None
            with loaded:
                arrays = {key: loaded[key] for key in loaded.files if key in ("images", "labels")}
                others = [key for key in loaded.files if key != "labels"]
                if "images" not in arrays and len(others) == 1:
                    arrays["images"] = loaded[others[0]]
    except Exception as error:  # a damaged file may raise anything, from BadZipFile to tokenize.TokenError
        raise InputError(
            f"{name} is not a whole NumPy file of plain numbers ({one_line(error)}): write it with "
            "np.save or np.savez, uint8"
        ) from error
    if "images" not in arrays:
        keys = ", ".join(others) or "nothing"
        raise InputError(
            f"{name} holds {one_line(keys)}: name the array of images `images`, as np.savez does with images="
        )
    return arrays["images"], arrays.get("labels")


def _images(array: NDArray[np.generic], name: str) -> Tensor:
    """Uint8 (N, C, H, W), from each layout."""
    if array.dtype != np.uint8:
        how = "(255 * images).round().astype('uint8')" if array.dtype.kind == "f" else "images.astype('uint8')"
        where = " if values are in [0, 1]" if array.dtype.kind == "f" else " if values are in 0..255"
        raise InputError(
            f"{name} holds {array.dtype} numbers of shape {array.shape}, not uint8 images: "
            f"convert them{where}, as in np.save('images.npy', {how})"
        )
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 2, 3, 4):
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1] not in (1, 2, 3, 4):
        raise InputError(
            f"{name} has shape {array.shape}: images are (N, H, W), (N, H, W, C) or (N, C, H, W), C = 1..4"
        )
    return torch.from_numpy(np.ascontiguousarray(array))


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
