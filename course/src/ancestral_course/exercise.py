"""Exercises of the course: functions that a student writes, compared with a reference and with common mistakes.

An exercise evaluates a function on fixed inputs. The results are compared with those of the reference, which is the
package itself or a closed form. If they differ, they are compared with the results of known mistakes, and the hint of
the mistake that gives the same results is the answer. If none does, the function is probed: its factors, or its first
wrong result, are compared with those of the reference.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral_course.probing import Linear, Recorded, case_hint, factor_hint
from ancestral_course.time_limit import TimeLimit, time_limit

Function = Callable[..., Any]
STOPS = (Exception, SystemExit, TimeLimit)
"""What ends a function of a student before it returns."""

NOT_THERE = "not in the file"
NEGATIVE = " (the root of a negative number? A variance that you subtract is at most the one that it is taken from)"
ADVICE = {
    "math domain error": NEGATIVE,
    "expected a nonnegative input": NEGATIVE,
    "NoneType": " (is a function that it calls not written yet?)",
    "size of tensor": (
        " (do the shapes fit? A factor for each item, (B,), needs the shape (B, 1) for points and (B, 1, 1, 1) for "
        "images)"
    ),
    "can be converted to an index": " (a time for each item is a tensor: index the tables with it, without a loop)",
    "shape of the mask": " (the arguments broadcast: choose with torch.where, which does, too)",
    "is out of bounds": " (does your file change T? The check takes the times of the lesson's tables)",
    "division by zero": " (an argument may be 0: find a form that does not divide by it)",
    "Boolean value of Tensor": " (the tensor holds a value for each item: use torch.where in place of if)",
    "converted to Python scalars": " (math is for numbers; tensors have .sqrt(), .log(), .exp())",
    "on Tensor that requires grad": " (numpy knows no gradients, and training needs them: use torch)",
    "converted to Scalar": " (math is for numbers; tensors have .sqrt(), .log(), .exp())",
}
"""What to add to the message of an exception, by a part of it."""


class NotWritten(Exception):
    """The function of the student is still the stub that the lesson shows."""


class ChangedArgument(Exception):
    """The function of the student changed an argument that its caller needs again."""


class WrongForm(Exception):
    """What a function returned has another form than the exercise asks for."""


def values(found: Any, count: int, names: str) -> list[Any]:
    """Take apart what a function returned: a tuple, a list or a tensor of `count` values.

    Raises:
        WrongForm: If it is something else.
    """
    if not isinstance(found, tuple | list | Tensor) or len(found) != count:
        raise WrongForm(f"return {names}")
    return list(found)


class Counted:
    """A network, classifier or denoiser that counts its evaluations, whether it is called or its `predict` is."""

    def __init__(self, network: Any) -> None:
        self.network, self.evaluations = network, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def __call__(self, *arguments: Any) -> Any:
        """Evaluate a network."""
        self.evaluations += 1
        return self.network(*arguments)

    def predict(self, *arguments: Any, **condition: Any) -> Any:
        """Evaluate a denoiser."""
        self.evaluations += 1
        return self.network.predict(*arguments, **condition)

    def needless(self, enough: int) -> str:
        """The hint for more evaluations than are enough, or ""."""
        if self.evaluations <= enough:
            return ""
        pair = " (x0, eps = denoiser.predict(x, t) is one evaluation)" if hasattr(self.network, "predict") else ""
        return (
            f"right, but it evaluates the network {self.evaluations} times, where {enough} would do. Evaluations are "
            f"what costs time: keep the answer of each in a variable{pair}"
        )


def lost_gradient(function: Function, reference: Function, leaf: Tensor) -> str:
    """Compare the gradients of two functions whose values agree.

    Args:
        function: The function of the student, of `leaf`.
        reference: The right function.
        leaf: The weights or the network's answer, which training differentiates with respect to.

    Returns:
        The hint if the gradient is lost or another one, or "".
    """
    leaf = leaf.detach().requires_grad_()
    value, right = function(leaf), reference(leaf)
    if not isinstance(value, Tensor):
        return (
            "right, but a Python number has no gradient: return the tensor, without .item(), so that it can be trained"
        )
    if not value.requires_grad:
        return (
            "right, but the gradient is lost: training needs it, so use no torch.no_grad(), .detach(), .data or numpy"
        )
    # squares, since the sum of all elements is the same for any order of them
    found, expected = (torch.autograd.grad(v.square().sum(), leaf, allow_unused=True)[0] for v in (value, right))
    if found is None or not torch.allclose(found, expected, rtol=1e-3, atol=1e-5):
        return "right, but its gradient is not: a part of the result was detached, or has no finite derivative"
    return ""


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
        demand: A check of a function whose results are right: of its gradient, or the number of its evaluations of a
            network. Returns the hint, or "" if the demand is met.
        linear: The arguments in which the function is linear: a wrong result that no mistake explains is answered with
            the factor that is off.
    """

    name: str
    task: str
    reference: Function
    results: Callable[[Function], Sequence[Any]]
    mistakes: Mapping[str, Function]
    rtol: float = 1e-4
    atol: float = 1e-5
    rounding: float = 0.0
    demand: Callable[[Function], str] | None = None
    linear: Linear | None = None

    def judge(self, function: Function) -> "Verdict":
        """Compare a function with the reference; see `judge`."""
        return judge(self, function)


