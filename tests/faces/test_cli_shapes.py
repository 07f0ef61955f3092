"""Each kind of data through the command line: trained for three steps, sampled, described, evaluated."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral

RNG = np.random.default_rng(0)
SMALL = ("--steps", "3", "--batch-size", "4", "--width", "16", "--mults", "1", "2", "--blocks", "1", "--attention")
ANY = {
    "bytes4": ((12, 4, 10, 10), "uint8", ("--channels", "4")),
    "rectangles": ((12, 3, 12, 20), "float32", ()),
    "odd": ((12, 7, 9, 11), "uint16", ("--layout", "item,channel,y,x")),
    "signals": ((12, 2, 18), "float32", ("--dims", "1")),
    "volumes": ((12, 1, 6, 5, 7), "uint16", ()),
}


def random_array(name):
    shape, dtype, _ = ANY[name]
    if dtype == "float32":
        return RNG.uniform(20, 30, shape).astype(dtype)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run folder of each kind of array, made when first used."""
    root, runs = tmp_path_factory.mktemp("shapes"), {}

    def get(name):
        if name not in runs:
            np.save(root / f"{name}.npy", random_array(name))
            out = root / name
            argv = ("train", "--data", root / f"{name}.npy", "--out", out, *ANY[name][2], *SMALL)
            with pytest.raises(SystemExit) as stop:
                ancestral.faces.command.main([str(word) for word in argv])
            assert stop.value.code == 0
            runs[name] = out
        return runs[name]

    return get


@pytest.mark.long
@pytest.mark.parametrize("name", ANY)
def test_trains_samples_and_says_what_it_is(run, trained, tmp_path, name):
    shape, dtype, _ = ANY[name]
    folder = trained(name)
    with Image.open(folder / "samples" / "000003.png") as picture:
        assert picture.mode == "RGB"
        assert picture.height > 100
    run("sample", folder, "-n", "3", "--steps", "2", "--out", tmp_path / "x.npz", "--gif", tmp_path / "x.gif",
        "--film", tmp_path / "f.png")  # fmt: skip
    key = {3: "signals", 4: "images", 5: "volumes"}[len(shape)]
    with np.load(tmp_path / "x.npz") as arrays:
        items = arrays[key]
    assert (items.dtype, items.shape) == (dtype, (3, *shape[1:]))
    assert np.array_equal(items, ancestral.load(folder).sample(3, steps=2).numpy())
    if dtype == "float32":
        assert 19.9 < items.min() < items.max() < 30.1
    with Image.open(tmp_path / "x.gif") as movie:
        assert movie.n_frames == 3
    output = run("info", folder)
    assert "x".join(map(str, shape[1:])) in output
    codec = ancestral.load(folder).spec.codec
    low, high = codec.ranges[0] if codec.ranges else codec.limits
    assert f"{'float' if dtype == 'float32' else dtype} from {low:g} to {high:g}" in output


def test_what_was_sampled_is_data_again(run, trained, tmp_path):
    for name in ("signals", "volumes", "rectangles"):
        folder = trained(name)
        run("sample", folder, "-n", "4", "--steps", "1", "--out", tmp_path / f"{name}.npz")
        assert ancestral.data.load(str(tmp_path / f"{name}.npz")).shape == ancestral.load(folder).spec.shape


def test_pngs_with_four_channels(run, trained, tmp_path):
    out = run("sample", trained("bytes4"), "-n", "2", "--steps", "1", "--out", tmp_path / "pngs")
    assert "mean of each channel: samples " in out
    with Image.open(tmp_path / "pngs" / "000001.png") as image:
        assert image.mode == "RGBA"
        pixels = np.asarray(image).transpose(2, 0, 1)
    assert np.array_equal(pixels, ancestral.load(trained("bytes4")).sample(2, steps=1)[1].numpy())


@pytest.mark.long
def test_a_folder_of_sixteen_bit_files_from_end_to_end(run, tmp_path):
    source, out = tmp_path / "deep", tmp_path / "run"
    source.mkdir()
    for number in range(8):
        Image.fromarray(RNG.integers(0, 65536, (8, 8), dtype=np.uint16)).save(source / f"{number}.png")
    run("train", "--data", source, "--image-size", "8", "--channels", "1", "--out", out, *SMALL)
    assert ancestral.load(out).spec.codec.kind == "uint16"
    run("sample", out, "-n", "3", "--steps", "2", "--out", tmp_path / "pngs")
    with Image.open(tmp_path / "pngs" / "000002.png") as image:
        assert image.mode == "I;16"
        assert np.array_equal(np.asarray(image), ancestral.load(out).sample(3, steps=2)[2, 0].numpy())
    assert torch.equal(ancestral.data.load(str(tmp_path / "pngs")).items, ancestral.load(out).sample(3, steps=2))
    run("evaluate", out, "--likelihood", "-n", "4", "--passes", "3")
    tree = json.loads((out / "evaluation" / "likelihood.json").read_text())
    assert tree["settings"]["decoder"] == "exact"
    assert tree["bits_per_dim"]["total"]["mean"] > 8  # random 16-bit numbers have 16


@pytest.mark.long
def test_a_folder_of_images_that_are_no_squares(run, refused, tmp_path):
    """Sides that the network's levels do not divide, padded, from end to end."""
    source, out = tmp_path / "tall", tmp_path / "run"
    source.mkdir()
    for number in range(8):
        Image.fromarray(RNG.integers(0, 256, (40, 24, 3), dtype=np.uint8)).save(source / f"{number}.png")
    run("train", "--data", source, "--image-size", "21x13", "--fit", "pad", "--out", out, *SMALL)
    assert ancestral.load(out).sample(2, steps=1).shape == (2, 3, 21, 13)
    config = ancestral.load(out).config.data
    assert (config.image_size, config.fit) == ("21x13", "pad")
    assert "--image-size 21x13" in refused("train", "--out", out, "--resume", "--image-size", "21")
    Image.new("RGB", (50, 50)).save(source / "square.png")  # other data is brought to the size of the model
    run("evaluate", out, "--data", source, "--likelihood", "-n", "4", "--passes", "2")
    command = run(
        "doctor", source, "--image-size", "21x13", "--fit", "pad", "--steps", "0", "--out", tmp_path / "s.png"
    )
    assert f"ancestral train folder --data {source} --image-size 21x13 --fit pad" in command


def test_doctor_says_what_an_array_was_taken_for(run, tmp_path):
    np.save(tmp_path / "x.npy", RNG.integers(0, 256, (12, 4, 32), dtype=np.uint8))
    words, says = ("--steps", "0", "--out", tmp_path / "sheet.png"), "--dims 1 reads signals of 4 channels"
    assert says in run("doctor", tmp_path / "x.npy", *words)
    assert says not in run("doctor", tmp_path / "x.npy", "--dims", "1", *words)
