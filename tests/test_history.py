"""The history: every method's preset trains and samples, and the verb measures, draws, resumes and refuses."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral import cli, data, oracle, samplers, schedules, storage
from ancestral import config as configs
from ancestral.config import HISTORY, METHODS, PAPERS, STARTS_FROM, preset
from ancestral.evaluation.step_sweep import StepSweep, data_floor, even_prior, sliced_wasserstein
from ancestral.render.history_figure import one_scale
from ancestral.results.history_result import HistoryPoint, HistoryResult
from ancestral.samplers import Step
from ancestral.training import Checkpoints, Trainer
from ancestral.workflows import history, train
from conftest import stripes

TWO = ("--methods", "ddpm", "ddim")
QUICK = ("--steps", 3)


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    """Clouds of 60 points and quick previews: what is tested is the same, and a pass takes no time."""
    monkeypatch.setattr(history, "SAMPLES", 60)
    monkeypatch.setattr(train, "LAST_PREVIEW_STEPS", 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of all seven methods, three steps each, and what the command said."""
    out = tmp_path_factory.mktemp("history") / "all"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "SAMPLES", 60)
        patch.setattr(train, "LAST_PREVIEW_STEPS", 2)
        with pytest.raises(SystemExit) as stop:
            cli.main(["history", "--out", str(out), *map(str, QUICK)])
    assert stop.value.code == 0
    return out


# -- the methods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "schedule", "target", "weighting", "times", "sampler"),
    [
        ("ncsn", "geometric", "score", "snr", "stratified", samplers.Langevin),
        ("ddpm", "linear", "eps", "simple", "stratified", samplers.DDPM),
        ("ddim", "linear", "eps", "simple", "stratified", samplers.DDIM),
        ("improved", "cosine", "eps", "simple", "stratified", samplers.DDPM),
        ("edm", "karras", "edm", "edm", "lognormal", samplers.Heun),
        ("flow", "flow", "flow", "simple", "stratified", samplers.Euler),
    ],
)
@pytest.mark.parametrize("base", ["digits", "points"])
def test_each_method_is_as_its_paper_has_it_and_runs(name, schedule, target, weighting, times, sampler, base):
    config = preset(name if base == "digits" else f"{name}-points")
    process = config.process
    assert (process.schedule, process.target) == (schedule, target)
    assert (config.train.weighting, config.train.times) == (weighting, times)
    assert process.learned_variance == (name == "improved")
    net = replace(config.net, width=16, blocks=1)
    few = replace(config.train, steps=2, batch_size=8)
    trainer = Trainer(replace(config, net=net, train=few), stripes() if base == "digits" else data.load("moons"), "cpu")
    losses = [progress.loss for progress in trainer.run()]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    model = trainer.model()
    assert type(model.sampler()) is sampler
    items = model.sample(2, steps=4)
    assert items.shape == (2, 1, 8, 8) if base == "digits" else (2, 2)
    assert bool(items.double().isfinite().all())


def test_every_method_has_a_paper_and_a_preset_on_both():
    assert list(PAPERS) == list(HISTORY) == [*METHODS, *STARTS_FROM]
    assert set(STARTS_FROM.values()) <= set(METHODS)
    for name in METHODS:
        assert preset(name).data.source == "digits"
        assert preset(f"{name}-points").data.source == "moons"
        assert (preset(name).preset, preset(f"{name}-points").preset) == (name, f"{name}-points")


# -- what is measured -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "passes"),
    [
        (samplers.DDPM(steps=7), 7),
        (samplers.DDIM(steps=7), 7),
        (samplers.Heun(steps=7), 13),  # two a step, but one at the last
        (samplers.Langevin(steps=7, steps_per_level=3), 22),  # and one to take away the noise that is left
    ],
    ids=lambda value: type(value).__name__,
)
def test_passes_are_counted(monkeypatch, sampler, passes):
    denoiser, asked = oracle.Gaussian(schedules.geometric(100, 0.1, 2.0), 0.0, 1.0), []
    predict = denoiser.predict
    monkeypatch.setattr(denoiser, "predict", lambda x_t, t: asked.append(t) or predict(x_t, t))
    sampler.sample(denoiser, torch.randn(3, 2))
    assert len(asked) == sampler.nfe(denoiser.schedule) == passes


def test_the_distance_is_that_of_the_shadows():
    cloud = torch.randn(1000, 2)
    assert sliced_wasserstein(cloud, cloud[torch.randperm(1000)]) == 0
    shift = sliced_wasserstein(cloud, cloud + torch.tensor([0.3, 0.4]))
    assert shift == pytest.approx(0.5 / math.sqrt(2), abs=1e-5)  # the mean of cos² over directions is ½
    normal = sliced_wasserstein(torch.randn(50_000, 2), 2 * torch.randn(50_000, 2))
    assert normal == pytest.approx(1, abs=0.03)  # W₂ of N(0, 1) and N(0, 4) on every ray


