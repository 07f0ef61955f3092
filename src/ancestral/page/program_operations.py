"""From the operations of an exported network to the calls of a program."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from ancestral.page.aten_operations import (
    BINARY,
    CASTS,
    IN_JAVASCRIPT,
    MEAN_REDUCTION,
    PRODUCTS,
    REARRANGEMENTS,
    REDUCTIONS,
    SAME,
    UNARY,
    UPSAMPLING,
    VIEWS,
    aten,
)
from ancestral.page.program_builder import Builder, Value, row_stride, unsupported, whole_blocks
from ancestral.page.program_products import Padded, Product, known, matrices, multiply


@dataclass(frozen=True)
class _Later:
    """A product that is computed when its only user is, which adds to it."""

    node: fx.Node


@dataclass
class Translation:
    """The values of the operations so far.

    Attributes:
        builder: The program.
        values: By node of the graph a Value, a Tensor if it is known now, or what else the operation gives.
    """

    builder: Builder = field(default_factory=Builder)
    values: dict[fx.Node, Any] = field(default_factory=dict)

    def value(self, argument: Any) -> Value:
        """The value of an argument of an operation, in the memory."""
        value = self.values[argument] if isinstance(argument, fx.Node) else argument
        if isinstance(value, _Later):
            value = self.values[argument] = multiply(self.builder, self.product(value.node))
        if isinstance(value, bool | int | float):
            value = torch.tensor(float(value))
        if isinstance(value, Tensor):
            return self.builder.constant(value)
        assert isinstance(value, Value), value
        return value

    def values_of(self, arguments: Any) -> Any:
        """The arguments of an operation with values in the place of nodes."""
        return fx.map_arg(arguments, lambda node: self.values[node])

    def translate(self, node: fx.Node) -> None:
        """Add the calls of an operation."""
        if node in self.values:  # it is joined to another
            return
        target: Any = node.target
        if str(target).startswith("aten._assert_tensor_metadata"):
            self.values[node] = ()
        elif _is_known([self.values[each] for each in node.all_input_nodes]):
            with torch.no_grad():
                self.values[node] = target(*self.values_of(node.args), **self.values_of(node.kwargs))
        else:
            self.values[node] = self._translated(node, target)

    def _translated(self, node: fx.Node, target: Any) -> Any:
        if target in PRODUCTS:
            return self._product_or_later(node)
        if target in VIEWS:
            return self._viewed(node, target)
        if getattr(target, "__name__", "") == "getitem":
            return self.values_of(node.args)[0][node.args[1]]
        if target in SAME or (target in CASTS and not _truncates(node)):
            return self.value(node.args[0])
        if target in UNARY:
            return self.elementwise(UNARY[target], node, node.args[:1])
        if target in BINARY:
            return self._binary(BINARY[target], node)
        if target in IN_JAVASCRIPT:
            return self.in_javascript(IN_JAVASCRIPT[target], self.value(node.args[0]))
        if target in REARRANGEMENTS:
            return self.rearranged(node)
        for operations, translate in TRANSLATIONS.items():
            if target in operations:
                return translate(self, node, *node.args, **node.kwargs)
        raise unsupported("a cast of real numbers to integers" if target in CASTS else target)

    def elementwise(self, operation: str, node: fx.Node, arguments: Sequence[Any]) -> Value:
        """An elementwise operation of some arguments."""
        operands = [self.value(each) for each in arguments]
        shape = node.meta["val"].shape
        out = self.builder.new(shape, next((each for each in operands if each.shape == shape), None))
        self.builder.map(operation, out, *operands)
        return out

    def in_javascript(self, name: str, value: Value, *more: float) -> Value:
        """A function of JavaScript of each number."""
        source = self.builder.dense(value)
        out = self.builder.new(source.shape)
        self.builder.call(name, out.at(), source.at(), source.view.numel(), *more)
        return out

    def rearranged(self, node: fx.Node) -> Value:
        """Elements of a value at places that are computed now, by the same operation on their numbers."""
        target: Any = node.target
        value = self.builder.dense(self.value(node.args[0]))
        rest, names = self.values_of(node.args[1:]), self.values_of(node.kwargs)
        if not _is_known([*rest, *names.values()]):
            raise unsupported(f"{target} at places that it computes")
        numbers = torch.arange(value.view.numel(), dtype=torch.float64).view(value.shape)
        places: Tensor = target(numbers, *rest, **names)
        out = self.builder.new(places.shape)
        table = self.builder.constant(places.flatten())
        self.builder.call("gather", out.at(), value.at(), table.at(), places.numel(), 1)
        return out

    def _viewed(self, node: fx.Node, target: Any) -> Any:
        """Other views of the same memory, or of a copy of it."""
        value, rest = self.value(node.args[0]), self.values_of(node.args[1:])
        target = aten.reshape.default if target is aten.view.default else target
        views = target(value.view, *rest, **node.kwargs)
        storage = value.view.untyped_storage()._cdata
        every = [views] if isinstance(views, Tensor) else views
        if any(view.untyped_storage()._cdata != storage for view in every):
            value = self.builder.dense(value)
            views = target(value.view, *rest, **node.kwargs)
        return value.viewed(views) if isinstance(views, Tensor) else [value.viewed(view) for view in views]

    def _binary(self, operation: str, node: fx.Node) -> Value:
        left, right = node.args[:2]
        alpha: Any = node.args[2] if len(node.args) > 2 else node.kwargs.get("alpha", 1)
        if operation == "add" and alpha == 1:
            for one, other in ((right, left), (left, right)):
                later = self.values[one] if isinstance(one, fx.Node) else None
                if isinstance(later, _Later) and isinstance(other, fx.Node) and other is not one:
                    product, value = self.product(later.node), self.value(other)
                    if product.stride_of(value) is not None:
                        return multiply(self.builder, product, value)
        if alpha != 1:
            scaled = self.builder.new(right.meta["val"].shape)  # type: ignore[union-attr]
            self.builder.map("mul", scaled, self.value(right), self.value(alpha))
            return self.elementwise(operation, node, (left, scaled))
        return self.elementwise(operation, node, (left, right))

    def product(self, node: fx.Node) -> Product:
        """A dense layer or a convolution, whose weights are known."""
        source, weight, bias, *settings = (*node.args, None)[: max(3, len(node.args))]
        held = self.values[source]  # type: ignore[index]
        weight = known(self.values_of(weight), "a weight")
        bias = None if bias is None else known(self.values_of(bias), "a bias")
        read = held if isinstance(held, Padded) else self.value(source)
        return Product(read, weight, bias, node.meta["val"].shape, tuple(settings) or None)

    def _product_or_later(self, node: fx.Node) -> Any:
        users = list(node.users)
        if len(users) == 1 and users[0].target is aten.add.Tensor:
            return _Later(node)
        silu = joined_silu(node)
        out = multiply(self.builder, self.product(node), act=silu is not None)
        if silu is not None:
            self.values[silu] = out
        return out

    def reduced(self, number: int, value: Value, axes: Sequence[int], keep: bool) -> Value:
        """The sum, mean, greatest or least over some axes, or over all."""
        ndim = value.view.ndim
        axes = sorted(axis % ndim for axis in axes) or list(range(ndim))
        rest = [axis for axis in range(ndim) if axis not in axes]
        count = math.prod(value.shape[axis] for axis in axes)
        source = self.builder.dense(value.viewed(value.view.permute(*rest, *axes)))
        out = self.builder.new([value.shape[axis] for axis in rest])
        self.builder.call("reduce", number, out.at(), source.at(), source.view.numel() // count, count)
        view = out.view
        for axis in axes if keep else ():
            view = view.unsqueeze(axis)
        return out.viewed(view)

    def last_contiguous(self, value: Value) -> Value:
        """The value, copied unless its last axis is contiguous."""
        return value if value.view.stride(-1) == 1 else self.builder.dense(value)


def joined_silu(node: fx.Node) -> fx.Node | None:
    """The SiLU that is all that is done with a result, or None."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target is aten.silu.default else None


