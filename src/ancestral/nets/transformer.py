"""A plain vision transformer on the pixels themselves, for images, signals and volumes.

Each patch of pixels is a token: no autoencoder, no convolution, no skip connection from early to late layers. Patches
that grow with the resolution keep the number of tokens, and with it the time, nearly the same. Such a network should
predict x_0: clean images lie near a manifold of few dimensions, and noise fills all dimensions of a patch, more than a
narrow layer can pass on.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.base.arguments import checked_class
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.conditions import Condition
from ancestral.nets.conditioning import ConditionLayers, CrossAttention, class_index, sequence_width, timestep_embedding
from ancestral.nets.kernels.attention import attend
from ancestral.nets.kernels.convolution import CONV
from ancestral.nets.kernels.dropout import Dropout, number_dropouts
from ancestral.nets.kernels.normalisation import LayerNorm, in_float32, layer_norm
from ancestral.nets.space import check_counts, crop, fold, pad, sequence, unfold
from ancestral.nets.unet import NOUNS, init

BASE = 100.0
"""Ratio of the largest to the smallest frequency of the positions: the longest wave is 2π · 100 patches long.
Images have some tens of patches a side."""
NORM_EPS = 1e-6
"""Constant that is added to the variance in every layer norm."""

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines of the angles by which the halves of queries and keys are rotated, (positions, pairs) each."""


class MultiHeadAttention(nn.Module):
    """Attention over all positions, with normalised queries and keys that are rotated by their positions.

    References:
        Dehghani et al., *Scaling vision transformers to 22 billion parameters* (2023), the norms of queries and keys.
        Su et al., *RoFormer* (2021), the rotation.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = init(nn.Linear(width, 3 * width), fan_out=width)  # three layers of `width` outputs each
        self.norm_q, self.norm_k = (LayerNorm(width // heads, NORM_EPS, bias=False) for _ in range(2))
        self.out = init(nn.Linear(width, width))

    def forward(self, x: Tensor, rotation: Rotation) -> Tensor:
        """Map (B, positions, width) to the same shape."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, positions, -1) each
        q, k = (rotate(norm(each).to(v.dtype), rotation) for norm, each in ((self.norm_q, q), (self.norm_k, k)))
        out: Tensor = self.out(attend(q, k, v).transpose(1, 2).flatten(2))
        return out


class SwiGLU(nn.Module):
    """The gated MLP out(SiLU(gate) · value), with as many weights as one of four times the width.

    References:
        Shazeer, *GLU variants improve transformer* (2020).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 8 * round(width / 3)
        self.gate_value = init(nn.Linear(width, 2 * hidden), fan_out=hidden)
        self.out = init(nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, positions, width) to the same shape."""
        gate, value = self.gate_value(x).chunk(2, dim=2)
        out: Tensor = self.out(F.silu(gate) * value)
        return out


