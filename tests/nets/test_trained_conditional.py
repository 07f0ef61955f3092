"""A trained network against a joint Gaussian (x, c), whose conditional and marginal distributions are known."""

import pytest
import torch

from ancestral import nets, samplers, schedules, targets
from ancestral.conditions import Vector
from ancestral.diffusion import Diffusion
from ancestral.training.distributed import Distributed
from ancestral.training.optimiser import make_optimiser

SLOPE, STD = 0.4, 0.3
"""x = SLOPE c + STD ε with c of variance 1, so x has a standard deviation of 0.5."""
STEPS, BATCH, LR = 1500, 4096, 2e-2
KIND = Vector((0.0,), (1.0,))
SCHEDULE = schedules.karras(100, 0.02, 80.0)  # samples begin with the mean of x off by STD/80 of it alone


@pytest.fixture(scope="module")
def trained():
    """An MLP that was trained on fresh items, in three of ten without their c: 30 s."""
    torch.manual_seed(0)
    diffusion = Diffusion(nets.MLP(1, 32, 1, conditions={"c": KIND}), SCHEDULE, targets.EDM)
    optimiser = make_optimiser(diffusion.net, "muon", Distributed(torch.device("cpu")))
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=STEPS, pct_start=0.1, cycle_momentum=False)
    generator = torch.Generator().manual_seed(1)
    for step in range(STEPS):
        c, eps = torch.randn(2, BATCH, 1, generator=generator)
        value = KIND.drop(KIND.encode(c), torch.rand(BATCH, generator=generator) < 0.3)
        loss = diffusion.loss(SLOPE * c + STD * eps, step=step, c=value).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return diffusion.eval()


@pytest.mark.long
@pytest.mark.parametrize("c", [-1.5, 0.0, 1.0, None])
def test_the_mean_and_the_variance_of_samples_are_within_two_percent(trained, c):
    """Without c they are those of the marginal distribution.

    x_T is at quantiles of its Gaussian, which the deterministic sampler maps to quantiles of the samples, so there is
    no error of a finite number of samples.
    """
    count = 400
    z = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)[:, None]
    x_T = (SCHEDULE.prior_std * z / z.std(correction=0)).float()
    value = KIND.absent(count) if c is None else KIND.encode(torch.full((count, 1), c))
    sampler = samplers.from_name("dpm:steps=50,clip=none", max_steps=SCHEDULE.steps)
    with torch.no_grad():
        x = sampler.sample(trained, x_T, seed=0, c=value).double()
    mean, variance = (0.0, STD**2 + SLOPE**2) if c is None else (SLOPE * c, STD**2)
    assert abs(x.mean() - mean) <= 0.02 * variance**0.5
    assert abs(x.var(correction=0) / variance - 1) <= 0.02
