"""Three densities in the plane that train in seconds and that the eye can judge.

Each is float32 (N, 2) in [-1, 1]², centred, the same for the same split and seed.
"""

import math

import torch
from torch import Tensor

from ancestral.data.dataset import Dataset

COUNT = 10_000
JITTER = 0.02  # standard deviation of the Gaussian noise: the curves have width, so that they have a density


def moons(split: str = "train", count: int = COUNT, seed: int = 0) -> Dataset:
    """Two half circles of radius 0.6 that interlock, the second one upside down."""
    rng = _generator(split, seed)
    angle = math.pi * torch.rand(count, generator=rng)
    side = 1 - 2 * (torch.arange(count) % 2)  # +1: the upper moon, -1: the lower
    # The unit circle about (0, 0) and the one about (1, 0.5), seen from the midpoint (0.5, 0.25).
    x = torch.stack([side * (angle.cos() - 0.5), side * (angle.sin() - 0.25)], dim=1)
    return _dataset("moons", 0.6 * x, rng)


def swissroll(split: str = "train", count: int = COUNT, seed: int = 0) -> Dataset:
    """A spiral of one and a half turns, r = angle, angle in [1.5π, 4.5π]."""
    rng = _generator(split, seed)
    angle = math.pi * (1.5 + 3 * torch.rand(count, generator=rng))
    x = torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1)
    mean = torch.tensor([2.0, 2 / (3 * math.pi)])  # the exact mean of x over the angle
    return _dataset("swissroll", (x - mean) / (4.9 * math.pi), rng)


def checkerboard(split: str = "train", count: int = COUNT, seed: int = 0) -> Dataset:
    """Uniform on the 8 squares of a 4 by 4 board whose column + row is even. No noise: the edges are sharp."""
    rng = _generator(split, seed)
    column = torch.randint(4, (count,), generator=rng)
    row = 2 * torch.randint(2, (count,), generator=rng) + column % 2
    cell = torch.stack([column, row], dim=1)
    x = (cell + torch.rand(count, 2, generator=rng)) / 2 - 1
    return Dataset(x, labels=None, classes=(), name="checkerboard")


def _generator(split: str, seed: int) -> torch.Generator:
    """Splits draw from separate streams."""
    return torch.Generator().manual_seed(2 * seed + (split == "test"))


def _dataset(name: str, x: Tensor, rng: torch.Generator) -> Dataset:
    x = x + JITTER * torch.randn(x.shape, generator=rng)
    return Dataset(x.clamp(-1, 1), labels=None, classes=(), name=name)
