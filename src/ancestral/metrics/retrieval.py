"""R-precision: how often an item's own text is nearer to it than those of others.

The share is the mean over all choices of the other texts, in closed form, so no distractor is drawn.
"""

import torch
from torch import Tensor

from ancestral.base.quantities import Estimate
from ancestral.metrics import uncertainty

AMONG = 32
"""Number of texts that an item is compared with, its own included."""
BY_CHANCE = 1 / AMONG
"""The share where items have nothing to do with their texts."""


def r_precision(items: Tensor, texts: Tensor, keys: Tensor, rows: Tensor | None = None) -> Estimate:
    """Estimate the share of items whose own text is the nearest of AMONG different ones.

    Of M other texts k are at least as near as an item's own; 31 are drawn without replacement, and with probability
    Π_{j<31} (M − k − j)/(M − j) none of these k is among them.

    The error is that of new items, of which those of one text belong together, and of new texts: the jackknife over
    the texts that others are compared with.

    Args:
        items: Features (n, d) of length 1.
        texts: Those of the text of each item, (n, d).
        keys: int64 (n,), equal for equal texts; more than AMONG different ones.
        rows: The items of which the share is, int64; None takes all. The texts of the others are compared with too.

    References:
        Xu et al. (2018), *AttnGAN*, section 4, where 100 texts are compared.
    """
    _, first = distinct(keys)
    rows = torch.arange(len(keys)) if rows is None else rows
    own = (items[rows] * texts[rows]).sum(1, keepdim=True)
    nearer = (items[rows] @ texts[first].T >= own) & (keys[first] != keys[rows][:, None])
    count, others = nearer.sum(1), len(first) - 1
    hits = _none_drawn(count, others)
    _, group = torch.unique(keys[rows], return_inverse=True)
    sums = torch.zeros(2, int(group.max()) + 1, dtype=torch.float64)
    share = uncertainty.ratio(*sums.index_add(1, group, torch.stack([hits, torch.ones_like(hits)])))
    gains = _none_drawn(count - 1, others - 1) - _none_drawn(count, others - 1)  # where one that is nearer is left out
    without = (nearer * gains[:, None]).mean(0)
    variance = (share.error or 0.0) ** 2 + others / len(first) * float((without - without.mean()).square().sum())
    return uncertainty.share(share.value, len(sums[0]), variance)


def distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the different keys of (n,), and the row where each occurs first."""
    different, inverse = torch.unique(keys, return_inverse=True)
    first = torch.full_like(different, len(keys))
    return different, first.scatter_reduce(0, inverse, torch.arange(len(keys)), "amin")


def _none_drawn(count: Tensor, others: int) -> Tensor:
    """The probability that AMONG − 1 of `others` are none of `count` of these, float64."""
    drawn = torch.arange(AMONG - 1, dtype=torch.float64)
    return ((others - count[:, None] - drawn).clamp(min=0) / (others - drawn)).prod(1)
