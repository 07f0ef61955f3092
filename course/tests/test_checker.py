"""The checker of exercises takes whatever students hand in, and answers each failure in one fitting line."""

import json
import subprocess
import sys

import pytest
import torch

import ancestral_course as course
from ancestral.errors import InputError
from ancestral_course.command import main
from ancestral_course.exercise import Exercise, judge
from ancestral_course.solution_file import load_functions

RIGHT = """
def shifted(a, b, ratio):
    length = (a**2 + (ratio * b) ** 2) ** 0.5
    return a / length, ratio * b / length
"""
SHORT = "def shifted(a, b, ratio):\n    "


def verdict(folder, source, name="shifted", file="mine.py", number=10):
    path = folder / file
    path.write_text(source, encoding="utf-8")
    found = next(verdict for verdict in course.check_file(number, path) if verdict.name == name)
    assert "\n" not in str(found)
    assert len(str(found)) < 300
    return found


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("return shifted(a, b, ratio)", "stopped with RecursionError"),
        ("return np.sqrt(a), b", "NameError: name 'np' is not defined"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit", "stopped with SystemExit"),
        ("raise ValueError('one\\ntwo')", "ValueError: one two"),
        ("raise ValueError('long ' * 1000)", "…"),
        ("return a.numpy(), b.numpy()", "not ndarray"),
        ("return a + 0j, b", "real numbers"),
        ("return a.to_sparse(), b", "dense"),
        ("return a[0].item(), b", "not float"),
        ("return 1, b", "not int"),
        ("return a, [b]", "not list"),
        ("return a / 0, b / 0", "not a number (NaN)"),
        ("return a", "too many values to unpack"),
        ("return (a, b), 1", "not tuple"),
        ("return a[:3], b", "return a tensor of shape"),
        ("yield a", "not enough values"),
    ],
)
def test_each_failure_ends_in_one_fitting_line(tmp_path, body, hint):
    found = verdict(tmp_path, SHORT + body)
    assert found.passed is False
    assert hint in found.text


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("def shifted(a, b):\n    return a, b", "takes 2 positional arguments but 3 were given"),
        ("class shifted:\n    def __init__(self, a, b, ratio): pass", "cannot unpack"),
        ("shifted = 3", "of type int; make it a function"),
    ],
)
def test_what_is_no_such_function_is_named(tmp_path, source, hint):
    found = verdict(tmp_path, source)
    assert found.passed is False
    assert hint in found.text


def test_a_function_that_prints_and_returns_nothing_is_not_written_yet(tmp_path):
    found = verdict(tmp_path, SHORT + "print(ratio)")
    assert found.passed is None
    assert "returns None" in found.text


@pytest.mark.parametrize(
    "source",
    [
        RIGHT + "\nshifted(1, 2, 3).no_such_thing",  # the rest of the file is not executed
        "hypot = lambda *parts: sum(part**2 for part in parts) ** 0.5\n"
        + SHORT
        + "n = hypot(a, ratio * b)\n    return a / n, ratio * b / n",
        "from torch import *\n" + SHORT + "n = hypot(a, ratio * b)\n    return a / n, ratio * b / n",
        "if True:\n    power = 2\nelse:\n    power = 3\n" + RIGHT.replace("**2", "**power"),
        "try:\n    import no_such_module as np\nexcept ImportError:\n    import numpy as np\n"
        + RIGHT.replace("**2", "**np.int64(2)"),
        "import torch\nwith torch.no_grad():\n    two = torch.tensor(2.0)\n" + RIGHT.replace("**2", "**two"),
        "table = [0] * 3\nfor k in range(3):\n    table[k] = k\n" + RIGHT.replace("**2", "**table[2]"),
        "settings = {}\nsettings['power'] = 2\n" + RIGHT.replace("**2", "**settings['power']"),
        "if (power := 2) > 1:\n    pass\n" + RIGHT.replace("**2", "**power"),
        "if True:\n" + RIGHT.replace("\n", "\n    "),
        "import functools\n@functools.lru_cache\ndef two():\n    return 2\n" + RIGHT.replace("**2", "**two()"),
        "from __future__ import annotations\n" + RIGHT.replace("ratio):", "ratio: NoSuchType):"),
        RIGHT.replace("return", "a.requires_grad_(); return"),
        RIGHT.replace("return", "print('a note to myself'); return"),
        RIGHT.replace("    length", "    b *= ratio; ratio = 1\n    length", 1),  # in place
        RIGHT + "shifted = torch.no_grad()(shifted)",
        "\ufeff" + RIGHT,
    ],
)
def test_right_answers_in_unusual_files_pass(tmp_path, source):
    assert verdict(tmp_path, source).passed, verdict(tmp_path, source)


