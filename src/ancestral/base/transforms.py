"""Tests of what runs this code: PyTorch as it is, a transform of torch.func or forward-mode AD, or a compiler.

A transform runs a function on tensors that stand for many values or carry a tangent, and a compiler on tensors without
values. Operations in place, custom backward passes and questions about values are for the first case alone.
"""

from collections.abc import Callable, Sequence

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
        active, or gradients of x or of the vectors are recorded, all have derivatives of their own; else no graph.
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

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(results[0], point, v, retain_graph=True, create_graph=recorded)[0]

    return results if recorded else tuple(result.detach() for result in results), product
