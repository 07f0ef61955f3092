"""Lesson 18: right code passes whatever its style, and the part that is wrong is found and named."""

import re
from functools import cache

import built
import jupytext
import pytest

import ancestral_course as course
from ancestral_course import building

SCRIPT = course.lesson_file(course.find_lesson(18))
NAMES = [exercise.name for exercise in course.lesson_exercises(18)]
TRAINED = [name for name in NAMES if name.endswith("_train")]
SECONDS_LONG = [name for name in NAMES if name.endswith("_sample")] + ["UNet"]
QUICK = [
    pytest.param(name, marks=pytest.mark.long) if name in SECONDS_LONG else name
    for name in NAMES
    if name not in TRAINED
]
PLANTED = [
    pytest.param(name, number, marks=[pytest.mark.long] if name in SECONDS_LONG else [], id=f"{name}-{number}")
    for name, mistakes in built.WRONG.items()
    for number in range(len(mistakes))
]


@cache
def folded():
    """The folded solutions of the lesson, as one file."""
    cells = jupytext.reads(SCRIPT.read_text(encoding="utf-8"), fmt="py:percent").cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    codes = re.findall(r"```python\n(.*?)```", prose, re.DOTALL)
    return "import math\n\nimport torch\nfrom torch import nn\n\n\n" + "\n\n".join(codes)


STYLES = {"folded": folded, "tables": lambda: built.TABLES, "plain": lambda: built.PLAIN}


def judged(name, source, folder):
    """What the checker says of one function of a file."""
    path = folder / "mine.py"
    path.write_text(source, encoding="utf-8")
    functions = course.load_functions(path, [name], SCRIPT)
    return course.check(18, functions[name])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", QUICK)
def test_right_code_passes_in_each_style(name, style, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "MOST_STEPS", 250)
    verdict = judged(name, STYLES[style](), tmp_path)
    assert verdict.passed, verdict


@pytest.mark.long
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", TRAINED)
def test_right_training_loops_pass_in_each_style(name, style, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "MOST_STEPS", 500)
    verdict = judged(name, STYLES[style](), tmp_path)
    assert verdict.passed, verdict
    assert "500 steps" in verdict.text


def test_forty_mistakes_are_planted():
    assert sum(map(len, built.WRONG.values())) + len(built.LOOPS) >= 40


@pytest.mark.parametrize(("name", "number"), PLANTED)
def test_planted_mistakes_are_named(name, number, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "MOST_STEPS", 60)
    source, hint = list(built.WRONG[name].items())[number]
    verdict = judged(name, f"{folded()}\n\n{source}", tmp_path)
    assert verdict.passed is False
    assert hint in verdict.text, verdict
    assert "\n" not in str(verdict)


@pytest.mark.long
@pytest.mark.parametrize("mistake", built.LOOPS)
def test_planted_mistakes_of_loops_are_named(mistake, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "MOST_STEPS", 300)
    old, new, hint = built.LOOPS[mistake]
    assert folded().count(old) >= 1
    verdict = judged("ddpm_train", folded().replace(old, new), tmp_path)
    assert verdict.passed is False
    assert hint in verdict.text, verdict


def test_a_wrong_part_is_found_before_what_uses_it(tmp_path):
    """A right loss that calls a wrong schedule: the schedule is named."""
    source = list(built.WRONG["ddpm_schedule"])[1]
    verdict = judged("ddpm_loss", f"{folded()}\n\n{source}", tmp_path)
    assert verdict.passed is False
    assert "it uses ddpm_schedule, which is wrong: begin with that one" in verdict.text


def test_a_file_with_dataclasses_and_later_annotations_is_read(tmp_path):
    source = """
from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Config:
    end: float = 1.0


CONFIG = Config()


def flow_schedule(t):
    return CONFIG.end - t, t
"""
    assert judged("flow_schedule", source, tmp_path).passed


@pytest.mark.parametrize(
    "changes",
    [
        {"nn.Dropout(0.0)": "nn.Dropout(0.1)"},
        {
            "self.d = nn": "self.s = nn.Parameter(torch.tensor(1e-6))\n        self.d = nn",
            "out = self.f": "out = self.s * self.f",
        },
    ],
    ids=["dropout", "a branch that begins near zero"],
)
def test_a_right_block_is_not_refused(changes, tmp_path):
    source = built.PLAIN
    for old, new in changes.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    assert judged("ResidualBlock", source, tmp_path).passed


@pytest.mark.parametrize(
    ("name", "source", "text"),
    [
        ("ddpm_schedule", "def ddpm_schedule():\n    ...\n", "not written yet"),
        ("ddpm_train", "def ddpm_train(points, steps):\n    ...\n", "not written yet"),
        ("ddpm_train", "def ddpm_train(points, steps):\n    return 3\n", "return the network, not int"),
        ("ddpm_train", "def ddpm_train(points, steps):\n    raise SystemExit\n", "SystemExit"),
        ("flow_sample", "def flow_sample(net, n):\n    return 3\n", "not int"),
        ("flow_sample", "def flow_sample(net, n):\n    return torch.randn(n, 2)\n", "never evaluated"),
        ("flow_sample", "def flow_sample(net, n):\n    ...\n", "not written yet"),
        ("flow_sample", "def flow_sample(net, n):\n    return torch.randn(n, 2) / 0\n", "not finite"),
        ("ResidualBlock", "ResidualBlock = 3\n", "make it a class"),
        ("ResidualBlock", "class ResidualBlock(nn.Module):\n    pass\n", "stopped with TypeError"),
    ],
    ids=[
        "stub",
        "stub-train",
        "no-network",
        "exit",
        "no-points",
        "no-network-used",
        "stub-sample",
        "infinite",
        "3",
        "empty",
    ],
)
def test_what_is_missing_or_breaks_ends_in_one_line(name, source, text, tmp_path):
    head = "import torch\nfrom torch import nn\n\n\n"
    verdict = judged(name, head + source, tmp_path) if name != "ResidualBlock" or "class" in source else None
    if verdict is None:
        (verdict,) = [one for one in [next(e for e in course.lesson_exercises(18) if e.name == name).judge(3)] if one]
    assert not verdict.passed
    assert text in verdict.text, verdict
    assert "\n" not in str(verdict)
