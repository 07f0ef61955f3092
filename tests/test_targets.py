"""The second row of the matrix: every target round trips, at every time, through the one solve."""

import pytest
import torch

from ancestral import schedules, targets
from ancestral.errors import InputError


@pytest.mark.parametrize("target", targets.BY_NAME.values(), ids=lambda target: target.name)
@pytest.mark.parametrize("schedule", [schedules.linear(), schedules.cosine()], ids=["linear", "cosine"])
@pytest.mark.parametrize("t", [1, 2, 500, 999, 1000, torch.tensor([1, 500, 1000])], ids=str)
def test_solve_undoes_the_matrix(target, schedule, t):
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 3, 1, 4, 4, generator=generator, dtype=torch.float64)
    a, b = schedule.at(t)
    solved = target.solve(schedule.add_noise(x0, t, eps), target.of(x0, eps, a, b), a, b)
    # the smallest scale divides the rounding: a_T of eps, b_1 of x0
    torch.testing.assert_close(solved.x0, x0, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(solved.eps, eps, rtol=1e-9, atol=1e-10)


def test_the_rows_of_the_table():
    x0, eps, (a, b) = torch.tensor([2.0]), torch.tensor([3.0]), (0.8, 0.6)
    assert targets.EPS.of(x0, eps, a, b).item() == 3
    assert targets.X0.of(x0, eps, a, b).item() == 2
    assert targets.V.of(x0, eps, a, b).item() == pytest.approx(0.8 * 3 - 0.6 * 2)


def test_v_solves_as_salimans_and_ho_write_it():
    """x̂_0 = a x_t − b v for a² + b² = 1."""
    x_t, v, (a, b) = torch.tensor([0.3]), torch.tensor([-1.2]), (0.8, 0.6)
    assert targets.V.solve(x_t, v, a, b).x0.item() == pytest.approx(a * 0.3 + b * 1.2)


def test_unknown_target_is_refused():
    with pytest.raises(InputError, match="eps, x0, v"):
        targets.from_name("epsilon")
