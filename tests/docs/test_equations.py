"""The equation table and the glossary: nothing in them is stale, each equation of the DDPM paper holds, and each
formula of the glossary gives the numbers of the papers or of diffusers.
"""

import ast
import functools
import importlib.util
import math
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch

import bound_gap
from ancestral import Diffusion, bound, guidance, oracle, reverse, schedules, targets
from ancestral.gaussian import DiagonalGaussian
from ancestral.measure.bound_terms import bits_from_nats, dequantise
from ancestral.objectives.weightings import loss_weights, x0_weights
from ancestral.samplers import DDIM, DDPM, DPMSolver, Euler, Heun, Move, UniPC
from ancestral.schedules import Schedule
from ancestral.targets import Prediction
from test_imports import FILES, THEORY, room
from test_parity_samplers import LINEAR, Denoiser, Exploding, draws, noise, theirs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of its own dependencies
    import diffusers
    from diffusers.training_utils import compute_snr

F64 = torch.float64
ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("equations", ROOT / "docs" / "hooks" / "equations.py")
equations = importlib.util.module_from_spec(_spec)
sys.modules["equations"] = equations  # dataclasses and named tuples look their module up
_spec.loader.exec_module(equations)

THEORY_FILES = [path for path in FILES if room(path) in THEORY]
COSINE = schedules.cosine(50)


# -- the table --------------------------------------------------------------------------------------------------------


def test_the_page_is_that_of_its_generator():
    assert equations.PAGE.read_text(encoding="utf-8") == equations.render(), "run python docs/hooks/equations.py"


def test_each_equation_and_algorithm_of_the_ddpm_paper_is_there():
    numbers = [row.number for row in equations.EQUATIONS if row.paper == "DDPM"]
    expected = [str(n) for n in range(1, 17)] + [f"algorithm {n}" for n in range(1, 5)]
    assert [number for number in numbers if number in expected] == expected


def test_each_row_has_a_test_and_a_line_or_a_reason():
    keys = [(row.paper, row.number) for row in equations.EQUATIONS if row.number]
    assert len(keys) == len(set(keys))
    for row in equations.EQUATIONS:
        assert row.proofs, row
        assert row.places or row.why, row
        assert row.paper in {paper.names[0] for paper in equations.PAPERS}


