"""diffusers in the quality part, with the settings of its training example and with tuned settings."""

import copy
import dataclasses
import warnings

import torch
from torch import Tensor

from peers.contest import Task
from peers.peer import Peer, Recipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers
    from diffusers.training_utils import EMAModel, compute_snr

DOCUMENTED = Recipe(
    net={
        "layers_per_block": 2,
        "block_out_channels": (128, 128, 256, 256, 512, 512),
        "down_block_types": (*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
    },
    process={"num_train_timesteps": 1000, "beta_schedule": "linear", "prediction_type": "epsilon"},
    ema={"decay": 0.9999, "use_ema_warmup": True, "inv_gamma": 1.0, "power": 0.75},
    batch=16,
    lr=1e-4,
    warmup=500,
    betas=(0.95, 0.999),
    weight_decay=1e-6,
    drawn=20,
)
"""The defaults of examples/unconditional_image_generation/train_unconditional.py, and the command of its README."""

TUNED = Recipe(
    net={
        "layers_per_block": 1,
        "block_out_channels": (32, 64, 64),
        "down_block_types": ("DownBlock2D", "DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D", "UpBlock2D"),
        "add_attention": False,
        "norm_num_groups": 8,
    },
    process={
        "num_train_timesteps": 1000,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "sample",
    },
    ema={"decay": 0.995, "use_ema_warmup": True, "inv_gamma": 1.0, "power": 0.75, "foreach": True},
    batch=32,
    lr=2e-3,
    warmup=50,
    fused=True,
    bf16=True,
    labels=True,
    drawn=20,
    eta=1.0,
)
"""bench/README.md lists the trials behind these settings."""

TUNED_FASHION = dataclasses.replace(TUNED, process={**TUNED.process, "prediction_type": "epsilon"}, drawn=50)
"""For Fashion-MNIST, ε had a lower KID: it has more weight at low noise levels, where texture is learned."""

TUNED_COLOUR = dataclasses.replace(TUNED, drawn=50)
"""For emoji and icons: of digits 20 sampling steps are as good as 50, of emoji they are not."""

"""What its prediction types are called in this package."""


class Diffusers(Peer):
    """UNet2DModel, DDPMScheduler and EMAModel, sampled by DDIMScheduler."""

    def build(self) -> None:
        """Build the U-Net of the recipe, the scheduler and the EMA."""
        classes = self.task.classes if self.recipe.labels else None
        channels = {"in_channels": self.channels, "out_channels": self.channels}
        net = diffusers.UNet2DModel(sample_size=self.side, num_class_embeds=classes, **channels, **self.recipe.net)
        self.net, self.scheduler = net.to(self.device), diffusers.DDPMScheduler(**self.recipe.process)
        self.ema = EMAModel(net.parameters(), **self.recipe.ema)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean squared error of the scheduler's prediction type, with min-SNR weights if set."""
        noise = torch.randn_like(x)
        t = torch.randint(0, self.scheduler.config.num_train_timesteps, (len(x),), device=x.device)
        noisy = self.scheduler.add_noise(x, noise, t)
        with self.autocast():
            output = self.net(noisy, t, labels if self.recipe.labels else None, return_dict=False)[0].float()
        prediction = self.scheduler.config.prediction_type
        velocity = self.scheduler.get_velocity(x, noise, t)
        target = {"sample": x, "v_prediction": velocity, "epsilon": noise}[prediction]
        errors = (output - target).square().flatten(1).mean(1)
        if self.recipe.min_snr is not None:
            snr = compute_snr(self.scheduler, t)
            weight = snr.clamp(max=self.recipe.min_snr)
            errors = errors * weight / {"sample": 1, "v_prediction": snr + 1, "epsilon": snr}[prediction]
        return errors.mean()

    def update_ema(self) -> None:
        """Update the EMAModel."""
        self.ema.step(self.parameters)

    def generate(self, labels: Tensor, steps: int) -> Tensor:
        """Sample by the loop of diffusers' documentation for a model and a scheduler."""
        averaged = self.averaged()
        scheduler = diffusers.DDIMScheduler.from_config(self.scheduler.config, timestep_spacing="trailing")
        scheduler.set_timesteps(steps)
        x = torch.randn(len(labels), self.channels, self.side, self.side, device=self.device)
        for t in scheduler.timesteps:
            output = averaged(x, t, labels if self.recipe.labels else None, return_dict=False)[0]
            x = scheduler.step(output.float(), t, x, eta=self.recipe.eta).prev_sample
        return x

    def averaged(self) -> torch.nn.Module:
        """Return a copy of the network with the averaged weights."""
        averaged = copy.deepcopy(self.net).eval()
        self.ema.copy_to(averaged.parameters())
        return averaged


def documented(task: Task) -> Diffusers:
    """Build it with the settings of the training example."""
    return Diffusers(task, dataclasses.replace(DOCUMENTED, pad=(32 - task.images.shape[-1]) // 2))


def tuned(task: Task) -> Diffusers:
    """Build it with tuned settings."""
    return Diffusers(task, {"digits": TUNED, "fashion": TUNED_FASHION}.get(task.data, TUNED_COLOUR))
