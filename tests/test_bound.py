"""The variational bound, against published values and closed forms for Gaussian data."""

import math

import pytest
import torch

from ancestral import bound, oracle, randomness, schedules
from ancestral.errors import InputError
from ancestral.gaussian import Gaussian
from ancestral.targets import Prediction

F64 = torch.float64
LINEAR = schedules.linear()


def test_L_T_has_the_papers_values():
    """Two images for which the prior's cost is known; mind the factor 5e4 between them."""
    shape = (1, 3, 8, 8)
    assert bound.prior_bits(LINEAR, torch.zeros(shape, dtype=F64)).item() == pytest.approx(5.87478e-10, rel=2e-6)
    assert bound.prior_bits(LINEAR, torch.ones(shape, dtype=F64)).item() == pytest.approx(2.91129e-5, rel=2e-6)


@pytest.mark.parametrize("variances", [(0.3, 0.3), (0.3, 0.5), (2.0, 0.1)])
def test_kl_by_quadrature(variances):
    grid = torch.linspace(-30, 30, 400_001, dtype=F64)
    p, q = (
        torch.distributions.Normal(torch.tensor(m, dtype=F64), v**0.5)
        for m, v in zip((0.2, -0.4), variances, strict=True)
    )
    integral = torch.trapezoid(p.log_prob(grid).exp() * (p.log_prob(grid) - q.log_prob(grid)), grid)
    one, other = (Gaussian(torch.tensor(m, dtype=F64), v) for m, v in zip((0.2, -0.4), variances, strict=True))
    assert one.kl(other).item() == pytest.approx(integral.item(), rel=1e-8)


def test_gaussian_sample_is_the_mean_and_a_deviation():
    g = Gaussian(torch.tensor([1.0, 2.0]), 4.0)
    assert g.sample(torch.tensor([0.5, -1.0])).tolist() == [2.0, 0.0]


def test_bins_hold_all_the_mass():
    """Over the 256 grey levels of eq. (13), edges open, the probabilities sum to one."""
    levels = torch.arange(256, dtype=F64) / 127.5 - 1
    for mean, std in ((0.0, 0.1), (-1.0, 0.01), (0.97, 0.3), (1.5, 0.2)):
        mass = Gaussian(torch.full((256,), mean, dtype=F64), std**2).log_bins(levels, 1 / 255, 0.999).exp()
        assert mass.sum().item() == pytest.approx(1, abs=256e-12)


def test_the_right_tail_is_as_precise_as_the_left():
    g = Gaussian(torch.tensor([-1.0, 1.0]), 0.15**2)
    left, right = g.log_bins(torch.tensor([1.0, -1.0]), 1 / 255, 0.999).tolist()
    assert left == pytest.approx(right, rel=1e-3)


class Null:
    """ε̂ = 0: a model that has learned nothing."""

    schedule = LINEAR

    def predict(self, x_t, t):
        return Prediction(x_t / self.schedule.at(t)[0], torch.zeros_like(x_t))


def test_null_model_by_the_formula_in_eps():
    """With ε̂ = 0 each term is β_t²/(2σ_t² α_t (1−ᾱ_t)) ‖ε‖² and the variances' part: (12) of the paper."""
    x0 = torch.rand(3, 1, 4, 4, dtype=F64) * 2 - 1
    beta, alpha_bar = LINEAR.beta, LINEAR.alpha_bar
    for variance in ("small", "large"):
        result = bound.bits_per_dim(Null(), x0, seed=4, variance=variance, clip=False)
        for t in (2, 3, 500, 1000):
            eps = randomness.normal((1, 4, 4), 4, "bound", t, range(3)).double()
            tilde = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]
            sigma2 = beta[t] if variance == "large" else tilde
            error = beta[t] ** 2 / (2 * sigma2 * (1 - beta[t]) * (1 - alpha_bar[t])) * eps**2
            nats = error + 0.5 * (tilde / sigma2 - 1 - (tilde / sigma2).log())
            torch.testing.assert_close(
                result.L_t[:, t - 2], nats.flatten(1).mean(1) / math.log(2), rtol=1e-7, atol=1e-12
            )


def test_total_is_the_sum_of_its_terms_for_each_image():
    x0 = torch.rand(2, 1, 4, 4, dtype=F64) * 2 - 1
    result = bound.bits_per_dim(oracle.Gaussian(LINEAR, 0.0, 0.5), x0)
    assert result.L_T.shape == result.L_0.shape == result.total.shape == (2,)
    assert result.L_t.shape == (2, 999)
    torch.testing.assert_close(result.total, result.L_T + result.L_t.sum(1) + result.L_0)
    assert (result.L_t > 0).all()


