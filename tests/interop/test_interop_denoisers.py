"""A model as a denoiser of azula 0.11.1 and of deepinv 0.5.0, beside `restore` in the same run."""

import azula.guidance
import azula.sample
import deepinv
import pytest
import torch
from azula.linalg.covariance import IsotropicCovariance
from torch import nn

from ancestral import Diffusion, InputError, guidance, interop, oracle, reverse, samplers, schedules, targets
from ancestral.covariance import Covariance
from ancestral.data.spec import IMAGES, DataSpec
from ancestral.model import Model
from ancestral.operators import Downsample

F64 = torch.float64
SHAPE, D, NOISE = (1, 8, 8), 64, 0.1
OPERATOR = Downsample(2)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """Not linear, with a Jacobian that is not symmetric; a class adds to what it answers."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.eye(D, dtype=F64) / 2 + normal(D, D, seed=4) / 20)

    def forward(self, x, index, labels=None):
        shift = 0.0 if labels is None else 0.2 * (labels + 1).to(x)[:, None]
        return torch.tanh(x.flatten(1) @ self.mix.T + shift).reshape(x.shape)


def model_of(schedule, kind="network", dtype=F64):
    spec = DataSpec(SHAPE, IMAGES, ("one", "two"))
    if kind == "network":
        return Model(Diffusion(Net().to(dtype), schedule, targets.X0), spec)
    basis = torch.linalg.qr(normal(D, D, seed=1))[0]
    return Model(oracle.Gaussian(schedule, 0.2 * normal(1, *SHAPE, seed=2), torch.linspace(0.1, 0.8, D), basis), spec)


Y = OPERATOR.apply(0.4 * normal(1, *SHAPE, seed=3)) + NOISE * normal(1, 1, 4, 4, seed=5)
PHYSICS = deepinv.physics.LinearPhysics(
    A=lambda x, **_: OPERATOR.apply(x),
    A_adjoint=lambda y, **_: OPERATOR.adjoint(y, SHAPE),
    noise_model=deepinv.physics.GaussianNoise(NOISE / 2),
)
FIDELITIES = {"mmps": deepinv.sampling.MomentMatchingDataFidelity, "pigdm": deepinv.sampling.PiGDMDataFidelity}
UNIT_VARIANCE = Covariance.isotropic(4.0)
"""deepinv's images have variance 1 in its units, which are half of ours."""


def flat(x):
    return OPERATOR.apply(x).flatten(1)


@pytest.mark.parametrize("schedule", [schedules.cosine(), schedules.linear()], ids=["cosine", "linear"])
@pytest.mark.parametrize(("kind", "dtype"), [("gaussian", F64), ("network", torch.float32), ("network", F64)])
def test_samples_of_azula_are_those_of_restore(kind, dtype, schedule):
    """MMPS by DDIM in ten steps from the same x_T. Without a network `restore` samples in float32."""
    model = model_of(schedule, kind, dtype)
    sampler = samplers.DDIM(10, clip=None)
    truth = model.restore(Y, OPERATOR, NOISE, 3, "mmps", iterations=2, sampler=sampler, decode=False)
    x_T = reverse.prior(schedule, SHAPE, 0, range(3)).to(truth.dtype)
    noise = IsotropicCovariance(torch.tensor(NOISE**2).to(x_T))
    y = Y.flatten(1).expand(3, -1).to(x_T)
    posterior = azula.guidance.MMPSDenoiser(interop.azula(model, clip=None), y, flat, noise, iterations=2)
    found = azula.sample.DDIMSampler(posterior, steps=10, silent=True)(x_T)
    assert found.dtype == truth.dtype
    assert (found - truth).abs().max() < (1e-6 if truth.dtype == F64 else 1e-5)


