"""TDS against its algorithm written out, and against exact draws from posteriors."""

import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from ancestral import oracle, randomness, schedules
from ancestral.base.errors import InputError
from ancestral.operators import Linear, matrix
from ancestral.randomness import Stream
from ancestral.reverse import prior
from ancestral.samplers import TDS

F64 = torch.float64
SCHEDULE = schedules.linear()
MEANS = torch.tensor([[-0.8, 0.5], [0.6, 0.8], [0.3, -0.9], [-0.2, -0.3]], dtype=F64)
STDS = torch.tensor([0.15, 0.1, 0.2, 0.1], dtype=F64)
MIXTURE = oracle.Mixture(SCHEDULE, MEANS, STDS)
SUM = Linear(lambda x: x[:, :1] + 0.5 * x[:, 1:])


def noise(count, seed=0, first=0):
    return prior(SCHEDULE, (2,), seed, range(first, first + count)).double()


def test_it_is_the_algorithm_written_out():
    """With dense matrices, densities of torch and loops over particles, of two groups with a measurement each."""
    K, sigma, v = 4, 0.1, 0.2
    y, indices = torch.tensor([[0.2], [-0.7]], dtype=F64), range(8, 16)
    sampler = TDS(y, SUM, sigma, K, v, threshold=0.98, steps=12, clip=None)
    x_T, A, seed = noise(2 * K, first=8), matrix(SUM, (2,)), 3

    def z(t, draw):
        return randomness.normal((2,), seed, Stream.REVERSE, t, indices, draw=draw or None).double()

    def log_twist(x0, t, y):
        a, b = SCHEDULE.at(t)
        r = b**2 * v / (a**2 * v + b**2)
        covariance = sigma**2 * torch.eye(1, dtype=F64) + r * A @ A.T
        return MultivariateNormal(x0 @ A.T, covariance).log_prob(y)

    def resampled(weights, group, t):
        cumulative, u = weights.softmax(0).cumsum(0).tolist(), float(Normal(0, 1).cdf(z(t, 1)[group * K, 0]))
        return [next(k for k in range(K) if (u + place) / K < cumulative[k]) for place in range(K)]

    samples, resamplings, evidence, effective = [], 0, [], []
    for group in range(2):
        rows = slice(group * K, group * K + K)
        x, weights = x_T[rows], torch.zeros(K, dtype=F64)
        before, log_evidence = torch.zeros(K, dtype=F64), 0.0
        for t, s in pairwise(sampler.times(SCHEDULE)):
            x = x.detach().requires_grad_()
            x0 = MIXTURE.predict(x, t).x0
            if s == 0:
                break
            twist = log_twist(x0, t, y[group])
            (score,) = torch.autograd.grad(twist.sum(), x, retain_graph=True)
            weights = weights - before + twist.detach()
            ancestors = list(range(K))
            if 1 / weights.softmax(0).square().sum() < 0.98 * K:
                log_evidence = log_evidence + weights.exp().mean().log()
                ancestors, weights, resamplings = resampled(weights, group, t), torch.zeros(K), resamplings + 1
            x, x0, score, before = (value.detach()[ancestors] for value in (x, x0, score, twist))
            a, b = SCHEDULE.at(t)
            deviation = math.sqrt(SCHEDULE.posterior_variance(t, s))
            p = Normal(SCHEDULE.posterior(x0, x, t, s).mean, deviation)
            q = Normal(SCHEDULE.posterior(x0 + b**2 / a * score, x, t, s).mean, deviation)
            x = q.mean + deviation * z(t, 0)[rows]
            weights = weights + (p.log_prob(x) - q.log_prob(x)).sum(1)
        weights = weights - before + Normal(x0 @ A.T, sigma).log_prob(y[group])[:, 0]
        evidence.append(log_evidence + weights.exp().mean().log())
        effective.append(weights.exp().sum() ** 2 / (2 * weights).exp().sum())
        ancestors, turn = resampled(weights, group, t), int(K * Normal(0, 1).cdf(z(t, 2)[group * K, 0]))
        samples.append(x0.detach()[ancestors[turn:] + ancestors[:turn]])
    assert 3 < resamplings < 22
    first, *_, last = sampler.trajectory(MIXTURE, x_T, seed=seed, indices=indices)
    torch.testing.assert_close(last.x, torch.cat(samples), rtol=0, atol=1e-6)
    torch.testing.assert_close(last.state.log_evidence, torch.stack(evidence), rtol=0, atol=1e-6)
    torch.testing.assert_close(last.state.effective, torch.stack(effective), rtol=0, atol=1e-6)
    assert first.state is None


