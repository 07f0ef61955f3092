"""`ancestral edit`: files of an edit, the recipe that repeats it, and images of any size."""

import errno
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Message, State, Work, Wrote, finish
from ancestral.config.request import Request
from ancestral.declarations import Edit
from ancestral.model import masks
from ancestral.render import writers
from ancestral.results.sampling_result import EditingResult
from tiny_models import but_one_long, events_of, untrained

edit = events_of(Edit)

FEW = ("--steps", 3)


def picture(height, width, channels=3):
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / 7 + c) * np.cos(y / 9 - c) for c in range(channels)]
    return np.stack(waves, -1).astype(np.uint8)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with models, images and masks."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    untrained((3, 8, 8), ("cat", "dog")).save(Path("model.safetensors"))
    untrained((1, 8, 8)).save(Path("grey/model.safetensors"))
    untrained((2,)).save(Path("points/model.safetensors"))
    for name, size in (("photo", (8, 8)), ("large", (40, 60)), ("small", (4, 4)), ("other", (8, 8))):
        Image.fromarray(picture(*size)[..., :: -1 if name == "other" else 1]).save(f"{name}.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 3:8] = 255
    Image.fromarray(mask).save("mask.png")
    large = np.zeros((20, 30), np.uint8)
    large[4:14, 10:18] = 255
    Image.fromarray(large).save("large-mask.png")
    Image.fromarray(np.linspace(0, 255, 600).astype(np.uint8).reshape(20, 30) * (large > 0)).save("greys.png")
    return tmp_path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


# -- files ------------------------------------------------------------------------------------------------------------


def test_an_edit_is_a_folder_of_samples_a_map_and_an_overview(run, place):
    printed = run("edit", "model.safetensors", "inpaint", "photo.png", "--mask", "mask.png", *FEW, "--seed", 3)
    folder = Path("edits/photo-inpaint-seed3")
    assert printed.splitlines()[-1] == str(folder)
    assert printed.partition(": ")[0] in ("mmps", "pigdm", "jfps")  # and why
    assert [*files(folder)] == [*(f"00000{i}.png" for i in range(4)), "overview.png", "std.png"]
    photo, changes = picture(8, 8), pixels("mask.png") > 0
    samples = np.stack([pixels(folder / f"00000{i}.png") for i in range(4)])
    assert np.array_equal(samples[:, ~changes], np.stack([photo[~changes]] * 4))
    assert all(not np.array_equal(samples[i, changes], samples[j, changes]) for i in range(4) for j in range(i))
    saved = Request.read(folder / "000002.png")
    assert (saved.edit.task, saved.n, saved.seed, saved.edit.part) == ("inpaint", 4, 3, "000002")
    assert saved.model == storage.sha256(Path("model.safetensors"))
    run("edit", "model.safetensors", "inpaint", "photo.png", "--box", "3,2,5,4", *FEW, "--seed", 3)
    again = Path("edits/photo-inpaint-seed3-2")
    assert np.array_equal(pixels(again / "000001.png"), samples[1])


def test_python_returns_what_the_files_hold(place):
    model = ancestral.load("model.safetensors", "cpu")
    result = ancestral.edit(
        model, "inpaint", "large.png", mask="large-mask.png", n=3, steps=3, out="x.npz", progress=False
    )
    with np.load("x.npz") as arrays:
        images, std = arrays["images"], arrays["std"]
    expected = model.inpaint("large.png", "large-mask.png", n=3, steps=3)
    assert np.array_equal(images, expected.numpy())
    deviation = np.sqrt(images.astype(np.float64).var(0, ddof=1).mean(0))
    np.testing.assert_allclose(std, deviation, rtol=1e-5)
    changes = deviation > 0
    assert result.deviation == pytest.approx(deviation[changes].mean(), rel=0.05)
    assert (result.count, result.evaluations, result.paths) == (3, 3, ("x.npz",))
    assert EditingResult.from_json(result.to_json()) == result
    assert "inpaint with model.safetensors, 3 samples" in str(result)
    assert "which was not given" not in str(result)


def test_a_large_image_is_edited_around_the_mask_and_stays_as_it_is_elsewhere(run, place):
    printed = run("edit", "model.safetensors", "inpaint", "large.png", "--mask", "large-mask.png", *FEW, "-n", 1,
                  "--out", "one.png")  # fmt: skip
    assert "pixels around the mask was edited at the 8x8 pixels of the model, of the image of 40x60" in printed
    large, edited = picture(40, 60), pixels("one.png")
    changes = np.kron(pixels("large-mask.png") > 0, np.ones((2, 2), bool))
    assert np.array_equal(edited[~changes], large[~changes])
    assert not np.array_equal(edited[changes], large[changes])
    assert Request.read("one.png").edit.part == "000000"


def test_restore_takes_a_measurement_of_another_size(run, place):
    run("edit", "model.safetensors", "restore", "small.png", "--operator", "upscale:2", *FEW, "--out", "x.npz")
    with np.load("x.npz") as arrays:
        images = arrays["images"]
    model = ancestral.load("model.safetensors", "cpu")
    assert np.array_equal(images, model.restore("small.png", "upscale:2", steps=3).numpy())
    run("edit", "model.safetensors", "restore", "small.png", "--operator", "upscale:2", "--noise", 0.1, *FEW, "-n", 1)
    assert [*files("edits/small-restore-seed0")] == ["000000.png", "overview.png"]


def test_film_labels_indices_and_captions(run, place):
    words = ["--index", 5, 2, "--label", "dog", "--film", *FEW]
    run("edit", "model.safetensors", "inpaint", "photo.png", "--mask", "mask.png", *words, "--out", "new")
    assert [*files("new")] == ["000002.png", "000005.png", "film.png", "overview.png", "std.png"]
    assert Request.read("new/film.png").label == ("dog",)
    run("edit", "model.safetensors", "inpaint", "photo.png", "--mask", "mask.png", *words, "--out", "new.png")
    assert Path("new-film.png").exists()
    other = ["--label", "cat", "--index", 5, 2, *FEW, "--out", "cat"]
    run("edit", "model.safetensors", "inpaint", "photo.png", "--mask", "mask.png", *other)
    assert not np.array_equal(pixels("cat/000005.png"), pixels("new/000005.png"))


@pytest.mark.parametrize("shape", [(1, 32), (1, 8, 8, 8), (5, 8, 8)], ids=str)
def test_what_a_png_cannot_hold_is_an_array_and_an_overview(place, figures, shape):
    model = untrained(shape, mults=(1,))
    values = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    item = values if len(shape) == 3 else (values / 127.5 - 1).astype(np.float32)
    mask = np.zeros(shape[1:], bool)
    mask[:3] = True
    result = finish(edit(model, "inpaint", item, mask=mask, steps=2, n=2))
    (folder,) = map(Path, result.paths)
    assert folder == Path("edits/image-inpaint-seed0")
    assert [*files(folder)] == ["overview.png", "samples.npz"]
    with np.load(folder / "samples.npz") as arrays:
        samples = arrays[writers.array_name(shape)]
        assert arrays["std"].shape == shape[1:]
    assert np.allclose(samples[:, :, 3:], np.stack([item[:, 3:]] * 2), atol=1e-6)


def test_progress_is_counted_in_steps_and_the_method_is_said_first(place):
    events = list(edit("model.safetensors", "inpaint", "photo.png", mask="mask.png", steps=3, n=3, batch_size=2))
    assert isinstance(events[0], Message)
    work = [event for event in events if isinstance(event, Work)]
    assert work[-1].done == work[-1].total
    assert work[-1].task == "3 samples"


def test_states_have_the_known_pixels_and_those_of_a_large_image_are_a_window(place):
    known = ~masks.read_mask("mask.png", (8, 8)).mask
    for image, change, noise in (("photo.png", {"mask": "mask.png"}, 0.3), ("large.png", {"box": "20,10,15,20"}, None)):
        events = edit("model.safetensors", "inpaint", image, **change, noise=noise, steps=2, n=3, batch_size=2)
        states = [event for event in events if isinstance(event, State)]
        assert [(state.index, *state.positions) for state in states] == [
            *[(index, 0, 1) for index in range(3)],
            *[(index, 2) for index in range(3)],
        ]
        assert all(state.x0.shape == (len(state.positions), 3, 8, 8) for state in states)
        if image == "photo.png":
            photo = torch.from_numpy(pixels(image).copy()).movedim(-1, 0)[:, known]
            assert all(torch.equal(state.x0[:, :, known], photo.expand(len(state.x0), -1, -1)) for state in states)
            assert torch.equal(states[2].x, states[2].x0)


def test_states_of_an_extended_image_are_whole_images(place):
    events = list(edit("model.safetensors", "inpaint", "photo.png", extend="0,0,8,0", steps=2, n=3, batch_size=2))
    states = [event for event in events if isinstance(event, State)]
    assert [(state.index, state.total, *state.positions) for state in states] == [
        *[(index, 6, 0, 1) for index in range(6)],
        *[(index, 6, 2) for index in range(6)],
    ]
    photo = torch.from_numpy(pixels("photo.png").copy()).movedim(-1, 0)
    for state in states:
        assert state.x0.shape == (len(state.positions), 3, 8, 16)
        assert torch.equal(state.x0[..., :8], photo.expand(len(state.x0), -1, -1, -1))
    samples = np.stack([pixels(f"edits/photo-inpaint-seed0/00000{i}.png") for i in range(2)])
    assert np.array_equal(states[5].x.movedim(1, -1).numpy(), samples)


def test_what_a_mask_means_is_said_once_and_may_be_given(run, place):
    """The alpha of the image itself says the same as a mask, and an option turns a mask round."""
    torn = np.dstack([picture(8, 8), 255 - pixels("mask.png")])
    Image.fromarray(torn).save("torn.png")
    sheet = np.zeros((8, 8, 4), np.uint8)
    sheet[..., 3] = 255 - pixels("mask.png")
    Image.fromarray(sheet).save("sheet.png")
    words = ["edit", "model.safetensors", "inpaint"]
    own = run(*words, "torn.png", *FEW, "-n", 1, "--out", "own.png")
    assert own.count("Transparent pixels of the image torn.png change, 31 % of the image.") == 1
    turned = ["photo.png", "--mask", "sheet.png", "--changes", "transparent"]
    printed = run(*words, *turned, *FEW, "-n", 1, "--out", "turned.png")
    assert printed.count("Transparent pixels of the mask sheet.png change, 31 % of the image.") == 1
    run(*words, "photo.png", "--mask", "mask.png", *FEW, "-n", 1, "--out", "one.png")
    assert np.array_equal(pixels("own.png"), pixels("one.png"))
    assert np.array_equal(pixels("turned.png"), pixels("one.png"))
    run(*words, "torn.png", "--like", "own.png", "--out", "again.png")
    assert Path("again.png").read_bytes() == Path("own.png").read_bytes()
    model = ancestral.load("model.safetensors", "cpu")
    edited = model.inpaint("torn.png", n=1, steps=3)
    assert np.array_equal(edited[0].movedim(0, -1).numpy(), pixels("own.png"))
    assert edited.reason.endswith("Transparent pixels of the image torn.png change, 31 % of the image.")


# -- the recipe -------------------------------------------------------------------------------------------------------

EDITS = {
    "inpaint": ["inpaint", "photo.png", "--mask", "mask.png"],
    "large": ["inpaint", "large.png", "--box", "20,10,15,20"],
    "grey": ["inpaint", "large.png", "--mask", "greys.png", "--changes", "grey"],
    "window": ["inpaint", "large.png", "--mask", "large-mask.png"],
    "extended": ["inpaint", "photo.png"],
    "restore": ["restore", "small.png", "--operator", "upscale:2"],
    "restored window": ["restore", "large.png"],
    "vary": ["vary", "photo.png"],
    "varied window": ["vary", "large.png"],
    "interpolate": ["interpolate", "photo.png", "other.png"],
}
OPTIONS = {
    "inpaint": ["--noise", 0.05, "--method", "ddnm", "--label", "dog", "--guidance", 2],
    "large": ["--index", 3, 1, "--soften", 2.5],
    "grey": ["-n", 2, "--soften", 1],
    "window": ["--window", "18,4,24,24", "--soften", 2, "-n", 2],
    "extended": ["--extend", "2,0,5,0", "-n", 2],
    "restore": ["--noise", 0.1, "--sampler", "ddim:eta=0.5"],
    "restored window": ["--noise", 0.3, "--window", "30,20,8,8", "-n", 2],
    "vary": ["--strength", 0.4, "-n", 2],
    "varied window": ["--strength", 0.4, "-n", 2, "--window", "10,5,20,20", "--soften", 3],
    "interpolate": ["-n", 3, "--t", 300],
}


@pytest.mark.parametrize("name", but_one_long(EDITS))
def test_the_recipe_repeats_an_edit_to_the_last_byte(run, place, name):
    run("edit", "model.safetensors", *EDITS[name], *OPTIONS[name], *FEW, "--seed", 5, "--out", "a", "--film")
    part = next(iter(files("a")))
    again = [word for word in EDITS[name] if word not in ("--operator", "upscale:2")]
    run("edit", "model.safetensors", *again, "--like", f"a/{part}", "--out", "b", "--film")
    assert files("a") == files("b")


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(place):
    """Three images, one of them damaged, with a mask for each."""
    for name, mask in (("a", "mask"), ("sub/b", "mask"), ("c", "mask")):
        for folder, file in (("photos", "photo" if name == "a" else "other"), ("masks", mask)):
            path = Path(folder, f"{name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(Path(f"{file}.png").read_bytes())
    Path("photos/broken.png").write_bytes(Path("photo.png").read_bytes()[:90])
    Path("masks/broken.png").write_bytes(Path("mask.png").read_bytes())
    return place


def test_the_images_of_a_folder_are_edited_alike(run, photos):
    """Each as it is alone, with its recipe; one that is damaged is said, and the others follow."""
    printed = run("edit", "model.safetensors", "restore", "photos", "--noise", 0.2, *FEW, "-n", 1, "--seed", 2)
    assert "broken.png is left out: photos/broken.png" in printed
    out = Path("edits/photos-restore-seed2")
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.png")) == ["a.png", "c.png", "sub/b.png"]
    for name, image in (("a", "photo"), ("sub/b", "other")):
        run("edit", "model.safetensors", "restore", f"{image}.png", "--noise", 0.2, *FEW, "-n", 1, "--seed", 2,
            "--out", f"{image}-alone.png")  # fmt: skip
        assert np.array_equal(pixels(out / f"{name}.png"), pixels(f"{image}-alone.png"))
    run("edit", "model.safetensors", "restore", "photos/a.png", "--like", out / "a.png", "--out", "again.png")
    assert (out / "a.png").read_bytes() == Path("again.png").read_bytes()
    run("edit", "model.safetensors", "restore", "photos", "--noise", 0.2, *FEW, "-n", 1, "--seed", 2)
    assert Path("edits/photos-restore-seed2-2/sub/b.png").exists()


@pytest.mark.long
def test_masks_of_a_folder_are_one_for_all_or_paired_by_name(run, photos):
    words = ["edit", "model.safetensors", "inpaint", "photos", *FEW, "-n", 2]
    run(*words, "--mask", "mask.png", "--out", "one")
    run(*words, "--mask", "masks", "--out", "paired")
    assert [*files("one/a")] == ["000000.png", "000001.png", "overview.png", "std.png"]
    for name in ("a", "c", "sub/b"):
        assert np.array_equal(pixels(f"one/{name}/000001.png"), pixels(f"paired/{name}/000001.png"))
    Image.fromarray(255 - pixels("mask.png")).save("masks/c.png")
    run(*words, "--mask", "masks", "--out", "other")
    assert np.array_equal(pixels("one/a/000001.png"), pixels("other/a/000001.png"))
    assert not np.array_equal(pixels("one/c/000001.png"), pixels("other/c/000001.png"))


def test_progress_of_a_folder_names_the_image_and_what_is_finished_stays(photos):
    events = edit("model.safetensors", "vary", "photos", steps=2, n=1, out="out")
    seen = list(itertools.takewhile(lambda event: not isinstance(event, Wrote), events))
    assert {event.task for event in seen if isinstance(event, Work)} == {"image 1 of 4"}
    assert seen[0].text.startswith("a.png: noise to t")
    events.close()
    assert [*files("out")] == ["a.png"]
    result = finish(edit("model.safetensors", "vary", "photos", steps=2, n=1, out="all"))
    assert (result.count, result.task, result.model) == (3, "vary", "model.safetensors")
    assert result.notes[0] == "3 images of 4 were edited."
    assert "photos/broken.png" in result.notes[1]


def test_a_folder_of_which_nothing_can_be_edited_is_refused(refused, photos):
    words = ["edit", "model.safetensors", "restore", "photos"]
    for further, says in (
        (["--operator", "upscale:2"], "no image of the folder can be edited: the image in photos/a.png is 8x8"),
        (["--noise", 0.1, "--like", "a.png"], "--like is of one image, and photos is a folder"),
        (["--sweep", "noise=0.1,0.2"], "--sweep is of one image, and photos is a folder"),
        (["--noise", 0.1, "--film", "film.png"], "--film film.png names one file for all images: give no path"),
        (["--noise", 0.1, "--out", "a.png"], "--out a.png is one file, and photos has many images: give a new folder"),
        (["--noise", 0.1, "--out", "photos/out"], "lies among the images of photos"),
        (["--noise", 0.1, "--out", "grey"], "is not empty"),
    ):
        assert says in refused(*words, *further)
    Path("masks/c.png").unlink()
    assert "--mask masks has no partner for 1 of 4 images (c.png)" in refused(
        "edit", "model.safetensors", "inpaint", "photos", "--mask", "masks"
    )
    Path("empty").mkdir()
    assert "empty: there are no images or recordings" in refused("edit", "model.safetensors", "vary", "empty")


# -- other models and words of Python ---------------------------------------------------------------------------------


def test_a_picture_in_colour_is_made_grey_for_a_model_of_grey_images(run, place):
    printed = run("edit", "grey", "inpaint", "photo.png", "--box", "0,0,3,3", *FEW, "-n", 1, "--out", "x.png")
    assert "photo.png is in colour, and was made grey as the data of the model are" in printed
    assert pixels("x.png").shape == (8, 8)


def test_options_of_python_that_make_no_sense(place):
    for options, says in (
        ({"task": "inpaint", "image": "photo.png", "mask": np.full((8, 8), np.nan)}, "values from nan"),
        ({"task": "inpaint", "image": 5, "box": "0,0,2,2"}, "image cannot be 5"),
        ({"task": "paint", "image": "photo.png"}, "task cannot be 'paint'"),
        ({"task": "restore", "image": torch.zeros(3, 4, 4), "operator": "upscale:2", "mask": 3}, "mask is an option"),
    ):
        with pytest.raises(InputError, match=says):
            ancestral.edit("model.safetensors", **options, progress=False)


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_no_half_written_folder(refused, place, monkeypatch):
    """The third file does not fit."""
    count, save = iter(range(9)), Image.Image.save

    def full(image, path, *args, **options):
        if next(count) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, path, *args, **options)

    before = sorted(place.rglob("*"))
    monkeypatch.setattr(Image.Image, "save", full)
    line = refused("edit", "model.safetensors", "inpaint", "photo.png", "--box", "0,0,2,2", *FEW)
    assert "could not write" in line
    assert "No space left on device" in line
    assert [path for path in sorted(place.rglob("*")) if path.is_file()] == [path for path in before if path.is_file()]


INTERRUPTED = """
import signal, sys
from PIL import Image
from ancestral.faces import command as cli

def interrupted(*args, **options):
    exec("signal.raise_signal(signal.SIGINT)")

Image.Image.save = interrupted
cli.main(sys.argv[1:])
"""


@pytest.mark.long
def test_ctrl_c_leaves_no_half_written_folder(place):
    words = ["edit", "model.safetensors", "inpaint", "photo.png", "--box", "0,0,2,2", "--steps", "3"]
    before = [path for path in sorted(place.rglob("*")) if path.is_file()]
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], cwd=place, capture_output=True, text=True, check=False, timeout=100
    )
    assert ended.returncode == 130
    assert ended.stderr == "ancestral: interrupted\n"
    assert [path for path in sorted(place.rglob("*")) if path.is_file()] == before
