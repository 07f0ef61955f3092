"""Configs: strict, as JSON and back; and the paper's."""

import dataclasses
import json

import pytest
import torch

from ancestral import config as configs
from ancestral import nets
from ancestral.base.errors import InputError
from ancestral.config import Config


def test_cifar10_preset_is_the_papers():
    c = configs.preset("cifar10")
    assert c.net == configs.UNetConfig(width=128, mults=(1, 2, 2, 2), blocks=2, attention=(16,), dropout=0.1, patch=1)
    assert c.process == configs.ProcessConfig(schedule="linear", timesteps=1000, target="eps")
    assert (c.train.steps, c.train.batch_size, c.train.lr, c.train.warmup) == (800_000, 128, 2e-4, 5000)
    assert (c.train.clip_norm, c.train.ema, c.train.decay, c.data.flip) == (1.0, 0.9999, "none", True)
    with torch.device("meta"):
        net = nets.build(shape=(3, 32, 32), **dataclasses.asdict(c.net))
    assert sum(p.numel() for p in net.parameters()) == 35_746_307


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"net": {"width": "wide"}}, "width"),
        ({"net": {"mults": [1, "2"]}}, "mults"),
        ({"train": {"lr": True}}, "lr"),
        ({"train": {"precision": "fp8"}}, "precision"),
        ({"data": {"image_size": 1.5}}, "image_size"),
        ({"nets": {}}, "unknown setting 'nets'"),
        ([], "JSON object"),
        ({"net": 3}, "net cannot be 3"),
    ],
)
def test_bad_configs_are_refused_by_name(tree, says):
    with pytest.raises(InputError, match=says):
        Config.from_json(json.dumps(tree))


def test_integers_may_stand_for_floats_in_a_config():
    assert Config.from_json('{"train": {"lr": 1}}').train.lr == 1
