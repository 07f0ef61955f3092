"""Distillation: the objectives against closed forms, and `ancestral distil` as a run like any other."""

import dataclasses
import math
import shutil

import pytest
import torch
from torch import nn

import ancestral
from ancestral import Diffusion, nets, oracle, randomness, samplers, schedules, storage, targets
from ancestral import config as configs
from ancestral.errors import InputError
from ancestral.events import Message
from ancestral.objectives import ConsistencyTuning, Denoising, ProgressiveDistillation, Stages, time_distribution
from ancestral.objectives.distillation import earlier
from ancestral.randomness import Stream
from ancestral.targets import Prediction
from ancestral.training import Checkpoints, RunFolder
from ancestral.workflows.distil import distil as workflow
from conftest import stripes

F64 = torch.float64
SCHEDULES = {
    "cosine": schedules.cosine(200),
    "linear": schedules.linear(100),
    "karras": schedules.karras(100),
    "flow": schedules.flow(50),
    "zero_terminal": schedules.zero_terminal(schedules.linear(40)),
    "two": schedules.cosine(2),
    "one": schedules.flow(1),
}
EACH = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
MEAN, STD = 0.2, 0.4


class Exact(nn.Module):
    """A network of a few parameters that holds a function of (x, t), so that an objective can be evaluated at it."""

    def __init__(self, schedule, function):
        super().__init__()
        self.schedule, self.function, self.target = schedule, function, targets.X0
        self.weight = nn.Parameter(torch.zeros(1, dtype=F64))

    def forward_pass(self, x0, t, eps, **condition):
        from ancestral.objectives import ForwardPass

        x_t = self.schedule.add_noise(x0, t, eps)
        return ForwardPass(self, x0, eps, t, x_t, self.function(x_t, t) + self.weight, None, condition)

    def predict(self, x_t, t, **condition):
        return targets.X0.solve(x_t, self.function(x_t, t) + self.weight, *self.schedule.at(t))


def gaussian_map(schedule):
    """f*(x, t) = m + (x − a m) s/√(a² s² + b²): where the probability flow of N(m, s²) leads from (x, t)."""

    def function(x, t):
        a, b = (torch.as_tensor(scale).to(x).reshape(-1, 1) for scale in schedule.at(t))
        return MEAN + (x - a * MEAN) * STD / (a**2 * STD**2 + b**2).sqrt()

    return function


def mixture_map(schedule, means=(-0.6, 0.5), stds=(0.15, 0.2)):
    """The quantile map: x_t at the quantile u goes to the quantile u of the data, in one dimension."""
    means, stds = (torch.tensor(values, dtype=F64) for values in (means, stds))

    def cumulative(x, a, b):
        return torch.special.ndtr((x[..., None] - a * means) / (a**2 * stds**2 + b**2).sqrt()).mean(-1)

    def function(x, t):
        a, b = (torch.as_tensor(scale).to(x).reshape(-1, 1, 1) for scale in schedule.at(t))
        u = cumulative(x, a, b)
        low, high = torch.full_like(x, -4), torch.full_like(x, 4)
        for _ in range(50):
            middle = (low + high) / 2
            below = cumulative(middle, torch.ones(1, dtype=F64), torch.zeros(1, dtype=F64)) < u
            low, high = middle.where(below, low), high.where(below, middle)
        return (low + high) / 2

    return function


def normal(n, step, stream=Stream.OWN):
    return randomness.normal((1,), 3, stream, step, range(n)).to(F64)


# -- stages and times -------------------------------------------------------------------------------------------------


def test_stages_divide_the_steps():
    assert [Stages(8, 4).at(step) for step in range(10)] == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3]
    assert [Stages(10, 4, 2).at(step) for step in range(10)] == [-1, -1, 0, 0, 1, 1, 2, 2, 3, 3]
    assert [Stages(2, 4).at(step) for step in range(2)] == [0, 2]
    assert Stages(1, 1).at(0) == 0


@EACH
def test_r_is_the_last_time_at_or_below_the_papers(schedule):
    """(σ_r of the paper in float64, by comparison with every time of the schedule.)"""
    sigma = (schedule.noise / schedule.signal).tolist()
    times = torch.arange(1, schedule.steps + 1)
    for stage in range(12):
        for t, r in zip(times.tolist(), earlier(schedule, times, stage).tolist(), strict=True):
            if math.isinf(sigma[t]):
                assert r == t - 1
                continue
            n = 1 + 8 / (1 + math.exp(min(sigma[t], 700)))
            sigma_r = max(0.0, sigma[t] * (1 - n / 2 ** (stage + 1)))
            assert r == min(max(s for s in range(t + 1) if sigma[s] <= sigma_r * (1 + 1e-12)), t - 1)


