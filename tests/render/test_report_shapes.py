"""Pictures of items of every shape and depth show the right values in the right places."""

import math
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral.base.events import finish
from ancestral.base.quantities import format_hours
from ancestral.conditions import FieldLimits
from ancestral.declarations import Inspect
from ancestral.measure.sample_quality import NearestPairs
from ancestral.render import compositions, pictures, writers
from ancestral.render.lettering import formula
from ancestral.render.pictures import ContextColumn, ContextColumns, middle_slices, to_uint8
from ancestral.samplers import Step
from tiny_models import events_of

inspect = events_of(Inspect)

pytestmark = pytest.mark.usefixtures("figures")


def pixels(image):
    return np.asarray(image).astype(int)


def test_depths_and_floats_look_alike():
    levels = torch.tensor([0, 3, 128, 255], dtype=torch.uint8).view(4, 1, 1, 1)
    deep = (levels.int() * 257).to(torch.uint16)
    assert to_uint8(levels) is levels
    assert torch.equal(to_uint8(deep), levels)
    assert torch.equal(to_uint8(levels.float() * 10 - 7, (-7, 2543)), levels)
    assert torch.equal(to_uint8(levels.float() * 10 - 7), levels)  # their own range
    assert to_uint8(torch.tensor([-1e30, 0.5, float("inf")]), (0, 1)).tolist() == [0, 128, 255]
    assert to_uint8(torch.full((2, 1, 1), 3.0)).tolist() == [[[0]], [[0]]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9])
def test_any_number_of_channels(channels):
    image = (20 * torch.arange(1, channels + 1, dtype=torch.uint8)).view(1, -1, 1, 1).expand(1, channels, 3, 4)
    colour = pixels(pictures.picture(image.float(), limits=(0, 255)))[1, 1].tolist()
    assert colour == ([20, 40, 60] if channels > 2 else [20] * 3)
    if channels not in (2, 4):  # in integers, two and four are grey and RGB with alpha
        assert (pixels(pictures.picture(image)) == colour).all()


@pytest.mark.parametrize("sides", [(3, 4), (3, 4, 5)], ids=["maps", "volumes"])
def test_the_channels_of_fields_are_below_one_another_with_their_units(sides):
    low = torch.tensor([250.0, 0.0]).view(1, 2, *[1] * len(sides))
    items = (low + torch.tensor([51.0, 255.0]).view(low.shape)).expand(2, 2, *sides).clone()
    items[..., 0] = math.nan
    limits = FieldLimits.of(((250.0, 301.0), (0.0, 1000.0)), ("t2m [K]", "pr"))
    tiles, _ = pictures.shown(items, limits)
    channels = [pictures.middle_slices(one) if len(sides) == 3 else one for one in to_uint8(items, limits).split(1, 1)]
    height = channels[0].shape[2]
    assert tiles.shape == (2, 1, 2 * height + 1, channels[0].shape[3])
    assert (tiles[..., height, :] == pictures.MID_GREY).all()
    there = channels[0] == 255
    assert (tiles[:, :, :height][there] == 255).all()
    assert (tiles[:, :, height + 1 :][there] == 65).all()
    missing = tiles[..., :height, :][0][~there[0] & (channels[0][0] == 0)]
    assert {int(level) for level in missing.unique()} <= set(pictures.SQUARE_GREYS)
    mask = torch.where(torch.arange(sides[-1]) < 2, -5.0, 2000.0).expand(2, 1, *sides)
    column = ContextColumn("known", torch.cat([items.nan_to_num(0.0), mask], 1), limits, masked=True)
    known, drawn = pictures.tiles(column, items, 60), pictures.tiles(ContextColumn("", items, limits), items, 60)
    assert known[0].size == drawn[0].size
    plain = pictures.picture(items, 2, 60, limits, (), ContextColumns([ContextColumn("given", items[:, :1], limits)]))
    named = pictures.with_legend(plain, limits)
    assert named.height - plain.height == 2 * round(1.5 * pictures.LEGEND_FONT)
    assert pictures.channels_shown(limits) == [("t2m [K]", 250.0, 301.0), ("pr", 0.0, 1000.0)]
    assert pictures.with_legend(plain, (0.0, 1.0)) is plain
    film = compositions.film([Step(0, 3, items, items), Step(1, 0, items, items)], limits=limits, captions=())
    assert film.height > 2 * tiles.shape[2]


# -- transparency -----------------------------------------------------------------------------------------------------

SQUARES = np.kron([[232, 192] * 4, [192, 232] * 4] * 4, np.ones((2, 2)))[..., None].repeat(3, axis=2)
"""The checkerboard of an image 16x16."""


