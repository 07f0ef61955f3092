"""The course: lesson 1 runs, its notebook agrees with its script, and the checks of its exercises find mistakes."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

COURSE = Path(__file__).parent.parent / "course"
LESSON = COURSE / "01_ddpm_from_scratch.py"
NOTEBOOK = LESSON.with_suffix(".ipynb")
TEXT = LESSON.read_text(encoding="utf-8")
CELLS = jupytext.reads(TEXT, fmt="py:percent").cells
TABLES = {"T", "beta", "alpha", "alpha_bar", "beta_tilde"}


@pytest.fixture(scope="module")
def lesson():
    """The functions, classes and tables of the lesson, without what it draws, trains and samples."""
    tree = ast.parse(TEXT)

    def kept(node):
        names = {target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)}
        return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef) or names & TABLES

    scope = {}
    exec(compile(ast.Module([node for node in tree.body if kept(node)], []), LESSON.name, "exec"), scope)
    return scope


def function(lesson, source):
    """The function that a student's cell defines, in the scope of the lesson."""
    scope = dict(lesson)
    exec(source, scope)
    return scope[re.search(r"def (\w+)", source)[1]]


SOLUTIONS = {
    re.search(r"def (\w+)", code)[1]: code
    for code in re.findall(
        r"Solution</summary>.*?```python\n(.*?)```",
        "\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown"),
        re.DOTALL,
    )
}
EXERCISES = {
    "forward_jump": "check_forward_jump",
    "posterior_mean": "check_posterior_mean",
    "l_simple_from_image": "check_l_simple",
    "turn": "check_turn",
    "sampling_step": "check_sampling_step",
}