# pigdm: deepinv computes x̂_0 in float32, and a last digit of x_T moves these samples by up to 1e-5.
# mmps: deepinv adds 1e-8 to the divisors of conjugate gradients; with 1e-30 there, the difference is 6e-7 and not 2e-4.
# Its solver for mmps supposes a symmetric Jacobian, and the Gaussian has one.
@pytest.mark.parametrize(("method", "kind", "tolerance"), [("pigdm", "network", 1e-4), ("mmps", "gaussian", 1e-3)])
@pytest.mark.parametrize("schedule", [schedules.cosine(), schedules.linear()], ids=["cosine", "linear"])
def test_samples_of_deepinv_are_those_of_restore(schedule, method, kind, tolerance):
    """ΠGDM and MMPS by DDIM in ten steps from the same x_T, with solves that converge."""
    model, sampler = model_of(schedule, kind, torch.float32), samplers.DDIM(10, clip=None)
    truth = model.restore(
        Y, OPERATOR, NOISE, 3, method, iterations=20, covariance=UNIT_VARIANCE, sampler=sampler, decode=False
    )
    x_T = reverse.prior(schedule, SHAPE, 0, range(3)).to(truth.dtype)

    def signal(t):
        return torch.tensor(schedule.at(float(t))[0], dtype=F64)

    def level(t):
        return schedule.at(float(t))[1] / signal(t)

    sde = deepinv.sampling.EDMDiffusionSDE(level, signal)
    solver = deepinv.sampling.DDIMSolver(torch.tensor(sampler.times(schedule), dtype=F64))
    fidelity = FIDELITIES[method](cg_max_iter=20, cg_tol=1e-6)
    posterior = deepinv.sampling.PosteriorDiffusion(fidelity, interop.deepinv(model, clip=None), sde, solver)
    y = Y.expand(3, -1, -1, -1).float()
    found = 2 * posterior((y + 1) / 2, PHYSICS, x_T.double()) - 1
    assert (found - truth).abs().max() < tolerance


def test_conditions_guidance_and_clipping_pass_through():
    model = model_of(schedules.linear())
    x_t, t = 2 * normal(4, *SHAPE), 300
    labels = torch.tensor([0, 1, 0, 1])
    guided = guidance.Clipped(guidance.ClassifierFree(model.denoiser, 3.0))
    truth = guided.predict(x_t, t, labels=labels).x0
    time = torch.tensor(0.3, dtype=F64)
    theirs = interop.azula(model, label=["one", "two"], guidance=3.0)
    assert (theirs(x_t, time).mean - truth).abs().max() < 1e-9
    by_keyword = interop.azula(model, guidance=3.0)(x_t, time.expand(4), labels=labels).mean
    assert (by_keyword - truth).abs().max() < 1e-9
    a, b = model.denoiser.schedule.at(t)
    x, sigma = (x_t / a + 1) / 2, torch.full((4,), b / a / 2, dtype=F64)
    found = interop.deepinv(model, label=["one", "two"], guidance=3.0)(x, sigma)
    assert (2 * found - 1 - truth).abs().max() < 1e-6
    with pytest.raises(InputError, match="guidance"):
        interop.azula(model_of(schedules.linear()), guidance=float("nan"))


def test_the_largest_noise_and_none():
    model = model_of(schedules.linear())
    x, found = torch.rand(2, *SHAPE, dtype=F64), interop.deepinv(model, clip=None)
    assert torch.equal(found(x, 0.0), x)
    sigma = model.denoiser.schedule.noise[-1] / model.denoiser.schedule.signal[-1] / 2
    torch.testing.assert_close(found(x, 10 * float(sigma)), found(x, float(sigma)))


@pytest.mark.parametrize("name", ["azula", "deepinv"])
def test_a_package_that_is_not_installed_is_one_line(monkeypatch, name):
    model, original = model_of(schedules.linear()), interop.denoisers.importlib.import_module

    def without(module):
        if module.startswith(name):
            raise ModuleNotFoundError(module)
        return original(module)

    monkeypatch.setattr(interop.denoisers.importlib, "import_module", without)
    with pytest.raises(InputError, match=f"^{name} is not installed: .*install.* {name}$"):
        getattr(interop, name)(model)
