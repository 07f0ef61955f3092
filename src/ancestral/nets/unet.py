"""The U-Net of the DDPM paper (Ho, Jain and Abbeel 2020, appendix B), with the authors' wiring and initialisation.

With its defaults it is the CIFAR-10 network of 35,746,307 parameters. Beyond the paper it takes class labels, any
height and width (padded inside, cropped at the end), any number of channels, signals and volumes beside images, and a
space-to-depth stem: `patch=2` folds each 2×2 block of pixels into channels, so that a small network on small images
spends its time in fewer, wider convolutions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.conditions import Condition
from ancestral.nets.conditioning import (
    WORDS_HEADS,
    ConditionLayers,
    CrossAttention,
    class_index,
    sequence_width,
    timestep_embedding,
)
from ancestral.nets.kernels.attention import attend, merged_attention, merges
from ancestral.nets.kernels.convolution import CONV, TAPS, Conv, go_around, upsampled_convolution
from ancestral.nets.kernels.dropout import Dropout, number_dropouts
from ancestral.nets.kernels.normalisation import GroupNorm
from ancestral.nets.space import check_counts, crop, extend, fold, pad, sequence, unfold

ZERO = 1e-10
"""The variance scale that the authors' code gives to layers "initialised to 0"."""

NOUNS = {1: "signals", 2: "images", 3: "volumes"}
"""Noun of what x holds, by its number of axes of space."""

Layer = TypeVar("Layer", bound=Conv | nn.Linear)


class BlockSettings(NamedTuple):
    """What all blocks of a network have in common.

    Attributes:
        temb: The length of the time embedding.
        dropout: The probability of dropout.
        groups: The number of groups of a group norm, as of `norm`.
        dims: The number of axes of space.
        words: The number of features of the words that are attended to; None without words.
    """

    temb: int
    dropout: float = 0.0
    groups: int | None = None
    dims: int = 2
    words: int | None = None


class ResidualBlock(nn.Module):
    """norm, SiLU, conv; add the time; norm, SiLU, dropout, conv; add the input (by a 1×1 where widths differ)."""

    def __init__(self, in_width: int, out_width: int, settings: BlockSettings) -> None:
        super().__init__()
        temb, dropout, groups, dims, _ = settings
        self.norm1 = norm(in_width, groups, silu=True)
        self.conv1 = conv(dims, in_width, out_width)
        self.time = init(nn.Linear(temb, out_width))
        self.norm2 = norm(out_width, groups, silu=True)
        self.dropout = Dropout(dropout)
        self.conv2 = conv(dims, out_width, out_width, scale=ZERO)
        self.shortcut = nn.Identity() if in_width == out_width else conv(dims, in_width, out_width, kernel=1)

    def forward(self, x: Tensor, temb: Tensor, keys: Tensor | None = None) -> Tensor:
        """Map (B, in_width, *sides) to (B, out_width, *sides), given SiLU of the time embedding (B, temb)."""
        h = self.conv1(self.norm1(x)) + self.time(temb)[(..., *[None] * (x.ndim - 2))]
        h = self.conv2(self.dropout(self.norm2(h), keys))
        out: Tensor = self.shortcut(x) + h
        return out


