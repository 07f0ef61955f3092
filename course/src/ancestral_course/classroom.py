"""The table of a class: what the checker says of the files of all students in a folder."""

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from ancestral.base.result import Result
from ancestral.errors import InputError
from ancestral.results import Table
from ancestral_course import lesson_exercises
from ancestral_course.exercise import Verdict
from ancestral_course.judging import judge_file
from ancestral_course.lessons import LESSONS, Lesson, find_lesson, lesson_file
from ancestral_course.rules import AS_IN_LESSONS, Rules
from ancestral_course.solution_file import changed_names

SUFFIXES = (".py", ".ipynb")
NUMBER = re.compile(r"(?<!\d)0?(\d{1,2})(?!\d)")
"""The number of a lesson in the name of a file."""
VERDICTS: dict[bool | None, Literal["passed", "wrong", "not written"]] = {
    True: "passed", False: "wrong", None: "not written",
}  # fmt: skip
BEST = ("not written", "wrong", "passed")
"""Of several files that hold an exercise, the later of these counts."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The verdict on an exercise of a student, or the reason why a student or a file has none.

    Args:
        student: The name of the student: of the folder, or of the file without its lesson.
        lesson: The number of the lesson.
        exercise: The name of the exercise; None if the file could not be judged.
        verdict: "passed", "wrong", "not written", or "not judged" of a file.
        message: What the checker says.
    """

    student: str
    lesson: int | None = None
    exercise: str | None = None
    verdict: Literal["passed", "wrong", "not written", "not judged"]
    message: str

    def __str__(self) -> str:
        lesson = f", lesson {self.lesson}" if self.lesson else ""
        exercise = f", {self.exercise}" if self.exercise else ""
        return f"{self.student}{lesson}{exercise}: {self.verdict}: {self.message}"


@dataclass(frozen=True)
class ClassResult(Result):
    """The verdicts on the files of a class.

    Args:
        folder: The folder with the files.
        strict: Whether functions that reach solutions were refused.
        seed: The seed of the inputs; None if they are those of the lessons.
        marks: The verdicts, by student and lesson.
    """

    SCHEMA = "ancestral-course/class/1"

    folder: str
    strict: bool
    marks: tuple[Mark, ...]
    seed: int | None = None

    @property
    def complete(self) -> bool:
        """Whether no function is wrong, and every file could be judged."""
        return all(mark.verdict in ("passed", "not written") for mark in self.marks)

    def parts(self) -> Sequence[Table | str]:
        """Make the table of students and lessons, and the reasons of files that could not be judged."""
        lessons = sorted({mark.lesson for mark in self.marks if mark.lesson})
        students = list(dict.fromkeys(mark.student for mark in self.marks))
        rows = [[student, *(self._cell(student, lesson) for lesson in lessons)] for student in students]
        reasons = [str(mark) for mark in self.marks if mark.verdict == "not judged"]
        return [Table(["student", *(f"lesson {lesson}" for lesson in lessons)], rows), *reasons]

    def _cell(self, student: str, lesson: int) -> str:
        marks = [mark for mark in self.marks if (mark.student, mark.lesson) == (student, lesson)]
        if any(mark.exercise for mark in marks):
            return f"{sum(mark.verdict == 'passed' for mark in marks)}/{len(lesson_exercises(lesson))}"
        return "not judged" if marks else "-"


class _Work(NamedTuple):
    """The files of a student for a lesson."""

    student: str
    lesson: Lesson
    files: list[Path]


