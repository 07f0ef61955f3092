"""Hints for a wrong function that no known mistake explains.

Most functions of the exercises are linear in some of their arguments. Unit inputs give the factor of each, for the
function of the student and for the reference, and the hint names the factor that is off. Of any other function the hint
names the call that is wrong, what it returns there, and what it should return.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Function = Callable[..., Any]
MOST_CALLS = 12
"""Calls that are probed; an exercise that makes more has similar ones."""


@dataclass(frozen=True)
class Linear:
    """The arguments in which a function is linear, up to a constant term.

    Args:
        arguments: Names of all arguments in their order, such as "x_s, s, t, eps".
        inputs: Names of the linear ones. "now.x0" is a field of an argument. "weights[]" takes each row of an argument
            for an input of its own.
        at: Names of the arguments that a hint states beside a factor, such as the time; "b[t]" is an entry of a table.
        parts: Names of the values that the function returns, if there are several.
        size: Size of the unit inputs, small for a function that clips.
    """

    arguments: str
    inputs: str
    at: str = ""
    parts: str = ""
    size: float = 1.0


class Call(NamedTuple):
    """A call of a function: its arguments, and what it returned."""

    arguments: tuple[Any, ...]
    value: Any


class Recorded:
    """A function that keeps its calls with positional arguments."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.calls: list[Call] = []

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function."""
        value = self.function(*arguments, **options)
        self.calls.append(Call(arguments, value))
        return value


class _Place(NamedTuple):
    """A factor at one place: the function of the student, the reference, and whether they agree."""

    label: str
    found: float
    right: float
    agree: bool


class _Response(NamedTuple):
    """What one input adds to a part of the result: for an input of ones, and for one of random numbers."""

    ones: Tensor
    random: Tensor
    diagonal: bool


# -- factors ----------------------------------------------------------------------------------------------------------


def factor_hint(
    linear: Linear, student: Function, reference: Function, calls: Sequence[Call], close: Callable[..., bool]
) -> str:
    """Compare the factors of the inputs of two functions by unit inputs.

    Args:
        linear: The arguments in which the reference is linear.
        student: The function of the student. An exception that it raises for these inputs gives no hint.
        reference: The right function.
        calls: Calls whose other arguments are taken.
        close: Whether two tensors agree.

    Returns:
        What is off, at which time, by how much, and what is right; or "" if the function is not linear in these
        arguments, or all its factors are right.
    """
    names: list[str] = []
    columns: dict[tuple[str, str], list[_Place | float]] = {}
    try:
        for call in calls[:MOST_CALLS]:
            found, right = (_responses(linear, function, call) for function in (student, reference))
            if found is None or right is None:
                return ""
            for key, response in right.items():
                columns.setdefault(key, []).extend(_compared(linear, call, found[key], response, close))
            names = [*dict.fromkeys(name for name, _ in right)]
    except Exception:  # the results of the exercise are compared without these inputs
        return ""
    return _sentence(columns, names, linear)


def _names(text: str) -> list[str]:
    return text.split(", ") if text else []


def _inputs(linear: Linear, call: Call) -> dict[str, tuple[int, str, int | None]]:
    """The inputs of a call by their names: the place of the argument, its field, and its row."""
    found: dict[str, tuple[int, str, int | None]] = {}
    for name in _names(linear.inputs):
        argument, _, field = name.removesuffix("[]").partition(".")
        place = _names(linear.arguments).index(argument)
        if name.endswith("[]"):
            found |= {f"{argument}[{k}]": (place, field, k) for k in range(len(call.arguments[place]))}
        else:
            found[name] = (place, field, None)
    return found


def _shape(call: Call, place: int, field: str, row: int | None) -> tuple[int, ...]:
    value = getattr(call.arguments[place], field) if field else call.arguments[place]
    return tuple(np.shape(value) if row is None else np.shape(value)[1:])


def _evaluated(linear: Linear, function: Function, call: Call, values: dict[str, Tensor]) -> list[Tensor]:
    """The parts of the result with these inputs, and 0 for the others."""
    arguments = list(call.arguments)
    for name, (place, field, row) in _inputs(linear, call).items():
        old = getattr(arguments[place], field) if field else arguments[place]
        new = torch.as_tensor(old).clone()
        value = values[name].to(new.dtype) if name in values else torch.zeros((), dtype=new.dtype)
        if row is None:
            new[...] = value
        else:
            new[row] = value
        converted = new.numpy() if isinstance(old, np.ndarray) else new
        arguments[place] = dataclasses.replace(arguments[place], **{field: converted}) if field else converted
    result = function(*arguments)
    parts = result if linear.parts else [result]
    return [torch.as_tensor(part).detach().double() for part in parts]


def _responses(linear: Linear, function: Function, call: Call) -> dict[tuple[str, str], _Response] | None:
    """What each input adds to each part of the result, and the rest by the name ""; None if it is not linear."""
    generator = torch.Generator().manual_seed(0)
    inputs = _inputs(linear, call)
    shapes = {name: _shape(call, *place) for name, place in inputs.items()}
    random = {name: linear.size * torch.randn(shape, generator=generator).double() for name, shape in shapes.items()}
    ones = {name: torch.full(shape, linear.size).double() for name, shape in shapes.items()}

    def evaluate(values: dict[str, Tensor]) -> list[Tensor]:
        return _evaluated(linear, function, call, values)

    rest, together = evaluate({}), evaluate(random)
    parts = _names(linear.parts) or [""]
    added: list[Tensor] = [torch.zeros_like(part) for part in rest]
    found: dict[tuple[str, str], _Response] = {}
    for name in inputs:
        by_ones, by_random = evaluate({name: ones[name]}), evaluate({name: random[name]})
        by_both = evaluate({name: random[name] + 2 * ones[name]})
        for k, part in enumerate(parts):
            one, some = by_ones[k] - rest[k], by_random[k] - rest[k]
            if not _alike(by_both[k] - rest[k], some + 2 * one):
                return None
            added[k] = added[k] + some
            scaled = random[name] / linear.size
            diagonal = _broadcasts(scaled.shape, some.shape) and _alike(some, one * scaled)
            found[name, part] = _Response(one / linear.size, some / linear.size, diagonal)
    for k, part in enumerate(parts):
        if not _alike(together[k] - rest[k], added[k]):
            return None
        found["", part] = _Response(rest[k], rest[k], True)
    return found


def _broadcasts(small: Sequence[int], large: Sequence[int]) -> bool:
    """Whether a tensor of the first shape multiplies one of the second without changing its shape."""
    pairs = zip(reversed(small), reversed(large), strict=False)
    return len(small) <= len(large) and all(one in (1, other) for one, other in pairs)


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether two responses are equal up to rounding in 32 bits."""
    size = float(max(a.abs().max(), b.abs().max())) if a.numel() else 0.0
    return bool(torch.allclose(a, b, rtol=0, atol=1e-3 * size + 1e-9))


