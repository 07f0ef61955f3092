"""Samples given a measurement: azula 0.11.1 in float64 and deepinv 0.5.0, in the same run, on the same numbers.

azula's denoisers are compared as they are. Where the two differ:

* Its solvers work on the last axis, so measurements are flat here.
* Its ΠGDM has neither σ nor r_t, and adds a_s a_t g to x_s, with g = Jᵀ A⁺ (y − A x̂_0). Ours adds (b_t²/a_t)/r_t² g to
  x̂_0, from which the sampler makes its step. So g is compared.
* Its DPS takes the norm of the whole batch, ours of each item: batches of one are compared.
* Its RePaint puts what is known into x_s, after the step; ours into x_t, before it. From the same x_t the other pixels
  agree.
* Its TDS draws the particles at each step by `torch.multinomial`, and leaves out the last weights; ours draws them
  systematically, and only where the weights are unequal. There is no setting in which the two agree.

deepinv's coordinates are x_t/a, its σ is b/a, and it answers −∇ log p(y | x_t/a) in float32, which is (x̂_0 − x̂_0(y))/σ²
for ours. Where the two differ:

* Its ΠGDM assumes data of variance 1.
* Its conjugate gradients add 1e-8 to each denominator, which shows where residuals become small: by 1e-4 of the result
  for y of order 1. So y is 20 times as large here.
* Where the Jacobian of a network is not positive, its conjugate gradients go on, and ours take no step.
"""

from itertools import pairwise

import deepinv
import pytest
import torch
from azula.denoise import Denoiser, DiracPosterior, GaussianDenoiser
from azula.guidance import CFGDenoiser, DPSSampler, JFPSDenoiser, MMPSDenoiser, PGDMSampler, RePaintSampler
from azula.linalg.covariance import FullCovariance, IsotropicCovariance
from azula.noise import Schedule
from azula.sample import DDIMSampler

from ancestral import guidance, oracle, samplers, schedules
from ancestral.covariance import Covariance
from ancestral.operators import Blur, Downsample, Linear, Mask
from ancestral.targets import X0

F64 = torch.float64
SCHEDULE = schedules.linear()
SHAPE, D = (1, 4, 4), 16
NOISE = 0.1


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


KNOWN = normal(4, 4, seed=9) > 0
OPERATORS = {"mask": Mask(KNOWN), "downsample": Downsample(2), "blur": Blur(0.8)}
MIX = torch.eye(D, dtype=F64) / 2 + normal(D, D, seed=4) / 20


def network(x, a, b):
    """A denoiser that is not linear, and whose Jacobian is not symmetric, but positive."""
    hidden = torch.tanh((x.flatten(1) @ MIX.to(x) + 0.1) / (a**2 + b**2) ** 0.5)
    return (0.3 * hidden + a / (a**2 + b**2) * x.flatten(1)).reshape(x.shape)


class Network:
    """`network` as a denoiser of this package; a label adds to its x̂_0."""

    schedule = SCHEDULE

    def predict(self, x_t, t, labels=None):
        a, b = SCHEDULE.at(t)
        shift = 0.0 if labels is None else 0.1 * labels.reshape(-1, 1, 1, 1)
        return X0.solve(x_t, network(x_t, a, b) + shift, a, b)


class Table(Schedule):
    """The table of our schedule, at whole times."""

    def __call__(self, t):
        return SCHEDULE.signal[t.long()], SCHEDULE.noise[t.long()]


class AzulasNetwork(Denoiser):
    """`network` as a denoiser of azula."""

    schedule = Table()

    def forward(self, x_t, t, labels=0.0):
        return DiracPosterior(network(x_t, *self.schedule(t)) + 0.1 * labels)


def gaussian():
    """The exact denoisers of both packages, and the covariance of the data."""
    factor = normal(D, D, seed=5) / 3
    variances, axes = torch.linalg.eigh(factor @ factor.T + 0.05 * torch.eye(D, dtype=F64))
    mean = normal(1, *SHAPE, seed=6)
    theirs = FullCovariance(axes.reshape(*SHAPE, D), variances)
    return (
        oracle.Gaussian(SCHEDULE, mean, variances.sqrt(), axes),
        GaussianDenoiser(mean[0], theirs, Table()),
        Covariance(axes, variances, 0.0),
        theirs,
    )


