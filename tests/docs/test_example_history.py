"""examples/history.py: what it measures, and one short run."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from ancestral import schedules
from ancestral.base import storage
from ancestral.use_cases.training import training_previews

SPEC = importlib.util.spec_from_file_location("history_example", Path(__file__).parents[2] / "examples" / "history.py")
history = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = history  # where its dataclasses look for it
SPEC.loader.exec_module(history)


def test_the_distance_is_that_of_the_shadows():
    cloud = torch.randn(1000, 2)
    assert history.sliced_wasserstein(cloud, cloud[torch.randperm(1000)]) == 0
    shift = history.sliced_wasserstein(cloud, cloud + torch.tensor([0.3, 0.4]))
    assert shift == pytest.approx(0.5 / math.sqrt(2), abs=1e-5)  # the mean of cos² over directions is ½
    normal = history.sliced_wasserstein(torch.randn(50_000, 2), 2 * torch.randn(50_000, 2))
    assert normal == pytest.approx(1, abs=0.03)  # W₂ of N(0, 1) and N(0, 4) on every ray


def test_the_floor_is_the_mean_over_clouds_of_the_data():
    points, held_out = torch.randn(25, 2), torch.randn(10, 2)
    expected = [history.sliced_wasserstein(points[:10], held_out), history.sliced_wasserstein(points[10:20], held_out)]
    assert history.data_floor(points, held_out) == pytest.approx(sum(expected) / 2)


def test_x_T_is_of_the_prior_and_even():
    x_T = history.even_prior(schedules.geometric(100, 0.1, 3.0), 4096, seed=1)
    assert x_T.shape == (4096, 2)
    assert x_T.std(0).tolist() == pytest.approx([3, 3], rel=0.01)
    assert x_T.mean(0).tolist() == pytest.approx([0, 0], abs=0.02)  # by chance it would be about 0.05 off
    assert not torch.equal(x_T, history.even_prior(schedules.geometric(100, 0.1, 3.0), 4096, seed=2))


def test_needed_is_the_fewest_passes_near_the_best_or_the_floor():
    points = [history.Point(n, 2 * n, d) for n, d in ((1, 0.9), (5, 0.2), (10, 0.06), (50, 0.04), (100, 0.05))]
    sweep = history.Sweep(None, points, 100, torch.empty(0, 2), None)
    assert sweep.needed(0.01).passes == 20  # 0.06 = 1.5 · 0.04
    assert sweep.needed(0.3).passes == 10


@pytest.mark.long
def test_methods_are_trained_once_measured_and_drawn(tmp_path, monkeypatch, capsys):
    """Consistency tuning starts from the run of EDM, and a second call trains nothing."""
    monkeypatch.setattr(training_previews, "LAST_PREVIEW_STEPS", 2)
    out = tmp_path / "history"
    words = ["--out", str(out), "--steps", "2", "--samples", "60", "--device", "cpu", "--methods", "consistency", "edm"]
    history.main(words)
    text = capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"history.png", "edm-points", "consistency"}
    start = storage.read_tensors(out / "consistency" / "checkpoints" / "000000" / "state.safetensors")[0]
    edm = storage.read_tensors(out / "edm-points" / "model.safetensors")[0]
    assert all(torch.equal(value, start[f"net.{name}"]) for name, value in edm.items())
    with Image.open(out / "history.png") as picture:
        assert picture.size == (1600, 182 + 240 * 3)
        assert picture.convert("L").getextrema()[0] < 200

    models = {path: path.stat().st_mtime_ns for path in out.glob("*/model.safetensors")}
    history.main(words)
    measured = [line for line in text.splitlines() if " needs " in line]
    assert len(measured) == 2
    assert [line for line in capsys.readouterr().out.splitlines() if " needs " in line] == measured
    assert {path: path.stat().st_mtime_ns for path in models} == models