def _compared(
    linear: Linear, call: Call, found: _Response, right: _Response, close: Callable[..., bool]
) -> list[_Place | float]:
    """The factors of an input at each item of a call; where it has no factor, how far its contribution is off."""
    if not (found.diagonal and right.diagonal):
        agree = close(found.ones, right.ones) and close(found.random, right.random)
        return [0.0 if agree else float((found.random - right.random).abs().max())]
    items = range(len(found.ones)) if found.ones.ndim and _by_item(linear, call, len(found.ones)) else [None]
    places: list[_Place | float] = []
    for item in items:
        a, b = (value.ones if item is None else value.ones[item] for value in (found, right))
        difference = (a - b).abs()
        worst = int((difference if difference.any() else b.abs()).argmax())
        label = _label(linear, call, item)
        places.append(_Place(label, float(a.flatten()[worst]), float(b.flatten()[worst]), close(a, b)))
    return places


def _by_item(linear: Linear, call: Call, count: int) -> bool:
    """Whether an argument that the hint states has a value for each item."""
    return any(isinstance(value, Tensor) and value.shape == (count,) for value in _stated(linear, call).values())


def _label(linear: Linear, call: Call, item: int | None) -> str:
    """The arguments that the hint states, at an item: "s = 20, t = 300"."""
    return ", ".join(f"{name} = {shown(_of_item(value, item))}" for name, value in _stated(linear, call).items())


