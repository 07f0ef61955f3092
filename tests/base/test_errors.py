"""What messages say of installing can be done where the package was installed from."""

import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from ancestral.base import errors
from ancestral.base.errors import install_command

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["onnx", "hub", "datasets", "metrics", "inception", "dinov2"])
def test_the_extras_of_messages_are_extras(monkeypatch, extra):
    assert EXTRAS[extra]
    monkeypatch.setattr(errors, "__file__", str(ROOT / "src" / "ancestral" / "base" / "errors.py"))
    assert shlex.split(install_command(extra))[-2:] == ["-e", f"{ROOT}[{extra}]"]


def test_what_was_installed_by_name_is_installed_by_name(tmp_path, monkeypatch):
    """Beside a folder in which the package is without its clone, and in an environment of uv, which has no pip."""
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "lib" / "ancestral" / "base" / "errors.py"))
    assert install_command("studio") == "pip install 'ancestral[studio]'"
    monkeypatch.setattr(errors.shutil, "which", lambda name: None)
    python = shlex.quote(sys.executable)
    assert install_command("onnx") == f"{python} -m pip install 'ancestral[onnx]'"
    monkeypatch.setattr(errors.PathFinder, "find_spec", lambda name: None)
    assert install_command("onnx") == f"uv pip install -p {python} 'ancestral[onnx]'"


def test_an_extra_that_is_a_distribution_of_this_repository_is_installed_from_its_folder(tmp_path, monkeypatch):
    """Together with the package, whose requirement it is; the clone lies in a folder with a space."""
    clone = tmp_path / "a folder"
    (clone / "studio").mkdir(parents=True)
    (clone / "studio" / "pyproject.toml").touch()
    monkeypatch.setattr(errors, "__file__", str(clone / "src" / "ancestral" / "base" / "errors.py"))
    assert shlex.split(install_command("studio"))[-4:] == ["-e", str(clone), "-e", str(clone / "studio")]
    assert EXTRAS["studio"] == ["ancestral-studio~=1.0.0"]
