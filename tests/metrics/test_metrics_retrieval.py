"""R-precision against draws of distractors, and its error against the spread over new items and texts."""

import math

import pytest
import torch
import torch.nn.functional as F

from ancestral.metrics.caption_judge import AMONG, distinct, r_precision


def drawn(generator, texts=100, items=100):
    """Features of items near their texts, with an error of each text and of each item."""
    of_texts, error = torch.randn(2, texts, 8, generator=generator)
    keys = torch.randint(texts, (items,), generator=generator)
    noisy = of_texts[keys] + 0.4 * error[keys] + 0.4 * torch.randn(items, 8, generator=generator)
    return F.normalize(noisy, dim=1), F.normalize(of_texts[keys], dim=1), keys


def test_the_share_is_exact_by_binomial_coefficients():
    """31 of M others are none of the k that are nearer in C(M − k, 31) of C(M, 31) choices."""
    items, texts, keys = (
        part.double() if part.is_floating_point() else part for part in drawn(torch.Generator().manual_seed(2))
    )
    _, first = distinct(keys)
    shares = []
    for item, text, key in zip(items, texts, keys, strict=True):
        others = first[keys[first] != key]
        nearer = int((texts[others] @ item >= text @ item).sum())
        shares.append(math.comb(len(others) - nearer, AMONG - 1) / math.comb(len(others), AMONG - 1))
    assert r_precision(items, texts, keys).value == pytest.approx(math.fsum(shares) / len(shares), rel=1e-14)


def test_the_error_is_the_spread_over_items_and_texts():
    generator = torch.Generator().manual_seed(1)
    shares = [r_precision(*drawn(generator)) for _ in range(150)]
    values = torch.tensor([one.value for one in shares], dtype=torch.float64)
    mean, spread = values.mean(), values.std()
    assert 0.9 * spread < sum(one.error for one in shares) / len(shares) < 1.5 * spread
    assert sum(one.low <= mean <= one.high for one in shares) / len(shares) > 0.9
