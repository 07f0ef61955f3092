"""The rule by which a measured value has stopped falling, and the end that follows for a run until its plateau.

A value is measured at rising steps with the same random numbers, so what these add is the same at every step, and the
rest of the noise is seen in the measurements themselves. Over the last half of all steps so far the values are fitted
by a line in the logarithm of the step, since losses and distances fall about as powers of it. The value still falls if
the slope is below 0 by two standard errors, which follow from the residuals. It has stopped falling if it does not at
two measurements in a row: it is flat, rises, or falls by less than can be measured.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.results.estimate import format_number

ERRORS = 2.0
"""The value falls if its slope is below 0 by more than this number of standard errors."""
FEWEST, LOOKS = 6, 2
"""Smallest number of measurements of a fit, and of fits in a row without a fall."""
KEPT = 256
"""Number of the last measurements that are kept for the fits."""
COOLDOWN = 5
"""Of a run that ends at its plateau, the last of that number of equal parts has a falling learning rate.

References:
    Hägele et al., *Scaling laws and compute-optimal training beyond fixed training durations* (2024).
"""


class Fall(NamedTuple):
    """The fall of a value while the steps double, by a fit over the last half of them, and its standard error."""

    value: float
    error: float


class Plateau:
    """Watches a value that is measured at rising steps."""

    def __init__(self) -> None:
        self.history = torch.zeros(KEPT, 2, dtype=torch.float64)
        """Step and value of the last measurements, in order from the end; 0 before there are as many."""
        self.numbers = torch.zeros(2, dtype=torch.int64)
        """The number of fits in a row without a fall, and the step of the plateau, 0 before there is one."""

    @property
    def state(self) -> dict[str, Tensor]:
        """Tensors to save, by name; all are 0 before the first measurement."""
        return {"history": self.history, "plateau": self.numbers}

    @property
    def found(self) -> int:
        """The step at which the value had stopped falling; 0 before."""
        return int(self.numbers[1])

    @property
    def measured(self) -> int:
        """The step of the last measurement; 0 before the first."""
        return int(self.history[-1, 0])

    @property
    def window(self) -> Tensor:
        """Steps and values (k, 2) of the last half of all steps so far."""
        return self.history[(self.history[:, 0] > 0) & (2 * self.history[:, 0] >= self.history[-1, 0])]

    @property
    def fall(self) -> Fall | None:
        """Fit the last half of the steps; None if there are too few measurements, or some are not finite."""
        rows = self.window
        if len(rows) < FEWEST or not bool(rows.isfinite().all()):
            return None
        x, y = rows[:, 0].log(), rows[:, 1]
        x, y = x - x.mean(), y - y.mean()
        square = x.square().sum()
        slope = (x * y).sum() / square
        variance = (y - slope * x).square().sum() / (len(rows) - 2) / square
        return Fall(-math.log(2) * float(slope), math.log(2) * float(variance.sqrt()))

    def add(self, step: int, value: float) -> bool:
        """Take up a measurement, and return whether it is the one that shows the plateau."""
        self.history.copy_(torch.cat([self.history[1:], torch.tensor([[step, value]], dtype=torch.float64)]))
        fall, (in_a_row, found) = self.fall, self.numbers.tolist()
        in_a_row = in_a_row + 1 if fall is not None and fall.value <= ERRORS * fall.error else 0
        new = not found and in_a_row >= LOOKS
        self.numbers.copy_(torch.tensor([in_a_row, step if new else found]))
        return new

    def __str__(self) -> str:
        """Describe the last half of the steps, and how much the value fell there."""
        rows, fall = self.window, self.fall
        (start, _), (end, _) = rows[0].tolist(), rows[-1].tolist()
        text = f"{rows[:, 1].mean().item():.4g} on average of steps {start:,.0f} to {end:,.0f}"
        return text if fall is None else f"{text}, where it changed by {format_number(-fall.value, fall.error)}"


def take_up(state: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Copy a saved state into tensors of the same names; one of other names or shapes leaves them as they are."""
    if saved.keys() == state.keys() and all(saved[name].shape == value.shape for name, value in state.items()):
        for name, value in state.items():
            value.copy_(saved[name])


def constant_steps(steps: int) -> int:
    """Return the number of steps of a run until its plateau before the learning rate falls to 0 at the last."""
    return steps - steps // COOLDOWN


def end_after(plateau: int) -> int:
    """Return the number of steps of which `constant_steps` are those up to the plateau."""
    return plateau * COOLDOWN // (COOLDOWN - 1)


def cooldown(step: int, steps: int) -> float:
    """Compute the factor of the learning rate at a step of a run until its plateau: 1, then a cosine to 0."""
    start = constant_steps(steps)
    return 1.0 if step < start else 0.5 * (1 + math.cos(math.pi * min((step - start) / max(steps - start, 1), 1.0)))