def windows(count=2, channels=4):
    """Images 16x16 that are opaque red or grey above, and black and transparent below."""
    images = torch.zeros(count, channels, 16, 16, dtype=torch.uint8)
    images[:, [0, -1], :8] = 255
    return images


def pictures_of_windows(folder):
    """Each picture of the package that shows items, of transparent ones."""
    items = windows()
    steps = [Step(i, 3 - i, items, items) for i in range(4)]
    for suffix in ("gif", "webp"):
        writers.write_animation(folder / f"a.{suffix}", [pictures.picture(step.x, height=400) for step in steps])
    yield "grid", pictures.picture(items)
    yield "film", compositions.film(steps, 4, 68, captions=None)
    for suffix in ("gif", "webp"):
        with Image.open(folder / f"a.{suffix}") as movie:
            movie.seek(movie.n_frames - 1)
            yield suffix, movie.convert("RGB")
    yield "pairs", compositions.nearest_pairs([NearestPairs("near", items, items)], (0.0, 255.0))
    yield "side by side", compositions.side_by_side([("a", items)], (0.0, 255.0))
    yield "contact sheet", finish(inspect(items, steps=0)).sheet


def test_transparent_items_lie_on_a_checkerboard_in_every_picture(tmp_path):
    whole = np.concatenate([np.full((8, 16, 3), (255, 0, 0)), SQUARES[8:]])
    drawn_window = pixels(pictures.picture(windows(1)))
    assert (drawn_window == whole).all()
    for name, image in pictures_of_windows(tmp_path):
        drawn = pixels(image)
        for colour in ((255, 0, 0), (232, 232, 232), (192, 192, 192)):
            assert (abs(drawn - colour).max(2) <= 12).sum() > 30, (name, colour)
        assert (drawn[:64].max(2) < 20).mean() < 0.1, name  # no black ground; captions are black


def test_grey_with_alpha_of_both_depths_lies_on_it_too():
    grey = windows(1, 2)
    whole = np.concatenate([np.full((8, 16, 3), 255), SQUARES[8:]])
    assert (pixels(pictures.picture(grey)) == whole).all()
    assert (pixels(pictures.picture((grey.int() * 257).to(torch.uint16))) == whole).all()
    grey[:, 1] = 128  # half of both
    assert abs(pixels(pictures.picture(grey))[8:] - SQUARES[8:] / 2).max() <= 1
    assert abs(pixels(pictures.picture(grey))[:8] - (255 + SQUARES[:8]) / 2).max() <= 1


def test_a_checkerboard_fits_every_size():
    for height, width in ((1, 1), (1, 64), (3, 5), (64, 1)):
        clear = torch.zeros(1, 4, height, width, dtype=torch.uint8)
        levels = set(pixels(pictures.picture(clear)).flatten().tolist())
        assert levels == ({232} if height * width == 1 else {232, 192}), (height, width)


def test_the_middle_slices_of_a_volume():
    volume = torch.arange(2 * 3 * 5).view(1, 1, 2, 3, 5).to(torch.uint8)
    sheet = middle_slices(volume)[0, 0]
    assert sheet.shape == (3, 5 + 5 + 3 + 2)
    assert torch.equal(sheet[:, :5], volume[0, 0, 1])
    assert torch.equal(sheet[:2, 6:11], volume[0, 0, :, 1])
    assert torch.equal(sheet[:2, 12:], volume[0, 0, :, :, 2])
    assert sheet[:, 5].tolist() == [128] * 3  # between them
    assert sheet[2, 6:].tolist() == [128] * 9  # below what is less high


def plot(signal, limits=(-1.0, 1.0), height=104):
    """The rows at which the first channel's line is, by column."""
    image = pixels(pictures.picture(signal, 1, height, limits))[4:-4, 4:-4]
    blue = (image[..., 2] - image[..., 0]) > 40
    return image.shape, [np.flatnonzero(column).mean() if column.any() else None for column in blue.T]


def test_a_signal_is_drawn_where_it_is():
    (height, width, _), line = plot(torch.tensor([-1.0, -1, 1, 1, 0, 0]).view(1, 1, 6))
    assert (height, width) == (100, 200)
    at = [line[round(2 + 196 * (i + 0.25) / 6)] for i in (1, 3, 5)]  # a quarter before each point: on the level
    assert at == pytest.approx([98, 2, 50], abs=1.5)


def test_signals_beyond_the_limits_leave_the_plot():
    _, line = plot(torch.tensor([0.0, 0, 1e20, 1e20, float("inf"), 0]).view(1, 1, 6))
    assert line[20] == pytest.approx(50, abs=1.5)
    assert line[100] is None


