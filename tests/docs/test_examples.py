"""Every example runs, in a short setting; its docstring says the number that it reaches."""

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
"""Custom loops, and the words before and after the script that start two processes."""
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_reaches(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert any(character.isdigit() for character in docstring.rpartition("Reached:")[2])


def loop_weights(name, folder, before=(), after=()):
    """The weights after four steps of a loop, with words before and after the script."""
    path = next(path for path in EXAMPLES if path.stem == name)
    command = [sys.executable, *before, path, "--steps", "4", "--samples", "12", "--out", "loop", *after]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("mean of each channel") == 1  # the result is printed once
    return safetensors.torch.load_file(folder / "loop")


@pytest.fixture(scope="module")
def weights_of_ddp(tmp_path_factory):
    return loop_weights("loop_ddp", tmp_path_factory.mktemp("ddp"))


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_all_loops_on_one_process_and_on_two_train_the_same_weights(name, tmp_path, weights_of_ddp):
    runs = [loop_weights(name, tmp_path, *LOOPS[name])]
    if name != "loop_ddp":
        runs.append(loop_weights(name, tmp_path))
    for weights in runs:
        assert weights.keys() == weights_of_ddp.keys()
        assert all(torch.allclose(weights[key], weights_of_ddp[key], rtol=0, atol=1e-5) for key in weights)


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
    assert any(word in done.stdout for word in ("FD", "frechet", "distance", "±")), done.stdout