def test_the_mean_estimate_of_the_evidence_is_the_density_of_y_under_the_samples():
    """Of Gaussian data, whose samples by DDPM are Gaussian with a variance that follows step by step."""
    mean, variance, y, sigma, groups, K = torch.tensor([0.2, -0.1], dtype=F64), 0.25, 0.7, 0.3, 300, 4
    sampler = TDS(torch.tensor([[y]], dtype=F64), SUM, sigma, K, 0.5, steps=20, clip=None)
    denoiser = oracle.Gaussian(SCHEDULE, mean, torch.full((2,), variance, dtype=F64).sqrt())
    *_, last = sampler.trajectory(denoiser, noise(groups * K))
    one, m, v = torch.ones(1, dtype=F64), torch.zeros(2, dtype=F64), 1.0
    for t, s in pairwise(sampler.times(SCHEDULE)):
        offset, slope = (denoiser.predict(x * torch.ones(1, 2, dtype=F64), t).x0[0] for x in (0.0, 1.0))
        slope = slope - offset
        of_x0, of_x = (float(SCHEDULE.posterior(p * one, (1 - p) * one, t, s).mean) for p in (1, 0))
        m = of_x0 * (offset + slope * m) + of_x * m
        v = (of_x0 * float(slope[0]) + of_x) ** 2 * v + (SCHEDULE.posterior_variance(t, s) if s else 0.0)
    truth = Normal(m[0] + 0.5 * m[1], math.sqrt(1.25 * v + sigma**2)).log_prob(torch.tensor(y)).exp()
    estimates = last.state.log_evidence.exp()
    error = estimates.std() / math.sqrt(groups)
    assert abs(float(estimates.mean() - truth)) < 3 * float(error) < 0.06 * float(truth)


def exact(y, sigma, count, generator):
    """Draws of the mixture given y, component by component."""
    A = matrix(SUM, (2,))
    logs, gaussians = [], []
    for mean, std in zip(MEANS, STDS, strict=True):
        covariance = std**2 * torch.eye(2, dtype=F64)
        S = A @ covariance @ A.T + sigma**2 * torch.eye(1, dtype=F64)
        gain = covariance @ A.T @ torch.linalg.inv(S)
        logs.append(MultivariateNormal(A @ mean, S).log_prob(y))
        gaussians.append((mean + gain @ (y - A @ mean), torch.linalg.cholesky(covariance - gain @ A @ covariance)))
    component = torch.multinomial(torch.stack(logs).softmax(0), count, replacement=True, generator=generator)
    z = torch.randn(count, 2, dtype=F64, generator=generator)
    return torch.stack([gaussians[k][0] + gaussians[k][1] @ row for k, row in zip(component.tolist(), z, strict=True)])


def sliced(x, y, directions=64):
    """Sliced Wasserstein distance of equally many points of the plane."""
    angles = torch.arange(directions, dtype=F64) * math.pi / directions
    axes = torch.stack([angles.cos(), angles.sin()])
    return float(((x @ axes).sort(0).values - (y @ axes).sort(0).values).abs().mean())


