"""Sources -> one tensor of items, and the codec between items and the network's [-1, 1].

load("digits")    load("photos/", image_size=64)    load("samples.npz", channels=1)    load("ecg.npy", dims=1)
"""

import difflib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ancestral.data import arrays, cifar, digits, fashion, folder, points
from ancestral.data.codec import IMAGES, POINTS, Codec
from ancestral.data.convert import Conversion
from ancestral.data.dataset import Dataset, one_line
from ancestral.errors import InputError

__all__ = ["BUILTINS", "IMAGES", "POINTS", "TESTED", "Codec", "Dataset", "load"]

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
    """All of `source`: a built-in's name, a folder of images, or a .npy or .npz file. (`./digits` is a folder.)

    Images are cropped to their centre square and resized to `image_size`, never stretched; None keeps their size.
    `channels` 1 or 3 converts to grey or RGB, and the images' own number keeps all channels as they are; None gives
    grey if all images are grey, else RGB, and keeps what is no colour. `background` shows through transparent pixels.
    `dims`, the axes besides channels, says whether an array is of signals, images or volumes; None reads it off the
    shape. `bits` 8 or 16 makes integers so deep; None keeps 16 where all files are so deep. `split`, "train" or "test",
    is for built-ins. Raises InputError.
    """
    conversion = Conversion(image_size, channels, background, bits)
    if split not in ("train", "test"):
        raise InputError(f"unknown split {split!r}: use train or test")
    if source in BUILTINS:
        _check_dims(source, dims)
        return _builtin(source, split, conversion)
    path = _existing(source)
    if split != "train":
        raise InputError(f"{one_line(source)} has no {split} split: give the path of the {split} data itself")
    if path.is_dir():
        _check_dims(one_line(source), dims)
        return folder.load(path, conversion)
    if path.suffix.lower() in arrays.SUFFIXES:
        return arrays.load(path, conversion, dims)
    raise InputError(f"{one_line(source)} cannot be read as data: give a folder of images, or a .npy or .npz file")


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
