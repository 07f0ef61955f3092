"""What networks get of conditions: units, grids, absence."""

import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector, Words, check, resized

EXAMPLES = [Classes(("a", "b")), Vector((0.0,), (1.0,)), Image(1), Words(("▁a", "▁b"), 3)]


def test_a_walk_between_values_of_a_kind_that_does_not_say_how_is_refused():
    class Angle(Vector):
        between = super(Vector, Vector).between

    first, last = torch.zeros(1, 1), torch.ones(1, 1)
    assert EXAMPLES[1].between("age", first, last, torch.tensor([0.0, 0.25])).tolist() == [[0.0], [0.25]]
    assert [kind.between("x", first, last, torch.ones(2)) for kind in (EXAMPLES[0], *EXAMPLES[2:])] == [None] * 3
    with pytest.raises(InputError, match="nothing between two values of hue: give one for all of it"):
        Angle((0.0,), (1.0,)).between("hue", first, last, torch.ones(2))


def test_vectors_are_standardised_and_rows_with_gaps_are_absent():
    pose = Vector((10.0, -1.0), (2.0, 0.5))
    inputs = pose.encode(torch.tensor([[12.0, -1.5], [10.0, float("nan")]]), ())
    assert inputs.tolist() == [[1.0, -1.0, 1.0], [0.0, 0.0, 0.0]]
    assert inputs.dtype == torch.float32
    assert Vector((20.0,), (10.0,)).encode(torch.tensor([30.0, 10.0])).tolist() == [[1.0, 1.0], [-1.0, 1.0]]


