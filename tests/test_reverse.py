"""The analytic variance of reverse steps: exact for Gaussian data, and better than β and β̃ for a trained model."""

import dataclasses

import pytest
import torch

from ancestral import InputError, bound, oracle, reverse, samplers, schedules
from ancestral import config as configs
from ancestral.data.spec import POINTS, DataSpec
from ancestral.model import Model
from ancestral.reverse import AnalyticVariance

F64 = torch.float64
STD = 0.3
SCHEDULES = {
    "linear": schedules.linear(),
    "cosine": schedules.cosine(),
    "flow": schedules.flow(1000),
    "karras": schedules.karras(100),
    "two steps": schedules.flow(2),
}
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))


def exact_errors(schedule):
    """E[(x_0 − x̂_0)²] of x_0 ~ N(m, STD²), for t = 0..T."""
    a, b = schedule.at(torch.arange(1, schedule.steps + 1))
    return torch.cat([torch.zeros(1, dtype=F64), STD**2 * b**2 / (a**2 * STD**2 + b**2)])


def exact_variance(schedule, t, s):
    """Var[x_s | x_t] of the same data, which are jointly normal."""
    (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
    var_s, var_t, ratio = a_s**2 * STD**2 + b_s**2, a_t**2 * STD**2 + b_t**2, a_t / a_s
    return var_s - (ratio * var_s) ** 2 / var_t


def steps_of(schedule):
    T = schedule.steps
    return [(t, s) for t, s in ((T, T // 2), (T // 2 + 1, 1), (2, 1), (1, 0), (T, 0)) if s < t]


@each_schedule
def test_it_is_the_variance_of_gaussian_data(schedule):
    exact = AnalyticVariance(exact_errors(schedule))
    for t, s in steps_of(schedule):
        torch.testing.assert_close(float(exact(schedule, t, s)), exact_variance(schedule, t, s), rtol=1e-9, atol=0)
    pairs = torch.tensor(steps_of(schedule))
    each = torch.tensor([float(exact(schedule, t, s)) for t, s in pairs.tolist()], dtype=F64)
    torch.testing.assert_close(exact(schedule, pairs[:, 0], pairs[:, 1]), each)


@each_schedule
def test_errors_are_measured_at_few_times_and_interpolated(schedule):
    x0 = 0.2 + STD * torch.randn(256, 64, dtype=F64, generator=torch.Generator().manual_seed(0))
    denoiser = oracle.Gaussian(schedule, 0.2, STD)
    measured = AnalyticVariance.of(denoiser, x0, clip=None)
    assert measured.errors[0] == 0
    torch.testing.assert_close(measured.errors, exact_errors(schedule), rtol=0.05, atol=0)
    assert torch.equal(AnalyticVariance.of(denoiser, x0, clip=None).errors, measured.errors)


def test_it_is_the_papers_formula_by_the_second_moment_of_eps():
    """Bao et al. (2022), eq. 7, with the exact E‖ε̂‖²/d = b_t² Γ: σ² = λ² + (√(b_t²/α) − √(b_s² − λ²))² (1 − b_t² Γ).

    λ² is β̃ here. E‖ε̂‖²/d = b²/(a² STD² + b²) in closed form.
    """
    schedule = schedules.linear()
    exact = AnalyticVariance(exact_errors(schedule))
    for t, s in ((1000, 900), (500, 400), (20, 10)):
        (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
        second_moment = b_t**2 / (a_t**2 * STD**2 + b_t**2)
        least, alpha = schedule.posterior_variance(t, s), (a_t / a_s) ** 2
        paper = least + ((b_t**2 / alpha) ** 0.5 - (b_s**2 - least) ** 0.5) ** 2 * (1 - second_moment)
        torch.testing.assert_close(float(exact(schedule, t, s)), paper, rtol=1e-9, atol=0)


def test_few_steps_of_ddpm_have_the_deviation_of_gaussian_data():
    """Ten steps with the exact mean: β is too large, β̃ too small, and the analytic variance is right."""
    schedule = schedules.cosine()
    denoiser = oracle.Gaussian(schedule, 0.0, STD)
    x_T = reverse.prior(schedule, (4,), 0, range(20_000)).double()
    deviation = {
        name: float(samplers.DDPM(variance, 10, clip=None).sample(denoiser, x_T).std())
        for name, variance in (
            ("small", "small"),
            ("large", "large"),
            ("best", AnalyticVariance(exact_errors(schedule))),
        )
    }
    # the last step adds no noise, so the variance of its mean is what is left of STD²
    last = schedule.steps // 10
    truth = (STD**2 - exact_errors(schedule)[last]) ** 0.5
    assert abs(deviation["best"] - truth) < 3 * truth / (2 * 80_000) ** 0.5 + 1e-3
    assert deviation["small"] < 0.99 * truth < 1.01 * truth < deviation["large"]


def test_the_bound_of_gaussian_data_is_least_with_it():
    schedule = schedules.cosine(50)
    denoiser = oracle.Gaussian(schedule, 0.0, STD)
    x0 = STD * torch.randn(64, 8, dtype=F64, generator=torch.Generator().manual_seed(0))
    bits = {
        name: float(bound.bits_per_dim(denoiser, x0, variance=variance, clip=False, decoder="density").total.mean())
        for name, variance in (
            ("small", "small"),
            ("large", "large"),
            ("best", AnalyticVariance(exact_errors(schedule))),
        )
    }
    truth = -torch.distributions.Normal(0.0, STD).log_prob(x0).mean() / torch.log(torch.tensor(2.0))
    assert bits["best"] < min(bits["small"], bits["large"]) - 0.05
    assert abs(bits["best"] - truth) < 0.1  # the posterior of these data is normal: the bound is nearly tight


def test_it_needs_data():
    denoiser = oracle.Gaussian(schedules.cosine(), 0.0, STD)
    with pytest.raises(InputError, match=r"variance=reverse\.AnalyticVariance\.of"):
        samplers.DDPM("analytic", 10).sample(denoiser, torch.randn(2, 2))
    points = configs.preset("points")
    lost = dataclasses.replace(points, data=dataclasses.replace(points.data, source="gone.npy"))
    with pytest.raises(InputError, match=r"gone\.npy cannot be read here: take the variance large or small"):
        Model(denoiser, DataSpec((2,), POINTS), lost).sample(2, sampler="ddpm:steps=5,variance=analytic")
    assert samplers.DDPM("analytic", 10).nfe(denoiser.schedule) == 10
