"""Conversion of images from every source to one size, number of channels and bit depth.

    depth  ->  composite on the background  ->  crop the centre  ->  resize, antialiased  ->  grey <-> RGB  ->  pad

Compositing comes first: resizing would mix the hidden colour of transparent pixels into their neighbours. Channels mean
colours only in integer images of 1..4 channels (grey, grey + alpha, RGB, RGBA) and float images of 1 or 3, and are kept
as they are in all others, or where `channels` is their own number. Of signals and volumes only the depth can change.

Images may be larger than those of a model: windows of them are random ones to train on, else the one at the centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor
from torch.nn import functional as F

from ancestral import randomness
from ancestral.base.errors import InputError, UnsuitableError
from ancestral.base.options import option
from ancestral.conditions import Limits
from ancestral.config.data_config import parse_image_size
from ancestral.data.spec import LARGEST_VALUES
from ancestral.randomness import Stream

CONVERTED_IMAGES = 1024  # images at a time, so that temporaries stay far below the result
DEPTHS = {8: torch.uint8, 16: torch.uint16}
WIDE_DTYPES = {torch.uint8: torch.int32, torch.uint16: torch.int64}
"""Integers that hold a product of two of this dtype."""
INTEGER_LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in grey, times 2^16."""


@dataclass(frozen=True)
class Conversion:
    """A conversion of items (N, C, *space) of uint8, uint16 or float32. Raises InputError if a field is invalid."""

    image_size: int | str | tuple[int, int] | None = None
    """The size of the result, as `parse_image_size` reads it; None keeps the size."""
    channels: int | None = None
    """1 or 3, or the images' own number, which keeps all channels as they are; None keeps grey images grey, colour
    images RGB, and any other number of channels."""
    background: str = "white"
    """Colour behind transparent pixels: a name or #rrggbb."""
    bits: int | None = None
    """8 or 16 for integers of that depth; None keeps the depth."""
    fit: str = "crop"
    """"crop" to the shape of the result, or "pad" with the background."""
    beside: tuple[int, ...] | None = None
    """The sides of the items that these are conditions of. Arrays of such keep all their channels, and have the layout
    whose sides are in proportion to these, if only one has."""
    gaps: str = ""
    """What is known of missing values, NaN, as `data.spec.Codec` says it; "" where the user says nothing."""
    layout: str | None = None
    """The axes of an array, as `config.data_config.parse_layout` reads them; None reads them off the shape."""

    def __post_init__(self) -> None:
        _ = self.size
        if self.fit not in ("crop", "pad"):
            raise InputError(f"images cannot be fitted by {self.fit!r}: give crop or pad")
        if self.fit == "pad" and self.image_size is None:
            raise InputError(
                f"images are padded to a size: give {option('image_size', 'HxW')} (height x width) with "
                f"{option('fit', 'pad')}"
            )
        if self.channels is not None and self.channels < 1:
            raise InputError(
                f"{self.channels} channels are impossible: give 1 (grey), 3 (RGB) or the images' own number"
            )
        if self.bits not in (None, *DEPTHS):
            raise InputError(f"{self.bits} bits are impossible: give 8 or 16")
        _ = self.background_rgb

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """The image size as (height, width)."""
        return None if self.image_size is None else parse_image_size(self.image_size)

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

    def channels_of(self, grey: bool, transparent: bool) -> int:
        """Number of channels of the result, 1 or 3: a background that shows colours grey images if it is coloured."""
        if self.channels is not None:
            return self.channels
        shows = transparent or self.fit == "pad"
        return 1 if grey and not (shows and len(set(self.background_rgb)) > 1) else 3

    def __call__(self, items: Tensor) -> Tensor:
        """Convert (N, C, *space) or points (N, 2), N >= 1. Returns `items` itself if there is nothing to do.

        Raises:
            InputError: If these items cannot be converted so.
        """
        dims = items.ndim - 2
        if not dims and (self.image_size, self.channels, self.bits) != (None, None, None):
            raise UnsuitableError("2-D points have no image size, channels or bits: leave these options out")
        if not dims:
            return items
        if dims != 2 and self.image_size is not None:
            raise UnsuitableError(
                f"{dims}-D data is not resized: bring it to the size you want yourself, and leave "
                f"{option('image_size')} out ({option('image_size', None)})"
            )
        if self.bits is not None and items.is_floating_point():
            raise UnsuitableError(
                f"floating-point data cannot be given {self.bits} bits: leave {option('bits')} out "
                f"({option('bits', None)})"
            )
        count, item_channels = items.shape[:2]
        dtype = items.dtype if self.bits is None else DEPTHS[self.bits]
        channels = self._channels(item_channels, items.is_floating_point(), items.ndim == 4)
        size = self.size or items.shape[2:]
        if (dtype, item_channels, *items.shape[2:]) == (items.dtype, channels, *size):
            return items
        out = torch.empty(count, channels, *size, dtype=dtype)
        if self.fit == "pad":
            out[:] = self._background_pixel(channels, dtype)
        for start in range(0, count, CONVERTED_IMAGES):
            chunk = convert_bit_depth(items[start : start + CONVERTED_IMAGES], dtype)
            chunk = chunk if channels == item_channels else composite(chunk, self.background_rgb)
            if self.size is not None:
                chunk = (resize_inside if self.fit == "pad" else centre_crop_resize)(chunk, self.size)
            chunk = to_channels(chunk, channels)
            place = tuple(
                slice((side - extent) // 2, (side - extent) // 2 + extent)
                for side, extent in zip(size, chunk.shape[2:], strict=True)
            )
            out[(slice(start, start + CONVERTED_IMAGES), slice(None), *place)] = chunk
        return out

    def _background_pixel(self, channels: int, dtype: torch.dtype) -> Tensor:
        """The background as (channels, 1, 1) of `dtype`, opaque."""
        if dtype.is_floating_point or channels > 4:
            kind = "floating-point images" if dtype.is_floating_point else f"images of {channels} channels"
            raise UnsuitableError(
                f"{kind} have no colour to be padded with: leave {option('fit', 'pad')} out, which crops them"
            )
        rgb = torch.tensor(self.background_rgb, dtype=torch.uint8).view(1, 3, 1, 1)
        pixel = to_channels(rgb, 3 if channels > 2 else 1)[0]
        if channels in (2, 4):
            pixel = torch.cat([pixel, torch.full_like(pixel[:1], LARGEST_VALUES[torch.uint8])])
        return convert_bit_depth(pixel, dtype)

    def _channels(self, count: int, floats: bool, images: bool) -> int:
        colours = (1, 3) if floats else (1, 2, 3, 4)  # in floats nothing says which value is opaque
        if self.channels == count:
            return count
        if not images or count not in colours:
            if self.channels is None:
                return count
            raise UnsuitableError(
                f"data of {count} channels cannot be given {self.channels}: leave {option('channels')} out, or give "
                f"{count}"
            )
        if self.channels not in (None, 1, 3):
            own = "" if count in (1, 3) else f"{count}, which keeps all as they are, "
            raise UnsuitableError(
                f"images of {count} channels cannot be given {self.channels}: give {own}1 (grey) or 3 (RGB)"
            )
        return self.channels_of(grey=count <= 2, transparent=count in (2, 4))


def convert_bit_depth(items: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert items of any shape between uint8 and uint16, rounded: 255 is 65535."""
    if items.dtype == dtype:
        return items
    return ((items.int() + 128) // 257 if dtype == torch.uint8 else items.int() * 257).to(dtype)


def ends_of(items: Tensor, limits: Limits | None) -> tuple[Any, Any]:
    """Return the limits of items (N, C, *), float64 (C, 1, ...) each where every channel has its own.

    None takes the minimum and maximum of the items.
    """
    if limits is None:
        low, high = items.aminmax()
        return low.item(), high.item()
    if not isinstance(limits[0], tuple):
        return limits[0], limits[1]
    ends = torch.tensor(limits[: items.shape[1]], dtype=torch.float64)
    low, high = ends.T.reshape(2, -1, *[1] * (items.ndim - 2))
    return low, high.where(high > low, low + 1)


def middle_of(limits: Limits) -> float:
    """Return the middle of limits, or of those of the last channel: above it a mask says that something is known."""
    last = limits[-1]
    low, high = last if isinstance(last, tuple) else limits
    return (low + high) / 2  # type: ignore[operator]


def to_uint8(items: Tensor, limits: Limits | None = None) -> Tensor:
    """Convert items of any shape and dtype to uint8; the floats `limits` become 0 and 255, others are clamped.

    None for the limits takes the minimum and maximum of the items. With limits by channel items are (N, C, *).
    """
    if not items.is_floating_point():
        return convert_bit_depth(items, torch.uint8)
    low, high = ends_of(items, limits)
    span = high - low
    scale: Any = 255 / (span if isinstance(span, Tensor) else span or 1)
    levels: Tensor = (items.double() - low) * scale
    return levels.nan_to_num(0).round().clamp(0, 255).to(torch.uint8)


def is_picture(shape: Sequence[int], dtype: torch.dtype) -> bool:
    """Tell whether items of a shape and dtype are pictures for Pillow: grey, RGB, or one of these with alpha."""
    return len(shape) == 3 and (shape[0] in (1, 3) or has_alpha(shape, dtype))


def has_alpha(shape: Sequence[int], dtype: torch.dtype) -> bool:
    """Tell whether items of a shape (C, *space) and dtype are images whose last channel is alpha."""
    return len(shape) == 3 and shape[0] in (2, 4) and not dtype.is_floating_point


def composite(images: Tensor, background: tuple[int, int, int] | Tensor) -> Tensor:
    """Composite images on a background.

    Args:
        images: Integers (N, C, H, W), C = 1..4; those of 1 or 3 channels, floats too, have no alpha and are returned.
        background: Red, green and blue in 0..255; or grey values in 0..255, (H, W).

    Returns:
        (N, 1 or 3, H, W): grey + alpha stays grey if the background is grey, else becomes RGB.
    """
    if images.shape[1] in (1, 3):
        return images
    largest, dtype = LARGEST_VALUES[images.dtype], WIDE_DTYPES[images.dtype]
    colour, alpha = images[:, :-1].to(dtype), images[:, -1:].to(dtype)
    if isinstance(background, Tensor):
        under = background.to(dtype)
    else:
        under = torch.tensor(background, dtype=dtype).view(1, 3, 1, 1)
        if colour.shape[1] == 1 and len(set(background)) == 1:
            under = under[:, :1]
    under = under * (largest // 255)
    return ((colour * alpha + under * (largest - alpha) + largest // 2) // largest).to(images.dtype)


def centre_crop_resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize the largest centre part of images (N, C, H, W) that has the shape of `size` to (N, C, *size)."""
    height, width = images.shape[2:]
    crop_height, crop_width = height, width
    if height * size[1] > width * size[0]:
        crop_height = max(1, round(width * size[0] / size[1]))
    else:
        crop_width = max(1, round(height * size[1] / size[0]))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return _resize(images[:, :, top : top + crop_height, left : left + crop_width], size)


def resize_inside(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images (N, C, H, W) to the largest size of the same shape that fits into `size`, (height, width)."""
    height, width = images.shape[2:]
    factor = min(size[0] / height, size[1] / width)
    return _resize(images, (max(1, round(height * factor)), max(1, round(width * factor))))


def share_cropped(height: Any, width: Any, size: tuple[int, int]) -> Any:
    """Return the share of an image, or of each of an array, that is lost by the crop to the shape of `size`."""
    ratio = width / height * (size[0] / size[1])
    return 1 - np.minimum(ratio, 1 / ratio)


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images (N, C, H, W) with antialiasing.

    It is torch's uint8 kernel, which equals Pillow's bicubic resize to one level of 255; other numbers are resized in
    float32, and integers rounded.
    """
    if images.shape[2:] == size:
        return images
    exact = images.float() if images.dtype == torch.uint16 else images
    resized = F.interpolate(exact, size=size, mode="bicubic", antialias=True)
    return resized.round().clamp(0, 65535).to(images.dtype) if images.dtype == torch.uint16 else resized


def to_channels(images: Tensor, channels: int) -> Tensor:
    """Convert (N, 1 or 3, H, W) to 1 or 3 channels; grey is the luma of ITU-R 601, of integers as in Pillow."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    if images.is_floating_point():
        return torch.tensor(INTEGER_LUMA).div(2**16).view(1, 3, 1, 1).mul(images).sum(1, keepdim=True)
    red, green, blue = (
        weight * images[:, i : i + 1].to(WIDE_DTYPES[images.dtype]) for i, weight in enumerate(INTEGER_LUMA)
    )
    return ((red + green + blue + 2**15) >> 16).to(images.dtype)


def enlarged(size: int | str | tuple[int, int] | None, crop: float) -> tuple[int, int]:
    """Return the size of the images from which windows of a size are cut, `crop` times as large along each axis.

    Raises:
        InputError: If no size is given, or the factor is below 1.
    """
    if size is None or not crop >= 1:
        raise InputError(
            f"{option('crop', crop)} cuts windows of {option('image_size', 'HxW')} from images that are larger by "
            "this factor: give that size, and a factor of 1 or more"
        )
    height, width = parse_image_size(size)
    return round(height * crop), round(width * crop)


def centre_corner(whole: Sequence[int], sides: Sequence[int]) -> Tensor:
    """Return the first cell of the windows at the centre, int64 (1, axes of space)."""
    return torch.tensor([[(length - side) // 2 for length, side in zip(whole, sides, strict=True)]])


def centre(images: Tensor, sides: Sequence[int]) -> Tensor:
    """Return the windows (*, *sides) at the centre of images (*, H, W), as a view; others of these sides themselves."""
    for axis, side in zip(range(-len(sides), 0), sides, strict=True):
        images = images.narrow(axis, (images.shape[axis] - side) // 2, side)
    return images


def at_random(images: Tensor, sides: Sequence[int], seed: int, step: int, indices: Sequence[int]) -> Tensor:
    """Cut a window (C, *sides) of each item (B, C, *space), whose place follows from (seed, step, index).

    Items that have these sides are returned as they are.
    """
    if tuple(images.shape[2:]) == tuple(sides):
        return images
    places = corners(images.shape[2:], sides, seed, step, indices).tolist()
    parts = [tuple(slice(first, first + side) for first, side in zip(at, sides, strict=True)) for at in places]
    return torch.stack([image[:, *part] for image, part in zip(images, parts, strict=True)])


def corners(whole: Sequence[int], sides: Sequence[int], seed: int, step: int, indices: Sequence[int]) -> Tensor:
    """Draw the first cell of a window of each item, int64 (B, axes of space), uniform among all places."""
    room = torch.tensor(whole) - torch.tensor(sides)
    return (randomness.uniforms(len(sides), seed, Stream.CROP, step, indices) * (room + 1)).long()


def positions(whole: Sequence[int], sides: Sequence[int], at: Tensor) -> Tensor:
    """Return the coordinates of the cells of windows, float32 (B, axes of space, *sides): from -1 to 1 over the whole.

    Args:
        whole: The sides of the whole.
        sides: The sides of the windows.
        at: The first cell of each, int64 (B, axes of space).
    """
    parts = []
    for axis, (length, side) in enumerate(zip(whole, sides, strict=True)):
        cells = at[:, axis, None] + torch.arange(side)
        place = (2 * cells + 1) / length - 1
        shape = [len(at), *[side if other == axis else 1 for other in range(len(sides))]]
        parts.append(place.view(shape).expand(len(at), *sides))
    return torch.stack(parts, 1).float()
