"""A disk that is really full: a small tmpfs where mounting is allowed; a limit on the size of files; and a disk that is
counted in the test, on which every order of removals can be seen.
"""

import dataclasses
import errno
import resource
import subprocess
import sys
from functools import partial

import pytest
import torch

import ancestral
from ancestral import storage
from ancestral.training import Checkpoints, RunFolder, Snapshots, Trainer
from ancestral.training.checkpoints import Checkpoint, Publication
from conftest import stripes, tiny_config, wait_for_saves
from test_training import assert_same_state

STEPS = 40
TRAIN = [sys.executable, "-m", "ancestral", "train", "points", "--steps", str(STEPS), "--batch-size", "8"]
TRAIN += [
    "--save-every",
    "4",
    "--keep",
    "9",
    "--sample-every",
    "1000",
    "--preview-steps",
    "1",
    "--trackers",
    "none",
    "--threads",
    "1",
]
TRAIN += ["--snapshots", "9", "--resume", "--out"]
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


def test_a_run_on_a_disk_with_room_for_one_checkpoint_comes_to_its_end(tmp_path):
    """The lack is reported before step 1, and each thing that gives way once."""
    code, out, err, kept = on_a_disk(CHECKPOINT + 2 * MODEL + 500_000, tmp_path / "small")
    assert (code, err) == (0, "")
    assert out.count("warning: the run takes about 6") == 1  # of 9 checkpoints, one more while it is written
    assert out.index("MB are free") < out.index("step 40/40")
    assert out.count("training goes on without snapshots") == 1
    assert out.count("of the checkpoints to make room for a save") == 1
    found, wrong = Checkpoints(kept / "checkpoints").newest()
    assert (found.step, wrong) == (STEPS, [])
    assert ancestral.load(kept, "cpu").step == STEPS
    assert not list(kept.rglob(".*"))  # nothing half-written stays


def test_a_disk_without_room_for_a_checkpoint_is_refused_before_step_1(tmp_path):
    code, out, err, kept = on_a_disk(CHECKPOINT, tmp_path / "tiny")
    assert code == 2
    assert err.count("\n") == 1
    assert "MB free, and a checkpoint and the model take 6.51 MB: make room, or give --out a folder on another" in err
    assert "step " not in out
    assert not kept.exists()


def test_files_that_cannot_be_written_are_reported_once_and_nothing_is_lost(tmp_path):
    limited = subprocess.run(
        [*TRAIN, str(tmp_path / "run")], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY)),
    )  # fmt: skip
    assert limited.returncode == 2
    assert limited.stderr.count("\n") == 1
    assert "could not write" in limited.stderr
    assert limited.stdout.count("training goes on, and saves again") == 1
    assert limited.stdout.count("training goes on without snapshots") == 1
    assert ancestral.train(out=tmp_path / "run", resume=True, progress=False).step == STEPS
    assert ancestral.load(tmp_path / "run", "cpu").step == STEPS


class CountedDisk:
    """A disk that holds the files in a folder, counted as `storage` writes and asks, and has some bytes free."""

    def __init__(self, root, free, monkeypatch):
        self.root, self.write = root, storage.write_bytes
        self.fill(free)
        monkeypatch.setattr(storage, "SLACK", 500)
        monkeypatch.setattr(storage, "free_bytes", lambda path: self.size - storage.size_of(root))
        monkeypatch.setattr(storage, "write_bytes", self.write_bytes)

    def fill(self, free):
        self.size = storage.size_of(self.root) + free

    def write_bytes(self, path, content):
        if len(content) > storage.free_bytes(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.write(path, content)


@pytest.mark.parametrize(
    ("free", "snapshots", "checkpoints", "last", "left"),
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
def test_what_is_needed_less_gives_way(tmp_path, monkeypatch, free, snapshots, checkpoints, last, left):
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
    assert (parts.steps(), store.steps(), model) == left


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
    assert first.startswith("the disk has no room for more than checkpoints and the model; training goes on")
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
