"""Files that older versions wrote still load: configs, models and training states."""

import dataclasses
import json

import pytest
import torch

import ancestral
from ancestral import config as configs
from ancestral import schedules, storage, targets
from ancestral.config import Config, CustomNetConfig, MLPConfig, UNetConfig
from ancestral.diffusion import Diffusion
from ancestral.errors import InputError
from ancestral.training import RunFolder, Trainer
from ancestral.training.checkpoints import MANIFEST, TENSORS
from ancestral.workflows import publish
from conftest import stripes, tiny_config

OLD_NET = {"width": 64, "mults": [1, 2], "blocks": 3, "attention": [], "dropout": 0.0, "patch": 1, "groups": None}


def old(source, **data):
    return json.dumps({
        "preset": "custom", "data": {"source": source, "streaming": False, **data}, "net": OLD_NET,
        "engine": {"workers": 2, "trackers": []},
    })  # fmt: skip


def test_a_config_of_version_0_1():
    images = Config.from_json(old("photos/"))
    assert images.net == UNetConfig(width=64, mults=(1, 2), blocks=3, attention=(), dropout=0.0)
    assert images.runtime.workers == 2
    assert Config.from_json(old("moons")).net == MLPConfig(width=64, blocks=3)
    assert Config.from_json(old("shards/", streaming=True)).data.source == "shards/"  # its model still samples
    with pytest.raises(InputError, match="unknown setting 'speed'"):
        Config.from_json(old("moons", speed=3))


@pytest.mark.parametrize(("written", "size"), [(32, 32), (None, None), ("32x48", "32x48"), ([32, 48], "32x48")])
def test_image_sizes_of_any_version(written, size):
    """Version 0.1 knew squares alone, as one number."""
    config = Config.from_json(old("photos/", image_size=written))
    assert (config.data.image_size, config.data.fit) == (size, "crop")
    assert Config.from_json(config.to_json()) == config


def test_a_run_that_streamed_cannot_be_resumed(tmp_path):
    storage.write_text(tmp_path / "config.json", old("shards/", streaming=True))
    with pytest.raises(InputError, match="--streaming, which is gone"):
        RunFolder(tmp_path).read_config()


def test_a_run_whose_network_was_wrapped(tmp_path):
    """Runs of NCSN: `net.` before the names of the weights."""
    config = dataclasses.replace(
        tiny_config(steps=4),
        process=configs.ProcessConfig("geometric", sigma_max=8.0, target="score"),
        sample=configs.SampleConfig("langevin:steps=5,steps_per_level=1"),
        runtime=configs.RuntimeConfig(snapshots=0),  # there were none
    )
    folder = RunFolder(tmp_path / "run")
    folder.begin(config)
    trainer = Trainer(config, stripes(), "cpu")
    list(trainer.run(folder))
    samples = ancestral.load(folder.path, "cpu").sample(2)

    tensors, metadata = storage.read_tensors(folder.model)
    storage.write_tensors(folder.model, {f"net.{name}": value for name, value in tensors.items()}, metadata)
    assert torch.equal(ancestral.load(folder.path, "cpu").sample(2), samples)

    newest = max(folder.checkpoints.iterdir())
    tensors, _ = storage.read_tensors(newest / TENSORS)
    kinds = ("net.", "ema.", "adam.step.", "adam.exp_avg.", "adam.exp_avg_sq.")
    renamed = {}
    for name, value in tensors.items():
        kind = next((kind for kind in kinds if name.startswith(kind)), "")
        renamed[f"{kind}net.{name.removeprefix(kind)}" if kind else name] = value
    storage.write_tensors(newest / TENSORS, renamed, {})
    manifest = json.loads((newest / MANIFEST).read_text())
    manifest["sha256"][TENSORS] = storage.sha256(newest / TENSORS)
    (newest / MANIFEST).write_text(json.dumps(manifest))
    again = Trainer(config, stripes(), "cpu")
    assert again.load(folder) == []
    for name, value in trainer.state.tensors().items():
        assert torch.equal(value, again.state.tensors()[name]), name


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
    info = publish.info(path, net=denoiser.net)
    assert ("trained", "0 steps of a loop of your own") in info.parts()[0].rows
