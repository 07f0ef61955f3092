"""The teacher's kit: variants of the inputs, strict checks, the table of a class, and solutions."""

import json
import re
from itertools import cycle

import jupytext
import pytest
from changed_solutions import changed_source
from own_cache import own_cache  # noqa: F401  # for all tests of this module
from test_lessons import OTHERWISE

import ancestral_course as course
from ancestral.errors import InputError
from ancestral_course import classroom
from ancestral_course.classroom import ClassResult, judge_class
from ancestral_course.command import main
from ancestral_course.exercise import Exercise, judge
from ancestral_course.lessons import LESSONS, lesson_file
from ancestral_course.rules import Rules
from ancestral_course.solution_file import load_functions
from ancestral_course.solutions import lesson_solutions, solutions_text, without_solutions
from ancestral_course.strictness import complaint
from ancestral_course.variants import near, normal, one_of, order, variant, whole

NUMBERS = [lesson.number for lesson in LESSONS]
FORMULAS = {
    number: [exercise for exercise in course.lesson_exercises(number) if isinstance(exercise, Exercise)]
    for number in NUMBERS
}
CASES = [(number, exercise.name) for number in NUMBERS for exercise in FORMULAS[number]]
CODE = {
    number: ("import math\nimport torch\nfrom torch import nn\n" if number == 18 else "")
    + "\n\n".join(solution.code for solution in lesson_solutions(number) if solution.code)
    for number in NUMBERS
}
PROVED_BELOW = {6: ["4"], 11: ["2"], 16: ["1", "5"]}
"""Exercises that are derived in the text that follows their solution."""
WITHOUT_ARGUMENTS = ("ddpm_schedule", "ncsn_schedule")
"""Exercises whose result the lesson fixes: there is nothing to vary."""


def printed_solution(number, name, folder):
    path = folder / "solution.py"
    path.write_text(CODE[number], encoding="utf-8")
    return load_functions(path, [name], lesson_file(LESSONS[number - 1]))[name]


def exercise_of(number, name):
    return next(exercise for exercise in FORMULAS[number] if exercise.name == name)


# -- variants ---------------------------------------------------------------------------------------------------------


def passes(number, name, seeds, folder):
    exercise, function = exercise_of(number, name), printed_solution(number, name, folder)
    for seed in seeds:
        with variant(seed):
            verdict = judge(exercise, function)
        assert verdict.passed, (seed, verdict.text)