def test_a_module_beside_the_file_is_found(tmp_path):
    (tmp_path / "my_own_helpers_of_lesson_10.py").write_text("power = 2\n", encoding="utf-8")
    source = "from my_own_helpers_of_lesson_10 import power\n" + RIGHT.replace("**2", "**power")
    before = list(sys.path)
    assert verdict(tmp_path, source).passed
    assert sys.path == before


POSTERIOR_MEAN = """
def posterior_mean(x_0, x_t, t):
    of_x_0 = at(alpha_bar, t - 1).sqrt() * at(beta, t) / at(1 - alpha_bar, t)
    return of_x_0 * x_0 + at(alpha, t).sqrt() * at(1 - alpha_bar, t - 1) / at(1 - alpha_bar, t) * x_t
"""
LOSS = """
def l_simple_from_image(net, x_0, t, eps):
    guess = net(add_noise(x_0, t, eps), t)
    return (alpha_bar[t] / (1 - alpha_bar[t]) * (x_0 - guess).square().mean((1, 2, 3))).mean()
"""


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import torch\n" + POSTERIOR_MEAN, "posterior_mean"),  # the tables of the lesson need torch as well
        ("import torch as t\nimport math as torch\n" + POSTERIOR_MEAN, "posterior_mean"),
        ("T, beta, at = 3, 0, 1\n" + LOSS, "l_simple_from_image"),  # the tables of the lesson need another T and beta
        ("def at(table, t):\n    return table[t]\n" + LOSS + "    at", "l_simple_from_image"),
    ],
)
def test_names_of_a_file_and_those_of_its_lesson_do_not_mix(tmp_path, source, name):
    assert verdict(tmp_path, source, name, number=1).passed, verdict(tmp_path, source, name, number=1)


def test_tables_of_fewer_steps_than_the_check_uses_are_named(tmp_path):
    source = "import torch\nalpha_bar = (1 - torch.linspace(0, 0.5, 41)).cumprod(0)\n" + LOSS
    assert "does your file change T?" in verdict(tmp_path, source, "l_simple_from_image", number=1).text


TABLES = """
import torch
T = {T}
beta = torch.cat([torch.zeros(1), torch.linspace(1e-4, 0.02, T)])
alpha = 1 - beta
alpha_bar = torch.cumprod(alpha, 0)
"""


@pytest.mark.parametrize("T", [200, 2000])
def test_a_file_with_another_T_is_told_what_the_check_needs(tmp_path, capsys, T):
    path = tmp_path / "mine.py"
    path.write_text(TABLES.format(T=T) + POSTERIOR_MEAN, encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["check", "1", str(path)])
    assert not stop.value.code
    assert f"… posterior_mean: the check needs T = 1000; your file sets T = {T}\n" in capsys.readouterr().out
    path.write_text(TABLES.format(T=1000) + POSTERIOR_MEAN, encoding="utf-8")
    assert next(found for found in course.check_file(1, path) if found.name == "posterior_mean").passed


STEP = """
def mean_of_step(x_0, x_t, t):
    return posterior_mean(x_0.clamp(-1, 1), x_t, t)
def sampling_step(x_t, t, eps_hat, z):
    x_0 = (x_t - at(1 - alpha_bar, t).sqrt() * eps_hat) / at(alpha_bar, t).sqrt()
    return mean_of_step(x_0, x_t, t) + at(beta_tilde, t).sqrt() * z
"""


@pytest.mark.parametrize(
    ("mean", "hint"),
    [
        (POSTERIOR_MEAN.replace("* x_0", "* 100 * x_0"), "it uses posterior_mean, which is wrong"),
        ("def posterior_mean(x_0, x_t, t): ...", "it uses posterior_mean, which is not written yet"),
    ],
)
def test_an_exercise_that_uses_a_wrong_one_is_pointed_to_it(tmp_path, mean, hint):
    assert verdict(tmp_path, POSTERIOR_MEAN + STEP, "sampling_step", number=1).passed
    found = verdict(tmp_path, mean + STEP, "sampling_step", number=1)
    assert found.passed is False
    assert hint in found.text


@pytest.mark.parametrize(("wrong", "rounding"), [([1.0, 2.0], False), ([1e3, 1.00001], True), ([1e3, 1.01], False)])
def test_only_a_relatively_small_difference_is_taken_for_rounding(wrong, rounding):
    """Each result is compared with its own size: 0.01 of 1 is much, whatever the other results are."""
    exercise = Exercise("pair", "", lambda: (1e3, 1.0), lambda f: [*f()], {}, rtol=1e-7, atol=1e-7)
    assert ("32-bit floats" in judge(exercise, lambda: tuple(wrong)).text) is rounding


def test_a_function_of_the_lesson_calls_the_exercise_of_the_student(tmp_path):
    lesson, mine = tmp_path / "lesson.py", tmp_path / "mine.py"
    lesson.write_text("def half(x): ...\ndef quarter(x):\n    return half(half(x))\n", encoding="utf-8")
    mine.write_text("def half(x):\n    return x / 2\ndef eighth(x):\n    return half(quarter(x))\n", encoding="utf-8")
    functions = load_functions(mine, ["half", "eighth"], lesson)
    assert functions["eighth"](8.0) == 1.0


def test_a_not_finite_result_is_not_taken_for_rounding():
    exercise = Exercise("two", "", lambda: (1.0, 1.0), lambda f: [*f()], {}, rounding=1e-2)
    assert judge(exercise, lambda: (1.001, 1.0)).passed
    assert "NaN" in judge(exercise, lambda: (1.001, float("nan"))).text


def test_the_gradient_is_checked_where_a_lesson_is_run_without_gradients():
    exercise = next(exercise for exercise in course.lesson_exercises(10) if exercise.name == "unpatchify")
    with torch.no_grad():
        assert judge(exercise, exercise.reference).passed


@pytest.mark.parametrize("number", range(1, 13))
def test_all_results_of_a_reference_are_finite(number):
    for exercise in course.lesson_exercises(number):
        values = [torch.as_tensor(value) for value in exercise.results(exercise.reference)]
        assert all(value.isfinite().all() for value in values), exercise.name


def test_inputs_that_a_function_changes_are_whole_again_at_its_next_call():
    shared = torch.ones(3)
    exercise = Exercise(
        "double", "", lambda x: 2 * x, lambda f: [f(shared), f([shared])[0] if f is zero else f(shared)], {}
    )

    def double(x):
        return x.mul_(2)

    assert judge(exercise, double).passed
    assert torch.equal(shared, torch.ones(3))


def zero(parts):
    return [part.zero_() for part in parts] if isinstance(parts, list) else parts.zero_()


def test_parts_of_a_prediction_and_of_lists_are_copied_too():
    from ancestral.targets import Prediction

    now, parts = Prediction(torch.ones(2), torch.ones(2)), [torch.ones(2)]
    exercise = Exercise("zero", "", lambda now, parts: 0 * now.x0, lambda f: [f(now, parts)], {})
    judge(exercise, lambda now, parts: now.x0.zero_() + parts[0].zero_() + now.eps.zero_())
    assert torch.equal(now.x0 + now.eps + parts[0], torch.full((2,), 3.0))