@dataclass(frozen=True)
class Verdict:
    """What the checker says of one function; `str` is one line.

    Args:
        name: The name of the function.
        passed: True if it is right, False if it is wrong, None if it is not written yet.
        text: The hint, or what is right about it.
        function: The function to go on with, where `check` gives one: the student's if it is right, else the solution.
    """

    name: str
    passed: bool | None
    text: str
    function: Function | None = None

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
    if not callable(function):
        return no_function(exercise.name, function)
    reference = list(exercise.results(exercise.reference))
    right = [_tensor(value) for value in reference]
    student = _written(function)
    try:
        with time_limit():
            found = list(exercise.results(student))
    except NotWritten as stub:
        return Verdict(exercise.name, None, str(stub))
    except (ChangedArgument, WrongForm) as complaint:
        return Verdict(exercise.name, False, str(complaint))
    except STOPS as error:
        return stopped(exercise.name, error)
    if len(found) != len(right):
        return Verdict(exercise.name, False, "return as many values as the text of the exercise names")
    for value, expected in zip(found, reference, strict=True):
        if wrong := _wrong_kind(value, expected):
            return Verdict(exercise.name, False, wrong)
    numbers = [_tensor(value) for value in found]
    if _same(numbers, right, exercise):
        return _demanded(exercise, student, "right")
    for hint, mistake in exercise.mistakes.items():
        if _same(_marked(numbers), _marked([_tensor(value) for value in exercise.results(mistake)]), exercise):
            return Verdict(exercise.name, False, hint)
    off = _largest(numbers, right)
    if off < exercise.rounding:
        return _demanded(exercise, student, "right, up to rounding: take differences from 1 in float64, then cast")
    try:
        with time_limit():
            again = [_tensor(value) for value in exercise.results(_written(function))]
            text = _unexplained(numbers, right, again) or _probed(exercise, function, off)
    except TimeLimit:  # for the inputs that probe it; for those of the exercise it did end
        text = _general(off)
    return Verdict(exercise.name, False, text)


def _demanded(exercise: Exercise, student: Function, text: str) -> Verdict:
    """The verdict of a function with right results, which has to meet the demand of the exercise as well."""
    try:
        with torch.enable_grad(), time_limit():  # also where a lesson is run without gradients
            complaint = exercise.demand(student) if exercise.demand else ""
    except (ChangedArgument, WrongForm) as wrong:
        return Verdict(exercise.name, False, str(wrong))
    except STOPS as error:
        return stopped(exercise.name, error)
    return Verdict(exercise.name, not complaint, complaint or text)


def stopped(name: str, error: BaseException) -> Verdict:
    """Return the verdict of a function that raised an exception, or was ended."""
    if isinstance(error, TimeLimit):
        return Verdict(name, False, str(error))
    advice = next((advice for part, advice in ADVICE.items() if part in str(error)), "")
    return Verdict(name, False, f"the function stopped with {one_line(error)}{advice}")


def no_function(name: str, value: Any) -> Verdict:
    """Return the verdict of a name that stands for something else than a function."""
    return Verdict(name, False, f"this name is of type {type(value).__name__}; make it a function")


def _unexplained(numbers: Sequence[Tensor], right: Sequence[Tensor], again: Sequence[Tensor]) -> str:
    """What the results alone say of a wrong function, or ""."""
    if not all(torch.equal(a, b) for a, b in zip(numbers, again, strict=True) if not a.isnan().any()):
        return "two calls with the same arguments give different results; use the arguments, draw no random numbers"
    if any(value.isnan().any() for value in numbers):
        return "some results are not a number (NaN): the root or logarithm of a negative number, or 0/0"
    if any(value.isinf().any() for value in numbers):
        return "some results are infinite: a division by 0, or the logarithm of 0"
    if all((a - b).abs().max() < 1e-4 * b.abs().max() for a, b in zip(numbers, right, strict=True)):
        return (
            f"the result is off by up to {_largest(numbers, right):.3g}; so small a difference comes from 32-bit "
            "floats (convert to float64 first), a neighbouring index, or a term that is small itself"
        )
    return ""


