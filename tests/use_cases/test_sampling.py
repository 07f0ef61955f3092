"""`ancestral sample`: items of a seed by index and label, the recipe in a PNG, and files that are never overwritten."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral import __version__, model, samplers
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.events import Message, State, Work, finish
from ancestral.config.request import Request
from ancestral.declarations import Sample
from ancestral.render import writers
from ancestral.training import Snapshots
from tiny_models import events_of, untrained

sample = events_of(Sample)

pytestmark = pytest.mark.usefixtures("figures")

FEW = ("--steps", 3)


@pytest.fixture
def copied(tiny_run, tmp_path, monkeypatch):
    """A run folder without samples, and the working folder beside it."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_run.path / name, folder)
    monkeypatch.chdir(tmp_path)
    return folder


def array(path):
    with np.load(path) as arrays:
        return arrays["images"], arrays["labels"]


# -- states -----------------------------------------------------------------------------------------------------------


def test_each_batch_shows_its_states_and_the_last_ones_are_the_samples(copied):
    events = list(sample(copied, n=5, steps=3, batch_size=2, out="five.npz"))
    states = [event for event in events if isinstance(event, State)]
    assert [(*state.positions, state.index) for state in states] == [
        (*batch, index) for batch in ((0, 1), (2, 3), (4,)) for index in range(4)
    ]
    assert {(state.total, state.count, state.task) for state in states} == {(4, 5, "5 images")}
    assert [state.t for state in states[:4]] == [1000, 667, 333, 0]
    last = torch.cat([state.x for state in states if state.index == 3])
    assert np.array_equal(last, array("five.npz")[0])
    assert not torch.equal(states[1].x, states[1].x0)
    # a face gets the work before the state that it led to
    assert all(isinstance(events[events.index(state) - 1], Work) for state in states)


# -- items and labels -------------------------------------------------------------------------------------------------


def test_single_items_of_a_seed(run, copied):
    whole = ancestral.load(copied, "cpu").sample(10, steps=3)
    run("sample", copied, *FEW, "--index", 7, 9, "--out", "two.npz")
    images, labels = array("two.npz")
    assert np.abs(images.astype(int) - whole[[7, 9]].numpy()).max() <= 1
    assert labels.tolist() == [1, 1]  # item i of all classes in turn
    run("sample", copied, *FEW, "--index", 7, "--out", "one")
    with Image.open("one/000007.png") as image:
        assert np.array_equal(np.asarray(image), images[0, 0])
    assert run("sample", copied, *FEW, "--index", 7, 9).strip() == str(copied / "samples" / "seed0-index7_9-steps3.png")


def test_several_labels_take_turns(run, copied):
    run("sample", copied, *FEW, "-n", 5, "--label", "horizontal", 0, "none", "--out", "three.npz")
    assert array("three.npz")[1].tolist() == [1, 0, -1, 1, 0]
    loaded = ancestral.load(copied, "cpu")
    mixed = loaded.sample(5, steps=3, label=[1, "vertical", "none"])
    assert torch.equal(mixed, torch.from_numpy(array("three.npz")[0]))
    alone = loaded.sample(steps=3, label=0, indices=[4])
    assert (alone[0].int() - mixed[4].int()).abs().max() <= 1
    assert loaded.labels([7, 9], ["vertical", "horizontal", "none"]).tolist() == [1, 0]


def test_each_column_of_a_grid_has_one_of_several_labels(run, copied):
    run("sample", copied, *FEW, "-n", 18, "--label", 0, 1, "none", "--no-captions", "--out", "grid.png")
    with Image.open("grid.png") as image:
        assert image.width / image.height == pytest.approx((6 * 10 + 2) / (3 * 10 + 2))  # tiles of 8 pixels and a gap


def test_python_gives_a_sampler_and_files_of_the_kinds_that_are_written(copied):
    instance = finish(sample(copied, 2, sampler=samplers.UniPC(steps=3, clip=1.0), out=copied / "own.npz"))
    named = finish(sample(copied, 2, sampler="unipc:steps=3", out=copied / "named.npz"))
    assert array(copied / "own.npz")[0].tolist() == array(copied / "named.npz")[0].tolist()
    assert instance.sampler == named.sampler
    for name, path in (("gif", "x.txt"), ("film", "x.gif")):
        with pytest.raises(InputError, match=f"{name} writes .* files, not {path}"):
            sample(copied, 2, steps=2, **{name: path})


