"""The number of CPU threads: measured where there is a choice, given, kept with the run, and restored."""

import time

import pytest
import torch

import ancestral
from ancestral import threads
from ancestral.config import Config
from ancestral.errors import InputError
from ancestral.faces import command as cli
from ancestral.threads import cpu_threads

CPU = torch.device("cpu")
TINY = {"steps": 2, "batch_size": 4, "width": 16, "sample_every": 100, "progress": False}


@pytest.fixture
def two_cores(monkeypatch):
    """A machine with a choice; the tests themselves have one thread."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def clock(monkeypatch, seconds):
    """Work that takes `seconds` by the number of threads, by a clock that stands still meanwhile."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def work():
        now[0] += seconds[torch.get_num_threads()]

    return work


def test_more_threads_than_any_machine_runs_are_refused(refused, monkeypatch):
    """PyTorch starts them all, and ends with a segmentation fault."""
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    with (
        pytest.raises(InputError, match="threads=100000 are too many: this machine has 2 processors; give at most 256"),
        cpu_threads(100_000, CPU, None),
    ):
        pass
    assert "--threads 100000 are too many" in refused("doctor", "moons", "--threads", "100000")


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        ({1: 0.1, 2: 0.8}, 1),
        ({1: 1.0, 2: 0.95}, 1),
        ({1: 1.0, 2: 0.6}, 2),
        ({1: 9.0, 2: 8.0}, 2),
        ({1: 30.0, 2: 60.0}, 2),
    ],
)
def test_the_number_that_serves_is_chosen(two_cores, monkeypatch, seconds, count):
    """One thread unless two are clearly faster; where a step takes half a minute, nothing is measured."""
    with cpu_threads(None, CPU, clock(monkeypatch, seconds)) as threads_:
        assert threads_.count == count == torch.get_num_threads()
        assert threads_.reason.startswith(f"{count} CPU thread")
    assert torch.get_num_threads() == 2


def test_nothing_is_measured_where_there_is_no_choice(two_cores, monkeypatch):
    def never():
        raise AssertionError

    for count, device, work in ((2, CPU, never), (None, torch.device("cuda"), never), (None, CPU, None)):
        with cpu_threads(count, device, work) as threads_:
            assert threads_ == threads.Threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with cpu_threads(None, CPU, never) as threads_:
        assert threads_.count == 2


def test_a_run_keeps_the_number_that_was_measured(two_cores, monkeypatch, tmp_path):
    one = threads.Threads(1, "1 CPU thread of 2")
    monkeypatch.setattr(threads, "_measure", lambda work, most: torch.set_num_threads(1) or one)
    run = ancestral.train("points", out=tmp_path / "run", **TINY)
    assert Config.from_json((tmp_path / "run" / "config.json").read_text()).runtime.threads == 1
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(threads, "_measure", lambda work, most: pytest.fail("measured again"))
    assert ancestral.train("points", out=tmp_path / "run", resume=True, **{**TINY, "steps": 3}).step == 3
    assert run.model.step == 2


@pytest.mark.slow
def test_commands_state_the_choice(two_cores, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(threads, "_measure", lambda work, most: work() or threads.Threads(1, "1 CPU thread of 2"))
    run = tmp_path / "run"
    ancestral.train("points", out=run, **TINY)
    sample, evaluate = ["sample", run, "-n", "4"], ["evaluate", run, "--samples", "20"]
    for words in ([*sample, "--steps", "2"], [*evaluate, "--steps", "2"]):
        assert cli.run([*map(str, words)]) == 0
        assert "1 CPU thread of 2" in capsys.readouterr().out
        assert cli.run([*map(str, words), "--threads", "2"]) == 0
        assert "1 CPU thread" not in capsys.readouterr().out


@pytest.mark.long
def test_a_batch_that_does_not_fit_is_halved_and_said_by_the_first_step(two_cores, monkeypatch, tmp_path):
    """Measuring meets the memory first: it neither ends the run nor takes the message away."""
    from ancestral.training.gradients import Gradients

    accumulate = Gradients._accumulate

    def small(self, *batch):
        if self.micro_batch > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return accumulate(self, *batch)

    monkeypatch.setattr(Gradients, "_accumulate", small)
    run = tmp_path / "run"
    ancestral.train("points", out=run, **TINY)
    assert "out of memory: going on with 2 images at once" in (run / "notes.txt").read_text()
