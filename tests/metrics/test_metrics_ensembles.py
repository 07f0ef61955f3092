"""Scores of ensembles against closed forms of normal distributions, sums over all pairs, scipy and torchmetrics."""

import math

import pytest
import scipy.stats
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from ancestral.base.errors import InputError
from ancestral.metrics import ensembles, uncertainty

F64 = torch.float64
ROOT = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [0.5, -0.4, 0.6]], dtype=F64)
"""A root of the covariance of three values that hang together."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=F64)


def levels(conditions, members, sides=(1, 6, 6), seed=0, spread=1.0):
    """Ensembles and truths of 8-bit images that hang together: most pixels are 0 or 255, and a border always is 0."""
    g = generator(seed)
    centre = 255 * torch.randn(conditions, 1, *sides, generator=g)

    def draw(count, spread):
        whole = torch.randn(conditions, count, *[1] * len(sides), generator=g)
        x = centre + spread * (150 * whole + 150 * torch.randn(conditions, count, *sides, generator=g))
        x[..., 0] = 0
        return x.round().clamp(0, 255).to(torch.uint8)

    return draw(members, spread), draw(1, 1.0)[:, 0]


def near(estimate, truth, errors=4.0):
    return abs(estimate.value - truth) < errors * estimate.error


# -- the energy score and the CRPS ------------------------------------------------------------------------------------


def test_the_energy_score_is_the_sum_over_all_pairs(monkeypatch):
    samples, truth = normal(5, 4, 2, 3), normal(5, 2, 3, seed=1)
    apart = [[(samples[n, k] - truth[n]).norm() for k in range(4)] for n in range(5)]
    pairs = [[(samples[n, j] - samples[n, k]).norm() for j in range(4) for k in range(4) if j != k] for n in range(5)]
    expected = (torch.tensor(apart).mean(1) - torch.tensor(pairs).mean(1) / 2) / math.sqrt(6)
    assert torch.allclose(ensembles.energy_scores(samples, truth), expected.double(), rtol=1e-6)
    whole = ensembles.energy_scores(samples, truth), ensembles.crps(samples, truth)
    monkeypatch.setattr(ensembles, "BLOCK_ELEMENTS", 2 * 4 * 6)  # blocks of 2 conditions
    assert torch.equal(torch.cat([whole[0], whole[1].flatten()]), torch.cat(
        [ensembles.energy_scores(samples, truth), ensembles.crps(samples, truth).flatten()]
    ))  # fmt: skip


def test_the_crps_is_scipys_energy_distance_of_fair_pairs():
    """scipy's square is 2 E|X − x| − E|X − X'| with pairs of a member and itself, which are 1/K of all."""
    samples, truth = normal(6, 7, 2), normal(6, 2, seed=1)
    scores = ensembles.crps(samples, truth)
    for n in range(6):
        for d in range(2):
            x, y = samples[n, :, d], truth[n, d]
            pairs = float((x[:, None] - x).abs().mean())
            biased = scipy.stats.energy_distance(x.numpy(), y[None].numpy()) ** 2 / 2
            assert float(scores[n, d]) == pytest.approx(biased + pairs / 2 - pairs / 2 * 7 / 6, abs=1e-12)


@pytest.mark.parametrize("members", [2, 5])
def test_the_crps_of_normal_samples_is_on_average_the_closed_form(members):
    mean, deviation, truth = 0.4, 1.7, -0.9
    z = (truth - mean) / deviation
    density, cumulative = scipy.stats.norm.pdf(z), scipy.stats.norm.cdf(z)
    exact = deviation * (z * (2 * cumulative - 1) + 2 * density - 1 / math.sqrt(math.pi))
    scores = ensembles.crps(mean + deviation * normal(20_000, members), torch.full((20_000,), truth))
    assert near(uncertainty.mean(scores), exact)
    assert uncertainty.mean(scores).error < 0.02 * exact


def test_the_energy_score_of_one_value_is_the_crps():
    samples, truth = normal(50, 6, 1), normal(50, 1, seed=1)
    assert torch.allclose(ensembles.energy_scores(samples, truth), ensembles.crps(samples, truth)[:, 0], atol=1e-14)


@pytest.mark.parametrize("members", [2, 6])
def test_the_energy_score_of_the_truth_is_half_the_mean_distance_of_two_items(members):
    """E‖X − X'‖ = 2 Γ((D + 1)/2)/Γ(D/2) of D independent normal values."""
    exact = math.exp(math.lgamma(2) - math.lgamma(1.5)) / math.sqrt(3)
    estimate = ensembles.score(normal(20_000, members, 3), normal(20_000, 3, seed=1)).energy
    assert near(estimate, exact)
    assert estimate.error < 0.01 * exact


