import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.data import InMemoryDataset, LazyDataset, loading
from ancestral.data.convert import Conversion
from ancestral.data.decoding import IMAGE_FORMATS
from ancestral.data.files import SourceLost
from ancestral.data.lazy_dataset import StoredItems
from ancestral.data.loading import Loader, default_workers, is_worker_death
from file_contents import image_bytes

BATCH = 8


def picture(number):
    """A PNG whose pixels say which it is."""
    return image_bytes(Image.new("L", (4, 4), number))


@pytest.fixture
def folder(tmp_path):
    """36 images of two classes."""
    for i in range(36):
        path = tmp_path / "set" / "ab"[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    return tmp_path / "set"


def batches(source, count, *, first=0, rank=0, ranks=1, workers=0, seed=3):
    with Loader(source, seed=seed, batch_size=BATCH, positions=range(rank, BATCH, ranks), workers=workers) as loader:
        stream = loader.batches(first)
        return [next(stream) for _ in range(count)]


def equal(one, other):
    assert [b.step for b in one] == [b.step for b in other]
    for a, b in zip(one, other, strict=True):
        for field in ("items", "labels", "indices"):
            assert torch.equal(getattr(a, field), getattr(b, field)), field


def values(batch):
    """Which picture each item is."""
    return batch.items[:, 0, 0, 0].tolist()


def children():
    return multiprocessing.active_children()


@pytest.fixture(autouse=True)
def _nothing_left_behind():
    handlers = [signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)]
    before = psutil.Process().children()  # such as the browser that other tests of this process opened
    yield
    if children():  # a collection takes half a second
        gc.collect()
    assert children() == []
    assert [signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)] == handlers
    left = [child.cmdline() for child in psutil.Process().children() if child not in before]
    assert [words for words in left if "resource_tracker" not in " ".join(words)] == []  # Python's own, once spawned


# the same batches, however they are read


@pytest.mark.parametrize("kind", ["memory", "folder", "torch"])
@pytest.mark.parametrize("workers", [0, 2])
def test_any_workers_ranks_and_beginning_give_the_same(folder, kind, workers):
    source = {
        "memory": lambda: data.load(str(folder)),
        "folder": lambda: data.open(str(folder), memory=0),
        "torch": lambda: data.open(
            TensorDataset(data.load(str(folder)).items, data.load(str(folder)).labels), memory=0
        ),
    }[kind]()
    whole = batches(source, 12)
    assert [b.step for b in whole] == list(range(12))
    equal(batches(source, 12, workers=workers), whole)
    equal(batches(source, 5, first=7, workers=workers), whole[7:])
    for rank in (0, 1):
        share = batches(source, 9, first=3, rank=rank, ranks=2, workers=workers)
        for mine, all_ in zip(share, whole[3:], strict=True):
            for field in ("items", "labels", "indices"):
                assert torch.equal(getattr(mine, field), getattr(all_, field)[rank::2])
    for batch in whole:
        assert batch.items.dtype == torch.uint8
        assert batch.labels.tolist() == [value % 2 for value in values(batch)]
        assert batch.notes == ()


