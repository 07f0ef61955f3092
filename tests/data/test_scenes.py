"""Scenes whose captions are checked by a program: a wrong picture is found wrong, and a right one right."""

import numpy as np
import pytest
import torch

from ancestral.data.sources import scenes
from ancestral.data.sources.scenes import Scene

RED_CIRCLE, BLUE_SQUARE = ("circle", "red"), ("square", "blue")


def drawn(scene, seed=0):
    return torch.from_numpy(scenes.draw(scene, np.random.default_rng(seed)))[None]


@pytest.mark.parametrize("new", [False, True])
def test_drawn_scenes_obey_their_captions_and_not_those_of_others(new):
    images, made = scenes.make(300, new, 5)
    captions = [scene.captions[0] for scene in made]
    assert scenes.obeys(images, captions).all()
    others = [scene.captions[0] for scene in (made[1:] + made[:1])]
    same = torch.tensor([a == b for a, b in zip(captions, others, strict=True)])
    assert scenes.obeys(images, others)[~same].float().mean() < 0.02


def test_the_training_split_has_no_held_out_pair_and_each_scene_of_the_test_split_has_one():
    for new in (False, True):
        _, made = scenes.make(400, new, 6)
        assert {any(pair in scenes.HELD_OUT for pair in scene.shapes) for scene in made} == {new}


@pytest.mark.parametrize(
    "caption",
    ["a red circle", "a red circle left of a blue square", "a red cross above a green cross", "three yellow triangles"],
)
def test_captions_are_read_back(caption):
    assert scenes.read_caption(caption).captions[0] == caption


@pytest.mark.parametrize("caption", ["circle", "red circle", "a red circle beside a blue square", "five red circles"])
def test_other_texts_are_no_captions(caption):
    with pytest.raises(ValueError, match=caption):
        scenes.read_caption(caption)


@pytest.mark.parametrize(
    ("caption", "scene"),
    [
        ("a red circle left of a blue square", Scene((("circle", "blue"), ("square", "red")), "left of")),  # colours
        ("a red circle left of a blue square", Scene((("square", "red"), ("circle", "blue")), "left of")),  # shapes
        ("a red circle left of a blue square", Scene((RED_CIRCLE, BLUE_SQUARE), "right of")),  # relation
        ("a red circle above a blue square", Scene((BLUE_SQUARE, RED_CIRCLE), "above")),  # order
        ("a red circle left of a red square", Scene((("square", "red"), RED_CIRCLE), "left of")),  # order, one colour
        ("three red circles", Scene((RED_CIRCLE,) * 4)),  # number
        ("two red circles", Scene((RED_CIRCLE,) * 3)),
        ("a red circle", Scene((RED_CIRCLE, BLUE_SQUARE), "above")),
        ("a red circle", Scene((("square", "red"),))),  # form
        ("a red triangle", Scene((("cross", "red"),))),
        ("a red square", Scene((RED_CIRCLE,))),
        ("a red cross", Scene((("triangle", "red"),))),
        ("a red circle", Scene((("circle", "purple"),))),  # colour
    ],
)
def test_a_wrong_picture_is_found_wrong(caption, scene):
    for seed in range(5):
        assert not scenes.obeys(drawn(scene, seed), [caption]).any()
        assert scenes.obeys(drawn(scenes.read_caption(caption), seed), [caption]).all()


def test_an_empty_picture_and_noise_obey_nothing():
    empty = (
        torch.tensor(scenes.BACKGROUND, dtype=torch.uint8).reshape(1, 3, 1, 1).expand(1, 3, scenes.SIDE, scenes.SIDE)
    )
    noise = torch.randint(256, empty.shape, generator=torch.Generator().manual_seed(0)).byte()
    assert not scenes.obeys(torch.cat([empty, noise]), ["a red circle"] * 2).any()


def test_a_shape_across_the_edge_does_not_go_on_at_the_other_side():
    image = drawn(Scene((RED_CIRCLE,)))
    column = int((image[0, 0] > 100).nonzero()[:, 1].float().mean().round())
    assert len(scenes.seen(image.roll(-column, 3))[0]) == 2  # its left half is at the right edge
