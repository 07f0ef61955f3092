"""Denoisers given a measurement, exact and approximate, against Gaussians that are worked out another way."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from ancestral import guidance, oracle, probability_flow, samplers, schedules
from ancestral.base.errors import InputError
from ancestral.covariance import Covariance
from ancestral.operators import Blur, Crop, Downsample, Grey, Linear, Mask, matrix

F64 = torch.float64
SCHEDULE = schedules.linear()
SHAPE, D = (1, 4, 4), 16
GENERATOR = torch.Generator().manual_seed(0)
KNOWN = (torch.rand(4, 4, generator=GENERATOR) > 0.5).double()
OPERATORS = {"downsample": Downsample(2), "mask": Mask(KNOWN), "blur": Blur(0.8)}
TIMES = {"little noise": 1, "a time": 300, "a time each": torch.tensor([1, 500, 1000])}
CUBE = Linear(lambda x: x**3)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def joint(means, covariances, log_weights, operator, noise, y, x_t, t):
    """E[x_0 | x_t, y] of a mixture, item by item, by the formula of joint Gaussians."""
    A = matrix(operator, SHAPE)
    seen = (A.abs().sum(1) > 0) | (noise > 0)
    A, y = A[seen], y.flatten(1)[:, seen]
    found = []
    a, b = (torch.as_tensor(scale, dtype=F64).expand(len(x_t)) for scale in SCHEDULE.at(t))
    for i in range(len(x_t)):
        both = torch.cat([a[i] * torch.eye(D, dtype=F64), A])
        spread = torch.cat([b[i].expand(D) ** 2, torch.full((len(A),), noise**2, dtype=F64)]).diag()
        values = torch.cat([x_t[i].flatten(), y[i]])
        logs, x0s = [], []
        for mean, covariance, log_weight in zip(means, covariances, log_weights, strict=True):
            C = both @ covariance @ both.T + spread
            difference = values - both @ mean.flatten()
            solved = torch.linalg.solve(C, difference)
            logs.append(log_weight - 0.5 * (difference @ solved + torch.linalg.slogdet(C)[1]))
            x0s.append(mean.flatten() + covariance @ both.T @ solved)
        found.append(torch.stack(logs).softmax(0) @ torch.stack(x0s))
    return torch.stack(found).reshape(x_t.shape)


@pytest.mark.parametrize("noise", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("t", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_a_mixture_given_a_measurement_is_that_of_joint_gaussians(operator, t, noise):
    means, stds, weights = normal(5, *SHAPE), torch.rand(5, dtype=F64, generator=GENERATOR) + 0.1, torch.arange(1.0, 6)
    y, x_t = operator.apply(normal(3, *SHAPE, seed=1)), normal(3, *SHAPE, seed=2)
    exact = oracle.Mixture(SCHEDULE, means, stds, weights.double()).given(y, operator, noise)
    covariances = stds[:, None, None] ** 2 * torch.eye(D, dtype=F64)
    truth = joint(means, covariances, weights.double().log(), operator, noise, y, x_t, t)
    prediction = exact.predict(x_t, t)
    torch.testing.assert_close(prediction.x0, truth, rtol=1e-8, atol=1e-9)
    one = oracle.Mixture(SCHEDULE, means, stds, weights.double()).given(y[:1], operator, noise).predict(x_t[:1], 300)
    torch.testing.assert_close(one.x0, exact.predict(x_t, 300).x0[:1])


def correlated():
    """A Gaussian whose elements are correlated, with its covariance."""
    factor = 0.3 * normal(D, D, seed=5)
    covariance = factor @ factor.T + 0.01 * torch.eye(D, dtype=F64)
    variances, axes = torch.linalg.eigh(covariance)
    return oracle.Gaussian(SCHEDULE, normal(1, *SHAPE, seed=6), variances.sqrt(), axes), covariance


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_a_gaussian_given_a_measurement_is_that_of_joint_gaussians(operator, noise):
    """Also given a second measurement."""
    gaussian, covariance = correlated()
    y, x_t, t = operator.apply(normal(3, *SHAPE, seed=1)), normal(3, *SHAPE, seed=2), TIMES["a time each"]
    exact = gaussian.given(y, operator, noise)
    truth = joint(gaussian.mean, [covariance], [0.0], operator, noise, y, x_t, t)
    torch.testing.assert_close(exact.predict(x_t, t).x0, truth, rtol=1e-7, atol=1e-8)
    first = Linear(lambda x: x[:, :, :1, :2])
    z = normal(3, 1, 1, 2, seed=3)
    both = Linear(lambda x: torch.cat([operator.apply(x).flatten(1), first.apply(x).flatten(1)], 1))
    if noise:
        together = gaussian.given(torch.cat([y.flatten(1), z.flatten(1)], 1), both, noise).predict(x_t, t).x0
        torch.testing.assert_close(exact.given(z, first, noise).predict(x_t, t).x0, together, rtol=1e-7, atol=1e-8)


def test_an_empirical_distribution_given_a_measurement_weighs_its_items():
    """By a function that is not linear too; the linear one is a mixture of components without width."""
    data, x_t = normal(30, *SHAPE), normal(3, *SHAPE, seed=2)
    operator = Downsample(2)
    y = operator.apply(data[:3]) + 0.1
    found = oracle.Empirical(SCHEDULE, data).given(y, operator, 0.3).predict(x_t, 300).x0
    mixture = oracle.Mixture(SCHEDULE, data, torch.zeros(30, dtype=F64)).given(y, operator, 0.3)
    torch.testing.assert_close(found, mixture.predict(x_t, 300).x0)
    a, b = SCHEDULE.at(300)
    logs = torch.tensor([
        [-((x - a * d) ** 2).sum() / (2 * b**2) - ((v - d.abs().sum()) ** 2).sum() / (2 * 0.3**2) for d in data]
        for x, v in zip(x_t, (5.0, 10.0, 15.0), strict=True)
    ], dtype=F64)  # fmt: skip
    truth = torch.einsum("bn,nchw->bchw", logs.softmax(1), data)
    given = torch.tensor([5.0, 10.0, 15.0])[:, None]
    own = oracle.Empirical(SCHEDULE, data).given(given, lambda x: x.abs().sum((1, 2, 3))[:, None], 0.3)
    torch.testing.assert_close(own.predict(x_t, 300).x0, truth)


@pytest.mark.parametrize("t", [1, 300, 1000])
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_methods_are_exact_for_gaussian_data_of_the_covariance_that_they_assume(operator, t):
    """MMPS and JFPS for a correlated Gaussian, ΠGDM for one of equal variances; DDNM has the measurement's values."""
    gaussian, covariance = correlated()
    variances, axes = torch.linalg.eigh(covariance)
    known = Covariance(axes, variances, 0.0)
    y, x_t = operator.apply(normal(3, *SHAPE, seed=1)), normal(3, *SHAPE, seed=2)
    truth = gaussian.given(y, operator, 0.1).predict(x_t, t).x0
    for method in ("mmps", "jfps"):
        posterior = guidance.Posterior(gaussian, y, operator, 0.1, method, known, iterations=60)
        torch.testing.assert_close(posterior.predict(x_t, t).x0, truth, rtol=0, atol=1e-5, msg=method)
    equal = oracle.Gaussian(SCHEDULE, normal(1, *SHAPE)[0], torch.full(SHAPE, 0.7, dtype=F64))
    posterior = guidance.Posterior(equal, y, operator, 0.1, "pigdm", Covariance.isotropic(0.49), iterations=60)
    torch.testing.assert_close(
        posterior.predict(x_t, t).x0, equal.given(y, operator, 0.1).predict(x_t, t).x0, rtol=0, atol=1e-5
    )
    ddnm = guidance.Posterior(gaussian, y, operator, method="ddnm").predict(x_t, t)
    torch.testing.assert_close(operator.apply(ddnm.x0), y, rtol=0, atol=1e-8)
    a, b = SCHEDULE.at(t)
    torch.testing.assert_close(a * ddnm.x0 + b * ddnm.eps, x_t)


