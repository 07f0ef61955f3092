"""Group and layer normalisation, and the SiLU that follows group norm before every convolution of the U-Net.

On a CPU group norm and SiLU are one function. It keeps only x for the backward pass, and in bfloat16 with channels_last
takes a quarter to a half of the time of PyTorch's two. A GPU's kernels, and a compiler, do better: there PyTorch's are
called, and under autocast on a GPU computed again in the backward pass.

Autocast computes norms in float32 there. PyTorch then keeps a float32 copy of the input, and of the result for SiLU or
a product that follows: 8 bytes of each element, beside 4 in bfloat16. Computed again in the backward pass, they are not
kept, and the result is the same to the bit. The norm in bfloat16 would move less memory, but CUDA's kernel then rounds
the mean and 1/σ to bfloat16 for the backward pass, and the gradient of a network was wrong by a quarter more.

The derivatives of layer norm are right in every mode. PyTorch's own gives wrong numbers where its forward-mode
derivative is differentiated again (`jacrev` of `jvp`): that takes mean and variance for constants.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.base.transforms import gradients, transformed

INNERMOST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The memory format of activations with the channels innermost, by their number of axes."""


def in_float32(function: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
    """Evaluate a function of x and others; under autocast on a GPU with x in float32, and the result rounded as x is.

    Args:
        function: A function that computes in the dtype of x.
        x: The activations.
        others: Weights, and what else has a gradient.
    """
    kind = x.device.type
    lower = kind != "cpu" and x.dtype.itemsize < 4 and torch.amp.is_autocast_available(kind)  # the meta device has none
    lower = lower and torch.is_autocast_enabled(kind)
    if not lower or torch.compiler.is_compiling() or transformed(x, *others):
        return function(x, *others)
    out: Tensor = _Recomputed.apply(function, x, *others)
    return out


class _Recomputed(torch.autograd.Function):
    """The function in float32, which the backward pass evaluates again."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        def rounded(x: Tensor, *others: Tensor) -> Tensor:
            format = INNERMOST.get(x.ndim)
            if format is None or not x.is_contiguous(memory_format=format):
                format = torch.preserve_format
            # below PyTorch 2.15, CUDA's group norm makes its input contiguous: the cast restores the layout
            return function(x.float(), *others).to(x.dtype, memory_format=format)

        ctx.function = rounded
        ctx.save_for_backward(*inputs)
        return rounded(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *gradients(ctx.function, ctx.saved_tensors, gradient, ctx.needs_input_grad[1:])


class LayerNorm(nn.LayerNorm):
    """γ (x − μ)/σ + β with σ² = variance + eps over the features of each token (Ba, Kiros and Hinton 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (*, features)."""
        weights = [self.weight] if self.bias is None else [self.weight, self.bias]
        return in_float32(partial(layer_norm, eps=self.eps), x, *weights)


def layer_norm(x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalise x (*, features), then scale and shift by gamma and beta (features,) where they are given."""
    if torch.compiler.is_compiling() or not transformed(x, gamma, beta):
        return F.layer_norm(x, x.shape[-1:], gamma, beta, eps)
    h = standardise(x, eps)
    h = h if gamma is None else h * gamma
    return (h if beta is None else h + beta).to(x.dtype)


def standardise(x: Tensor, eps: float) -> Tensor:
    """(x − μ)/σ with μ, and σ² = variance + eps, over the last axis of x, in float32 or better."""
    h = x.to(torch.promote_types(x.dtype, torch.float32))
    h = h - h.mean(-1, keepdim=True)
    return h * (h.square().mean(-1, keepdim=True) + eps).rsqrt()


CACHED_ELEMENTS = 2**20
"""Number of elements that are processed at once: 4 MiB of float32, which stay in the cache."""

Settings = tuple[int, float, bool]
"""The number of groups, eps, and whether SiLU follows."""


class GroupNorm(nn.GroupNorm):
    """γ (x − μ)/σ + β with σ² = variance + eps for each group of channels (Wu and He 2018); with `silu`, SiLU of it."""

    def __init__(self, groups: int, width: int, silu: bool = False) -> None:
        super().__init__(groups, width, eps=1e-6)
        self.silu = silu

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, width, *sides)."""
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            inputs = x, self.weight, self.bias
            function = _plain if transformed(*inputs) else _Normalise.apply
            out: Tensor = function(*inputs, (self.num_groups, self.eps, self.silu))
            return out
        return in_float32(self._by_pytorch, x, self.weight, self.bias)

    def _by_pytorch(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        h = F.group_norm(x, self.num_groups, gamma, beta, self.eps)
        return F.silu(h) if self.silu else h


def _plain(x: Tensor, gamma: Tensor, beta: Tensor, settings: Settings) -> Tensor:
    """Compute the same by operations that PyTorch can differentiate twice and transform: its own group norm cannot be
    batched in a second derivative (`hessian(..., vectorize=True)`).
    """
    groups, eps, silu = settings
    h = standardise(x.reshape(x.shape[0], groups, -1), eps).reshape(x.shape)
    gamma, beta = (weights.view(-1, *[1] * (x.ndim - 2)) for weights in (gamma, beta))
    h = torch.addcmul(beta, h, gamma)
    return (F.silu(h) if silu else h).to(x.dtype)


class _Normalise(torch.autograd.Function):
    """Sums are taken in float32 or better, over each channel first, as channels_last lies in memory.

    In small networks the number of calls counts, not their arithmetic: so they write in place.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, settings: Settings) -> Tensor:
        groups, eps, silu = settings
        size = x[0].numel() // groups
        gammas, betas = gamma.view(groups, -1), beta.view(groups, -1)
        out, kept = torch.empty_like(x), []
        buffers = _buffers(x, 2)
        for x_few, out_few in _split(x, out):
            one, two = buffers if len(x_few) == len(buffers[0]) else (buffer[: len(x_few)] for buffer in buffers)
            h = _precise(x_few, one)
            mean = _by_group(h, groups).sum(2, keepdim=True).div_(size)
            square = _by_group(torch.mul(h, h, out=two), groups).sum(2, keepdim=True).div_(size)
            rate = torch.addcmul(square, mean, mean, value=-1).clamp_(min=0).add_(eps).rsqrt_()  # 1/σ
            scale = gammas * rate
            shift = torch.addcmul(betas, mean, scale, value=-1)
            y = torch.addcmul(_by_channel(shift, h), h, _by_channel(scale, h), out=_result(out_few, one))
            y = F.silu(y, inplace=True) if silu else y  # y was γ (x − μ)/σ + β
            if y is not out_few:
                out_few.copy_(y)
            kept.append((scale, shift, mean, rate))
        ctx.save_for_backward(x, gamma, beta, *(kept[0] if len(kept) == 1 else map(torch.cat, zip(*kept, strict=True))))
        ctx.settings = settings
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """With x̂ = (x − μ)/σ and g the gradient of γx̂ + β, that of x is (γg − mean(γg) − x̂ mean(γg x̂))/σ with means
        over a group. It is computed as scale · g + along · x + level.
        """
        x, gamma, beta, *moments = ctx.saved_tensors
        groups, _, silu = ctx.settings
        if torch.is_grad_enabled() or transformed(gradient):
            function = partial(_plain, settings=ctx.settings)
            return *gradients(function, (x, gamma, beta), gradient, ctx.needs_input_grad[:3]), None
        size, weights = x[0].numel() // groups, gamma.view(groups, -1)
        dx = torch.empty_like(x)
        buffers = _buffers(x, 3)
        d_gammas, d_betas = [], []
        for x_few, g, dx_few, scale, shift, mean, rate in _split(x, gradient, dx, *moments):
            one, two, three = buffers if len(x_few) == len(buffers[0]) else (each[: len(x_few)] for each in buffers)
            h, g = _precise(x_few, three), _precise(g, one)
            by_scale = _by_channel(scale, h)
            if silu:
                y = torch.addcmul(_by_channel(shift, h), h, by_scale, out=two)
                g = torch.ops.aten.silu_backward.grad_input(g, y, grad_input=one)
            sum_g = _by_group(g, groups)
            sum_gx = _by_group(torch.mul(g, h, out=two), groups).addcmul_(mean, sum_g, value=-1).mul_(rate)  # of g x̂
            along = (weights * sum_gx).sum(2, keepdim=True).mul_(rate.square()).div_(-size)
            level = (weights * sum_g).sum(2, keepdim=True).mul_(rate).div_(-size).addcmul_(along, mean, value=-1)
            level, along = level.expand_as(scale), along.expand_as(scale)
            y = torch.addcmul(_by_channel(level, h), h, _by_channel(along, h), out=_result(dx_few, two))
            y.addcmul_(g, by_scale)
            if y is not dx_few:
                dx_few.copy_(y)
            d_gammas.append(sum_gx.sum(0))
            d_betas.append(sum_g.sum(0))
        d_gamma, d_beta = (sum(parts[1:], parts[0]).flatten() for parts in (d_gammas, d_betas))
        return dx, d_gamma, d_beta, None


