"""Fields of declarations: the options of a use case and the settings of a config, as their dataclasses declare them.

The docstring below a field says what it sets. In it, names in `backticks` are options, which each face spells as its
users write them, and text in {braces} is for Python alone. A name in {CAPITALS} stands for the text of that name in the
class, or for the parts in the table of that name.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any, Literal

from ancestral.base import registries
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import Registry

MISSING = dataclasses.MISSING
Names = Literal["", "run", "data", "preset", "file", "condition", "operator", "words"]
"""What the text of an option names: a run or a model; data; a preset, data or a file of settings; another file; a
condition with its value or source; an operator; nothing but what the package knows."""


@dataclass(frozen=True)
class Argument:
    """An option of a use case or a setting of a config.

    Attributes:
        name: Its name in Python.
        text: What it sets.
        title: What it is called where people read it beside its control; "" for its name with spaces.
        default: Its default; MISSING if it must be given.
        hint: Its type on the command line, where objects are named by text.
        python: Its type in Python, if that is known without torch and another one.
        section: What the help lists it under.
        metavar: What stands for its value in the help; "" for one that follows from the type.
        short: Another name on the command line: "n" is -n.
        positional: Whether the command line takes it without a name.
        bare: Its value on the command line where none follows; None if one must follow.
        off: Whether `--no-NAME` sets it to False, for one that takes a value.
        suffixes: Endings of the files that it names. A word with another ending is not its value.
        repeats: Whether it may be given several times on the command line, each time with more values.
        least: Its smallest allowed number, if there is one.
        most: Its largest allowed number, if there is one.
        largest: The largest number, or number of values, in a program whose memory several users share.
        names: What its text names: a kind of `Names`, or the names that are no code; "" is code, or nothing that users
            of such a program may name.
        choices: What its text is, or begins with before a colon and options; () for any other text.
        written: Whether it names a place that is written.
        deletes: Whether it removes files; no message suggests it in the place of a word that is no option.
        tasks: The tasks of `edit` that have it; without any all have it.
        branches: Whether a branch of a picture can be given it.
        sweeps: Whether a sweep can be given it.
    """

    name: str
    text: str
    default: Any
    hint: Any
    title: str = ""
    section: str = "Options"
    metavar: str = ""
    short: Sequence[str] = ()
    positional: bool = False
    bare: Any = None
    off: bool = False
    suffixes: Sequence[str] = ()
    repeats: bool = False
    python: Any = None
    least: float | None = None
    most: float | None = None
    largest: int | None = None
    names: Names | tuple[str, ...] = ""
    choices: Sequence[str] = ()
    written: bool = False
    deletes: bool = False
    tasks: Sequence[str] = ()
    branches: bool = True
    sweeps: bool = True

    @property
    def heading(self) -> str:
        """What it is called where people read it beside its control."""
        return self.title or heading_of(self.name)

    @property
    def takes_text(self) -> bool:
        """Whether the command line takes any text, rather than numbers or some words."""
        kinds = {self.hint, *typing.get_args(self.hint)}
        return bool({str, Path, Any} & {inner for kind in kinds for inner in (kind, *typing.get_args(kind))})

    @property
    def switch(self) -> bool:
        """Whether it is written to a place that is chosen for the user, unless the user gives another."""
        return self.written and self.bare is True

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING

    @property
    def many(self) -> bool:
        """Whether it takes any number of values."""
        return any(typing.get_origin(kind) is tuple for kind in (self.hint, *typing.get_args(self.hint)))

    @property
    def flag(self) -> bool:
        """Whether the option takes no value, or `--no-NAME`."""
        return self.hint is bool or set(typing.get_args(self.hint)) == {bool, type(None)}


def argument(default: Any = MISSING, **facts: Any) -> Any:
    """Declare an option of a use case, or a setting.

    Args:
        default: Its default; without one it must be given.
        facts: Fields of `Argument`; `words`, its type on the command line if that is another one than in Python;
            `ordered`, whether Python alone takes it without a name; and the `BOUNDS` of a number.
    """
    return field(default=default, metadata=facts)


FIELD_FACTS = (
    "title",
    "metavar",
    "short",
    "positional",
    "bare",
    "off",
    "suffixes",
    "repeats",
    "least",
    "most",
    "largest",
    "names",
    "choices",
    "written",
    "deletes",
    "tasks",
    "branches",
    "sweeps",
)
"""What the metadata of a field may say of its argument."""
BOUNDS = {"least": ("at least", le), "above": ("above", lt), "most": ("at most", ge), "below": ("below", gt)}
"""The bounds of a number: their words, and how a bound relates to a number that keeps it."""


def check_ranges(values: Any) -> None:
    """Raise InputError for a number in a dataclass that is out of the bounds of its field."""
    for one in dataclasses.fields(values):
        value = getattr(values, one.name)
        bounds = {name: one.metadata[name] for name in BOUNDS if name in one.metadata}
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not all(BOUNDS[name][1](bound, value) for name, bound in bounds.items()):
            words = " and ".join(
                "finite" if bound == math.inf else f"{BOUNDS[name][0]} {'2^63' if bound == 2**63 else bound}"
                for name, bound in bounds.items()
            )
            words = f"from {bounds['least']} to {bounds['most']}" if "most" in bounds else words
            raise InputError(f"{option(one.name)} must be {words}, not {value}")


def hidden(default: Any) -> Any:
    """Declare a setting that users do not set themselves, with its value in a new run."""
    return field(default=default, metadata={"hidden": True})


def arguments_of(part: Any, section: str = "Options") -> list[Argument]:
    """List the arguments of a declaration, or the settings of a section of a config: inherited ones last.

    Args:
        part: The dataclass, or an instance of it, whose values are then the defaults.
        section: What the help lists them under.
    """
    kind = part if isinstance(part, type) else type(part)
    texts, hints = texts_of(kind), _command_hints(kind)
    return [
        Argument(
            name=one.name,
            text=texts.get(one.name, ""),
            default=one.default if part is kind else getattr(part, one.name),
            hint=chosen_by_name(one.metadata.get("words") or hints[one.name]),
            section=section,
            python=None if isinstance(one.type, str) else chosen_by_name(one.type),
            **{name: one.metadata[name] for name in FIELD_FACTS if name in one.metadata and name != "choices"},
            choices=tuple(name for name in one.metadata.get("choices", ()) if name != "custom"),
        )
        for one in sorted(dataclasses.fields(kind), key=lambda one: one.name not in inspect.get_annotations(kind))
        if not one.metadata.get("hidden") and one.name != "settings"
    ]


def heading_of(name: str) -> str:
    """Return what a field is called where people read it: its name with spaces, and a capital at the beginning."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def texts_of(kind: Any) -> dict[str, str]:
    """Return the texts of the fields of a dataclass by their names, in one line each.

    {CAPITALS} stand for a text of the class, or for the parts of a table with what each is; {CAPITALS.names} for their
    names.

    Args:
        kind: The dataclass.
    """
    tables = {name: table for name, table in vars(registries).items() if isinstance(table, Registry)}
    facts = {name: table.described for name, table in tables.items()}
    facts |= {f"{name}.names": table.names for name, table in tables.items()}
    facts |= {name: value for name in dir(kind) if name.isupper() and isinstance(value := getattr(kind, name), str)}
    texts = {name: " ".join(text.split()) for name, text in field_docstrings(kind).items()}
    for fact, value in facts.items():
        texts = {name: text.replace(f"{{{fact}}}", " ".join(value.split())) for name, text in texts.items()}
    return texts


