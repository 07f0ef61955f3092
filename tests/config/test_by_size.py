"""Networks by the size of the items: the rule, what it leaves to the user, and what doctor and train say of it."""

import dataclasses
import json

import pytest
import torch

import ancestral
from ancestral import config as configs
from ancestral import model, nets
from ancestral.base.errors import InputError
from ancestral.base.events import Message
from ancestral.base.options import in_python, option, spell
from ancestral.config import UNetConfig, by_size
from ancestral.data import InMemoryDataset
from ancestral.data.spec import Codec, DataSpec
from ancestral.declarations import Train
from ancestral.training import Trainer
from ancestral.training.step_cost import StepMemory, step_memory
from tiny_models import but_one_long, events_of

train = events_of(Train)

SHAPES = [
    *((3, side, side) for side in (1, 2, 5, 28, 33, 64, 250)),
    *((3, height, width) for height, width in ((2, 7), (33, 130), (512, 64))),
    *((1, side) for side in (1, 100, 1025, 100_003)),
    *((2, side, side, side) for side in (1, 9, 11, 65)),
    (1, 3, 20, 70),
    (3, 1, 5000),
]


def net_of(config, shape, device="cpu"):
    """The network of a config on the meta device, where nothing is computed but shapes."""
    config = model.for_items(config, DataSpec(shape, Codec("float"), ()), device)
    with torch.device("meta"):
        return nets.build(shape=shape, **dataclasses.asdict(config.net))


@pytest.mark.parametrize("device", but_one_long(["cpu", "cuda"]))
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_every_size_gets_a_network_that_takes_it(shape, device):
    """And attention at resolutions that the network has."""
    net, choice = net_of(configs.preset("arrays"), shape, device), by_size.choose(shape, device)
    assert all(side >= net.multiple for side in shape[1:])
    padded = [-(-side // net.multiple) * net.multiple for side in shape[1:]]
    assert max(padded) < 2 * max(shape[1:]) or max(padded) <= 4
    levels = [max(padded) // choice["patch"] >> level for level in range(len(choice["mults"]))]
    assert set(choice["attention"]) <= set(levels)
    assert list(choice["attention"]) == sorted(choice["attention"], reverse=True)
    if max(shape[1:]) > 256:  # the shapes follow from smaller ones
        return
    x = torch.empty(2, *shape, device="meta")
    assert net(x, torch.zeros(2, dtype=torch.int64, device="meta")).shape == x.shape


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 1024), (1, 10, 10, 10), (3, 16, 64), (2,)])
def test_small_items_keep_the_network_of_the_preset_digits(shape, device):
    choice, digits = by_size.choose(shape, device), configs.preset("digits")
    if len(shape) > 1:
        assert choice["mults"] == digits.net.mults
        assert choice["patch"] == digits.net.patch
    for name in ("width", "blocks", "attention", "narrow"):
        assert choice[name] == getattr(digits.net, name)
    assert (choice["batch_size"], choice["lr"]) == (digits.train.batch_size, digits.train.lr)


def test_the_choice_for_photographs():
    cpu = {size: by_size.choose((3, size, size)) for size in (64, 128, 256, 512, 1024)}
    assert {size: choice["patch"] for size, choice in cpu.items()} == {64: 2, 128: 4, 256: 8, 512: 16, 1024: 16}
    assert cpu[64] == {**cpu[512], "patch": 2}
    assert cpu[1024]["mults"] == (1, 1, 2, 4)
    assert by_size.choose((3, 4096, 4096))["batch_size"] < 32
    for size in (64, 128, 256):
        preset = configs.preset(f"photos{size}")
        gpu = by_size.choose((3, size, size), "cuda")
        for name in ("width", "mults", "blocks", "attention", "patch", "narrow"):
            assert gpu[name] == getattr(preset.net, name), (size, name)
    assert [by_size.choose((3, size, size), "cuda")["batch_size"] for size in (64, 128, 256)] == [64, 32, 8]


def test_the_number_of_positions_counts_not_the_sides():
    square, wide = by_size.choose((3, 64, 64)), by_size.choose((3, 32, 128))
    assert wide == {**square, "attention": (16,)}  # the longest side of the same levels
    assert by_size.choose((1, 64, 64)) == by_size.choose((200, 64, 64))


OTHER = {
    **{"width": 16, "mults": (1, 1), "blocks": 2, "attention": (), "patch": 1, "narrow": False},
    **{"batch_size": 5, "lr": 1e-4},
}