def test_balanced_classes_are_equally_often_in_any_stretch_and_so_are_the_items_of_each():
    labels = torch.tensor([0] * 50 + [1] * 7 + [3] * 20 + [-1] * 3)[torch.randperm(80, generator=torch.manual_seed(0))]
    source = InMemoryDataset(torch.arange(80, dtype=torch.uint8).view(80, 1, 1, 1), labels, tuple("abcd"))

    def balanced(count, *, first=0, rank=0, ranks=1, seed=3):
        positions = range(rank, BATCH, ranks)
        with Loader(source, seed=seed, batch_size=BATCH, positions=positions, balance=True) as loader:
            stream = loader.batches(first)
            return [next(stream) for _ in range(count)]

    whole = balanced(77)
    order = torch.cat([batch.indices for batch in whole])
    for n in (3, 11, 200, 616):  # 616 are 154 of each class: three epochs of the largest
        counts = torch.stack([(labels[order[:n]] == label).sum() for label in labels.unique()])
        assert counts.max() - counts.min() <= 1
        for label in labels.unique():
            times = order[:n].bincount(minlength=80)[labels == label]
            assert times.max() - times.min() <= 1
    assert sorted(order[labels[order] == 0][:50].tolist()) == (labels == 0).nonzero().flatten().tolist()
    assert not torch.equal(order[labels[order] == 0][:50], order[labels[order] == 0][50:100])
    assert not torch.equal(order, torch.cat([batch.indices for batch in balanced(77, seed=4)]))
    equal(balanced(5, first=70), whole[70:75])
    for rank in (0, 1):
        for mine, all_ in zip(balanced(4, first=3, rank=rank, ranks=2), whole[3:7], strict=True):
            assert torch.equal(mine.indices, all_.indices[rank::2])
    assert all(torch.equal(batch.labels, labels[batch.indices]) for batch in whole)


@pytest.mark.long
def test_workers_that_are_spawned(folder, monkeypatch):
    lazy = data.open(str(folder), memory=0)
    monkeypatch.setattr(loading, "METHOD", "spawn")
    equal(batches(lazy, 3, workers=1), batches(lazy, 3))


def test_memory_needs_no_processes(folder):
    before = threading.active_count()  # other tests may have left some
    batches_ = Loader(data.load(str(folder)), seed=0, batch_size=BATCH, positions=range(BATCH), workers=4)
    assert batches_.workers == 0
    next(batches_.batches(0))
    assert threading.active_count() == before
    batches_.close()


def test_default_workers(folder, monkeypatch):
    lazy = data.open(str(folder), memory=0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(12), raising=False)
    assert Loader(lazy, seed=0, batch_size=BATCH, positions=range(BATCH)).workers == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_workers() == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "40")
    assert default_workers() == 1


def test_the_global_random_state_is_not_touched(folder):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    batches(data.open(str(folder), memory=0), 2, workers=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_sixteen_bits_and_no_labels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (20, 4, 4), dtype=np.uint16)
    for i in range(20):
        Image.fromarray(pixels[i]).save(tmp_path / f"{i:02d}.png")
    lazy = data.open(str(tmp_path), memory=0)
    for batch in batches(lazy, 2, workers=2):
        assert (batch.items.dtype, batch.labels) == (torch.uint16, None)
    for batch in batches(lazy, 2, workers=1):
        assert np.array_equal(batch.items[:, 0].numpy(), pixels[batch.indices.numpy()])


class Noise(StoredItems):
    """Each item is a number that the reader draws."""

    def raw(self, index):
        return picture(int(torch.randint(256, ())))


def test_numbers_that_a_worker_draws_are_those_of_the_step():
    source = LazyDataset(Noise("noise", 36), Conversion())
    drawn = [values(batch) for batch in batches(source, 6, workers=2)]
    assert [values(batch) for batch in batches(source, 3, first=3, workers=1)] == drawn[3:]
    assert drawn[0] != drawn[1]


# what goes wrong


def test_an_unreadable_item_is_replaced_by_the_next_and_named_once(folder):
    lazy = data.open(str(folder), memory=0)
    names = [lazy.name_of(i) for i in range(36)]
    for i in (4, 5, 35):
        (folder / names[i]).write_bytes(b"bad")
    order = batches(data.load(str(folder)), 1)  # any: only the count matters
    assert len(order) == 1
    all_ = batches(lazy, 18)
    equal(batches(lazy, 18, workers=2), all_)
    equal(batches(lazy, 9, first=9, workers=2), all_[9:])
    indices = torch.cat([b.indices for b in all_]).tolist()
    assert [indices.count(i) for i in (3, 4, 5, 6, 35, 0)] == [4, 0, 0, 12, 0, 8]
    notes = [note for b in all_ for note in b.notes]
    reason = f"not an image of a kind that is read ({', '.join(IMAGE_FORMATS)})"
    assert sorted(notes) == sorted(f"left out {names[i]}: {reason}" for i in (4, 5, 35))


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_but_unreadable_items_ends_it(folder, workers):
    lazy = data.open(str(folder), memory=0)
    for i in range(36):
        (folder / lazy.name_of(i)).write_bytes(b"bad")
    with pytest.raises(InputError, match="100 items of set one after the other cannot be read: "):
        batches(lazy, 1, workers=workers)


