"""The training loop of both peers: the operations of their own loops, on data in memory."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.base.device import pick_dtype
from peers.contest import Task, batches, lr_factor, to_bytes, to_floats, with_changes


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a peer."""

    net: dict[str, Any]
    """Arguments of its U-Net."""
    process: dict[str, Any]
    """Arguments of its noise process: of DDPMScheduler or of GaussianDiffusion."""
    ema: dict[str, Any]
    """Arguments of its EMA."""
    pad: int = 0
    """Width of a black border around each image, in pixels."""
    batch: int = 16
    accumulate: int = 1
    """Number of batches whose gradients are accumulated for one step."""
    lr: float = 1e-4
    warmup: int = 0
    decay: bool = True
    """Whether the learning rate has a warm-up and decays to 0 along a cosine; otherwise it is constant."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    fused: bool = False
    """Whether Adam is fused."""
    bf16: bool = False
    """Whether to autocast to bfloat16. Processors without bfloat16 ignore it: emulation takes twenty times as long."""
    channels_last: bool = False
    labels: bool = False
    """Whether the network is conditioned on classes."""
    min_snr: float | None = None
    """γ of the min-SNR weighting."""
    drawn: int = 50
    """Number of DDIM sampling steps."""
    eta: float = 0.0
    """η of DDIM."""


class Peer(ABC):
    """A contestant whose settings are a recipe."""

    net: nn.Module

    def __init__(self, task: Task, recipe: Recipe) -> None:
        recipe = with_changes(recipe, task.change)
        self.device = torch.device(task.device)
        native = pick_dtype("auto", self.device) == torch.bfloat16
        recipe = self.recipe = dataclasses.replace(recipe, bf16=recipe.bf16 and native)
        torch.manual_seed(task.seed)
        self.steps, self.steps_done, self.task = task.steps, 0, task
        self.x, self.labels = to_floats(task.images, recipe.pad).to(self.device), task.labels.to(self.device)
        self.channels, self.side = self.x.shape[1], self.x.shape[-1]
        self.build()
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.net.to(self.device, memory_format=self.layout)  # type: ignore[call-overload]
        self.parameters = [p for p in self.net.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW if recipe.weight_decay else torch.optim.Adam
        self.adam = optimiser(
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
        """Build `net`, its noise process and its EMA."""

    @abstractmethod
    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean loss of images (B, channels, side, side) in [−1, 1]."""

    @abstractmethod
    def update_ema(self) -> None:
        """Update the EMA."""

    @abstractmethod
    def generate(self, labels: Tensor, steps: int) -> Tensor:
        """Sample images (len(labels), channels, side, side) in [−1, 1] with the EMA weights.

        Unconditional networks use only the number of labels.
        """

    def autocast(self) -> torch.autocast:
        """Return the context in which the network is evaluated."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16)

    def step(self) -> float:
        """Run the forward and backward passes, clip, and update the weights and the EMA."""
        recipe, total = self.recipe, 0.0
        self.net.train()
        for _ in range(recipe.accumulate):
            indices = next(self.batches).to(self.device)
            loss = self.loss(self.x[indices].contiguous(memory_format=self.layout), self.labels[indices])
            (loss / recipe.accumulate).backward()
            total += loss.item() / recipe.accumulate
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        factor = lr_factor(self.steps_done, self.steps, recipe.warmup) if recipe.decay else 1.0
        self.adam.param_groups[0]["lr"] = recipe.lr * factor
        self.adam.step()
        self.adam.zero_grad()
        self.steps_done += 1
        self.update_ema()
        return total

    def sample(self, count: int, seed: int, steps: int | None = None, batch: int = 100) -> Tensor:
        """Sample in batches with the sampler of the recipe."""
        torch.manual_seed(seed)
        images = []
        for labels in self.task.sampled_labels(count).split(batch):
            with torch.no_grad(), self.autocast():
                made = self.generate(labels.to(self.device), steps or self.recipe.drawn)
                images.append(to_bytes(made, self.recipe.pad).cpu())
        return torch.cat(images)
