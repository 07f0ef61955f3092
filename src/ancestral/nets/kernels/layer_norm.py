"""Layer normalisation whose derivatives are right in every mode.

PyTorch's own gives wrong numbers where its forward-mode derivative is differentiated again (`jacrev` of `jvp`): that
takes mean and variance for constants.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.base.transforms import transformed
from ancestral.nets.kernels.recomputation import in_float32


class LayerNorm(nn.LayerNorm):
    """γ (x − μ)/σ + β with σ² = variance + eps over the features of each token (Ba, Kiros and Hinton 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (*, features)."""
        weights = [self.weight] if self.bias is None else [self.weight, self.bias]
        return in_float32(partial(layer_norm, eps=self.eps), x, *weights)


def layer_norm(x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalise x (*, features), then scale and shift by gamma and beta (features,) where they are given."""
    if torch.compiler.is_compiling() or not transformed(x, gamma, beta):
        return F.layer_norm(x, x.shape[-1:], gamma, beta, eps)
    h = standardise(x, eps)
    h = h if gamma is None else h * gamma
    return (h if beta is None else h + beta).to(x.dtype)


def standardise(x: Tensor, eps: float) -> Tensor:
    """(x − μ)/σ with μ, and σ² = variance + eps, over the last axis of x, in float32 or better."""
    h = x.to(torch.promote_types(x.dtype, torch.float32))
    h = h - h.mean(-1, keepdim=True)
    return h * (h.square().mean(-1, keepdim=True) + eps).rsqrt()
