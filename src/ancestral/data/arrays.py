"""Arrays of uint8, uint16 or floats, in .npy and .npz files or in memory: points, signals, images or volumes.

Points are floats (N, 2). Signals are (N, L) or, with dims=1, (N, C, L); images (N, H, W), (N, H, W, C) or
(N, C, H, W); volumes (N, C, D, H, W), (N, D, H, W, C) or, with dims=3, (N, D, H, W). A layout, as in
"item,channel,y,x", says what each axis is. In torch tensors the channels are the second axis. In NumPy arrays of images
and volumes without a layout they are the second or the last axis, by the first of these that tells the two apart:

    of conditions, the sides that are in proportion to those of the items
    the axis as long as the channels that the user gave
    an axis of 1..4, where the other is longer; of integers the last if it is 1..4: (N, 3, 32, 4) is 3 x 32 pixels RGBA
    the axis without which all sides are equal: (N, 37, 32, 32) has 37 channels

An array of which none of them tells it is refused. What was read is said (`reading_notes`).
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
from ancestral.base.quantities import plural
from ancestral.config.data_config import AXES, parse_layout
from ancestral.data.convert import Conversion

ARRAY_NAMES = {1: "signals", 2: "images", 3: "volumes"}
"""The name of an array in a .npz, by its axes of space. `signals` and `volumes` imply dims; `images` may be any."""
MAX_CLASSES = 100_000  # each label below the largest gets a class name, so a wild one would fill the memory
EIGHT_BITS = np.dtype(np.uint8), torch.uint8
FEW_CHANNELS = 4
"""The largest length of an axis that is surely one of channels beside a longer one."""
SPACE = AXES[2:]
"""The names of the axes of space: the last ones of them are those of signals and images."""
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
    if (
        array.dtype == np.float32
        and array.ndim == 2
        and array.shape[1] == 2
        and dims is None
        and conversion.layout is None
    ):
        x = torch.from_numpy(np.ascontiguousarray(array))
        if not bool(x.isfinite().all()):
            row = int((~x.isfinite()).any(1).nonzero()[0])
            raise InputError(f"{name} holds NaN or infinity, in point {row} first: leave those points out")
        if not bool((x.abs() <= 1).all()):
            raise InputError(f"{name} holds points beyond [-1, 1]: scale them, as in points / abs(points).max()")
        return conversion(x)
    names = layout_of(array.shape, array.dtype.kind == "f", name, conversion, dims, channels_second)
    if "channel" not in names:
        array, names = array[None], ("channel", *names)
    transparent = _transparent(array, names, conversion)
    array = array.transpose([names.index(axis) for axis in AXES if axis in names])
    as_alpha = array.shape[1] in (2, 4) and conversion.channels is None  # what the conversion would take for alpha
    if conversion.beside is not None or (as_alpha and not transparent):
        conversion = replace(conversion, channels=array.shape[1])
    return conversion(torch.from_numpy(np.ascontiguousarray(array)))


def _transparent(array: Array, names: Sequence[str], conversion: Conversion) -> bool:
    """Tell whether the last channel of images is read as alpha: of 8 bits, whose channels the user does not name."""
    channels = dict(zip(names, array.shape, strict=True)).get("channel")
    named = conversion.layout is not None or conversion.channels is not None or conversion.beside is not None
    return channels in (2, 4) and "z" not in names and "y" in names and array.dtype in EIGHT_BITS and not named


def layout_of(
    shape: tuple[int, ...], floats: bool, name: str, conversion: Conversion, dims: int | None, channels_second: bool
) -> tuple[str, ...]:
    """Say what each axis of an array is, by names of AXES.

    Args:
        shape: The shape of the array.
        floats: Whether it holds floats.
        name: What messages call it.
        conversion: That of `to_items`.
        dims: Number of axes besides channels; None infers it from the shape.
        channels_second: Whether channels are the second axis where there are any, as in torch tensors.

    Raises:
        InputError: If no items have such a shape, or it could mean several things.
    """
    if conversion.layout is not None:
        return _layout_given(conversion.layout, shape, name, dims)
    space = {2: 1, 3: 2, 4: 2, 5: 3}.get(len(shape)) if dims is None else dims
    if space is None or len(shape) - space not in (1, 2):
        with_dims = "" if dims is None else f" with {option('dims', dims)}"
        raise InputError(
            f"{name} has shape {shape}{with_dims}: signals are (N, L) or "
            f"(N, C, L) with {option('dims', 1)}, images are (N, H, W), (N, H, W, C) or (N, C, H, W), volumes (N, "
            f"C, D, H, W), (N, D, H, W, C) or (N, D, H, W) with {option('dims', 3)}"
        )
    second, last, axes = shape[1], shape[-1], SPACE[-space:]
    if dims is None and len(shape) == 3 and second != last and min(second, last) == 1:
        side = "high" if second == 1 else "wide"
        raise InputError(
            f"{name} has shape {shape}, which would be images 1 pixel {side}: {option('dims', 1)} reads "
            f"signals (N, C, L), and {option('dims', 2)} such images"
        )
    if len(shape) == space + 1:
        return "item", *axes
    if space == 1 or channels_second:
        return "item", "channel", *axes
    is_last = _channels_last(shape, floats, conversion)
    if is_last is None:
        ways = [f"item,channel,{','.join(axes)}", f"item,{','.join(axes)},channel"]
        ways += ["item,z,y,x"] if dims is None and space == 2 else []
        raise InputError(
            f"{name} of shape {shape} could have its channels in the second axis or in the last"
            f"{', or be volumes' * (len(ways) > 2)}: give {' or '.join(option('layout', way) for way in ways)}"
        )
    return ("item", *axes, "channel") if is_last else ("item", "channel", *axes)


def _layout_given(layout: str, shape: tuple[int, ...], name: str, dims: int | None) -> tuple[str, ...]:
    """The axes that a user names. Raises InputError if an array of this shape has others."""
    names = parse_layout(layout)
    space = sum(axis in SPACE for axis in names)
    if len(names) != len(shape):
        raise InputError(f"{name} has shape {shape}, and {option('layout', layout)} names {len(names)} axes")
    if dims not in (None, space):
        raise InputError(
            f"{option('layout', layout)} names {space} axes of space, unlike {option('dims', dims)}: leave "
            "the latter out"
        )
    return names


def _channels_last(shape: tuple[int, ...], floats: bool, conversion: Conversion) -> bool | None:
    """Whether the channels of an array (N, *, *, *) are its last axis, and not its second; None if nothing tells it."""
    second, last, sides_second, sides_last = shape[1], shape[-1], shape[2:], shape[1:-1]
    if conversion.beside is not None:
        fits_second, fits_last = (_in_proportion(sides, conversion.beside) for sides in (sides_second, sides_last))
        if fits_second != fits_last:
            return fits_last
    if (second == conversion.channels) != (last == conversion.channels):
        return last == conversion.channels
    if not floats and last <= FEW_CHANNELS:
        return True
    if (second <= FEW_CHANNELS) != (last <= FEW_CHANNELS):
        return last <= FEW_CHANNELS
    equal_second, equal_last = len({*sides_second}) == 1, len({*sides_last}) == 1
    if equal_second != equal_last:
        return equal_last
    return None if conversion.beside is None else False  # of conditions, where it is said


def _in_proportion(sides: Sequence[int], others: Sequence[int]) -> bool:
    return all(side * others[0] == other * sides[0] for side, other in zip(sides, others, strict=True))


def reading_notes(array: Array, name: str, dims: int | None, conversion: Conversion) -> tuple[tuple[str, str], ...]:
    """Say what the shape of an array was taken for.

    Args:
        array: The array, as it was given.
        name: What messages call it.
        dims: Number of axes besides channels, as it was given.
        conversion: That of `to_items`.

    Returns:
        At most one pair: what was assumed, and what to do if that is wrong. None of points, and of tensors without
        alpha, whose layout is always the same.
    """
    shape = tuple(array.shape)
    if conversion.layout is None and dims is None and len(shape) == 3 and shape[2] >= LONG * shape[1]:
        text = f"{name} of shape {shape} was taken for grey images, {shape[1]} pixels high and {shape[2]} wide"
        return ((text, f"{option('dims', 1)} reads signals of {shape[1]} channels and {shape[2]} values"),)
    if conversion.layout is None and dims is None and len(shape) == 2 and array.dtype in (np.uint8, torch.uint8):
        text = f"{name} of shape {shape} was taken for signals of {shape[1]} values"
        return (
            (text, f"save images in the shape (N, height, width); {option('dims', 1)} says that these are signals"),
        )
    if len(shape) == 2 and shape[1] == 2 and dims is None and conversion.layout is None:
        return ()
    is_tensor = isinstance(array, Tensor)
    floats = array.is_floating_point() if isinstance(array, Tensor) else array.dtype.kind == "f"
    names = layout_of(shape, floats, name, conversion, dims, channels_second=is_tensor)
    transparent = _transparent(array, names, conversion)
    if is_tensor and not transparent:
        return ()
    sides = dict(zip(names, shape, strict=True))
    size = [side for axis in SPACE if (side := sides.get(axis)) is not None]
    count = plural(sides["item"], ARRAY_NAMES[len(size)].removesuffix("s"))
    of = "x".join(map(str, size)) + " values" * (len(size) == 1)
    text = f"{name} was read as {count} of {of} with {plural(sides.get('channel', 1), 'channel')} ({', '.join(names)})"
    if transparent:
        text = f"{text}, the last of which is how opaque a pixel is: it was composited"
        return ((text, f"{option('channels', sides['channel'])} keeps all channels as they are"),)
    return ((text, f"{option('layout')} names the axes, if that is wrong"),)


def numbers(array: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """Return an array as uint8, uint16 or float32 in this machine's byte order.

    Raises:
        InputError: If it holds anything else, or masked values. `name` is what the message calls it.
    """
    array = unmasked(array, name)
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


def unmasked(array: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """Return the values of an array that may have a mask (`numpy.ma`). Raises InputError if any of them is masked."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    masked = np.ma.getmaskarray(array)
    if count := int(masked.sum()):
        first = int(np.argmax(masked.reshape(len(masked), -1).any(1))) if masked.ndim else 0
        raise InputError(
            f"{name} holds {plural(count, 'masked value')} of {masked.size:,} (the first in item {first}), which "
            "nothing can be learned from, as from NaN: leave those items out, or fill the gaps"
        )
    return array.data


def to_labels(array: Array, name: str, count: int) -> Tensor:
    """Convert an array of class numbers to int64 (count,). Raises InputError if it is none."""
    array = unmasked(array, name) if isinstance(array, np.ndarray) else np.asarray(array)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise InputError(f"{name} has {array.dtype} labels of shape {array.shape}: give integers of shape ({count},)")
    if array.min() < 0 or array.max() >= MAX_CLASSES:
        raise InputError(f"{name} has labels from {array.min()} to {array.max()}: number the classes 0, 1, 2, ...")
    return torch.from_numpy(array.astype(np.int64))
