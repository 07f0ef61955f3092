"""Expected values of a lesson, stated in place of assertions: a changed lesson goes on, and prints both values."""

import ast
import contextlib
import inspect
import io
import linecache
from collections.abc import Mapping
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from ancestral_course.lessons import LESSONS, lesson_file
from ancestral_course.probing import distinct, shown
from ancestral_course.solution_file import lesson_constant

SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
LONGEST = 70
"""Characters of a value that is printed."""
NARROW = 0.1
"""Widest interval, relative to its middle, that is printed as one number."""


class _Unclear(Exception):
    """The condition has no form of which values can be stated."""


def expect(condition: object) -> None:
    """Print what a lesson expects, and what came out, if a condition does not hold. The lesson goes on.

    `course.expect(0.945 < rms < 0.955)` prints "Unlike the lesson, rms: 0.95 in our run; yours 0.39". The measured
    parts of the condition are evaluated again for it, and PyTorch's random numbers go on as if they were not. Where the
    source of the condition cannot be found, or its form is another one, the condition itself is printed. If T is not
    that of the lesson, the line says so.

    Args:
        condition: A truth value, which is true with the settings of the lesson.
    """
    if condition:
        return
    frame = inspect.currentframe()
    caller = frame.f_back if frame else None
    source = _source(caller) if caller else ""
    if caller is None or not source:
        print("Unlike the lesson, where this holds: (a condition of this cell)")
        return
    scope = {**caller.f_globals, **caller.f_locals}
    try:
        node = ast.parse(source, mode="eval").body
        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]):
            holds = _evaluated(node, scope)  # what is random may hold now
        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]):
            text = "" if holds else "; ".join(_statements(node, scope))
    except Exception:  # whatever the expression does when it is evaluated again, the lesson goes on
        text = ""
    print(f"Unlike the lesson, {text or f'where this holds: {source}'}{_other_steps(source, scope)}")


def _source(frame: FrameType) -> str:
    """The source of the condition in the call that a frame is at, in one line; "" if it cannot be found."""
    place = inspect.getframeinfo(frame).positions
    if place is None or place.lineno is None or place.end_lineno is None:
        return ""
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)[place.lineno - 1 : place.end_lineno]
    if not lines or place.col_offset is None or place.end_col_offset is None:
        return ""
    encoded = [line.encode() for line in lines]  # columns are counted in bytes
    encoded[-1] = encoded[-1][: place.end_col_offset]
    encoded[0] = encoded[0][place.col_offset :]
    try:
        call = ast.parse(b"".join(encoded).decode(), mode="eval").body
    except (SyntaxError, UnicodeDecodeError):
        return ""
    return ast.unparse(call.args[0]) if isinstance(call, ast.Call) and call.args else ""


def _other_steps(source: str, scope: Mapping[str, Any]) -> str:
    """What to say of a T that is not that of the lesson in which this condition stands."""
    steps = scope.get("T")
    if not isinstance(steps, int):
        return ""
    for lesson in LESSONS:
        conditions, own = _conditions(lesson.number)
        if source in conditions and isinstance(own, int) and own != steps:
            return f" (your T is {steps}, ours {own})"
    return ""


def _conditions(number: int) -> tuple[set[str], Any]:
    """The conditions that a lesson expects, and its T."""
    path = lesson_file(LESSONS[number - 1])
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "expect"]
    return {ast.unparse(call.args[0]) for call in named if call.args}, lesson_constant(path, "T")


# -- statements -------------------------------------------------------------------------------------------------------


def _statements(node: ast.expr, scope: Mapping[str, Any], note: str = "") -> list[str]:
    """What the parts of a condition that do not hold should be, and are. Raises _Unclear for another form."""
    if isinstance(node, ast.BoolOp):
        parts = [part for part in node.values if not _evaluated(part, scope)]
        if isinstance(node.op, ast.Or):  # QUICK or a comparison: the one that compares says more
            parts = [*filter(_compares, parts)][:1]
        return [text for part in parts for text in _statements(part, scope, note)]
    if isinstance(node, ast.IfExp):
        return _statements(node.body if _evaluated(node.test, scope) else node.orelse, scope, note)
    if isinstance(node, ast.Compare):
        return [_comparison(node, scope, note)]
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "all" and len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp | ast.ListComp):
            return _first_that_fails(node.args[0], scope)
        if name in ("allclose", "isclose", "equal") and len(node.args) >= 2:
            return [_closeness(node, scope, note)]
        if name == "bool" and len(node.args) == 1:
            return _statements(node.args[0], scope, note)
        if name == "all" and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Compare):
            return [_share(node.func.value, scope, note)]
    raise _Unclear


def _compares(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare)


def _evaluated(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "condition", "eval"), dict(scope))


