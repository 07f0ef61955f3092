"""Arrays of uint8, uint16 or floats, in .npy and .npz files or in memory: points, signals, images or volumes.

Points are floats (N, 2). Signals are (N, L) or, with dims=1, (N, C, L); images (N, H, W), (N, H, W, C) or
(N, C, H, W); volumes (N, C, D, H, W), (N, D, H, W, C) or, with dims=3, (N, D, H, W). In NumPy arrays the channels of
images and volumes are the last axis if it is 1..4 long; else, of the second and the last, the one as long as the
channels that the user gave, or the shorter, or the second. So (N, 3, 32, 4) is read as 3 x 32 pixels of RGBA. Of
conditions, the layout counts first whose sides are in proportion to those of the items, if only one has such. In torch
tensors the channels are the second axis.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option
from ancestral.data.convert import Conversion

ARRAY_NAMES = {1: "signals", 2: "images", 3: "volumes"}
"""The name of an array in a .npz, by its axes of space. `signals` and `volumes` imply dims; `images` may be any."""
MAX_CLASSES = 100_000  # each label below the largest gets a class name, so a wild one would fill the memory
LONG = 4
"""Arrays (N, A, B) may well be signals of A channels from B = LONG x A on."""
Array = NDArray[np.generic] | Tensor


class FurtherArrays(Mapping[str, NDArray[np.generic]]):
    """The arrays of a .npz file besides the items and their labels, each loaded when it is looked up."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self._path, self._names = path, names

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self._names:
            raise KeyError(name)
        try:
            with np.load(self._path, allow_pickle=False) as content:
                return content[name]  # type: ignore[no-any-return]
        except Exception as error:  # a damaged file may raise anything
            raise InputError(f"{name} in {one_line(self._path)} cannot be read: {one_line(error)}") from None

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


