"""Distillation: the objectives against closed forms, and `ancestral distil` as a run like any other."""

import copy
import dataclasses
import itertools
import math
import shutil

import pytest
import torch
from torch import nn

import ancestral
from ancestral import Diffusion, nets, oracle, randomness, samplers, schedules, targets
from ancestral import config as configs
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.declarations import Distil
from ancestral.objectives import ConsistencyTuning, Denoising, ProgressiveDistillation, Stages, time_distribution
from ancestral.objectives.distillation import earlier
from ancestral.randomness import Stream
from ancestral.training import Checkpoints, Progress, RunFolder, Trainer
from tiny_models import events_of, same_tensors, stripes

workflow = events_of(Distil)

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

    def function(x, t, s=None):
        """Where the path through x at t is at s; None is the data."""
        a, b = (torch.as_tensor(scale).to(x).reshape(-1, 1, 1) for scale in schedule.at(t))
        c, d = (1.0, 0.0) if s is None else map(float, schedule.at(s))
        u = cumulative(x, a, b)
        low, high = torch.full_like(x, -4), torch.full_like(x, 4)
        for _ in range(50):
            middle = (low + high) / 2
            below = cumulative(middle, torch.tensor(c, dtype=F64), torch.tensor(d, dtype=F64)) < u
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
    weight = 1 / (b / a).clamp(objective.LEAST, objective.MOST)
    torch.testing.assert_close(objective.errors(forward), weight * ((square + c**2).sqrt() - c), rtol=1e-9, atol=0)


@EACH
def test_with_a_teacher_x_r_is_its_heun_step_from_x_t(schedule):
    """By hand, at every time; in the stages before the first one that is taught, x_r has the noise of x_t."""
    n = schedule.steps
    mixture = oracle.Mixture(schedule, torch.tensor([[MEAN]], dtype=F64), torch.tensor([STD], dtype=F64))
    taught = Exact(schedule, lambda x, t: mixture.predict(x, t).x0)
    denoiser, base = Exact(schedule, gaussian_map(schedule)), Denoising(time_distribution("uniform", schedule))
    objective = ConsistencyTuning(base, Stages(6, 6), None, taught, taught_from=3, share=0.7)
    with torch.no_grad():
        taught.weight += 1  # the objective has a copy
    x0, eps, t = normal(n, 4), normal(n, 5), torch.arange(1, n + 1)
    forward = denoiser.forward_pass(x0, t, eps)
    a, b = (scale.to(F64)[:, None] for scale in schedule.at(t))
    guess = mixture.predict(forward.x_t, t).x0
    for stage in range(6):
        r = earlier(schedule, t, stage)
        a_r, b_r = (scale.to(F64)[:, None] for scale in schedule.at(r))
        x_r = a_r * x0 + b_r * eps
        if stage >= 3:
            euler = a_r * guess + b_r * (forward.x_t - a * guess) / b
            then = mixture.predict(euler, r.clamp(min=1)).x0
            noise = (forward.x_t - a * guess) / b + (euler - a_r * then) / b_r
            x_r = 0.3 * x_r + 0.7 * (forward.x_t + ((a_r - a) * (guess + then) + (b_r - b) * noise) / 2)
        goal = torch.where((r > 0)[:, None], gaussian_map(schedule)(x_r, r), x0)
        square, c = (forward.answer - goal).square()[:, 0], objective.HUBER
        sigma = schedule.noise / schedule.signal
        step = (sigma[t] - sigma[r]).nan_to_num(objective.MOST).clamp(objective.LEAST, objective.MOST)
        loss = objective.errors(dataclasses.replace(forward, step=stage))
        torch.testing.assert_close(loss, ((square + c**2).sqrt() - c) / step, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["cosine", "linear", "karras", "flow"])