def test_no_forecast_beats_the_true_distribution():
    """Also not one that has the right marginals and leaves out how values hang together, which the CRPS cannot see."""
    centre, noise = normal(4000, 1, 3, seed=2), normal(4000, 4, 3)
    truth = (centre + normal(4000, 1, 3, seed=1) @ ROOT.T)[:, 0]
    wrong = {
        "shifted": centre + 0.3 + noise @ ROOT.T,
        "too narrow": centre + 0.6 * noise @ ROOT.T,
        "too wide": centre + 1.6 * noise @ ROOT.T,
        "independent": centre + noise * ROOT.square().sum(1).sqrt(),
        "mean": centre,
        "unconditional": (centre + noise @ ROOT.T).roll(1, 0),
    }
    right = centre + noise @ ROOT.T
    best, best_crps = (measure(right, truth) for measure in (ensembles.energy_scores, ensembles.crps))
    for name, samples in wrong.items():
        worse = uncertainty.mean(ensembles.energy_scores(samples, truth) - best)
        assert worse.value > 3 * worse.error, name
    blind = uncertainty.mean((ensembles.crps(wrong["independent"], truth) - best_crps).mean(1))
    assert abs(blind.value) < 3 * blind.error
    mean, one = (ensembles.psnr(part, truth, 2.0).mean() for part in (centre, right))
    assert mean > one + 2  # PSNR rewards the mean, whose error is half that of a sample


def test_many_members_and_large_offsets_lose_no_digits():
    samples, truth = normal(3, 40, 2), normal(3, 2, seed=1)
    shifted = ensembles.energy_scores(samples + 1e6, truth + 1e6), ensembles.crps(samples + 1e6, truth + 1e6)
    assert torch.allclose(shifted[0], ensembles.energy_scores(samples, truth), atol=1e-9)
    assert torch.allclose(shifted[1], ensembles.crps(samples, truth), atol=1e-9)


def test_the_crps_of_each_channel_of_a_signal():
    samples, truth = normal(8, 3, 2, 5), normal(8, 2, 5, seed=1)
    scores = ensembles.channel_crps(samples, truth)
    assert scores.channels[1].value == pytest.approx(float(ensembles.crps(samples[:, :, 1], truth[:, 1]).mean()))
    assert scores.mean.value == pytest.approx(sum(channel.value for channel in scores.channels) / 2)
    vectors = ensembles.channel_crps(samples[..., 0], truth[..., 0])
    assert vectors.channels[0].value == pytest.approx(float(ensembles.crps(samples[:, :, 0, 0], truth[:, 0, 0]).mean()))
    assert not ensembles.channel_crps(normal(2, 2, 33), normal(2, 33)).channels


# -- points, distances and PSNR ---------------------------------------------------------------------------------------


def test_a_point_forecast_scores_its_distance():
    samples, truth = levels(20, 5)
    mean = ensembles.mean_forecast(samples)
    assert torch.equal(mean, samples.float().mean(1, keepdim=True))
    apart = (mean[:, 0].double() - truth).square().flatten(1).mean(1).sqrt()
    result = ensembles.score(mean, truth, span=255)
    assert result.members == 1
    assert result.energy.value == pytest.approx(float(apart.mean()))
    assert result.distance.value == pytest.approx(float(apart.mean()))
    assert result.energy.error == pytest.approx(float(apart.std()) / math.sqrt(20))
    assert torch.allclose(
        ensembles.energy_scores(mean, truth), ensembles.crps(mean, truth).square().flatten(1).mean(1).sqrt()
    )


def test_psnr_is_that_of_torchmetrics():
    samples, truth = levels(6, 3)
    expected = [[peak_signal_noise_ratio(samples[n, k].float(), truth[n].float(), data_range=255.0) for k in range(3)]
                for n in range(6)]  # fmt: skip
    assert torch.allclose(ensembles.psnr(samples, truth, 255).float(), torch.tensor(expected).mean(1))
    assert ensembles.psnr(truth[:, None], truth, 255).tolist() == [ensembles.MAX_PSNR] * 6


def test_integers_are_compared_as_numbers_in_the_units_of_the_data():
    samples, truth = levels(10, 4)
    assert float(ensembles.rms_distances(torch.zeros(1, 1, 2).byte(), torch.tensor([[255, 255]]).byte())) == 255
    scaled, target = samples.float() / 127.5 - 1, truth.float() / 127.5 - 1
    for one, other in ((samples, truth), (samples.float(), truth), (samples.double(), truth.float())):
        assert torch.equal(ensembles.energy_scores(one, other), ensembles.energy_scores(samples, truth))
        assert torch.equal(ensembles.rank_counts(one, other), ensembles.rank_counts(samples, truth))
    assert torch.allclose(
        ensembles.energy_scores(scaled, target) * 127.5, ensembles.energy_scores(samples, truth), rtol=1e-5
    )
    assert torch.allclose(ensembles.psnr(scaled, target, 2), ensembles.psnr(samples, truth, 255), rtol=1e-5)


