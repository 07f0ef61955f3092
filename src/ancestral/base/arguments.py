"""Values checked against type hints: arguments of Python users, and fields of JSON and of the command line."""

import dataclasses
import difflib
import functools
import inspect
import json
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeGuard, TypeVar, Union

from ancestral.base.errors import InputError, one_line
from ancestral.base.options import option

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
UNIONS = (Union, types.UnionType)
SEQUENCES = (tuple, Sequence, Collection)
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    Path: "a path",
    type(None): "None",
}
SCHEMED = re.compile(r"[a-z][a-z0-9+.-]+://")
"""The beginning of an address of another machine; one letter is a drive of Windows."""
MOST_DIGITS = 18
"""The largest number of digits of a whole number in a text, so that it fits into 64 bits."""
MOST_NESTED = 100
"""The largest number of levels of what JSON holds."""
NESTED = f"it is nested too deeply, in more than {MOST_NESTED} levels"
MOST_CHARACTERS = 60
"""The largest number of characters of a value in a message."""


def fits(value: object, hint: Any) -> bool:
    """Whether a value has the type of a hint. A whole number fits a float; NaN, and text with a NUL, fit nothing."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin in UNIONS:
        return any(fits(value, option) for option in options)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in options)
    if origin is tuple and options[1:] != (...,):
        return isinstance(value, tuple) and len(value) == len(options) and all(map(fits, value, options))
    if origin in SEQUENCES:
        sequence = isinstance(value, origin) and not isinstance(value, str | bytes)
        return sequence and all(fits(item, options[0]) for item in typing.cast("Collection[object]", value))
    if hint in (int, bool):
        return type(value) is hint
    if hint is float:
        return type(value) in (int, float) and value == value
    if isinstance(value, str | Path) and "\0" in str(value):
        return False
    return callable(value) if origin is Callable or hint is Callable else isinstance(value, origin or hint)


def read(value: Any, hint: Any) -> Any:
    """Read text where a hint has a class of values that are written as text, which its `from_text` does."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, str) and hasattr(hint, "from_text"):
        return hint.from_text(value)
    if origin in UNIONS:
        return functools.reduce(read, options, value)
    if origin in SEQUENCES and isinstance(value, tuple | list):
        return type(value)(read(item, options[0]) for item in value)
    return value