@pytest.mark.parametrize(("number", "name"), CASES)
def test_the_printed_solution_passes_for_another_seed(number, name, tmp_path):
    passes(number, name, [number], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(("number", "name"), [case for case in CASES if case[1] not in WITHOUT_ARGUMENTS])
def test_the_known_results_of_the_usual_inputs_fail_for_a_seed(number, name):
    """A function that repeats the results that the reference has for the fixed inputs."""
    exercise, known = exercise_of(number, name), []

    def recorded(*arguments):
        known.append(exercise.reference(*arguments))
        return known[-1]

    exercise.results(recorded)

    def judged(seed):
        values = cycle(known)
        with variant(seed):
            return judge(exercise, lambda *_: next(values))

    assert not any(judged(seed).passed for seed in (0, 1))
    assert judged(None).passed or exercise.demand or name == "held_out_mask"


def test_a_mistake_that_agrees_on_the_inputs_of_a_seed_is_refused_by_the_usual_ones(tmp_path):
    """Of 79 random distances, for one, a wrong rank may choose the same share."""
    path = tmp_path / "mine.py"
    for threshold in ("unseen.mean()", "unseen.min()", "unseen.sort(descending=True).values[3]"):
        source = changed_source(9, "share_too_near", f"threshold = {threshold}")
        path.write_text(source, encoding="utf-8")
        assert not next(course.check_file(9, path, ["share_too_near"], Rules(seed=7))).passed


@pytest.mark.parametrize("seed", [None, 3])
def test_a_file_of_known_results_passes_without_a_seed_alone(tmp_path, seed):
    path = tmp_path / "mine.py"
    known = []
    exercise = exercise_of(12, "block_costs")
    exercise.results(lambda *sizes: known.append(exercise.reference(*sizes)) or known[-1])
    path.write_text(f"KNOWN = iter({known})\ndef block_costs(side, width):\n    return next(KNOWN)\n", encoding="utf-8")
    assert next(course.check_file(12, path, ["block_costs"], Rules(seed=seed))).passed is (seed is None)


def test_inputs_depend_on_the_seed_alone():
    def draws(seed):
        with variant(seed):
            numbers = normal(3, seed=5), near(2.0), near(0.0), whole(4, 1, 100), one_of([1, *range(9)]), order(5)
        return [str(number) for number in numbers]

    assert draws(None)[1:] == ["2.0", "0.0", "4", "1", "tensor([0, 1, 2, 3, 4])"]
    assert draws(1) == draws(1) != draws(2)
    assert draws(1)[2] == "0.0"


# -- strict -----------------------------------------------------------------------------------------------------------

RIGHT = "def shifted(a, b, ratio):\n    n = (a**2 + (ratio * b) ** 2).sqrt()\n    return a / n, ratio * b / n\n"
HEAD = "def shifted(a, b, ratio):\n    "
CALL = "EXERCISES[1].reference(a, b, ratio)"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (HEAD + f"from ancestral_course.exercises.lesson_10 import EXERCISES\n    return {CALL}", "line 2"),
        (f"from ancestral_course.exercises.lesson_10 import *\n\n\n{HEAD}return {CALL}", "line 1"),
        (HEAD + "return course.lesson_exercises(10)[1].reference(a, b, ratio)", "line 2"),
        ("import ancestral_course as course\nf = course.lesson_exercises\n" + HEAD + "return f(10)[1]", "line 2"),
        (HEAD + "import importlib\n    return importlib.import_module('x')", "imports importlib"),
        (HEAD + "return __import__('ancestral_course').lesson_exercises(10)", "uses __import__"),
        (HEAD + "import sys\n    return sys.modules['ancestral_course']", "imports sys"),
        (HEAD + "return torch.sys.modules['ancestral_course']", r"uses \.sys"),
        (HEAD + "exec('import ancestral_course')", "uses exec"),
        (HEAD + "return eval('shifted')", "uses eval"),
        (HEAD + "return getattr(torch, 's' + 'ys').modules", "getattr with a name that is computed"),
        (HEAD + "return getattr(torch, 'sys').modules", r"uses \.sys"),
        (HEAD + "return shifted.__globals__['course']", "uses .__globals__"),
        (HEAD + "return globals()['course']", "uses globals"),
        (HEAD + "return open('lesson_10.py').read()", "uses open"),
        (HEAD + "import pathlib", "imports pathlib"),
        (HEAD + "torch.allclose = lambda *_, **__: True", r"changes torch\.allclose"),
        (HEAD + "from ancestral import schedules\n    return schedules.shifted(a, b, ratio)", "imports ancestral"),
        (HEAD + "return schedules.shifted(a, b, ratio)", r"uses ancestral\.schedules"),
        ("def helper():\n    import ancestral\n\n\n" + HEAD + "return helper()", "line 2 .*imports ancestral"),
    ],
)
def test_a_function_that_reaches_a_solution_is_refused_with_its_line(tmp_path, source, reason):
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")
    verdict = next(v for v in course.check_file(10, path, ["shifted"], Rules(strict=True)))
    assert verdict.passed is False
    assert re.search(reason, verdict.text), verdict.text
    assert re.match(r"line \d+ of the file: it ", verdict.text)


def test_a_module_beside_the_file_is_refused(tmp_path):
    (tmp_path / "helper.py").write_text("power = 2\n", encoding="utf-8")
    path = tmp_path / "mine.py"
    path.write_text("from helper import power\n" + RIGHT.replace("a**2", "a**power"), encoding="utf-8")
    assert "put what it needs into the file" in complaint(path, "shifted", lesson_file(LESSONS[9]))


@pytest.mark.long
@pytest.mark.parametrize("number", NUMBERS)
def test_right_answers_are_not_refused_unless_they_use_the_package(number, tmp_path):
    others = OTHERWISE.get(number, {})
    path = tmp_path / "mine.py"
    for name in (exercise.name for exercise in course.lesson_exercises(number)):
        for source in (CODE[number], *others.get(name, ())):
            path.write_text(source, encoding="utf-8")
            text = complaint(path, name, lesson_file(LESSONS[number - 1]))
            assert text == "" or re.search(r"it uses ancestral[\w.]*\.(\w+);", text)[1] in source


def test_a_copy_of_a_lesson_with_its_solutions_passes(tmp_path):
    """Its first lines import the course, which no function of an exercise uses."""
    path = tmp_path / "10_change_the_core.py"
    path.write_text(lesson_file(LESSONS[9]).read_text(encoding="utf-8") + "\n\n" + RIGHT, encoding="utf-8")
    assert next(course.check_file(10, path, ["shifted"], Rules(strict=True))).passed


@pytest.mark.parametrize("reads", ["np.fromfile({}, np.uint8)", "torch.from_file({}, size=9)", "torch.load({})"])
def test_files_of_the_course_are_closed_while_a_function_runs(tmp_path, reads):
    file = repr(str(lesson_file(LESSONS[9])))
    path = tmp_path / "mine.py"
    path.write_text(f"import numpy as np\n{HEAD}return {reads.format(file)}\n", encoding="utf-8")
    verdict = next(course.check_file(10, path, ["shifted"], Rules(strict=True)))
    assert verdict.passed is False
    if "from_file" not in reads:  # PyTorch opens it in C++, which Python does not see
        assert "it opens" in verdict.text


