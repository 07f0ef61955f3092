"""Nearest neighbours among features or pixels, and memorisation: samples that are too near to training items."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.base.errors import InputError

BLOCK_ROWS, BLOCK_COLUMNS = 256, 8192
"""Size of a block of the matrix of distances, so that memory is bounded: 16 MB of float64."""
RUN = 16
"""Columns of which one pass over a matrix takes the minimum."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest base item of each of n queries: `distance` (n,) in float64, and `index` (n,) into the base.

    Of several nearest items both are (n, k).
    """

    distance: Tensor
    index: Tensor


def squares(x: Tensor, y: Tensor) -> Tensor:
    """Compute ‖x_i − y_j‖² of rows (n, d) and (m, d), up to rounding of about 1e-16 ‖x‖² in float64.

    Differentiable in both, where the rows differ.
    """
    return (x.square().sum(1)[:, None] + y.square().sum(1)).sub_(2 * x @ y.T).clamp_(min=0)


def kth_least(rows: Tensor, k: int) -> Tensor:
    """Find the k-th least value of each row (n, m), k <= m: among the k runs of columns that have the least minima.

    Differentiable in the rows.
    """
    runs = rows.shape[1] // RUN
    if runs <= k:
        return rows.topk(k, largest=False).values[:, -1]
    whole, rest = rows[:, : runs * RUN].reshape(len(rows), runs, RUN), rows[:, runs * RUN :]
    least = whole.amin(2).topk(k, largest=False, sorted=False).indices
    few = torch.cat([whole.take_along_dim(least[:, :, None], 1).flatten(1), rest], 1)
    return few.topk(k, largest=False).values[:, -1]


def nearest(queries: Tensor, base: Tensor) -> Nearest:
    """Find the nearest row of `base` (m, d) to each row of `queries` (n, d). An exact copy is at distance 0.

    The distance is differentiable in both.
    """
    if not len(base):
        raise InputError("the base of a nearest-neighbour search needs at least one item")
    centre = base.double().mean(0)  # distances do not change, and lose fewer digits
    distances, indices = [], []
    for start in range(0, len(queries), BLOCK_ROWS):
        x = queries[start : start + BLOCK_ROWS].double() - centre
        best, index = torch.full((len(x),), torch.inf, dtype=x.dtype), torch.zeros(len(x), dtype=torch.int64)
        for first in range(0, len(base), BLOCK_COLUMNS):
            block = squares(x, base[first : first + BLOCK_COLUMNS].double() - centre).min(1)
            nearer = block.values < best
            best, index = torch.where(nearer, block.values, best), torch.where(nearer, block.indices + first, index)
        distances.append((queries[start : start + BLOCK_ROWS].double() - base[index].double()).norm(dim=1))
        indices.append(index)
    return Nearest(torch.cat(distances), torch.cat(indices))


def k_nearest(queries: Tensor, parts: Iterable[Sequence[Tensor]], k: int) -> Nearest:
    """Find the k nearest base items of each query, where the base comes in parts, so that memory is bounded by one.

    Args:
        queries: Rows (n, d).
        parts: Parts of the base, each in one or several forms (m, d), of which the nearest one counts.
        k: The number of items.

    Returns:
        `distance` and `index` (n, min(k, number of items)), the nearest first; of equal distances the first item. The
        distance is differentiable in the queries and the parts, except at copies.
    """
    x, centre = queries.double(), queries.double().mean(0)  # distances do not change, and lose fewer digits
    best, index = x.new_empty(len(x), 0), torch.empty(len(x), 0, dtype=torch.int64)
    seen = 0
    for forms in parts:
        apart = torch.stack([squares(x - centre, form.double() - centre) for form in forms]).amin(0)
        places = torch.arange(seen, seen + apart.shape[1]).expand(len(x), -1)
        best, index = torch.cat([best, apart], 1), torch.cat([index, places], 1)
        order = best.argsort(dim=1, stable=True)[:, :k]
        best, index = best.gather(1, order), index.gather(1, order)
        seen += apart.shape[1]
    return Nearest(best.sqrt(), index)


class Memorisation(NamedTuple):
    """The share of samples that are nearer to the training data than all but a few held-out items are."""

    share: float
    """The share of samples whose nearest training item is nearer than `threshold`."""
    error: float
    """Standard deviation of the share of a model that memorised nothing, for this many samples and held-out items."""
    expected: float
    """The share of a model that memorised nothing: that of the held-out items."""
    threshold: float
    samples: Nearest
    """The nearest training item of each sample."""


def memorisation(samples: Tensor, train: Tensor, held_out: Tensor, quantile: float = 0.05) -> Memorisation:
    """Compare how near samples and held-out items come to training items, all rows of (·, d).

    The threshold is the k-th least distance of m held-out items, k ≈ quantile · (m + 1). A sample that is distributed
    as they are is below it with probability k/(m + 1), exactly, whatever the data; and since all samples share one
    threshold, of n samples the share varies as that of Pólya's urn, with variance p(1 − p)(n + m + 1)/(n(m + 2)). The
    distances of the samples are differentiable, and nothing else.

    Raises:
        InputError: If held-out items are copies of training items, so that nothing can be nearer.
    """
    m, n = len(held_out), len(samples)
    if not m or not n:
        raise InputError("memorisation needs samples and held-out items, at least one of each")
    rank = min(max(1, round(quantile * (m + 1))), m)
    threshold = float(nearest(held_out.detach(), train.detach()).distance.kthvalue(rank).values)
    if threshold == 0:
        raise InputError(f"at least {rank:,} of the {m:,} held-out items are in the training data: leave those out")
    near = nearest(samples, train)
    p = rank / (m + 1)
    error = (p * (1 - p) * (n + m + 1) / (n * (m + 2))) ** 0.5
    return Memorisation(float((near.distance < threshold).double().mean()), error, p, threshold, near)