def convolved(node: fx.Node) -> bool:
    """Whether only convolutions read a result, none of them transposed."""
    return all(
        user.target is aten.convolution.default and user.args[0] is node and not user.args[6] for user in node.users
    )


def _truncates(node: fx.Node) -> bool:
    before: Any = node.args[0]
    return before.meta["val"].dtype.is_floating_point and not node.meta["val"].dtype.is_floating_point


def _is_known(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_known(each) for each in value)
    return not isinstance(value, Value | Padded | _Later)


# Functions of a translation, a node and the arguments of its operation, which return its value ----------------------


def _reduction(t: Translation, node: fx.Node, x: Any, axes: Any = (), keepdim: bool = False, **_: Any) -> Any:
    axes = [axes] if isinstance(axes, int) else axes or ()
    out = t.reduced(REDUCTIONS[node.target], t.value(x), axes, keepdim)  # type: ignore[index]
    return (out, None) if node.target in (aten.max.dim, aten.min.dim) else out


def _variance(
    t: Translation, node: fx.Node, x: Any, axes: Any = None, correction: float | None = 1, keepdim: bool = False
) -> Any:
    value = t.value(x)
    axes = list(axes or range(value.view.ndim))
    count = math.prod(value.shape[axis] for axis in axes)
    mean, difference, squares = (
        t.reduced(MEAN_REDUCTION, value, axes, True),
        *(t.builder.new(value.shape, value) for _ in "12"),
    )
    t.builder.map("sub", difference, value, mean)
    t.builder.map("mul", squares, difference, difference)
    average = t.reduced(MEAN_REDUCTION, squares, axes, keepdim)
    out = t.builder.new(average.shape)
    t.builder.map("mul", out, average, t.value(count / (count - (1 if correction is None else correction))))
    return (out, mean.viewed(mean.view.view(out.shape))) if node.target is aten.var_mean.correction else out


