"""The other samplers of the installed `diffusers`, side by side: whole runs from the same x_T by the same network, in
float32, which predicts eps or v.
"""

import warnings

import pytest
import torch

from ancestral import schedules, targets
from ancestral.samplers import DPMSolver, Euler, Heun, UniPC, resampled
from ancestral.schedules import Schedule
from ancestral.targets import Prediction

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of its own dependencies
    from diffusers import (
        DPMSolverMultistepScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        HeunDiscreteScheduler,
        RePaintScheduler,
        UniPCMultistepScheduler,
    )

LINEAR = schedules.linear()
COMMON = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
PREDICTS = {"epsilon": targets.EPS, "v_prediction": targets.V}


def network(x, t):
    """Answers that are not linear and change with time."""
    return torch.sin(2 * x + t / 300) * 0.8 + 0.1 * x


class Denoiser:
    """What `network` says, as a denoiser of the linear schedule."""

    def __init__(self, target):
        self.schedule, self.target = LINEAR, target

    def predict(self, x_t, t):
        return self.target.solve(x_t, network(x_t, t - 1), *LINEAR.at(t))


class Exploding:
    """A denoiser evaluated in x/a, where a is 1 and σ = b/a the noise: how diffusers runs Euler and Heun."""

    def __init__(self, denoiser):
        self.denoiser = denoiser
        sigma = denoiser.schedule.noise / denoiser.schedule.signal
        self.schedule = Schedule(torch.ones_like(sigma), sigma, float(sigma[-1]))

    def predict(self, x, t):
        a, _ = self.denoiser.schedule.at(t)
        return Prediction(*self.denoiser.predict(a * x, t))


def noise(seed):
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def theirs(kind, steps, x, **options):
    """A run of diffusers' scheduler of this kind, and the times it went through, as ours."""
    times = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # diffusers' own, of how it makes a numpy array
        scheduler = kind(**COMMON, **options)
        scheduler.alphas_cumprod = LINEAR.alpha_bar[1:].float()
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            times.append(int(t) + 1)
            answer = network(scheduler.scale_model_input(x, t), int(t))
            x = scheduler.step(answer, t, x).prev_sample
    return x, [*dict.fromkeys(times), 0]


@pytest.mark.parametrize("spacing", ["linspace", "trailing", "leading"])
@pytest.mark.parametrize("steps", [10, 20, 50])
@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize(
    ("kind", "options", "sampler"),
    [
        (DPMSolverMultistepScheduler, {"solver_order": 2, "solver_type": "midpoint"}, DPMSolver()),
        (DPMSolverMultistepScheduler, {"solver_order": 1}, DPMSolver(order=1)),
        (UniPCMultistepScheduler, {"solver_order": 2, "solver_type": "bh2"}, UniPC()),
    ],
    ids=["DPM-Solver++ 2M", "DPM-Solver++ 1", "UniPC"],
)
def test_multistep_solvers(kind, options, sampler, predicts, steps, spacing):
    expected, times = theirs(kind, steps, noise(0), **options, prediction_type=predicts, timestep_spacing=spacing)
    ours = sampler.sample(Denoiser(PREDICTS[predicts]), noise(0), times=times)
    assert expected.std() > 0.3
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def draws():
    """A source of noise that begins anew."""
    seeds = iter(range(1000, 3000))
    return lambda *_, **__: noise(next(seeds))


@pytest.mark.parametrize("steps", [10, 50])
@pytest.mark.parametrize("predicts", PREDICTS)
def test_the_stochastic_dpm_solver(monkeypatch, predicts, steps):
    monkeypatch.setattr("diffusers.schedulers.scheduling_dpmsolver_multistep.randn_tensor", draws())
    options = {"algorithm_type": "sde-dpmsolver++", "prediction_type": predicts}
    expected, times = theirs(DPMSolverMultistepScheduler, steps, noise(0), **options)
    sampler, denoiser = DPMSolver(eta=1.0), Denoiser(PREDICTS[predicts])
    ours = sampler.sample(denoiser, noise(0), times=times, noise=draws())
    if predicts == "v_prediction":
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
        return
    # from ε at t = T, x_0 is divided by a_T = 0.006, and float32's rounding grows: ours stays nearer to float64
    truth = sampler.sample(denoiser, noise(0).double(), times=times, noise=draws())
    assert (ours - truth).abs().max() < (expected - truth).abs().max() < 1e-2


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("steps", [10, 28, 112])
@pytest.mark.parametrize(
    ("kind", "sampler"), [(HeunDiscreteScheduler, Heun()), (EulerDiscreteScheduler, Euler(clip=None))],
    ids=["Heun", "Euler"],
)  # fmt: skip
def test_heun_and_euler(kind, sampler, predicts, steps):
    """Steps that divide 999, since diffusers asks the network at fractions of t otherwise."""
    denoiser = Exploding(Denoiser(PREDICTS[predicts]))
    start = noise(0) * denoiser.schedule.prior_std
    expected, times = theirs(kind, steps, start, prediction_type=predicts, timestep_spacing="linspace")
    assert len(times) == steps + 1
    ours = sampler.sample(denoiser, start, times=times)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_euler_ancestral(monkeypatch, predicts):
    monkeypatch.setattr("diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor", draws())
    denoiser = Exploding(Denoiser(PREDICTS[predicts]))
    start = noise(0) * denoiser.schedule.prior_std
    options = {"prediction_type": predicts, "timestep_spacing": "linspace"}
    expected, times = theirs(EulerAncestralDiscreteScheduler, 28, start, **options)
    ours = Euler(ancestral=True, clip=None).sample(denoiser, start, times=times, noise=draws())
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("jump", "repeats"), [(1, 3), (10, 10), (7, 2), (10, 1), (60, 4)])
def test_resampled_times_are_repaints(jump, repeats):
    """Those of diffusers, which lists every time on the way up, and numbers times from 0."""
    theirs = RePaintScheduler()
    theirs.set_timesteps(50, jump, repeats)
    path = [*(theirs.timesteps // 20 + 1).tolist(), 0]
    inner = zip(path, path[1:], path[2:], strict=False)
    turns = [path[0], *(t for before, t, after in inner if not before < t < after), 0]
    assert resampled(range(50, -1, -1), jump, repeats) == turns
    assert resampled([5, 4, 3], 2, 2) == [5, 4, 3, 5, 4, 3]  # the last of these is noisy
