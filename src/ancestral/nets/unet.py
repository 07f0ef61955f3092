"""The U-Net of the DDPM paper (Ho, Jain and Abbeel 2020, appendix B), wired and initialised as the authors' code has
it.

At its defaults, with channels=3, it is the CIFAR-10 network of 35,746,307 parameters. Beyond the paper it takes class
labels, any height and width (padded inside, cropped on the way out), any number of channels, and a space-to-depth stem:
`patch=2` folds each 2×2 block of pixels into channels, so a small network on small images spends its time in fewer,
wider convolutions.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.errors import InputError
from ancestral.nets.embedding import timestep_embedding

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

ZERO = 1e-10
"""The variance scale that the paper's code gives to layers "initialised to 0"."""


class UNet(nn.Module):
    """ε_θ(x, index): the shape of x in, the same out, with `out_channels` channels.

    Args:
        channels: of the images.
        width: channels of the first level; level i has width · mults[i].
        mults: one entry for each level; every level but the last halves the resolution.
        blocks: residual blocks of a level on the way down; one more on the way up.
        attention: resolutions (of images of `image_size`, after the stem) whose blocks are followed by self-attention.
        dropout: in each residual block, before its second convolution.
        image_size: the side (the longer one) that `attention` refers to. Other sizes work too.
        out_channels: of the output; `channels` unless given.
        classes: number of class labels; the network also learns an embedding for "no class".
        patch: side of the space-to-depth stem; 1 is the paper's network.
        groups: of every group norm; None is the paper's 32, and fewer in narrow layers.
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
    ) -> None:
        super().__init__()
        self.channels, self.width, self.classes, self.patch = channels, width, classes, patch
        self.multiple = patch * 2 ** (len(mults) - 1)
        """Heights and widths are padded to a multiple of this: the stem times the halvings."""
        self.check_size(image_size, image_size)
        resolution = math.ceil(image_size / self.multiple) * self.multiple // patch
        depth = channels * patch**2
        temb = 4 * width
        self.time = nn.Sequential(_init(nn.Linear(width, temb)), nn.SiLU(), _init(nn.Linear(temb, temb)))
        self.label = nn.Embedding(classes + 1, temb) if classes else None  # the last row is "no class"
        self.stem = _conv(depth, width)

        widths = [width * mult for mult in mults]
        if groups is not None and (groups < 1 or any(after % groups for after in [width, *widths])):
            raise InputError(f"groups={groups} does not divide the channels of every level, {[width, *widths]}")
        attends = [resolution >> level in attention for level in range(len(mults))]
        skips = [width]
        self.down = nn.ModuleList()
        for level, (before, after) in enumerate(pairwise([width, *widths])):
            for block in range(blocks):
                self.down.append(Stage(before if block == 0 else after, after, temb, dropout, attends[level], groups))
                skips.append(after)
            if level < len(mults) - 1:
                self.down.append(Downsample(after))
                skips.append(after)
        self.middle = nn.ModuleList([Stage(after, after, temb, dropout, attend, groups) for attend in (True, False)])
        self.up = nn.ModuleList()
        x_width = after
        for level in reversed(range(len(mults))):
            for _ in range(blocks + 1):
                before = x_width + skips.pop()
                self.up.append(Stage(before, widths[level], temb, dropout, attends[level], groups, skip=True))
                x_width = widths[level]
            if level:
                self.up.append(Upsample(x_width))
        self.norm = _norm(x_width, groups)
        self.out = _conv(x_width, (out_channels or channels) * patch**2, scale=ZERO)

    def check_size(self, height: int, width: int) -> None:
        """Raise InputError where an image has no pixel for each cell of the lowest level."""
        if min(height, width) < self.multiple:
            raise InputError(
                f"images of {height}x{width} are too small for this network: it halves down to 1/{self.multiple}, so "
                f"height and width must be at least {self.multiple} (fewer levels in mults, or patch=1, need less)"
            )

    def forward(self, x: Tensor, index: Tensor, labels: Tensor | None = None) -> Tensor:
        """The prediction for x (B, channels, H, W) at time indices (B,) in 0..T−1, of shape (B, out_channels, H, W).

        `labels` (B,) are class numbers, negative for "no class", which is also what None means.
        """
        height, width = x.shape[-2:]
        self.check_size(height, width)
        x = F.pixel_unshuffle(_pad(x, self.multiple), self.patch)

        temb = self.time(timestep_embedding(index, self.width))
        if self.label is not None and self.classes is not None:
            labels = torch.full_like(index, -1) if labels is None else labels
            temb = temb + self.label(labels.where(labels >= 0, self.classes))
        temb = F.silu(temb)  # every block begins with it, so it is done once

        h = self.stem(x)
        skips = [h]
        for module in self.down:
            h = module(h, temb)
            skips.append(h)
        for module in self.middle:
            h = module(h, temb)
        for module in self.up:
            h = module(torch.cat([h, skips.pop()], dim=1) if module.skip else h, temb)
        h = self.out(F.silu(self.norm(h)))
        return _crop(F.pixel_shuffle(h, self.patch), height, width)


class Stage(nn.Module):
    """A residual block, and self-attention after it where `attend` is set."""

    def __init__(
        self,
        in_width: int,
        out_width: int,
        temb: int,
        dropout: float,
        attend: bool,
        groups: int | None,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.skip = skip
        """Whether the input is joined with the skip connection of the same resolution."""
        self.block = ResidualBlock(in_width, out_width, temb, dropout, groups)
        self.attention = SelfAttention(out_width, groups) if attend else nn.Identity()

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, out_width, H, W)."""
        out: Tensor = self.attention(self.block(x, temb))
        return out


