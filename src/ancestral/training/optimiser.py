"""The optimisers, and the learning rate as a function of the step."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ancestral.base.errors import InputError
from ancestral.config import TrainConfig
from ancestral.training.distributed import Distributed
from ancestral.training.plateau import cooldown

ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8
"""Adam's constants in the paper."""


def make_optimiser(net: nn.Module, name: str, distributed: Distributed, more: Sequence[nn.Parameter] = ()) -> Adam:
    """Create Adam with the paper's constants, fused where possible, or Muon. The learning rate is set before each step.

    Muon is for the weights of dense layers and convolutions; Adam is for all other parameters, and for `more`. Raises
    InputError for a custom optimiser, which has no name.
    """
    if name == "custom":
        raise InputError("a custom optimiser is given from Python: train(..., optimiser=...)")
    parameters = [*net.parameters(), *more]
    fused = next(net.parameters()).device.type != "mps"
    if name == "adam":
        return DenseAdam(parameters, lr=0.0, betas=ADAM_BETAS, eps=ADAM_EPS, fused=fused)
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    matrices = [module.weight for module in net.modules() if isinstance(module, layers)]
    return Muon(parameters, matrices, distributed, fused)


class DenseAdam(Adam):
    """Adam that gives weights in channels_last to PyTorch's fused kernel as they lie in memory, with equal results.

    On a CPU the kernel copies every gradient that is not contiguous, which takes longer than the step itself.
    """

    skipped: Tensor | None = None
    """Whether the next step changes nothing, bool () on the device; None takes it."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step, unless it is `skipped`, or the gradients of a scaled loss are infinite."""
        if self.skipped is None:
            return super().step(closure)
        infinite, self.found_inf = getattr(self, "found_inf", None), self.skips  # which PyTorch's fused kernel reads
        try:
            return super().step(closure)
        finally:
            if infinite is None:  # else the scaler removes it
                del self.found_inf

    @property
    def skips(self) -> Tensor | None:
        """1 for a step that changes nothing, else 0: float32 () on the device; None if that is not decided there."""
        infinite: Tensor | None = getattr(self, "found_inf", None)  # of a GradScaler
        if self.skipped is None:
            return infinite
        return self.skipped.float() if infinite is None else torch.maximum(infinite, self.skipped.float())

    def _init_group(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], *more: Any) -> bool:
        """Collect the tensors of a group, as PyTorch's `step` calls it: first the moments, then lists of numbers."""
        complex_numbers: bool = super()._init_group(group, params, grads, *more)  # type: ignore[no-untyped-call]
        tensors = params, grads, *more[:2]
        for i, weight in enumerate(params if group["fused"] else ()):
            if weight.ndim > 2 and not weight.is_contiguous():
                views = [each[i].movedim(1, -1) for each in tensors]
                if all(view.is_contiguous() for view in views):
                    for each, view in zip(tensors, views, strict=True):
                        each[i] = view
        return complex_numbers