OURS, THEIRS, COVARIANCE, AZULAS_COVARIANCE = gaussian()
DENOISERS = {"gaussian": (OURS, THEIRS), "network": (Network(), AzulasNetwork())}
both = pytest.mark.parametrize(("ours", "theirs"), DENOISERS.values(), ids=DENOISERS)
each_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


def close(found, truth, tolerance):
    """Assert that the distance is within a tolerance, relative to the length."""
    assert (found.double() - truth.double()).norm() <= tolerance * truth.double().norm()


@both
@each_operator
@pytest.mark.parametrize("t", [1, 300, 1000])
@pytest.mark.parametrize(("method", "iterations"), [("mmps", 1), ("mmps", 3), ("jfps", 1), ("jfps", 3)])
def test_estimates_are_azulas(method, iterations, t, operator, ours, theirs):
    """With GMRES for MMPS, and conjugate gradients for JFPS: their defaults too."""
    flat = Linear(lambda x: operator.apply(x).flatten(1))
    y, x_t = flat.apply(normal(2, *SHAPE, seed=1)), normal(2, *SHAPE, seed=2)
    found = guidance.Posterior(ours, y, flat, NOISE, method, COVARIANCE, iterations).predict(x_t, t).x0
    noise = IsotropicCovariance(NOISE**2)
    options = {"mmps": (MMPSDenoiser, {}), "jfps": (JFPSDenoiser, {"cov_x": AZULAS_COVARIANCE})}
    kind, extra = options[method]
    denoiser = kind(theirs, y, flat.apply, cov_y=noise, iterations=iterations, **extra)
    close(found, denoiser(x_t, torch.tensor(t)).mean, 1e-6)


@both
@each_operator
def test_pigdms_gradient_is_azulas(operator, ours, theirs):
    t, s, variance = 300, 250, 0.7
    (a, b), (a_s, _) = SCHEDULE.at(t), SCHEDULE.at(s)
    y, x_t = operator.apply(normal(2, *SHAPE, seed=1)), normal(2, *SHAPE, seed=2)
    posterior = guidance.Posterior(ours, y, operator, 0.0, "pigdm", Covariance.isotropic(variance), iterations=40)
    moved = posterior.predict(x_t, t).x0 - ours.predict(x_t, t).x0
    found = moved * a / b**2 * (b**2 * variance / (a**2 * variance + b**2))
    times = torch.tensor(t), torch.tensor(s)
    sampler = PGDMSampler(theirs, y, operator.apply, lambda v: operator.pseudo_inverse(v, SHAPE), silent=True)
    plain = DDIMSampler(theirs, silent=True).step(x_t, *times)
    close(found, (sampler.step(x_t, *times) - plain) / (a_s * a), 1e-6)