def test_a_killed_worker_costs_no_batch(folder):
    source = data.open(str(folder), memory=0)
    whole = batches(source, 12)
    with Loader(source, seed=3, batch_size=BATCH, positions=range(BATCH), workers=2) as loader:
        stream = loader.batches(0)
        got = [next(stream) for _ in range(3)]
        os.kill(children()[0].pid, signal.SIGKILL)
        time.sleep(0.5)  # a DataLoader's own handler of SIGCHLD would raise here
        got += [next(stream) for _ in range(9)]
    equal(got, whole)
    notes = [note for b in got for note in b.notes]
    assert len(notes) == 1
    assert notes[0].startswith("a data worker died at step ")
    assert notes[0].endswith(" (SIGKILL): started again")


@pytest.mark.long
def test_all_workers_are_killed_at_any_moment(folder):
    """Six times at random moments: the batches are the same."""
    source = data.open(str(folder), memory=0)
    whole, rng = batches(source, 24), np.random.default_rng(0)
    with Loader(source, seed=3, batch_size=BATCH, positions=range(BATCH), workers=2) as loader:
        stream, got = loader.batches(0), []
        for _ in range(6):
            got += [next(stream) for _ in range(4)]
            time.sleep(rng.uniform(0, 0.02))
            for child in children():
                os.kill(child.pid, signal.SIGKILL)
    equal(got, whole)


def test_the_death_that_another_data_loader_reports_is_known(folder, monkeypatch):
    """Where the user's code started a DataLoader before, its handler of SIGCHLD raises in the training process."""
    monkeypatch.setattr("torch.utils.data._utils.signal_handling._SIGCHLD_handler_set", False)
    before = signal.getsignal(signal.SIGCHLD)
    list(DataLoader(TensorDataset(torch.zeros(4)), num_workers=1))
    assert signal.getsignal(signal.SIGCHLD) != before
    source = data.open(str(folder), memory=0)
    try:
        with Loader(source, seed=3, batch_size=BATCH, positions=range(BATCH), workers=1) as loader:
            next(loader.batches(0))
            os.kill(children()[0].pid, signal.SIGKILL)
            with pytest.raises(RuntimeError) as error:
                time.sleep(5)
        assert is_worker_death(error.value)
        assert not is_worker_death(RuntimeError("out of memory"))
    finally:
        signal.signal(signal.SIGCHLD, before)


class Deadly(StoredItems):
    """Item 20 ends the worker that reads it, or is a defect of ours."""

    def __init__(self, defect=False):
        self.defect = defect
        super().__init__("deadly", 36)

    def raw(self, index):
        if multiprocessing.parent_process() is not None and index == 20:
            if self.defect:
                raise RuntimeError("a defect")
            os._exit(9)
        return picture(index)

    def name_of(self, index):
        return str(index)


@pytest.mark.slow
def test_workers_that_die_again_and_again_end_it():
    source = LazyDataset(Deadly(), Conversion())
    step = next(b.step for b in batches(source, 5) if 20 in b.indices)
    with Loader(source, seed=3, batch_size=BATCH, positions=range(BATCH), workers=1) as loader:
        stream = loader.batches(step)
        with pytest.raises(
            InputError, match=rf"died 3 times at step {step} \(exit code 9\): free some memory.*/dev/shm.*workers=0$"
        ):
            next(stream)


