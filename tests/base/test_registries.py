"""A part that has a name is said once, in a table that everything else reads."""

import dataclasses
import json

import pytest
import torch

from ancestral import model, samplers, schedules
from ancestral.base import registries
from ancestral.base.errors import InputError
from ancestral.base.registries import Entry
from ancestral.config import Config
from ancestral.data import DataSpec
from ancestral.data.spec import POINTS
from ancestral.samplers import DDIM

OPTIONS = {
    "linear": {"beta_start": 2e-4, "beta_end": 0.03},
    "cosine": {"offset": 0.02, "max_beta": 0.99},
    "sigmoid": {"start": -2.0, "end": 4.0, "max_beta": 0.99},
    "geometric": {"sigma_min": 0.1, "sigma_max": 9.0},
    "karras": {"sigma_min": 0.1, "sigma_max": 9.0, "rho": 5.0},
    "flow": {},
}


@pytest.mark.parametrize("name", registries.SCHEDULES)
def test_a_config_sets_every_parameter_of_a_schedule(name):
    options = OPTIONS[name]
    assert {"steps", *options} == set(registries.SCHEDULES[name].defaults())
    text = ",".join(f"{key}={value}" for key, value in options.items())
    config = Config().with_settings(schedule=f"{name}:{text}" if text else name, timesteps=50, target="v").check()
    assert Config.from_json(config.to_json()) == config
    schedule, expected = schedules.from_spec(config.process.schedule_spec()), getattr(schedules, name)(50, **options)
    assert torch.equal(schedule.signal, expected.signal)
    assert torch.equal(schedule.noise, expected.noise)
    assert schedule.spec == expected.spec


@pytest.mark.parametrize(
    ("schedule", "settings", "words"),
    [
        ("karas", {}, "did you mean karras"),
        ("karras:rho=5,rho=6", {}, "twice"),
        ("karras:sigma_min=1", {"sigma_min": 0.5}, "sigma_min of the schedule is a setting of its own"),
        ("karras:steps=5", {}, "steps of the schedule is a setting of its own"),
        ("cosine", {"sigma_min": 0.5}, "geometric and karras"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_with_the_config(schedule, settings, words):
    with pytest.raises(InputError, match=words):
        Config().with_settings(schedule=schedule, **settings).check()


@pytest.mark.parametrize(
    ("schedule", "words"), [("karras:slope=5", "no option slope; it has steps"), ("cosine:offset=much", "a number")]
)
def test_an_option_that_a_schedule_cannot_have_is_refused_before_training(schedule, words):
    config = Config().with_settings(schedule=schedule)
    with pytest.raises(InputError, match=words):
        model.build(config, DataSpec((2,), POINTS))


def test_a_row_is_enough_for_help_errors_and_checks(monkeypatch, capsys):
    monkeypatch.setitem(registries.SAMPLERS, "mine", Entry("mine", "samplers.ddim:DDIM", "", "", {"steps": 7}))
    assert samplers.from_name("mine:eta=1") == DDIM(7, eta=1)
    with pytest.raises(InputError, match=r"pc, consistency, mine$"):
        samplers.from_name("ours")
    described = registries.SAMPLERS.rows.splitlines()
    assert described[-1] == "| `mine` |  |  |"


def test_a_config_without_options_is_that_of_version_02():
    """Names stand alone, so runs that were trained before have the identity that they had."""
    tree = json.loads(Config().with_settings(schedule="karras", sigma_max=20.0).to_json())
    assert tree["process"]["schedule"] == "karras"
    assert dataclasses.asdict(Config.from_json(json.dumps(tree)).process) == tree["process"]
