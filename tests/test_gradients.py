"""The gradient of every public function against central differences in float64, a row each.

Public are the names that the reference documents. One whose result may hold a tensor has a row of `DIFFERENTIABLE` or
of `DETACHED`, or is in a group of those without a graph, and its docstring, or that of its class or module, says which.
"""

import dataclasses
import importlib
import inspect
import re
import typing
from pathlib import Path

import pytest
import torch
from torch import nn

from ancestral import (
    adaptive,
    bound,
    curves,
    gaussian,
    guidance,
    nets,
    objectives,
    operators,
    oracle,
    probability_flow,
    reverse,
    samplers,
    scaling,
    schedules,
    targets,
)
from ancestral.covariance import Covariance
from ancestral.data import Codec, DataSpec
from ancestral.diffusion import Diffusion
from ancestral.gaussian import DiagonalGaussian
from ancestral.metrics import colour, copies, distances, ensembles, linear_classifier, neighbours, precision_recall
from ancestral.objectives import weightings
from ancestral.targets import Prediction

F64 = torch.float64
PAGES = ("theory", "likelihood", "objectives", "samplers", "nets", "metrics", "data", "interop")
TENSORS = re.compile(
    r"Tensor|Prediction|Gaussian|Scalar|Bound|Term|OdeState|Step|Moments|Features|ForwardPass|Recording|Covariance|Self|"
    r"Mixture|Nearest|KernelSums|Balls|PrecisionRecall|Copies|LinearClassifier|Memorisation|Augmentation"
)
SHAPE, T = (2, 1, 4, 4), torch.tensor([5, 12])
SCHEDULE = schedules.cosine(20)


def draw(*shape, seed=0, scale=1.0, shift=0.0):
    """A leaf of normal numbers."""
    values = torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))
    return (shift + scale * values).requires_grad_()


def x(seed=0, scale=1.0):
    return draw(*SHAPE, seed=seed, scale=scale)


def times():
    return torch.tensor([5.3, 12.6], dtype=F64, requires_grad=True)


class Net(nn.Module):
    """A smooth network of one hidden layer, which mixes all numbers of an item."""

    def __init__(self, size, channels=1):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(size + 1, 6), nn.Tanh(), nn.Linear(6, channels * size)).double()
        self.channels = channels

    def forward(self, x, index, labels=None, observed=None):
        answer = self.layers(torch.cat([x.flatten(1), index[:, None].to(x) / 20], 1))
        answer = answer.reshape(len(x), self.channels * x.shape[1], *x.shape[2:])
        return answer if labels is None else answer * (1 + labels.to(x).reshape(-1, *[1] * (x.ndim - 1)))


class Power(nn.Module):
    """The learned curve of a flow, b = u^power."""

    def __init__(self):
        super().__init__()
        self.power = nn.Parameter(torch.tensor(1.5, dtype=F64))

    def forward(self, t):
        b = (t / 10) ** self.power
        return 1 - b, b


def learned():
    curve = Power()
    with torch.no_grad():
        signal, noise = curve(torch.arange(11, dtype=F64))
    return schedules.Schedule(signal, noise, curve=curve), curve.power


def denoiser(size=16, target=targets.V, schedule=SCHEDULE, **options):
    return Diffusion(Net(size, 1 + bool(options)), schedule, target, **options).eval()


def of(function, *inputs, also=()):
    """A row: a function of leaves, and others that it reads."""
    return lambda: function(*inputs), [*inputs, *also]


def of_denoiser(wrap, *more, size=16, t=T, also=(), **condition):
    """A row: the estimate of a denoiser around a network, in x_t, the network's weights and more."""
    model = denoiser(size)
    x_t = x()
    return lambda: wrap(model, *more).predict(x_t, t, **condition), [x_t, *model.parameters(), *more, *also]


def move(predict=None, s=4, t=9):
    return samplers.Move(SCHEDULE, t, s, predict, lambda number: x(seed=20 + number).detach())


def advance(sampler, state=None, s=4):
    """A row: a step of a sampler, in x, the prediction and the weights of what it evaluates."""
    model, x_t, x0, eps = denoiser(), x(), x(1, 0.3), x(2)
    fraction = draw(*SHAPE, seed=3, scale=0.1, shift=0.5)
    learns = getattr(sampler, "variance", None) == "learned"
    step = move(lambda x, t: Prediction(*model.predict(x, t), fraction), s)
    asks = isinstance(sampler, samplers.Heun | samplers.Langevin | samplers.PredictorCorrector)

    def function():
        prediction = Prediction(x0, eps, fraction)
        history = state(x_t, x0) if state else None
        return sampler.advance(x_t, prediction, step, history)[0]

    inputs = {
        samplers.Consistency: [x0],
        samplers.DDIM: [x0, eps],
        samplers.Euler: [x_t, x0, eps],
        samplers.Heun: [x_t, x0, eps],
        samplers.Langevin: [x_t, eps],
    }.get(type(sampler), [x_t, x0])
    return function, [*inputs, *([fraction] if learns else []), *(model.parameters() if asks else [])]


def solve(solver):
    """A row: a system with a matrix of its own, in the right side and the matrix."""
    root, right = draw(5, 5, seed=1, scale=0.4), draw(2, 5)
    matrix = lambda v: v + (v @ root) @ root.T  # noqa: E731
    return of(lambda right: solver(matrix, right), right, also=[root])


