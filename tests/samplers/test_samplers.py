"""Samplers: the loop's promises, and their steps against closed recursions for Gaussian data."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import orders
from ancestral import Diffusion, guidance, oracle, randomness, samplers, schedules
from ancestral.base.errors import InputError
from ancestral.randomness import Stream
from ancestral.reverse import prior
from ancestral.samplers import DDIM, DDPM, DPMSolver, Euler, Heun, Langevin, PredictorCorrector, Sampler, UniPC
from ancestral.targets import Prediction

F64 = torch.float64
LINEAR, COSINE = schedules.linear(), schedules.cosine()
NO_SIGNAL = schedules.Schedule([1.0, 0.0, 0.0], [0.0, 1.0, 1.0])


# -- times ------------------------------------------------------------------------------------------------------------


def test_spacings_are_those_of_the_table():
    """Lin et al. 2024, table 2, for T = 1000 and 10 steps; its indices are t − 1."""

    def indices(spacing):
        return [t - 1 for t in DDIM(10, spacing=spacing).times(LINEAR)[:-1]]

    assert indices("leading") == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    assert indices("linspace") == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
    assert indices("trailing") == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace", "logsnr", "karras"])
@pytest.mark.parametrize("T", [1, 2, 7, 100, 1000])
def test_every_number_of_steps_gives_falling_times(spacing, T):
    """Of 1,000 every 26th, and the last ones, where the times are most crowded."""
    schedule = schedules.linear(T)
    fewest = 1 if spacing != "leading" or T == 1 else 2 if T > 2 else T  # fewer start where x_t still holds data
    for steps in (*range(fewest, T + 1, 1 + T // 40), *range(max(fewest, T - 9), T + 1)):
        times = DDIM(steps, spacing=spacing).times(schedule)
        assert len(times) == steps + 1
        assert all(s < t for t, s in pairwise(times))
        assert times[-1] == 0
        assert 1 <= times[0] <= T
        assert times[0] == T if spacing != "leading" else T - times[0] < T / steps
    assert DDPM().times(schedule) == list(range(T, -1, -1))


SCHEDULES = {
    "linear": LINEAR,
    "cosine": COSINE,
    "sigmoid": schedules.sigmoid(),
    "geometric": schedules.geometric(),
    "karras": schedules.karras(),
    "flow": schedules.flow(),
    "zero_terminal": schedules.zero_terminal(LINEAR),
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_logsnr_and_karras_spacing_are_even_in_their_own_measure(schedule):
    """As near as whole times allow: each chosen level is the nearest to where it should be, or pushed by one before."""
    sigma = schedule.noise[1:] / schedule.signal[1:]
    for spacing, curve in (("logsnr", sigma.log()), ("karras", sigma ** (1 / 7))):
        times = DDIM(12, spacing=spacing).times(schedule)
        assert (times[0], times[-2]) == (1000, 1)
        places = curve[torch.tensor(times[:-1]) - 1]
        finite = places[places.isfinite()]
        gaps = -finite.diff()
        rounding = curve[curve.isfinite()].diff().max()
        assert (gaps - gaps.mean()).abs().max() <= rounding
    assert DDIM(1000, spacing="logsnr").times(schedule) == list(range(1000, -1, -1))


def test_karras_spacing_of_karras_levels_is_every_nth():
    schedule = schedules.karras(1 + 17 * 50, 0.002, 80.0)
    assert Heun(18).times(schedule) == [*range(851, 0, -50), 0]
    levels = schedule.noise[torch.tensor(Heun(18).times(schedule)[:-1])]
    i = torch.arange(18, dtype=F64)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7  # (5) of Karras et al.
    torch.testing.assert_close(levels, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["linear", "cosine", "karras", "geometric", "flow", "zero_terminal"])
@pytest.mark.parametrize("steps", [37, 501])
def test_leading_spacing_starts_from_the_prior_of_its_first_time(name, steps):
    """The deviation of samples of N(0, ½²), in which DDIM's steps are factors: from the prior at the first time, the
    step from T with x̂_0 = 0, on; by a method of order 2 it is the data's.
    """
    schedule = SCHEDULES[name]
    denoiser, x_T = oracle.Gaussian(schedule, 0.0, 0.5), torch.full((1, 1), schedule.prior_std, dtype=F64)
    ddim, heun = DDIM(steps, clip=None, spacing="leading"), Heun(steps, spacing="leading")
    times, a, b = ddim.times(schedule), schedule.signal.tolist(), schedule.noise.tolist()
    assert 1000 - times[0] < 1000 / steps
    deviation = schedule.prior_std * b[times[0]] / b[1000]
    for t, s in pairwise(times):
        gain = a[t] * 0.25 / (a[t] ** 2 * 0.25 + b[t] ** 2)
        deviation *= a[s] * gain + b[s] * (1 - a[t] * gain) / b[t]
    assert ddim.sample(denoiser, x_T).item() == pytest.approx(deviation, rel=1e-10)
    assert heun.sample(denoiser, x_T).item() == pytest.approx(0.5, abs=6e-3)
    first = next(ddim.trajectory(denoiser, x_T))
    assert first.x.item() == pytest.approx(x_T.item() * b[times[0]] / b[1000], rel=1e-12)
    given = next(ddim.trajectory(denoiser, x_T, times=times))
    assert torch.equal(given.x, x_T)  # a state that the caller has made


@pytest.mark.parametrize("name", SCHEDULES)
def test_leading_spacing_that_starts_among_the_data_is_refused(name):
    """Refused where data of deviation ½ make the deviation of x_t more than 5 % larger than that of its noise."""
    schedule, refused = SCHEDULES[name], 0
    for steps in range(1, 12):
        t = 1 + int(1000 - 1000 / steps + 1e-9)
        a, b = schedule.at(t)
        if math.sqrt(0.25 * a**2 + b**2) > 1.05 * b:
            refused += 1
            with pytest.raises(InputError, match=f"starts at t = {t}, where x_t is not noise alone; take more steps"):
                DDIM(steps, spacing="leading").times(schedule)
        else:
            assert DDIM(steps, spacing="leading").times(schedule)[0] == t
    assert refused


def test_numbers_of_numpy_are_numbers():
    denoiser, x_T = oracle.Gaussian(LINEAR, 0.2, 0.5), torch.randn(2, 3, dtype=F64)
    want = DDIM(5).sample(denoiser, x_T)
    assert torch.equal(DDIM(np.int64(5)).sample(denoiser, x_T), want)
    for times in (np.array([1000, 800, 600, 400, 200, 0]), torch.tensor([1000, 800, 600, 400, 200, 0])):
        assert torch.equal(DDIM().sample(denoiser, x_T, times=times), want)
    made = samplers.from_name("heun", steps=np.int64(5), churn=np.float32(2.0))
    assert (made, type(made.steps), type(made.churn)) == (Heun(5, 2.0, clip=1.0), int, float)
    with pytest.raises(InputError, match="cannot be True"):
        samplers.from_name("heun", steps=np.bool_(True))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: DDIM(0).times(LINEAR), "choose 1 to 1000"),
        (lambda: DDIM(1001).times(LINEAR), "choose 1 to 1000"),
        (
            lambda: DDIM(5, spacing="even").times(LINEAR),
            "spacing cannot be 'even': give trailing, leading",
        ),
        (lambda: DDIM(eta=1.5), "between 0"),
        (lambda: samplers.from_name("ddxm"), "ddpm"),
        (lambda: samplers.from_name("ddpm", eta=0.5), "no option eta"),
        (lambda: run(DDIM(), times=[5, 5, 0]), "each another than the one before"),
        (lambda: run(DDIM(), times=[5, -1]), "from 0 to 1000"),
        (lambda: run(DDIM(), times=[2000, 0]), "from 0 to 1000"),
        (lambda: run(DDIM(), times=[0]), "two or more"),
        (lambda: run(DDIM(), times=[1000.5, 0]), "from 0 to 1000"),
        (lambda: run(DDIM(), times=[math.nan, 0]), "from 0 to 1000"),
        (lambda: run(DDIM(), oracle.Gaussian(NO_SIGNAL, 0.0, 1.0), times=[1, 2, 0]), "no signal is left"),
        (lambda: samplers.resampled([5, 6, 0]), "must fall strictly"),
        (lambda: samplers.resampled([5, 0], 0), "jump is a whole number of steps, 1 or more, not 0"),
        (lambda: samplers.resampled([5, 0], 1, 1.5), "repeats is a whole number, 1 or more, not 1.5"),
        (lambda: run(DDIM(2.5)), "steps cannot be 2.5: give a whole number or None"),
        (lambda: run(DDIM(True)), "steps cannot be True: give a whole number or None"),
        (lambda: run(DDIM(clip=-1.0)), "clip must be above 0"),
        (lambda: run(DDIM(), indices=[1]), "each of the 1 indices"),
        (lambda: run(DDIM(), x_T=torch.ones(2, 3, dtype=torch.int64)), "floats"),
    ],
)
def test_what_cannot_be_sampled_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()


def test_names_make_samplers():
    assert samplers.from_name("ddim", steps=7, eta=None) == DDIM(7)
    assert samplers.from_name("ddpm", variance="small") == DDPM("small")
    assert samplers.from_name("heun:steps=18,churn=10,clip=1.0,spacing=logsnr", churn_noise=1.003) == Heun(
        18, 10.0, churn_noise=1.003, clip=1.0, spacing="logsnr"
    )
    assert samplers.from_name("euler-ancestral:clip=none", steps=5) == Euler(5, ancestral=True, clip=None)
    assert samplers.from_name("dpm-sde:clip=none") == DPMSolver(eta=1.0)
    assert samplers.from_name("langevin:steps=20,steps_per_level=5") == Langevin(5, steps=20, clip=1.0)
    assert samplers.from_name("pc", steps=30, variance="small") == PredictorCorrector("small", 30)
    assert samplers.from_name("unipc", steps=9) == UniPC(9, clip=1.0)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("heun:order=2", "no option order; it has steps, churn"),
        ("heun:churn=much", "churn of the sampler heun cannot be 'much'"),
        ("heun:churn_min=abc", "cannot be 'abc'"),
        ("pc:corrections=1.5", "cannot be 1.5"),
        ("euler:ancestral=maybe", "cannot be 'maybe'"),
        ("ddim:steps=true", "cannot be True"),
        ("heun:churn=nan", "cannot be nan"),
        ("pc:snr=100", "between 0 and 1"),
        ("dpm:order=4", "order 1 and 2"),
        ("dpm:eta=2", "eta must lie"),
        ("langevin:steps_per_level=0", "at least 1"),
        ("langevin:step_size=-1", "above 0"),
        ("pc:snr=0", "between 0 and 1"),
        ("heun:churn=-1", "0 or more"),
        ("ddim:eta=", "cannot be ''"),
        ("ddim:steps=4.5", "cannot be 4.5"),
        ("ddim:spacing=even", "cannot be 'even'"),
    ],
)
def test_a_sampler_in_words_that_cannot_be_is_refused(name, says):
    with pytest.raises(InputError, match=says):
        samplers.from_name(name).times(LINEAR)


# -- the loop ---------------------------------------------------------------------------------------------------------


def run(sampler, denoiser=None, x_T=None, **options):
    denoiser = denoiser or oracle.Gaussian(LINEAR, 0.0, 1.0)
    return sampler.sample(denoiser, torch.ones(2, 3, dtype=F64) if x_T is None else x_T, **options)


def test_trajectory_is_every_state_from_the_prior_to_the_sample():
    denoiser, x_T = oracle.Gaussian(LINEAR, 0.2, 0.5), torch.randn(2, 3, dtype=F64)
    steps = list(DDIM(5).trajectory(denoiser, x_T))
    assert [s.index for s in steps] == [0, 1, 2, 3, 4, 5]
    assert [s.t for s in steps] == [1000, 800, 600, 400, 200, 0]
    assert torch.equal(steps[0].x, x_T)
    torch.testing.assert_close(steps[2].x0, denoiser.predict(steps[2].x, 600).x0.clamp(-1, 1))
    assert torch.equal(steps[-1].x, DDIM(5).sample(denoiser, x_T))
    assert steps[-1].x0 is steps[-1].x


def test_times_may_end_above_zero():
    """The last state is then still noisy: two halves make the whole."""
    denoiser, x_T = oracle.Gaussian(LINEAR, 0.2, 0.5), torch.randn(2, 3, dtype=F64)
    half = list(DDIM().trajectory(denoiser, x_T, times=[1000, 700, 400]))
    assert [step.t for step in half] == [1000, 700, 400]
    torch.testing.assert_close(half[-1].x0, denoiser.predict(half[-1].x, 400).x0.clamp(-1, 1))
    rest = run(DDIM(), denoiser, half[-1].x, times=[400, 100, 0])
    torch.testing.assert_close(rest, run(DDIM(), denoiser, x_T, times=[1000, 700, 400, 100, 0]))


def test_clipping_comes_before_the_step_and_keeps_the_pair_consistent():
    """With x̂_0 far outside, every state is what it would be for x̂_0 = 1 and the ε that belongs to it."""
    denoiser = oracle.Gaussian(LINEAR, 50.0, 1e-6)
    x_T = torch.zeros(1, 1, dtype=F64)
    last = x_T
    for step, (t, s) in zip(list(DDIM(4).trajectory(denoiser, x_T))[1:], pairwise(DDIM(4).times(LINEAR)), strict=True):
        (a_t, b_t), (a_s, b_s) = LINEAR.at(t), LINEAR.at(s)
        last = a_s * 1.0 + b_s * (last - a_t * 1.0) / b_t
        torch.testing.assert_close(step.x, last, rtol=1e-12, atol=1e-14)
    assert last.item() == pytest.approx(1.0, abs=1e-12)
    assert run(DDIM(4, clip=None), denoiser, x_T).item() == pytest.approx(50, rel=1e-4)
    assert run(DDIM(4, clip=0.5), denoiser, x_T).item() == pytest.approx(0.5)


def test_noise_may_be_given():
    calls = []

    def zeros(shape):
        calls.append(shape)
        return torch.zeros(shape)

    sample = run(DDPM(steps=10), noise=zeros)
    assert calls == [torch.Size([2, 3])] * 9  # none at the last step
    assert torch.equal(sample, run(DDPM(steps=10), noise=lambda shape: torch.zeros(shape)))
    assert not torch.equal(sample, run(DDPM(steps=10)))


def test_deterministic_ddim_draws_no_noise():
    def refuse(shape):
        raise AssertionError(shape)

    assert torch.equal(run(DDIM(10), noise=refuse), run(DDIM(10)))


@pytest.mark.parametrize(
    "sampler",
    [
        DDPM(steps=20),
        DDIM(20, eta=0.5),
        DDIM(20),
        DPMSolver(20),
        DPMSolver(20, eta=1.0),
        UniPC(20),
        Heun(20, churn=10.0),
        Langevin(3, steps=20),
        PredictorCorrector(steps=20, corrections=2),
    ],
    ids=str,
)
def test_image_i_is_the_same_in_every_batch_to_the_last_bit(sampler):
    """The oracle is elementwise, so nothing but the sampler could tell batches apart."""
    denoiser = oracle.Gaussian(LINEAR, 0.1, 0.4)
    whole = sampler.sample(denoiser, prior(LINEAR, (3, 4), 5, range(9)), seed=5, indices=range(9))
    for indices in ([4], [8, 0], range(2, 7)):
        part = sampler.sample(denoiser, prior(LINEAR, (3, 4), 5, list(indices)), seed=5, indices=indices)
        assert torch.equal(part, whole[list(indices)])


# -- the steps --------------------------------------------------------------------------------------------------------


def recursion(schedule, times, mean, std, kind, eta=1.0):
    """Mean and variance of the samples of N(mean, std²) data: the sampler as an affine map of (x, z), worked out in
    floats.

    The exact denoiser is affine, x̂_0 = k x + c, so every state stays Gaussian. Written from the papers: DDPM by its
    posterior (6)-(7) with x̂_0, DDIM by its eq. (12) with σ from its eq. (16).
    """
    mu, variance = 0.0, schedule.noise[times[0]].item() ** 2 / schedule.noise[-1].item() ** 2
    for t, s in pairwise(times):
        A_t, A_s = schedule.alpha_bar[t].item(), schedule.alpha_bar[s].item()
        gain = math.sqrt(A_t) * std**2 / (A_t * std**2 + 1 - A_t)
        offset = mean - gain * math.sqrt(A_t) * mean
        beta = 1 - A_t / A_s
        tilde = (1 - A_s) / (1 - A_t) * beta
        if kind == "ddim":
            sigma2 = eta**2 * tilde
            direction = math.sqrt(max(1 - A_s - sigma2, 0.0)) / math.sqrt(1 - A_t)
            on_x0, on_x = math.sqrt(A_s) - direction * math.sqrt(A_t), direction
        else:
            on_x0, on_x = math.sqrt(A_s) * beta / (1 - A_t), math.sqrt(A_t / A_s) * (1 - A_s) / (1 - A_t)
            sigma2 = beta if kind == "large" else tilde
        slope = on_x0 * gain + on_x
        mu, variance = slope * mu + on_x0 * offset, slope**2 * variance + (sigma2 if s else 0.0)
    return mu, variance


def measured(sampler, denoiser):
    """Mean and variance of the sampler's output for x_T ~ N(0, 1), exactly: it is affine in x_T and in each z, so its
    coefficients are its answers to unit impulses."""
    draws = len(sampler.times(denoiser.schedule))
    impulse = torch.cat([torch.zeros(1, draws + 1), torch.eye(draws + 1)]).to(F64)  # none, x_T, z_1, z_2, ...
    number = iter(range(1, draws + 1))
    answer = sampler.sample(denoiser, impulse[:, :1], noise=lambda _: impulse[:, next(number)][:, None]).flatten()
    return answer[0].item(), ((answer[1:] - answer[0]) ** 2).sum().item()


CASES = [
    (DDPM("large", clip=None), "large", 1.0),
    (DDPM("small", clip=None), "small", 1.0),
    (DDPM("large", steps=50, clip=None), "large", 1.0),
    (DDPM("small", steps=50, clip=None, spacing="linspace"), "small", 1.0),
    (DDIM(1000, clip=None), "ddim", 0.0),
    (DDIM(50, clip=None), "ddim", 0.0),
    (DDIM(50, eta=0.3, clip=None, spacing="leading"), "ddim", 0.3),
    (DDIM(37, eta=1.0, clip=None, spacing="linspace"), "ddim", 1.0),
    (DDIM(1, clip=None), "ddim", 0.0),
]


@pytest.mark.parametrize("schedule", [LINEAR, COSINE], ids=["linear", "cosine"])
@pytest.mark.parametrize(("sampler", "kind", "eta"), CASES, ids=[str(case[0]) for case in CASES])
def test_gaussian_data_gives_the_closed_recursion(schedule, sampler, kind, eta):
    mean, std = 0.3, 0.5
    mu, variance = recursion(schedule, sampler.times(schedule), mean, std, kind, eta)
    found_mu, found_variance = measured(sampler, oracle.Gaussian(schedule, mean, std))
    assert found_mu == pytest.approx(mu, rel=1e-10, abs=1e-10)
    assert found_variance == pytest.approx(variance, rel=1e-10, abs=1e-10)


def test_ddpm_is_algorithm_2_written_out():
    """The lecture's loop, with its own symbols, on a network that is not linear."""

    class Net(nn.Module):
        def forward(self, x, index):
            return torch.sin(3 * x) + 1e-3 * index[:, None]

    T = 100
    schedule = schedules.linear(T)
    beta, alpha_bar = schedule.beta, schedule.alpha_bar
    generator = torch.Generator().manual_seed(1)
    zs = [torch.randn(2, 3, dtype=F64, generator=generator) for _ in range(T)]
    x_T = torch.randn(2, 3, dtype=F64, generator=generator)
    x, source = x_T, iter(zs)
    for t in range(T, 0, -1):
        z = next(source) if t > 1 else torch.zeros_like(x)
        eps = Net()(x, torch.full((2,), t - 1))
        x = (x - beta[t] / (1 - alpha_bar[t]).sqrt() * eps) / (1 - beta[t]).sqrt() + beta[t].sqrt() * z
    again = iter(zs)
    sample = DDPM("large", clip=None).sample(Diffusion(Net(), schedule), x_T, noise=lambda _: next(again))
    torch.testing.assert_close(sample, x, rtol=1e-9, atol=1e-10)


