"""`Model.sweep`: a table of samples of one seed, each cell as `Model.sample` makes it."""

import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector
from ancestral.config.request import EditRequest, Request
from ancestral.model import stages
from ancestral.operators import Mask
from tiny_models import untrained

FEW = {"steps": 3}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    conditions = {
        "low": Image(1, (0.0, 255.0), (4, 4), made_by="upscale:2"),
        "angle": Vector((45.0,), (20.0,), low=(0.0,), high=(90.0,)),
        "pose": Vector((1.0, -1.0), (2.0, 0.5), ("yaw", "pitch")),
        "hair": Classes(("dark", "fair")),
        "steps": Vector((3.0,), (1.0,)),
    }
    return untrained((1, 8, 8), ("a", "b"), conditions=conditions)


CELLS = [
    (
        {"guidance": (1, 2.5), "label": ["a", "b", "none"]},
        lambda guidance, label: {"guidance": guidance, "label": label},
    ),
    ({"seed": "3:5:3", "steps": (2, 4)}, lambda seed, steps: {"seed": seed, "steps": steps}),
    ({"index": (0, 7), "sampler": ["ddim", "heun"]}, lambda i, sampler: {"indices": [i], "sampler": sampler}),
    ({"angle": "10:30:3", "hair": ["dark", "1"]}, lambda angle, hair: {"given": {"angle": angle, "hair": hair}}),
    ({"pose.yaw": (0, 2), "pose.pitch": (-1, 1)}, lambda yaw, pitch: {"given": {"pose": [[yaw, pitch]]}}),
    ({"eta": (0, 1)}, lambda eta: {"sampler": f"ddim:eta={eta}"}),
    ({"guidance.label": (1, 3)}, lambda scale: {"guidance": {"label": scale}}),
    ({"guidance_rescale": (0, 0.7)}, lambda share: {"guidance_rescale": share, "guidance": 3, "label": "b"}),
    ({"given.steps": (2, 4)}, lambda value: {"given": {"steps": value}}),
    ({"angle": ["none", 5]}, lambda angle: {"given": {"angle": angle}}),
]


@pytest.mark.parametrize(
    ("axes", "settings"), CELLS, ids=lambda value: " ".join(value) if isinstance(value, dict) else ""
)
def test_each_cell_is_what_sample_makes(model, axes, settings):
    base = (
        {"guidance": 3, "label": "b"}
        if "guidance_rescale" in axes
        else {"label": "a"}
        if "guidance.label" in axes
        else {}
    )
    n = None if "index" in axes else 2
    table = model.sweep(axes, n, **{**FEW, **base})
    columns, *rows = table.axes.values()
    assert table.shape == (len(rows[0]) if rows else 1, len(columns), n or 1, 1, 8, 8)
    for row, line in enumerate(table):
        for column, cell in enumerate(line):
            values = columns[column], *(each[row] for each in rows)
            assert torch.equal(cell, model.sample(n, **{**FEW, **base, **settings(*values)}))
            assert torch.equal(cell, model.make(table.requests[row][column]))
    assert not torch.equal(table[-1, -1], table[0, 0])


def test_other_numbers_of_a_condition_stay(model):
    table = model.sweep({"pose.pitch": (-1.0, 1.0)}, given={"pose": (0.3, 0.1)}, **FEW)
    assert torch.equal(table[0, 1], model.sample(1, given={"pose": (0.3, 1.0)}, **FEW))
    means = model.sweep({"pose.pitch": (-1.0, 1.0)}, **FEW)
    assert torch.equal(means[0, 1], model.sample(1, given={"pose": (1.0, 1.0)}, **FEW))


def test_several_values_of_a_condition_are_samples_of_each_cell(model):
    low = torch.arange(3, dtype=torch.uint8).mul(80).reshape(3, 1, 1, 1).expand(3, 1, 4, 4)
    table = model.sweep({"guidance.low": (1, 2)}, given={"low": low}, **FEW)
    assert table.shape == (1, 2, 3, 1, 8, 8)
    assert torch.equal(table[0, 1], model.sample(given={"low": low}, guidance={"low": 2}, **FEW))


def test_a_sweep_is_part_of_a_request(model):
    request = Request.of(2, label="b", **FEW).replace(sweep={"guidance": (1, 2)})
    again = Request.from_json(request.to_json())
    assert again.sweep == {"guidance": (1, 2)}
    assert torch.equal(model.make(again), model.sweep({"guidance": (1, 2)}, 2, label="b", **FEW))
    assert "sweep" not in Request.of(2).to_json()  # as recipes of earlier versions


def test_another_operator_of_an_edit_replaces_that_of_its_arguments(model):
    y = torch.zeros(1, 8, 8, dtype=torch.uint8)
    edit = EditRequest("restore", operator="blur:1", noise=0.1, method="jfps", iterations=1)
    request = Request.of(1, **FEW).of_edit(edit, {"image": y, "operator": "blur:1"})
    assert not torch.equal(model.make(request), model.make(request.replace(operator=Mask(torch.ones(8, 8)))))


REFUSED = [
    ({"angle": []}, "angle of a sweep has no values: give NAME=FIRST:LAST:COUNT, as in guidance=1:5:5, or NAME=A,B,C"),
    ({"seed": None}, "seed of a sweep has no values"),
    ({"hair.x": (1,)}, "a sweep has no 'hair.x'"),
    ({"guidance.foo": (1,)}, "a sweep has no 'guidance.foo'"),
    ({"pose": (1,)}, "pose of a sweep is no number: give pose.yaw or pose.pitch"),
    ({"pose.roll": (1,)}, "give pose.yaw or pose.pitch"),
    ({"angle": ["x"]}, "angle of a sweep cannot be 'x': give a number"),
    ({"angle": [float("inf")]}, "angle of a sweep cannot be inf"),
    ({"seed": (1.5,)}, "seed of a sweep cannot be 1.5: give a whole number"),
    ({"noise": (1,)}, "a sweep has no 'noise'"),
    ({"sampler": ["heun:churn=1"]}, "sampler of a sweep cannot be 'heun:churn=1': .*, each without options"),
    ({"seed": (1,), "index": (1,), "steps": (1,)}, "one setting or two, not 3"),
    ({}, "one setting or two, not 0"),
    ({"steps": (2, 0)}, "steps"),
]


@pytest.mark.parametrize(("axes", "line"), REFUSED, ids=str)
def test_what_cannot_be_swept(model, monkeypatch, axes, line):
    monkeypatch.setattr(stages, "states", None)  # nothing is computed
    with pytest.raises(InputError, match=line):
        model.sweep(axes)
