"""The course: each lesson runs, its notebook agrees with its script, and the checks of its exercises find mistakes."""

import ast
import importlib
import os
import re
import subprocess
import sys

import jupytext
import nbformat
import pytest
import torch
from own_cache import own_cache  # noqa: F401  # for all tests of this module

import ancestral_course as course
from ancestral.config import by_size
from ancestral_course.command import main
from ancestral_course.lessons import PATHS, find_lesson

NUMBERS = [lesson.number for lesson in course.LESSONS]
BUILT = 18
"""The lesson without stubs, which is written from an empty file: test_build.py."""
WITH_STUBS = [number for number in NUMBERS if number != BUILT]
SCRIPTS = {lesson.number: course.lesson_file(lesson) for lesson in course.LESSONS}
TEXTS = {number: path.read_text(encoding="utf-8") for number, path in SCRIPTS.items()}
CELLS = {number: jupytext.reads(text, fmt="py:percent").cells for number, text in TEXTS.items()}
PROSE = {n: "\n".join(cell.source for cell in cells if cell.cell_type == "markdown") for n, cells in CELLS.items()}
OTHERWISE = {n: importlib.import_module(f"right_solutions.lesson_{n:02d}").OTHERWISE for n in (1, 3, 15)}
"""Right solutions in other styles: the checker compares numbers, so a few lessons are enough."""
NAMES = {number: [exercise.name for exercise in course.lesson_exercises(number)] for number in WITH_STUBS}
UNUSED = {4: ("average", "convert"), 17: ("log_snr_shift",)}
"""The exercises that their lesson does not come back to."""
RECORDED = """
import atexit
CALLED_NAMES = set()
atexit.register(lambda: print("called:", *CALLED_NAMES))


def recorded_calls(function, verdict):
    assert verdict.function is function

    def call(*arguments, **options):
        CALLED_NAMES.add(function.__name__)
        return function(*arguments, **options)

    return call


"""
"""What stands before a lesson in a test that sees which functions it calls."""
SOLUTIONS = {
    number: {
        re.findall(r"^def (\w+)", code, re.MULTILINE)[-1]: code
        for code in re.findall(r"<summary>Solution</summary>.*?```python\n(.*?)```", prose, re.DOTALL)
    }
    for number, prose in PROSE.items()
}


def judged(number, name, source, folder):
    """What the checker says of one function in a file of its own."""
    path = folder / "my_solution.py"
    path.write_text(source, encoding="utf-8")
    return next(course.check_file(number, path, [name]))


def all_needs(number):
    """The lessons that a lesson builds on, and those that they build on."""
    needs = find_lesson(number).needs
    return set(needs).union(*map(all_needs, needs))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lesson_builds_on_earlier_lessons_and_its_introduction_names_them(number):
    needs = set(find_lesson(number).needs)
    assert all(need < number for need in needs)
    introduction = " ".join(CELLS[number][0].source.split())
    sentence = re.search(r"You (?:need|should have done) (lessons? \d.*?)\.", introduction)
    named = {int(digits) for digits in re.findall(r"\d+", sentence[1])} if sentence else set()
    assert needs <= named <= all_needs(number)


@pytest.mark.parametrize("name", PATHS)
def test_a_path_has_what_each_of_its_lessons_builds_on_before_it(name):
    numbers = PATHS[name][1]
    assert len(set(numbers)) == len(numbers)
    for place, number in enumerate(numbers):
        assert set(find_lesson(number).needs) <= set(numbers[:place]), number


@pytest.mark.parametrize("number", WITH_STUBS)
def test_each_lesson_has_its_exercises_in_their_order(number):
    stubs = [cell.source for cell in CELLS[number] if "exercise" in cell.metadata.get("tags", ())]
    assert [re.search(r"def (\w+)", stub)[1] for stub in stubs] == NAMES[number]
    assert all(re.search(r"^    \.\.\.", stub, re.MULTILINE) for stub in stubs)
    assert list(SOLUTIONS[number]) == NAMES[number]
    assert len(re.findall(r"^### Exercise \d", PROSE[number], re.MULTILINE)) == len(NAMES[number])
    for name in NAMES[number]:
        check = f"course.check({number}, {name})"
        used = f"print(verdict := {check})\nright_{name} = verdict.function\n"
        assert f"print({check})\n" in TEXTS[number] or used in TEXTS[number]


