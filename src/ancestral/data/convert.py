"""The one road for images of every source: 1..4 channels of any size in, the size and channels asked for out.

    composite on the background  ->  crop to the centre square  ->  resize, antialiased  ->  grey <-> RGB

Compositing comes first: resizing would mix the hidden colour of transparent pixels into their neighbours.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import ImageColor
from torch import Tensor
from torch.nn import functional as F

from ancestral.errors import InputError

CHUNK = 1024  # images at a time, so that temporaries stay far below the result


@dataclass(frozen=True)
class Conversion:
    """What to make of uint8 (N, C, H, W) images with C = 1..4 (grey, grey + alpha, RGB, RGBA).

    Raises InputError if a field makes no sense.
    """

    image_size: int | None = None
    """Side of the square result; None keeps the size."""
    channels: int | None = None
    """1 or 3; None keeps grey images grey and colour images RGB."""
    background: str = "white"
    """What shows through transparent pixels: a colour's name or #rrggbb."""

    def __post_init__(self) -> None:
        """Check all fields, the background too."""
        if self.image_size is not None and self.image_size < 1:
            raise InputError(f"image size {self.image_size} is impossible: give 1 or more pixels")
        if self.channels not in (None, 1, 3):
            raise InputError(f"{self.channels} channels are impossible: give 1 (grey) or 3 (RGB)")
        _ = self.paint

    @cached_property
    def paint(self) -> tuple[int, int, int]:
        """The background as (red, green, blue)."""
        try:
            red, green, blue, *alpha = ImageColor.getrgb(self.background)
            if alpha:  # a background cannot be transparent itself
                raise ValueError
        except ValueError:
            raise InputError(
                f"unknown background colour {self.background!r}: give a name such as white, or #rrggbb"
            ) from None
        return red, green, blue

    def refuse(self, name: str) -> None:
        """Raise InputError if an option for images was given, for `name` holds points."""
        if self.image_size is not None or self.channels is not None:
            raise InputError(f"{name} holds 2-D points, which have no image size and no channels: leave these out")

    def channels_of(self, grey: bool, transparent: bool) -> int:
        """Channels of the result, 1 or 3: a coloured background shines through grey but transparent images."""
        if self.channels is not None:
            return self.channels
        return 1 if grey and not (transparent and len(set(self.paint)) > 1) else 3

    def __call__(self, images: Tensor) -> Tensor:
        """Uint8 (N, C, H, W), N >= 1 -> uint8 (N, 1 or 3, size, size); `images` itself if there is nothing to do."""
        count, have = images.shape[:2]
        channels = self.channels_of(grey=have <= 2, transparent=have in (2, 4))
        size = images.shape[2:] if self.image_size is None else (self.image_size, self.image_size)
        if (have, *images.shape[2:]) == (channels, *size):
            return images
        out = torch.empty(count, channels, *size, dtype=torch.uint8)
        for start in range(0, count, CHUNK):
            chunk = composite(images[start : start + CHUNK], self.paint)
            out[start : start + CHUNK] = recolour(fit(chunk, self.image_size), channels)
        return out


def composite(images: Tensor, paint: tuple[int, int, int]) -> Tensor:
    """Uint8 (N, C, H, W) -> the same without alpha; grey + alpha stays grey if `paint` is grey, else becomes RGB."""
    if images.shape[1] in (1, 3):
        return images
    colour, alpha = images[:, :-1].int(), images[:, -1:].int()
    under = torch.tensor(paint, dtype=torch.int32).view(1, 3, 1, 1)
    if colour.shape[1] == 1 and len(set(paint)) == 1:
        under = under[:, :1]
    return ((colour * alpha + under * (255 - alpha) + 127) // 255).to(torch.uint8)


def fit(images: Tensor, size: int | None) -> Tensor:
    """Uint8 (N, C, H, W) -> (N, C, size, size): the largest centre square, resized with antialiasing.

    This is torch's uint8 kernel, which equals Pillow's bicubic resize to one level of 255.
    """
    if size is None:
        return images
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[:, :, top : top + side, left : left + side]
    return square if side == size else F.interpolate(square, size=(size, size), mode="bicubic", antialias=True)


def recolour(images: Tensor, channels: int) -> Tensor:
    """Uint8 (N, 1 or 3, H, W) -> (N, channels, H, W); grey is the luma of ITU-R 601, in Pillow's integers."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    red, green, blue = (images[:, i : i + 1].int() for i in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).to(torch.uint8)
