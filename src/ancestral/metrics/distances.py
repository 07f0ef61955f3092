"""How far two sets of features are from one another."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.errors import InputError

ROWS = 1024
"""Rows of a matrix of pairs at a time, so that it is never held whole."""


class Moments(NamedTuple):
    """Of n rows of features, in float64: `mean` (d,), and a root A (d, r) of their covariance over n − 1, Σ = A Aᵀ."""

    mean: Tensor
    root: Tensor
    n: int


def moments(x: Tensor) -> Moments:
    """Of features (n, d). Raises InputError for fewer than two, which have no covariance."""
    return factored(x, "r")[0]


def factored(x: Tensor, mode: str = "reduced") -> tuple[Moments, Tensor, Tensor]:
    """The moments of features (n, d), the rows less their mean, and the same whitened: w (n, r) with x = μ + A w.

    A QR decomposition of the rows gives all three, so the covariance (d, d) is never made. With mode "r", no w.
    """
    if len(x) < 2:
        raise InputError(f"a distance needs at least 2 items on each side, not {len(x)}")
    x, scale = x.double(), math.sqrt(len(x) - 1)
    mean = x.mean(0)
    q, r = torch.linalg.qr(x - mean, mode)
    return Moments(mean, r.T / scale, len(x)), x - mean, q * scale


def frechet(x: Moments, y: Moments) -> float:
    """The Fréchet distance ‖μ_x − μ_y‖² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½) of two Gaussians (Heusel et al. 2017, eq. 6).

    With Σ = A Aᵀ, the last trace is the sum of the singular values of A_xᵀ A_y, which is real for any rank.
    """
    return frechet_value(x, y, torch.linalg.svdvals(x.root.T @ y.root))


def frechet_value(x: Moments, y: Moments, singular: Tensor) -> float:
    """`frechet`, of the singular values of A_xᵀ A_y."""
    apart = (x.mean - y.mean).square().sum()
    return max(0.0, float(apart + x.root.square().sum() + y.root.square().sum() - 2 * singular.sum()))


def kernel(x: Tensor, y: Tensor) -> float:
    """KID of features (n, d) and (m, d): the unbiased square MMD of the kernel (xᵀy/d + 1)³ (Bińkowski et al. 2018).

    All pairs count, none of an item with itself. Equal distributions give 0 on average, so it may be negative.
    """
    return kernel_value(pairs(x, x, own=True), pairs(y, y, own=True), pairs(x, y))


class Pairs(NamedTuple):
    """Sums over a kernel matrix: of each row (n,), of each column (m,), and of all squares."""

    rows: Tensor
    columns: Tensor
    squares: Tensor


def pairs(x: Tensor, y: Tensor, own: bool = False) -> Pairs:
    """The sums over k(x_i, y_j), without i = j where both sets are one."""
    if min(len(x), len(y)) < 2:
        raise InputError("a distance needs at least 2 items on each side")
    x, y = x.double(), y.double()
    rows, columns, squares = [], torch.zeros(len(y), dtype=x.dtype), torch.zeros((), dtype=x.dtype)
    for start in range(0, len(x), ROWS):
        k = (x[start : start + ROWS] @ y.T / x.shape[1] + 1) ** 3
        if own:
            k.diagonal(start).zero_()
        rows.append(k.sum(1))
        columns += k.sum(0)
        squares += k.square().sum()
    return Pairs(torch.cat(rows), columns, squares)


def kernel_value(xx: Pairs, yy: Pairs, xy: Pairs) -> float:
    """KID from the sums over its three matrices."""
    n, m = len(xx.rows), len(yy.rows)
    return float(xx.rows.sum() / (n * (n - 1)) + yy.rows.sum() / (m * (m - 1)) - 2 * xy.rows.sum() / (n * m))


def inception_score(logits: Tensor, splits: int = 1) -> float:
    """The exponential of the mean KL(p(y given x) ‖ p(y)) (Salimans et al. 2016), on average over `splits` parts.

    Logits are (n, K). The least score is 1, the largest K.
    """
    parts = divergences(logits, splits)
    return math.fsum(float(part.mean().exp()) for part in parts) / len(parts)


def divergences(logits: Tensor, splits: int = 1) -> list[Tensor]:
    """KL(p(y given x) ‖ p(y)) of each item, by part; p(y) is the mean of the part."""
    parts = logits.double().log_softmax(1).chunk(splits)
    return [(p.exp() * (p - p.logsumexp(0) + math.log(len(p)))).sum(1) for p in parts]


def enough(n: int, d: int) -> str | None:
    """Why n items are too few for a Fréchet distance of d features, or None."""
    if n > d:
        return None
    return (
        f"{n:,} items cannot fill a covariance of {d:,} features, so the Fréchet distance is far too large: go by KID, "
        f"or take more than {d:,}"
    )
