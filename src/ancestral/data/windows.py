"""Windows of images that are larger than those of a model: random ones to train on, else the one at the centre."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config.data_config import parse_image_size
from ancestral.randomness import Stream


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


def centre(images: Tensor, sides: Sequence[int]) -> Tensor:
    """Return the windows (*, *sides) at the centre of images (*, H, W), as a view; others of these sides themselves."""
    for axis, side in zip(range(-len(sides), 0), sides, strict=True):
        images = images.narrow(axis, (images.shape[axis] - side) // 2, side)
    return images


def at_random(images: Tensor, sides: Sequence[int], seed: int, step: int, indices: Sequence[int]) -> Tensor:
    """Cut a window (C, *sides) of each image (B, C, H, W), whose place follows from (seed, step, index).

    Items that have these sides are returned as they are.
    """
    room = torch.tensor(images.shape[2:]) - torch.tensor(sides)
    if not bool(room.any()):
        return images
    corners = (randomness.uniforms(len(sides), seed, Stream.CROP, step, indices) * (room + 1)).long()
    height, width = sides
    return torch.stack(
        [
            image[:, top : top + height, left : left + width]
            for image, (top, left) in zip(images, corners.tolist(), strict=True)
        ]
    )
