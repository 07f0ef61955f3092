"""What a training loop of a student does: the times and the points that it draws, its gradients and learning rates."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import optimizer as optimisers

from ancestral_course.exercise import STOPS

STEPS = 20
"""Number of steps in which a loop is watched."""
MARK = 1e4
"""Added to the gradients after the first step: it is gone at the next one if they were set to 0."""
ROWS = 4
"""Number of points that are changed at once to see whether they are used."""


class Watched:
    """While it is entered, networks of points (B, 2) and a time are watched, and optimisers.

    Attributes:
        calls: Each network that was evaluated, with its points and times.
        rates: The learning rate of each step.
        adds_gradients: Whether gradients are added to those of the step before.
    """

    def __enter__(self) -> "Watched":
        self.calls: list[tuple[nn.Module, Tensor, Tensor]] = []
        self.rates: list[float] = []
        self.adds_gradients = False
        self.marked = set[int]()
        self.hooks = [
            nn.modules.module.register_module_forward_pre_hook(self._evaluated),
            optimisers.register_optimizer_step_pre_hook(self._before_step),
            optimisers.register_optimizer_step_post_hook(self._after_step),
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _evaluated(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if len(inputs) == 2 and isinstance(inputs[0], Tensor) and inputs[0].shape[1:] == (2,):
            self.calls.append((module, inputs[0].detach().clone(), torch.as_tensor(inputs[1]).detach().reshape(-1)))

    def of(self, network: Any) -> tuple[list[Tensor], list[Tensor]]:
        """The points and the times of a network; none of one that is no module, or a copy of that which was trained."""
        pairs = [(x, t) for module, x, t in self.calls if module is network]
        return [x for x, _ in pairs], [t for _, t in pairs]

    def _before_step(self, optimiser: torch.optim.Optimizer, *_: Any) -> None:
        self.rates.append(max(group["lr"] for group in optimiser.param_groups))
        if len(self.rates) > 1 and id(optimiser) in self.marked:
            gradients = [gradient for gradient in _gradients(optimiser) if bool((gradient > MARK / 2).all())]
            self.adds_gradients |= bool(gradients)
            for gradient in gradients:
                gradient.sub_(MARK)
            self.marked.discard(id(optimiser))

    def _after_step(self, optimiser: torch.optim.Optimizer, *_: Any) -> None:
        if len(self.rates) == 1:
            for gradient in _gradients(optimiser):
                gradient.add_(MARK)
            self.marked.add(id(optimiser))

    def complaint(self, network: Callable[..., Tensor], ends: Tensor) -> str:
        """What is wrong with the steps and times of a network, whose times lie between two ends, or ""."""
        if self.adds_gradients:
            return "the gradients of all steps add up: set them to 0 before each backward pass, optimiser.zero_grad()"
        _, times = self.of(network)
        count = len(times) or len(self.rates)
        if len(times) in range(1, STEPS) or count > 10 * STEPS:
            what = "network was evaluated" if times else "weights were changed"
            return f"in {STEPS} steps the {what} {count} times: make as many steps as `steps` says"
        return times_complaint(times, ends) if times else ""


def times_complaint(times: list[Tensor], ends: Tensor) -> str:
    """What is wrong with times that should lie between two ends and cover what is between them, or ""."""
    low, high = float(ends.min()), float(ends.max())
    seen = torch.cat(times).float()
    draws = sum(1 if bool((time == time[0]).all()) else len(time) for time in times)
    whole, most = not ends.is_floating_point(), int(high - low + 1)
    slack = 0.0 if whole and draws >= 20 * most else 0.1 * (high - low)
    outside = whole and bool((seen.min() < low) | (seen.max() > high))
    missing = draws > 10 * STEPS and bool((seen.min() > low + slack) | (seen.max() < high - slack))
    if outside or missing or bool((seen == seen[0]).all()):
        return (
            f"the times in training are from {float(seen.min()):.3g} to {float(seen.max()):.3g}: draw them from "
            f"{low:.3g} to {high:.3g}, another one for each point"
        )
    different = len(set(seen.tolist()))
    if whole and slack == 0 and different < 0.98 * most:
        return f"of the {most} times {different} are drawn: draw others in each step"
    return "" if whole or not _same_times(times) else "the times are the same in each step: draw others"


def _same_times(times: list[Tensor]) -> bool:
    """Whether times that are not evenly spaced are the same in each step."""
    first = times[0].sort().values
    gaps = first.diff()
    even = len(first) < 2 or bool(gaps.std() < 0.1 * gaps.mean())
    return not even and all(torch.equal(time.sort().values, first) for time in times)


def noise_complaint(points: list[Tensor], noise: list[Tensor]) -> str:
    """What is wrong with the noise of each step, or "".

    Args:
        points: x_t of each step, where x_0 is 0.
        noise: x_t where x_0 is 0 and the noise is 1.
    """
    if not points:
        return ""
    drawn = torch.cat([x / one for x, one in zip(points, noise, strict=True)])
    different = len({(round(x, 3), round(y, 3)) for x, y in drawn.tolist()})
    return "the noise is the same in each step: draw it again" if different < 0.5 * len(drawn) else ""


def _gradients(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    parameters = (parameter for group in optimiser.param_groups for parameter in group["params"])
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def uses_few_points(
    train: Callable[[Tensor, int], Any], points: Tensor, steps: int, answers: Callable[..., Any]
) -> bool:
    """Tell whether a training loop sees few of its points: some may be NaN, and the network learns all the same.

    Of a loop that draws other points in each step a hundred steps are enough to see most of them. Where some were not
    seen, `steps` decide.

    Args:
        train: The loop.
        points: The data, (N, 2).
        steps: Most steps.
        answers: Evaluates a network that it returns.
    """
    rows = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[: 5 * ROWS].reshape(5, ROWS)

    def unseen(some: Tensor, count: int) -> bool:
        torch.manual_seed(0)
        data = points.clone()
        data[some] = torch.nan
        try:
            return bool(answers(train(data, count)).isfinite().all())
        except STOPS:  # a loop that stops at NaN has seen it
            return False

    unseen_rows = [some for some in rows if unseen(some, min(100, steps))]
    return len(unseen_rows) > 1 and sum(unseen(some, min(1000, steps)) for some in unseen_rows) > 1
