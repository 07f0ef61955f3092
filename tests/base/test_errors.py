"""What messages say of installing can be done where the package was installed from."""

import json
import shlex
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from ancestral.base import errors
from ancestral.base.errors import install_command

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that makes this package one that was installed so, by its direct_url.json; None for by its name."""
    environment = tmp_path / "site-packages"
    folder = environment / "ancestral-1.0.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: ancestral\nVersion: 1.0.0\n")
    monkeypatch.syspath_prepend(environment)
    monkeypatch.setattr(errors, "pip_install", lambda: "pip install")

    def install(origin):
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin))

    return install


@pytest.fixture
def clone(tmp_path):
    """A clone in a folder with a space and an apostrophe."""
    folder = tmp_path / "Ada's clone"
    (folder / "studio").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    (folder / "studio" / "pyproject.toml").touch()
    return folder


@pytest.mark.parametrize("extra", ["onnx", "hub", "datasets", "metrics", "inception", "dinov2", "fields", "video"])
def test_the_extras_of_messages_are_extras(installed, extra):
    assert EXTRAS[extra]
    installed(None)
    assert install_command(extra) == f"pip install 'ancestral[{extra}]'"


@pytest.mark.parametrize("editable", [True, False])
def test_what_was_installed_from_a_clone_is_installed_from_it(installed, clone, editable):
    """As an editable one, or not; the studio from its folder, together with the package, whose requirement it is."""
    installed({"url": clone.as_uri(), "dir_info": {"editable": True} if editable else {}})
    option = ["-e"] if editable else []
    assert shlex.split(install_command("onnx")) == ["pip", "install", *option, f"{clone}[onnx]"]
    expected = ["pip", "install", *option, str(clone), *option, str(clone / "studio")]
    assert shlex.split(install_command("studio")) == expected
    assert EXTRAS["studio"] == ["ancestral-studio~=1.0.0"]


@pytest.mark.parametrize("extra", ["onnx", "studio"])
def test_a_folder_that_is_gone_is_not_named(installed, tmp_path, extra):
    installed({"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    assert install_command(extra) == f"pip install 'ancestral[{extra}]'"


def test_what_was_installed_from_a_repository_is_installed_from_the_same_commit(installed):
    url = "https://example.org/ancestral.git"
    installed({"url": url, "vcs_info": {"vcs": "git", "commit_id": COMMIT, "requested_revision": "main"}})
    expected = f"ancestral-studio @ git+{url}@{COMMIT}#subdirectory=studio"
    assert shlex.split(install_command("studio")) == ["pip", "install", expected]
    assert install_command("onnx") == "pip install 'ancestral[onnx]'"


def test_what_was_installed_from_a_wheel_is_installed_by_name(installed):
    installed({"url": "file:///tmp/ancestral-1.0.0-py3-none-any.whl", "archive_info": {}})
    assert install_command("onnx") == "pip install 'ancestral[onnx]'"


def test_without_metadata_a_message_names_the_package(monkeypatch):
    """As where the modules were copied."""

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert install_command("onnx").endswith("pip install 'ancestral[onnx]'")


def test_pip_is_that_of_this_python(monkeypatch):
    """Where the pip on the PATH is another one, and in an environment of uv, which has no pip."""
    python = shlex.quote(sys.executable)
    monkeypatch.setattr(errors.shutil, "which", lambda name: str(Path(sys.executable).with_name("pip")))
    assert errors.pip_install() == "pip install"
    monkeypatch.setattr(errors.shutil, "which", lambda name: None)
    assert errors.pip_install() == f"{python} -m pip install"
    monkeypatch.setattr(errors.PathFinder, "find_spec", lambda name: None)
    assert errors.pip_install() == f"uv pip install -p {python}"
