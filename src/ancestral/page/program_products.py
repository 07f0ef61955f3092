"""Calls of dense layers, convolutions and products of matrices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ancestral.page.program_builder import (
    Builder,
    CallArgument,
    MemoryPlace,
    Value,
    row_stride,
    unsupported,
    whole_blocks,
)

WINOGRAD = 1600
"""Number of tiles times channels (in and out) that a convolution of 3x3 taps has in work at once: 225 KB."""
TILE = 4
"""The side of its tiles of outputs, as in kernels.c."""


@dataclass(frozen=True)
class Padded:
    """A value that a convolution reads through its table: repeated along each axis, then padded with zeros."""

    value: Value
    before: tuple[int, ...]
    repeat: int = 1


@dataclass(frozen=True)
class Product:
    """A dense layer or a convolution, as PyTorch's operations have them.

    Attributes:
        source: Its input.
        weight: (columns, channels, *taps), or (channels, columns, *taps) of a transposed convolution.
        bias: (columns,), or None.
        shape: The shape of its result.
        settings: `stride`, `padding`, `dilation`, `transposed`, `output_padding` and `groups` of a convolution; None
            for a dense layer.
    """

    source: Value | Padded
    weight: Tensor
    bias: Tensor | None
    shape: Sequence[int]
    settings: tuple[Any, ...] | None

    def rows(self, view: Tensor) -> Tensor:
        """A view of the shape of the result with its channels last."""
        return view if self.settings is None else view.movedim(1, -1)

    def stride_of(self, value: Value) -> int | None:
        """The stride of the rows of a value that is added to the result, in floats; None where it has none."""
        try:
            return row_stride(self.rows(value.view.expand(tuple(self.shape))))
        except RuntimeError:  # the result of the addition is larger
            return None


def multiply(builder: Builder, product: Product, other: Value | None = None, act: bool = False) -> Value:
    """Add the calls of a product, with another value added to it and SiLU of the sum; returns the result."""
    residual: CallArgument = 0
    stride = 0
    if other is not None:
        residual, stride = other.at(), 4 * (product.stride_of(other) or 0)
    compiled = _dense_layer if product.settings is None else _convolution
    return compiled(builder, product, (residual, stride, int(act)))


def matrices(builder: Builder, left: Value, right: Value, shape: Sequence[int]) -> Value:
    """Add the product of matrices, or of batches of them, of which none is a weight."""
    out = builder.new(shape)
    left = left if left.view.stride(-1) == 1 else builder.dense(left)
    *_, rows, inner = left.shape
    columns = right.shape[-1]
    packed = builder.scratch(whole_blocks(columns) * inner)
    for item in range(math.prod(shape[:-2])):
        a, b, c = (each.viewed(each.view[item] if each.view.ndim == 3 else each.view) for each in (left, right, out))
        builder.call("pack", packed, b.at(), columns, 1, inner, b.view.stride(1), 0, b.view.stride(0))
        builder.call(
            "product", c.at(), 4 * columns, a.at(), 4 * a.view.stride(0), 0, 1, inner, packed, columns, 0, 0, 0, 0,
            rows, 0,
        )  # fmt: skip
    return out


def _dense_layer(builder: Builder, product: Product, added: tuple[CallArgument, int, int]) -> Value:
    source, weight = product.source, product.weight
    assert isinstance(source, Value)
    stride = row_stride(source.view)
    if stride is None:
        source = builder.dense(source)
        stride = source.shape[-1]
    out, (columns, channels) = builder.new(product.shape), weight.shape
    residual, residual_stride, act = added
    builder.call(
        "product", out.at(), 4 * columns, source.at(), 4 * stride, 0, 1, channels,
        builder.packed("pack", weight, whole_blocks(columns) * channels, columns, 1, channels, channels, 0, 1), columns,
        _bias(builder, product.bias), residual, residual_stride, act, source.view.numel() // channels, 0,
    )  # fmt: skip
    return out


def _convolution(builder: Builder, product: Product, added: tuple[CallArgument, int, int]) -> Value:
    assert product.settings is not None
    stride, padding, dilation, transposed, _, groups = product.settings
    weight, shape, taps = product.weight, product.shape, product.weight.shape[2:]
    dims, area, count = len(taps), math.prod(taps), math.prod(shape[2:])
    padded = product.source if isinstance(product.source, Padded) else Padded(product.source, (0,) * dims)
    value = padded.value
    if value.view.stride(1) != 1 and value.shape[1] > 1:
        value = builder.copied(value, builder.channels_last(value.shape))
    axes = [1, 1, 0, 1, 1, 0, 1, 1, 0] * (3 - dims)
    for axis in range(dims):
        axes += [
            shape[2 + axis], value.shape[2 + axis], 4 * value.view.stride(2 + axis), taps[axis], stride[axis],
            padding[axis] + padded.before[axis], dilation[axis], padded.repeat, int(transposed),
        ]  # fmt: skip
    out = builder.channels_last(shape)
    columns, channels = shape[1] // groups, value.shape[1] // groups
    residual, residual_stride, act = added
    one = not transposed and groups == 1 and all(each == 1 for each in (*stride, *dilation))
    if one and tuple(taps) == (3, 3) and channels % 4 == 0 and columns % 4 == 0:
        tiles = math.prod(-(-side // TILE) for side in shape[2:])
        many = min(tiles, max(4, WINOGRAD // (channels + columns) // 4 * 4))
        floats = 36 * whole_blocks(columns) * channels
        builder.call(
            "winograd", out.at(), 4 * columns, value.at(), builder.integers(axes), channels,
            builder.packed("winograd_pack", weight, floats, columns, channels, 9 * channels, 9), columns,
            _bias(builder, product.bias), residual, residual_stride, act, many,
            builder.scratch(36 * many * (channels + columns)),
        )  # fmt: skip
        return out
    between = row_stride(value.view.movedim(1, -1))
    dense = one and area == 1 and not any(padding) and not any(padded.before) and padded.repeat == 1
    dense = dense and tuple(shape[2:]) == tuple(value.shape[2:]) and between is not None
    table: CallArgument = 0 if dense else _table(builder, axes, count * area)
    for group in range(groups):
        rows = channels if transposed else columns
        part = weight[group * rows : (group + 1) * rows]
        strides = (area, 1, columns * area) if transposed else (channels * area, 1, area)
        bias = None if product.bias is None else product.bias[group * columns : (group + 1) * columns]
        floats = whole_blocks(columns) * area * channels
        builder.call(
            "product", out.at().plus(4 * group * columns), 4 * shape[1], value.at().plus(4 * group * channels),
            4 * (between or 0), table, area, channels,
            builder.packed("pack", part, floats, columns, area, channels, *strides), columns, _bias(builder, bias),
            residual.plus(4 * group * columns) if isinstance(residual, MemoryPlace) else residual, residual_stride, act,
            count, builder.zero_row(channels),
        )  # fmt: skip
    return out


def _table(builder: Builder, axes: Sequence[int], count: int) -> MemoryPlace:
    """The places of the inputs of a convolution."""
    axis_numbers = builder.integers(axes)
    fill = lambda place: builder.prepare.append(("places", [place, axis_numbers]))  # noqa: E731
    return builder.static(("places", *axes), 4 * count, fill)


def _bias(builder: Builder, bias: Tensor | None) -> CallArgument:
    if bias is None:
        return 0
    bias = bias.detach().float()
    return builder.constant(F.pad(bias, (0, whole_blocks(len(bias)) - len(bias)))).at()


def known(tensor: object, what: str) -> Tensor:
    """A weight, which is known now.

    Raises:
        InputError: If the network computes it.
    """
    if not isinstance(tensor, Tensor):
        raise unsupported(f"{what} that it computes")
    return tensor