# -- the recipe -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["--label", "horizontal", "none", "--guidance", "2", "--seed", "5"],
        ["--index", "7", "3", "--sampler", "heun:churn=10,steps=4"],
        ["--sampler", "dpm-sde", "--eta", "0.5"],
    ],
    ids=str,
)
def test_a_picture_is_repeated_by_its_recipe(run, copied, words):
    steps = [] if "--sampler" in words and "steps" in " ".join(words) else FEW
    run("sample", copied, "-n" if "--index" not in words else "--batch-size", 4, *steps, *words, "--out", "a.png")
    run("sample", copied, "--like", "a.png", "--out", "b.png", "--film", "c.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert Request.read("c.png") == Request.read("a.png")
    saved_recipe = Request.read("a.png")
    assert saved_recipe.model == storage.sha256(copied / "model.safetensors")
    assert saved_recipe.version == __version__
    assert "steps=" in saved_recipe.sampler
    assert "spacing=" in saved_recipe.sampler


def test_single_pictures_have_recipes_of_their_own(run, copied):
    run("sample", copied, *FEW, "--index", 4, 7, "--seed", 3, "--out", "ones")
    saved_recipe = Request.read("ones/000007.png")
    assert (saved_recipe.seed, saved_recipe.indices, saved_recipe.label, saved_recipe.single) == (
        3,
        (7,),
        ("horizontal",),
        True,
    )
    run("sample", copied, "--like", "ones/000007.png", "--out", "again.png")
    with Image.open("ones/000007.png") as image, Image.open("again.png") as again:
        assert again.size == (8, 8)
        assert np.abs(np.asarray(image).astype(int) - np.asarray(again)).max() <= 1  # it was in a batch of two
    assert Request.read("again.png") == saved_recipe


def test_one_sample_is_its_picture_which_can_be_edited_and_a_grid_on_request(run, copied):
    """Also by its index, with a label, and where it is made again."""
    for words in (["-n", 1], ["--index", 7, "--label", "vertical"]):
        name = f"one{len(words)}"
        run("sample", copied, *FEW, *words, "--out", f"{name}.png")
        run("sample", copied, *FEW, *words, "--out", f"{name}.npz")
        with Image.open(f"{name}.png") as image:
            assert image.mode == "L"
            assert np.array_equal(np.asarray(image), array(f"{name}.npz")[0][0, 0])
        run("sample", copied, "--like", f"{name}.png", "--out", f"{name}-again.png")
        assert Path(f"{name}-again.png").read_bytes() == Path(f"{name}.png").read_bytes()
        run("edit", copied, "vary", f"{name}.png", "-n", 1, "--steps", 2, "--out", f"{name}-edited.png")
        run("sample", copied, "--like", f"{name}.png", "--captions", "--out", f"{name}-grid.png")
        run("sample", copied, "--like", f"{name}-grid.png", "--out", f"{name}-grid-again.png")
        with Image.open(f"{name}-grid.png") as grid, Image.open(f"{name}-grid-again.png") as again:
            assert min(grid.size) > 100
            assert np.array_equal(np.asarray(grid), np.asarray(again))


@pytest.mark.parametrize("name", ["seed", "n", "index", "label", "guidance", "steps", "sampler"])
def test_settings_that_a_picture_holds_are_refused_beside_it(copied, name):
    value = {"index": (1,), "label": 0, "guidance": 2.0, "sampler": "heun"}.get(name, 3)
    with pytest.raises(InputError, match=f"leave {name} out"):
        finish(sample(copied, like="a.png", **{name: value}))
    assert not (copied / "samples").exists()


def test_a_picture_of_another_model_is_refused(run, refused, copied, tmp_path):
    run("sample", copied, *FEW, "-n", 1, "--out", "a.png")
    other = tmp_path / "other.safetensors"
    untrained((1, 8, 8)).save(other)
    message = refused("sample", other, "--like", "a.png")
    assert storage.sha256(other)[:12] in message
    assert storage.sha256(copied / "model.safetensors")[:12] in message


def test_a_picture_of_another_version_is_repeated_with_a_word_of_warning(run, copied, tmp_path):
    run("sample", copied, *FEW, "-n", 1, "--out", "a.png")
    old = dataclasses.replace(Request.read("a.png"), version="0.1.9")
    writers.write_picture(tmp_path / "old.png", Image.new("L", (2, 2)), old.to_json())
    assert "by ancestral 0.1.9" in run("sample", copied, "--like", "old.png")


def test_a_model_in_no_file_writes_no_recipe(tmp_path):
    denoiser = untrained((1, 8, 8))
    finish(sample(denoiser, 1, steps=2, out=tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as image:
        assert image.info == {}


def test_each_sampler_has_a_name_with_all_its_settings():
    for name, default in samplers.BY_NAME.items():
        assert samplers.from_name(model.sampler_name(default)) == default, name
    odd = samplers.DDIM(steps=None, eta=2e-5, clip=None, spacing="logsnr")
    assert samplers.from_name(model.sampler_name(odd)) == odd


# -- files ------------------------------------------------------------------------------------------------------------


def test_no_file_is_overwritten(run, copied):
    words = ("sample", copied, *FEW, "-n", 2, "--gif", "--film")
    first, second = run(*words).split(), run(*words).split()
    stem = str(copied / "samples" / "seed0-steps3")
    assert first == [f"{stem}.png", f"{stem}.gif", f"{stem}-film.png"]
    assert second == [f"{stem}-2.png", f"{stem}-2.gif", f"{stem}-film-2.png"]
    for one, other in zip(first, second, strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()  # no dates
    for n, name in ((2, "demo.npz"), (3, "demo-2.npz"), (3, "demo-3.npz")):
        assert run("sample", copied, *FEW, "-n", n, "--out", "demo.npz").split() == [name]
    assert len(array("demo.npz")[0]) == 2


def test_two_commands_at_once_write_two_files(run, copied, monkeypatch):
    write, others = writers.write_picture, []

    def while_another_writes(path, *rest):
        if not others:
            others.append("begun")
            others[:] = finish(sample(copied, 3, steps=3, device="cpu")).paths
        write(path, *rest)

    monkeypatch.setattr(writers, "write_picture", while_another_writes)
    (first,) = finish(sample(copied, 2, steps=3, device="cpu")).paths
    (other,) = others
    assert Path(first).name == "seed0-steps3-2.png"
    assert (Request.read(first).n, Request.read(other).n) == (2, 3)
    assert {path.name for path in Path(first).parent.iterdir()} == {"seed0-steps3.png", "seed0-steps3-2.png"}


def test_an_animation_has_the_frames_and_the_size_of_the_options(run, copied):
    words = ("sample", copied, "-n", 1, "--sampler", "ddpm", "--steps", 25, "--no-captions")
    usual, other = (run(*words, "--out", f"{name}.gif", *more).strip() for name, more in (
        ("a", ()), ("b", ("--fps", 4, "--scale", 0.5))))  # fmt: skip
    with Image.open(usual) as first, Image.open(other) as second:
        assert (first.n_frames, second.n_frames) == (20, 10)
        assert first.info["duration"] == 120  # 1/8 s, in the 0.01 s of a GIF
        assert second.info["duration"] == 250
        assert [2 * side for side in second.size] == list(first.size)
    assert run(*words, "--out", "c.png", "--film", "d.png", "--gif", "e.mp4", "--fps", 1).split() == [
        "c.png", "e.mp4", "d.png"]  # fmt: skip
    with Image.open("d.png") as film:
        assert film.width > 1000  # 12 states, though the animation has two


def test_mp4_without_its_package_is_refused_before_sampling(refused, copied, monkeypatch):
    monkeypatch.setattr("ancestral.render.writers.find_spec", lambda name: None)
    assert "MP4 files need the package av" in refused("sample", copied, *FEW, "-n", 2, "--gif", "x.mp4")


def test_a_long_list_of_indices_makes_no_long_name(run, copied):
    (path,) = run("sample", copied, "--steps", 1, "--index", *range(60)).split()
    assert len(path.rpartition("/")[2]) <= 110


def test_samples_of_a_lone_model_file_go_to_the_working_folder(run, copied, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shutil.copy(copied / "model.safetensors", shared / "tiny.safetensors")
    (path,) = run("sample", shared / "tiny.safetensors", *FEW, "-n", 1).split()
    assert path == "samples/seed0-steps3.png"
    assert [path.name for path in shared.iterdir()] == ["tiny.safetensors"]
    loaded = ancestral.load(copied, "cpu")
    assert finish(sample(loaded, 1, steps=3)).paths == (str(copied / "samples" / "seed0-steps3.png"),)


def test_samples_beside_other_images_are_reported(copied, tmp_path):
    """A model file does not know where its data lie, nor that these are data of another training."""
    lone = shutil.copy(copied / "model.safetensors", tmp_path / "lone.safetensors")

    def warnings(**options):
        notes = [event.text for event in sample(lone, 2, steps=2, **options) if isinstance(event, Message)]
        return [note for note in notes if note.startswith("warning: ")]

    for number, options in enumerate(
        ({"out": "cats0/new.png"}, {"out": "cats1/some"}, {"out": "x.npz", "film": "cats2/film.png"})
    ):
        cat = tmp_path / f"cats{number}" / "cat.png"
        cat.parent.mkdir()
        Image.new("L", (8, 8)).save(cat)
        (note,) = warnings(**options)
        assert str(Path(cat.parent.name, "cat.png")) in note
    assert warnings(out="cats0/more.png") == warnings(out="cats2/more.png") == []  # it was said
    for name in ("one.png", "two.png"):  # beside a sample, but no other image
        assert warnings(out=tmp_path / "pictures" / name) == []
    assert warnings() == []  # in samples/
    Image.new("L", (8, 8)).save(tmp_path / "cat.jpg")
    assert len(warnings()) == 1
    assert warnings(out="large") == []
    Image.new("L", (8, 8)).save(copied / "samples.png")
    assert warnings(out=copied / "samples" / "new.png") == []  # pictures of a run are no data


# -- autoguidance -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    """A run on two moons, with snapshots."""
    folder = tmp_path_factory.mktemp("moons") / "run"
    options = {"steps": 40, "batch_size": 32, "warmup": 1, "width": 16, "trackers": ("none",), "device": "cpu"}
    ancestral.train("points", out=folder, snapshots=5, lr=0.02, **options)
    return folder


def points(path):
    with np.load(path) as arrays:
        return torch.from_numpy(next(iter(arrays.values())))


def test_a_snapshot_of_the_run_is_the_weaker_model(run, refused, moons, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = ancestral.load(moons, "cpu")
    weak = ancestral.load_snapshot(moons, 17, "cpu")
    assert Snapshots(moons / "snapshots").steps() == [8, 16, 24, 32, 40]
    assert (weak.step, weak.average, weak.file) == (16, 0.05, moons / "snapshots" / "000016.safetensors")
    assert "points" in str(ancestral.load_snapshot(model, 1000).config.preset)
    assert ancestral.load_snapshot(model, 1000).step == 40
    printed = run("sample", moons, *FEW, "-n", 50, "--guidance", 2, "--weak", 17, "--out", "auto.npz")
    assert "the weaker model is the run at step 16, the nearest of its snapshots" in printed
    plain, auto = model.sample(50, steps=3), points("auto.npz")
    assert torch.equal(auto, model.sample(50, steps=3, guidance=2.0, weak=weak))
    assert torch.equal(auto, points_of(model, 50, guidance=2.0, weak=16))
    assert (auto - plain).abs().max() > 0.01
    torch.testing.assert_close(model.sample(50, steps=3, guidance=2.0, weak=model), plain, rtol=1e-4, atol=1e-5)
    run("sample", moons, *FEW, "-n", 50, "--guidance", 2, "--weak", 16, "--out", "auto.png")
    run("sample", moons, "--like", "auto.png", "--weak", 15, "--out", "again.png")
    with Image.open("auto.png") as one, Image.open("again.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))
    assert "--weak" in refused("sample", moons, "--like", "auto.png", "--weak", 30)


def points_of(model, n, **options):
    finish(sample(model, n, steps=3, out=Path("of-python.npz"), **options))
    return points("of-python.npz")


def test_a_run_without_snapshots_has_no_weaker_model(copied):
    with pytest.raises(InputError, match="snapshots are in a run folder"):
        ancestral.load_snapshot(untrained(), 3)
    (copied / "snapshots").mkdir()
    storage.write_tensors(copied / "snapshots" / "000003.safetensors", {"x": torch.zeros(1)}, {"format": "other"})
    with pytest.raises(InputError, match="is no snapshot of step 3"):
        ancestral.load_snapshot(copied, 3)
