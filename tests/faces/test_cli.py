"""The command line as a user meets it: what it writes and what it says."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral.base.errors import install_command
from ancestral.declarations import Train
from ancestral.faces import command as cli
from ancestral.training import Checkpoints, RunFolder
from ancestral.use_cases.training.plan_training import plan
from tiny_models import but_one_long, untrained

EMOJI = Path(__file__).parents[1] / "files" / "emoji"
SMALL = ["--width", "16", "--mults", "1", "2", "--blocks", "1", "--batch-size", "4", "--steps", "2", "--device", "cpu"]


def call(capsys, *argv):
    """(exit code, standard output, standard error) of `ancestral ARGV`."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def points_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "points"
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "points", "--out", str(path), "--steps", "60", "--batch-size", "8", "--width", "16"])
    assert stop.value.code == 0
    return path


# -- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", cli.COMMANDS)
def test_every_command_has_help(run, verb):
    assert run(verb, "-h") == run(verb, "--help")
    assert len(run(verb, "--help-all")) >= len(run(verb, "--help"))


@pytest.mark.parametrize("missing", ["ancestral_studio", "starlette"])
def test_a_command_of_a_distribution_that_is_missing_is_one_line(refused, monkeypatch, missing):
    for name in [name for name in sys.modules if name.startswith(("ancestral_studio", f"{missing}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert refused("studio") == f"ancestral: the studio is a package of its own: {install_command('studio')}\n"


# -- train, sample, info ----------------------------------------------------------------------------------------------


def test_train_leaves_a_run_folder(points_run):
    names = {path.name for path in points_run.iterdir()}
    assert names >= {"config.json", "model.safetensors", "checkpoints", "tensorboard", "samples", "log.csv"}
    assert sorted(p.name for p in (points_run / "samples").iterdir() if p.name[0] == "0") == [
        "000050.png",
        "000060.png",
    ]
    with (points_run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["50", "60"]
    assert 0 < float(rows[-1]["loss"]) < 2


TINY = ("--steps", 1, "--batch-size", 2, "--width", 16, "--trackers", "none", "--device", "cpu", "--threads", 1)


def test_data_may_stand_in_the_place_of_a_preset_or_after_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pics").mkdir()
    for number in range(4):
        Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(tmp_path / "pics" / f"{number}.png")
    small = ("--image-size", 8, "--blocks", 1)
    assert run("train", "pics", *TINY, *small).startswith("pics: 4 items of 3x8x8")
    assert RunFolder(tmp_path / "runs" / "pics").read_config().preset == "folder"
    assert plan(Train(config="folder", data="pics/", out="again")).config.data.source == str(tmp_path / "pics")
    assert plan(Train(config="swissroll")).config.preset == "points"


def test_the_folder_of_emoji_trains_by_class(capsys, tmp_path):
    out = tmp_path / "run"
    code, text, _ = call(capsys, "train", "--data", EMOJI, "--out", out, "--image-size", "16", *SMALL)
    assert code == 0
    assert "60 items of 3x16x16, 3 classes" in text
    model = ancestral.load(out)
    assert model.config.preset == "folder"
    assert len(model.spec.classes) == 3
    code, text, _ = call(capsys, "sample", out, "-n", "4", "--steps", "2", "--label", model.spec.classes[1])
    assert code == 0
    assert "mean colour (0-255): samples " in text
    code, text, _ = call(capsys, "info", out)
    assert code == 0
    assert model.spec.classes[0] in text
    assert "2 of 2 steps" in text


def frames(path):
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1)


def array(path):
    with np.load(path) as arrays:
        return arrays["images"]


def test_sample_writes_each_kind(capsys, tiny_run, tmp_path):
    run = tiny_run.path
    outputs = {
        "grid.png": lambda path: frames(path) == 1,
        "movie.gif": lambda path: frames(path) == 4,
        "movie.webp": lambda path: frames(path) == 4,
        "array.npz": lambda path: array(path).shape == (5, 1, 8, 8),
        "folder": lambda path: len(list(path.glob("*.png"))) == 5,
    }
    for name, holds in outputs.items():
        code, text, _ = call(capsys, "sample", run, "-n", 5, "--steps", 3, "--out", tmp_path / name)
        assert code == 0
        assert text.splitlines() == [str(tmp_path / name)]
        assert holds(tmp_path / name)
    with np.load(tmp_path / "array.npz") as arrays:
        assert arrays["labels"].tolist() == [0, 1, 0, 1, 0]
        expected = ancestral.load(run, "cpu").sample(5, steps=3)
        assert np.array_equal(arrays["images"], expected.numpy())
        with Image.open(tmp_path / "folder" / "000003.png") as image:
            assert np.array_equal(np.asarray(image), arrays["images"][3, 0])


def test_captions_can_be_left_off(run, tmp_path):
    untrained(shape=(1, 8, 8), classes=("cats", "dogs")).save(tmp_path / "run" / "model.safetensors")
    heights = {}
    for option in ("--captions", "--no-captions"):
        out, film = tmp_path / f"{option}.png", tmp_path / f"{option}-film.png"
        run("sample", tmp_path / "run", "-n", 4, "--steps", 2, option, "--out", out, "--film", film)
        heights[option] = []
        for path in (out, film):
            with Image.open(path) as image:
                heights[option].append(image.height)
    assert heights["--captions"] > heights["--no-captions"]


def test_escape_sequences_of_a_model_are_not_obeyed(run, tmp_path):
    """As names that would set the title of the terminal, move its cursor or hide a line."""
    name = "a\x1b]0;owned\x07\x9b2K\r"
    untrained(classes=(name, "b")).save(tmp_path / "run" / "model.safetensors")
    text = run("info", tmp_path / "run")
    assert r"a\x1b]0;owned\x9b2K" in text
    assert all(character.isprintable() or character == "\n" for character in text)


# -- resume and interrupt ---------------------------------------------------------------------------------------------


def state(path):
    checkpoint, problems = Checkpoints(path / "checkpoints").newest()
    assert not problems
    return checkpoint


def test_a_run_that_is_beyond_its_last_step_has_no_forecast(capsys, tmp_path, monkeypatch):
    common = ["train", "points", "--out", tmp_path / "a", "--trackers", "none"]
    assert call(capsys, *common, "--steps", "3", "--batch-size", "4", "--width", "16")[0] == 0
    monkeypatch.setattr("ancestral.base.storage.free_bytes", lambda path: 0)
    notes = (tmp_path / "a" / "notes.txt").read_text()
    text = call(capsys, *common, "--steps", "2", "--resume")[1]
    assert "Already at step 3 of 2" in text
    assert (tmp_path / "a" / "notes.txt").read_text() == notes  # nothing goes on, so nothing was changed
    assert "steps of" not in text
    assert "warning" not in text


@pytest.mark.parametrize("left", but_one_long(["the model before", "a flipped bit", "no model"]))
def test_resume_gives_the_model_that_a_kill_after_the_last_checkpoint_cost(capsys, tmp_path, left):
    begin = ("train", "points", "--batch-size", "4", "--width", "16", "--save-every", "3", "--out", tmp_path / "a")
    assert call(capsys, *begin, "--steps", "3")[0] == 0
    model = tmp_path / "a" / "model.safetensors"
    before = model.read_bytes()
    assert call(capsys, *begin, "--steps", "6", "--resume")[0] == 0
    whole = ancestral.load(model)
    flipped = model.read_bytes()
    model.write_bytes(before if left == "the model before" else flipped[:-9] + bytes([flipped[-9] ^ 1]) + flipped[-8:])
    if left == "no model":
        model.unlink()
    if left == "a flipped bit":
        assert "take another copy of the file, or let --resume write" in call(capsys, "info", model)[2]
    text = call(capsys, *begin, "--steps", "6", "--resume")[1]
    assert "Already at step 6 of 6" in text
    assert ("was missing or damaged, and is written anew" in text) == (left != "the model before")
    again = ancestral.load(model)
    assert again.step == 6
    for mine, other in zip(again.denoiser.parameters(), whole.denoiser.parameters(), strict=True):
        assert torch.equal(mine, other)
    content = model.read_bytes()
    call(capsys, *begin, "--steps", "6", "--resume")
    assert model.read_bytes() == content  # what is there is left alone


@pytest.mark.long
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    out = tmp_path / "run"
    options = ["--steps", "1000000", "--batch-size", "8", "--width", "16", "--preview-steps", "1", "--out", str(out)]
    command = [sys.executable, "-m", "ancestral", "train", "points", *options]
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=unbuffered) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step "):
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        text = process.stdout.read()
        assert process.wait(60) == 0
    assert f"ancestral train points --out {out} --resume" in text
    step = state(out).step
    assert 0 < step < 1_000_000
    assert f"Stopped after step {step}" in text
    assert ancestral.load(out).step == step


# -- words, files and disks --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_log_that_is_noise_does_not_stop_a_resume(capsys, tmp_path):
    argv = ("train", "points", "--batch-size", "4", "--width", "16", "--trackers", "none", "--out", tmp_path / "run")
    assert call(capsys, *argv, "--steps", 2)[0] == 0
    (tmp_path / "run" / "log.csv").write_bytes(bytes(range(128, 256)) * 3)
    assert call(capsys, *argv, "--steps", 4, "--resume")[0] == 0
    assert (tmp_path / "run" / "log.csv").read_text().startswith("step,loss,")


@pytest.mark.long
def test_paths_are_shown_as_they_are_and_quoted_in_commands(capsys, tmp_path):
    out = tmp_path / "my [old] run :cat: ü"
    code, text, _ = call(capsys, "train", "points", "--steps", "1", "--batch-size", "4", "--out", out)
    assert code == 0
    assert f"ancestral sample '{out}' --gif" in text
    assert "[old]" in call(capsys, "info", out)[1]


def test_a_truncated_training_state_gives_way_to_an_older_one(capsys, tmp_path, refused):
    run = tmp_path / "run"
    argv = ("train", "points", "--batch-size", "4", "--width", "16", "--out", run)
    assert call(capsys, *argv, "--steps", 4, "--save-every", 2)[0] == 0
    states = {step: run / "checkpoints" / f"{step:06d}" / "state.safetensors" for step in (2, 4)}
    states[4].write_bytes(states[4].read_bytes()[:5000])
    code, text, _ = call(capsys, *argv, "--resume", "--steps", 4)
    assert code == 0
    assert "000004 is no whole checkpoint: it was changed or cut short; going on from an older one" in text
    assert "going on from step 2" in text
    for path in states.values():
        path.write_bytes(path.read_bytes()[:5000])
    before = {path: path.read_bytes() for path in states.values()}
    assert "no other is left" in refused(*argv, "--resume", "--steps", 4)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_command_without_memory_ends_in_one_line(capsys, monkeypatch, error):
    def run(argv):
        raise error

    monkeypatch.setattr(cli, "run", run)
    with pytest.raises(SystemExit) as end:
        cli.main(["info", "x"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("ancestral: there is not enough memory")


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_still_being_written_at_the_end_is_waited_for(tmp_path, processes):
    """By one process, and by one of several, which leaves without Python's shutdown."""
    code = f"""
import threading, time
from pathlib import Path
from ancestral.faces import command as cli

def late(argv):
    threading.Thread(target=lambda: (time.sleep(0.5), Path({str(tmp_path / "late")!r}).write_text("whole"))).start()
    print("said")
    return 3

cli.run = late
cli.main([])
"""
    environment = os.environ | {"WORLD_SIZE": str(processes)}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (3, "said\n", "")
    assert (tmp_path / "late").read_text() == "whole"