def test_the_names_of_rows_do_not_cover_each_other_beside_items_one_pixel_high():
    items = torch.full((3, 1, 1, 32), 200, dtype=torch.uint8)
    film = pixels(compositions.film([Step(3 - t, t, items, items) for t in (3, 2, 1, 0)], 4, 480))[..., 0]
    inked = (film[:, :20] < 128).any(1).astype(int)  # the first column of pixels has the rows' names alone
    assert (np.diff(inked) == 1).sum() >= 6


def test_threads_draw_one_after_the_other():
    """matplotlib's parser of formulas fails in two threads at once, and did where two runs were trained in threads."""
    before, errors = sys.getswitchinterval(), []

    def draw():
        for number in range(10):
            try:
                formula(f"$x_{{{number}}}$", 12)
            except ValueError as error:
                errors.append(error)

    threads = [threading.Thread(target=draw) for _ in range(3)]
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert errors == []


# -- what stands beside items -----------------------------------------------------------------------------------------

GREYS = (0.0, 255.0)


def test_a_condition_a_sample_and_the_truth_stand_in_groups():
    """Of 2 × 2 pixels, enlarged three times: tiles have their own gap, and groups three of it."""
    items = torch.arange(3 * 12, dtype=torch.uint8).view(3, 1, 2, 6) * 5
    low, truth = items[..., ::2, ::3], items + 1
    beside = [ContextColumn("low", low, GREYS)], [ContextColumn("truth", truth, GREYS)]
    drawn = pixels(pictures.picture(items, 2, 26, GREYS, None, ContextColumns(*beside)))[..., 0]
    assert drawn.shape == (2 * (6 + 6) + 6, 2 * (3 * (18 + 6) + 12) + 6)  # a pixel is 3 × 3
    for number in range(3):
        top, left = 6 + 12 * (number // 2), 12 + 84 * (number % 2)
        for place, (tile, times) in enumerate(((low, (6, 9)), (items, (3, 3)), (truth, (3, 3)))):
            cut = drawn[top : top + 6, left + 24 * place : left + 24 * place + 18]
            assert np.array_equal(cut, np.kron(tile[number, 0].numpy(), np.ones(times))), (number, place)
    assert (drawn[:6] == 128).all()
    assert (drawn[18:24, 84:] == 128).all()  # there is no fourth group


def test_one_condition_of_all_samples_is_drawn_once():
    items, low = torch.full((4, 3, 4, 4), 10, dtype=torch.uint8), torch.full((1, 3, 2, 2), 200, dtype=torch.uint8)
    drawn = pixels(pictures.picture(items, 2, 0, GREYS, None, ContextColumns([ContextColumn("low", low, GREYS)])))
    assert (drawn == 200).all(2).sum() == 16
    assert (drawn == 10).all(2).sum() == 4 * 16
    alone = pixels(pictures.picture(items[:1], 1, 0, GREYS, None, ContextColumns([ContextColumn("low", low, GREYS)])))
    assert alone.shape == (8, 2 * (4 + 2) + 4 + 2, 3)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_a_mask_hides_is_a_checkerboard(channels):
    items = torch.full((2, channels, 16, 16), 10.0)
    mask = torch.full((2, 1, 16, 16), 255.0)
    mask[..., 8:] = 0
    hidden = ContextColumn("known", torch.cat([items, mask], 1), GREYS, masked=True)
    drawn = pixels(pictures.picture(items, 1, 0, GREYS, None, ContextColumns([hidden])))
    tile = drawn[2:18, 4:20]
    assert (tile[:, :8] == 10).all()
    assert (tile[:, 8:] == SQUARES[:, 8:]).all()
    assert (drawn[2:18, 22:38] == 10).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 32), (1, 6, 6, 6)], ids=str)
def test_a_film_has_conditions_before_and_the_truth_after_its_states(shape):
    steps = [Step(i, 3 - i, torch.zeros(2, *shape), torch.zeros(2, *shape)) for i in range(4)]
    part = ContextColumn("low", torch.ones(1, *shape), (-1.0, 1.0))
    plain = compositions.film(steps, 4, 400, (-1.0, 1.0), captions=None)
    film = compositions.film(steps, 4, 400, (-1.0, 1.0), captions=None, context=ContextColumns([part], [part]))
    assert film.height <= plain.height
    if len(shape) != 2:  # white tiles at both ends
        middle = pixels(film)[film.height // 4]
        assert (middle[[5, -5]] == 255).all()
        assert (middle[len(middle) // 2 + 5] < 140).all()


def test_lead_times_are_written_in_hours_or_days():
    assert [format_hours(hours) for hours in (1, 6.5, 24, 36, 47, 48, 60, 720)] == [
        *("1 h", "6.5 h", "24 h", "36 h", "47 h"),
        *("2 d", "60 h", "30 d"),
    ]
