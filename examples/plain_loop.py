"""Train on digits with a plain PyTorch loop: the library gives the network, the loss and the sampler.

    python examples/plain_loop.py

Reached: KID-pixels of 500 samples 0.0055 ± 0.0018 (digits against digits -0.0008 ± 0.0013); a linear classifier finds
the class that they are conditioned on in 92 % of them (in 91 % of real digits).
"""

import copy
from argparse import ArgumentParser

import torch

import ancestral
from ancestral import Diffusion, nets, schedules, targets

parser = ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--samples", type=int, default=500)
options = parser.parse_args()

torch.manual_seed(0)
digits = ancestral.data.load("digits")
x0 = digits.codec.encode(digits.items)  # float32 (5000, 1, 28, 28) in [-1, 1]
net = nets.UNet(1, width=32, mults=(1, 2), blocks=1, attention=(), dropout=0.0, image_size=28, classes=10, patch=2)
denoiser = Diffusion(net, schedules.cosine(), targets.X0)
averaged = copy.deepcopy(denoiser).requires_grad_(False)
optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)

for step in range(options.steps):
    rows = torch.randint(len(x0), (32,))
    labels = digits.labels[rows].masked_fill(torch.rand(32) < 0.1, -1)  # -1 is "no class", which guidance needs
    loss = denoiser.loss(x0[rows], step=step, labels=labels)  # L_simple; t and eps are functions of (seed, step)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    decay = min(0.995, (1 + step) / (10 + step))
    for average, parameter in zip(averaged.parameters(), denoiser.parameters(), strict=True):
        average.lerp_(parameter.detach(), 1 - decay)
    if step % 100 == 0:
        print(f"step {step}: loss {loss.item():.4f}")

model = ancestral.Model(averaged, digits.spec)
print(ancestral.evaluate(model, "digits", samples=options.samples, sampler="ddim:eta=1", extractor="pixels"))