def test_the_steps_get_shorter_from_stage_to_stage():
    times = torch.arange(1, 201)
    all_r = torch.stack([earlier(SCHEDULES["cosine"], times, stage) for stage in range(10)])
    assert bool((all_r.diff(dim=0) >= 0).all())
    assert bool((all_r[0][:100] == 0).all())
    assert torch.equal(all_r[-1], times - 1)


# -- consistency tuning -----------------------------------------------------------------------------------------------


@EACH
def test_where_r_is_0_the_loss_is_that_of_denoising_with_its_weight(schedule):
    x0, eps = normal(6, 0), normal(6, 1)
    denoiser = Exact(schedule, gaussian_map(schedule))
    objective = ConsistencyTuning(Denoising(time_distribution("uniform", schedule)), Stages(10, 3))
    t = torch.arange(1, schedule.steps + 1)[earlier(schedule, torch.arange(1, schedule.steps + 1), 0) == 0][-6:]
    x0, eps = x0[: len(t)], eps[: len(t)]
    forward = denoiser.forward_pass(x0, t, eps)
    square, c = Denoising(objective.times).errors(forward), objective.HUBER
    a, b = schedule.at(t)
    weight = 1 / (b / (a**2 + b**2).sqrt()).clamp(min=objective.LEAST)
    torch.testing.assert_close(objective.errors(forward), weight * ((square + c**2).sqrt() - c), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["cosine", "linear", "karras", "flow", "sigmoid"])
