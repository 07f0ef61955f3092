"""A diagonal Gaussian as a value: every distribution of the forward and of the reverse process is one.

Variances are float64 scalars of the schedule (a float, or a tensor broadcast against `mean`), so nothing is rounded
before it meets the data.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.special import ndtr

Scalar = float | Tensor
"""A coefficient of the schedule: a float for one time, or a tensor that broadcasts against the images."""


def sqrt(value: Scalar) -> Scalar:
    """√value for either kind of `Scalar`."""
    return value.sqrt() if isinstance(value, Tensor) else math.sqrt(value)


def log(value: Scalar) -> Scalar:
    """Natural logarithm of either kind of `Scalar`."""
    return value.log() if isinstance(value, Tensor) else math.log(value)


class Gaussian(NamedTuple):
    """N(mean, variance · I), with mean of the shape of the images (B, *)."""

    mean: Tensor
    variance: Scalar

    def sample(self, z: Tensor) -> Tensor:
        """Mean + √variance · z, the reparameterised draw, for z ~ N(0, I)."""
        return self.mean + sqrt(self.variance) * z

    def kl(self, other: "Gaussian") -> Tensor:
        """KL(self ‖ other) of each element, in nats, of the shape of the mean. Both variances must be positive."""
        ratio = self.variance / other.variance
        return 0.5 * (ratio - 1 - log(ratio) + (self.mean - other.mean) ** 2 / other.variance)

    def log_density(self, x: Tensor) -> Tensor:
        """Log density at x, of each element, in nats."""
        return -0.5 * ((x - self.mean) ** 2 / self.variance + log(2 * math.pi * self.variance))

    def log_bins(self, x: Tensor, half_width: float, edge: float, cdf: Callable[[Tensor], Tensor] = ndtr) -> Tensor:
        """Log of the mass in (x − half_width, x + half_width], of each element, in nats (DDPM eq. 13).

        Below −edge the bin reaches to −∞, above edge to +∞; the mass is floored at 1e-12 as the paper's code does.
        `cdf` is Φ, or an approximation of it with Φ(−u) = 1 − Φ(u).
        """
        std = sqrt(self.variance)
        lower = cdf((x - half_width - self.mean) / std).where(x > -edge, 0.0)
        # 1 − Φ(u) loses everything in the right tail; Φ(−u) does not, so the last bin is taken from that side.
        upper = cdf((x + half_width - self.mean) / std)
        last = cdf(-(x - half_width - self.mean) / std)
        mass: Tensor = (upper - lower).where(x < edge, last)
        return mass.clamp_min(1e-12).log()


def tanh_cdf(u: Tensor) -> Tensor:
    """Φ as the paper's code approximates it: ½ (1 + tanh(√(2/π) (u + 0.044715 u³)))."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