def operator_row(operator, kind, shape=(3, 4, 4)):
    """A row: A, its adjoint or its pseudo-inverse."""
    item = draw(2, *shape)
    y = operator.apply(item).detach().requires_grad_()
    return of(operator.apply, item) if kind == "apply" else of(lambda y: getattr(operator, kind)(y, shape), y)


def conditional(make):
    """A row: what `given` returns, in y and the parameters of the density."""
    y, x_t = draw(1, 1, 2, 4, seed=5), x()
    exact, parameters = make()
    operator = operators.Crop((0, 0), (2, 4))
    return lambda: exact().given(y, operator, 0.3).predict(x_t, T), [x_t, y, *parameters]


def gaussian_density():
    mean, std = draw(1, 1, 4, 4, seed=3), draw(1, 4, 4, seed=4, scale=0.1, shift=0.7)
    return lambda: oracle.Gaussian(SCHEDULE, mean, std), [mean, std]


def mixture():
    means, stds, weights = draw(3, 1, 4, 4, seed=3), draw(3, scale=0.1, shift=0.8), draw(3, scale=0.1, shift=1.0)
    return lambda: oracle.Mixture(SCHEDULE, means, stds, weights), [means, stds, weights]


def empirical():
    means = draw(3, 1, 4, 4, seed=3)
    return lambda: oracle.Empirical(SCHEDULE, means), [means]


def density(make, call=lambda exact, x, t: exact.predict(x, t)):
    (exact, parameters), x_t, t = make(), x(), times()
    return lambda: call(exact(), x_t, t), [x_t, t, *parameters]


def likelihood(function, size=2, **options):
    """A row: the flow of a network, in x_0 and its weights."""
    model, items = denoiser(size, schedule=schedules.linear(6)), draw(2, size)
    return lambda: function(model, items, **options), [items, *model.parameters()]


def loss(call, size=16, **options):
    model, x0 = denoiser(size, **options), x(1, 0.3)
    return lambda: call(model, x0), [x0, *model.parameters()]


def errors(objective, t=T, target=targets.V, step=0):
    """A row: an objective, in the weights of the network; what it takes for its goal is detached."""
    model = denoiser(16, target)
    built = objective(model)
    x0, eps = x(1, 0.2).detach(), x(2).detach()

    def function():
        return built.errors(dataclasses.replace(model.forward_pass(x0, t, eps), step=step))

    return function, [*model.parameters()]


def stages():
    return objectives.Stages(10, 2)


def uniform():
    return objectives.time_distribution("uniform", SCHEDULE)


def network(make, *shape):
    torch.manual_seed(0)
    net = make().double().eval()
    with torch.no_grad():  # last layers begin with zeros
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, dtype=F64))
    items = draw(2, *shape)
    return lambda: net(items, torch.tensor([3, 8])), [items, *net.parameters()]


def ensemble(function):
    return of(function, draw(3, 4, 5), draw(3, 5, seed=1))


def with_learned(call):
    schedule, power = learned()
    t = torch.tensor([2.3, 7.1], dtype=F64, requires_grad=True)
    return lambda: call(schedule, t), [t, power]


def circulant(v):
    """A custom function that is linear."""
    return v + 0.5 * v.roll(1, 3) + 0.2 * v.roll(1, 2)


OWN = operators.Linear(circulant)
NONLINEAR = operators.Linear(torch.sin)
BLURRED = operators.Blur(0.6) | operators.Downsample(2)
SCALES = [
    scaling.Scale("standard", 0.3, 0.7),
    scaling.Scale("log1p", 0.3, 0.7, 1.4),
    scaling.Scale("asinh", 0.3, 0.7, 1.4),
    scaling.Scale("quantile", 0.3, 0.7, knots=((-9.0, -2.0), (0.01, 0.1), (9.0, 2.0))),
]
OPERATORS = {
    "Operator": OWN,
    "Composed": BLURRED,
    "Identity": operators.Identity(),
    "Linear": OWN,
    "Mask": operators.Mask(torch.tensor([1.0, 0.0, 1.0, 1.0])),
    "Downsample": operators.Downsample(2),
    "Grey": operators.Grey(),
    "Blur": operators.Blur(0.6),
    "Crop": operators.Crop((1, 0), (2, 3)),
}
CODEC = Codec("float", ranges=((-2.0, 6.0),))
SPEC = DataSpec(SHAPE[1:], CODEC)
LABELS = torch.tensor([0.5, 1.5], dtype=F64)

