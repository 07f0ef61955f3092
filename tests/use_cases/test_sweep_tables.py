"""`--sweep` and `--by` of `sample` and `edit`: a table whose recipe repeats it, and cells that are ordinary samples."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import ancestral
from ancestral.base.events import Message, State, Work, finish
from ancestral.conditions import Classes, Vector
from ancestral.config.request import Request
from ancestral.declarations import Edit, Sample
from ancestral.model.masks import box_mask
from ancestral.operators import Blur
from ancestral.render.sweep_picture import Heading, sweep_picture
from ancestral.results.sampling_result import EditingResult, SamplingResult
from tiny_models import but_one_long, events_of, untrained

sample, edit = events_of(Sample), events_of(Edit)

pytestmark = pytest.mark.usefixtures("figures")

FEW = {"steps": 3}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model with conditions in the working folder, and an image."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(2)
    conditions = {
        "weight": Vector((45.0,), (20.0,), low=(0.0,), high=(90.0,)),
        "pose": Vector((1.0, -1.0), (2.0, 0.5), ("yaw", "pitch")),
        "hair": Classes(("dark", "fair")),
    }
    untrained((1, 8, 8), ("a", "b"), conditions=conditions).save(tmp_path / "m" / "model.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    PillowImage.fromarray(pixels).save(tmp_path / "photo.png")
    return ancestral.load("m", "cpu")


def pixels(path):
    with PillowImage.open(path) as image:
        return torch.from_numpy(np.array(image))


SWEEPS = [
    "--sweep pose.yaw=0,1 --by pose.pitch=-1:1:3 --given pose=0.5,0.1 --given hair=dark --label b --steps 3",
    "--sweep weight=0:90:3 --by label=a,b --given pose=0.5,0.1 --guidance 2 --steps 3",
    "--sweep steps=2:4:3 --by sampler=ddim,heun",
    "--sweep sampler=ddim,heun --steps 3 -n 2",
    "--sweep eta=0,1 --by seed=3:5:3 --steps 3",
    "--sweep index=2,5 --by guidance.hair=1,2 --given hair=fair --guidance label=2 --steps 3",
]


@pytest.mark.parametrize("words", but_one_long(SWEEPS))
def test_the_recipe_of_a_table_repeats_it(run, model, words):
    run("sample", "m", *words.split(), "--out", "table.png")
    run("sample", "m", "--like", "table.png", "--out", "again.png")
    assert Path("again.png").read_bytes() == Path("table.png").read_bytes()
    request = Request.read("table.png")
    table = model.make(request)
    run("sample", "m", "--like", "table.png", "--out", "again.npz")
    with np.load("again.npz") as arrays:
        assert np.array_equal(arrays["images"], table.numpy())
        axes = [arrays[name].tolist() for name in ("columns", "rows") if name in arrays]
    assert axes == [[*values] for values in request.sweep.values()]


def test_an_edit_is_swept(run, model):
    words = ["restore", "photo.png", "--operator", "blur:1", "--method", "jfps", "--iterations", 1, "--steps", 3]
    words += ["--label", "a"]
    run("edit", "m", *words, "--sweep", "noise=0.1,0.4", "--by", "guidance.label=1,2", "--out", "table.png")
    run("edit", "m", "restore", "photo.png", "--like", "table.png", "--out", "again.png")
    assert Path("again.png").read_bytes() == Path("table.png").read_bytes()
    run("edit", "m", "restore", "photo.png", "--like", "table.png", "--out", "cells.npz")
    with np.load("cells.npz") as arrays:
        cells = arrays["images"][0, :, 0]
    for column, noise in enumerate((0.1, 0.4)):
        run("edit", "m", *words, *f"--noise {noise} --guidance label=1 -n 1 --out {column}.png".split())
        assert np.array_equal(cells[column, 0], pixels(f"{column}.png"))


class Kept:
    """A generator whose result is kept."""

    def __init__(self, events):
        self.events, self.result = events, None

    def __iter__(self):
        self.result = yield from self.events


def test_methods_stand_side_by_side_with_their_deviations(model):
    """Each as it is alone: of restore also how far A x is from y; the array has the map of each cell."""
    options = {"operator": "blur:1", "noise": 0.1, "sweep": "method=jfps,mmps", "by": "steps=2,3", "n": 3}
    kept = Kept(edit("m", "restore", "photo.png", **options, out="x.npz"))
    lines, result = [event.text for event in kept if isinstance(event, Message)], kept.result
    assert [cell.values for cell in result.cells] == [
        {"steps": steps, "method": method} for steps in (2, 3) for method in ("jfps", "mmps")
    ]
    blur, image = Blur(1.0), model.spec.codec.encode(pixels("photo.png")[None, None])
    with np.load("x.npz") as arrays:
        std = arrays["std"]
    assert std.shape == (2, 2, 8, 8)
    for number, cell in enumerate(result.cells):
        alone = model.restore("photo.png", "blur:1", 0.1, 3, cell.method, steps=cell.values["steps"])
        assert cell.deviation == pytest.approx(float(alone.deviation.mean()))
        misfit = (blur.apply(model.spec.codec.encode(alone.as_subclass(torch.Tensor))) - image).square().mean().sqrt()
        assert cell.misfit == pytest.approx(float(misfit), rel=1e-4)
        assert cell.evaluations == alone.evaluations
        np.testing.assert_allclose(std[divmod(number, 2)], alone.deviation.numpy(), rtol=1e-5)
        values = f"steps={cell.values['steps']} method={cell.method}"
        assert f"{values}: standard deviation {cell.deviation:.3g}, root mean square of A x - y {misfit:.2g}" in lines
    assert EditingResult.from_json(result.to_json()) == result
    assert "root mean square of A x - y" in str(result)
    swept = {"sweep": "method=jfps,replacement", "n": 3, **FEW}
    inpainted = finish(edit("m", "inpaint", "photo.png", box="0,0,8,3", out="y.png", **swept))
    for cell in inpainted.cells:
        mask = box_mask("0,0,8,3", (8, 8))
        alone = model.inpaint("photo.png", mask, 3, method=cell.method, **FEW)
        assert cell.misfit is None
        assert cell.deviation == pytest.approx(float(alone.deviation[mask].mean()))
    single = finish(edit("m", "vary", "photo.png", sweep="strength=0.2,0.8", out="z.png", **FEW))
    assert [cell.deviation for cell in single.cells] == [None, None]


def test_a_method_that_is_chosen_for_each_cell_is_chosen_again(model):
    """The recipe holds what the user gave, not the method of the first cell."""
    options = {"sweep": "operator=blur:1,mask:left", "noise": 0.1, "iterations": 1, **FEW}
    events = list(edit("m", "restore", "photo.png", out="table.png", **options))
    assert [event.text.partition(":")[0] for event in events[:2]] == ["pigdm", "mmps"]
    assert Request.read("table.png").edit.method is None
    finish(edit("m", "restore", "photo.png", like="table.png", out="again.png"))
    assert Path("again.png").read_bytes() == Path("table.png").read_bytes()


def test_the_progress_counts_all_cells(model):
    events = list(sample("m", 3, sweep="steps=2,4", by="label=a,b", batch_size=2, out="table.png"))
    work = [event for event in events if isinstance(event, Work)]
    assert [event.done for event in work] == [*range(1, 33)]  # 2 batches of 3 and of 5 states, in each row
    assert {(event.task, event.total) for event in work} == {("4 cells of 3 images", 32)}
    states = [event for event in events if isinstance(event, State)]
    assert {(state.total, state.count) for state in states} == {(5, 12)}
    last = {place: state.x[row] for state in states if state.index == 4 for row, place in enumerate(state.positions)}
    table = model.make(Request.read("table.png"), batch_size=2)
    assert torch.equal(torch.stack([last[place] for place in range(12)]), table.flatten(0, 2))


def test_the_result_has_the_axes(model):
    result = finish(sample("m", sweep="weight=0:90:7", by={"label": ["b", "none"]}, out="table.npz", **FEW))
    assert result.sweep == {"weight": (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0), "label": ("b", "none")}
    assert (result.count, result.label, result.given) == (14, None, {})
    assert SamplingResult.from_json(result.to_json()) == result
    assert json.loads(result.to_json())["sweep"]["label"] == ["b", "none"]
    assert "weight 0, 15, 30, 45, 60, 75, 90 by label b, none" in str(result)
    edited = finish(edit("m", "vary", "photo.png", sweep="strength=0.2,0.8", out="edit.png", **FEW))
    assert (edited.count, edited.sweep) == (2, {"strength": (0.2, 0.8)})
    assert EditingResult.from_json(edited.to_json()) == edited


def test_what_a_sweep_decides_is_said(model):
    def lines(**options):
        Path("photo.png").unlink(missing_ok=True)  # of which there is a warning
        events = sample("m", out="table.png", **{**FEW, **options})
        return [event.text for event in events if isinstance(event, Message)]

    assert lines(sweep="steps=2:5:3", steps=None) == ["steps is rounded to whole numbers: 2, 4, 5"]
    assert len(lines(sweep="weight=100:900:20")) == 9  # each lies beyond the data


@pytest.mark.long
def test_signals_and_points_have_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, shape in (("signals", (1, 32)), ("points", (2,)), ("volumes", (1, 4, 4, 4))):
        made = untrained(shape, ("a", "b"), groups=4) if len(shape) > 1 else untrained(shape, ("a", "b"))
        made.save(tmp_path / name / "model.safetensors")
        finish(sample(name, 2, sweep="guidance=1,2", by="label=a,b", out=f"{name}.png", **FEW))
        finish(sample(name, like=f"{name}.png", out=f"{name}-again.png"))
        assert Path(f"{name}.png").read_bytes() == Path(f"{name}-again.png").read_bytes()


def test_the_picture_has_each_cell_at_its_place():
    """Grey of a value for each cell, of which the picture has the middle where the cell is."""
    values = torch.arange(6).mul(40).to(torch.uint8)
    cells = [value.expand(1, 1, 8, 8) for value in values]
    bare = sweep_picture(cells, (0.0, 255.0), Heading("x", "abc"), Heading("y", ["first", "second"]), captions=False)
    named = sweep_picture(cells, (0.0, 255.0), Heading("x", "abc"), Heading("y", ["first", "second"]))
    side = (bare.width - 8) // 3
    assert bare.size == (3 * side + 8, 2 * side + 4)
    left, top = named.width - bare.width, named.height - bare.height
    assert left > 0
    assert top > 0
    for number, value in enumerate(values.tolist()):
        row, column = divmod(number, 3)
        place = column * (side + 4) + side // 2, row * (side + 4) + side // 2
        assert bare.getpixel(place) == (value,) * 3 == named.getpixel((left + place[0], top + place[1]))
