"""Previews while training: their progress is shown, they take the steps that quality needs, and none is lost."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import ancestral
from ancestral import config as configs
from ancestral import data as datasets
from ancestral.base import storage
from ancestral.base.events import Message, Work
from ancestral.config.request import Request
from ancestral.declarations import Train
from ancestral.render import compositions, pictures, writers
from ancestral.render.terminal import TrainingPanel
from ancestral.training import Progress
from test_training import progress as step_of
from tiny_models import events_of, same_tensors, together

train = events_of(Train)

TINY = {"steps": 4, "batch_size": 8, "width": 16, "sample_every": 2, "save_every": 2, "preview_steps": 3}


def test_the_progress_of_a_preview_is_reported(tmp_path):
    events = list(train("points", out=tmp_path / "run", **TINY))
    tasks = [event.task if isinstance(event, Work) else "" for event in events]
    first = next(number for number, event in enumerate(events) if isinstance(event, Progress))
    assert tasks[0] == "looking at the data"  # no silence before the first step
    assert [*filter(None, tasks[1:first])] == ["measuring the memory and the time of a step", "the first step"]
    works = [event for event in events[first:] if isinstance(event, Work)]
    assert {work.task for work in works} == {"sampling a preview"}
    assert all(work.part for work in works)
    batches = -(-1000 // 64)
    assert [work.done for work in works] == [*range(1, batches * 4 + 1)] * 2  # T, and three steps, of each batch
    assert {work.total for work in works} == {batches * 4}


def test_first_samples_come_early_with_a_model_and_change_no_weight(tmp_path, monkeypatch):
    for module in ("config.schema", "config", "training.fault_tolerance"):
        monkeypatch.setattr(f"ancestral.{module}.EARLY", (3, 6))
    options = {**TINY, "steps": 8, "sample_every": 1000, "save_every": 1000}
    run, model_steps = tmp_path / "run", []
    for event in train("points", out=run, **options):
        if isinstance(event, Message) and event.text.startswith("First samples"):
            assert event.text.endswith(f"ancestral sample {run}")
        elif isinstance(event, Work) and event.part and event.done == 1:  # of a preview, so the model is there
            model_steps.append(ancestral.load(run).step)
    pictures = sorted(path.name for path in (run / "samples").iterdir())
    assert pictures == ["000003.png", "000006.png", "000008.png"]
    assert model_steps == [3, 6, 8]
    monkeypatch.setattr("ancestral.config.schema.EARLY", ())
    ancestral.train("points", out=tmp_path / "late", progress=False, **options)
    assert [path.name for path in (tmp_path / "late" / "samples").iterdir()] == ["000008.png"]
    for name in ("model.safetensors", "checkpoints/000008/state.safetensors"):
        assert same_tensors(*(storage.read_tensors(folder / name)[0] for folder in (run, tmp_path / "late")))


@pytest.mark.parametrize(("every", "steps"), [(20, [20, 40, 60]), (60, [50, 60]), (100, [50, 100])])
def test_early_steps_are_added_to_those_that_come_more_seldom(every, steps):
    train = configs.preset("digits").with_settings(sample_every=every, save_every=every).train
    assert [step for step in range(1, 101) if train.previews(step)][: len(steps)] == steps
    assert [step for step in range(1, 101) if train.saves(step)][: len(steps)] == steps


@pytest.mark.long
@pytest.mark.parametrize(("lost", "steps"), [("000002", 6), ("000004", 4)], ids=["in the middle", "the last"])
def test_a_run_that_was_killed_in_a_preview_gets_it_on_resume(tmp_path, lost, steps):
    run, items = tmp_path / "run", torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8)
    stop = 2 if lost == "000002" else 4
    ancestral.train("arrays", items, out=run, progress=False, **{**TINY, "steps": stop})
    before = (run / "samples" / f"{lost}.png").read_bytes()
    (run / "samples" / f"{lost}.png").unlink()
    ancestral.train("arrays", items, out=run, resume=True, progress=False, **{**TINY, "steps": steps})
    assert (run / "samples" / f"{lost}.png").read_bytes() == before
    assert (run / "samples" / f"{steps:06d}.png").exists()


@pytest.mark.long
def test_a_grid_of_training_is_repeated(figures, tmp_path, run):
    """It held no recipe, so `sample --like` refused the pictures that one has seen."""
    folder = tmp_path / "run"
    ancestral.train("points", out=folder, progress=False, **TINY)
    for step in (2, 4):
        text = run(
            "sample", folder, "--like", folder / "samples" / f"00000{step}.png", "--out", tmp_path / f"{step}.png"
        )
        assert ("was made at step 2 of training; the model is of step 4" in text) == (step == 2)
    same, other = (Image.open(tmp_path / f"{step}.png").tobytes() for step in (4, 2))
    assert same == Image.open(folder / "samples" / "000004.png").tobytes()
    assert same == other  # the same noise and sampler, by the same weights
    assert Image.open(folder / "samples" / "000002.png").tobytes() != other


@pytest.mark.long
def test_a_grid_of_the_training_of_another_run_is_refused(tmp_path, run, refused):
    """By the seed alone; one of the run itself goes on, also after the run was resumed, and one without a name."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder, seed in ((mine, 0), (other, 1)):
        ancestral.train("points", out=folder, progress=False, seed=seed, **TINY)
    ancestral.train(out=mine, resume=True, progress=False, **{**TINY, "steps": 5, "lr": 1e-4})
    grid, sampled = mine / "samples" / "000002.png", ["--out", tmp_path / "out.png"]
    assert "was made at step 2 of training" in run("sample", mine, "--like", grid, *sampled)
    assert "--like" in refused("sample", other, "--like", grid, *sampled)
    recipe = Request.read(grid)
    assert recipe.run is not None
    old = dataclasses.replace(recipe, run=None)
    writers.write_picture(tmp_path / "old.png", Image.new("L", (2, 2)), old.to_json())
    assert "was made at step 2 of training" in run("sample", other, "--like", tmp_path / "old.png", *sampled)