def test_the_floor_is_the_mean_over_clouds_of_the_data():
    points, held_out = torch.randn(25, 2), torch.randn(10, 2)
    expected = [sliced_wasserstein(points[:10], held_out), sliced_wasserstein(points[10:20], held_out)]
    assert data_floor(points, held_out) == pytest.approx(sum(expected) / 2)


def test_x_T_is_of_the_prior_and_even():
    x_T = even_prior(schedules.geometric(100, 0.1, 3.0), 4096, seed=1)
    assert x_T.shape == (4096, 2)
    assert x_T.std(0).tolist() == pytest.approx([3, 3], rel=0.01)
    assert x_T.mean(0).tolist() == pytest.approx([0, 0], abs=0.02)  # by chance it would be about 0.05 off
    assert not torch.equal(x_T, even_prior(schedules.geometric(100, 0.1, 3.0), 4096, seed=2))


def states(x, *times):
    return [Step(i, t, x, x) for i, t in enumerate(times)]


def test_one_scale_leaves_what_does_not_explode():
    x = torch.ones(4, 2)
    for schedule in (schedules.linear(10), schedules.flow(10)):
        assert torch.allclose(one_scale(schedule, states(x, 10, 5, 0)), torch.ones(3, 4, 2))
    schedule = schedules.geometric(10, 0.1, 20.0)
    scaled = one_scale(schedule, states(x, 10, 0))
    assert torch.allclose(scaled[0], x / math.hypot(1, 20))
    assert torch.equal(scaled[1], x)


def test_needed_is_the_fewest_passes_near_the_best_or_the_floor():
    points = [HistoryPoint(n, 2 * n, d) for n, d in ((1, 0.9), (5, 0.2), (10, 0.06), (50, 0.04), (100, 0.05))]
    sweep = StepSweep(None, points, 100, [], torch.empty(0, 2))
    assert sweep.best() == HistoryPoint(50, 100, 0.04)
    assert sweep.own() == HistoryPoint(100, 200, 0.05)
    assert sweep.needed(0.01).passes == 20  # 0.06 = 1.5 · 0.04
    assert sweep.needed(0.3).passes == 10


# -- the verb ---------------------------------------------------------------------------------------------------------


def test_all_is_there(whole):
    assert {path.name for path in whole.iterdir()} == {
        "history.json",
        "history.png",
        *(f"{name}-points" for name in HISTORY),
    }
    figures = json.loads((whole / "history.json").read_text())
    result = HistoryResult.from_json((whole / "history.json").read_text())
    assert json.loads(result.to_json()) == figures
    assert all(name in str(result) for name in HISTORY)
    assert list(figures["methods"]) == list(HISTORY)
    assert (figures["data"], figures["samples"]) == ("moons", 60)
    assert 0 < figures["floor"] < 1
    own = {"ncsn": 501, "ddpm": 1000, "ddim": 50, "improved": 100, "edm": 35, "flow": 50, "consistency": 2}
    for name, found in figures["methods"].items():
        assert found["own"]["passes"] == own[name]
        assert found["training_steps"] == 3
        assert found.get("starts_from") == STARTS_FROM.get(name)
        assert 6 <= len(found["measures"]) <= 8 or name == "consistency"
        assert found["own"] in found["measures"]
        assert found["needed"] in found["measures"]
        assert all(math.isfinite(measure["distance"]) for measure in found["measures"])
    assert [measure["passes"] for measure in figures["methods"]["consistency"]["measures"]] == [1, 2, 4]
    assert str(result).splitlines()[-2].endswith(" s after edm")
    with Image.open(whole / "history.png") as picture:
        assert picture.width == 1600
        assert 1500 < picture.height < 2200
        pixels = np.asarray(picture.convert("L"))
    assert pixels[:, :10].min() == 255  # the margin
    assert pixels.std() > 10