class TransformerBlock(nn.Module):
    """Attention, then the MLP, each with a norm and a residual connection that time and class scale and shift.

    At first all gates are 0, so the block is the identity (adaLN-Zero). Where there are words, the tokens attend to
    them in between, by a layer that ends in zeros.

    References:
        Peebles and Xie, *Scalable diffusion models with transformers* (2023).
    """

    def __init__(self, width: int, heads: int, dropout: float, sequence_width: int | None = None) -> None:
        super().__init__()
        self.modulation = init(nn.Linear(width, 6 * width), scale=0)
        self.attention, self.mlp = MultiHeadAttention(width, heads), SwiGLU(width)
        self.words = CrossAttention(width, sequence_width, heads) if sequence_width else None
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        rotation: Rotation,
        keys: Tensor | None = None,
        sequence: Tensor | None = None,
    ) -> Tensor:
        """Map (B, positions, width) to the same shape, given SiLU of the embedding of time and class (B, width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).unsqueeze(1).chunk(6, dim=2)
        x = x + gate1 * drop(self.dropout1, self.attention(modulate(x, shift1, scale1), rotation), keys)
        if self.words is not None and sequence is not None:
            x = x + self.words(in_float32(_normalised, x), sequence)
        out: Tensor = x + gate2 * drop(self.dropout2, self.mlp(modulate(x, shift2, scale2)), keys)
        return out


@checked_class
class Transformer(nn.Module):
    """A network of the shape of x in, the same out, with `out_channels` channels.

    x is (B, C, H, W), with dims=1 a signal (B, C, L), with dims=3 a volume (B, C, D, H, W), of any size: sides that are
    no multiple of the patch are padded with zeros inside, and cropped at the end.

    Args:
        channels: Number of channels of the images.
        width: Number of features of a token.
        depth: Number of blocks.
        heads: Number of attention heads; twice this number divides the width.
        patch: Side of the patches.
        bottleneck: Number of features between the pixels of a patch and its token; None is one dense layer.
        dropout: Probability at the end of both branches of each block.
        out_channels: Number of channels of the output; `channels` by default.
        classes: Number of class labels; the network also learns an embedding for "no class".
        dims: Number of axes of space, 1, 2 or 3.
        conditions: What it is conditioned on besides class labels, by name.
        image_size: The side (the longest one) of the images that the patch has to fit, as of `UNet`. Other sizes work
            too; None checks nothing.
        periodic: Axes of space that go around, by number: along them positions have no origin, and waves are those
            that close.

    Raises:
        InputError: If the numbers do not fit together.

    References:
        Li and He, *Back to basics: let denoising generative models denoise* (2025): large patches, and a predicted x_0.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 192,
        depth: int = 6,
        heads: int = 4,
        patch: int = 4,
        bottleneck: int | None = None,
        dropout: float = 0.0,
        out_channels: int | None = None,
        classes: int | None = None,
        dims: int = 2,
        conditions: Mapping[str, Condition] | None = None,
        image_size: int | None = None,
        periodic: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if dims not in NOUNS:
            raise InputError(f"a transformer has 1, 2 or 3 axes of space, not dims={dims}")
        counts = {"channels": channels, "width": width, "depth": depth, "heads": heads, "patch": patch}
        check_counts("a transformer", **counts, bottleneck=bottleneck, out_channels=out_channels, image_size=image_size)
        if image_size is not None and patch > image_size:
            raise InputError(
                f"{option('patch', patch)} is larger than {NOUNS[dims]} with a longest side of {image_size}; give at "
                f"most {image_size}"
            )
        if width % heads or width // heads % 2 or width // heads < 2 * dims:
            raise InputError(
                f"width={width} must be a multiple of heads={heads}, with an even number of features in each head, and "
                f"at least {2 * dims} for {NOUNS[dims]}"
            )
        self.width, self.heads, self.patch, self.classes, self.dims = width, heads, patch, classes, dims
        self.periodic = tuple(periodic)
        cell = channels * patch**dims
        steps = [cell, width] if bottleneck is None else [cell, bottleneck, width]
        self.time = nn.Sequential(init(nn.Linear(width, width)), nn.SiLU(), init(nn.Linear(width, width)))
        self.label = nn.Embedding(classes + 1, width) if classes else None  # the last row is "no class"
        self.stem = nn.Sequential(*(init(nn.Linear(*pair)) for pair in pairwise(steps)))
        words = sequence_width(conditions)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout, words) for _ in range(depth))
        self.modulation = init(nn.Linear(width, 2 * width), scale=0)
        self.out = init(nn.Linear(width, (out_channels or channels) * patch**dims), scale=0)
        image_stem = lambda channels: init(nn.Linear(channels * patch**dims, width), scale=0)  # noqa: E731
        lowest = lambda channels: CONV[dims](channels, width, 1)  # noqa: E731
        self.conditioning = ConditionLayers(conditions or {}, width, image_stem, lowest)
        self.conditioning.part(self.out)
        number_dropouts(self)

    def forward(
        self,
        x: Tensor,
        index: Tensor,
        labels: Tensor | None = None,
        keys: Tensor | None = None,
        **conditions: Tensor | None,
    ) -> Tensor:
        """Predict the target (B, out_channels, *sides). The arguments are those of `UNet.forward`."""
        sides = x.shape[2:]
        self.conditioning.check(conditions)
        x, values = self.conditioning.drawn(x, index, keys, conditions)
        images = self.conditioning.image(x, values)
        x = fold(pad(x, self.patch, self.periodic), self.patch)
        grid = x.shape[2:]

        condition = self.time(timestep_embedding(index, self.width, x.dtype))
        if self.label is not None and self.classes is not None:
            labels = torch.full_like(index, -1, dtype=torch.int64) if labels is None else labels
            condition = condition + self.label(class_index(labels, self.classes))
        condition, words = self.conditioning.embed(condition, values)
        condition = F.silu(condition)  # every block begins with it: computed once

        h = self.stem(sequence(x))
        if images is not None and self.conditioning.stem is not None:
            h = h + self.conditioning.stem(sequence(fold(pad(images, self.patch, self.periodic), self.patch)))
        noise = self.conditioning.on_lowest_grid(grid, values, h)
        h = h if noise is None else h + sequence(noise)
        angle = angles(grid, self.width // 2, x.device, h.dtype, self.periodic, absolute=True)
        h = h + torch.cat([angle.sin(), angle.cos()], dim=1).to(h.dtype)
        angle = angles(grid, self.width // self.heads // 2, x.device, h.dtype, self.periodic)
        rotation = angle.cos().to(h.dtype), angle.sin().to(h.dtype)
        for block in self.blocks:
            h = block(h, condition, rotation, keys, words)
        h = self.out(modulate(h, *self.modulation(condition).unsqueeze(1).chunk(2, dim=2)))
        return crop(unfold(h.transpose(1, 2).unflatten(2, grid), self.patch), sides)


def angles(
    grid: Sequence[int],
    pairs: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    periodic: Sequence[int] = (),
    absolute: bool = False,
) -> Tensor:
    """Angle of each position of a grid in each of `pairs` planes: (positions, pairs), of a dtype or at least float32.

    The planes are shared out to the axes; along its axis a plane has a frequency from 1 down to nearly 1/BASE. Along a
    periodic axis it is the nearest one that closes, and where the angles are absolute, not of differences, it is 0: no
    place is the first. Planes that are left over have the angle 0.
    """
    each = pairs // len(grid)
    work = torch.promote_types(dtype, torch.float32)
    frequency = BASE ** (-torch.arange(each, device=device, dtype=work) / each)
    places = torch.meshgrid(*(torch.arange(side, device=device) for side in grid), indexing="ij")
    frequencies = [frequency] * len(grid)
    for axis in periodic:
        waves = (frequency * grid[axis] / math.tau).round().clamp(min=1)
        frequencies[axis] = waves * (0.0 if absolute else math.tau / grid[axis])
    angle = torch.cat([place.reshape(-1, 1) * each for place, each in zip(places, frequencies, strict=True)], dim=1)
    return F.pad(angle, (0, pairs - angle.shape[1]))


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate feature i of (B, heads, positions, 2 · pairs), with feature i + pairs, by the i-th angle of its position.

    The product of a rotated query and a rotated key depends on the difference of their positions alone.
    """
    (cos, sin), (first, second) = rotation, x.chunk(2, dim=3)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=3)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm of tokens (B, positions, width), scaled and shifted by (B, 1, width) each.

    JiT has the norm without a mean, which on a CPU takes three to eight times as long: PyTorch has no kernel for it.
    """
    return in_float32(_modulate, x, shift, scale)


def _normalised(x: Tensor) -> Tensor:
    return layer_norm(x, eps=NORM_EPS)


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, layer_norm(x, eps=NORM_EPS), 1 + scale)


def drop(dropout: Dropout, x: Tensor, keys: Tensor | None) -> Tensor:
    """Dropout of tokens (B, positions, width), whose elements are numbered with the features innermost."""
    out: Tensor = dropout(x.transpose(1, 2), keys).transpose(1, 2)
    return out
