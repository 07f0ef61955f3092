"""Windows of larger images: those at the centre wherever data are read, and random ones in training."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import ancestral
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.data.convert import at_random
from ancestral.data.loading import Loader
from ancestral.measure.reference import load_reference
from ancestral.training import Trainer
from ancestral.training.gradients import prepare
from tiny_models import tiny_config

DOWN, RIGHT = torch.meshgrid(torch.arange(12), torch.arange(24), indexing="ij")
IMAGES = torch.stack([torch.stack([20 * DOWN, 10 * RIGHT, torch.full_like(DOWN, n)]) for n in range(10)]).byte()
"""(10, 3, 12, 24): of a pixel 20 times its row, 10 times its column, and the number of its image."""
FORM = {"image_size": "8x16", "crop": 1.5}


@pytest.fixture
def folder(tmp_path):
    for number, image in enumerate(IMAGES):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return tmp_path / "set"


@pytest.mark.parametrize("kind", ["array", "folder", "folder in memory", "torch"])
def test_items_are_windows_at_the_centre_and_a_batch_has_whole_images(folder, kind):
    opened = {
        "array": lambda: data.open(IMAGES.permute(0, 2, 3, 1).numpy(), **FORM),
        "folder": lambda: data.open(folder, memory=0, **FORM),
        "folder in memory": lambda: data.load(folder, **FORM),
        "torch": lambda: data.open(TensorDataset(IMAGES), memory=0, **FORM),
    }[kind]()
    assert opened.shape == opened.spec.shape == (3, 8, 16)
    assert opened.stored_shape == (3, 12, 24)
    assert len(opened.notes) == (kind == "array")  # what it was read as
    order = opened.sample(10).items[:, 2, 0, 0].long()
    window = IMAGES[order][..., 2:10, 4:20]
    assert torch.equal(opened.sample(10).items, window)
    assert torch.equal(opened.read(3)[0], window[3])
    rest, part = data.hold_out(opened, 0.3)
    assert torch.equal(part.sample(3).items, window[part.rows])
    assert part.fingerprint == rest.fingerprint == opened.fingerprint
    for source, rows in ((opened, None), (rest, rest.rows)):
        with Loader(source, seed=0, batch_size=8, positions=range(8), workers=0) as loader:
            batch = next(loader.batches(5))
        index = batch.indices if rows is None else rows[batch.indices]
        assert torch.equal(batch.items, IMAGES[order[index]])


def test_the_size_that_keeps_the_shape_is_that_of_the_windows(folder):
    ((text, advice),) = data.open(folder, memory=0, image_size=8, crop=1.5).notes
    assert text.endswith("the crop to 8x8 loses 50%")
    assert "8x16" in advice


def test_windows_are_uniform_and_a_function_of_seed_step_and_position():
    images = IMAGES[:1].expand(9000, -1, -1, -1)
    cut = at_random(images, (8, 16), seed=0, step=3, indices=range(9000))
    top, left = cut[:, 0, 0, 0] // 20, cut[:, 1, 0, 0] // 10
    assert torch.equal(cut[:, 0], (20 * (top[:, None, None] + DOWN[:8, :16])).byte())
    assert torch.equal(cut[:, 1], (10 * (left[:, None, None] + RIGHT[:8, :16])).byte())
    counts = torch.bincount(9 * top.long() + left.long(), minlength=45)  # 5 rows and 9 columns
    assert ((counts - 200) ** 2 / 200).sum() < 80  # chi squared of 44 degrees of freedom: once in 1,000 seeds
    assert torch.equal(at_random(images[:2], (8, 16), 0, 3, [7, 8000]), cut[[7, 8000]])
    assert not torch.equal(at_random(images, (8, 16), 0, 4, range(9000)), cut)
    assert at_random(images, (12, 24), 0, 3, range(9000)) is images


@pytest.mark.long
def test_a_run_is_trained_on_windows_and_compared_with_those_at_the_centre(folder, tmp_path):
    options = {"steps": 2, "batch_size": 8, "width": 16, "mults": (1,), "blocks": 1, "attention": (), "device": "cpu",
               "trackers": "none", "progress": False, "sampler": "ddim:steps=2"}  # fmt: skip
    run = ancestral.train("folder", data=folder, out=tmp_path / "run", validation=0.3, **FORM, **options)
    assert run.model.spec.shape == (3, 8, 16)
    config = run.model.config
    reference = load_reference(run.model.spec, str(folder), config=config.data)
    assert torch.equal(reference.read(0)[0], IMAGES[0, :, 2:10, 4:20])
    assert reference.fingerprint == config.data.fingerprint
    trainer = Trainer(tiny_config(batch_size=8), data.open(folder, memory=0, **FORM), "cpu")
    with trainer.loader:
        x0, _ = prepare(next(trainer.batches), range(8), trainer.config, trainer.spec, trainer.device)
    pixels = ((x0 + 1) * 127.5).round()
    assert x0.shape == (8, 3, 8, 16)
    assert len({(top, left) for top, left in (pixels[:, :2, 0, 0] / torch.tensor([20, 10])).tolist()}) > 4
    again = ancestral.train("folder", data=folder, out=tmp_path / "run", resume=True, **{**options, "steps": 3})
    assert again.step == 3
    with pytest.raises(InputError, match=r"was trained with crop=1\.5, so it cannot go on with 2"):
        ancestral.train("folder", data=folder, out=tmp_path / "run", resume=True, crop=2.0, **{**options, "steps": 4})


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        (IMAGES, {"crop": 1.5}, "cuts windows of image_size='HxW' from images that are larger by this factor: give"),
        (IMAGES, {"crop": 0.5, "image_size": 8}, "give that size, and a factor of 1 or more"),
        (np.zeros((4, 2), np.float32), {"crop": 1.5, "image_size": 8}, "2-D points have no image size"),
        (np.zeros((4, 1, 64), np.float32), {"crop": 1.5, "image_size": 8, "dims": 1}, "1-D data is not resized"),
        (
            (IMAGES, {"edge": IMAGES[:, :, ::2]}),
            {"crop": "8x16"},
            "edge has images of 6x24, which are not cut with them",
        ),
        (IMAGES, {"crop": (8, 40)}, "crop='8x40' cuts windows .* and those of .* are 12x24: give at most 12x24"),
        (IMAGES, {"crop": "8x8x8"}, "give at most 12x24"),
        (np.zeros((4, 2), np.float32), {"crop": 8}, "are points: give none"),
        (IMAGES, {"crop": "8x"}, "is no size: give one side of all axes"),
        (IMAGES, {"given": "position"}, "is that of windows: add crop='64x64'"),
        (IMAGES, {"crop": 8, "given": "coarse:5"}, "blocks of 5 do not fill items of 12x24"),
    ],
)
def test_what_has_no_windows_is_refused(source, options, says):
    with pytest.raises(InputError, match=says):
        data.open(source, **options)


VOLUME = torch.arange(6 * 8 * 10).view(1, 1, 6, 8, 10).expand(5, -1, -1, -1, -1) / 480


@pytest.mark.parametrize("memory", [0, 1], ids=["by index", "in memory"])
def test_what_is_given_on_the_grid_is_cut_with_windows_of_any_number_of_axes(tmp_path, memory):
    """A voxel of the volume is a function of its place, as its position and the other volume are."""
    xarray = pytest.importorskip("xarray")
    axes = ("item", "depth", "lat", "lon")
    fields = {"v": (axes, VOLUME[:, 0].numpy()), "w": (axes[1:], -VOLUME[0, 0].numpy())}
    xarray.Dataset(fields, {"lat": np.arange(8.0)}).to_netcdf(tmp_path / "v.nc", engine="h5netcdf")
    given = ("w", "position", "coarse:2")
    opened = data.open(tmp_path / "v.nc", memory=memory, dims=3, items="item", crop="3x4x10", given=given)
    assert (opened.spec.shape, opened.spec.whole, opened.stored_shape) == ((1, 3, 4, 10), (6, 8, 10), (1, 6, 8, 10))
    assert [len(axis.values) for axis in opened.spec.grid.axes] == [0, 0, 0]
    assert [len(axis.values) for axis in opened.spec.grid.of_sides((3, 4, 10), (6, 8, 10)).axes] == [0, 8, 0]
    assert {name: kind.sides for name, kind in opened.spec.further.items()} == {
        "w": (3, 4, 10), "position": (), "coarse": (3, 4, 5),
    }  # fmt: skip
    middle = opened.conditions_of([0, 1])
    assert torch.equal(middle["w"], -opened.sample(2).items)
    assert torch.allclose(middle["coarse"][0, 0], VOLUME[0, 0].view(3, 2, 4, 2, 5, 2).mean((1, 3, 5)), atol=1e-6)
    with Loader(opened, seed=3, batch_size=4, positions=range(4), workers=0) as loader:
        batch = next(loader.batches(2))
    config = dataclasses.replace(tiny_config(seed=3, condition_dropout=0.0))
    x0, condition = prepare(batch, range(4), config, opened.spec, torch.device("cpu"))
    values, other = opened.codec.decode(x0)[:, 0], condition["w"][:, 0]
    z, y, x = (
        ((part + 1) * side - 1) / 2
        for part, side in zip(condition["position"][:, :3].unbind(1), (6, 8, 10), strict=False)
    )
    assert torch.allclose(values, (80 * z + 10 * y + x) / 480, atol=1e-5)
    assert torch.allclose(other, -x0[:, 0], atol=1e-5)
    assert len({tuple(one) for one in torch.stack([z, y, x], 1)[:, :, 0, 0, 0].tolist()}) > 1
    assert condition["coarse"].shape == (4, 2, 3, 4, 10)  # brought to the sides of the network
    assert opened.spec.further["coarse"].window == "coarse"


def test_samples_of_the_whole_have_its_positions_coordinates_and_gaps(tmp_path):
    xarray = pytest.importorskip("xarray")
    rows, columns = np.arange(12.0), np.arange(16.0)
    fields = 10 * rows[:, None] + columns + np.random.default_rng(0).normal(size=(20, 12, 16))
    fields[:, 2:4, 3:6] = np.nan
    axes = {"time": np.arange(20), "y": rows, "x": columns}
    xarray.Dataset({"t": (tuple(axes), fields, {"units": "K"})}, axes).to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    settings = {"crop": 8, "scale": "standard", "given": ("position", "coarse:4"), "steps": 2, "progress": False}
    run = ancestral.train(
        "arrays", data=tmp_path / "t.nc", out=tmp_path / "run", width=16, mults=(1,), batch_size=4, **settings
    )
    model = ancestral.load(tmp_path / "run")
    assert (model.spec.shape, model.spec.whole, run.model.spec) == ((1, 8, 8), (12, 16), model.spec)
    coarse = torch.rand(1, 1, 3, 4) * 100
    whole = model.sample(2, steps=2, size=(12, 16), given={"coarse": coarse}, as_="xarray")
    assert (whole["t"].dims, whole["y"].values.tolist()) == (("realization", "y", "x"), rows.tolist())
    assert np.array_equal(np.isnan(whole["t"].values[0]), np.isnan(fields[0]))
    ramp = data.convert.positions((12, 16), (12, 16), torch.zeros(1, 2, dtype=torch.long))
    again = model.sample(2, steps=2, size=(12, 16), given={"coarse": coarse, "position": ramp}, as_="xarray")
    assert np.array_equal(again["t"].values, whole["t"].values, equal_nan=True)
    corners = model.sample(2, steps=2, given={"position": ["0,0", "4,8"]})
    moved = model.sample(2, steps=2, given={"position": [(4, 8), (0, 0)]})
    assert not torch.equal(corners[0], moved[0])
    request = model.process(ancestral.Request.of(n=2, steps=2, given={"position": ["0,0", "4,8"]})).recipe
    assert torch.equal(model.make(type(request).from_json(request.to_json(), "it")), corners)
    with pytest.raises(InputError, match="the first cell of the window along y, x \\(0 to 4, 0 to 8\\), as in 0,0"):
        model.sample(1, steps=2, given={"position": "5,0"})
