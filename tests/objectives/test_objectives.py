"""Weightings and time distributions, against the formulas as their papers write them."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from ancestral import Diffusion, bound, objectives, oracle, schedules, targets
from ancestral.base.errors import InputError
from ancestral.base.registries import WEIGHTINGS
from ancestral.objectives import Clipped, ConsistencyTuning, Denoising, Hybrid, Objective, Stages, Weighted, build
from ancestral.objectives.times import (
    ImportanceTimes,
    LogNormalTimes,
    StratifiedTimes,
    UniformTimes,
    time_distribution,
)
from ancestral.objectives.weightings import loss_weights, x0_weights
from ancestral.training import RunFolder, Trainer
from tiny_models import stripes, tiny_config

F64 = torch.float64
LINEAR, COSINE, KARRAS = schedules.linear(), schedules.cosine(), schedules.karras(200)


def close(one, other, **limits):
    torch.testing.assert_close(one, other, **{"rtol": 1e-9, "atol": 0.0, **limits})


# -- weights ----------------------------------------------------------------------------------------------------------


def test_snr_is_l_simple_in_eps_whatever_the_target():
    """(14) of DDPM for EPS; λ(σ) = σ² for the score (Song and Ermon 2019)."""
    close(loss_weights("snr", LINEAR, targets.EPS)[1:], torch.ones(1000, dtype=F64))
    sigma = KARRAS.noise[1:]
    close(loss_weights("snr", KARRAS, targets.SCORE)[1:], sigma**2)
    close(loss_weights("snr", LINEAR, targets.V)[1:], LINEAR.alpha_bar[1:])  # ε = a v + b x_t


def test_min_snr_as_its_authors_write_it():
    """Hang et al. 2023, §3.4: min(SNR, γ) on x_0, /SNR on ε, /(SNR + 1) on v."""
    snr = LINEAR.alpha_bar[1:] / (1 - LINEAR.alpha_bar[1:])
    least = snr.clamp(max=5)
    close(loss_weights("min-snr", LINEAR, targets.X0)[1:], least)
    close(loss_weights("min-snr", LINEAR, targets.EPS)[1:], least / snr)
    close(loss_weights("min-snr", LINEAR, targets.V)[1:], least / (snr + 1))


def test_edm_is_one_on_edms_own_target():
    for schedule in (KARRAS, LINEAR, schedules.flow()):
        close(loss_weights("edm", schedule, targets.EDM)[1:], torch.ones(schedule.steps, dtype=F64))
    sigma = KARRAS.noise[1:]
    close(x0_weights("edm", KARRAS), (sigma**2 + 0.25) / (0.5 * sigma) ** 2)


def test_velocity_is_the_error_of_the_flows_velocity_as_jit_clips_it():
    """Li and He 2025: ‖(x̂_0 − x_t)/b − (x_0 − x_t)/b‖² of a flow, with b of at least 0.05 in both fractions."""
    flow = schedules.flow(1000)
    x0, estimate, eps = torch.randn(3, 1000, 5, dtype=F64)
    t = torch.arange(1, 1001)
    x_t, floor = flow.add_noise(x0, t, eps), (t.double() / 1000).clamp(min=0.05)[:, None]
    truth = ((estimate - x_t) / floor - (x0 - x_t) / floor) ** 2
    close(x0_weights("velocity", flow)[:, None] * (estimate - x0) ** 2, truth, rtol=1e-7)
    for schedule in (flow, COSINE, KARRAS):  # on any schedule 1 for the velocity itself, where nothing is clipped
        weights = loss_weights("velocity", schedule, targets.FLOW)[1:]
        plain = 1 + schedule.signal[1:] / schedule.noise[1:] < 20
        assert 0.5 < plain.double().mean() < 1
        close(weights[plain], torch.ones(int(plain.sum()), dtype=F64))
        assert (weights[~plain] < 1).all()


def test_p2_as_its_authors_write_it_on_the_error_of_any_network():
    """Choi et al. 2022: 1/(k + SNR)^γ times L_simple, here with k = 1 and γ = 1/3."""
    noise = 1 - LINEAR.alpha_bar[1:]  # 1/(1 + SNR) where a² + b² = 1
    for target in (targets.EPS, targets.X0, targets.V):
        close(loss_weights("p2", LINEAR, target)[1:], noise ** (1 / 3))
    close(loss_weights("p2", KARRAS, targets.EDM)[1:], (1 + KARRAS.noise[1:] ** -2) ** (-1 / 3))
    assert (loss_weights("p2", schedules.flow(), targets.EPS)[1:] <= 1).all()  # also at T, where there is no signal


def test_variational_is_ho_et_als_weight_on_eps():
    """(12) with σ² = β̃: β_t²/(2 σ_t² α_t (1−ᾱ_t)) on ‖ε − ε̂‖² in nats; here T times that, in bits."""
    beta, alpha_bar = LINEAR.beta, LINEAR.alpha_bar
    t = torch.arange(2, 1001)
    tilde = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta[t]
    nats = beta[t] ** 2 / (2 * tilde * (1 - beta[t]) * (1 - alpha_bar[t]))
    close(loss_weights("variational", LINEAR, targets.EPS)[2:], 1000 * nats / math.log(2), rtol=1e-8)


@pytest.mark.parametrize("schedule", [LINEAR, COSINE, schedules.geometric(50), schedules.flow(50)])
def test_variational_loss_is_the_bound(schedule):
    """Weight times error, at each t > 1, is T L_{t−1} with the small variance to the last digit."""
    x0, eps = torch.randn(2, 3, 4, dtype=F64)
    denoiser = oracle.Gaussian(schedule, 0.3, 0.5)
    weight = x0_weights("variational", schedule)
    elbo = bound.ELBO(variance="small", clip=False, noise=lambda shape: eps)
    for t in (2, 5, schedule.steps):
        term = elbo.term(denoiser, x0, t, 0, range(3))
        close(weight[t - 1] * term.error, schedule.steps * term.bits, rtol=1e-7)
    density = bound.ELBO(variance="small", clip=False, noise=lambda shape: eps, decoder="density")
    term = density.term(denoiser, x0, 1, 0, range(3))
    constant = 0.5 * math.log2(2 * math.pi * schedule.posterior_variance(2, 1))
    close(weight[0] * term.error / schedule.steps, term.bits - constant, rtol=1e-9)


@pytest.mark.parametrize("name", list(WEIGHTINGS))
def test_weights_reach_the_loss(name):
    class Null(nn.Module):
        def forward(self, x, index):
            return torch.zeros_like(x)

    x0 = torch.randn(5, 3, dtype=F64)
    denoiser, weighted = Diffusion(Null(), COSINE), objectives.build(COSINE, targets.EPS, weighting=name)
    t, before = denoiser.losses(x0, step=2, seed=1)
    _, after = denoiser.losses(x0, step=2, seed=1, objective=weighted)
    weight = 1 if name == "simple" else loss_weights(name, COSINE, targets.EPS)[t]
    close(after, before * weight)
    assert denoiser.loss(x0, step=2, seed=1, objective=weighted).item() == pytest.approx(after.mean().item())


def test_what_has_no_meaning_is_refused():
    with pytest.raises(InputError, match="no meaning for the target eps"):
        loss_weights("edm", schedules.flow(), targets.EPS)
    with pytest.raises(InputError, match="unknown weighting 'snrr'"):
        loss_weights("snrr", LINEAR, targets.EPS)
    with pytest.raises(InputError, match="unknown times"):
        time_distribution("often", LINEAR)


# -- times ------------------------------------------------------------------------------------------------------------


def test_even_times_are_uniform_each_and_spread_over_a_batch():
    even = StratifiedTimes(LINEAR)
    t = torch.stack([even.draw(0, step, range(32))[0] for step in range(4000)])
    counts = torch.histc(t[:, 7].double(), bins=10, min=1, max=1000)  # one position of the batch, over many steps
    assert counts.tolist() == pytest.approx([400] * 10, abs=4 * 19)
    assert (t.min(), t.max()) == (1, 1000)
    gaps = t.sort(1).values.diff(dim=1)
    assert gaps.max() <= 1000 / 32 * 2.7  # no hole: independent draws leave gaps of four times the mean
    assert torch.equal(even.draw(0, 5, range(8, 16))[0], t[5, 8:16])


def test_lognormal_times_have_edms_noise_levels():
    """Of many draws ln σ has the mean −1.2 and the deviation 1.2, but for what the grid of levels rounds."""
    schedule = schedules.karras(1000)
    t = torch.cat([LogNormalTimes(schedule).draw(0, step, range(100))[0] for step in range(200)])
    level = schedule.noise[t].log()
    assert level.mean().item() == pytest.approx(-1.2, abs=4 * 1.2 / 20_000**0.5 + 0.01)
    assert level.std().item() == pytest.approx(1.2, abs=0.03)
    chances = LogNormalTimes(schedules.flow()).probabilities  # whose last level is infinite
    assert chances.sum().item() == pytest.approx(1)
    assert (chances >= 0).all()


def test_logit_normal_times_are_jits():
    """The logit of the share of data 1 − t/T has the mean −0.8 and the deviation 0.8, by shares of the normal."""
    times = time_distribution("logitnormal", schedules.flow())
    t = torch.cat([times.draw(0, step, range(100))[0] for step in range(200)])
    logit = torch.logit(1 - t[t < 1000].double() / 1000)
    for quantile in (0.02, 0.2, 0.5, 0.8, 0.98):
        expected = -0.8 + 0.8 * torch.special.ndtri(torch.tensor(quantile, dtype=F64)).item()
        assert logit.quantile(quantile).item() == pytest.approx(expected, abs=0.03)
    assert torch.equal(times.draw(0, 3, range(4, 9))[0], times.draw(0, 3, range(9))[0][4:])


def test_importance_is_improved_ddpms():
    """p_t ∝ √E[L_t²] over the last ten losses of each t, uniform before; the factors keep the mean."""
    schedule = schedules.linear(4)
    times = ImportanceTimes(schedule)
    assert torch.equal(times.probabilities, torch.full((4,), 0.25, dtype=F64))
    sizes = torch.tensor([1.0, 2.0, 4.0, 1.0], dtype=F64)
    for _ in range(5):
        times.update(torch.tensor([1, 2, 3, 4]), torch.full((4,), 100.0, dtype=F64))  # will be forgotten
    for _ in range(10):
        t = torch.tensor([1, 2, 3, 4])
        times.update(t, sizes / (4 * times.probabilities))
    close(times.probabilities, 0.999 * sizes / 8 + 0.001 / 4, rtol=1e-9)
    t, factors = times.draw(0, 0, range(40_000))
    close(
        torch.bincount(t, minlength=5)[1:].double() / 40_000, times.probabilities, rtol=0.01
    )  # even: nearly no scatter
    assert (sizes[t - 1] * factors).mean().item() == pytest.approx(sizes.mean().item(), rel=1e-3)


def test_importance_of_losses_that_are_0_or_no_number():
    """All 0: every t alike. What is not finite is not remembered, and does not count as one of the ten."""
    times, t = ImportanceTimes(schedules.linear(4)), torch.tensor([1, 2, 3, 4])
    for _ in range(10):
        times.update(t, torch.zeros(4, dtype=F64))
    assert torch.equal(times.probabilities, torch.full((4,), 0.25, dtype=F64))
    times_of_draws, factors = times.draw(0, 0, range(4000))
    assert torch.bincount(times_of_draws, minlength=5)[1:].tolist() == pytest.approx([1000] * 4, abs=2)
    assert torch.equal(factors, torch.ones(4000, dtype=F64))
    sizes = torch.tensor([1.0, 2.0, 4.0, 1.0], dtype=F64)
    for number in range(15):
        bad = torch.tensor([math.nan, math.inf, -math.inf], dtype=F64)
        if number in (3, 9, 11):
            times.update(torch.tensor([1, 2, 3]), bad)
        times.update(t, sizes / (4 * times.probabilities))
    assert times.counts.tolist() == [25] * 4
    close(times.probabilities, 0.999 * sizes / 8 + 0.001 / 4, rtol=1e-9)


def test_importance_learns_in_training_and_survives_a_restart(tmp_path):
    def config(steps):
        base = tiny_config(times="importance", steps=steps, save_every=3, decay="none")
        return dataclasses.replace(base, process=dataclasses.replace(base.process, timesteps=2))

    whole, part = Trainer(config(6), stripes(), "cpu"), Trainer(config(3), stripes(), "cpu")
    list(whole.run())
    folder = RunFolder(tmp_path / "run")
    folder.begin(part.config)
    list(part.run(folder))
    resumed = Trainer(config(6), stripes(), "cpu")
    resumed.load(folder)
    list(resumed.run())
    assert whole.state.objective.times.counts.sum() == 6 * 8
    assert not torch.equal(whole.state.objective.times.probabilities, torch.full((2,), 0.5, dtype=F64))
    for one, other in zip(whole.state.parameters, resumed.state.parameters, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(whole.state.objective.times.history, resumed.state.objective.times.history)


def test_importance_outlives_a_loss_whose_square_overflows():
    times = time_distribution("importance", schedules.linear(3))
    for _ in range(10):
        times.update(torch.arange(1, 4), torch.tensor([1e160, 1.0, 1.0], dtype=torch.float64))
    assert times.probabilities.isfinite().all()
    assert times.probabilities.sum().item() == pytest.approx(1)
    for _ in range(10):
        times.update(torch.arange(1, 4), torch.ones(3))
    assert times.probabilities.isfinite().all()


# -- objectives -------------------------------------------------------------------------------------------------------


class Affine(nn.Module):
    """Answers twice the channels, one forward pass counted."""

    def __init__(self):
        super().__init__()
        self.value, self.count = nn.Parameter(torch.tensor(0.7, dtype=F64)), 0

    def forward(self, x, index):
        self.count += 1
        return torch.cat([self.value * x, 0.1 * self.value + 0 * x], dim=1)


def test_all_parts_of_a_loss_share_one_forward_pass_and_compose_in_any_order():
    net = Affine()
    denoiser = Diffusion(net, COSINE, targets.V, learned_variance=True)
    x0, times, table = torch.randn(5, 3, dtype=F64), UniformTimes(COSINE), loss_weights("min-snr", COSINE, targets.V)
    built = objectives.build(COSINE, targets.V, "uniform", "min-snr", clip=True, learned_variance=True)
    _, losses = denoiser.losses(x0, step=1, objective=built)
    assert net.count == 1
    for objective in (
        Hybrid(Weighted(Clipped(Denoising(times)), table)),
        Hybrid(Clipped(Weighted(Denoising(times), table))),
    ):
        assert torch.equal(objective.losses(denoiser, x0, step=1)[1], losses)
    weighted_bound = Weighted(Hybrid(Clipped(Denoising(times))), table)
    assert not torch.allclose(weighted_bound.losses(denoiser, x0, step=1)[1], losses)


def test_hybrid_needs_a_learned_variance():
    class Null(nn.Module):
        def forward(self, x, index):
            return torch.zeros_like(x)

    with pytest.raises(InputError, match="did not learn its variance"):
        Diffusion(Null(), COSINE).loss(torch.zeros(1, 1), step=0, objective=Hybrid(Denoising(UniformTimes(COSINE))))


def test_an_objective_of_ones_own_may_read_the_averaged_weights():
    class Distance(Objective):
        def errors(self, forward):
            other = forward.averaged.predict(forward.x_t, forward.t, **forward.condition)
            return (forward.detached_prediction.x0 - other.x0).abs().flatten(1).mean(1)

    class Scale(nn.Module):
        def forward(self, x, index, labels):
            return labels[:, None] * x

    denoiser, x0, objective = Diffusion(Scale(), COSINE), torch.ones(2, 3), Distance(UniformTimes(COSINE))
    _, losses = objective.losses(denoiser, x0, step=0, averaged=denoiser, labels=torch.tensor([1.0, 2.0]))
    assert losses.tolist() == [0, 0]
    exact = oracle.Gaussian(COSINE, 0.0, 1.0)
    _, losses = objective.losses(denoiser, x0, step=0, averaged=exact, labels=torch.tensor([1.0, 2.0]))
    assert (losses > 0).all()


# -- continuous times -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["uniform", "stratified"])
def test_continuous_uniform_times_fill_the_interval(name):
    schedule = schedules.cosine(50)
    t, importance = time_distribution(name, schedule, continuous=True).draw(3, 7, range(4000))
    assert t.dtype == torch.float64
    assert importance is None
    assert t.min() > 0
    assert t.max() <= 50
    u = t.sort().values / 50
    assert (u - (torch.arange(4000) + 0.5) / 4000).abs().max() < (1e-3 if name == "stratified" else 0.03)
    integers, _ = time_distribution(name, schedule).draw(3, 7, range(4000))
    assert torch.equal(t.ceil().long(), integers)  # the same random numbers


@pytest.mark.parametrize("make", [schedules.karras, schedules.flow, schedules.cosine])
def test_continuous_lognormal_times_have_edms_noise_levels_exactly(make):
    """On a schedule of 20 levels, which integer times would round to."""
    schedule = make(20)
    t, _ = time_distribution("lognormal", schedule, continuous=True).draw(0, 1, range(4000))
    a, b = schedule.at(t)
    z = ((b / a).log() + 1.2) / 1.2
    inner = z[(z > -2.5) & (z < 2.5)].sort().values
    expected = torch.special.ndtri((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    expected = expected[(expected > -2.5) & (expected < 2.5)]
    assert abs(len(inner) - len(expected)) < 20
    for share in (0.1, 0.5, 0.9):
        assert inner.quantile(share).item() == pytest.approx(expected.quantile(share).item(), abs=0.01)


@pytest.mark.parametrize("name", ["p2", "snr", "min-snr", "edm", "velocity"])
@pytest.mark.parametrize("target", [targets.EPS, targets.V, targets.FLOW])
def test_weights_at_float_times_are_those_of_the_table_at_the_integers(name, target):
    schedule = schedules.cosine(30)
    table = loss_weights(name, schedule, target)
    at = loss_weights(name, schedule, target, torch.arange(1, 31, dtype=torch.float64))
    torch.testing.assert_close(at, table[1:], rtol=1e-12, atol=0)
    between = loss_weights(name, schedule, target, torch.tensor([10.5], dtype=torch.float64))
    assert table[10:12].min() * (1 - 1e-9) <= between <= table[10:12].max() * (1 + 1e-9)


def test_the_variational_weight_at_float_times_integrates_to_the_bound():
    """−∫ snr' dt over a step is its difference of snr: the continuous weight is the limit of the discrete one."""
    schedule = schedules.cosine(30)
    t = torch.linspace(10, 20, 10001, dtype=torch.float64)
    integral = torch.trapezoid(x0_weights("variational", schedule, t), t)
    expected = 30 / (2 * math.log(2)) * (schedule.snr[10] - schedule.snr[20])
    torch.testing.assert_close(integral, expected, rtol=1e-6, atol=0)


