"""The runs of a studio, read while they train: whole lines only, and after a rollback what counts then."""

import dataclasses
import json
import os
import shutil
import sys

import pytest

from ancestral.config.run_files import read_log
from ancestral.config.schema import SECTIONS
from ancestral.declarations import Train
from ancestral.results.symptoms import SYMPTOMS
from ancestral.training import RunFolder
from ancestral.training.run_folder import LOG_HEADER
from ancestral.use_cases.training.plan_training import plan
from ancestral_studio import data_folders
from ancestral_studio.live_runs import MOST_ROWS, LiveRuns
from ancestral_studio.places import Places
from ancestral_studio.processes import Processes
from tiny_models import tiny_config


def line(step, loss=0.5, speed=80.0, seconds=None):
    numbers = [loss, *[0.1] * 8, 0.001, 1.0, speed, step / 10 if seconds is None else seconds]
    return ",".join(map(str, [step, *numbers])) + "\n"


@pytest.fixture
def runs(tmp_path):
    """A folder of runs with one that began, and the runs of a studio there."""
    folder = RunFolder(tmp_path / "runs" / "a")
    folder.begin(dataclasses.replace(tiny_config(steps=100), preset="digits"))
    places = Places([tmp_path / "runs"], tmp_path / "out")
    live = LiveRuns(places, Processes(places))
    return live, folder


def append(folder, *texts):
    with folder.log.open("a", encoding="utf-8") as file:
        file.write("".join(texts))


def steps_of(answer):
    return [row[0] for row in answer["log"]]


def test_a_line_counts_once_it_is_whole(runs):
    live, folder = runs
    append(folder, line(10), line(20)[:30])
    first = live.live(folder.path, -1, "")
    assert steps_of(first) == [10]
    append(folder, line(20)[30:], line(30))
    more = live.live(folder.path, 10, first["version"])
    assert (steps_of(more), more["anew"]) == ([20, 30], False)
    assert more["columns"] == ["step", "loss", "lr", "gradient_norm", "images_per_second", "seconds"]


def test_lines_that_are_damaged_are_left_out(runs):
    live, folder = runs
    append(folder, line(10), "20,0.5\n", "x" + line(30), line(40).replace("0.1", "?"), line(50))
    assert steps_of(live.live(folder.path, -1, "")) == [10, 50]


@pytest.mark.parametrize("damage", ["5\n6\n", f"step,loss\n{'9' * 400},1\n"], ids=["one column", "an endless step"])
def test_a_log_that_is_none_hides_no_other_run(runs, damage):
    live, folder = runs
    folder.log.write_text(damage, encoding="utf-8")
    assert [(row["name"], row["step"], row["loss"]) for row in live.all()] == [("a", 0, None)]


def test_notes_that_are_a_link_out_of_the_run_are_not_read(runs, tmp_path):
    """A run folder of another person may hold links: the notes of the page are no way to other files."""
    live, folder = runs
    secret = tmp_path / "secret.txt"
    secret.write_text("secret\n", encoding="utf-8")
    (folder.path / "notes.txt").unlink(missing_ok=True)
    (folder.path / "notes.txt").symlink_to(secret)
    assert live.live(folder.path, -1, "")["notes"] == live.details(folder.path)["notes"] == []


def test_a_damaged_config_is_said(runs):
    live, folder = runs
    (folder.path / "config.json").write_text('{"a":', encoding="utf-8")
    (row,) = live.all()
    assert row["problem"] == "config.json cannot be read"


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are Unicode")
def test_a_name_that_is_no_utf8_hides_no_other_run(runs):
    live, folder = runs
    copy = os.fsdecode(os.fsencode(folder.path.parent) + b"/b\xff")
    shutil.copytree(folder.path, copy)
    assert len({row["id"] for row in live.all()}) == 2


def test_after_a_rollback_the_later_lines_count(runs):
    """Whether the log was trimmed already or not, a page that saw the old lines gets all again."""
    live, folder = runs
    append(folder, *map(line, (10, 20, 30)))
    first = live.live(folder.path, -1, "")
    append(folder, line(20, loss=0.25))
    second = live.live(folder.path, 30, first["version"])
    assert (steps_of(second), second["anew"]) == ([10, 20], True)
    assert second["log"][1][1] == 0.25
    folder.trim_log(10)
    append(folder, line(20, loss=0.125), line(30), line(40))
    third = live.live(folder.path, 20, second["version"])
    assert (steps_of(third), third["anew"]) == ([10, 20, 30, 40], True)
    assert third["log"][1][1] == 0.125


def test_numbers_that_are_not_finite_are_kept_apart(runs):
    live, folder = runs
    append(folder, line(10, loss=float("nan")))
    ((_, loss, *_),) = live.live(folder.path, -1, "")["log"]
    assert loss != loss


def test_a_long_log_is_thinned_and_keeps_its_end(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG_HEADER + "\n" + "".join(map(line, range(1, 4 * MOST_ROWS))), encoding="utf-8")
    assert len(read_log(path).rows) == 4 * MOST_ROWS - 1
    folder = RunFolder(tmp_path / "run")
    folder.begin(tiny_config())
    path.replace(folder.log)
    places = Places([tmp_path / "run"], tmp_path / "out")
    steps = steps_of(LiveRuns(places, Processes(places)).live(folder.path, -1, ""))
    assert len(steps) <= MOST_ROWS + 1
    assert (steps[0], steps[-1]) == (1, 4 * MOST_ROWS - 1)


