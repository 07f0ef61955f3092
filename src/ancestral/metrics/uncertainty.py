"""How much a number would differ if the items were drawn again."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.metrics import distances
from ancestral.metrics.distances import Moments, Pairs
from ancestral.metrics.manifold import manifold as _manifold


class Estimate(NamedTuple):
    """A number, its standard error, and the interval that holds the average over such sets with 95 %."""

    value: float
    error: float
    low: float
    high: float


def frechet(x: Tensor, y: Tensor) -> Estimate:
    """`distances.frechet` of features (n, d) and (m, d)."""
    ours, theirs = distances.moments(x), distances.moments(y)
    variance = _transport(x, ours, theirs) + _transport(y, theirs, ours)
    return _estimate(distances.frechet(ours, theirs), variance, least=0)


def _transport(x: Tensor, ours: Moments, theirs: Moments) -> float:
    a, b = distances.root(ours.covariance), distances.root(theirs.covariance)
    u, s, _ = torch.linalg.svd(a.T @ b, full_matrices=False)
    centred = x.double() - ours.mean
    white = centred @ (a / a.square().sum(0)) @ u
    influence = 2 * centred @ (ours.mean - theirs.mean) + centred.square().sum(1) - white.square() @ s
    return float(influence.var() / len(x))


def kernel(x: Tensor, y: Tensor) -> Estimate:
    """`distances.kernel` of features (n, d) and (m, d)."""
    xx, yy, xy = distances.pairs(x, x, own=True), distances.pairs(y, y, own=True), distances.pairs(x, y)
    n, m = len(x), len(y)
    value = float(distances.kernel_value(xx, yy, xy))
    first = (xx.rows / (n - 1) - xy.rows / m).var() * 4 / n + (yy.rows / (m - 1) - xy.columns / n).var() * 4 / m
    second = 2 * _own(xx) / n**2 + 2 * _own(yy) / m**2 + 4 * _cross(xy) / (n * m)
    return _estimate(value, max(float(first - second), float(second)))


def _own(k: Pairs) -> Tensor:
    n = len(k.rows)
    p = k.rows / (n - 1)
    return (k.squares - 2 * n * p.square().sum() + n * (n + 1) * p.mean() ** 2) / (n * max(1, n - 3))


def _cross(k: Pairs) -> Tensor:
    n, m = len(k.rows), len(k.columns)
    p, q = k.rows / m, k.columns / n
    centred = k.squares - m * p.square().sum() - n * q.square().sum() + n * m * p.mean() ** 2
    return centred / ((n - 1) * (m - 1))


def inception_score(logits: Tensor, splits: int = 1) -> Estimate:
    """`distances.inception_score` of logits (n, K)."""
    raise NotImplementedError


def manifold(samples: Tensor, reference: Tensor, k: int = 5) -> dict[str, Estimate]:
    """Precision, recall, density and coverage by name, of features (n, d) and (m, d)."""
    found = _manifold(samples, reference, k)
    return {name: mean(values, least=0) for name, values in found._asdict().items()}


def mean(values: Tensor, least: float = -math.inf) -> Estimate:
    """The mean of values (n,)."""
    return _estimate(float(values.mean()), float(values.var() / len(values)), least)


def _estimate(value: float, variance: float, least: float = -math.inf) -> Estimate:
    error = math.sqrt(max(0.0, variance))
    return Estimate(value, error, max(least, value - 1.96 * error), value + 1.96 * error)
