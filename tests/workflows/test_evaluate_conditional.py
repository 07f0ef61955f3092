"""Evaluation of conditional models: against a joint Gaussian in closed form, and of trained models of all kinds."""

import math

import pytest
import torch
from torch import Tensor

import ancestral
from ancestral import samplers, schedules
from ancestral.conditions import Vector
from ancestral.data.spec import POINTS, DataSpec
from ancestral.model import Model
from ancestral.targets import X0, Prediction, exact_at_zero

SLOPE, STD = torch.tensor([0.18, -0.09]), 0.1
HEUN = samplers.Heun(steps=60, spacing="logsnr")


def joint(count, seed):
    """Items x = SLOPE c + STD z with c ~ N(0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    c = torch.randn(count, generator=generator)
    return c[:, None] * SLOPE + STD * torch.randn(count, 2, generator=generator), {"c": c}


class JointGaussian:
    """The exact denoiser of x given c, and of x alone where c is absent."""

    schedule = schedules.cosine(200)

    def __init__(self, uses_condition=True):
        self.uses_condition = uses_condition
        self.given: list[Tensor] = []

    @exact_at_zero
    def predict(self, x_t, t, c) -> Prediction:
        self.given.append(c)
        a, b = (scale.to(x_t).reshape(-1, 1) for scale in self.schedule.at(torch.as_tensor(t)))
        mean = c[:, :1] * SLOPE * self.uses_condition
        there = c[:, 1] * self.uses_condition
        covariance = STD**2 * torch.eye(2) + (1 - there)[:, None, None] * SLOPE[:, None] * SLOPE
        noisy = a[..., None] ** 2 * covariance + b[..., None] ** 2 * torch.eye(2)
        x0 = mean + a * (covariance @ torch.linalg.solve(noisy, (x_t - a * mean)[..., None]))[..., 0]
        return X0.solve(x_t, x0, a[:, 0], b[:, 0])


def gaussian_model(uses_condition=True):
    spec = DataSpec((2,), POINTS, conditions={"c": Vector((0.0,), (1.0,))})
    return Model(JointGaussian(uses_condition), spec)


def scores(uses_condition, **options):
    return ancestral.evaluate(
        gaussian_model(uses_condition),
        data=joint(2000, 0),
        held_out=joint(600, 1),
        sampler=HEUN,
        samples=False,
        batch_size=1000,
        **options,
    ).conditional


@pytest.fixture(scope="module")
def oracle_scores():
    return {uses: scores(uses, conditions=400, members=19) for uses in (True, False)}


def within(estimate, truth, errors=4.0):
    assert estimate.value == pytest.approx(truth, abs=errors * estimate.error)


def test_an_exact_model_has_the_closed_forms(oracle_scores):
    result = oracle_scores[True]
    by_name = {one.name: one for one in result.forecasts}
    assert list(by_name) == ["samples", "mean", "nearest", "random"]
    norm = math.sqrt(2) * math.gamma(1.5)  # E‖z‖ in the plane
    within(by_name["samples"].pixels.energy, STD * norm / 2)  # E‖X - x‖ / 2 in root mean squares
    within(by_name["samples"].pixels.distance, STD * norm)
    within(by_name["mean"].pixels.energy, STD * norm * math.sqrt(1 + 1 / 19) / math.sqrt(2))
    within(by_name["mean"].behind, STD * norm * (math.sqrt((1 + 1 / 19) / 2) - 0.5))
    within(by_name["nearest"].pixels.energy, STD * norm)
    assert by_name["samples"].pixels.energy.error < 0.05 * STD
    for channel in by_name["samples"].crps.channels:  # of a normal distribution, s / sqrt(pi)
        within(channel, STD / math.sqrt(math.pi))
    calibration = result.calibration
    assert calibration.nominal == 0.9
    within(calibration.coverage, 0.9)
    within(calibration.ratio, 1.0)
    assert calibration.ratio.error < 0.05
    assert sum(abs(share.value - 0.05) > 3 * share.error for share in calibration.ranks) <= 1
    assert result.model.sha256 is None
    assert result.data.notes == ()


def test_a_model_that_ignores_the_condition_scores_as_random_items_do(oracle_scores):
    exact, blind = oracle_scores[True], oracle_scores[False]
    samples, random = blind.forecasts[0], blind.forecasts[-1]
    assert random.pixels == exact.forecasts[-1].pixels
    assert abs(random.behind.value) < 4 * random.behind.error
    assert samples.pixels.energy.value > 1.5 * exact.forecasts[0].pixels.energy.value
    within(blind.calibration.coverage, 0.9)  # it is calibrated all the same
    within(blind.calibration.ratio, 1.0)
    assert "NO BETTER THAN RANDOM TRAINING ITEMS" in str(blind)
    assert "USES THE CONDITIONS" in str(exact)