COSINE = schedules.cosine()
"""A schedule whose x_T is N(0, 1), as the likelihood assumes."""


def test_likelihoods_of_posteriors_of_gaussian_data_are_exact():
    """Of the methods that are exact for such data, by the change of variables along their own flow."""
    mean, variances, axes = normal(1, 1, 1, 3)[0], torch.tensor([0.05, 0.3, 0.8], dtype=F64), torch.eye(3, dtype=F64)
    gaussian = oracle.Gaussian(COSINE, mean, variances.sqrt(), axes)
    equal = oracle.Gaussian(COSINE, mean, torch.full((1, 1, 3), 0.7, dtype=F64))
    operator, noise = Linear(lambda x: x @ torch.tensor([[1.0, 0.2], [0.5, 0.0], [0.0, 1.0]], dtype=F64)), 0.3
    A, y, x0 = matrix(operator, (1, 1, 3)), normal(1, 1, 1, 2, seed=3), normal(3, 1, 1, 3, seed=4) * 0.3 + mean
    for prior, covariance, known, methods in (
        (gaussian, variances.diag(), Covariance(axes, variances, 0.0), ("jfps", "mmps")),
        (equal, 0.49 * torch.eye(3, dtype=F64), Covariance.isotropic(0.49), ("pigdm",)),
    ):
        precision = torch.linalg.inv(covariance) + A.T @ A / noise**2
        solved = torch.linalg.solve(covariance, mean.flatten()) + A.T @ y.flatten() / noise**2
        truth = MultivariateNormal(torch.linalg.solve(precision, solved), precision_matrix=precision)
        for method in methods:
            posterior = guidance.Posterior(prior, y, operator, noise, method, known, iterations=3)
            likelihood = probability_flow.log_likelihood(posterior, x0, rtol=1e-4)
            torch.testing.assert_close(likelihood, truth.log_prob(x0.flatten(1)), rtol=0, atol=1e-3, msg=method)