@pytest.mark.parametrize("number", WITH_STUBS)
def test_later_cells_of_a_lesson_use_the_functions_that_passed(number):
    """As `right_NAME`: were NAME itself bound to the solution, the next check would judge that."""
    nodes = [node for node in ast.walk(ast.parse(TEXTS[number])) if isinstance(node, ast.Name)]
    own = [name for name in NAMES[number] if name not in UNUSED.get(number, ())]
    stored = [n.id for n in nodes if isinstance(n.ctx, ast.Store)]
    assert [stored.count(f"right_{name}") for name in own] == [1] * len(own)
    assert not set(stored) & set(NAMES[number])
    assert {n.id for n in nodes if isinstance(n.ctx, ast.Load)} >= {f"right_{name}" for name in own}


@pytest.mark.slow
@pytest.mark.parametrize("number", WITH_STUBS)
def test_a_lesson_goes_on_with_the_functions_of_the_student(number, tmp_path):
    """The folded solutions, handed in: later cells call each of them."""
    source = TEXTS[number]
    for cell in CELLS[number]:
        if "exercise" in cell.metadata.get("tags", ()):
            name = re.search(r"def (\w+)", cell.source)[1]
            source = source.replace(cell.source, SOLUTIONS[number][name])
            recorded = f"right_{name} = recorded_calls({name}, verdict)"
            source = source.replace(f"right_{name} = verdict.function", recorded)
    (tmp_path / "solved.py").write_text(RECORDED + source, encoding="utf-8")
    environment = os.environ | {"QUICK": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "solved.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": right\n") == len(NAMES[number])
    called = set(done.stdout.rpartition("called: ")[2].split())
    assert called == set(NAMES[number]) - set(UNUSED.get(number, ()))


def test_a_verdict_carries_the_function_to_go_on_with():
    """That of the student if it is right, and else the solution, with the tables of the student's lesson."""
    alpha_bar = torch.linspace(1, 0.1, 41, dtype=torch.float64)  # another T than ours
    beta = torch.cat([torch.zeros(1), 1 - alpha_bar[1:] / alpha_bar[:-1]])
    scope = {"torch": torch, "alpha_bar": alpha_bar, "beta": beta, "alpha": 1 - beta, "beta_tilde": 0 * beta}
    scope["at"] = lambda table, t: table[t].reshape(-1, 1, 1, 1).float()
    x, first, last = torch.full((1, 1, 24, 24), 0.5), torch.tensor([1]), torch.tensor([40])
    for body in ("...", "return x_s"):
        exec(f"def forward_jump(x_s, s, t, eps):\n    {body}", scope)
        verdict = course.check(1, scope["forward_jump"])
        assert not verdict.passed
        assert torch.allclose(verdict.function(x, first, last, 0 * x), (0.1 / alpha_bar[1]).sqrt().float() * x)
        assert scope["forward_jump"] is not verdict.function  # the name stays that of the student's

    # a solution calls the solution of another exercise, not the stub of the student
    exec("def posterior_mean(x_0, x_t, t):\n    ...\ndef sampling_step(x_t, t, eps_hat, z):\n    ...", scope)
    step = course.check(1, scope["sampling_step"]).function
    assert torch.allclose(step(x, first, 0 * x, x), x / alpha_bar[1].sqrt().float())

    exec(SOLUTIONS[10]["shifted"], scope)
    assert course.check(10, scope["shifted"]).function is scope["shifted"]


@pytest.mark.parametrize(("number", "name"), [(n, name) for n in WITH_STUBS for name in NAMES[n]])
def test_the_folded_solution_and_other_right_answers_pass(number, name, tmp_path):
    solved = "\n".join(SOLUTIONS[number].values())  # a solution may call that of an earlier exercise
    for source in (solved, *OTHERWISE.get(number, {}).get(name, ())):
        verdict = judged(number, name, source, tmp_path)
        assert verdict.passed, verdict


@pytest.mark.parametrize(
    ("number", "exercise"),
    [
        pytest.param(number, exercise, marks=[pytest.mark.long] * (number > 1), id=f"{number}-{exercise.name}")
        for number in NUMBERS
        for exercise in course.lesson_exercises(number)
        if isinstance(exercise, course.Exercise)
    ],
)
def test_each_known_mistake_is_told_from_the_others(number, exercise):
    """The hint of a mistake belongs to it alone: no earlier mistake gives the same results."""
    assert len(exercise.mistakes) >= 3
    for hint, mistake in exercise.mistakes.items():
        mistake.__dict__["__name__"] = exercise.name
        verdict = course.exercise.judge(exercise, mistake)
        assert verdict.passed is False, hint
        assert verdict.text == hint


@pytest.mark.parametrize("number", [n if n == 1 else pytest.param(n, marks=pytest.mark.long) for n in WITH_STUBS])
def test_a_stub_is_not_written_yet(number):
    """The lesson itself, as it is copied, has no right and no wrong answers."""
    assert [(v.name, v.passed) for v in course.check_file(number, SCRIPTS[number])] == [
        (name, None) for name in NAMES[number]
    ]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_notebook_agrees_with_the_script_and_shows_its_outputs(number):
    path = SCRIPTS[number].with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    assert [(cell.cell_type, cell.source, cell.metadata.get("tags")) for cell in notebook.cells] == [
        (cell.cell_type, cell.source, cell.metadata.get("tags")) for cell in CELLS[number]
    ]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert printed.count("not written yet") == len(NAMES.get(number, ()))
    assert "Unlike the lesson" not in printed
    assert path.stat().st_size < 2**20


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_the_lesson_runs_from_top_to_bottom(number, tmp_path):
    """In its short setting."""
    environment = os.environ | {"QUICK": "1", "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPTS[number]], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not written yet") == len(NAMES.get(number, ()))
    assert "Unlike the lesson" not in done.stdout
    assert done.stderr == ""
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def experiments(number):
    """The changes at the end of a lesson, as pairs of code: the old and the new one."""
    last = CELLS[number][-1].source
    assert last.startswith("## Three experiments\n")
    items = re.split(r"^\* ", last, flags=re.MULTILINE)[1:]
    return [re.search(r"`([^`]+)` → `([^`]+)`", " ".join(item.split())).groups() for item in items]


def changed_by_experiments(number, which):
    """The script of a lesson with some of its experiments. Each old code is a whole line, or a part of one line."""
    lines = TEXTS[number].partition("# ## Three experiments")[0].splitlines()
    for old, new in [experiments(number)[k] for k in which]:
        found = [k for k, line in enumerate(lines) if old in line and not line.startswith("#")]
        found = [k for k in found if lines[k] == old] or found
        assert len(found) == 1, old
        lines[found[0]] = lines[found[0]].replace(old, new)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("number", NUMBERS)
def test_each_lesson_ends_with_three_experiments_whose_code_it_has(number):
    assert len(experiments(number)) == 3
    for k in range(3):
        source = changed_by_experiments(number, [k])
        assert ast.dump(ast.parse(source)) != ast.dump(ast.parse(TEXTS[number]))


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_the_experiments_of_a_lesson_are_safe_to_run(number, tmp_path):
    """All three at once, in the short setting: nothing stops."""
    (tmp_path / "experiment.py").write_text(changed_by_experiments(number, range(3)), encoding="utf-8")
    environment = os.environ | {"QUICK": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "experiment.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "where this holds" not in done.stdout  # each expectation that fails has numbers to show


@pytest.mark.parametrize("number", NUMBERS)
def test_no_assertion_stops_a_lesson(number):
    assert not [node for node in ast.walk(ast.parse(TEXTS[number])) if isinstance(node, ast.Assert)]


def test_an_expectation_that_fails_is_printed_with_both_values(tmp_path, capsys):
    source = "import ancestral_course as course\ncourse.expect(1 < 2)\ncourse.expect(\n    3\n    < len('ab')\n)\n"
    path = tmp_path / "lesson.py"
    path.write_text(source, encoding="utf-8")
    exec(compile(source, str(path), "exec"), {})
    exec("import ancestral_course as course\ncourse.expect(0)", {})  # source that cannot be found
    assert capsys.readouterr().out.splitlines() == [
        "Unlike the lesson, len('ab'): more than 3 in our run; yours 2",
        "Unlike the lesson, where this holds: (a condition of this cell)",
    ]


VALUES = "import math, torch\nimport ancestral_course as course\n"
VALUES += "rms, w, by_k, QUICK = 0.39, torch.tensor([3.0, 1.0, 2.0]), {1: 10, 2: 5.0}, False\n"


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("0.945 < rms < 0.955", "rms: 0.95 in our run; yours 0.39"),
        ("9 < rms < 11", "rms: 9 to 11 in our run; yours 0.39"),
        ("rms > 5e-1", "rms: more than 0.5 in our run; yours 0.39"),
        ("w.max() < 2", "w.max(): less than 2 in our run; yours 3"),
        ("rms == -1", "rms: -1 in our run; yours 0.39"),
        ("abs(rms - 0.7) < 1e-3", "rms: 0.7 in our run; yours 0.39"),
        ("abs(w[0] - w[1]) < 1e-3", "w[0] and w[1]: nearly the same in our run; yours 3 and 1"),
        ("torch.allclose(w, w + 0.5, rtol=0)", "w and w + 0.5: the same in our run; yours differ by up to 0.5"),
        ("math.isclose(rms, rms + 1e-6)", "rms and rms + 1e-06: the same in our run; yours 0.39 and 0.390001"),
        ("rms > 0 and w.max() < 2 and rms > 1", "w.max(): less than 2 in our run; yours 3; rms: more than 1 in our"),
        ("rms > 0.1 if QUICK else rms < 0.1", "rms: less than 0.1 in our run; yours 0.39"),
        ("w[0] < w[1] < 2.5", "w[0] < w[1] < 2.5 in our run; yours 3, 1"),
        ("all(9 < by_k[k] < 11 for k in (1, 2))", "by_k[k] (at k = 2): 9 to 11 in our run; yours 5"),
        ("bool((w == 3).all())", "w == 3: all entries in our run; yours 1 of 3"),
        ("{'a': len(w)} == {'a': 2}", "{'a': len(w)}: {'a': 2} in our run; yours {'a': 3}"),
        ("torch.equal(w, torch.zeros(2))", "where this holds: torch.equal(w, torch.zeros(2))"),
        ("torch.rand(()) > 2", "torch.rand(()): more than 2 in our run; yours 0.768"),
        (
            "torch.rand(()) > 0.7",
            "where this holds: torch.rand(()) > 0.7",
        ),  # 0.496, then 0.768
    ],
)
def test_a_condition_says_the_value_of_the_lesson_and_that_of_the_reader(condition, text, tmp_path, capsys):
    source = VALUES + "torch.manual_seed(0)\n" + f"course.expect({condition})\nafter = torch.rand(())\n"
    path, scope = tmp_path / "lesson.py", {}
    path.write_text(source, encoding="utf-8")
    exec(compile(source, str(path), "exec"), scope)
    assert capsys.readouterr().out.startswith(f"Unlike the lesson, {text}")
    torch.manual_seed(0)
    if "rand" in condition:
        torch.rand(())
    assert torch.rand(()) == scope["after"]  # no random number more is drawn


