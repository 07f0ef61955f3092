"""The solutions that a lesson folds below its checks, as functions."""

import inspect
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def folded_solution(lesson: Path, function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the solution of the exercise whose name a function has.

    Args:
        lesson: The script of the lesson.
        function: The function of the student. The solution takes the global variables that it has, so that it fits the
            settings of the student's copy of the lesson.

    Returns:
        The solution, or None if the lesson has none of this name.
    """
    codes = _solutions(lesson)
    if not any(f"def {function.__name__}(" in code for code in codes):
        return None
    scope = dict(getattr(inspect.unwrap(function), "__globals__", {}))
    exec("\n".join(codes), scope)  # all of them, since a solution may call that of another exercise
    solution: Callable[..., Any] = scope[function.__name__]
    return solution


@cache
def _solutions(lesson: Path) -> tuple[str, ...]:
    """The codes of the solutions of a lesson, in its order."""
    text = re.sub(r"^# ?", "", lesson.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return tuple(re.findall(r"<summary>Solution</summary>.*?```python\n(.*?)```", text, re.DOTALL))
