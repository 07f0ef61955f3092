"""The course: its lessons, and the checker of its exercises."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ancestral.errors import InputError
from ancestral_course.building import digits, in_floors, mnist_data, points
from ancestral_course.drawings import drawing
from ancestral_course.exercise import Exercise, Verdict
from ancestral_course.expectation import expect
from ancestral_course.figures import frame, mark_ends, plot, scatter, show
from ancestral_course.lessons import LESSONS, Lesson, copy_lessons, find_lesson, lesson_file
from ancestral_course.solution_file import global_variables, lesson_constant, load_functions

__version__ = "0.2.0"

__all__ = [
    "LESSONS",
    "Exercise",
    "Lesson",
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
    "show",
]


def lesson_exercises(number: int) -> tuple[Exercise, ...]:
    """Return the exercises of a lesson, in its order. Raises InputError if there is no such lesson."""
    find_lesson(number)
    found: tuple[Exercise, ...] = importlib.import_module(f"ancestral_course.exercises.lesson_{number:02d}").EXERCISES
    return found


def check(number: int, function: Callable[..., Any]) -> Verdict:
    """Check a function against the exercise of a lesson that has its name.

    Args:
        number: The lesson.
        function: The function, with the name that the exercise gives it.

    Returns:
        The verdict; `print` shows it as one line.

    Raises:
        InputError: The lesson has no exercise of this name.
    """
    named = {exercise.name: exercise for exercise in lesson_exercises(number)}
    name = getattr(function, "__name__", str(function))
    if name not in named:
        raise InputError(f"lesson {number} has no exercise {name!r}; its exercises are {', '.join(named)}")
    return _judge(number, named[name], function)


def check_file(number: int, path: Path) -> list[Verdict]:
    """Check all exercises of a lesson in a student's file.

    Args:
        number: The lesson.
        path: A script, a copy of the lesson, or its notebook. Only what the functions need is executed.

    Returns:
        A verdict for each exercise, in the order of the lesson. One that the file does not define is not written yet.

    Raises:
        InputError: The file cannot be read or executed, or defines no exercise of the lesson.
    """
    asked = lesson_exercises(number)
    names = [exercise.name for exercise in asked]
    functions = load_functions(path, names, lesson_file(find_lesson(number)))
    if not functions:
        raise InputError(f"{path} defines no exercise of lesson {number}; its exercises are {', '.join(names)}")
    return [
        _judge(number, exercise, functions[exercise.name])
        if exercise.name in functions
        else Verdict(exercise.name, None, "not in the file")
        for exercise in asked
    ]


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