@pytest.mark.parametrize("name", OTHER)
def test_a_setting_that_is_given_wins(name):
    config = configs.preset("folder").with_settings(**{name: OTHER[name]})
    assert by_size.left_out(config) == [other for other in by_size.CHOSEN if other != name]
    final, choice = by_size.complete(config, (3, 64, 64)), by_size.choose((3, 64, 64))
    if name in ("mults", "patch"):  # the levels of the user have other resolutions
        choice["attention"] = {"mults": (), "patch": ()}[name]
    assert not by_size.left_out(final)
    for other in by_size.CHOSEN:
        value = getattr(final.net, other, getattr(final.train, other, None))
        assert value == (OTHER[name] if other == name else choice[other])
    net = nets.build(shape=(3, 64, 64), **dataclasses.asdict(final.net))
    assert set(final.net.attention) <= set(net.resolutions)
    words = by_size.explain(config, (3, 64, 64))
    assert f"--{name.replace('_', '-')} " not in words
    assert "3 levels to " in words or name == "mults"


def test_a_setting_wins_though_it_is_the_one_of_small_images():
    small = by_size.choose((3, 32, 32))
    final = by_size.complete(configs.preset("folder").with_settings(**small), (3, 256, 256), "cuda")
    assert {name: getattr(final.net, name, getattr(final.train, name, None)) for name in small} == small
    assert by_size.explain(final, (3, 256, 256), "cuda") == ""


def test_latents_get_no_patch_up_to_32x32_positions():
    choices = {side: by_size.choose((4, side, side), latents=True) for side in (16, 32, 64)}
    assert [choice["patch"] for choice in choices.values()] == [1, 1, 2]
    assert [choice["mults"] for choice in choices.values()] == [(1, 2), (1, 2, 4), (1, 2, 4)]
    config = configs.preset("latent")
    assert by_size.complete(config, (4, 32, 32)).net.patch == 1
    assert "and 3 levels to 8x8" in by_size.explain(config, (4, 32, 32))


@pytest.mark.parametrize("name", sorted(set(configs.PRESETS) - {"folder", "arrays", "latent"}))
def test_the_other_presets_leave_nothing_to_the_size(name):
    config = configs.preset(name)
    assert not by_size.left_out(config)
    assert by_size.complete(config, (3, 300, 300), "cuda") == config


def test_a_network_of_another_kind_gets_the_batch_and_rate_of_small_items():
    for net in (configs.MLPConfig(), configs.CustomNetConfig()):
        config = dataclasses.replace(configs.preset("arrays"), net=net)
        final = by_size.complete(config, (3, 256, 256), "cuda")
        assert final.net == net
        assert (final.train.batch_size, final.train.lr) == (32, 2e-3)
    spec = DataSpec((2,), Codec("float"), ())
    assert model.for_items(configs.preset("arrays"), spec).net == configs.MLPConfig(width=32, blocks=1)


def test_settings_that_do_not_fit_the_chosen_ones_are_refused(photos, tmp_path):
    with pytest.raises(InputError, match=r"too small for this network.*fewer levels in mults"):
        ancestral.train("folder", photos, out=tmp_path / "run", image_size=40, patch=16, progress=False)
    assert not (tmp_path / "run").exists()


# -- presets ----------------------------------------------------------------------------------------------------------


def test_the_papers_256_model_has_its_parameters_and_its_sampler():
    config = configs.preset("ddpm256")
    assert sum(parameter.numel() for parameter in net_of(config, (3, 256, 256)).parameters()) == 113_673_219
    model_of_config = model.build(dataclasses.replace(config, net=TINY), RGB)
    sampler = model.sampler_for(model_of_config, config.sample.sampler)
    assert (sampler.variance, sampler.clip, sampler.nfe(model_of_config.schedule)) == ("small", 1.0, 1000)


TINY, RGB = UNetConfig(width=8, mults=(1,), blocks=1, attention=()), DataSpec((3, 8, 8), Codec("uint8"), ())


@pytest.mark.parametrize(("size", "parameters"), [(64, 88_217_219), (128, 90_860_931), (256, 118_931_459)])
def test_the_presets_for_photographs(size, parameters):
    config = configs.preset(f"photos{size}")
    assert sum(parameter.numel() for parameter in net_of(config, (3, size, size)).parameters()) == parameters
    assert config.with_settings(source="a/cats").title == "cats"
    assert configs.command(config.with_settings(source="cats")) == f"ancestral train photos{size} --data cats"


# -- in use -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve files of 40x40 pixels."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("data") / "photos"
    folder.mkdir()
    for i in range(12):
        Image.new("RGB", (40, 40), (20 * i, 90, 255 - 20 * i)).save(folder / f"{i}.png")
    return folder