def plain(value: Any) -> Any:
    """Convert a number of NumPy, or a tensor that holds one number, to Python's; leave other values as they are."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def takes(function: Any, *arguments: Any, **named: Any) -> bool:
    """Whether a function of the user can be called with these arguments, as far as its signature says."""
    try:
        inspect.signature(function).bind(*arguments, **named)
    except (TypeError, ValueError):
        return False
    return True


def parameters(function: Any) -> tuple[str, ...]:
    """The names of the parameters of a function of the user; () where they are not known."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def function_name(function: Any) -> str:
    """Name a function or an object of the user by its module, as in package.module:function."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def converted(name: str, value: Any, hint: Any, description: str = "") -> Any:
    """Convert an argument to its type: a list, or one of several alone, to a tuple; numbers of NumPy to Python's.

    Args:
        name: The name of the argument.
        value: The value.
        hint: The type.
        description: What the error says of the type; "" describes the hint.

    Raises:
        InputError: If the value has another type.
    """
    if isinstance(value, str) and not value and Path in typing.get_args(hint):
        raise InputError(f"{option(name)} is empty: give a path")
    single = tuple(value.tolist()) if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist") else plain(value)
    several = tuple(map(plain, single)) if isinstance(single, list | tuple | range) else (single,)
    for candidate in (read(one, hint) for one in (value, single, several)):
        if fits(candidate, hint):
            return candidate
    raise InputError(f"{option(name)} cannot be {shown(value)}: give {description or describe(hint)}")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Convert the arguments of a function to its type hints before each call. Raises InputError as `converted` does."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            name = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
            raise TypeError(f"{name}() {error}") from None
        hints = _hints(function)
        for name, value in bound.arguments.items():
            bound.arguments[name] = converted(name, value, hints.get(name, Any))
        return function(*bound.args, **bound.kwargs)

    return call


def checked_class(kind: type[C]) -> type[C]:
    """Convert the arguments of a class to the type hints of its constructor. Raises InputError as `converted` does."""
    kind.__init__ = checked(kind.__init__)  # type: ignore[method-assign]
    return kind


def is_digits(text: str) -> bool:
    """Whether a text is a whole number of at most `MOST_DIGITS` digits."""
    return text.isdecimal() and len(text) <= MOST_DIGITS


def parse_json(text: str | bytes) -> Any:
    """Read JSON of any kind. Raises ValueError for what is none, and for what is nested deeper than `MOST_NESTED`."""
    try:
        tree = json.loads(text)
    except RecursionError:
        raise ValueError(NESTED) from None
    level, inner = 0, [tree]
    while inner := [
        part
        for one in inner
        if isinstance(one, dict | list)
        for part in (one.values() if isinstance(one, dict) else one)
    ]:
        level += 1
        if level > MOST_NESTED:
            raise ValueError(NESTED)
    return tree


def read_json(text: str, name: str) -> dict[str, Any]:
    """Read a JSON object. Raises InputError, in which `name` stands for the text, if it is none."""
    try:
        tree = parse_json(text)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{name} should hold a JSON object")
    return tree


def from_json(hint: Any, tree: Any, name: str, *, closed: bool = False) -> Any:
    """Convert what JSON holds to a type: dataclasses, tuples and dicts of them, numbers and text.

    Args:
        hint: The type. Of several dataclasses, `kind` in the object chooses one.
        tree: The value.
        name: What an error calls it.
        closed: Whether a key that is no field is refused.

    Raises:
        InputError: If a value is missing or of another type.
    """
    members = typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
    classes = [member for member in members if dataclasses.is_dataclass(member)]
    value = read(tree, hint)
    if classes and isinstance(tree, dict):
        kind = next((one for one in classes if getattr(one, "kind", None) == tree.get("kind")), classes[0])
        value = _dataclass_from(kind, tree, name, closed)
    for member in members:
        origin, inner = typing.get_origin(member), typing.get_args(member)
        if origin is tuple and isinstance(tree, list):
            value = tuple(from_json(inner[0], part, name, closed=closed) for part in tree)
        if origin is dict and isinstance(tree, dict):
            value = {key: from_json(inner[1], part, f"{name}: {key}", closed=closed) for key, part in tree.items()}
    if not fits(value, hint) or (type(value) is int and abs(value) >= 2**63):
        raise InputError(f"{name} cannot be {shown(tree)}: give {describe(hint)}")
    return value


def _dataclass_from(kind: Any, tree: dict[str, Any], name: str, closed: bool) -> Any:
    hints, values = _hints(kind), {}
    for field in stored_fields(kind):
        key = field.metadata.get("key", field.name)
        if key in tree:
            part = tree[key]
            if "keys" in field.metadata and isinstance(part, dict):
                part = {inner: part[outer] for inner, outer in field.metadata["keys"].items() if outer in part}
            values[field.name] = from_json(hints[field.name], part, f"{name}: {key}", closed=closed)
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{name} lacks {key}")
    if closed and (unknown := sorted(tree.keys() - hints.keys())):
        raise InputError(
            f"{name} has the unknown setting {unknown[0]!r}: correct it, or use the version of ancestral that wrote it"
        )
    return kind(**values)


def stored_fields(kind: Any) -> list[dataclasses.Field[Any]]:
    """List the fields of a dataclass, or of an instance of it, that JSON holds."""
    return [field for field in dataclasses.fields(kind) if "attached" not in field.metadata]


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the name whose spelling is near to a word, to be suggested; None if no name is.

    Args:
        word: The word, which is none of the names.
        names: The names. A word is near if three quarters of the letters of both agree, in their order.
    """
    return next(iter(difflib.get_close_matches(word, [*names], n=1, cutoff=0.75)), None)


def shown(value: object) -> str:
    """Format a value for a message: numbers and text as Python writes them, others by their type."""
    simple = value is None or isinstance(value, bool | int | float | str | bytes | list | tuple | Path)
    if not simple:
        return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
    try:
        return shortened(repr(str(value)) if isinstance(value, Path) else repr(value))
    except ValueError:  # Python does not write integers of thousands of digits
        return "a number of thousands of digits"
    except RecursionError:
        return f"a {type(value).__name__} that is nested too deeply"


def shortened(text: object) -> str:
    """Format a text for a message: in one line, and cut where it is long."""
    characters = str(text)
    return one_line(characters if len(characters) <= MOST_CHARACTERS else f"{characters[:MOST_CHARACTERS]}...")


def describe(hint: Any) -> str:
    """Describe what fits a type hint, as in "a whole number, text or None"."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        *most, last = dict.fromkeys(describe(option) for option in options)
        return f"{', '.join(most)} or {last}" if most else last
    if origin is Literal:
        return ", ".join(map(str, options))
    if origin is tuple and options[1:] != (...,):
        return f"({', '.join(map(describe, options))})"
    if origin in SEQUENCES:
        return f"a sequence, each {describe(options[0])}"
    if origin is Callable or hint is Callable:
        return "a function"
    kind = origin or hint
    return WORDS.get(kind, f"a {getattr(kind, '__name__', kind)}")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def is_remote(source: object) -> TypeGuard[str]:
    """Tell whether a source is the address of a place on another machine, as s3://bucket/folder or hf://user/name."""
    return isinstance(source, str) and SCHEMED.match(source) is not None


def short_source(source: str) -> str:
    """Name a source of data without the folders of the machine that it lies on; "." is the name of the folder."""
    return source if is_remote(source) else Path(os.path.abspath(source)).name or source  # noqa: PTH100
