"""The solutions that a lesson folds below its checks, as functions."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from ancestral_course.solutions import lesson_solutions


def folded_solution(number: int, function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the solution of the exercise whose name a function has.

    Args:
        number: The lesson.
        function: The function of the student. The solution takes the global variables that it has, so that it fits the
            settings of the student's copy of the lesson.

    Returns:
        The solution, or None if the lesson has none of this name, or it needs what the student's file does not import.
    """
    codes = _codes(number)
    if not any(f"def {function.__name__}(" in code for code in codes):
        return None
    scope = dict(getattr(inspect.unwrap(function), "__globals__", {}))
    try:
        exec("\n".join(codes), scope)  # all of them, since a solution may call that of another exercise
    except NameError:
        return None
    solution: Callable[..., Any] = scope[function.__name__]
    return solution


@cache
def _codes(number: int) -> list[str]:
    """The codes of the solutions of a lesson, in its order."""
    return [solution.code for solution in lesson_solutions(number) if solution.code]