DIFFERENTIABLE = {
    "schedules.Schedule.at": lambda: with_learned(lambda s, t: s.at(t)),
    "schedules.Schedule.rates": lambda: with_learned(lambda s, t: s.rates(t)),
    "schedules.Schedule.prior_deviation": lambda: with_learned(lambda s, t: s.prior_deviation(t)),
    "schedules.Schedule.forward_variance": lambda: with_learned(lambda s, t: s.forward_variance(t, t - 1.5)),
    "schedules.Schedule.posterior_variance": lambda: with_learned(lambda s, t: s.posterior_variance(t, t - 1.5)),
    "schedules.Schedule.time_at": lambda: of(SCHEDULE.time_at, torch.tensor([0.2, 3.0], dtype=F64).requires_grad_()),
    "schedules.Schedule.time": lambda: of(SCHEDULE.time, times()),
    "schedules.Schedule.forward": lambda: of(lambda x, t: SCHEDULE.forward(x, t, t - 1.5), x(), times()),
    "schedules.Schedule.marginal": lambda: of(SCHEDULE.marginal, x(), times()),
    "schedules.Schedule.add_noise": lambda: of(SCHEDULE.add_noise, x(), times(), x(1)),
    "schedules.Schedule.posterior": lambda: of(
        lambda a, b, t: SCHEDULE.posterior(a, b, t, t - 1.5), x(), x(1), times()
    ),
    "schedules.broadcast": lambda: of(lambda t: schedules.broadcast(t, x()), times()),
    "schedules.per_item": lambda: of(lambda t: schedules.per_item(t, x()), times()),
    "curves.Interpolation.__call__": lambda: of(curves.Interpolation.of(SCHEDULE.signal, SCHEDULE.noise), times()),
    "curves.piecewise": lambda: of(
        lambda t: curves.piecewise(t, 7.0, lambda t: (t.sin(), t), lambda t: (t.cos(), t**2)), times()
    ),
    "curves.flow": lambda: of(lambda t: curves.flow(t, 20), times()),
    "curves.cosine": lambda: of(lambda t: curves.cosine(t, 20, 0.008), times()),
    "curves.sigmoid": lambda: of(lambda t: curves.sigmoid(t, 20, -3.0, 3.0), times()),
    "curves.variance_exploding": lambda: of(
        lambda t: curves.variance_exploding(t, 20, lambda u: curves.geometric(u, 0.01, 50.0))[1], times()
    ),
    "curves.geometric": lambda: of(lambda t: curves.geometric(t / 20, 0.01, 50.0), times()),
    "curves.karras": lambda: of(lambda t: curves.karras(t / 20, 0.002, 80.0, 7.0), times()),
    "curves.zero_terminal": lambda: of(lambda t: curves.zero_terminal(t, SCHEDULE.curve, 0.9, 0.01), times()),
    "targets.Prediction.clipped": lambda: of(lambda a, b: Prediction(a, a).clipped(0.8, b, 0.6, 0.8), x(), x(1)),
    "targets.Target.scales": lambda: of(lambda t: targets.SCORE.scales(SCHEDULE, t), times()),
    "targets.Target.from_x0_eps": lambda: of(
        lambda a, b, t: targets.V.from_x0_eps(a, b, *SCHEDULE.at(t)), x(), x(1), times()
    ),
    "targets.Target.determinant": lambda: of(lambda t: targets.EDM.determinant(*SCHEDULE.at(t)), times()),
    "targets.Target.solve": lambda: of(lambda a, b, t: targets.EDM.solve(a, b, *SCHEDULE.at(t)), x(), x(1), times()),
    "targets.unit_scale": lambda: of(lambda t: targets.unit_scale(*SCHEDULE.at(t)), times()),
    "diffusion.Diffusion.output": lambda: of_denoiser(lambda m: Called(m, "output"), t=(t := times()), also=[t]),
    "diffusion.Diffusion.predict": lambda: of_denoiser(lambda m: m, t=(t := times()), also=[t]),
    "diffusion.Diffusion.add_noise": lambda: of(denoiser().add_noise, x(), times(), x(1)),
    "diffusion.Diffusion.posterior": lambda: of(lambda a, b, t: denoiser().posterior(a, b, t), x(), x(1), times()),
    "diffusion.Diffusion.mean": lambda: of_denoiser(lambda m: Called(m, "mean"), t=(t := times()), also=[t]),
    "diffusion.Diffusion.forward_pass": lambda: loss(lambda m, x0: m.forward_pass(x0, T, x(2)).answer),
    "diffusion.Diffusion.errors": lambda: loss(lambda m, x0: m.errors(x0, T, x(2))),
    "diffusion.Diffusion.losses": lambda: loss(lambda m, x0: m.losses(x0, step=3)[1]),
    "diffusion.Diffusion.forward": lambda: loss(lambda m, x0: m(x0, step=3)),
    "diffusion.Diffusion.loss": lambda: loss(lambda m, x0: m.loss(x0, step=3)),
    "reverse.transition": lambda: of(
        lambda a, f, b: reverse.transition(SCHEDULE, Prediction(a, a, f), b, T, T - 2, "learned"), x(), x(1), x(2)
    ),
    "reverse.decode": lambda: of(
        lambda a, b: reverse.decode(SCHEDULE, Prediction(a, a), b, 1, "large").mean, x(), x(1)
    ),
    "reverse.step_bits": lambda: of(
        lambda a, b, c: reverse.step_bits(SCHEDULE, Prediction(a, a), b, c, torch.tensor([1, 7]), "large", level=0.2),
        x(0, 0.1),
        x(1, 0.1),
        x(2, 0.1),
    ),
    "reverse.AnalyticVariance.__call__": lambda: of(
        lambda t: reverse.AnalyticVariance(SCHEDULE.noise)(SCHEDULE, t, t - 1.5), times()
    ),
    "reverse.bits": lambda: of(reverse.bits, x()),
    "gaussian.sqrt": lambda: of(gaussian.sqrt, times()),
    "gaussian.log": lambda: of(gaussian.log, times()),
    "gaussian.normal_tail": lambda: of(gaussian.normal_tail, x()),
    "gaussian.tanh_tail": lambda: of(gaussian.tanh_tail, x()),
    "gaussian.DiagonalGaussian.sample": lambda: of(
        lambda m, v, z: DiagonalGaussian(m, v.exp()).sample(z), x(), x(1), x(2)
    ),
    "gaussian.DiagonalGaussian.kl": lambda: of(
        lambda m, v, w: DiagonalGaussian(m, v.exp()).kl(DiagonalGaussian(w, 0.5)), x(), x(1), x(2)
    ),
    "gaussian.DiagonalGaussian.log_density": lambda: of(
        lambda m, v, w: DiagonalGaussian(m, v.exp()).log_density(w), x(), x(1), x(2)
    ),
    "gaussian.DiagonalGaussian.log_bins": lambda: of(
        lambda m, v, w: DiagonalGaussian(m, v.exp()).log_bins(w, 0.1, 0.9), x(), x(1, 0.1), x(2)
    ),
    "oracle.Gaussian.predict": lambda: density(gaussian_density),
    "oracle.Gaussian.given": lambda: (lambda row: (row[0], row[1][:-1]))(
        conditional(gaussian_density)
    ),  # std: constant
    "oracle.Mixture.predict": lambda: density(mixture),
    "oracle.Mixture.log_density": lambda: density(mixture, lambda exact, x, t: exact.log_density(x, t)),
    "oracle.Mixture.given": lambda: conditional(mixture),
    "oracle.Empirical.given": lambda: conditional(empirical),
    "oracle.ConditionalMixture.predict": lambda: conditional(mixture),
    "guidance.DPS.predict": lambda: of_denoiser(
        lambda m, y: guidance.DPS(m, y, NONLINEAR, 0.7), draw(1, *SHAPE[1:], seed=4)
    ),
    "guidance.AutoGuidance.predict": lambda: of_denoiser(lambda m: guidance.AutoGuidance(m, WEAK, 2.0, 0.5)),
    "guidance.Blend.predict": lambda: of_denoiser(
        lambda m, w: guidance.Blend(m, {"labels": -LABELS}, w),
        torch.tensor([0.3, 0.6], dtype=F64).requires_grad_(),
        labels=LABELS,
    ),
    "guidance.ClassifierFree.predict": lambda: of_denoiser(
        lambda m: guidance.ClassifierFree(m, 2.0, rescale=0.5), labels=LABELS
    ),
    "guidance.Clipped.predict": lambda: of_denoiser(lambda m: guidance.Clipped(m, 0.5)),
    "guidance.Interval.predict": lambda: of_denoiser(
        lambda m: guidance.Interval(guidance.ClassifierFree(m, 2.0), 0.0, 1.0), labels=LABELS
    ),
    "guidance.Posterior.predict": lambda: posterior("jfps"),
    "guidance.Posterior.predict ddnm": lambda: posterior("ddnm"),
    "guidance.Posterior.predict pigdm": lambda: posterior("pigdm"),
    "guidance.Posterior.predict mmps": lambda: posterior("mmps"),
    "guidance.Replacement.predict": lambda: of_denoiser(
        lambda m, y: guidance.Replacement(m, y, BLURRED).for_move(move()), draw(1, 1, 2, 2, seed=4)
    ),
    "guidance.Skip.predict": lambda: of_denoiser(guidance.Skip),
    "guidance.Tiled.predict": lambda: of_denoiser(lambda m: guidance.Tiled(m, 2, 1, periodic=True), size=4),
    **{
        f"scaling.Scale.{way} {scale.name}": lambda scale=scale, way=way: of(getattr(scale, way), x())
        for scale in SCALES
        for way in ("encode", "decode")
    },
    "scaling.encoded": lambda: of(lambda v: scaling.encoded(v, SCALES[:1]), x()),
    "scaling.decoded": lambda: of(lambda v: scaling.decoded(v, SCALES[:1]), x()),
    "objectives.OfCells.evaluate": lambda: loss(lambda m, x0: cells().losses(m, x0, step=3)[1]),
    "objectives.Completed.evaluate": lambda: loss(lambda m, x0: completed().losses(m, x0, step=3)[1]),
    "objectives.OfCells.errors": lambda: loss(lambda m, x0: cells().errors(m.forward_pass(x0, T, x(2)))),
    "guidance.Wrapper.estimate": lambda: of_denoiser(lambda m: Called(guidance.Skip(m), "estimate")),
    "guidance.guided": lambda: of(lambda a, b: guidance.guided([a, b], [2.0]), x(), x(1)),
    "guidance.rescaled": lambda: of(
        lambda a, b, c: guidance.rescaled(Prediction(a, a), b, 0.5, c, 0.6, 0.8), x(), x(1), x(2)
    ),
    **{
        f"operators.{name}.{kind}": (lambda operator=operator, kind=kind: operator_row(operator, kind))
        for name, operator in OPERATORS.items()
        for kind in ("apply", "adjoint", "pseudo_inverse")
    },
    "operators.matrix": lambda: of(
        lambda w: operators.matrix(operators.Linear(lambda v: v * w), (1, 4, 4)), x()[:1].detach().requires_grad_()
    ),
    "operators.check_fit": lambda: of(lambda y: operators.check_fit(y, x(), x()), x()),
    "operators.along_axes": lambda: of(lambda a, m: operators.along_axes(a, [None, m, m.T]), x(), draw(4, 4, seed=1)),
    "operators.conjugate_gradients": lambda: solve(operators.conjugate_gradients),
    "operators.least_squares": lambda: solve(lambda f, y: operators.least_squares(f, f, y)),
    "operators.unit": lambda: of(operators.unit, x()),
    "operators.gmres": lambda: solve(lambda f, y: operators.gmres(f, y, 5)),
    "covariance.Covariance.given": lambda: of(
        lambda v, axes, s, a: Covariance(axes, s.exp(), 0.1).given(v, a[:, None], 0.5),
        draw(2, 5),
        draw(5, 3, seed=1),
        draw(3, seed=2),
        draw(2, seed=3),
    ),
    "bound.prior_bits": lambda: of(lambda x: bound.prior_bits(SCHEDULE, x), x()),
    "probability_flow.integrate": lambda: likelihood(lambda m, x: [*probability_flow.integrate(m, x)][3][1:]),
    "probability_flow.log_likelihood": lambda: likelihood(probability_flow.log_likelihood),
    "probability_flow.log_likelihood probes": lambda: likelihood(probability_flow.log_likelihood, probes=1),
    "probability_flow.log_likelihood rtol": lambda: likelihood(probability_flow.log_likelihood, rtol=0.9),
    "probability_flow.log_density": lambda: of(
        lambda x, d: probability_flow.log_density(SCHEDULE, probability_flow.OdeState(20, x, d)), x(), draw(2, seed=1)
    ),
    "adaptive.dormand_prince": lambda: of(
        lambda y: [*adaptive.dormand_prince(lambda t, s: (s[0].sin() * t[:, None],), (y,), 0.0, 1.0, 0.9)][-1][1],
        draw(2, 3),
    ),
    "adaptive.flow_state": lambda: of(
        lambda u, a: adaptive.flow_state(SCHEDULE, a, u), x(), torch.tensor([0.3, 1.2], dtype=F64).requires_grad_()
    ),
    "adaptive.velocity": lambda: of(lambda a, b, c: adaptive.velocity(Prediction(a, b), c), x(), x(1), times()),
    "adaptive.flow": lambda: likelihood(lambda m, x: adaptive.flow(m.schedule, m.predict, x, 6, 2, 0.9)),
    "objectives.Clipped.errors": lambda: errors(
        lambda m: objectives.Clipped(objectives.Denoising(uniform())), torch.tensor([2, 3])
    ),
    "objectives.Denoising.errors": lambda: errors(lambda m: objectives.Denoising(uniform())),
    "objectives.Weighted.errors": lambda: errors(
        lambda m: objectives.Weighted(objectives.Denoising(uniform()), SCHEDULE.noise)
    ),
    "objectives.OptimalTransport.errors": lambda: errors(
        lambda m: objectives.OptimalTransport(objectives.Denoising(uniform()))
    ),
    "objectives.Hybrid.errors": lambda: hybrid(),
    "objectives.Objective.losses": lambda: loss(lambda m, x0: objectives.Denoising(uniform()).losses(m, x0, step=1)[1]),
    "objectives.Objective.evaluate": lambda: loss(lambda m, x0: evaluated(objectives.Denoising(uniform()), m, x0)),
    "objectives.EnergyScore.evaluate": lambda: loss(lambda m, x0: evaluated(energy(evaluations=2), m, x0)),
    "objectives.EnergyScore.errors": lambda: loss(lambda m, x0: energy().losses(m, x0, step=1)[1]),
    "objectives.EnergyScore.scores": lambda: of(energy().scores, draw(2, *SHAPE), x(1)),
    "objectives.ConsistencyTuning.errors": lambda: errors(
        lambda m: objectives.ConsistencyTuning(objectives.Denoising(uniform()), stages()), torch.tensor([2, 3])
    ),
    "objectives.ProgressiveDistillation.errors": lambda: errors(
        lambda m: objectives.ProgressiveDistillation(objectives.Denoising(uniform()), stages(), m),
        torch.tensor([10, 20]),
    ),
    "objectives.weightings.x0_weights": lambda: of(lambda t: weightings.x0_weights("edm", SCHEDULE, t), times()),
    "objectives.weightings.loss_weights": lambda: of(
        lambda t: weightings.loss_weights("variational", SCHEDULE, targets.V, t), times()
    ),
    "samplers.DDIM.advance": lambda: advance(samplers.DDIM(eta=0.5)),
    "samplers.DDPM.advance": lambda: advance(samplers.DDPM("learned")),
    "samplers.Consistency.advance": lambda: advance(samplers.Consistency()),
    "samplers.DPMSolver.advance": lambda: advance(samplers.DPMSolver(eta=0.5)),
    "samplers.Euler.advance": lambda: advance(samplers.Euler()),
    "samplers.Heun.advance": lambda: advance(samplers.Heun()),
    "samplers.Heun.start": lambda: of(lambda x: samplers.Heun(churn=5).start(x, move())[0], x()),
    "samplers.Sampler.start": lambda: of(lambda x: samplers.Euler().start(x, move())[0], x()),
    "samplers.Langevin.advance": lambda: advance(samplers.Langevin(steps_per_level=2, step_size=1e-3)),
    "samplers.PredictorCorrector.advance": lambda: advance(samplers.PredictorCorrector()),
    "samplers.UniPC.advance": lambda: advance(samplers.UniPC()),
    "samplers.slerp": lambda: of(samplers.slerp, x(), x(1), torch.tensor([0.3, 0.6], dtype=F64).requires_grad_()),
    "samplers.slerp parallel": lambda: of(lambda x: samplers.slerp(x, 2 * x, 0.3), x()),
    **{
        f"data.Codec.{kind}": (lambda kind=kind: of(getattr(CODEC, kind), x()))
        for kind in ("encode", "decode", "of_one_unit")
    },
    **{
        f"data.DataSpec.{kind}": (lambda kind=kind: of(getattr(SPEC, kind), x()))
        for kind in ("encode", "to_x", "from_x")
    },
    "nets.MLP.forward": lambda: network(lambda: nets.MLP(2, 8, 1), 2),
    "nets.Transformer.forward": lambda: network(
        lambda: nets.Transformer(1, width=8, depth=1, heads=1, patch=2), 1, 4, 4
    ),
    "nets.UNet.forward": lambda: network(lambda: nets.UNet(1, 8, (1, 1), 1, (4,), 0.0, 8, groups=2), 1, 8, 8),
    "metrics.distances.divergences": lambda: of(distances.divergences, draw(5, 3)),
    "metrics.precision_recall.radii": lambda: of(lambda a: precision_recall.radii(a, 2), draw(6, 3)),
    "metrics.neighbours.squares": lambda: of(neighbours.squares, draw(4, 3), draw(5, 3, seed=1)),
    "metrics.neighbours.kth_least": lambda: of(lambda a: neighbours.kth_least(a, 2), draw(3, 40)),
    "metrics.neighbours.nearest": lambda: (lambda a, b: of(lambda: neighbours.nearest(a, b).distance, also=[a, b]))(
        draw(4, 3), draw(5, 3, seed=1)
    ),
    "metrics.neighbours.k_nearest": lambda: of(
        lambda a, b: neighbours.k_nearest(a, [[b]], 2).distance, draw(4, 3), draw(5, 3, seed=1)
    ),
    "metrics.neighbours.memorisation": lambda: of(
        lambda a, b: neighbours.memorisation(a, b, draw(6, 3, seed=2)).samples.distance, draw(4, 3), draw(5, 3, seed=1)
    ),
    "metrics.colour.colour": lambda: of(colour.colour, draw(3, 2, 4)),
    "metrics.ensembles.mean_forecast": lambda: of(ensembles.mean_forecast, draw(3, 4, 5)),
    "metrics.ensembles.rms_distances": lambda: ensemble(ensembles.rms_distances),
    "metrics.ensembles.energy_scores": lambda: ensemble(ensembles.energy_scores),
    "metrics.ensembles.crps": lambda: ensemble(ensembles.crps),
    "metrics.ensembles.psnr": lambda: ensemble(lambda a, b: ensembles.psnr(a, b, 2.0)),
    "metrics.ensembles.squared_spread_and_error": lambda: ensemble(ensembles.squared_spread_and_error),
}
"""What each function computes, and the leaves that it is differentiable in."""
ONCE = {
    "reverse.step_bits", "gaussian.DiagonalGaussian.log_bins", "metrics.ensembles.energy_scores",
    "metrics.ensembles.crps", "nets.UNet.forward", "schedules.Schedule.rates", "adaptive.flow_state",
    "probability_flow.log_likelihood rtol",
}  # fmt: skip
"""Rows whose first derivative alone is compared here: third derivatives of curves, adaptive steps whose lengths differ
with x, or a network of many layers, which tests/nets compares."""
DETACHED = {
    "curves.root": lambda: of(lambda s: curves.root(lambda t: t - s, T.double() - 5, T.double() + 5), times()),
    "covariance.Covariance.of": lambda: of(Covariance.of, draw(5, 3)),
    "bound.ELBO.term": lambda: loss(lambda m, x0: bound.ELBO().term(m, x0, 5, 0, range(2))),
    "bound.ELBO.terms": lambda: loss(lambda m, x0: [*bound.ELBO().terms(m, x0)]),
    "bound.ELBO.estimates": lambda: loss(lambda m, x0: [*bound.ELBO().estimates(m, x0, 2)]),
    "bound.bits_per_dim": lambda: loss(lambda m, x0: bound.bits_per_dim(m, x0)),
    "reverse.AnalyticVariance.of": lambda: loss(reverse.AnalyticVariance.of),
    "objectives.OptimalTransport.pair": lambda: of(
        objectives.OptimalTransport(objectives.Denoising(uniform())).pair, x(), x(1)
    ),
    "data.DataSpec.decode": lambda: of(SPEC.decode, x()),
    "samplers.TDS.advance": lambda: loss(twisted),
    "samplers.Sampler.trajectory": lambda: loss(lambda m, x0: [*samplers.DDIM(2).trajectory(m, x0)]),
    "samplers.Sampler.sample": lambda: loss(lambda m, x0: samplers.DDIM(2).sample(m, x0)),
    "samplers.inverse_trajectory": lambda: loss(
        lambda m, x0: [*samplers.inverse_trajectory(EXACT, x0 / 2, samplers.Euler(9))]
    ),
    "samplers.invert": lambda: loss(lambda m, x0: samplers.invert(EXACT, x0 / 2, samplers.Euler(9))),
    "samplers.record": lambda: loss(
        lambda m, x0: [
            step.x for _, step in samplers.record(lambda rows: samplers.DDIM(2).trajectory(m, x0[rows]), range(2), 1)
        ]
    ),
    "metrics.distances.moments": lambda: of(distances.moments, draw(5, 3)),
    "metrics.distances.factored": lambda: of(distances.factored, draw(5, 3)),
    "metrics.distances.kernel_sums": lambda: of(lambda a: distances.kernel_sums(a, a), draw(5, 3)),
    "metrics.precision_recall.precision_recall": lambda: of(
        lambda a, b: precision_recall.precision_recall(a, b, 2), draw(6, 3), draw(6, 3, seed=1)
    ),
    "metrics.precision_recall.Balls.of": lambda: of(lambda a: precision_recall.Balls.of(a, 2), draw(6, 3)),
    "metrics.copies.copies": lambda: of(copies.copies, draw(4, 3), draw(9, 3, seed=1)),
    "metrics.ensembles.rank_counts": lambda: ensemble(ensembles.rank_counts),
    "metrics.linear_classifier.fit": lambda: of(lambda a: linear_classifier.fit(a, torch.arange(12) % 2), draw(12, 3)),
}
NO_GRAPH = {
    "of a protocol or an abstract class": """
        targets.Denoiser.predict guidance.Wrapper.predict samplers.Sampler.advance objectives.Objective.errors
        objectives.Objective.pair metrics.extractors.Extractor.__call__""",
    "tables, matrices and other constants": """
        schedules.Schedule.alpha_bar schedules.Schedule.snr schedules.Schedule.beta targets.unscaled
        targets.Target.output_scale covariance.Covariance.isotropic operators.Operator.matrices
        operators.Composed.matrices operators.Downsample.matrices operators.Grey.matrices operators.Blur.matrices
        operators.Blur.matrix operators.Crop.matrices data.Codec.scales data.Codec.present data.DataSpec.cells
        scaling.Scale.of""",
    "random numbers, times, probabilities, indices and truth values": """
        randomness.keys randomness.words randomness.uniform randomness.uniforms randomness.integers randomness.normal
        randomness.permutation reverse.prior objectives.Objective.draw objectives.ProgressiveDistillation.draw
        objectives.times.TimeDistribution.draw objectives.times.UniformTimes.draw objectives.times.UniformTimes.unit
        objectives.times.StratifiedTimes.unit objectives.times.LogNormalTimes.probabilities
        objectives.times.LogNormalTimes.draw objectives.times.ImportanceTimes.probabilities
        objectives.times.ImportanceTimes.draw objectives.ForwardPass.z randomness.normal_of
        objectives.times.stratified objectives.distillation.earlier objectives.times.AnswerTimes.draw
        objectives.times.AnswerTimes.nearest objectives.Objective.keys objectives.EnergyScore.keys randomness.derived
        metrics.copies.Copies.near metrics.copies.Copies.copied metrics.baselines.random_items
        metrics.baselines.nearest_items metrics.linear_classifier.LinearClassifier.predict""",
    "state, or a denoiser, objective or setting of another kind": """
        objectives.Objective.state objectives.ConsistencyTuning.state objectives.ProgressiveDistillation.state
        objectives.times.TimeDistribution.state objectives.times.ImportanceTimes.state objectives.Stages.of
        objectives.ConsistencyTuning.from_config objectives.ProgressiveDistillation.from_config guidance.DPS.for_move
        guidance.AutoGuidance.for_move guidance.Wrapper.for_move adaptive.parameters
        objectives.ForwardPass.detached_prediction""",
    "features of networks under inference mode": "metrics.extractors.features metrics.extractors.concatenate",
}
GRAPHLESS = {name for names in NO_GRAPH.values() for name in names.split()}