def test_a_finite_data_set_is_sampled_as_it_is():
    """With the exact denoiser of three points, every sample is one of them, each about as often."""
    data = torch.tensor([[-0.9, 0.1], [0.2, 0.8], [0.7, -0.6]])
    x_T = prior(COSINE, (2,), 0, range(3000))
    for sampler in (DDPM("small", steps=200), DDIM(50)):
        distance = torch.cdist(sampler.sample(oracle.Empirical(COSINE, data), x_T), data)
        assert distance.min(1).values.max() < 1e-2
        counts = torch.bincount(distance.argmin(1), minlength=3)
        assert counts.tolist() == pytest.approx([1000] * 3, abs=5 * 26)


# -- what the other samplers are --------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_euler_is_ddim_on_every_schedule(schedule):
    denoiser, x_T = oracle.Gaussian(schedule, 0.3, 0.5), schedule.prior_std * torch.randn(4, 3, dtype=F64)
    for ancestral, eta in ((False, 0.0), (True, 1.0)):
        euler, ddim = Euler(30, ancestral, clip=None), DDIM(30, eta, clip=None)
        torch.testing.assert_close(run(euler, denoiser, x_T), run(ddim, denoiser, x_T), rtol=1e-9, atol=1e-9)
    one, other = DPMSolver(30, order=1), DDIM(30, clip=None)
    torch.testing.assert_close(run(one, denoiser, x_T), run(other, denoiser, x_T), rtol=1e-9, atol=1e-9)


