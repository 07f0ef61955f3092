"""Exercises of the course: functions that a student writes, compared with a reference and with common mistakes.

An exercise evaluates a function on fixed inputs. The results are compared with those of the reference, which is the
package itself or a closed form. If they differ, they are compared with the results of known mistakes, and the hint of
the mistake that gives the same results is the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]


class NotWritten(Exception):
    """The function of the student is still the stub that the lesson shows."""


@dataclass(frozen=True)
class Exercise:
    """A function to write, and what it is compared with.

    Args:
        name: The name of the function.
        task: What the function computes, in one sentence.
        reference: A right function.
        results: Evaluates a function on fixed inputs. Returns a sequence of tensors or numbers, the same each time that
            it is called with the same function.
        mistakes: Wrong functions by the hint that names what is wrong with them. The first whose results are those of
            the student is the answer.
        rtol: Largest relative difference between the results and those of the reference.
        atol: Largest absolute difference, added to the relative one.
        rounding: Largest absolute difference of a right result that lost digits in float32. It passes with a note.
    """

    name: str
    task: str
    reference: Function
    results: Callable[[Function], Sequence[Any]]
    mistakes: Mapping[str, Function]
    rtol: float = 1e-4
    atol: float = 1e-5
    rounding: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What the checker says of one function; `str` is one line.

    Args:
        name: The name of the function.
        passed: True if it is right, False if it is wrong, None if it is not written yet.
        text: The hint, or what is right about it.
    """

    name: str
    passed: bool | None
    text: str

    def __str__(self) -> str:
        sign = "…" if self.passed is None else "✓" if self.passed else "✗"
        return f"{sign} {self.name}: {self.text}"


def judge(exercise: Exercise, function: Function) -> Verdict:
    """Compare a function with the reference of an exercise.

    Args:
        exercise: The exercise.
        function: The function of a student. Exceptions that it raises end in the verdict.

    Returns:
        The verdict, with a hint if the function is wrong.
    """
    right = [_tensor(value) for value in exercise.results(exercise.reference)]
    try:
        found = list(exercise.results(_written(function)))
    except NotWritten as stub:
        return Verdict(exercise.name, None, str(stub))
    except Exception as error:
        advice = " (is a function that it calls not written yet?)" if "NoneType" in str(error) else ""
        advice = " (do the shapes of the factors fit? print them)" if "size of tensor" in str(error) else advice
        return Verdict(exercise.name, False, f"the function stopped with {type(error).__name__}: {error}{advice}")
    for value, expected in zip(found, right, strict=True):
        complaint = _wrong_kind(value, expected)
        if complaint:
            return Verdict(exercise.name, False, complaint)
    numbers = [_tensor(value) for value in found]
    if _same(numbers, right, exercise):
        return Verdict(exercise.name, True, "right")
    for hint, mistake in exercise.mistakes.items():
        if _same(numbers, [_tensor(value) for value in exercise.results(mistake)], exercise):
            return Verdict(exercise.name, False, hint)
    off = max(float((value - expected).abs().max()) for value, expected in zip(numbers, right, strict=True))
    if off < exercise.rounding:
        return Verdict(exercise.name, True, "right, up to rounding: take differences from 1 in float64, then cast")
    advice = "compare each factor, sign and index with the text of the lesson"
    return Verdict(exercise.name, False, f"the result is off by up to {off:.3g}; {advice}")


def _written(function: Function) -> Function:
    """The function, with an exception in place of the value of a stub."""

    def call(*arguments: Any, **options: Any) -> Any:
        value = function(*arguments, **options)
        if value is None or value is ...:
            raise NotWritten(f"not written yet (the function returns {value})")
        return value

    return call


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().double()


def _wrong_kind(value: Any, expected: Tensor) -> str:
    """What is wrong with the type or the shape of a result, or ""."""
    if isinstance(value, Tensor):
        if value.shape == expected.shape:
            return ""
        return f"return a tensor of shape {tuple(expected.shape)}, not {tuple(value.shape)}"
    if expected.ndim == 0:
        return "" if isinstance(value, int | float) else f"return a number, not {type(value).__name__}"
    return f"return a tensor of shape {tuple(expected.shape)}, not {type(value).__name__}"


def _same(numbers: Sequence[Tensor], others: Sequence[Tensor], exercise: Exercise) -> bool:
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=exercise.rtol, atol=exercise.atol, equal_nan=True)
        for a, b in zip(numbers, others, strict=True)
    )
