"""Adam as the paper runs it, and its learning rate as a function of the step."""

import math

import torch
from torch import nn
from torch.optim import Adam

from ancestral.config import TrainConfig


def make_adam(net: nn.Module) -> Adam:
    """Create Adam with the paper's constants, fused where possible. The learning rate is set before each step."""
    device = next(net.parameters()).device.type
    return Adam(net.parameters(), lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=device in ("cpu", "cuda"))


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
