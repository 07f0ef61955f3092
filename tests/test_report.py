"""Pictures hold the pixels they should."""

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral import render
from ancestral.data.statistics import evenly_spaced
from ancestral.errors import InputError
from ancestral.render.pictures import enlarge, hstack, tile, vstack
from ancestral.samplers import Step


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


def test_enlarging_repeats_pixels():
    small = Image.fromarray(np.array([[0, 255]], dtype=np.uint8))
    assert np.asarray(enlarge(small, 3)).tolist() == [[0, 0, 0, 255, 255, 255]] * 3
    assert enlarge(small, 0).size == (2, 1)


def test_pictures_join():
    one, other = Image.new("RGB", (2, 3), "red"), Image.new("RGB", (4, 1), "blue")
    assert hstack([one, other], gap=1).size == (7, 3)
    joined = vstack([one, other], gap=1)
    assert joined.size == (4, 5)
    assert joined.getpixel((0, 4)) == (0, 0, 255)
    assert joined.getpixel((3, 0)) == (255, 255, 255)


def test_points_are_drawn_where_they_are():
    plot = np.asarray(render.picture(torch.tensor([[0.75, 0.75]]), height=300))
    assert plot.shape == (300, 300, 3)
    row, column = np.argwhere(plot.min(2) < 200).mean(0)
    assert (row, column) == pytest.approx((75, 225), abs=3)  # of [−1.5, 1.5], y upwards


@pytest.mark.parametrize(("count", "of"), [(5, 3), (3, 3), (4, 100), (12, 51), (1, 9)])
def test_evenly_keeps_the_ends(count, of):
    chosen = evenly_spaced(count, of)
    assert len(chosen) == min(count, of)
    assert len(set(chosen)) == len(chosen)
    assert chosen[0] == 0
    if count > 1:
        assert chosen[-1] == of - 1


def frames(count=6, items=2):
    def images(level):
        return torch.full((items, 1, 4, 4), level, dtype=torch.uint8)

    return [Step(i, count - 1 - i, images(10 * i), images(200)) for i in range(count)]


def test_film_has_x_above_x0_from_noise_to_sample():
    film = np.asarray(render.film(frames(items=1), columns=3))[..., 0]
    assert film.shape == (2 * 4 + 2, 3 * 4 + 2 * 2)
    assert [film[2, x] for x in (2, 8, 14)] == [0, 20, 50]
    assert [film[8, x] for x in (2, 8, 14)] == [200] * 3


def test_film_of_several_images_has_a_strip_for_each():
    assert render.film(frames(items=2), columns=3).height == 2 * 10 + 12
    assert render.film(frames(items=20), columns=3).height == 8 * 10 + 7 * 12


def test_film_of_points():
    clouds = [Step(i, i, torch.zeros(5, 2), torch.zeros(5, 2)) for i in range(4)]
    assert render.film(clouds, columns=4, height=20).size == (4 * 60 + 3 * 2, 2 * 60 + 2)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animation_runs_from_the_first_frame_to_the_last(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    render.write_animation(path, frames(), columns=2, height=16)
    with Image.open(path) as movie:
        assert movie.n_frames == 6
        assert movie.info.get("loop", 0) == 0
        movie.seek(5)
        assert int(np.asarray(movie.convert("L"))[8, 8]) == pytest.approx(50, abs=3)


def test_single_files(tmp_path):
    images = torch.randint(0, 256, (3, 3, 5, 4), dtype=torch.uint8)
    render.write_images(tmp_path, images)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    with Image.open(tmp_path / "000001.png") as image:
        assert np.array_equal(np.asarray(image), images[1].permute(1, 2, 0).numpy())
    render.write_images(tmp_path / "grey", images[:, :1])
    with Image.open(tmp_path / "grey" / "000000.png") as image:
        assert image.mode == "L"
    with pytest.raises(InputError, match="5 channels"):
        render.write_images(tmp_path / "five", torch.zeros(1, 5, 2, 2, dtype=torch.uint8))


def test_arrays(tmp_path):
    images, labels = torch.randint(0, 256, (3, 1, 5, 4), dtype=torch.uint8), torch.tensor([0, 1, 0])
    render.write_array(tmp_path / "x.npz", images, labels)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["images"], images.numpy())
        assert arrays["labels"].tolist() == [0, 1, 0]
    render.write_array(tmp_path / "p.npz", torch.zeros(2, 2), None)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert list(arrays) == ["points"]