def _number(node: ast.expr) -> float | None:
    """The value of an expression of numbers alone, or None."""
    if any(not isinstance(part, ast.Constant | ast.UnaryOp | ast.BinOp | ast.operator | ast.unaryop)
           for part in ast.walk(node)):  # fmt: skip
        return None
    value = _evaluated(node, {})
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _value(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """The value of a measured part: a number if it is a tensor of one element."""
    value = _evaluated(node, scope)
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    return float(value) if hasattr(value, "dtype") and getattr(value, "shape", None) == () else value


def _written(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return shown(value)
    text = str(value.tolist() if isinstance(value, Tensor) else value)
    if len(text) > LONGEST or "\n" in text:
        raise _Unclear
    return text


def _comparison(node: ast.Compare, scope: Mapping[str, Any], note: str) -> str:
    """What a chain of comparisons compares, its bounds, and its value."""
    operands = [node.left, *node.comparators]
    numbers = [_number(operand) for operand in operands]
    measured = [k for k, number in enumerate(numbers) if number is None]
    signs = [SIGNS.get(type(operator), "") for operator in node.ops]
    if not all(signs):
        raise _Unclear
    if len(measured) == 1 and all(sign in "<=" or sign in ">=" for sign in signs):
        k = measured[0]
        pair = _difference(operands[k])
        if pair and len(operands) == 2 and signs[0][0] == ("<" if k == 0 else ">"):
            return _nearness(*pair, scope, note)
        low, high = _bounds(numbers, signs, k)
        name, value = ast.unparse(operands[k]), _value(operands[k], scope)
        return f"{name}{note}: {_interval(low, high)} in our run; yours {_written(value)}"
    if signs == ["=="] and _is_literal(operands[1]):
        expected, yours = _written(_evaluated(operands[1], scope)), _written(_value(operands[0], scope))
        return f"{ast.unparse(operands[0])}{note}: {expected} in our run; yours {yours}"
    values = [_written(_value(operand, scope)) for operand in operands]
    yours = " and ".join(values) if signs == ["=="] else ", ".join(values[k] for k in measured)
    return f"{ast.unparse(node)}{note} in our run; yours {yours}"


def _difference(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """A and B of an expression abs(A − B), or None."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "abs" and node.args:
        inner = node.args[0]
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub):
            return inner.left, inner.right
    return None


def _nearness(left: ast.expr, right: ast.expr, scope: Mapping[str, Any], note: str) -> str:
    """What abs(A − B) compares: A with a number, or two results with each other."""
    one = _value(left, scope)
    if (number := _number(right)) is not None:
        return f"{ast.unparse(left)}{note}: {shown(number)} in our run; yours {_written(one)}"
    pair = " and ".join(distinct(float(one), float(_value(right, scope))))
    return f"{ast.unparse(left)} and {ast.unparse(right)}{note}: nearly the same in our run; yours {pair}"


def _bounds(numbers: list[float | None], signs: list[str], k: int) -> tuple[float | None, float | None]:
    """The bounds that a chain a < x < b or a > x > b sets for its operand k."""
    before, after = (numbers[k - 1] if k else None), (numbers[k + 1] if k + 1 < len(numbers) else None)
    rising = signs[0].startswith("<")
    return (before, after) if rising else (after, before)


def _interval(low: float | None, high: float | None) -> str:
    """An interval in words: one number if it is narrow."""
    if low is None or high is None:
        return f"more than {shown(low)}" if high is None else f"less than {shown(high)}"
    middle = (low + high) / 2
    if high - low <= NARROW * abs(middle):
        for digits in range(1, 9):
            rounded = float(f"{middle:.{digits}g}")
            if low < rounded < high:
                return shown(rounded, digits)
    return f"{shown(low)} to {shown(high)}"


def _is_literal(node: ast.expr) -> bool:
    """Whether an expression holds constants alone."""
    kinds = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.unaryop, ast.expr_context)
    return all(isinstance(part, kinds) for part in ast.walk(node))


def _closeness(node: ast.Call, scope: Mapping[str, Any], note: str) -> str:
    """How far two results are apart that should be equal."""
    one, other = (torch.as_tensor(_evaluated(part, scope)).double() for part in node.args[:2])
    names = f"{ast.unparse(node.args[0])} and {ast.unparse(node.args[1])}{note}"
    if one.numel() == other.numel() == 1:
        return f"{names}: the same in our run; yours {' and '.join(distinct(float(one), float(other)))}"
    apart = float((one - other).abs().max())
    return f"{names}: the same in our run; yours differ by up to {shown(apart)}"


def _share(node: ast.Compare, scope: Mapping[str, Any], note: str) -> str:
    """How many entries of a tensor fulfil a condition that all should."""
    holds = torch.as_tensor(_evaluated(node, scope))
    return f"{ast.unparse(node)}{note}: all entries in our run; yours {int(holds.sum())} of {holds.numel()}"


def _first_that_fails(node: ast.GeneratorExp | ast.ListComp, scope: Mapping[str, Any]) -> list[str]:
    """The statement of the first item of all(... for x in ...) that does not hold, with the values of its variables."""
    names = sorted({part.id for generator in node.generators for part in ast.walk(generator.target)
                    if isinstance(part, ast.Name)})  # fmt: skip
    keys = [ast.Constant(name) for name in names]
    values: list[ast.expr] = [ast.Name(name, ast.Load()) for name in names]
    pair = ast.Tuple([ast.Dict([*keys], values), node.elt], ast.Load())
    pairs = _evaluated(ast.fix_missing_locations(ast.ListComp(pair, node.generators)), scope)
    inner = next(variables for variables, holds in pairs if not holds)
    numbers = [f"{name} = {shown(value)}" for name, value in inner.items() if isinstance(value, int | float | str)]
    return _statements(node.elt, {**scope, **inner}, f" (at {', '.join(numbers)})" if numbers else "")
