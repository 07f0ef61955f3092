"""Copies of training items among samples, found without held-out data.

A copy is much nearer to one training item than to any other. A new item is about as far from the nearest as from the
next, since distances in many dimensions are alike: the ratio of the two is near 1, and below 1/3 only with the
probability 3^−k, where k is the dimension of the data (Facco et al. 2017). How often chance alone does it is measured
on the training items, each compared with the others.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.data.dataset import evenly_spaced
from ancestral.metrics.neighbours import kth_least, squares

RATIO = 1 / 3
"""A sample is a copy if its nearest training item is nearer than this share of the distance to any other: the threshold
of Yoon et al. 2023 and of Gu et al. 2023."""
PROBES = 1000
"""Training items that are compared with the others."""
NEIGHBOUR = 5
"""The spacing of the data is the median distance of an item to this neighbour, so that a few duplicates of each item do
not change it."""
DUPLICATE, ALIKE = 1 / 10, 1 / 3
"""Items nearer to each other than these shares of the spacing are one item twice; and too much alike for one of them to
be the second-nearest where the other is the nearest."""
SURPLUS = 2
"""Items that are alike are duplicates if there are this many times more of them than in data of constant density."""
FEWEST_RATIOS = 3
"""Different training items that have a ratio each."""
MATRIX_ELEMENTS = 2**23
"""Number of elements of a block of the matrix of distances."""


class Copies(NamedTuple):
    """The ratio of the distances to the nearest and to the second-nearest different training item.

    References:
        Yoon et al. 2023, Diffusion Probabilistic Models Generalize when They Fail to Memorize. Gu et al. 2023, On
        Memorization in Diffusion Models. Facco et al. 2017, Estimating the intrinsic dimension of datasets.
    """

    ratio: Tensor
    """(n,) of the samples, float64."""
    nearest: Tensor
    """(n,), the index of the nearest training item."""
    equal: Tensor
    """(n,), whether a sample is identical to a training item."""
    flat: Tensor
    """(n,), whether the nearest training item is constant, which does not count as copied."""
    chance: Tensor
    """(m,), the ratio of training items to the others; 1 where the nearest of these is constant."""
    items: int
    """The number of training items that are not identical to an earlier one."""

    @property
    def near(self) -> Tensor:
        """(n,), whether a sample is much nearer to one training item than to any other."""
        return (self.ratio < RATIO) | self.equal

    @property
    def copied(self) -> Tensor:
        """(n,), whether a sample is a copy."""
        return self.near & ~self.flat

    @property
    def p_value(self) -> float:
        """The probability of as many copies if samples are copies as often as training items are by chance."""
        return fisher(int(self.copied.sum()), len(self.copied), int((self.chance < RATIO).sum()), len(self.chance))


def fisher(hits: int, count: int, other_hits: int, other_count: int) -> float:
    """Compute the p-value of Fisher's exact test, one-sided: is a hit more likely among `count` trials than others?

    Returns:
        The probability of at least `hits` among `count`, given the number of hits of both.

    References:
        Fisher 1935, The Logic of Inductive Inference.
    """
    all_hits = hits + other_hits

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    whole = log_choose(count + other_count, all_hits)
    terms = (log_choose(count, k) + log_choose(other_count, all_hits - k) - whole
             for k in range(hits, min(count, all_hits) + 1))  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, terms)))


def copies(samples: Tensor, train: Tensor, flat: Tensor | None = None) -> Copies:
    """Compare samples (n, d) with the training items (m, d) that they may be copies of. The result is detached.

    Args:
        samples: The samples.
        train: The training items.
        flat: (m,), whether a training item is constant; None: no item is.

    Raises:
        InputError: If there are fewer than 3 different training items, or 2 numbers of each.
    """
    if train.shape[1] < 2:
        raise InputError("copies are found among items of at least 2 numbers")
    samples, train = samples.detach(), train.detach()
    first = _distinct(train)
    rows = torch.tensor(list(first.values()))
    if len(rows) < FEWEST_RATIOS:
        raise InputError(f"copies are found among at least {FEWEST_RATIOS} different training items, not {len(rows)}")
    centre = train.double().mean(0)  # distances do not change, and lose fewer digits
    work = torch.promote_types(torch.promote_types(train.dtype, samples.dtype), torch.float32)
    base, queries = ((x.double() - centre).to(work) for x in (train[rows], samples))
    probes, nth = evenly_spaced(PROBES, len(base)), min(NEIGHBOUR, len(base) - 1)
    blocks = (squares(part, base) for part in _parts(base[probes], base))
    to_others = torch.cat([torch.stack([kth_least(block, 1 + k) for k in (1, nth)], 1) for block in blocks])
    spacing = float(to_others[:, 1].median().sqrt())
    close = int((to_others[:, 0] <= (DUPLICATE * spacing) ** 2).sum())
    ratio, index = _ratios(queries, base, spacing)
    chance, neighbour = _chance(base[probes], base, spacing, close)
    places = (first.get(row.tobytes(), -1) for row in samples.contiguous().numpy())
    equal = torch.tensor(list(places), dtype=torch.int64)
    index = torch.where(equal < 0, rows[index], equal)
    blank = torch.zeros(len(train), dtype=torch.bool) if flat is None else flat
    chance = chance.where(~blank[rows[neighbour]], 1.0)
    return Copies(ratio, index, equal >= 0, blank[index], chance, len(base))


def _chance(probes: Tensor, base: Tensor, spacing: float, close: int) -> tuple[Tensor, Tensor]:
    """The ratios of training items (m, d) to the others, and their nearest items, without those that are duplicates.

    In few dimensions some items are close by chance, and are duplicates only if there are more of them. The ratio of
    the nearest to the next distance has the distribution x^k in k dimensions, and its median 2^(−1/k). The nearest is
    nearer than a share x of the distance to the n-th with the probability 1 − (1 − x^k)^(n − 1).

    Args:
        probes: The items.
        base: All items.
        spacing: The distance to the neighbour `NEIGHBOUR`.
        close: The number of the items with a neighbour within `DUPLICATE` of the spacing.
    """
    ratios = _ratios(probes, base, spacing, DUPLICATE * spacing)
    median = float(ratios[0].median())
    power = DUPLICATE ** (math.log(2) / -math.log(median)) if 0 < median < 1 else 0.0
    expected = len(probes) * (1 - (1 - power) ** (NEIGHBOUR - 1))
    if close > SURPLUS * expected + 2:
        return ratios
    return _ratios(probes, base, spacing, 0.0)


def _distinct(x: Tensor) -> dict[bytes, int]:
    """The rows (m, d) that are equal to none before them, with their indices."""
    first = dict[bytes, int]()
    for i, row in enumerate(x.contiguous().numpy()):
        first.setdefault(row.tobytes(), i)
    return first


def _parts(queries: Tensor, base: Tensor) -> tuple[Tensor, ...]:
    return torch.split(queries, max(1, MATRIX_ELEMENTS // len(base)))


def _ratios(queries: Tensor, base: Tensor, spacing: float, beyond: float | None = None) -> tuple[Tensor, Tensor]:
    """The ratios (n,) of queries (n, d) and the indices of their nearest items.

    Args:
        queries: The queries, or items of the base, which are not their own neighbours, with `beyond`.
        base: The items (m, d).
        spacing: The distance to the neighbour `NEIGHBOUR`.
        beyond: The distance within which items are the query itself; at 0 only the nearest item is.
    """
    ratios, indices = [], []
    for x in _parts(queries, base):
        apart = squares(x, base)
        if beyond is not None:
            apart.scatter_(1, apart.argmin(1, keepdim=True), torch.inf)
            apart.masked_fill_(apart <= beyond**2, torch.inf)
        first = apart.argmin(1)
        apart.masked_fill_(squares(base[first], base) <= (ALIKE * spacing) ** 2, torch.inf)
        second = apart.argmin(1)
        one, two = ((x - base[index]).double().norm(dim=1) for index in (first, second))
        ratios.append(torch.where(apart.amin(1).isfinite(), one / two, 1.0))  # without another item there is no copy
        indices.append(first)
    return torch.cat(ratios), torch.cat(indices)