def edm_algorithm_2(denoiser, schedule, x, sigmas, zs, churn, low=0.0, high=math.inf, s_noise=1.0):
    """Karras et al.'s lines, with D(x; σ) alone and any σ; they end at σ = 0. Churn 0 is algorithm 1."""

    def D(x, sigma):
        return denoiser.predict(x, schedule.time_at(sigma)).x0

    for i, (now, following) in enumerate(pairwise([*sigmas, 0.0])):
        gamma = min(churn / len(sigmas), math.sqrt(2) - 1) if low <= now <= high else 0.0
        raised = now + gamma * now
        x = x + math.sqrt(raised**2 - now**2) * s_noise * zs[i]
        d = (x - D(x, raised)) / raised
        proposal = x + (following - raised) * d
        if following:
            again = (proposal - D(proposal, following)) / following
            proposal = x + (following - raised) * (d + again) / 2
        x = proposal
    return x


@pytest.mark.parametrize("churn", [0.0, 40.0])
@pytest.mark.parametrize(
    "schedule",
    [schedules.karras(2), schedules.karras(50), schedules.geometric(1000, 0.002, 80.0)],
    ids=["2", "50", "geo"],
)
def test_churn_is_edms_algorithm_2(schedule, churn):
    """At σ of EDM's own, between the levels of the schedule and, with churn, above the last."""
    n = 18
    denoiser = oracle.Mixture(schedule, torch.tensor([[-0.5], [0.5]], dtype=F64), torch.tensor([0.1, 0.2], dtype=F64))
    i = torch.arange(n, dtype=F64)
    sigmas = ((80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7).tolist()
    x_T, zs = 80 * torch.randn(5, 1, dtype=F64), torch.randn(n, 5, 1, dtype=F64)
    for options in ({}, {"low": 0.05, "high": 50.0, "s_noise": 1.003}):
        theirs = edm_algorithm_2(denoiser, schedule, x_T, sigmas, zs, churn, **options)
        low, high, s_noise = (
            options.get(name, value) for name, value in (("low", 0), ("high", math.inf), ("s_noise", 1))
        )
        drawn = iter(z for z, sigma in zip(zs, sigmas, strict=True) if low <= sigma <= high)
        ours = run(
            Heun(churn=churn, churn_min=low, churn_max=high, churn_noise=s_noise),
            denoiser,
            x_T,
            times=[*(schedule.time_at(sigma) for sigma in sigmas), 0],
            noise=lambda _, drawn=drawn: next(drawn),
        )
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_churn_of_few_times_adds_noise_between_the_integers():
    """T = 50 and churn 1: no level of the schedule is near (1 + γ) σ, so earlier versions added no noise."""
    schedule = schedules.karras(50)
    denoiser, x_T = oracle.Gaussian(schedule, 0.2, 0.5), 80 * torch.ones(1, 1, dtype=F64)
    steps = list(Heun(50, churn=1.0).trajectory(denoiser, x_T))
    gamma = min(1.0 / 50, math.sqrt(2) - 1)
    assert len(steps) == 51
    for t, step in zip(range(50, 0, -1), steps, strict=False):
        a, b = schedule.at(step.t)
        assert b / a == pytest.approx((1 + gamma) * schedule.noise[t].item(), rel=1e-12)


def test_churn_stays_within_a_schedule_that_ends():
    schedule = schedules.cosine(50)
    steps = list(Heun(50, churn=10.0).trajectory(oracle.Gaussian(schedule, 0.2, 0.5), torch.ones(1, 1, dtype=F64)))
    assert steps[0].t == 50
    assert all(t < step.t <= 50 for t, step in zip(range(49, 0, -1), steps[1:], strict=False))


def test_noise_of_a_second_visit_is_its_own():
    """A caller who goes back up to t and comes down again: same time, other noise. The first visit is the default."""
    schedule = schedules.linear(10)
    denoiser, x = oracle.Gaussian(schedule, 0.0, 0.5), torch.randn(3, 2, dtype=F64)

    def down(**options):
        return DDPM(clip=None).sample(denoiser, x, times=[8, 5], seed=4, **options)

    again = [down(visit=visit) for visit in (0, 1, 2)]
    assert torch.equal(down(), again[0])
    assert torch.equal(down(visit=1), again[1])
    assert all((one - other).abs().min() > 0 for one, other in pairwise(again))
    one = DDPM(clip=None).sample(denoiser, x[1:2], times=[8, 5], seed=4, visit=2, indices=[1])
    torch.testing.assert_close(one, again[2][1:2], rtol=1e-12, atol=1e-12)
    with pytest.raises(InputError, match="visit is a whole number"):
        down(visit=-1)


@pytest.mark.parametrize("sampler", [DDPM(clip=None), UniPC()], ids=["noise", "multistep"])
def test_times_that_rise_are_calls_one_after_another(sampler):
    """q(x_8 | x_5) between two calls, the second with the second visit's noise, and no state of the first."""
    schedule = schedules.linear(10)
    denoiser, x = oracle.Gaussian(schedule, 0.0, 0.5), torch.randn(3, 2, dtype=F64)
    steps = list(sampler.trajectory(denoiser, x, times=[8, 6, 5, 8, 6, 5, 0], seed=4, indices=[3, 1, 2]))
    first = sampler.sample(denoiser, x, times=[8, 6, 5], seed=4, indices=[3, 1, 2])
    z = randomness.normal((2,), 4, Stream.REVERSE, 5, [3, 1, 2]).double()
    risen = schedule.forward(first, 8, 5).sample(z)
    assert [step.t for step in steps] == [8, 6, 5, 8, 6, 5, 0]
    assert torch.equal(steps[2].x, first)
    assert torch.equal(steps[2].x0, steps[1].x0)  # no evaluation
    assert torch.equal(steps[3].x, risen)
    second = sampler.trajectory(denoiser, risen, times=[8, 6, 5, 0], seed=4, indices=[3, 1, 2], visit=1)
    assert all(torch.equal(one.x, other.x) for one, other in zip(steps[3:], second, strict=True))
    noised = list(sampler.trajectory(denoiser, x, times=[0, 5], seed=4))
    torch.testing.assert_close(
        noised[1].x, schedule.add_noise(x, 5, randomness.normal((2,), 4, Stream.REVERSE, 0, range(3)))
    )
    assert torch.equal(noised[0].x0, x)


def test_noise_between_the_integers_is_its_own():
    schedule = schedules.linear(10)
    denoiser, x = oracle.Gaussian(schedule, 0.0, 0.5), torch.zeros(2, 2, dtype=F64)
    drawn = [DDPM(clip=None).sample(denoiser, x, times=[t, 1], seed=1) for t in (8, 8.0, 8.25, 8.5)]
    assert torch.equal(drawn[0], drawn[1])  # a float without a fraction is the integer
    assert all((one - other).abs().min() > 1e-3 for one, other in pairwise(drawn[1:]))


@pytest.mark.parametrize("schedule", [schedules.linear(100), schedules.karras(100), schedules.flow(100)])
@pytest.mark.parametrize(
    "sampler", ["ddpm", "ddim:eta=0.5", "dpm", "dpm-sde", "unipc", "heun", "euler", "pc", "consistency"]
)
def test_every_sampler_takes_float_times(schedule, sampler):
    """With an oracle, a small shift of the times is a small shift of the sample: nothing is rounded to an integer."""
    denoiser, x_T = oracle.Gaussian(schedule, 0.2, 0.3), schedule.prior_std * torch.ones(2, 2, dtype=F64)
    made, z = replace(samplers.from_name(sampler), clip=None), torch.ones(2, 2, dtype=F64)
    one, other = (
        made.sample(denoiser, x_T, times=[100, 60.25 + d, 20.75 + d, 0.5 + d, 0], noise=lambda _: z) for d in (0, 1e-4)
    )
    assert 0 < (one - other).abs().max() < 1e-2


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["cosine", *(pytest.param(n, marks=pytest.mark.slow) for n in ("karras", "zero_terminal"))]
)
def test_the_adaptive_solver_keeps_its_tolerance(name):
    """Compared with the exact flow at t = 1; each image has steps of its own, so the batch does not matter."""
    schedule = orders.SCHEDULES[name](100)
    denoiser, x_T = oracle.Mixture(schedule, orders.MEANS, orders.STDS), orders.start(schedule, 6)
    truth = orders.exact(schedule, 100, 1, x_T, steps=150)
    for rtol in (1e-3, 1e-5):
        found = Heun(rtol=rtol).sample(denoiser, x_T, times=[100, 1])
        assert (found - truth).abs().max() < 100 * rtol
    alone = Heun(rtol=1e-5).sample(denoiser, x_T[4:5], times=[100, 1])
    torch.testing.assert_close(alone, found[4:5], rtol=0, atol=1e-9)
    assert Heun(rtol=1e-3).times(schedule) == [100, 1, 0]
    assert 12 < Heun(rtol=1e-4).nfe(schedule) < Heun(rtol=1e-7).nfe(schedule) < 300
    for options in ({"steps": 10}, {"churn": 1.0}):
        with pytest.raises(InputError, match="leave steps and churn out"):
            Heun(rtol=1e-3, **options)


