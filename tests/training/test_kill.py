"""Training runs that are killed and resumed: a short version of `python bench/kill.py`."""

import pytest

import kill
from test_given_training import conditional_folder

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(tmp_path, precision):
    uninterrupted, out = tmp_path / "uninterrupted", tmp_path / "run"
    kill.run_to_end(kill.command(uninterrupted, precision, 120, 10))
    assert kill.killed_run(out, precision, 120, 10, 3, 0).kills
    assert kill.equal(uninterrupted, out)


def test_a_killed_and_resumed_run_with_every_kind_of_condition_too(tmp_path):
    """Read by index, by two workers: a class, a vector, a paired image and a random mask."""
    options = conditional_folder(tmp_path / "set")
    uninterrupted, out = tmp_path / "uninterrupted", tmp_path / "run"
    kill.run_to_end(kill.command(uninterrupted, "fp32", 60, 10, *options))
    assert kill.killed_run(out, "fp32", 60, 10, 2, 0, *options).kills
    assert kill.equal(uninterrupted, out)


@pytest.mark.parametrize("processes", [2, 4], ids=["two processes", "four processes"])
@pytest.mark.parametrize("shard", [(), ("--shard",)], ids=["replicated", "sharded"])
def test_workers_that_torchrun_restarts_end_in_the_run_that_was_left_alone(tmp_path, processes, shard):
    """Without --resume; one of the kills is of all processes, which are started again by hand."""
    uninterrupted, out = tmp_path / "uninterrupted", tmp_path / "run"
    kill.run_to_end(kill.command(uninterrupted, "fp32", 60, 10, *shard, processes=processes))
    tally = kill.restarted_run(out, "fp32", 60, 10, 5, processes, processes, *shard)
    assert tally.kills > 1
    assert kill.equal(uninterrupted, out)


def test_runs_with_different_seeds_are_not_equal(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for out, seed in ((one, "0"), (other, "1")):
        kill.run_to_end([*kill.command(out, "fp32", 2, 2), "--seed", seed])
    assert not kill.equal(one, other)
