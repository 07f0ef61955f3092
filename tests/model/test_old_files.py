"""Files that version 0.2 wrote in other forms still load."""

from pathlib import Path

import pytest
import torch

import ancestral
from ancestral import schedules, targets
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.config import Config, CustomNetConfig, preset
from ancestral.diffusion import Diffusion
from tiny_models import stripes


def test_a_config_of_version_0_2():
    text = (Path(__file__).parents[1] / "files" / "config-0.2.json").read_text(encoding="utf-8")
    assert Config.from_json(text) == preset("digits").with_settings(
        trackers=("tensorboard",), narrow=False, stretch_period=360, ranges="shared"
    )


def test_a_model_of_a_plain_loop_of_version_0_2(tmp_path):
    """Its config is the default one, whatever the denoiser was; target and schedule stand beside it."""
    denoiser = Diffusion(torch.nn.Conv2d(1, 1, 1), schedules.cosine(8), targets.V)
    denoiser.net.forward = lambda x, index: 0.1 * x
    path = tmp_path / "m.safetensors"
    ancestral.Model(denoiser, stripes().spec).save(path)
    tensors, metadata = storage.read_tensors(path)
    storage.write_tensors(path, tensors, metadata | {"config": Config(net=CustomNetConfig()).to_json()})
    model = ancestral.load(path, "cpu", net=denoiser.net)
    assert (model.diffusion.target, model.denoiser.schedule.spec["name"]) == (targets.V, "cosine")
    assert model.config == ancestral.Model(denoiser, stripes().spec).config
    with pytest.raises(InputError, match="say which data to evaluate it on"):
        ancestral.evaluate(model, samples=12, progress=False)
    info = ancestral.info(path, net=denoiser.net)
    assert ("trained", "0 steps of a loop of your own") in info.parts()[0].rows