def test_ddim_is_a_copy_of_ddpm_with_its_own_sampler(whole):
    one, other = (
        Checkpoints(whole / f"{name}-points" / "checkpoints").newest()[0].tensors for name in ("ddpm", "ddim")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    config = configs.Config.from_json((whole / "ddim-points" / "config.json").read_text())
    assert (config.preset, config.sample.sampler) == ("ddim-points", "ddim")


def test_consistency_starts_from_edm_as_distil_does(whole, run, tmp_path):
    edm = whole / "edm-points" / "model.safetensors"
    config = configs.Config.from_json((whole / "consistency-points" / "config.json").read_text())
    assert config.initial == configs.InitialConfig(str(edm.resolve().parent), storage.sha256(edm))
    begun = storage.read_tensors(whole / "consistency-points" / "checkpoints" / "000000" / "state.safetensors")[0]
    assert all(torch.equal(value, begun[f"net.{name}"]) for name, value in storage.read_tensors(edm)[0].items())
    alone = ("--steps", 3, "--threads", torch.get_num_threads(), "--trackers", "none", "--device", "cpu")
    run("distil", edm.parent, "--out", tmp_path / "alone", "--method", "tuning", "--stages", 3, *alone)
    one, other = (
        Checkpoints(path / "checkpoints").newest()[0].tensors
        for path in (whole / "consistency-points", tmp_path / "alone")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_method_that_starts_from_another_trains_that_one_first(tmp_path, run):
    text = run("history", "--out", tmp_path / "h", *QUICK, "--methods", "consistency")
    assert text.index("edm-points: training") < text.index("consistency-points: starting from the averaged weights of")
    figures = json.loads((tmp_path / "h" / "history.json").read_text())
    assert list(figures["methods"]) == ["consistency"]
    text = run("history", "--out", tmp_path / "h", *QUICK, "--methods", "consistency", "edm", "consistency")
    assert "training ->" not in text
    both = json.loads((tmp_path / "h" / "history.json").read_text())["methods"]
    assert list(both) == ["consistency", "edm"]
    assert both["consistency"] == figures["methods"]["consistency"]


def test_a_folder_that_was_moved_trains_nothing(whole, run, tmp_path):
    shutil.copytree(whole, tmp_path / "moved")
    assert ": training" not in run("history", "--out", tmp_path / "moved", *QUICK)


def test_a_run_that_started_from_another_model_is_refused(whole, refused, tmp_path):
    shutil.copytree(whole, tmp_path / "h")
    for name in ("model.safetensors", "checkpoints"):
        source, place = whole / "consistency-points" / name, tmp_path / "h" / "edm-points" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
    before = (tmp_path / "h" / "history.json").stat().st_mtime_ns
    text = refused("history", "--out", tmp_path / "h", *QUICK, "--methods", "consistency")
    assert "started from another model than" in text
    assert (tmp_path / "h" / "history.json").stat().st_mtime_ns == before


def test_a_second_call_trains_nothing_and_finds_the_same(whole, run):
    models = {path: path.stat().st_mtime_ns for path in whole.glob("*/*.safetensors")}
    before = json.loads((whole / "history.json").read_text())["methods"]["edm"]
    text = run("history", "--out", whole, *QUICK, "--methods", "edm")
    assert "training ->" not in text
    assert {path: path.stat().st_mtime_ns for path in models} == models
    assert json.loads((whole / "history.json").read_text())["methods"] == {"edm": before}
    with Image.open(whole / "history.png") as picture:
        assert picture.height < 800  # a row for the data and one for the method


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, run):
    argv = ["--out", str(tmp_path / "h"), "--methods", "flow", "--steps", "100000"]
    command = [sys.executable, "-m", "ancestral", "history", *argv]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGINT)
        text = process.stdout.read()
        assert process.wait(60) == 0
    assert f"ancestral history {' '.join(argv)}" in text
    assert 0 < Checkpoints(tmp_path / "h" / "flow-points" / "checkpoints").steps()[-1] < 100_000
    assert not (tmp_path / "h" / "history.json").exists()


@pytest.mark.parametrize("name", ["flow", "consistency"])
def test_an_interrupted_run_goes_on_to_where_the_whole_one_ends(tmp_path, run, monkeypatch, name):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run("history", "--out", whole, "--steps", 6, "--methods", name)
    advance = Trainer.advance

    def stop(trainer):
        loss = advance(trainer)
        if trainer.step == 4 and bool(trainer.config.distil.method) == (name == "consistency"):
            signal.raise_signal(signal.SIGINT)
        return loss

    monkeypatch.setattr(Trainer, "advance", stop)
    text = run("history", "--out", parts, "--steps", 6, "--methods", name)
    assert f"Stopped while training {name}, and saved." in text
    monkeypatch.setattr(Trainer, "advance", advance)
    assert "training from step 4" in run("history", "--out", parts, "--steps", 6, "--methods", name)
    one, other = (Checkpoints(path / f"{name}-points" / "checkpoints").newest()[0].tensors for path in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_ctrl_c_while_measuring_keeps_what_was_trained(tmp_path, run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(history, "sweep_steps", stop)
    text = run("history", "--out", tmp_path / "h", *QUICK, *TWO)
    assert "Stopped while measuring; all that was trained is saved." in text
    assert (tmp_path / "h" / "ddim-points" / "model.safetensors").exists()
    assert not (tmp_path / "h" / "history.json").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--methods", "ncns"], "did you mean ncsn?"),
        (["--methods", "ddpm", "score"], "no method 'score'"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--steps", "many"], "--steps"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--data", "digits"], "points in the plane"),
        (["--data", "photos/"], "points in the plane"),
        (["--data", "digits", "--methods", "consistency"], "for images try ancestral train edm --data digits"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--metods", "ddpm"], "did you mean --methods?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_refused_and_nothing_is_written(refused, tmp_path, monkeypatch, argv, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused("history", *argv)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_overwritten(refused, whole, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert "is a file" in refused("history", "--out", taken)
    (tmp_path / "flow-points").write_text("mine")
    assert "is a file" in refused("history", "--out", tmp_path, "--methods", "flow")
    assert "other settings" in refused("history", "--out", whole)  # the presets' own steps, not three
    assert "other settings" in refused("history", "--out", whole, *QUICK, "--data", "swissroll")
    assert taken.read_text() == "mine"
