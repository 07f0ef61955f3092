"""Lesson 21: its formulas and the references of its exercises, compared with simulations and with one another."""

import ast
import math

import pytest
import torch

import ancestral_course as course
from ancestral.metrics import ensembles, uncertainty

F64 = torch.float64
MOMENTS, STATIONARY, ROLLOUT, RATIO, BLOCKS = (exercise.reference for exercise in course.lesson_exercises(21))
TREE = ast.parse(course.lesson_file(course.find_lesson(21)).read_text(encoding="utf-8"))


def of_lesson(*names):
    """The functions and constants of the lesson with these names, executed in their order."""
    wanted = [
        node
        for node in TREE.body
        if (isinstance(node, ast.FunctionDef) and node.name in names)
        or (isinstance(node, ast.Assign) and names_of(node.targets[0]) & {*names})
    ]
    scope = {"torch": torch, "math": math, "F64": F64, "QUICK": False}
    exec(compile(ast.Module(wanted, []), "lesson 21", "exec"), scope)
    return [scope[name] for name in names]


def names_of(target):
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


_, _, A, Q, ROOT, simulate, _ = of_lesson("TURN", "DAMPING", "A", "Q", "ROOT", "simulate", "normal")
*_, mean_norm, expected_score = of_lesson("angle", "circle", "directions", "mean_norm", "expected_score")
PHI, variance_of_mean = of_lesson("PHI", "variance_of_mean")


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def members_of(C, *shape, seed):
    return normal(*shape, 2, seed=seed) @ torch.linalg.cholesky(C).T


def test_the_moments_are_those_of_simulated_states_and_become_the_climatology():
    start = torch.tensor([[2.0, -1.0]], dtype=F64)
    states = simulate(start.expand(100_000, 2), 7, seed=0)
    for lead in (1, 2, 7):
        mean, C = MOMENTS(start, A, Q, lead)
        assert torch.allclose(states[lead - 1].mean(0), mean[0], atol=0.015)
        assert torch.allclose(states[lead - 1].T.cov(), C, atol=0.02)
    mean, C = MOMENTS(start, A, Q, 300)
    P = STATIONARY(A, Q)
    assert torch.allclose(C, P)
    assert mean.abs().max() < 1e-10
    assert torch.allclose(P, A @ P @ A.T + Q)
    assert STATIONARY(A[:1, :1], Q[:1, :1]).item() == pytest.approx((Q[0, 0] / (1 - A[0, 0] ** 2)).item())


def test_the_rollout_of_exact_steps_has_the_moments_of_the_forecast():
    start, z = torch.tensor([[2.0, -1.0]], dtype=F64), normal(5, 50_000, 1, 2, seed=1)
    states = ROLLOUT(lambda previous, noise: previous @ A.T + noise @ ROOT.T, start, z)[:, :, 0]
    for lead in (1, 5):
        mean, C = MOMENTS(start, A, Q, lead)
        assert torch.allclose(states[lead - 1].mean(0), mean[0], atol=0.02)
        assert torch.allclose(states[lead - 1].T.cov(), C, atol=0.02)


def test_the_norm_of_a_normal_vector_has_its_known_means():
    assert mean_norm(torch.eye(2, dtype=F64)).item() == pytest.approx(math.sqrt(math.pi / 2))
    line = torch.diag(torch.tensor([4.0, 0.0], dtype=F64))  # one number of deviation 2: E|z| = 2 √(2/π)
    assert mean_norm(line).item() == pytest.approx(2 * math.sqrt(2 / math.pi), rel=2e-3)


@pytest.mark.parametrize("spread", [1.0, 0.5, 2.0])
def test_the_closed_form_of_the_energy_score_is_the_mean_of_scores_of_members(spread):
    D = MOMENTS(torch.zeros(1, 2, dtype=F64), A, Q, 4)[1]
    S = spread * D
    truth, members = members_of(D, 20_000, seed=2), members_of(S, 20_000, 6, seed=3)
    scores = uncertainty.mean(ensembles.energy_scores(members, truth) * math.sqrt(2))
    assert abs(scores.value - expected_score(S, D)) < 4 * scores.error
    assert expected_score(S, D) >= expected_score(D, D)  # the score is proper
    point = uncertainty.mean(ensembles.energy_scores(0 * members[:, :1], truth) * math.sqrt(2))
    assert abs(point.value - expected_score(0 * D, D)) < 4 * point.error


@pytest.mark.parametrize("lead", [1, 4, 16])
def test_the_mean_scores_the_root_of_two_times_the_exact_forecast(lead):
    C = MOMENTS(torch.zeros(1, 2, dtype=F64), A, Q, lead)[1]
    assert (expected_score(0 * C, C) / expected_score(C, C)).item() == pytest.approx(math.sqrt(2))
    two = torch.tensor([1.0, -1.0], dtype=F64)  # equally likely, and the truth is either: the factor is 2
    exact = (two[:, None] - two).abs().mean() / 2
    assert two.abs().mean() == 2 * exact


@pytest.mark.parametrize("m", [2, 3, 9])
def test_spread_over_error_is_one_for_the_ideal_forecast_with_any_number_of_members(m):
    C = STATIONARY(A, Q)
    members, truth = members_of(C, m, 40_000, seed=4), members_of(C, 40_000, seed=5)
    ratio = RATIO(members, truth).item()
    assert ratio == pytest.approx(1, abs=0.01)
    assert ratio / math.sqrt((m + 1) / m) == pytest.approx(math.sqrt(m / (m + 1)), abs=0.01)
    assert ensembles.calibration(members.transpose(0, 1), truth).ratio.value == pytest.approx(ratio)
    narrow = RATIO(members * math.sqrt(0.8), truth).item()  # as the lesson draws it: spread² (m + 1)/m over C + S/m
    assert narrow == pytest.approx(math.sqrt((m + 1) / m * 0.8 / (1 + 0.8 / m)), abs=0.01)


def autoregressive(count, length, seed):
    shocks = normal(length, count, seed=seed)
    values = [shocks[0]]
    for z in shocks[1:]:
        values.append(PHI * values[-1] + math.sqrt(1 - PHI**2) * z)
    return torch.stack(values, 1)


def test_block_errors_have_the_expectation_of_the_formula_and_cover_what_independent_ones_do_not():
    n, series = 800, autoregressive(1000, 800, seed=6)
    assert variance_of_mean(1) == 1
    assert variance_of_mean(n) == pytest.approx((1 + PHI) / (1 - PHI) / n, rel=0.01)
    assert series.mean(1).square().mean().item() == pytest.approx(variance_of_mean(n), rel=0.15)
    coverage = {}
    for length in (1, 8, 32):
        errors, count = torch.stack([BLOCKS(one, length) for one in series]), n // length
        expected = (variance_of_mean(length) - variance_of_mean(length * count)) / (count - 1)
        assert errors.square().mean().item() == pytest.approx(expected, rel=0.05)
        coverage[length] = (series.mean(1).abs() < 1.96 * errors).double().mean().item()
    independent = math.erf(1.96 * math.sqrt((1 - PHI) / (1 + PHI)) / math.sqrt(2))
    assert coverage[1] == pytest.approx(independent, abs=0.05)
    assert coverage[1] < 0.55 < 0.75 < coverage[8] < coverage[32]
    assert coverage[32] > 0.89
