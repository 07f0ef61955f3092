"""The generated blocks of README.md and of pages: they are up to date, complete, and their commands can be read."""

import argparse
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

import ancestral
import records
from ancestral.config import PRESETS
from ancestral.declarations import USE_CASES
from page import TITLES

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("blocks", ROOT / "docs" / "hooks" / "blocks.py")
blocks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(blocks)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", blocks.PAGES)
def test_the_blocks_of_a_page_are_up_to_date(name):
    assert blocks.render(read(name)) == read(name), "run python docs/hooks/blocks.py"


@pytest.mark.parametrize("name", blocks.PAGES)
def test_both_forms_of_the_install_lines_are_written_from_one_another(name, monkeypatch):
    """With the switch set, no line of a clone is left; without it, each is as before."""
    texts = {}
    for published in ("", ancestral.__version__):
        monkeypatch.setattr(blocks, "PUBLISHED", published)
        texts[published] = blocks.render(read(name))
    for published, text in texts.items():
        monkeypatch.setattr(blocks, "PUBLISHED", published)
        assert all(blocks.render(other) == text for other in texts.values())
    assert not re.search(r"pip install '?\.(?!\.)|--from \.", blocks.BLOCK.sub("", texts[ancestral.__version__]))


@pytest.mark.parametrize(("clone", "index"), blocks.INSTALLATIONS.items())
def test_an_install_line_has_the_form_that_works(clone, index, monkeypatch):
    clone, index = (f"`{line}` ".replace("EXTRA", "onnx,hub") for line in (clone, index))
    for published, line in (("", clone), (ancestral.__version__, index)):
        monkeypatch.setattr(blocks, "PUBLISHED", published)
        assert blocks.with_installations(f"{clone}\n{index}\n") == f"{line}\n{line}\n"
        assert blocks.with_installations("pip install ancestral-other .") == "pip install ancestral-other ."


def test_each_block_stands_in_a_page_and_no_other_page_has_one():
    names = {name for page in blocks.PAGES for _, name, _ in blocks.BLOCK.findall(read(page))}
    assert names == {*blocks.BLOCKS} - {"OPERATORS", "RESTORATIONS"}  # which the help and the pages of editing have
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = path.read_text(encoding="utf-8")
        marks = len(re.findall("^<!-- (?:generated: |end )", text, re.MULTILINE))
        assert marks == 2 * len(blocks.BLOCK.findall(text)), path
        assert not marks or path.relative_to(ROOT).as_posix() in blocks.PAGES, path


def test_every_command_and_every_preset_has_a_row():
    commands, presets = blocks.commands(), blocks.presets()
    for case in USE_CASES:
        assert f"`ancestral {case.command}`" in commands
        page = read(f"docs/how-to/{blocks.ABOUT[case.command]}.md")
        assert re.search(rf"ancestral {case.command}\b|ancestral\.{case.function}\(", page), case.command
    assert all(f"| `{name}` |" in presets for name in PRESETS)
    assert set(blocks.MINUTES) <= set(PRESETS)


def test_the_figures_are_those_of_the_pages_of_measurements():
    """Each figure stands in a page that the measurements themselves write or explain; figures there may be longer."""
    pages = "".join(map(read, ("bench/records.md", "docs/explanation/benchmarks.md", "bench/README.md")))
    numbers = {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", pages)}
    for row in blocks.measurements().splitlines()[2:]:
        for number in re.findall(r"\d[\d,]*(?:\.\d+)?", "|".join(row.split("|")[2:4])):
            places = len(number.partition(".")[2])
            assert float(number.replace(",", "")) in {round(one, places) for one in numbers}, (number, row)


def test_the_commands_of_the_figures_can_be_read():
    parser = argparse.ArgumentParser(exit_on_error=False)
    records.add_options(parser)
    for row in blocks.measurement_commands().splitlines()[2:]:
        words = shlex.split(re.search(r"`([^`]+)` \|$", row)[1])
        if words[:3] == ["python", "bench", "record"]:
            assert parser.parse_args(words[3:]).division in records.DIVISIONS
        elif words[0] == "make":
            assert words[1].removeprefix("bench-") in TITLES
        else:
            script = read(words[1])
            assert all(f'"{option}"' in script for option in words if option.startswith("--")), words
