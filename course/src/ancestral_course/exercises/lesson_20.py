"""Exercises of lesson 20: the energy score, fair and almost fair, the CRPS as an integral, the loss of a network."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ancestral.metrics import ensembles
from ancestral_course.exercise import Counted, Exercise, Function, WrongForm, lost_gradient
from ancestral_course.variants import near, normal, one_of, whole

F64 = torch.float64

# -- the energy score -------------------------------------------------------------------------------------------------


def _ensembles() -> list[tuple[Tensor, Tensor]]:
    """Members (m, N, d) and items (N, d): several dimensions, one dimension, and two members."""
    shapes = [(whole(5, 4, 7), 4, 3), (8, 3, 1), (2, 2, 6)]
    return [(normal(*shape, seed=k), normal(*shape[1:], seed=10 + k)) for k, shape in enumerate(shapes)]


def _fair(members: Tensor, x: Tensor) -> Tensor:
    """By the package, whose distances are root mean squares."""
    return ensembles.energy_scores(members.transpose(0, 1), x) * math.sqrt(x.shape[1])


def _distances(difference: Tensor) -> Tensor:
    result: Tensor = difference.norm(dim=-1)
    return result


def _scored(
    pairs: Callable[[int, float], float] = lambda m, alpha: alpha / (m * (m - 1)) + (1 - alpha) / m**2,
    half: float = 0.5,
    distances: Callable[[Tensor], Tensor] = _distances,
    over_members: Callable[[Tensor], Tensor] = lambda found: found.mean(0),
    over_items: Callable[[Tensor], Tensor] = lambda found: found,
) -> Function:
    """A score with another weight of pairs, factor, distance, or mean."""

    def function(members: Tensor, x: Tensor, alpha: float = 1.0) -> Tensor:
        between = distances(members[:, None] - members[None]).sum((0, 1))
        to_truth = over_members(distances(members - x))
        return over_items(to_truth - half * pairs(len(members), alpha) * between)

    return function


def _equal_members() -> Tensor:
    """Members (3, 2, 2), of which two are equal: their distance has a derivative only by convention."""
    members = normal(3, 2, 2, seed=20)
    members[1] = members[0]
    return members


_MISTAKES: dict[str, Function] = {
    "the second term is twice too large: half of the mean distance is subtracted, and m (m − 1) counts each pair in "
    "both orders.": _scored(half=1.0),
    "the second term is half of what it should be: m (m − 1) counts each pair in both orders, and each order is a "
    "half of the pair.": _scored(half=0.25),
    "the second term is added. Spread is rewarded: subtract it.": _scored(half=-0.5),
    "the second term is missing: this is the mean distance, for which a single best guess is optimal.": _scored(
        half=0.0
    ),
    "the norm is the root of the sum of squares; yours is the root mean square.": _scored(
        distances=lambda z: _distances(z) / math.sqrt(z.shape[-1])
    ),
    "the norm is the root of the sum of squares; yours is the sum of absolute values.": _scored(
        distances=lambda z: z.abs().sum(-1)
    ),
    "the distances are squared here. Of squares the score depends on the mean of the members alone.": _scored(
        distances=lambda z: z.square().sum(-1)
    ),
    "the distances to the items are summed over the members. Take their mean.": _scored(
        over_members=lambda found: found.sum(0)
    ),
    "the mean over the items is taken. Return the score of each, (N,).": _scored(
        over_items=lambda found: found.mean().expand(len(found))
    ),
}
"""Of the fair score, and of the almost fair one."""

FAIR_SCORE = Exercise(
    name="fair_score",
    task="The fair estimate of the energy score of an ensemble.",
    reference=_fair,
    results=lambda function: [function(*case) for case in _ensembles()],
    mistakes={
        "a pair of a member with itself has the distance 0, and makes the mean smaller. There are m (m − 1) pairs of "
        "different members: divide the sum by this number, not by m².": _scored(lambda m, _: 1 / m**2),
        **_MISTAKES,
    },
    atol=1e-9,
    demand=lambda function: lost_gradient(
        lambda members: function(members, normal(2, 2, seed=21)),
        lambda members: _scored()(members, normal(2, 2, seed=21)),
        _equal_members(),
    ),
)


def _almost_fair(members: Tensor, x: Tensor, alpha: float) -> Tensor:
    """By its definition: the fair score, and the mean over all m² pairs."""
    to_truth = _distances(members - x).mean(0)
    fair, m = _fair(members, x), len(members)
    result: Tensor = alpha * fair + (1 - alpha) * (to_truth + (m - 1) / m * (fair - to_truth))
    return result


ALMOST_FAIR_SCORE = Exercise(
    name="almost_fair_score",
    task="The energy score with the share α of the fair estimate, and 1 − α of the biased one.",
    reference=_almost_fair,
    results=lambda function: [
        function(*case, alpha) for case, alpha in zip(_ensembles(), (near(0.6), near(0.4), 0.0), strict=True)
    ],
    mistakes={
        "α is the share of the fair estimate; yours is that of the biased one.": _scored(
            lambda m, alpha: (1 - alpha) / (m * (m - 1)) + alpha / m**2
        ),
        "this is the fair score for every α.": _scored(lambda m, _: 1 / (m * (m - 1))),
        "this is the biased score for every α.": _scored(lambda m, _: 1 / m**2),
        "the biased part is missing: the second term has the share 1 − α of the mean over all m² pairs.": _scored(
            lambda m, alpha: alpha / (m * (m - 1))
        ),
        "the fair part is missing: the second term has the share α of the mean over the m (m − 1) pairs.": _scored(
            lambda m, alpha: (1 - alpha) / m**2
        ),
        "mix the two means; yours divides the sum of the pairs by a mixture of m (m − 1) and m².": _scored(
            lambda m, alpha: 1 / (alpha * m * (m - 1) + (1 - alpha) * m**2)
        ),
        **_MISTAKES,
    },
    atol=1e-9,
    demand=lambda function: lost_gradient(
        lambda members: function(members, normal(2, 2, seed=21), 0.5),
        lambda members: _scored()(members, normal(2, 2, seed=21), 0.5),
        _equal_members(),
    ),
)

# -- the CRPS as an integral ------------------------------------------------------------------------------------------


def _values() -> list[tuple[Tensor, Tensor]]:
    """Members (m, N) and true values (N,): values inside and outside of the members, equal members, one member."""
    cases = [
        (normal(whole(5, 4, 7), 6, seed=30), 1.5 * normal(6, seed=31)),
        (normal(2, 4, seed=32), normal(4, seed=33)),
    ]
    cases += [
        (normal(1, 3, seed=34), normal(3, seed=35)),
        (normal(3, 2, seed=36), torch.tensor([9.0, -9.0], dtype=F64)),
    ]
    tied = normal(4, 2, seed=37)
    return [*cases, (torch.cat([tied, tied[:2]]), near(torch.tensor([0.1, -0.2], dtype=F64)))]


def _crps(members: Tensor, x: Tensor) -> Tensor:
    """By all pairs of members, a member with itself included."""
    between = (members[:, None] - members[None]).abs().mean((0, 1))
    result: Tensor = (members - x).abs().mean(0) - between / 2
    return result


def _integral(
    integrand: Callable[[Tensor, Tensor], Tensor] = lambda F, step: (F - step) ** 2,
    share: Callable[[Tensor, Tensor], Tensor] = lambda members, left: (members[:, None] <= left).to(F64).mean(0),
    edges: Callable[[Tensor, Tensor], Tensor] = lambda members, x: torch.cat([members, x[None]]),
    widths: Callable[[Tensor], Tensor] = lambda edges: edges.diff(dim=0),
) -> Function:
    """The integral with another integrand, distribution function, edges or widths of the pieces."""

    def function(members: Tensor, x: Tensor) -> Tensor:
        sides = edges(members, x).sort(0).values
        left = sides[:-1]
        return (integrand(share(members, left), (x <= left).to(F64)) * widths(sides)).sum(0)

    return function


CRPS_INTEGRAL = Exercise(
    name="crps_integral",
    task="The CRPS as the integral of a squared difference of distribution functions.",
    reference=_crps,
    results=lambda function: [function(*case) for case in _values()],
    mistakes={
        "this is the integral of |F − 1[x ≤ u]|, the mean distance to x. Square the difference.": _integral(
            lambda F, step: (F - step).abs()
        ),
        "the absolute value is missing, and so is the square: positive and negative differences cancel.": _integral(
            lambda F, step: F - step
        ),
        "the true value is missing among the edges: the integrand has a step at x as well.": _integral(
            edges=lambda members, x: members
        ),
        "this is the fair score. The integral counts a member with itself as a pair: it is a sum over the pieces "
        "between sorted values.": lambda members, x: (
            (members - x).abs().mean(0)
            - (members[:, None] - members[None]).abs().sum((0, 1)) / (2 * len(members) * max(1, len(members) - 1))
        ),
        "this is a sum without the widths of the pieces: multiply each value of the integrand by its width.": _integral(
            widths=lambda edges: torch.ones_like(edges[1:])
        ),
        "F is the share of the members that are at most u; yours is the share of those above.": _integral(
            share=lambda members, left: (members[:, None] > left).to(F64).mean(0)
        ),
        "F is a share, from 0 to 1; yours is the number of members.": _integral(
            share=lambda members, left: (members[:, None] <= left).to(F64).sum(0)
        ),
        "on a piece F has the value of its left edge, members that are equal to it included: ≤, not <.": _integral(
            share=lambda members, left: (members[:, None] < left).to(F64).mean(0)
        ),
        "x is no member: divide the number of members that are at most u by m, not by m + 1.": _integral(
            share=lambda members, left: (members[:, None] <= left).to(F64).sum(0) / (len(members) + 1)
        ),
    },
    atol=1e-9,
)

# -- the spread that a score asks for ---------------------------------------------------------------------------------


def _best_spread(m: int, alpha: float) -> float:
    w = alpha + (1 - alpha) * (m - 1) / m
    return w / math.sqrt(2 - w**2)


def _spread(weight: Callable[[int, float], float], of: Callable[[float], float] | None = None) -> Function:
    """The spread for another weight of E|X − X'|, or another function of the weight."""
    return lambda m, alpha: (of or (lambda w: w / math.sqrt(2 - w**2)))(weight(m, alpha))


