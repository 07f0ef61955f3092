"""Cascades: the samples of a model are the image that the next one is conditioned on."""

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import ancestral
from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.conditions import Classes, Image, Vector
from ancestral.config.request import Request
from ancestral.declarations import Sample
from tiny_models import events_of, untrained

sample = events_of(Sample)

pytestmark = pytest.mark.usefixtures("figures")

AGE = Vector((30.0,), (10.0,))
HAIR = Classes(("dark", "fair"))
FEW = {"steps": 3}


def upscaled(side, **more):
    """The condition of samples whose sides are twice those of an image."""
    return {"low": Image(1, (0.0, 255.0), (side // 2, side // 2), made_by="upscale:2"), **more}


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """A model of 8×8 pixels, and two that double the sides."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    models = {
        "base": untrained((1, 8, 8), ("a", "b"), conditions={"age": AGE, "hair": HAIR}),
        "to16": untrained((1, 16, 16), ("b", "c"), conditions=upscaled(16, age=AGE, hair=Classes(("fair",)))),
        "to32": untrained((1, 32, 32), conditions=upscaled(32)),
    }
    for name, model in models.items():
        model.save(tmp_path / name / "model.safetensors")
    return {name: ancestral.load(name, "cpu") for name in models}


def images(path):
    with np.load(path) as arrays:
        return torch.from_numpy(arrays["images"]), arrays.get("labels")


def test_samples_become_the_condition_of_the_next_model(run, chain):
    """Of each sample by its index, with the seed, the values and the classes that both models have."""
    words = ["--given", "age=31", "--given", "age=54.3", "--given", "hair=dark", "--given", "hair=fair"]
    words += ["--label", "a", "b", "-n", 5]
    run("sample", "base", "--then", "to16", "to32", "--steps", 3, "--seed", 4, *words, "--out", "all.npz")
    given = {"age": [31, 54.3], "hair": ["dark", "fair"]}
    options = {**FEW, "seed": 4, "n": 5}
    small = chain["base"].sample(given=given, label=["a", "b"], **options)
    middle = chain["to16"].sample(
        given={"low": small, "age": [31, 54.3], "hair": ["none", "fair"]}, label=["none", "b"], **options
    )
    assert torch.equal(images("all.npz")[0], chain["to32"].sample(given={"low": middle}, **options))
    assert images("all.npz")[1].tolist() == [0, 1, 0, 1, 0]
    two = ("--index", 4, 1, "--out", "x")
    run("sample", "base", "--then", "to16", "to32", "--steps", 3, "--seed", 4, *words[:-2], *two)
    for index in (4, 1):
        with PillowImage.open(f"x/{index:06d}.png") as image:
            alone = torch.tensor(np.asarray(image)).int()
        assert (alone - images("all.npz")[0][index, 0].int()).abs().max() <= 1


def test_guidance_by_name_is_that_of_each_model_and_one_scale_that_of_the_first(chain):
    def by_command(guidance):
        finish(sample("base", 2, then="to16", label="b", guidance=guidance, out="x.npz", **FEW))
        found = images("x.npz")[0]
        (chain["base"].file.parent.parent / "x.npz").unlink()
        return found

    def by_hand(first, then):
        small = chain["base"].sample(2, label="b", guidance=first, **FEW)
        return chain["to16"].sample(2, label="b", given={"low": small}, guidance=then, **FEW)

    assert torch.equal(by_command(3.0), by_hand(3.0, 1.0))
    assert torch.equal(by_command({"label": 2, "low": 3}), by_hand(2.0, {"label": 2, "low": 3}))
    with pytest.raises(InputError, match="guidance names 'low', and the conditions of the model are: label, age, hair"):
        sample("base", 2, guidance={"low": 2}, **FEW)


def test_the_recipe_repeats_a_cascade(run, refused, chain):
    words = ["--then", "to16", "--given", "age=31", "-n", 4, "--steps", 3]
    run("sample", "base", *words, "--out", "a.png")
    recipe = Request.read("a.png")
    assert len(recipe.then) == 1
    run("sample", "base", "--then", "to16", "--like", "a.png", "--out", "b.png")
    with PillowImage.open("a.png") as one, PillowImage.open("b.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
        assert one.width > 2 * (2 * 16)
    assert "further models, whose SHA-256 are" in refused("sample", "base", "--like", "a.png")
    untrained((1, 16, 16), conditions=upscaled(16)).save("other/model.safetensors")
    assert "not by other" in refused("sample", "base", "--then", "other", "--like", "a.png")
    run("sample", "base", "-n", 4, "--steps", 3, "--out", "plain.png")
    assert "--then" in refused("sample", "base", "--then", "to16", "--like", "plain.png")


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ({}, "is not conditioned on an image, so it cannot follow base"),
        ({"low": Image(1, (0.0, 255.0), (4, 4))}, "conditioned on low, 1x4x4 .* samples of base are 1x8x8"),
        ({"low": Image(3, (0.0, 255.0), (8, 8))}, "conditioned on low, 3x8x8"),
        ({"low": Image(1, (0.0, 65535.0), (8, 8))}, "conditioned on low, 1x8x8 .* from 0 to 255"),
        ({"low": Image(1, (0.0, 255.0), (8, 8), masked=True)}, "conditioned on low"),
        ({name: Image(1, (0.0, 255.0), (8, 8)) for name in ("one", "two")}, "could be several .*: one, two"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_follow(chain, conditions, says):
    other = untrained((1, 16, 16), conditions=conditions)
    with pytest.raises(InputError, match=says) as error:
        sample("base", then=other)
    assert "\n" not in str(error.value)


def test_several_images_and_values_of_no_model(chain):
    two = {"grey": Image(1, (0.0, 255.0), (16, 16)), **upscaled(16)}
    follower = untrained((1, 16, 16), ("b",), conditions=two)
    finish(sample("base", 2, then=follower, out="x.npz", **FEW))
    small = chain["base"].sample(2, **FEW)
    assert torch.equal(images("x.npz")[0], follower.sample(given={"low": small}, label=["none", "b"], **FEW))
    with pytest.raises(InputError, match="low is the samples of the model before: leave given='low' out"):
        sample("base", then="to16", given={"low": small})
    with pytest.raises(InputError, match="not conditioned on 'size': its conditions are label, age, hair"):
        sample("base", then="to16", given={"size": 3})
    with pytest.raises(InputError, match="no class 'c'"):
        sample("base", then="to16", label="c")