def test_a_sampler_that_differentiates_evaluates_once():
    """Diffusion posterior sampling's step, for y = x_0[0]: its gradient is that of the loop's own prediction."""
    schedule = schedules.linear(20)

    class Counted(oracle.Gaussian):
        calls = 0

        def predict(self, x_t, t, **condition):
            Counted.calls += 1
            return super().predict(x_t, t, **condition)

    @dataclass(frozen=True)
    class Posterior(DDIM):
        differentiates = True

        def advance(self, x, prediction, move, state):
            loss = ((prediction.x0[:, 0] - 0.7) ** 2).sum()
            (gradient,) = torch.autograd.grad(loss, x)
            x, state = super().advance(x, prediction, move, state)
            return x - 0.5 * gradient, state

    x_T = torch.randn(3, 2, dtype=F64)
    counted = Counted(schedule, 0.0, 0.5)
    found = Posterior(20, clip=None).sample(counted, x_T)
    assert Counted.calls == 20
    assert not found.requires_grad
    expected = x_T  # by the closed form: dx̂_0/dx is the gain
    for t in range(20, 0, -1):
        a, b = schedule.at(t)
        gain = a * 0.25 / (a**2 * 0.25 + b**2)
        pull = torch.tensor([1.0, 0.0]) * (gain * expected - 0.7) * 2 * gain
        expected = DDIM(clip=None).sample(oracle.Gaussian(schedule, 0.0, 0.5), expected, times=[t, t - 1]) - 0.5 * pull
    torch.testing.assert_close(found, expected)


