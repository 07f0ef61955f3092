"""Couplings: which noise a sample is trained with.

x_0 and ε are independent by default. A flow that is trained on pairs whose distance is small has straighter paths, so
that fewer steps follow them. The marginal distributions of both stay what they are, and with them the distribution that
the probability flow ends at. x̂_0 and ε̂ are means over the pairs, and −ε̂/b is no score any more.
"""

import math

import torch
from torch import Tensor

from ancestral.base.arguments import checked_class
from ancestral.base.errors import whole
from ancestral.objectives.objective import ForwardPass, Objective, ObjectiveWrapper

POOL = 128
"""Default number of samples of a pool: 4 times as many take 30 times as long to pair."""
KEYS = "keys"
"""The argument of networks that is no condition: the keys of their random numbers."""
BIDS = 3
"""Number of bids for each row before shortest paths assign the rows that are left."""


@checked_class
class OptimalTransport(ObjectiveWrapper):
    """Another objective on pairs of samples and noise whose sum of squared distances is least.

    The pairs of a pool are an exact assignment. Only samples whose conditions are equal change their noise: otherwise
    the noise that a model learns for one condition would not be N(0, I), from which it is sampled. So conditions that
    differ in each sample leave nothing to pair.

    Deterministic samplers suit such a model. Those that add noise, the bound, and samples given a measurement take ε̂
    for the score, which it is where noise and samples are independent.

    Args:
        inner: The other objective.
        pool: The largest number of samples that are paired at once; a larger batch is cut into pools of nearly equal
            size. The time of an assignment grows with its third power.

    Raises:
        InputError: If the pool is not a whole number, 2 or more.

    References:
        Tong et al., *Improving and generalizing flow-based generative models with minibatch optimal transport* (2024).
        Pooladian et al., *Multisample flow matching* (2023).
        Cheng and Schwing, *The curse of conditions* (2025): the bias where conditions are left out.
    """

    def __init__(self, inner: Objective, pool: int = POOL) -> None:
        super().__init__(inner)
        self.pool = int(whole(pool, 2, math.inf, f"pool is a whole number of samples, 2 or more, not {pool}"))

    def errors(self, forward: ForwardPass) -> Tensor:
        """See `Objective.errors`: those of the other objective."""
        return self.inner.errors(forward)

    @torch.no_grad()
    def pair(self, x0: Tensor, eps: Tensor, **condition: Tensor) -> Tensor:
        """See `Objective.pair`. In a batch with numbers that are not finite nothing is paired. Detached."""
        order = torch.arange(len(x0))
        for rows in self._pools(len(x0), condition):
            with torch.autocast(x0.device.type, enabled=False):
                cost = -(x0[rows].flatten(1).float() @ eps[rows].flatten(1).float().T)  # ‖x_0 − ε‖²/2 but for constants
            order[rows] = rows[assignment(cost.cpu().double())]
        return eps[order.to(eps.device)]

    def _pools(self, count: int, condition: dict[str, Tensor]) -> list[Tensor]:
        """The numbers of the samples of each pool, int64 on the CPU: their conditions are equal."""
        values = [value.reshape(count, -1).cpu().double() for name, value in condition.items() if name != KEYS]
        groups = torch.zeros(count, dtype=torch.int64)
        if values:
            groups = torch.unique(torch.cat(values, 1), dim=0, return_inverse=True)[1]
        together = [torch.nonzero(groups == group).flatten() for group in range(int(groups.max()) + 1)]
        return [part for rows in together for part in rows.tensor_split(-(-len(rows) // self.pool))]


def assignment(cost: Tensor) -> Tensor:
    """Assign each row a column of its own, so that the sum of the costs is least: the exact solution.

    Rows bid for their cheapest columns, which raises the prices of these. Rows that are left are assigned one after
    another along shortest paths.

    Args:
        cost: The cost of each row and column, (n, n).

    Returns:
        The column of each row, int64 (n,); 0..n−1 if a cost is not finite.

    References:
        Jonker and Volgenant, *A shortest augmenting path algorithm for dense and sparse linear assignment problems*
        (1987): reduction of columns, augmenting reduction of rows, augmentation.
    """
    if not bool(cost.isfinite().all()):
        return torch.arange(len(cost))
    rows, discounts = cost.tolist(), cost.amin(0).tolist()  # lists, since tensors take longer for a row of this size
    row_of: list[int | None] = [None] * len(rows)
    for row in _bid(rows, discounts, row_of):
        _augment(rows, discounts, row_of, row)
    columns = torch.empty(len(rows), dtype=torch.int64)
    columns[torch.tensor(row_of, dtype=torch.int64)] = torch.arange(len(rows))
    return columns


def _bid(rows: list[list[float]], discounts: list[float], row_of: list[int | None]) -> list[int]:
    """Give rows their cheapest columns, whose discounts fall to where the second cheapest is as good; return the rest.

    A reduced cost is a cost less the discount of its column; each assigned column has the least one of its row.
    """
    waiting, rest, bids = list(range(len(rows))), list[int](), 0
    while waiting:
        row, bids = waiting.pop(), bids + 1
        reduced = [cost - discount for cost, discount in zip(rows[row], discounts, strict=True)]
        least = min(reduced)
        column = reduced.index(least)
        reduced[column] = math.inf
        gap = min(reduced) - least
        holder = row_of[column]
        if holder is not None and (gap == 0 or bids > BIDS * len(rows)):
            rest.append(row)
            continue
        if holder is not None:
            waiting.append(holder)
            discounts[column] -= gap
        row_of[column] = row
    return rest


def _augment(rows: list[list[float]], discounts: list[float], row_of: list[int | None], first: int) -> None:
    """Assign one more row along the path of columns that costs least, found as by Dijkstra."""
    size = len(rows)
    distances, before, open_columns = [math.inf] * size, [first] * size, list(range(size))
    row: int | None = first
    column, least, offset = 0, 0.0, 0.0
    scanned = list[int]()
    while row is not None:
        costs, least = rows[row], math.inf
        for other in open_columns:
            distance = costs[other] - discounts[other] + offset
            if distance < distances[other]:
                distances[other], before[other] = distance, row
            if distances[other] < least:
                least, column = distances[other], other
        open_columns.remove(column)
        scanned.append(column)
        row = row_of[column]
        if row is not None:
            offset = least - (rows[row][column] - discounts[column])
    for other in scanned:
        discounts[other] += distances[other] - least
    column_of = {holder: number for number, holder in enumerate(row_of) if holder is not None}
    while True:
        row = before[column]
        row_of[column] = row
        if row == first:
            return
        column = column_of[row]
