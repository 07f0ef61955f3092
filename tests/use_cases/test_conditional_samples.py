"""Files of samples with conditions: what they are conditioned on is in each, and the recipe repeats them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import ancestral
from ancestral.conditions import Classes, Image, Vector
from ancestral.config.request import Request
from ancestral.model import Model
from ancestral.model.sample_conditioning import read_conditioning
from ancestral.page.web_page import facts
from ancestral.render import pictures
from tiny_models import untrained

pytestmark = pytest.mark.usefixtures("figures")

FEW = ("--steps", 3)
LIMITS = (0.0, 255.0)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model of 8×8 pixels with conditions of each kind, in the working folder, and images for them."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(2)
    conditions = {
        "low": Image(1, LIMITS, (4, 4), made_by="upscale:2"),
        "known": Image(2, LIMITS, (8, 8), masked=True, made_by="mask"),
        "angle": Vector((45.0,), (20.0,)),
        "hair": Classes(("dark", "fair")),
    }
    made = untrained((1, 8, 8), ("a", "b"), conditions=conditions)
    made.save(tmp_path / "m" / "model.safetensors")
    for number in range(3):
        (tmp_path / "small" / "sub").mkdir(parents=True, exist_ok=True)
        place = "small/sub/two.png" if number == 2 else f"small/{'zero' if number == 0 else 'one'}.png"
        PillowImage.fromarray(levels(number)).save(tmp_path / place)
    return ancestral.load("m", "cpu")


def levels(number):
    return np.random.default_rng(number).integers(0, 256, (4, 4), dtype=np.uint8)


def names_below(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).glob("**/*.png")}


def pixels(path):
    with PillowImage.open(path) as image:
        return np.asarray(image)


def test_a_folder_gives_a_sample_of_each_file_by_the_name_of_the_file(run, model):
    run("sample", "m", *FEW, "--given", "low=small", "--given", "angle=30", "--out", "large")
    files = ["one", "sub/two", "zero"]
    assert names_below("large") == {f"{file}.png" for file in files}
    numbers = [1, 2, 0]
    low = [torch.from_numpy(levels(number)) for number in numbers]
    expected = model.sample(steps=3, given={"low": low, "angle": 30.0})
    for row, file in enumerate(files):
        assert np.array_equal(pixels(f"large/{file}.png"), expected[row, 0].numpy())
        one = Request.read(f"large/{file}.png")
        assert one.indices == (row,)
        assert one.given["angle"] == ("30",)
        assert one.given["low"][0].name == f"{file.rpartition('/')[2]}.png"
    run("sample", "m", "--like", "large/sub/two.png", "--given", "low=small/sub/two.png", "--out", "again.png")
    assert (pixels("again.png").astype(int) - pixels("large/sub/two.png")).max() <= 1  # it was in a batch of three


def test_files_of_several_folders_are_paired_by_their_names(refused, model):
    for number, stem in enumerate(("a", "a.c", "b")):
        grey = levels(number)
        masked = np.dstack([grey.repeat(2, 0).repeat(2, 1), np.full((8, 8), 255, np.uint8)])
        for image, path in ((grey, f"la/{stem}.bmp"), (masked, f"known/{stem}.png")):  # a.bmp, a.c.bmp; a.c.png, a.png
            Path(path).parent.mkdir(exist_ok=True)
            PillowImage.fromarray(image).save(path)
    values = read_conditioning(model.spec, None, {"known": "known", "low": Path("la")}).values
    assert [Path(name).name for name in values["low"].names] == ["a.c.bmp", "a.bmp", "b.bmp"]
    for known, low in zip(values["known"].rows, values["low"].rows, strict=True):
        assert torch.equal(known[0, ::2, ::2], low[0])
    Path("la/b.bmp").unlink()
    np.save("la/b.npy", np.stack([levels(2), levels(2)]))
    said = refused("sample", "m", "--given", "low=la", "--given", "known=known")
    assert "files of known hold other numbers of images than those of low: give as many in each" in said
    Path("known/a.png").unlink()
    for words in (("low=la", "known=known"), ("known=known", "low=la")):
        said = refused("sample", "m", *[word for value in words for word in ("--given", value)])
        assert "known has no partner for 1 of 3 files of low (a.bmp): give each a file of the same name there" in said


def test_guidance_needs_a_condition_that_was_absent_in_training(run, model):
    config = dataclasses.replace(model.config, train=dataclasses.replace(model.config.train, condition_dropout=0.0))
    conditions = {"low": Image(1, LIMITS, (4, 4)), "angle": Vector((45.0,), (20.0,))}
    made = untrained((1, 8, 8), conditions=conditions)
    Model(made.denoiser, made.spec, config).save("always/model.safetensors")
    words = ("--given", "low=small", "--given", "angle=30")
    said = run("sample", "always", *FEW, *words, "--guidance", "low=2", "angle=1")
    assert "always was trained with --condition-dropout 0, so guidance compares with estimates without low that" in said
    assert [path.stem for path in Path("samples").iterdir()] == [
        "seed0-steps3-lowone_two_zero-angle30-guidance-low2_angle1"
    ]
    assert "never learned" not in run("sample", "always", *FEW, *words)


def test_several_samples_of_each_file_have_their_numbers_too(run, model):
    run("sample", "m", *FEW, "--given", "low=small", "-n", 4, "--out", "large")
    assert names_below("large") == {"one-000000.png", "sub/two-000001.png", "zero-000002.png", "one-000003.png"}
    words = ["--given", "low=small/one.png", "--label", "none", "-n", 2, "--out", "of-one"]
    assert "classes in turn" not in run("sample", "m", *FEW, *words)
    assert names_below("of-one") == {"000000.png", "000001.png"}


def test_a_grid_has_the_conditions_beside_the_samples_and_is_repeated(run, refused, model):
    words = ["--given", "low=small", "--given", "angle=30", "--given", "angle=60.5", "--given", "hair=fair"]
    run("sample", "m", *FEW, *words, "-n", 3, "--out", "a.png")
    given = {"low": [torch.from_numpy(levels(number)) for number in (1, 2, 0)], "angle": [30, 60.5], "hair": "fair"}
    samples, low = model.sample(3, steps=3, given=given), torch.stack(given["low"])[:, None]
    captions = ["angle 30, hair fair", "angle 60.5, hair fair", "angle 30, hair fair"]
    drawn = pictures.picture(
        samples, None, 500, LIMITS, captions, pictures.ContextColumns([pictures.ContextColumn("low", low, LIMITS)])
    )
    assert np.array_equal(pixels("a.png"), np.asarray(drawn))
    run("sample", "m", "--like", "a.png", "--given", "low=small", "--out", "b.png")
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()
    assert "--given low=..." in refused("sample", "m", "--like", "a.png")
    said = refused("sample", "m", "--like", "a.png", "--given", "low=small/one.png")
    assert "was conditioned on another image low (one.png and others): give that one" in said
    run("sample", "m", *FEW, *words, "-n", 3, "--no-captions", "--out", "plain.png")
    plain = pictures.picture(
        samples, None, 500, LIMITS, None, pictures.ContextColumns([pictures.ContextColumn("low", low, LIMITS)])
    )
    assert np.array_equal(pixels("plain.png"), np.asarray(plain))


def test_an_array_holds_what_each_sample_is_conditioned_on(run, model):
    words = ["--given", "low=small", "--given", "angle=30", "--given", "hair=fair", "--given", "hair=none"]
    run("sample", "m", *FEW, *words, "-n", 4, "--out", "x.npz")
    result = ancestral.sample("m", 3, steps=2, given={"low": "small", "angle": 30}, out="z.npz")
    assert "given low one.png, two.png, zero.png given angle 30" in " ".join(str(result).split())
    with np.load("x.npz") as arrays:
        assert sorted(arrays) == ["angle", "hair", "images", "labels", "low"]
        assert arrays["angle"].tolist() == [[30.0]] * 4
        assert arrays["hair"].tolist() == [1, -1, 1, -1]
        assert [np.array_equal(arrays["low"][row, 0], levels(number)) for row, number in enumerate([1, 2, 0, 1])] == (
            [True] * 4
        )
    run("sample", "m", *FEW, *words[2:], "--given", "low=x.npz", "-n", 4, "--out", "y.npz")
    with np.load("x.npz") as one, np.load("y.npz") as other:
        assert np.array_equal(one["images"], other["images"])


def test_films_and_animations_have_the_conditions_beside_the_samples(run, model):
    known = np.zeros((8, 8, 2), np.uint8)
    known[:, :4] = 255
    PillowImage.fromarray(known, "LA").save("half.png")
    words = ["-n", 2, "--given", "known=half.png", "--out", "a.gif"]
    run("sample", "m", *FEW, *words, "--film", "film.png")
    for name in ("film.png", "a.gif"):
        with PillowImage.open(name) as image:
            drawn = np.asarray(image.convert("RGB")).astype(int)
        square = (abs(drawn - 232).max(2) < 3) | (abs(drawn - 192).max(2) < 3)
        assert square.mean() > 0.01, name


def test_samples_of_points_have_a_colour_for_each_value_unless_they_are_many(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    untrained((2,), conditions={"angle": Vector((45.0,), (20.0,))}).save("p/model.safetensors")
    run("sample", "p", *FEW, "-n", 200, "--given", "angle=30", "--given", "angle=50", "--out", "two.png")
    many = [word for number in range(150) for word in ("--given", f"angle={number}")]
    run("sample", "p", *FEW, *many, "--out", "many.png")
    assert pixels("two.png").shape[1] > pixels("many.png").shape[1]  # by its legend


def test_numbers_beyond_the_data_have_a_note_and_those_far_beyond_are_refused(run, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kinds = {
        "age": Vector.of(torch.tensor([[3.0], [98.0]])),
        "pose": Vector((0.0, 0.0), (1.0, 1.0), ("yaw", "pitch"), low=(-9.0, -1.0), high=(9.0, 1.0)),
        "old": Vector((0.0,), (1.0,)),  # whose range is not known
    }
    untrained((2,), conditions=kinds).save("p/model.safetensors")
    given = ("--given", "age=98", "--given", "pose=4,-2", "--given", "old=1e9", "--given", "age=1000")
    text = run("sample", "p", "-n", 2, "--sampler", "ddim", "--steps", 2, "--out", "x.npz", *given)
    assert "--given age=1000 lies beyond the data of the model (3 to 98): it saw nothing like it" in text
    assert "--given pose=4,-2 lies beyond the data of the model (pitch is -1 to 1)" in text
    assert text.count("beyond the data") == 2
    near = run("sample", "p", *FEW, "--given", "age=102", "--avoid", "age=104", "--guidance", 2, "--out", "y.npz")
    assert "--given age=102" not in near  # less than 5 % of the range beyond it
    assert "--avoid age=104 lies beyond the data of the model (3 to 98)" in near
    far = refused("sample", "p", *FEW, "--given", "pose=4,-42", "--out", "z.npz")
    assert "pose cannot be 4,-42: the model was trained on pitch is -1 to 1; give numbers in the units" in far
    assert facts(ancestral.load("p"))["conditions"]["age"]["high"] == (98.0,)  # the sliders of the page
    assert Path("x.npz").exists()


def test_a_model_and_its_training_say_its_conditions(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    np.savez("x.npz", images=images, yaw=np.linspace(0, 90, 12), labels=np.arange(12) % 2)
    words = ["--steps", 2, "--batch-size", 4, "--width", 16, "--sample-every", 2, "--preview-steps", 2]
    text = run("train", "--data", "x.npz", "--out", "r", "--given", "yaw", "--given", "upscale:2", *words)
    assert text.rstrip().endswith("ancestral sample r --gif --film --given yaw=45 --given low=small.png")
    for said in (text, run("info", "r"), Path("r/report.html").read_text()):
        assert "45 ± 28.24" in said
        assert "an image of 1x4x4, made by upscale:2" in said
    info = ancestral.info("r")
    assert type(info).from_json(info.to_json()) == info
