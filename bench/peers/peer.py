"""The training loop of both peers: what their own loops do, over data that lies in memory."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.device import pick_dtype
from peers.contest import Task, batches, changed, falling, to_bytes, to_floats


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a peer is told."""

    net: dict[str, Any]
    """Arguments of its U-Net."""
    process: dict[str, Any]
    """Arguments of its noise: a scheduler's, or GaussianDiffusion's."""
    ema: dict[str, Any]
    """Arguments of its moving average."""
    pad: int = 0
    """Black pixels around each image."""
    batch: int = 16
    accumulate: int = 1
    """Batches whose gradients make one step."""
    lr: float = 1e-4
    warmup: int = 0
    decay: bool = True
    """Whether the learning rate falls to 0 along a cosine at the end; else it stays."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    fused: bool = False
    """Adam in one kernel."""
    bf16: bool = False
    """Autocast to bfloat16 on a processor that has it; emulated, it takes twenty times as long."""
    channels_last: bool = False
    labels: bool = False
    """Learn the classes, and draw them in turn."""
    min_snr: float | None = None
    """γ of the min-SNR weighting."""
    drawn: int = 50
    """Steps of DDIM."""
    eta: float = 0.0
    """Its share of fresh noise."""


class Peer(ABC):
    """A contestant by a recipe."""

    net: nn.Module

    def __init__(self, task: Task, recipe: Recipe) -> None:
        recipe = changed(recipe, task.change)
        native = pick_dtype("auto", torch.device("cpu")) == torch.bfloat16
        recipe = self.recipe = dataclasses.replace(recipe, bf16=recipe.bf16 and native)
        torch.manual_seed(task.seed)
        self.steps, self.done, self.task = task.steps, 0, task
        self.x = to_floats(task.images, recipe.pad)
        self.side = self.x.shape[-1]
        self.build()
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.net.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.parameters = [p for p in self.net.parameters() if p.requires_grad]
        kind = torch.optim.AdamW if recipe.weight_decay else torch.optim.Adam
        self.adam = kind(
            self.parameters, recipe.lr, recipe.betas, weight_decay=recipe.weight_decay, fused=recipe.fused or None
        )
        self.batches = batches(len(self.x), recipe.batch, task.seed)
        self.settings = {
            **dataclasses.asdict(recipe),
            "parameters": sum(p.numel() for p in self.parameters),
            "side": self.side,
        }

    @abstractmethod
    def build(self) -> None:
        """Make `net` and what belongs to it."""

    @abstractmethod
    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of images (B, 1, side, side) in [−1, 1]."""

    @abstractmethod
    def average(self) -> None:
        """Update the moving average."""

    @abstractmethod
    def draw(self, labels: Tensor, steps: int) -> Tensor:
        """Images (len(labels), 1, side, side) in [−1, 1] from the averaged weights, in so many steps. The labels are
        for those who know them.
        """

    def autocast(self) -> torch.autocast:
        """Where the network is asked."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.bf16)

    def step(self) -> float:
        """Forward, backward, clip, Adam, average."""
        recipe, total = self.recipe, 0.0
        self.net.train()
        for _ in range(recipe.accumulate):
            chosen = next(self.batches)
            loss = self.loss(self.x[chosen].contiguous(memory_format=self.layout), self.task.labels[chosen])
            (loss / recipe.accumulate).backward()
            total += loss.item() / recipe.accumulate
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        factor = falling(self.done, self.steps, recipe.warmup) if recipe.decay else 1.0
        self.adam.param_groups[0]["lr"] = recipe.lr * factor
        self.adam.step()
        self.adam.zero_grad()
        self.done += 1
        self.average()
        return total

    def sample(self, count: int, seed: int, steps: int | None = None, batch: int = 100) -> Tensor:
        """By the recipe's sampler, in batches."""
        torch.manual_seed(seed)
        images = []
        for labels in (torch.arange(count) % 10).split(batch):
            with torch.no_grad(), self.autocast():
                images.append(to_bytes(self.draw(labels, steps or self.recipe.drawn), self.recipe.pad))
        return torch.cat(images)
