"""The drawings of docs/hooks/drawings.py: the files are up to date, well formed, and show what the package has."""

import importlib.util
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

import ancestral_course as course
from ancestral.nets import UNet

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("drawings", ROOT / "docs" / "hooks" / "drawings.py")
drawings = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = drawings
SPEC.loader.exec_module(drawings)
FILES = drawings.files()
TAG = "{http://www.w3.org/2000/svg}"


def words(name):
    """The texts of a drawing, without what formats them."""
    root = ElementTree.fromstring(FILES[f"{name}.svg"])
    return ["".join(text.itertext()).replace("\u200b", "") for text in root.iter(f"{TAG}text")]


@pytest.mark.parametrize("folder", drawings.FOLDERS, ids=lambda folder: folder.name)
def test_the_files_are_up_to_date(folder):
    assert {path.name for path in folder.glob("*.svg")} == set(FILES)
    for name, text in FILES.items():
        stale = (folder / name).read_text(encoding="utf-8") != text
        assert not stale, f"{folder / name} is stale: python docs/hooks/drawings.py"


@pytest.mark.parametrize("name", FILES)
def test_a_drawing_is_described_and_needs_nothing_else(name):
    text = FILES[name]
    root = ElementTree.fromstring(text)
    assert root.find(f"{TAG}title").text
    assert len(root.find(f"{TAG}desc").text) > 100
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|<script|@import", text)
    assert not re.search(r'(fill|stroke)="(#000|#fff|black|white)"', text.split("<g ")[0])  # ink follows the scheme
    assert len(text) < 40_000


def test_the_shapes_of_the_U_Net_are_those_of_the_papers_network():
    shapes = drawings.unet_shapes()
    net = UNet()
    assert shapes.parameters == sum(p.numel() for p in net.parameters()) == 35_746_307
    assert shapes.output == (3, 32, 32)
    assert shapes.time == (128, 512)
    for parts, modules in ((shapes.first_half[1:], net.down), (shapes.middle, net.middle)):
        assert len(parts) == len(modules)
    blocks = [(part.shape, part.attends) for part in shapes.first_half if part.kind == "block"]
    expected = [((128, 32, 32), False), ((256, 16, 16), True), ((256, 8, 8), False), ((256, 4, 4), False)]
    assert blocks == [level for level in expected for _ in range(2)]
    assert [part.attends for part in shapes.middle] == [True, False]
    ups = [(part.shape, part.attends) for part in shapes.second_half if part.kind == "block"]
    assert ups == [level for level in reversed(expected) for _ in range(3)]
    assert {"32 × 32, 128 channels", "16 × 16, 256 channels", "8 × 8, 256 channels", "4 × 4, 256 channels",
            "35.7 million parameters", "sin, cos: 128", "two layers: 512"} <= set(words("unet"))  # fmt: skip


@pytest.mark.parametrize("lesson", course.LESSONS, ids=lambda lesson: lesson.stem)
def test_the_drawings_in_a_notebook_are_up_to_date(lesson):
    for cell in nbformat.read(course.lesson_file(lesson, ".ipynb"), as_version=4).cells:
        if cell.cell_type == "code" and (name := re.fullmatch(r'course\.drawing\("(\w+)"\)', cell.source)):
            assert [output.data["text/html"] for output in cell.outputs] == [course.drawing(name[1])._repr_html_()]


def test_every_drawing_is_in_a_lesson_and_on_the_site():
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    scripts = [course.lesson_file(lesson).read_text(encoding="utf-8") for lesson in course.LESSONS]
    for name in FILES:
        assert any(f"](../images/{name})" in page for page in pages), name
        assert any(f'course.drawing("{Path(name).stem}")' in script for script in scripts), name
