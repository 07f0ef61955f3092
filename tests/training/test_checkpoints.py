"""Checkpoints: whole or not there, read back before an older one goes, and the newest whole one is found."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.training import Checkpoints, RunFolder
from ancestral.training.checkpoints import MANIFEST, TENSORS, Checkpoint


def checkpoint(step, size=10, **facts):
    return Checkpoint(step, {"w": torch.arange(size) + step}, facts)


def saved(folder, *steps, keep=2, every=0):
    checkpoints = Checkpoints(folder, keep, every)
    for step in steps:
        checkpoints.save(checkpoint(step))
    checkpoints.wait()
    return checkpoints


def test_what_is_saved_comes_back(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(checkpoint(7, loss=0.1 + 0.2))
    checkpoints.wait()
    newest, wrong = checkpoints.newest()
    assert wrong == []
    assert (newest.step, newest.numbers) == (7, {"loss": 0.1 + 0.2})  # JSON keeps every bit of a float
    assert torch.equal(newest.tensors["w"], torch.arange(10) + 7)
    manifest = json.loads((checkpoints.path(7) / MANIFEST).read_text())
    content = (checkpoints.path(7) / TENSORS).read_bytes()
    assert manifest["sha256"][TENSORS] == hashlib.sha256(content).hexdigest()  # which a user can check


def test_the_newest_stay_and_those_of_every_nth_step_until_training_goes_back(tmp_path):
    assert saved(tmp_path / "a", 10, 20, 30, 40, 50).steps() == [40, 50]
    assert saved(tmp_path / "b", 10, 20, 30, 40, 50, keep=1).steps() == [50]
    checkpoints = saved(tmp_path / "c", 10, 20, 30, 40, 50, keep=1, every=20)
    assert checkpoints.steps() == [20, 40, 50]
    checkpoints.forget(20)
    assert checkpoints.steps() == [20]


@pytest.mark.parametrize("harm", ["cut", "flipped", "gone", "manifest", "no facts", "no manifest", "empty"])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path, harm):
    checkpoints = saved(tmp_path, 1, 2)
    path = checkpoints.path(2)
    content = bytearray((path / TENSORS).read_bytes())
    if harm == "cut":
        (path / TENSORS).write_bytes(content[:-1])
    elif harm == "flipped":  # a bit that no parser would miss
        content[-3] ^= 1
        (path / TENSORS).write_bytes(content)
    elif harm == "gone":
        (path / TENSORS).unlink()
    elif harm == "manifest":
        (path / MANIFEST).write_text('{"format": 3}')
    elif harm == "no facts":
        manifest = json.loads((path / MANIFEST).read_text())
        (path / MANIFEST).write_text(json.dumps({name: manifest[name] for name in manifest if name != "facts"}))
    elif harm == "no manifest":
        (path / MANIFEST).unlink()
    else:
        for file in path.iterdir():
            file.unlink()
    newest, wrong = checkpoints.newest()
    assert newest.step == 1
    assert len(wrong) == 1
    assert "is no whole checkpoint" in wrong[0]


def test_a_flipped_bit_of_the_manifest_is_noticed_or_changes_nothing(tmp_path):
    checkpoints = saved(tmp_path)
    facts = {"guard": {"lr_factor": 0.25, "bad": 0}, "optimiser": {"groups": [{"lr": 2e-4, "betas": (0.9, 0.999)}]}}
    checkpoints.save(checkpoint(1, **facts))
    checkpoints.wait()
    path, manifest = checkpoints.path(1) / MANIFEST, checkpoints.verify(1)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with contextlib.suppress(InputError):
            assert checkpoints.verify(1) == manifest
    path.write_bytes(whole.replace(b'"lr": 0.0002', b'"lr": 0.0006'))
    with pytest.raises(InputError, match="is no whole checkpoint: it was changed"):
        checkpoints.verify(1)


def test_a_checkpoint_without_a_digest_of_its_manifest_is_refused(tmp_path):
    checkpoints = saved(tmp_path, 1)
    path = checkpoints.path(1) / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["sha256"][MANIFEST]
    path.write_text(json.dumps(manifest))
    (line,) = checkpoints.newest()[1]
    assert line == f"{checkpoints.path(1)} has no SHA-256 of its manifest, as those before version 1.0"


def test_an_older_one_goes_only_after_the_new_one_was_read_back(tmp_path, monkeypatch):
    """A disk that takes the bytes and gives back others: the old checkpoints stay, and the save says so."""
    checkpoints = saved(tmp_path, 1, 2)
    write = storage.write_bytes

    def rotten(path, content):
        write(path, content[:-1] + bytes([content[-1] ^ 1]))

    monkeypatch.setattr(storage, "write_bytes", rotten)
    checkpoints.save(checkpoint(3))
    with pytest.raises(OSError, match="is the disk failing"):
        checkpoints.wait()
    assert checkpoints.steps() == [1, 2, 3]
    assert checkpoints.newest()[0].step == 2


def test_saving_does_not_hold_up_training_and_errors_come_once(tmp_path, monkeypatch):
    checkpoints, go = Checkpoints(tmp_path), threading.Event()
    write = Checkpoints.write

    def slow(self, one):
        assert go.wait(10)
        if one.step == 2:
            raise OSError("no room")
        write(self, one)

    monkeypatch.setattr(Checkpoints, "write", slow)
    checkpoints.save(checkpoint(1))
    checkpoints.check()  # returns at once, and there is nothing wrong yet
    assert checkpoints.steps() == []
    go.set()
    checkpoints.wait()
    assert checkpoints.steps() == [1]
    checkpoints.save(checkpoint(2))
    with pytest.raises(OSError, match="no room"):
        checkpoints.wait()
    checkpoints.check()
    assert checkpoints.steps() == [1]


def test_the_model_is_written_when_the_checkpoint_is_safe(tmp_path):
    checkpoints, steps = Checkpoints(tmp_path), []
    checkpoints.save(checkpoint(5), lambda: steps.append(checkpoints.verify(5)["step"]))
    checkpoints.wait()
    assert steps == [5]


def test_only_good_ones_are_gone_back_to(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=9)
    for step in (1, 2, 3):
        checkpoints.save(checkpoint(step, bad=step % 2))
    checkpoints.wait()
    assert checkpoints.newest(lambda facts: facts["bad"] == 0)[0].step == 2


def test_a_folder_whose_name_is_no_utf_8_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"run-\\udcff is no UTF-8"):
        RunFolder(tmp_path / os.fsdecode(b"run-\xff")).check_free()


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    folder = RunFolder(tmp_path)
    saved(folder.checkpoints, 1)
    (folder.checkpoints / ".000002-0123abcd").mkdir()
    (folder.checkpoints / ".000002-0123abcd" / TENSORS).write_bytes(b"half")
    (tmp_path / ".model-0123abcd.safetensors").write_bytes(b"half")
    (tmp_path / ".hidden").write_text("not ours")
    folder.tidy()
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        [".hidden", "checkpoints", "000001", TENSORS, MANIFEST]
    )


def test_what_another_process_writes_now_stays(tmp_path):
    """`ancestral sample` in the folder of a run that is resumed meanwhile; what a killed process left goes."""
    folder = RunFolder(tmp_path)
    for path in (folder.samples / "a.png", folder.path / "b.txt"):
        with storage.atomic(path) as temporary:
            folder.tidy()
            temporary.write_text("whole")
    with storage.atomic_folder(folder.samples / "many") as temporary:
        folder.tidy()
        (temporary / "0.png").write_text("whole")
    storage.write_new(folder.samples / "new.png", lambda path: (folder.tidy(), path.write_text("whole")))
    names = sorted(path.name for path in folder.samples.rglob("*"))
    assert names == ["0.png", "a.png", "many", "new.png"]
    script = f"""