def judge_class(
    folder: Path,
    number: int | None = None,
    rules: Rules = AS_IN_LESSONS,
    report: Callable[[Mark], None] = lambda mark: None,
) -> ClassResult:
    """Check the files of all students in a folder.

    Args:
        folder: It holds a folder, or files, for each student. The number of a lesson in the name of a script or
            notebook says which lesson it is of; all names that `copy_lessons` gives have one.
        number: The lesson; None is for all that have files.
        rules: Whether functions may use solutions, and the seed of the inputs.
        report: Gets each verdict as soon as it is known, from several threads.

    Returns:
        The verdicts, by student and lesson. Of several files for a lesson, such as script and notebook, the better
        verdict on an exercise counts. A file that cannot be judged has a mark with the reason.

    Raises:
        InputError: There is no such folder or lesson, or the folder holds no files of students.
    """
    lessons = LESSONS if number is None else (find_lesson(number),)
    students = _students(folder)
    work = []
    marks = []
    for student, files in sorted(students.items()):
        of_lessons = {lesson: [file for file in files if _lesson_of(file) == lesson] for lesson in lessons}
        if number is not None and not of_lessons[lessons[0]]:  # a file of its own need not name the lesson
            of_lessons[lessons[0]] = [file for file in files if file.parent == folder and not _lesson_of(file)]
        work += [_Work(student, lesson, of_lesson) for lesson, of_lesson in of_lessons.items() if of_lesson]
        if not any(of_lessons.values()):
            wanted = f"lesson {number}" if number else "a lesson"
            marks.append(_reason(student, f"no script or notebook has the number of {wanted} in its name"))
            report(marks[-1])
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        judged = list(pool.map(lambda one: _judged(one, rules, report), work))
    marks += [mark for of_work in judged for mark in of_work]
    marks.sort(key=lambda mark: (mark.student, mark.lesson or 0))
    return ClassResult(str(folder), rules.strict, tuple(marks), rules.seed)


def _students(folder: Path) -> dict[str, list[Path]]:
    """The files of each student. Raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name the folder that holds a folder or a file for each student")
    students: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_dir():
            students.setdefault(entry.name, []).extend(_files(entry))
        elif entry.suffix in SUFFIXES:
            students.setdefault(_student_of(entry) or folder.absolute().name, []).append(entry)
    if not students:
        raise InputError(f"{folder} holds neither folders nor scripts or notebooks; name the folder of a class")
    return students


def _files(folder: Path) -> list[Path]:
    """Scripts and notebooks in a folder and those in it, without the hidden ones that Jupyter keeps."""
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        files += [Path(parent, name) for name in sorted(names)
                  if name.endswith(SUFFIXES) and not name.startswith(".")]  # fmt: skip
    return files


def _lesson_of(file: Path) -> Lesson | None:
    """The lesson whose number is in the name of a file."""
    for lesson in LESSONS:
        if lesson.stem in file.stem:
            return lesson
    numbers = [int(number) for number in NUMBER.findall(file.stem)]
    return next((lesson for number in numbers for lesson in LESSONS if lesson.number == number), None)


def _student_of(file: Path) -> str:
    """The name of the student in that of a file: what is left without the lesson."""
    lesson = _lesson_of(file)
    name = file.stem
    if lesson:
        name = name.replace(lesson.stem, "") if lesson.stem in name else NUMBER.sub("", name, count=1)
    return re.sub(r"(?i)\blesson\b|_lesson(?=_|$)|^lesson_?", "", name).strip(" _-.")


def _reason(student: str, text: str, lesson: int | None = None) -> Mark:
    return Mark(student=student, lesson=lesson, verdict="not judged", message=text)


def _judged(work: _Work, rules: Rules, report: Callable[[Mark], None]) -> list[Mark]:
    """The marks of a student for a lesson."""
    number, marks, reasons = work.lesson.number, dict[str, Mark](), list[Mark]()
    names = [exercise.name for exercise in lesson_exercises(number)]
    for file in work.files:
        try:
            changed = changed_names(file, names, lesson_file(work.lesson))
            unchanged = [Verdict(name, None, "not written yet") for name in names if name not in changed]
            verdicts = judge_file(number, file, changed, rules, subprocess.DEVNULL) if changed else ()
            for verdict in (*unchanged, *verdicts):
                mark = Mark(
                    student=work.student, lesson=number, exercise=verdict.name,
                    verdict=VERDICTS[verdict.passed], message=verdict.text,
                )  # fmt: skip
                if verdict.name in changed:
                    report(mark)
                if verdict.name not in marks or BEST.index(mark.verdict) > BEST.index(marks[verdict.name].verdict):
                    marks[verdict.name] = mark
        except (InputError, OSError) as error:
            reasons.append(_reason(work.student, str(error), number))
            report(reasons[-1])
    return [*(marks[name] for name in names if name in marks), *reasons]
