"""The mapping between stored items and the network's [-1, 1]. A model file records it, so that it can be undone."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.errors import InputError

KINDS = {"uint8": torch.uint8, "uint16": torch.uint16, "float": torch.float32}
LARGEST = {torch.uint8: 255, torch.uint16: 65535}
"""The largest value of each kind of integers, whose smallest is 0."""


@dataclass(frozen=True)
class Codec:
    """`decode(encode(items)) == items`, exactly for integers, and to float32's rounding for floats; any shape.

    "uint8" and "uint16": {0..255} and {0..65535} <-> [-1, 1]. "float": `limits` <-> [-1, 1], which unless given is the
    identity, for data that is in [-1, 1] already.
    """

    kind: str
    limits: tuple[float, float] = (-1.0, 1.0)
    """Least and largest value of the items; integers have their own."""

    def __post_init__(self) -> None:
        """Raise InputError on an unknown kind, and on limits that are no range."""
        if self.kind not in KINDS:
            raise InputError(f"unknown codec {self.kind!r}: use one of {', '.join(KINDS)}")
        if self.dtype in LARGEST:
            object.__setattr__(self, "limits", (0.0, float(LARGEST[self.dtype])))
        low, high = self.limits
        if not (math.isfinite(high - low) and low < high):
            raise InputError(f"values from {low} to {high} cannot be mapped to [-1, 1]: give finite limits, low < high")

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the items."""
        return KINDS[self.kind]

    @property
    def scale(self) -> float:
        """The distance in the items' units that is 1 in the network's [-1, 1]."""
        return (self.limits[1] - self.limits[0]) / 2

    @property
    def level(self) -> float | None:
        """The distance in [-1, 1] of two successive integers; None of floats, which have no levels."""
        return 1 / self.scale if self.dtype in LARGEST else None

    @property
    def uniform_bits(self) -> float:
        """The bits/dim of a uniform guess among the levels: 8 of 8-bit images; infinite of floats."""
        low, high = self.limits
        return math.log2(1 + high - low) if self.level else math.inf

    def encode(self, items: Tensor) -> Tensor:
        """Convert items to float32 in [-1, 1]."""
        x = items.to(torch.float32)
        return x / self.scale - 1 if self.level else (x - sum(self.limits) / 2) / self.scale

    def decode(self, x: Tensor) -> Tensor:
        """Convert values of the network to items; integers are rounded, and clamped from beyond [-1, 1]."""
        x = x.to(torch.float32)
        if self.level is None:
            return x * self.scale + sum(self.limits) / 2
        return ((x + 1) * self.scale).round().clamp(*self.limits).to(self.dtype)


IMAGES = Codec("uint8")
POINTS = Codec("float")
