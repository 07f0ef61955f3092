"""The interface of the quality part: a contestant trains on images for a number of steps, and samples new ones."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from ancestral.base.errors import InputError


class Contestant(Protocol):
    """A library with its settings, which trains and samples."""

    steps: int
    """Number of training steps, at which the learning rate schedule ends. It may change between steps."""
    settings: dict[str, Any]
    """Its settings, which are written to the result file."""

    def step(self) -> float:
        """Make one optimiser step and return the loss."""

    def sample(self, count: int, seed: int, steps: int | None = None, batch: int = 100) -> Tensor:
        """Sample new images.

        Args:
            count: Number of images.
            seed: Seed of the random numbers.
            steps: Number of sampling steps (default: that of the settings).
            batch: Number of images in a batch.

        Returns:
            Uint8 (count, C, H, W).
        """


@dataclasses.dataclass(frozen=True)
class Task:
    """The data and the number of steps, the same for all contestants."""

    data: str
    """Name of the data set."""
    images: Tensor
    """Uint8 (N, C, H, W), C = 1 or 3."""
    labels: Tensor
    """Class of each image: int64 (N,)."""
    steps: int
    """Number of training steps."""
    seed: int = 0
    change: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Settings that replace the contestant's own, in a trial."""
    classes: int = 10
    """Number of classes."""
    device: str = "cpu"
    """Device to train and sample on."""

    def sampled_labels(self, count: int) -> Tensor:
        """Return labels (count,) in proportion to those of the data; equally frequent classes are in rotation."""
        sizes = self.labels.bincount()
        labels = self.labels.sort().values
        rank = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[labels]  # within the class
        order = ((rank + 0.5) / sizes[labels].double()).argsort(stable=True)
        return labels[order][torch.arange(count) % len(labels)]


def batches(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Yield the indices of the images of each batch without end, in a new random order in every epoch."""
    generator = torch.Generator().manual_seed(seed)
    indices = torch.empty(0, dtype=torch.long)
    while True:
        while len(indices) < size:
            indices = torch.cat([indices, torch.randperm(count, generator=generator)])
        yield indices[:size]
        indices = indices[size:]


def lr_factor(step: int, steps: int, warmup: int) -> float:
    """Return the factor of the learning rate at step 0, 1, ...: linear warm-up, then cosine decay to 0."""
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def with_changes(recipe: Any, change: dict[str, Any]) -> Any:
    """Copy a tree of frozen dataclasses and dictionaries with some leaves replaced.

    Raises:
        InputError: If a dataclass has no field of that name, or a value is given in the place of several settings.
    """
    if dataclasses.is_dataclass(recipe):
        known = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    elif isinstance(recipe, dict):
        known = recipe
    else:
        return tuple(change) if isinstance(change, list) else change
    if not isinstance(change, dict):
        raise InputError(f"{change!r} stands for several settings: give an object of {', '.join(known)}")
    changed = {name: with_changes(known.get(name), value) for name, value in change.items()}
    if isinstance(recipe, dict):  # arguments, of which there may be more
        return {**recipe, **changed}
    if unknown := [name for name in change if name not in known]:
        raise InputError(f"there is no setting {unknown[0]!r}: there are {', '.join(known)}")
    return dataclasses.replace(recipe, **changed)


def to_floats(images: Tensor, pad: int) -> Tensor:
    """Convert uint8 images (N, C, H, W) to floats in [−1, 1], padded with black to (N, C, H + 2 pad, W + 2 pad)."""
    return torch.nn.functional.pad(images.float() / 127.5 - 1, [pad] * 4, value=-1.0)


def to_bytes(x: Tensor, pad: int) -> Tensor:
    """Invert `to_floats`, with rounding."""
    x = x[..., pad : x.shape[-2] - pad, pad : x.shape[-1] - pad]
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().byte()
