"""Softmax attention."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ancestral.base.transforms import gradients, transformed

EXPLICIT = 1024
"""Number of positions up to which bfloat16 attention on a CPU is written out: PyTorch's own takes 1.7 times as long."""


def merges(h: Tensor) -> bool:
    """Whether `merged_attention` is used for h (B, positions, width): where it is faster, whatever the batch size.

    So an image is rounded in the same way in every batch.
    """
    explicit = h.device.type == "cpu" and h.dtype == torch.bfloat16 and h.shape[1] <= EXPLICIT
    return explicit and h.shape[1] >= h.shape[2]


def merged_attention(h: Tensor, qkv: tuple[Tensor, Tensor], out: tuple[Tensor, Tensor]) -> Tensor:
    """Self-attention of one head with two of its four projections, which saves a quarter of its time.

    With h_i the channels at position i and q_i = W_q h_i + b_q, k_j = W_k h_j + b_k, v_j = W_v h_j + b_v, the logits
    are q_i·k_j = (W_kᵀ W_q h_i + W_kᵀ b_q)·h_j + a term that is the same for all j, which softmax ignores. Its weights
    w_ij add up to 1, so W_o Σ_j w_ij v_j + b_o = W_o W_v Σ_j w_ij h_j + W_o b_v + b_o.

    Args:
        h: Normalised features, (B, positions, width).
        qkv: Weight (3·width, width) and bias (3·width,) of the queries, keys and values.
        out: Weight (width, width) and bias (width,) of the projection of the result.

    Returns:
        The projected result, (B, positions, width).
    """
    w_q, w_k, w_v = qkv[0].chunk(3)
    b_q, _, b_v = qkv[1].chunk(3)
    rate = h.shape[2] ** -0.5
    logits = F.linear(h, w_k.t() @ w_q * rate, b_q @ w_k * rate) @ h.transpose(1, 2)
    return F.linear(logits.softmax(2).to(h.dtype) @ h, out[0] @ w_v, out[0] @ b_v + out[1])


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ / √width) v, of shape (B, heads, positions, width) like each of the three."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[2] <= EXPLICIT:
        return _explicit(q, k, v)
    if torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(q, k, v)
    if transformed(q, k, v):
        return _explicit(q, k, v)
    out = F.scaled_dot_product_attention(q, k, v)
    return _Differentiable.apply(out, q, k, v) if out.requires_grad else out


def _explicit(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention by operations that PyTorch can differentiate twice and transform, unlike its fused kernels."""
    weights: Tensor = (q * q.shape[3] ** -0.5 @ k.transpose(2, 3)).softmax(3)
    return torch.matmul(weights, v)


class _Differentiable(torch.autograd.Function):
    """The result `out` of a fused kernel. Its gradient goes to the kernel's own backward pass, unless that pass would
    itself be differentiated: then it is the gradient of `_explicit`.
    """

    @staticmethod
    def forward(ctx: Any, out: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(q, k, v)
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled() or transformed(gradient):
            return None, *gradients(_explicit, ctx.saved_tensors, gradient, ctx.needs_input_grad[1:])
        return gradient, None, None, None
