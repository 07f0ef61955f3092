"""Masks of what changes in an image.

White is what changes, or what is painted on a transparent ground, or what is transparent in the image.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option
from ancestral.base.quantities import format_share
from ancestral.base.registries import MaskPart
from ancestral.data import arrays
from ancestral.data.convert import Conversion, centre_crop_resize, has_alpha, to_channels, to_uint8
from ancestral.data.decoding import decode_image, strict_pillow
from ancestral.data.files import Unreadable, read_file
from ancestral.data.spec import LARGEST_VALUES, DataSpec
from ancestral.model.rectangles import Rectangle

ONE_COLOUR = 8
"""The largest distance, of 255, of the colours of opaque pixels that were painted with one colour."""
SAME_PICTURE = 16
"""The largest mean distance, of 255, of the opaque pixels of a mask and the image, if the mask is a copy of it with
holes: copies differ by compression and size."""
COLOURED, COLOURED_SHARE = 64, 0.01
"""The distance, of 255, of the channels of a pixel that has a colour, and the share of such pixels that no mask in
black and white has: compression leaves traces of colour."""


class MaskReading(NamedTuple):
    """A mask, and how it was read.

    Attributes:
        mask: Bool (*sides), True where the image changes.
        note: What was read and how much of the image changes, for the user; "" of truth values, which say it.
        weights: The share of the samples in each pixel, float32 (*sides) from 0 to 1 and above 0 in the mask; None is 1
            in the mask.
    """

    mask: Tensor
    note: str = ""
    weights: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """The mask with its greys, by which it is recognised."""
        return self.mask if self.weights is None else self.weights

    def softened(self, pixels: float) -> "MaskReading":
        """Return the mask with weights that rise from its edge over a number of pixels inside of it.

        The mask does not grow: what it leaves stays as it is. The border of the image is no edge.

        Raises:
            InputError: If it is no number of pixels.
        """
        if not (isinstance(pixels, int | float) and 0 <= pixels < math.inf):
            raise InputError(f"{option('soften', pixels)}: give a number of pixels, 0 or more")
        if not pixels:
            return self
        rising = (_depth(self.mask, pixels + 1) / (pixels + 1)).clamp(max=1)
        return self._replace(weights=rising if self.weights is None else rising * self.weights)

    def inside(self, window: Rectangle) -> "MaskReading":
        """Return the part of the mask in a window. Raises InputError if there is none."""
        part = window.mask(self.mask.shape)
        mask = self.mask & part
        if not bool(mask.any()):
            raise InputError(
                f"nothing changes: {option('window', ','.join(map(str, window)))} holds none of what the mask changes"
            )
        return self._replace(mask=mask, weights=None if self.weights is None else self.weights * part)


def read_change(
    spec: DataSpec, image: Any, values: Tensor, mask: Any = None, changes: MaskPart | None = None
) -> MaskReading:
    """Read which part of an image changes from its mask, or without one from the image itself: what is transparent, or
    missing (NaN).

    Args:
        spec: The description of the data of the model.
        image: The image as the user gave it.
        values: Its values in the units of the data, (C, *sides).
        mask: What `read_mask` reads.
        changes: The part of the mask that changes.

    Raises:
        InputError: If there is no mask, or as of `read_mask` and `hole_mask`.
    """
    present = spec.codec.present(values.shape)
    missing = (values.isnan() & (True if present is None else present)).any(0)
    if mask is not None:
        pixels = to_uint8(values[None], spec.codec.channel_limits)[0] if values.ndim == 3 else None
        reading = read_mask(mask, values.shape[1:], changes, pixels)
        if bool((missing & ~reading.mask).any()):
            raise InputError(f"the image lacks values that {option('mask')} leaves: fill them, or leave the mask out")
        return reading
    if bool(missing.any()):
        return MaskReading(missing, f"what is missing (NaN) is sampled, {missing.float().mean():.1%} of the field")
    if spec.grid is not None and values.is_floating_point():
        raise InputError(f"nothing of the field is missing (NaN): give {option('mask', 'mask.npy')}, which changes")
    if has_alpha(spec.shape, spec.codec.dtype):
        raise InputError(
            f"inpaint needs a mask: give {option('mask', 'mask.png')}, since this model makes transparency too"
        )
    return hole_mask(image, changes)


def read_mask(
    mask: Any, sides: Sequence[int], changes: MaskPart | None = None, image: Tensor | None = None
) -> MaskReading:
    """Read which part of an image changes.

    Args:
        mask: The path of a picture or a .npy file, a Pillow image, an array or a tensor. White changes: pixels above
            the middle of integers from 0 to 255 or of floats from 0 to 1, or True. Of a picture with transparent
            pixels what is painted changes; of a copy of the image with holes, the holes. Or a reading of it.
        sides: The sides of the image. A mask with two axes may have another size of the same proportions.
        changes: The part that changes, whatever else the mask looks like. Of "grey" each pixel changes by its lightness
            from black to white, or by its opacity where the mask has transparent pixels.
        image: The image, uint8 (C, H, W), by which a copy of it with holes is recognised.

    Raises:
        InputError: If the mask cannot be read, has other proportions, changes nothing or everything, or may mean one
            part or the other.
    """
    if isinstance(mask, MaskReading):
        return mask
    if changes is not None and changes not in get_args(MaskPart):
        raise InputError(f"{option('changes', changes)}: give {', '.join(get_args(MaskPart))}")
    name = "the mask"
    if isinstance(mask, str | os.PathLike) and mask != "":
        path = Path(mask)
        name = f"the mask {one_line(path)}"
        if not path.is_file():
            raise InputError(f"{option('mask', path)}: there is no such file")
        is_array = path.suffix.lower() in (".npy", ".npz")
        mask = arrays.load(path)[0] if is_array else path
    part: MaskPart | None
    if isinstance(mask, Path | PillowImage.Image):
        part, changed = _of_picture(_pixels(mask, name), name, changes, image)
    elif isinstance(mask, Tensor | np.ndarray):
        part, changed = _of_array(mask, name, len(sides), changes)
    else:
        raise InputError(f"the mask cannot be {shown(mask)}: give a path, a Pillow image, an array or a tensor")
    return _reading(_brought_to(changed, sides, name), name, part)


def hole_mask(image: Any, changes: MaskPart | None = None) -> MaskReading:
    """Read what is transparent in an image, which is what is missing of it.

    Args:
        image: The path of a picture, or a Pillow image.
        changes: How a mask is read, which can only be "transparent" here.

    Raises:
        InputError: If it has no transparent pixels, or nothing else.
    """
    if changes not in (None, "transparent"):
        raise InputError(f"{option('changes', changes)} says how a mask is read: give {option('mask', 'mask.png')}")
    lacking = f"inpaint needs a mask: give {option('mask', 'mask.png')}"
    is_path = isinstance(image, str | os.PathLike) and Path(image).suffix.lower() not in (".npy", ".npz", ".wav")
    if not is_path and not isinstance(image, PillowImage.Image):
        raise InputError(f"{lacking}, or a picture of which a part is transparent")
    name = f"the image {one_line(Path(image))}" if is_path else "the image"
    alpha = _pixels(Path(image) if is_path else image, name)[3]
    if int(alpha.min()) == int(alpha.max()) > 0:
        raise InputError(f"{lacking}, since {name} has no transparent pixels, which would be what is missing")
    # a pixel that is transparent in part is laid on white, so it is not known
    return _reading((alpha < alpha.max()) | (alpha == 0), name, "transparent")


def box_mask(box: Sequence[int] | str, sides: Sequence[int]) -> Tensor:
    """Make a mask of which a rectangle changes.

    Args:
        box: x and y of its upper left corner, then its width and height, in pixels of the image; or as text "x,y,w,h".
        sides: The sides of the image.

    Returns:
        Bool (*sides), True in the rectangle.

    Raises:
        InputError: If it is no rectangle inside the image, or all of it.
    """
    if len(sides) != 2:
        raise InputError(f"{option('box')} is of images, which have a height and a width: give {option('mask')}")
    mask = Rectangle.read(box, "box", sides).mask(sides)
    return _reading(mask, "the box", None).mask


def _pixels(picture: Path | PillowImage.Image, name: str) -> Tensor:
    """The pixels of a picture, uint8 (4, H, W): red, green, blue and alpha."""
    try:
        raw = read_file(picture) if isinstance(picture, Path) else picture
        with strict_pillow():
            return decode_image(raw, Conversion(channels=4, bits=8))
    except Unreadable as error:
        raise InputError(f"{name} cannot be read: {error}") from None


def _of_picture(pixels: Tensor, name: str, changes: MaskPart | None, image: Tensor | None) -> tuple[MaskPart, Tensor]:
    """The part that changes of the pixels of a picture, and its mask (H, W)."""
    colours, alpha = pixels[:3], pixels[3]
    if not bool(alpha.any()):
        raise InputError(f"nothing is painted: {name} is transparent everywhere; paint the part that changes")
    if changes == "grey":
        grey = alpha if bool((alpha < alpha.max()).any()) else to_channels(colours[None], 1)[0, 0]
        return "grey", grey.float() / (1 if int(grey.max()) == 1 else 255)
    painted = alpha > alpha.max() // 2
    transparent = not bool(painted.all())
    if changes in ("painted", "transparent") and not transparent:
        raise InputError(
            f"{name} has no transparent pixels, and {option('changes', changes)} reads it by them: give white, "
            "black or grey"
        )
    part: MaskPart = changes or ("white" if not transparent else _part_of_layer(colours, painted, name, image))
    if not transparent and changes is None and _share(_spread(colours, 0) > COLOURED) > COLOURED_SHARE:
        raise InputError(
            f"{name} has colours and no transparent pixels: paint what changes on a transparent ground, or white on "
            f"black, or give {option('changes', 'white')} or black"
        )
    grey = to_channels(colours[None], 1)[0, 0]
    white = grey > (0 if int(grey.max()) == 1 else 127)  # programs that label write 0 and 1
    parts = {
        "white": white & painted,
        "black": ~white & painted,
        "painted": painted,
        "transparent": ~painted,
    }
    return part, parts[part]


def _part_of_layer(colours: Tensor, painted: Tensor, name: str, image: Tensor | None) -> MaskPart:
    """The part that changes of a picture with transparent pixels: holes of a copy of the image, else what is painted.

    Neither can be told where what is painted has one colour that the image has there too, or covers more than half.
    """
    copies = image is not None and _distance(colours, painted, image) <= SAME_PICTURE
    one_colour = int(_spread(colours[:, painted], 1).max()) <= ONE_COLOUR
    if copies and not one_colour:
        return "transparent"
    if not copies and _share(painted) <= 0.5:
        return "painted"
    raise InputError(
        f"{name} has painted pixels ({format_share(_share(painted))}) and transparent ones, and either may be what "
        f"changes: give {option('changes', 'painted')} or transparent"
    )


def _distance(colours: Tensor, painted: Tensor, image: Tensor) -> float:
    """The mean distance of the painted pixels of a mask, uint8 (3, H, W), and the image, which has any size."""
    if len(image) > 4:  # no picture
        return math.inf
    channels = 3 if len(image) > 2 else 1  # without alpha
    resized = centre_crop_resize(image[None, :channels], (painted.shape[0], painted.shape[1]))[0]
    difference = to_channels(colours[None], channels)[0].int() - resized.int()
    return float(difference.abs()[:, painted].float().mean())


def _spread(values: Tensor, axis: int) -> Tensor:
    return values.int().amax(axis) - values.int().amin(axis)


def _share(mask: Tensor) -> float:
    return float(mask.float().mean())


def _of_array(
    array: Tensor | NDArray[Any], name: str, dims: int, changes: MaskPart | None
) -> tuple[MaskPart | None, Tensor]:
    """The part that changes of an array (*sides), (1, *sides) or (*sides, 1), and its mask; None is True."""
    if changes in ("painted", "transparent"):
        raise InputError(f"{name} is an array, which has no {option('changes', changes)}: give white, black or grey")
    values = array.detach().to_dense().cpu() if isinstance(array, Tensor) else _tensor(array, name)
    if values.ndim == dims + 1 and 1 in (values.shape[0], values.shape[-1]):
        values = values.squeeze(0 if values.shape[0] == 1 else -1)
    if values.ndim != dims or not values.numel():
        axes = "height, width" if dims == 2 else ", ".join(["side"] * dims)
        raise InputError(f"{name} has the shape {tuple(array.shape)}: give ({axes})")
    if values.dtype == torch.bool:
        return (None, values) if changes is None else (changes, values == (changes != "black"))
    least, most = (end.item() for end in values.double().aminmax())
    largest = (
        1 if values.is_floating_point() or most <= 1 else LARGEST_VALUES.get(values.dtype, LARGEST_VALUES[torch.uint8])
    )
    if not 0 <= least <= most <= largest:
        raise InputError(
            f"{name} has values from {least:g} to {most:g}: give truth values, floats from 0 to 1 or integers from 0 "
            "to 255, of which the large ones change"
        )
    if changes == "grey":
        return changes, (values.double() / largest).float()
    white = values.double() > largest / 2
    return changes or "white", ~white if changes == "black" else white


def _tensor(array: NDArray[Any], name: str) -> Tensor:
    """The tensor of an array of truth values, integers or floats."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype} values: give truth values, floats from 0 to 1 or integers")
    plain = array.astype(np.float64) if array.dtype.kind == "f" else array
    if array.dtype.kind in "iu" and array.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        plain = array.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(plain.astype(plain.dtype.newbyteorder("="))))


