"""A training step and a forward pass of the DDPM paper's CIFAR-10 network (35.7 M parameters) in each library.

A step is a whole step of the library's own training loop. Ours is `Trainer.advance`, which includes the batch, the
noise, the EMA and the check for divergence. That of diffusers is from its example train_unconditional.py with
--use_ema. "tuned" adds fused AdamW and a fused EMA, but not channels_last, which makes its training slower here.
"""

import dataclasses
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral import config
from ancestral.data import InMemoryDataset
from ancestral.training import Trainer


class StepBenchmark(Protocol):
    """The network and its training loop in one library."""

    net: nn.Module

    def step(self) -> object:
        """Make one training step, and wait for its loss."""

    def forward(self) -> object:
        """Make one forward pass of a batch without gradients."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """The settings that all libraries have in common."""

    batch: int = 8
    precision: str = "fp32"
    side: int = 32
    width: int = 128
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))
    compile: bool = False

    @property
    def images(self) -> Tensor:
        """Random uint8 images (max(batch, 64), 3, side, side). The cost does not depend on their content."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (max(self.batch, 64), 3, self.side, self.side), generator=generator).byte()

    def autocast(self) -> torch.autocast:
        """Autocast to bfloat16 if the precision is bf16."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


class AncestralSteps:
    """Ancestral with the preset cifar10."""

    def __init__(self, setting: Setting) -> None:
        base = config.preset("cifar10")
        settings = dataclasses.replace(
            base,
            net=dataclasses.replace(base.net, width=setting.width),
            train=dataclasses.replace(base.train, batch_size=setting.batch, precision=setting.precision),  # type: ignore[arg-type]
            runtime=dataclasses.replace(base.runtime, compile=setting.compile),
        )
        self.setting = setting
        dataset = InMemoryDataset(setting.images, None, (), "noise")
        self.trainer = Trainer(settings, dataset, str(setting.device))
        self.net = self.trainer.state.net
        self.x = torch.randn(setting.batch, 3, setting.side, setting.side, device=setting.device)
        self.x = self.x.contiguous(memory_format=torch.channels_last)
        self.index = torch.full((setting.batch,), 500, device=setting.device)

    def step(self) -> object:
        """Make one step of `Trainer`."""
        self.net.train()
        return self.trainer.advance()

    def forward(self) -> object:
        """Evaluate the network."""
        self.net.eval()
        with torch.no_grad(), self.setting.autocast():
            return self.net(self.x, self.index)


class DiffusersSteps:
    """UNet2DModel of the same architecture, with the training loop of diffusers' example."""

    def __init__(self, setting: Setting, tuned: bool = False) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from diffusers import DDPMScheduler
            from diffusers.optimization import get_scheduler
            from diffusers.training_utils import EMAModel

        self.setting = setting
        self.net = paper_network(setting.width, setting.side).to(setting.device)
        if setting.compile:
            self.net.compile()
        self.scheduler = DDPMScheduler(num_train_timesteps=1000)
        self.parameters = list(self.net.parameters())
        fused: dict[str, Any] = {"fused": True} if tuned else {}
        self.adam = torch.optim.AdamW(self.parameters, 1e-4, (0.95, 0.999), weight_decay=1e-6, eps=1e-8, **fused)
        self.lr_schedule = get_scheduler("cosine", self.adam, num_warmup_steps=500, num_training_steps=100_000)
        self.ema = EMAModel(
            self.parameters, decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75, foreach=tuned
        )
        self.data = (setting.images.float() / 127.5 - 1).to(setting.device)
        self.x = torch.randn(setting.batch, 3, setting.side, setting.side, device=setting.device)
        self.index = torch.full((setting.batch,), 500, device=setting.device)

    def step(self) -> object:
        """Add noise, run the forward and backward pass, clip, and update the weights, the learning rate and the EMA."""
        self.net.train()
        device, count = self.setting.device, self.setting.batch
        clean = self.data[torch.randperm(len(self.data))[:count].to(device)]
        noise = torch.randn_like(clean)
        t = torch.randint(0, 1000, (count,), device=device)
        noisy = self.scheduler.add_noise(clean, noise, t)
        with self.setting.autocast():
            output = self.net(noisy, t, return_dict=False)[0]
        loss = F.mse_loss(output.float(), noise.float())
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adam.step()
        self.lr_schedule.step()
        self.adam.zero_grad()
        self.ema.step(self.parameters)
        return loss.item()

    def forward(self) -> object:
        """Evaluate the network."""
        self.net.eval()
        with torch.no_grad(), self.setting.autocast():
            return self.net(self.x, self.index, return_dict=False)[0]


def paper_network(width: int = 128, side: int = 32) -> nn.Module:
    """Build UNet2DModel with the architecture of the paper, which differs from that of diffusers' documentation."""
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


BENCHMARKS: dict[str, Callable[[Setting], StepBenchmark]] = {
    "ancestral": AncestralSteps,
    "diffusers": DiffusersSteps,
    "diffusers-tuned": lambda setting: DiffusersSteps(setting, tuned=True),
}


def available() -> list[str]:
    """Return the names of the benchmarks whose library is installed."""
    return [name for name in BENCHMARKS if name == "ancestral" or find_spec("diffusers")]