@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_the_consistency_function_is_a_minimum(name, kind):
    """Its values at t are the means of those at r: the drift over a step is that of chance, and the denoiser's is not."""
    schedule = schedules.BY_NAME[name](2000)
    exact = (gaussian_map if kind == "gaussian" else mixture_map)(schedule)
    means = torch.tensor([[MEAN]] if kind == "gaussian" else [[-0.6], [0.5]], dtype=F64)
    stds = torch.tensor([STD] if kind == "gaussian" else [0.15, 0.2], dtype=F64)
    n, t = 20_000, torch.full((20_000,), schedule.steps // 2)
    which = (torch.arange(n) % len(means)).long()
    x0, eps = means[which] + stds[which, None] * normal(n, 2), normal(n, 3)
    r = earlier(schedule, t, 11)
    x_t, x_r = (schedule.add_noise(x0, s, eps) for s in (t, r))
    drift = exact(x_r, r) - exact(x_t, t)
    for part in x_t[:, 0].argsort().chunk(4):
        assert drift[part].mean().abs() < 4 * drift[part].std() / math.sqrt(len(part)) + 1e-4
    mean = oracle.Mixture(schedule, means, stds)
    wrong = mean.predict(x_r, r).x0 - exact(x_t, t)
    assert max(wrong[part].mean().abs() for part in x_t[:, 0].argsort().chunk(4)) > 0.02


@EACH
def test_the_loss_and_its_gradient_are_finite(schedule):
    """In float32, at every time, at every stage, also where the loss is 0."""
    T = schedule.steps
    denoiser = Diffusion(nets.MLP(1, 16, 1), schedule, targets.V)
    x0, eps, t = torch.zeros(T, 1), torch.zeros(T, 1), torch.arange(1, T + 1)
    for objective in (
        ConsistencyTuning(Denoising(time_distribution("uniform", schedule)), Stages(12, 12)),
        *([ProgressiveDistillation(Denoising(time_distribution("uniform", schedule)), Stages(12, 1), denoiser)]
          if T > 1 else []),
    ):  # fmt: skip
        for step in range(12):
            for scale in (0.0, 1.0):
                forward = denoiser.forward_pass(x0 + scale, t, eps + scale)
                losses = objective.errors(dataclasses.replace(forward, step=step))
                denoiser.zero_grad()
                losses.sum().backward()
                assert bool(losses.isfinite().all())
                assert all(bool(p.grad.isfinite().all()) for p in denoiser.parameters() if p.grad is not None)


def test_clipping_is_that_of_samplers():
    """x̂_0 beyond 1 costs nothing where the target is beyond 1 too; the gradient is there where it is not."""
    schedule = SCHEDULES["cosine"]
    denoiser = Exact(schedule, lambda x, t: torch.full_like(x, 1.5))
    objective = ConsistencyTuning(Denoising(time_distribution("uniform", schedule)), Stages(1, 1), clip=1.0)
    for x0, same in ((1.0, True), (0.0, False)):
        forward = denoiser.forward_pass(torch.full((1, 1), x0, dtype=F64), torch.tensor([20]), torch.zeros(1, 1, dtype=F64))
        loss = objective.errors(forward)
        assert (loss.item() == 0) == same
        (gradient,) = torch.autograd.grad(loss, denoiser.weight)
        assert (gradient.item() == 0) == same


# -- progressive distillation -----------------------------------------------------------------------------------------


@EACH
def test_one_step_of_the_goal_is_two_of_the_teacher(schedule):
    """The goal of the loss, found by its zero: a denoiser that gives it has the loss 0, and DDIM's step agrees."""
    if schedule.steps < 40:
        return

    class Teacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.of, self.schedule = oracle.Mixture(schedule, *(torch.tensor(v, dtype=F64) for v in ([[-0.6], [0.5]], [0.2, 0.3]))), schedule

        def predict(self, x_t, t, **_):
            return self.of.predict(x_t, t)

    teacher, found = Teacher(), []
    objective = ProgressiveDistillation(Denoising(time_distribution("uniform", schedule)), Stages(2, 2), teacher, 4)
    objective.estimate = lambda forward: found.append(None) or torch.zeros_like(forward.x0)
    for stage, steps in ((0, 8), (1, 4)):
        objective.stage.fill_(stage)
        times = samplers.DDIM(steps, clip=None).times(schedule)
        fine = samplers.DDIM(2 * steps, clip=None).times(schedule)
        assert fine[::2] == times
        t, s, middle = times[1], times[2], fine[3]
        x0, eps = normal(5, 4), normal(5, 5)
        forward = Exact(schedule, gaussian_map(schedule)).forward_pass(x0, torch.full((5,), t), eps)
        two = samplers.DDIM(clip=None).sample(teacher, forward.x_t, times=[t, middle, s])
        (a_t, b_t), (a_s, b_s) = schedule.at(t), schedule.at(s)
        goal = (two - b_s / b_t * forward.x_t) / (a_s - b_s / b_t * a_t)  # appendix G of the paper
        weight = max(1.0, (a_t / b_t) ** 2)
        torch.testing.assert_close(objective.errors(forward), weight * goal.square().mean(1), rtol=1e-8, atol=1e-10)


def test_times_are_those_of_the_students_sampler():
    schedule = SCHEDULES["cosine"]
    net = Diffusion(nets.MLP(1, 16, 1), schedule, targets.V)
    objective = ProgressiveDistillation(Denoising(time_distribution("stratified", schedule)), Stages(9, 3), net, 2)
    for stage, steps in enumerate((8, 4, 2)):
        objective.stage.fill_(stage)
        drawn = torch.cat([objective.draw(0, step, range(64))[0] for step in range(20)])
        assert sorted(set(drawn.tolist()), reverse=True) == samplers.DDIM(steps).times(schedule)[:-1]
        counts = torch.bincount(drawn)[drawn.unique()]
        assert counts.min() > 0.9 * counts.max()
    with pytest.raises(InputError, match="begin with 1024 steps of the teacher, and its schedule has 200"):
        ProgressiveDistillation(Denoising(time_distribution("uniform", schedule)), Stages(9, 9), net, 2)


def test_the_average_becomes_the_teacher_at_a_new_stage():
    schedule = SCHEDULES["cosine"]
    net, average = (Diffusion(nets.MLP(1, 16, 1), schedule, targets.V) for _ in range(2))
    objective = ProgressiveDistillation(Denoising(time_distribution("uniform", schedule)), Stages(4, 2), net)

    def is_teacher(model):
        return all(torch.equal(a, b) for a, b in zip(objective.teacher.parameters(), model.parameters(), strict=True))

    for step, model in enumerate((net, net, average, average)):
        objective.losses(net, torch.zeros(2, 1), step=step, averaged=average)
        assert is_teacher(model)
    assert int(objective.state["stage"]) == 1
    assert {f"teacher.{name}" for name in net.state_dict()} < set(objective.state)


# -- the sampler ------------------------------------------------------------------------------------------------------


@EACH
def test_samples_of_the_consistency_function_have_the_moments_of_the_data(schedule):
    """With 1, 2 and 5 evaluations; x_T of the exact marginal."""
    denoiser, n = Exact(schedule, gaussian_map(schedule)), 40_000
    a, b = schedule.at(schedule.steps)
    x_T = a * MEAN + math.hypot(a * STD, b) * normal(n, 6)
    for steps in {1, min(2, schedule.steps), min(5, schedule.steps)}:
        with torch.no_grad():
            x = samplers.Consistency(steps, clip=None).sample(denoiser, x_T, seed=steps)
        assert x.mean().item() == pytest.approx(MEAN, abs=5 * STD / math.sqrt(n))
        assert x.std().item() == pytest.approx(STD, rel=0.02)
        assert samplers.Consistency(steps).nfe(schedule) == steps


def test_each_step_is_fresh_noise_on_the_estimate():
    schedule = SCHEDULES["flow"]
    denoiser = Exact(schedule, lambda x, t: torch.full_like(x, 0.25))
    steps = list(samplers.Consistency(3).trajectory(denoiser, torch.zeros(4, 1, dtype=F64), noise=lambda s: torch.ones(s)))
    for step in steps[1:]:
        a, b = schedule.at(step.t)
        torch.testing.assert_close(step.x, torch.full_like(step.x, a * 0.25 + b))


# -- small networks ---------------------------------------------------------------------------------------------------


def fit(denoiser, objective, steps, lr=2e-3):
    """Train on N(m, s²), and return the average of the weights."""
    from ancestral.training.ema import EMA

    ema, optimiser = EMA(denoiser.parameters(), 0.98), torch.optim.Adam(denoiser.parameters(), lr)
    averaged = Diffusion(nets.MLP(1, 32, 1), denoiser.schedule, denoiser.target).requires_grad_(False)
    for parameter, weight in zip(averaged.parameters(), ema.weights, strict=True):
        parameter.data = weight
    errors = []
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / steps))
        x0 = (MEAN + STD * normal(256, step)).float()
        optimiser.zero_grad()
        objective.losses(denoiser, x0, step=step, averaged=averaged)[1].mean().backward()
        optimiser.step()
        ema.update(denoiser.parameters(), step + 1)
        errors.append(distance(averaged))
    return averaged, errors


