"""Pictures hold the pixels they should."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral.base.errors import InputError
from ancestral.data.dataset import evenly_spaced
from ancestral.render import compositions, pictures, writers
from ancestral.render.lettering import shorten
from ancestral.render.pictures import tile
from ancestral.samplers import Step

pytestmark = pytest.mark.usefixtures("figures")


def test_tiles_lie_row_by_row_with_a_border():
    images = torch.arange(6, dtype=torch.uint8).mul(40)[:, None, None, None].expand(6, 1, 3, 4)
    grid = np.asarray(tile(images, 3))
    assert grid.shape == (2 * 3 + 3 * 2, 3 * 4 + 4 * 2, 3)
    assert [grid[3, x, 0] for x in (3, 9, 15)] == [0, 40, 80]
    assert [grid[8, x, 0] for x in (3, 9, 15)] == [120, 160, 200]
    assert grid[0, 0, 0] == 128


def test_colours_stay_where_they_are():
    image = torch.tensor([10, 20, 30], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 2, 2)
    assert np.asarray(tile(image, 1))[0, 0].tolist() == [10, 20, 30]  # a single image has no border


def test_points_are_drawn_where_they_are():
    plot = np.asarray(pictures.picture(torch.tensor([[0.75, 0.75]]), height=300))
    assert plot.shape == (300, 300, 3)
    row, column = np.argwhere(plot.min(2) < 200).mean(0)
    assert (row, column) == pytest.approx((75, 225), abs=3)  # of [−1.5, 1.5], y upwards


@pytest.mark.parametrize(("count", "of"), [(5, 3), (3, 3), (4, 100), (12, 51), (1, 9)])
def test_evenly_keeps_the_ends(count, of):
    indices = evenly_spaced(count, of)
    assert len(indices) == min(count, of)
    assert len(set(indices)) == len(indices)
    assert indices[0] == 0
    if count > 1:
        assert indices[-1] == of - 1


def frames(count=6, items=2):
    def images(level):
        return torch.full((items, 1, 4, 4), level, dtype=torch.uint8)

    return [Step(i, count - 1 - i, images(10 * i), images(200)) for i in range(count)]


def test_film_has_x_above_x0_from_noise_to_sample():
    film = np.asarray(compositions.film(frames(items=1), columns=3, width=1, captions=None))[..., 0]
    assert film.shape == (2 * 4 + 2, 3 * 4 + 2 * 2)
    assert [film[2, x] for x in (2, 8, 14)] == [0, 20, 50]
    assert [film[8, x] for x in (2, 8, 14)] == [200] * 3


def test_film_of_several_images_has_a_strip_for_each():
    plain = {"columns": 6, "width": 612, "captions": None}  # 4 x 4 as 100 x 100
    assert compositions.film(frames(items=2), **plain).size == (6 * 100 + 5 * 2, 2 * 202 + 12)
    assert compositions.film(frames(items=20), **plain).height == 5 * 202 + 4 * 12  # at most 1.75 × its width


@pytest.mark.parametrize("names", [(), ["a", "b", "c"]])
def test_every_row_of_a_film_has_a_label(names):
    film = np.asarray(compositions.film(frames(items=3), captions=names))
    left = film.shape[1] - compositions.film(frames(items=3), captions=None).width
    inked = (film[:, :left] < 100).any((1, 2))
    estimates = (film[:, left + 10] == 200).all(1).astype(int)  # all of one grey
    for start in np.flatnonzero(np.diff(estimates) == 1) + 1:
        assert inked[start : start + 84].any()
        assert inked[start - 86 : start - 2].any()
    assert (np.diff(inked.astype(int)) == 1).sum() >= 6  # x_t and x̂_0 of each of three items


# -- captions ---------------------------------------------------------------------------------------------------------


def coloured(count, height=8, width=8):
    """Images that tell a cover: none has white, grey or black."""
    return torch.tensor([200, 40, 90], dtype=torch.uint8)[None, :, None, None].repeat(count, 1, height, width)


def text_lines(image):
    """The rows of pixels of each line of captions, as they are in the picture."""
    rows = (np.asarray(image) == 255).all(2).mean(1) > 0.3
    edges = np.flatnonzero(np.diff(np.r_[0, rows.astype(int), 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def test_one_line_of_captions_names_the_columns():
    images = coloured(10)
    plain = np.asarray(pictures.picture(images, 5, 400))
    named = pictures.picture(images, 5, 400, captions=list("abcde") * 2)
    ((top, end),) = text_lines(named)
    assert top == 0
    assert (np.asarray(named)[end:] == plain).all()  # no image is covered
    columns = np.split(np.asarray(named)[:end, : named.width // 5 * 5], 5, axis=1)
    assert all((column < 100).any() for column in columns)
    assert len({column[:, 20:-20].tobytes() for column in columns}) == 5


def test_long_captions_widen_their_columns_and_are_cut():
    wide = pictures.picture(coloured(10, 40, 8), 10, 100, captions=["automobile"] * 10)
    assert wide.width >= 10 * 80
    assert 4 < len(shorten("x" * 500, 13, 80)) < 15
    endless = pictures.picture(coloured(4), 4, 100, captions=["x" * 500] * 4)
    assert endless.width < 600
    line = np.asarray(endless)[: text_lines(endless)[0][1]]
    for gap in range(1, 4):  # between two captions there is white
        assert (line[:, gap * endless.width // 4 - 1 : gap * endless.width // 4 + 2] > 200).all()


@pytest.mark.parametrize("items", [coloured(2), torch.zeros(2, 2)], ids=["images", "points"])
def test_names_of_control_characters_and_formulas_are_drawn_as_text(items):
    """Those of a model's classes may hold anything: a line break, an escape, half a character, $ of a formula."""
    names = ["a\nb, c\x1b[31m", "$\\bad$ \ud800"]
    drawn = pictures.picture(items, 2, 100, captions=names)
    escaped = pictures.picture(items, 2, 100, captions=["a\\nb, c\\x1b[31m", "$\\bad$ \\ud800"])
    assert drawn.tobytes() == escaped.tobytes()
    assert (
        pictures.picture(
            items, 2, 100, context=pictures.ContextColumns(after=[pictures.ContextColumn("x\ny", items)])
        ).width
        > drawn.width / 2
    )


