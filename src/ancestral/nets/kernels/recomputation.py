"""Operations in float32 under autocast on a GPU, which keep their inputs in lower precision for the backward pass.

Autocast computes norms in float32 there. PyTorch then keeps a float32 copy of the input, and of the result for SiLU or
a product that follows: 8 bytes of each element, beside 4 in bfloat16. Computed again in the backward pass, they are not
kept, and the result is the same to the bit. The norm in bfloat16 would move less memory, but CUDA's kernel then rounds
the mean and 1/σ to bfloat16 for the backward pass, and the gradient of a network was wrong by a quarter more.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

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