class ResidualBlock(nn.Module):
    """norm, swish, conv; add the time; norm, swish, dropout, conv; add the input (by a 1×1 where widths differ)."""

    def __init__(self, in_width: int, out_width: int, temb: int, dropout: float, groups: int | None) -> None:
        super().__init__()
        self.norm1 = _norm(in_width, groups)
        self.conv1 = _conv(in_width, out_width)
        self.time = _init(nn.Linear(temb, out_width))
        self.norm2 = _norm(out_width, groups)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = _conv(out_width, out_width, scale=ZERO)
        self.shortcut = nn.Identity() if in_width == out_width else _conv(in_width, out_width, kernel=1)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """(B, in_width, H, W) to (B, out_width, H, W), with temb (B, temb) already through swish."""
        h = self.conv1(F.silu(self.norm1(x))) + self.time(temb)[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        out: Tensor = self.shortcut(x) + h
        return out


class SelfAttention(nn.Module):
    """One head over all positions, residual; q, k and v come from one 1×1 convolution."""

    def __init__(self, width: int, groups: int | None) -> None:
        super().__init__()
        self.norm = _norm(width, groups)
        self.qkv = _conv(width, 3 * width, kernel=1, fan_out=width)  # three layers of `width` outputs, drawn as such
        self.out = _conv(width, width, kernel=1, scale=ZERO)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same."""
        batch, width, rows, columns = x.shape
        qkv = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)  # (B, H·W, 3·width): free in channels_last
        q, k, v = qkv.unsqueeze(1).chunk(3, dim=-1)
        h = F.scaled_dot_product_attention(q, k, v)  # softmax(q kᵀ / √width) v
        out: Tensor = x + self.out(h.squeeze(1).transpose(1, 2).reshape(batch, width, rows, columns))
        return out


class Downsample(nn.Module):
    """3×3 convolution of stride 2, padded below and to the right only: TensorFlow's "SAME"."""

    skip = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, width, stride=2)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """(B, width, H, W) to (B, width, H/2, W/2)."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Each pixel twice in both directions, then a 3×3 convolution.

    It is computed as what it equals: of the three taps along an axis two meet the same pixel, so every second output is
    a 2×2 convolution of the small image, with those taps added up: 16 multiplications where there were 36.
    """

    skip = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, width)
        taps = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # (even or odd output, of 2, of 3)
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        """(B, width, H, W) to (B, width, 2H, 2W)."""
        batch, width, height, columns = x.shape
        taps = self.taps.to(self.conv.weight.dtype)
        weight = torch.einsum("iah,jbw,ochw->ijocab", taps, taps, self.conv.weight).flatten(0, 2)
        bias = None if self.conv.bias is None else self.conv.bias.repeat(4)
        h = F.conv2d(F.pad(x, (1, 1, 1, 1)), weight, bias).permute(0, 2, 3, 1)  # four images, by channel
        h = h.reshape(batch, height + 1, columns + 1, 2, 2, width)
        rows = [
            torch.stack([h[:, i : i + height, j : j + columns, i, j] for j in (0, 1)], dim=3) for i in (0, 1)
        ]  # of (B, H, W, 2, width)
        return torch.stack(rows, dim=2).reshape(batch, 2 * height, 2 * columns, width).permute(0, 3, 1, 2)


def _norm(width: int, groups: int | None = None) -> nn.GroupNorm:
    """Group normalisation in `groups` groups; None is the paper's 32, and fewer in a narrow layer, of 4 channels each.

    A group of one channel would wipe out that channel's mean, and could not be normalised on a single pixel at all.
    """
    return nn.GroupNorm(groups or math.gcd(32, width // 4, width), width, eps=1e-6)


def _conv(
    in_width: int, out_width: int, kernel: int = 3, stride: int = 1, scale: float = 1.0, fan_out: int | None = None
) -> nn.Conv2d:
    """A convolution that keeps the resolution, or with stride 2 is handed an already padded input."""
    conv = nn.Conv2d(in_width, out_width, kernel, stride, padding=kernel // 2 if stride == 1 else 0)
    return _init(conv, scale, fan_out)


def _init(layer: Layer, scale: float = 1.0, fan_out: int | None = None) -> Layer:
    """Variance scaling over the mean of the two fans, uniform; bias 0."""
    area = layer.weight[0, 0].numel()
    fan_in, fan_out = layer.weight.shape[1] * area, (fan_out or layer.weight.shape[0]) * area
    limit = math.sqrt(3 * scale / ((fan_in + fan_out) / 2))
    nn.init.uniform_(layer.weight, -limit, limit)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # none of these layers is without one
    return layer


def _pad(x: Tensor, multiple: int) -> Tensor:
    """Zeros around x (B, C, H, W), so that both sides are multiples; the image stays in the middle."""
    down, right = (-x.shape[-2]) % multiple, (-x.shape[-1]) % multiple
    if not down and not right:
        return x
    return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))


def _crop(x: Tensor, height: int, width: int) -> Tensor:
    """The middle (height, width) of x: undoes `_pad`."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