def test_a_defect_is_no_death():
    source = LazyDataset(Deadly(defect=True), Conversion())
    step = next(b.step for b in batches(source, 5) if 20 in b.indices)
    with (
        Loader(source, seed=3, batch_size=BATCH, positions=range(BATCH), workers=1) as loader,
        pytest.raises(RuntimeError, match="a defect"),
    ):
        next(loader.batches(step))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_that_is_gone_for_a_while_is_waited_for(folder, workers):
    lazy = data.open(str(folder), memory=0)
    whole = batches(lazy, 12)
    away = folder.with_name("away")
    with Loader(lazy, seed=3, batch_size=BATCH, positions=range(BATCH), workers=workers) as loader:
        stream = loader.batches(0)
        got = [next(stream)]
        folder.rename(away)
        back = threading.Timer(0.5, away.rename, [folder])
        back.start()
        got += [next(stream) for _ in range(11)]
        back.join()
    equal(got, whole)
    notes = [note for b in got for note in b.notes]
    assert notes
    assert all(note.startswith("waited 0.") and "No such file or directory" in note for note in notes)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_that_stays_gone_ends_it(folder, workers, monkeypatch):
    monkeypatch.setattr(loading, "LOST_DATA_TIMEOUT", 0.3)
    lazy = data.open(str(folder), memory=0)
    folder.rename(folder.with_name("away"))
    folder.mkdir()  # as a mount point without its file system
    with pytest.raises(SourceLost, match=r"No such file or directory \(for 0\.3 s now\): bring it back"):
        batches(lazy, 1, workers=workers)


def test_ctrl_c_is_not_for_workers(folder):
    lazy = data.open(str(folder), memory=0)
    with Loader(lazy, seed=3, batch_size=BATCH, positions=range(BATCH), workers=2) as loader:
        stream = loader.batches(0)
        got = [next(stream)]
        for child in children():
            os.kill(child.pid, signal.SIGINT)
            os.kill(child.pid, signal.SIGTERM)
            os.kill(child.pid, signal.SIGUSR1)
        got += [next(stream) for _ in range(11)]
    equal(got, batches(lazy, 12))
    assert all(b.notes == () for b in got)


def test_a_new_stream_of_batches_ends_those_before(folder):
    lazy = data.open(str(folder), memory=0)
    with Loader(lazy, seed=3, batch_size=BATCH, positions=range(BATCH), workers=1) as loader:
        old = loader.batches(0)
        next(old)
        new = loader.batches(5)
        assert next(new).step == 5
        assert next(old, None) is None
        assert len(children()) == 1
        del loader, old, new


SCRIPT = """
import sys, time
from ancestral import data
from ancestral.data.loading import Loader
lazy = data.open(sys.argv[1], memory=0)
loader = Loader(lazy, seed=0, batch_size=8, positions=range(8), workers=2)
stream = loader.batches(0)
next(stream)
import multiprocessing
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
raise SystemExit(3)
"""


@pytest.mark.long
@pytest.mark.parametrize("how", ["kill", pytest.param("leave", marks=pytest.mark.slow)])
def test_no_worker_outlives_its_training(folder, how):
    """Killed while the second worker may still be starting, in which PyTorch's own watchdog misses it."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        textwrap.dedent(SCRIPT),
        str(folder),
        "wait" if how == "kill" else "",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2
        if how == "kill":
            process.kill()
        process.wait(timeout=30)
        assert process.stderr.read() == "" if how == "leave" else True
        assert process.returncode == (3 if how == "leave" else -signal.SIGKILL)
    end = time.monotonic() + 15
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_too_little_shared_memory_ends_it(folder, monkeypatch):
    def full(_):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    lazy = data.open(str(folder), memory=0)
    with pytest.raises(InputError, match=r"No space left .*: enlarge /dev/shm, .* by workers=0$"):
        batches(lazy, 1, workers=1)
    assert len(batches(lazy, 1)) == 1
