"""What messages say of installing can be done where the package was installed from."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

import ancestral
from ancestral.base.errors import install_command

SOURCE = Path(ancestral.__file__).parent
ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["onnx", "hub", "datasets", "metrics", "inception", "dinov2"])
def test_the_packages_of_an_extra_are_named(extra):
    """Not the extra: pip would look for `ancestral` on PyPI, where it is not."""
    packages = re.findall(r"'([\w-]+)>=", install_command(extra))
    assert sorted(packages) == sorted(text.partition(">=")[0].replace("_", "-") for text in EXTRAS[extra])


def test_a_package_that_runs_from_its_source_is_installed_there(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert install_command("onnx") == f"pip install -e '{ROOT}[onnx]'"


def test_an_extra_that_is_a_distribution_of_this_repository_is_installed_from_its_folder():
    """Together with the package: pip would look for either on PyPI, where neither is."""
    assert install_command("studio") == f"pip install -e {ROOT} -e {ROOT / 'studio'}"
    assert EXTRAS["studio"] == ["ancestral-studio>=0.2"]


def test_no_message_names_an_extra_by_itself():
    for path in SOURCE.rglob("*.py"):
        assert "'ancestral[" not in path.read_text(encoding="utf-8"), path
