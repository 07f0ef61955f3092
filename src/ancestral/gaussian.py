"""The diagonal Gaussian: every distribution of the forward and of the reverse process is one.

Variances are float64 scalars of the schedule (a float, or a tensor broadcast against `mean`), so nothing is rounded
before it multiplies the data. All is differentiable in the samples, the mean and a variance that is a tensor.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.base.device_tensors import highest_dtype

Scalar = float | Tensor
"""A coefficient of the schedule: a float for one time, or a tensor that broadcasts against the images."""


def sqrt(value: Scalar) -> Scalar:
    """√value for either kind of `Scalar`."""
    return value.sqrt() if isinstance(value, Tensor) else math.sqrt(value)


def log(value: Scalar) -> Scalar:
    """Natural logarithm of either kind of `Scalar`."""
    return value.log() if isinstance(value, Tensor) else math.log(value)


def normal_tail(u: Tensor) -> Tensor:
    """P(Z > u) for Z ~ N(0, 1), with full relative precision for u > 0, where 1 − Φ(u) has none."""
    return 0.5 * torch.erfc(u * math.sqrt(0.5))


def tanh_tail(u: Tensor) -> Tensor:
    """P(Z > u) as the DDPM authors' code approximates it: ½ (1 − tanh(√(2/π) (u + 0.044715 u³)))."""
    return torch.sigmoid(-math.sqrt(8 / math.pi) * (u + 0.044715 * u**3))


class DiagonalGaussian(NamedTuple):
    """N(mean, variance · I), with mean (B, *)."""

    mean: Tensor
    variance: Scalar

    def sample(self, z: Tensor) -> Tensor:
        """Sample: mean + √variance · z for z ~ N(0, I), (B, *)."""
        return self.mean + sqrt(self.variance) * z

    def kl(self, other: "DiagonalGaussian") -> Tensor:
        """KL(self ‖ other) of each element in nats, (B, *). Both variances must be positive."""
        ratio = self.variance / other.variance
        return 0.5 * (ratio - 1 - log(ratio) + (self.mean - other.mean) ** 2 / other.variance)  # (8), and its C

    def log_density(self, x: Tensor) -> Tensor:
        """Log density of each element of x in nats, (B, *)."""
        return -0.5 * ((x - self.mean) ** 2 / self.variance + log(2 * math.pi * self.variance))

    def log_bins(
        self, x: Tensor, half_width: float, edge: float, tail: Callable[[Tensor], Tensor] = normal_tail
    ) -> Tensor:
        """Log probability of the bin (x − half_width, x + half_width], of each element (DDPM eq. 13).

        The probability is the difference of two tails on the side of the mean where the bin lies. Both are small there,
        so their difference keeps its digits at any distance from the mean. It is taken in float64 (float32 on MPS,
        which has no float64), because the two tails of a narrow bin, as of 16-bit data, agree in most of their digits.

        Args:
            x: Bin centres, (B, *).
            half_width: Half the width of a bin, in the units of x.
            edge: A bin with x < −edge extends to −∞, one with x > edge to +∞.
            tail: u ↦ P(Z > u) for Z ~ N(0, 1): exact by default, or `tanh_tail`.

        Returns:
            Log probabilities in nats, (B, *). As in the DDPM authors' code, a probability is at least 1e-12.
        """
        precise = highest_dtype(x.device)
        std, from_mean = sqrt(self.variance), x.to(precise) - self.mean
        side = torch.where(from_mean < 0, -1.0, 1.0)
        inner = tail((side * from_mean - half_width) / std).where(side * x > -edge, 1.0)
        outer = tail((side * from_mean + half_width) / std).where(side * x < edge, 0.0)
        return (inner - outer).clamp_min(1e-12).log().to(x.dtype)