def _largest(numbers: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """The largest difference of two lists of results; NaN if one of them is."""
    differences = [(value - expected).abs().max() for value, expected in zip(numbers, right, strict=True)]
    return float(torch.stack(differences).max())


def _probed(exercise: Exercise, function: Function, off: float) -> str:
    """What other inputs, or single calls, say of a function whose results no known mistake gives."""

    def close(a: Tensor, b: Tensor) -> bool:
        return torch.allclose(a, b, rtol=exercise.rtol, atol=exercise.atol)

    def near(a: Tensor, b: Tensor) -> bool:
        """For factors, which lose digits in float32 as a result does."""
        return torch.allclose(a, b, rtol=exercise.rtol, atol=max(exercise.atol, exercise.rounding))

    student, reference = Recorded(_written(function)), Recorded(exercise.reference)
    exercise.results(reference)
    hint = ""
    if exercise.linear:
        hint = factor_hint(exercise.linear, student.function, exercise.reference, reference.calls, near)
    if not hint:
        exercise.results(student)
        hint = case_hint(function, student.calls, reference.calls, close)
    return hint or _general(off)


def _general(off: float) -> str:
    """What is said of a wrong function if nothing more is known of it."""
    return f"the result is off by up to {off:.3g}; compare each factor, sign and index with the text of the lesson"


def one_line(error: BaseException) -> str:
    """Format an error as one line of at most 200 characters: its type and its message."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return text if len(text) <= 200 else f"{text[:199]}…"


def _written(function: Function) -> Function:
    """The function, with an exception in place of the value of a stub, and where it changes its arguments.

    It gets copies of its arguments: a function that changes them in place must not change those of the next call.
    """

    def call(*arguments: Any, **options: Any) -> Any:
        copies = [_copy(argument) for argument in arguments]
        option_copies = {name: _copy(option) for name, option in options.items()}
        value = function(*copies, **option_copies)
        if value is None or value is ...:
            raise NotWritten(f"not written yet (the function returns {value})")
        names = [*_parameters(function, len(copies)), *options]
        pairs = zip(names, [*copies, *option_copies.values()], [*arguments, *options.values()], strict=True)
        changed = next((name for name, copy, argument in pairs if not unchanged(copy, argument)), None)
        if changed:
            raise ChangedArgument(f"{changed} was changed in place. Return new values: the caller needs it again")
        return value

    return call


def _parameters(function: Function, count: int) -> list[str]:
    """The names that a function has for its first arguments."""
    try:
        names = [f"the argument {name}" for name in inspect.signature(function).parameters]
    except (TypeError, ValueError):
        names = []
    return [*names[:count], *["an argument"] * (count - len(names))]


def unchanged(value: Any, before: Any) -> bool:
    """Tell whether a value has the numbers that it had before, of which some may be NaN."""
    if isinstance(before, Tensor | np.ndarray):
        one, other = np.asarray(_detached(value)), np.asarray(_detached(before))
        return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    if type(before) in (list, tuple):
        return len(value) == len(before) and all(map(unchanged, value, before))
    if type(before) is dict:
        return value.keys() == before.keys() and all(unchanged(value[name], before[name]) for name in before)
    if dataclasses.is_dataclass(before) and not isinstance(before, type):
        return all(unchanged(getattr(value, field.name), getattr(before, field.name)) for field in _fields(before))
    return True


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _fields(value: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that its constructor takes."""
    return [field for field in dataclasses.fields(value) if field.init]


def _tensor(value: Any) -> Tensor:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return torch.as_tensor(float(value) if number else value).detach().double()


def _copy(value: Any) -> Any:
    """A copy of tensors and arrays, and of containers of them, such as a prediction; else the value itself."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) is dict:
        return {name: _copy(one) for name, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_copy, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{field.name: _copy(getattr(value, field.name)) for field in _fields(value)})
    return value


def _wrong_kind(value: Any, expected: Any) -> str:
    """What is wrong with the type or the shape of a result, or ""."""
    shape = tuple(torch.as_tensor(expected).shape)
    if not isinstance(value, Tensor):
        wanted = "a number" if not shape else f"a tensor of shape {shape}"
        numeric = not shape and isinstance(value, Real)  # also of numpy, and fractions
        right = numeric and (isinstance(expected, bool) or not isinstance(value, bool))
        return "" if right else f"return {wanted}, not {type(value).__name__}"
    if value.is_complex():
        return f"return real numbers, not complex ones{NEGATIVE}"
    if value.layout != torch.strided or value.is_meta:
        return "return a dense tensor with values"
    return "" if value.shape == shape else f"return a tensor of shape {shape}, not {tuple(value.shape)}"


def _marked(numbers: Sequence[Tensor]) -> list[Tensor]:
    """Numbers with NaN for infinite ones: which of them a division by 0 gives is a matter of rounding."""
    return [torch.where(value.isfinite(), value, math.nan) for value in numbers]


def _same(numbers: Sequence[Tensor], others: Sequence[Tensor], exercise: Exercise) -> bool:
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=exercise.rtol, atol=exercise.atol, equal_nan=True)
        for a, b in zip(numbers, others, strict=True)
    )
