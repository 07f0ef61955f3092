"""Guard against steps that go wrong: skip one, and after several in a row roll back with a lower learning rate.

Every decision is a function of the losses, which all processes know alike, and of the few numbers in
`DivergenceGuard.state`, which are saved with the weights: so a run that was killed decides again as it did.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

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
    """The smoothed loss, and the number of steps that went wrong recently."""

    def __init__(self) -> None:
        self.loss: float | None = None
        """L_simple, smoothed over about fifty good steps."""
        self.good = 0
        self.bad = 0
        """Number of skipped steps in a row."""
        self.lr_factor = 1.0
        self.rollbacks = 0

    def judge(self, loss: float, norm: float, positive: bool = True) -> Verdict:
        """Decide whether a step with this loss and gradient norm is taken, and count it."""
        # losses with learned weights may be negative: then no ratio of two says anything
        exploded = positive and self.loss is not None and self.good >= SETTLED and loss > EXPLODED * self.loss
        if math.isfinite(loss) and math.isfinite(norm) and not exploded:
            self.loss = loss if self.loss is None else SMOOTHING * self.loss + (1 - SMOOTHING) * loss
            self.good += 1
            self.bad = 0
            return "good"
        self.bad += 1
        return "skip" if self.bad < SKIPS else "rollback"

    def rolled_back(self, saved: "DivergenceGuard") -> None:
        """Take up the numbers of the state that training rolled back to, with a lower learning rate."""
        self.loss, self.good, self.bad = saved.loss, saved.good, 0
        self.lr_factor *= LR_FACTOR
        self.rollbacks += 1

    @property
    def state(self) -> dict[str, Any]:
        """The numbers to save; they survive JSON bit for bit."""
        return {"loss": self.loss, "good": self.good, "bad": self.bad, "slower": self.lr_factor}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "DivergenceGuard":
        """Restore the guard that had this state."""
        guard = cls()
        guard.loss, guard.good, guard.bad, guard.lr_factor = (state[key] for key in ("loss", "good", "bad", "slower"))
        return guard


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


def largest_gradient(net: nn.Module) -> str:
    """Name the parameter with the largest gradient; NaN and infinity count as the largest."""
    sizes: dict[str, float] = {}
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            size = parameter.grad.detach().abs().max()
            number = (size.full_tensor() if hasattr(size, "full_tensor") else size).item()
            sizes[name] = number if math.isfinite(number) else math.inf
    return max(sizes, key=lambda name: sizes[name], default="no layer")