def _weight(m: int, alpha: float) -> float:
    return alpha + (1 - alpha) * (m - 1) / m


BEST_SPREAD = Exercise(
    name="best_spread",
    task="The spread of a normal forecast with the least expected almost fair score.",
    reference=_best_spread,
    results=lambda function: [
        function(m, alpha)
        for m, alpha in (
            (2, 0.0),
            (whole(8, 5, 12), near(0.7)),
            (whole(4, 3, 7), near(0.3)),
            (2, 1.0),
            (whole(3, 2, 9), near(0.5)),
        )
    ],
    mistakes={
        "this is s². Take the root.": _spread(_weight, lambda w: w**2 / (2 - w**2)),
        "this is the weight w of E|X − X'| alone. Set the derivative of the expected score to 0.": _spread(
            _weight, lambda w: w
        ),
        "α is the share of the fair estimate, whose weight is 1; yours is that of the biased one.": _spread(
            lambda m, alpha: (1 - alpha) + alpha * (m - 1) / m
        ),
        "this is the answer of the biased estimate for every α.": _spread(lambda m, _: (m - 1) / m),
        "this is the answer of the fair estimate for every α.": _spread(lambda *_: 1.0),
        "of m² pairs m have the distance 0, so the biased mean has the factor (m − 1)/m; yours is m/(m − 1).": (
            lambda m, alpha: (lambda w: w / math.sqrt(2 - w**2) if w**2 < 2 else math.inf)(
                alpha + (1 - alpha) * m / (m - 1)
            )
        ),
        "of m² pairs m have the distance 0: the factor of the biased mean is 1 − 1/m; yours is 1 − 1/m².": _spread(
            lambda m, alpha: alpha + (1 - alpha) * (1 - 1 / m**2)
        ),
        "the derivative of √(1 + s²) is s/√(1 + s²): solve √2 s/√(1 + s²) = w. Yours has lost the factor √2, or the "
        "half of E|X − X'|.": _spread(_weight, lambda w: w / math.sqrt(4 - w**2)),
        "solve √2 s/√(1 + s²) = w for s: s² (2 − w²) = w². You have 1 in the place of 2.": _spread(
            _weight, lambda w: w / math.sqrt(1 - w**2) if w < 1 else math.inf
        ),
        "solve √2 s/√(1 + s²) = w for s: s² (2 − w²) = w². You have + w².": _spread(
            _weight, lambda w: w / math.sqrt(2 + w**2)
        ),
    },
)

