"""What a model must know of its data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.data.codec import IMAGES, POINTS, Codec
from ancestral.data.statistics import channel_mean
from ancestral.errors import InputError

SAMPLE = 128
"""Number of items that decide on the shape, the range of floats and the mean."""
CROP_NOTED = 0.05
"""Share of the pixels of images of one size that a crop may lose without a note."""
NOTHING_TO_LEARN = "there is nothing to learn from it"


@dataclass(frozen=True)
class DataSpec:
    """The shape of one item, how it is coded, the names of its classes, and the mean of each channel.

    The mean, in the items' units, is reported only; training does not depend on it. Of data in memory it is over all
    items, else over a sample of at most SAMPLE; of points it is empty.
    """

    shape: tuple[int, ...]
    codec: Codec
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    rate: int | None = None
    """Samples in a second, of recordings."""


def spec_of_items(
    items: Tensor,
    classes: tuple[str, ...],
    name: str,
    limits: tuple[float, float] | None = None,
    rate: int | None = None,
) -> DataSpec:
    """Describe items in memory.

    Args:
        items: (N, C, *space) of uint8, uint16 or float32, or float32 points (N, 2).
        classes: The name of each label.
        name: What messages call the data.
        limits: The range of floats; None is that of `items`.
        rate: The sampling rate of recordings.

    Raises:
        InputError: If floats hold NaN or infinity, or have no range.
    """
    mean = channel_mean(items) if items.ndim > 2 else ()
    return DataSpec(tuple(items.shape[1:]), _codec(items, name, limits), classes, mean, rate)


def _codec(items: Tensor, name: str, limits: tuple[float, float] | None) -> Codec:
    if items.dtype == torch.uint8:
        return IMAGES
    if items.dtype == torch.uint16:
        return Codec("uint16")
    if items.ndim == 2:
        return POINTS
    low, high = limits or tuple(end.item() for end in items.aminmax())
    if not bool(torch.tensor([low, high]).isfinite().all()):
        odd = [i for i, item in enumerate(items) if not bool(item.isfinite().all())]
        raise InputError(
            f"{name} holds NaN or infinity in {len(odd):,} of {len(items):,} items, number {odd[0]} the first: "
            "leave those items out, or fill the gaps"
        )
    if low == high:
        raise InputError(f"{name} holds nothing but the value {low:g}: {NOTHING_TO_LEARN}")
    return Codec("float", (low, high))


def size_text(shape: tuple[int, ...]) -> str:
    """Format the shape of an item as "height x width with C channels"."""
    return " x ".join(map(str, shape[1:])) + f" with {shape[0]} channels"