def test_a_teacher_takes_the_chance_out_of_the_loss(name):
    """At f* the difference of the estimates over the step's length is of second order in it, as Heun's method is.

    With the noise of the data it does not fall with the step at all.
    """
    schedule = schedules.BY_NAME[name](4000)
    mixture = oracle.Mixture(schedule, torch.tensor([[MEAN]], dtype=F64), torch.tensor([STD], dtype=F64))
    taught, denoiser = (
        Exact(schedule, function) for function in (lambda x, t: mixture.predict(x, t).x0, gaussian_map(schedule))
    )
    base, n = Denoising(time_distribution("uniform", schedule)), 2000
    t = torch.full((n,), schedule.steps // 2)
    forward = denoiser.forward_pass(MEAN + STD * normal(n, 6), t, normal(n, 7))
    sigma = schedule.noise / schedule.signal

    def squares(stage, objective):
        loss = objective.errors(dataclasses.replace(forward, step=stage)).detach()
        step = (sigma[t] - sigma[earlier(schedule, t, stage)]).clamp(objective.LEAST, objective.MOST)
        return float(((loss * step + objective.HUBER) ** 2 - objective.HUBER**2).mean() / step.mean() ** 2)

    tuning, distilling = (ConsistencyTuning(base, Stages(12, 12), None, each, share=1.0) for each in (None, taught))
    for stage in (4, 6):
        assert squares(stage, distilling) < 0.05 * squares(stage, tuning)
    assert 10 < squares(4, distilling) / squares(5, distilling) < 25  # 2⁴
    assert 0.5 < squares(4, tuning) / squares(5, tuning) < 1.6


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
        forward = denoiser.forward_pass(
            torch.full((1, 1), x0, dtype=F64), torch.tensor([20]), torch.zeros(1, 1, dtype=F64)
        )
        loss = objective.errors(forward)
        assert (loss.item() == 0) == same
        (gradient,) = torch.autograd.grad(loss, denoiser.weight)
        assert (gradient.item() == 0) == same


# -- progressive distillation -----------------------------------------------------------------------------------------


@EACH
def test_one_step_of_the_goal_is_two_of_the_teacher(schedule):
    """The goal of the loss, against two steps of the sampler and the paper's formula."""
    if schedule.steps < 40:
        return

    means, stds = torch.tensor([[-0.6], [0.5]], dtype=F64), torch.tensor([0.2, 0.3], dtype=F64)

    class Teacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.of, self.schedule = oracle.Mixture(schedule, means, stds), schedule

        def predict(self, x_t, t, **_):
            return self.of.predict(x_t, t)

    teacher = Teacher()
    objective = ProgressiveDistillation(Denoising(time_distribution("uniform", schedule)), Stages(2, 2), teacher, 4)
    objective.estimate = lambda forward: torch.zeros_like(forward.x0)  # so the loss is the goal's square
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


# -- small networks ---------------------------------------------------------------------------------------------------


def gaussian_items(step):
    return (MEAN + STD * normal(256, step)).float()


def mixture_items(step, means=(-0.6, 0.5), stds=(0.15, 0.2)):
    means, stds = (torch.tensor(values, dtype=F64).repeat(128)[:, None] for values in (means, stds))
    return (means + stds * normal(256, step)).float()


def fit(denoiser, objective, steps, every, lr=2e-3, decay=True, items=gaussian_items, error=None):
    """Train on items, and return the denoiser with the average of the weights, and its errors every so often."""
    from ancestral.training import EMA

    ema, optimiser = EMA(denoiser.parameters(), 0.98), torch.optim.Adam(denoiser.parameters(), lr)
    averaged = copy.deepcopy(denoiser).requires_grad_(False)
    for parameter, weight in zip(averaged.parameters(), ema.weights, strict=True):
        parameter.data = weight
    errors = []
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1, (step + 1) / 20)
        if decay:
            optimiser.param_groups[0]["lr"] *= 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        objective.losses(denoiser, items(step), step=step, averaged=averaged)[1].mean().backward()
        optimiser.step()
        ema.update(denoiser.parameters(), step + 1)
        if (step + 1) % every == 0:
            errors.append((error or distance)(averaged))
    return averaged, errors


def rms(x):
    return x.square().mean().sqrt().item()


