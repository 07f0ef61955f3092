"""Models that answer in one evaluation: trained by the energy score, sampled, resumed and exported as any other."""

import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ancestral
from ancestral import InputError, Request, objectives, randomness
from ancestral.base.events import finish
from ancestral.config.request import EditRequest
from ancestral.declarations import Export
from ancestral.measure.conditional_samples import FACTORS
from ancestral.randomness import Stream
from ancestral.results import ConditionalResult
from ancestral.use_cases import export

SETTINGS = {"width": 8, "mults": (1, 2), "blocks": 1, "attention": (), "patch": 1, "device": "cpu", "workers": 0}
SETTINGS |= {
    "batch_size": 4,
    "warmup": 1,
    "lr": 1e-2,
    "trackers": "none",
    "snapshots": 0,
    "precision": "fp32",
    "decay": "none",
}


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    low = torch.randint(0, 256, (16, 1, 2, 2), generator=generator, dtype=torch.uint8)
    return low.repeat_interleave(4, 2).repeat_interleave(4, 3), {"low": low}


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("energy") / "run"
    return ancestral.train("arrays", data=data, out=out, objective="energy:members=2,patches=1+0", steps=6, **SETTINGS)


def test_one_evaluation_is_the_default_and_a_sample_is_the_same_in_every_batch(run, data):
    model = run.model
    assert "energy:members=2,patches=1+0" in str(ancestral.info(run.folder))
    low = data[1]["low"][:1]
    process = model.process(Request.of(5, given={"low": low}))
    assert len(process.times) == 2
    assert not process.notes
    samples = model.sample(5, given={"low": low})
    assert len(torch.unique(samples, dim=0)) == 5  # they differ, and only by the noise that the network draws
    assert torch.equal(model.sample(indices=[3, 1], given={"low": low}), samples[[3, 1]])
    assert torch.equal(model.sample(5, given={"low": low}, batch_size=2), samples)
    assert not torch.equal(model.sample(5, given={"low": low}, seed=1), samples)


def test_what_it_was_not_trained_for_is_said(run, data):
    assert "low for all items" in run.model.process(Request.of(2)).notes[0]
    given = {"low": data[1]["low"][:1]}
    assert "x̂_0 of this model is a sample" in run.model.process(Request.of(2, "heun", 4, given=given)).notes[0]
    assert "the times of 2" in run.model.process(Request.of(2, steps=2, given=given)).notes[0]
    assert not run.model.process(Request.of(2, "ddim:eta=1", 1, given=given)).notes
    with pytest.warns(UserWarning, match="low for all items"):
        run.model.sample(1)
    with pytest.warns(UserWarning, match="the times of 2"):
        run.model.sample(1, steps=2, given=given)


def test_a_run_is_resumed_to_the_bit_and_an_object_is_the_same_objective(run, data, tmp_path):
    objective = objectives.EnergyScore(2, (1, 0))
    options = {"data": data, "out": tmp_path / "run", **SETTINGS}
    ancestral.train("arrays", objective=objective, steps=3, save_every=3, **options)
    resumed = ancestral.train(data=data, out=tmp_path / "run", resume=True, steps=6, device="cpu")
    for name, weight in run.model.diffusion.net.state_dict().items():
        assert torch.equal(weight, resumed.model.diffusion.net.state_dict()[name]), name


@pytest.mark.parametrize("way", ["vector", "input"])
def test_noise_enters_by_other_ways(data, tmp_path, way):
    objective = f"energy:members=2,noise={way}"
    model = ancestral.train("arrays", data=data, out=tmp_path / way, objective=objective, steps=2, **SETTINGS).model
    assert len(torch.unique(model.sample(3, given={"low": data[1]["low"][:1]}), dim=0)) == 3


def test_held_out_items_are_scored_by_all_members(data, tmp_path):
    options = {"data": data, "out": tmp_path / "run", "validation": 0.5, "save_every": 2, **SETTINGS}
    run = ancestral.train("arrays", objective="energy:members=3", steps=2, **options)
    assert run.validation.validation > 0


