"""The rule by which a measured value has stopped falling, and the end that follows for a run until its plateau.

A value is measured at rising steps with the same random numbers, so what these add is the same at every step, and the
rest of the noise is seen in the measurements themselves. Over the last half and the last three quarters of all steps so
far (one and two doublings) the values are fitted by a line in the logarithm of the step, since losses and distances
fall about as powers of it. The slope is the fall while the steps double. The value has stopped falling if the upper
confidence limit of this fall, in one of both fits, is below a tolerance: a share of the value. A line that is too
uncertain is no plateau, and a steep beginning that is still part of a fit only delays the end.

There are four interim tests while the steps double. The k-th has the share c / ((k + c − 1)(k + c)) of the error
probability, half for each fit. The shares add up to 1, so the limits of all tests hold together, however long the run
is (Bonferroni's inequality).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.base.quantities import format_percent

DISTANCE_TOLERANCE, LOSS_TOLERANCE = 0.05, 0.01
"""A distance, and a loss of which most remains for ever, have stopped falling if they fall by less than this share of
their value while the steps double."""
INTERIM_ERROR = 0.05
"""Probability that a value which falls by more than the tolerance is taken for one that does not, over all tests."""
INTERIM_TESTS, SPREAD = 4, 12
"""Number of interim tests while the steps double, and c: about the number of those that share most of the error."""
DOUBLINGS = 1, 2
"""The numbers of doublings of the steps that are fitted."""
FEWEST_MEASUREMENTS = 6
"""Smallest number of measurements of a fit."""
KEPT_MEASUREMENTS = 256
"""Number of the last measurements that are kept for the fits."""
COOLDOWN = 5
"""Of a run that ends at its plateau, the last of that number of equal parts has a falling learning rate.

References:
    Hägele et al., *Scaling laws and compute-optimal training beyond fixed training durations* (2024).
"""


class Fall(NamedTuple):
    """The fall of a value while the steps double, by a fit over the last measurements.

    Attributes:
        start: The first step of the fit.
        end: The last step.
        level: The mean of the value.
        value: The fall.
        error: Its standard error.
        tolerance: What the fall is compared with.
        probability: The probability of so small an estimate if the fall is as large as the tolerance.
    """

    start: int
    end: int
    level: float
    value: float
    error: float
    tolerance: float
    probability: float


def fit_fall(rows: Tensor, share: float) -> Fall:
    """Fit steps and values (k, 2) by a line in log2 of the step.

    Weights that are averaged over many steps change slowly, so that neighbouring residuals are correlated. Their
    correlation r raises the variance by (1 + r)/(1 − r). It is estimated with Kendall's correction, since residuals of
    k values seem less correlated by (2 + 4 r)/k.

    Args:
        rows: Steps and values.
        share: The tolerance as a share of the value. A value that is smaller than the noise of a measurement cannot be
            followed any further: that noise is its tolerance.

    References:
        Kendall, *Note on bias in the estimation of autocorrelation* (1954).
    """
    x, y = rows[:, 0].log2(), rows[:, 1]
    level, (x, y) = float(y.mean()), (x - x.mean(), y - y.mean())
    square = x.square().sum()
    slope = (x * y).sum() / square
    residuals, freedom = y - slope * x, len(rows) - 2
    variance = residuals.square().sum() / freedom
    correlation = float((residuals[1:] * residuals[:-1]).sum() / residuals.square().sum().clamp(min=1e-300))
    correlation = min(max(0.0, correlation + (2 + 4 * correlation) / len(rows)), 0.95)
    error = float((variance / square * (1 + correlation) / (1 - correlation)).sqrt())
    noise, value = float(variance.sqrt()), -float(slope)
    tolerance = noise if abs(level) < noise else share * abs(level)
    probability = student_tail((tolerance - value) / error, freedom) if error else float(value > tolerance)
    return Fall(int(rows[0, 0]), int(rows[-1, 0]), level, value, error, tolerance, probability)


def student_tail(t: float, freedom: int) -> float:
    """Compute P(T > t) of Student's t with a whole number of degrees of freedom.

    References:
        Abramowitz and Stegun, *Handbook of mathematical functions*, (26.7.3) and (26.7.4).
    """
    angle = math.atan(abs(t) / math.sqrt(freedom))
    odd, square = freedom % 2, math.cos(angle) ** 2
    term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
    total = 0.0
    for k in range(1 + odd, freedom, 2):  # the first term, and its successors' factors k / (k + 1)
        total += term
        term *= square * k / (k + 1)
    between = 2 / math.pi * (angle + total) if odd else total
    return (1 - math.copysign(between, t)) / 2


class Plateau:
    """Watches a value that is measured at rising steps.

    Args:
        tolerance: The share of the value by which it falls at most while the steps double once it has stopped falling.
    """

    def __init__(self, tolerance: float = DISTANCE_TOLERANCE) -> None:
        self.tolerance = tolerance
        self.history = torch.zeros(KEPT_MEASUREMENTS, 2, dtype=torch.float64)
        """Step and value of the last measurements, in order from the end; 0 before there are as many."""
        self.numbers = torch.zeros(2, dtype=torch.int64)
        """The number of interim tests so far, and the step of the plateau, 0 before there is one."""

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

    def window(self, doublings: int) -> Tensor:
        """Steps and values (k, 2) since the steps were the last one's, halved this number of times."""
        return self.history[(self.history[:, 0] > 0) & (2**doublings * self.history[:, 0] >= self.history[-1, 0])]

    @property
    def fall(self) -> Fall | None:
        """The fit with the least probability of a fall above the tolerance.

        None if the last half has too few measurements, or some are not finite.
        """
        windows = [self.window(doublings) for doublings in DOUBLINGS]
        if len(windows[0]) < FEWEST_MEASUREMENTS or not bool(windows[-1].isfinite().all()):
            return None
        return min((fit_fall(rows, self.tolerance) for rows in windows), key=lambda fall: fall.probability)

    def add(self, step: int, value: float) -> bool:
        """Take up a measurement, and return whether it is the one that shows the plateau."""
        before, now = (math.floor(INTERIM_TESTS * math.log2(max(number, 1))) for number in (self.measured, step))
        due = self.measured and now > before
        self.history.copy_(torch.cat([self.history[1:], torch.tensor([[step, value]], dtype=torch.float64)]))
        fall = self.fall if due and not self.found else None
        if fall is None:
            return False
        self.numbers[0] += 1
        test = int(self.numbers[0])
        share = SPREAD / ((test + SPREAD - 1) * (test + SPREAD))
        if fall.probability >= INTERIM_ERROR * share / len(DOUBLINGS):
            return False
        self.numbers[1] = step
        return True

    def __str__(self) -> str:
        """Describe a plateau: the mean of the value in the last fit, and how it changes while the steps double."""
        fall = self.fall
        if fall is None:
            return f"{self.history[-1, 1]:.4g} at step {self.measured:,}"
        level = abs(fall.level)
        text = f"{fall.level:.4g} on average of steps {fall.start:,} to {fall.end:,}"
        if fall.tolerance != self.tolerance * level:
            return f"{text}, which the noise of a measurement ({fall.tolerance:.2g}) hides"
        change = f"changes by {format_percent(-fall.value / level, fall.error / level)}" if level else "stays"
        sure, share = format_percent(1 - INTERIM_ERROR), format_percent(self.tolerance)
        return f"{text}; while the steps double it {change}, and falls by less than {share} ({sure} confidence)"


def load_state(state: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
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
