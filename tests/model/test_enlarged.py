"""Samples of other sides than the model's: they are those of its tiled denoiser, whatever else a request asks for."""

import dataclasses

import pytest
import torch

from ancestral import Request, guidance
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image
from ancestral.data.grid import Axis, Channel, Grid
from ancestral.data.spec import Codec
from ancestral.model.enlarged import of_sides
from ancestral.reverse import prior
from ancestral.samplers import DDIM
from tiny_models import untrained

LOW = torch.linspace(0, 255, 60).view(1, 1, 6, 10).to(torch.uint8)


@pytest.fixture(scope="module")
def model():
    return untrained((1, 8, 8), conditions={"label": Classes(("a", "b")), "low": Image(1, sides=(4, 4))})


@pytest.fixture
def wide():
    return Request.of(n=3, sampler="ddim", steps=4, label="b", given={"low": LOW}, guidance=2, size="12x20")


def test_larger_samples_are_those_of_the_guided_denoiser_in_tiles(model, wide):
    low = dataclasses.replace(model.spec.conditions["low"], sides=(6, 10))
    condition = {"labels": torch.ones(3, dtype=torch.long), "low": low.encode(LOW.expand(3, -1, -1, -1), (12, 20))}
    tiled = guidance.Tiled(guidance.ClassifierFree(model.denoiser, 2.0), (8, 8), (4, 4), (False, True))
    x_T = prior(model.denoiser.schedule, (1, 12, 20), 1, range(3))
    expected = DDIM(4, clip=1.0).sample(tiled, x_T, seed=1, **condition)
    request = wide.replace(seed=1, seamless="x")
    assert torch.equal(model.make(request), model.spec.decode(expected))
    assert torch.equal(model.make(request, batch_size=2), model.make(request))
    assert "tiles of 8x8" in " ".join(model.process(request).notes)
    images = model.images(1, sampler="ddim", steps=2, given={"low": LOW}, label="a", size=(12, 20))
    assert (images[0].size, model.spec.shape) == ((20, 12), (1, 8, 8))


def test_a_branch_keeps_the_sides_and_the_tiles_of_its_picture(model, wide):
    recipe = model.process(wide).recipe
    again = type(recipe).from_json(recipe.to_json(), "the recipe").replace(given={"low": LOW})
    assert (again.size, torch.equal(model.make(again), model.make(wide))) == ((12, 20), True)
    branch = wide.replace(parent=recipe, at=2)
    assert torch.equal(model.make(branch), model.make(wide))  # of the same seed, whose ddim adds no noise
    assert not torch.equal(model.make(branch.replace(guidance=1.0)), model.make(wide))


def test_seamless_samples_of_the_model_s_own_sides_go_around(model):
    """What a sample is made of has no first column: x_T rolled by the distance of tiles gives the sample rolled."""
    tiled = model.process(Request.of(n=1, steps=3, label="a", seamless="all"))
    assert (tiled.notes, tiled.model.spec) == ((), model.spec)
    (*_, last), plain = tiled.steps([0]), model.process(Request.of(n=1, steps=3, label="a"))
    assert not torch.allclose(last.x, [*plain.steps([0])][-1].x)
    x_T = prior(model.denoiser.schedule, (1, 8, 8), 0, [0])
    around = guidance.Tiled(model.denoiser, (8, 8), (4, 4), (True, True))
    rolled = DDIM(3, clip=1.0).sample(around, x_T.roll((4, 4), (2, 3)), labels=torch.zeros(1, dtype=torch.long))
    assert torch.allclose(rolled, last.x.roll((4, 4), (2, 3)), atol=1e-5)


def test_latents_are_larger_by_the_factor(model):
    latent = untrained((1, 16, 16), latent=2)
    assert latent.sample(2, steps=2, size=(16, 24)).shape == (2, 1, 16, 24)
    for settings, words in (({"size": (16, 25)}, "multiples of 2"), ({"seamless": "x"}, "this one is of latents")):
        with pytest.raises(InputError, match=words):
            latent.sample(2, steps=2, **settings)


def test_axes_that_grow_have_no_coordinates():
    axes = tuple(Axis(name, tuple(range(8))) for name in ("lat", "lon"))
    spec = untrained((1, 8, 8)).spec
    fields = dataclasses.replace(spec, grid=Grid((Channel("t"),), axes, Axis("time"), cells="AAAAAA=="))
    wide = of_sides(fields, (8, 12))
    assert [len(axis.values) for axis in wide.grid.axes] == [8, 0]
    assert (wide.grid.cells, of_sides(fields, (8, 8)).grid) == ("", fields.grid)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": "8x"}, "give one side of all"),
        ({"size": (8, 8, 8)}, "names 3 sides, and items have 2: give 256x256"),
        ({"size": (8, 7)}, "smaller than the items of the model, 8x8"),
        ({"size": (8, 13)}, "the condition low has no whole sides then: give multiples of 2x2"),
        ({"seamless": "z"}, "seamless.* names z, and the axes of space are y, x"),
    ],
)
def test_what_tiles_cannot_cover_is_refused(model, settings, words):
    with pytest.raises(InputError, match=words):
        model.sample(1, steps=2, **settings)


def test_models_without_tiles_are_refused(model):
    with pytest.raises(InputError, match="makes points"):
        untrained((2,)).sample(1, size=8)
    around = untrained((1, 8, 8))
    around.spec = dataclasses.replace(around.spec, periodic=(1,))
    with pytest.raises(InputError, match="x goes around after 8 positions in this model"):
        around.sample(1, steps=2, size=(8, 12))
    assert around.sample(1, steps=2, size=(12, 8)).shape == (1, 1, 12, 8)
    with pytest.raises(InputError, match="of one model: leave then out"):
        around.make(Request.of(n=1, size=(12, 8)).replace(then=[model]))
    gaps = Codec("float", (0.0, 1.0), gaps="shared", mask="/v8=")
    around.spec = dataclasses.replace(around.spec, shape=(1, 3, 4), codec=gaps, periodic=())
    with pytest.raises(InputError, match="all lack the same values"):
        around.sample(1, steps=2, size=(12, 8))
    with pytest.raises(InputError, match="is for samples: leave it out of an edit"):
        model.vary(model.sample(1, steps=1), 0.5, n=1, size=16)
