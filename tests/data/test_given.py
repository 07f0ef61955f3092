"""Conditions of a data set: columns, folders of partners and operators, from opening to what a network gets."""

import re

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector
from ancestral.data.spec import inputs
from file_contents import write_images

N = 12
IMAGES = torch.randint(0, 256, (N, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SMALL = IMAGES[:, :1, ::2, ::2]
ANGLES = torch.linspace(0, 90, N)


def test_arrays_from_python_are_conditions_of_the_kind_that_their_shape_says():
    opened = data.open(
        (IMAGES, {"angle": ANGLES, "low": SMALL, "hair": torch.arange(N) % 3, "label": torch.arange(N) % 2})
    )
    kinds = opened.spec.conditions
    assert list(kinds) == ["label", "angle", "low", "hair"]
    assert kinds["label"] == Classes(("0", "1"))
    assert kinds["hair"] == Classes(("0", "1", "2"))
    assert kinds["low"] == Image(1, (0.0, 255.0), sides=(4, 4))
    assert isinstance(kinds["angle"], Vector)
    assert kinds["angle"].mean == pytest.approx((45.0,))
    values = opened.conditions_of([3, 5])
    assert values["angle"].tolist() == ANGLES[[3, 5], None].double().tolist()
    assert torch.equal(values["low"], SMALL[[3, 5]])
    assert values["hair"].tolist() == [0, 2]


def test_arrays_keep_all_their_channels_and_pictures_are_composited():
    """Two masks are no grey and alpha, in one array as in items of a data set."""
    masks = torch.cat([SMALL, SMALL.flip(0)], 1)
    rgba = torch.cat([IMAGES, IMAGES[:, :1]], 1)
    both = {"masks": masks, "rgba": rgba.permute(0, 2, 3, 1).numpy()}
    opened = data.open((IMAGES, both))
    assert {name: kind.channels for name, kind in opened.spec.conditions.items()} == {"masks": 2, "rgba": 4}
    assert torch.equal(opened.conditions_of([3])["masks"], masks[[3]])
    assert torch.equal(opened.conditions_of([3])["rgba"], rgba[[3]])
    pictures = [PillowImage.fromarray(pixels) for pixels in both["rgba"]]
    items = [{"image": IMAGES[i], "masks": masks[i], "rgba": pictures[i]} for i in range(N)]
    opened = data.open(Listed(items))
    assert {name: kind.channels for name, kind in opened.spec.conditions.items()} == {"masks": 2, "rgba": 3}
    assert torch.equal(opened.conditions_of([3])["masks"], masks[[3]])


class Listed(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


@pytest.mark.parametrize("shape", [(3, 4, 4), (4, 4, 3), (3, 2, 2), (2, 2, 3), (8, 8, 8)])
def test_arrays_have_the_layout_in_which_their_sides_are_in_proportion_to_those_of_the_items(shape):
    values = np.random.default_rng(0).integers(0, 256, (N, *shape), dtype=np.uint8)
    opened = data.open((IMAGES, {"low": values}))
    assert opened.spec.conditions["low"].sides == (shape[1],) * 2
    expected = values if shape[0] in (3, 8) else np.moveaxis(values, -1, 1)
    assert np.array_equal(opened.conditions_of([3])["low"].numpy(), expected[[3]])


def test_sparse_numbers_are_numbers():
    opened = data.open((IMAGES, {"angle": ANGLES.to_sparse()}))
    assert torch.equal(opened.conditions_of([3])["angle"], ANGLES[[3], None].double())


def test_a_subset_keeps_the_kinds_and_takes_the_values_of_its_items():
    opened = data.open((IMAGES, {"angle": ANGLES, "low": SMALL}))
    part, rest = data.hold_out(opened, 0.25)
    assert part.spec.conditions == rest.spec.conditions == opened.spec.conditions
    for one in (part, rest):
        values = one.conditions_of(range(len(one)))
        assert torch.equal(values["angle"][:, 0], ANGLES[one.rows].double())
        assert torch.equal(values["low"], SMALL[one.rows])


@pytest.mark.parametrize("memory", [1.0, 0.0], ids=["in memory", "read by index"])
def test_a_second_folder_has_the_partner_of_each_file(tmp_path, memory):
    photos, edges = write_images(tmp_path / "photos", IMAGES), write_images(tmp_path / "edges", SMALL)
    opened = data.open(photos, given=f"edge={edges}", memory=memory)
    assert opened.spec.conditions == {"edge": Image(1, (0.0, 255.0), sides=(4, 4))}
    assert torch.equal(opened.conditions_of([7, 1])["edge"], SMALL[[7, 1]])
    assert torch.equal(opened.subset(torch.tensor([4, 2])).conditions_of([1])["edge"], SMALL[[2]])


def test_an_item_whose_partner_is_damaged_is_left_out_with_it(tmp_path):
    photos, edges = write_images(tmp_path / "photos", IMAGES), write_images(tmp_path / "edges", SMALL)
    (edges / "03.png").write_bytes(b"no image")
    opened = data.open(photos, given=str(edges))
    assert len(opened) == N - 1
    assert torch.equal(opened.conditions_of([3])["edges"], SMALL[[4]])
    assert torch.equal(opened.items[3], IMAGES[4])
    assert "03.png" in opened.skipped[0]


def test_other_conditions_are_other_data():
    prints = {data.open((IMAGES, {"angle": angles})).fingerprint for angles in (ANGLES, ANGLES + 1, ANGLES.flip(0))} | {
        data.open(IMAGES).fingerprint
    }
    assert len(prints) == 4


def test_further_arrays_of_a_file_are_conditions_if_they_are_named(tmp_path):
    file = tmp_path / "a.npz"
    pose = np.stack([ANGLES, -ANGLES], 1)
    np.savez(
        file, images=IMAGES.permute(0, 2, 3, 1).numpy(), yaw=ANGLES.numpy(), pose=pose, hair=np.array(["a", "b"] * 6)
    )
    assert not data.open(file).spec.conditions
    opened = data.open(file, given=("all=yaw,pose", "hair"))
    assert opened.spec.conditions["hair"] == Classes(("a", "b"))
    assert torch.equal(opened.conditions_of([2])["all"], torch.tensor([[ANGLES[2], ANGLES[2], -ANGLES[2]]]).double())


@pytest.mark.parametrize(
    ("source", "given", "says"),
    [
        (IMAGES, "age", "no column 'age' (it has no columns)"),
        ((IMAGES, {"a": ANGLES}), "age", "its columns are a"),
        ((IMAGES, {"a": ANGLES[:5]}), None, "has 5 rows, and the data have 12 items"),
        ((IMAGES, {"a": ANGLES / 0}), None, "infinity"),
        ((IMAGES, {"a": torch.full((N,), 0.1)}), None, "one value in all items"),
        ((IMAGES, {"a": torch.tensor([[0.1, i] for i in range(N)])}), None, "one value in all items"),
        ((IMAGES, {"a": ["dark"] * N}), None, "one value in all items"),
        ((IMAGES, {"a": torch.full((N,), 3)}), None, "one value in all items"),
        ((IMAGES, {"a": torch.rand(N, 0)}), None, "a has no number for each item"),
        ((IMAGES, {"x": ANGLES}), None, "cannot be the name of a condition"),
        ((IMAGES, {"a": torch.arange(N) - 5}), None, "would be classes"),
        ((IMAGES, {"a": torch.rand(N, 1, 4, 4, 4)}), None, "has shape (12, 1, 4, 4, 4)"),
        ((IMAGES, {"a": torch.arange(5 * N).view(N, 5)}), None, "5 whole numbers for each item, which are read"),
        ((IMAGES, {"a": [[1, i] for i in range(N - 1)] + [None]}), None, "give floats for a vector"),
        ((IMAGES, {"a": np.eye(N, dtype=np.uint8), "b": ANGLES}), "v=a,b", "a holds 12 whole numbers"),
        (IMAGES, "upscale:3", "multiple"),
        ((IMAGES, {"a": ANGLES}), "v=a,", "joins columns without a name, or one twice"),
        ((IMAGES, {"a": ANGLES}), "v=a,a", "joins columns without a name, or one twice"),
        (IMAGES, "", "names no source"),
        (IMAGES, "low= ", "names no source: say where the condition comes from, given='low=WHAT'"),
        (IMAGES, ("upscale:2", "upscale:4"), "two conditions are called low"),
    ],
)  # fmt: skip
def test_conditions_that_do_not_fit_are_refused(source, given, says):
    with pytest.raises(InputError, match=re.escape(says)):
        data.open(source, given=given)


def test_missing_partners_are_named(tmp_path):
    photos, edges = write_images(tmp_path / "photos", IMAGES), write_images(tmp_path / "edges", SMALL[:-2])
    with pytest.raises(InputError, match=r"no partner for 2 of 12 items \(10\.png, 11\.png\)"):
        data.open(photos, given=str(edges))


def test_a_network_gets_each_condition_by_name_and_what_is_missing_as_absent():
    opened = data.open((IMAGES, {"angle": ANGLES, "low": SMALL, "hair": torch.arange(N) % 3}), given=None)
    made = data.open(IMAGES, given=("upscale:2", "grey"))
    x0 = opened.codec.encode(IMAGES[:2])
    values = opened.conditions_of([0, 1])
    given = inputs(opened.spec, x0, values, 0, 0, [0, 1])
    assert {name: tuple(value.shape) for name, value in given.items()} == {
        "angle": (2, 2), "low": (2, 2, 8, 8), "hair": (2,)
    }  # fmt: skip
    absent = inputs(opened.spec, x0, {}, 0, 0, [0, 1])
    assert absent["hair"].tolist() == [-1, -1]
    assert not absent["angle"].any()
    assert not absent["low"].any()
    from_item = inputs(made.spec, x0, {}, 0, 0, [0, 1])
    means = x0.unflatten(3, (4, 2)).mean(4).unflatten(2, (4, 2)).mean(3)
    expected = made.spec.conditions["low"].place(means, (8, 8))
    torch.testing.assert_close(from_item["low"], expected)