class SelfAttention(nn.Module):
    """One head over all positions, with a residual connection."""

    def __init__(self, width: int, groups: int | None, dims: int = 2) -> None:
        super().__init__()
        self.norm = norm(width, groups)
        self.qkv = init(CONV[dims](width, 3 * width, 1), fan_out=width)  # three layers of `width` outputs each
        self.out = conv(dims, width, width, kernel=1, scale=ZERO)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, *sides) to the same shape."""
        h = sequence(self.norm(x))
        if merges(h):
            pairs = [(layer.weight.flatten(1), layer.bias) for layer in (self.qkv, self.out)]
            h = merged_attention(h, *pairs)  # type: ignore[arg-type]  # both have a bias
            return x + h.transpose(1, 2).reshape(x.shape)
        b_q, b_k, b_v = self.qkv.bias.chunk(3)  # type: ignore[union-attr]  # it has one
        # the keys' bias adds the same to all logits of a query, which softmax ignores: its gradient would be rounding
        # errors alone, which Adam turns into steps of full size, different ones on every machine
        bias = torch.cat([b_q, b_k.detach(), b_v])
        q, k, v = F.linear(h, self.qkv.weight.flatten(1), bias).unsqueeze(1).chunk(3, dim=-1)  # a 1×1 is a dense layer
        out: Tensor = x + self.out(attend(q, k, v).squeeze(1).transpose(1, 2).reshape(x.shape))
        return out


class WordsAttention(nn.Module):
    """Attention of all positions to words, with a residual connection."""

    def __init__(self, width: int, groups: int | None, words: int) -> None:
        super().__init__()
        self.norm = norm(width, groups)
        self.attention = CrossAttention(width, words, math.gcd(WORDS_HEADS, width))

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """Map (B, width, *sides) to the same shape, given the sequence of words (B, S, 2 words)."""
        out: Tensor = x + self.attention(sequence(self.norm(x)), words).transpose(1, 2).reshape(x.shape)
        return out


class UNetBlock(nn.Module):
    """A residual block, followed by self-attention where `attend`, and there by attention to words, if there are any.

    With `skip` its input is concatenated with the skip connection of the same resolution.
    """

    def __init__(
        self, in_width: int, out_width: int, settings: BlockSettings, attend: bool = False, skip: bool = False
    ) -> None:
        super().__init__()
        self.skip = skip
        self.block = ResidualBlock(in_width, out_width, settings)
        self.attention = SelfAttention(out_width, settings.groups, settings.dims) if attend else nn.Identity()
        self.words = WordsAttention(out_width, settings.groups, settings.words) if attend and settings.words else None

    def forward(self, x: Tensor, temb: Tensor, keys: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        """Map (B, in_width, *sides) to (B, out_width, *sides)."""
        out: Tensor = self.attention(self.block(x, temb, keys))
        if self.words is not None and words is not None:
            out = self.words(out, words)
        return out


class DownsampleLayer(nn.Module):
    """A convolution of 3 taps an axis and stride 2, padded at the end of each axis only: TensorFlow's "SAME"."""

    skip = False

    def __init__(self, in_width: int, out_width: int, dims: int = 2) -> None:
        super().__init__()
        self.conv = conv(dims, in_width, out_width, stride=2)

    def forward(self, x: Tensor, temb: Tensor, keys: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        """Map (B, in_width, *sides) to (B, out_width, *sides / 2)."""
        out: Tensor = self.conv(extend(x, [(0, 1)] * (x.ndim - 2), self.conv.periodic))
        return out


class UpsampleLayer(nn.Module):
    """Each pixel twice along every axis, then a convolution of 3 taps an axis."""

    skip = False
    taps: Tensor

    def __init__(self, in_width: int, out_width: int, dims: int = 2) -> None:
        super().__init__()
        self.conv = conv(dims, in_width, out_width)
        self.register_buffer("taps", torch.tensor(TAPS), persistent=False)

    def forward(self, x: Tensor, temb: Tensor, keys: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        """Map (B, in_width, *sides) to (B, out_width, *2·sides)."""
        return upsampled_convolution(x, self.conv.weight, self.conv.bias, self.taps, self.conv.periodic)


@checked_class
class UNet(nn.Module):
    """ε_θ(x, index): the shape of x in, the same out, with `out_channels` channels.

    x is (B, C, H, W), with dims=1 a signal (B, C, L), with dims=3 a volume (B, C, D, H, W).

    Args:
        channels: Number of channels of the images.
        width: Number of channels of the first level; level i has width · mults[i].
        mults: One entry for each level; every level but the last halves the resolution.
        blocks: Number of residual blocks of a level in the first half; one more in the second half.
        attention: Resolutions (of images of `image_size`, after the stem) whose blocks are followed by self-attention.
        dropout: Probability in each residual block, before its second convolution.
        image_size: The side (the longest one) that `attention` refers to. Other sizes work too.
        out_channels: Number of channels of the output; `channels` by default.
        classes: Number of class labels; the network also learns an embedding for "no class".
        patch: Side of the space-to-depth stem; 1 is the paper's network.
        groups: Number of groups of every group norm; None is the paper's 32, and fewer in narrow layers.
        narrow: Whether the convolutions that change the resolution also change the width, so that no level holds the
            wide features of the level below it. There is then one skip connection for each block of the levels above
            the lowest, and as many blocks in the second half, none of them at the lowest level.
        dims: Number of axes of space, 1, 2 or 3.
        conditions: What it is conditioned on besides class labels, by name.
        periodic: Axes of space that go around, by number: a translation along them by a multiple of `multiple`
            translates the output, where the side is one too.

    Raises:
        InputError: If the numbers do not fit together.

    References:
        Ho, Jain and Abbeel, *Denoising diffusion probabilistic models* (2020), appendix B.
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
        conditions: Mapping[str, Condition] | None = None,
        narrow: bool = False,
        periodic: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if dims not in NOUNS:
            raise InputError(f"a U-Net has 1, 2 or 3 axes of space, not dims={dims}")
        counts = {"channels": channels, "width": width, "blocks": blocks, "image_size": image_size, "patch": patch}
        check_counts("a U-Net", **counts, out_channels=out_channels, mults=min(mults, default=0))
        self.channels, self.width, self.classes, self.patch, self.dims = channels, width, classes, patch, dims
        self.narrow, self.periodic = narrow, tuple(periodic)
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
        settings = BlockSettings(temb, dropout, groups, dims, sequence_width(conditions))
        self.resolutions = tuple(resolution >> level for level in range(len(mults)))
        """The longest side of an image of `image_size` at each level."""
        levels = [(after, side in attention) for after, side in zip(widths, self.resolutions, strict=True)]
        self.joined = [] if narrow else [0]
        """The numbers of the outputs, of the stem and of the modules of the first half, that are skip connections."""
        self.down = nn.ModuleList()
        skips = self._halve(levels, blocks, settings)
        after = widths[-1]
        self.middle = nn.ModuleList([UNetBlock(after, after, settings, attend) for attend in (True, False)])
        self.up = nn.ModuleList()
        x_width = self._double(levels, blocks, settings, skips)
        self.norm = norm(x_width, groups, silu=True)
        self.out = conv(dims, x_width, (out_channels or channels) * cell, scale=ZERO)
        image_stem = lambda channels: conv(dims, channels * cell, width, scale=0)  # noqa: E731
        lowest = lambda channels: conv(dims, channels, widths[-1], kernel=1)  # noqa: E731
        self.conditioning = ConditionLayers(conditions or {}, temb, image_stem, lowest)
        self.conditioning.part(self.out)
        number_dropouts(self)
        go_around(self, self.periodic)

    def _halve(self, levels: Sequence[tuple[int, bool]], blocks: int, settings: BlockSettings) -> list[int]:
        """Make the first half, of levels of some width, with attention or without; return the widths of its skips."""
        last, outputs = len(levels) - 1, [self.width]
        for level, (after, attends) in enumerate(levels):
            for _ in range(blocks):
                self.down.append(UNetBlock(outputs[-1], after, settings, attends))
                outputs.append(after)
                self.joined += [len(self.down)] if not self.narrow or level < last else []
            if level < last:
                below = levels[level + 1][0] if self.narrow else after
                self.down.append(DownsampleLayer(after, below, self.dims))
                outputs.append(below)
                self.joined += [] if self.narrow else [len(self.down)]
        return [outputs[number] for number in self.joined]

    def _double(
        self, levels: Sequence[tuple[int, bool]], blocks: int, settings: BlockSettings, skips: list[int]
    ) -> int:
        """Make the second half, which takes the skips from their end; return the width of its output."""
        last, x_width = len(levels) - 1, levels[-1][0]
        for level, (after, attends) in reversed([*enumerate(levels)]):
            for _ in range(blocks * (level < last) if self.narrow else blocks + 1):
                self.up.append(UNetBlock(x_width + skips.pop(), after, settings, attends, skip=True))
                x_width = after
            if level:
                above = levels[level - 1][0] if self.narrow else x_width
                self.up.append(UpsampleLayer(x_width, above, self.dims))
                x_width = above
        return x_width

    def check_size(self, *sides: int) -> None:
        """Raise InputError where images of these sides are smaller than one pixel at the lowest level."""
        if min(sides) < self.multiple:
            raise InputError(
                f"{NOUNS[self.dims]} of {'x'.join(map(str, sides))} are too small for this network: it halves down to "
                f"1/{self.multiple}, so every side must be at least {self.multiple} (fewer levels in mults, or "
                "patch=1, need less)"
            )

    def forward(
        self,
        x: Tensor,
        index: Tensor,
        labels: Tensor | None = None,
        keys: Tensor | None = None,
        **conditions: Tensor | None,
    ) -> Tensor:
        """Predict the target.

        Args:
            x: Noisy images, (B, channels, *sides).
            index: Time indices t − 1, int64 (B,).
            labels: Class numbers (B,), negative for "no class", which is also what None means.
            keys: Keys of `randomness` (B,) that dropout masks are functions of; None: PyTorch's generator draws them.
            conditions: The other conditions, by name, as their kinds encode them; what is left out is absent.

        Returns:
            (B, out_channels, *sides).
        """
        if self.dims == 3 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # oneDNN's bfloat16 Conv3d is wrong on thin volumes: where the depth is 2 its gradient is memory never set
            with torch.autocast("cpu", enabled=False):
                out: Tensor = self(x.to(self.stem.weight.dtype), index, labels, keys, **conditions)
                return out
        sides = x.shape[2:]
        self.check_size(*sides)
        self.conditioning.check(conditions)
        x, values = self.conditioning.drawn(x, index, keys, conditions)
        images = self.conditioning.image(x, values)
        x = fold(pad(x, self.multiple, self.periodic), self.patch)

        temb = self.time(timestep_embedding(index, self.width, x.dtype))
        if self.label is not None and self.classes is not None:
            labels = torch.full_like(index, -1, dtype=torch.int64) if labels is None else labels
            temb = temb + self.label(class_index(labels, self.classes))
        temb, words = self.conditioning.embed(temb, values)
        temb = F.silu(temb)  # every block begins with it: computed once

        h = self.stem(x)
        if images is not None and self.conditioning.stem is not None:
            h = h + self.conditioning.stem(fold(pad(images, self.multiple, self.periodic), self.patch))
        skips = [h] if 0 in self.joined else []
        for number, module in enumerate(self.down, start=1):
            h = module(h, temb, keys, words)
            if number in self.joined:
                skips.append(h)
        noise = self.conditioning.on_lowest_grid(h.shape[2:], values, h)
        h = h if noise is None else h + noise
        for module in self.middle:
            h = module(h, temb, keys, words)
        for module in self.up:
            h = module(torch.cat([h, skips.pop()], dim=1) if module.skip else h, temb, keys, words)
        h = self.out(self.norm(h))
        return crop(unfold(h, self.patch), sides)


def norm(width: int, groups: int | None = None, silu: bool = False) -> GroupNorm:
    """Group normalisation in `groups` groups; None is 32, and fewer in a narrow layer, of 4 channels each.

    A group of one channel would wipe out that channel's mean, and could not be normalised on a single pixel at all.
    """
    return GroupNorm(groups or math.gcd(32, width // 4, width), width, silu)


def conv(
    dims: int,
    in_width: int,
    out_width: int,
    kernel: int = 3,
    stride: int = 1,
    scale: float = 1.0,
) -> Conv:
    """A convolution that keeps the resolution, or with stride 2 takes an input that is already padded."""
    layer = CONV[dims](in_width, out_width, kernel, stride, padding=kernel // 2 if stride == 1 else 0)
    return init(layer, scale)


def init(layer: Layer, scale: float = 1.0, fan_out: int | None = None) -> Layer:
    """Initialise by variance scaling over the mean of the two fans, uniform; bias 0."""
    area = layer.weight[0, 0].numel()
    fan_in, fan_out = layer.weight.shape[1] * area, (fan_out or layer.weight.shape[0]) * area
    limit = math.sqrt(3 * scale / ((fan_in + fan_out) / 2))
    nn.init.uniform_(layer.weight, -limit, limit)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # none of these layers is without one
    return layer
