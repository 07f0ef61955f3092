"""A request is the recipe of a picture: it is read, changed and made again from Python."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import ancestral
from ancestral import Request
from ancestral.base.errors import InputError
from ancestral.conditions import Image, Vector
from ancestral.config.request import ImageRef
from tiny_models import untrained

pytestmark = pytest.mark.usefixtures("figures")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model of 8×8 pixels with classes, an image and a number as conditions, in the working folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(2)
    conditions = {"low": Image(1, (0.0, 255.0), (4, 4), made_by="upscale:2"), "angle": Vector((45.0,), (20.0,))}
    untrained((1, 8, 8), ("a", "b"), conditions=conditions).save(tmp_path / "m" / "model.safetensors")
    for seed, name in enumerate(("low", "other")):
        numbers = np.random.default_rng(seed).integers(0, 256, (4, 4), dtype=np.uint8)
        PillowImage.fromarray(numbers).save(f"{name}.png")
    return ancestral.load("m", "cpu")


def pixels(path):
    with PillowImage.open(path) as image:
        return torch.from_numpy(np.asarray(image).copy())


def test_a_picture_is_read_changed_and_made_again(model):
    ancestral.sample("m", n=1, seed=3, label="b", sampler="ddim:eta=1", steps=3, guidance=2, out="b.png")
    request = Request.read("b.png")
    assert (request.seed, request.n, request.label, request.source) == (3, 1, ("b",), "b.png")
    assert torch.equal(model.make(request)[0, 0], pixels("b.png"))
    settings = {"label": "a", "guidance": 2, "sampler": "ddim:steps=3,eta=1"}
    assert torch.equal(model.make(request.replace(seed=4, label="a")), model.sample(1, seed=4, **settings))
    assert request.replace(indices=[5, 6]).n is None
    assert len(model.make(request.replace(indices=[5, 6]))) == 2
    with pytest.raises(InputError, match="a request has no sead"):
        request.replace(sead=1)
    with pytest.raises(InputError, match=r"b\.png was made by another model"):
        untrained((1, 8, 8)).make(request)


def test_sample_is_make_of_a_request(model):
    settings = {"seed": 2, "label": ["a", "none"], "given": {"angle": 30.0}, "guidance": {"angle": 3.0}, "steps": 3}
    assert torch.equal(model.sample(3, **settings), model.make(Request.of(3, **settings)))
    assert len(model.make(Request.of(steps=2, given={"angle": [1.0, 2.0, 3.0]}))) == 3


def test_images_of_a_picture_are_given_again_or_others_in_their_place(model):
    given = {"low": "low.png", "angle": 30}
    ancestral.sample("m", n=1, steps=3, given=given, out="a.png")
    request = Request.read("a.png")
    assert request.given == {"low": (ImageRef("low.png", request.given["low"][0].digest),), "angle": ("30",)}
    with pytest.raises(InputError, match=r"a.png was conditioned on the image low \(low.png\): give it again"):
        model.make(request)
    assert torch.equal(model.make(request.replace(given={"low": "low.png"}))[0, 0], pixels("a.png"))
    other = {"low": "other.png", "angle": 30}
    assert torch.equal(model.make(request.replace(given={"low": "other.png"})), model.sample(1, steps=3, given=other))


def test_the_models_of_a_cascade_and_a_branch_are_made_from_python(model):
    torch.manual_seed(3)
    untrained((1, 4, 4), ("a", "b")).save("s/model.safetensors")
    small = ancestral.load("s", "cpu")
    ancestral.sample("s", n=1, steps=3, then="m", out="large.png")
    request = Request.read("large.png")
    with pytest.raises(InputError, match="made by further models"):
        small.make(request)
    followed = dataclasses.replace(request, objects=dataclasses.replace(request.objects, then=[model]))
    assert torch.equal(small.make(followed)[0, 0], pixels("large.png"))
    assert torch.equal(small.make(Request.of(1, steps=3).replace(then=[model]))[0, 0], pixels("large.png"))
    ancestral.sample("m", n=1, steps=4, sampler="ddpm", out="stem.png")
    ancestral.sample("m", branch="stem.png", at=2, seed=9, out="branch.png")
    assert torch.equal(model.make(Request.read("branch.png"))[0, 0], pixels("branch.png"))
    assert not torch.equal(pixels("branch.png"), pixels("stem.png"))


def test_an_edit_is_made_again_with_its_images(model):
    photo = np.random.default_rng(5).integers(0, 256, (8, 8), dtype=np.uint8)
    PillowImage.fromarray(photo).save("photo.png")
    ancestral.edit("m", "vary", "photo.png", n=1, strength=0.4, steps=3, out="varied.png")
    request = Request.read("varied.png")
    assert (request.edit.task, request.edit.strength, request.edit.images["image"].name) == ("vary", 0.4, "photo.png")
    with pytest.raises(InputError, match=r"varied.png is an edit of image \(photo.png\): give it again"):
        model.make(request)
    assert torch.equal(model.make(request.replace(image="photo.png"))[0, 0], pixels("varied.png"))
    stronger = model.make(request.replace(image="photo.png", strength=0.9))
    assert torch.equal(stronger, model.vary("photo.png", 0.9, 1, steps=3))


def test_what_is_no_recipe_is_refused_in_one_line():
    deep = '{"parent": ' * 5000 + "{}" + "}" * 5000
    whole = {"model": "m", "version": "1", "seed": 1, "n": 1, "sampler": "", "guidance": 1}
    for text, words in {
        "{": "is not JSON",
        "[]": "should hold a JSON object",
        "{}": "lacks model",
        deep: "is not JSON|nested too deeply",
        json.dumps({**whole, "schema": "edit-recipe-1"}): "has the schema 'edit-recipe-1', but",
        json.dumps({**whole, "parent": "low.png"}): "parent cannot be",
        json.dumps({**whole, "given": {"low": ["\0 sha256:00"]}}): "low cannot be",
        json.dumps({**whole, "edit": {"images": 3, "task": "vary"}}): "images cannot be",
    }.items():
        with pytest.raises(InputError, match=words):
            Request.from_json(text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"guidance_interval": [1]}, "guidance_interval cannot be"),
        ({"indices": "12"}, "indices cannot be"),
        ({"given": "x"}, "given cannot be"),
        ({"then": "runs/digits"}, "a model cannot be 'runs/digits'"),
        ({"edit": {"task": "vary"}}, "edit cannot be"),
        ({"objects": 5}, "a request has no objects"),
        ({"weak": "runs/digits", "guidance": 2}, "a model cannot be 'runs/digits'"),
        ({"at": 2}, "has a picture to branch without the number of its state, or the other way"),
    ],
    ids=str,
)
def test_a_setting_of_another_type_is_refused(model, change, says):
    with pytest.raises(InputError, match=says):
        model.make(Request.of(1, steps=2).replace(**change))


def test_a_recipe_of_another_form_is_refused(model):
    recipe = json.loads(Request.of(1, steps=2).to_json())
    for change, says in (
        ({"guidance_interval": [1]}, "guidance_interval"),
        ({"edit": {"task": "nope", "images": {}}}, "is an edit of another kind, 'nope': give inpaint"),
        ({"edit": {"task": "vary", "images": {}}}, "missing a required argument: 'image'"),
    ):
        with pytest.raises(InputError, match=says):
            model.make(Request.from_json(json.dumps(recipe | change)))
    with pytest.raises(InputError, match=r"a request cannot be 'seven\.png': Request\.read\(file\)"):
        model.make("seven.png")


def test_numbers_of_numpy_are_numbers_of_a_request():
    request = Request.of(1).replace(seed=np.int64(3), indices=torch.arange(2))
    assert (request.seed, request.indices) == (3, (0, 1))
    assert Request.from_json(request.to_json()) == request
