"""Exact denoisers, against conditional expectations that are worked out another way."""

import pytest
import torch

from ancestral import oracle, schedules
from ancestral.base.errors import InputError

SCHEDULE = schedules.linear()
TIMES = [1, 100, 500, 1000]
F64 = torch.float64


@pytest.mark.parametrize("t", TIMES)
def test_gaussian_by_quadrature(t):
    denoiser = oracle.Gaussian(SCHEDULE, 0.3, 0.5)
    x_t = torch.tensor([[-1.0], [0.2], [2.0]], dtype=F64)
    (a, b), grid = SCHEDULE.at(t), torch.linspace(-5, 5, 400_001, dtype=F64)
    log = -((grid - 0.3) ** 2) / (2 * 0.25) - (x_t - a * grid) ** 2 / (2 * b**2)
    mean = (log.softmax(1) * grid).sum(1, keepdim=True)
    prediction = denoiser.predict(x_t, t)
    torch.testing.assert_close(prediction.x0, mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(a * prediction.x0 + b * prediction.eps, x_t, rtol=1e-12, atol=1e-12)


def test_gaussian_takes_a_mean_and_a_std_for_each_element():
    mean, std = torch.tensor([0.0, 1.0], dtype=F64), torch.tensor([0.5, 2.0], dtype=F64)
    x_t = torch.randn(5, 2, dtype=F64)
    both = oracle.Gaussian(SCHEDULE, mean, std).predict(x_t, 300).x0
    for i in range(2):
        alone = oracle.Gaussian(SCHEDULE, mean[i], std[i]).predict(x_t[:, i : i + 1], 300).x0
        torch.testing.assert_close(both[:, i : i + 1], alone)


@pytest.mark.parametrize("t", TIMES)
def test_mixture_by_quadrature(t):
    means, stds, weights = (
        torch.tensor([[-0.8], [0.1], [0.9]], dtype=F64),
        torch.tensor([0.1, 0.3, 0.05]),
        torch.tensor([1.0, 2, 3]),
    )
    denoiser = oracle.Mixture(SCHEDULE, means, stds.double(), weights.double())
    x_t = torch.linspace(-2, 2, 9, dtype=F64)[:, None]
    (a, b), grid = SCHEDULE.at(t), torch.linspace(-3, 3, 600_001, dtype=F64)
    density = sum(
        w * torch.distributions.Normal(m, s).log_prob(grid).exp()
        for w, m, s in zip(weights / 6, means[:, 0], stds, strict=True)
    )
    log = density.clamp_min(1e-300).log() - (x_t - a * grid) ** 2 / (2 * b**2)
    torch.testing.assert_close(
        denoiser.predict(x_t, t).x0, (log.softmax(1) * grid).sum(1, keepdim=True), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("t", [torch.tensor([3, 400, 1000]), 50], ids=str)
def test_mixtures_eps_is_the_score(t):
    """ε̂ = −b ∇ log p_t(x_t): Tweedie's formula, with the gradient by autograd from the density alone."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(6, 2, 3, dtype=F64, generator=generator)
    denoiser = oracle.Mixture(
        SCHEDULE, means, torch.rand(6, dtype=F64, generator=generator), torch.rand(6, dtype=F64, generator=generator)
    )
    x_t = torch.randn(3, 2, 3, dtype=F64, generator=generator).requires_grad_()
    (score,) = torch.autograd.grad(denoiser.log_density(x_t, t).sum(), x_t)
    b = torch.as_tensor(SCHEDULE.at(t)[1], dtype=F64).reshape(-1, 1, 1)
    torch.testing.assert_close(denoiser.predict(x_t.detach(), t).eps, -b * score, rtol=1e-9, atol=1e-9)


def test_mixture_density_is_that_of_torch():
    means, stds = torch.randn(4, 3, dtype=F64), torch.rand(4, dtype=F64) + 0.1
    a, b = SCHEDULE.at(250)
    components = torch.distributions.Independent(
        torch.distributions.Normal(a * means, (a**2 * stds**2 + b**2).sqrt()[:, None]), 1
    )
    truth = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(4, dtype=F64)), components)
    x = torch.randn(7, 3, dtype=F64)
    torch.testing.assert_close(oracle.Mixture(SCHEDULE, means, stds).log_density(x, 250), truth.log_prob(x))


def test_one_component_is_the_gaussian():
    x_t = torch.randn(5, 2, dtype=F64)
    mixture = oracle.Mixture(SCHEDULE, torch.full((1, 2), 0.3, dtype=F64), torch.tensor([0.5], dtype=F64))
    torch.testing.assert_close(mixture.predict(x_t, 77).x0, oracle.Gaussian(SCHEDULE, 0.3, 0.5).predict(x_t, 77).x0)


def test_empirical_is_the_mean_weighted_by_likelihood():
    data = torch.rand(20, 1, 4, 4, dtype=F64) * 2 - 1
    denoiser, t = oracle.Empirical(SCHEDULE, data), 300
    a, b = SCHEDULE.at(t)
    x_t = torch.randn(3, 1, 4, 4, dtype=F64)
    weight = torch.tensor([[-((x - a * d) ** 2).sum() / (2 * b**2) for d in data] for x in x_t], dtype=F64).softmax(1)
    torch.testing.assert_close(denoiser.predict(x_t, t).x0, torch.einsum("bn,nchw->bchw", weight, data))


def test_empirical_knows_its_images_under_little_noise():
    data = torch.rand(50, 1, 4, 4, dtype=F64) * 2 - 1
    x_1 = SCHEDULE.add_noise(data, 1, torch.randn_like(data))
    torch.testing.assert_close(oracle.Empirical(SCHEDULE, data).predict(x_1, 1).x0, data)


def test_a_mixture_of_unequal_parts_is_refused():
    with pytest.raises(InputError, match="2 stds and 2 weights"):
        oracle.Mixture(SCHEDULE, torch.zeros(2, 3), torch.ones(3))
    with pytest.raises(InputError, match="cannot be negative"):
        oracle.Gaussian(SCHEDULE, 0.0, -1.0)
    with pytest.raises(InputError, match="weight above 0"):
        oracle.Mixture(SCHEDULE, torch.zeros(2, 3), torch.ones(2), torch.zeros(2))
    with pytest.raises(InputError, match="none negative"):
        oracle.Mixture(SCHEDULE, torch.zeros(2, 3), torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize("per_image", [False, True], ids=["one time", "a time each"])
@pytest.mark.parametrize("make", [schedules.linear, schedules.karras, schedules.flow])
def test_the_log_density_of_images_in_float32(make, per_image):
    """784 dimensions, from little noise to no signal (flow's T): the sum written out with differences in float64."""
    schedule, generator = make(), torch.Generator().manual_seed(0)
    data = torch.rand(40, 784, generator=generator) * 2 - 1
    stds = torch.rand(40, generator=generator) * 1e-3
    for denoiser in (oracle.Empirical(schedule, data), oracle.Mixture(schedule, data, stds)):
        for times in ([1] * 6, [2] * 6, [10] * 6, [1, 2, 20, 300, 999, 1000]):
            t = torch.tensor(times)
            eps = torch.randn(6, 784, generator=generator)
            x = schedule.add_noise(data[:6], t, eps)
            a, b = (scale[:, None, None] for scale in schedule.at(t))
            variance = a[..., 0] ** 2 * denoiser.stds.double() ** 2 + b[..., 0] ** 2
            distance = ((x.double()[:, None] - a * data.double()) ** 2).sum(2)
            parts = -0.5 * (distance / variance + 784 * (2 * torch.pi * variance).log()) - torch.tensor(40.0).log()
            truth = parts.logsumexp(1)
            if per_image:
                found = denoiser.log_density(x, t)
            else:
                found = torch.cat([denoiser.log_density(x[i : i + 1], time) for i, time in enumerate(times)])
            assert found.dtype == torch.float32
            torch.testing.assert_close(found.double(), truth, rtol=0, atol=1e-2)


def test_the_score_of_images_in_float32_is_the_gradient():
    data = torch.rand(20, 784, generator=torch.Generator().manual_seed(0)) * 2 - 1
    denoiser, t = oracle.Empirical(SCHEDULE, data), torch.tensor([1, 5, 500])
    x = SCHEDULE.add_noise(data[:3], t, torch.randn(3, 784)).requires_grad_()
    (score,) = torch.autograd.grad(denoiser.log_density(x, t).sum(), x)
    eps = -SCHEDULE.at(t)[1][:, None] * score
    torch.testing.assert_close(denoiser.predict(x.detach(), t).eps.double(), eps, rtol=1e-3, atol=1e-3)


def test_integers_are_refused_and_no_images_have_no_estimate():
    mixture = oracle.Mixture(SCHEDULE, torch.zeros(2, 3), torch.ones(2))
    for denoiser in (mixture, oracle.Gaussian(SCHEDULE, 0.0, 1.0)):
        with pytest.raises(InputError, match="must be floats"):
            denoiser.predict(torch.zeros(1, 3, dtype=torch.uint8), 5)
        for t in (5, torch.zeros(0, dtype=torch.int64)):
            assert denoiser.predict(torch.zeros(0, 3), t).x0.shape == (0, 3)
    with pytest.raises(InputError, match="must be floats"):
        mixture.log_density(torch.zeros(1, 3, dtype=torch.int64), 5)


def test_means_beyond_one_part_count(monkeypatch):
    """The means are visited in parts of 4,096."""
    x0 = torch.randn(5000, 3, dtype=torch.float64)
    exact = oracle.Empirical(schedules.linear(), x0)
    x, (a, b) = torch.randn(4, 3, dtype=torch.float64), exact.schedule.at(300)
    weights = (-((x[:, None] - a * x0) ** 2).sum(2) / (2 * b**2)).softmax(1)
    torch.testing.assert_close(exact.predict(x, 300).x0, weights @ x0)