def test_a_denoiser_may_depend_on_the_step():
    """The loop passes the images' indices and the time after the step to a denoiser that has `for_move`."""
    schedule, seen = schedules.linear(10), []

    class Watching(oracle.Gaussian):
        def for_move(self, move):
            seen.append((move.t, move.s, list(move.indices)))
            return self

    inside = guidance.ClassifierFree(Watching(schedule, 0.0, 1.0), 1.0)
    x = torch.zeros(2, 2)
    DDIM(2).sample(inside, x, indices=[7, 9], labels=torch.tensor([0, 1]))
    assert seen == [(10, 5, [7, 9]), (5, 0, [7, 9])]


def test_a_forgotten_dataclass_and_a_wrong_return_get_one_line():
    class Forgotten(Sampler):
        steps: int | None = 5
        strength: float = 1.0

        def advance(self, x, prediction, move, state):
            return x, state

    with pytest.raises(InputError, match="Forgotten needs @dataclass"):
        Forgotten()
    with pytest.raises(InputError, match="Forgotten needs @dataclass"):
        Forgotten(steps=3)

    class Plain(Sampler):
        steps = 5

        def advance(self, x, prediction, move, state):
            return x, state

    assert Plain().steps == 5
    with pytest.raises(InputError, match="Plain needs @dataclass"):  # the argument would be lost
        Plain(steps=3)
    denoiser, x = oracle.Gaussian(schedules.linear(5), 0.0, 1.0), torch.zeros(2, 3)
    for answer in (x, (x,), (x, None, 1), (x[:1], None), None, (x.double(), None), (x.numpy(), None)):

        @dataclass(frozen=True)
        class Wrong(Sampler):
            def advance(self, x, prediction, move, state, answer=answer):
                return answer

        with pytest.raises(InputError, match=r"advance of Wrong must return \(x, state\)"):
            Wrong().sample(denoiser, x)