def _brought_to(changes: Tensor, sides: Sequence[int], name: str) -> Tensor:
    """The mask in the size of the image. A pixel changes if any part of it does, and greys are averaged."""
    if tuple(changes.shape) == tuple(sides):
        return changes
    size, right = ("x".join(map(str, shape)) for shape in (changes.shape, sides))
    if len(sides) != 2:
        raise InputError(f"{name} is {size}, and the item {right}: give a mask of this size")
    (height, width), (down, across) = changes.shape, sides
    if abs(width * down / height - across) > max(1, across / width) / 2:
        raise InputError(f"{name} is {size}, and the image {right} (height x width): give a mask of these proportions")
    if changes.dtype == torch.bool:
        return any_in(changes, sides)
    return F.adaptive_avg_pool2d(changes[None, None], (sides[0], sides[1]))[0, 0]


def any_in(mask: Tensor, sides: Sequence[int]) -> Tensor:
    """Bring a mask (H, W) to another grid: pixels are True if any pixel that they overlap is."""
    return F.adaptive_max_pool2d(mask[None, None].float(), tuple(sides))[0, 0] > 0


def _depth(mask: Tensor, most: float) -> Tensor:
    """The distance of each position of a mask (*sides) to the nearest one outside of it; above `most` a larger one.

    The squared distance is the least over the shifts along one axis after another.
    """
    squared = torch.where(mask, math.inf, 0.0)
    for axis, length in enumerate(mask.shape):
        nearest = squared.clone()
        for shift in range(1, min(math.ceil(most), length - 1) + 1):
            left, right = (squared.narrow(axis, start, length - shift) + shift**2 for start in (0, shift))
            for start, shifted in ((shift, left), (0, right)):
                part = nearest.narrow(axis, start, length - shift)
                part.copy_(torch.minimum(part, shifted))
        squared = nearest
    return squared.sqrt()


def _reading(values: Tensor, name: str, part: MaskPart | None) -> MaskReading:
    """A mask or its greys with a note; None is of truth values. Raises InputError if nothing or everything changes."""
    mask = values > 0
    if not bool(mask.any()):
        where = "all black, and white" if part in ("white", "grey", None) else f"nowhere {part}, which"
        raise InputError(f"nothing changes: {name} is {where} is what changes")
    if bool(mask.all()):
        where = "is transparent everywhere" if part == "transparent" else "covers all of the image"
        raise InputError(f"nothing is known: {name} {where}; leave a part of it out, or make new images by sample")
    what, how = ("Pixels", "change in part") if part == "grey" else (f"{(part or '').capitalize()} pixels", "change")
    note = f"{what} of {name} {how}, {format_share(_share(mask))} of the image." if part else ""
    is_soft = values.is_floating_point() and bool(((values > 0) & (values < 1)).any())
    return MaskReading(mask, note, values if is_soft else None)
