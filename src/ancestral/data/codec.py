"""Between stored items and the network's [-1, 1]. A model file records the codec's `kind`, so it can undo it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.errors import InputError

KINDS = ("uint8", "float")


@dataclass(frozen=True)
class Codec:
    """`decode(encode(items)) == items`, exactly, for every item.

    "uint8": {0..255} <-> [-1, 1], any shape. "float": the identity, for data that is in [-1, 1] already.
    """

    kind: str

    def __post_init__(self) -> None:
        """Raise InputError on an unknown kind."""
        if self.kind not in KINDS:
            raise InputError(f"unknown codec {self.kind!r}: use one of {', '.join(KINDS)}")

    def encode(self, items: Tensor) -> Tensor:
        """Items -> float32 of the same shape, in [-1, 1]."""
        x = items.to(torch.float32)
        return x / 127.5 - 1 if self.kind == "uint8" else x

    def decode(self, x: Tensor) -> Tensor:
        """Network values -> items of the same shape; for "uint8", values beyond [-1, 1] are clamped."""
        if self.kind == "float":
            return x
        return ((x.to(torch.float32) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


IMAGES = Codec("uint8")
POINTS = Codec("float")
