"""Values checked against type hints: arguments of Python users, and fields of JSON and of the command line."""

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union

from ancestral.errors import InputError, one_line
from ancestral.options import option

P = ParamSpec("P")
R = TypeVar("R")
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    Path: "a path",
    type(None): "None",
}
SHOWN = 60
"""The largest number of characters of a value in a message."""


def fits(value: object, hint: Any) -> bool:
    """Whether a value has the type of a hint. A whole number fits a float; NaN, and text with a NUL, fit nothing."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in options)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in options)
    if origin is tuple and options[1:] != (...,):
        return isinstance(value, tuple) and len(value) == len(options) and all(map(fits, value, options))
    if origin in (tuple, Sequence):
        sequence = isinstance(value, origin) and not isinstance(value, str | bytes)
        return sequence and all(fits(item, options[0]) for item in typing.cast("Sequence[object]", value))
    if hint in (int, bool):
        return type(value) is hint
    if hint is float:
        return type(value) in (int, float) and value == value
    if isinstance(value, str | Path) and "\0" in str(value):
        return False
    return callable(value) if origin is Callable or hint is Callable else isinstance(value, origin or hint)


def plain(value: Any) -> Any:
    """Convert a number of NumPy, or a tensor that holds one number, to Python's; leave other values as they are."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _plain_items(value: Any) -> Any:
    """Convert an array or tensor of one axis, and the numbers in a list, to those of Python; else return the value."""
    if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, list) else value


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function against its type hints before each call.

    Args:
        function: The function or method. Generator functions are checked when they are called.

    Returns:
        The function; it raises InputError for an argument of another type.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__name__}() {error}") from None
        hints = _hints(function)
        for name, value in bound.arguments.items():
            if name not in hints or signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                continue
            value = plain(value)
            if not fits(value, hints[name]):
                value = _plain_items(value)
            bound.arguments[name] = value
            if not fits(value, hints[name]):
                raise InputError(f"{option(name)} cannot be {shown(value)}: give {describe(hints[name])}")
        return function(*bound.args, **bound.kwargs)

    return call


def shown(value: object) -> str:
    """Format a value for a message: numbers and text as Python writes them, others by their type."""
    simple = value is None or isinstance(value, bool | int | float | str | bytes | list | tuple | Path)
    if not simple:
        return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
    text = repr(str(value)) if isinstance(value, Path) else repr(value)
    return one_line(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def describe(hint: Any) -> str:
    """Describe what fits a type hint, as in "a whole number, text or None"."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        *most, last = dict.fromkeys(describe(option) for option in options)
        return f"{', '.join(most)} or {last}" if most else last
    if origin is Literal:
        return ", ".join(map(str, options))
    if origin is tuple and options[1:] != (...,):
        return f"({', '.join(map(describe, options))})"
    if origin in (tuple, Sequence):
        return f"a sequence, each {describe(options[0])}"
    if origin is Callable or hint is Callable:
        return "a function"
    kind = origin or hint
    return WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function)


def short_source(source: str) -> str:
    """Name a source of data without the folders of the machine that it lies on; "." is the name of the folder."""
    return source if source.startswith("hf://") else Path(os.path.abspath(source)).name or source  # noqa: PTH100