def test_a_truth_value_is_no_number():
    exercise = Exercise("one", "", lambda: 1.0, lambda f: [f()], {})
    assert "not bool" in judge(exercise, lambda: True).text
    assert judge(exercise, lambda: 1).passed
    assert judge(Exercise("yes", "", lambda: True, lambda f: [f()], {}), lambda: True).passed


def test_a_wrong_number_of_results_is_named():
    exercise = Exercise("pair", "", lambda: (1.0, 2.0), lambda f: [*f()], {})
    assert "as many values" in judge(exercise, lambda: (1.0, 2.0, 3.0)).text


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


@pytest.mark.parametrize(
    "cell",
    [
        "%matplotlib inline",
        "!ls",
        "files = !ls",
        "torch.randn?",
        "?torch.randn",
        "%%bash\nfor x in *; do echo $x; done",
        "%%time\nx = 1",
        "if True:\n    %matplotlib inline",
    ],
)
def test_commands_of_ipython_in_a_notebook_are_left_out(tmp_path, cell):
    assert verdict(tmp_path, notebook(cell, RIGHT), file="mine.ipynb").passed


def test_a_line_of_python_that_begins_with_a_remainder_is_kept(tmp_path):
    source = "power = (5\n  % 3)\n" + RIGHT.replace("**2", "**power")
    assert verdict(tmp_path, notebook(source), file="mine.ipynb").passed


@pytest.mark.parametrize(
    ("content", "file", "hint"),
    [
        (
            b"def shifted(a, b, ratio)\n    return a",
            "mine.py",
            "line 1 of the file: expected ':': def shifted(a, b, ratio)",
        ),
        (b"\xff\xfe\x00\x01", "mine.py", "is no Python script or notebook"),
        (b"x = 1\x00", "mine.py", "null bytes"),
        (b"", "mine.py", "defines no exercise of lesson 10"),
        (b"import no_such_module\ndef shifted(a): return no_such_module", "mine.py", "No module named"),
        (b"x = 1 / 0\ndef shifted(a): return x", "mine.py", "stopped with ZeroDivisionError"),
        (b"import sys\nx = sys.exit(0)\ndef shifted(a): return x", "mine.py", "stopped with SystemExit"),
        (b"not json", "mine.ipynb", "is no Python script or notebook"),
        (b"[1]", "mine.ipynb", "is no Python script or notebook"),
        (notebook("x = 1", "def shifted(").encode(), "mine.ipynb", "line 2 of its code cells"),
    ],
)
def test_files_that_cannot_be_read_or_executed_are_refused_in_one_line(tmp_path, capsys, content, file, hint):
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        course.check_file(10, path)
    assert hint in str(refusal.value)
    assert not any(word in str(refusal.value) for word in ("\n", "InputError"))


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["check", "10", "."], "is a folder; name the file in it"),
        (["check", "10", "missing.py"], "does not exist"),
        (["check", "10", "a.py", "b.py"], "b.py"),
        (["check", "99", "a.py"], "there is no lesson 99"),
        (["check", "ten", "a.py"], "ten"),
        (["check", "10"], "FILE"),
        (["chekc", "10", "a.py"], "'chekc'"),
    ],
)
def test_the_command_line_refuses_in_one_line(tmp_path, monkeypatch, capsys, arguments, hint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert hint in said.err
    assert said.err.strip().count("\n") <= 1
    assert not any(word in said.err for word in ("Traceback", "InputError"))


@pytest.mark.long
def test_the_command_says_what_is_right_and_wrong_and_exits_with_1(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(RIGHT + "\ndef unpatchify(patches, size, height, width):\n    return patches\n", encoding="utf-8")
    command = [sys.executable, "-m", "ancestral_course", "check", "10", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert [line[0] for line in lines] == ["✗", "✓", "…", "…", "…"]
    assert "not in the file" in lines[2]
    assert done.stderr == ""
