"""Conditions made of the item: the same for an item in every batch, and what a user's own file encodes to."""

import numpy as np
import PIL.Image
import pytest
import scipy.ndimage
import torch

from ancestral.base.errors import InputError
from ancestral.base.registries import OPERATORS
from ancestral.conditions import Image, Vector
from ancestral.data.spec import Codec
from ancestral.derived import degradations, parse

SHAPES = {1: (3, 24), 2: (3, 16, 24), 3: (3, 8, 12, 16)}


def items(shape, count=40):
    """Encoded items, and the levels that they have."""
    levels = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Codec("uint8").encode(levels), levels


def known(text, shape, count, seed=0):
    """Where masks know something, (count, *sides)."""
    return parse(text).make(torch.zeros(count, *shape), seed, 0, range(count))[:, -1] > 0


def jitter(item):
    return item + torch.randn(1, 1, *item.shape[2:])


def statistics(item):
    return torch.stack([item.mean(), item.abs().max() * 1e6 + 1e9], dim=0).double()[None]


def noisy_mean(item):
    return torch.tensor(item.numpy().mean()) + torch.rand(1, 1)


def varying(item):
    return item[..., : 2 + int(torch.rand(()) * 3)]


def dull(item):
    return 5


def lost(item):
    raise RuntimeError("two\nlines")


def infinite(item):
    return item / 0


def radius(point):
    return point.norm(dim=1, keepdim=True)


def own(function):
    return f"{__name__}:{function.__name__}"


@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize(
    "text",
    [
        *("upscale:4", "grey", "blur:1.5", "noise:0.1", "crop:0.3", "mask", "mask:brush", "grey+mask:box+noise:0.2"),
        *(own(jitter), own(noisy_mean)),
    ],
)
def test_an_item_has_the_same_condition_in_every_batch(text, dims):
    """The last bits included, and those of PyTorch's generator."""
    degradation, (x0, _) = parse(text), items(SHAPES[dims])
    whole = degradation.make(x0, 3, 7, range(100, 140))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for rows in ([5], order[:7], order[7:]):
        assert torch.equal(degradation.make(x0[rows], 3, 7, [100 + int(row) for row in rows]), whole[rows])
    fixed = text.startswith(("upscale", "grey", "blur")) and "mask" not in text
    for key in ((4, 7, range(100, 140)), (3, 8, range(100, 140)), (3, 7, range(40))):
        assert torch.equal(degradation.make(x0, *key), whole) == fixed


def test_two_random_conditions_of_an_item_have_numbers_of_their_own():
    x0, _ = items(SHAPES[2])
    kinds = {name: Image(3, made_by="noise:0.5") for name in ("a", "b")}
    a, b = (degradation.make(x0, 3, 7, range(40)) - x0 for degradation in degradations(kinds).values())
    assert torch.equal(a, parse("noise:0.5").make(x0, 3, 7, range(40)) - x0)
    assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 0.02


@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize("text", ["mask", "mask:left", "grey+mask:brush", "crop", "upscale:2+mask", "blur:1+mask:box"])
@pytest.mark.parametrize("codec", [Codec("uint8"), Codec("float", (-3.0, 5.7))], ids=lambda codec: codec.kind)
def test_an_alpha_channel_of_a_user_encodes_to_what_training_made(text, dims, codec):
    """Bit for bit, whatever the hidden colours are, and with soft edges of the alpha."""
    x0, levels = items(SHAPES[dims])
    if codec.kind == "float":
        levels = levels / 255 * 8.7 - 3
        x0 = codec.encode(levels)
    degradation = parse(text)
    kind = degradation.condition(SHAPES[dims], codec.limits, items)
    values = degradation.make(x0, 0, 5, range(40))
    assert kind == Image(values.shape[1], codec.limits, tuple(values.shape[2:]), True, text)
    alpha = torch.where(values[:, -1:] > 0, codec.limits[1], codec.limits[0]).to(levels.dtype)
    if text in ("mask", "mask:left", "crop"):  # of these the user has the items themselves
        hidden = torch.randint(0, 5, levels.shape, generator=torch.Generator().manual_seed(2)).to(levels.dtype)
        given = torch.cat([levels.where(alpha == codec.limits[1], hidden), alpha], dim=1)
        inputs = kind.encode(given, SHAPES[dims][1:])
        assert torch.equal(inputs, kind.place(values, SHAPES[dims][1:]))
        if codec.kind == "uint8":
            soft = torch.cat([given[:, :-1], torch.where(alpha > 0, 128, 127).to(torch.uint8)], dim=1)
            assert torch.equal(kind.encode(soft, SHAPES[dims][1:]), inputs)
    assert values[:, -1:].abs().eq(1).all()
    assert values[:, :-1][(values[:, -1:] < 0).expand_as(values[:, :-1])].eq(0).all()
    assert kind.place(values, SHAPES[dims][1:]).shape == (40, values.shape[1] + 1, *SHAPES[dims][1:])


