"""A custom network: trained by the library's trainer, saved, loaded again, evaluated.

    python examples/own_network.py

The command line takes the function by its name, from the folder of this file:
`ancestral train --data images.npy --net own_network:build`.

Reached: KID-pixels of 500 samples 0.074 ± 0.009 (the U-Net of plain_loop.py 0.006).
"""

from argparse import ArgumentParser

import torch
from torch import Tensor, nn

import ancestral


class ConvNet(nn.Module):
    """Eight residual convolutions at full resolution, with an embedding of the time added to each."""

    def __init__(self, channels: int, width: int = 48) -> None:
        super().__init__()
        self.time = nn.Embedding(1000, width)
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=2**k, dilation=2**k))
            for k in (0, 1, 2, 3, 0, 1, 2, 3)
        )
        self.out = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:  # index = t - 1, int64 (B,)
        h, time = self.stem(x), self.time(index)[:, :, None, None]
        for layer in self.layers:
            h = h + layer(h + time)
        out: Tensor = self.out(h)
        return out


def build(shape: tuple[int, ...], classes: int) -> nn.Module:
    return ConvNet(shape[0])


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--out", default="runs/own-network")
    options = parser.parse_args()
    run = ancestral.train("digits", net=build, out=options.out, steps=options.steps)
    model = ancestral.load(options.out, net=build)  # the file holds the weights, never the code
    assert torch.equal(model.sample(4, steps=10), run.model.sample(4, steps=10))
    print(ancestral.evaluate(model, "digits", samples=options.samples, extractor="pixels"))
