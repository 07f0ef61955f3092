"""Convolutions that keep no second copy of their weights, and one with nearest-neighbour upsampling before it.

Under autocast, PyTorch keeps a bfloat16 copy of every weight from the forward to the backward pass (68 MiB for the
paper's network, a quarter of what a small batch needs). On a CPU these layers recompute it in the backward pass.

Upsampling and the convolution after it are one convolution of the small image. Of the three taps along an axis two meet
the same pixel, so every second output is a convolution of 2 taps with those two added up: for images 16 multiplications
in the place of 36, for volumes 64 in the place of 216.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.base.transforms import transformed
from ancestral.nets.space import extend

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
SUMS = {1: "iax,onx->iona", 2: "iax,jby,onxy->ijonab", 3: "iax,jby,kcz,onxyz->ijkonabc"}
"""The sums of taps: output i along an axis (even or odd), tap a of its 2, tap x of the 3."""
TAPS = (((1.0, 0.0, 0.0), (0.0, 1.0, 1.0)), ((1.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
"""Which of the 3 taps are added to each of the 2, for even and for odd outputs: (2, 2, 3)."""


if TYPE_CHECKING:
    _Base = nn.modules.conv._ConvNd
else:
    _Base = object


class _Mixin(_Base):
    """Common part of the three classes, before PyTorch's class."""

    periodic: tuple[int, ...] = ()
    """Axes of space that go around, where the padding is the other end."""
    wrapped: tuple[tuple[int, int], ...] = ()
    """The padding before and after each axis that goes around; (0, 0) of the others."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.periodic:
            input = extend(input, self.wrapped, self.periodic)
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


def go_around(net: nn.Module, periodic: tuple[int, ...]) -> None:
    """Let the convolutions of a network pad these axes of space with their other end, in the place of zeros."""
    for layer in net.modules() if periodic else ():
        if isinstance(layer, Conv):
            padding = [(side, axis in periodic) for axis, side in enumerate(map(int, layer.padding))]
            layer.periodic = periodic
            layer.wrapped = tuple((side * around, side * around) for side, around in padding)
            layer.padding = tuple(side * (not around) for side, around in padding)


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


def upsampled_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, taps: Tensor, periodic: Sequence[int] = ()
) -> Tensor:
    """Repeat each pixel twice along every axis, then convolve with 3 taps an axis and padding 1.

    Args:
        x: Images, (B, C, *sides).
        weight: The convolution's weight, (width, C, 3, ...).
        bias: Its bias, (width,), or None.
        taps: `TAPS` as a tensor on the device of x.
        periodic: Axes of space that go around.

    Returns:
        (B, width, *2·sides).
    """
    dims, sides = x.ndim - 2, x.shape[2:]
    taps = taps.to(weight.dtype)
    weight = torch.einsum(SUMS[dims], *[taps] * dims, weight).flatten(0, dims)
    bias = None if bias is None else bias.repeat(2**dims)
    h = CONVOLVE[dims](extend(x, [(1, 1)] * dims, periodic), weight, bias).movedim(
        1, -1
    )  # channels: an image for each i, j...
    h = torch.unflatten(h, -1, (*[2] * dims, -1))
    for axis, side in enumerate(sides, 1):  # the first 2 that is left belongs to this axis
        pair = [h.narrow(axis, i, side).select(dims + 1, i) for i in (0, 1)]
        h = torch.stack(pair, dim=axis + 1).flatten(axis, axis + 1)
    return h.movedim(-1, 1)
