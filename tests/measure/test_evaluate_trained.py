"""Conditional models of signals, images and volumes: trained for a few steps, sampled and evaluated."""

import json

import numpy as np
import pytest
import torch

import ancestral
from ancestral import results

TINY = {"steps": 4, "batch_size": 8, "width": 8, "mults": (1, 2), "blocks": 1, "attention": (), "groups": 4,
        "timesteps": 20, "validation": 0.25}  # fmt: skip


def waves(count=40):
    """Signals of 2 channels whose frequency and amplitude are their condition."""
    pose = torch.rand(count, 2, generator=torch.Generator().manual_seed(0)) + 0.5
    t = torch.linspace(0, 6, 16)
    sine = pose[:, 1:] * torch.sin(pose[:, :1] * t)
    return torch.stack([sine, -sine], 1), {"pose": pose}


def blobs(count=40):
    """Volumes, and as their condition the same at half the resolution."""
    volumes = torch.randint(0, 256, (count, 1, 8, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return volumes, {"low": volumes[..., ::2, ::2, ::2].contiguous()}


@pytest.mark.parametrize(
    ("items", "given"),
    [
        pytest.param(waves, {"pose": [1.0, 0.7]}, id="signals"),
        pytest.param(blobs, {"low": blobs(3)[1]["low"]}, id="volumes", marks=pytest.mark.long),
    ],
)
def test_signals_and_volumes_are_trained_sampled_and_evaluated(tmp_path, items, given):
    source = items()
    run = ancestral.train("arrays", data=source, out=tmp_path / "run", dims=source[0].ndim - 2, **TINY)
    model = ancestral.load(tmp_path / "run")
    samples = model.sample(3, given=given, steps=3)
    assert samples.shape == (3, *source[0].shape[1:])
    assert not torch.equal(samples, model.sample(3, steps=3))
    options = {"samples": 12, "conditions": 5, "members": 3, "steps": 3, "likelihood": True, "n": 2, "passes": 3}
    result = ancestral.evaluate(tmp_path / "run", data=source, **options)
    part = result.conditional
    assert (part.data.items, part.data.of, part.data.split) == (5, 10, "held out of the run")
    assert part.data.train_items == 30
    assert part.data.conditions == (next(iter(given)),)
    assert [one.name for one in part.forecasts] == ["samples", "mean", "average", "nearest", "random"]
    assert (part.forecasts[0].crps is not None) == (items is waves)
    assert result.samples.samples.label == f"{next(iter(given))} of 30 training items"
    assert ancestral.evaluate(run.model, data=source, **options).conditional.forecasts == part.forecasts
    for text in (str(result), result._repr_html_(), (tmp_path / "run" / "report.html").read_text()):
        assert "nearest training item" in text
        assert "if calibrated" in text


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory):
    """A model of 8x8 images given themselves at half the resolution, and their class."""
    folder = tmp_path_factory.mktemp("upscaler")
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    np.savez(folder / "a.npz", images=images, labels=np.arange(60) % 2)
    ancestral.train("arrays", data=str(folder / "a.npz"), given="upscale:2", out=folder / "run", **TINY)
    return folder


@pytest.mark.long
def test_samples_are_kept_and_more_members_add_to_them(upscaler, run, monkeypatch):
    common = ("evaluate", upscaler / "run", "--conditions", 4, "--steps", 3, "--extractor", "pixels", "--draw", 12)
    text = run(*common, "--members", 2)
    assert "conditions  label, low" in text
    folder = upscaler / "run" / "evaluation"
    stored = (folder / "conditional.json").read_text()
    first = results.ConditionalResult.from_json(stored)
    assert json.loads(stored)["schema"] == "conditional-1"
    assert ancestral.results.EvaluationResult.load(folder).conditional == first
    assert (folder / "ranks.png").is_file()
    assert "Samples for the conditions of items" in (upscaler / "run" / "README.md").read_text()
    files = set(folder.glob("samples/*/*.safetensors"))
    run(*common, "--members", 3)
    new = set(folder.glob("samples/*/*.safetensors")) - files
    assert [file.name for file in new] == ["000008-000011.safetensors"]
    monkeypatch.setattr(ancestral.model.Model, "trajectory", None)  # nothing is sampled any more
    run(*common, "--members", 2)
    assert results.ConditionalResult.from_json((folder / "conditional.json").read_text()) == first


@pytest.mark.long
@pytest.mark.parametrize("method", ["consistency", "progressive"])
def test_a_conditional_model_is_distilled_with_its_conditions(tmp_path, method):
    source = waves()
    ancestral.train("arrays", data=source, out=tmp_path / "run", dims=1, **TINY)
    distilled = ancestral.distil(
        tmp_path / "run", out=tmp_path / "fast", data=source, method=method, stages=2, steps=6, lr=0.01
    ).model
    assert distilled.spec.further == ancestral.load(tmp_path / "run").spec.further
    one, other, absent = (distilled.sample(2, given=given) for given in ({"pose": [1, 1]}, {"pose": [0.6, 1.4]}, {}))
    assert not torch.equal(one, other)
    assert not torch.equal(one, absent)
    result = ancestral.evaluate(distilled, data=source, samples=False, conditions=3, members=2)
    assert result.conditional.samples.steps <= 2


@pytest.mark.long
def test_a_conditional_run_is_compared_with_one_without_conditions(upscaler, tmp_path):
    """Each is sampled as evaluate samples it: with the conditions of training items, and with all classes in turn."""
    ancestral.train("arrays", data=str(upscaler / "a.npz"), out=tmp_path / "plain", **TINY)
    options = {"samples": 12, "steps": 3, "extractor": "pixels", "out": tmp_path / "compare"}
    plain, conditional = ancestral.compare([tmp_path / "plain", upscaler / "run"], **options).runs
    assert plain.samples.label == "2 classes in turn"
    assert conditional.samples.label == "label, low of 45 training items"
    assert plain.data == conditional.data
    alone = ancestral.evaluate(
        upscaler / "run", samples=12, steps=3, extractor="pixels", conditions=0, out=tmp_path / "alone"
    )
    assert alone.samples.between_sets == conditional.between_sets