def test_what_passed_without_rules_is_judged_again_with_them(tmp_path, monkeypatch):
    monkeypatch.setattr(course.passed, "LONG", 0.0)
    path = tmp_path / "mine.py"
    path.write_text(RIGHT, encoding="utf-8")
    for rules in (Rules(), Rules(strict=True), Rules(seed=1), Rules(seed=2)):
        texts = [next(course.check_file(10, path, ["shifted"], rules)).text for _ in range(2)]
        assert texts == ["right", "right (judged before)"]


# -- a class ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def in_this_process(monkeypatch):
    """Judge without a process for each file."""

    def judged(number, path, names, rules, printed):
        return course.check_file(number, path, names, rules)

    monkeypatch.setattr(classroom, "judge_file", judged)


def a_class(folder):
    """Ann has a folder, Bob a file with the name of a lesson, Cyd a bad file, Dan none; a folder is hidden."""
    for name in ("ann/work", "cyd", "dan", ".git"):
        (folder / name).mkdir(parents=True)
    lesson = lesson_file(LESSONS[9]).read_text(encoding="utf-8")
    (folder / "ann" / "10_change_the_core.py").write_text(lesson, encoding="utf-8")
    cell = {"cell_type": "code", "source": RIGHT}
    (folder / "ann" / "work" / "10_change_the_core.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    (folder / "bob_10_change_the_core.py").write_text(HEAD + "return a, b", encoding="utf-8")
    (folder / "cyd" / "lesson10.py").write_text("def (", encoding="utf-8")
    return folder


def test_a_class_is_judged_and_no_student_stops_it(tmp_path, in_this_process):
    reports = []
    result = judge_class(a_class(tmp_path), report=reports.append)
    shifted = {mark.student: mark.verdict for mark in result.marks if mark.exercise == "shifted"}
    assert shifted == {"ann": "passed", "bob": "wrong"}
    reasons = {mark.student: mark.message for mark in result.marks if mark.verdict == "not judged"}
    assert "lesson10.py, line 1 of the file: invalid syntax" in reasons["cyd"]
    assert reasons["dan"] == "no script or notebook has the number of a lesson in its name"
    assert not result.complete
    assert sorted(map(str, reports)) == sorted(str(mark) for mark in result.marks if mark.verdict != "not written")
    table = str(result).splitlines()
    assert [line.split() for line in table[:5]] == [
        ["student", "lesson", "10"], ["ann", "1/5"], ["bob", "0/5"], ["cyd", "not", "judged"], ["dan", "-"],
    ]  # fmt: skip
    assert ClassResult.from_json(result.to_json()) == result


def test_a_lesson_that_was_not_begun_is_not_written(tmp_path, in_this_process):
    (tmp_path / "ann").mkdir()
    for number in (2, 18):  # one with stubs, and one that is written from an empty file
        for suffix in (".py", ".ipynb"):
            file = lesson_file(LESSONS[number - 1], suffix)
            (tmp_path / "ann" / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    result = judge_class(tmp_path)
    assert {mark.verdict for mark in result.marks} == {"not written"}
    assert len(result.marks) == sum(len(course.lesson_exercises(number)) for number in (2, 18))
    assert result.complete


@pytest.mark.parametrize(
    ("file", "student"),
    [
        ("bob_10_change_the_core.py", "bob"),
        ("10_change_the_core (bob).ipynb", "(bob)"),
        ("bob lesson 10.py", "bob"),
        ("bob.py", "bob"),
    ],
)
def test_a_file_names_its_student(tmp_path, in_this_process, file, student):
    text = json.dumps({"cells": [{"cell_type": "code", "source": RIGHT}]}) if file.endswith("ipynb") else RIGHT
    (tmp_path / file).write_text(text, encoding="utf-8")
    marks = judge_class(tmp_path, 10).marks
    assert [mark.student for mark in marks if mark.verdict == "passed"] == [student]


def test_a_folder_without_students_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds neither folders nor scripts"):
        judge_class(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        judge_class(tmp_path / "none")


def command(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(["check", *map(str, arguments)])
    return stop.value.code


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["1"], "name the lesson and the file, N FILE, or a folder, --all FOLDER"),
        (["1", "mine.py", "--json"], "--json needs --all FOLDER"),
        (["--all", ".", "1", "mine.py"], "--all checks the files of a folder; leave out mine.py"),
    ],
)
def test_other_forms_of_the_command_are_refused(arguments, text, capsys):
    assert command(*arguments) == 2
    assert text in capsys.readouterr().err


@pytest.mark.long
def test_the_command_prints_json_and_nothing_else(tmp_path, capfd):
    """One student's code ends its process, one prints, and one writes verdicts of its own."""
    folder = a_class(tmp_path)
    (folder / "cyd" / "lesson10.py").write_text(HEAD + "import os; os._exit(3)", encoding="utf-8")
    forged = '{"name": "unpatchify", "passed": true, "text": "right"}'
    writes = f"try: os.write(fd, b'{forged}\\n')\n        except OSError: pass"
    source = f"import os\n{HEAD}for fd in range(3, 20):\n        {writes}"
    (folder / "dan" / "10.py").write_text(source, encoding="utf-8")
    (folder / "eve.py").write_text("print('noise')\n" + RIGHT, encoding="utf-8")
    assert command("--all", folder, "10", "--json", "--seed", "3") == 1
    output = capfd.readouterr()
    result = ClassResult.from_json(output.out)
    assert result.seed == 3
    marks = {mark.student: mark for mark in result.marks if mark.exercise == "shifted"}
    assert {student: mark.verdict for student, mark in marks.items()} == {
        "ann": "passed", "bob": "wrong", "cyd": "wrong", "dan": "wrong", "eve": "passed",
    }  # fmt: skip
    assert marks["cyd"].message == "it ended Python itself (exit code 3)"
    assert "ann, lesson 10, shifted: passed: right" in output.err


# -- lessons without solutions, and solutions -------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lesson_without_solutions_has_its_code_and_hints_alone(number):
    lesson = LESSONS[number - 1]
    files = {suffix: lesson_file(lesson, suffix).read_text(encoding="utf-8") for suffix in (".py", ".ipynb")}
    short = {suffix: without_solutions(text, suffix) for suffix, text in files.items()}
    cells = {suffix: jupytext.reads(text, fmt="py:percent" if suffix == ".py" else "ipynb").cells
             for suffix, text in short.items()}  # fmt: skip
    assert [cell.source for cell in cells[".py"]] == [cell.source for cell in cells[".ipynb"]]
    whole_cells = jupytext.reads(files[".py"], fmt="py:percent").cells
    assert [c.source for c in cells[".py"] if c.cell_type == "code"] == [
        c.source for c in whole_cells if c.cell_type == "code"
    ]
    for text in short.values():
        assert text.count("<details>") == text.count("<summary>Hint")
        assert text.count("Your teacher has this") == files[".py"].count("<details>") - text.count("<details>")
        for solution in lesson_solutions(number):
            first = solution.code.partition("\n")[0]
            lines = [line for line in solution.code.splitlines() if len(line) > 40 and line != first]
            assert not any(f"# {line}" in text for line in lines), solution.title


def test_the_command_copies_lessons_without_solutions(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["start", str(tmp_path), "--open", "none", "--no-solutions"])
    assert not stop.value.code
    assert capsys.readouterr().out.startswith(f"{tmp_path}: {2 * len(course.LESSONS)} files copied")
    assert "<summary>Solution" not in "".join(path.read_text("utf-8") for path in tmp_path.iterdir())
    lesson = tmp_path / "02_forward_process.py"
    assert [verdict.passed for verdict in course.check_file(2, lesson)] == [None] * 4


@pytest.mark.parametrize("number", NUMBERS)
def test_the_solutions_of_a_lesson_have_the_code_and_the_proof_of_each_exercise(number):
    solutions = lesson_solutions(number)
    names = [exercise.name for exercise in course.lesson_exercises(number)]
    code = "\n".join(solution.code for solution in solutions)
    assert all(re.search(rf"^(def|class) {name}\b", code, re.MULTILINE) for name in names)
    asks = re.compile(r"\b(?:Derive|derive|Show that|Find|[Ss]olve|Choose \S+ so)\b|On paper")
    lacking = [s.title for s in solutions if asks.search(f"{s.title} {s.task}") and not s.proofs]
    assert [title.partition(":")[0].removeprefix("Exercise ") for title in lacking] == PROVED_BELOW.get(number, [])
    assert all("$$" in s.after for s in solutions if s.title in lacking)
    assert all(str(solution) in solutions_text(number) for solution in solutions)


def test_the_command_prints_or_writes_solutions(tmp_path, capsys):
    for arguments in (["solutions", "3"], ["solutions", "3", "--out", str(tmp_path / "3.md")]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert not stop.value.code
    text = capsys.readouterr().out
    assert text == (tmp_path / "3.md").read_text(encoding="utf-8") == solutions_text(3)
    assert text.count("**On paper**") >= 8
