"""What every source becomes: one tensor, and a name for each label."""

from dataclasses import dataclass

from torch import Tensor

from ancestral.data.codec import IMAGES, POINTS, Codec


@dataclass(frozen=True, eq=False)
class Dataset:
    """All items of a source, in memory.

    Images stay uint8 until a batch is drawn: a quarter of the memory of float32, and the codec undoes it exactly.
    """

    items: Tensor
    """uint8 (N, C, H, W) images with C = 1 or 3, or float32 (N, 2) points in [-1, 1]."""
    labels: Tensor | None
    """int64 (N,), or None where the source has no classes."""
    classes: tuple[str, ...]
    """The name of each label; empty if there are no labels."""
    name: str
    skipped: tuple[str, ...] = ()
    """One line per file that could not be read: "path: reason"."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, H, W) or (2,)."""
        return tuple(self.items.shape[1:])

    @property
    def codec(self) -> Codec:
        """Between `items` and what the network sees."""
        return POINTS if self.items.is_floating_point() else IMAGES


def one_line(text: object) -> str:
    """`text` with line breaks, control and undecodable characters escaped: file names may hold any of them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