@pytest.mark.parametrize("top", [1.0, 1.09, 1.35, 1.5])
def test_ancestral_euler_takes_no_root_of_a_rounding_error(top):
    """On a custom schedule that ends without signal b_s² − β̃ is 0, or −1e-17 by rounding."""
    u = torch.arange(11, dtype=F64) / 10
    schedule = schedules.Schedule(1 - u, top * u, prior_std=top)
    denoiser, x_T = oracle.Gaussian(schedule, 0.3, 0.5), top * torch.randn(4, 3, dtype=F64)
    euler, ddim = Euler(None, ancestral=True, clip=None), DDIM(None, eta=1.0, clip=None)
    torch.testing.assert_close(run(euler, denoiser, x_T), run(ddim, denoiser, x_T), rtol=1e-7, atol=1e-7)


def test_langevin_is_ncsns_algorithm():
    """Song and Ermon's x ← x + α/2 s + √α z with α = ε σ²/σ_L², each z its own, and x̂_0 at the end."""
    schedule = schedules.geometric(5, 0.1, 2.0)
    denoiser = oracle.Gaussian(schedule, 0.2, 0.5)
    zs = [torch.randn(4, 2, dtype=F64) for _ in range(15)]
    x_T = x = torch.randn(4, 2, dtype=F64)
    source = iter(zs)
    for t in range(5, 0, -1):
        sigma = schedule.noise[t]
        alpha = 0.002 * sigma**2 / 0.1**2
        for _ in range(3):
            score = -(x - 0.2) / (0.25 + sigma**2)
            x = x + alpha / 2 * score + alpha.sqrt() * next(source)
    again = iter(zs)
    found = run(Langevin(3, 0.002), denoiser, x_T, noise=lambda _: next(again))
    torch.testing.assert_close(found, denoiser.predict(x, 1).x0, rtol=1e-9, atol=1e-9)
    wild = Langevin(50, 1.0)  # a step of 100 σ² if nothing held it
    assert run(wild, denoiser, x_T).abs().max() < 3
    seeded = run(Langevin(3, 0.002), denoiser, x_T)
    assert not torch.equal(seeded, run(Langevin(3, 0.002), denoiser, x_T, seed=1))


