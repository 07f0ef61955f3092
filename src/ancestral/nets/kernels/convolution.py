"""Convolutions that keep no second copy of their weights.

Under autocast, PyTorch keeps a bfloat16 copy of every weight from the forward to the backward pass (68 MiB for the
paper's network, a quarter of what a small batch needs). On a CPU these layers recompute it in the backward pass.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ancestral.base.transforms import transformed

if TYPE_CHECKING:
    _Base = nn.modules.conv._ConvNd
else:
    _Base = object


class _Mixin(_Base):
    """Common part of the three classes, before PyTorch's class."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        device = input.device.type
        autocast = device == "cpu" and torch.is_autocast_enabled(device) and input.dtype != torch.float64
        recorded = autocast and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if not recorded or transformed(input, weight, bias):
            return super()._conv_forward(input, weight, bias)
        settings = (self.stride, self.padding, self.dilation, False, self.output_padding, self.groups)
        x = input.to(torch.get_autocast_dtype(device))
        out: Tensor = _Convolve.apply(x, weight, bias, settings)
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
    """The convolution in the dtype of x. Each gradient has the dtype of what it belongs to."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple[Any, ...]) -> Tensor:
        ctx.settings, ctx.has_bias = settings, bias is not None
        ctx.save_for_backward(x, weight)
        return torch.convolution(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), *settings)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient_mask = [*ctx.needs_input_grad[:2], ctx.has_bias]
        dx, dw, db = torch.ops.aten.convolution_backward.default(
            gradient, x, weight.to(x.dtype), weight.shape[:1] if ctx.has_bias else None, *ctx.settings, gradient_mask
        )
        dw, db = (None if each is None else each.to(weight.dtype) for each in (dw, db))
        return dx, dw, db, None
