"""Distances between two sets of features: Fréchet, kernel (KID), and the Inception score."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.base.errors import InputError

PAIR_ROWS = 1024
"""Rows of a matrix of pairs at a time, so that the whole matrix is never in memory."""


class Moments(NamedTuple):
    """The mean (d,) of n rows of features, and a root A (d, r) of their covariance over n − 1, Σ = A Aᵀ; float64."""

    mean: Tensor
    root: Tensor
    n: int


def moments(x: Tensor) -> Moments:
    """Compute the moments of features (n, d), detached. Raises InputError for fewer than two: no covariance."""
    return factored(x, "r")[0]


def factored(x: Tensor, mode: str = "reduced") -> tuple[Moments, Tensor, Tensor]:
    """Compute the moments of features (n, d), the centred rows, and whitened rows w (n, r) with x = μ + A w.

    A QR decomposition of the rows gives all three, so the covariance (d, d) is never formed. Mode "r" leaves w out. The
    result is detached.
    """
    if len(x) < 2:
        raise InputError(f"a distance needs at least 2 items on each side, not {len(x)}")
    x, scale = x.detach().double(), math.sqrt(len(x) - 1)
    mean = x.mean(0)
    q, r = torch.linalg.qr(x - mean, mode)
    return Moments(mean, r.T / scale, len(x)), x - mean, q * scale


def frechet(x: Moments, y: Moments) -> float:
    """Compute the Fréchet distance ‖μ_x − μ_y‖² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½) of two Gaussians.

    With Σ = A Aᵀ, the last trace is the sum of the singular values of A_xᵀ A_y, which is real for any rank.

    References:
        Heusel et al. 2017, eq. 6.
    """
    return frechet_value(x, y, torch.linalg.svdvals(x.root.T @ y.root))


def frechet_value(x: Moments, y: Moments, singular: Tensor) -> float:
    """Compute `frechet` from the singular values of A_xᵀ A_y."""
    apart = (x.mean - y.mean).square().sum()
    return max(0.0, float(apart + x.root.square().sum() + y.root.square().sum() - 2 * singular.sum()))


def kernel(x: Tensor, y: Tensor) -> float:
    """Compute KID of features (n, d) and (m, d): the unbiased square MMD of the kernel (xᵀy/d + 1)³.

    All pairs of different items count. Equal distributions give 0 on average, so KID may be negative.

    References:
        Bińkowski et al. 2018, Demystifying MMD GANs.
    """
    return kernel_value(kernel_sums(x, x, own=True), kernel_sums(y, y, own=True), kernel_sums(x, y))


class KernelSums(NamedTuple):
    """Sums over a kernel matrix: of each row (n,), of each column (m,), and of the squares of all entries."""

    rows: Tensor
    columns: Tensor
    squares: Tensor


def kernel_sums(x: Tensor, y: Tensor, own: bool = False) -> KernelSums:
    """Sum k(x_i, y_j) over rows and columns, detached; `own` leaves out i = j, where both sets are one."""
    if min(len(x), len(y)) < 2:
        raise InputError("a distance needs at least 2 items on each side")
    x, y = x.detach().double(), y.detach().double()
    rows, columns, squares = [], torch.zeros(len(y), dtype=x.dtype), torch.zeros((), dtype=x.dtype)
    for start in range(0, len(x), PAIR_ROWS):
        k = (x[start : start + PAIR_ROWS] @ y.T).div_(x.shape[1]).add_(1).pow_(3)
        if own:
            k.diagonal(start).zero_()
        rows.append(k.sum(1))
        columns += k.sum(0)
        squares += k.square_().sum()
    return KernelSums(torch.cat(rows), columns, squares)


def kernel_value(xx: KernelSums, yy: KernelSums, xy: KernelSums) -> float:
    """Compute KID from the sums over its three kernel matrices."""
    n, m = len(xx.rows), len(yy.rows)
    return float(xx.rows.sum() / (n * (n - 1)) + yy.rows.sum() / (m * (m - 1)) - 2 * xy.rows.sum() / (n * m))


def inception_score(logits: Tensor) -> float:
    """Compute exp of the mean KL(p(y given x) ‖ p(y)) of logits (n, K). The smallest score is 1, the largest K.

    References:
        Salimans et al. 2016, Improved Techniques for Training GANs.
    """
    return float(divergences(logits).mean().exp())


def divergences(logits: Tensor) -> Tensor:
    """Compute KL(p(y given x) ‖ p(y)) of each item, (n,); p(y) is the mean. Differentiable in the logits."""
    p = logits.double().log_softmax(1)
    return (p.exp() * (p - p.logsumexp(0) + math.log(len(p)))).sum(1)


def sample_size_warning(n: int, d: int) -> str | None:
    """Warn if n items are too few for a Fréchet distance of d features."""
    if n > d:
        return None
    return (
        f"{n:,} items are too few for the covariance of {d:,} features, so the Fréchet distance is far too large: "
        f"rely on KID, or use more than {d:,} items"
    )
