"""What the U-Net is built of, as the DDPM authors' code has it, for signals, images and volumes (dims 1, 2 and 3)."""

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.nets.convolution import Conv1d, Conv2d, Conv3d
from ancestral.nets.dropout import Dropout
from ancestral.nets.norm import GroupNorm

Conv = Conv1d | Conv2d | Conv3d
CONV: dict[int, type[Conv]] = {1: Conv1d, 2: Conv2d, 3: Conv3d}
CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
Layer = TypeVar("Layer", bound=Conv | nn.Linear)

ZERO = 1e-10
"""The variance scale that the paper's code gives to layers "initialised to 0"."""

ATTEND_WHOLE = 1024
"""Positions up to which attention in bfloat16 on a CPU is written out: PyTorch's own takes 1.7 times as long there."""

UPSAMPLED = {1: "iax,onx->iona", 2: "iax,jby,onxy->ijonab", 3: "iax,jby,kcz,onxyz->ijkonabc"}
"""The sums of taps of `Upsample`: output i along an axis (even or odd), tap a of its 2, tap x of the 3."""


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
        dims: int = 2,
    ) -> None:
        super().__init__()
        self.skip = skip
        """Whether the input is joined with the skip connection of the same resolution."""
        self.block = ResidualBlock(in_width, out_width, temb, dropout, groups, dims)
        self.attention = SelfAttention(out_width, groups, dims) if attend else nn.Identity()

    def forward(self, x: Tensor, temb: Tensor, keys: Tensor | None = None) -> Tensor:
        """(B, in_width, *sides) to (B, out_width, *sides)."""
        out: Tensor = self.attention(self.block(x, temb, keys))
        return out


class ResidualBlock(nn.Module):
    """norm, swish, conv; add the time; norm, swish, dropout, conv; add the input (by a 1×1 where widths differ)."""

    def __init__(
        self, in_width: int, out_width: int, temb: int, dropout: float, groups: int | None, dims: int = 2
    ) -> None:
        super().__init__()
        self.norm1 = norm(in_width, groups)
        self.conv1 = conv(dims, in_width, out_width)
        self.time = init(nn.Linear(temb, out_width))
        self.norm2 = norm(out_width, groups)
        self.dropout = Dropout(dropout)
        self.conv2 = conv(dims, out_width, out_width, scale=ZERO)
        self.shortcut = nn.Identity() if in_width == out_width else conv(dims, in_width, out_width, kernel=1)

    def forward(self, x: Tensor, temb: Tensor, keys: Tensor | None = None) -> Tensor:
        """(B, in_width, *sides) to (B, out_width, *sides), with temb (B, temb) already through swish."""
        h = self.conv1(self.norm1(x)) + self.time(temb)[(..., *[None] * (x.ndim - 2))]
        h = self.conv2(self.dropout(self.norm2(h), keys))
        out: Tensor = self.shortcut(x) + h
        return out


class SelfAttention(nn.Module):
    """One head over all positions, residual; q, k and v come from one 1×1 convolution, computed as the dense layer that
    it is.
    """

    def __init__(self, width: int, groups: int | None, dims: int = 2) -> None:
        super().__init__()
        self.norm = norm(width, groups, swish=False)
        self.qkv = conv(dims, width, 3 * width, kernel=1, fan_out=width)  # three layers of `width` outputs each
        self.out = conv(dims, width, width, kernel=1, scale=ZERO)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, *sides) to the same."""
        h = self.norm(x).flatten(2).transpose(1, 2)  # (B, positions, width): free in channels_last
        b_q, b_k, b_v = self.qkv.bias.chunk(3)  # type: ignore[union-attr]  # it has one
        # a key's bias adds the same to all that a query compares, which softmax does not see: its gradient would be
        # nothing but rounding, which Adam makes into steps of full size, other ones on other machines
        bias = torch.cat([b_q, b_k.detach(), b_v])
        q, k, v = F.linear(h, self.qkv.weight.flatten(1), bias).unsqueeze(1).chunk(3, dim=-1)
        out: Tensor = x + self.out(attend(q, k, v).squeeze(1).transpose(1, 2).reshape(x.shape))
        return out


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ / √width) v, of shape (B, heads, positions, width) like each of the three."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[2] <= ATTEND_WHOLE:
        weights: Tensor = (q * q.shape[3] ** -0.5 @ k.transpose(2, 3)).softmax(3)
        return torch.matmul(weights, v)
    return F.scaled_dot_product_attention(q, k, v)


class Downsample(nn.Module):
    """A convolution of 3 taps an axis and stride 2, padded at the end of each axis only: TensorFlow's "SAME"."""

    skip = False

    def __init__(self, width: int, dims: int = 2) -> None:
        super().__init__()
        self.conv = conv(dims, width, width, stride=2)

    def forward(self, x: Tensor, temb: Tensor, keys: Tensor | None = None) -> Tensor:
        """(B, width, *sides) to (B, width, *sides / 2)."""
        out: Tensor = self.conv(F.pad(x, (0, 1) * (x.ndim - 2)))
        return out


