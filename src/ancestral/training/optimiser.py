"""The optimisers, and the learning rate as a function of the step."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ancestral.config import TrainConfig
from ancestral.training.distributed import Distributed

BETAS, EPS = (0.9, 0.999), 1e-8
"""Adam's constants in the paper."""


def make_optimiser(net: nn.Module, name: str, distributed: Distributed) -> Adam:
    """Create Adam with the paper's constants, fused where possible, or Muon. The learning rate is set before each step.

    Muon is for the weights of dense layers and convolutions; Adam is for all other parameters.
    """
    fused = next(net.parameters()).device.type in ("cpu", "cuda")
    if name == "adam":
        return Adam(net.parameters(), lr=0.0, betas=BETAS, eps=EPS, fused=fused)
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    matrices = [module.weight for module in net.modules() if isinstance(module, layers)]
    return Muon(net.parameters(), matrices, distributed, fused)


class Muon(Adam):
    """Momentum with orthogonalised steps for some weights, Adam for the others.

    With the singular value decomposition M = U S Vᵀ of a weight's momentum, its step is along U Vᵀ: all directions are
    learned equally fast. A step is as long as one of Adam usually is, so the learning rate is Adam's.

    Args:
        parameters: All parameters.
        matrices: The weights that Muon is for. Those of convolutions are taken as matrices with a row for each output.
        distributed: Gathers sharded gradients: each process orthogonalises all of them.
        fused: Whether Adam is fused.

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
        super().__init__(parameters, lr=0.0, betas=BETAS, eps=EPS, fused=fused)
        self.distributed = distributed
        self._step_supports_amp_scaling = False  # a GradScaler leaves out steps with infinite gradients itself
        shapes: dict[torch.Size, list[Tensor]] = {}
        for weight in dict.fromkeys(matrices):  # layers may share one
            shapes.setdefault(weight.shape, []).append(weight)
        self.alike = list(shapes.values())
        """The matrices by their shape: those of one shape are orthogonalised at once."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step, and forget the gradients of the matrices."""
        lr = self.param_groups[0]["lr"]
        for alike in self.alike:
            weights, directions = [weight for weight in alike if weight.grad is not None], []
            for weight in weights:
                gradient = weight.grad
                assert gradient is not None
                state = self.state[weight]
                if not state:  # Adam's __setstate__ reads the number of steps of each parameter
                    state.update(step=torch.zeros((), device=weight.device), momentum=torch.zeros_like(weight))
                state["step"] += 1
                state["momentum"].lerp_(gradient, 1 - self.MOMENTUM)
                direction = gradient.lerp(state["momentum"], self.MOMENTUM)  # Nesterov's
                directions.append(self.distributed.full(direction).flatten(1))
                weight.grad = None
            if not weights:
                continue
            steps = orthogonalised(torch.stack(directions))
            length = self.LENGTH * math.sqrt(max(steps.shape[1:]))  # the root mean square of U Vᵀ is 1/√(larger side)
            for weight, step in zip(weights, steps, strict=True):
                weight.sub_(self.distributed.like(weight, step.view(weight.shape)), alpha=lr * length)
        return super().step(closure)


def orthogonalised(m: Tensor, iterations: int = 5) -> Tensor:
    """Compute about U Vᵀ of matrices M = U S Vᵀ (B, n, m) by an iteration of Newton and Schulz.

    Each iteration maps every singular value s to 3.4445 s − 4.775 s³ + 2.0315 s⁵. Five of them bring all values above
    0.002 of the Frobenius norm to between 0.68 and 1.21.
    """
    x: Tensor = m.mT if m.shape[1] > m.shape[2] else m
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        square = x @ x.mT
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return x.mT if m.shape[1] > m.shape[2] else x


def learning_rate(config: TrainConfig, step: int) -> float:
    """Compute the learning rate of step 0, 1, ...: rising over the warm-up, then constant or falling along a cosine."""
    assert config.lr is not None
    rise = min(step / config.warmup, 1.0) if config.warmup else 1.0
    if config.decay == "none" or step < config.warmup:
        return config.lr * rise
    fall = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0)))


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = lr
