"""Data of any kind: depths, floats, channels that are no colours, signals and volumes."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import ancestral
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.data import IMAGES, Codec, InMemoryDataset, load
from ancestral.data.convert import Conversion, centre_crop_resize, composite, to_channels
from ancestral.data.spec import channel_mean
from tiny_models import untrained

RNG = np.random.default_rng(0)


def integers(*shape, dtype=np.uint16):
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def floats(*shape, low=-3.0, high=7.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


def read(folder, array, **options):
    np.save(folder / "x.npy", array)
    return load(str(folder / "x.npy"), **options)


# the codec


def test_encode_maps_bytes_onto_minus_one_to_one():
    x = IMAGES.encode(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, torch.tensor([-1.0, -0.6, 1.0]))


def test_decode_rounds_and_clamps():
    x = torch.tensor([-7.0, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 1.0, 1.5, 1e9])
    assert IMAGES.decode(x).tolist() == [0, 0, 0, 1, 255, 255, 255]


def test_half_precision_network_values_decode_in_float32():
    x = IMAGES.encode(torch.arange(256, dtype=torch.uint8)).to(torch.float16)
    assert torch.equal(IMAGES.decode(x), torch.arange(256, dtype=torch.uint8))


def test_all_65536_values_survive_the_round_trip():
    values = torch.arange(65536, dtype=torch.int32).to(torch.uint16)
    codec = Codec("uint16")
    x = codec.encode(values)
    assert (x.dtype, x.min().item(), x.max().item()) == (torch.float32, -1, 1)
    assert torch.equal(codec.decode(x), values)
    assert codec.decode(torch.tensor([-3.0, 1.7])).tolist() == [0, 65535]
    torch.testing.assert_close(x.diff(), torch.full((65535,), codec.level), rtol=0, atol=2e-7)


@pytest.mark.parametrize("limits", [(-1, 1), (0, 1), (-3.25, 7.5), (1e-6, 3e-6), (-2e30, 1e30), (999.0, 1000.0)])
def test_floats_fill_minus_one_to_one_and_come_back(limits):
    low, high = limits
    items = torch.linspace(low, high, 1001, dtype=torch.float64).float()
    codec = Codec("float", limits)
    x = codec.encode(items)
    assert (x.min().item(), x.max().item()) == pytest.approx((-1, 1), abs=1e-4)
    assert x[500].item() == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(codec.decode(x), items, rtol=3e-7, atol=3e-7 * (high - low))
    assert codec.scale == pytest.approx((high - low) / 2)


def test_floats_without_limits_are_left_exactly_as_they_are():
    x = torch.randn(1000)
    assert torch.equal(Codec("float").encode(x), x)
    assert torch.equal(Codec("float").decode(x), x)


@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_limits_that_are_no_range_are_refused(limits):
    with pytest.raises(InputError, match=r"cannot be mapped to \[-1, 1\]"):
        Codec("float", limits)


def test_each_kind_of_items_has_its_codec():
    def codec(items):
        return InMemoryDataset(items, None, (), "x").codec

    assert codec(torch.zeros(2, 1, 3, dtype=torch.uint8)) == Codec("uint8")
    assert codec(torch.zeros(2, 1, 3, dtype=torch.uint16)) == Codec("uint16")
    assert codec(torch.tensor([-4.0, 0, 12]).view(3, 1, 1)) == Codec("float", (-4.0, 12.0))
    assert codec(torch.zeros(4, 2)) == Codec("float")
    assert Codec("uint8").limits == (0, 255)
    assert Codec("float").level is None


def test_a_model_file_keeps_the_limits(tmp_path):
    model = untrained((1, 8, 8))
    facts = dataclasses.replace(model.spec, codec=Codec("float", (-0.1, 1 / 3)))
    ancestral.model.Model(model.denoiser, facts, model.config, 3).save(tmp_path / "x.safetensors")
    again = ancestral.load(tmp_path / "x.safetensors")
    assert again.spec == facts
    assert again.sample(2, steps=2).abs().max() < 1
    tensors, metadata = storage.read_tensors(tmp_path / "x.safetensors")
    for limits in ("[1]", '["a", 2]', "[2, 1]", "{}", "[NaN, 1]"):
        storage.write_tensors(tmp_path / "bad.safetensors", tensors, metadata | {"limits": limits})
        with pytest.raises(InputError, match=r"damaged 'limits'|cannot be mapped"):
            ancestral.load(tmp_path / "bad.safetensors")


# arrays


@pytest.mark.parametrize(
    ("shape", "dims", "expected", "moved"),
    [
        ((5, 16), None, (1, 16), False),
        ((5, 16), 1, (1, 16), False),
        ((5, 3, 16), 1, (3, 16), False),
        ((5, 30, 16), 1, (30, 16), False),
        ((5, 9, 16), None, (1, 9, 16), False),
        ((5, 6, 9, 16), None, (6, 9, 16), False),
        ((5, 16, 9, 6), None, (6, 16, 9), True),
        ((5, 9, 16, 4), 2, (4, 9, 16), True),
        ((5, 7, 7, 9), None, (9, 7, 7), True),
        ((5, 9, 10, 11), 3, (1, 9, 10, 11), False),
        ((5, 2, 9, 10, 11), None, (2, 9, 10, 11), False),
        ((5, 9, 10, 11, 3), 3, (3, 9, 10, 11), True),
        ((5, 9, 10, 11, 8), None, (8, 9, 10, 11), True),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_layouts(tmp_path, shape, dims, expected, moved, dtype):
    array = floats(*shape) if dtype == "float32" else integers(*shape, dtype=dtype)
    own = {"channels": expected[0]} if len(shape) == len(expected) + 1 else {}
    data = read(tmp_path, array, dims=dims, **own)
    assert data.shape == expected
    assert data.items.is_contiguous()
    inside = np.moveaxis(array, -1, 1) if moved else array
    assert np.array_equal(data.items.numpy(), inside.reshape(5, *expected))


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4"])
def test_floats_become_float32(tmp_path, dtype):
    array = floats(4, 1, 6, 5).astype(dtype)
    data = read(tmp_path, array)
    assert data.items.dtype == torch.float32
    assert np.array_equal(data.items.numpy(), array.astype(np.float32))
    assert data.codec.limits == (array.min().astype(np.float32), array.max().astype(np.float32))


def test_integers_of_another_byte_order(tmp_path):
    array = integers(4, 6, 5)
    assert np.array_equal(read(tmp_path, array.astype(">u2")).items[:, 0].numpy(), array)


def test_points_of_any_float_unless_dims_says_signals(tmp_path):
    assert read(tmp_path, floats(9, 2, low=-1, high=1).astype(np.float64)).shape == (2,)
    assert read(tmp_path, floats(9, 2), dims=1).shape == (1, 2)


def test_the_name_in_an_npz_says_what_it_is(tmp_path):
    array, labels = floats(4, 3, 16), np.array([0, 1, 1, 0])
    for name, shape in (("signals", (3, 16)), ("images", (1, 3, 16)), ("mine", (1, 3, 16))):
        np.savez(tmp_path / "x.npz", **{name: array}, labels=labels)
        data = load(str(tmp_path / "x.npz"))
        assert (data.shape, data.labels.tolist()) == (shape, labels.tolist())
    np.savez(tmp_path / "x.npz", volumes=floats(4, 5, 6, 7))
    assert load(str(tmp_path / "x.npz")).shape == (1, 5, 6, 7)
    np.savez(tmp_path / "x.npz", volumes=floats(4, 5, 6, 7), signals=array)
    with pytest.raises(InputError, match="holds volumes, signals: name"):
        load(str(tmp_path / "x.npz"))


GAPS = floats(5, 1, 4, 4)
GAPS[3, 0, 1, 2] = np.nan


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (GAPS, {}, "NaN or infinity in 1 of 5 items, number 3 the first"),
        (np.full((2, 1, 4, 4), 1e300), {}, "NaN or infinity in 2 of 2 items"),
        (np.full((2, 1, 4, 4), 0.5, np.float32), {}, r"nothing but the value 0\.5"),
        (floats(2, 5, 6), {"dims": 3}, r"shape \(2, 5, 6\) with dims=3: signals are .* with dims=3"),
        (floats(2, 5, 6, 7), {"dims": 1}, "with dims=1"),
        (integers(2, 16), {"image_size": 8}, "1-D data is not resized.*leave image_size out"),
        (integers(2, 4, 4, 4), {"dims": 3, "image_size": 8}, "3-D data is not resized"),
        (integers(2, 3, 16), {"dims": 1, "channels": 1}, "data of 3 channels cannot be given 1: .*or give 3"),
        (integers(2, 6, 9, 9), {"channels": 3}, "data of 6 channels cannot be given 3: .*or give 6"),
        (integers(2, 4, 9, 9), {"channels": 5}, r"images of 4 channels cannot be given 5: give 4, .*1 \(grey\)"),
        (integers(2, 3, 9, 9), {"channels": 4}, r"images of 3 channels cannot be given 4: give 1 \(grey\)"),
        (floats(2, 4, 9, 9), {"channels": 3}, "data of 4 channels cannot be given 3"),
        (floats(2, 3, 9, 9), {"bits": 8}, "floating-point data cannot be given 8 bits: leave bits out"),
        (floats(2, 2, low=-1, high=1), {"bits": 8}, "2-D points"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, array, options, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, array, **options)


def test_only_arrays_hold_signals_and_volumes(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    for source in ("digits", "moons", str(tmp_path)):
        with pytest.raises(InputError, match=r"holds no signals: leave dims out, or give a \.npy"):
            load(source, dims=1)
    with pytest.raises(InputError, match="image files have 1 to 4 channels, not 5"):
        load(str(tmp_path), channels=5)


# conversion


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_every_depth_is_resized_alike(channels):
    """The same pictures in 8 bits, 16 bits and floats give the same picture to a level of 255.

    None is so bright or dark that bicubic weights lead beyond 8 bits between the two passes, where they are clamped.
    """
    bytes_ = torch.from_numpy(np.random.default_rng(0).integers(20, 236, (3, channels, 30, 44), dtype=np.uint8))
    small = centre_crop_resize(bytes_, (12, 12))
    deep = centre_crop_resize((bytes_.int() * 257).to(torch.uint16), (12, 12))
    exact = centre_crop_resize(bytes_.float(), (12, 12))
    assert (small.dtype, deep.dtype, exact.dtype) == (torch.uint8, torch.uint16, torch.float32)
    assert ((small.float() - exact.clamp(0, 255)).abs() <= 1).all()
    assert ((deep.float() / 257 - exact.clamp(0, 255)).abs() <= 0.5 / 257 + 1e-4).all()
    square = bytes_[:, :, :, 7:37].double()
    truth = F.interpolate(square, size=(12, 12), mode="bicubic", antialias=True)
    torch.testing.assert_close(exact.double(), truth, rtol=0, atol=1e-3)


def test_sixteen_bits_are_composited_and_greyed_as_eight_are():
    bytes_ = torch.from_numpy(integers(1, 4, 40, 40, dtype=np.uint8))
    deep = (bytes_.int() * 257).to(torch.uint16)
    for paint in ((255, 255, 255), (10, 200, 30)):
        ours, theirs = composite(deep, paint), composite(bytes_, paint)
        assert ours.dtype == torch.uint16
        assert ((ours.float() / 257 - theirs.float()).abs() <= 0.51).all()
    luma = to_channels(deep[:, :3], 1).double()
    exact = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]).double(), deep[:, :3].double())
    assert ((luma[:, 0] - exact).abs() <= 1.5).all()
    floating = to_channels(deep[:, :3].float(), 1)[:, 0]
    torch.testing.assert_close(floating.double(), exact, rtol=1e-4, atol=0.5)


def test_bits_are_changed_by_the_nearest_level(tmp_path):
    deep = np.array([0, 128, 129, 385, 386, 65406, 65407, 65535], np.uint16).reshape(8, 1, 1)
    assert read(tmp_path, deep, bits=8).items.flatten().tolist() == [0, 0, 1, 1, 2, 254, 255, 255]
    assert read(tmp_path, deep).items.dtype == torch.uint16
    wide = read(tmp_path, np.arange(256, dtype=np.uint8).reshape(256, 1, 1), bits=16)
    assert torch.equal(wide.items.flatten().int(), 257 * torch.arange(256, dtype=torch.int32))
    back = Conversion(bits=8)(wide.items)
    assert torch.equal(back.flatten(), torch.arange(256, dtype=torch.uint8))
    assert load("digits", bits=16).codec.kind == "uint16"


# folders


def test_a_folder_of_sixteen_bit_files_stays_sixteen_bit(tmp_path):
    deep = integers(3, 6, 5)
    for number, image in enumerate(deep):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    data = load(str(tmp_path))
    assert data.items.dtype == torch.uint16
    assert np.array_equal(data.items[:, 0].numpy(), deep)
    assert load(str(tmp_path), bits=8).items.dtype == torch.uint8
    assert np.array_equal(load(str(tmp_path), channels=3).items[:, 2].numpy(), deep)
    (tmp_path / "3.png").write_bytes(b"broken")  # says nothing of the depth
    assert load(str(tmp_path)).items.dtype == torch.uint16
    Image.new("L", (5, 6), 77).save(tmp_path / "3.png")
    mixed = load(str(tmp_path))
    assert mixed.items.dtype == torch.uint8
    assert mixed.items[:, 0, 0, 0].tolist() == [*((deep[:, 0, 0].astype(int) + 128) // 257), 77]
    forced = load(str(tmp_path), bits=16).items
    assert np.array_equal(forced[:3, 0].numpy(), deep)
    assert (forced[3].int() == 77 * 257).all()


def test_a_folder_keeps_transparency_on_request(tmp_path):
    Image.new("RGBA", (4, 3), (255, 10, 20, 128)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 3), (1, 2, 3)).save(tmp_path / "b.png")
    Image.new("LA", (4, 3), (9, 100)).save(tmp_path / "c.png")
    Image.new("L", (4, 3), 7).save(tmp_path / "d.png")
    data = load(str(tmp_path), channels=4)
    assert data.shape == (4, 3, 4)
    pixels = [[255, 10, 20, 128], [1, 2, 3, 255], [9, 9, 9, 100], [7, 7, 7, 255]]
    assert data.items[:, :, 0, 0].tolist() == pixels
    assert data.items[:, :, 2, 3].tolist() == pixels
    assert load(str(tmp_path), channels=2).items[2:, :, 0, 0].tolist() == [[9, 100], [7, 255]]
    assert load(str(tmp_path), channels=4, image_size=2).shape == (4, 2, 2)


# statistics


@pytest.mark.parametrize("space", [(16,), (6, 7), (3, 4, 5)])
def test_channel_means(space):
    for array in (integers(5000, 3, *space, dtype=np.uint8), integers(50, 3, *space), floats(50, 3, *space, low=0)):
        axes = (0, *range(2, array.ndim))
        truth = array.astype(np.float64).mean(axes)
        assert channel_mean(torch.from_numpy(array)) == pytest.approx(truth.tolist(), rel=1e-5, abs=0.006)
    tiny = torch.full((9, 2, *space), 1.5e-7)
    assert channel_mean(tiny) == pytest.approx((1.5e-7, 1.5e-7), rel=1e-5)
