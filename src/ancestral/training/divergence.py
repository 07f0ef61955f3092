"""What to do when a step goes wrong: skip it; after several in a row go back to the last good state, more slowly.

Every decision is a function of the losses, which all processes know alike, and of the few numbers in `Guard.state`,
which are saved with the weights: so a run that was killed decides again as it did.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

SKIPS = 5
"""Bad steps in a row after which training goes back."""
SLOWER = 0.5
"""Factor of the learning rate each time."""
RETURNS = 5
"""Times that training goes back without saving anything new before it gives up."""
EXPLODED = 30.0
"""A loss so many times the smoothed one is not luck: batches differ by their times, but by single factors."""
SETTLED = 50
"""Good steps before the smoothed loss is trusted as a measure."""
SMOOTHING = 0.98
"""Weight of the past in the smoothed loss: single batches jump with the times that they happened to draw."""

Verdict = Literal["good", "skip", "return"]


class Guard:
    """The smoothed loss, and how much went wrong of late."""

    def __init__(self) -> None:
        self.loss: float | None = None
        """L_simple, smoothed over about fifty good steps."""
        self.good = 0
        self.bad = 0
        """Bad steps in a row."""
        self.slower = 1.0
        """Factor of the learning rate."""
        self.returns = 0

    def judge(self, loss: float, norm: float) -> Verdict:
        """Whether a step of this loss and gradient may be taken. Counts it."""
        exploded = self.loss is not None and self.good >= SETTLED and loss > EXPLODED * self.loss
        if math.isfinite(loss) and math.isfinite(norm) and not exploded:
            self.loss = loss if self.loss is None else SMOOTHING * self.loss + (1 - SMOOTHING) * loss
            self.good += 1
            self.bad = 0
            return "good"
        self.bad += 1
        return "skip" if self.bad < SKIPS else "return"

    def returned(self, saved: "Guard") -> None:
        """Take up the numbers of the state that training went back to, with a lower learning rate."""
        self.loss, self.good, self.bad = saved.loss, saved.good, 0
        self.slower *= SLOWER
        self.returns += 1

    @property
    def state(self) -> dict[str, Any]:
        """The numbers to save: they survive JSON bit for bit."""
        return {"loss": self.loss, "good": self.good, "bad": self.bad, "slower": self.slower}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Guard":
        """The guard that had this state."""
        guard = cls()
        guard.loss, guard.good, guard.bad, guard.slower = (state[key] for key in ("loss", "good", "bad", "slower"))
        return guard


def describe(step: int, t: Tensor, losses: Tensor, items: Sequence[int], worst: str, T: int) -> str:
    """One line on a bad step: where in time and in which layer it went wrong, and with which items of the data."""
    bad = ~losses.isfinite()
    loss = losses.mean().item()
    chosen = bad if bool(bad.any()) else losses >= losses.max()
    times = t[chosen].tolist()
    names = [items[place] for place in chosen.nonzero().flatten().tolist()]
    few = ", ".join(map(str, names[:8])) + (" ..." if len(names) > 8 else "")
    return (
        f"step {step}: the loss is {loss:.4g} at t = {min(times)} to {max(times)} of {T}, the gradient is largest in "
        f"{worst}; items {few}"
    )


def worst_layer(net: nn.Module) -> str:
    """The parameter with the largest gradient, a value that is no number counting as the largest of all."""
    sizes: dict[str, float] = {}
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            size = parameter.grad.detach().abs().max()
            size = size.full_tensor() if hasattr(size, "full_tensor") else size
            sizes[name] = size.item() if math.isfinite(size.item()) else math.inf
    return max(sizes, key=lambda name: sizes[name]) if sizes else "no layer"
