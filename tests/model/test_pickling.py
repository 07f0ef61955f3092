"""Denoisers, samplers and models can be pickled and copied, so they can be sent to other processes."""

import copy
import dataclasses
import io
import pickle

import joblib
import pytest
import torch

from ancestral import Diffusion, guidance, nets, objectives, oracle, samplers, schedules, targets
from ancestral.base.registries import WEIGHTINGS
from ancestral.objectives import ConsistencyTuning, ProgressiveDistillation, Stages
from tiny_models import untrained, wake


def by_torch(value):
    """What torch.save wrote, read again. It is pickle, so reading it may run code."""
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def by_joblib(value):
    file = io.BytesIO()
    joblib.dump(value, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "torch.save": by_torch,
    "joblib": by_joblib,
    "deepcopy": copy.deepcopy,
}
SCHEDULES = {
    name: make({"name": "linear", "steps": 8})
    if name == "zero_terminal"
    else make([0.1] * 8 if name == "from_betas" else 8)
    for name, make in schedules.BY_NAME.items()
} | {"tables": schedules.Schedule([1.0, 0.9, 0.5, 0.2], [0.0, 0.4, 0.8, 1.0])}
NETS = {
    "unet": lambda: nets.UNet(1, width=16, mults=(1, 2), blocks=1, attention=(4,), groups=4, image_size=8, classes=2),
    "transformer": lambda: nets.Transformer(1, width=16, depth=1, heads=2, patch=4, classes=2),
    "mlp": lambda: nets.MLP(2, width=16, layers=1, classes=2),
}
copies = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
two_copies = pytest.mark.parametrize("duplicate", [COPIES["deepcopy"], COPIES["pickle"]], ids=["deepcopy", "pickle"])
"""For what is slower: the others pickle too."""


def denoiser_of(kind="unet", schedule="linear", target=targets.V, **options):
    return Diffusion(wake(NETS[kind]()), SCHEDULES[schedule], target, **options).eval()


def noise(kind="unet"):
    return torch.randn(2, 2) if kind == "mlp" else torch.randn(2, 1, 8, 8)


def half(a, b):
    return 0.5


def minus_half(a, b):
    return -0.5


@copies
def test_a_target_of_ones_own(duplicate):
    """Its functions have names; those of lambdas can only be copied."""
    target = targets.Target("own", p=half, q=minus_half)
    assert duplicate(target) == target
    assert copy.deepcopy(targets.Target("v", lambda a, b: -b, lambda a, b: a)) != targets.V


@two_copies
@pytest.mark.parametrize("kind", NETS)
def test_models_of_every_network(kind, duplicate):
    """The samples of a copy are the same."""
    model = untrained((2,) if kind == "mlp" else (1, 8, 8), classes=("a", "b"))
    model.denoiser = denoiser_of(kind)
    twin = duplicate(model)
    assert torch.equal(twin.sample(3, guidance=2.0, seed=1), model.sample(3, guidance=2.0, seed=1))
    assert (twin.config, twin.spec, repr(twin)) == (model.config, model.spec, repr(model))


@copies
def test_oracles_and_wrappers(duplicate):
    schedule, x = SCHEDULES["linear"], noise()
    means = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
    for denoiser in (
        oracle.Gaussian(schedule, 0.2, 0.3),
        oracle.Mixture(schedule, means, torch.tensor([0.1, 0.2]), torch.tensor([1.0, 2.0])),
        oracle.Empirical(schedule, means),
    ):
        assert torch.equal(duplicate(denoiser).predict(x, 4).x0, denoiser.predict(x, 4).x0)
    guided, labels = guidance.ClassifierFree(denoiser_of(), 2.0), torch.tensor([0, 1])
    assert torch.equal(duplicate(guided).predict(x, 4, labels=labels).x0, guided.predict(x, 4, labels=labels).x0)


@two_copies
@pytest.mark.parametrize("name", samplers.BY_NAME)
def test_samplers_and_predictions(name, duplicate):
    """A copy takes up a trajectory where the original was, with its state and its prediction."""
    sampler = samplers.BY_NAME[name]
    sampler = dataclasses.replace(sampler, steps=min(sampler.steps or 4, 4))
    assert duplicate(sampler) == sampler
    exact, x = oracle.Gaussian(SCHEDULES["linear"], 0.2, 0.3), noise()
    assert torch.equal(duplicate(sampler).sample(exact, x), sampler.sample(exact, x))
    prediction = exact.predict(x, 3)
    assert torch.equal(duplicate(prediction).eps, prediction.eps)


OBJECTIVES = {
    **{times: lambda d, times=times: objectives.build(d.schedule, d.target, times) for times in
       ("uniform", "stratified", "lognormal", "logitnormal", "importance")},
    **{weighting: lambda d, weighting=weighting: objectives.build(d.schedule, d.target, weighting=weighting) for
       weighting in WEIGHTINGS},
    "clipped, learned variance": lambda d: objectives.build(d.schedule, d.target, clip=True, learned_variance=True),
    "consistency": lambda d: ConsistencyTuning(objectives.build(d.schedule, d.target), Stages(8, 2), teacher=d),
    "progressive": lambda d: ProgressiveDistillation(objectives.build(d.schedule, d.target), Stages(8, 2), d),
}  # fmt: skip


@two_copies
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name, duplicate):
    """A copy draws the same times and has the same loss and state."""
    learned = "learned" in name
    denoiser, x0 = denoiser_of("mlp", learned_variance=learned), noise("mlp").clamp(-1, 1)
    if learned:
        denoiser.net = torch.nn.Identity()
        denoiser.net.forward = Doubled()
    objective = OBJECTIVES[name](denoiser)
    objective.update(torch.tensor([3, 5]), torch.tensor([0.5, 0.25]))
    twin = duplicate(objective)
    (t, loss), (u, other) = (one.losses(denoiser, x0, step=1, seed=2) for one in (objective, twin))
    assert torch.equal(t, u)
    assert torch.equal(loss, other)
    assert {name: value.tolist() for name, value in twin.state.items()} == {
        name: value.tolist() for name, value in objective.state.items()
    }


class Doubled:
    """A network with a learned variance."""

    def __call__(self, x, index):
        return torch.cat([0.1 * x, 0.1 * x], 1)
