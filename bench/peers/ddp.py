"""denoising-diffusion-pytorch in the quality part: as its README has it, and tuned."""

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
    pad=2,
    batch=32,
    accumulate=2,
    lr=8e-5,
    decay=False,
    betas=(0.9, 0.99),
)
"""Its README's Unet, GaussianDiffusion and Trainer; fewer sampling steps (250 there), no flash_attn and no amp
(fp16), which are for GPUs."""

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
"""See bench/README.md for what was tried."""

CLOTHES = dataclasses.replace(TUNED, drawn=50, eta=0.0)
"""For Fashion-MNIST, where x_0 came out worse with fresh noise (with diffusers), and ε here; see bench/README.md."""


class DDP(Peer):
    """Unet, GaussianDiffusion and EMA; with `labels` those of its classifier_free_guidance."""

    def build(self) -> None:
        """The U-Net of the recipe, inside its diffusion."""
        process = dict(self.recipe.process)
        if self.recipe.labels:
            net = classifier_free_guidance.Unet(num_classes=10, channels=1, **self.recipe.net)
            self.net = classifier_free_guidance.GaussianDiffusion(net, image_size=self.side, **process)
        else:
            if self.recipe.min_snr is not None:
                process |= {"min_snr_loss_weight": True, "min_snr_gamma": self.recipe.min_snr}
            self.net = GaussianDiffusion(Unet(channels=1, **self.recipe.net), image_size=self.side, **process)
        self.ema = EMA(self.net, **self.recipe.ema)

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """GaussianDiffusion's, which takes images in [0, 1]."""
        with self.autocast():
            x = (x + 1) / 2
            loss: Tensor = self.net(x, classes=labels) if self.recipe.labels else self.net(x)
        return loss

    def average(self) -> None:
        """EMA's."""
        self.ema.update()

    def draw(self, labels: Tensor, steps: int) -> Tensor:
        """GaussianDiffusion's own, by DDIM; its bar of progress goes nowhere."""
        averaged = self.ema.ema_model.eval()
        averaged.sampling_timesteps, averaged.is_ddim_sampling = steps, steps < averaged.num_timesteps
        averaged.ddim_sampling_eta = self.recipe.eta
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
            if not self.recipe.labels:
                return averaged.sample(batch_size=len(labels)) * 2 - 1
            # a scale of exactly 1 makes its sampler fail; so near to it, the second pass hardly counts
            return averaged.sample(labels, cond_scale=1.00001, rescaled_phi=0.0) * 2 - 1


def documented(task: Task) -> DDP:
    """As its README has it."""
    return DDP(task, DOCUMENTED)


def tuned(task: Task) -> DDP:
    """As well as we can."""
    return DDP(task, TUNED if task.data == "digits" else CLOTHES)
