import math

import pytest
import torch

from ancestral.data.sources.builtin import checkerboard, moons, swissroll

ALL = pytest.mark.parametrize("make", [moons, swissroll, checkerboard])


@ALL
def test_points_lie_in_range_and_fill_it(make):
    for seed in range(20):
        x = make(seed=seed).items
        assert x.dtype == torch.float32
        assert x.shape == (10_000, 2)
        assert x.abs().max() <= 1
        assert (x.abs().amax(0) > 0.5).all()
        assert x.mean(0).abs().max() < 0.03


@ALL
def test_points_depend_on_split_and_seed_alone(make):
    assert torch.equal(make(seed=3).items, make(seed=3).items)
    assert not torch.equal(make(seed=3).items, make(seed=4).items)
    assert not torch.equal(make("test").items, make("train").items)
    assert len(make(count=7)) == 7


def test_checkerboard_has_only_squares_of_even_parity_and_all_alike():
    cell = ((checkerboard().items + 1) * 2).floor().clamp(max=3).long()
    assert (cell.sum(1) % 2 == 0).all()
    counts = torch.bincount(4 * cell[:, 0] + cell[:, 1], minlength=16)
    counts = counts[counts > 0]
    assert len(counts) == 8
    assert (counts - 1250).abs().max() < 5 * math.sqrt(1250)


def test_moons_lie_on_two_half_circles():
    x = moons().items / 0.6
    upper = (x - torch.tensor([-0.5, -0.25])).norm(dim=1)[::2]
    lower = (x - torch.tensor([0.5, 0.25])).norm(dim=1)[1::2]
    for radius in (upper, lower):
        assert radius.mean() == pytest.approx(1, abs=0.003)
        assert radius.std() == pytest.approx(0.02 / 0.6, rel=0.05)


def test_swissroll_lies_on_a_spiral():
    x = swissroll().items * 4.9 * math.pi + torch.tensor([2, 2 / (3 * math.pi)])
    radius, direction = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    # On r = angle, radius and direction differ by whole turns.
    off = torch.remainder(radius - direction + math.pi, 2 * math.pi) - math.pi
    assert off.mean() == pytest.approx(0, abs=0.02)
    assert off.std() == pytest.approx(0.02 * 4.9 * math.pi, rel=0.1)
    assert radius.min() > 1.5 * math.pi - 2
    assert radius.max() < 4.5 * math.pi + 2
