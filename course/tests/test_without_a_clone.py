"""The course without a clone: its wheels in an environment that has pip only, and the first cell of each notebook."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest

import ancestral_course as course

ROOT = Path(__file__).parents[2]
NOTEBOOKS = [course.lesson_file(lesson, ".ipynb") for lesson in course.LESSONS]
PIP = re.compile(r"^( *)%pip (.*)$", re.MULTILINE)


def first_cell(path):
    """The source of the first code cell of a notebook."""
    return next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def run(command, folder, **variables):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder with the wheels of both distributions. pip fetches the build backend from its registry."""
    folder = tmp_path_factory.mktemp("wheels")
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT, ROOT / "course"], folder)
    assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == ["ancestral", "ancestral_course"]
    return folder


@pytest.fixture
def python(tmp_path):
    """The Python of a new environment: pip, and links to the packages that the course needs, but not to the course."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(place).iterdir():
            if not re.match(r"_*(editable|ancestral|__pycache__|pip\b)", path.name):
                (packages / path.name).symlink_to(path)
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    site = next(environment.glob("lib/python*/site-packages"))
    for path in site.glob("setuptools*"):  # Python 3.11 brings an old one, which PyTorch refuses
        shutil.rmtree(path)
    (site / "packages.pth").write_text(f"{packages}\n", encoding="utf-8")
    return environment / "bin" / "python"


def test_each_notebook_has_the_same_first_cell_which_is_silent_where_the_course_is_installed(capsys):
    cells = {first_cell(path) for path in NOTEBOOKS}
    assert len(cells) == 1
    source = cells.pop()
    assert PIP.search(source)[2] == "install --quiet {packages}"
    exec(PIP.sub(r"\1raise AssertionError", source), {})
    assert capsys.readouterr().out == ""
    assert all("%pip" not in cell.source for path in NOTEBOOKS for cell in nbformat.read(path, 4).cells[2:])


@pytest.mark.long
def test_the_first_cell_installs_the_course_and_its_commands_work(wheels, python, tmp_path):
    """By name, of an index that has nothing else; the checker answers on the copies, in script and notebook."""
    call = r"\1import subprocess, sys; subprocess.run([sys.executable, '-m', 'pip', *f'\2'.split()], check=True)"
    cell = tmp_path / "first_cell.py"
    cell.write_text(PIP.sub(call, first_cell(NOTEBOOKS[0])), encoding="utf-8")
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    assert run([python, cell], tmp_path, **index) == "installing ancestral-course\n"
    assert run([python, cell], tmp_path, **index) == ""
    command = python.with_name("ancestral-course")
    assert f"{2 * len(NOTEBOOKS)} files copied" in run([command, "start", "my-course", "--open", "none"], tmp_path)
    copies = tmp_path / "my-course"
    for suffix in (".py", ".ipynb"):
        path = copies / NOTEBOOKS[0].with_suffix(suffix).name
        assert path.read_bytes() == NOTEBOOKS[0].with_suffix(suffix).read_bytes()
        assert run([command, "check", "1", path], tmp_path).count("not written yet") == 5
    place = run([python, "-c", "import ancestral_course as c; print(c.__file__)"], tmp_path)
    assert Path(place.strip()).is_relative_to(tmp_path)


@pytest.mark.slow
def test_a_notebook_runs_in_a_kernel_of_jupyter_where_the_course_is_not_installed(wheels, python, tmp_path):
    """With IPython's own %pip. pip fetches the kernel from its registry."""
    run([python, "-m", "pip", "install", "--quiet", "ipykernel"], tmp_path)
    for path in (NOTEBOOKS[1], *wheels.iterdir()):
        shutil.copy(path, tmp_path)
    command = [python, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", NOTEBOOKS[1].name]
    variables = {"QUICK": "1", "OMP_NUM_THREADS": "1"}
    run(command, tmp_path, JUPYTER_PATH=str(python.parents[1] / "share" / "jupyter"), **variables)
    cells = nbformat.read(tmp_path / NOTEBOOKS[1].name, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
