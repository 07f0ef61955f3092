"""A disk that is full: a small tmpfs where mounting is allowed; and writes that fail within a test."""

import dataclasses
import errno
import os
import subprocess
import sys

import pytest

import ancestral
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.training import Checkpoints, RunFolder, Trainer
from ancestral.use_cases.training.settling import disk_warning
from test_training import assert_same_state
from tiny_models import begun, stripes, tiny_config, wait_for_saves

STEPS = 40
TRAIN = [sys.executable, "-m", "ancestral", "train", "points", "--steps", str(STEPS), "--batch-size", "8"]
TRAIN += ["--save-every", "4", "--keep", "9", "--sample-every", "1000", "--preview-steps", "1", "--trackers", "none"]
TRAIN += ["--threads", "1", "--snapshots", "9", "--resume", "--out"]
CHECKPOINT, MODEL = 5_600_000, 930_000
"""About the bytes of the two in such a run."""


def on_a_disk(size, path):
    """Train on a tmpfs of a size, and return the code, what was printed, the errors and a copy of the run."""
    path.mkdir()
    script = (
        'mount -t tmpfs -o size="$1" none "$2" || exit 77; out="$2/run"; kept="$2.kept"; shift 2; '
        '"$@" "$out"; code=$?; [ -e "$out" ] && cp -r "$out" "$kept"; exit $code'
    )
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    words = ["unshare", "-rm", "sh", "-c", script, "sh", str(size), str(path), *TRAIN]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("mounting is not allowed here")
    return done.returncode, done.stdout, done.stderr, path.with_name(f"{path.name}.kept")


@pytest.mark.slow
def test_a_run_whose_disk_fills_up_says_so_and_ends_with_an_error(tmp_path):
    """The lack is reported before step 1, a save that fails once, and the last one in the line of the exit."""
    code, out, err, copy = on_a_disk(CHECKPOINT + 2 * MODEL + 500_000, tmp_path / "small")
    assert code == 2
    assert out.count("warning: the run takes about 6") == 1  # of 9 checkpoints, one more while it is written
    assert out.count("training goes on without snapshots") == 1
    assert out.count("No space left on device; make room") == 1
    assert out.count("training goes on, and saves again at the next multiple of --save-every") == 1
    assert err.count("\n") == 1
    assert "a resumed run goes on from step 4, and the steps since are lost" in err
    newest, wrong = Checkpoints(copy / "checkpoints").newest()
    assert (newest.step, wrong) == (4, [])
    assert ancestral.load(copy, "cpu").step == 4
    assert not list(copy.rglob(".*"))  # nothing half-written stays


@pytest.mark.parametrize(("free", "runs_folder"), [(-1, False), (0, True)])
def test_a_disk_without_room_for_a_checkpoint_is_refused(tmp_path, monkeypatch, free, runs_folder):
    """And one that has less room than the whole run takes is told of."""
    trainer, folder = Trainer(tiny_config(), stripes(), "cpu"), RunFolder(tmp_path / "run")
    monkeypatch.setattr(storage, "free_bytes", lambda path: trainer.state.save_bytes + free)
    if runs_folder:
        (line,) = disk_warning(trainer, folder)
        assert line.startswith("warning: the run takes about ")
    else:
        with pytest.raises(InputError, match=r"a checkpoint and the model take .*: make room, or give out a folder"):
            disk_warning(trainer, folder)
    assert not folder.path.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch, number):
    """Training goes on, says so once until a save succeeds, and saves again; nothing is half-written."""
    config = tiny_config(steps=14, save_every=2)
    config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, snapshots=0))
    folder, trainer, notes = begun(tmp_path / "run", config), Trainer(config, stripes(), "cpu"), []

    def fail(handle):
        raise OSError(number, os.strerror(number))

    for progress in trainer.run(folder):
        notes += [(progress.step, note) for note in progress.notes]
        wait_for_saves()
        if progress.step in (3, 9):
            monkeypatch.setattr(os, "fsync", fail)  # once the bytes are written
        elif progress.step == 7:
            assert (Checkpoints(folder.checkpoints).newest()[0].step, folder.model_step()) == (2, 2)
            assert not list(folder.path.rglob(".*"))
            monkeypatch.undo()
        elif progress.step == 11:
            monkeypatch.undo()
    assert [step for step, _ in notes] == [5, 11]
    for _, line in notes:
        assert line.startswith(f"could not write {folder.checkpoints}")
        assert f"{os.strerror(number)}; {storage.REMEDIES[number]}" in line
        assert "; training goes on, and saves again" in line
    assert Checkpoints(folder.checkpoints).steps() == [12, 14]
    plain = Trainer(config, stripes(), "cpu")
    list(plain.run())
    assert_same_state(plain, trainer)
    assert ancestral.load(folder.path, "cpu").step == 14


def test_a_last_save_that_fails_ends_the_command_with_one_line(tmp_path, refused, monkeypatch):
    write = storage.write_bytes

    def full(path, content):
        if path.parent.name.startswith(".000004-"):
            raise OSError(errno.ENOSPC, f"could not write {path}: No space left on device; make room")
        write(path, content)

    monkeypatch.setattr(storage, "write_bytes", full)
    words = ["--steps", 4, "--save-every", 2, "--batch-size", 4, "--width", 16, "--trackers", "none"]
    line = refused("train", "points", *words, "--preview-steps", 1, "--out", tmp_path / "run")
    assert "make room; a resumed run goes on from step 2, and the steps since are lost" in line
    assert ancestral.load(tmp_path / "run", "cpu").step == 2
    assert not list(tmp_path.rglob(".*"))
