"""Every example runs, in a short setting, and is short; its docstring says the number that it reaches."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from claims import with_claims

TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
LOOPS = {
    "loop_ddp": (TORCHRUN, []),
    "loop_accelerate": (TORCHRUN, []),
    "loop_lightning": ([], ["--processes", "2"]),
}
"""Loops of one's own, and the words before and after the script that start two processes."""
EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def test_there_is_an_example_of_each_own_part():
    assert {path.stem for path in EXAMPLES} == {
        *("own_dataset", "own_network", "own_sampler", "own_schedule_and_target", "plain_loop", "six_methods"),
        *LOOPS,
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_reaches(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert any(character.isdigit() for character in ast.get_docstring(ast.parse(text)).rpartition("Reached:")[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_on_two_processes_is_that_of_one(name, tmp_path):
    path = next(path for path in EXAMPLES if path.stem == name)
    before, after = LOOPS[name]
    for out, start, end in (("one", [], []), ("two", before, after)):
        command = [sys.executable, *start, path, "--steps", "4", "--samples", "12", "--out", out, *end]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("mean of each channel") == 1  # the result is printed once
    one, two = (safetensors.torch.load_file(tmp_path / out) for out in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-5) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.stem not in LOOPS], ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path):
    short = ["--steps", "3", "--samples", "12"]
    out = ["--out", str(tmp_path / "run")] if "--out" in path.read_text() else []
    script = tmp_path / path.name
    script.write_text(with_claims(path.read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script, *short, *out],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "FD" in done.stdout or "frechet" in done.stdout or "±" in done.stdout, done.stdout