TINY_RUN = {"width": 8, "steps": 1, "image_size": 40, "device": "cpu", "trackers": ("none",), "preview_steps": 1}


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run of one step, and what it said."""
    out = tmp_path_factory.mktemp("runs") / "by-size"
    return out, messages(train("folder", str(photos), out=out, **TINY_RUN))


def messages(events):
    return [spell(event.text, in_python) for event in events if isinstance(event, Message)]


@pytest.mark.long
def test_the_choice_is_in_the_run_as_plain_settings(run):
    out, _ = run
    tree = json.loads((out / "config.json").read_text())
    choice = {**by_size.choose((3, 40, 40)), "width": 8}
    both = {**tree["net"], **tree["train"]}
    assert {name: both[name] for name in choice} == json.loads(json.dumps(choice))
    loaded = ancestral.load(out)
    assert not by_size.left_out(loaded.config)
    assert loaded.config.net.mults == (1, 2, 4)
    assert configs.Config.from_json((out / "config.json").read_text()).to_json() == loaded.config.to_json()


def test_a_run_is_resumed_with_its_own_settings_whatever_the_rule_says(run, photos, monkeypatch):
    out, _ = run
    old_config = (out / "config.json").read_text()
    monkeypatch.setattr(by_size, "choose", lambda *_: dict.fromkeys(by_size.CHOSEN, 3))
    settings = configs.preset("folder").with_settings(
        source=str(photos), image_size=40, width=8, trackers=("none",), preview_steps=1
    )
    again = messages(train(settings.with_settings(steps=2), out=out, resume=True, device="cpu"))
    assert not any("chosen by size" in line for line in again)
    now = json.loads((out / "config.json").read_text())
    assert now["net"] == json.loads(old_config)["net"]
    with pytest.raises(InputError, match=r"was trained with patch=2, so it cannot go on with 1"):
        list(train(settings.with_settings(patch=1, steps=3), out=out, resume=True, device="cpu"))


@pytest.mark.parametrize(
    ("shape", "device", "patch"),
    [
        ((1, 28, 28), "cpu", 4),
        ((3, 32, 32), "cpu", 4),
        ((3, 64, 64), "cpu", 8),
        ((3, 64, 64), "cuda", 4),
        ((3, 256, 256), "cpu", 16),  # a patch has at most 16x16 pixels
        ((1, 4096), "cpu", 64),
        ((1, 16, 16, 16), "cpu", 4),
        ((3, 8, 8), "cpu", 1),
        ((3, 3, 500), "cpu", 2),
    ],
)
def test_patches_of_a_transformer_make_few_tokens(shape, device, patch):
    settings = configs.preset("folder").with_net("transformer")
    assert by_size.complete(settings, shape, device).net.patch == patch
    assert option("patch", patch) in by_size.explain(settings, shape, device)
    assert by_size.complete(settings.with_settings(patch=3), shape, device).net.patch == 3


def test_memory_that_does_not_suffice_is_said_before_training(photos, tmp_path, monkeypatch):
    needs = []

    def scarce(trainer, count):
        memory = step_memory(trainer, count)
        needs.append(memory)
        return StepMemory(memory.fixed, max(memory.each, 1), memory.fixed + max(memory.each, 1) * 6)

    monkeypatch.setattr("ancestral.use_cases.training.settling.step_memory", scarce)
    monkeypatch.setattr("ancestral.use_cases.training.judged_cost.step_memory", scarce)
    lines = messages(train("folder", str(photos), out=tmp_path / "run", **TINY_RUN))
    (cost,) = [line for line in lines if "of memory beside the program" in line]
    assert "too little. Give micro_batch=6 (the same batches, in parts)" in cost
    report = ancestral.inspect(photos, image_size=40, steps=1, device="cpu", progress=False)
    (finding,) = [finding for finding in report.findings if finding.code == "memory"]
    assert "micro_batch=6" in finding.advice
    assert report.cost.micro_batch == 6
    assert report.cost.scaled_from == 4  # a whole step was not tried
    assert len(needs) == 2


@pytest.mark.slow
def test_the_memory_that_is_stated_is_the_memory_that_is_taken(tmp_path):
    """In a process of its own, since others of a shared one freed pages meanwhile."""
    import subprocess
    import sys

    code = """
import psutil, torch
from ancestral import config
from ancestral.data import InMemoryDataset
from ancestral.base.device import keep_freed_memory
from ancestral.training.step_cost import _peak_memory, step_memory
from ancestral.training import Trainer

keep_freed_memory()
before = psutil.Process().memory_info().rss
items = torch.zeros(64, 3, 64, 64, dtype=torch.uint8)
settings = config.preset("folder").with_settings(source="x", image_size=64)
trainer = Trainer(settings, InMemoryDataset(items, None, (), "x"), "cpu")
stated = step_memory(trainer, 64).needed(32)
with _peak_memory(trainer.device) as peak:
    trainer.advance()
    trainer.advance()
    print(stated / (peak() - before))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert 0.75 < float(out.stdout) < 1.5


def test_a_dry_run_changes_nothing():
    config = configs.preset("folder").with_settings(source="x", image_size=8, steps=3, batch_size=8)
    data = InMemoryDataset(torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8), None, (), "x")
    one, other = Trainer(config, data, "cpu"), Trainer(config, data, "cpu")
    for count in (None, 1, 4, 100):
        other.dry_run(count)
    assert other.gradients.positions == one.gradients.positions
    for trainer in (one, other):
        trainer.advance()
    assert all(torch.equal(a, b) for a, b in zip(one.state.parameters, other.state.parameters, strict=True))