def conditioned(n=12):
    """Images 8×8 with an angle and a class, whose quarter is held out."""
    images = torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8)
    columns = {"angle": torch.linspace(0, 90, n), "label": torch.arange(n) % 3}
    return (images, columns), {**TINY, "validation": 0.25, "given": ["angle", "upscale:2", "mask"]}


@pytest.mark.long
def test_previews_are_conditioned_on_held_out_items_and_show_them_beside_the_truth(tmp_path, monkeypatch):
    drawn, film = [], []
    picture, strip = pictures.picture, compositions.film
    monkeypatch.setattr(pictures, "picture", lambda *args, **named: drawn.append(args) or picture(*args, **named))
    monkeypatch.setattr(compositions, "film", lambda *args, **named: film.append(named) or strip(*args, **named))
    data, options = conditioned()
    run = ancestral.train("arrays", data, out=tmp_path / "run", progress=False, **options)
    held_out = datasets.hold_out(datasets.open(data, given=options["given"]), 0.25)[1]
    grids = [args for args in drawn if len(args) > 5 and args[5].after]
    assert len(grids) == 2  # of steps 2 and 4
    for samples, _columns, _height, _limits, names, context in grids:
        before, after = context.before, context.after
        rows = torch.arange(len(samples)) % 3
        assert torch.equal(after[0].images, held_out.items[rows])
        assert [part.name for part in before] == ["low", "known"]
        means = held_out.items.double().unflatten(3, (4, 2)).mean(4).unflatten(2, (4, 2)).mean(3)
        assert (before[0].images - means[rows]).abs().max() <= 0.51
        hidden = before[1].images[:, 1:] == 0
        assert torch.equal(before[1].images[:, :1][~hidden], held_out.items[rows][~hidden])
        assert 0 < hidden.double().mean() < 1
        angles = [f"angle {float(held_out.conditions['angle'][row, 0]):.4g}" for row in rows]
        assert names == [f"{held_out.classes[held_out.labels[row]]}, {a}" for row, a in zip(rows, angles, strict=True)]
    assert film[-1]["captions"] == grids[-1][4]
    model, recipe = run.model, Request.read(tmp_path / "run/samples/000004.png")
    with np.load(tmp_path / "run/samples/given.npz") as saved:
        given = {"angle": list(recipe.given["angle"]), **{name: torch.from_numpy(saved[name]) for name in saved}}
    again = model.sample(recipe.n, recipe.sampler, given=given, label=list(recipe.label))
    assert (again.int() - grids[-1][0].int()).abs().max() <= 1


@pytest.mark.long
def test_a_conditional_grid_of_training_is_repeated(tmp_path, run, refused):
    data, options = conditioned()
    folder = tmp_path / "run"
    ancestral.train("arrays", data, out=folder, progress=False, **options)
    grid, conditions = folder / "samples" / "000004.png", folder / "samples" / "given.npz"
    assert f"--given low={conditions}" in refused("sample", folder, "--like", grid)
    words = ["--given", f"low={conditions}", "--given", f"known={conditions}"]
    run("sample", folder, "--like", grid, *words, "--out", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as one, np.load(conditions) as other:
        assert np.array_equal(one["low"][:3], other["low"])
        recipe = Request.read(grid)
        assert [str(angle).removesuffix(".0") for angle in one["angle"][:3, 0]] == list(recipe.given["angle"])


@pytest.mark.long
def test_processes_share_the_samples_of_a_conditional_preview(tmp_path):
    code = """
import sys, torch, ancestral
torch.manual_seed(0)
images = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8)
ancestral.train("arrays", (images, {"angle": torch.linspace(0, 90, 12)}), out=sys.argv[1], device="cpu", steps=2,
                batch_size=8, width=16, preview_steps=3, given=["angle", "upscale:2"], validation=0.25, progress=False)
"""
    together("-c", code, tmp_path / "two")
    together("-c", code, tmp_path / "one", count=1)
    greys = [np.asarray(Image.open(tmp_path / name / "samples" / "000002.png")).astype(int) for name in ("one", "two")]
    assert abs(greys[0] - greys[1]).max() <= 3
    with np.load(tmp_path / "one/samples/given.npz") as one, np.load(tmp_path / "two/samples/given.npz") as two:
        assert np.array_equal(one["low"], two["low"])


def test_the_panel_shows_the_preview_below_the_training():
    text = io.StringIO()
    panel = TrainingPanel(Console(file=text, force_terminal=True, width=100))
    panel.show(step_of(2, loss=0.5))
    panel.show(Work("sampling a preview", 1, 4, part=True))
    panel.close()
    assert "sampling a preview: 25%" in text.getvalue()
    assert "loss 0.5000" in text.getvalue()
