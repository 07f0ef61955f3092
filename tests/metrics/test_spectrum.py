"""The power of samples by octave of the wave length, beside that of data."""

import math

import numpy as np
import pytest
import torch

from ancestral.metrics.spectrum import spectrum
from ancestral.model.editing.spectra import powers


def noise(count, *shape, seed=0):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sides", [(33,), (16, 32), (8, 8, 12)])
def test_a_cosine_has_its_power_in_its_octave(sides):
    """Of half-waves, which a mirrored item continues: k of them in a side are k/2 cycles."""
    place = (torch.arange(sides[-1], dtype=torch.float64) + 0.5) / sides[-1]
    for half_waves in (1, 3, 5, 7, 8):
        found = powers(torch.cos(math.pi * half_waves * place).expand(1, 1, *sides))
        octave = math.floor(math.log2(max(1.0, half_waves / 2)))
        means = found.power[0, 0]
        assert means.argmax() == found.octaves.tolist().index(octave)
        assert means.max() > (1 - 1e-9) * means.sum()


def test_the_ratio_is_that_of_variances_and_its_error_is_right():
    """Of white noise with a deviation of 1.5 beside one of 1; z-scores of repetitions have a variance of 1."""
    scores = []
    for seed in range(60):
        samples = 1.5 * noise(40, 2, 16, 16, seed=seed)
        data, unseen = noise(80, 2, 16, 16, seed=seed + 100), noise(30, 2, 16, 16, seed=seed + 200)
        data[:, 1] = 1000 + 3 * data[:, 1]  # whose mean has no part in it
        samples[:, 1] = 1000 + 3 * samples[:, 1]
        unseen[:, 1] = 1000 + 3 * unseen[:, 1]
        found = spectrum(samples, data, unseen, ("a", "b"))
        for expected, part in ((2.25, found.samples), (1.0, found.floor)):
            scores += [(one.value - expected) / one.error for name in "ab" for one in part[name]]
    assert found.waves == (16.0, 8.0, 4.0, 2.0)
    assert abs(np.mean(scores)) < 0.12
    assert 0.8 < np.var(scores) < 1.25


def test_values_that_all_items_lack_have_no_power_and_halves_are_the_floor():
    data, samples = noise(20, 1, 8, 8), noise(12, 1, 8, 8, seed=1)
    mean = data[..., 3:].mean()
    whole = [(part - mean).masked_fill(torch.arange(8) < 3, 0.0) for part in (data, samples)]
    for part in (data, samples):
        part[..., :3] = math.nan
    found = spectrum(samples, data, None, ("a",))
    theirs, ours = (powers(part.double()).power for part in whole)
    ratio = ours.mean((0, 1)) / theirs.mean((0, 1))
    np.testing.assert_allclose([one.value for one in found.samples["a"]], ratio, rtol=1e-5)
    floor = theirs[::2].mean((0, 1)) / theirs[1::2].mean((0, 1))
    np.testing.assert_allclose([one.value for one in found.floor["a"]], floor, rtol=1e-5)


def test_a_constant_channel_has_no_power():
    data, samples = noise(12, 2, 8, 8), noise(12, 2, 8, 8, seed=1)
    data[:, 1] = 0.1
    found = spectrum(samples, data, None, ("a", "b"))
    assert [*found.samples] == [*found.floor] == ["a"]
    assert all(math.isfinite(one.value) for one in (*found.samples["a"], *found.floor["a"]))
