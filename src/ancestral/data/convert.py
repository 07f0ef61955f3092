"""Conversion of images from every source to one size, number of channels and bit depth.

    depth  ->  composite on the background  ->  crop to the centre square  ->  resize, antialiased  ->  grey <-> RGB

Compositing comes first: resizing would mix the hidden colour of transparent pixels into their neighbours. Channels mean
colours only in integer images of 1..4 channels (grey, grey + alpha, RGB, RGBA) and float images of 1 or 3, and are kept
as they are in all others, or where `channels` is their own number. Of signals and volumes only the depth can change.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import ImageColor
from torch import Tensor
from torch.nn import functional as F

from ancestral.data.codec import LARGEST
from ancestral.errors import InputError, UnsuitableError

CHUNK = 1024  # images at a time, so that temporaries stay far below the result
DEPTHS = {8: torch.uint8, 16: torch.uint16}
WIDE = {torch.uint8: torch.int32, torch.uint16: torch.int64}
"""Integers that hold a product of two of this dtype."""
LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in grey, times 2^16."""


@dataclass(frozen=True)
class Conversion:
    """How to convert items (N, C, *space) of uint8, uint16 or float32. Raises InputError if a field is invalid."""

    image_size: int | None = None
    """Side of the square result; None keeps the size."""
    channels: int | None = None
    """1 or 3, or the images' own number, which keeps all channels as they are; None keeps grey images grey, colour
    images RGB, and any other number of channels."""
    background: str = "white"
    """Colour behind transparent pixels: a name or #rrggbb."""
    bits: int | None = None
    """8 or 16 for integers of that depth; None keeps the depth."""

    def __post_init__(self) -> None:
        """Check all fields, the background too."""
        if self.image_size is not None and self.image_size < 1:
            raise InputError(f"image size {self.image_size} is impossible: give 1 or more pixels")
        if self.channels is not None and self.channels < 1:
            raise InputError(
                f"{self.channels} channels are impossible: give 1 (grey), 3 (RGB) or the images' own number"
            )
        if self.bits not in (None, *DEPTHS):
            raise InputError(f"{self.bits} bits are impossible: give 8 or 16")
        _ = self.background_rgb

    @cached_property
    def background_rgb(self) -> tuple[int, int, int]:
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

    def reject_points(self, name: str) -> None:
        """Raise InputError if an option for images is set, since the data `name` are points."""
        if (self.image_size, self.channels, self.bits) != (None, None, None):
            raise UnsuitableError(
                f"{name} holds 2-D points, which have no image size, channels or bits: leave these out"
            )

    def channels_of(self, grey: bool, transparent: bool) -> int:
        """Number of channels of the result, 1 or 3: a coloured background colours grey but transparent images."""
        if self.channels is not None:
            return self.channels
        return 1 if grey and not (transparent and len(set(self.background_rgb)) > 1) else 3

    def __call__(self, items: Tensor) -> Tensor:
        """Convert (N, C, *space), N >= 1. Returns `items` itself if there is nothing to do.

        Raises:
            InputError: If these items cannot be converted so.
        """
        dims = items.ndim - 2
        if dims != 2 and self.image_size is not None:
            raise UnsuitableError(
                f"{dims}-D data is not resized: bring it to the size you want yourself, and leave --image-size out "
                "(--image-size None)"
            )
        if self.bits is not None and items.is_floating_point():
            raise UnsuitableError(
                f"floating-point data cannot be given {self.bits} bits: leave --bits out (--bits None)"
            )
        count, have = items.shape[:2]
        dtype = items.dtype if self.bits is None else DEPTHS[self.bits]
        channels = self._channels(have, items.is_floating_point(), items.ndim == 4)
        size = items.shape[2:] if self.image_size is None else (self.image_size, self.image_size)
        if (dtype, have, *items.shape[2:]) == (items.dtype, channels, *size):
            return items
        out = torch.empty(count, channels, *size, dtype=dtype)
        for start in range(0, count, CHUNK):
            chunk = convert_bit_depth(items[start : start + CHUNK], dtype)
            chunk = chunk if channels == have else composite(chunk, self.background_rgb)
            out[start : start + CHUNK] = to_channels(centre_crop_resize(chunk, self.image_size), channels)
        return out

    def _channels(self, have: int, floats: bool, images: bool) -> int:
        """Number of channels of the result."""
        colours = (1, 3) if floats else (1, 2, 3, 4)  # in floats nothing says which value is opaque
        if self.channels == have:
            return have
        if not images or have not in colours:
            if self.channels is None:
                return have
            raise UnsuitableError(
                f"data of {have} channels cannot be given {self.channels}: leave --channels out, or give {have}"
            )
        if self.channels not in (None, 1, 3):
            own = "" if have in (1, 3) else f"{have}, which keeps all as they are, "
            raise UnsuitableError(
                f"images of {have} channels cannot be given {self.channels}: give {own}1 (grey) or 3 (RGB)"
            )
        return self.channels_of(grey=have <= 2, transparent=have in (2, 4))


def convert_bit_depth(items: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert items of any shape between uint8 and uint16, rounded: 255 is 65535."""
    if items.dtype == dtype:
        return items
    return ((items.int() + 128) // 257 if dtype == torch.uint8 else items.int() * 257).to(dtype)


def composite(images: Tensor, background: tuple[int, int, int]) -> Tensor:
    """Composite images on a background.

    Args:
        images: Integers (N, C, H, W), C = 1..4; those of 1 or 3 channels, floats too, have no alpha and are returned.
        background: Red, green and blue in 0..255.

    Returns:
        (N, 1 or 3, H, W): grey + alpha stays grey if the background is grey, else becomes RGB.
    """
    if images.shape[1] in (1, 3):
        return images
    most, wide = LARGEST[images.dtype], WIDE[images.dtype]
    colour, alpha = images[:, :-1].to(wide), images[:, -1:].to(wide)
    under = torch.tensor(background, dtype=wide).view(1, 3, 1, 1) * (most // 255)
    if colour.shape[1] == 1 and len(set(background)) == 1:
        under = under[:, :1]
    return ((colour * alpha + under * (most - alpha) + most // 2) // most).to(images.dtype)


def centre_crop_resize(images: Tensor, size: int | None) -> Tensor:
    """Resize the largest centre square of images (N, C, H, W) to (N, C, size, size), with antialiasing.

    It is torch's uint8 kernel, which equals Pillow's bicubic resize to one level of 255; other numbers are resized in
    float32, and integers rounded.
    """
    if size is None:
        return images
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[:, :, top : top + side, left : left + side]
    if side == size:
        return square
    exact = square.float() if images.dtype == torch.uint16 else square
    resized = F.interpolate(exact, size=(size, size), mode="bicubic", antialias=True)
    return resized.round().clamp(0, 65535).to(images.dtype) if images.dtype == torch.uint16 else resized


def to_channels(images: Tensor, channels: int) -> Tensor:
    """Convert (N, 1 or 3, H, W) to 1 or 3 channels; grey is the luma of ITU-R 601, of integers as in Pillow."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    if images.is_floating_point():
        return torch.tensor(LUMA).div(2**16).view(1, 3, 1, 1).mul(images).sum(1, keepdim=True)
    red, green, blue = (weight * images[:, i : i + 1].to(WIDE[images.dtype]) for i, weight in enumerate(LUMA))
    return ((red + green + blue + 2**15) >> 16).to(images.dtype)
