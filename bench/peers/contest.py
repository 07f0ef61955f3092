"""What a contestant of the quality part is: something that learns images in a number of steps, and draws new ones."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor


class Contestant(Protocol):
    """One way to train and to sample."""

    steps: int
    """Where its training ends, and its learning rate with it. It may be changed between steps."""
    settings: dict[str, Any]
    """What it does, for the record."""

    def step(self) -> float:
        """One optimiser step; the loss."""

    def sample(self, count: int, seed: int, steps: int | None = None, batch: int = 100) -> Tensor:
        """New images, uint8 (count, 1, H, W), by its sampler with its own number of steps unless given."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What all contestants are given."""

    data: str
    """The name of the data set, whose preset ours is."""
    images: Tensor
    """Uint8 (N, 1, 28, 28)."""
    labels: Tensor
    """Of each image: int64 (N,), ten classes."""
    steps: int
    seed: int = 0
    change: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Settings to be tried instead of the contestant's own."""


def batches(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Numbers of images, shuffled anew each time round, for ever."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.long)
    while True:
        while len(left) < size:
            left = torch.cat([left, torch.randperm(count, generator=generator)])
        yield left[:size]
        left = left[size:]


def falling(step: int, steps: int, warmup: int) -> float:
    """The usual factor on the learning rate of step 0, 1, ...: up over the warm-up, then down to 0 along a cosine."""
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def changed(recipe: Any, change: dict[str, Any]) -> Any:
    """A tree of frozen dataclasses and dictionaries with some leaves replaced."""
    if isinstance(recipe, dict):
        return {**recipe, **{name: changed(recipe.get(name), value) for name, value in change.items()}}
    if dataclasses.is_dataclass(recipe):
        return dataclasses.replace(
            recipe, **{name: changed(getattr(recipe, name), value) for name, value in change.items()}
        )
    return tuple(change) if isinstance(change, list) else change


def to_floats(images: Tensor, pad: int) -> Tensor:
    """Float images (N, 1, H + 2 pad, W + 2 pad) in [−1, 1], with black around."""
    return torch.nn.functional.pad(images.float() / 127.5 - 1, [pad] * 4, value=-1.0)


def to_bytes(x: Tensor, pad: int) -> Tensor:
    """Undoes `to_floats`, and rounds."""
    x = x[..., pad : x.shape[-2] - pad, pad : x.shape[-1] - pad]
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().byte()
