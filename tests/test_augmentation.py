import math

import pytest
import torch
import torch.nn.functional as F

from ancestral import augmentation
from ancestral.augmentation import Augmentation, condition, draw
from ancestral.base.errors import InputError


def transforms(count=1, dims=2, **changes):
    """The same transform for each of `count` items; what is not given is none."""
    none = dict.fromkeys(("angle", "scale", "stretch", "direction"), 0.0)
    values = {"shifts": [0] * dims, "flips": [False] * dims, "turns": 0, **none, **changes}
    kinds = {"shifts": torch.int64, "flips": torch.bool, "turns": torch.int64}
    parts = {
        name: torch.tensor([value] * count, dtype=kinds.get(name, torch.float64)) for name, value in values.items()
    }
    return Augmentation(**parts)


def smooth(right, down):
    """A function of places, from the centre of an image, that varies over tens of pixels alone."""
    return 0.6 * torch.sin(0.13 * right + 0.4) * torch.cos(0.11 * down - 0.2) + 0.01 * right - 0.006 * down


def places(height, width):
    """The places (right, down) of the centres of pixels, each (height, width)."""
    down, right = torch.meshgrid(
        *(torch.arange(side, dtype=torch.float64) - (side - 1) / 2 for side in (height, width)), indexing="ij"
    )
    return right, down


# -- what a transform does --------------------------------------------------------------------------------------------


def test_moves_of_pixels_are_exact():
    x = torch.rand(2, 3, 6, 6, generator=torch.manual_seed(0)) * 2 - 1
    assert transforms(2)(x) is x
    assert torch.equal(transforms(2, flips=[False, True])(x), x.flip(3))
    assert torch.equal(transforms(2, flips=[True, False])(x), x.flip(2))
    for turns in (1, 2, 3):
        assert torch.equal(transforms(2, turns=turns)(x), x.rot90(turns, (2, 3)))
    moved = transforms(2, shifts=[2, -1])(x)  # down and to the left
    assert torch.equal(moved[..., 2:, :-1], x[..., :-2, 1:])
    assert torch.equal(moved[..., 1, :-1], x[..., 0, 1:])  # beyond the edge its mirror image
    assert torch.equal(moved[..., 0, :-1], x[..., 1, 1:])
    assert torch.equal(moved[..., -1], torch.cat([x[..., [1, 0], -1], x[..., :-2, -1]], 2))
    assert torch.equal(transforms(2, shifts=[12, -24])(x), x)  # an image and its mirror image, once and twice
    both = transforms(2, shifts=[1, 0], flips=[False, True], turns=1)(x)
    assert torch.equal(
        both, transforms(2, turns=1)(transforms(2, flips=[False, True])(transforms(2, shifts=[1, 0])(x)))
    )


@pytest.mark.parametrize("sides", [(5,), (3, 4, 5)])
def test_signals_and_volumes_are_moved_along_each_axis(sides):
    x = torch.randn(1, 2, *sides, generator=torch.manual_seed(0))
    for axis in range(len(sides)):
        unit = [int(other == axis) for other in range(len(sides))]
        flipped = transforms(dims=len(sides), flips=list(map(bool, unit)))(x)
        assert torch.equal(flipped, x.flip(axis + 2))
        moved = transforms(dims=len(sides), shifts=unit)(x)
        assert torch.equal(moved.narrow(axis + 2, 1, sides[axis] - 1), x.narrow(axis + 2, 0, sides[axis] - 1))
        assert torch.equal(moved.select(axis + 2, 0), x.select(axis + 2, 0))


