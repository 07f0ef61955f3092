"""A custom condition: a network that takes the words of a caption by cross-attention, and guidance by them.

    python examples/own_condition.py

A signal has a pulse in some of its four beats, and its caption a word for each pulse, in any order, such as "down in
the third beat". Words are tokens, int64 (B, 4), and -1 is no word: a dropped caption is -1 everywhere.

Reached: 98.4 ± 0.4 % of 1,000 signals have all pulses of their caption and no others with guidance 2, 78.1 ± 1.3 %
without guidance, and 0.8 % without a caption (chance is 1.2 %); half a minute on one CPU core.
"""

from argparse import ArgumentParser

import torch
from torch import Tensor, nn

from ancestral import Diffusion, guidance, samplers, schedules, targets

BEATS, BEAT, PULSE = 4, 8, 3


def signals(count: int) -> tuple[Tensor, Tensor]:
    """Draw signals (count, 1, 32) with pulses of height 1 or -1 at random places of their beats, and their captions."""
    kinds = torch.randint(3, (count, BEATS))  # 0: no pulse, 1: up, 2: down
    start = torch.randint(BEAT - PULSE + 1, (count, BEATS, 1))
    place = torch.arange(BEAT) - start
    height = torch.tensor([0.0, 1.0, -1.0])[kinds][:, :, None]
    words = (2 * torch.arange(BEATS) + kinds - 1).where(kinds > 0, -1)
    order = torch.rand(count, BEATS).argsort(1)
    return (height * ((place >= 0) & (place < PULSE))).reshape(count, 1, -1), words.gather(1, order)


def pulses(x: Tensor) -> Tensor:
    """Find the pulse of each beat: 0, 1, 2 as above or 3 for both, int64 (B, 4)."""
    means = x.reshape(-1, BEATS, BEAT).unfold(2, PULSE, 1).mean(3)
    return (means.amax(2) > 0.5) + 2 * (means.amin(2) < -0.5)


class CaptionNet(nn.Module):
    """Convolutions, after each of which every place of the signal attends to the words."""

    def __init__(self, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.time, self.words = nn.Embedding(1000, width), nn.Embedding(1 + 2 * BEATS, width)
        self.place, self.stem = nn.Parameter(torch.randn(width, BEATS * BEAT)), nn.Conv1d(1, width, 5, padding=2)
        self.convolutions, self.attentions = nn.ModuleList(), nn.ModuleList()
        for _ in range(depth):
            convolution = nn.Conv1d(width, width, 5, padding=2)
            self.convolutions.append(nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), convolution))
            self.attentions.append(nn.MultiheadAttention(width, 4, batch_first=True))
        self.out = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv1d(width, 1, 5, padding=2))

    def forward(self, x: Tensor, index: Tensor, tokens: Tensor) -> Tensor:
        h, time = self.stem(x) + self.place, self.time(index)[:, :, None]
        words = self.words(1 + tokens)  # (B, 4, width); no word has an embedding too, so attention needs no mask
        for convolution, attention in zip(self.convolutions, self.attentions, strict=True):
            h = h + convolution(h + time)
            h = h + attention(h.mT, words, words, need_weights=False)[0].mT
        out: Tensor = self.out(h)
        return out


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=1000)
    options = parser.parse_args()
    torch.manual_seed(0)
    denoiser = Diffusion(CaptionNet(), schedules.cosine(), targets.V)
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=3e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, options.steps)
    for step in range(options.steps):
        x0, tokens = signals(64)
        tokens = tokens.masked_fill(torch.rand(64, 1) < 0.1, -1)  # guidance needs the model without a caption
        loss = denoiser.loss(x0, step=step, tokens=tokens)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.4f}")

    x0, tokens = signals(options.samples)
    x_T = torch.randn(x0.shape)
    for scale in (0.0, 1.0, 2.0):
        guided = guidance.ClassifierFree(denoiser, scale, drop={"tokens": -1})
        samples = samplers.DDIM(25).sample(guided, x_T, tokens=tokens)
        right = (pulses(samples) == pulses(x0)).all(1).double()
        error = (right.var() / len(right)) ** 0.5
        print(f"scale {scale:g}: {right.mean():.3f} ± {error:.3f} of the signals have the pulses of their caption")
