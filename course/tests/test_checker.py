"""The checker of exercises takes whatever students hand in, and answers each failure in one fitting line."""

import copy
import json
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
import torch
from own_cache import own_cache  # noqa: F401  # for all tests of this module

import ancestral_course as course
from ancestral.errors import InputError
from ancestral.targets import Prediction
from ancestral_course import passed, time_limit
from ancestral_course.command import main
from ancestral_course.exercise import Exercise, judge, unchanged
from ancestral_course.judging import judge_file
from ancestral_course.probing import Linear
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


@pytest.mark.parametrize("T", [200, pytest.param(2000, marks=pytest.mark.long)])
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


def changed(value):
    """The value 1 with a change in place."""
    if isinstance(value, Prediction):
        value.eps.zero_()
    elif isinstance(value, list):
        value.pop()
    elif isinstance(value, dict):
        value["b"].fill(0)
    else:
        value *= 0
    return 1


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(3),
        np.ones(3),
        [True, False],
        [torch.ones(2), torch.ones(2)],
        {"a": 1.0, "b": np.ones(2)},
        Prediction(torch.ones(2), torch.ones(2)),
    ],
    ids=["tensor", "array", "list", "tensors", "tables", "prediction"],
)
def test_an_argument_that_a_right_function_changes_in_place_is_named_and_is_whole_for_others(value):
    exercise = Exercise("one", "", lambda x: 1, lambda f: [f(value)], {})
    before = copy.deepcopy(value)
    assert judge(exercise, changed).text == (
        "the argument value was changed in place. Return new values: the caller needs it again"
    )
    assert unchanged(value, before)
    assert judge(exercise, lambda x: 1).passed


def test_missing_numbers_are_not_taken_for_a_change():
    exercise = Exercise("one", "", lambda x: 1, lambda f: [f(torch.tensor([torch.nan]))], {})
    assert judge(exercise, lambda x: x.requires_grad_().numel()).passed


def never_ends(x):
    while True:
        x = x + 1


def catches(x):
    while True:
        try:
            x = x + 1
        except Exception:
            x = 0


@pytest.mark.parametrize("function", [never_ends, catches, lambda x: time.sleep(100)], ids=["loop", "catch", "wait"])
def test_a_function_that_does_not_end_is_ended(function, monkeypatch):
    monkeypatch.setattr(time_limit, "SECONDS", 0.05)
    exercise = Exercise("one", "", lambda x: 1, lambda f: [f(1)], {})
    assert judge(exercise, function).text == "it did not end within 0.05 s: does a loop in it never end?"


def test_a_wrong_function_that_ends_for_the_inputs_of_the_exercise_alone_keeps_its_hint(monkeypatch):
    """Unit inputs, which probe it, may be ones that it does not end for."""
    monkeypatch.setattr(time_limit, "SECONDS", 0.05)
    exercise = Exercise("twice", "", lambda x: 2 * x, lambda f: [f(torch.ones(2))], {}, linear=Linear("x", inputs="x"))

    def waits_for_ones(x):
        while not x.all():
            pass
        return 3 * x

    assert judge(exercise, waits_for_ones).text.startswith("the result is off by up to 1;")


@pytest.mark.parametrize("source", ["while True:\n    table = 1\n", "import time\ntable = time.sleep(100)\n"])
def test_a_file_whose_top_does_not_end_is_refused(tmp_path, monkeypatch, source):
    monkeypatch.setattr(time_limit, "SECONDS", 0.05)
    with pytest.raises(InputError, match=r"mine\.py: it did not end within 0\.05 s"):
        verdict(tmp_path, source + RIGHT + "    table")


def test_the_timer_of_whoever_calls_goes_on():
    """As that of a test which may not take for ever."""
    handler = signal.getsignal(signal.SIGALRM)
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    with time_limit.time_limit(100), time_limit.time_limit(10):
        pass
    assert signal.getsignal(signal.SIGALRM) == handler
    after = signal.getitimer(signal.ITIMER_REAL)
    assert (after[0] > left - 5, after[1]) == (True, interval)