def test_the_exact_denoiser_of_one_image_pays_only_for_the_variances():
    """x̂_0 = x_0 leaves KL terms of zero with the small variance, and with the large one their known cost."""
    x0 = (torch.randint(0, 256, (1, 1, 4, 4), generator=torch.Generator().manual_seed(0)) / 127.5 - 1).to(F64)
    denoiser = oracle.Empirical(LINEAR, x0)
    small = bound.bits_per_dim(denoiser, x0, variance="small")
    assert small.L_t.abs().max().item() < 1e-12
    large = bound.bits_per_dim(denoiser, x0, variance="large")
    ratio = torch.tensor(
        [LINEAR.posterior_variance(t, t - 1) / LINEAR.beta[t].item() for t in range(2, 1001)], dtype=F64
    )
    cost = 0.5 * (ratio - 1 - ratio.log()) / math.log(2)
    torch.testing.assert_close(large.L_t[0], cost, rtol=1e-9, atol=1e-13)


def test_the_bound_is_above_the_entropy_and_nears_it_with_the_large_variance():
    """Gaussian data of known entropy: no code for its grey levels is shorter than 7.304 bits.

    The exact denoiser's bound is above it by what fixed variances cost at the last steps: 0.3 bits with β, 1 bit with
    β̃, which is right for a single image and too small for data this broad.
    """
    std, n = 0.3, 4000
    x0 = std * randomness.normal((1, 1, 1), 0, "data", 0, range(n)).double()
    x0 = (x0 * 127.5).round() / 127.5
    entropy = 0.5 * math.log2(2 * math.pi * math.e * std**2) + math.log2(127.5)
    for variance, gap in (("large", 0.31), ("small", 0.98)):
        total = bound.bits_per_dim(oracle.Gaussian(LINEAR, 0.0, std), x0, variance=variance).total
        assert total.mean().item() - entropy == pytest.approx(gap, abs=4 * total.std().item() / n**0.5)


def test_an_images_bound_does_not_depend_on_its_neighbours():
    x0 = torch.rand(3, 1, 2, 2, dtype=F64) * 2 - 1
    denoiser = oracle.Gaussian(schedules.linear(20), 0.0, 0.5)
    alone, among = bound.bits_per_dim(denoiser, x0[2:], indices=[2]), bound.bits_per_dim(denoiser, x0)
    assert alone.total.item() == pytest.approx(among.total[2].item(), rel=1e-12)


def test_clipping_helps_a_model_that_overshoots():
    x0 = torch.full((1, 1, 4, 4), 0.9, dtype=F64)
    denoiser = oracle.Gaussian(LINEAR, 3.0, 0.01)
    assert bound.bits_per_dim(denoiser, x0).total < bound.bits_per_dim(denoiser, x0, clip=False).total


def test_one_step_has_no_decoder_variance():
    with pytest.raises(InputError, match="at least 2"):
        bound.bits_per_dim(oracle.Gaussian(schedules.linear(1), 0.0, 1.0), torch.zeros(1, 1))


@pytest.mark.parametrize("steps", [2, 3, 10, 1000])
@pytest.mark.parametrize("passes", [2, 3, 7, 40, 1000])
def test_runs_are_as_many_as_asked_and_hold_each_time_once(steps, passes):
    found = bound.runs(steps, passes)
    assert [t for run in found for t in run] == list(range(1, steps + 1))
    assert len(found) == min(passes, steps)
    assert len(found[0]) == 1
    assert len(found[-1]) == 1 or passes == 2


def test_estimates_are_unbiased():
    """Against the full sum on the same 3,000 images, whose difference has mean zero; four standard errors."""
    n, schedule = 3000, schedules.linear(60)
    x0 = 0.3 * randomness.normal((1, 1, 2), 0, "data", 0, range(n)).double()
    denoiser = oracle.Gaussian(schedule, 0.1, 0.4)  # not quite that of the data
    bounder = bound.Bounder(seed=1, decoder="density", clip=False)
    full = sum(term.bits for term in bounder.terms(denoiser, x0))
    spread = []
    for passes in (2, 5, 20):
        terms = list(bounder.estimates(denoiser, x0, passes))
        assert len(terms) == passes
        difference = sum(term.bits for term in terms) - full
        assert abs(difference.mean()) < 4 * difference.std() / n**0.5
        spread.append(difference.std().item())
    assert spread[0] > 2 * spread[1] > 2 * spread[2]


def test_as_many_estimates_as_times_are_the_full_sum():
    """Each t once and each bit counted once; the noise is another draw, so noise that is given makes them equal."""
    x0 = torch.rand(3, 1, 2, 2, dtype=F64) - 0.5
    denoiser = oracle.Gaussian(schedules.linear(30), 0.0, 0.5)
    bounder = bound.Bounder(noise=lambda shape: torch.linspace(-1, 1, 12, dtype=F64).reshape(shape))
    full = list(bounder.terms(denoiser, x0))
    for passes in (30, 99):
        some = list(bounder.estimates(denoiser, x0, passes))
        assert [term.t.unique().tolist() for term in some] == [[term.t] for term in full]
        for one, other in zip(some, full, strict=True):
            torch.testing.assert_close(one.bits, other.bits, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(one.error, other.error)
