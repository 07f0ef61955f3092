"""Training runs that are killed and resumed: a short version of `python bench/kill.py`."""

import random

import pytest

import kill
from test_given_training import conditional_folder

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(tmp_path, precision):
    uninterrupted, out, tally = tmp_path / "uninterrupted", tmp_path / "run", kill.Tally()
    kill.run_to_end(kill.command(uninterrupted, precision, 120, 10))
    argv, rng = kill.command(out, precision, 120, 10), random.Random(0)
    while tally.kills < 3 and kill.kill_once(argv, out, rng, tally):
        pass
    assert tally.kills
    kill.run_to_end(argv)
    assert kill.equal(uninterrupted, out)


def test_a_killed_and_resumed_run_with_every_kind_of_condition_too(tmp_path):
    """Read by index, by two workers: a class, a vector, a paired image and a random mask."""
    options = conditional_folder(tmp_path / "set")
    uninterrupted, out, tally = tmp_path / "uninterrupted", tmp_path / "run", kill.Tally()
    kill.run_to_end(kill.command(uninterrupted, "fp32", 60, 10, *options))
    argv, rng = kill.command(out, "fp32", 60, 10, *options), random.Random(0)
    while tally.kills < 2 and kill.kill_once(argv, out, rng, tally):
        pass
    assert tally.kills
    kill.run_to_end(argv)
    assert kill.equal(uninterrupted, out)


def test_runs_with_different_seeds_are_not_equal(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for out, seed in ((one, "0"), (other, "1")):
        kill.run_to_end([*kill.command(out, "fp32", 2, 2), "--seed", seed])
    assert not kill.equal(one, other)
