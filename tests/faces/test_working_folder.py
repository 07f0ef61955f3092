"""Python files that lie in the working folder, as among downloaded photographs: no process runs one of them, but those
that a user names as package.module:function."""

import importlib.metadata
import os
import re
import subprocess
import sys
import time

import pytest
from PIL import Image

TRAIN = ["train", "--data=photos", "--steps=1", "--batch-size=2", "--width=8"]
CODE = "open(__file__ + '.ran', 'w').close()\n"
SPAWNED = """
if __name__ == "__main__":
    from ancestral.data import loading
    from ancestral.faces.command import main
    loading.METHOD = "spawn"
    main()
"""
"""A script as that which installing the package makes, on a system without fork."""
FIRST = "import importlib, runpy, sys, typing; print(*sys.modules)"
"""What `python -m` and the package itself import before its first line: there, Python looks into the working folder."""


@pytest.fixture
def working_folder(tmp_path):
    """A folder of photographs with a file for each module of Python and of the packages that are installed."""
    folder = tmp_path / "work"
    (folder / "photos").mkdir(parents=True)
    names = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), "sitecustomize", "usercustomize"}
    for name in names - {"ancestral"}:
        if name.isidentifier():
            (folder / f"{name}.py").write_text(CODE, encoding="utf-8")
    for number in range(12):
        Image.new("L", (8, 8), 20 * number).save(folder / "photos" / f"{number}.png")
    yield folder
    assert [*folder.rglob("*.ran")] == []


def environment():
    """This one, with what these tests import, but no entry that is the working folder."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "ancestral"
    path.write_text(SPAWNED, encoding="utf-8")
    return path


@pytest.mark.long
def test_the_command_and_its_workers_run_none_of_them(working_folder, script):
    """Workers that are forked have the path of the command; those that are spawned are a Python of their own."""
    words = [*TRAIN, "--memory=0", "--workers=1", "--save-every=1"]
    subprocess.run([sys.executable, script, *words], cwd=working_folder, env=environment(), check=True)


@pytest.mark.long
def test_a_module_that_is_run_runs_none_of_them_after_its_first_lines(working_folder):
    """So `python -m ancestral`, and each process that `torchrun -m ancestral` starts."""
    first = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True).stdout.split()
    for name in first:
        (working_folder / f"{name}.py").unlink(missing_ok=True)
    words = ["-m", "ancestral", "doctor", "photos", "--steps", "0"]
    subprocess.run([sys.executable, *words], cwd=working_folder, env=environment(), check=True)


@pytest.mark.long
def test_the_studio_and_its_processes_run_none_of_them(working_folder, script):
    from studio_client import Client  # in studio/tests; it needs the distribution ancestral-studio

    words = [sys.executable, script, "studio", "--port", "0", "--no-open"]
    pipes = {"stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=working_folder, env=environment(), **pipes) as process:
        try:
            client = Client.at(re.search(r"http:[^;]+", process.stdout.readline())[0])
            name = client.start("doctor", source="photos", steps=0)
            while (answer := client.get(f"/api/processes/{name}").json)["state"] == "running":
                time.sleep(0.1)
            assert answer["state"] == "finished", answer["lines"]
        finally:
            process.terminate()


@pytest.mark.long
def test_a_function_that_is_named_is_found_in_the_working_folder(tmp_path):
    (tmp_path / "mine.py").write_text("def half(x, generator=None):\n    return x / 2\n", encoding="utf-8")
    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.new("L", (8, 8), 20 * number).save(tmp_path / "photos" / f"{number}.png")
    words = ["-m", "ancestral", *TRAIN, "--given=low=mine:half", "--out=run"]
    subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment(), check=True)
