import pickle

import numpy as np
import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.base.options import in_python, spell
from ancestral.data import load

RNG = np.random.default_rng(0)
NCHW = RNG.integers(0, 256, (5, 3, 8, 6), dtype=np.uint8)


def save(path, array):
    np.save(path, array)
    return str(path)


VOLUMES = RNG.normal(size=(6, 5, 8, 7)).astype(np.float32)
CUBES = RNG.normal(size=(6, 8, 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("array", "options", "shape", "axes"),
    [
        (NCHW.transpose(0, 2, 3, 1), {}, (3, 8, 6), "5 images of 8x6 with 3 channels (item, y, x, channel)"),
        (NCHW.transpose(0, 2, 3, 1), {"channels": 1}, (1, 8, 6), "(item, y, x, channel)"),
        (NCHW[..., :3], {}, (3, 3, 8), "5 images of 3x8 with 3 channels (item, y, x, channel)"),
        (RNG.normal(size=(6, 11, 8, 8)), {}, (11, 8, 8), "6 images of 8x8 with 11 channels (item, channel, y, x)"),
        (VOLUMES, {"channels": 5}, (5, 8, 7), "6 images of 8x7 with 5 channels (item, channel, y, x)"),
        (VOLUMES, {"dims": 3}, (1, 5, 8, 7), "6 volumes of 5x8x7 with 1 channel (item, z, y, x)"),
        (CUBES, {"layout": "item,z,y,x"}, (1, 8, 8, 8), "6 volumes of 8x8x8 with 1 channel (item, z, y, x)"),
        (CUBES, {"layout": "y,x,channel,item"}, (8, 6, 8), "8 images of 6x8 with 8 channels (y, x, channel, item)"),
        (VOLUMES[..., None], {}, (1, 5, 8, 7), "6 volumes of 5x8x7 with 1 channel (item, z, y, x, channel)"),
        (VOLUMES[0].transpose(0, 2, 1), {"layout": "item,x,channel"}, (8, 7), "5 signals of 7 values with 8 channels"),
    ],
)
def test_what_an_array_was_read_as_is_said(array, options, shape, axes):
    data = load(array, **options)
    ((text, advice),) = data.notes
    assert data.shape == shape
    assert axes in text
    assert spell(advice, in_python).startswith("layout names the axes")


def test_a_layout_brings_each_value_to_its_place():
    items = load(VOLUMES.transpose(3, 0, 2, 1), layout="x,item,y,channel").items
    assert np.array_equal(items.numpy(), VOLUMES)
    assert torch.equal(load(torch.from_numpy(VOLUMES), layout="item,z,y,x").items[:, 0], torch.from_numpy(VOLUMES))


def test_masked_values_are_refused_as_gaps_are():
    masked = np.ma.masked_array(VOLUMES[:, 0], np.zeros((6, 8, 7), dtype=bool))
    assert np.array_equal(load(masked).items[:, 0].numpy(), VOLUMES[:, 0])  # a mask that hides nothing
    masked.mask[4, 1, :3] = True
    labels = np.ma.masked_equal([0, 1, 0, 1, 0, 1], 1)
    says = "holds 3 masked values of 336 (the first in item 4)"
    for source in (
        masked,
        (VOLUMES[:, 0], {"low": masked}),
        masked[:, None],
        np.ma.masked_equal(NCHW, NCHW[0, 0, 0, 0]),
    ):
        with pytest.raises(InputError, match=r"masked value.*leave those items out, or fill the gaps") as error:
            load(source)
        assert says in str(error.value) or source is not masked
    with pytest.raises(InputError, match="3 masked values of 6"):
        load((VOLUMES[:, 0], labels))


def test_alpha_is_composited(tmp_path):
    rgba = np.array([255, 0, 0, 128], dtype=np.uint8).reshape(1, 1, 1, 4).repeat(6, axis=1).repeat(6, axis=2)
    path = save(tmp_path / "x.npy", rgba)
    assert load(path).items[0, :, 0, 0].tolist() == [255, 127, 127]
    assert load(path, background="black").items[0, :, 0, 0].tolist() == [128, 0, 0]
    grey = save(tmp_path / "y.npy", rgba[..., 2:])
    assert load(grey).items[0, :, 0, 0].tolist() == [127]
    assert load(grey, background="blue").items[0, :, 0, 0].tolist() == [0, 0, 127]


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_said_and_fields_of_as_many_channels_are_kept(tmp_path, channels):
    fields = np.arange(6 * channels * 30, dtype=np.uint8).reshape(6, channels, 5, 6)
    path = save(tmp_path / "x.npy", fields)
    ((text, advice),) = load(path).notes
    assert f"with {channels} channels (item, channel, y, x), the last of which is how opaque" in text
    assert spell(advice, in_python) == f"channels={channels} keeps all channels as they are"
    assert load(torch.from_numpy(fields)).notes[0][1] == advice
    for source, options in (
        (path, {"channels": channels}),
        (path, {"layout": "item,channel,y,x"}),
        (save(tmp_path / "y.npy", fields.astype(np.uint16)), {}),
    ):
        kept = load(source, **options)
        assert np.array_equal(kept.items.int().numpy(), fields)
        assert "opaque" not in kept.notes[0][0]


def test_npz_with_labels(tmp_path):
    np.savez(tmp_path / "x.npz", images=NCHW, labels=np.array([0, 2, 2, 1, 0], dtype=np.uint8), other=np.zeros(3))
    data = load(str(tmp_path / "x.npz"))
    assert np.array_equal(data.items.numpy(), NCHW)
    assert data.labels.dtype == torch.int64
    assert data.labels.tolist() == [0, 2, 2, 1, 0]
    assert data.classes == ("0", "1", "2")


def test_npz_with_one_array_of_any_name(tmp_path):
    np.savez_compressed(tmp_path / "x.NPZ.npz", NCHW)
    assert np.array_equal(load(str(tmp_path / "x.NPZ.npz")).items.numpy(), NCHW)


def test_points(tmp_path):
    x = RNG.uniform(-1, 1, (9, 2)).astype(np.float32)
    assert np.array_equal(load(save(tmp_path / "x.npy", x)).items.numpy(), x)
    far, gone = 2 * x / np.abs(x).max(), np.full_like(x, np.nan)
    for bad, says in ((far, r"beyond \[-1, 1\]: scale them"), (gone, "NaN or infinity, in point 0 first")):
        with pytest.raises(InputError, match=says):
            load(save(tmp_path / "x.npy", bad))
    with pytest.raises(InputError, match="2-D points"):
        load(save(tmp_path / "x.npy", x), channels=1)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (NCHW.astype(np.int64), {}, r"int64 numbers.*in 0\.\.255.*images\.astype\('uint8'\)"),
        (np.array(["a", "b"]), {}, "not uint8, uint16 or floats"),
        (
            NCHW[0, 0, 0],
            {},
            r"has shape \(6,\): signals are \(N, L\).*images are \(N, H, W\).*volumes \(N, C, D, H, W\)",
        ),
        (np.zeros((2, 3, 4, 5, 1, 1), np.uint8), {}, "has shape"),
        (NCHW[:, 0, :1], {}, r"shape \(5, 1, 6\), which would be images 1 pixel high: dims=1 reads signals"),
        (NCHW[:, 0, :, :1], {}, r"shape \(5, 8, 1\), which would be images 1 pixel wide: dims=1 reads signals"),
        (np.zeros((0, 3, 4, 4), np.uint8), {}, "holds no items"),
        (CUBES, {}, "in the last, or be volumes: give layout='item,channel,y,x' or layout='item,y,x,channel' or"),
        (VOLUMES, {}, r"shape \(6, 5, 8, 7\) could have its channels in the second axis or in the last, or be volumes"),
        (CUBES, {"dims": 2}, "or in the last: give layout='item,channel,y,x' or layout='item,y,x,channel'"),
        (VOLUMES, {"layout": "item,y,x"}, r"has shape \(6, 5, 8, 7\), and layout='item,y,x' names 3 axes"),
        (VOLUMES, {"layout": "item,z,y,x", "dims": 2}, "names 3 axes of space, unlike dims=2: leave the latter out"),
        (VOLUMES, {"layout": "item,channel,z,x"}, "cannot be 'item,channel,z,x': name each axis once"),
        ("digits", {"layout": "item,y,x"}, "digits holds no arrays, whose axes layout names: leave layout out"),
    ],
)
def test_arrays_that_are_refused(array, options, message):
    with pytest.raises(InputError, match=message):
        load(array, **options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], r"labels of shape \(2,\)"),
        ([0.0, 1, 2, 3, 4], "float64 labels"),
        ([0, 1, -1, 0, 0], "from -1 to 1"),
        ([0, 1, 10**9, 0, 0], "from 0 to 1000000000"),
    ],
)
def test_unfit_labels(tmp_path, labels, message):
    np.savez(tmp_path / "x.npz", images=NCHW, labels=labels)
    with pytest.raises(InputError, match=message):
        load(str(tmp_path / "x.npz"))


