"""Colours by hand, and drifts that are there or not."""

import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.data import IMAGES, POINTS, Codec
from ancestral.metrics.colour import colour, drift


def pictures(count, generator, shift=0.0):
    """Images of two channels that hang together, brighter or darker as a whole."""
    base = torch.randn(count, 1, 1, 1, generator=generator)
    noise = torch.randn(count, 2, 6, 6, generator=generator)
    x = 120 + shift + 20 * base * torch.tensor([1.0, -0.5])[:, None, None] + 8 * noise
    return x.round().clamp(0, 255).to(torch.uint8)


def test_means_and_covariances_are_those_of_all_pixels():
    items = pictures(50, torch.Generator().manual_seed(0))
    moments = colour(items)
    rows = items.double().movedim(1, -1).reshape(-1, 2)
    assert torch.allclose(moments.mean, rows.mean(0))
    assert torch.allclose(moments.covariance, torch.cov(rows.T, correction=0))
    floats = colour((items.float() / 255).requires_grad_(False))
    assert torch.allclose(floats.covariance * 255**2, moments.covariance, rtol=1e-5)


def test_errors_are_the_spread_of_sets():
    generator = torch.Generator().manual_seed(0)
    moments = [colour(pictures(60, generator)) for _ in range(150)]
    for value, error in (("mean", "mean_error"), ("covariance", "covariance_error")):
        values = torch.stack([getattr(one, value) for one in moments])
        errors = torch.stack([getattr(one, error) for one in moments])
        ratio = errors.mean(0) / values.std(0)
        assert bool(((ratio > 0.85) & (ratio < 1.15)).all()), (value, ratio)


def test_a_drift_is_found_and_none_is_not():
    generator = torch.Generator().manual_seed(0)
    data = pictures(400, generator)
    still = drift(pictures(300, generator), data, IMAGES)
    assert still.sigmas < 3
    shifted = drift(pictures(300, generator, shift=-12), data, IMAGES)
    assert shifted.levels == pytest.approx(-12, abs=4)
    assert shifted.sigmas > 5
    ours, theirs = (torch.tensor([side.mean, side.mean_error]) for side in (shifted.samples, shifted.data))
    first = abs(ours[0] - theirs[0]) / torch.hypot(ours[1], theirs[1])
    assert shifted.sigmas == pytest.approx(float(first.max()))


def test_levels_are_255ths_of_the_range():
    low, high = torch.zeros(4, 1, 3), torch.full((4, 1, 3), 0.5)
    assert drift(high, low, Codec("float", (0, 2))).levels == pytest.approx(255 / 4)
    deep = (high * 257 * 100).to(torch.uint16)
    assert drift(deep, low.to(torch.uint16), Codec("uint16")).levels == pytest.approx(50)
    assert drift(high, low, Codec("float", (0, 2))).sigmas is None  # they never vary, and differ
    assert drift(low, low, Codec("float", (0, 2))).sigmas == 0
    points = torch.tensor([[0.0, 1.0], [0.5, 0.0], [0.25, -1.0]])
    assert torch.allclose(colour(points).mean, torch.tensor([0.25, 0.0]).double())
    assert drift(points + 0.1, points, POINTS).levels == pytest.approx(12.75, rel=1e-5)


def test_one_item_is_refused():
    with pytest.raises(InputError, match="at least 2 items"):
        colour(torch.zeros(1, 3, 4, 4))
