"""`ancestral runs`: the runs of a folder, whatever else lies there, and what finished ones no longer need."""

import dataclasses
import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest

import ancestral
from ancestral.base import storage
from ancestral.base.quantities import format_bytes
from ancestral.results.run_result import CleaningResult, RunList
from ancestral.training import RunFolder, Trainer
from tiny_models import begun, stripes, tiny_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run with three checkpoints, the one of step 4 kept on purpose."""
    config = tiny_config(steps=6, save_every=2)
    config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, keep=3, log_every=1))
    folder = begun(tmp_path_factory.mktemp("finished") / "run", config)
    for progress in Trainer(config, stripes(), "cpu").run(folder):
        folder.append_log(progress)
    return folder


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    """A working folder with runs/: two runs, one of them in a folder of runs, and what is none."""
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    shutil.copytree(trained.path, runs / "first")
    shutil.copytree(trained.path, runs / "many" / "second")
    (runs / "photos").mkdir()
    (runs / "photos" / "a.png").write_text("x")
    (runs / "broken").mkdir()
    (runs / "broken" / "config.json").write_text("{")
    (runs / "notes.txt").write_text("mine")
    shutil.copytree(trained.path, runs / "cut")
    model = runs / "cut" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:99])
    for days, name in enumerate(("first", "many/second", "cut")):
        for path in (runs / name).rglob("*"):
            os.utime(path, (1e9 + 86400 * days, 1e9 + 86400 * days))
    return runs


def test_runs_are_listed_and_the_rest_is_named(run, place):
    run_list = ancestral.runs()
    assert [row.name for row in run_list.runs] == ["cut", "many/second", "first"]  # the last change first
    first = run_list.runs[-1]
    assert (first.data, first.preset, first.step, first.steps) == ("stripes", "digits", 6, 6)
    assert first.loss > 0
    assert first.distance is None
    assert first.size == sum(path.stat().st_size for path in (place / "first").rglob("*") if path.is_file())
    assert first.changed.startswith("2001-09-0")
    bytes_in = {name: storage.size_of(place / "first" / name) for name in ("checkpoints", "snapshots")}
    bytes_in["model"] = (place / "first" / "model.safetensors").stat().st_size
    assert {name: first.parts[name] for name in bytes_in} == bytes_in
    assert sum(first.parts.values()) == first.size
    text = run("runs")
    assert text == f"{run_list}\n"
    assert "first" in text
    assert "6 of 6" in text
    assert re.search(r"on disk +model +checkpoints +snapshots +other\n", text)
    assert text.count(format_bytes(bytes_in["snapshots"])) == 3
    assert len(run_list.problems) == 3
    assert "damaged: runs/broken/config.json is not JSON" in text
    assert "damaged: runs/cut/model.safetensors is not a whole safetensors file" in text
    assert "no run: runs/photos" in text
    assert RunList.from_json(run_list.to_json()) == run_list


def test_an_evaluation_of_this_state_of_the_model_is_shown(place):
    source = Path(__file__).parents[1] / "files" / "evaluation" / "samples.json"
    folder = place / "first" / "evaluation"
    folder.mkdir()
    tree = json.loads(source.read_text(encoding="utf-8"))
    for step, distance in ((6, "107.5 ± 2.3 FD-pixels"), (5, None)):
        tree["model"]["step"] = step
        storage.write_text(folder / "samples.json", json.dumps(tree))
        (row,) = (row for row in ancestral.runs(place).runs if row.name == "first")
        assert f"{distance or '–'}  " in str(RunList("", (row,)))
        assert (row.distance is None) == (distance is None)


def test_one_run_folder_and_a_lone_model(run, place):
    assert [row.name for row in ancestral.runs(place / "first").runs] == ["first"]
    (place / "first" / "config.json").unlink()
    (place / "first" / "log.csv").unlink()
    assert [(row.step, row.loss) for row in ancestral.runs(place / "first").runs] == [(6, None)]
    assert "there are no runs in" in run("runs", place / "photos")


def test_a_folder_that_may_not_be_read_does_not_end_the_list(place, monkeypatch):
    """The superuser, who runs tests, may read everything."""
    locked, model = place / "many" / "locked", place / "first" / "model.safetensors"
    locked.mkdir()
    access, iterdir, read_metadata = os.access, Path.iterdir, storage.read_metadata

    def refused(path):
        if path in (locked, model):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return path

    monkeypatch.setattr(os, "access", lambda path, mode: path != locked and access(path, mode))
    monkeypatch.setattr(Path, "iterdir", lambda path: iterdir(refused(path)))
    monkeypatch.setattr(storage, "read_metadata", lambda path: read_metadata(refused(path)))
    run_list = ancestral.runs(place)
    assert [row.name for row in run_list.runs] == ["cut", "many/second"]
    assert {f"may not be read: {path}" for path in (locked, model.parent)} <= set(run_list.problems)


def checkpoint_names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.fixture
def fresh(place):
    """A temporary file that is being written."""
    with storage.atomic(place / "first" / "samples" / "new.png") as temporary:
        yield temporary


def test_finished_runs_are_cleaned_only_with_yes(run, place, fresh):
    before = {path: path.stat().st_mtime for path in place.rglob("*")}
    old = place / "first" / ".model-abcdefgh.safetensors"
    old.write_bytes(b"half")
    text = run("runs", "--clean")
    assert "would remove" in text
    assert "--yes removes it" in text
    assert str(old.relative_to(place.parent)) in text
    assert ".new-" not in text  # it may be in the making
    assert "left alone: runs/broken" in text
    assert "left alone: runs/cut" in text
    assert set(before) <= set(place.rglob("*"))
    sizes = sum(r.size for r in ancestral.runs(place, clean=True).removals)
    assert f"{sizes:,} bytes" in text
    assert "removed" in run("runs", "--clean", "--yes")
    assert checkpoint_names(place / "first") == checkpoint_names(place / "many" / "second") == ["000006"]
    assert checkpoint_names(place / "cut") == ["000002", "000004", "000006"]
    assert [(place / name / "snapshots").exists() for name in ("first", "many/second", "cut")] == [False, False, True]
    assert not old.exists()
    assert fresh.exists()
    assert (place / "notes.txt").exists()
    assert "nothing to remove" in run("runs", "--clean", "--yes")
    trainer = Trainer(tiny_config(steps=6), stripes(), "cpu")
    trainer.load(RunFolder(place / "first"))
    assert trainer.step == 6


def test_what_is_needed_stays(place):
    """Checkpoints of an unfinished run, those kept on purpose, and those that a damaged newest one leaves as newest."""
    first, second = RunFolder(place / "first"), RunFolder(place / "many" / "second")
    config = json.loads(first.config.read_text())
    config["train"]["steps"] = 9
    storage.write_text(first.config, json.dumps(config))
    config["train"]["steps"], config["runtime"]["keep_every"] = 6, 2
    storage.write_text(second.config, json.dumps(config))
    assert [removal.path for removal in ancestral.runs(place, clean=True, yes=True).removals] == [str(second.snapshots)]
    config["runtime"]["keep_every"] = 0
    storage.write_text(second.config, json.dumps(config))
    newest = second.checkpoints / "000006" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:99])
    result = ancestral.runs(place, clean=True, yes=True)
    assert [removal.path for removal in result.removals] == [str(second.checkpoints / "000002")]
    assert checkpoint_names(second.path) == ["000004", "000006"]
    assert checkpoint_names(first.path) == ["000002", "000004", "000006"]
    assert CleaningResult.from_json(result.to_json()) == result


@pytest.mark.long
def test_a_run_in_progress_is_left_alone(place):
    with RunFolder(place / "first").locked():
        result = ancestral.runs(place / "first", clean=True, yes=True)
    assert result.removals == ()
    assert "another process is training" in result.problems[0]


def test_bytes_have_units():
    assert [format_bytes(size) for size in (0, 999, 1000, 999_949, 999_950, 12_345_678, 10**13)] == [
        "0 B", "999 B", "1 kB", "1 MB", "1 MB", "12.3 MB", "10 TB"
    ]  # fmt: skip


def test_what_commands_write_of_data_and_several_runs_is_no_fault(tmp_path):
    for name in ("compare", "doctor", "mine"):
        (tmp_path / name).mkdir()
    assert ancestral.runs(tmp_path).problems == (f"no run: {tmp_path / 'mine'}",)