def test_each_noise_of_a_step_is_its_own():
    drawn = []

    class Spy(Langevin):
        def advance(self, x, prediction, move, state):
            drawn.extend(move.z(number) for number in range(3))
            return super().advance(x, prediction, move, state)

    run(Spy(1, 0.01, steps=2), x_T=torch.zeros(5, 4, dtype=F64))
    assert len({tuple(z.flatten().tolist()) for z in drawn}) == 6


@pytest.mark.slow
def test_the_corrector_leaves_the_right_distribution_nearly_alone():
    """Corrections at a level whose distribution x has: its variance moves by snr² b²/V at most (its step is finite)."""
    few, many = (PredictorCorrector(steps=100, corrections=n, snr=0.05, clip=None) for n in (1, 20))
    x_T = prior(LINEAR, (1,), 0, range(40_000)).double()
    for sampler in (few, many):
        samples = run(sampler, oracle.Gaussian(LINEAR, 0.3, 0.5), x_T)
        assert samples.mean().item() == pytest.approx(0.3, abs=0.01)
        assert samples.std().item() == pytest.approx(0.5, abs=0.015)


def test_what_the_corrector_takes_for_the_ratio_of_norms():
    """‖z‖/‖score‖ over b: 1 while the noise dominates and for a finite data set, √(a²/4 + b²)/b for N(0, ½²)."""
    data = 0.5 * torch.randn(300, 784, dtype=F64)
    z = torch.randn(100, 784, dtype=F64)
    for t, expected in ((1000, 1.0), (500, 1.01), (300, 1.08), (1, 50.0)):
        b, x = LINEAR.at(t)[1], LINEAR.add_noise(data[:100], t, torch.randn(100, 784, dtype=F64))
        dense, finite = (
            (z.norm(dim=1).mean() / (denoiser.predict(x, t).eps / b).norm(dim=1).mean() / b).item()
            for denoiser in (oracle.Gaussian(LINEAR, 0.0, 0.5), oracle.Empirical(LINEAR, data))
        )
        assert dense == pytest.approx(expected, rel=0.01)
        assert finite == pytest.approx(1.0, rel=0.02)
    assert 0.98 <= (1 - LINEAR.beta[1:]).min() < 0.9801


