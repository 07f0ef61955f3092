"""Guard against steps that go wrong: skip one, and after several in a row roll back with a lower learning rate.

Every decision is a function of the losses, which all processes know alike, and of the few numbers in
`DivergenceGuard.state`, which are saved with the weights: so a run that was killed decides again as it did.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ancestral.base.device_tensors import highest_dtype

SKIPS = 5
"""Number of skipped steps in a row after which training rolls back."""
LR_FACTOR = 0.5
"""Factor of the learning rate at each rollback."""
ROLLBACKS = 5
"""Number of rollbacks without a new checkpoint in between after which training gives up."""
EXPLODED = 30.0
"""A loss this many times the smoothed loss counts as divergence: batches differ by single factors."""
SETTLED = 50
"""Number of good steps before the smoothed loss is trusted."""
SMOOTHING = 0.98
"""Weight of the past in the smoothed loss: the losses of single batches vary with their times."""

Verdict = Literal["good", "skip", "rollback"]


class DivergenceGuard:
    """The smoothed loss, and the number of steps that went wrong recently.

    Its numbers lie on the device of the training, and are decided on there, so that no step waits for them.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.numbers = torch.tensor([math.nan, 0, 0], dtype=highest_dtype(device)).to(device)
        """Of the last step: the smoothed loss, and the two counts."""
        self.loss: float | None = None
        """L_simple, smoothed over about fifty good steps. This and the two counts are of the last step that was read.
        """
        self.good = 0
        self.bad = 0
        """Number of skipped steps in a row."""
        self.lr_factor = 1.0
        self.rollbacks = 0

    def judge(self, loss: Tensor, norm: Tensor, positive: bool = True) -> Tensor:
        """Decide whether a step with this loss and gradient norm is skipped, and count it.

        After `SKIPS` skipped steps in a row all are, until training rolls back.

        Returns:
            Whether it is skipped, bool () on the device.
        """
        smoothed, good, bad = self.numbers
        loss = loss.to(smoothed)
        skipped: Tensor = ~(loss.isfinite() & norm.isfinite()) | (bad >= SKIPS)
        if positive:  # losses with learned weights may be negative: then no ratio of two says anything
            skipped = skipped | ((good >= SETTLED) & (loss > EXPLODED * smoothed))
        mean = torch.where(smoothed.isnan(), loss, SMOOTHING * smoothed + (1 - SMOOTHING) * loss)
        after_good = torch.stack([mean, good + 1, torch.zeros_like(bad)])
        self.numbers = torch.where(skipped, torch.stack([smoothed, good, bad + 1]), after_good)
        return skipped

    def read(self, numbers: Sequence[float] | None = None) -> Verdict:
        """Take up the numbers of a step as they were read from the device, and return the verdict on that step.

        Args:
            numbers: Those that `numbers` had after the step; None reads it now.
        """
        loss, good, bad = self.numbers.tolist() if numbers is None else numbers
        self.loss, self.good, self.bad = None if math.isnan(loss) else loss, int(good), int(bad)
        return "good" if not self.bad else "skip" if self.bad < SKIPS else "rollback"

    def rolled_back(self, saved: "DivergenceGuard") -> None:
        """Take up the numbers of the state that training rolled back to, with a lower learning rate."""
        self._set(saved.loss, saved.good, 0)
        self.lr_factor *= LR_FACTOR
        self.rollbacks += 1

    def _set(self, loss: float | None, good: int, bad: int) -> None:
        numbers = torch.tensor([math.nan if loss is None else loss, good, bad], dtype=self.numbers.dtype)
        self.numbers = numbers.to(self.numbers.device)
        self.loss, self.good, self.bad = loss, good, bad

    @property
    def state(self) -> dict[str, Any]:
        """The numbers to save; they survive JSON bit for bit."""
        return {"loss": self.loss, "good": self.good, "bad": self.bad, "slower": self.lr_factor}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up saved numbers."""
        loss, good, bad, self.lr_factor = (state[key] for key in ("loss", "good", "bad", "slower"))
        self._set(loss, good, bad)


def describe_fault(step: int, t: Tensor, losses: Tensor, items: Sequence[int], layer: str, T: int) -> str:
    """Describe a bad step in one line: its times, its layer, and its items of the data."""
    infinite = ~losses.isfinite()
    worst = infinite if bool(infinite.any()) else losses >= losses.max()
    times = t[worst].tolist()
    names = [items[position] for position in worst.nonzero().flatten().tolist()]
    items_text = ", ".join(map(str, names[:8])) + (" ..." if len(names) > 8 else "")
    return (
        f"step {step}: the loss is {losses.mean().item():.4g} at t = {min(times):.7g} to {max(times):.7g} of {T}, the "
        f"gradient is largest in {layer}; items {items_text}"
    )


def gradient_sizes(net: nn.Module) -> dict[str, Tensor]:
    """Return the size of the largest element of each parameter's gradient, () by the parameter's name."""
    gradients = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}
    return dict(zip(gradients, torch._foreach_norm(list(gradients.values()), torch.inf), strict=True))


def largest_gradient(sizes: Mapping[str, Tensor]) -> str:
    """Name the parameter with the largest gradient; NaN and infinity count as the largest."""
    numbers = dict[str, float]()
    for name, size in sizes.items():
        number = (size.full_tensor() if hasattr(size, "full_tensor") else size).item()
        numbers[name] = number if math.isfinite(number) else math.inf
    return max(numbers, key=lambda name: numbers[name], default="no layer")