@pytest.mark.parametrize("dims", SHAPES)
def test_halves_and_crops_know_their_share(dims):
    *_, width = SHAPES[dims]
    left, right = known("mask:left", SHAPES[dims], 3), known("mask:right", SHAPES[dims], 3)
    assert left[..., : width // 2].all()
    assert torch.equal(right, ~left)
    if dims > 1:
        top, bottom = known("mask:top", SHAPES[dims], 3), known("mask:bottom", SHAPES[dims], 3)
        assert top[..., : SHAPES[dims][-2] // 2, :].all()
        assert torch.equal(bottom, ~top)
    half = known("mask:half", SHAPES[dims], 200)
    assert len(half.unique(dim=0)) == 2 * dims
    assert half.flatten(1).double().mean(1).eq(0.5).all()
    crop = known("crop:0.25", SHAPES[dims], 200)
    for axis in range(dims):  # a box is the product of its shadows
        shadow = crop.movedim(1 + axis, 1).reshape(200, SHAPES[dims][1 + axis], -1).any(2)
        assert shadow.sum(1).eq(SHAPES[dims][1 + axis] // 4).all()
        assert shadow.diff(dim=1).sum(1).le(2).all()
        assert shadow.any(0).all()
    assert crop.flatten(1).double().mean(1).sub(0.25**dims).abs().max() < 1e-12


@pytest.mark.parametrize("sides", [(100,), (24, 32), (24, 20, 24)])
def test_boxes_and_brushes_are_few_and_leave_most_of_the_item(sides):
    for text in ("mask:box", "mask:brush"):
        hidden = ~known(text, (1, *sides), 200)
        parts = [scipy.ndimage.label(one, np.ones([3] * len(sides)))[1] for one in hidden.numpy()]
        assert min(parts) == 1
        assert max(parts) in (2, 3)
        share = hidden.flatten(1).double().mean(1)
        assert 0.1 < share.mean() < 0.4
        assert share.max() < 0.9
        assert len(hidden.unique(dim=0)) > 190


def test_a_brush_is_round_and_thick():
    """The opening by a small disc leaves a stroke as it is, but for its pixels at the border of the image."""
    disc = np.hypot(*np.mgrid[-2:3, -2:3]) <= 2
    for hidden in ~known("mask:brush", (1, 64, 64), 50).numpy():
        wide = np.pad(hidden, 4, mode="edge")
        opened = scipy.ndimage.binary_opening(wide, disc)[4:-4, 4:-4]
        assert (hidden & ~opened).sum() <= 0.03 * hidden.sum()
        assert not (opened & ~hidden).any()


def test_a_third_of_the_masks_is_of_each_kind():
    hidden = ~known("mask", (1, 48, 48), 1000)
    halves = (hidden[:, None] == ~known("mask:half", (1, 48, 48), 100).unique(dim=0)).flatten(2).all(2).any(1)
    rows = torch.tensor([len(np.unique(one, axis=0)) for one in hidden.numpy()])
    boxes = (rows <= 7) & ~halves  # three boxes have six edges, a brush nearly always makes more rows that differ
    for share in (halves, boxes, ~halves & ~boxes):
        assert share.double().mean().item() == pytest.approx(1 / 3, abs=4 * (2 / 9 / 1000) ** 0.5)


def test_upscaling_takes_the_small_picture_of_pillow():
    x0, levels = items((3, 24, 16), 6)
    degradation = parse("upscale:4")
    kind = degradation.condition((3, 24, 16), (0.0, 255.0), items)
    assert kind == Image(3, (0.0, 255.0), (6, 4), made_by="upscale:4")
    small = torch.stack(
        [
            torch.tensor(np.asarray(PIL.Image.fromarray(one).reduce(4))).permute(2, 0, 1)
            for one in levels.permute(0, 2, 3, 1).numpy()
        ]
    )
    made = degradation.make(x0, 0, 0, range(6))
    assert (Codec("uint8").decode(made).int() - small.int()).abs().max() <= 1
    torch.testing.assert_close(kind.encode(small, (24, 16)), kind.place(made, (24, 16)), rtol=0, atol=2 / 255)
    large = kind.encode(levels, (24, 16))  # a picture of another size comes to the grid of training first
    assert large[:, :3, ::4].diff(dim=2).abs().max() < levels.double().diff(dim=2).abs().max() / 127.5
    torch.testing.assert_close(large, kind.encode(kind_resized(levels), (24, 16)), rtol=0, atol=1e-5)


def kind_resized(levels):
    return torch.nn.functional.interpolate(levels.float(), (6, 4), mode="bilinear", antialias=True)


def test_noise_is_white_and_only_where_the_item_is_known():
    x0, _ = items((2, 32, 32), 50)
    z = (parse("noise:0.25").make(x0, 0, 0, range(50)) - x0) / 0.25
    assert z.std().item() == pytest.approx(1, abs=4 / (2 * z.numel()) ** 0.5)
    values, clean = (parse(text).make(x0, 0, 0, range(50)) for text in ("mask+noise:0.25", "mask"))
    assert torch.equal(values[:, -1], clean[:, -1])
    seen = (clean[:, -1:] > 0).expand_as(x0)
    assert values[:, :-1][~seen].eq(0).all()
    other = ((values - clean)[:, :-1] / 0.25)[seen]
    assert other.std().item() == pytest.approx(1, abs=4 / (2 * seen.sum().item()) ** 0.5)
    assert abs((other * z[seen]).mean().item()) < 4 / seen.sum().item() ** 0.5  # another place in the text
    twice = parse("noise:0.1+noise:0.1").make(x0, 0, 0, range(50)) - x0
    assert twice.std().item() == pytest.approx(0.02**0.5, rel=0.02)


def test_a_function_makes_numbers_or_images():
    x0, _ = items((3, 6, 8), 1000)
    kind = parse(own(statistics)).condition((3, 6, 8), (0.0, 255.0), lambda n: x0[:n])
    truth = torch.cat([statistics(one) for one in x0.split(1)])
    assert isinstance(kind, Vector)
    assert kind.made_by == own(statistics)
    torch.testing.assert_close(torch.tensor(kind.mean).double(), truth.mean(0))
    torch.testing.assert_close(torch.tensor(kind.std).double(), truth.std(0, correction=0))
    placed = kind.place(parse(own(statistics)).make(x0, 0, 0, range(1000)), (6, 8))
    torch.testing.assert_close(placed.mean(0), torch.tensor([0.0, 0.0, 1.0]), rtol=0, atol=1e-5)
    image = parse(own(jitter)).condition((3, 6, 8), (0.0, 255.0), lambda n: x0[:n])
    assert image == Image(3, (0.0, 255.0), (6, 8), made_by=own(jitter))
    points = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    assert parse(own(radius)).condition((2,), (-1.0, 1.0), lambda n: points[:n]).size == 1
    before = torch.get_rng_state()
    parse(own(jitter)).make(x0[:2], 0, 0, [0, 1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *((name, entry.condition) for name, entry in OPERATORS.items() if name in ("grey", "mask", "crop")),
        *(("upscale:4", "low"), ("blur:2", "blurred"), ("noise:1e-1", "noisy"), ("crop:.4", "crop")),
        *(("grey+upscale:2 + noise:0.1", "grey"), ("mask:bottom", "known"), ("my.package:make.edges", "edges")),
        *(("age", None), ("photos/small", None), ("maskings", None), ("./mask", None), ("yaw,pitch", None)),
        *(("a.npz", None), ("C:\\photos", None), ("blurred:2", None), ("", None), ("+grey", None)),
    ],
)
def test_a_text_is_read(text, name):
    degradation = parse(text)
    assert (degradation and degradation.name) == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *(("upscale", "whole factor"), ("upscale:0", "not '0'"), ("upscale:1.5", "not '1.5'"), ("grey:2", "'2'")),
        *(("blur:x", "as in blur:2, not 'x'"), ("blur:0", "above 0"), ("blur:nan", "'nan'"), ("blur:inf", "'inf'")),
        *(
            ("noise:-1", "'-1'"),
            ("crop:1", "above 0 and below 1,"),
            ("blur:1000", "below 1000"),
            ("noise:1000", "below 1000"),
            ("mask:boxes", "box, brush, half, left, right"),
        ),
        *(
            ("grey+sharpen:2", "unknown operator 'sharpen'"),
            ("upscale:2+", r"upscale:2\+ lacks an operator next to a \+"),
            ("grey++blur:2", "lacks an operator"),
        ),
        *(("mask+grey", "put it before the mask"), ("crop+mask", "cannot follow a mask")),
    ],
)
def test_what_no_operator_can_be_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        parse(text)


def constant(x):
    return torch.tensor([[0.1]])


def test_numbers_that_are_all_the_same_have_no_deviation():
    """The mean of many 0.1 is rounded, so that their deviation from it would be tiny, and not 0."""
    assert parse(own(constant)).condition((1, 8), (0.0, 255.0), lambda n: torch.ones(n, 1, 8)).std == (0.0,)


@pytest.mark.parametrize(
    ("text", "shape", "words"),
    [
        ("upscale:4", (3, 8, 6), "8x6"),
        ("grey", (1, 8, 8), "1 channels"),
        ("mask:top", (1, 8), "mask:left or mask:right"),
        ("noise:0.1", (2,), "not of numbers"),
        (f"{own(statistics)}+noise:0.1", (1, 8), "not of numbers"),
        (own(varying), (1, 8), "one shape for all"),
        (own(dull), (1, 8), "type int"),
        (own(lost), (1, 8, 8), "RuntimeError: two lines; it is called with one item of shape 1x1x8x8"),
        (own(infinite), (1, 8), "not finite"),
        ("nowhere.at_all:function", (1, 8), "cannot be imported"),
    ],
)
def test_what_does_not_fit_the_items_is_refused(text, shape, words):
    with pytest.raises(InputError, match=words):
        parse(text).condition(shape, (0.0, 255.0), lambda count: torch.ones(count, *shape))
