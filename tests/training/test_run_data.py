"""A run knows its data wherever they lie, is named after them, and says what differs when they are others."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral import config as configs
from ancestral import data
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.config import Config
from ancestral.config.run_files import is_run
from ancestral.faces.command import run as run_command
from ancestral.training import RunFolder
from tiny_models import tiny_config

TINY = {"steps": 2, "batch_size": 4, "width": 16, "blocks": 1, "sample_every": 100, "progress": False}
TINY["preview_steps"] = 1


def images(folder, count=12, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def saved(run):
    return Config.from_json((run / "config.json").read_text(encoding="utf-8"))


def test_the_fingerprint_is_that_of_the_data_however_they_are_read(tmp_path):
    first, copy, other = (images(tmp_path / name / "pics", seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    whole, lazy = (data.open(str(first), memory=memory).fingerprint for memory in (1, 0))
    assert whole == lazy == data.open(str(copy)).fingerprint
    assert whole.startswith("12:")
    assert data.open(str(other)).fingerprint != whole
    (copy / "3.png").unlink()
    assert data.open(str(copy)).fingerprint.startswith("11:")
    x = torch.arange(2 * 64, dtype=torch.uint8).reshape(2, 1, 8, 8)
    assert data.open(x).fingerprint == data.open(x.clone()).fingerprint
    assert data.open(x).fingerprint != data.open((x, torch.tensor([0, 1]))).fingerprint


@pytest.mark.long
def test_sub_folders_with_runs_alone_are_no_classes(tmp_path, run):
    pics, note = images(tmp_path / "pics"), "no classes: some images lie outside the sub-folders"
    options = ["--steps", 1, "--batch-size", 4, "--width", 16, "--preview-steps", 1, "--trackers", "none"]
    assert note not in run("train", pics, "--out", pics / "sub" / "x" / "y", *options)
    images(pics / "more" / "still")
    assert note in run("train", pics, "--out", tmp_path / "run", *options)


@pytest.mark.long
def test_a_run_goes_on_from_another_folder_and_with_data_at_another_place(tmp_path, monkeypatch):
    images(tmp_path / "here" / "pics")
    monkeypatch.chdir(tmp_path / "here")
    run = tmp_path / "run"
    ancestral.train(data="pics", out=run, **TINY)
    assert saved(run).data.source == str(tmp_path / "here" / "pics")
    monkeypatch.chdir(tmp_path)
    ancestral.train(out=run, resume=True, **{**TINY, "steps": 3})
    ancestral.train(data="here/pics", out=run, resume=True, **{**TINY, "steps": 4})  # the same folder by another path
    shutil.move(tmp_path / "here" / "pics", tmp_path / "there")
    with pytest.raises(InputError, match=r"say where they are: data=\.\.\."):
        ancestral.train(out=run, resume=True, **{**TINY, "steps": 5})
    assert ancestral.train(data=tmp_path / "there", out=run, resume=True, **{**TINY, "steps": 5}).step == 5
    assert saved(run).data.source == str(tmp_path / "there")


def test_other_data_are_refused_with_what_differs(tmp_path):
    first, other, fewer = (images(tmp_path / n, c, s) for n, c, s in (("a", 12, 0), ("b", 12, 1), ("c", 9, 0)))
    run = tmp_path / "run"
    ancestral.train(data=first, out=run, **TINY)
    for place, message in ((other, "other items or labels, of the same number, 12"), (fewer, "9 items, and had 12")):
        with pytest.raises(InputError, match=f"{message}.*Resuming needs the same data .data='{first}'.; to train .*"
                                             f"start another run from it .initial='{run}', out=....$"):  # fmt: skip
            ancestral.train(data=place, out=run, resume=True, **{**TINY, "steps": 4})
    with pytest.raises(InputError, match=f"moons is not what {run} was trained on: 2-D points .*Resuming needs"):
        ancestral.train(data="moons", out=run, resume=True, **{**TINY, "steps": 4})  # whose options do not apply
    assert saved(run).data.source == str(first)


def test_a_folder_that_may_not_be_read_is_no_run(tmp_path, monkeypatch):
    """So that what reads the folder says why it cannot be read."""

    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", denied)
    assert not is_run(tmp_path)


def test_a_run_that_may_not_be_written_is_called_by_its_own_path(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    with folder.locked():
        monkeypatch.setattr(storage, "write_text", lambda path, text: (_ for _ in ()).throw(OSError(f"in {path}")))
        with pytest.raises(OSError, match=f"in {tmp_path / 'log.csv'}"):
            folder.trim_log(3)


def test_a_class_that_was_renamed_is_named(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("cats", "flags")):
        images(tmp_path / "pics" / name, seed=number)
    ancestral.train(data="pics", out="run", **TINY)
    (tmp_path / "pics" / "flags").rename(tmp_path / "pics" / "banners")
    words = ["train", "--data", "pics", "--out", "run", "--resume", "--steps", 4, "--device", "cpu"]
    assert "class flags is now banners. Resuming needs the same data" in (line := refused(*words))
    assert line.endswith("(--from run, --out ...)\n")
    tree = json.loads((tmp_path / "run" / "config.json").read_text())
    del tree["data"]["fingerprint"], tree["sha256"]  # as of a run that a Trainer began
    (tmp_path / "run" / "config.json").write_text(json.dumps(tree))
    assert "other classes: class flags is now banners. " in refused(*words)


def test_a_config_that_is_not_what_the_run_wrote_is_refused(tmp_path):
    """A flipped bit of a number, an edit and a damaged digest; but not one without its digest, or another layout."""
    folder, config = RunFolder(tmp_path), tiny_config()
    folder.begin(config)
    text = folder.config.read_text(encoding="utf-8")
    assert folder.read_config() == Config.from_json(text) == config
    lr, wrong = (f'"lr": {value}' for value in (config.train.lr, 3 * config.train.lr))
    digest = json.loads(text)["sha256"]
    other = digest.translate(str.maketrans("0123456789", "1234567890"))
    for damaged in (text.replace(lr, wrong), text.replace(digest, other)):
        assert damaged != text
        folder.config.write_text(damaged, encoding="utf-8")
        with pytest.raises(
            InputError, match=r"config\.json is not what the run wrote \(by its SHA-256\): .*\(steps=5000"
        ):
            folder.read_config()
        assert configs.read_config(folder.config).train.batch_size == config.train.batch_size  # as --config reads it
    tree = json.loads(damaged)
    for whole in (json.dumps(json.loads(text), sort_keys=True), json.dumps({**tree, "sha256": digest})):
        folder.config.write_text(whole, encoding="utf-8")
        assert folder.read_config() == config
    del tree["sha256"]
    folder.config.write_text(json.dumps(tree), encoding="utf-8")
    assert folder.read_config() == config


@pytest.mark.long
def test_a_run_without_a_fingerprint_takes_data_of_its_shape(tmp_path):
    """As of a run that a Trainer began."""
    first, other = images(tmp_path / "a"), images(tmp_path / "b", seed=1)
    run = tmp_path / "run"
    ancestral.train(data=first, out=run, **TINY)
    tree = json.loads((run / "config.json").read_text())
    del tree["data"]["fingerprint"], tree["sha256"]
    tree["data"]["source"] = "a"
    (run / "config.json").write_text(json.dumps(tree))
    assert ancestral.train(data=other, out=run, resume=True, **{**TINY, "steps": 3}).step == 3


@pytest.mark.parametrize(
    ("preset", "source", "title"),
    [
        ("folder", "/x/letters", "letters"),
        ("folder", "/x/a.b", "a.b"),
        ("arrays", "tones.npz", "tones"),
        ("folder", "hf://datasets/me/cats", "cats"),
        ("arrays", "(given from Python)", "arrays"),
        ("digits", "/x/letters", "digits"),
    ],
)
def test_a_run_is_named_after_the_data(preset, source, title):
    config = ancestral.config.preset(preset).with_settings(source=source)
    assert config.title == title


def test_the_default_folder_has_the_name_of_the_data(tmp_path, monkeypatch):
    images(tmp_path / "letters")
    monkeypatch.chdir(tmp_path)
    run = ancestral.train(data="letters", **TINY)
    assert run.folder == "runs/letters"
    assert (
        "letters" in (tmp_path / "runs" / "letters" / "report.html").read_text(encoding="utf-8").partition("</h1>")[0]
    )
    with pytest.raises(InputError, match="no such file or folder: 'leters'"):  # before the run that is there
        ancestral.train(data="leters", out="runs/letters", **TINY)


@pytest.mark.long
def test_what_is_shared_does_not_tell_where_the_data_lie(tmp_path, monkeypatch, run):
    """A run is shared by its model file, its report and its card; on this machine it knows its data all the same."""
    place, moved = images(tmp_path / "secret" / "photos"), tmp_path / "secret" / "moved"
    held_out, out = images(tmp_path / "secret" / "more", seed=1), "runs/a"
    monkeypatch.chdir(tmp_path)
    small = [part for name in ("steps", "batch_size", "width", "blocks", "preview_steps") for part in
             (f"--{name.replace('_', '-')}", TINY[name])]  # fmt: skip
    run("train", "folder", "--data", place, f"--validation={held_out}", "--out", tmp_path / out, *small)
    shutil.move(place, moved)
    run("train", "--data", moved, "--out", tmp_path / out, "--steps", 3, "--preview-steps", 1, "--resume")
    run("train", "folder", "--data", moved, "--from", tmp_path / out, "--out", "runs/tuned", *small)
    measured = ancestral.evaluate(out, samples=16, steps=1, extractor="pixels", progress=False).samples
    assert (measured.data.train, measured.data.held_out) == ("moved, train split, 12", "more, held out of the run, 12")
    for name in (out, "runs/tuned"):
        for file in ("model.safetensors", "report.html", "README.md")[: 3 if name == out else 2]:
            assert b"secret" not in (tmp_path / name / file).read_bytes(), file
        assert saved(tmp_path / name).data.source == ancestral.load(name).config.data.source == str(moved)
    shutil.copy(tmp_path / out / "model.safetensors", tmp_path / "lone.safetensors")
    with pytest.raises(InputError, match="does not name the folder of its data, moved: give data"):
        ancestral.evaluate("lone.safetensors")
    assert ancestral.load("lone.safetensors").config.title == "moved"


# -- runs among the data ----------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The working folder, with two classes of images."""
    for seed, name in enumerate(("cats", "dogs")):
        images(tmp_path / "photos" / name, 6, seed)
    monkeypatch.chdir(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.mark.long
def test_a_run_among_its_data_goes_on_and_is_no_data_of_the_next(photos, run):
    """The grids of samples, the report and the pictures of the doctor lie in the folder that is trained on."""
    first = ancestral.train(data=".", **{**TINY, "sample_every": 1})
    assert first.folder == "runs/photos"
    assert list((photos / first.folder).rglob("*.png"))
    assert ancestral.train(data=".", resume=True, **{**TINY, "steps": 3}).step == 3
    assert ancestral.train(data=".", out="cats/mine", **TINY).model.spec.classes == ("cats", "dogs")
    assert saved(photos / "cats" / "mine").data.fingerprint == saved(photos / first.folder).data.fingerprint
    run("doctor", ".", "--steps", 0)
    assert (photos / "runs" / "doctor" / "photos.png").exists()
    skipped = "cats/mine, runs"
    for memory in (0, 1):
        dataset = data.open(".", memory=memory)
        assert (len(dataset), dataset.classes) == (12, ("cats", "dogs"))
        assert any(f"folders of runs are among the data and skipped ({skipped})" in text for text, _ in dataset.notes)
    assert f"skipped ({skipped})" in run("doctor", ".", "--steps", 0)


def test_recordings_are_recognised_by_the_data_and_not_by_a_run_beside_them(tmp_path):
    """The run's pictures come first in the order of names."""
    (tmp_path / "a-run" / "samples").mkdir(parents=True)
    for name in ("config.json", "log.csv", "samples/000100.png"):
        (tmp_path / "a-run" / name).touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one.wav").touch()
    assert ancestral.config.default_preset(str(tmp_path)) == "arrays"


def test_a_run_folder_does_not_take_data_for_its_own(photos):
    """They would be skipped as a run's pictures from then on."""
    for out in (".", "cats", photos / "dogs"):
        with pytest.raises(InputError, match="holds data, and a run folder is skipped as data"):
            ancestral.train(data=".", out=out, **TINY)
    assert sorted(path.name for path in photos.iterdir()) == ["cats", "dogs"]


@pytest.mark.long
def test_no_command_writes_pictures_among_the_data(photos, refused_in):
    ancestral.train(data=".", **TINY)
    for command in (
        "sample runs/photos --out new.png",
        "sample runs/photos --out ../new.png --gif cats/new.gif",
        "evaluate runs/photos --out measured",
        "compare runs/photos runs/photos --out cats/both",
        "evaluate runs/photos --out ../measured --held-out ..",
        "average runs/photos --out .",
    ):
        assert "lies in the data and would be trained on" in refused_in(photos, command)


def test_nothing_is_mirrored_by_default():
    assert not any(ancestral.config.preset(name).data.flip for name in ("folder", "arrays", "digits", "fashion"))


MIXED = {
    "config": "config.json",
    "model": "model.safetensors",
    "checkpoint": "checkpoints/000002",
    "snapshot": "snapshots/000002.safetensors",
}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Two runs that differ in their seed alone."""
    place = tmp_path_factory.mktemp("two")
    x = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), dtype=np.uint8)
    np.save(place / "x.npy", x)
    for seed in (0, 1):
        ancestral.train("arrays", data=place / "x.npy", out=place / str(seed), seed=seed, snapshots=2, **TINY)
    return place


@pytest.mark.parametrize("part", MIXED)
def test_a_file_of_another_run_is_refused_by_name(two_runs, tmp_path, part):
    """Each of the three that a resumed run reads, and the snapshots that are averaged, names its run."""
    mine, other = shutil.copytree(two_runs / "0", tmp_path / "run"), two_runs / "1"
    again = {"out": mine, "resume": True, **TINY, "steps": 4}
    shutil.rmtree(mine / MIXED[part]) if part == "checkpoint" else (mine / MIXED[part]).unlink()
    copy = shutil.copytree if part == "checkpoint" else shutil.copy
    copy(other / MIXED[part], mine / MIXED[part])
    reads = {"resume": lambda: ancestral.train("arrays", **again)}
    if part in ("config", "model"):
        reads["load"] = lambda: ancestral.load(mine)
    if part == "snapshot":
        reads["snapshot"] = lambda: ancestral.load_snapshot(mine, 2)
    for read in reads.values():
        with pytest.raises(InputError, match="files of two runs are mixed") as error:
            read()
        assert str(mine / "config.json") in str(error.value)
        assert "\n" not in str(error.value)
    if part != "config":
        assert str(mine / MIXED[part]) in str(error.value)


def test_a_copied_run_goes_on_and_the_same_command_makes_the_same_run(two_runs, tmp_path):
    copy = shutil.copytree(two_runs / "0", tmp_path / "copy")
    assert ancestral.train("arrays", out=copy, resume=True, **TINY | {"steps": 3}).step == 3
    again = ancestral.train("arrays", data=two_runs / "x.npy", out=tmp_path / "b", snapshots=2, **TINY)
    assert Path(again.folder, "model.safetensors").read_bytes() == (two_runs / "0" / "model.safetensors").read_bytes()
    runs = {saved(place).run for place in (two_runs / "0", copy, tmp_path / "b")}
    assert len(runs) == 1
    assert saved(two_runs / "1").run not in {*runs, ""}


def test_a_run_that_starts_from_another_is_a_run_of_its_own(two_runs, tmp_path):
    source = two_runs / "0"
    run = ancestral.train("arrays", data=two_runs / "x.npy", initial=source, out=tmp_path / "b", **TINY)
    assert saved(Path(run.folder)).run not in (saved(source).run, "")
    assert ancestral.load(run.folder).step == 2


def test_info_verify_says_what_is_damaged_of_another_run_stray_or_left(two_runs, tmp_path, capsys):
    mine = shutil.copytree(two_runs / "0", tmp_path / "run")
    whole = ancestral.info(mine, verify=True)
    assert whole.whole
    assert whole.run == saved(mine).run
    assert {"config.json", "model.safetensors", "checkpoints/000002", "snapshots/000002.safetensors"} <= {
        file.path for file in whole.files if file.run == whole.run
    }
    assert type(whole).from_json(whole.to_json()) == whole
    state = mine / "checkpoints" / "000002" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"\x01")
    shutil.copy(two_runs / "1" / "snapshots" / "000002.safetensors", mine / "snapshots")
    (mine / "mine.txt").write_text("x")
    (mine / ".model-0a1b2c3d.safetensors").write_text("half")
    assert run_command(["info", str(mine), "--verify"]) == 1
    assert "2 files damaged or of another run" in capsys.readouterr().out.splitlines()[-1]
    files = {file.path: file for file in ancestral.info(mine, verify=True).files}
    assert "changed or cut short" in files["checkpoints/000002"].problem
    assert "is of the run" in files["snapshots/000002.safetensors"].problem
    assert files["mine.txt"].note.startswith("stray")
    assert files[".model-0a1b2c3d.safetensors"].note.startswith("left by")
    assert not files["model.safetensors"].problem


def test_what_a_killed_save_left_is_removed_at_the_next_start_and_by_runs_clean(two_runs, tmp_path):
    """In a run that is not finished too; a file that a living process writes, and one of the user, stay."""
    mine = shutil.copytree(two_runs / "0", tmp_path / "run")
    config = saved(mine)
    longer = replace(config, train=replace(config.train, steps=4))
    storage.write_text(mine / "config.json", longer.to_file_text())
    left = [mine / ".model-0a1b2c3d.safetensors", mine / "checkpoints" / ".000003-0a1b2c3d"]

    def leave():
        for path in left:
            path.mkdir() if path.parent.name == "checkpoints" else path.write_text("half")

    leave()
    (mine / ".my-notes").write_text("x")
    with storage.atomic(mine / "alive.txt") as alive:
        result = ancestral.runs(mine, clean=True, yes=True)
        assert {removal.path for removal in result.removals} == {str(path) for path in left}
        assert alive.exists()
    assert not any(path.exists() for path in left)
    leave()
    ancestral.train("arrays", out=mine, resume=True, **TINY | {"steps": 3})
    assert not any(path.exists() for path in left)
    assert (mine / ".my-notes").exists()