import os, signal; from pathlib import Path; from ancestral.base import storage
with storage.atomic(Path({str(folder.samples / "killed.png")!r})): os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert len(folder.abandoned()) == 1
    folder.tidy()
    assert sorted(path.name for path in folder.samples.rglob("*")) == names


def test_two_trainings_of_one_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ancestral.base.storage.LOCK_TIMEOUT", 0.0)
    folder = RunFolder(tmp_path)
    with folder.locked(), pytest.raises(InputError, match="another process is training"), folder.locked():
        pass
    with folder.locked():
        pass


def test_what_a_save_raises_in_its_thread_is_not_lost(tmp_path, monkeypatch):
    """Without memory, or by a defect, a save fails as on a full disk: the run must not say that it has a model."""
    checkpoints = saved(tmp_path, 1)
    for error, says in ((MemoryError(), "not enough memory"), (ZeroDivisionError("x"), "ZeroDivisionError: x")):
        with monkeypatch.context() as patch:
            patch.setattr(storage, "tensors_to_bytes", lambda _, error=error: raising(error))
            checkpoints.save(checkpoint(2))
            with pytest.raises(OSError, match=says):
                checkpoints.wait()
        assert checkpoints.failed
        assert checkpoints.steps() == [1]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda _: raising(RuntimeError("can't start new thread")))
        checkpoints.save(checkpoint(2))
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]


def raising(error):
    raise error