def test_npz_without_images(tmp_path):
    np.savez(tmp_path / "x.npz", a=NCHW, b=NCHW)
    with pytest.raises(InputError, match="holds a, b: name the array of images `images`"):
        load(str(tmp_path / "x.npz"))
    np.savez(tmp_path / "x.npz", labels=[1])
    with pytest.raises(InputError, match="holds nothing"):
        load(str(tmp_path / "x.npz"))


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_files_run_no_code(tmp_path):
    objects = np.array([Bomb()], dtype=object)
    with open(tmp_path / "a.npy", "wb") as file:  # noqa: PTH123
        np.lib.format.write_array(file, objects, allow_pickle=True)
    np.savez(tmp_path / "b.npz", images=objects)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("a.npy", "b.npz", "c.npy"):
        with pytest.raises(InputError, match=f"{name} is not a whole NumPy file of plain numbers"):
            load(str(tmp_path / name))


def test_damaged_files(tmp_path):
    np.save(tmp_path / "x.npy", NCHW)
    np.savez_compressed(tmp_path / "x.npz", images=NCHW)
    for file in (tmp_path / "x.npy", tmp_path / "x.npz"):
        whole = file.read_bytes()
        damaged = [b"", b"hello", whole[:-1], whole[: len(whole) // 2], whole[:9]]
        damaged.append(whole[:40] + bytes(255 - b for b in whole[40:80]) + whole[80:])
        for raw in damaged:
            file.write_bytes(raw)
            with pytest.raises(InputError, match=f"{file.name} is not a whole NumPy file"):
                load(str(file))


def test_a_header_that_lies_about_its_size(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 8, 8), }".ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64)
    with pytest.raises(InputError, match="not a whole NumPy file"):
        load(str(tmp_path / "x.npy"))
