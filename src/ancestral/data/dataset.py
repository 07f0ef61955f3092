"""What every source becomes: one tensor, and a name for each label."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ancestral.data.codec import IMAGES, POINTS, Codec
from ancestral.data.statistics import channel_mean
from ancestral.errors import InputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """All items of a source, in memory.

    Images stay integers until a batch is drawn: a fraction of the memory of float32, and the codec undoes it exactly.
    """

    items: Tensor
    """(N, C, *space) with 1 axis of space for signals, 2 for images, 3 for volumes: uint8, uint16 or float32 of any
    range; or float32 (N, 2) points in [-1, 1]."""
    labels: Tensor | None
    """int64 (N,), or None where the source has no classes."""
    classes: tuple[str, ...]
    """The name of each label; empty if there are no labels."""
    name: str
    skipped: tuple[str, ...] = ()
    """One line per file that could not be read: "path: reason"."""
    limits: tuple[float, float] | None = None
    """Of floats, the range that the codec maps to [-1, 1]; None is that of `items`."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, *space) or (2,)."""
        return tuple(self.items.shape[1:])

    @property
    def labelled(self) -> bool:
        """Whether there are classes."""
        return self.labels is not None

    @cached_property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, in the items' units; empty for points."""
        return channel_mean(self.items) if self.items.ndim > 2 else ()

    @cached_property
    def codec(self) -> Codec:
        """Between `items` and what the network sees. Raises InputError for floats that have no range."""
        if self.items.dtype == torch.uint8:
            return IMAGES
        if self.items.dtype == torch.uint16:
            return Codec("uint16")
        if self.items.ndim == 2:
            return POINTS
        if self.limits is not None:
            return Codec("float", self.limits)
        low, high = (end.item() for end in self.items.aminmax())
        if not bool(torch.tensor([low, high]).isfinite().all()):
            odd = [i for i, item in enumerate(self.items) if not bool(item.isfinite().all())]
            raise InputError(
                f"{self.name} holds NaN or infinity in {len(odd):,} of {len(self):,} items, number {odd[0]} the first: "
                "leave those items out, or fill the gaps"
            )
        if low == high:
            raise InputError(f"{self.name} holds nothing but the value {low:g}: there is nothing to learn from it")
        return Codec("float", (low, high))


def one_line(text: object) -> str:
    """`text` with line breaks, control and undecodable characters escaped: file names may hold any of them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
