"""States in time, one after another: a linear stochastic system against its closed form, seeds, files, refusals."""

import math

import pytest
import torch
from torch import nn

from ancestral import schedules, targets
from ancestral.base.errors import InputError
from ancestral.conditions import Image, argument_name
from ancestral.config import Config, DataConfig
from ancestral.data.spec import Codec, DataSpec
from ancestral.metrics import ensembles
from ancestral.model import CustomParts, Model
from ancestral.model.building import build
from ancestral.randomness import further_seed
from ancestral.samplers import Heun
from ancestral.scaling import Scale

PHI, SPREAD, OFFSET, LENGTH, STATES = 0.9, 0.4, 1.5, 6, 10
"""The system: x_k = offset + φ roll(x_{k-1} − offset, 1) + spread · noise, on a ring of some length."""
SCALE = Scale("standard", OFFSET, 2.0)


class Exact(nn.Module):
    """x̂_0 of the next state given the last one: the exact network of the target x0."""

    def __init__(self, model_schedule) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.schedule = model_schedule

    def forward(self, x, index, **conditions):
        previous = conditions[argument_name("previous")]
        a, b = (part.view(-1, 1, 1).to(x.dtype) for part in self.schedule.at(index + 1))
        mean, variance = PHI * previous[:, :1].roll(1, 2), (SPREAD / 2) ** 2
        gain = a * variance / (a**2 * variance + b**2)
        return mean + gain * (x - a * mean)


@pytest.fixture(scope="module")
def model():
    scaling, codec = (SCALE,), Codec("float", (-5.0, 5.0), scaling=(SCALE,))
    previous = Image(1, (-5.0, 5.0), (LENGTH,), scaling=scaling, earlier=1, hours=6.0)
    spec = DataSpec((1, LENGTH), codec, conditions={"previous": previous})
    config = Config(data=DataConfig(scale="standard"))
    net = Exact(schedules.from_spec(config.process.schedule_spec()))
    made = build(config, spec, CustomParts(net=net, target=targets.from_name("x0")))
    return Model(made, spec, config)


def start():
    return torch.linspace(-1, 4, LENGTH).view(1, 1, LENGTH)


def closed_form():
    """The mean (states, L) and the standard deviation (states,) of each state."""
    means, deviations, mean, variance = [], [], start()[0, 0] - OFFSET, 0.0
    for _ in range(STATES):
        mean, variance = PHI * mean.roll(1), PHI**2 * variance + SPREAD**2
        means.append(mean + OFFSET)
        deviations.append(math.sqrt(variance))
    return torch.stack(means), torch.tensor(deviations)


def test_ten_states_of_a_linear_stochastic_system_are_those_of_the_closed_form(model):
    members = 2000
    states = model.sample(members, Heun(40, clip=None), rollout=STATES, given={"previous": start()}, batch_size=2000)
    assert states.shape == (members, STATES, 1, LENGTH)
    means, deviations = closed_form()
    error = deviations[:, None] / math.sqrt(members)
    z = (states[:, :, 0].mean(0) - means) / error
    assert z.abs().max() < 4.5
    assert z.square().mean() < 2
    ratio = states[:, :, 0].std(0) / deviations[:, None]
    assert (ratio - 1).abs().max() < 4.5 / math.sqrt(2 * members) + 0.01
    pairs = states[:, :, 0] - means
    neighbours = (pairs * pairs.roll(1, 2)).mean((0, 2)) / deviations**2  # independent along the ring
    assert neighbours.abs().max() < 0.05
    # the energy score of an observation of the system beside that of exact members
    generator = torch.Generator().manual_seed(1)
    truth = means + deviations[:, None] * torch.randn(400, STATES, LENGTH, generator=generator)
    exact = means + deviations[:, None] * torch.randn(200, STATES, LENGTH, generator=generator)
    for state in range(STATES):
        scores = [
            ensembles.energy_scores(part[:200, state].expand(400, -1, -1), truth[:, state])
            for part in (states[:, :, 0], exact)
        ]
        difference = scores[0] - scores[1]
        assert difference.mean().abs() < 4 * difference.std() / 20 + 0.02 * scores[1].mean()


def test_a_state_is_the_sample_given_the_one_before_by_a_seed_of_its_own(model):
    sampler, given = Heun(5, clip=None), {"previous": start()}
    states = model.sample(3, sampler, seed=4, rollout=3, given=given)
    assert torch.equal(states[:, 0], model.sample(3, sampler, seed=4, given=given))
    second = model.sample(3, sampler, seed=further_seed(4, 1), given={"previous": states[:, 0]})
    assert torch.allclose(states[:, 1], second, atol=1e-5)
    assert torch.equal(states[1:2], model.sample(sampler=sampler, seed=4, rollout=3, given=given, indices=[1]))
    encoded = model.sample(3, sampler, seed=4, rollout=3, given=given, decode=False)
    assert torch.allclose(model.spec.codec.decode(encoded), states, atol=1e-5)


def test_as_xarray_states_lie_along_forecast_period(model):
    pytest.importorskip("xarray")
    fields = model.sample(2, Heun(2, clip=None), rollout=3, given={"previous": start()}, as_="xarray")
    assert fields["signal"].dims == ("realization", "forecast_period", "x")
    assert fields["forecast_period"].values.tolist() == [6, 12, 18]
    assert fields["forecast_period"].attrs == {"standard_name": "forecast_period", "units": "hours"}


def test_what_cannot_be_rolled_out_is_refused(model):
    with pytest.raises(InputError, match="begins with states: give them"):
        model.sample(2, rollout=3)
    with pytest.raises(InputError, match="at least 1"):
        model.sample(2, rollout=0, given={"previous": start()})
    config = Config()
    other = Model(build(config, DataSpec((1, 8), Codec("float"))), DataSpec((1, 8), Codec("float")), config)
    with pytest.raises(InputError, match="goes on from earlier states alone"):
        other.sample(2, rollout=3)
    with pytest.raises(InputError, match="leave it out of an edit"):
        model.inpaint(start(), torch.ones(LENGTH), rollout=2)
