"""Diffusion posterior sampling: the published step, with gradients by finite differences."""

import pytest
import torch

from ancestral import oracle, samplers, schedules
from ancestral.base.errors import InputError
from ancestral.guidance import DPS, Clipped
from ancestral.operators import Blur

F64 = torch.float64
SCHEDULE = schedules.linear()
SHAPE = (1, 3, 3)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


MIXTURE = oracle.Mixture(SCHEDULE, normal(4, *SHAPE), torch.full((4,), 0.4, dtype=F64))


def misfit_gradient(denoiser, y, function, x_t, t):
    """∇‖y − A x̂_0(x_t)‖ of each item, by central differences."""
    steps = 1e-5 * torch.eye(9, dtype=F64).reshape(9, *SHAPE)
    rows = []
    for x, value in zip(x_t, y.expand(len(x_t), *y.shape[1:]), strict=True):
        up, down = (
            (value - function(denoiser.predict(x + sign * steps, t).x0)).flatten(1).norm(dim=1) for sign in (1, -1)
        )
        rows.append((up - down).reshape(SHAPE) / 2e-5)
    return torch.stack(rows)


@pytest.mark.parametrize("s", [280, 0])
@pytest.mark.parametrize("sampler", [samplers.DDPM("small", clip=None), samplers.DDIM(eta=1.0, clip=None)], ids=str)
@pytest.mark.parametrize("operator", [Blur(0.7), lambda x: x.square()[..., :2]], ids=["blur", "not linear"])
def test_an_ancestral_step_is_the_published_one(operator, sampler, s):
    function = getattr(operator, "apply", operator)
    x_t, z = normal(2, *SHAPE, seed=1), normal(2, *SHAPE, seed=2)
    y, t, zeta = function(normal(1, *SHAPE, seed=3)), 300, 0.7
    found = sampler.sample(DPS(MIXTURE, y, operator, zeta), x_t, times=[t, s], noise=lambda _: z)
    posterior = SCHEDULE.posterior(MIXTURE.predict(x_t, t).x0, x_t, t, s)
    step = posterior.mean + posterior.variance**0.5 * z
    truth = step - zeta * misfit_gradient(MIXTURE, y, function, x_t, t)
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-8)


def test_other_samplers_and_guidance_inside():
    """Outside of a sampler the shift is that of a step to 0. A clipped estimate has no gradient where it is clipped."""
    x_t, y, operator = normal(2, *SHAPE, seed=1), normal(2, *SHAPE, seed=3), Blur(0.7)
    inner = Clipped(MIXTURE, 0.5)
    prediction = DPS(inner, y, operator).predict(x_t, torch.tensor([300, 700]))
    for row, t in enumerate((300, 700)):
        one = slice(row, row + 1)
        truth = inner.predict(x_t[one], t).x0 - misfit_gradient(inner, y[one], operator.apply, x_t[one], t)
        torch.testing.assert_close(prediction.x0[one], truth, rtol=0, atol=1e-8)
        a, b = SCHEDULE.at(t)
        torch.testing.assert_close(a * prediction.x0[one] + b * prediction.eps[one], x_t[one])
    assert samplers.Heun(5, clip=None).sample(DPS(inner, y, operator, 0.1), x_t).isfinite().all()


def test_measurements_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="NaN or infinity"):
        DPS(MIXTURE, torch.full((1, *SHAPE), torch.nan), Blur(1.0))
    with pytest.raises(InputError, match=r"y is \[1, 1, 3\], and the operator makes \[2, 1, 3, 3\]"):
        DPS(MIXTURE, torch.zeros(1, 1, 3), Blur(1.0)).predict(normal(2, *SHAPE), 5)


def test_a_sampler_that_clips_is_refused_before_it_evaluates():
    """Also where DPS is wrapped."""
    x_t = normal(1, *SHAPE)
    for denoiser in (DPS(MIXTURE, x_t, Blur(0.7)), Clipped(DPS(MIXTURE, x_t, Blur(0.7)))):
        with pytest.raises(InputError, match=r"clips x̂_0 to ±1, which undoes a part of the move of DPS: give.*None"):
            samplers.DDPM().sample(denoiser, x_t)


def test_a_denoiser_without_gradients_is_refused():
    class Constant:
        schedule = SCHEDULE

        def predict(self, x_t, t):
            return MIXTURE.predict(x_t.detach(), t)

    with pytest.raises(InputError, match="x̂_0 of this Constant carries no gradient of x_t, which DPS needs"):
        DPS(Constant(), normal(1, *SHAPE), Blur(0.7)).predict(normal(1, *SHAPE), 5)
