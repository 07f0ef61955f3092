"""Counter-based dropout: a mask is a function of the image's key, the layer and the element.

So it is the same on any device, in any batch and memory layout, and a step that is computed again, or on another
machine, drops the same elements. The backward pass recomputes the mask. A 64-bit word serves four elements, 16 bits
each, so the probability of a drop is a multiple of 1/65536 (0.1 becomes 0.1000061), and the rescaling is exact for it.
Elements are numbered with the channels innermost, as in channels_last.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral import randomness
from ancestral.base.errors import InputError
from ancestral.base.transforms import transformed

LANES = 2**16


class Dropout(nn.Module):
    """Zero each element with probability p in training, and multiply the others by 1/(1 − p).

    A network with several of these layers needs `number_dropouts`, or all would have the same mask.
    """

    salt: Tensor
    """The layer's number, hashed: int64 of shape ()."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InputError(f"dropout must be from 0 to below 1, not {p}")
        self.p = p
        self.dropped = min(round(p * LANES), LANES - 1)
        """The number of elements dropped out of 65,536."""
        self.register_buffer("salt", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, h: Tensor, keys: Tensor | None = None) -> Tensor:
        """Drop elements of h (B, C, *) by the keys of its images, int64 (B,); without keys, by PyTorch's generator."""
        if keys is None or not self.training or self.p == 0:
            return F.dropout(h, self.p, self.training)
        keys = keys ^ self.salt
        if not torch.compiler.is_compiling() and transformed(h):
            out: Tensor = h * _Factors.apply(keys, h.shape, h.dtype, self.dropped)
            return out
        out = _Drop.apply(h, keys, self.dropped)
        return out


class _Drop(torch.autograd.Function):
    """h times its factors; the gradient likewise."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, keys: Tensor, dropped: int) -> Tensor:
        ctx.save_for_backward(keys)
        ctx.dropped = dropped
        return _product(h, keys, dropped)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (keys,) = ctx.saved_tensors
        return _product(gradient, keys, ctx.dropped), None, None


def _product(h: Tensor, keys: Tensor, dropped: int) -> Tensor:
    """h times its factors. On a GPU these have float32 at least: 1/(1 − p) is wrong by up to 0.2 % in bfloat16."""
    dtype = h.dtype if h.device.type == "cpu" else torch.promote_types(h.dtype, torch.float32)
    return (h * _factors(keys, h.shape, dtype, dropped)).to(h.dtype)


class _Factors(torch.autograd.Function):
    """`_factors` for torch.func.vmap, which cannot batch its operations in place."""

    @staticmethod
    def forward(keys: Tensor, shape: torch.Size, dtype: torch.dtype, dropped: int) -> Tensor:
        return _factors(keys, shape, dtype, dropped)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep nothing: there is no gradient of keys."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, ...], keys: Tensor, *settings: Any) -> tuple[Tensor, int]:
        keys = keys.movedim(in_dims[0], 0)
        factors: Tensor = _Factors.apply(keys.flatten(0, 1), *settings)
        return torch.unflatten(factors, 0, keys.shape), 0


def _factors(keys: Tensor, shape: Sequence[int], dtype: torch.dtype, dropped: int) -> Tensor:
    """Factors 0 or 1/(1 − p) for each element of images (B, C, *), where `shape` is that of these or of one of many
    such batches.
    """
    if torch.compiler.is_compiling():
        out: Tensor = _not_compiled(keys, shape, dtype, dropped)
        return out
    return _computed(keys, shape, dtype, dropped)


def _computed(keys: Tensor, shape: Sequence[int], dtype: torch.dtype, dropped: int, reuse: bool = True) -> Tensor:
    _, channels, *sides = shape
    size = channels * math.prod(sides)
    lanes = randomness.words(keys, -(-size // 4), reuse).view(torch.int16)[:, :size]
    scales = torch.empty(lanes.shape, dtype=dtype, device=keys.device)
    torch.ge(lanes, dropped - LANES // 2, out=scales)  # a bool mask, converted, takes four times as long
    scales *= LANES / (LANES - dropped)
    return scales.reshape(len(keys), *sides, channels).movedim(-1, 1)


# PyTorch 2.13's compiler, for a CPU, makes a program of the view as int16 that writes beyond the end of its memory
@torch.library.custom_op("ancestral::dropout_factors", mutates_args=())
def _not_compiled(keys: Tensor, shape: Sequence[int], dtype: torch.dtype, dropped: int) -> Tensor:
    # a tensor that is kept from call to call could lie in the memory of a CUDA graph, which is used again
    return _computed(keys, shape, dtype, dropped, reuse=False)


@_not_compiled.register_fake
def _(keys: Tensor, shape: Sequence[int], dtype: torch.dtype, dropped: int) -> Tensor:
    _, channels, *sides = shape
    return keys.new_empty((len(keys), *sides, channels), dtype=dtype).movedim(-1, 1)


def number_dropouts(net: nn.Module) -> None:
    """Number the dropout layers of `net` 0, 1, 2... in the order in which they were built."""
    layers = [module for module in net.modules() if isinstance(module, Dropout)]
    salts = randomness.words(torch.zeros(1, dtype=torch.int64), len(layers))[0]
    for layer, salt in zip(layers, salts, strict=True):
        layer.salt.copy_(salt)
