"""Lesson 18: right code passes whatever its style, and the part that is wrong is found and named."""

import contextlib
import re
from functools import cache

import built
import jupytext
import pytest
import torch
from own_cache import own_cache  # noqa: F401  # for all tests of this module

import ancestral_course as course
from ancestral_course import building, watching

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


STYLES = {"folded": folded, "plain": lambda: built.PLAIN}


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
    assert " steps in " in verdict.text  # as many as a slow machine takes in the time that there is


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


@pytest.mark.long
@pytest.mark.parametrize("sampler", built.SAMPLERS)
def test_the_distance_of_the_samples_decides_whatever_the_steps_are(sampler, tmp_path):
    source = built.SAMPLERS[sampler]
    verdict = judged(re.search(r"def (\w+)", source)[1], f"{folded()}\n\n{source}", tmp_path)
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    ("times", "hint"),
    [
        (lambda step: torch.randint(1, 201, (512,)), ""),
        (lambda step: torch.randint(1, 201, (32,)), ""),
        (lambda step: torch.randint(1, 201, (1,)).expand(512), ""),  # one for all points, another one in each step
        (lambda step: torch.arange(1, 201), ""),
        (lambda step: torch.arange(1, 201).remainder(190) + 1, "from 1 to 190"),
        (
            lambda step: torch.cat([torch.tensor([1]), torch.arange(2, 201, 2)]).repeat(2),
            "of the 200 times 101 are drawn",
        ),
        (lambda step: torch.full((512,), 7), "from 7 to 7"),
    ],
)
def test_times_have_to_cover_all_levels(times, hint):
    text = watching.times_complaint([times(step) for step in range(watching.STEPS)], torch.tensor([1, 200]))
    assert bool(text) == bool(hint)
    assert hint in text


@pytest.mark.parametrize(
    ("times", "hint"),
    [
        (lambda step: torch.rand(512), ""),
        (lambda step: torch.randn(512).sigmoid(), ""),
        (lambda step: (torch.arange(64) + 0.5) / 64, ""),
        (lambda step: torch.rand(512, generator=torch.Generator().manual_seed(0)), "the same in each step"),
        (lambda step: torch.rand(512) / 2, "draw them from 0 to 1"),
    ],
)
def test_times_have_to_cover_an_interval(times, hint):
    text = watching.times_complaint([times(step) for step in range(watching.STEPS)], torch.tensor([0.0, 1.0]))
    assert bool(text) == bool(hint)
    assert hint in text


@pytest.mark.parametrize(
    ("clear", "adds"),
    [
        (lambda optimiser, net: None, True),
        (lambda optimiser, net: optimiser.zero_grad(), False),
        (lambda optimiser, net: optimiser.zero_grad(set_to_none=False), False),
        (lambda optimiser, net: [one.grad.zero_() for one in net.parameters() if one.grad is not None], False),
    ],
)
def test_gradients_that_add_up_are_seen_and_nothing_else_changes(clear, adds):
    weights = []
    for watched in (contextlib.nullcontext(), watching.Watched()):
        torch.manual_seed(0)
        net = torch.nn.Linear(2, 1)
        optimiser = torch.optim.Adam(net.parameters(), 0.1)
        with watched:
            for _ in range(3):
                clear(optimiser, net)
                net(torch.randn(8, 2)).square().mean().backward()
                optimiser.step()
        weights.append(net.weight.detach())
    assert watched.adds_gradients is adds
    assert watched.rates == [0.1] * 3
    assert adds or torch.equal(*weights)


def test_few_points_are_told_from_many_by_the_batch_too():
    data = torch.randn(10000, 2, generator=torch.Generator().manual_seed(0))

    def training(pool, batch):
        def train(points, steps):
            mean = torch.zeros(2)
            for _ in range(steps):
                mean = mean + points[:pool][torch.randint(pool, (batch,))].mean(0) / steps
            return mean

        return train

    few = {(pool, batch): watching.uses_few_points(training(pool, batch), data, 3000, lambda mean: mean)
           for pool, batch in ((10000, 512), (10000, 32), (10000, 16), (64, 512), (64, 32), (512, 512))}  # fmt: skip
    assert [key for key, value in few.items() if value] == [(64, 512), (64, 32), (512, 512)]


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
