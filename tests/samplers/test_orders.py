"""Samplers, schedules and targets compared with the exact solution in float64.

`python bench/orders.py` writes the whole table into docs/explanation/samplers.md. `make test-slow` checks all of it;
the fast tests have every sampler, every schedule and every target, but not every combination, with fewer steps.
"""

from dataclasses import replace

import pytest
import torch

import orders
from ancestral import Diffusion, oracle, schedules, targets
from ancestral.base.errors import InputError
from ancestral.samplers import Langevin

F64 = torch.float64
ALL = {**{name: sampler for name, (sampler, _, _) in orders.SAMPLERS.items()}, **orders.STOCHASTIC}


def table(labels, few, quick=()):
    """Combinations of a sampler and a schedule; all but those of `quick` samplers or of `few` schedules are slow."""
    return [
        pytest.param(label, name, marks=() if label in quick or name in few else pytest.mark.slow)
        for label in labels
        for name in orders.SCHEDULES
    ]


@pytest.mark.long
@pytest.mark.parametrize("name", ["linear", "flow"])
def test_the_error_falls_with_the_order_that_is_claimed(name):
    found = orders.errors(name, (150, 300), exact_steps=400)
    for label, (_, order, _) in orders.SAMPLERS.items():
        assert orders.slope(found[label]) == pytest.approx(order, abs=0.15), label


def test_the_exact_solution_is_exact():
    """For Gaussian data the flow is known: x − a m stays the same number of deviations away."""
    schedule = schedules.linear(100)
    x = torch.linspace(-2, 2, 9, dtype=F64)[:, None].repeat(1, 2)
    (a, b), (a_s, b_s) = schedule.at(100), schedule.at(10)
    mean, std = orders.MEANS[0], orders.STDS[0]
    expected = a_s * mean + (x - a * mean) * ((a_s * std) ** 2 + b_s**2).sqrt() / ((a * std) ** 2 + b**2).sqrt()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "MEANS", mean[None])
        patch.setattr(orders, "STDS", std[None])
        found = orders.exact(schedule, 100, 10, x, steps=400)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("label", "name"), table(ALL, few=("flow",), quick=("DDIM", "Heun")))
def test_every_target_gives_the_same_samples_or_is_refused(label, name):
    """The whole way from T to 0, the noise of the stochastic ones the same."""
    schedule, sampler = orders.SCHEDULES[name](10), ALL[label]
    if isinstance(sampler, Langevin):
        sampler = replace(sampler, steps_per_level=3)
    x_T, results = orders.start(schedule, 8), {}
    for target in targets.BY_NAME.values():
        denoiser = Diffusion(orders.Exact(schedule, target), schedule, target)
        if target.name in ("eps", "score") and schedule.signal[-1] == 0:
            with pytest.raises(InputError, match=f"target {target.name} says nothing where signal is 0"):
                sampler.sample(denoiser, x_T, times=range(10, -1, -1))
            continue
        results[target.name] = sampler.sample(denoiser, x_T, times=range(10, -1, -1))
    assert len(results) >= 4
    assert results["v"].isfinite().all()
    for result in results.values():
        torch.testing.assert_close(result, results["v"], rtol=1e-6, atol=1e-6)


AFFINE = [label for label in orders.STOCHASTIC if "Langevin" not in label]


@pytest.mark.long
@pytest.mark.parametrize(
    ("label", "name"),
    [
        *((label, "cosine") for label in AFFINE),
        *(("DDPM, small", name) for name in orders.SCHEDULES if name != "cosine"),
    ],
)
def test_mean_and_variance_of_stochastic_samplers_converge(label, name):
    """The error of Heun's deviation falls faster than that of the others."""
    mean, std, early = moments(label, name, *((200, 20) if label.startswith("Heun") else (300, 30)))
    assert mean == pytest.approx(orders.MEAN, abs=1e-12)
    assert std == pytest.approx(orders.STD, abs=1.7e-2)
    assert abs(std - orders.STD) < max(abs(early - orders.STD) / 5, 1e-3)


def moments(label, name, fine, coarse):
    """The mean and the deviation of samples after `fine` steps, and the deviation after `coarse` ones."""
    (mean, std), (_, early) = (orders.moments(ALL[label], orders.SCHEDULES[name](count)) for count in (fine, coarse))
    return mean, std, early


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in ("linear", "flow") else pytest.mark.slow) for n in orders.SCHEDULES]
)
def test_langevin_converges_in_its_own_steps(name):
    mean, std = zip(*(orders.langevin(name, count) for count in (3, 10, 30)), strict=True)
    assert mean[0] + std[0] > 1.2 * (mean[1] + std[1]) > 1.2**2 * (mean[2] + std[2])
    if name != "flow":  # which is the slowest: its mean moves most
        assert mean[2] + std[2] < 0.03


@pytest.mark.long
@pytest.mark.parametrize("name", ["linear", "karras"])
def test_the_orders_hold_at_float_times(name):
    """Steps shorter than the distance of two integer times, of a schedule of 20: interpolated and in closed form."""
    schedule = orders.SCHEDULES[name](20)
    x = orders.start(schedule, 8)
    truth = orders.exact(schedule, 20, 2, x, steps=200)
    for label in ("Euler", "DPM-Solver++ 2M", "Heun", "UniPC"):
        (sampler, order, _), found = orders.SAMPLERS[label], {}
        for count in (60, 120):
            times = torch.linspace(20, 2, count + 1, dtype=F64).tolist()
            denoiser = oracle.Mixture(schedule, orders.MEANS, orders.STDS)
            found[count] = (sampler.sample(denoiser, x, times=times) - truth).norm(dim=1).mean().item()
        assert orders.slope(found) == pytest.approx(order, abs=0.25), label
