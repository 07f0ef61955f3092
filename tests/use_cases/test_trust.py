"""A function that makes a condition runs only if the user names it: a file that holds its name runs no code."""

import sys

import pytest

import ancestral
from ancestral.base.errors import InputError

CALLS = []


def bright(x):
    """The mean of an item."""
    CALLS.append(1)
    return x.flatten(1).mean(1, keepdim=True)


@pytest.mark.long
def test_a_function_that_a_file_names_runs_only_if_the_user_names_it_too(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "their_code", sys.modules[__name__])
    given, small = "their_code:bright", {"width": 8, "mults": (1,), "blocks": 1, "attention": (), "batch_size": 4}
    options = {"given": given, "out": tmp_path / "a", **small, "threads": 1}
    ancestral.train("digits", steps=2, **options)
    CALLS.clear()
    ancestral.load(tmp_path / "a", "cpu").sample(2, steps=2, given={"bright": -0.5})
    ancestral.sample(tmp_path / "a", 2, steps=2, out=tmp_path / "x.png")
    for use in (
        lambda: ancestral.evaluate(tmp_path / "a", likelihood=True, n=2, passes=2),
        lambda: ancestral.evaluate(ancestral.load(tmp_path / "a", "cpu"), samples=12, extractor="pixels"),
        lambda: ancestral.train("digits", steps=3, out=tmp_path / "a", resume=True),
        lambda: ancestral.train("digits", steps=2, out=tmp_path / "b", initial=tmp_path / "a"),
        lambda: ancestral.distil(tmp_path / "a", out=tmp_path / "c"),
    ):
        with pytest.raises(InputError, match="names the function their_code:bright"):
            use()
    assert not CALLS
    assert not (tmp_path / "b").exists()
    ancestral.evaluate(tmp_path / "a", likelihood=True, n=2, passes=2, trust=given, threads=1)
    assert ancestral.train("digits", steps=3, resume=True, **options).step == 3
    assert CALLS