class Echo(nn.Module):
    """Answers with x."""

    def forward(self, x, index):
        return x


def test_continuous_times_reach_the_network_between_the_integers():
    network_times = []

    class Watching(Echo):
        def forward(self, x, index):
            network_times.append(index)
            return x

    schedule, x0 = schedules.flow(10), torch.randn(6, 2)
    denoiser = Diffusion(Watching(), schedule, targets.FLOW)
    objective = build(schedule, targets.FLOW, time_distribution("stratified", schedule, continuous=True), "edm")
    t, losses = denoiser.losses(x0, step=0, objective=objective)
    assert network_times[0].dtype == torch.float32
    torch.testing.assert_close(network_times[0].double() + 1, t, rtol=1e-6, atol=1e-6)
    assert (t != t.round()).all()
    weights = loss_weights("edm", schedule, targets.FLOW, t)
    plain = denoiser.losses(
        x0, step=0, objective=build(schedule, targets.FLOW, time_distribution("stratified", schedule, continuous=True))
    )[1]
    torch.testing.assert_close(losses.double(), plain.double() * weights, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda s: build(s, targets.EPS, time_distribution("importance", s, continuous=True)),
            "remember the loss of each integer time",
        ),
        (
            lambda s: build(s, targets.EPS, time_distribution("uniform", s, continuous=True), learned_variance=True),
            "cannot be continuous",
        ),
        (
            lambda s: ConsistencyTuning(
                build(s, targets.EPS, time_distribution("uniform", s, continuous=True)), Stages(10, 2)
            ),
            "distillation compares integer times",
        ),
        (
            lambda s: Weighted(
                build(s, targets.EPS, time_distribution("uniform", s, continuous=True)), torch.ones(11)
            ).losses(Diffusion(Echo(), s), torch.ones(2, 2), step=0),
            "a table of t = 0..T",
        ),
    ],
)
def test_what_needs_integer_times_refuses_others(call, says):
    with pytest.raises(InputError, match=says):
        call(schedules.linear(10))