def test_the_time_left_is_that_of_this_session(runs):
    """0.1 s a step in the first session, 0.5 s in that after a resume: 70 steps are left."""
    live, folder = runs
    append(folder, line(10), line(20), line(25, seconds=0.5), line(30, seconds=3.0))
    with folder.locked():
        answer = live.live(folder.path, -1, "")
    assert answer["state"] == "training"
    assert answer["seconds_left"] == pytest.approx(70 * 0.5)


def test_the_time_left_after_one_line_is_that_of_its_speed(runs):
    live, folder = runs
    append(folder, line(20, speed=16.0))
    with folder.locked():
        assert live.live(folder.path, -1, "")["seconds_left"] == pytest.approx(80 * 8 / 16)


def test_states(runs, tiny_run, tmp_path):
    live, folder = runs
    (row,) = live.all()
    assert (row["state"], row["step"], row["steps"], row["has_model"]) == ("stopped", 0, 100, False)
    with folder.locked():  # as any process does that trains, wherever it was started
        assert live.all()[0]["state"] == "training"
    append(folder, line(100))
    assert live.all()[0]["state"] == "finished"
    alone = tmp_path / "runs" / "alone"
    alone.mkdir()
    (alone / "model.safetensors").write_bytes(tiny_run.model.read_bytes())
    rows = {row["name"]: row for row in live.all()}
    assert (rows["alone"]["state"], rows["alone"]["step"], rows["alone"]["has_model"]) == ("model", 6, True)
    (alone / "model.safetensors").write_bytes(b"cut")
    rows = {row["name"]: row for row in live.all()}
    assert not rows["alone"]["has_model"]
    assert "model.safetensors cannot be read" in rows["alone"]["problem"]


def test_previews_settings_and_notes(runs):
    live, folder = runs
    folder.samples.mkdir()
    for name in ("000100.png", "000050.png", "1000000.png", "mine.png", ".000070.png-x"):
        (folder.samples / name).write_bytes(b"")
    folder.append_notes(3, ["<b>note</b>"])
    answer = live.live(folder.path, -1, "")
    assert [preview["step"] for preview in answer["previews"]] == [50, 100, 1000000]
    assert answer["notes"] == ["step 3: <b>note</b>"]
    rows = {row["flag"]: row for part in live.details(folder.path)["settings"] for row in part["rows"]}
    assert (rows["--steps"]["value"], rows["--steps"]["changed"]) == ("100", True)
    assert not rows["--seed"]["changed"]
    json.dumps(live.details(folder.path))


def test_folders_of_data_are_listed_and_counted(tmp_path):
    """But those of runs and of the studio itself, whose pictures are samples, and links out of the named folders."""
    named, other = tmp_path / "named", tmp_path / "other"
    for path in ("a/x.png", "a/y.JPG", "a/text.txt", "b/<b>/z.webp", "b/.hidden/w.png", "studio/files/s.png"):
        (named / path).parent.mkdir(parents=True, exist_ok=True)
        (named / path).write_bytes(b"")
    (named / "points.npy").write_bytes(b"12")
    other.mkdir()
    (other / "secret.png").write_bytes(b"")
    (named / "link").symlink_to(other)
    RunFolder(named / "run").begin(tiny_config())
    places = Places([named], named / "studio")
    top = data_folders.listing(places, "")
    assert [(row["name"], row["items"]) for row in top["folders"]] == [("named", 3)]
    assert "digits" in top["builtins"]
    inner = data_folders.listing(places, str(named))
    assert [(row["name"], row["items"]) for row in inner["folders"]] == [("a", 2), ("b", 1)]
    assert [row["name"] for row in inner["files"]] == ["points.npy"]
    assert (inner["parent"], inner["items"]) == ("", 0)
    assert data_folders.listing(places, str(named / "a"))["items"] == 2
    with pytest.raises(ValueError, match="outside the folders"):
        data_folders.listing(places, str(other))
    with pytest.raises(ValueError, match="outside the folders"):
        data_folders.listing(places, str(named / "link"))


def test_a_symptom_stands_first_with_the_options_of_a_run_against_it(runs):
    """They begin a run with the same config but for the settings against it."""
    live, folder = runs
    config = folder.read_config()
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, source="digits"))
    folder.config.write_text(config.to_file_text(), encoding="utf-8")
    assert [row["evidence"] for row in live.details(folder.path)["symptoms"]] == [[]] * len(SYMPTOMS)
    folder.append_notes(30, ["out of memory: going on with 2 images at once, in the same batches"])
    first, *others = live.details(folder.path)["symptoms"]
    assert (first["name"], first["evidence"][0].partition(":")[0]) == ("memory", "step 30")
    assert not any(row["evidence"] for row in others)
    values = first["again"]["values"]
    again = plan(Train(config=values.pop("config"), out=folder.path.parent / "b", settings=values)).config
    assert list(config.differences(again, SECTIONS)) == [("runtime", "micro_batch", None, 4)]
    assert first["again"]["text"] == "Images at once 4"