def test_onnx_takes_the_noise_as_an_input(run, data, tmp_path):
    pytest.importorskip("onnxruntime")
    import onnxruntime

    file = tmp_path / "model.onnx"
    finish(export.run(export.plan(Export(run=run.folder, to="onnx", out=file))))
    session = onnxruntime.InferenceSession(file)
    facts = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert facts["conditions"]["noise"]["kind"] == "Noise"
    kind, low = run.model.spec.further["low"], data[1]["low"][:3]
    keys = randomness.keys(0, Stream.KEYS, 0, range(3))
    noise = run.model.diffusion.net.conditioning.noise.drawn_by(keys, torch.full((3,), 999))
    inputs = {"x": torch.zeros(3, 1, 8, 8), "index": torch.full((3,), 999), "low": kind.encode(low, (8, 8))}
    answers = session.run(None, {name: value.numpy() for name, value in (inputs | {"noise": noise}).items()})[0]
    ours = run.model.make(Request.of(3, given={"low": low}), decode=False)
    assert np.allclose(np.clip(answers, -1, 1), ours, atol=1e-5)


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_programs_that_follow_the_recipe_of_a_file_draw_the_noise(run, tmp_path, to):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "export-import.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(import json\n.*?)^```", page, re.M | re.S)
    program = next(one for one in programs if f"runs/photos/model.{to}" in one)
    file = tmp_path / f"model.{to}"
    finish(export.run(export.plan(Export(run=run.folder, to=to, out=file))))
    names: dict[str, Any] = {}
    exec(program.replace(f"runs/photos/model.{to}", str(file)), names)
    assert names["about"]["network_noise_std"] == 1
    assert "network_noise_std" in names["about"]["sampling"]
    assert len(np.unique(np.asarray(names["items"]), axis=0)) == 16


def test_an_edit_is_one_evaluation_of_what_the_network_was_trained_for(data, tmp_path):
    settings = {**SETTINGS, "steps": 2, "given": ("mask:left",)}
    model = ancestral.train("arrays", data=data[0], out=tmp_path / "run", objective="energy", **settings).model
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:, 4:] = True
    process = model.process(Request.of(2).of_edit(EditRequest("inpaint"), {"image": data[0][0], "mask": mask}))
    assert (process.method, len(process.times)) == ("trained", 2)
    edited = model.inpaint(data[0][0], mask, n=2)
    assert torch.equal(torch.as_tensor(edited)[..., :4], data[0][0][..., :4].expand(2, -1, -1, -1))
    with pytest.raises(InputError, match="this is something else"):
        model.inpaint(data[0][0], mask.T, n=2)
    with pytest.raises(InputError, match="no times between noise and answers, which vary needs"):
        model.vary(data[0][0], n=2)


@pytest.mark.parametrize(
    "further", [{"target": "eps"}, {"weighting": "p2"}, {"learned_variance": True}, {"times": "lognormal"}]
)
def test_settings_without_effect_are_refused(data, tmp_path, further):
    with pytest.raises(InputError, match="energy score is of a network that predicts x0"):
        ancestral.train("arrays", data=data, out=tmp_path / "run", objective="energy", **SETTINGS, **further)


def test_it_cannot_be_distilled(run, data, tmp_path):
    with pytest.raises(InputError, match="nothing to distil"):
        ancestral.distil(run.folder, data=data, out=tmp_path / "fast")


def test_what_cannot_draw_its_noise_refuses_it(run, tmp_path):
    with pytest.raises(InputError, match="noise"):
        finish(export.run(export.plan(Export(run=run.folder, to="diffusers", out=tmp_path / "x"))))