def _softmax(t: Translation, node: fx.Node, x: Any, axis: int, *_: Any) -> Value:
    value = t.value(x)
    source = t.builder.dense(value.viewed(value.view.movedim(axis, -1)))
    out, count = t.builder.new(source.shape), source.shape[-1]
    t.builder.call("softmax", out.at(), source.at(), source.view.numel() // count, count)
    return out.viewed(out.view.movedim(-1, axis))


def _matrices(t: Translation, node: fx.Node, left: Any, right: Any) -> Value:
    return matrices(t.builder, t.value(left), t.value(right), node.meta["val"].shape)


def _power(t: Translation, node: fx.Node, x: Any, exponent: float) -> Value:
    return t.elementwise("mul", node, (x, x)) if exponent == 2 else t.in_javascript("power", t.value(x), exponent)


def _clamp(t: Translation, node: fx.Node, x: Any, low: float | None = None, high: float | None = None) -> Value:
    out = t.value(x)
    for name, limit in (("max", low), ("min", high)):
        out = out if limit is None else t.elementwise(name, node, (out, limit))
    return out


def _full_like(t: Translation, node: fx.Node, x: Any, number: float = 0.0, **_: Any) -> Tensor:
    return torch.full(node.meta["val"].shape, float(number))


def _copy(t: Translation, node: fx.Node, to: Any, x: Any, *_: Any) -> Value:
    value = t.value(x)
    return value.viewed(value.view.expand(node.meta["val"].shape))


def _slice_scatter(t: Translation, node: fx.Node, x: Any, part: Any, *where: Any) -> Value:
    value = t.value(x)
    out = t.builder.copied(value, t.builder.new(value.shape, value))
    t.builder.copied(t.value(part), out.viewed(aten.slice.Tensor(out.view, *where)))
    return out


def _pool(t: Translation, node: fx.Node, x: Any, kernel: Any, stride: Any = (), padding: Any = (0,), *more: Any) -> Any:
    """Means or maxima of windows."""
    greatest = node.target is not aten.avg_pool2d.default
    dilated = greatest and more and any(each != 1 for each in more[0])
    rounded_up = any(more[1:2]) if greatest else any(more[:1]) or any(more[2:])
    if any(padding) or dilated or rounded_up:
        raise unsupported("pooling with padding, dilation or ceil_mode")
    value = t.value(x)
    view = value.view
    for axis, (side, step) in enumerate(zip(kernel, stride or kernel, strict=True), 2):
        view = view.unfold(axis, side, step)
    out = t.reduced(2 if greatest else MEAN_REDUCTION, value.viewed(view), [-2, -1], keep=False)
    return (out, None) if greatest else out


def _pad(t: Translation, node: fx.Node, x: Any, pads: list[int], number: float = 0.0) -> Any:
    value = t.value(x)
    before, after = pads[::2][::-1], pads[1::2][::-1]
    view, first = value.view, value.view.ndim - len(before)
    if convolved(node) and number == 0 and min(pads) >= 0 and first >= 2:
        return Padded(value, (*[0] * (first - 2), *before))
    for axis, (left, right) in enumerate(zip(before, after, strict=True), first):  # negative padding crops
        left, right = max(0, -left), max(0, -right)
        view = view.narrow(axis, left, view.shape[axis] - left - right)
    inner = value.viewed(view)
    if max(pads) <= 0:
        return inner
    out = t.builder.new(node.meta["val"].shape, value)
    t.builder.call("fill", out.at(), out.view.numel(), float(number))
    part = out.view
    for axis, left in enumerate(before, first):
        part = part.narrow(axis, max(0, left), view.shape[axis])
    t.builder.copied(inner, out.viewed(part))
    return out


def _upsample(t: Translation, node: fx.Node, x: Any, *_: Any) -> Any:
    value, shape = t.value(x), node.meta["val"].shape
    pairs = list(zip(shape[2:], value.shape[2:], strict=True))
    if any(large % small for large, small in pairs):
        return t.rearranged(node)
    factors = [large // small for large, small in pairs]
    if convolved(node) and len(set(factors)) == 1:
        return Padded(value, (0,) * len(factors), factors[0])
    out = t.builder.new(shape, value)
    view, target = value.view, out.view
    for axis, factor in enumerate(factors):
        at = 2 + 2 * axis
        view = view.unsqueeze(at + 1).expand(*view.shape[: at + 1], factor, *view.shape[at + 1 :])
        target = torch.unflatten(target, at, (-1, factor))
    t.builder.copied(value.viewed(view), out.viewed(target))
    return out


def _concatenate(t: Translation, node: fx.Node, parts: Any, axis: int = 0) -> Value:
    values = [t.value(part) for part in parts]
    out = t.builder.new(node.meta["val"].shape, max(values, key=lambda value: value.view.numel()))
    start = 0
    for value in values:
        if value.view.numel():
            t.builder.copied(value, out.viewed(out.view.narrow(axis, start, value.shape[axis])))
            start += value.shape[axis]
    return out


def _optional(t: Translation, argument: Any) -> Any:
    return 0 if argument is None else t.builder.dense(t.value(argument)).at()


def _affine(t: Translation, settings: Sequence[Any]) -> tuple[Any, Any, float]:
    """The places of the factors and shifts of a normalisation, 0 without, and its eps, of the last arguments."""
    defaults: tuple[Any, ...] = (None, None, 1e-5)
    gamma, beta, eps = (*settings[:3], *defaults[len(settings) :])
    return _optional(t, gamma), _optional(t, beta), eps


def _group_norm(t: Translation, node: fx.Node, x: Any, groups: int, *settings: Any) -> Value:
    value, silu = t.value(x), joined_silu(node)
    stride = row_stride(value.view.movedim(1, -1))
    if stride is None:
        value = t.builder.copied(value, t.builder.channels_last(value.shape))
        stride = value.shape[1]
    out, channels = t.builder.channels_last(value.shape), value.shape[1]
    t.builder.call(
        "group_norm", out.at(), 4 * channels, value.at(), 4 * stride, value.view.numel() // channels, channels, groups,
        *_affine(t, settings), int(silu is not None), t.builder.scratch(2 * channels),
    )  # fmt: skip
    if silu is not None:
        t.values[silu] = out
    return out


def _layer_norm(t: Translation, node: fx.Node, x: Any, shape: Any, *settings: Any) -> Value:
    value, channels = t.value(x), math.prod(shape)
    stride = row_stride(value.view) if len(shape) == 1 else None
    if stride is None:
        value, stride = t.builder.dense(value), channels
    out = t.builder.new(value.shape)
    t.builder.call(
        "layer_norm", out.at(), 4 * channels, value.at(), 4 * stride, value.view.numel() // channels, channels,
        *_affine(t, settings),
    )  # fmt: skip
    return out


def _attention(t: Translation, node: fx.Node, *arguments: Any, scale: float | None = None, **_: Any) -> Value:
    if any(arguments[3:]):  # a mask, the share of dropout, and whether attention is causal
        raise unsupported("attention with a mask or dropout")
    inputs = [t.last_contiguous(t.value(each)) for each in arguments[:3]]
    *batch, queries, width = inputs[0].shape
    keys, values = inputs[1].shape[-2], inputs[2].shape[-1]
    if math.prod(batch[:-1]) > 1 or any(list(each.shape[:-2]) != batch for each in inputs):
        raise unsupported("attention over several batch axes")
    heads = math.prod(batch)
    out = t.builder.new((queries, heads, values))
    out = out.viewed(out.view.transpose(0, 1).reshape(*batch, queries, values))
    places = [
        number
        for each in (out, *inputs)
        for number in (each.at(), 4 * each.view.stride(-3) if batch else 0, 4 * each.view.stride(-2))
    ]
    scratch = t.builder.scratch(whole_blocks(keys) * width + whole_blocks(values) * keys + 32 * keys)
    rate = width**-0.5 if scale is None else scale
    t.builder.call("attention", *places, heads, queries, keys, width, values, rate, scratch)
    return out


def _embedding(t: Translation, node: fx.Node, table: Any, numbers: Any, *_: Any) -> Value:
    rows, index = t.value(table), t.builder.dense(t.value(numbers))
    out = t.builder.new(node.meta["val"].shape)
    t.builder.call("gather", out.at(), rows.at(), index.at(), index.view.numel(), rows.shape[1])
    return out


def _where(t: Translation, node: fx.Node, *arguments: Any) -> Value:
    return t.elementwise("where", node, arguments)


def _addcmul(t: Translation, node: fx.Node, *arguments: Any, value: float = 1) -> Value:
    if value != 1:
        raise unsupported("addcmul with a factor")
    return t.elementwise("addcmul", node, arguments)


TRANSLATIONS: dict[tuple[Any, ...], Callable[..., Any]] = {
    tuple(REDUCTIONS): _reduction,
    tuple(UPSAMPLING): _upsample,
    (aten.var.correction, aten.var_mean.correction): _variance,
    (aten._softmax.default,): _softmax,
    (aten.mm.default, aten.bmm.default): _matrices,
    (aten.pow.Tensor_Scalar,): _power,
    (aten.clamp.default,): _clamp,
    (aten.full_like.default, aten.zeros_like.default): _full_like,
    (aten.copy.default,): _copy,
    (aten.slice_scatter.default,): _slice_scatter,
    (aten.avg_pool2d.default, aten.max_pool2d_with_indices.default): _pool,
    (aten.constant_pad_nd.default,): _pad,
    (aten.cat.default,): _concatenate,
    (aten.group_norm.default,): _group_norm,
    (aten.layer_norm.default,): _layer_norm,
    (aten.scaled_dot_product_attention.default,): _attention,
    (aten.embedding.default,): _embedding,
    (aten.where.self,): _where,
    (aten.addcmul.default,): _addcmul,
}
