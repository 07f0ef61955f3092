"""A plain loop with Lightning: on several processes the training of one.

    python examples/loop_lightning.py --processes 2

Reached: after 4 steps on two processes the weights of one within 7e-8.
"""

import os
from argparse import ArgumentParser

import lightning
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import ancestral
from ancestral import Diffusion, nets, schedules, targets

parser = ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--samples", type=int, default=500)
parser.add_argument("--processes", type=int, default=1)
parser.add_argument("--out", default="loop.safetensors")
options = parser.parse_args()


class Loop(lightning.LightningModule):
    def __init__(self, denoiser):
        super().__init__()
        self.denoiser = denoiser
        self.averaged = AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(0.995)).requires_grad_(False)

    def training_step(self, batch, _):
        numbers, images, labels = batch
        return self.denoiser.loss(images, step=self.global_step, indices=numbers, labels=labels)

    def on_train_batch_end(self, *_):
        self.averaged.update_parameters(self.denoiser)

    def configure_optimizers(self):
        return torch.optim.Adam(self.denoiser.parameters(), lr=2e-3)


torch.manual_seed(0)
digits = ancestral.data.load("digits")
x0 = digits.codec.encode(digits.items)  # float32 (5000, 1, 28, 28) in [-1, 1]
data = TensorDataset(torch.arange(len(x0)), x0, digits.labels)
sampler = DistributedSampler(data, options.processes, int(os.environ.get("LOCAL_RANK", 0)))
loader = DataLoader(data, 32 // options.processes, sampler=sampler, drop_last=True)
net = nets.UNet(1, width=32, mults=(1, 2), blocks=1, attention=(), dropout=0.0, image_size=28, classes=10, patch=2)
loop, quiet = Loop(Diffusion(net, schedules.cosine(), targets.X0)), {"logger": False, "enable_checkpointing": False}
trainer = lightning.Trainer(devices=options.processes, max_steps=options.steps, gradient_clip_val=1.0, **quiet)
trainer.fit(loop, loader)

model = ancestral.Model(loop.averaged.module, digits.spec)
result = ancestral.evaluate(model, "digits", samples=options.samples, sampler="ddim:eta=1", extractor="pixels")
if trainer.is_global_zero:
    model.save(options.out)
    print(result)
