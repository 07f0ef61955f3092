"""Values of a sweep as users write them: a list, or evenly spaced numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ancestral.base.arguments import plain, shown
from ancestral.base.errors import InputError
from ancestral.base.options import option

SweptValue: TypeAlias = int | float | str
"""A value of a setting or a condition in a sweep."""
SweptAxes: TypeAlias = str | Mapping[str, SweptValue | Sequence[SweptValue]]
"""Settings and conditions with their values, as users write them."""
MOST_CELLS = 1024
"""The largest number of cells of a table, and of values of a setting."""
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
EVENLY_SPACED = re.compile(rf"({NUMBER}):({NUMBER}):(\d+)")
"""FIRST:LAST:COUNT."""
DIGITS = 12
"""Significant digits of evenly spaced numbers: 0.3, and not 0.30000000000000004."""
SEPARATORS = (",", ";", "\n")
"""What stands between values, between those that have commas, and between texts, which may have all but lines."""
FORMS = "NAME=FIRST:LAST:COUNT, as in guidance=1:5:5, or NAME=A,B,C"


def read_axes(sweep: SweptAxes) -> dict[str, tuple[SweptValue, ...]]:
    """Return the values of the settings of a sweep by name.

    Args:
        sweep: A text, as in "guidance=1:5:5"; or values by name: a text as after the "=", a value, or a sequence of
            such.

    Raises:
        InputError: If a name or the values are missing, or what stands for a value is none.
    """
    if isinstance(sweep, str):
        name, _, values = sweep.partition("=")
        if not name.strip():
            raise InputError(f"{option('sweep')} cannot be {shown(sweep)}: give {FORMS}")
        return {name.strip(): _values(name, values.strip() or ())}
    return {name: _values(name, values) for name, values in sweep.items()}


def _values(name: str, values: Any) -> tuple[SweptValue, ...]:
    values = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(values, str):
        separator = next((one for one in reversed(SEPARATORS) if one in values), SEPARATORS[0])
        line = values if separator == SEPARATORS[0] else values.removesuffix(separator)
        values = [part.strip() for part in line.split(separator)]
    several = values if isinstance(values, Sequence) else () if values is None else (values,)
    each = tuple(map(plain, several))
    if not each:
        raise InputError(f"{name} of a sweep has no values: give {FORMS}")
    for value in each:
        if isinstance(value, bool) or not isinstance(value, int | float | str) or value != value or value == "":
            raise InputError(f"{name} of a sweep cannot be {shown(value)}: give numbers or names, {FORMS}")
    return each


def axis_text(name: str, values: Sequence[SweptValue]) -> str:
    """Write a setting with its values as `read_axes` reads it."""
    texts = [str(value) for value in values]
    comma, semicolon, line = SEPARATORS
    joined = "".join(texts)
    separator = line if semicolon in joined else semicolon if comma in joined else comma
    return f"{name}={separator.join(texts)}{separator if separator != comma else ''}"


def spread(text: SweptValue) -> list[float] | None:
    """Return the numbers of FIRST:LAST:COUNT, both ends included; None for any other value.

    Raises:
        InputError: If there are none, or more than a table has cells.
    """
    match = EVENLY_SPACED.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    first, last, digits = float(match[1]), float(match[2]), match[3].lstrip("0")
    count = int(digits or 0) if len(digits) <= DIGITS else math.inf
    if not (1 <= count <= MOST_CELLS and math.isfinite(first) and math.isfinite(last)):
        raise InputError(
            f"{shown(text)} are no evenly spaced numbers: give 1 to {MOST_CELLS:,} of them, between finite ones"
        )
    assert isinstance(count, int)
    inner = [first + (last - first) * place / (count - 1) for place in range(1, count - 1)]
    return [first, *(float(f"{value:.{DIGITS}g}") for value in inner), *[last] * (count > 1)]


def read_numbers(name: str, values: Sequence[SweptValue], kind: type) -> list[int] | list[float]:
    """Return the numbers of a setting, of which those that are evenly spaced are rounded where they have to be whole.

    Args:
        name: The name of the setting.
        values: What the user gave.
        kind: int or float.

    Raises:
        InputError: If a value is no such number.
    """
    numbers = list[Any]()
    for value in values:
        evenly = spread(value)
        try:
            each = [kind(value)] if evenly is None else evenly if kind is float else dict.fromkeys(map(round, evenly))
            whole = all(math.isfinite(one) for one in each) and (evenly is not None or each[0] == float(value))
        except (ValueError, OverflowError):
            whole = False
        if not whole:
            what = "a whole number" if kind is int else "a number"
            raise InputError(f"{name} of a sweep cannot be {shown(value)}: give {what}, or FIRST:LAST:COUNT")
        numbers += each
    return numbers


def value_texts(values: Sequence[SweptValue]) -> list[str]:
    """Write values for people: numbers with four digits, or as many as tell them apart."""
    for digits in (4, 6, DIGITS):
        texts = [f"{value:.{digits}g}" if isinstance(value, float) else str(value) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts
