"""The paper's CIFAR-10 network, 35.7 M parameters, in the hands of each: a training step and a forward pass.

A step is all that each does for one in its own training: ours is `Trainer.advance`, with its batch, noise, average and
guard; diffusers' is that of its example train_unconditional.py with --use_ema, and of the same "tuned": fused AdamW
and the average in one call. (channels_last makes its training slower here.)
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral import config
from ancestral.data import InMemoryDataset
from ancestral.training import Trainer


class Paper(Protocol):
    """A network and its training, of a batch, a precision and an image size."""

    net: nn.Module

    def step(self) -> object:
        """One training step; returns when the loss is known."""

    def forward(self) -> object:
        """One pass over the batch, without gradients."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What both sides have in common."""

    batch: int = 8
    precision: str = "fp32"
    side: int = 32
    width: int = 128
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    compile: bool = False

    @property
    def images(self) -> Tensor:
        """Uint8 (max(batch, 64), 3, side, side): the cost does not depend on what they show."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (max(self.batch, 64), 3, self.side, self.side), generator=generator).byte()

    def autocast(self) -> torch.autocast:
        """bfloat16 if that is the precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


class Ours:
    """Ancestral: the preset cifar10 as it stands."""

    def __init__(self, setting: Setting) -> None:
        base = config.cifar10()
        tree = dataclasses.replace(
            base,
            net=dataclasses.replace(base.net, width=setting.width),
            train=dataclasses.replace(base.train, batch_size=setting.batch, precision=setting.precision),  # type: ignore[arg-type]
            runtime=dataclasses.replace(base.runtime, compile=setting.compile),
        )
        self.setting = setting
        dataset = InMemoryDataset(setting.images, None, (), "noise")
        self.trainer = Trainer(tree, dataset, str(setting.device))
        self.net = self.trainer.net
        self.x = torch.randn(setting.batch, 3, setting.side, setting.side, device=setting.device)
        self.x = self.x.contiguous(memory_format=torch.channels_last)
        self.index = torch.full((setting.batch,), 500, device=setting.device)

    def step(self) -> object:
        """One of `Trainer`'s."""
        self.net.train()
        return self.trainer.advance()

    def forward(self) -> object:
        """The network alone."""
        self.net.eval()
        with torch.no_grad(), self.setting.autocast():
            return self.net(self.x, self.index)


class Diffusers:
    """UNet2DModel of the same architecture, trained as diffusers' example trains."""

    def __init__(self, setting: Setting, tuned: bool = False) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from diffusers import DDPMScheduler
            from diffusers.optimization import get_scheduler
            from diffusers.training_utils import EMAModel

        self.setting = setting
        self.net = network(setting.width, setting.side).to(setting.device)
        if setting.compile:
            self.net.compile()
        self.scheduler = DDPMScheduler(num_train_timesteps=1000)
        self.parameters = list(self.net.parameters())
        fused: dict[str, Any] = {"fused": True} if tuned else {}
        self.adam = torch.optim.AdamW(self.parameters, 1e-4, (0.95, 0.999), weight_decay=1e-6, eps=1e-8, **fused)
        self.rate = get_scheduler("cosine", self.adam, num_warmup_steps=500, num_training_steps=100_000)
        self.ema = EMAModel(
            self.parameters, decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75, foreach=tuned
        )
        self.data = (setting.images.float() / 127.5 - 1).to(setting.device)
        self.x = torch.randn(setting.batch, 3, setting.side, setting.side, device=setting.device)
        self.index = torch.full((setting.batch,), 500, device=setting.device)

    def step(self) -> object:
        """Noise, forward, backward, clip, AdamW, learning rate, average."""
        self.net.train()
        device, count = self.setting.device, self.setting.batch
        clean = self.data[torch.randperm(len(self.data))[:count].to(device)]
        noise = torch.randn_like(clean)
        t = torch.randint(0, 1000, (count,), device=device)
        noisy = self.scheduler.add_noise(clean, noise, t)
        with self.setting.autocast():
            answer = self.net(noisy, t, return_dict=False)[0]
        loss = F.mse_loss(answer.float(), noise.float())
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adam.step()
        self.rate.step()
        self.adam.zero_grad()
        self.ema.step(self.parameters)
        return loss.item()

    def forward(self) -> object:
        """The network alone."""
        self.net.eval()
        with torch.no_grad(), self.setting.autocast():
            return self.net(self.x, self.index, return_dict=False)[0]


def network(width: int = 128, side: int = 32) -> nn.Module:
    """UNet2DModel as the paper's network: its own documented one is another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import UNet2DModel

    net: nn.Module = UNet2DModel(
        sample_size=side, in_channels=3, out_channels=3, layers_per_block=2,
        block_out_channels=(width, 2 * width, 2 * width, 2 * width),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), act_fn="silu", norm_eps=1e-6,
        attention_head_dim=None, flip_sin_to_cos=False, freq_shift=1, downsample_padding=0, dropout=0.1,
    )  # fmt: skip
    return net


PAPERS: dict[str, Callable[[Setting], Paper]] = {
    "ancestral": Ours,
    "diffusers": Diffusers,
    "diffusers-tuned": lambda setting: Diffusers(setting, tuned=True),
}