def test_another_T_is_named_beside_the_value(tmp_path, capsys):
    source = "import ancestral_course as course\nT, rms = {}, 0.39\ncourse.expect(0.945 < rms < 0.955)\n"
    for steps, note in ((40, " (your T is 40, ours 1000)"), (1000, "")):
        path = tmp_path / f"lesson_{steps}.py"
        path.write_text(source.format(steps), encoding="utf-8")
        exec(compile(source.format(steps), str(path), "exec"), {})
        assert capsys.readouterr().out == f"Unlike the lesson, rms: 0.95 in our run; yours 0.39{note}\n"


def test_the_command_checks_a_file_and_copies_the_lessons(tmp_path, capsys):
    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main([*map(str, words)])
        output = capsys.readouterr()
        return stop.value.code, output.out, output.err

    mine = tmp_path / "mine"
    assert call() == (0, call()[1], "")
    assert all(lesson.title in call()[1] for lesson in course.LESSONS)
    assert f"{2 * len(NUMBERS)} files copied" in call("start", mine, "--open", "none")[1]
    copy = mine / SCRIPTS[1].name
    copy.write_text(TEXTS[1].replace("    ...  # replace this line by yours", "    return x_s", 1), encoding="utf-8")
    assert f"{2 * len(NUMBERS)} kept as they were" in call("start", mine, "--open", "none")[1]
    code, text, _ = call("check", 1, copy)
    assert code == 1
    assert text.startswith("✗ forward_jump: the factor of x_s is off: at s = 400, t = 1000 it is 1, not 0.0144")
    assert len(text.splitlines()) == 5
    for words, cause in (
        (("start", copy, "--open", "none"), "is a file"),
        (("start", copy / "x", "--open", "none"), "cannot be made (Not a directory); name another"),
    ):
        code, text, error = call(*words)
        assert (code, text) == (2, "")
        assert cause in error


