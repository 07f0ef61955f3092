"""What a release needs: one version, addresses that lead somewhere, workflows and hooks that run what is here."""

import configparser
import importlib.util
import json
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

from ancestral import __version__
from ancestral.base.errors import DISTRIBUTIONS
from ancestral.base.result import SITE

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT, ROOT / "studio", ROOT / "course")
PROJECTS = [tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")) for folder in FOLDERS]
LOCKED = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in ROOT.glob(".github/workflows/*.yml")}
TARGETS = re.findall(r"^([\w%-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def load_script(name, folder="release"):
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_packages_have_one_version_and_require_it_of_one_another():
    version = load_script("build").common_version()
    names = [project["project"]["name"] for project in PROJECTS]
    texts = [text for each in PROJECTS for text in each["project"]["dependencies"]]
    texts += PROJECTS[0]["project"]["optional-dependencies"]["studio"]
    required = [re.fullmatch(r"(ancestral[\w-]*)(?:\[\w+\])?~=(.+)", text) for text in texts if "ancestral" in text]
    assert {match[1] for match in required} < set(names)
    assert len(required) == 3
    assert {*DISTRIBUTIONS} <= {folder.name for folder in FOLDERS}
    assert {match[2] for match in required} == {f"{version.rpartition('.')[0]}.0"}


def test_the_packages_have_the_licence_that_the_repository_has():
    assert len({(folder / "LICENSE").read_bytes() for folder in FOLDERS}) == 1


def test_the_tests_of_source_distributions_have_the_settings_of_those_of_a_clone():
    """Those of the studio and the course lie in a file that their builds take; `make test-dist` runs them."""
    ini = configparser.ConfigParser(interpolation=None, delimiters="=")
    ini.read(ROOT / "release" / "sdist_pytest.ini", encoding="utf-8")
    clone = PROJECTS[0]["tool"]["pytest"]["ini_options"]
    for name in clone.keys() - {"testpaths", "pythonpath"}:
        lines = clone[name] if isinstance(clone[name], list) else [str(clone[name]).lower()]
        assert [line.lower() for line in ini["pytest"][name].strip().split("\n")] == [each.lower() for each in lines]
    for folder, project in zip(FOLDERS, PROJECTS, strict=True):
        files = project["tool"]["hatch"]["build"]["targets"]["sdist"]
        assert "tests" in files["only-include"]
        assert all((folder / name).exists() for name in (*files["only-include"], *files.get("force-include", ())))


def test_links_of_the_readme_lead_somewhere_on_an_index_too():
    """The hook of the build writes addresses in their place; each names a file of the repository."""
    hook = PROJECTS[0]["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for rule in hook["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    addresses = re.findall(r"\]\((?!#)([^)\s]+)", text)
    assert len(addresses) > 5
    home = PROJECTS[0]["project"]["urls"]["Homepage"].removeprefix("https://github.com/")
    for address in addresses:
        path = address.partition("v$HFPR_VERSION/")[2].partition("#")[0]
        assert address.startswith("https://")
        assert not path or (ROOT / path).exists(), address
        assert not path or home in address


def test_the_readme_names_no_install_that_no_index_has():
    """As long as no version is published it says so; the version that is must not be later than that of the project."""
    blocks = load_script("blocks", "docs/hooks")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    by_name = r"(?:(?<!\w)uvx|pipx run|(?:pip|pipx|uv tool) install|uv add)(?: -\S+)* ['\"]?ancestral"
    assert all(re.search(by_name, line) for line in blocks.INSTALLATIONS.values() if "--from" not in line)
    found = re.search(rf"{by_name}|--from ['\"]?ancestral", text)
    published = [int(number) for number in blocks.PUBLISHED.split(".") if number]
    assert published <= [int(number) for number in __version__.split(".")]
    assert bool(published) == (found is not None), found
    assert bool(published) != ("is not on the package index yet" in text)


def test_the_first_commands_of_the_readme_need_a_clone_alone():
    """They are targets of the Makefile."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"(?:^ {4}.*\n|^```(?:.*\n)+?```\n)+", text, re.MULTILINE)[0]
    words = [line.split("#")[0].split() for line in block.splitlines()]
    assert words == [["make", "demo"], ["make", "test"]]
    assert {target for _, target in words} <= set(TARGETS)


def test_a_release_sets_the_version_by_which_pages_name_the_index():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    steps = text.partition("## A release\n")[2].partition("\n## ")[0]
    assert "`PUBLISHED` in `docs/hooks/blocks.py`" in steps
    assert "<!-- generated: installations -->" in steps


def test_the_addresses_of_the_project_are_the_same_everywhere():
    urls = [project["project"]["urls"] for project in PROJECTS]
    assert len({each["Homepage"] for each in urls}) == len({each["Changelog"] for each in urls}) == 1
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == urls[0]["Homepage"]
    assert citation["url"] == urls[0]["Documentation"] == SITE
    assert all(each["Documentation"].startswith(SITE) for each in urls)


def test_workflows_call_what_the_makefile_has():
    steps = [step for flow in WORKFLOWS.values() for job in flow["jobs"].values() for step in job["steps"]]
    called = [word for step in steps for word in re.findall(r"\bmake (\S+)", step.get("run", ""))]
    assert len(called) > 5
    assert set(called) <= set(TARGETS)


def test_the_tests_that_the_makefile_names_are_there():
    """pytest collects nothing at all where one of its arguments is no file."""
    said = subprocess.run(
        ["make", "-n", "-C", str(ROOT), "test-core"], capture_output=True, text=True, check=True
    ).stdout
    names = re.findall(r"(?<= )tests\S*", said)
    assert len(names) > 10
    assert all((ROOT / name).exists() for name in names)


def test_hooks_have_the_versions_of_the_lock_file():
    """Of the linters that `make lint` calls: what passes here passes there."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    revisions = {each["repo"].rpartition("/")[2]: each.get("rev", "").removeprefix("v") for each in hooks}
    hooked = {"ruff": "ruff-pre-commit", "codespell": "codespell", "zizmor": "zizmor-pre-commit"}
    assert {name: LOCKED[name] for name in hooked} == {name: revisions[hook] for name, hook in hooked.items()}


def test_the_lock_file_has_all_that_is_required():
    groups = PROJECTS[0]["dependency-groups"]
    texts = [text for project in PROJECTS for text in project["project"]["dependencies"]]
    texts += [text for group in groups.values() for text in group if isinstance(text, str)]
    names = {re.match(r"[\w.-]+", text)[0].lower().replace("_", "-") for text in texts}
    assert {name for name in names if not name.startswith("ancestral")} <= LOCKED.keys()


def test_what_is_bundled_is_listed_in_the_wheel_and_among_the_licences():
    parts = json.loads((ROOT / "release" / "bundled.cdx.json").read_text(encoding="utf-8"))["components"]
    licences = {each["license"]["id"] for part in parts for each in part["licenses"]}
    assert licences | {"MIT"} == set(PROJECTS[0]["project"]["license"].split(" AND "))
    files = {part["properties"][0]["value"] for part in parts}
    assert all((ROOT / "src" / name).is_file() for name in files)
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    assert all(f"`src/{name}`" in text for name in files)