@functools.cache
def functions(file):
    tree = ast.parse(next((ROOT / "tests").rglob(file)).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_test_exists_and_compares():
    """A test that is named as a proof is collected by pytest, and has an assertion."""
    for row in equations.EQUATIONS:
        for proof in row.proofs:
            file, _, name = proof.test.partition("::")
            assert name.startswith("test_"), proof
            assert name in functions(file), proof
            body = ast.dump(functions(file)[name])
            assert "Assert(" in body or "assert_close" in body or "'close'" in body, proof
            assert not re.search(r"(attr|id)='(skip|skipif|xfail)'", body), proof


def test_each_marker_of_the_theory_is_in_the_table():
    """In comments and docstrings. The number of markers shows that they are found."""
    known = {(row.paper, row.number) for row in equations.EQUATIONS}
    found = []
    for path in THEORY_FILES:
        text = path.read_text(encoding="utf-8")
        found += [*equations.comment_markers(text), *equations.docstring_markers(text)]
    assert {(marker.paper, marker.number) for marker in found} <= known
    assert len(found) > 50
    assert {marker.number for marker in found if marker.paper == "DDPM"} >= set("12456781") | {
        "11",
        "12",
        "13",
        "14",
        "15",
    }


# -- the equations that had no test -----------------------------------------------------------------------------------


def four_points(mean, std):
    """x_0 = mean ± std and ε = ±1, over which the mean of what is quadratic in both is its expectation."""
    x0 = torch.tensor([mean - std, mean - std, mean + std, mean + std], dtype=F64)[:, None]
    return x0, torch.tensor([-1.0, 1, -1, 1], dtype=F64)[:, None]


def expected_bound(schedule, denoiser, mean, std, variance):
    """L of x_0 ~ N(mean, std²) in nats, by `bits_per_dim` with the density as its decoder."""
    x0, eps = four_points(mean, std)
    terms = bound.bits_per_dim(denoiser, x0, variance=variance, clip=False, decoder="density", noise=lambda _: eps)
    return terms.total.mean().item() * math.log(2)


def step_of(schedule, denoiser, x_t, t, variance):
    prediction = denoiser.predict(x_t, t)
    if t == 1:
        return reverse.decode(schedule, prediction, x_t, t, variance)
    return reverse.transition(schedule, prediction, x_t, t, t - 1, variance)


def model_density(schedule, denoiser, variance):
    """Mean and variance of p_θ(x_0): a chain of affine Gaussian steps, composed."""
    mu, spread = 0.0, schedule.prior_std**2
    for t in range(schedule.steps, 0, -1):
        step = step_of(schedule, denoiser, torch.tensor([[0.0], [1.0]], dtype=F64), t, variance)
        offset, gain = step.mean[0].item(), (step.mean[1] - step.mean[0]).item()
        mu, spread = offset + gain * mu, gain**2 * spread + step.variance
    return mu, spread


@pytest.mark.parametrize("variance", ["large", "small"])
@pytest.mark.parametrize("schedule", [schedules.cosine(20), schedules.geometric(30), schedules.flow(10)])
@pytest.mark.parametrize("believed", [(0.3, 0.5), (-0.2, 0.9)], ids=["exact", "wrong"])
def test_3_is_a_bound(schedule, variance, believed):
    """entropy ≤ E[−log p_θ(x_0)] ≤ L, where p_θ(x_0) is known, for a right and for a wrong denoiser."""
    mean, std = 0.3, 0.5
    denoiser = oracle.Gaussian(schedule, *believed)
    mu, spread = model_density(schedule, denoiser, variance)
    nll = 0.5 * (math.log(2 * math.pi * spread) + (std**2 + (mean - mu) ** 2) / spread)
    assert (
        0.5 * math.log(2 * math.pi * math.e * std**2) <= nll <= expected_bound(schedule, denoiser, mean, std, variance)
    )


@pytest.mark.parametrize("variance", ["large", "small"])
def test_3_by_sampling_chains_is_5(variance):
    """The log ratio of 100,000 whole chains, averaged."""
    mean, std, n, schedule = 0.3, 0.5, 100_000, schedules.cosine(8)
    denoiser = oracle.Gaussian(schedule, 0.1, 0.6)
    x = mean + std * torch.randn(n, 1, dtype=F64)
    ratio = torch.zeros(n, dtype=F64)
    for t in range(1, schedule.steps + 1):
        forward = schedule.forward(x, t, t - 1)
        later = forward.sample(torch.randn(n, 1, dtype=F64))
        backward = step_of(schedule, denoiser, later, t, variance)
        ratio += (forward.log_density(later) - backward.log_density(x))[:, 0]
        x = later
    ratio -= DiagonalGaussian(torch.zeros_like(x), schedule.prior_std**2).log_density(x)[:, 0]
    error = ratio.std().item() / n**0.5
    expected = expected_bound(schedule, denoiser, mean, std, variance)
    assert ratio.mean().item() == pytest.approx(expected, abs=4 * error)
    assert error < 0.02


@pytest.mark.parametrize("variance", ["large", "small"])
@pytest.mark.parametrize("t", [2, 500, 1000])
def test_8_9_10_and_12_are_one_number(t, variance):
    x0, eps = torch.randn(2, 6, 1, dtype=F64)
    alpha, bar, before = 1 - LINEAR.beta[t], LINEAR.alpha_bar[t], LINEAR.alpha_bar[t - 1]
    beta, tilde = LINEAR.beta[t], (1 - before) / (1 - bar) * LINEAR.beta[t]
    sigma2 = beta if variance == "large" else tilde
    x_t = bar.sqrt() * x0 + (1 - bar).sqrt() * eps

    def posterior_mean(x0, x_t):
        return before.sqrt() * beta / (1 - bar) * x0 + alpha.sqrt() * (1 - before) / (1 - bar) * x_t

    def distance(of):
        return (of - mu) ** 2 / (2 * sigma2)

    prediction = oracle.Gaussian(LINEAR, 0.2, 0.4).predict(x_t, t)
    mu = posterior_mean(prediction.x0, x_t)
    constant = 0.5 * (tilde / sigma2 - 1 - (tilde / sigma2).log())
    written = [
        distance(posterior_mean(x0, x_t)),  # (8)
        distance(posterior_mean((x_t - (1 - bar).sqrt() * eps) / bar.sqrt(), x_t)),  # (9)
        distance((x_t - beta / (1 - bar).sqrt() * eps) / alpha.sqrt()),  # (10)
        beta**2 / (2 * sigma2 * alpha * (1 - bar)) * (eps - prediction.eps) ** 2,  # (12)
    ]
    found = reverse.step_bits(LINEAR, prediction, x0, x_t, t, variance) * math.log(2) - constant
    assert found.min() > 0
    for term in written:
        torch.testing.assert_close(term[:, 0], found, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("t", [1, 500, 1000])
def test_15_solves_4_for_x0(t):
    x_t, eps = torch.randn(2, 3, 4, dtype=F64)
    bar = LINEAR.alpha_bar[t]
    found = targets.EPS.solve(x_t, eps, *LINEAR.at(t)).x0
    torch.testing.assert_close(found, (x_t - (1 - bar).sqrt() * eps) / bar.sqrt(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variance", ["large", "small"])
@pytest.mark.parametrize("schedule", [schedules.cosine(30), schedules.karras(20), schedules.flow(15)])
def test_16_is_5_for_gaussian_data(schedule, variance):
    """All distributions in it are Gaussian for x_0 ~ N(m, std²), and the exact denoiser gives the true means."""
    mean, std = 0.3, 0.5
    denoiser = oracle.Gaussian(schedule, mean, std)
    a, b = schedule.signal, schedule.noise
    spread = a**2 * std**2 + b**2  # of x_t
    end = DiagonalGaussian(a[-1] * torch.tensor([mean], dtype=F64), spread[-1])
    total = end.kl(DiagonalGaussian(torch.zeros(1, dtype=F64), schedule.prior_std**2)).item()
    for t in range(1, schedule.steps + 1):
        ratio = a[t] / a[t - 1]
        gain = ratio * spread[t - 1] / spread[t]  # of x_{t−1} on x_t
        left = spread[t - 1] - gain * ratio * spread[t - 1]
        x_t = a[t] * mean + spread[t].sqrt() * torch.tensor([[-1.0], [1.0]], dtype=F64)  # for what is quadratic in x_t
        truth = DiagonalGaussian(a[t - 1] * mean + gain * (x_t - a[t] * mean), left)
        total += truth.kl(step_of(schedule, denoiser, x_t, t, variance)).mean().item()
    total += 0.5 * math.log(2 * math.pi * math.e * std**2)
    assert total == pytest.approx(expected_bound(schedule, denoiser, mean, std, variance), abs=1e-9)


def test_the_fixed_variances_are_those_of_two_data_sets():
    """§3.2: β_t is the variance of q(x_{t−1}|x_t) for data N(0, 1), and β̃_t that for a single point."""
    a, b = LINEAR.signal, LINEAR.noise
    t = torch.arange(2, 1001)
    for std, fixed in ((1.0, LINEAR.beta[t]), (0.0, LINEAR.posterior_variance(t, t - 1))):
        before, now = a[t - 1] ** 2 * std**2 + b[t - 1] ** 2, a[t] ** 2 * std**2 + b[t] ** 2
        left = before - (a[t] / a[t - 1] * before) ** 2 / now
        torch.testing.assert_close(left, fixed, rtol=1e-8, atol=0)


def test_algorithms_3_and_4_send_samples():
    """A coder that tries candidates: both sides draw the same ones from p, and the index of one is sent.

    With many more candidates than e^KL the received x_t are distributed as q(x_t | x_0), whatever p is.
    """
    n, candidates, mean, std = 800, 1024, 0.3, 0.5
    schedule = schedules.cosine(5)
    denoiser = oracle.Gaussian(schedule, mean, std)
    x0 = mean + std * torch.randn(n, 1, dtype=F64)
    received, bits = None, torch.zeros(n, dtype=F64)
    for t in range(schedule.steps, 0, -1):
        if received is None:
            p = DiagonalGaussian(torch.zeros(n, 1, dtype=F64), 1.0)
            q = schedule.marginal(x0, t)
        else:
            p = reverse.transition(schedule, denoiser.predict(received, t + 1), received, t + 1, t, "large")
            q = schedule.posterior(x0, received, t + 1, t)
        shared = torch.Generator().manual_seed(t)  # what both sides know
        tried = p.sample(torch.randn(n, candidates, dtype=F64, generator=shared))
        odds = q.log_density(tried) - p.log_density(tried)
        index = torch.distributions.Categorical(logits=odds).sample()[:, None]  # what is sent
        again = p.sample(torch.randn(n, candidates, dtype=F64, generator=torch.Generator().manual_seed(t)))
        received = again.gather(1, index)
        bits += q.kl(p)[:, 0] / math.log(2)
        a, b = schedule.at(t)
        eps = (received - a * x0) / b
        assert eps.mean().item() == pytest.approx(0, abs=4 / n**0.5)
        assert eps.var().item() == pytest.approx(1, abs=4 * (2 / n) ** 0.5)
        assert q.kl(p).max() < math.log(candidates) - 2
        shown = denoiser.predict(received, t).x0 - x0  # what (15) shows at this time
        expected = std**2 * b**2 / (a**2 * std**2 + b**2)
        assert shown.square().mean().item() == pytest.approx(expected, abs=4 * shown.square().std().item() / n**0.5)
    L_T, L_t, _ = bound_gap.closed_form(schedule, mean, std, "large")
    assert bits.mean().item() == pytest.approx((L_T + L_t.sum()).item(), abs=4 * bits.std().item() / n**0.5)


# -- the later papers, where a formula had no test --------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("t", "s"), [(50, 40), (20, 19), (7, 2)])
def test_ddims_family_keeps_the_marginals(eta, t, s):
    """(7) of DDIM: x_s is N(a_s x_0, b_s²) if x_t is N(a_t x_0, b_t²), for every η."""
    x0 = torch.full((3, 1), 0.7, dtype=F64)
    e, z = torch.tensor([[0.0, 0], [1, 0], [0, 1]], dtype=F64)[:, :, None].unbind(1)  # the answers to unit impulses
    x_t = COSINE.add_noise(x0, t, e)
    move = Move(COSINE, t, s, lambda *_: Prediction(x0, e), lambda _: z)
    x_s, _ = DDIM(eta=eta).advance(x_t, Prediction(x0, e), move, None)
    a, b = COSINE.at(s)
    assert x_s[0].item() == pytest.approx(a * 0.7, rel=1e-12)
    assert ((x_s[1:] - x_s[0]) ** 2).sum().item() == pytest.approx(b**2, rel=1e-12)


def test_ddim_13_is_eulers_step():
    denoiser, x_t, t, s = oracle.Gaussian(COSINE, 0.2, 0.5), torch.randn(4, 2, dtype=F64), 40, 30
    now, then = COSINE.alpha_bar[t], COSINE.alpha_bar[s]
    eps = denoiser.predict(x_t, t).eps
    written = x_t / now.sqrt() + (((1 - then) / then).sqrt() - ((1 - now) / now).sqrt()) * eps
    found = Euler(clip=None).sample(denoiser, x_t, times=[t, s])
    torch.testing.assert_close(found / then.sqrt(), written, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_first_order_solvers_are_ddim(eta):
    """Of the ODE and of the SDE, sample by sample."""
    denoiser, x_T = oracle.Gaussian(COSINE, 0.2, 0.5), torch.randn(4, 2, dtype=F64)
    solver, ddim = DPMSolver(10, order=1, eta=eta), DDIM(10, eta=eta, clip=None)
    torch.testing.assert_close(solver.sample(denoiser, x_T), ddim.sample(denoiser, x_T), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("t", [1, 20, 50])
def test_the_mean_minimises_the_loss(t):
    """For Gaussian data and any affine f: its loss is that of the mean plus its distance to the mean."""
    x0, eps = four_points(0.3, 0.5)
    x_t = COSINE.add_noise(x0, t, eps)
    mean = oracle.Gaussian(COSINE, 0.3, 0.5).predict(x_t, t).x0
    for other in (0.7 * x_t - 0.1, mean + 0.2, 0.9 * mean):
        apart = ((x0 - other) ** 2).mean() - ((x0 - mean) ** 2).mean()
        assert apart.item() == pytest.approx(((mean - other) ** 2).mean().item(), rel=1e-9)


@pytest.mark.parametrize("t", [1, 20, 49])
def test_the_derivative_of_the_mean_is_the_covariance(t):
    """Of a mixture: the covariance of x_0 given x_t, from the components' shares, means and variances given x_t."""
    means, stds = torch.tensor([[0.5, -0.2, 0.1], [-0.4, 0.3, 0.6]], dtype=F64), torch.tensor([0.2, 0.4], dtype=F64)
    mixture, x_t = oracle.Mixture(COSINE, means, stds), torch.tensor([0.1, 0.2, -0.3], dtype=F64)
    a, b = COSINE.at(t)
    variance = a**2 * stds**2 + b**2
    share = (-0.5 * ((x_t - a * means) ** 2).sum(1) / variance - 1.5 * variance.log()).softmax(0)
    of_component = means + (a * stds**2 / variance)[:, None] * (x_t - a * means)
    mean = share @ of_component
    moments = torch.einsum("k,ki,kj->ij", share, of_component, of_component)
    covariance = moments - torch.outer(mean, mean) + (share * stds**2 * b**2 / variance).sum() * torch.eye(3)
    derivative = torch.autograd.functional.jacobian(lambda x: mixture.predict(x[None], t).x0[0], x_t)
    torch.testing.assert_close(b**2 / a * derivative, covariance, rtol=1e-6, atol=1e-9)


def test_dequantised_bits_are_a_bound():
    """Of a normal density over the levels of 3 bits, whose bins are wide enough for a gap."""
    width, n = 2 / 7, 4000
    levels = torch.linspace(-1, 1, 8, dtype=F64)
    density = torch.distributions.Normal(torch.tensor(0.1, dtype=F64), 0.3)
    exact = -(density.cdf(levels + width / 2) - density.cdf(levels - width / 2)).log2()
    for index, level in enumerate(levels):
        x = dequantise(level.expand(n, 1), width, 0, range(n))
        bits = bits_from_nats(-density.log_prob(x)[:, 0], 1, width)
        assert (x - level).abs().max() <= width / 2
        mean = 0.5 * math.log2(2 * math.pi * 0.09) + ((level.item() - 0.1) ** 2 + width**2 / 12) / 0.18 / math.log(2)
        assert bits.mean().item() == pytest.approx(mean - math.log2(width), abs=4 * bits.std().item() / n**0.5)
        assert bits.mean() > exact[index]


U = torch.linspace(0, 1, 2001, dtype=F64)
ROUND = Schedule((U * math.pi / 2).cos(), (U * math.pi / 2).sin())
MIXTURE = oracle.Mixture(ROUND, torch.tensor([[-0.6], [0.5]], dtype=F64), torch.tensor([0.2, 0.3], dtype=F64))


def rates(t):
    """a, b and their derivatives by u = t/T, for the quarter circle `ROUND`."""
    angle, speed = U[t] * math.pi / 2, math.pi / 2
    return angle.cos(), angle.sin(), -speed * angle.sin(), speed * angle.cos()


@pytest.mark.parametrize("t", [200, 1000, 1500])
def test_the_flow_is_score_sde_13(t):
    """f x − ½ g² ∇log p, with f and g² from short steps of the chain, is a' x̂_0 + b' ε̂."""
    x, h = torch.randn(5, 1, dtype=F64), 1 / ROUND.steps
    _, b, da, db = rates(t)
    f = (ROUND.signal[t + 1].log() - ROUND.signal[t - 1].log()) / (2 * h)
    shrink = ROUND.signal[t + 1] / ROUND.signal[t - 1]  # of noise that enters at the beginning of the step
    g2 = ROUND.forward_variance(t + 1, t - 1) / shrink / (2 * h)
    prediction = MIXTURE.predict(x, t)
    drift = f * x - 0.5 * g2 * (-prediction.eps / b)
    torch.testing.assert_close(drift, da * prediction.x0 + db * prediction.eps, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("t", [200, 1000, 1900])
def test_the_flow_is_edm_4(t):
    """With s = a and σ = b/a; for s = 1 it is (1)."""
    x = torch.randn(5, 1, dtype=F64)
    a, b, da, db = rates(t)
    sigma, rate = b / a, (db * a - b * da) / a**2
    prediction = MIXTURE.predict(x, t)
    score = (prediction.x0 - x / a) / sigma**2  # of p(x/s; σ), by EDM (3)
    written = da / a * x - a**2 * rate * sigma * (score / a)  # the gradient by x, not by x/s
    torch.testing.assert_close(written, da * prediction.x0 + db * prediction.eps, rtol=1e-9, atol=1e-9)
    plain = -rate * sigma * (prediction.x0 - x / a) / sigma**2  # (1), in x/a
    torch.testing.assert_close(plain, rate * prediction.eps, rtol=1e-9, atol=1e-9)


def test_the_flow_satisfies_the_continuity_equation():
    """∂p/∂u + ∂(p v)/∂x = 0 for v = a' x̂_0 + b' ε̂, by central differences."""
    t, h = 1000, 1e-4
    x = torch.linspace(-2, 2, 41, dtype=F64)[:, None]

    def flux(x):
        prediction = MIXTURE.predict(x, t)
        _, _, da, db = rates(t)
        return MIXTURE.log_density(x, t).exp() * (da * prediction.x0 + db * prediction.eps)[:, 0]

    later, earlier = (MIXTURE.log_density(x, t + k).exp() for k in (1, -1))
    change, outflow = (later - earlier) / 2 * ROUND.steps, (flux(x + h) - flux(x - h)) / (2 * h)
    assert outflow.abs().max() > 0.1
    torch.testing.assert_close(change, -outflow, rtol=1e-4, atol=1e-5)


SCHEDULES = [schedules.cosine(), schedules.linear(), schedules.flow(), schedules.geometric(), schedules.karras()]


def drift_and_diffusion(schedule, t):
    """f and g² of a schedule, by the rates of its curves."""
    (a, b), (da, db) = schedule.at(t), schedule.rates(t)
    return da / a, 2 * b * db - 2 * da / a * b**2


def of_mixture(schedule):
    return oracle.Mixture(schedule, MIXTURE.means, MIXTURE.stds)


def derivatives(function, x):
    """A function of points (N,) and its first two derivatives."""
    x = x.clone().requires_grad_()
    value = function(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    return value.detach(), first.detach(), second.detach()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.spec["name"])
@pytest.mark.parametrize("t", [60.5, 500.5, 950.5])
def test_drift_and_diffusion_are_the_limits_of_short_steps(schedule, t):
    f, g2 = drift_and_diffusion(schedule, t)
    for step in (1e-2, 1e-3):
        assert (schedule.at(t + step)[0] / schedule.at(t)[0] - 1) / step == pytest.approx(f, rel=step, abs=1e-12)
        assert schedule.forward_variance(t + step, t) / step == pytest.approx(g2, rel=step)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.spec["name"])
@pytest.mark.parametrize("t", [200.5, 700.5])
def test_the_density_satisfies_fokker_plancks_equation(schedule, t):
    """∂p/∂t by central differences, and −(f x p)' + ½ g² p''."""
    f, g2 = drift_and_diffusion(schedule, t)
    density = lambda x, t: of_mixture(schedule).log_density(x[:, None], t).exp()  # noqa: E731
    x, h = torch.linspace(-3, 3, 121, dtype=F64), 1e-3
    p, dp, ddp = derivatives(lambda x: density(x, t), x)
    change = (density(x, t + h) - density(x, t - h)) / (2 * h)
    right = -f * (p + x * dp) + g2 / 2 * ddp
    assert (change - right).abs().max() < 1e-6 * change.abs().max()


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 2.0])
def test_every_eta_has_the_same_density(eta):
    """Backwards in time, drift and noise of every η change the density by −∂p/∂t. At rest, Langevin changes nothing."""
    t, h, x = 400.5, 1e-3, torch.linspace(-3, 3, 121, dtype=F64)
    f, g2 = drift_and_diffusion(SCHEDULES[0], t)
    log_density = lambda x, t: of_mixture(SCHEDULES[0]).log_density(x[:, None], t)  # noqa: E731
    p, dp, ddp = derivatives(lambda x: log_density(x, t).exp(), x)
    _, score, slope = derivatives(lambda x: log_density(x, t), x)
    drift, change = -f * x + (1 + eta**2) / 2 * g2 * score, -f + (1 + eta**2) / 2 * g2 * slope
    backwards = (log_density(x, t - h).exp() - log_density(x, t + h).exp()) / (2 * h)
    assert (backwards - (-(change * p + drift * dp) + eta**2 * g2 / 2 * ddp)).abs().max() < 1e-6 * backwards.abs().max()
    assert (-(slope * p + score * dp) / 2 + ddp / 2).abs().max() < 1e-9 * ddp.abs().max()


@pytest.mark.parametrize("schedule", SCHEDULES[:4], ids=lambda schedule: schedule.spec["name"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_short_ddim_step_is_the_reverse_process_with_its_eta(schedule, eta):
    t, step, x = 500.5, 1e-3, torch.linspace(-2, 2, 9, dtype=F64)[:, None]
    f, g2 = drift_and_diffusion(schedule, t)
    denoiser, sampler = of_mixture(schedule), DDIM(eta=eta, clip=None)
    prediction = denoiser.predict(x, t)
    moves = [Move(schedule, t, t - step, denoiser.predict, lambda _, z=z: torch.full_like(x, z)) for z in (1.0, -1.0)]
    ends = [sampler.advance(x, prediction, move, None)[0] for move in moves]
    drift = -f * x - (1 + eta**2) / 2 * g2 * prediction.eps / schedule.at(t)[1]
    torch.testing.assert_close(((ends[0] + ends[1]) / 2 - x) / step, drift, rtol=1e-4, atol=1e-7)
    assert ((ends[0] - ends[1]) / 2).square().mean().item() / step == pytest.approx(eta**2 * g2, rel=1e-3, abs=1e-15)


def test_losses_of_single_examples_differ_by_a_constant():
    """For three functions of x_t: the loss to one example's score or velocity, less that to the mean of all."""
    z = torch.linspace(-8, 8, 400, dtype=F64)
    weight = torch.exp(-(z**2) / 2) / torch.exp(-(z**2) / 2).sum()
    x0 = (MIXTURE.means + MIXTURE.stds[:, None] * z).reshape(-1, 1)
    joint = (MIXTURE.weights[:, None] * weight).reshape(-1, 1) * weight
    (a, b), (da, db) = SCHEDULES[0].at(400), SCHEDULES[0].rates(400)
    x, eps = a * x0 + b * z, z.expand(len(x0), -1)
    prediction = of_mixture(SCHEDULES[0]).predict(x.reshape(-1, 1), 400)
    x0_mean, eps_mean = (value.reshape(x.shape) for value in (prediction.x0, prediction.eps))
    mean = lambda values: (joint * values).sum().item()  # noqa: E731
    T = SCHEDULES[0].steps
    for single, whole, constant in (
        (-eps / b, -eps_mean / b, 1 / b**2 - mean(eps_mean**2) / b**2),
        (T * (da * x0 + db * eps), T * (da * x0_mean + db * eps_mean), None),
    ):
        found = [mean((s - single) ** 2) - mean((s - whole) ** 2) for s in (0 * x, -x, torch.sin(3 * x))]
        assert found == pytest.approx([found[0] if constant is None else constant] * 3, abs=1e-9)
        assert found[0] > 0.1


def test_dpm_solvers_integral_is_the_exact_solution():
    """Gaussian data, whose flow keeps the quantile of x_t: x_t = a_t m + √(a_t² std² + b_t²) · quantile."""
    schedule, mean, std, quantile = schedules.flow(20_000), 0.3, 0.5, 0.8
    t = torch.arange(16_000, 3_999, -1)
    a, b = schedule.signal[t], schedule.noise[t]
    x = (a * mean + (a**2 * std**2 + b**2).sqrt() * quantile)[:, None]
    x0 = oracle.Gaussian(schedule, mean, std).predict(x, t).x0[:, 0]
    log_snr = (a / b).log()
    solution = b[-1] / b[0] * x[0, 0] + b[-1] * torch.trapezoid(log_snr.exp() * x0, log_snr)
    assert solution.item() == pytest.approx(x[-1, 0].item(), abs=1e-7)


class Labelled:
    """Two Gaussian classes; label −1 is their mixture."""

    schedule = ROUND

    def predict(self, x_t, t, labels):
        means, stds = MIXTURE.means[:, 0].tolist(), MIXTURE.stds.tolist()
        known = [oracle.Gaussian(ROUND, m, s).predict(x_t, t) for m, s in zip(means, stds, strict=True)]
        parts = [*known, MIXTURE.predict(x_t, t)]
        pick = lambda name: torch.stack([getattr(p, name) for p in parts])[labels, torch.arange(len(x_t))]  # noqa: E731
        return Prediction(pick("x0"), pick("eps"))


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guidance_is_the_score_of_a_sharpened_classifier(scale):
    """ε̂ = −b ∇[log p(x_t) + scale · log p(label | x_t)], and (1 + w) ε(label) − w ε with scale = 1 + w."""
    x, t = torch.linspace(-1, 1, 6, dtype=F64)[:, None].requires_grad_(), 900
    labels = torch.tensor([0, 1] * 3)
    a, b = ROUND.at(t)
    joint = torch.stack([
        torch.distributions.Normal(a * m, (a**2 * s**2 + b**2) ** 0.5).log_prob(x[:, 0]) - math.log(2)
        for m, s in zip(MIXTURE.means[:, 0], MIXTURE.stds, strict=True)
    ])  # fmt: skip
    posterior = joint.log_softmax(0)[labels, torch.arange(6)]
    (score,) = torch.autograd.grad((joint.logsumexp(0) + scale * posterior).sum(), x)
    x = x.detach()
    found = guidance.ClassifierFree(Labelled(), scale).predict(x, t, labels=labels)
    torch.testing.assert_close(found.eps, -b * score, rtol=1e-9, atol=1e-10)
    given, free = Labelled().predict(x, t, labels=labels).eps, MIXTURE.predict(x, t).eps
    w = scale - 1
    torch.testing.assert_close(found.eps, (1 + w) * given - w * free, rtol=1e-9, atol=1e-10)


# -- the glossary -----------------------------------------------------------------------------------------------------

GLOSSARY = (ROOT / "docs" / "explanation" / "glossary.md").read_text(encoding="utf-8")
CHECKED = {"schedule": 17, "predictions": 5, "variances": 4, "guidance": 2}
"""The number of rows of each table of symbols, so that no row is overlooked."""


def table(section, head):
    """The rows of the table in a section whose first line begins with `head`."""
    text = GLOSSARY.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = text[text.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def code(cell):
    """The expression of a cell that is nothing but code."""
    assert re.fullmatch(r"`[^`]+`", cell), cell
    return cell.strip("`")


def evaluate(cell, **names):
    return eval(code(cell), {"exp": _exp, "log": _log, "min": _least, **names})


def _log(x):
    return torch.as_tensor(x, dtype=F64).log()


def _exp(x):
    return torch.as_tensor(x, dtype=F64).exp()


def _least(x, y):
    return x.clamp(max=y)


def same(found, truth, what, rtol=1e-6):
    found, truth = torch.as_tensor(found, dtype=F64), torch.as_tensor(truth, dtype=F64)
    torch.testing.assert_close(found.expand_as(truth), truth, rtol=rtol, atol=1e-7, msg=lambda text: f"{what}: {text}")


@pytest.mark.parametrize("t", [2, 400, 1000])
def test_schedules_of_the_glossary(t):
    """β from 1e-4 to 0.02, multiplied up here, and the tables of the installed diffusers."""
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=F64)
    bar = (1 - beta).cumprod(0)
    i = t - 1
    common = {"num_train_timesteps": 1000, "beta_schedule": "linear", "trained_betas": beta.tolist()}
    ddpm = diffusers.DDPMScheduler(**common)
    solver = diffusers.DPMSolverMultistepScheduler(**common)
    euler = diffusers.EulerDiscreteScheduler(**common)
    snr = bar[i] / (1 - bar[i])
    truth = {
        ("DDPM", r"$\bar\alpha_t$"): bar[i],
        ("DDPM", r"$\alpha_t$"): 1 - beta[i],
        ("DDPM", r"$\beta_t$"): beta[i],
        ("DDPM", r"$\tilde\beta_t$"): (1 - bar[i - 1]) / (1 - bar[i]) * beta[i],
        ("DDIM", r"$\alpha_t$"): bar[i],
        ("DPM-Solver", r"$\alpha_t$"): bar[i].sqrt(),
        ("DPM-Solver", r"$\sigma_t$"): (1 - bar[i]).sqrt(),
        ("DPM-Solver", r"$\lambda_t$ (half the log SNR)"): snr.log() / 2,
        ("VDM", r"$\mathrm{SNR}(t)$"): compute_snr(ddpm, torch.tensor([i]))[0],
        ("VDM", r"$\gamma(t)$"): -snr.log(),
        ("EDM", r"$\sigma$"): snr**-0.5,
        ("diffusers", "`alphas_cumprod[i]`"): ddpm.alphas_cumprod[i],
        ("diffusers", "`betas[i]`"): ddpm.betas[i],
        ("diffusers", "`alpha_t[i]` of DPM-Solver"): solver.alpha_t[i],
        ("diffusers", "`sigma_t[i]` of DPM-Solver"): solver.sigma_t[i],
        ("diffusers", "`lambda_t[i]` of DPM-Solver"): solver.lambda_t[i],
        ("diffusers", "`sigmas` of Euler, all steps"): euler.sigmas,
    }
    rows = table("The schedule", "whose")
    assert len(rows) == CHECKED["schedule"]
    assert {(whose, symbol) for whose, symbol, _ in rows} == truth.keys()
    for whose, symbol, here in rows:
        found = evaluate(here, a=LINEAR.signal, b=LINEAR.noise, t=t, i=i)
        rtol = 2e-4 if whose == "diffusers" or "SNR" in symbol else 1e-9  # diffusers' tables are float32
        same(found, truth[whose, symbol], (whose, symbol), rtol)


@pytest.mark.parametrize(("a", "b"), [(0.8, 0.6), (0.3, 0.7), (1.0, 2.5)])
def test_predictions_of_the_glossary(a, b):
    x0, eps = torch.randn(2, 5, 1, dtype=F64)
    x = a * x0 + b * eps
    names = {"a": a, "b": b, "x": x, "s": 0.5, "k": 0.03, "n": (b**2 + 0.25 * a**2) ** 0.5}
    rows = table("Predictions", "prediction")
    assert {code(row[1]) for row in rows} == {t.name.upper() for t in targets.BY_NAME.values()}
    for row in rows:
        target = getattr(targets, code(row[1]))
        same(evaluate(row[2], **names), target.p(a, b), row[0])
        same(evaluate(row[3], **names), target.q(a, b), row[0])
        out = target.from_x0_eps(x0, eps, a, b)
        same(evaluate(row[4], out=out, **names), x0, row[0])
        same(evaluate(row[5], out=out, **names), eps, row[0])


@pytest.mark.parametrize(("name", "target"), [("epsilon", "EPS"), ("sample", "X0"), ("v_prediction", "V")])
def test_prediction_types_of_diffusers(name, target):
    rows = {code(row[1]): row for row in table("Predictions", "prediction")}
    assert f"diffusers' `{name}`" in rows[target][0]
    scheduler = diffusers.DDIMScheduler(prediction_type=name, clip_sample=False)
    scheduler.set_timesteps(1000)
    x, out = torch.randn(2, 4, 3)
    a, b = LINEAR.at(301)
    theirs = scheduler.step(out, 300, x).pred_original_sample
    torch.testing.assert_close(evaluate(rows[target][4], a=a, b=b, x=x, out=out), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.002, 0.5, 80.0])
def test_conversions_of_the_glossary(sigma):
    """Table 1 of EDM, and the output for which a step of diffusers' flow scheduler stays on the straight line."""
    x0, eps = torch.randn(2, 5, 1, dtype=F64)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(10)
    now, then = scheduler.sigmas[3].item(), scheduler.sigmas[4].item()
    state, output = (1 - now) * x0 + now * eps, torch.randn(5, 1, dtype=F64)
    moved = scheduler.step(output, scheduler.timesteps[3], state).prev_sample
    torch.testing.assert_close(moved, state + (then - now) * output)  # so the output is the velocity by σ
    norm = sigma**2 + 0.25
    truth = {
        r"$c_{\text{skip}}$": 0.25 / norm,
        r"$c_{\text{out}}$": sigma * 0.5 / norm**0.5,
        r"$c_{\text{in}}$": norm**-0.5,
        "$u=x_1-x_0$, with $x_1$ data and $x_0$ noise": x0 - eps,
        "the output that flow schedulers expect": ((1 - then) * x0 + then * eps - state) / (then - now),
    }
    p, q = targets.EDM.p(1.0, sigma), targets.EDM.q(1.0, sigma)
    names = {"a": 1.0, "b": sigma, "s": 0.5, "p": p, "q": q, "d": q - sigma * p, "x0": x0, "eps": eps}
    rows = table("Predictions", "whose")
    assert len(rows) == CHECKED["predictions"]
    for _, symbol, here in rows:
        same(evaluate(here, **names), truth[symbol], symbol)
    same(targets.EDM.input_scale(1.0, sigma), truth[r"$c_{\text{in}}$"], "input scale")


def test_variances_of_the_glossary():
    t, f, eta = 300, 0.3, 0.6
    beta, tilde = LINEAR.forward_variance(t, t - 1), LINEAR.posterior_variance(t, t - 1)

    def of_diffusers(kind, output=None):
        return diffusers.DDPMScheduler(variance_type=kind)._get_variance(t - 1, predicted_variance=output)

    bar, before = LINEAR.alpha_bar[t], LINEAR.alpha_bar[t - 1]
    learned = of_diffusers("learned_range", torch.tensor(2 * f - 1))
    truth = [
        of_diffusers("fixed_large"),
        of_diffusers("fixed_small"),
        learned.exp() if learned < 0 else learned,
        eta**2 * (1 - before) / (1 - bar) * (1 - bar / before),  # (16) of DDIM, squared
    ]
    rows = table("Variances of a reverse step", "whose")
    assert len(rows) == CHECKED["variances"]
    for (_, symbol, here), expected in zip(rows, truth, strict=True):
        same(evaluate(here, beta=beta, tilde=tilde, f=f, eta=eta), expected, symbol, rtol=2e-4)
    step = reverse.transition(
        LINEAR, Prediction(*torch.zeros(2, 1, 1), torch.full((1, 1), f)), torch.zeros(1, 1), t, t - 1, "learned"
    )
    same(step.variance.item(), evaluate(rows[2][2], beta=beta, tilde=tilde, f=f), "learned")


OURS = {c.__name__: c for c in (DDIM, DDPM, DPMSolver, Euler, Heun, UniPC)}
PAIRS = table("Samplers", "sampler here")


@pytest.mark.parametrize(("ours", "of_diffusers"), PAIRS, ids=[row[0] for row in PAIRS])
def test_samplers_of_the_glossary(monkeypatch, ours, of_diffusers):
    """Ten steps from the same noise, as the page writes both sides."""
    name, _, arguments = code(of_diffusers).partition("(")
    kind = getattr(diffusers, name)
    options = eval(f"dict({arguments}")
    sampler = eval(code(ours), dict(OURS))
    scaled = kind.__name__.startswith(("Euler", "Heun"))
    denoiser = Exploding(Denoiser(targets.V)) if scaled else Denoiser(targets.V)
    start = noise(0) * (denoiser.schedule.prior_std if scaled else 1)
    if hasattr(sys.modules[kind.__module__], "randn_tensor"):
        monkeypatch.setattr(sys.modules[kind.__module__], "randn_tensor", draws())
    expected, times = theirs(kind, 10, start, prediction_type="v_prediction", **options)
    found = sampler.sample(denoiser, start, times=times, noise=draws())
    assert expected.std() > 0.2
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-4)


def test_euler_on_the_flow_is_diffusers():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0)
    scheduler.set_timesteps(10)
    schedule = schedules.flow()
    denoiser = oracle.Mixture(schedule, torch.tensor([[-0.6], [0.5]]), torch.tensor([0.2, 0.3]))
    start = x = torch.randn(6, 1)
    times = [round(1000 * sigma) for sigma in scheduler.sigmas.tolist()]
    for t, step in zip(times, scheduler.timesteps, strict=False):
        prediction = denoiser.predict(x, t)
        x = scheduler.step(prediction.eps - prediction.x0, step, x).prev_sample
    torch.testing.assert_close(Euler(clip=None).sample(denoiser, start, times=times), x, rtol=1e-4, atol=1e-5)


def test_weights_of_the_glossary():
    """Against (b/d)² of each target, and the weightings of the package."""
    t, T = torch.arange(2, 1001), 1000
    rows = table("Loss weights", "loss")
    of_the_bound = (LINEAR.snr[1:-1] / LINEAR.snr[2:] - 1) * LINEAR.posterior_variance(t, t - 1) / LINEAR.beta[2:]
    assert of_the_bound.argmax() == 0  # (12) with σ² = β: the theory says that small times weigh most
    for schedule in (LINEAR, schedules.flow()):
        t = torch.arange(2, schedule.steps)  # flow has no signal at T
        a, b = schedule.at(t)
        snr, before = schedule.snr[t], schedule.snr[t - 1]
        truth = [(target.determinant(a, b) / b) ** 2 for target in (targets.X0, targets.EPS, targets.V, targets.FLOW)]
        truth.insert(2, loss_weights("p2", schedule, targets.EPS)[t] * snr)
        truth += [x0_weights(name, schedule)[t - 1] for name in ("velocity", "min-snr", "edm", "variational")]
        for (name, on_x0, on_eps), weight in zip(rows, truth, strict=True):
            if "Vert v-" in name and schedule is not LINEAR:
                continue  # the row is for a² + b² = 1
            names = {"snr": snr, "before": before, "T": T}
            same(evaluate(on_x0, **names), weight, name)
            same(evaluate(on_eps, **names), weight / snr, name)


def test_guidance_of_the_glossary():
    """Both formulas from the papers, for some answers with and without a label."""
    given, free, scale = 0.7, -0.4, 3.0
    ours = free + scale * (given - free)
    (_, _, of_the_paper), (_, _, of_diffusers) = rows = table("Guidance", "whose")
    assert len(rows) == CHECKED["guidance"]
    w = evaluate(of_the_paper, scale=scale)
    assert (1 + w) * given - w * free == pytest.approx(ours)
    assert free + evaluate(of_diffusers, scale=scale) * (given - free) == pytest.approx(ours)


def test_time_of_the_glossary():
    """The index of the network, that of diffusers, and the direction of flow matching's time."""
    seen = []
    net = torch.nn.Identity()
    net.forward = lambda x, index: seen.append(index.tolist()) or x
    schedule = schedules.flow(10)
    Diffusion(net, schedule, targets.FLOW).output(torch.zeros(2, 1), torch.tensor([1, 10]))
    assert seen == [[0, 9]]
    assert diffusers.DDPMScheduler().timesteps[[0, -1]].tolist() == [999, 0]
    t = torch.arange(11)
    same(schedule.signal, 1 - t / 10, "the share of data is 1 − t/T")