def test_a_correction_is_a_langevin_step_of_the_authors_size():
    """Song et al.'s x ← x + ε s + √(2ε) z with ε = 2 (snr · b)², each from a state and with a z of its own."""
    schedule = schedules.cosine(20)
    denoiser, x_T, b = oracle.Gaussian(schedule, 0.3, 0.5), torch.randn(4, 3, dtype=F64), schedule.at(12)[1]
    zs = torch.randn(3, 4, 3, dtype=F64)
    x = run(DDPM(clip=None), denoiser, x_T, times=[20, 12], noise=lambda _: zs[0])
    size = 2 * (0.2 * b) ** 2
    for z in zs[1:]:
        x = x - size * denoiser.predict(x, 12).eps / b + math.sqrt(2 * size) * z
    draws = iter(zs)
    corrected = PredictorCorrector(corrections=2, snr=0.2, clip=None)
    found = run(corrected, denoiser, x_T, times=[20, 12], noise=lambda _: next(draws))
    torch.testing.assert_close(found, x, rtol=1e-12, atol=1e-12)


def test_a_learned_variance_is_drawn_with():
    """The variance_fraction of all ones is the large variance, of all zeros the small one."""

    class Blended:
        schedule = LINEAR

        def __init__(self, variance_fraction):
            self.variance_fraction, self.oracle = variance_fraction, oracle.Gaussian(LINEAR, 0.3, 0.5)

        def predict(self, x_t, t):
            x0, eps = self.oracle.predict(x_t, t)
            return Prediction(x0, eps, torch.full_like(x_t, self.variance_fraction))

    x_T = torch.randn(4, 3, dtype=F64)
    for clip in (None, 1.0):
        for variance_fraction, variance in ((1.0, "large"), (0.0, "small")):
            learned = run(DDPM("learned", 50, clip), Blended(variance_fraction), x_T)
            torch.testing.assert_close(learned, run(DDPM(variance, 50, clip), Blended(variance_fraction), x_T))


@pytest.mark.parametrize(
    ("sampler", "passes"),
    [
        (samplers.DDPM(steps=7), 7),
        (samplers.DDIM(steps=7), 7),
        (samplers.Heun(steps=7), 13),  # two a step, but one at the last
        (samplers.Langevin(steps=7, steps_per_level=3), 22),  # and one to take away the noise that is left
    ],
    ids=lambda value: type(value).__name__,
)
def test_passes_are_counted(monkeypatch, sampler, passes):
    denoiser, calls = oracle.Gaussian(schedules.geometric(100, 0.1, 2.0), 0.0, 1.0), []
    predict = denoiser.predict
    monkeypatch.setattr(denoiser, "predict", lambda x_t, t: calls.append(t) or predict(x_t, t))
    sampler.sample(denoiser, torch.randn(3, 2))
    assert len(calls) == sampler.nfe(denoiser.schedule) == passes


def test_nfe_is_that_of_a_samplers_own_times():
    class Two(DDIM):
        def times(self, schedule):
            return [schedule.steps, schedule.steps // 2, 0]

    assert Two(steps=50).nfe(schedules.linear()) == 2


def test_the_default_number_of_steps_is_at_most_max_steps():
    assert samplers.from_name("heun", max_steps=10) == samplers.from_name("heun:steps=10")
    assert samplers.from_name("heun", max_steps=100) == samplers.from_name("heun")
    assert samplers.from_name("ddpm", max_steps=10).steps is None  # all there are
    assert samplers.from_name("heun:steps=50", max_steps=10).steps == 50  # refused when its times are computed
    assert samplers.from_name("heun", max_steps=10, steps=50).steps == 50


# -- the loop over batches --------------------------------------------------------------------------------------------


def recorded(indices, batch_size, **options):
    """Samples of these indices, the steps that were yielded, and the recording."""
    denoiser, sampler = oracle.Gaussian(LINEAR, 0.2, 0.5), DDPM(steps=6)

    def trajectory(batch):
        return sampler.trajectory(denoiser, prior(LINEAR, (3,), 7, batch), seed=7, indices=batch)

    loop, yielded = samplers.record(trajectory, indices, batch_size, **options), []
    while True:
        try:
            yielded.append(next(loop))
        except StopIteration as end:
            return yielded, end.value


def test_samples_and_kept_states_do_not_depend_on_the_batch_size():
    yielded, whole = recorded(range(5), 5, keep=(0, 3, 6))
    _, parts = recorded(range(5), 2, keep=(0, 3, 6))
    assert [(list(batch), step.index) for batch, step in yielded] == [([0, 1, 2, 3, 4], index) for index in range(7)]
    assert [(step.index, step.t) for step in whole.states] == [(0, 1000), (3, 500), (6, 0)]
    assert torch.equal(whole.samples, parts.samples)
    assert torch.equal(whole.states[-1].x, whole.samples)
    for one, other in zip(whole.states, parts.states, strict=True):
        assert (one.index, one.t) == (other.index, other.t)
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.x0, other.x0)
    for kept, (_, step) in zip(whole.states, yielded[::3], strict=True):
        assert torch.equal(kept.x, step.x)


def test_a_recording_keeps_the_states_of_the_first_images_alone():
    _, whole = recorded([4, 9, 2, 0, 1], 2, keep=(3,))
    _, few = recorded([4, 9, 2, 0, 1], 2, keep=(3, 99), followed=3)
    assert torch.equal(few.samples, whole.samples)
    assert len(few.states) == 1  # there is no state 99
    assert torch.equal(few.states[0].x, whole.states[0].x[:3])
    assert recorded([4, 9], 2, keep=(3,), followed=0)[1].states == []
    assert recorded([4, 9], 2)[1].states == []


def test_a_recording_holds_what_its_caller_converts_to():
    _, made = recorded(range(3), 2, convert=lambda x: (x * 100).to(torch.int16), keep=(1,))
    assert made.samples.dtype == made.states[0].x.dtype == made.states[0].x0.dtype == torch.int16
