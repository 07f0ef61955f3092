"""What is shown of a training run: its speed, and the loss by time."""

import time

import torch
from torch import Tensor

BINS = 8
"""Number of equal bins of the times 1..T."""


class Rate:
    """Images per second over the last steps."""

    def __init__(self, batch_size: int, span: int = 20) -> None:
        self.batch_size, self.span = batch_size, span
        self.ticks = [time.monotonic()]

    def tick(self) -> float:
        """Count a step and return the rate in images per second."""
        self.ticks = [*self.ticks[-self.span :], time.monotonic()]
        return self.batch_size * (len(self.ticks) - 1) / max(self.ticks[-1] - self.ticks[0], 1e-9)


class LossByTime:
    """The mean loss of each bin of 1..T, with exponentially decaying weights."""

    def __init__(self, T: int, memory: float = 0.98) -> None:
        self.T, self.memory = T, memory
        self.sums, self.counts = torch.zeros(2, BINS, dtype=torch.float64)

    def add(self, t: Tensor, losses: Tensor) -> None:
        """Count the losses (B,), float64, at times t (B,)."""
        self.sums *= self.memory
        self.counts *= self.memory
        bins = (t.ceil().long() - 1) * BINS // self.T
        self.sums.index_add_(0, bins, losses)
        self.counts.index_add_(0, bins, torch.ones_like(losses))

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of each bin; NaN where no time was drawn yet."""
        return tuple((self.sums / self.counts).tolist())