def test_the_plan_of_lesson_12_is_the_rule_of_the_package():
    plan = course.lesson_exercises(12)[1].reference
    for device, first in (("cpu", 32), ("cuda", 256)):
        for side in range(33, 1100):
            patch, levels, lowest = plan(side, first, 8)
            chosen = by_size.choose((3, side, side), device)
            assert (patch, levels) == (chosen["patch"], len(chosen["mults"])), side
            assert lowest <= 8


NUMBER = re.compile(r"(?<![\w.])(\d+(?:,\d{3})*(?:\.\d+)?)(?:e([-+]?\d+))?( ?%)?")
RESULT = re.compile(r"(?<![\w.])(\d+(?:,\d{3})*\.\d+|\d+(?= ?%))( ?%)?(?![.\d]*\d)")
NO_PROSE = r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)|arXiv[: ][\d.]+"
OF_PAPERS = {
    1: "3.2", 3: "3.2", 4: "13.22 13.51 3.17 0.9999", 5: "25.3 3.17 4.7 2.20 3.75 2.94 1.97", 7: "1.3 99.5",
    8: "1.78 1.97 0.95", 17: "0.18215",
}  # fmt: skip
"""Numbers in the texts that papers report, and a number of a section."""
EXACT = {
    2: "3 0.0001", 3: "0.416", 4: "0.0001 0.02", 6: "4.6", 8: "0.999 1.44 84 99", 10: "1.1", 15: "0.008",
    17: "0.5 0.8", 18: "2.5 0.02 0.001 0.002", 19: "3.5",
}  # fmt: skip
"""Numbers that a reader computes from others on the page, and settings of the package or the checker."""


