"""What the documents say is so: their code runs, their names exist, their commands are commands."""

import re
from pathlib import Path

import pytest

import ancestral
from ancestral import cli
from ancestral.config import PRESETS
from ancestral.results import EvaluationResult
from test_imports import LAYERS

ROOT = Path(__file__).parent.parent
PAGES = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")])}  # fmt: skip
README, DESIGN = PAGES[Path("README.md")], PAGES[Path("docs/design.md")]


def test_readme_is_short():
    assert len(README.splitlines()) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README + DESIGN, re.DOTALL))
def test_python_blocks_run(code, tmp_path, monkeypatch):
    """In a short setting: a training run has 3 steps, and 12 samples are measured."""
    monkeypatch.chdir(tmp_path)
    code = re.sub(r"steps=1500", "steps=3", re.sub(r"samples=\d+", "samples=12", code))
    scope = {}
    exec(compile(code, "README.md", "exec"), scope)
    if "denoiser" in scope:
        assert scope["images"].shape == (4, 3, 32, 32)
        assert scope["loss"].item() > 0
    else:
        assert scope["points"].shape == (64, 2)
        assert EvaluationResult.load("runs/a/evaluation").samples is not None


def test_every_preset_is_in_the_readme_and_every_command_is_one():
    assert all(f"`{name}`" in README for name in PRESETS)
    verbs = re.findall(r"^ +ancestral (\w+)", README, re.MULTILINE)
    assert set(verbs) == set(cli.COMMANDS)


def anchors(text):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[page]):
        path, _, anchor = target.partition("#")
        linked = (ROOT / page.parent / path).resolve()
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_paths_of_the_package_in_a_page_exist(page):
    """Each `room/file.py` and `tests/test_file.py` that a page names; the changelog names files that are gone."""
    homes = [ROOT, ROOT / "src" / "ancestral", ROOT / "bench"]
    for path in re.findall(r"`([\w/]+\.py)`", PAGES[page] if page.name != "CHANGELOG.md" else ""):
        assert any((home / path).is_file() for home in homes), path


def test_the_map_of_the_package_is_the_tree():
    """Each part of the package is in the map, each file that the map names exists, and the layers are those tested."""
    entries = re.findall(r"^ {6}(\w+(?:/|\.py)) +(.*(?:\n {10,}.*)*)", DESIGN, re.MULTILINE)
    assert {name.removesuffix("/").removesuffix(".py") for name, _ in entries} == set().union(*LAYERS)
    for name, text in entries:
        folder = ROOT / "src" / "ancestral" / name
        assert folder.exists(), name
        missing = [file for file in re.findall(r"\w+\.py", text) if not list(folder.rglob(file))]
        assert name.endswith(".py") or not missing, missing
    layers = [
        set(line.split()) for line in DESIGN.split("(`tests/test_imports.py`):\n\n")[1].split("\n\n")[0].splitlines()
    ]
    assert layers == LAYERS


def test_the_equation_table_names_what_exists():
    """Each name in the table's right column is found, and the line with the equation's number is in its source."""
    table = DESIGN[DESIGN.index("| the lecture") :].split("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    assert len(rows) >= 10
    rooms = ("schedules", "reverse", "diffusion", "probability_flow", "objectives", "samplers", "bound")
    for _, equation, places, _ in rows:
        for place in re.findall(r"`([\w.]+)`", places):
            first, _, rest = place.partition(".")
            homes = [
                getattr(getattr(ancestral, room, None) or __import__(f"ancestral.{room}", fromlist=["_"]), first, None)
                for room in rooms
            ]
            home = next((h for h in homes if h is not None), None) or __import__(f"ancestral.{first}", fromlist=["_"])
            assert hasattr(home, rest), (equation, place)


def test_each_equation_of_the_lecture_stands_as_one_line_with_its_number():
    source = "\n".join(
        (ROOT / "src" / "ancestral" / name).read_text(encoding="utf-8")
        for name in (
            "schedules.py",
            "reverse.py",
            "diffusion.py",
            "objectives/objective.py",
            "bound.py",
            "samplers/ddpm.py",
        )
    )
    for equation in (
        "(2)  q(x_t|x_{t−1})",
        "(4)  q(x_t|x_0)",
        "(11)",
        "σ_t² = β_t",
        "(14)  L_simple",
        "(5)  L_T",
        "(5)  L_{t−1}",
        "(13)  L_0",
    ):
        assert equation in source, equation


def test_no_document_names_a_path_of_one_machine():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "Makefile", ROOT / ".ci" / "run"]:
        assert not re.search(r"(?<![\w.])/(work|root|home|tmp)/", path.read_text(encoding="utf-8")), path