def _stated(linear: Linear, call: Call) -> dict[str, Any]:
    """The arguments, and entries of tables, that the hint states."""
    values = dict(zip(_names(linear.arguments), call.arguments, strict=False))
    found = {}
    for name in _names(linear.at):
        table, _, index = name.removesuffix("]").partition("[")
        found[name] = values[table][values[index]] if index else values[table]
    return found


def _of_item(value: Any, item: int | None) -> Any:
    return value[item] if item is not None and isinstance(value, Tensor) and value.ndim else value


def _sentence(columns: dict[tuple[str, str], list[_Place | float]], names: list[str], linear: Linear) -> str:
    """The hint: the wrong factors, at most two of them in numbers, and the right ones."""
    parts, inputs = _names(linear.parts) or [""], [name for name in names if name]
    wrong: list[tuple[str, str]] = []
    right: list[str] = []
    used = {part: any(_right(place) for name in inputs for place in columns[name, part]) for part in parts}
    whole = {(name, part): _whole(name, part, used[part], inputs) for part in parts for name in names}
    for part in parts:
        for name in names:
            column = columns[name, part]
            if not all(place == 0.0 if isinstance(place, float) else place.agree for place in column):
                wrong.append((name, part))
            elif any(_right(place) for place in column):
                right.append(whole[name, part])
    if not wrong:
        return ""
    if len(wrong) == 2 and _swapped(*(columns[key] for key in wrong)):
        clauses = [f"the factors of {wrong[0][0]} and {wrong[1][0]} are swapped"]
    else:
        clauses = [_clause(key, whole[key], columns[key], short=len(wrong) > 1) for key in wrong]
    others = len(clauses) - 2
    more = f"; {others} more {'is' if others == 1 else 'are'} off" if others > 0 else ""
    return "; ".join(clauses[:2]) + more + _right_ones(right)


def _right(place: "_Place | float") -> float:
    return place if isinstance(place, float) else place.right


def _whole(name: str, part: str, used: bool, inputs: list[str]) -> str:
    """The name of a factor, or of what the result holds besides the inputs."""
    if name:
        return f"the factor of {name} in {part}" if part else f"the factor of {name}"
    return part if part and not used else f"the term without {' and '.join(inputs[:2])}"


def _right_ones(right: list[str]) -> str:
    """What the hint says of the factors that are right."""
    if not right:
        return ""
    one = "the factor of "
    if len(right) == 1:
        return f". {right[0][0].upper()}{right[0][1:]} is right"
    if all(name.startswith(one) for name in right):
        names = [name.removeprefix(one) for name in right]
        return f". The factors of {', '.join(names[:-1])} and {names[-1]} are right"
    return f". {right[0][0].upper()}{', '.join(right[:-1])[1:]} and {right[-1]} are right"


def _clause(key: tuple[str, str], whole: str, column: list[_Place | float], short: bool) -> str:
    """What is off about one input."""
    places = [place for place in column if isinstance(place, _Place)]
    if len(places) < len(column):
        off = max((place for place in column if isinstance(place, float)), default=0.0)
        return f"what {key[0]} adds to {key[1] or 'the result'} differs by up to {shown(off)}"
    if all(place.found == 0 for place in places):
        return f"the term of {key[0]} is missing" if key[0] else f"{whole} is missing"
    worst = max((place for place in places if not place.agree), key=lambda place: abs(place.found - place.right))
    if all(place.right == 0 for place in places):
        return f"{whole} should be 0; it is {shown(worst.found)}{_at(worst)}"
    one, other = distinct(worst.found, worst.right)
    elsewhere = {place.label for place in places if not place.agree} | {""}
    agreeing = next((place for place in places if place.agree and place.label not in elsewhere), None)
    rest = f", and right{_at(agreeing)}" if agreeing and not short else ""
    return f"{whole} is off:{_at(worst)} it is {one}, not {other}{relation(places, worst)}{rest}"


