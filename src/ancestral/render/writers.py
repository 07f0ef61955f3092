"""Writers of samples and results: pictures, single PNGs, recordings, arrays, JSON."""

import wave
from collections.abc import Iterable, Sequence
from itertools import count, repeat
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ancestral.data.arrays import NAMES
from ancestral.data.image_files import from_pixels
from ancestral.errors import InputError
from ancestral.options import option
from ancestral.storage import atomic

PNG_CHANNELS = {torch.uint8: (1, 2, 3, 4), torch.uint16: (1,)}
"""Numbers of channels that a PNG (and Pillow) can hold, by dtype: L, LA, RGB, RGBA, and I;16."""

RECIPE = "ancestral"
"""The keyword of the recipe in the metadata (iTXt) of a PNG."""


def write_picture(path: Path, image: Image.Image, recipe: str = "") -> None:
    """Write one picture atomically, in the format of its suffix; a PNG with its recipe."""
    text = PngInfo()
    if recipe:
        text.add_itxt(RECIPE, recipe)
    with atomic(path) as temporary:
        image.save(temporary, pnginfo=text)  # other formats do not read it


def read_recipe(path: Path) -> str:
    """Read the recipe in the metadata of a PNG. Raises InputError if it cannot be read, or holds none."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            recipe = image.info.get(RECIPE)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is no PNG that can be read: {error}") from None
    if not isinstance(recipe, str):
        raise InputError(f"{path} holds no recipe; PNGs of `ancestral sample` do, unless another program saved them")
    return str(recipe)


def write_images(
    folder: Path, images: Tensor, indices: Iterable[int] | None = None, recipes: Iterable[str] = repeat("")
) -> None:
    """Write images (N, C, H, W) as 000000.png and so on, by their indices; raise InputError as `check_png` does."""
    check_png(images.shape[1:], images.dtype)
    for image, index, recipe in zip(images, indices or count(), recipes, strict=False):
        write_picture(folder / f"{index:06d}.png", from_pixels(image), recipe)


def write_recordings(folder: Path, signals: Tensor, rate: int) -> None:
    """Write signals (N, C, L) in [-1, 1] as 000000.wav and so on, in 16 bits with `rate` samples a second."""
    for number, signal in enumerate(signals):
        levels = (signal.T.double() * 2**15).round().clamp(-(2**15), 2**15 - 1).contiguous().numpy().astype("<i2")
        with atomic(folder / f"{number:06d}.wav") as temporary, wave.open(str(temporary), "wb") as file:
            file.setnchannels(len(signal))
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(levels.tobytes())


def check_png(shape: Sequence[int], dtype: torch.dtype) -> None:
    """Raise InputError for items of a shape (C, H, W) or dtype that a PNG cannot hold."""
    kind = NAMES.get(len(shape) - 1, "points")
    if kind != "images":
        raise InputError(
            f"{kind} are no single images; give {option('out')} a .npz for numbers, or a .png, .gif, .webp or .mp4"
        )
    if dtype not in PNG_CHANNELS:
        raise InputError(
            f"PNG holds no floating-point images; give {option('out')} a .npz, or a .png for a grid in 8 bits"
        )
    if shape[0] not in PNG_CHANNELS[dtype]:
        bits = torch.iinfo(dtype).bits
        raise InputError(
            f"PNG files of {bits} bits cannot hold {shape[0]} channels; give {option('out')} a .npz, or a .png for "
            "a grid in 8 bits"
        )


def write_array(path: Path, items: Tensor, labels: Tensor | None) -> None:
    """Write items and any labels (N,) as a .npz, as `labels` and `points` (N, 2), `signals` (N, C, L), `images`
    (N, C, H, W) or `volumes` (N, C, D, H, W).
    """
    arrays = {NAMES.get(items.ndim - 2, "points"): items.numpy()}
    if labels is not None:
        arrays["labels"] = labels.cpu().numpy()
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