PRELUDE = {
    "forward_jump": "A, v, kept = at(alpha_bar, t), at(1 - alpha_bar, t), at(alpha_bar, t) / at(alpha_bar, s)",
    "posterior_mean": "A, v = at(alpha_bar, t), at(1 - alpha_bar, t)\n"
    "    B, u = at(alpha_bar, t - 1), at(1 - alpha_bar, t - 1)",
    "l_simple_from_image": "A, v, x_t = at(alpha_bar, t), at(1 - alpha_bar, t), add_noise(x_0, t, eps)",
    "turn": "of_k = time_embedding(torch.tensor([k]), embedding.shape[1])",
    "sampling_step": "x_0 = (x_t - at(1 - alpha_bar, t).sqrt() * eps_hat) / at(alpha_bar, t).sqrt()\n"
    "    noise, clipped = at(beta_tilde, t).sqrt() * z, x_0.clamp(-1, 1)",
}
WRONG = {
    "forward_jump": {
        "A.sqrt() * x_s + v.sqrt() * eps": "jump from time 0",
        "kept * x_s + (1 - kept).sqrt() * eps": "square root",
        "kept * x_s + (1 - kept**2).sqrt() * eps": "the square root of ᾱ_t/ᾱ_s",
        "kept.sqrt() * x_s + v.sqrt() * eps": "already holds noise",
        "at(alpha_bar, t - s).sqrt() * x_s + at(1 - alpha_bar, t - s).sqrt() * eps": "is not ᾱ_{t−s}",
        "kept.sqrt() * x_s + (1 - kept) * eps": "deviation",
        "(1 - at(beta, t)).sqrt() * x_s + at(beta, t).sqrt() * eps": "one step of the chain",
        "(1 - kept).sqrt() * x_s + kept.sqrt() * eps": "swapped",
        "x_s + eps": "off by up to",
    },
    "posterior_mean": {
        "at(alpha, t).sqrt() * u / v * x_0 + B.sqrt() * at(beta, t) / v * x_t": "weights are swapped",
        "A.sqrt() * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * u / v * x_t": "not ᾱ_t",
        "B * at(beta, t) / v * x_0 + at(alpha, t) * u / v * x_t": "square root",
        "B.sqrt() * at(beta, t) * x_0 + at(alpha, t).sqrt() * u * x_t": "divided",
        "B.sqrt() * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * x_t": "has 1 − ᾱ_{t−1}",
        "B.sqrt() * at(beta, t) / v * x_0 + A.sqrt() * u / v * x_t": "has α_t",
        "B * at(beta, t) / v * x_0 + at(alpha, t).sqrt() * u / v * x_t": "ᾱ_{t−1} in the weight of x_0",
        "B.sqrt() * at(beta, t) * x_0 + at(alpha, t).sqrt() * u / v * x_t": "weight of x_0 is divided",
        "B.sqrt() * x_0": "off by up to",
    },
    "l_simple_from_image": {
        "(x_0 - net(x_t, t)).square().mean()": "error of the image",
        "(eps - net(x_t, t)).square().mean()": "network's answer itself",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v).square().mean()": "not by its variance",
        "(eps - (x_t - net(x_t, t)) / v.sqrt()).square().mean()": "√ᾱ_t",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()).square().sum((1, 2, 3)).mean()": "not the sum",
        "(eps - (x_t - A.sqrt() * net(x_t, t)) / v.sqrt()).abs().mean()": "squared",
        "(eps - (x_t - A * net(x_t, t)) / v.sqrt()).square().mean()": "not by ᾱ_t",
        "(eps - (x_t - A.sqrt() * net(x_t, t))).square().mean()": "divide by this factor",
        "(eps - (x_t - A.sqrt() * net(x_0, t)) / v.sqrt()).square().mean()": "sees x_t, not x_0",
        "(eps - net(x_t, t)).square()": "return a tensor of shape ()",
    },
    "turn": {
        "turned(embedding, -k)": "backwards",
        "turned(embedding, k).roll(embedding.shape[1] // 2, 1)": "halves are swapped",
        "torch.stack(turned(embedding, k).chunk(2, 1), 2).flatten(1)": "alternate",
        "of_k.expand_as(embedding)": "embedding of k",
        "embedding + of_k": "angles add up",
        "embedding": "off by up to",
    },
    "sampling_step": {
        "posterior(x_0, x_t, t) + noise": "not clipped",
        "posterior(x_0, x_t, t).clamp(-1, 1) + noise": "clip the mean",
        "(posterior(x_0, x_t, t) + noise).clamp(-1, 1)": "clip the result",
        "posterior(clipped, x_t, t) + at(beta_tilde, t) * z": "√β̃_t, not β̃_t",
        "posterior(clipped, x_t, t) + at(beta, t).sqrt() * z": "not β_t",
        "posterior(clipped, x_t, t)": "missing",
        "clipped": "this is x̂_0",
        "posterior(x_0, x_t, t) + at(beta, t).sqrt() * z": "step of section 10",
    },
}
"""Planted mistakes of each exercise, as what its function returns, with a part of the hint that each should get."""


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_passes_its_check(lesson, capsys, name):
    scope = lesson | {"posterior_mean": function(lesson, SOLUTIONS["posterior_mean"])}
    lesson[EXERCISES[name]](function(scope, SOLUTIONS[name]))
    assert capsys.readouterr().out.startswith("✓ ")


@pytest.mark.parametrize(("name", "body"), [(name, body) for name, bodies in WRONG.items() for body in bodies])
def test_each_planted_mistake_gets_a_hint_that_fits(lesson, capsys, name, body):
    arguments = re.search(rf"def {name}\((.*?)\):", TEXT)[1]
    solved = {
        new: function(lesson, SOLUTIONS[old]) for new, old in (("posterior", "posterior_mean"), ("turned", "turn"))
    }
    source = f"def {name}({arguments}):\n    {PRELUDE[name]}\n    return {body}\n"
    lesson[EXERCISES[name]](function(lesson | solved, source))
    said = capsys.readouterr().out
    assert said.startswith("✗ ")
    assert WRONG[name][body] in said
    assert said.count("\n") == 1