class Called:
    """Another method of a denoiser in the place of `predict`."""

    def __init__(self, denoiser, method):
        self.denoiser, self.method = denoiser, method

    def predict(self, x_t, t):
        if self.method != "estimate":
            return getattr(self.denoiser, self.method)(x_t, t)
        (x0,), transpose = self.denoiser.estimate(x_t, T, {})
        return x0, transpose(x0)


def posterior(method):
    y = draw(1, *SHAPE[1:], seed=4)
    return of_denoiser(lambda m, y: guidance.Posterior(m, y, OWN, 0.3, method, iterations=3), y)


def cells():
    return objectives.OfCells(
        objectives.Denoising(uniform()), torch.rand(4, 4, generator=torch.Generator().manual_seed(6))
    )


def completed():
    return objectives.Completed(objectives.Denoising(uniform()))


def energy(**options):
    return objectives.EnergyScore(2, (1, 2, 0), noise="input", **options)


def evaluated(objective, model, x0):
    return objective.evaluate(model, x0, T, x(20).detach(), lambda number: x(20 + number).detach(), {}).answer


def hybrid():
    """L_hybrid in the fraction of the variance: the mean has no gradient in the bound."""
    model, x0, eps = denoiser(), x(1, 0.2).detach(), x(2).detach()
    x_t, fraction = SCHEDULE.add_noise(x0, T, eps), draw(*SHAPE, seed=3, scale=0.1, shift=0.5)
    objective = objectives.Hybrid(objectives.Denoising(uniform()), 1.0)
    return of(lambda f: objective.errors(objectives.ForwardPass(model, x0, eps, T, x_t, 0.5 * eps, f, {})), fraction)


