"""`ancestral sample --branch`: another trajectory from a state of one, and its recipe."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral.base.errors import InputError
from ancestral.base.events import State
from ancestral.conditions import Image as ImageCondition
from ancestral.conditions import Vector
from ancestral.config.request import Request
from ancestral.declarations import Sample
from ancestral.render import writers
from ancestral.use_cases.sampling import requests
from tiny_models import but_one_long, events_of, untrained

sample = events_of(Sample)
MODEL = "model.safetensors"


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / MODEL
    torch.manual_seed(0)
    untrained((3, 8, 8), ("cat", "dog")).save(path)
    return path


@pytest.fixture
def place(tmp_path, monkeypatch, saved_model):
    """A working folder with a model."""
    monkeypatch.chdir(tmp_path)
    Path(MODEL).write_bytes(saved_model.read_bytes())
    return tmp_path


def drawn(**options):
    """The file of samples, and the states of the trajectory by their number."""
    events, states = sample(options.pop("model", MODEL), **options), {}
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value.paths[0], states
        if isinstance(event, State):
            states[event.index] = (event.t, event.x)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


# -- trajectories -----------------------------------------------------------------------------------------------------

SAMPLERS = {
    "ddim": "ddim:steps=5",
    "ddpm": "ddpm:steps=5",
    "heun": "heun:steps=5",
    "churn": "heun:steps=5,churn=10",
    "multistep": "dpm:steps=5",
    "unipc": "unipc:steps=5",
}
OTHER = {name: "ddpm:steps=5" if name != "ddpm" else "heun:steps=5" for name in SAMPLERS}


@pytest.mark.parametrize("name", but_one_long(SAMPLERS))
def test_a_branch_is_the_picture_up_to_a_state_and_differs_from_there_on(place, name):
    """With nothing changed it is the picture, also of samplers that remember the steps before."""
    path, states = drawn(n=3, seed=3, sampler=SAMPLERS[name], label=["cat", "dog", "dog"], guidance=2.0, out="a.png")
    same, _ = drawn(branch="a.png", at=2, out="same.png")
    assert np.array_equal(pixels(same), pixels(path))
    for changes in ({"label": "cat", "guidance": 1.0}, {"sampler": OTHER[name]}):
        other, others = drawn(branch="a.png", at=2, **changes, out="other.png")
        assert sorted(others) == [*range(len(others))]
        assert all(others[index][0] == states[index][0] for index in range(3))
        assert all(torch.equal(others[index][1], states[index][1]) for index in range(3))
        assert not torch.equal(others[3][1], states[3][1])
        assert others[len(others) - 1][0] == 0
        again, _ = drawn(like=other, out="again.png")
        assert Path(again).read_bytes() == Path(other).read_bytes()


def test_another_seed_draws_other_noise_from_the_state_on(place):
    _, states = drawn(n=2, sampler="ddpm:steps=4", out="a.png")
    _, others = drawn(branch="a.png", at=1, seed=7, out="b.png")
    assert torch.equal(others[1][1], states[1][1])
    assert not torch.equal(others[2][1], states[2][1])
    assert (Request.read("b.png").seed, Request.read("b.png").parent.seed) == (7, 0)
    with pytest.raises(InputError, match="has no effect"):  # the last step draws none
        drawn(branch="a.png", at=3, seed=5)


def test_a_branch_of_a_branch_and_some_of_its_samples(place):
    drawn(n=4, sampler="dpm:steps=5", label=["cat", "dog"], out="a.png")
    drawn(branch="a.png", at=1, label="dog", out="b.png")
    path, states = drawn(branch="b.png", at=3, sampler="ddim", steps=3, index=(0, 2), out="c.png")
    assert Request.read(path).indices == (0, 2)
    assert Request.read(path).label == ("dog",)
    assert (Request.read(path).at, Request.read(path).parent.at, Request.read(path).parent.parent.at) == (3, 1, None)
    _, before = drawn(branch="b.png", at=3, sampler="ddim", steps=3, out="d.png")
    assert torch.allclose(states[3][1].float(), before[3][1][[0, 2]].float(), atol=1)  # in a batch of another size
    again, _ = drawn(like=path, out="again.png")
    assert Path(again).read_bytes() == Path(path).read_bytes()


def test_each_single_picture_of_a_branch_is_repeated_alone(place):
    drawn(n=4, sampler="ddim:steps=3", out="a.png")
    drawn(branch="a.png", at=1, label="dog", index=(3, 1), out="ones")
    drawn(like="ones/000003.png", out="again.png")
    assert pixels("again.png").shape == (8, 8, 3)
    assert np.abs(pixels("again.png").astype(int) - pixels("ones/000003.png")).max() <= 1


def test_conditions_change_and_images_are_given_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    kinds = {"age": Vector((5.0,), (2.0,)), "low": ImageCondition(1, (0, 255), (4, 4))}
    untrained((1, 8, 8), ("cat", "dog"), conditions=kinds).save(Path(MODEL))
    for name, colour in (("low", 90), ("other", 30)):
        Image.new("L", (4, 4), colour).save(f"{name}.png")
    drawn(n=2, steps=3, given={"age": 3, "low": "low.png"}, label="cat", guidance={"age": 2}, out="a.png")
    with pytest.raises(InputError, match=r"conditioned on the image low \(low.png\): give it again"):
        drawn(branch="a.png", at=1)
    with pytest.raises(InputError, match=r"another image low \(low.png\): give that one"):
        drawn(branch="a.png", at=1, given={"low": "other.png"})
    given = {"low": "low.png"}
    same, _ = drawn(branch="a.png", at=1, given=given, out="same.png")
    assert np.array_equal(pixels(same), pixels("a.png"))
    other, _ = drawn(branch="a.png", at=1, given={**given, "age": 9}, out="b.png")
    assert (Request.read(other).given["age"], Request.read(other).parent.given["age"]) == (("9",), ("3",))
    again, _ = drawn(like=other, given=given, out="again.png")
    assert Path(again).read_bytes() == Path(other).read_bytes()


def test_labels_stay_in_turn_beside_a_condition_that_is_given_later(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untrained((1, 8, 8), ("cat", "dog"), conditions={"age": Vector((5.0,), (2.0,))}).save(Path(MODEL))
    drawn(n=2, steps=2, out="a.png")
    drawn(branch="a.png", at=1, given={"age": 3}, out="b.png")
    assert Request.read("b.png").label == ("cat", "dog")


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, saved_model):
    """A folder with a picture, a branch of it, and pictures whose recipes cannot be branched."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / MODEL).write_bytes(saved_model.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        drawn(n=2, steps=3, out="a.png")
        drawn(branch="a.png", at=1, label="dog", out="branch.png")
        saved = Request.read("a.png")
        changes = {"grid": {"step": 5, "model": ""}, "cascade": {"then": {"1": "ddim"}}, "foreign": {"model": "00"}}
        for name, change in changes.items():
            write(name, {**vars(saved), **change})
        deep = saved
        for _ in range(requests.MOST_BRANCHES):
            deep = Request(**{**vars(saved), "parent": deep, "at": 1})
        write("deep", vars(deep))
        text = saved.to_json().rstrip().removesuffix("}").rstrip() + ', "at": 1, "parent": '
        writers.write_picture(Path("deeper.png"), Image.new("L", (2, 2)), text * 400 + "null" + "}" * 400)
    return folder


