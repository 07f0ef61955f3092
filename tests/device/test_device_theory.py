"""Every exported part of the theory, on an accelerator: its numbers are those of the CPU."""

import pytest
import torch

from ancestral import (
    augmentation,
    bound,
    conditions,
    derived,
    guidance,
    nets,
    objectives,
    operators,
    oracle,
    probability_flow,
    randomness,
    reverse,
    samplers,
    schedules,
    targets,
)
from ancestral.covariance import Covariance
from ancestral.gaussian import DiagonalGaussian
from ancestral.randomness import Stream
from tiny_models import untrained

SCHEDULE = schedules.cosine(100)
SHAPE = (1, 8, 8)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class On:
    """What the parts are computed of, on a device."""

    def __init__(self, device):
        self.device = device
        self.mean = 0.2 * draw(*SHAPE, seed=1).to(device)
        self.x = draw(2, *SHAPE).to(device)
        self.x0 = (0.3 * draw(2, *SHAPE, seed=2)).clamp(-1, 1).to(device)
        self.t = torch.tensor([7, 60])
        self.gaussian = oracle.Gaussian(SCHEDULE, self.mean, 0.3)
        means = draw(3, *SHAPE, seed=3).to(device)
        self.mixture = oracle.Mixture(SCHEDULE, means, torch.tensor([0.1, 0.2, 0.3], device=device))
        self.known = torch.arange(8) < 4
        self.mask = operators.Mask(self.known.to(device))
        basis = torch.linalg.qr(draw(64, 64, seed=4).double())[0]
        self.covariance = Covariance(basis, 0.1 * torch.logspace(0, -2, 64).double(), 0.0)

    @property
    def net(self):
        torch.manual_seed(0)
        return untrained(SHAPE, ("a", "b")).diffusion.to(self.device).eval()

    @property
    def labels(self):
        return torch.tensor([0, 1], device=self.device)

    def measured(self, operator, noise=0.1):
        return operator.apply(self.x0) + noise * operator.apply(self.x)

    def posterior(self, method, operator=None):
        operator = operator or self.mask
        y = self.measured(operator)
        covariance = self.covariance if method == "jfps" else None
        return guidance.Posterior(self.gaussian, y, operator, 0.1, method, covariance)

    def losses(self, objective):
        return objective.losses(self.net.train(), self.x0, step=3, labels=self.labels)[1]


def prediction(denoiser, on, t=40, **condition):
    answer = denoiser.predict(on.x, t, **condition)
    return torch.stack([answer.x0, answer.eps])


def sampled(sampler):
    return lambda on: sampler(on).sample(on.gaussian, on.x, seed=3)


def solved(target, on):
    answer = target.solve(on.x, on.x0, *(schedules.broadcast(scale, on.x) for scale in SCHEDULE.at(on.t)))
    return torch.stack([answer.x0, answer.eps])


def linear(on):
    weights = draw(5, 64, seed=6).to(on.device)
    return operators.Linear(lambda x: x.flatten(1) @ weights.T.to(x))


def operator_of(make):
    """An operator: A x, Aᵀ y and A⁺ y."""

    def run(on):
        operator = make(on)
        y = operator.apply(on.x)
        parts = [y, operator.adjoint(y, SHAPE), operator.pseudo_inverse(y, SHAPE)]
        return torch.cat([part.flatten() for part in parts])

    return run


def made_by(text, kind=None):
    degradation = next(iter(derived.degradations({"c": conditions.Image((1, 8, 8), made_by=text)}).values()))
    return lambda on: degradation.make(on.x0, 5, 3, [0, 1]).float()


def weighting(name):
    schedule, target = SCHEDULE, targets.V
    return lambda on: on.losses(objectives.build(schedule, target, weighting=name))