def _at(place: _Place) -> str:
    return f" at {place.label}" if place.label else ""


def relation(places: Sequence[_Place], worst: _Place) -> str:
    """How the factors of the student follow from the right ones at all places, else their ratio at the worst one."""
    found = torch.tensor([place.found for place in places], dtype=torch.float64)
    right = torch.tensor([place.right for place in places], dtype=torch.float64)
    size, sign = right.abs(), right.sign()

    def equal(values: Tensor) -> bool:
        return bool(values.isfinite().all()) and torch.allclose(found, values, rtol=1e-3, atol=1e-9)

    if equal(-right):
        return " (the sign)"
    if equal(sign * size.square()):
        return " (its square)"
    if equal(sign * size.sqrt()):
        return " (its square root)"
    if equal(1 / right):
        return " (upside down)"
    if worst.right == 0:
        return ""
    several = len({round(value, 6) for value in right.tolist()}) > 1
    everywhere = several and equal(worst.found / worst.right * right)
    return _times(worst.found, worst.right, " everywhere" if everywhere else "")


def _times(found: float, right: float, where: str = "") -> str:
    """The ratio of two numbers, if it says something."""
    ratio = found / right if right else math.inf
    if abs(ratio + 1) < 1e-6:
        return f" (the sign{where})"
    return f" ({ratio:.3g} times{where})" if 0.01 < abs(ratio) < 100 and abs(ratio - 1) > 5e-3 else ""


def _swapped(one: list[_Place | float], two: list[_Place | float]) -> bool:
    """Whether each of two inputs has the factor of the other."""
    pairs = [*zip(one, two, strict=True)]
    return all(
        isinstance(a, _Place) and isinstance(b, _Place)
        and math.isclose(a.found, b.right, rel_tol=1e-4, abs_tol=1e-6)
        and math.isclose(b.found, a.right, rel_tol=1e-4, abs_tol=1e-6)
        for a, b in pairs
    )  # fmt: skip


# -- cases ------------------------------------------------------------------------------------------------------------


def case_hint(function: Function, calls: Sequence[Call], right: Sequence[Call], close: Callable[..., bool]) -> str:
    """Name the first call whose result is wrong, an entry of it, and how often the function is right.

    Args:
        function: The function of the student, whose names of the arguments the hint takes.
        calls: Its calls.
        right: The same calls of the reference.
        close: Whether two tensors agree.

    Returns:
        The hint, or "" if the calls cannot be compared.
    """
    try:
        pairs = [(_flat(a.value), _flat(b.value)) for a, b in zip(calls, right, strict=True)]
    except (TypeError, ValueError, RuntimeError):  # another number of calls, or values of another kind
        return ""
    if not pairs or any(not _comparable(*pair) for pair in pairs):
        return ""
    wrong = [k for k, pair in enumerate(pairs) if not all(close(a, b) for a, b in zip(*pair, strict=True))]
    if not wrong:
        return ""
    found, expected = (torch.cat([value.flatten() for pair in pairs for value in pair[side]]) for side in (0, 1))
    everywhere = _relation_everywhere(found, expected)
    part, (a, b) = max(
        enumerate(zip(*pairs[wrong[0]], strict=True)), key=lambda numbered: _off(*numbered[1]) / _size(*numbered[1])
    )
    worst = int((a - b).abs().argmax())
    entry = tuple(int(i) for i in np.unravel_index(worst, a.shape))
    one, other = distinct(float(a.flatten()[worst]), float(b.flatten()[worst]))
    result = f"value {part + 1} of the result" if len(pairs[wrong[0]][0]) > 1 else "the result"
    place = f"{result}[{', '.join(map(str, entry))}]" if a.numel() > 1 else result
    settings = _settings(function, calls[wrong[0]], entry, a.shape)
    given = f"for {settings}, " if settings else ""
    ratio = _times(float(a.flatten()[worst]), float(b.flatten()[worst]))
    text = f"{given}{place} is {one}, not {other}{everywhere or ratio}"
    if not everywhere and len(pairs) > 1 and len(wrong) < len(pairs):
        text += f"; {len(pairs) - len(wrong)} of {len(pairs)} calls give the right result"
    elif not everywhere and a.numel() > 1:
        agree = sum(close(x, y) for x, y in zip(a.flatten(), b.flatten(), strict=True))
        are = "is" if agree == 1 else "are"
        text += f"; {agree} of its {a.numel()} entries {are} right" if agree else "; none of its entries is right"
    return text