REFUSALS = {
    "--branch a.png": "--branch and --at belong together",
    "--at 2": "--branch and --at belong together",
    "--branch a.png --at 3": "no state of a.png that steps follow: give a number from 0 to 2",
    "--branch a.png --at 1 -n 2": "goes on with the samples of a.png: leave -n out",
    "--branch a.png --at 1 --like a.png": "leave --like out",
    f"--branch a.png --at 1 --then {MODEL}": "leave --then out",
    "--branch a.png --at 1 --index 1 5": "--index 5 is none of the samples of a.png",
    "--branch a.png --at 1 --seed 4": "--seed 4 has no effect: DDIM draws no noise after state 1",
    "--like a.png --at 1": "belong together",
    "--branch branch.png --at 0": "is itself a branch, from state 1: give --at of 1 or more",
    "--branch grid.png --at 1": "grid.png is a grid of training, whose weights are in no file",
    "--branch cascade.png --at 1": "made by several models, one after another",
    "--branch deep.png --at 1": "the end of 16 branches, and there may be 16",
    "--branch deeper.png --at 1": "nested too deeply",
    "--branch foreign.png --at 1": "made by another model",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_what_cannot_be_branched_is_refused_in_one_line(refused_in, pictures, words):
    assert REFUSALS[words] in refused_in(pictures, f"sample {MODEL} {words}")


def write(name, fields):
    writers.write_picture(Path(f"{name}.png"), Image.new("L", (2, 2)), Request(**fields).to_json())
