"""A plain loop with Accelerate: on several processes the training of one.

    accelerate launch --num-processes 2 examples/loop_accelerate.py

Reached: after 4 steps on two processes the weights of one within 3e-8.
"""

from argparse import ArgumentParser
from itertools import chain, count, islice

import torch
from accelerate import Accelerator
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import ancestral
from ancestral import Diffusion, nets, schedules, targets

parser = ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--samples", type=int, default=500)
parser.add_argument("--out", default="loop.safetensors")
options = parser.parse_args()

accelerator = Accelerator(cpu=not torch.cuda.is_available())  # else CPUs would train each by itself
torch.manual_seed(0)
digits = ancestral.data.load("digits")
x0 = digits.codec.encode(digits.items)  # float32 (5000, 1, 28, 28) in [-1, 1]
data = TensorDataset(torch.arange(len(x0)), x0, digits.labels)
sampler = DistributedSampler(data, 1, 0)  # the order of one process: Accelerate itself deals out the batches
loader = DataLoader(data, 32 // accelerator.num_processes, sampler=sampler, drop_last=True)
net = nets.UNet(1, width=32, mults=(1, 2), blocks=1, attention=(), dropout=0.0, image_size=28, classes=10, patch=2)
denoiser = Diffusion(net, schedules.cosine(), targets.X0)
optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
wrapped, optimiser, loader = accelerator.prepare(denoiser, optimiser, loader)
averaged = AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(0.995)).requires_grad_(False)

batches = chain.from_iterable(sampler.set_epoch(epoch) or loader for epoch in count())
for step, (numbers, images, labels) in enumerate(islice(batches, options.steps)):
    loss = wrapped(images, step=step, indices=numbers, labels=labels)
    optimiser.zero_grad()
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    averaged.update_parameters(denoiser)

model = ancestral.Model(averaged.module, digits.spec)
result = ancestral.evaluate(model, "digits", samples=options.samples, sampler="ddim:eta=1", extractor="pixels")
if accelerator.is_main_process:
    model.save(options.out)
    print(result)
accelerator.end_training()