OTHERWISE = """
def forward_jump(x, s, t, e):
    kept = torch.stack([alpha[i + 1 : j + 1].prod() for i, j in zip(s, t)]).float()[:, None, None, None]
    return kept**0.5 * x + (1 - kept) ** 0.5 * e

def posterior_mean(x_0, x, t):
    now, before = at(alpha_bar, t), at(alpha_bar, t - 1)
    return (before**0.5 * at(beta, t) * x_0 + at(alpha, t) ** 0.5 * (1 - before) * x) / (1 - now)

def l_simple_from_image(net, x_0, t, e):
    snr = at(alpha_bar, t) / at(1 - alpha_bar, t)
    return (snr * (x_0 - net(add_noise(x_0, t, e), t)) ** 2).mean()

def turn(h, k):
    half = h.shape[1] // 2
    hand = torch.complex(h[:, half:].double(), h[:, :half].double())
    hand = hand * torch.exp(1j * k * 10000 ** (-torch.arange(half, dtype=torch.float64) / (half - 1)))
    return torch.cat([hand.imag, hand.real], 1)

def sampling_step(x, t, e, z):
    now, before = at(alpha_bar, t), at(alpha_bar, t - 1)
    x_0 = ((x - (1 - now) ** 0.5 * e) / now**0.5).clip(-1, 1)
    mean = (before**0.5 * at(beta, t) * x_0 + at(alpha, t) ** 0.5 * (1 - before) * x) / (1 - now)
    return mean + at(beta_tilde, t) ** 0.5 * z
"""
"""Right answers in another style: loops, complex numbers, 64 bits, and differences that lose digits in 32 bits."""


@pytest.mark.parametrize("source", OTHERWISE.strip().split("\n\n"))
def test_a_right_answer_in_another_style_passes(lesson, capsys, source):
    lesson[EXERCISES[source[4 : source.index("(")]]](function(lesson, source))
    assert capsys.readouterr().out.startswith("✓ ")


@pytest.mark.parametrize("name", EXERCISES)
def test_what_is_no_answer_is_said_and_does_not_stop_the_notebook(lesson, capsys, name):
    check = lesson[EXERCISES[name]]
    check(lesson[name])  # the stub
    check(lambda *arguments: [0.0])
    check(lambda *arguments: arguments[0].no_such_thing)
    written, kind, stopped = capsys.readouterr().out.splitlines()
    assert "not written yet" in written
    assert "return a tensor" in kind
    assert "not list" in kind
    assert "stopped with AttributeError" in stopped


def test_the_notebook_agrees_with_the_script_and_shows_what_it_gave():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in CELLS
    ]
    tags = [[cell.metadata.get("tags") for cell in cells] for cells in (notebook.cells, CELLS)]
    assert tags[0] == tags[1]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    drawn = sum("image/png" in output.get("data", {}) for output in outputs)
    assert drawn == len(re.findall(r"^(?:show|plot)\(|^plt\.show\(\)$", TEXT, re.MULTILINE)) > 10
    assert "step 2500" in printed  # the full setting
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert NOTEBOOK.stat().st_size < 2**20


@pytest.mark.slow
def test_the_lesson_runs_from_top_to_bottom(tmp_path):
    """In its short setting: a tiny network, 20 steps, and the comparison with the package at the end."""
    environment = os.environ | {"QUICK": "1", "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, LESSON], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not written yet") == 5
    assert re.search(r"L_simple: (\S+) by hand, \1 by ancestral", done.stdout)


def test_the_lesson_stands_alone_until_its_last_section():
    before, last = TEXT.split("# ## 12. ")
    imported = set(re.findall(r"^(?:import|from) (\w+)", before, re.MULTILINE))
    assert imported == {"math", "os", "time", "matplotlib", "torch", "mlxtend"}
    assert re.search(r"^from ancestral import", last, re.MULTILINE)


def test_each_equation_of_the_lecture_is_a_line_of_the_lesson():
    code = "\n".join(cell.source for cell in CELLS if cell.cell_type == "code")
    prose = "\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")
    for number in ("2", "4", "7", "11", "12", "14"):
        assert rf"\tag{{{number}}}" in prose
        assert re.search(rf"\S.*  # \({number}\)", code), number
    assert "# algorithm 2" in code
    assert len(re.findall(r"^### Exercise \d", prose, re.MULTILINE)) == len(SOLUTIONS) == 5


def test_the_lesson_is_short():
    """About 200 lines of code; docstrings, comments, what is printed, and the checks of the exercises not counted."""
    told = "\n".join(cell.source for cell in CELLS if cell.cell_type == "code" and not cell.metadata.get("tags"))
    tree = ast.parse(told)
    aside = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and (isinstance(node.value, ast.Constant) or getattr(getattr(node.value, "func", 0), "id", "") == "print")
    ]
    skipped = {line for node in aside for line in range(node.lineno, node.end_lineno + 1)}
    lines = [n for n, line in enumerate(told.splitlines(), 1) if line.strip() and not line.strip().startswith("#")]
    assert len(set(lines) - skipped) < 240
