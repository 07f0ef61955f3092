"""What is shown of a training and decides nothing: how fast it goes, and the loss by time."""

import time

import torch
from torch import Tensor

BINS = 8
"""Parts of equal length into which the times 1..T are cut."""


class Rate:
    """Images per second over the last steps."""

    def __init__(self, batch_size: int, span: int = 20) -> None:
        self.batch_size, self.span = batch_size, span
        self.ticks = [time.monotonic()]

    def tick(self) -> float:
        """Count a step and return the rate."""
        self.ticks = [*self.ticks[-self.span :], time.monotonic()]
        return self.batch_size * (len(self.ticks) - 1) / max(self.ticks[-1] - self.ticks[0], 1e-9)


class LossByTime:
    """The mean loss of each part of 1..T, where older losses count less and less."""

    def __init__(self, T: int, memory: float = 0.98) -> None:
        self.T, self.memory = T, memory
        self.sums, self.counts = torch.zeros(2, BINS, dtype=torch.float64)

    def add(self, t: Tensor, losses: Tensor) -> None:
        """Count the losses (B,), float64, that were drawn at times t (B,)."""
        self.sums *= self.memory
        self.counts *= self.memory
        places = (t - 1) * BINS // self.T
        self.sums.index_add_(0, places, losses)
        self.counts.index_add_(0, places, torch.ones_like(losses))

    @property
    def means(self) -> tuple[float, ...]:
        """A mean for each part; NaN where no time was drawn yet."""
        return tuple((self.sums / self.counts).tolist())