class Upsample(nn.Module):
    """Each pixel twice along every axis, then a convolution of 3 taps an axis.

    It is computed as what it equals: of the three taps along an axis two meet the same pixel, so every second output is
    a convolution of 2 taps an axis of the small image, with those taps added up: for images 16 multiplications where
    there were 36, for volumes 64 for 216.
    """

    skip = False

    def __init__(self, width: int, dims: int = 2) -> None:
        super().__init__()
        self.conv = conv(dims, width, width)
        taps = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # (even or odd output, of 2, of 3)
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor, temb: Tensor, keys: Tensor | None = None) -> Tensor:
        """(B, width, *sides) to (B, width, *2·sides)."""
        width, *sides = x.shape[1:]
        dims = len(sides)
        taps = self.taps.to(self.conv.weight.dtype)
        weight = torch.einsum(UPSAMPLED[dims], *[taps] * dims, self.conv.weight).flatten(0, dims)
        bias = None if self.conv.bias is None else self.conv.bias.repeat(2**dims)
        h = CONVOLVE[dims](F.pad(x, (1, 1) * dims), weight, bias).movedim(1, -1)  # an image for each i, j.., by channel
        h = torch.unflatten(h, -1, (*[2] * dims, width))
        for axis, side in enumerate(sides, 1):  # the first 2 that is left belongs to this axis
            pair = [h.narrow(axis, i, side).select(dims + 1, i) for i in (0, 1)]
            h = torch.stack(pair, dim=axis + 1).flatten(axis, axis + 1)
        return h.movedim(-1, 1)


def norm(width: int, groups: int | None = None, swish: bool = True) -> GroupNorm:
    """Group normalisation and swish in `groups` groups; None is 32, and fewer in a narrow layer, of 4 channels each.

    A group of one channel would wipe out that channel's mean, and could not be normalised on a single pixel at all.
    """
    return GroupNorm(groups or math.gcd(32, width // 4, width), width, swish)


def conv(
    dims: int,
    in_width: int,
    out_width: int,
    kernel: int = 3,
    stride: int = 1,
    scale: float = 1.0,
    fan_out: int | None = None,
) -> Conv:
    """A convolution that keeps the resolution, or with stride 2 is handed an already padded input."""
    layer = CONV[dims](in_width, out_width, kernel, stride, padding=kernel // 2 if stride == 1 else 0)
    return init(layer, scale, fan_out)


def init(layer: Layer, scale: float = 1.0, fan_out: int | None = None) -> Layer:
    """Variance scaling over the mean of the two fans, uniform; bias 0."""
    area = layer.weight[0, 0].numel()
    fan_in, fan_out = layer.weight.shape[1] * area, (fan_out or layer.weight.shape[0]) * area
    limit = math.sqrt(3 * scale / ((fan_in + fan_out) / 2))
    nn.init.uniform_(layer.weight, -limit, limit)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # none of these layers is without one
    return layer