# -- calibration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("members", "nominal"), [(2, 1 / 3), (8, 7 / 9), (19, 0.9), (39, 0.9)])
def test_a_calibrated_ensemble_has_flat_ranks_and_nominal_coverage(members, nominal):
    """Whatever the distribution: this one is skew."""
    scale = normal(3000, 1, 1, seed=2).exp()
    samples, truth = scale * normal(3000, members, 1).exp(), (scale * normal(3000, 1, 1, seed=1).exp())[:, 0]
    result = ensembles.calibration(samples, truth)
    assert result.nominal == pytest.approx(nominal)
    assert near(result.coverage, nominal, 3)
    counts = ensembles.rank_counts(samples, truth).sum(0)
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 0.01
    assert [rank.value for rank in result.ranks] == pytest.approx((counts / 3000).tolist())
    order = samples[..., 0].sort(1).values
    inside = (order[:, result.rank - 1] < truth[:, 0]) & (truth[:, 0] < order[:, -result.rank])
    assert result.coverage.value == pytest.approx(float(inside.double().mean()))


def test_spread_is_the_error_of_a_calibrated_ensemble_for_any_number_of_members():
    for members in (2, 10):
        centre = normal(4000, 1, 3, seed=2)
        samples, truth = centre + normal(4000, members, 3) @ ROOT.T, centre[:, 0] + normal(4000, 3, seed=1) @ ROOT.T
        result = ensembles.calibration(samples, truth)
        exact = math.sqrt(float(ROOT.square().sum()) / 3 * (1 + 1 / members))
        assert near(result.ratio, 1)
        assert near(result.spread, exact)
        assert near(result.error, exact)
        assert result.ratio.value == pytest.approx(result.spread.value / result.error.value)
        assert result.ratio.error < 0.02


def test_too_narrow_too_wide_and_biased_ensembles_are_found():
    truth, noise = normal(1000, 3, seed=1), normal(1000, 8, 3)
    narrow, wide, low = (ensembles.calibration(part, truth) for part in (0.5 * noise, 2 * noise, noise - 1))
    for result, variance in ((narrow, 1 / 4), (wide, 4)):
        assert near(result.ratio, math.sqrt(variance * 9 / 8 / (1 + variance / 8)))
    assert narrow.coverage.high < 0.6 < narrow.nominal < 0.9 < wide.coverage.low
    assert min(narrow.ranks[0].low, narrow.ranks[-1].low) > 2 / 9 > 1 / 9 > narrow.ranks[4].high
    assert max(wide.ranks[0].high, wide.ranks[-1].high) < 1 / 9 < wide.ranks[4].low
    assert low.ranks[0].high < 0.05
    assert low.ranks[-1].low > 0.2


def test_ties_are_split_evenly_and_constant_values_left_out():
    truth = torch.tensor([[0, 0, 0, 9, 5]])
    samples = torch.tensor([[[0, 0, 1, 5, 5], [5, 0, 2, 7, 5]]])
    # value 0 equals one of two members; 1 and 4 are constant; 2 is below both members, and 3 above both
    assert ensembles.rank_counts(samples, truth).tolist() == [[1.5, 0.5, 1.0]]
    result = ensembles.calibration(samples, truth)
    assert result.constant == pytest.approx(2 / 5)
    assert result.coverage.value == pytest.approx(0.5 / 3)
    assert [rank.value for rank in result.ranks] == pytest.approx([0.5, 1 / 6, 1 / 3])
    assert result.coverage.error is None  # one condition


def test_samples_without_any_difference_have_no_ranks():
    same = torch.full((3, 2, 4), 7, dtype=torch.uint8)
    result = ensembles.calibration(same, same[:, 0])
    assert (result.coverage, result.ranks, result.ratio, result.constant) == (None, (), None, 1.0)
    assert result.error.value == result.spread.value == 0


# -- errors -----------------------------------------------------------------------------------------------------------


def test_errors_are_the_spread_over_new_conditions_and_samples():
    def measure(seed):
        samples, truth = levels(60, 4, seed=seed)
        scores, result = ensembles.score(samples, truth, 255), ensembles.calibration(samples, truth)
        return [scores.energy, scores.distance, scores.psnr, result.coverage, result.ranks[0], result.spread,
                result.error, result.ratio]  # fmt: skip

    estimates = [measure(seed) for seed in range(200)]
    values = torch.tensor([[one.value for one in row] for row in estimates], dtype=F64)
    errors = torch.tensor([[one.error for one in row] for row in estimates], dtype=F64)
    ratio = errors.mean(0) / values.std(0)
    assert bool(((ratio > 0.85) & (ratio < 1.15)).all()), ratio


def test_bad_ensembles_are_told_in_a_line():
    samples, truth = normal(4, 3, 2), normal(4, 2)
    with pytest.raises(InputError, match="at least 2 samples"):
        ensembles.calibration(samples[:, :1], truth)
    with pytest.raises(InputError, match="do not fit true items"):
        ensembles.energy_scores(samples, truth[:, :1])
    with pytest.raises(InputError, match="at least one"):
        ensembles.energy_scores(samples[:0], truth[:0])
    with pytest.raises(InputError, match="a sample is NaN"):
        ensembles.rank_counts(samples / torch.tensor([1.0, 0.0]), truth)
    with pytest.raises(InputError, match="a true item"):
        ensembles.crps(samples, truth * torch.nan)