def load(
    path: Path, name: str | None = None
) -> tuple[NDArray[np.generic], NDArray[np.generic] | None, int | None, Mapping[str, NDArray[np.generic]]]:
    """Load the array of a .npy, or `images`, `signals`, `volumes` (or the only array) and `labels` of a .npz.

    Nothing is unpickled.

    Args:
        path: The file.
        name: The name of an array of a .npz that is taken where it is there.

    Returns:
        The array; the labels, or None; the number of axes besides channels that the array's name implies, or None; and
        the other arrays by name, if the array has one of these names.

    Raises:
        InputError: If the file is damaged, or holds several arrays and none with such a name.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as file:  # opened here: np.load leaks it if the file is damaged
            warnings.simplefilter("ignore")  # NumPy's, on odd but readable headers
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                return content, None, None, {}
            with content:
                others = [key for key in content.files if key != "labels"]
                keys = [key for key in (name, *ARRAY_NAMES.values()) if key in others] or others
                keys = keys[:1] if name in keys else keys
                arrays = {key: content[key] for key in ("labels", *keys[:1]) if key in content.files}
    except Exception as error:  # a damaged file may raise anything, from BadZipFile to tokenize.TokenError
        raise InputError(
            f"{one_line(path)} is not a whole NumPy file of plain numbers ({error}): write it with "
            "np.save or np.savez, uint8, uint16 or float32"
        ) from error
    if len(keys) != 1:
        array = (
            "array of images `images` (or `signals`, `volumes`)" if name is None else f"array of the condition `{name}`"
        )
        raise InputError(
            f"{one_line(path)} holds {', '.join(others) or 'nothing'}: name the {array}, as np.savez does with "
            f"{name or 'images'}="
        )
    columns = FurtherArrays(path, [key for key in others if key != keys[0]])
    return arrays[keys[0]], arrays.get("labels"), {"signals": 1, "volumes": 3}.get(keys[0]), columns


def to_items(array: Array, name: str, conversion: Conversion, dims: int | None) -> Tensor:
    """Bring an array into the layout of items, (N, C, *space) or points (N, 2), and convert it.

    Args:
        array: Items in one of the layouts above.
        name: What messages call it.
        conversion: Applied to all but points, which it must not change.
        dims: Number of axes besides channels; None infers it from the shape.

    Raises:
        InputError: If its shape or dtype is not supported, or it holds no items.
    """
    channels_second = isinstance(array, Tensor)
    if isinstance(array, Tensor):
        array = array.detach().to_dense().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    if array.size == 0:
        raise InputError(f"{name} holds no items: its shape is {array.shape}")
    array = numbers(array, name)
    if array.dtype == np.float32 and array.ndim == 2 and array.shape[1] == 2 and dims is None:
        x = torch.from_numpy(np.ascontiguousarray(array))
        if not bool(x.isfinite().all()):
            row = int((~x.isfinite()).any(1).nonzero()[0])
            raise InputError(f"{name} holds NaN or infinity, in point {row} first: leave those points out")
        if not bool((x.abs() <= 1).all()):
            raise InputError(f"{name} holds points beyond [-1, 1]: scale them, as in points / abs(points).max()")
        return conversion(x)
    space = {2: 1, 3: 2, 4: 2, 5: 3}.get(array.ndim) if dims is None else dims
    if space is None or array.ndim - space not in (1, 2):
        with_dims = "" if dims is None else f" with {option('dims', dims)}"
        raise InputError(
            f"{name} has shape {array.shape}{with_dims}: signals are (N, L) or "
            f"(N, C, L) with {option('dims', 1)}, images are (N, H, W), (N, H, W, C) or (N, C, H, W), volumes (N, "
            f"C, D, H, W), (N, D, H, W, C) or (N, D, H, W) with {option('dims', 3)}"
        )
    second, last = array.shape[1], array.shape[-1]
    if dims is None and array.ndim == 3 and second != last and min(second, last) == 1:
        side = "high" if second == 1 else "wide"
        raise InputError(
            f"{name} has shape {array.shape}, which would be images 1 pixel {side}: {option('dims', 1)} reads "
            f"signals (N, C, L), and {option('dims', 2)} such images"
        )
    if array.ndim == space + 1:
        array = array[:, None]
    elif space > 1 and not channels_second and _channels_last(array.shape, conversion):
        array = np.moveaxis(array, -1, 1)
    if conversion.beside is not None:
        conversion = replace(conversion, channels=array.shape[1])
    return conversion(torch.from_numpy(np.ascontiguousarray(array)))


def _channels_last(shape: Sequence[int], conversion: Conversion) -> bool:
    """Whether the channels of an array (N, *, *, *) are its last axis, and not its second."""
    second, last = shape[1], shape[-1]
    if conversion.beside is not None:
        fits_second, fits_last = (_in_proportion(sides, conversion.beside) for sides in (shape[2:], shape[1:-1]))
        if fits_second != fits_last:
            return fits_last
    return last <= 4 or (second != conversion.channels and (last == conversion.channels or last < second))


def _in_proportion(sides: Sequence[int], others: Sequence[int]) -> bool:
    return all(side * others[0] == other * sides[0] for side, other in zip(sides, others, strict=True))


def reading_notes(array: Array, name: str, dims: int | None) -> tuple[tuple[str, str], ...]:
    """Say what the shape of an array was taken for, where it could mean something else as well.

    Returns:
        At most one pair: what was assumed, and what to do if that is wrong.
    """
    shape = tuple(array.shape)
    if dims is None and len(shape) == 3 and shape[2] >= LONG * shape[1]:
        text = f"{name} of shape {shape} was taken for grey images, {shape[1]} pixels high and {shape[2]} wide"
        return ((text, f"{option('dims', 1)} reads signals of {shape[1]} channels and {shape[2]} values"),)
    if dims is None and len(shape) == 2 and array.dtype in (np.uint8, torch.uint8):
        text = f"{name} of shape {shape} was taken for signals of {shape[1]} values"
        return (
            (text, f"save images in the shape (N, height, width); {option('dims', 1)} says that these are signals"),
        )
    return ()


def numbers(array: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """Return an array as uint8, uint16 or float32 in this machine's byte order.

    Raises:
        InputError: If it holds anything else. `name` is what the message calls it.
    """
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


def to_labels(array: Array, name: str, count: int) -> Tensor:
    """Convert an array of class numbers to int64 (count,). Raises InputError if it is none."""
    array = np.asarray(array)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise InputError(f"{name} has {array.dtype} labels of shape {array.shape}: give integers of shape ({count},)")
    if array.min() < 0 or array.max() >= MAX_CLASSES:
        raise InputError(f"{name} has labels from {array.min()} to {array.max()}: number the classes 0, 1, 2, ...")
    return torch.from_numpy(array.astype(np.int64))
