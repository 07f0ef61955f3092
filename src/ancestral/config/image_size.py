"""The size of images as users give it: a number for a square, HEIGHTxWIDTH, or (height, width)."""

import re
from typing import Any

from ancestral.base.arguments import MOST_CHARACTERS, shown
from ancestral.base.errors import InputError


def parse_image_size(size: Any) -> tuple[int, int]:
    """Read an image size: 32, "32", "32x48" or (32, 48).

    Returns:
        (height, width).

    Raises:
        InputError: If it is none.
    """
    sides: Any = size if isinstance(size, tuple | list) else (size,)
    if isinstance(size, str):
        match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", size, re.ASCII | re.IGNORECASE)
        sides = [int(side) for side in match.groups() if side] if match else []
    sides = [*sides] * (2 if len(sides) == 1 else 1)
    if len(sides) != 2 or not all(type(side) is int and side >= 1 for side in sides):
        text = size if isinstance(size, str) else shown(size)
        raise InputError(
            f"image size {text[:MOST_CHARACTERS]} is impossible: give the side of a square in pixels, as in 32, or "
            "HEIGHTxWIDTH, as in 32x48"
        )
    return sides[0], sides[1]


def plain_image_size(size: Any) -> int | str:
    """Write an image size in one way: an int for a square, else "32x48"."""
    height, width = parse_image_size(size)
    return height if height == width else f"{height}x{width}"
