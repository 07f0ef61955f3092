"""denoising-diffusion-pytorch in the quality part, with the settings of its README and with tuned settings."""

import contextlib
import dataclasses
import os

from denoising_diffusion_pytorch import GaussianDiffusion, Unet, classifier_free_guidance
from ema_pytorch import EMA
from torch import Tensor

from peers.contest import Task
from peers.peer import Peer, Recipe

DOCUMENTED = Recipe(
    net={"dim": 64, "dim_mults": (1, 2, 4, 8)},
    process={"timesteps": 1000},
    ema={"beta": 0.995, "update_every": 10},
    batch=32,
    accumulate=2,
    lr=8e-5,
    decay=False,
    betas=(0.9, 0.99),
)
"""Unet, GaussianDiffusion and Trainer of its README, with fewer sampling steps (250 there). flash_attn and amp (fp16)
are off, since they are for GPUs."""

TUNED = Recipe(
    net={"dim": 32, "dim_mults": (1, 2, 2), "attn_heads": 1},
    process={"timesteps": 1000, "beta_schedule": "cosine", "objective": "pred_x0"},
    ema={"beta": 0.995, "update_every": 1, "update_after_step": 0, "power": 0.75, "use_foreach": True},
    batch=16,
    lr=2e-3,
    warmup=50,
    betas=(0.9, 0.99),
    fused=True,
    bf16=True,
    channels_last=True,
    min_snr=1.0,
    drawn=20,
    eta=1.0,
)
"""bench/README.md lists the trials behind these settings."""

TUNED_FASHION = dataclasses.replace(TUNED, drawn=50, eta=0.0)
"""For Fashion-MNIST. With x_0, η = 0 had a lower KID than η = 1 (measured with diffusers), and x_0 a lower one than ε.
bench/README.md has the numbers."""

TUNED_COLOUR = dataclasses.replace(TUNED, drawn=50)
"""For emoji and icons, as of diffusers."""


class DDP(Peer):
    """Unet, GaussianDiffusion and EMA; with `labels`, the classes of its module classifier_free_guidance."""

    def build(self) -> None:
        """Build the U-Net of the recipe inside GaussianDiffusion, and the EMA."""
        process = dict(self.recipe.process)
        if self.recipe.labels:
            classes, channels = self.task.classes, self.channels
            net = classifier_free_guidance.Unet(num_classes=classes, channels=channels, **self.recipe.net)
            self.net = classifier_free_guidance.GaussianDiffusion(net, image_size=self.side, **process)
        else:
            if self.recipe.min_snr is not None:
                process |= {"min_snr_loss_weight": True, "min_snr_gamma": self.recipe.min_snr}
            net = Unet(channels=self.channels, **self.recipe.net)
            self.net = GaussianDiffusion(net, image_size=self.side, **process)
        self.net.to(self.device)
        self.ema = EMA(self.net, **self.recipe.ema)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of GaussianDiffusion, which expects images in [0, 1]."""
        with self.autocast():
            x = (x + 1) / 2
            loss: Tensor = self.net(x, classes=labels) if self.recipe.labels else self.net(x)
        return loss

    def update_ema(self) -> None:
        """Update the EMA."""
        self.ema.update()

    def generate(self, labels: Tensor, steps: int) -> Tensor:
        """Sample by the DDIM of GaussianDiffusion, without its progress bar."""
        averaged = self.ema.ema_model.eval()
        averaged.sampling_timesteps, averaged.is_ddim_sampling = steps, steps < averaged.num_timesteps
        averaged.ddim_sampling_eta = self.recipe.eta
        with open(os.devnull, "w") as devnull, contextlib.redirect_stderr(devnull):  # noqa: PTH123
            if not self.recipe.labels:
                return averaged.sample(batch_size=len(labels)) * 2 - 1
            # a scale of exactly 1 makes its sampler fail; at 1.00001 the unconditional prediction has almost no weight
            return averaged.sample(labels, cond_scale=1.00001, rescaled_phi=0.0) * 2 - 1


def documented(task: Task) -> DDP:
    """Build it with the settings of its README."""
    return DDP(task, dataclasses.replace(DOCUMENTED, pad=(32 - task.images.shape[-1]) // 2))


def tuned(task: Task) -> DDP:
    """Build it with tuned settings."""
    return DDP(task, {"digits": TUNED, "fashion": TUNED_FASHION}.get(task.data, TUNED_COLOUR))
