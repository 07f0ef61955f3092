"""kill -9 in the middle of a training, the short version of `python bench/kill.py`."""

import random

import pytest

import kill

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_was_killed_ends_as_the_one_that_was_not(tmp_path, precision):
    whole, out, tally = tmp_path / "whole", tmp_path / "run", kill.Tally()
    kill.leave_alone(kill.command(whole, precision, 120, 10))
    argv, rng = kill.command(out, precision, 120, 10), random.Random(0)
    while tally.kills < 3 and kill.kill_once(argv, out, rng, tally):
        pass
    assert tally.kills
    kill.leave_alone(argv)
    assert kill.compare(whole, out)


def test_what_is_compared_can_differ(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for out, seed in ((one, "0"), (other, "1")):
        kill.leave_alone([*kill.command(out, "fp32", 2, 2), "--seed", seed])
    assert not kill.compare(one, other)