def prior(schedule, n=200):
    """Evenly spaced quantiles of x_T."""
    u = (torch.arange(n, dtype=F64) + 0.5) / n
    return (schedule.prior_std * torch.special.ndtri(u))[:, None]


def distance(denoiser, exact=gaussian_map):
    """Root-mean-square distance to the consistency function at T over the samples of the prior."""
    schedule = denoiser.schedule
    x = prior(schedule)
    with torch.no_grad():
        return rms(denoiser.predict(x.float(), schedule.steps).x0 - exact(schedule)(x, schedule.steps))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cosine", "flow", "karras"])
def test_a_small_network_approaches_the_consistency_function(name):
    """Of Gaussian data; the error falls from stage to stage, and is far below that of the denoiser."""
    torch.manual_seed(0)
    schedule = schedules.karras(100, sigma_max=20.0) if name == "karras" else schedules.BY_NAME[name](100)
    denoiser = Diffusion(nets.MLP(1, 32, 1), schedule, targets.EDM)
    denoising = Denoising(time_distribution("stratified", schedule))
    averaged, (before,) = fit(denoiser, denoising, 600, 600)
    denoiser.load_state_dict(averaged.state_dict())
    averaged, errors = fit(denoiser, ConsistencyTuning(denoising, Stages(1200, 6)), 1200, 200, 1e-3)
    assert errors[-1] < 0.2 * before
    assert errors[-1] < 0.6 * errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cosine", "flow"])
def test_a_progressive_student_approaches_the_map_of_its_teacher(name):
    torch.manual_seed(0)
    schedule = schedules.BY_NAME[name](100)
    denoiser = Diffusion(nets.MLP(1, 32, 1), schedule, targets.EDM)
    denoising = Denoising(time_distribution("stratified", schedule))
    averaged, (before,) = fit(denoiser, denoising, 600, 600)
    denoiser.load_state_dict(averaged.state_dict())
    x = (schedule.prior_std * torch.linspace(-2, 2, 100, dtype=F64))[:, None].float()
    ddim = samplers.DDIM(32, clip=None).sample(averaged, x)
    averaged, errors = fit(
        denoiser, ProgressiveDistillation(denoising, Stages(1000, 5), averaged), 1000, 200, 1e-3, False
    )
    assert rms(averaged.predict(x, schedule.steps).x0 - ddim) < 0.03
    assert errors[-1] < 0.1 * before


@pytest.mark.slow
def test_a_small_network_approaches_the_quantile_map():
    """Of a mixture in one dimension, by each method, where a denoiser has the mean of both parts.

    The distance to the map, and that of two estimates on one path, fall from stage to stage.
    """
    torch.manual_seed(0)
    schedule = schedules.flow(100)
    denoiser = Diffusion(nets.MLP(1, 64, 2), schedule, targets.EDM)
    denoising = Denoising(time_distribution("stratified", schedule))
    x, whole, half = prior(schedule), schedule.steps, schedule.steps // 2
    later = mixture_map(schedule)(x, whole, half)

    def error(averaged):
        with torch.no_grad():
            one, other = averaged.predict(x.float(), whole).x0, averaged.predict(later.float(), half).x0
        return distance(averaged, mixture_map), rms(one - other)

    start, (before,) = fit(denoiser, denoising, 800, 800, items=mixture_items, error=error)
    for teacher in (None, start):
        denoiser.load_state_dict(start.state_dict())
        objective = ConsistencyTuning(denoising, Stages(1800, 6), None, teacher, 2)
        errors = fit(denoiser, objective, 1800, 300, 1e-3, items=mixture_items, error=error)[1]
        for earlier_stage, later_stage in itertools.pairwise([before, *errors]):
            assert later_stage[0] < 1.05 * earlier_stage[0]
            assert later_stage[1] < 1.05 * earlier_stage[1]
        assert errors[-1][0] < 0.22 * before[0]
        assert errors[-1][1] < 0.35 * before[1]
    denoiser.load_state_dict(start.state_dict())
    objective = ProgressiveDistillation(denoising, Stages(1500, 5), start)
    errors = fit(denoiser, objective, 1500, 300, 1e-3, False, mixture_items, error)[1]
    distances = [map_error for map_error, _ in errors]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.1 * before[0]


