"""A disk that is really full: a small tmpfs where mounting is allowed; and one that is counted in the test, on which
every order of removals can be seen.
"""

import dataclasses
import errno
import os
import subprocess
import sys
from functools import partial

import pytest
import torch

import ancestral
from ancestral.base import disk_room, storage
from ancestral.base.errors import InputError
from ancestral.training import Checkpoints, RunFolder, Snapshots, Trainer
from ancestral.training.checkpoints import Checkpoint, Publication
from ancestral.training.disk_space import disk_warning
from test_training import assert_same_state
from tiny_models import stripes, tiny_config, wait_for_saves

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
def test_a_run_on_a_disk_with_room_for_one_checkpoint_comes_to_its_end(tmp_path):
    """The lack is reported before step 1, and each thing that gives way once."""
    code, out, err, copy = on_a_disk(CHECKPOINT + 2 * MODEL + 500_000, tmp_path / "small")
    assert (code, err) == (0, "")
    assert out.count("warning: the run takes about 6") == 1  # of 9 checkpoints, one more while it is written
    assert out.index("MB are free") < out.index("step 40/40")
    assert out.count("training goes on without snapshots") == 1
    assert out.count("of the checkpoints to make room for a save") == 1
    newest, wrong = Checkpoints(copy / "checkpoints").newest()
    assert (newest.step, wrong) == (STEPS, [])
    assert ancestral.load(copy, "cpu").step == STEPS
    assert not list(copy.rglob(".*"))  # nothing half-written stays


@pytest.mark.parametrize(("free", "runs_folder"), [(-1, False), (0, True)])
def test_a_disk_without_room_for_a_checkpoint_is_refused(tmp_path, monkeypatch, free, runs_folder):
    """And one that has less room than the whole run takes is told of."""
    trainer, folder = Trainer(tiny_config(), stripes(), "cpu"), RunFolder(tmp_path / "run")
    monkeypatch.setattr(disk_room, "free_bytes", lambda path: trainer.state.save_bytes + free)
    if runs_folder:
        (line,) = disk_warning(trainer, folder)
        assert line.startswith("warning: the run takes about ")
    else:
        with pytest.raises(InputError, match=r"a checkpoint and the model take .*: make room, or give out a folder"):
            disk_warning(trainer, folder)
    assert not folder.path.exists()


class CountedDisk:
    """A disk that holds the files in a folder, counted as `storage` writes and asks, and has some bytes free."""

    def __init__(self, root, free, monkeypatch, error=errno.ENOSPC):
        self.root, self.write, self.error = root, storage.write_bytes, error
        self.fill(free)
        monkeypatch.setattr(disk_room, "SLACK", 500)
        monkeypatch.setattr(disk_room, "free_bytes", lambda path: self.size - storage.size_of(root))
        monkeypatch.setattr(storage, "write_bytes", self.write_bytes)

    def fill(self, free):
        self.size = storage.size_of(self.root) + free

    def write_bytes(self, path, content):
        if len(content) > disk_room.free_bytes(path):
            raise OSError(self.error, os.strerror(self.error))
        self.write(path, content)


