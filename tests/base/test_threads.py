"""The number of CPU threads: that of the physical cores, given, kept with the run, and restored."""

import pytest
import torch

import ancestral
from ancestral.base import device
from ancestral.base.device import cpu_threads
from ancestral.base.errors import InputError
from ancestral.config import Config

TINY = {"steps": 2, "batch_size": 4, "width": 16, "sample_every": 100, "progress": False}


@pytest.fixture
def two_cores(monkeypatch):
    """A machine with a choice; the tests themselves have one thread."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_more_threads_than_any_machine_runs_are_refused(monkeypatch):
    """PyTorch starts them all, and ends with a segmentation fault."""
    monkeypatch.setattr(device.os, "cpu_count", lambda: 2)
    with (
        pytest.raises(InputError, match="threads=100000 are too many: this machine has 2 processors; give at most 256"),
        cpu_threads(100_000),
    ):
        pass


def test_a_number_that_is_given_is_taken_and_the_number_before_restored(two_cores):
    with cpu_threads(1) as count:
        assert count == torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("quota", "count"),
    [(None, 2), ("max 100000", 2), ("100000 100000", 1), ("150000 100000", 1), ("50000 100000", 1), ("800000 1", 2)],
)
def test_without_a_number_a_container_takes_what_it_may_use(two_cores, monkeypatch, tmp_path, quota, count):
    monkeypatch.setattr(device, "CPU_QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    with cpu_threads(None) as taken:
        assert taken == count == torch.get_num_threads()
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with cpu_threads(None) as taken:
        assert taken == 2


@pytest.mark.long
def test_a_run_keeps_its_number(two_cores, tmp_path):
    run = ancestral.train("points", out=tmp_path / "run", **TINY)
    assert Config.from_json((tmp_path / "run" / "config.json").read_text()).runtime.threads == 2
    assert "2 CPU threads (--threads chooses)" in (tmp_path / "run" / "notes.txt").read_text()
    torch.set_num_threads(1)  # another machine
    again = ancestral.train("points", out=tmp_path / "run", resume=True, **{**TINY, "steps": 3})
    assert (again.step, again.model.config.runtime.threads, torch.get_num_threads()) == (3, 2, 1)
    assert run.model.step == 2
