"""What the documents say is so: their code runs, their names exist, their commands are commands."""

import re
from pathlib import Path

import pytest

import ancestral
from ancestral import cli
from ancestral.config import PRESETS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def test_readme_is_short():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README + DESIGN, re.DOTALL))
def test_python_blocks_run(code):
    scope = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert scope["images"].shape == (4, 3, 32, 32)
    assert scope["loss"].item() > 0


def test_every_preset_is_in_the_readme_and_every_command_is_one():
    assert all(f"`{name}`" in README for name in PRESETS)
    verbs = re.findall(r"^ +ancestral (\w+)", README, re.MULTILINE)
    assert set(verbs) == set(cli.COMMANDS)


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#]+)\)", README + DESIGN))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists() or (ROOT / "docs" / path).exists()


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
