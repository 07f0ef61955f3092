"""Convolutions that keep no second copy of their weights.

Under autocast, PyTorch keeps a bfloat16 copy of every weight from the forward to the backward pass (68 MiB for the
paper's network, a quarter of what a small batch needs). On a CPU these layers recompute it in the backward pass.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    _Base = nn.modules.conv._ConvNd
else:
    _Base = object


class _Mixin(_Base):
    """What the three classes have in common, before PyTorch's class."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        device = input.device.type
        autocast = device == "cpu" and torch.is_autocast_enabled(device)
        if not autocast or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super()._conv_forward(input, weight, bias)
        settings = (self.stride, self.padding, self.dilation, False, self.output_padding, self.groups)
        out: Tensor = _Convolve.apply(input, weight, bias, settings, torch.get_autocast_dtype(device))  # type: ignore[no-untyped-call]
        return out


class Conv1d(_Mixin, nn.Conv1d):
    """A convolution of signals (B, C, L)."""


class Conv2d(_Mixin, nn.Conv2d):
    """A convolution of images (B, C, H, W)."""


class Conv3d(_Mixin, nn.Conv3d):
    """A convolution of volumes (B, C, D, H, W)."""


Conv = Conv1d | Conv2d | Conv3d
CONV: dict[int, type[Conv]] = {1: Conv1d, 2: Conv2d, 3: Conv3d}
"""The convolution by the number of axes of space."""


class _Convolve(torch.autograd.Function):
    """The convolution in another dtype. Each gradient has the dtype of what it belongs to."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple[Any, ...], dtype: torch.dtype
    ) -> Tensor:
        ctx.settings, ctx.dtype, ctx.has_bias = settings, x.dtype, bias is not None
        x = x.to(dtype)
        ctx.save_for_backward(x, weight)
        return torch.convolution(x, weight.to(dtype), None if bias is None else bias.to(dtype), *settings)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needed = [*ctx.needs_input_grad[:2], ctx.has_bias]
        dx, dw, db = torch.ops.aten.convolution_backward(
            gradient, x, weight.to(x.dtype), weight.shape[:1] if ctx.has_bias else None, *ctx.settings, needed
        )
        dw, db = (None if each is None else each.to(weight.dtype) for each in (dw, db))
        return None if dx is None else dx.to(ctx.dtype), dw, db, None, None
