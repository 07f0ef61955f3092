"""The second row of the matrix: every target round trips, at every time, through the one solve."""

import pytest
import torch

from ancestral import schedules, targets
from ancestral.base.errors import InputError

SCHEDULES = {
    "linear": schedules.linear(),
    "cosine": schedules.cosine(),
    "sigmoid": schedules.sigmoid(),
    "geometric": schedules.geometric(),
    "karras": schedules.karras(),
    "flow": schedules.flow(),
    "zero_terminal": schedules.zero_terminal(schedules.linear()),
}


@pytest.mark.parametrize("target", targets.BY_NAME.values(), ids=lambda target: target.name)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("t", [1, 2, 500, 999, 1000, torch.tensor([1, 500, 1000])], ids=str)
def test_solve_undoes_the_matrix(target, schedule, t):
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 3, 1, 4, 4, generator=generator, dtype=torch.float64)
    a, b = schedule.at(t)
    x_t, output = schedule.add_noise(x0, t, eps), target.from_x0_eps(x0, eps, a, b)
    if target.name in ("eps", "score") and bool((torch.as_tensor(a) == 0).any()):
        with pytest.raises(InputError, match="says nothing where signal is"):
            target.solve(x_t, output, a, b)
        return
    solved = target.solve(x_t, output, a, b)
    # the smallest scale divides the rounding, a_T of eps and b_1 of x0; the largest, σ_T, multiplies it
    torch.testing.assert_close(solved.x0, x0, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(solved.eps, eps, rtol=1e-8, atol=1e-9)


def test_edms_f_for_data_of_deviation_one_is_minus_v(monkeypatch):
    monkeypatch.setattr(targets, "SIGMA_DATA", 1.0)
    for a, b in ((0.8, 0.6), (0.0, 1.0), (1.0, 0.0)):
        x0, eps = torch.randn(2, 5, dtype=torch.float64)
        torch.testing.assert_close(targets.EDM.from_x0_eps(x0, eps, a, b), -targets.V.from_x0_eps(x0, eps, a, b))


@pytest.mark.parametrize("sigma", [0.002, 0.5, 80.0])
def test_edms_f_is_what_karras_et_al_write(sigma):
    """Their (7): D = c_skip x + c_out F, with a = 1."""
    x0, eps = torch.randn(2, 5, dtype=torch.float64)
    x, norm = x0 + sigma * eps, sigma**2 + 0.25
    F = targets.EDM.from_x0_eps(x0, eps, 1.0, sigma)
    torch.testing.assert_close(0.25 / norm * x + sigma * 0.5 / norm**0.5 * F, x0, rtol=1e-9, atol=1e-10)
    assert targets.EDM.from_x0_eps(x0, 0 * eps, 1.0, sigma).abs().max() < 2 * x0.abs().max()  # of order 1 at any σ


def test_a_prediction_unpacks_as_a_pair():
    x0, eps = targets.Prediction(torch.zeros(1), torch.ones(1), torch.ones(1))
    assert (x0.item(), eps.item()) == (0, 1)


@pytest.mark.parametrize("sigma", [1e-4, 0.01, 0.1, 1.0, 80.0])
def test_skip_is_a_consistency_models_parametrisation(sigma):
    """x̂_0 = c x_t/a + (1 − c) F: x_t/a without noise, the answer F with much, whatever the scale a."""
    x_t, F, a = torch.tensor([0.3]), torch.tensor([-1.2]), 0.8
    c = targets.SKIP_SIGMA**2 / (targets.SKIP_SIGMA**2 + sigma**2)
    x0 = targets.SKIP.solve(x_t, F, a, a * sigma).x0.item()
    assert x0 == pytest.approx(c * 0.3 / a + (1 - c) * -1.2, rel=1e-5)
    assert targets.SKIP.solve(x_t, F, 0.0, 1.0).x0.item() == F.item()


def test_unknown_target_is_refused():
    with pytest.raises(InputError, match="eps, x0, v, score, flow, edm, skip"):
        targets.from_name("epsilon")
