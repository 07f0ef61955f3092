"""Every example runs, in a short setting, and is short; its docstring says the number that it reaches."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def test_there_is_an_example_of_each_own_part():
    assert {path.stem for path in EXAMPLES} == {
        "own_dataset", "own_network", "own_sampler", "own_schedule_and_target", "plain_loop", "six_methods"
    }  # fmt: skip


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_reaches(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert any(character.isdigit() for character in ast.get_docstring(ast.parse(text)).rpartition("Reached:")[2])


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path):
    short = ["--steps", "3", "--samples", "12"]
    out = ["--out", str(tmp_path / "run")] if "--out" in path.read_text() else []
    done = subprocess.run(
        [sys.executable, "-W", "error", path, *short, *out], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "FD" in done.stdout or "frechet" in done.stdout or "±" in done.stdout, done.stdout
