"""The course: its lessons, and the checker of its exercises."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ancestral.course.exercise import Exercise, Verdict, judge
from ancestral.course.expectation import expect
from ancestral.course.figures import plot, scatter, show
from ancestral.course.lessons import LESSONS, Lesson, copy_lessons, find_lesson, lesson_file
from ancestral.course.solution_file import load_functions
from ancestral.errors import InputError

__all__ = [
    "LESSONS",
    "Exercise",
    "Lesson",
    "Verdict",
    "check",
    "check_file",
    "copy_lessons",
    "expect",
    "find_lesson",
    "lesson_exercises",
    "lesson_file",
    "plot",
    "scatter",
    "show",
]


def lesson_exercises(number: int) -> tuple[Exercise, ...]:
    """Return the exercises of a lesson, in its order. Raises InputError if there is no such lesson."""
    find_lesson(number)
    found: tuple[Exercise, ...] = importlib.import_module(f"ancestral.course.exercises.lesson_{number:02d}").EXERCISES
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
    return judge(named[name], function)


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
        judge(exercise, functions[exercise.name])
        if exercise.name in functions
        else Verdict(exercise.name, None, "not in the file")
        for exercise in asked
    ]
