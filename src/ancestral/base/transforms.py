"""Tests of what runs this code: PyTorch as it is, a transform of torch.func or forward-mode AD, or a compiler.

A transform runs a function on tensors that stand for many values or carry a tangent, and a compiler on tensors without
values. Operations in place, custom backward passes and questions about values are for the first case alone.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


def transformed(*tensors: Tensor | None) -> bool:
    """Whether a transform of torch.func is active (grad, jvp, vmap, ...), or a tensor carries a forward-mode tangent or
    is a batch of gradients (`is_grads_batched`).
    """
    if torch._C._are_functorch_transforms_active():  # torch.autograd.Function asks the same
        return True
    dual = forward_ad._current_level >= 0  # outside of a level no tensor has a tangent, and this runs for every layer
    for tensor in tensors:
        if tensor is not None and (
            torch._C._functorch.is_legacy_batchedtensor(tensor)
            or (dual and forward_ad.unpack_dual(tensor).tangent is not None)  # type: ignore[no-untyped-call]
        ):
            return True
    return False


def certain(condition: Tensor) -> bool:
    """Whether a condition () is true. A compiler cannot tell, nor can vmap where it differs within the batch: False."""
    if torch.compiler.is_compiling():
        return False
    try:
        return bool(condition)
    except RuntimeError:
        if not transformed():
            raise
        return False


def gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], gradient: Tensor, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Compute the gradients of a function by PyTorch's own, for a backward pass that is differentiated or batched.

    Args:
        function: A function of the inputs, made of operations that PyTorch can differentiate twice.
        inputs: The inputs.
        gradient: The gradient of the function's result.
        needed: Which inputs' gradients to compute.

    Returns:
        The gradient of each input, or None where it is not needed. Where gradients are recorded, they can be
        differentiated with respect to the inputs and to `gradient`.
    """
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        # one input may be computed from another: views keep the gradient of each from passing through the rest
        views = [each.view_as(each) for each in inputs]
        targets = [view for view, need in zip(views, needed, strict=True) if need]
        of_targets = iter(torch.autograd.grad(function(*views), targets, gradient, create_graph=recorded))
    return tuple(next(of_targets) if need else None for need in needed)


def pullback(
    function: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, *others: Tensor
) -> tuple[tuple[Tensor, ...], Callable[[Tensor], Tensor]]:
    """Evaluate a function, and return the product of the transpose of its Jacobian with vectors.

    Args:
        function: A function of x, whose first result is differentiated.
        x: Where.
        others: Vectors that will be multiplied, if they may have derivatives of their own.

    Returns:
        The results, and v ↦ (∂f/∂x)ᵀ v of the first of them, which may be called several times. If a transform is
        active, or gradients of x, of the vectors or of others that the function reads (the parameters of a network) are
        recorded, all have derivatives of their own; else no graph.
    """
    if torch.compiler.is_compiling() or transformed(x, *others):

        def separate(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            first, *rest = function(x)
            return first, tuple(rest)

        first, pull, rest = torch.func.vjp(separate, x, has_aux=True)  # type: ignore[misc]  # three with has_aux
        return (first, *rest), lambda v: pull(v)[0]
    recorded = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *others))
    with torch.enable_grad():
        point = x.view_as(x) if recorded and x.requires_grad else x.detach().requires_grad_()
        results = function(point)
    recorded = recorded or (torch.is_grad_enabled() and any(leaf is not point for leaf in leaves(results[0])))

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(results[0], point, v, retain_graph=True, create_graph=recorded)[0]

    return results if recorded else tuple(result.detach() for result in results), product


def leaves(tensor: Tensor) -> list[Tensor]:
    """Tensors that require gradients, made by no operation, and that a tensor was computed of."""
    found = [tensor] if tensor.requires_grad and tensor.is_leaf else []
    nodes: list[Any] = [tensor.grad_fn]
    seen = {None}
    while nodes:
        node = nodes.pop()
        if node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
            if type(node).__name__ == "AccumulateGrad":
                found.append(node.variable)
    return found


def recomputed(
    function: Callable[..., tuple[Tensor, ...]],
    inputs: Sequence[Tensor],
    others: Iterable[Tensor],
    results: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """Attach gradients to the results of a function, which is evaluated again in the backward pass.

    So a long computation keeps the inputs of each of its parts, and not what is computed between them. The gradients
    can be differentiated again.

    Args:
        function: A function of the inputs, made of operations that PyTorch can differentiate, which always has the same
            results.
        inputs: The inputs.
        others: Leaves besides the inputs that the function reads; others get no gradient.
        results: The results, computed without gradients.
    """
    made: tuple[Tensor, ...] = _Recomputed.apply(function, results, len(inputs), *inputs, *others)
    return made


class _Recomputed(torch.autograd.Function):
    """See `recomputed`."""

    @staticmethod
    def forward(
        ctx: Any, function: Callable[..., tuple[Tensor, ...]], results: Sequence[Tensor], count: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.function, ctx.count, kind = function, count, tensors[0].device.type
        ctx.autocast = None
        if torch.amp.is_autocast_available(kind):
            ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        ctx.save_for_backward(*tensors)
        return tuple(result.detach() for result in results)

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor | None, ...]:
        function, count, autocast, needed = ctx.function, ctx.count, ctx.autocast, ctx.needs_input_grad[3:]
        inputs, others = ctx.saved_tensors[:count], ctx.saved_tensors[count:]

        def product(*tensors: Tensor) -> tuple[Tensor, ...]:
            """The vectors times the Jacobian with respect to what needs gradients."""
            recorded = torch.is_grad_enabled()
            with torch.enable_grad(), torch.autocast(*autocast) if autocast else nullcontext():
                points = [x if x.requires_grad else x.detach().requires_grad_() for x in tensors[:count]]
                pairs = zip(function(*points), tensors[count:], strict=True)
                made, weights = zip(*(pair for pair in pairs if pair[0].requires_grad), strict=True)
            targets = [tensor for tensor, need in zip((*points, *others), needed, strict=True) if need]
            # the graph is kept, since all parts share what the leaves were made into before, such as exp of a logarithm
            return torch.autograd.grad(
                made, targets, weights, True, recorded, materialize_grads=True, allow_unused=True
            )

        with torch.no_grad():
            results = product(*(tensor.detach() for tensor in (*inputs, *vectors)))
        if torch.is_grad_enabled():  # the backward pass is differentiated, as a function of its own
            results = recomputed(product, (*inputs, *vectors), others, results)
        of_needed = iter(results)
        return None, None, None, *(next(of_needed) if need else None for need in needed)