def test_large_numbers_keep_their_digits():
    """A year or a time stamp, of which float32 would keep seven digits before its mean is taken off."""
    stamps = torch.tensor([1.7e9 + 1, 1.7e9 + 2], dtype=torch.float64)
    assert Vector((1.7e9,), (1.0,)).encode(stamps)[:, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("sides", [(8,), (6, 8), (4, 6, 2)])
def test_images_are_scaled_and_brought_to_the_grid(sides):
    """A constant stays one, a ramp stays one between the centres of pixels, and a smaller grid takes means."""
    kind = Image(2, (0.0, 200.0))
    low = torch.full((3, 2, *[side // 2 for side in sides]), 150.0)
    inputs = kind.encode(low, sides)
    assert inputs.shape == (3, 3, *sides)
    torch.testing.assert_close(inputs[:, :2], torch.full((3, 2, *sides), 0.5))
    assert inputs[:, 2].eq(1).all()
    ramp = torch.arange(sides[0] // 2).float().reshape(1, 1, -1, *[1] * (len(sides) - 1)).expand(1, 1, *low.shape[2:])
    up = Image(1, (0.0, 2.0)).encode(ramp, sides)[0, 0].reshape(sides[0], -1)[:, 0]
    places = (torch.arange(sides[0]) + 0.5) / 2 - 0.5
    torch.testing.assert_close(up, places.clamp(0, sides[0] // 2 - 1) - 1)
    large = torch.randn(50, 1, *[2 * side for side in sides], generator=torch.Generator().manual_seed(0))
    small = Image(1, (-1.0, 1.0)).encode(large, sides)[:, :1]
    assert small.std() < 0.8 * large.std()


@pytest.mark.parametrize(("before", "after"), [((10,), (7,)), ((9, 16), (12, 8)), ((4, 16, 9), (8, 6, 12))])
def test_a_grid_may_grow_along_one_axis_and_shrink_along_another(before, after):
    """Along each axis a ramp stays one, away from the borders, which a mean over pixels reaches beyond."""
    for axis, (old, new) in enumerate(zip(before, after, strict=True)):
        ramp = torch.arange(old).float().reshape(-1, *[1] * (len(before) - 1 - axis)).expand(1, 1, *before)
        made = resized(ramp, after)[0, 0].movedim(axis, 0).reshape(new, -1)
        places = (torch.arange(new) + 0.5) * old / new - 0.5
        inside = (places >= old / new) & (places <= old - 1 - old / new)
        assert inside.sum() >= 3
        torch.testing.assert_close(made[inside], places[inside, None].expand(-1, made.shape[1]), rtol=0, atol=0.04)


def test_dropping_sets_single_rows_to_what_is_absent():
    rows = torch.tensor([True, False])
    for kind, raw, sides in (
        (Classes(("a", "b")), torch.tensor([1, 1]), ()),
        (Vector((0.0,), (1.0,)), torch.tensor([2.0, 2.0]), ()),
        (Image(1), torch.full((2, 1, 2, 2), 255.0), (4, 4)),
        (Words(("▁a", "▁b"), 3), torch.tensor([[0, 1, -1], [1, 1, -1]]), ()),
    ):
        inputs = kind.encode(raw, sides)
        dropped = kind.drop(inputs, rows)
        assert torch.equal(dropped[:1], kind.absent(1, sides))
        assert torch.equal(dropped[1], inputs[1])


def test_conditions_that_items_cannot_have_are_refused():
    check({"low": Image(3), "age": Vector((1.0,), (2.0,))}, 2)
    for wrong, dims in (
        ({"low": Image(3)}, 0),
        ({"age": Vector((1.0,), (0.0,))}, 2),
        ({"age": Vector((float("nan"),), (1.0,))}, 2),
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            check(wrong, dims)


def test_a_vector_keeps_the_range_of_the_data():
    rows = torch.tensor([[1.0, -2.0], [float("nan"), 50.0], [4.0, 8.0]])
    kind = Vector.of(rows)
    assert (kind.low, kind.high) == ((1.0, -2.0), (4.0, 8.0))  # of the rows that are there
    assert str(kind) == "2 numbers, 2.5 ± 1.5 (1 to 4), 3 ± 5 (-2 to 8)"
    old = Vector(kind.mean, kind.std)
    assert (kind == old, old.ranges()) == (True, [])
    other = Vector.of(rows + 1)
    assert other.joined(kind).ranges() == ["1 to 5", "-2 to 9"]
    assert (other.joined(old).high, old.joined(other).high) == ((5.0, 9.0), (5.0, 9.0))


def test_one_of_the_texts_of_an_item_is_drawn_and_its_parts_are_shuffled():
    kind = Words(("▁a", "▁b", "▁c", "▁,"), 7)
    values = torch.stack([kind.read(["a, b c, a", "c", ""]), kind.read(["b", "", ""])])
    assert kind.texts(values) == ["a, b c, a", "b"]
    drawn = [kind.drawn(values, 0, step, [5, 6]) for step in range(200)]
    texts = [kind.texts(rows) for rows in drawn]
    assert {one for one, _ in texts} == {"a, b c, a", "c"}
    assert 70 < sum(one == "c" for one, _ in texts) < 130
    assert {other for _, other in texts} == {"b"}
    assert torch.equal(drawn[3], kind.drawn(values, 0, 3, [5, 6]))
    assert torch.equal(drawn[3][1:], kind.drawn(values[1:], 0, 3, [6]))  # whatever the batch
    shuffled = Words(kind.vocabulary, 7, shuffled=True)
    orders = {shuffled.texts(shuffled.drawn(values[:, :1], 0, step, [5, 6]))[0] for step in range(50)}
    assert orders == {"a, b c, a", "a, a, b c", "b c, a, a"}
    assert kind.missing(torch.stack([kind.read([""]), kind.read(["b"])])).tolist() == [True, False]


def test_words_of_another_vocabulary_are_those_of_a_model_and_new_ones_come_behind():
    before, now = Words(("▁a", "▁b"), 4), Words(("▁b", "▁d", "▁a"), 2)
    joined = now.scaled_as(before)
    assert (joined.vocabulary, joined.length) == (("▁a", "▁b", "▁d"), 4)
    rows = joined.recoded(now.read(["d a", "b"])[:, None], now)
    assert rows.tolist() == [[[2, 0, -1, -1]], [[1, -1, -1, -1]]]
