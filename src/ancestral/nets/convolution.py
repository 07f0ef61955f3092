"""Convolutions that hold their weights once.

Under autocast PyTorch's own keep a copy of each weight in bfloat16 from the way there to the way back: of the paper's
network 68 MiB, a quarter of what a small batch needs. These make the copy again on the way back, on a CPU; elsewhere,
and without autocast, they are PyTorch's.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    _Base = nn.modules.conv._ConvNd
else:
    _Base = object


class _Once(_Base):
    """What the three have in common, before the class of PyTorch."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        where = input.device.type
        if (
            where == "cpu"
            and torch.is_autocast_enabled(where)
            and torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
        ):
            settings = (self.stride, self.padding, self.dilation, False, self.output_padding, self.groups)
            out: Tensor = _Convolve.apply(input, weight, bias, settings, torch.get_autocast_dtype(where))  # type: ignore[no-untyped-call]
            return out
        return super()._conv_forward(input, weight, bias)


class Conv1d(_Once, nn.Conv1d):
    """Of signals."""


class Conv2d(_Once, nn.Conv2d):
    """Of images."""


class Conv3d(_Once, nn.Conv3d):
    """Of volumes."""


class _Convolve(torch.autograd.Function):
    """The convolution in another type, whose gradients are of the types of what they belong to."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        settings: tuple[Any, ...],
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.settings, ctx.of, ctx.biased = settings, x.dtype, bias is not None
        x = x.to(dtype)
        ctx.save_for_backward(x, weight)
        bias = None if bias is None else bias.to(dtype)
        return torch.convolution(x, weight.to(dtype), bias, *settings)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Of x, weight and bias."""
        x, weight = ctx.saved_tensors
        wanted = [*ctx.needs_input_grad[:2], ctx.biased]
        dx, dw, db = torch.ops.aten.convolution_backward(
            gradient, x, weight.to(x.dtype), weight.shape[:1] if ctx.biased else None, *ctx.settings, wanted
        )
        dw, db = (None if each is None else each.to(weight.dtype) for each in (dw, db))
        return None if dx is None else dx.to(ctx.of), dw, db, None, None