# -- the run ----------------------------------------------------------------------------------------------------------

NET = {"width": 16, "mults": (1,), "blocks": 1, "attention": (8,), "dropout": 0.1}
FAST = {"batch_size": 8, "trackers": ("none",), "workers": 0, "warmup": 1, "progress": False, "device": "cpu",
        "threads": 1}  # fmt: skip
SHORT = {"steps": 6, "save_every": 2, "sample_every": 100, "keep": 9, **FAST}
STAGED = {"stages": 4, **SHORT}
METHODS = [("consistency", {"stages": 4}), ("tuning", {"stages": 4}), ("progressive", {"stages": 3, "evaluations": 1})]


def data():
    items = stripes(40)
    return (items.items, items.labels)


def teacher(out, **settings):
    return ancestral.train("arrays", data=data(), out=out, steps=2, save_every=2, sample_every=100, **NET, **FAST,
                           **settings)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Run folders of models of two steps, by target."""
    folder = tmp_path_factory.mktemp("source")
    for target in ("v", "eps"):
        teacher(folder / target, target=target)
    return folder


def state(folder, step=None):
    checkpoints = Checkpoints(folder / "checkpoints")
    step = checkpoints.steps()[-1] if step is None else step
    return storage.read_tensors(checkpoints.path(step) / "state.safetensors")[0]


@pytest.mark.parametrize(
    ("method", "options"),
    [pytest.param(*one, id=one[0], marks=[pytest.mark.long] * (one[0] != "progressive")) for one in METHODS],
)
@pytest.mark.parametrize("target", [pytest.param("v", marks=pytest.mark.slow), "eps"])
def test_a_distilled_run_is_a_run(source, tmp_path, method, options, target):
    out = tmp_path / "fast"
    run = ancestral.distil(source / target, data(), out=out, method=method, **options, **SHORT)
    config = RunFolder(out).read_config()
    assert config == run.model.config == ancestral.load(out).config
    assert config.initial == configs.InitialConfig(
        str(source / target), storage.sha256(source / target / "model.safetensors")
    )
    assert config.distil.method == method
    assert (config.process.target, config.distil.convert) == ("v", 0.0 if target == "v" else 0.25)
    evaluations = options.get("evaluations", 2)
    assert run.model.sampler().nfe(run.model.denoiser.schedule) == evaluations
    assert run.model.sample(4).shape == (4, 1, 8, 8)
    assert bool(run.model.sample(4, label=1, guidance=2).double().isfinite().all())
    start, weights = state(out, 0), storage.read_tensors(source / target / "model.safetensors")[0]
    assert all(torch.equal(value, start[f"net.{name}"]) for name, value in weights.items())
    info = str(ancestral.info(out))
    assert f"distilled by the method {method}" in " ".join(info.split())
    assert method in (out / "report.html").read_text()
    assert (out / "samples" / "000006.png").exists()


@pytest.mark.long
@pytest.mark.parametrize(("method", "options"), METHODS, ids=[method for method, _ in METHODS])
@pytest.mark.parametrize("killed", [3, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 2, 5))])
def test_a_resumed_run_is_the_whole_run_without_its_teacher(source, tmp_path, method, options, killed):
    """Bit for bit, across the boundaries of stages, and from checkpoints at one."""
    teacher_run = shutil.copytree(source / "eps", tmp_path / "teacher")
    arguments = {"method": method, **options, **{n: v for n, v in SHORT.items() if n != "progress"}}
    ancestral.distil(teacher_run, data(), out=tmp_path / "whole", **arguments, progress=False)
    events, steps = workflow(teacher_run, data(), out=tmp_path / "cut", **arguments), 0
    for event in events:
        steps += isinstance(event, Progress)
        if steps == killed:
            break
    events.close()
    shutil.rmtree(teacher_run)
    ancestral.distil(teacher_run, data(), out=tmp_path / "cut", resume=True, **arguments, progress=False)
    assert same_tensors(state(tmp_path / "whole"), state(tmp_path / "cut"))
    assert RunFolder(tmp_path / "cut").read_config() == RunFolder(tmp_path / "whole").read_config()
    if method == "progressive":
        assert int(state(tmp_path / "cut")["times.stage"]) == 2


@pytest.mark.long
def test_train_resumes_it_too_and_repeats_it_from_its_config_and_its_steps_are_fixed(source, tmp_path):
    options = {name: value for name, value in SHORT.items() if name != "steps"}
    ancestral.distil(source / "v", data(), out=tmp_path / "whole", steps=4, stages=4, **options)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(Checkpoints(tmp_path / "cut" / "checkpoints").path(4))
    ancestral.train("arrays", data=data(), out=tmp_path / "cut", resume=True, progress=False, device="cpu")
    ancestral.train(str(tmp_path / "whole" / "config.json"), data=data(), out=tmp_path / "again", progress=False)
    for name in ("cut", "again"):
        assert same_tensors(state(tmp_path / "whole"), state(tmp_path / name))
    with pytest.raises(InputError, match="was trained with steps=4, so it cannot go on with 8"):
        ancestral.train("arrays", data=data(), out=tmp_path / "cut", resume=True, steps=8, progress=False)


@pytest.mark.long
def test_a_schedule_given_from_python_is_in_the_file(tmp_path, run):
    custom = dataclasses.replace(schedules.cosine(20), spec={})
    ancestral.train("points", schedule=custom, target="v", out=tmp_path / "a", width=16, **SHORT)
    folder = ancestral.distil(tmp_path / "a", out=tmp_path / "b", **STAGED).folder
    assert "Already at step 6 of 6" in run("train", "--out", folder, "--resume", "--device", "cpu")
    assert torch.equal(ancestral.load(folder).denoiser.schedule.signal, custom.signal)


@pytest.mark.long
def test_a_distilled_model_is_distilled_again(source, tmp_path):
    ancestral.distil(source / "v", data(), out=tmp_path / "a", **STAGED)
    run = ancestral.distil(ancestral.load(tmp_path / "a"), data(), out=tmp_path / "b", stages=2, **SHORT)
    assert run.model.config.initial.model == str(tmp_path / "a" / "model.safetensors")
    assert run.model.config.distil.stages == 2
    assert "a model that was distilled is no teacher" in str(ancestral.info(tmp_path / "b"))
    with pytest.raises(InputError, match="no steps of DDIM to teach"):
        ancestral.distil(tmp_path / "a", data(), out=tmp_path / "c", method="progressive", **STAGED)


@pytest.mark.long
@pytest.mark.parametrize(
    "settings",
    [{"learned_variance": True}, {"net": "mlp"}, pytest.param({"clip": True, "target": "x0"}, marks=pytest.mark.slow)],
    ids=str,
)
def test_other_models(tmp_path, settings):
    points = settings.get("net") == "mlp"
    common = {"steps": 3, "save_every": 3, "sample_every": 100, **FAST}
    if points:
        run = ancestral.train("points", out=tmp_path / "a", width=16, **common)
    else:
        run = ancestral.train("arrays", data=data(), out=tmp_path / "a", **NET, **{"target": "v", **settings}, **common)
    items, method = (None, "consistency") if points else (data(), "progressive")
    fast = ancestral.distil(tmp_path / "a", items, out=tmp_path / method, method=method, stages=2, **common)
    assert fast.model.config.net == run.model.config.net
    assert bool(fast.model.sample(3).double().isfinite().all())


class Own(nn.Module):
    def __init__(self, shape=(1, 8, 8), classes=0):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(shape[0], shape[0], 3, padding=1), nn.BatchNorm2d(shape[0])

    def forward(self, x, index):
        return self.layer(self.norm(x))


@pytest.mark.long
def test_a_network_a_target_and_a_schedule_of_ones_own(tmp_path):
    custom = targets.Target("own", lambda a, b: -b, lambda a, b: a)
    table = dataclasses.replace(schedules.linear(100), noise=schedules.linear(100).noise * 0.99, spec={})
    parts = {"net": Own, "target": custom, "schedule": table}
    ancestral.train("arrays", data=data()[0], out=tmp_path / "a", **parts, **SHORT)
    for method in ("consistency", "progressive"):
        arguments = {"method": method, "stages": 3, **SHORT}
        ancestral.distil(tmp_path / "a", data()[0], out=tmp_path / method, **parts, **arguments)
        assert RunFolder(tmp_path / method).read_config().distil.method == method
    bad = dataclasses.replace(custom, name="bad", p=lambda a, b: 0.0, q=lambda a, b: 1.0)
    ancestral.train("arrays", data=data()[0], out=tmp_path / "b", target=bad, **NET, **SHORT)
    with pytest.raises(InputError, match=r"multiplies the network's errors by 2.03e\+04"):
        ancestral.distil(tmp_path / "b", data()[0], out=tmp_path / "c", target=bad, **STAGED)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "fast"}, "method cannot be 'fast': give consistency, tuning, progressive"),
        ({"stages": 31}, "stages must be from 1 to 30, not 31"),
        ({"stages": 0}, "stages must be from 1 to 30, not 0"),
        ({"evaluations": 0}, "evaluations must be at least 1, not 0"),
        ({"stages": 7}, "6 steps are too few for 7 stages"),
        ({"initial": "runs/a"}, "there is no setting 'initial'"),
        ({"method": "progressive", "stages": 12, "steps": 12}, "take fewer stages"),
        ({"width": 32}, "has width=16, so"),
        ({"schedule": schedules.linear()}, "has another schedule"),
        ({"target": "eps"}, "trains the target v, not eps: leave target out"),
        ({"weighting": "snr"}, "weights of their own: leave weighting out"),
        ({"data": None}, "the data of this model were given from Python"),
    ],
    ids=str,
)
def test_bad_input_is_refused_in_one_line(source, tmp_path, options, says):
    arguments = {"data": data(), **STAGED, **options}
    with pytest.raises(InputError, match=says):
        ancestral.distil(source / "v", out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there_and_a_run_of_another_kind(source, tmp_path):
    with pytest.raises(InputError, match="no run folder or model file nowhere"):
        ancestral.distil("nowhere", out=tmp_path / "run")
    ancestral.distil(source / "v", data(), out=tmp_path / "a", **STAGED)
    with pytest.raises(InputError, match="already holds a run"):
        ancestral.distil(source / "v", data(), out=tmp_path / "a", **STAGED)
    for options in ({"method": "progressive"}, {"stages": 3}, {"evaluations": 1}):
        with pytest.raises(InputError, match="holds another distillation"):
            ancestral.distil(source / "v", data(), out=tmp_path / "a", resume=True, **{**STAGED, **options})
    with pytest.raises(InputError, match="holds a run that is no distillation"):
        ancestral.distil(source / "v", data(), out=source / "v", resume=True, **STAGED)
    with pytest.raises(InputError, match="so it cannot go on from"):
        ancestral.distil(source / "eps", data(), out=tmp_path / "a", resume=True, **STAGED)


@pytest.mark.long
def test_from_the_command_line(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ("--trackers", "none", "--threads", 1, "--device", "cpu")
    run("train", "points", "--steps", 2, "--width", 16, *quick)
    run("distil", "runs/points", "--steps", 3, "--stages", 2, "--evaluations", 1, *quick)
    model = ancestral.load("runs/points-consistency")
    assert model.config.sample.sampler == "consistency:steps=1"
    assert model.config.process.target == "v"
    run("distil", "runs/points", "--method", "progressive", "--stages", 2, "--steps", 3, "--out", "b", *quick)
    assert ancestral.load("b").config.sample.sampler == "ddim:steps=2"
    (tmp_path / "runs" / "points").rename(tmp_path / "runs" / "moved")
    for method in ([], ["--method", "progressive"]):  # of the same file at another place
        text = run("distil", "runs/moved", *method, "--out", "b", "--resume", *quick)
        assert "Already at step 3 of 3." in text
        assert "about" not in text  # no time of steps that are not to come
    assert "sampler ddim:steps=2" in " ".join(run("info", "b").split())
    few = ("-n", 2, "--threads", 1)
    assert "distilled for 2 steps of ddim" in run("sample", "b", *few, "--steps", 1)
    assert "distilled" not in run("sample", "b", *few)
    assert "for the sampler consistency" in run("sample", "runs/points-consistency", *few, "--sampler", "ddim")


@pytest.mark.parametrize(
    ("process", "method", "target"),
    [
        (configs.ProcessConfig("cosine", target="x0"), "consistency", "skip"),
        (configs.ProcessConfig("cosine", target="x0"), "progressive", "x0"),
        (configs.ProcessConfig("linear", target="eps"), "progressive", "v"),
        (configs.ProcessConfig("geometric", target="eps"), "consistency", "edm"),
        (configs.ProcessConfig("geometric", target="score"), "consistency", "edm"),
        (configs.ProcessConfig("cosine", target="score"), "progressive", "edm"),
        (configs.ProcessConfig("flow", target="flow"), "consistency", "flow"),
        (configs.ProcessConfig("karras", target="edm"), "progressive", "edm"),
    ],
    ids=str,
)
def test_a_converted_model_keeps_the_scale_of_its_input(process, method, target):
    config = configs.distilled(dataclasses.replace(configs.preset("digits"), process=process), method)
    assert (config.process.target, config.distil.convert > 0) == (target, process.target in ("eps", "score"))
    schedule = schedules.from_spec(process.schedule_spec())
    before, after = (targets.from_name(name).scales(schedule, 500)[0] for name in (process.target, target))
    assert before == after


def test_the_teacher_has_the_target_that_it_was_trained_with():
    """Whatever the run is converted to. What was distilled is no denoiser to take steps with."""
    base = configs.preset("digits")
    first = configs.distilled(base)
    assert (first.distil.taught_from, first.distil.teacher_target, first.process.target) == (3, "x0", "skip")
    flow = dataclasses.replace(base, process=configs.ProcessConfig("flow", target="flow"))
    assert configs.distilled(flow).distil.teacher_target == ""
    for method in ("consistency", "tuning", "progressive"):
        again = configs.distilled(configs.distilled(base, method))
        assert (again.distil.method, again.distil.taught_from, again.distil.teacher_target) == ("consistency", None, "")
    assert configs.distilled(base, "tuning").distil.taught_from is None
    assert configs.distilled(base, "progressive").distil.taught_from is None


@pytest.mark.long
def test_the_teacher_of_a_run_is_its_first_model(source, tmp_path):
    out = tmp_path / "fast"
    ancestral.distil(source / "eps", data(), out=out, **STAGED)
    first = ancestral.load(source / "eps")
    trainer = Trainer(RunFolder(out).read_config(), stripes(40), "cpu")
    trainer.load(RunFolder(out))
    x, t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 500, 1000])
    expected = first.diffusion.predict(x, t, labels=torch.tensor([0, 1, 0]))
    prediction = trainer.state.objective.teacher.predict(x, t, labels=torch.tensor([0, 1, 0]))
    assert torch.equal(prediction.eps, expected.eps)
    assert trainer.denoiser.target.name == "v"


@pytest.mark.parametrize("method", ["consistency", "progressive"])
def test_all_noise_levels_are_trained_whatever_the_times_of_the_model(method):
    """EDM's log-normal times draw 1 in 8,000 from the last fifth of its schedule, where samples start."""
    config = configs.distilled(configs.preset("edm"), method)
    schedule = schedules.from_spec(config.process.schedule_spec())
    t, _ = time_distribution(config.train.times, schedule).draw(0, 1, range(5000))
    shares = torch.histc(t.double(), 5, 1, schedule.steps + 1) / 5000
    assert shares.tolist() == pytest.approx([0.2] * 5, abs=0.01)
    assert config.train.weighting == "simple"  # not the model's: the methods have weights of their own