def readings(text):
    """The numbers in a text; of a percentage the share."""
    return [float(m[1].replace(",", "")) * 10 ** int(m[2] or 0) / (100 if m[3] else 1) for m in NUMBER.finditer(text)]


@pytest.mark.parametrize("number", NUMBERS)
def test_results_in_a_text_are_those_of_the_cells_beside_it(number):
    """Decimals and percentages stand, rounded, in code or outputs of the same section or the one before."""
    notebook = nbformat.read(SCRIPTS[number].with_suffix(".ipynb"), as_version=4)
    sections, prose = [[]], [""]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            texts = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
            sections[-1] += readings("\n".join([cell.source, *texts]))
            continue
        text = re.sub(NO_PROSE, "", cell.source, flags=re.S)
        first, *others = re.split(r"^## (?!Three experiments)", text, flags=re.M)
        prose[-1] += first
        for other in others:
            sections.append([])
            prose.append(other)
    prose[-1] = prose[-1].partition("## Three experiments")[0]  # their results are of other settings
    known = f"{OF_PAPERS.get(number, '')} {EXACT.get(number, '')}".split()
    unbound = []
    for k, text in enumerate(prose):
        beside = sections[k] + (sections[k - 1] if k else [])
        for match in RESULT.finditer(text):
            value, half = float(match[1].replace(",", "")), 0.5001 * 10.0 ** -len(match[1].partition(".")[2])
            scales = (1, 100) if match[2] else (1,)  # "62.9 ± 3.0 %" has the sign behind its error
            near = any(abs(scale * other - value) <= half for other in beside for scale in scales)
            if match[1] not in known and not near:
                unbound.append(text[max(0, match.start() - 60) : match.end() + 20])
    assert not unbound
    assert all(one in PROSE[number] for one in known)