def distance(denoiser, t=None):
    """Root-mean-square distance to the consistency function at T over the samples of the prior."""
    schedule = denoiser.schedule
    u = (torch.arange(200, dtype=F64) + 0.5) / 200
    x = (schedule.prior_std * torch.special.ndtri(u))[:, None].float()
    with torch.no_grad():
        found = denoiser.predict(x, schedule.steps).x0
    return (found - gaussian_map(schedule)(x, schedule.steps)).square().mean().sqrt().item()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cosine", "flow", "karras"])
def test_a_small_network_approaches_the_consistency_function(name):
    """Of Gaussian data; the error falls from stage to stage, and is far below that of the denoiser."""
    torch.manual_seed(0)
    schedule = schedules.karras(100, sigma_max=20.0) if name == "karras" else schedules.BY_NAME[name](100)
    denoiser = Diffusion(nets.MLP(1, 32, 1), schedule, targets.EDM)
    denoising = Denoising(time_distribution("stratified", schedule))
    averaged, _ = fit(denoiser, denoising, 600)
    before = distance(averaged)
    denoiser.load_state_dict(averaged.state_dict())
    averaged, errors = fit(denoiser, ConsistencyTuning(denoising, Stages(1200, 6)), 1200, 1e-3)
    print(name, before, [round(errors[200 * k - 1], 4) for k in range(1, 7)])
    assert errors[-1] < 0.2 * before
    assert errors[-1] < 0.6 * errors[199]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cosine", "flow"])
def test_a_progressive_student_approaches_the_map_of_its_teacher(name):
    torch.manual_seed(0)
    schedule = schedules.BY_NAME[name](100)
    denoiser = Diffusion(nets.MLP(1, 32, 1), schedule, targets.EDM)
    denoising = Denoising(time_distribution("stratified", schedule))
    averaged, _ = fit(denoiser, denoising, 600)
    before = distance(averaged)
    denoiser.load_state_dict(averaged.state_dict())
    averaged, errors = fit(denoiser, ProgressiveDistillation(denoising, Stages(1000, 5), averaged), 1000, 1e-3)
    print(name, before, [round(errors[200 * k - 1], 4) for k in range(1, 6)])
    assert errors[-1] < 0.2 * before