PARTS = {
    "schedules": {
        name: lambda on, name=name: torch.stack(
            [torch.as_tensor(part) for part in getattr(schedules, name)(50).at(torch.tensor([3.0, 20.5]))]
        ).to(on.device, torch.float32)
        for name in ("linear", "cosine", "sigmoid", "geometric", "karras", "flow")
    },
    "targets": {
        name: lambda on, name=name: solved(getattr(targets, name), on)
        for name in ("EPS", "X0", "V", "SCORE", "FLOW", "EDM")
    },
    "diffusion": {
        "Diffusion": lambda on: prediction(on.net, on, labels=on.labels),
        "add_noise": lambda on: on.net.add_noise(on.x0, on.t, on.x),
        "posterior": lambda on: on.net.posterior(on.x0, on.x, 50).mean,
        "loss": lambda on: on.net.train().loss(on.x0, step=2, labels=on.labels),
    },
    "guidance": {
        "ClassifierFree": lambda on: prediction(
            guidance.ClassifierFree(on.net, 2.0, rescale=0.5), on, labels=on.labels
        ),
        "Interval": lambda on: prediction(
            guidance.Interval(guidance.ClassifierFree(on.net, 2.0), 10, 90), on, labels=on.labels
        ),
        "AutoGuidance": lambda on: prediction(guidance.AutoGuidance(on.gaussian, on.mixture, 2.0), on),
        "Blend": lambda on: prediction(
            guidance.Blend(on.net, {"labels": on.labels.flip(0)}, 0.3), on, labels=on.labels
        ),
        "Clipped": lambda on: prediction(guidance.Clipped(on.gaussian, 0.5), on),
        "Skip": lambda on: prediction(guidance.Skip(on.net), on, labels=on.labels),
        "DPS": lambda on: prediction(guidance.DPS(on.gaussian, on.measured(on.mask), on.mask), on),
        "Replacement": lambda on: prediction(guidance.Replacement(on.gaussian, on.mask.apply(on.x0), on.mask, 0.1), on),
        **{
            f"Posterior {method} {name}": lambda on, method=method, make=make: prediction(
                on.posterior(method, make(on)), on
            )
            for method in guidance.METHODS
            for name, make in {
                "mask": lambda on: on.mask,
                "blur": lambda on: operators.Blur(1.0),
                "linear": linear,
            }.items()
        },
        "guided": lambda on: guidance.guided([on.x, on.x0], [2.0]),
        "rescaled": lambda on: guidance.rescaled(on.gaussian.predict(on.x, 40), on.x0, 0.5, on.x, *SCHEDULE.at(40)).x0,
    },
    "samplers": {
        "DDIM": sampled(lambda on: samplers.DDIM(5, eta=0.5)),
        "DDPM": sampled(lambda on: samplers.DDPM(steps=5)),
        "DPMSolver": sampled(lambda on: samplers.DPMSolver(5, order=2)),
        "Euler": sampled(lambda on: samplers.Euler(5, ancestral=True)),
        "Heun": sampled(lambda on: samplers.Heun(5, churn=0.5)),
        "Heun adaptive": sampled(lambda on: samplers.Heun(rtol=1e-2)),
        "UniPC": sampled(lambda on: samplers.UniPC(5)),
        "Langevin": sampled(lambda on: samplers.Langevin(2, steps=5)),
        "PredictorCorrector": sampled(lambda on: samplers.PredictorCorrector(steps=5)),
        "Consistency": sampled(lambda on: samplers.Consistency(3)),
        "TDS": sampled(lambda on: samplers.TDS(on.measured(on.mask)[:1], on.mask, 0.1, particles=2, steps=5)),
        "invert": lambda on: samplers.invert(on.gaussian, on.x0, samplers.DDIM(5)),
        "slerp": lambda on: samplers.slerp(on.x, on.x0, torch.tensor([0.2, 0.7])),
    },
    "oracle": {
        "Gaussian": lambda on: prediction(on.gaussian, on, on.t),
        "Mixture": lambda on: prediction(on.mixture, on, on.t),
        "Empirical": lambda on: prediction(oracle.Empirical(SCHEDULE, on.x0), on, on.t),
        "Gaussian given": lambda on: prediction(on.gaussian.given(on.measured(on.mask), on.mask, 0.1), on),
        "ConditionalMixture": lambda on: prediction(on.mixture.given(on.measured(on.mask), on.mask, 0.1), on),
    },
    "operators": {
        "Identity": operator_of(lambda on: operators.Identity()),
        "Linear": operator_of(linear),
        "Mask": operator_of(lambda on: on.mask),
        "Mask on the CPU": operator_of(lambda on: operators.Mask(on.known)),
        "Downsample": operator_of(lambda on: operators.Downsample(2)),
        "Blur": operator_of(lambda on: operators.Blur(1.0)),
        "Crop": operator_of(lambda on: operators.Crop((1, 2), (3, 4))),
        "Composed": operator_of(lambda on: operators.Composed((operators.Downsample(2), operators.Blur(0.8)))),
        "Grey": lambda on: operators.Grey().apply(on.x.expand(2, 3, 8, 8)),
        "matrix": lambda on: operators.matrix(on.mask, SHAPE, torch.float32, on.device),
        "conjugate_gradients": lambda on: operators.conjugate_gradients(lambda v: 2 * v + v.flip(-1), on.x),
        "least_squares": lambda on: operators.least_squares(on.mask.apply, lambda y: on.mask.adjoint(y, SHAPE), on.x),
        "gmres": lambda on: operators.gmres(lambda v: 2 * v + v.flip(-1), on.x, 3),
    },
    "objectives": {
        **{name: weighting(name) for name in ("simple", "p2", "snr", "min-snr", "variational", "velocity")},
        **{
            name: lambda on, name=name: on.losses(objectives.build(SCHEDULE, targets.V, times=name))
            for name in ("uniform", "stratified", "lognormal", "importance")
        },
        "Clipped": lambda on: on.losses(objectives.build(SCHEDULE, targets.V, clip=True)),
        "OptimalTransport": lambda on: on.losses(objectives.OptimalTransport(objectives.build(SCHEDULE, targets.V))),
    },
    "probability_flow": {
        "log_likelihood": lambda on: probability_flow.log_likelihood(on.gaussian, on.x0, steps=5, probes=1),
        "log_likelihood adaptive": lambda on: probability_flow.log_likelihood(on.gaussian, on.x0, probes=1, rtol=1e-2),
    },
    "bound": {
        "bits_per_dim": lambda on: bound.bits_per_dim(on.gaussian, on.x0).total,
        "prior_bits": lambda on: bound.prior_bits(SCHEDULE, on.x0),
    },
    "reverse": {
        "prior": lambda on: reverse.prior(SCHEDULE, SHAPE, 1, [0, 1], on.device),
        "transition": lambda on: reverse.transition(
            SCHEDULE, on.gaussian.predict(on.x, 40), on.x, 40, 30, "small"
        ).sample(on.x0),
        "step_bits": lambda on: reverse.step_bits(SCHEDULE, on.gaussian.predict(on.x, 1), on.x0, on.x, 1, "large"),
    },
    "randomness": {
        "normal": lambda on: randomness.normal(SHAPE, 1, Stream.FORWARD, 2, [0, 3], on.device),
    },
    "nets": {
        "UNet": lambda on: on.net.net(on.x, on.t.to(on.device), labels=on.labels),
        "Transformer": lambda on: seeded(nets.Transformer, on, 1, width=16, depth=1, heads=2, patch=2),
    },
    "gaussian": {
        "log_bins": lambda on: DiagonalGaussian(on.x, 0.01).log_bins(on.x0, 1 / 255, 0.999),
    },
    "derived": {
        text: made_by(text)
        for text in ("upscale:2", "blur:1.0", "crop:0.5", "mask", "mask:box", "mask:brush", "mask:left")
    },
    "augmentation": {
        "Augmentation": lambda on: augmentation.draw((8, 8), 0.9, 1, 2, [0, 1])(on.x0),
    },
    "conditions": {
        "Vector": lambda on: conditions.Vector((0.5,), (2.0,)).encode(torch.tensor([1.0, torch.nan]).to(on.device)),
        "resized": lambda on: conditions.resized(on.x, (16, 16)),
    },
}
CASES = {f"{module}: {name}": part for module, parts in PARTS.items() for name, part in parts.items()}


def seeded(make, on, *arguments, **options):
    torch.manual_seed(0)
    net = make(*arguments, **options).to(on.device).eval()
    return net(on.x, on.t.to(on.device))


@pytest.mark.parametrize("case", CASES)
def test_a_part_computes_what_it_computes_on_the_cpu(case, device, close):
    values = [CASES[case](On(where)) for where in (device, "cpu")]
    assert close(*values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_a_part_computes_on_a_device_without_float64(case, single, close):
    assert close(CASES[case](On(single)), CASES[case](On("cpu")), rtol=2e-2, atol=2e-3)
