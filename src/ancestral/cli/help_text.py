"""The help of a command, from the dataclass of its options: the common options first, all with --help-all.

The docstring below a field says what it sets. Where a field's value is None, the docstring says what happens then, as
in "default: the size that they have".
"""

import ast
import dataclasses
import inspect
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Union

from tyro.conf import Positional, Suppress

WIDTH, NAMES = 110, 26
"""The largest number of columns, and those of the names of options."""
KINDS = {int: "N", float: "X", str: "TEXT"}
POSITIONAL, SUPPRESSED = typing.get_args(Positional[int])[1], typing.get_args(Suppress[int])[1]


@dataclass(frozen=True)
class Option:
    """An option as the help shows it: its section, the name of its field, how it is written, and what it sets."""

    section: str
    field: str
    written: str
    text: str
    positional: bool = False


def find_options(kind: Any, default: Any, section: str = "Options") -> Iterator[Option]:
    """Find the options of a dataclass and of the dataclasses inside it.

    Args:
        kind: The dataclass.
        default: An instance that holds the defaults; None takes those of the fields.
        section: What these options are listed under.

    Yields:
        The options, in their order.
    """
    documented, hints = _field_docstrings(kind), typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, *marks = typing.get_args(hints[field.name]) if _annotated(hints[field.name]) else [hints[field.name]]
        if SUPPRESSED in marks:
            continue
        value = getattr(default, field.name, _default(field)) if default is not None else _default(field)
        if dataclasses.is_dataclass(value):
            title = section if field.name == "config" else (type(value).__doc__ or "").partition("\n")[0].rstrip(".")
            yield from find_options(type(value), value, title)
            continue
        settings = next((mark for mark in marks if hasattr(mark, "aliases")), None)
        name = f"--{(getattr(settings, 'name', None) or field.name).replace('_', '-')}"
        given = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), None)
        metavar, positional = given or _metavar(hint), POSITIONAL in marks
        if bool in (hint, *typing.get_args(hint)) and not positional:
            written = f"{name} | --no-{name[2:]}" if value else name
        else:
            names = [*(getattr(settings, "aliases", None) or ()), name]
            written = metavar if positional else f"{', '.join(names)} {metavar}"
        text = " ".join(documented.get(field.name, "").split())
        yield Option(section, field.name, written, text if positional else _with_default(text, value), positional)


def help_text(verb: str, kind: Any, default: Any, description: str, everything: bool) -> str:
    """Format the help of a command.

    Args:
        verb: The command.
        kind: The dataclass of its options, which may name the common ones in COMMON.
        default: An instance that holds the defaults, or None.
        description: What the command does; "" takes the docstring of the dataclass.
        everything: Whether to list all options.
    """
    width = min(WIDTH, shutil.get_terminal_size().columns)
    options = sorted(find_options(kind, default), key=lambda option: not option.positional)
    common = getattr(kind, "COMMON", ())
    positional = " ".join(option.written for option in options if option.positional)
    lines = [" ".join(f"usage: ancestral {verb} {positional} [options]".split()), ""]
    for paragraph in (description or inspect.cleandoc(kind.__doc__ or "")).split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), width), ""]
    shown = [option for option in options if everything or not common or option.positional or option.field in common]
    if len(shown) < len(options):
        shown = [dataclasses.replace(option, section="Common options") for option in shown]
    for section in dict.fromkeys(option.section for option in shown):
        lines.append(f"{section}:")
        for option in shown:
            if option.section == section:
                lines += _entry(option, width)
        lines.append("")
    if len(shown) < len(options):
        lines.append(f"ancestral {verb} --help-all lists all {len(options)} options.")
    return "\n".join(lines).rstrip() + "\n"


def _entry(option: Option, width: int) -> list[str]:
    first = f"  {option.written}"
    text = textwrap.wrap(option.text, max(20, width - NAMES), break_on_hyphens=False)
    beside = len(first) < NAMES - 1
    lines = [f"{first:<{NAMES}}{text[0] if text else ''}".rstrip()] if beside else [first]
    return [line.replace("\u00a0", " ") for line in lines + [" " * NAMES + line for line in text[int(beside) :]]]


def _annotated(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Annotated


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _with_default(text: str, value: object) -> str:
    """The text with the default: the value, or where there is none what the text says of it."""
    if value is None or value is False or value == "":
        return text
    if value is not True:
        text = re.sub(r"[;.] [Dd]efault: [^.]*(\.\w[^.]*)*\.", ".", text)
    shown = " ".join(map(str, value)) or "none" if isinstance(value, tuple) else value
    return f"{text} (default:\u00a0{shown})"


def _metavar(hint: Any) -> str:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "|".join(map(str, options))
    if origin in (Union, types.UnionType):
        return "|".join(_metavar(option) for option in options if option is not type(None))
    return f"{_metavar(options[0])} ..." if origin is tuple else KINDS.get(hint, "PATH")


def _field_docstrings(kind: Any) -> dict[str, str]:
    """The docstrings below the fields of a dataclass and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        body = typing.cast("ast.ClassDef", tree.body[0]).body
        for field, below in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                found[field.target.id] = str(ast.literal_eval(below.value))
    return found