def twisted(model, x0):
    sampler = samplers.TDS(torch.zeros(1, *SHAPE[1:], dtype=F64), OWN, 0.3, particles=2)
    step = dataclasses.replace(move(), indices=range(2))
    point = x0 * 1
    return sampler.advance(point, model.predict(point, 9), step, None)


WEAK = denoiser()
EXACT = oracle.Gaussian(SCHEDULE, 0.1, 0.5)


def public():
    """Names that the reference documents and whose result may hold a tensor, without the name of the package."""
    reference = Path(__file__).parent.parent / "docs" / "reference"
    for page in PAGES:
        for module in re.findall(r"^::: ancestral\.([\w.]+)", (reference / f"{page}.md").read_text("utf-8"), re.M):
            home = importlib.import_module(f"ancestral.{module}")
            if module in ("interop", "base.hub"):  # files and models
                continue
            own = [name for name, part in vars(home).items() if getattr(part, "__module__", "") == home.__name__]
            for name in getattr(home, "__all__", [name for name in own if name[0] != "_"]):
                yield from parts(f"{module}.{name}", getattr(home, name))


def parts(name, part):
    """A function, or the methods of a class that are its own."""
    if inspect.isclass(part):
        for key, member in vars(part).items():
            member = member.fget if isinstance(member, property) else member
            member = member.__func__ if isinstance(member, staticmethod | classmethod) else member
            if inspect.isfunction(member) and (key[0] != "_" or key == "__call__"):
                yield from parts(f"{name}.{key}", member)
    elif inspect.isfunction(part):
        hint = inspect.signature(inspect.unwrap(part)).return_annotation
        text = hint if isinstance(hint, str) else str(hint) if typing.get_args(hint) else getattr(hint, "__name__", "")
        if TENSORS.search(text) and not re.search(r"Dataset\b", name):
            yield name, part


