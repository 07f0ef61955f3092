"""Neighbours by brute force; memorisation of models that memorised nothing, and of one that did."""

import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.metrics.neighbours import memorisation, nearest


def test_nearest_neighbours_in_pieces(monkeypatch):
    monkeypatch.setattr("ancestral.metrics.neighbours.BLOCK_ROWS", 4)
    monkeypatch.setattr("ancestral.metrics.neighbours.BLOCK_COLUMNS", 7)
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(40, 5, generator=generator) + 100  # far from the origin, where float32 products cancel
    queries = torch.cat([torch.randn(10, 5, generator=generator) + 100, base[[31, 2]]])
    near = nearest(queries, base)
    apart = (queries.double()[:, None] - base.double()).norm(dim=2)
    assert torch.equal(near.index, apart.argmin(1))
    assert torch.allclose(near.distance, apart.min(1).values, rtol=1e-12)
    assert near.distance[10:].tolist() == [0, 0]


@pytest.mark.parametrize(("n", "m", "quantile"), [(40, 60, 0.05), (60, 9, 0.05), (30, 50, 0.5)])
def test_a_model_that_memorised_nothing_has_the_share_that_is_expected(n, m, quantile):
    """Its samples are new draws; the training data differ each time, as the distances to them do."""
    generator = torch.Generator().manual_seed(0)
    results = []
    for _ in range(300):
        samples, train, held_out = (torch.rand(k, 2, generator=generator) for k in (n, 30, m))
        results.append(memorisation(samples, train, held_out, quantile))
    shares = torch.tensor([one.share for one in results], dtype=torch.float64)
    error = results[0].error
    assert {one.error for one in results} == {error}
    assert abs(shares.mean() - results[0].expected) < 3 * error / 300**0.5
    assert 0.85 < shares.std() / error < 1.15


def test_copies_are_found():
    generator = torch.Generator().manual_seed(0)
    train, fresh, held_out = torch.rand(3, 400, 10, generator=generator)
    copies = train[:200] + 0.01 * torch.randn(200, 10, generator=generator)
    result = memorisation(torch.cat([copies, fresh[:200]]), train, held_out)
    assert result.share == pytest.approx(0.5 + 0.5 * 0.05, abs=0.03)
    assert result.share > result.expected + 10 * result.error
    assert result.samples.index[:200].tolist() == list(range(200))
    assert result.threshold > 0
    assert float((result.samples.distance < result.threshold).double().mean()) == result.share


def test_held_out_items_that_were_trained_on_are_refused():
    x = torch.rand(50, 3)
    with pytest.raises(InputError, match="at least 3 of the 50 held-out items are in the training data"):
        memorisation(x, x, x)
    with pytest.raises(InputError, match="at least one of each"):
        memorisation(x[:0], x, x)
    with pytest.raises(InputError, match="needs at least one item"):
        nearest(x, x[:0])
