"""Where the curves go: log.csv, TensorBoard's events, custom trackers; and the live panel."""

import csv
import errno
import importlib.util
import io
import math
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

import ancestral
from ancestral.base.errors import InputError
from ancestral.config import Config
from ancestral.faces import command as cli
from ancestral.render import terminal
from ancestral.render.terminal import TrainingPanel, draw
from ancestral.training import Progress
from ancestral.training.trackers import check_trackers

TRAIN = ("train", "points", "--batch-size", "8", "--width", "16", "--log-every", "2", "--save-every", "4")


def events(path):
    curves = EventAccumulator(str(path / "tensorboard")).Reload()
    return {name: curves.Scalars(name) for name in curves.Tags()["scalars"]}, curves.Tags()["images"], curves


def test_tensorboard_holds_what_the_log_holds(tmp_path, run):
    run(*TRAIN, "--steps", 8, "--out", tmp_path / "run")
    scalars, images, curves = events(tmp_path / "run")
    with (tmp_path / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    columns = {"loss": "loss", "gradient norm": "gradient_norm", "learning rate": "lr"}
    for name, column in columns.items():
        assert [point.step for point in scalars[name]] == [2, 4, 6, 8]
        for point, row in zip(scalars[name], rows, strict=True):
            assert point.value == pytest.approx(float(row[column]), rel=1e-4)
    by_time = {name: points for name, points in scalars.items() if name.startswith("loss by time/")}
    assert sorted(by_time) == sorted(f"loss by time/{125 * n + 1}-{125 * (n + 1)}" for n in range(8))
    assert "images per second" in scalars
    assert images == ["samples"]
    assert [image.step for image in curves.Images("samples")] == [8]


def test_a_resumed_run_has_no_point_twice(tmp_path, run):
    run(*TRAIN, "--steps", 6, "--out", tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "000006" / "manifest.json").unlink()  # so it goes on from step 4
    run(*TRAIN, "--steps", 8, "--out", tmp_path / "run", "--resume")
    scalars, _, _ = events(tmp_path / "run")
    assert [point.step for point in scalars["loss"]] == [2, 4, 6, 8]


def test_validation_losses_are_logged_at_their_steps(tmp_path, run):
    run(*TRAIN, "--steps", 6, "--validation", "0.1", "--sample-every", "3", "--out", tmp_path / "run")
    scalars, _, _ = events(tmp_path / "run")
    with (tmp_path / "run" / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name, column in {"validation loss": "validation", "loss of training items": "training"}.items():
        assert [point.step for point in scalars[name]] == [3, 6]
        assert [point.value for point in scalars[name]] == pytest.approx([float(row[column]) for row in rows], rel=1e-4)


@pytest.mark.parametrize("words", [("--trackers", "none"), ()], ids=["not wanted", "not installed"])
def test_a_run_needs_no_tensorboard(tmp_path, run, monkeypatch, words):
    if not words:
        monkeypatch.setitem(sys.modules, "tensorboard", None)
    run(*TRAIN, "--steps", 2, *words, "--out", tmp_path / "run")
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert (tmp_path / "run" / "log.csv").read_text().count("\n") == 2
    assert (tmp_path / "run" / "report.html").exists()


def test_a_disk_that_is_full_for_tensorboard_is_reported_once_without_a_traceback(tmp_path, monkeypatch, capsys):
    """Its thread ends at the first event that it cannot write; errors of other threads are reported as before."""
    write, hook, events_written = RecordWriter.write, threading.excepthook, []

    def full(writer, data):
        events_written.append(data)
        if len(events_written) > 1:  # the first is written when the file is opened
            raise OSError(errno.ENOSPC, "No space left on device")
        write(writer, data)

    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(SystemExit) as stop:
        cli.main([*TRAIN, "--steps", "8", "--sample-every", "4", "--out", str(tmp_path / "run")])
    printed = capsys.readouterr()
    assert (stop.value.code, printed.err) == (0, "")
    assert printed.out.count("could not log step") == 1
    assert "No space left on device; training goes on" in printed.out
    assert threading.excepthook == hook
    assert not [thread for thread in threading.enumerate() if type(thread).__module__.startswith("tensorboard.")]


def test_tensorboard_is_an_extra(monkeypatch):
    """Without it, log.csv and report.html are all there is by default."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tensorboard" else find_spec(name))
    assert check_trackers(("auto",)) == []
    with pytest.raises(InputError, match=r"pip install .*\[tensorboard\]'"):
        check_trackers(("tensorboard",))


def test_trackers_that_cannot_be_are_refused():
    """A custom tracker is no setting, so the file of settings of someone else runs no code."""
    assert check_trackers(("none",)) == []
    assert check_trackers(("tensorboard", "none")) == check_trackers(("auto",)) == ["tensorboard"]
    for name in ("tensorbord", "wandb", "os:system"):
        with pytest.raises(InputError, match=f"there is no tracker '{name}': give tensorboard, auto or none, or name"):
            check_trackers((name,))


OWN = """
import contextlib

@contextlib.contextmanager
def tracker(folder, step):
    with (folder / "own.txt").open("a") as file:
        def log(step, values):
            print(step, *(f"{name}={getattr(value, 'size', value)}" for name, value in values.items()), file=file)
        print("from", step, file=file)
        yield log
        print("end", file=file)

@contextlib.contextmanager
def failing(folder, step):
    def log(step, values):
        raise RuntimeError(f"no service at step {step}")
    yield log
    raise RuntimeError("no end")

def offline(folder, step):
    raise OSError("no network")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of trackers in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_trackers.py").write_text(OWN)
    yield importlib.import_module("own_trackers")
    del sys.modules["own_trackers"]


def test_a_tracker_of_the_users_own_gets_numbers_and_pictures(own, run, refused):
    run(*TRAIN, "--steps", 4, "--trackers", "own_trackers:tracker", "tensorboard", "--out", "run")
    run(*TRAIN, "--steps", 6, "--resume", "--trackers", "own_trackers:tracker", "--out", "run")
    lines = [line.partition(" ") for line in Path("run/own.txt").read_text().splitlines()]
    first = ["from", "2", "4", "4", "end"]
    assert [first for first, _, _ in lines] == [*first, "from", "6", "6", "end"]
    with Path("run/log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    numbers = [rest for _, _, rest in lines if rest.startswith("loss=")]
    assert [float(rest.split()[0].removeprefix("loss=")) for rest in numbers] == pytest.approx(losses, rel=1e-4)
    assert [rest.split("=")[0] for _, _, rest in lines if "samples" in rest] == ["samples"] * 2
    assert Path("run/tensorboard").is_dir()
    assert Config.from_json(Path("run/config.json").read_text()).runtime.trackers == ()
    assert "own_trackers:none cannot be imported" in refused(*TRAIN, "--trackers", "own_trackers:none", "--out", "b")


def test_trackers_that_fail_end_no_training(own, capsys):
    trackers = [own.offline, own.failing, own.tracker]
    options = {"batch_size": 8, "width": 16, "log_every": 2, "steps": 4, "preview_steps": 1}
    ancestral.train("points", out="run", trackers=trackers, **options)
    text = capsys.readouterr()
    lines = [line for line in (text.out + text.err).splitlines() if "training goes on" in line]
    assert lines == [
        "could not start the tracker own_trackers:offline: no network; training goes on without it",
        "could not log step 2: no service at step 2; training goes on",
    ]
    assert Path("run/own.txt").read_text().endswith("end\n")
    assert ancestral.load("run").step == 4


def progress(step=50, **changes):
    values = {"steps": 100, "loss": 0.25, "by_time": (0.5, 0.25, *[math.nan] * 6), "lr": 1e-3, "gradient_norm": 0.5,
              "images_per_second": 321.0, "seconds": 65.0, "seconds_left": 3725.0, "saved": False,
              "T": 1000, "memory": 3 * 2**29}  # fmt: skip
    return Progress(step, **{**values, **changes})


def test_the_panel_shows_how_far_how_well_how_fast():
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(draw(progress()))
    text = console.file.getvalue()
    for words in ("50 of 100", "1:05", "1:02:05 left", "loss 0.2500", "1.00e-03", "321 images/s", "1.50 GiB", "0.500"):
        assert words in text, words
    console.print(draw(progress(seconds_left=4.2)))
    assert "0:04 left" in console.file.getvalue()


def test_nothing_moves_in_a_file_with_forced_colours(monkeypatch, capsys):
    """FORCE_COLOR, as notebooks and CI set it, makes a console of rich a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    panel = TrainingPanel(terminal.console())
    panel.show(progress())
    panel.close()
    assert "\x1b[2K" not in capsys.readouterr().out
    assert panel.live is None


def test_the_panel_prints_notes_above_itself():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    panel = TrainingPanel(console)
    panel.show(progress(notes=("a data worker died",)))
    panel.show(progress(100))
    panel.close()
    assert "a data worker died" in console.file.getvalue()
