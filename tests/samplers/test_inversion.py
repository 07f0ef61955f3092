"""Inverses of samplers against closed forms, the flow integrated finely, and the way back."""

import pytest
import torch

from ancestral import guidance, oracle, probability_flow, samplers, schedules
from ancestral.base.errors import InputError
from ancestral.samplers import DDIM, DDPM, Consistency, DPMSolver, Euler, Heun, Langevin, UniPC
from ancestral.targets import X0

F64 = torch.float64
INVERTIBLE = [DDIM(12, clip=None), Euler(12, clip=None), Heun(12)]
SCHEDULES = {
    "cosine": schedules.cosine(100),
    "karras": schedules.karras(100),
    "flow": schedules.flow(100),
    "zero_terminal": schedules.zero_terminal(schedules.linear(100)),
}


def mixture(schedule):
    means = torch.tensor([[-0.6, 0.2], [0.5, 0.5], [0.1, -0.6]], dtype=F64)
    return oracle.Mixture(schedule, means, torch.tensor([0.15, 0.25, 0.2], dtype=F64))


def points(count=8):
    return 0.5 * torch.randn(count, 2, dtype=F64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("sampler", INVERTIBLE, ids=lambda sampler: type(sampler).__name__)
def test_the_way_back_is_exact(sampler, name):
    denoiser, x = mixture(SCHEDULES[name]), points()
    x_T = samplers.invert(denoiser, x, sampler, tolerance=1e-13)
    torch.testing.assert_close(sampler.sample(denoiser, x_T), x, rtol=0, atol=1e-9)


def test_of_gaussian_data_it_is_the_closed_form():
    """The flow keeps (x_t − a m)/√(a² s² + b²)."""
    schedule, x, mean, std = schedules.cosine(1000), points(), 0.2, torch.tensor([0.3, 1.5], dtype=F64)
    a, b = schedule.at(1000)
    exact = a * mean + (a**2 * std**2 + b**2).sqrt() * (x - mean) / std
    denoiser = oracle.Gaussian(schedule, mean, std)
    errors = [
        float((samplers.invert(denoiser, x, Heun(steps, spacing="logsnr"), tolerance=1e-10) - exact).abs().max())
        for steps in (50, 100)
    ]
    assert errors[1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.4)  # of order 2


@pytest.mark.long
def test_of_a_mixture_it_is_the_flow_integrated_finely():
    denoiser, x, sampler = mixture(schedules.cosine(1000)), points(4), Heun(rtol=1e-5)
    *_, end = probability_flow.integrate(denoiser, x, rtol=1e-5, probes=1)
    x_T = samplers.invert(denoiser, x, sampler)
    torch.testing.assert_close(x_T, end.x, rtol=0, atol=1e-3)  # the last step, from t = 1 to 0, is one of Euler
    torch.testing.assert_close(sampler.sample(denoiser, x_T), x, rtol=0, atol=1e-4)


def test_states_rise_to_an_x_T_of_the_prior():
    schedule = schedules.karras(100)
    denoiser, x, sampler = mixture(schedule), points(), Heun(30, spacing="leading")
    states = list(samplers.inverse_trajectory(denoiser, x, sampler, tolerance=1e-12))
    assert [state.t for state in states] == sampler.times(schedule)[::-1]
    assert [state.index for state in states] == [*range(31)]
    assert torch.equal(states[0].x, x)
    below = schedule.prior_deviation(states[-1].t) / schedule.prior_std
    assert below < 0.95  # the sampler begins below T, and scales x_T to that
    torch.testing.assert_close(denoiser.predict(below * states[-1].x, states[-1].t).x0, states[-1].x0)
    torch.testing.assert_close(sampler.sample(denoiser, states[-1].x), x, rtol=0, atol=1e-9)


def test_times_that_end_above_zero_begin_with_a_noisy_state():
    denoiser, x, times = mixture(SCHEDULES["cosine"]), points(), [90, 60.5, 30]
    x_90 = samplers.invert(denoiser, x, Heun(), times, tolerance=1e-13)
    torch.testing.assert_close(Heun().sample(denoiser, x_90, times), x, rtol=0, atol=1e-10)


def test_an_item_has_the_same_x_T_in_every_batch():
    denoiser, x = mixture(SCHEDULES["cosine"]), points().float()
    whole, alone = (samplers.invert(denoiser, part, DDIM(8, clip=None)) for part in (x, x[3:4]))
    torch.testing.assert_close(whole[3:4], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "sampler",
    [DDPM(), DDIM(10, eta=0.5), Euler(10, ancestral=True), Heun(10, churn=5), Consistency(4), Langevin()],
    ids=lambda sampler: type(sampler).__name__,
)
def test_samplers_with_noise_are_refused(sampler):
    with pytest.raises(InputError, match="adds noise, so it has no inverse"):
        samplers.invert(mixture(schedules.geometric(50)), points(), sampler)


@pytest.mark.parametrize("sampler", [DPMSolver(10), UniPC(10)], ids=lambda sampler: type(sampler).__name__)
def test_samplers_that_remember_are_refused(sampler):
    with pytest.raises(InputError, match="depends on earlier steps, so it has no inverse"):
        samplers.invert(mixture(SCHEDULES["cosine"]), points(), sampler)


def test_bad_input_is_refused():
    denoiser = mixture(SCHEDULES["cosine"])
    with pytest.raises(InputError, match="must be floats"):
        samplers.invert(denoiser, points().long(), Heun(10))
    with pytest.raises(InputError, match="tolerance must be above 0"):
        samplers.invert(denoiser, points(), Heun(10), tolerance=0.0)


def test_items_that_no_sample_equals_need_the_skip():
    """Data on a line: the denoiser returns its points, and others never. With the skip each item has an x_T."""
    denoiser = oracle.Gaussian(schedules.cosine(1000), 0.1, torch.tensor([0.5, 0.0], dtype=F64))
    x = points().clamp(-1, 1)
    x[:, 1] = 0.1 + 0.05 * torch.linspace(-1, 1, len(x), dtype=F64)
    with pytest.raises(InputError, match=r"no x_t at t = 1 leads to .* guidance.Skip"):
        samplers.invert(denoiser, x, Heun(20))
    skip, sampler = guidance.Skip(denoiser), Heun(20, clip=1.0)
    x_T = samplers.invert(skip, x, sampler)
    torch.testing.assert_close(sampler.sample(skip, x_T), x, rtol=0, atol=2e-4)
    assert float(x_T.abs().max()) < 4


def test_more_steps_are_advised_where_the_skip_is_there():
    """A denoiser that jumps has no inverse of a large step; what the caller does already is no advice."""

    class Jump(oracle.Gaussian):
        def predict(self, x_t, t, **condition):
            x0 = torch.where(x_t > 0, 0.9, -0.9).to(x_t)
            return X0.solve(x_t, x0, *self.schedule.at(t))

    denoiser = guidance.Skip(guidance.Clipped(Jump(schedules.cosine(1000), 0.0, 0.5)))
    with pytest.raises(InputError, match=r"no x_t at t = \d+ leads to .* away; take more than 3 steps$"):
        samplers.invert(denoiser, torch.zeros(1, 2, dtype=F64) + 0.01, Heun(3))


def test_the_skip_weights_two_estimates_by_their_variances():
    schedule, x_t = SCHEDULES["zero_terminal"], points()
    denoiser = oracle.Gaussian(schedule, 0.1, 0.5)
    for t in (0, 1, 40, 100):
        (a, b), plain, mixed = schedule.at(t), denoiser.predict(x_t, t), guidance.Skip(denoiser).predict(x_t, t)
        weights = (a**2 * 0.03**2, b**2)
        expected = (weights[0] * x_t / max(a, 1e-300) + weights[1] * plain.x0) / sum(weights)
        torch.testing.assert_close(mixed.x0, expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(schedule.add_noise(mixed.x0, t, mixed.eps), x_t, rtol=1e-10, atol=1e-10)
