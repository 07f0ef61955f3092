"""Constructors of the theory and of configs, with arguments of other types and numbers out of range."""

import dataclasses
import inspect
import typing

import pytest
import torch
from torch import nn

from ancestral import Diffusion, config, guidance, nets, objectives, operators, oracle, samplers, schedules, targets
from ancestral.base.arguments import fits, read
from ancestral.base.errors import InputError
from ancestral.base.options import in_python, option
from ancestral.objectives.times import UniformTimes
from ancestral.targets import Denoiser

SCHEDULE = schedules.linear(10)
DENOISER = oracle.Gaussian(SCHEDULE, 0.0, 1.0)
GUIDED = guidance.Clipped(DENOISER)
OBJECTIVE = objectives.Denoising(UniformTimes(SCHEDULE))
VALUES = (5, "x", 1.5, None, True, object(), ["x"], {1: 2}, nn.Identity(), torch.zeros(2, dtype=torch.bool), "a\0b")
"""Values, none of which fits every type."""
REQUIRED = {
    "net": nn.Identity(), "schedule": SCHEDULE, "denoiser": GUIDED, "guidance": GUIDED, "weak": DENOISER, "scale": 2.0,
    "y": torch.zeros(1, 1, 4, 4), "operator": operators.Downsample(2), "noise": 0.1, "inner": OBJECTIVE,
    "denoising": OBJECTIVE, "stages": objectives.Stages(10, 2), "teacher": Diffusion(nn.Identity(), SCHEDULE),
    "weights": torch.tensor(0.5), "other": {}, "betas": [0.1, 0.2], "target": targets.EPS,
    "number": 2, "steps": 10, "size": 8, "overlap": 2, "times": UniformTimes(SCHEDULE),
}  # fmt: skip
"""Arguments without a default, by name."""
SMALL = {nets.UNet: {"width": 8, "mults": (1,), "attention": ()}, nets.Transformer: {"width": 16, "depth": 1}}
"""Settings of small networks."""
FUNCTIONS = (schedules.from_betas, schedules.linear, schedules.cosine, schedules.sigmoid, schedules.geometric,
             schedules.karras, schedules.flow, schedules.zero_terminal,
             objectives.build)  # fmt: skip


def constructors():
    """The public classes that users build, and the functions that build a schedule or an objective."""
    yield Diffusion
    for module in (nets, samplers, guidance, objectives, config):
        for name in getattr(module, "__all__", sorted(vars(module))):
            kind = getattr(module, name)
            built = (nn.Module, samplers.Sampler, guidance.Wrapper, objectives.Objective)
            is_class = inspect.isclass(kind) and not inspect.isabstract(kind)
            if is_class and (issubclass(kind, built) or (name.endswith("Config") and dataclasses.is_dataclass(kind))):
                yield kind
    yield from FUNCTIONS


def parameters(kind):
    """The parameters of a constructor with a type, and their types."""
    function = kind.__init__ if inspect.isclass(kind) else kind
    hints = typing.get_type_hints(function)
    names = [name for name, one in inspect.signature(kind).parameters.items() if one.kind != one.VAR_KEYWORD]
    return {name: hints[name] for name in names if hints.get(name, typing.Any) is not typing.Any}


@pytest.mark.parametrize("kind", [*constructors()], ids=lambda kind: kind.__name__)
def test_an_argument_of_another_type_is_refused_at_the_constructor(kind):
    types = parameters(kind)
    signature = inspect.signature(kind).parameters
    required = {name: REQUIRED[name] for name, one in signature.items() if one.default is one.empty}
    refused = 0
    for name, hint in types.items():
        for value in VALUES:
            sequence = any(word in str(hint) for word in ("Sequence", "Collection", "tuple"))
            value_read, several = read(value, hint), read((value,), hint)  # some values are written as text
            if fits(value_read, hint) or (sequence and fits(several, hint)) or (isinstance(value, list) and sequence):
                continue  # which may be refused for another reason, or is one of several
            if isinstance(value, torch.Tensor) and sequence:
                continue
            with pytest.raises(InputError) as error:
                kind(**required | {name: value})
            assert str(error.value).startswith(f"{in_python(name, [])} cannot be "), (name, value)
            assert "\n" not in str(error.value)
            assert option("x") not in str(error.value)
            refused += 1
    assert refused or not types
    kind(**required | SMALL.get(kind, {}))


@pytest.mark.parametrize(
    ("network", "numbers"),
    [
        (nets.UNet, ("channels", "width", "blocks", "image_size", "patch", "out_channels", "mults")),
        (nets.Transformer, ("channels", "width", "depth", "heads", "patch", "bottleneck", "out_channels")),
        (nets.MLP, ("features", "width", "layers", "out_features")),
    ],
)
def test_numbers_of_a_network_are_at_least_one(network, numbers):
    for name in numbers:
        for value in (0, -3):
            with pytest.raises(InputError, match=f"^{name} of an? .* must be at least 1, not {value}$"):
                network(**{name: (1, value) if name == "mults" else value})


def test_a_bare_network_is_no_denoiser():
    """Whatever evaluates a denoiser says how a network becomes one."""
    assert isinstance(DENOISER, Denoiser)
    for use in (samplers.DDIM(2).sample, samplers.DDPM().sample):
        with pytest.raises(InputError, match=r"a MLP lacks: wrap the network, Diffusion\(net, schedule, target\)"):
            use(nets.MLP(), torch.zeros(2, 2))
    with pytest.raises(InputError, match="denoiser cannot be a MLP: give a Denoiser"):
        guidance.Clipped(nets.MLP())
    with pytest.raises(InputError, match="needs a schedule and a method predict, which 5 lacks"):
        samplers.DDIM(2).sample(5, torch.zeros(2, 2))


class OneLoss(objectives.Objective):
    """An objective whose errors are their mean."""

    def errors(self, forward):
        return forward.answer.mean()


def test_errors_that_are_not_one_for_each_sample_are_refused():
    denoiser = Diffusion(nets.MLP(), SCHEDULE)
    with pytest.raises(InputError, match=r"have the shape \[\] for 3 samples: they should be the loss of each sample"):
        denoiser.losses(torch.zeros(3, 2), step=0, objective=OneLoss(UniformTimes(SCHEDULE)))
