"""Items of any depth and shape as images that a screen can show: uint8, grey or RGB."""

import torch
from torch import Tensor

from ancestral.data.convert import convert_bit_depth

GAP = 1
"""Pixels between the slices of a volume."""
MIDDLE = 128


def in_bytes(items: Tensor, limits: tuple[float, float] | None = None) -> Tensor:
    """Items of any shape as uint8. Floats from `limits` to 0..255, clamped; None takes their own least and largest."""
    if not items.is_floating_point():
        return convert_bit_depth(items, torch.uint8)
    low, high = limits or tuple(end.item() for end in items.aminmax())
    return ((items.double() - low) * (255 / ((high - low) or 1))).round().clamp(0, 255).to(torch.uint8)


def in_colours(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1 or 3, H, W): the first channel of two, the first three of four and more."""
    return images[:, : 1 if images.shape[1] < 3 else 3]


def slices(volumes: Tensor) -> Tensor:
    """Uint8 (N, C, D, H, W) -> images of the middle slice along each axis, side by side on mid-grey.

    From left to right H down and W across, D down and W across, D down and H across.
    """
    depth, height, width = volumes.shape[2:]
    faces = (volumes[:, :, depth // 2], volumes[:, :, :, height // 2], volumes[..., width // 2])
    size = max(depth, height), sum(face.shape[3] for face in faces) + 2 * GAP
    sheet = torch.full((*volumes.shape[:2], *size), MIDDLE, dtype=torch.uint8)
    left = 0
    for face in faces:
        sheet[:, :, : face.shape[2], left : left + face.shape[3]] = face
        left += face.shape[3] + GAP
    return sheet