@pytest.mark.parametrize("kind", [np.float32, np.float64, Fraction])
def test_numbers_of_other_kinds_are_numbers(kind):
    assert judge(Exercise("half", "", lambda: 0.5, lambda f: [f()], {}), lambda: kind(0.5)).passed


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
        (["--completion", "csh"], "'csh'"),
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


@pytest.mark.long
def test_a_function_that_ends_its_process_or_cannot_be_ended_has_its_verdict_and_so_have_the_others(tmp_path):
    path = tmp_path / "mine.py"
    source = "import os\n" + RIGHT + "\ndef unpatchify(patches, size, height, width):\n    os._exit(9)\n"
    source += "\ndef unknown_part(*arguments):\n    os.kill(os.getpid(), 11)\n"
    path.write_text(source, encoding="utf-8")
    verdicts = {verdict.name: verdict for verdict in judge_file(10, path)}
    assert list(verdicts) == [exercise.name for exercise in course.lesson_exercises(10)]
    assert verdicts["unpatchify"].text == "it ended Python itself (exit code 9)"
    assert verdicts["unknown_part"].text == "it ended Python itself (signal 11)"
    assert verdicts["shifted"].passed
    assert verdicts["huber_errors"].passed is None


@pytest.mark.parametrize(
    ("loop", "killed"), [("sum(range(10**13))", True), ("while True:\n  try: pass\n  except: pass", True)]
)
@pytest.mark.long
def test_what_ignores_the_exception_is_killed(loop, killed, tmp_path):
    """A function of C that does not return, and a loop that catches everything."""
    script = tmp_path / "script.py"
    script.write_text(
        "from ancestral_course import time_limit\ntime_limit.kills = True\n"
        "time_limit.AGAIN, time_limit.SLOWEST = 0.01, 5\nwith time_limit.time_limit(0.05):\n"
        + "\n".join(f"    {line}" for line in loop.splitlines()),
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode in ((time_limit.KILLED, 1) if killed else ())


def test_what_took_long_and_passed_is_kept_until_its_source_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(passed, "LONG", 0.0)
    calls = []

    def counted(exercise, function):
        calls.append(exercise)
        return judge(exercise, function)

    monkeypatch.setattr(course.Exercise, "judge", counted)
    assert verdict(tmp_path, RIGHT).text == "right"
    assert verdict(tmp_path, "import torch\n" + RIGHT + "# a note\n").text == "right (judged before)"
    assert len(calls) == 1
    assert verdict(tmp_path, RIGHT.replace("length", "norm")).text == "right"
    wrong = RIGHT.replace("**2", "**3", 1)
    assert verdict(tmp_path, wrong).passed is verdict(tmp_path, wrong).passed is False
    assert len(calls) == 4
    helper = RIGHT.replace("**2", "**power")
    for power, right in (("2", True), ("3", False), ("2", True)):
        assert verdict(tmp_path, f"power = {power}\n{helper}").passed is right
    (tmp_path / "of_mine.py").write_text("power = 2\n", encoding="utf-8")
    for _ in range(2):
        assert verdict(tmp_path, "from of_mine import power\n" + helper).text == "right"  # another file may change


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["ddpm"], ["ddpm_schedule", "ddpm_loss", "ddpm_step", "ddpm_train", "ddpm_sample"]),
        (["flow_step", "ddpm_loss"], ["ddpm_loss", "flow_step"]),
        (["attention", "unet"], ["time_embedding", "attention", "ResidualBlock", "UNet"]),
    ],
)
def test_exercises_are_chosen_by_name_or_method(names, found):
    assert [exercise.name for exercise in course.selected_exercises(18, names)] == found


def test_a_name_that_is_none_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"lesson 10 has no exercise 'ddpm'; choose from unpatchify, shifted"):
        course.selected_exercises(10, ["ddpm"])