@both
@each_operator
def test_samples_of_dps_are_azulas(operator, ours, theirs):
    y, x_T = operator.apply(normal(1, *SHAPE, seed=1)), normal(1, *SHAPE, seed=2)
    times, zs = [1000, 600, 300, 100, 0], [normal(1, *SHAPE, seed=3 + i) for i in range(4)]
    draws = iter(zs)
    sampler = samplers.DDIM(eta=1.0, clip=None)
    found = sampler.sample(guidance.DPS(ours, y, operator, 0.3), x_T, times, noise=lambda _: next(draws))
    x, sampler, draws = x_T, DPSSampler(theirs, y, operator.apply, 0.3, silent=True), iter(zs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", lambda _: next(draws))
        for t, s in pairwise(times):
            x = sampler.step(x, torch.tensor(t), torch.tensor(s))
    close(found, x, 1e-6)


@both
def test_an_iteration_of_repaint_is_azulas(ours, theirs):
    t, s, z = 300, 250, normal(2, *SHAPE, seed=3)
    x0 = normal(2, *SHAPE, seed=1)
    x_t = torch.where(KNOWN, SCHEDULE.add_noise(x0, t, z), normal(2, *SHAPE, seed=2))
    replacement = guidance.Replacement(ours, OPERATORS["mask"].apply(x0), OPERATORS["mask"])
    found = samplers.DDIM(clip=None).sample(replacement, x_t, [t, s], noise=lambda _: z)
    with torch.random.fork_rng():
        truth = RePaintSampler(theirs, x0, KNOWN, iterations=1, silent=True).step(x_t, torch.tensor(t), torch.tensor(s))
    close(found[..., ~KNOWN], truth[..., ~KNOWN], 1e-6)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_classifier_free_guidance_is_azulas(scale):
    """Its strength is ours less 1."""
    x_t, labels = normal(2, *SHAPE, seed=2), torch.tensor([3, 5])
    free = guidance.ClassifierFree(Network(), scale, drop={"labels": 0})
    given = {"labels": labels.reshape(-1, 1, 1, 1)}
    truth = CFGDenoiser(AzulasNetwork())(x_t, torch.tensor(300), given, guidance=scale - 1)
    close(free.predict(x_t, 300, labels=labels).x0, truth.mean, 1e-12)


class DeepinvsNetwork(deepinv.models.Denoiser):
    """A denoiser of this package at time t, in deepinv's coordinates and float32."""

    def __init__(self, denoiser, t):
        super().__init__()
        self.denoiser, self.t = denoiser, t

    def forward(self, x, sigma):
        a, b = SCHEDULE.at(self.t)
        assert torch.as_tensor(sigma, dtype=F64).sub(b / a).abs().max() < 1e-6 * b / a
        return self.denoiser.predict(a * x, self.t).x0


def physics_of(operator):
    """An operator as deepinv's, with noise."""
    return deepinv.physics.LinearPhysics(
        A=lambda x, **_: operator.apply(x),
        A_adjoint=lambda y, **_: operator.adjoint(y, SHAPE),
        noise_model=deepinv.physics.GaussianNoise(NOISE),
    )


def deepinvs(kind, ours, t, physics, y, x_t, **options):
    a, b = SCHEDULE.at(t)
    fidelity = kind(DeepinvsNetwork(ours, t), **options)
    return fidelity.grad((x_t / a).float(), y.float(), physics=physics, sigma=b / a)


deepinv_times = pytest.mark.parametrize("t", [100, 300, 700])
ours_alone = pytest.mark.parametrize("ours", [OURS, Network()], ids=list(DENOISERS))


@ours_alone
@each_operator
@deepinv_times
@pytest.mark.parametrize(("method", "iterations"), [("pigdm", 3), ("mmps", 1), ("mmps", 3)])
def test_gradients_are_deepinvs(method, iterations, t, operator, ours):
    """With its conjugate gradients for MMPS too, where our default is GMRES: a Jacobian need not be symmetric."""
    y, x_t = operator.apply(20 * normal(2, *SHAPE, seed=1)), normal(2, *SHAPE, seed=2)
    posterior = guidance.Posterior(ours, y, operator, NOISE, method, Covariance.isotropic(1.0), iterations)
    posterior.method = posterior.method._replace(solver="cg")
    a, b = SCHEDULE.at(t)
    found = (ours.predict(x_t, t).x0 - posterior.predict(x_t, t).x0) * a**2 / b**2
    kind = {"pigdm": deepinv.sampling.PiGDMDataFidelity, "mmps": deepinv.sampling.MomentMatchingDataFidelity}[method]
    truth = deepinvs(kind, ours, t, physics_of(operator), y, x_t, cg_max_iter=iterations, cg_tol=0.0)
    close(found, truth, 1e-5)


@ours_alone
@each_operator
@deepinv_times
def test_gradients_of_dps_are_deepinvs(t, operator, ours):
    y, x_t = operator.apply(normal(2, *SHAPE, seed=1)), normal(2, *SHAPE, seed=2)
    found = (ours.predict(x_t, t).x0 - guidance.DPS(ours, y, operator).predict(x_t, t).x0) * SCHEDULE.at(t)[0]
    close(found, deepinvs(deepinv.sampling.DPSDataFidelity, ours, t, physics_of(operator), y, x_t), 1e-5)