@pytest.mark.parametrize(
    ("free", "snapshots", "checkpoints", "last", "rest"),
    [
        (30_000, [1, 2, 3], [10, 20], False, ([1, 2, 3], [10, 20, 30], 30)),
        (11_000, [1, 2, 3], [10, 20], False, ([2, 3], [10, 20, 30], 30)),  # the oldest snapshot for the model
        (3_000, [1, 2, 3], [10, 20], False, ([], [10, 20, 30], 30)),  # two for the checkpoint, one for the model
        (3_000, [], [10, 20], False, ([], [20, 30], 30)),  # the oldest checkpoint
        (3_000, [1], [20], False, ([], [30], 30)),  # the last one too, after the model was written
        (1_000, [], [20], False, ([], [30], 30)),  # the old model, which is made again of the checkpoint
        (300, [], [20], False, ([], [20], 20)),  # no room is made that would not suffice
        (300, [], [20], True, ([], [], 30)),  # but the last model is worth more than checkpoints
        (300, [1], [], False, ([], [], 30)),  # the model is written though the checkpoint cannot be
    ],
)
def test_what_is_needed_less_gives_way(tmp_path, monkeypatch, free, snapshots, checkpoints, last, rest):
    """Checkpoints of 10,000 bytes, snapshots of 4,000 and models of 2,000: those of step 30 are written."""
    folder = RunFolder(tmp_path)
    parts, store = Snapshots(folder.snapshots), Checkpoints(folder.checkpoints, keep=9)

    def publish(step):
        storage.write_bytes(folder.model, str(step).encode().ljust(2000))

    def checkpoint(step):
        return Checkpoint(step, {"w": torch.full((10_000,), step, dtype=torch.uint8)}, {})

    for step in snapshots:
        storage.write_bytes(parts.path(step), bytes(4000))
    for step in checkpoints:
        store.write(checkpoint(step))
    publish(20)
    CountedDisk(tmp_path, free, monkeypatch)
    store.save(checkpoint(30), Publication(partial(publish, 30), folder.model, 2000, last, parts.paths))
    store.settle()
    model = int(folder.model.read_bytes()) if folder.model.exists() else None
    assert (parts.steps(), store.steps(), model) == rest


def test_a_file_that_is_too_large_costs_nothing(tmp_path, monkeypatch):
    """Of another error than a full disk nothing gives way, and no model is newer than its checkpoint."""
    folder, store = RunFolder(tmp_path), Checkpoints(tmp_path / "checkpoints", keep=9)
    for step in (10, 20):
        store.write(Checkpoint(step, {"w": torch.zeros(10)}, {}))
    CountedDisk(tmp_path, 300, monkeypatch, errno.EFBIG)
    published = []
    store.save(Checkpoint(30, {"w": torch.zeros(10_000)}, {}), Publication(lambda: published.append(30)))
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        store.wait()
    assert (store.steps(), published, folder.model_step()) == ([10, 20], [], None)


@pytest.mark.long
def test_a_disk_that_fills_up_costs_snapshots_and_then_old_checkpoints(tmp_path, monkeypatch):
    """A training whose disk others fill up after its first saves: it ends as any other, and says each thing once."""
    config = tiny_config(steps=12, save_every=2)
    folder, plain = RunFolder(tmp_path / "run"), Trainer(config, stripes(), "cpu")
    folder.begin(config)
    list(plain.run())
    trainer, notes = Trainer(config, stripes(), "cpu"), []
    for progress in trainer.run(folder):
        notes += progress.notes
        wait_for_saves()
        if progress.step == 5:
            assert Snapshots(folder.snapshots).steps() == [1, 2, 3, 4, 5]
            disk = CountedDisk(tmp_path, trainer.state.pair_bytes, monkeypatch)
        elif progress.step == 9:
            disk.fill(0)
    first, *others = notes
    assert "the disk has no room for more than checkpoints and the model; training goes on" in first
    full = "the disk is full: removed {} to make room for a save"
    assert others == [full.format("3 of the snapshots"), full.format("1 of the checkpoints")]
    assert Checkpoints(folder.checkpoints).steps() == [10, 12]
    assert_same_state(plain, trainer)


def test_the_report_gives_way_to_the_checkpoint_of_a_stop(tmp_path, monkeypatch):
    """It is made again at any time; the steps since the last checkpoint are not."""
    config = tiny_config(steps=12, save_every=4)
    config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, keep=1, snapshots=0))
    folder, trainer, notes = RunFolder(tmp_path / "run"), Trainer(config, stripes(), "cpu"), []
    folder.begin(config)
    for progress in trainer.run(folder):
        notes += progress.notes
        if progress.step == 5:
            wait_for_saves()
            folder.report.write_bytes(bytes(trainer.state.save_bytes))
            CountedDisk(tmp_path, 0, monkeypatch)
            trainer.stop()
    assert notes == ["the disk is full: removed the report to make room for a save"]
    assert Checkpoints(folder.checkpoints).steps() == [6]
    assert ancestral.load(folder.path, "cpu").step == 6
