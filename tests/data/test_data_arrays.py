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


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (NCHW, NCHW),
        (NCHW.transpose(0, 2, 3, 1), NCHW),
        (NCHW[:, :1], NCHW[:, :1]),
        (NCHW[:, 0], NCHW[:, :1]),
        (NCHW.transpose(0, 2, 3, 1)[..., :1], NCHW[:, :1]),
        (np.asfortranarray(NCHW), NCHW),
        (NCHW[..., :3], NCHW[..., :3].transpose(0, 3, 1, 2)),  # ambiguous: the last axis wins
    ],
)
def test_layouts(tmp_path, array, expected):
    data = load(save(tmp_path / "x.npy", array))
    assert np.array_equal(data.items.numpy(), expected)
    assert data.items.is_contiguous()
    assert (data.name, data.labels, data.classes) == ("x", None, ())


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_that_may_be_signals_say_what_they_were_taken_for(tmp_path, dtype):
    array = RNG.uniform(0, 99, (5, 2, 64)).astype(dtype)
    path = save(tmp_path / "x.npy", array)
    data = load(path)
    ((text, advice),) = data.notes
    assert data.shape == (1, 2, 64)
    assert text.endswith("x.npy of shape (5, 2, 64) was taken for grey images, 2 pixels high and 64 wide")
    assert spell(advice, in_python) == "dims=1 reads signals of 2 channels and 64 values"
    assert load(torch.from_numpy(array)).notes[0][0].startswith("the array of shape (5, 2, 64) was taken for grey")
    for dims, shape in ((1, (2, 64)), (2, (1, 2, 64))):
        by_dims = load(path, dims=dims)
        assert (by_dims.shape, by_dims.notes) == (shape, ())
    np.savez(tmp_path / "x.npz", signals=array)
    assert load(str(tmp_path / "x.npz")).notes == ()


def test_rows_of_bytes_say_that_they_were_taken_for_signals(tmp_path):
    rows = RNG.integers(0, 256, (5, 64), dtype=np.uint8)
    data = load(save(tmp_path / "x.npy", rows))
    assert data.shape == (1, 64)
    assert "shape (5, 64) was taken for signals of 64 values" in data.notes[0][0]
    assert "(N, height, width)" in data.notes[0][1]
    assert load(save(tmp_path / "y.npy", rows.astype(np.float32))).notes == ()
    assert load(save(tmp_path / "x.npy", rows), dims=1).notes == ()
    assert load(save(tmp_path / "z.npy", NCHW)).notes == ()


def test_alpha_is_composited(tmp_path):
    rgba = np.array([255, 0, 0, 128], dtype=np.uint8).reshape(1, 1, 1, 4).repeat(6, axis=1).repeat(6, axis=2)
    path = save(tmp_path / "x.npy", rgba)
    assert load(path).items[0, :, 0, 0].tolist() == [255, 127, 127]
    assert load(path, background="black").items[0, :, 0, 0].tolist() == [128, 0, 0]
    grey = save(tmp_path / "y.npy", rgba[..., 2:])
    assert load(grey).items[0, :, 0, 0].tolist() == [127]
    assert load(grey, background="blue").items[0, :, 0, 0].tolist() == [0, 0, 127]


def test_resize_and_recolour(tmp_path):
    data = load(save(tmp_path / "x.npy", np.full((3, 10, 20, 3), 77, dtype=np.uint8)), image_size=4, channels=1)
    assert data.shape == (1, 4, 4)
    assert data.items.unique().tolist() == [77]


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
    ("array", "message"),
    [
        (NCHW.astype(np.int64), r"int64 numbers.*in 0\.\.255.*images\.astype\('uint8'\)"),
        (np.array(["a", "b"]), "not uint8, uint16 or floats"),
        (NCHW[0, 0, 0], r"has shape \(6,\): signals are \(N, L\).*images are \(N, H, W\).*volumes \(N, C, D, H, W\)"),
        (np.zeros((2, 3, 4, 5, 1, 1), np.uint8), "has shape"),
        (NCHW[:, 0, :1], r"shape \(5, 1, 6\), which would be images 1 pixel high: dims=1 reads signals"),
        (NCHW[:, 0, :, :1], r"shape \(5, 8, 1\), which would be images 1 pixel wide: dims=1 reads signals"),
        (np.zeros((0, 3, 4, 4), np.uint8), "holds no items"),
        (np.uint8(3), "has shape"),
    ],
)
def test_unfit_arrays(tmp_path, array, message):
    with pytest.raises(InputError, match=message) as error:
        load(save(tmp_path / "x.npy", array))
    assert "\n" not in str(error.value)


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
            with pytest.raises(InputError, match=f"{file.name} is not a whole NumPy file") as error:
                load(str(file))
            assert "\n" not in str(error.value)


def test_a_header_that_lies_about_its_size(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 8, 8), }".ljust(117) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64)
    with pytest.raises(InputError, match="not a whole NumPy file"):
        load(str(tmp_path / "x.npy"))
