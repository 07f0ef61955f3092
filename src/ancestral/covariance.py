"""The covariance of data, which says how the parts of an item that are known tell of those that are not."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.base.device_tensors import kept
from ancestral.base.errors import InputError
from ancestral.gaussian import Scalar

LEAST_VARIANCE = 1e-3
"""The least variance of a direction, in units of the mean variance."""
RANK = 1024
"""The largest number of axes whose variances are kept."""


@dataclass(frozen=True, eq=False)
class Covariance:
    """A covariance of items: variances along some axes, and one variance along all others.

    Attributes:
        axes: Orthonormal columns (D, r), for flat items; None of a covariance that is the same in all directions.
        variances: Along each axis, (r,).
        rest: The variance along every other direction.
    """

    axes: Tensor | None
    variances: Tensor
    rest: float

    @staticmethod
    def isotropic(variance: float) -> "Covariance":
        """Return a variance times 1."""
        return Covariance(None, torch.empty(0), variance)

    @staticmethod
    def of(x0: Tensor, rank: int = RANK) -> "Covariance":
        """Return the covariance of items x0 (N, *), of which the axes of most variance are kept.

        The variance that is left is spread evenly over all other directions, so no direction has none. All is computed
        in float64; the axes and variances are float64 of items in float64, else float32. The result is detached.

        Raises:
            InputError: If there are fewer than two items.
        """
        if len(x0) < 2:
            raise InputError(f"a covariance needs two items or more, not {len(x0)}")
        dtype, flat = torch.promote_types(x0.dtype, torch.float32), x0.detach().flatten(1).double()
        centred = flat - flat.mean(0)
        count, dimensions = centred.shape
        # the smaller of the two Gram matrices has the same eigenvalues
        gram = (centred.T @ centred if dimensions <= count else centred @ centred.T) / (count - 1)
        values, vectors = torch.linalg.eigh(gram)
        kept = min(rank, count - 1, dimensions)
        values, vectors = values[-kept:].flip(0), vectors[:, -kept:].flip(1)
        values, total = values.clamp(min=0), centred.square().sum() / (count - 1)
        left = max(float(total - values.sum()), 0.0) / max(dimensions - kept, 1)
        rest = max(left, LEAST_VARIANCE * float(total) / dimensions)
        larger = values > rest  # the others have the variance of the rest, and those of rounding alone no direction
        values, vectors = values[larger], vectors[:, larger]
        if dimensions > count:
            vectors = centred.T @ vectors / ((count - 1) * values).sqrt()
        return Covariance(vectors.to(dtype), values.to(dtype), rest)

    def mean_variance(self) -> float:
        """The variance of an element, the mean over all."""
        if self.axes is None:
            return self.rest
        dimensions, rank = self.axes.shape
        return (float(self.variances.sum()) + (dimensions - rank) * self.rest) / dimensions

    def given(self, v: Tensor, a: Scalar, b: Scalar) -> Tensor:
        """Apply C = (Σ⁻¹ + (a²/b²) 1)⁻¹, the covariance of x_0 given x_t of Gaussian data, to vectors.

        Args:
            v: Flat vectors (B, D).
            a: The signal of x_t, one number or (B, 1).
            b: The noise of x_t, likewise.

        Returns:
            C v, (B, D). Differentiable in v, in a and b that are tensors, and in the axes and variances.
        """
        rest = self.rest * b**2 / (a**2 * self.rest + b**2)
        if self.axes is None:
            return rest * v
        axes, variances = kept(self.axes, v), kept(self.variances, v)
        ratio = b**2 / (a**2 * variances + b**2)
        along = v @ axes
        return rest * v + (along * (variances * ratio - rest)) @ axes.T
