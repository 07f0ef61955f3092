"""Interpolation of states, and trajectories that begin in the middle."""

import math

import pytest
import torch

from ancestral import oracle, samplers, schedules
from ancestral.base.errors import InputError
from ancestral.samplers import DDIM, DDPM, Heun, slerp

F64 = torch.float64


def states(seed=0, dtype=torch.float32):
    return torch.randn(5, 1, 6, 7, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def test_slerp_of_noise_has_its_length_and_even_angles():
    x, y = (states(seed, F64) for seed in (0, 1))
    y = y * (x.flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1))[:, None, None, None]
    path = torch.stack([slerp(x, y, k / 10).flatten(1) for k in range(11)])
    torch.testing.assert_close(path.norm(dim=2), path[:1].norm(dim=2).expand(11, -1))
    chords = (path[1:] - path[:-1]).norm(dim=2)
    torch.testing.assert_close(chords, chords[:1].expand(10, -1))
    corner = slerp(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 1 / 3)  # lengths differ
    torch.testing.assert_close(corner, torch.tensor([[2 * math.cos(math.pi / 6), math.sin(math.pi / 6)]]))


def test_slerp_ends_at_its_states_bit_for_bit():
    x, y = states(0), states(1)
    assert torch.equal(slerp(x, y, 0), x)
    assert torch.equal(slerp(x, y, 1.0), y)
    weights = torch.tensor([0, 0.25, 0.5, 1, 0.75])
    mixed = slerp(x, y, weights)
    assert torch.equal(mixed[0], x[0])
    assert torch.equal(mixed[3], y[3])
    assert torch.equal(mixed[1], slerp(x, y, 0.25)[1])


@pytest.mark.parametrize("scale", [1.0, 3.0, 1 + 1e-7, 0.0])
def test_slerp_of_parallel_states_is_linear(scale):
    x = states(0)
    torch.testing.assert_close(slerp(x, scale * x, 0.3), torch.lerp(x, scale * x, 0.3))


def test_slerp_of_opposite_states_is_half_a_circle():
    for x in (states(0, F64), states(0, F64).flatten(1)[:, :5]):
        path = torch.stack([slerp(x, -3 * x, k / 12).flatten(1) for k in range(13)])
        lengths = x.flatten(1).norm(dim=1) * torch.linspace(1, 3, 13, dtype=F64)[:, None]
        torch.testing.assert_close(path.norm(dim=2), lengths)
        angles = torch.nn.functional.cosine_similarity(path, path[:1], dim=2).clamp(-1, 1).acos()
        torch.testing.assert_close(
            angles, torch.linspace(0, math.pi, 13, dtype=F64)[:, None].expand(-1, 5), atol=1e-7, rtol=0
        )
    assert slerp(torch.ones(1, 1), -torch.ones(1, 1), 0.25).item() == 0.5  # a line has no circle


def test_states_and_weights_that_do_not_fit_are_refused():
    x = states(0)
    with pytest.raises(InputError, match="floats of one shape"):
        slerp(x, x[:1], 0.5)
    with pytest.raises(InputError, match="floats of one shape"):
        slerp(x, x.double(), 0.5)
    with pytest.raises(InputError, match="weights are from 0 to 1"):
        slerp(x, x, 1.5)
    with pytest.raises(InputError, match="5 items need one weight or 5, not 2"):
        slerp(x, x, torch.tensor([0.5, 0.5]))


def test_a_trajectory_from_the_middle_visits_the_own_times_below():
    schedule = schedules.cosine(100)
    assert samplers.times_from(DDIM(10), schedule, 50) == [50, 40, 30, 20, 10, 0]
    assert samplers.times_from(DDIM(10), schedule, 45.5) == [45.5, 40, 30, 20, 10, 0]
    assert samplers.times_from(DDIM(10), schedule, 3) == [3, 0]
    assert samplers.times_from(DDIM(10), schedule, 100) == DDIM(10).times(schedule)
    for t in (0, 101, torch.tensor([3, 4])):
        with pytest.raises(InputError):
            samplers.times_from(DDIM(10), schedule, t)


def test_strength_is_a_share_of_T():
    schedule = schedules.cosine(1000)
    assert [samplers.time_at_strength(schedule, share) for share in (1, 0.5, 1e-9)] == [1000, 500, 1]
    for strength in (0, 1.1, -1, math.nan):
        with pytest.raises(InputError, match="strength must be above 0"):
            samplers.time_at_strength(schedule, strength)


@pytest.mark.parametrize("sampler", [DDPM("small", clip=None), Heun(100)], ids=["DDPM", "Heun"])
def test_variations_have_the_distribution_of_noise_and_data(sampler):
    """Noise to time t and back: for Gaussian data, x_0 given x_t is drawn, so x' = E[x_0 | x_t] + noise, of correlation
    ρ = a² s²/(a² s² + b²) with x_0 for a sampler with noise, and √ρ for one without.
    """
    schedule, std, t, count = schedules.cosine(300), 0.5, 120, 6_000
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(count, 1, dtype=F64, generator=generator) for _ in range(2))
    x0 = std * x0
    times = samplers.times_from(sampler, schedule, t)
    varied = sampler.sample(oracle.Gaussian(schedule, 0.0, std), schedule.add_noise(x0, t, eps), times)
    a, b = schedule.at(t)
    rho = a**2 * std**2 / (a**2 * std**2 + b**2)
    found = torch.corrcoef(torch.cat([x0, varied], 1).T)[0, 1].item()
    assert found == pytest.approx(rho if isinstance(sampler, DDPM) else rho**0.5, abs=0.03)
    assert varied.std().item() == pytest.approx(std, rel=0.03)
