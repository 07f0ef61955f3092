"""The installed `diffusers`, in the same run on the same numbers: its schedulers step by step, and its U-Net."""

import warnings
from itertools import pairwise, product

import pytest
import torch

from ancestral import samplers, schedules
from ancestral.samplers import DDIM, DDPM, Move
from ancestral.targets import EPS, X0, Prediction

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of its own dependencies
    from diffusers import DDIMScheduler, DDPMScheduler

LINEAR = schedules.linear()
COMMON = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
SPACINGS = ["trailing", "leading", "linspace"]


def network(x, t):
    """A denoiser that is not linear and says something else at every time."""
    return torch.sin(2 * x + t / 300) * 0.8 + 0.1 * x


class Denoiser:
    schedule = LINEAR

    def predict(self, x_t, t):
        return EPS.solve(x_t, network(x_t, t - 1), *LINEAR.at(t))


def noise(t):
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(t))


def exact(scheduler):
    """The scheduler with its table of ᾱ in float64, so that what is compared is its arithmetic and not its rounding.

    Its own float32 table leaves β_t = 1 − ᾱ_t/ᾱ_{t−1} with four digits at small t; `test_rounding` shows what that
    does.
    """
    scheduler.alphas_cumprod = LINEAR.alpha_bar[1:].clone()
    return scheduler


def one_step(sampler, x, t, s, z):
    """Our sampler's step t → s in float32, with the loop's clipping."""
    prediction = Denoiser().predict(x, t)
    if sampler.clip is not None:
        prediction = X0.solve(x, prediction.x0.clamp(-sampler.clip, sampler.clip), *LINEAR.at(t))
    return sampler.advance(x, prediction, Move(LINEAR, t, s, lambda *_: Prediction(x, x), lambda _: z), None)[0]


def state(t):
    """A plausible x_t: data of deviation 0.5 under the noise of time t."""
    return LINEAR.add_noise(0.5 * noise(20_000 + t), t, noise(10_000 + t))


@pytest.mark.parametrize("clip", [True, False], ids=["clipped", "free"])
@pytest.mark.parametrize(
    ("steps", "spacing"),
    [
        pytest.param(1000, "trailing", marks=pytest.mark.long),
        *((50, spacing) for spacing in SPACINGS),
        (17, "trailing"),
        (17, "linspace"),
    ],
)
@pytest.mark.parametrize("variance", ["large", "small"])
def test_ddpm_steps(monkeypatch, variance, steps, spacing, clip):
    """Where steps do not divide T, "leading" is ours alone: theirs starts at t = 929 of 1000 for 17."""
    scheduler = exact(
        DDPMScheduler(**COMMON, variance_type=f"fixed_{variance}", clip_sample=clip, timestep_spacing=spacing)
    )
    scheduler.set_timesteps(steps)
    sampler = DDPM(variance, steps, clip=1.0 if clip else None, spacing=spacing)
    times = sampler.times(LINEAR)
    assert [t - 1 for t in times[:-1]] == scheduler.timesteps.tolist()
    for t, s in pairwise(times):
        # diffusers adds noise to the last step of a "trailing" chain; there is none to add at s = 0
        z = noise(t) if s else torch.zeros(4, 3, 8, 8)
        monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, z=z, **__: z)
        x = state(t)
        theirs = scheduler.step(network(x, t - 1), t - 1, x).prev_sample
        torch.testing.assert_close(one_step(sampler, x, t, s, z), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("clip", [True, False], ids=["clipped", "free"])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("steps", "spacing"), [(1000, "trailing"), *product((50, 10), SPACINGS)])
def test_ddim_steps(steps, spacing, eta, clip):
    scheduler = exact(DDIMScheduler(**COMMON, clip_sample=clip, timestep_spacing=spacing))
    scheduler.set_timesteps(steps)
    sampler = DDIM(steps, eta, clip=1.0 if clip else None, spacing=spacing)
    times = sampler.times(LINEAR)
    assert [t - 1 for t in times[:-1]] == scheduler.timesteps.tolist()
    for t in times[:-1]:
        # diffusers takes the earlier time to be t − T/steps, which for "linspace" is not the next one: compare that
        # very step
        s = max(t - 1000 // steps, 0)
        x, z = state(t), noise(t)
        options = {"eta": eta, "use_clipped_model_output": True, "variance_noise": z if eta else None}
        theirs = scheduler.step(network(x, t - 1), t - 1, x, **options).prev_sample
        torch.testing.assert_close(one_step(sampler, x, t, s, z), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("scheduler", "sampler"),
    [
        (DDPMScheduler(**COMMON, variance_type="fixed_large"), DDPM("large")),
        (DDPMScheduler(**COMMON, variance_type="fixed_small"), DDPM("small")),
        (DDIMScheduler(**COMMON, timestep_spacing="leading"), DDIM(50, spacing="leading")),
        (DDIMScheduler(**COMMON, timestep_spacing="trailing"), DDIM(100)),
    ],
    ids=lambda value: str(value) if isinstance(value, samplers.Sampler) else "",
)
def test_whole_trajectories(monkeypatch, scheduler, sampler):
    """From the same state at the first time to the end: 1,000 steps of float32 stay together."""
    times = sampler.times(LINEAR)
    exact(scheduler).set_timesteps(len(times) - 1)
    x = x_T = noise(0)
    for t in times[:-1]:
        monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, t=t, **__: noise(t))
        options = {"use_clipped_model_output": True} if isinstance(scheduler, DDIMScheduler) else {}
        x = scheduler.step(network(x, t - 1), t - 1, x, **options).prev_sample
    walk = iter(times)
    ours = sampler.sample(Denoiser(), x_T, times, noise=lambda _: noise(next(walk)))
    torch.testing.assert_close(ours, x, rtol=1e-5, atol=1e-5)