@pytest.mark.parametrize("target", ["x0", "v"])
def test_a_model_is_distilled_to_one_that_answers_in_one_evaluation(data, tmp_path, target):
    settings = {**SETTINGS, "steps": 2, "lr": 1e-12}  # so that the weights stay what they begin with
    source = ancestral.train("arrays", data=data, out=tmp_path / "many", **settings, target=target)
    taught = ancestral.distil(source.folder, data=data, out=tmp_path / "one", method="energy", **settings).model
    config, before = taught.config, source.model.diffusion.net.state_dict()
    assert (config.train.energy["evaluations"], config.process.target) == (1, "x0")
    assert config.sample.sampler == "consistency:steps=1"
    assert len(torch.unique(taught.sample(3, given={"low": data[1]["low"][:1]}), dim=0)) == 3
    for name, value in taught.diffusion.net.state_dict().items():
        if name in before:  # a last layer that predicts something else begins anew
            assert torch.allclose(value, before[name], atol=1e-6) == (target == "x0" or name != "out.weight")
    other = {**settings, "data": data, "out": tmp_path / "other"}
    with pytest.raises(InputError, match="one stage"):
        ancestral.distil(source.folder, method="energy", stages=2, **other)
    with pytest.raises(InputError, match="answers in one evaluation"):
        ancestral.train("arrays", initial=taught, **other)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("energy:members=0", "1 to 1024 members"),
        ("energy:members=few", "1 to 1024 members"),
        ("energy:evaluations=0", "1 to 1024 evaluations"),
        ("energy:patches=a", "patches are sides"),
        ("energy:member=3", "has no option member"),
        ("energie", "did you mean energy"),
        ("denoising:members=2", "has no options"),
    ],
)
def test_refusals(data, tmp_path, objective, message):
    with pytest.raises(InputError, match=message):
        ancestral.train("arrays", data=data, out=tmp_path / "run", objective=objective, steps=2, **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_the_sampler_scales_the_noise_that_the_network_draws(run, data):
    model = run.model
    given, keys = {"low": data[1]["low"][:1]}, randomness.keys(0, Stream.KEYS, 0, range(3))
    net, x = model.diffusion.net, torch.zeros(3, 1, 8, 8)
    index, low = torch.full((3,), 999), torch.zeros(3, 2, 8, 8)
    drawn = net.conditioning.noise.drawn_by(keys, index)
    twice = net(x, index, keys=keys, low=low, noise_factor=torch.full((3,), 2.0))
    assert torch.equal(twice, net(x, index, low=low, noise=2 * drawn))
    one, two = (model.sample(3, given=given, sampler=f"consistency:steps=1,noise={factor}") for factor in (1, 2))
    assert torch.equal(one, model.sample(3, given=given))
    assert not torch.equal(one, two)
    with pytest.raises(InputError, match="above 0 and below 100"):
        model.sample(1, given=given, sampler="consistency:noise=0")


def test_a_factor_is_refused_where_no_noise_is_drawn(data, tmp_path):
    plain = ancestral.train("arrays", data=data, out=tmp_path / "run", steps=1, **SETTINGS).model
    with pytest.raises(InputError, match="the network draws no noise"):
        plain.sample(1, given={"low": data[1]["low"][:1]}, sampler="consistency:steps=1,noise=2")


def test_evaluation_fits_the_noise_and_compares_with_other_runs(run, data, tmp_path):
    options = {"objective": "energy:members=1", "steps": 3}
    other = ancestral.train("arrays", data=data, out=tmp_path / "other", **options, **SETTINGS)
    held_out = data[0].flip(0), {"low": data[1]["low"].flip(0)}
    options = {"data": data, "held_out": held_out, "samples": False, "conditions": 12, "members": 4, "device": "cpu"}
    found = ancestral.evaluate(run.folder, beside=[run.folder, other.folder], out=tmp_path / "found", **options)
    result = found.conditional
    names = ["samples", "mean", "average", "scaled", "nearest", "random", f"run {run.folder}", f"run {other.folder}"]
    assert [one.name for one in result.forecasts] == names
    itself, regression = result.forecasts[-2:]
    assert itself.pixels == result.forecasts[0].pixels
    assert itself.skill.value == 0
    assert regression.skill.value == pytest.approx(
        1 - result.forecasts[0].pixels.energy.value / regression.pixels.energy.value
    )
    assert result.noise.factor in (1.0, *FACTORS)
    assert len(result.worst) == 10
    assert (tmp_path / "found" / "worst.png").exists()
    kept = ConditionalResult.from_json((tmp_path / "found" / "conditional.json").read_text())
    assert (kept.forecasts, kept.noise, kept.worst) == (result.forecasts, result.noise, result.worst)
    assert f"run {other.folder}" in str(found)
    judged = ancestral.evaluate(other.folder, **options).conditional
    finish(export.run(export.plan(Export(run=other.folder, to="html", out=tmp_path / "page.html"))))
    page = html.unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert f"energy score {judged.forecasts[0].pixels.energy}" in page
    ancestral.evaluate(other.folder, sampler="heun", steps=2, **options)  # no page tells how it would be by another
    finish(export.run(export.plan(Export(run=other.folder, to="html", out=tmp_path / "other.html"))))
    assert "energy score" not in (tmp_path / "other.html").read_text(encoding="utf-8")
    for wrong, message in (({"conditions": 0, "samples": 2}, "are not measured"), ({"beside": 3}, "beside")):
        with pytest.raises(InputError, match=message):
            ancestral.evaluate(run.folder, **{"beside": other.folder, **options, **wrong})


def test_a_run_that_saw_the_answers_is_not_compared(data, tmp_path):
    one = ancestral.train(
        "arrays", data=data, out=tmp_path / "one", objective="energy", steps=1, validation=0.25, **SETTINGS
    )
    other = ancestral.train("arrays", data=data, out=tmp_path / "other", objective="energy", steps=1, **SETTINGS)
    with pytest.raises(InputError, match="was trained on the items that"):
        ancestral.evaluate(one.folder, beside=other.folder, data=data, samples=False, conditions=3, members=2)