def _split(x: Tensor, *others: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Split all of them into parts of the same few images, so that intermediate results stay in the cache."""
    count = _count(x)
    if count >= len(x):
        return [(x, *others)]
    return zip(*(torch.split(each, count) for each in (x, *others)), strict=True)


def _buffers(x: Tensor, n: int) -> list[Tensor]:
    """Allocate memory for n intermediate results of a part, which all parts use: in float32 or better, laid out as x.

    Memory that was just written is in the cache. A new tensor for each result took a quarter more time.
    """
    part, dtype = x[: _count(x)], torch.promote_types(x.dtype, torch.float32)
    return [torch.empty_like(part, dtype=dtype) for _ in range(n)]


def _count(x: Tensor) -> int:
    return max(1, CACHED_ELEMENTS * len(x) // x.numel())


def _precise(x: Tensor, buffer: Tensor) -> Tensor:
    """x in the dtype of the buffer: x itself where it has it, else a copy in the buffer."""
    return x if x.dtype == buffer.dtype else buffer.copy_(x)


def _result(x: Tensor, buffer: Tensor) -> Tensor:
    """x as memory for intermediate results where it is precise enough, else the buffer."""
    return x if x.dtype == buffer.dtype else buffer


def _by_group(h: Tensor, groups: int) -> Tensor:
    """Sum of each channel of h (B, C, *sides) over its positions: (B, groups, C/groups)."""
    return h.flatten(2).sum(2).view(len(h), groups, -1)


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    """Values (B, groups, C/groups) as (B, C, 1, ...), to broadcast against x (B, C, *sides)."""
    return values.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