def chosen_by_name(hint: Any) -> Any:
    """Return a type without the name "custom", which stands in a config for a part that was given as an object."""
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is not Literal or "custom" not in choices:
        return hint
    return Literal[tuple(choice for choice in choices if choice != "custom")]


@functools.cache
def field_docstrings(kind: Any) -> Mapping[str, str]:
    """Read the docstrings below the fields of a dataclass and of its bases."""
    texts: dict[str, str] = {}
    for base in bases_of(kind):
        classes = _module_tree(base.__module__).body
        body = next(node.body for node in classes if isinstance(node, ast.ClassDef) and node.name == base.__name__)
        for one, below in pairwise(body):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(below, ast.Expr):
                texts[one.target.id] = str(ast.literal_eval(below.value))
    return texts


@functools.cache
def _module_tree(name: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[name]))


def for_python(text: str) -> str:
    """Return the text of a field without the braces around what is for Python."""
    return text.replace("{", "").replace("}", "")


def for_command(text: str) -> str:
    """Return the text of a field without what is for Python."""
    first, *parts = text.split("{")
    return " ".join((first + "".join(part.partition("}")[2] for part in parts)).split())


def bases_of(kind: Any) -> Iterator[Any]:
    """Iterate over a dataclass and its bases, the first one first."""
    return (base for base in reversed(kind.__mro__) if dataclasses.is_dataclass(base))


@functools.cache
def _command_hints(kind: Any) -> Mapping[str, Any]:
    """The types of fields without `words`; those of objects are not evaluated, since they need torch."""
    hints: dict[str, Any] = {}
    for base in bases_of(kind):
        names = {**typing.__dict__, **vars(sys.modules[base.__module__])}
        for name, text in inspect.get_annotations(base).items():
            one = kind.__dataclass_fields__.get(name)
            if one is None or one.metadata.get("words"):
                continue
            hints[name] = eval(text, names) if isinstance(text, str) else text
    return hints
