"""The course: its lessons, and the checker of its exercises."""

import contextlib
import dataclasses
import importlib
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ancestral.errors import InputError
from ancestral_course import passed, strictness
from ancestral_course.building import digits, in_floors, mnist_data, points
from ancestral_course.drawings import drawing
from ancestral_course.exercise import NOT_THERE, Exercise, Verdict
from ancestral_course.expectation import expect
from ancestral_course.figures import frame, mark_ends, plot, scatter, show
from ancestral_course.folded import folded_solution
from ancestral_course.lessons import LESSONS, Lesson, copy_lessons, find_lesson, lesson_file
from ancestral_course.rules import AS_IN_LESSONS, Rules
from ancestral_course.solution_file import defined_names, global_variables, lesson_constant, load_functions, sources_of
from ancestral_course.variants import variant

__version__ = "1.0.0"

__all__ = [
    "LESSONS",
    "Exercise",
    "Lesson",
    "Rules",
    "Verdict",
    "check",
    "check_file",
    "copy_lessons",
    "digits",
    "drawing",
    "expect",
    "find_lesson",
    "frame",
    "in_floors",
    "lesson_exercises",
    "lesson_file",
    "mark_ends",
    "mnist_data",
    "plot",
    "points",
    "scatter",
    "selected_exercises",
    "show",
]


def lesson_exercises(number: int) -> tuple[Exercise, ...]:
    """Return the exercises of a lesson, in its order. Raises InputError if there is no such lesson."""
    find_lesson(number)
    found: tuple[Exercise, ...] = importlib.import_module(f"ancestral_course.exercises.lesson_{number:02d}").EXERCISES
    return found


def selected_exercises(number: int, names: Sequence[str] = ()) -> list[Exercise]:
    """Return the exercises of a lesson that have these names, or belong to these methods of lesson 18.

    Args:
        number: The lesson.
        names: The names; without any all exercises are returned.

    Raises:
        InputError: The lesson has no such exercise.
    """
    exercises = lesson_exercises(number)
    methods = getattr(importlib.import_module(f"ancestral_course.exercises.lesson_{number:02d}"), "METHODS", {})
    known = {exercise.name: (exercise,) for exercise in exercises} | methods
    for name in names:
        if name not in known:
            raise InputError(f"lesson {number} has no exercise {name!r}; choose from {', '.join(known)}")
    chosen = [exercise for name in names for exercise in known[name]] if names else exercises
    return [exercise for exercise in exercises if exercise in chosen]


def check(number: int, function: Callable[..., Any]) -> Verdict:
    """Check a function against the exercise of a lesson that has its name.

    Args:
        number: The lesson.
        function: The function, with the name that the exercise gives it.

    Returns:
        The verdict; `print` shows it as one line. Its `function` is the one that a lesson goes on with: the student's
        if it passed, and else the solution of the lesson.

    Raises:
        InputError: The lesson has no exercise of this name.
    """
    named = {exercise.name: exercise for exercise in lesson_exercises(number)}
    name = getattr(function, "__name__", str(function))
    if name not in named:
        raise InputError(f"lesson {number} has no exercise {name!r}; its exercises are {', '.join(named)}")
    verdict = _judge(number, named[name], function)
    solution = None if verdict.passed else folded_solution(number, function)
    return dataclasses.replace(verdict, function=function if verdict.passed else solution)


def check_file(number: int, path: Path, names: Sequence[str] = (), rules: Rules = AS_IN_LESSONS) -> Iterator[Verdict]:
    """Check the exercises of a lesson in a student's file.

    Args:
        number: The lesson.
        path: A script, a copy of the lesson, or its notebook. Only what the functions need is executed.
        names: Names of exercises, or of methods of lesson 18; without any all exercises are checked.
        rules: Whether the functions may use solutions, and the seed of the inputs.

    Returns:
        A verdict for each exercise, in the order of the lesson, as soon as it is known. One that the file does not
        define is not written yet. What takes more than a second and passed is kept in a folder of the user (as
        downloads are), and not judged again until its source, the rules or the checker change.

    Raises:
        InputError: The file cannot be read or executed, or defines none of the exercises.
    """
    exercises = selected_exercises(number, names)
    lesson = lesson_file(find_lesson(number))
    defined = defined_names(path, [exercise.name for exercise in exercises], number)
    refused = {name: strictness.complaint(path, name, lesson) if rules.strict else "" for name in defined}
    taken = [name for name in defined if not refused[name]]
    with strictness.watched(path) if rules.strict else contextlib.nullcontext() as built_in:
        functions = load_functions(path, taken, lesson, built_in) if taken else {}

    def verdict(exercise: Exercise) -> Verdict:
        if refused.get(exercise.name):
            return Verdict(exercise.name, False, refused[exercise.name])
        if exercise.name not in functions:
            return Verdict(exercise.name, None, NOT_THERE)
        sources = sources_of(path, exercise.name, lesson)
        kept_file = passed.place(f"{number} {exercise.name}", [repr(rules), *sources]) if sources else None
        if kept_file and (text := passed.read(kept_file)):
            return Verdict(exercise.name, True, f"{text} (judged before)")
        began = time.perf_counter()
        with strictness.watched(path) if rules.strict else contextlib.nullcontext():
            found = _judge_by(rules, number, exercise, functions[exercise.name])
        if kept_file and found.passed and time.perf_counter() - began > passed.LONG:
            passed.keep(kept_file, found.text)
        return found

    return map(verdict, exercises)


def _judge_by(rules: Rules, number: int, exercise: Exercise, function: Callable[..., Any]) -> Verdict:
    """The verdict of a function: on the fixed inputs, which tell known mistakes apart, then on those of the seed."""
    if rules.seed is None or isinstance(exercise, Exercise):  # training runs are checked once
        verdict = _judge(number, exercise, function)
        if rules.seed is None or not verdict.passed:
            return verdict
    with variant(rules.seed):
        return _judge(number, exercise, function)


def _judge(number: int, exercise: Exercise, function: Callable[..., Any]) -> Verdict:
    """The verdict of a function. What is wrong outside it is named first: another T, or an exercise that it uses."""
    verdict = exercise.judge(function)
    if verdict.passed is not False:
        return verdict
    scope = getattr(inspect.unwrap(function), "__globals__", {}) if callable(function) else {}
    own, steps = scope.get("T"), lesson_constant(lesson_file(find_lesson(number)), "T")
    if isinstance(own, int) and isinstance(steps, int) and own != steps:
        return Verdict(exercise.name, None, f"the check needs T = {steps}; your file sets T = {own}")
    used = global_variables(function)
    for other in lesson_exercises(number):
        if other.name in used and other.name != exercise.name:
            passed = other.judge(used[other.name]).passed
            if not passed:
                state = "not written yet" if passed is None else "wrong"
                return Verdict(exercise.name, False, f"it uses {other.name}, which is {state}: begin with that one")
    return verdict