class Muon(DenseAdam):
    """Momentum with orthogonalised steps for some weights, Adam for the others.

    With the singular value decomposition M = U S Vᵀ of a weight's momentum, its step is along U Vᵀ: all directions are
    learned equally fast. A step is as long as one of Adam usually is, so the learning rate is Adam's. Weights of
    convolutions are matrices with a row for each output. Each process orthogonalises all of them.

    References:
        Jordan et al., *Muon: an optimizer for hidden layers in neural networks* (2024).
        Liu et al., *Muon is scalable for LLM training* (2025), for the length of a step.
    """

    MOMENTUM = 0.95
    LENGTH = 0.2
    """Root mean square of a step of Adam, in units of the learning rate."""

    def __init__(
        self, parameters: Iterable[Tensor], matrices: Sequence[Tensor], distributed: Distributed, fused: bool = False
    ) -> None:
        super().__init__(parameters, lr=0.0, betas=ADAM_BETAS, eps=ADAM_EPS, fused=fused)
        self.distributed = distributed
        if distributed.shard:
            self._step_supports_amp_scaling = False  # a GradScaler leaves out steps with infinite gradients itself
        self.matrices = list(dict.fromkeys(matrices))  # layers may share one

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step, and forget the gradients of the matrices."""
        lr, skips = self.param_groups[0]["lr"], self.skips
        weights, gradients = [], []
        for weight in self.matrices:
            if weight.grad is not None:
                weights.append(weight)
                gradients.append(weight.grad)
                if not self.state[weight]:  # Adam's __setstate__ reads the number of steps of each parameter
                    state = {"step": torch.zeros((), device=weight.device), "momentum": torch.zeros_like(weight)}
                    self.state[weight].update(state)
                weight.grad = None
        if weights:
            states = [self.state[weight] for weight in weights]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            if skips is not None:
                torch._foreach_sub_(steps, [skips] * len(steps))
            momenta = [state["momentum"] for state in states]
            if skips is not None:  # with the momentum in its place, a gradient that is not finite changes nothing
                gradients = [torch.where(skips > 0, *pair) for pair in zip(momenta, gradients, strict=True)]
            torch._foreach_lerp_(momenta, gradients, 1 - self.MOMENTUM)
            directions = torch._foreach_lerp(gradients, momenta, self.MOMENTUM)  # Nesterov's
            # with the inputs innermost, as channels_last has them in memory, a weight is a matrix without a copy
            full = [self.distributed.full(direction).movedim(1, -1) for direction in directions]
            steps = orthogonalised([direction.flatten(1) for direction in full])
            # the root mean square of U Vᵀ is 1/√(longer side)
            torch._foreach_mul_(steps, [lr * self.LENGTH * math.sqrt(max(step.shape)) for step in steps])
            if skips is not None:
                torch._foreach_mul_(steps, 1 - skips)
            for weight, direction, step in zip(weights, full, steps, strict=True):
                weight.sub_(self.distributed.like(weight, step.view(direction.shape).movedim(-1, 1)))
        return super().step(closure)


def orthogonalised(matrices: Sequence[Tensor], iterations: int = 5) -> list[Tensor]:
    """Compute about U Vᵀ of matrices X = U S Vᵀ by an iteration of Newton and Schulz.

    Each iteration multiplies X by p(X Xᵀ), p(z) = 3.4445 − 4.775 z + 2.0315 z², and so maps every singular value s to
    s p(s²). Five of them bring all values above 0.002 of the Frobenius norm to between 0.68 and 1.21. The factors
    commute, so they are multiplied before X is: they are square with its shorter side, and matrices with the same
    shorter side are computed at once.
    """
    norms = torch._foreach_add(torch._foreach_norm(list(matrices)), 1e-7)
    scaled = torch._foreach_div(list(matrices), norms)
    wide = [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in scaled]
    by_size: dict[int, list[int]] = {}
    for i, matrix in enumerate(wide):
        by_size.setdefault(len(matrix), []).append(i)
    for indices in by_size.values():
        square = torch.stack([wide[i] @ wide[i].mT for i in indices])
        factors = list[Tensor]()
        for _ in range(iterations):
            if factors:
                square = factors[-1] @ square @ factors[-1]
            factor = torch.baddbmm(square, square, square, beta=-4.775, alpha=2.0315)
            factor.diagonal(dim1=1, dim2=2).add_(3.4445)
            factors.append(factor)
        product = functools.reduce(lambda product, factor: factor @ product, factors)
        for i, factor in zip(indices, product, strict=True):
            wide[i] = factor @ wide[i]
    return [x.mT if m.shape[0] > m.shape[1] else x for m, x in zip(matrices, wide, strict=True)]


def lr_factor(config: TrainConfig, step: int) -> float:
    """Compute the factor of the learning rate at a step: it rises to 1, then is constant or falls along a cosine.

    In a run until its plateau it falls over the last part only.
    """
    if config.decay == "custom":
        raise InputError("a custom learning-rate schedule is given from Python: train(..., lr_schedule=...)")
    rise = min(step / config.warmup, 1.0) if config.warmup else 1.0
    if config.decay == "none" or step < config.warmup:
        return rise
    if config.until == "plateau":
        return min(rise, cooldown(step, config.steps))
    fall = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))


def set_learning_rate(optimiser: Optimizer, *rates: float) -> None:
    """Set the learning rate of every parameter group: one for all, or one for each."""
    for number, group in enumerate(optimiser.param_groups):
        group["lr"] = rates[number % len(rates)]