@pytest.mark.long
def test_particles_tend_to_the_posterior():
    """First particles of 500 groups: their distance to exact draws falls to that of other exact draws."""
    y, sigma, groups = torch.tensor([0.1], dtype=F64), 0.1, 500
    generator = torch.Generator().manual_seed(0)
    truth = exact(y, sigma, groups, generator)
    floor = sum(sliced(truth, exact(y, sigma, groups, generator)) for _ in range(10)) / 10
    one, four, sixteen, many = (
        sliced(truth, TDS(y[None], SUM, sigma, K, steps=50, clip=None, spacing="logsnr").sample(MIXTURE, x_T)[::K])
        for K, x_T in ((K, noise(groups * K)) for K in (1, 4, 16, 64))
    )
    assert one > 2 * four > 4 * sixteen
    assert many < 1.5 * floor


def test_the_first_particle_is_a_draw_by_weight():
    """Groups of four equal sets of particles in one step: frequencies are the likelihoods'."""
    groups, y = 4000, torch.tensor([[0.1]], dtype=F64)
    x_t = noise(4, seed=1).repeat(groups, 1)
    sampler = TDS(y, SUM, 0.5, 4, clip=None)
    x0 = MIXTURE.predict(x_t[:4], 300).x0
    weights = Normal(SUM.apply(x0), 0.5).log_prob(y)[:, 0].softmax(0)
    found = sampler.sample(MIXTURE, x_t, times=[300, 0]).reshape(groups, 4, 2)
    counts = (found[:, :, None] - x0).abs().sum(3).argmin(2)  # (groups, 4)
    expected = groups * weights
    for particle in range(4):
        deviation = torch.bincount(counts[:, particle], minlength=4) - expected
        assert (deviation.abs() < 4 * (expected * (1 - weights)).sqrt()).all()
    copies = torch.stack([(counts == k).sum(1) for k in range(4)], 1)
    assert ((copies - 4 * weights).abs() < 1).all()  # systematic: at most one more or fewer


def test_a_group_is_the_same_in_every_batch():
    gaussian = oracle.Gaussian(SCHEDULE, torch.tensor([0.2, -0.1]), torch.tensor([0.3, 0.5]))
    sampler = TDS(torch.tensor([[0.4]]), SUM, 0.1, 8, steps=20)
    x_T = noise(24).float()
    all_groups = sampler.sample(gaussian, x_T, seed=5)
    assert torch.equal(sampler.sample(gaussian, x_T[8:16], seed=5, indices=range(8, 16)), all_groups[8:16])
    assert torch.equal(sampler.sample(gaussian, x_T, seed=5), all_groups)
    assert not torch.equal(sampler.sample(gaussian, x_T, seed=6), all_groups)
    assert sampler.nfe(SCHEDULE) == 20


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda y: TDS(y, SUM, 0.0), "noise and a variance above 0, and a threshold from 0 to 1, not 0.0"),
        (lambda y: TDS(y, SUM, 0.1, threshold=2.0), "a threshold from 0 to 1, not 0.1, 0.25 and 2.0"),
        (lambda y: TDS(y, SUM, 0.1, particles=0), "number of particles is whole, 1 or more, not 0"),
        (lambda y: TDS(y / 0, SUM, 0.1), "NaN or infinity"),
        (lambda y: TDS(y, SUM, 0.1, 4).sample(MIXTURE, noise(6)), r"groups of 4 particles.*these are 6 particles"),
        (lambda y: TDS(y, SUM, 0.1, 4).sample(MIXTURE, noise(4), indices=range(1, 5)), "indices 0..3, 4..7"),
        (lambda y: TDS(y, SUM, 0.1, 4).sample(MIXTURE, noise(4), indices=[0, 1, 2, 5]), "indices 0..3, 4..7"),
        (
            lambda y: TDS(y.repeat(3, 1), SUM, 0.1, 4).sample(MIXTURE, noise(8)),
            r"y is \[3, 1\], and the operator makes \[2, 1\]",
        ),
    ],
)
def test_what_cannot_be_sampled_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call(torch.zeros(1, 1, dtype=F64))