# -- the loss of a network --------------------------------------------------------------------------------------------

MIX = 0.3


def _net(c: Tensor, xi: Tensor, slope: Tensor | float = 1.0) -> Tensor:
    """A network (rows, 1), (rows, k) → (rows, 2), in which each row has its own answer."""
    if c.shape[0] != xi.shape[0] or c.ndim != 2 or xi.ndim != 2:
        raise WrongForm(
            f"net takes as many conditions as noises, (rows, 1) and (rows, k); it got {tuple(c.shape)} and "
            f"{tuple(xi.shape)}. A row of c belongs to each member"
        )
    first = c + slope * xi[:, :1]
    return torch.cat([first.tanh(), slope * (MIX * xi[:, 1:2] - c * xi[:, :1])], 1)


def _score(members: Tensor, x: Tensor) -> Tensor:
    result: Tensor = _scored()(members, x, 0.8)
    return result


def _batches() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Conditions (N, 1), items (N, 2) and noise (m, N, k), with m and N different and equal."""
    shapes = [(whole(3, 2, 5), 7, 2), (4, 4, 3)]
    return [(normal(n, 1, seed=50 + m), normal(n, 2, seed=60 + m), normal(m, n, k, seed=70 + m)) for m, n, k in shapes]


def _ensemble_loss(net: Function, c: Tensor, x: Tensor, xi: Tensor, score: Function) -> Tensor:
    result: Tensor = score(torch.stack([net(c, noise) for noise in xi]), x).mean()
    return result


def _loss(
    change: Callable[[Sequence[Tensor]], Sequence[Tensor]] = lambda inputs: inputs,
    members: Callable[[Tensor], Tensor] = lambda members: members,
    total: Callable[[Tensor], Tensor] = lambda scores: scores.mean(),
) -> Function:
    """A loss with other rows, members or another total."""

    def function(net: Function, c: Tensor, x: Tensor, xi: Tensor, score: Function) -> Tensor:
        m = len(xi)
        rows = change((c.repeat(m, 1), xi.flatten(0, 1)))
        return total(score(members(net(*rows).reshape(m, *x.shape)), x))

    return function


def _wrong_order(net: Function, c: Tensor, x: Tensor, xi: Tensor, score: Function) -> Tensor:
    rows = net(c.repeat_interleave(len(xi), 0), xi.flatten(0, 1))
    result: Tensor = score(rows.reshape(len(xi), *x.shape), x).mean()
    return result


def _turned(net: Function, c: Tensor, x: Tensor, xi: Tensor, score: Function) -> Tensor:
    rows = net(c.repeat(len(xi), 1), xi.flatten(0, 1))
    result: Tensor = score(rows.reshape(len(x), len(xi), -1).transpose(0, 1), x).mean()
    return result


def _one_noise(net: Function, c: Tensor, x: Tensor, xi: Tensor, score: Function) -> Tensor:
    return _ensemble_loss(net, c, x, xi[:1].expand_as(xi), score)


def _of_first_noise(net: Function, c: Tensor, x: Tensor, xi: Tensor, score: Function) -> Tensor:
    return _ensemble_loss(net, c, x, xi[:, :1].expand_as(xi), score)


def _of_means(net: Function, c: Tensor, x: Tensor, xi: Tensor, score: Function) -> Tensor:
    result: Tensor = score(torch.stack([net(c, noise) for noise in xi]).mean(0, keepdim=True).expand(2, -1, -1), x)
    return result.mean()


def _loss_demand(function: Function) -> str:
    """The hint for needless evaluations, or for a lost gradient; or ""."""
    net, batch = Counted(_net), _batches()[0]
    function(net, *batch, _score)
    return net.needless(1) or lost_gradient(
        lambda slope: function(lambda c, xi: _net(c, xi, slope), *batch, _score),
        lambda slope: _ensemble_loss(lambda c, xi: _net(c, xi, slope), *batch, _score),
        torch.tensor(0.7, dtype=F64),
    )


def _loss_results(function: Function) -> list[Any]:
    """With two scores, so that the one that is given is used."""
    return [
        function(_net, *batch, score)
        for batch, score in zip(_batches(), (_score, lambda f, x: one_of([2, 3, 4]) * _score(f, x)), strict=True)
    ]


ENSEMBLE_LOSS = Exercise(
    name="ensemble_loss",
    task="The mean score of the answers of a network to a batch of conditions.",
    reference=_ensemble_loss,
    results=_loss_results,
    mistakes={
        "the rows of c and of the noise do not belong together: noise of shape (m, N, k), flattened, has all N items "
        "of the first member first, so c is repeated as a whole (c.repeat(m, 1)).": _wrong_order,
        "the answers are m blocks of N rows: reshape to (m, N, d), not to (N, m, d).": _turned,
        "all members have the same noise, that of the first one. Use xi[k] for member k.": _one_noise,
        "all items have the same noise, that of the first one. Each has its own.": _of_first_noise,
        "this is the score of the mean of the members. Give the members to the score.": _of_means,
        "the mean over the batch is taken, not the sum.": _loss(total=lambda scores: scores.sum()),
        "the condition is missing: yours is the loss for c = 0.": _loss(lambda rows: (0 * rows[0], rows[1])),
        "the noise is missing: yours is the loss for ξ = 0.": _loss(lambda rows: (rows[0], 0 * rows[1])),
        "the last member is missing, and the first one counts twice.": _loss(
            members=lambda members: torch.cat([members[:1], members[:-1]])
        ),
    },
    atol=1e-9,
    demand=_loss_demand,
)

EXERCISES = (FAIR_SCORE, CRPS_INTEGRAL, ALMOST_FAIR_SCORE, BEST_SPREAD, ENSEMBLE_LOSS)