@pytest.mark.parametrize(
    "changes",
    [
        {"angle": 0.5},
        {"angle": -2.4},
        {"scale": 1.5},
        {"scale": -1.2},
        {"stretch": 1.3, "direction": 0.7},
        {"angle": 1.1, "scale": 0.8, "stretch": -0.9, "direction": -2.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(64, 64), (48, 72)], ids=str)
def test_a_resampled_image_is_the_function_at_the_places_before(size, changes):
    """The matrices are written out here, from the places after to those before, as the names of the numbers say."""
    right, down = places(*size)
    x = smooth(right, down)[None, None].float()
    y = transforms(**changes)(x)[0, 0].double()
    z = {"angle": 0.0, "scale": 0.0, "stretch": 0.0, "direction": 0.0, **changes}
    cos, sin = math.cos(z["direction"]), math.sin(z["direction"])
    along, across = right * cos - down * sin, right * sin + down * cos  # counter-clockwise: up is negative
    along, across = along / 2 ** (0.2 * z["stretch"]), across * 2 ** (0.2 * z["stretch"])
    u, v = (part / 2 ** (0.2 * z["scale"]) for part in (along * cos + across * sin, -along * sin + across * cos))
    cos, sin = math.cos(z["angle"]), math.sin(z["angle"])
    u, v = u * cos - v * sin, u * sin + v * cos
    inside = (u.abs() < size[1] / 2 - 3) & (v.abs() < size[0] / 2 - 3)
    assert inside.double().mean() > 0.5
    assert (y - smooth(u, v))[inside].abs().max() < 0.01  # bicubic, and the mean of a pixel of a curved function
    assert (y - smooth(right, down))[inside].abs().max() > 0.1


def test_an_image_that_shrinks_has_no_aliases():
    """Columns of one pixel are grey where a pixel is the mean of four points, a third of an octave smaller too."""
    columns = (torch.arange(64) % 2 * 2.0 - 1).expand(1, 1, 64, 64)
    shrunk = transforms(scale=-5 / 3)(columns)[0, 0, 32, 16:48]
    frequencies = torch.fft.rfft(shrunk - shrunk.mean()).abs() / len(shrunk)
    points = F.grid_sample(  # what one point in the middle of each pixel would give
        columns,
        F.affine_grid(
            torch.tensor([[[2 ** (1 / 3), 0, 0], [0, 2 ** (1 / 3), 0]]]), [1, 1, 64, 64], align_corners=False
        ),
        mode="bicubic",
        padding_mode="reflection",
        align_corners=False,
    )[0, 0, 32, 16:48]
    assert frequencies.max() < 0.75 * (torch.fft.rfft(points - points.mean()).abs() / len(points)).max()


def test_values_stay_in_the_range_of_their_channel():
    x = (torch.rand(4, 2, 16, 16, generator=torch.manual_seed(0)) > 0.5).float() * 2 - 1
    x[:, 1] = 1.0  # as the channel that says that an image is there
    y = transforms(4, angle=0.3, scale=0.5)(x)
    assert y.abs().max() <= 1
    assert torch.equal(y[:, 1], x[:, 1])


# -- which are drawn --------------------------------------------------------------------------------------------------


def test_a_batch_is_its_items_one_by_one_and_what_is_not_drawn_stays():
    x = torch.rand(40, 3, 16, 16, generator=torch.manual_seed(0))
    drawn = draw((16, 16), 0.12, seed=5, step=3, indices=range(40))
    whole, inputs = drawn(x), drawn.inputs((16, 16))
    for index in range(40):
        one = draw((16, 16), 0.12, seed=5, step=3, indices=[index])
        torch.testing.assert_close(one(x[[index]]), whole[[index]], rtol=0, atol=1e-6)
        assert torch.equal(one.inputs((16, 16)), inputs[[index]])
    same = (whole == x).flatten(1).all(1)
    assert 10 < same.sum() < 35
    assert torch.equal(same, (inputs == 0).all(1))
    assert torch.equal(inputs[:, -1] == 1, ~same)
    other = draw((16, 16), 0.12, seed=5, step=4, indices=range(40)).inputs((16, 16))
    assert not torch.equal(other, inputs)


@pytest.mark.parametrize("sides", [(32,), (24, 24), (24, 40), (16, 24, 32)], ids=str)
def test_each_transform_has_the_probability_and_its_distribution(sides):
    count, p = 20_000, 0.3
    drawn = draw(sides, p, seed=0, step=1, indices=range(count))
    within = 4 * math.sqrt(p / count)

    def share(rows):
        return rows.double().mean().item()

    for axis, side in enumerate(sides):
        assert share(drawn.flips[:, axis]) == pytest.approx(p / 2, abs=within)
        shifts = drawn.shifts[:, axis].double()
        assert shifts.mean().abs() < 4 * shifts.std() / math.sqrt(count)
        assert shifts.square().mean().item() == pytest.approx(p * ((side / 8) ** 2 + 1 / 12), rel=0.08)
    if len(sides) == 2:
        for kind in ("angle", "scale", "stretch"):
            assert share(getattr(drawn, kind) != 0) == pytest.approx(p, abs=within)
        for turns in (1, 2, 3):
            expected = p / 4 if sides[0] == sides[1] else 0
            assert share(drawn.turns == turns) == pytest.approx(expected, abs=within)
        assert drawn.angle.square().mean().item() == pytest.approx(p * math.pi**2 / 3, rel=0.05)
        assert drawn.scale.square().mean().item() == pytest.approx(p, rel=0.08)
        assert share((drawn.angle != 0) & (drawn.scale != 0)) == pytest.approx(p * p, abs=within)  # independent
    else:
        assert not any(getattr(drawn, kind).any() for kind in ("turns", "angle", "scale", "stretch"))
    assert drawn.numbers(sides).shape[1] == condition(len(sides)).size == {1: 2, 2: 9, 3: 6}[len(sides)]


def test_the_numbers_say_which_transform_it_is():
    drawn = transforms(shifts=[2, -4], flips=[True, False], turns=3, angle=0.2, scale=0.5, stretch=2.0, direction=1.0)
    angle = 3 * math.pi / 2 + 0.2
    numbers = [2 / 2, -4 / 4, 1, 0, math.cos(angle) - 1, math.sin(angle), 0.5, 2 * math.cos(2), 2 * math.sin(2)]
    torch.testing.assert_close(drawn.numbers((16, 32)), torch.tensor([numbers], dtype=torch.float64))
    inputs = condition(2).encode(drawn.numbers((16, 32)))  # the kind standardises by 0 and 1: it changes nothing
    assert torch.equal(inputs, drawn.inputs((16, 32)))
    assert torch.equal(condition(2).absent(1), transforms().inputs((16, 32)))


def stretchings():
    """Pairs (z, φ), two of each stretching: 3 sizes, each of 16 directions in half a turn."""
    pairs = [
        [(z, angle), (z, angle + math.pi), (-z, angle + math.pi / 2)]
        for z in (0.5, 1.0, -1.0)
        for angle in (torch.arange(8) * math.pi / 16 + 0.1).tolist()
    ]
    parts = [transforms(stretch=z, direction=angle) for same in pairs for z, angle in same]
    return Augmentation(*(torch.cat([getattr(part, name) for part in parts]) for name in Augmentation.__annotations__))


def same_rows(rows):
    return ((rows[:, None] - rows).abs() < 1e-9).all(2)


def test_stretchings_and_their_numbers_are_one_to_one():
    """Two are equal where their matrices are."""
    drawn = stretchings()
    matrices = drawn.source().flatten(1)
    equal = same_rows(matrices)
    assert equal.sum() == 3 * len(matrices)  # (z, φ), (z, φ + 180°) and (−z, φ + 90°)
    numbers = drawn.numbers((16, 16))
    assert torch.equal(same_rows(numbers), equal)


def test_points_are_refused():
    with pytest.raises(InputError, match="points are not augmented: leave augment out"):
        condition(0)
    assert augmentation.NAME == "augment"
