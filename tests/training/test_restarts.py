"""Runs whose workers torchrun restarts, as one process that is told so, and runs that a signal stops."""

import csv
import dataclasses
import datetime
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch.distributed import TCPStore

import ancestral
from ancestral.base.errors import InputError
from ancestral.faces import command
from ancestral.training import Trainer
from ancestral.training.distributed import agree_on_prefix
from tiny_models import begun, stripes, tiny_config

SMALL = {"batch_size": 8, "width": 16, "preview_steps": 1, "trackers": ("none",), "progress": False, "threads": 1}
SOON = datetime.timedelta(seconds=30)


@pytest.fixture
def place():
    """Address and port of a store as torchrun's agent has one."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=SOON)
    return "127.0.0.1", store.port, store  # it ends with its last reference


@pytest.fixture
def restart(monkeypatch, place):
    """A function that sets the variables of workers after a number of restarts."""
    address, port, _ = place
    variables = {"MASTER_ADDR": address, "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}

    def set_variables(count):
        for name, value in {**variables, "TORCHELASTIC_RESTART_COUNT": str(count)}.items():
            monkeypatch.setenv(name, value)

    return set_variables


@pytest.mark.long
def test_a_restarted_worker_resumes_the_run_that_it_began_and_no_other(tmp_path, restart, monkeypatch):
    ancestral.train("points", out=tmp_path / "older", steps=2, **SMALL)
    restart(0)
    with pytest.raises(InputError, match="already holds a run"):
        ancestral.train("points", out=tmp_path / "older", steps=2, **SMALL)
    ancestral.train("points", out=tmp_path / "run", steps=2, **SMALL)
    with pytest.raises(InputError, match="already holds a run"):
        ancestral.train("points", out=tmp_path / "run", steps=2, **SMALL)  # no restart: the command was given twice
    restart(1)
    monkeypatch.chdir(tmp_path)
    assert ancestral.train("points", out="run", steps=3, **SMALL).step == 3
    with pytest.raises(InputError, match="already holds a run"):
        ancestral.train("points", out=tmp_path / "older", steps=3, **SMALL)
    assert ancestral.train("points", out=tmp_path / "new", steps=2, **SMALL).step == 2  # killed before it began


def test_a_group_has_keys_that_no_earlier_group_left(place):
    """Three processes agree three times, the second and third time after one that was killed left an offer."""
    address, port, store = place
    prefixes, world = [], 3
    for _ in range(3):
        clients = [TCPStore(address, port, is_master=False, timeout=SOON) for _ in range(world)]
        with ThreadPoolExecutor(world) as threads:
            (prefix,) = set(threads.map(agree_on_prefix, clients, range(world), [world] * world))
        prefixes.append(prefix)
        store.set("ancestral/offer", f"{prefix}-of-one-that-was-killed")
    assert len(set(prefixes)) == 3


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 75), pytest.param(signal.SIGUSR1, 75, marks=pytest.mark.long), (signal.SIGINT, 0)],
    ids=["TERM", "USR1", "INT"],
)
def test_a_run_that_a_scheduler_stops_ends_with_the_code_of_a_temporary_failure(tmp_path, monkeypatch, number, code):
    take_step = Trainer.take_step

    def signalled(trainer):
        if trainer.step == 2:
            signal.raise_signal(number)
        return take_step(trainer)

    monkeypatch.setattr(Trainer, "take_step", signalled)
    words = "train points --steps 5 --batch-size 8 --width 16 --preview-steps 1 --trackers none --out"
    with pytest.raises(SystemExit) as stop:
        command.main([*words.split(), str(tmp_path / "run")])
    assert stop.value.code == code
    monkeypatch.undo()
    with pytest.raises(SystemExit) as stop:
        command.main([*words.split(), str(tmp_path / "run"), "--resume"])
    assert stop.value.code == 0


@pytest.mark.long
def test_the_log_of_a_resumed_run_is_that_of_one_left_alone(tmp_path):
    """The loss by time too, and the validation losses."""
    options = {**SMALL, "log_every": 2, "save_every": 2, "sample_every": 4, "validation": 0.2, "decay": "none"}
    ancestral.train("points", out=tmp_path / "alone", steps=8, **options)
    for steps in (4, 8):
        ancestral.train("points", out=tmp_path / "twice", steps=steps, resume=True, **options)
    for name in ("log.csv", "validation.csv"):
        one, two = (read_log(tmp_path / run / name) for run in ("alone", "twice"))
        assert one == two
        assert len(one) == (4 if name == "log.csv" else 2)


def test_a_run_that_is_killed_after_a_checkpoint_has_its_row_in_the_log(tmp_path):
    """The row is written first: a generator that is closed at a step has nothing left to do for it."""
    config = tiny_config(steps=6, save_every=3)
    config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, log_every=3))
    folder = begun(tmp_path / "run", config)
    next(progress for progress in Trainer(config, stripes(), "cpu").run(folder) if progress.saved)
    assert [row["step"] for row in read_log(folder.log)] == ["3"]


def read_log(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name not in ("images_per_second", "seconds")} for row in rows]
