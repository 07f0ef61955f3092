"""No picture, report, log, tracker or measurement ends a training, and no matplotlibrc reaches one."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

import ancestral
from ancestral.render import html_report, lettering, writers
from ancestral.training import RunFolder, Snapshots, trackers, training_samples
from ancestral.training.fault_tolerance import Saves
from ancestral.training.sample_distance import SampleDistance
from ancestral.use_cases import model_cards
from ancestral.use_cases.training import training_messages, training_previews
from ancestral.use_cases.training.run_report import RunReport
from tiny_models import same_tensors

TINY = {"steps": 4, "batch_size": 4, "width": 16, "blocks": 1, "sample_every": 2, "measure_every": 4, "snapshots": 2}
TINY |= {"preview_steps": 1, "trackers": ("tensorboard",), "log_every": 1}
ROUNDS = {
    "before and while they are made": (
        MemoryError(),
        [
            (training_previews, "examples"),
            (training_samples.SharedSampling, "_share"),
            (html_report, "write_report"),
            (RunFolder, "append_log"),
            (RunFolder, "append_notes"),
            (trackers, "tensorboard"),
            (Snapshots, "write"),
            (SampleDistance, "measure"),
            (training_messages, "_ended"),
            (model_cards, "update_card"),
        ],
    ),
    "while they are drawn": (
        RuntimeError("parse_math failed"),
        [
            (training_previews, "_pictures"),
            (RunReport, "_facts"),
            (RunFolder, "append_distance"),
            (SummaryWriter, "add_scalar"),
            (Saves, "_write_best"),
        ],
    ),
    "while they are written": (
        OSError(errno.EIO, os.strerror(errno.EIO)),
        [(writers, "write_picture"), (SummaryWriter, "add_image"), (training_messages, "sampling_command")],
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "x.npy"
    np.save(file, np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8))
    return file


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "a"
    return ancestral.train("arrays", data=data, out=out, progress=False, **TINY | {"measure_every": 0})


def weights(run):
    return run.model.denoiser.net.state_dict()


@pytest.mark.parametrize(
    "when", [pytest.param(one, marks=[pytest.mark.long] * one.endswith("drawn")) for one in ROUNDS]
)
def test_what_is_made_beside_a_training_may_fail_in_any_way(data, undisturbed, tmp_path, monkeypatch, capsys, when):
    error, parts = ROUNDS[when]
    called = set()
    for place, name in parts:

        def fail(*_, name=name, **__):
            called.add(name)
            raise error

        monkeypatch.setattr(place, name, fail)
    out = tmp_path / "run"
    out.mkdir()
    (out / "README.md").write_text("---\n---\n")  # a card, which the end of a training brings up to date
    measured = {"measure_every": 0} if when.endswith("written") else {}  # which takes long
    run = ancestral.train("arrays", data=data, out=out, progress=True, **TINY | measured)
    text = capsys.readouterr()
    assert called == {name for _, name in parts}
    assert "training goes on" in text.out + text.err
    assert run.step == 4
    assert same_tensors(weights(run), weights(undisturbed))


MATPLOTLIBRC = b"text.usetex: True\nfont.family: no such font\nsavefig.dpi: 7\naxes.facecolor: red\nfont.size: 40\n"
DRAW = """
import hashlib
from ancestral.render import lettering, plots
import torch
points = torch.linspace(-1, 1, 40).reshape(20, 2)
pictures = [lettering.formula("$x_t$", 14), plots.scatter(points, 80, ["a", "b"] * 10)]
print(hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).hexdigest())
import matplotlib
print(matplotlib.rcParams["text.usetex"])
"""


@pytest.mark.long
def test_a_matplotlibrc_of_the_working_folder_changes_no_picture_and_stays_that_of_the_users_plots(tmp_path):
    hashes = []
    for name, content in (("plain", None), ("styled", MATPLOTLIBRC)):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "matplotlibrc").write_bytes(content)
        done = subprocess.run([sys.executable, "-c", DRAW], cwd=tmp_path / name, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        hashes.append(done.stdout.split())
    assert hashes[0][0] == hashes[1][0]
    assert [one[1] for one in hashes] == ["False", "True"]


@pytest.mark.long
def test_a_matplotlibrc_that_is_no_text_ends_no_training(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe\x00")
    words = ["train", "points", "--steps", "2", "--batch-size", "4", "--width", "16", "--preview-steps", "1"]
    argv = [sys.executable, "-m", "ancestral", *words, "--out", "run"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "repair or remove the file matplotlibrc" in done.stdout + done.stderr
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_drawing_leaves_the_settings_of_the_users_plots(monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "font.size", 31.0)
    before = dict(matplotlib.rcParams)
    plain = lettering.formula("$x_t$", 14).tobytes()
    assert dict(matplotlib.rcParams) == before
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 10.0)
    assert lettering.formula("$x_t$", 14).tobytes() == plain
