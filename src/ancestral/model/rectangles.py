"""Rectangles in an image, as users write them: x,y,width,height in pixels, from the upper left corner."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option


class Rectangle(NamedTuple):
    """A rectangle in pixels of an image: its upper left corner and its size."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def read(cls, value: Sequence[int] | str, name: str, sides: Sequence[int]) -> "Rectangle":
        """Read a rectangle inside an image.

        Args:
            value: x, y, width and height; or as text "x,y,w,h".
            name: The option that gives it.
            sides: The sides of the image.

        Raises:
            InputError: If it is no such rectangle.
        """
        text = value if isinstance(value, str) else ",".join(map(str, value))
        try:
            numbers = [int(one) for one in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != 4 or min(numbers) < 0 or min(numbers[2:]) < 1:
            raise InputError(
                f"{option(name, text)}: give x,y,width,height in whole pixels, as in 4,8,10,12, from the upper left "
                "corner"
            )
        if len(sides) != 2:
            raise InputError(f"{option(name)} is of images, which have a height and a width: leave it out")
        x, y, width, height = numbers
        if x + width > sides[1] or y + height > sides[0]:
            raise InputError(
                f"{option(name, text)} reaches to {x + width},{y + height}, beyond the image of {sides[1]} x "
                f"{sides[0]} pixels (width x height)"
            )
        return cls(x, y, width, height)

    def mask(self, sides: Sequence[int]) -> Tensor:
        """Return the mask of an image that is True in the rectangle, bool (*sides)."""
        mask = torch.zeros(*sides, dtype=torch.bool)
        mask[self.y : self.y + self.height, self.x : self.x + self.width] = True
        return mask