def test_points_with_classes_have_a_colour_and_a_legend():
    points = torch.tensor([[-0.5, 0.0], [0.5, 0.0]])
    image = pictures.picture(points, height=300, captions=["left", "right"])
    pixels = np.asarray(image).astype(int)
    assert image.size == (450, 300)
    assert (pixels[145:156, 95:106, 2] - pixels[145:156, 95:106, 0]).max() > 50  # blue
    assert (pixels[145:156, 195:206, 0] - pixels[145:156, 195:206, 2]).max() > 50  # red
    assert (pixels[:, 300:] < 100).any()


def played(path):
    """The frames of an animation, and when each begins, in seconds."""
    if path.suffix == ".mp4":
        import av

        with av.open(str(path)) as file:
            frames_and_times = [(np.asarray(frame.to_image()), float(frame.time)) for frame in file.decode(video=0)]
        return [image for image, _ in frames_and_times], [time for _, time in frames_and_times]
    with Image.open(path) as movie:
        images, times = [], [0.0]
        for number in range(movie.n_frames):
            movie.seek(number)
            images.append(np.asarray(movie.convert("RGB")))
            times.append(times[-1] + movie.info["duration"] / 1000)
        assert movie.info.get("loop", 0) == 0
    return images, times


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_animation_runs_from_the_first_frame_to_the_last(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    levels = [torch.full((2, 1, 4, 4), 40 * i, dtype=torch.uint8) for i in range(6)]
    writers.write_animation(path, [pictures.picture(x, 2, 48) for x in levels], fps=10)
    images, times = played(path)
    middle = [int(image[24, 24, 0]) for image in images]
    shown = [i for i in range(len(images)) if i == 0 or (suffix != ".mp4" or middle[i] > middle[i - 1] + 20)]
    starts = [times[i] for i in shown]
    assert [middle[i] for i in shown] == pytest.approx([0, 40, 80, 120, 160, 200], abs=5)
    assert starts == pytest.approx([0, 0.1, 0.2, 0.3, 0.5, 0.8], abs=1e-3)  # the second half is slower
    assert times[-1] == pytest.approx(3.8, abs=0.1)  # the last frame is held for three seconds


@pytest.mark.parametrize("captions", [None, (), ["cat", "dog"] * 2])
@pytest.mark.parametrize("columns", [1, 4])
def test_an_animation_has_the_estimate_beside_x_t_below_their_names_and_t(tmp_path, columns, captions):
    """Of a wide grid the estimate stands below."""
    path = tmp_path / "a.gif"
    states = [Step(i, 100 * (3 - i), torch.full((4, 1, 8, 8), 60 * i, dtype=torch.uint8),
                   torch.full((4, 1, 8, 8), 230, dtype=torch.uint8)) for i in range(4)]  # fmt: skip
    draw = partial(compositions.with_estimates, columns=columns, captions=captions)
    writers.write_animation(path, compositions.animated(states, draw, 200))
    images, _ = played(path)
    alone = pictures.picture(states[0].x, columns, 200, captions=captions)
    height, width = images[0].shape[:2]
    wide = alone.width
    head = height - alone.height if columns == 1 else (height - 2 * alone.height - compositions.GAP) // 2
    assert (head > 0) == (captions is not None)
    offset = (0, wide + compositions.GAP) if columns == 1 else (alone.height + head + compositions.GAP, 0)
    assert (width, height) == (offset[1] + wide, offset[0] + alone.height + head)
    for image, state in zip(images, states, strict=True):
        for (top, left), items in (((0, 0), state.x), (offset, state.x0)):
            expected = np.asarray(pictures.picture(items, columns, 200, captions=captions)).astype(int)
            part = image[top + head : top + head + alone.height, left : left + wide].astype(int)
            assert abs(part - expected).mean() < 6
    if head:
        names = [image[:head, :wide] for image in images[:3]]
        assert all((one < 100).any() for one in names)
        assert len({one.tobytes() for one in names}) == 3  # t changes
        x_0 = images[0][offset[0] : offset[0] + head, offset[1] :]
        assert (x_0 < 100).any()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_the_scale_of_an_animation_is_that_of_its_sides(tmp_path, suffix):
    for scale in (0.5, 0.75, 1.0, 2.0):
        path = tmp_path / f"{scale}{suffix}"
        drawn = compositions.animated(frames(), lambda state, height: pictures.picture(state.x, 2, height), 48, scale)
        writers.write_animation(path, drawn)
        height, width = played(path)[0][0].shape[:2]  # of 8 x 14 pixels, six times as large; of MP4 an even number
        assert (height, width) == (48 * scale, 84 * scale + (suffix == ".mp4" and scale in (0.75,)))


def test_an_animation_of_noise_is_small(tmp_path):
    noise = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    late = torch.full_like(noise, 200)
    drawn = [pictures.picture(noise if i < 10 else late, height=400) for i in range(20)]
    writers.write_animation(tmp_path / "a.gif", drawn)
    one = len(np.asarray(pictures.picture(noise, height=400))[..., 0].tobytes())
    assert (tmp_path / "a.gif").stat().st_size < 2 * one  # noise that stays is written once


def test_single_files(tmp_path):
    images = torch.randint(0, 256, (3, 3, 5, 4), dtype=torch.uint8)
    writers.write_images(tmp_path, images)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    with Image.open(tmp_path / "000001.png") as image:
        assert np.array_equal(np.asarray(image), images[1].permute(1, 2, 0).numpy())
    writers.write_images(tmp_path / "grey", images[:, :1])
    with Image.open(tmp_path / "grey" / "000000.png") as image:
        assert image.mode == "L"
    with pytest.raises(InputError, match="5 channels"):
        writers.write_images(tmp_path / "five", torch.zeros(1, 5, 2, 2, dtype=torch.uint8))


def test_arrays(tmp_path):
    images, labels = torch.randint(0, 256, (3, 1, 5, 4), dtype=torch.uint8), torch.tensor([0, 1, 0])
    writers.write_array(tmp_path / "x.npz", images, labels)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["images"], images.numpy())
        assert arrays["labels"].tolist() == [0, 1, 0]
    writers.write_array(tmp_path / "p.npz", torch.zeros(2, 2), None)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert list(arrays) == ["points"]