def on_a_line():
    """A mixture on a line, a grid of points, and a measurement of 0.8 x with noise."""
    mixture = oracle.Mixture(COSINE, normal(3, 1) * 0.5, torch.tensor([0.1, 0.2, 0.3], dtype=F64))
    grid = torch.linspace(-2.5, 2.5, 101, dtype=F64)[:, None]
    return mixture, grid, torch.tensor([[0.4]], dtype=F64), Linear(lambda x: 0.8 * x), 0.3


def test_the_likelihood_of_a_mixture_given_a_measurement_is_that_of_its_posterior():
    """Bayes' rule on the line."""
    mixture, grid, y, operator, noise = on_a_line()
    joint = mixture.log_density(grid, 0) + Normal(0.8 * grid[:, 0], noise).log_prob(y[0])
    truth = joint - joint.logsumexp(0) - (grid[1] - grid[0]).log()
    likelihood = probability_flow.log_likelihood(mixture.given(y, operator, noise), grid[40:70:5], rtol=1e-4)
    torch.testing.assert_close(likelihood, truth[40:70:5], rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", ["mmps", "pigdm"])
def test_a_time_for_all_items_has_the_precision_of_a_time_each(method):
    """In float64, in which the coefficients of the schedule are."""
    gaussian, _ = correlated()
    x_t = normal(3, *SHAPE, seed=2)
    posterior = guidance.Posterior(gaussian, OPERATORS["blur"].apply(normal(3, *SHAPE)), OPERATORS["blur"], 0.1, method)
    one, each = (posterior.predict(x_t, t).x0 for t in (300, torch.full((3,), 300)))
    torch.testing.assert_close(one, each, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "operator",
    [
        Mask(KNOWN.repeat(2, 2)),
        Downsample(2),
        Grey(),
        Blur(1.0),
        Crop((1, 2), (5, 6)),
        Blur(1.0) | Downsample(4),
        Downsample(2) | Grey(),
        Crop((0, 2), (8, 6)) | Downsample(2),
        Mask(KNOWN.repeat(2, 2)) | Blur(0.5),
        Linear(lambda x: x.cumsum(2)),
    ],
    ids=[
        "mask",
        "smaller",
        "grey",
        "blur",
        "crop",
        "blur, smaller",
        "smaller, grey",
        "crop, smaller",
        "mask, blur",
        "sums",
    ],
)
def test_samples_without_noise_have_the_measurement(operator):
    """By DDNM in float32, of a mixture of which y is no likely measurement."""
    shape = (3, 8, 8)
    mixture = oracle.Mixture(SCHEDULE, normal(5, *shape) / 2, torch.full((5,), 0.2))
    y = operator.apply(torch.rand(3, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    posterior = guidance.Posterior(mixture, y, operator, method="ddnm")
    x = samplers.DDIM(10, eta=1.0, clip=None).sample(posterior, normal(3, *shape).float())
    assert x.dtype == torch.float32
    assert (operator.apply(x) - y).abs().max() <= 1e-4


def test_the_covariance_of_items_in_float64_is_exact():
    """By the singular values of the items, to the rounding of float64."""
    x0 = torch.randn(40, 6, dtype=F64, generator=torch.Generator().manual_seed(3)) @ torch.randn(6, 6).double()
    covariance = Covariance.of(x0)
    values = torch.linalg.svdvals(x0 - x0.mean(0)) ** 2 / 39
    torch.testing.assert_close(covariance.variances, values[values > covariance.rest], rtol=1e-12, atol=0)
    full = (covariance.axes * covariance.variances) @ covariance.axes.T
    torch.testing.assert_close(full, torch.cov(x0.T), rtol=0, atol=3e-3 * float(values.mean()))
    axes = covariance.axes
    torch.testing.assert_close(axes.T @ axes, torch.eye(axes.shape[1], dtype=F64), rtol=0, atol=1e-13)


@pytest.mark.parametrize("rank", [3, 40])
def test_the_covariance_of_items_is_that_of_numpy_along_its_axes(rank):
    x0 = normal(30, 2, 3) @ normal(3, 3, seed=1)
    covariance = Covariance.of(x0, rank)
    full = torch.cov(x0.flatten(1).T)
    axes = covariance.axes.double()
    kept = axes.shape[1]
    assert kept == min(rank, 6)
    torch.testing.assert_close(
        covariance.variances.double(), torch.linalg.eigvalsh(full).flip(0)[:kept], rtol=1e-5, atol=1e-6
    )
    assert math.isclose(covariance.mean_variance(), float(full.diagonal().mean()), rel_tol=2e-2)
    a, b, v = 0.6, 0.8, normal(4, 6, seed=2)
    dense = (axes * covariance.variances) @ axes.T + covariance.rest * (torch.eye(6) - axes @ axes.T)
    C = torch.linalg.inv(torch.linalg.inv(dense) + (a / b) ** 2 * torch.eye(6))
    torch.testing.assert_close(covariance.given(v, a, b), v @ C, rtol=1e-4, atol=1e-5)


def test_copies_of_items_make_no_axes_of_their_own():
    """Of items that repeat, most eigenvalues are rounding."""
    items = normal(5, *SHAPE).repeat(2, 1, 1, 1)
    covariance, full = Covariance.of(items), torch.cov(items.flatten(1).T)
    axes = covariance.axes.double()
    torch.testing.assert_close(axes.T @ axes, torch.eye(4, dtype=F64), rtol=0, atol=1e-5)
    made = axes * (covariance.variances.double() - covariance.rest) @ axes.T + covariance.rest * torch.eye(D)
    torch.testing.assert_close(made, full, rtol=0, atol=2e-3 * float(full.diagonal().mean()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d, y: guidance.Posterior(d, y, Downsample(2), method="dsp"), "there is no method 'dsp': give one of"),
        (lambda d, y: guidance.Posterior(d, y, Downsample(2), -1.0), "0 or more, not -1"),
        (lambda d, y: guidance.Posterior(d, y / 0, Downsample(2)), "NaN or infinity"),
        (
            lambda d, y: guidance.Posterior(d, y[..., 0], Downsample(2)).predict(torch.zeros(3, *SHAPE), 5),
            r"y is \[3, 1, 2\], and the operator makes \[3, 1, 2, 2\]",
        ),
        (lambda d, y: d.given(y, Downsample(2), 0.1), "give the Gaussian its mean as a tensor"),
        (lambda d, y: oracle.Empirical(SCHEDULE, normal(9, *SHAPE)).given(y, Downsample(2), 0.0), "give noise above 0"),
        (
            lambda d, y: oracle.Mixture(SCHEDULE, normal(2, *SHAPE), torch.zeros(2)).given(y, Downsample(2), 0.0),
            "above 0 if a component of the mixture has no width",
        ),
        (lambda d, y: Covariance.of(normal(1, *SHAPE)), "two items or more, not 1"),
        (lambda d, y: guidance.Posterior(d, y, CUBE).predict(torch.zeros(3, *SHAPE), 5), "not linear, .* guidance.DPS"),
        (lambda d, y: guidance.Replacement(d, y, CUBE).predict(torch.zeros(3, *SHAPE), 5), "not linear"),
        (lambda d, y: oracle.Gaussian(SCHEDULE, torch.zeros(SHAPE), 1.0).given(y, CUBE, 0.1), "not linear"),
    ],
)
def test_what_cannot_be_restored_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make(oracle.Gaussian(SCHEDULE, 0.0, 1.0), normal(3, 1, 2, 2))


def test_dps_takes_what_is_not_linear():
    denoiser = guidance.DPS(oracle.Gaussian(SCHEDULE, 0.0, 1.0), torch.zeros(1, *SHAPE), CUBE)
    assert denoiser.predict(torch.ones(3, *SHAPE), 5).x0.isfinite().all()


def test_a_system_that_is_solved_stays_solved():
    """GMRES has nothing left to do after two iterations here; more of them change nothing but rounding."""
    gaussian = oracle.Gaussian(SCHEDULE, torch.zeros(1, 1, 4, 4).double(), 0.5)
    operator = Mask(torch.tensor([1.0, 1.0, 0.0, 0.0]).double().expand(4, 4))
    y = operator.apply(torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double())
    x_t = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    exact = gaussian.given(y, operator, 0.1).predict(x_t, 50).x0
    for iterations in (2, 8, 16):
        denoiser = guidance.Posterior(gaussian, y, operator, 0.1, "mmps", iterations=iterations)
        torch.testing.assert_close(denoiser.predict(x_t, 50).x0, exact, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mask("x"),
        lambda: Linear(3),
        lambda: guidance.Posterior(oracle.Gaussian(SCHEDULE, 0.0, 0.5), torch.zeros(1, 1), Grey(), iterations=0),
        lambda: oracle.Empirical(SCHEDULE, torch.zeros(2, 1)).given(torch.full((1, 1), torch.nan), lambda x: x, 0.1),
    ],
    ids=["mask", "function", "iterations", "measurement"],
)
def test_what_is_no_operator_or_measurement_is_refused(make):
    with pytest.raises(InputError) as error:
        make()
    assert "\n" not in str(error.value)