def _flat(value: Any) -> list[Tensor]:
    values = value if isinstance(value, tuple | list) else [value]
    return [torch.as_tensor(float(part) if isinstance(part, int) else part).detach().double() for part in values]


def _comparable(a: list[Tensor], b: list[Tensor]) -> bool:
    same = len(a) == len(b) and all(x.shape == y.shape and x.numel() > 0 for x, y in zip(a, b, strict=True))
    return same and all(bool((x.isfinite() & y.isfinite()).all()) for x, y in zip(a, b, strict=True))


def _off(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def _size(a: Tensor, b: Tensor) -> float:
    return float(b.abs().max()) + 1e-12


def _relation_everywhere(found: Tensor, right: Tensor) -> str:
    """How all results follow from the right ones, or ""."""

    def equal(values: Tensor) -> bool:
        return bool(values.isfinite().all()) and torch.allclose(found, values, rtol=1e-4, atol=1e-7)

    if len({round(value, 9) for value in right.tolist()}) < 2:
        return ""
    if equal(-right):
        return "; each result has the wrong sign"
    if equal(right.square()):
        return "; each result is the square of the right one"
    if bool((right >= 0).all()) and equal(right.sqrt()):
        return "; each result is the square root of the right one"
    if equal(1 / right):
        return "; each result is upside down"
    if equal(1 - right):
        return "; each result is 1 minus the right one"
    if bool((found == found[0]).all()):
        return "; it is the same whatever the arguments are"
    largest = int(right.abs().argmax())
    if equal(found[largest] / right[largest] * right):
        return f"; each result is {float(found[largest] / right[largest]):.3g} times the right one"
    shift = float(found[0] - right[0])
    if equal(right + shift):
        return f"; each result is {shown(abs(shift))} too {'large' if shift > 0 else 'small'}"
    return ""


def _settings(function: Function, call: Call, entry: tuple[int, ...], shape: Sequence[int]) -> str:
    """The arguments of a call that are numbers or words, or have a number for each entry of the result."""
    try:
        names = [*inspect.signature(function).parameters]
    except (TypeError, ValueError):
        return ""
    found = []
    for name, value in zip(names, call.arguments, strict=False):
        if isinstance(value, Tensor) and entry and value.shape == tuple(shape[:1]):
            found.append(f"{name} = {shown(value[entry[0]])}")
        elif isinstance(value, str | bool | int | float) or _is_pair(value) or _is_single(value):
            found.append(f"{name} = {shown(value)}")
    return ", ".join(found[:5])


def _is_pair(value: Any) -> bool:
    if not isinstance(value, tuple | list) or len(value) > 3:
        return False
    return all(isinstance(part, int | float) or _is_single(part) for part in value)


def _is_single(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


# -- numbers ----------------------------------------------------------------------------------------------------------


def shown(value: Any, digits: int = 3) -> str:
    """Write a number, a word, or a pair of numbers, with a few digits."""
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(shown(part, digits) for part in value)})"
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, bool | int) or (float(value).is_integer() and abs(value) < 1e6):
        return str(int(value)) if not isinstance(value, bool) else str(value)
    return f"{value:.{digits}g}"


def distinct(a: float, b: float) -> tuple[str, str]:
    """Write two numbers with as many digits as tell them apart."""
    for digits in range(3, 17):
        pair = shown(a, digits), shown(b, digits)
        if pair[0] != pair[1] and abs(float(pair[0]) - float(pair[1])) > 0.5 * abs(a - b):
            return pair
    return repr(a), repr(b)
