"""The U-Net of the DDPM paper (Ho, Jain and Abbeel 2020, appendix B), wired and initialised as the authors' code has
it.

At its defaults, with channels=3, it is the CIFAR-10 network of 35,746,307 parameters. Beyond the paper it takes class
labels, any height and width (padded inside, cropped on the way out), any number of channels, signals and volumes beside
images, and a space-to-depth stem: `patch=2` folds each 2×2 block of pixels into channels, so a small network on small
images spends its time in fewer, wider convolutions.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.errors import InputError
from ancestral.nets.dropout import number_dropouts
from ancestral.nets.embedding import timestep_embedding
from ancestral.nets.layers import ZERO, Downsample, Stage, Upsample, conv, init, norm
from ancestral.nets.space import crop, fold, pad, unfold

NOUNS = {1: "signals", 2: "images", 3: "volumes"}
"""What x holds, by the number of its axes of space."""


class UNet(nn.Module):
    """ε_θ(x, index): the shape of x in, the same out, with `out_channels` channels.

    x is (B, C, H, W); with dims=1 a signal (B, C, L), with dims=3 a volume (B, C, D, H, W), and what is said of images
    holds of them.

    Args:
        channels: of the images.
        width: channels of the first level; level i has width · mults[i].
        mults: one entry for each level; every level but the last halves the resolution.
        blocks: residual blocks of a level on the way down; one more on the way up.
        attention: resolutions (of images of `image_size`, after the stem) whose blocks are followed by self-attention.
        dropout: in each residual block, before its second convolution.
        image_size: the side (the longest one) that `attention` refers to. Other sizes work too.
        out_channels: of the output; `channels` unless given.
        classes: number of class labels; the network also learns an embedding for "no class".
        patch: side of the space-to-depth stem; 1 is the paper's network.
        groups: of every group norm; None is the paper's 32, and fewer in narrow layers.
        dims: axes of space, 1, 2 or 3.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 128,
        mults: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 2,
        attention: Sequence[int] = (16,),
        dropout: float = 0.1,
        image_size: int = 32,
        out_channels: int | None = None,
        classes: int | None = None,
        patch: int = 1,
        groups: int | None = None,
        dims: int = 2,
    ) -> None:
        super().__init__()
        if dims not in NOUNS:
            raise InputError(f"a U-Net has 1, 2 or 3 axes of space, not dims={dims}")
        self.channels, self.width, self.classes, self.patch, self.dims = channels, width, classes, patch, dims
        self.multiple = patch * 2 ** (len(mults) - 1)
        """Every side is padded to a multiple of this: the stem times the halvings."""
        self.check_size(*[image_size] * dims)
        resolution = math.ceil(image_size / self.multiple) * self.multiple // patch
        cell = patch**dims
        temb = 4 * width
        self.time = nn.Sequential(init(nn.Linear(width, temb)), nn.SiLU(), init(nn.Linear(temb, temb)))
        self.label = nn.Embedding(classes + 1, temb) if classes else None  # the last row is "no class"
        self.stem = conv(dims, channels * cell, width)

        widths = [width * mult for mult in mults]
        if groups is not None and (groups < 1 or any(after % groups for after in [width, *widths])):
            raise InputError(f"groups={groups} does not divide the channels of every level, {[width, *widths]}")
        stage = partial(Stage, temb=temb, dropout=dropout, groups=groups, dims=dims)
        attends = [resolution >> level in attention for level in range(len(mults))]
        skips = [width]
        self.down = nn.ModuleList()
        for level, (before, after) in enumerate(pairwise([width, *widths])):
            for block in range(blocks):
                self.down.append(stage(before if block == 0 else after, after, attend=attends[level]))
                skips.append(after)
            if level < len(mults) - 1:
                self.down.append(Downsample(after, dims))
                skips.append(after)
        self.middle = nn.ModuleList([stage(after, after, attend=attend) for attend in (True, False)])
        self.up = nn.ModuleList()
        x_width = after
        for level in reversed(range(len(mults))):
            for _ in range(blocks + 1):
                self.up.append(stage(x_width + skips.pop(), widths[level], attend=attends[level], skip=True))
                x_width = widths[level]
            if level:
                self.up.append(Upsample(x_width, dims))
        self.norm = norm(x_width, groups)
        self.out = conv(dims, x_width, (out_channels or channels) * cell, scale=ZERO)
        number_dropouts(self)

    def check_size(self, *sides: int) -> None:
        """Raise InputError where an image of these sides has no pixel for each cell of the lowest level."""
        if min(sides) < self.multiple:
            raise InputError(
                f"{NOUNS[self.dims]} of {'x'.join(map(str, sides))} are too small for this network: it halves down to "
                f"1/{self.multiple}, so every side must be at least {self.multiple} (fewer levels in mults, or "
                "patch=1, need less)"
            )

    def forward(self, x: Tensor, index: Tensor, labels: Tensor | None = None, keys: Tensor | None = None) -> Tensor:
        """The prediction for x (B, channels, *sides) at time indices (B,) in 0..T−1: (B, out_channels, *sides).

        `labels` (B,) are class numbers, negative for "no class", which is also what None means. `keys` (B,) of
        `randomness` make dropout a function of them; without, PyTorch's generator draws it.
        """
        if self.dims == 3 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # oneDNN's bfloat16 Conv3d is wrong on thin volumes: where the depth is 2 its gradient is memory never set
            with torch.autocast("cpu", enabled=False):
                out: Tensor = self(x.float(), index, labels, keys)
                return out
        sides = x.shape[2:]
        self.check_size(*sides)
        x = fold(pad(x, self.multiple), self.patch)

        temb = self.time(timestep_embedding(index, self.width))
        if self.label is not None and self.classes is not None:
            labels = torch.full_like(index, -1) if labels is None else labels
            temb = temb + self.label(labels.where(labels >= 0, self.classes))
        temb = F.silu(temb)  # every block begins with it, so it is done once

        h = self.stem(x)
        skips = [h]
        for module in self.down:
            h = module(h, temb, keys)
            skips.append(h)
        for module in self.middle:
            h = module(h, temb, keys)
        for module in self.up:
            h = module(torch.cat([h, skips.pop()], dim=1) if module.skip else h, temb, keys)
        h = self.out(self.norm(h))
        return crop(unfold(h, self.patch), sides)