def total(result):
    """A smooth number of all floats in a result, however deep."""
    if isinstance(result, torch.Tensor):
        weights = torch.linspace(-1, 2, result.numel(), dtype=F64).sin().reshape(result.shape)
        return (result * weights).sum() if result.is_floating_point() else 0.0
    if dataclasses.is_dataclass(result):
        result = [getattr(result, field.name) for field in dataclasses.fields(result)]
    return sum(map(total, result)) if isinstance(result, tuple | list) else 0.0


def test_every_public_function_has_a_row():
    names = dict(public())
    rows = {name.split()[0] for name in (*DIFFERENTIABLE, *DETACHED)} | GRAPHLESS
    aliases = {name for name in names if name.startswith("objectives.distillation.")} - rows  # those of objectives
    assert {name.replace("distillation.", "") for name in aliases} <= rows
    assert sorted(set(names) - rows - aliases) == []
    for name in rows - GRAPHLESS - set(names):  # inherited
        owner, _, method = name.rpartition(".")
        module, _, kind = owner.rpartition(".")
        assert hasattr(getattr(importlib.import_module(f"ancestral.{module}"), kind), method), name


@pytest.fixture(autouse=True)
def warn_always():
    """PyTorch warns of a number that is read from a graph once in a process; here each time."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_its_gradient_is_the_slope(name):
    """Along one direction of all leaves together; and of that slope along another."""
    function, inputs = DIFFERENTIABLE[name]()
    twice, step = name not in ONCE, 1.0 if name.startswith("data.") else 1e-5  # data: linear functions, in float32
    along, across = (
        [draw(*leaf.shape, seed=seed + place).detach() for place, leaf in enumerate(inputs)] for seed in (50, 90)
    )

    def slope():
        gradient = torch.autograd.grad(total(function()), inputs, create_graph=twice)
        return sum((part * direction).sum() for part, direction in zip(gradient, along, strict=True))

    def shift(directions, size):
        with torch.no_grad():
            for leaf, direction in zip(inputs, directions, strict=True):
                leaf.add_(direction, alpha=size)

    def difference(number, directions):
        shift(directions, step)
        above = float(number().detach())
        shift(directions, -2 * step)
        below = float(number().detach())
        shift(directions, step)
        return (above - below) / (2 * step)

    first, second = slope(), 0.0  # of a linear function
    if twice and first.requires_grad:
        parts = torch.autograd.grad(first, inputs, allow_unused=True, materialize_grads=True)
        second = sum(float((part * direction).sum()) for part, direction in zip(parts, across, strict=True))
    assert float(first.detach()) == pytest.approx(difference(lambda: total(function()), along), rel=1e-5, abs=1e-6)
    if twice:
        assert second == pytest.approx(difference(slope, across), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    "name",
    # torch.optim imports PyTorch's compiler, which takes seconds
    [
        pytest.param(name, marks=pytest.mark.long) if name == "metrics.linear_classifier.fit" else name
        for name in DETACHED
    ],
)
def test_its_result_is_detached(name):
    function, _ = DETACHED[name]()
    result = total(function())
    assert not isinstance(result, torch.Tensor) or not result.requires_grad


def test_docstrings_say_what_is_differentiable():
    silent = []
    for name, part in public():
        if name in GRAPHLESS:
            continue
        owner, _, _ = name.rpartition(".")
        texts = [part.__doc__ or "", importlib.import_module(part.__module__).__doc__ or ""]
        for path in (owner, name.split(".")[0]):
            module, _, kind = path.rpartition(".")
            home = importlib.import_module(f"ancestral.{module or path}")
            texts.append((getattr(home, kind, home) if module else home).__doc__ or "")
        if not re.search(r"differentiable|detached|gradient", " ".join(texts), re.IGNORECASE):
            silent.append(name)
    assert silent == []
