"""Copies without held-out data, on samples whose truth is known."""

import math

import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.metrics import copies


def items(count, seed, dims=12):
    """Images of 256 pixels in a space of 12 dimensions, or of `dims` numbers."""
    torch.manual_seed(5)
    one, two = torch.randn(12, 64) / 12**0.5, torch.randn(64, 256) / 8
    torch.manual_seed(seed)
    return torch.tanh(torch.tanh(torch.randn(count, 12) @ one) @ two) if dims == 12 else torch.randn(count, dims)


def shares(samples, train):
    result = copies.copies(samples, train)
    return float(result.copied.double().mean()), float((result.chance < copies.RATIO).double().mean())


@pytest.mark.parametrize("count", [30, 200])
def test_what_is_copied_is_a_copy_and_what_is_new_is_none(count):
    train = items(count, 0)
    rows = torch.arange(300) % count
    torch.manual_seed(1)
    noise = torch.randn(300, 256)
    assert shares(train[rows], train) == (1, 0)
    assert shares(train[rows] + 0.08 * noise, train)[0] > 0.99
    assert shares(train[rows] + 0.5 * noise, train) == (0, 0)
    assert shares((train[rows] + train[(rows + 1) % count]) / 2, train) == (0, 0)  # interpolations
    assert shares(items(300, 2), train) == (0, 0)
    assert shares(torch.cat([train[rows[:150]], items(150, 2)]), train) == (0.5, 0)
    result = copies.copies(train[rows], train)
    assert torch.equal(result.nearest, rows)
    assert result.ratio.max() == 0


def test_duplicates_in_the_data_hide_no_copies():
    """The second-nearest item is another one: with a duplicate in its place the ratio of a copy is 1."""
    train = items(50, 0)
    torch.manual_seed(1)
    noisy = train[torch.arange(200) % 50] + 0.05 * torch.randn(200, 256)
    alike = torch.cat([train + 0.02 * torch.randn_like(train) for _ in range(3)])  # saved anew, as by JPEG
    for data in (train.repeat(3, 1), torch.cat([train, train[:3].repeat(20, 1)]), alike):
        assert shares(noisy, data) == (1, 0)
        assert shares(items(200, 2), data) == (0, 0)
    assert copies.copies(noisy, train.repeat(3, 1)).items == 50


@pytest.mark.parametrize("dims", [2, 3])
def test_chance_is_that_of_the_dimension(dims):
    """In few dimensions a new point is often much nearer to one point than to others: with probability 3^-dims."""
    train, new = items(1500, 0, dims), items(1500, 2, dims)
    share, chance = shares(new, train)
    assert share == pytest.approx(chance, abs=0.06)
    assert chance == pytest.approx(3.0**-dims, abs=0.1)
    assert shares(train + 1e-4 * new, train)[0] > 0.95


@pytest.mark.parametrize("dims", [2, 3, 10])
def test_copies_by_chance_are_no_more_likely_than_said(dims):
    """New points of the same distribution: in the plane one in seven looks like a copy, of them and of the data."""
    results = [copies.copies(items(400, 100 + seed, dims), items(400, seed, dims)) for seed in range(20)]
    p_values = torch.tensor([result.p_value for result in results])
    assert int((p_values < 0.05).sum()) <= 3
    copied, chance = (torch.cat(part).double().mean() for part in zip(
        *((result.copied, result.chance < copies.RATIO) for result in results), strict=True))  # fmt: skip
    assert copied == pytest.approx(float(chance), abs=0.01)


def test_points_saved_twice_are_no_copies_by_chance():
    """In the plane too: if each point is there twice, with noise, they are no reason to expect copies."""
    train = items(300, 0, 2)
    twice = torch.cat([train, train + 1e-4 * torch.randn(300, 2, generator=torch.Generator().manual_seed(1))])
    chance = copies.copies(items(300, 2, 2), twice).chance
    assert float((chance < copies.RATIO).double().mean()) < 0.2


def test_two_different_items_are_too_few():
    with pytest.raises(InputError, match="at least 3 different training items, not 2"):
        copies.copies(items(4, 0), items(2, 1).repeat(5, 1))
    with pytest.raises(InputError, match="at least 2 numbers"):
        copies.copies(items(4, 0, 1), items(9, 1, 1))
    assert math.isfinite(float(copies.copies(items(4, 0), items(3, 1)).ratio.max()))
