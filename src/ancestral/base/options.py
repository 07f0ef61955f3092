"""Names of options inside messages, as data: each face spells them as its users write them.

    raise InputError(f"{option('batch_size')} must be at least 1, not 0; give {option('batch_size', 32)}")

reads "batch_size must be at least 1, not 0; give batch_size=32" in Python, and "--batch-size must be at least 1, not 0;
give --batch-size 32" on the command line.
"""

import dataclasses
import shlex
from collections.abc import Callable
from typing import Any

Spelling = Callable[[str, list[str]], str]
"""Spells an option from its name and the texts of its values."""
START, NEXT, END = "\U000f0000", "\U000f0001", "\U000f0002"
"""Characters for private use that enclose an option in a text, and separate its name and its values."""
COMMAND_NAMES = {"initial": "from", "source": "data", "file": "config"}
"""Options that the command line calls by another name."""


def option(name: str, *values: object) -> str:
    """Name an option in a message.

    Args:
        name: The name of the option in Python.
        values: What to set it to; True and False are those of a flag. Without a value the option itself is meant.

    Returns:
        Text for `spell`.
    """
    return f"{START}{NEXT.join([name, *map(str, values)])}{END}"


def spell(text: str, spelling: Spelling) -> str:
    """Spell the options in a text."""
    plain, *parts = text.split(START)
    for part in parts:
        mark, _, tail = part.partition(END)
        name, *values = mark.split(NEXT)
        plain += spelling(name, values) + tail
    return plain


def spelled(value: Any, spelling: Spelling) -> Any:
    """Spell the options in all texts of an event or a result: its fields, and the items of their tuples and dicts."""
    if isinstance(value, str):
        return spell(value, spelling) if START in value else value
    parts: dict[Any, Any] = {}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    elif type(value) in (dict, tuple, list):
        parts = value if isinstance(value, dict) else dict(enumerate(value))
    new = {name: spelled(part, spelling) for name, part in parts.items()}
    if all(new[name] is part for name, part in parts.items()):
        return value
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **new)  # type: ignore[type-var]
    return new if isinstance(value, dict) else type(value)(new.values())


def command_line(verb: str, *words: object, **options: object) -> str:
    """Write a call of the command line, the same in all faces.

    Args:
        verb: The name of the command.
        words: Its arguments.
        options: The names of its options in Python, and their values; a tuple gives several.
    """
    values = {name: value if isinstance(value, tuple) else (value,) for name, value in options.items()}
    option_words = [on_command_line(name, [*map(str, value)]) for name, value in values.items()]
    return " ".join(["ancestral", verb, *(shlex.quote(str(word)) for word in words), *option_words])


def in_python(name: str, values: list[str]) -> str:
    """Spell an option as an argument of a Python function: batch_size, batch_size=32, mults=(1, 2)."""
    words = [value if _is_literal(value) else repr(value) for value in values]
    if len(words) > 1:
        return f"{name}=({', '.join(words)})"
    return f"{name}={words[0]}" if words else name


def on_command_line(name: str, values: list[str]) -> str:
    """Spell an option as the command line has it: --batch-size, --batch-size 32, --no-flip."""
    if len(name) == 1:
        return " ".join([f"-{name}", *values])
    spelling = COMMAND_NAMES.get(name, name).replace("_", "-")
    if values in (["True"], ["False"]):
        spelling, values = spelling if values == ["True"] else f"no-{spelling}", []
    return " ".join([f"--{spelling}", *map(shlex.quote, values)])


def _is_literal(value: str) -> bool:
    """Whether Python reads a text as a number, True, False or None, or it stands for a value, as in "..."."""
    if value in ("True", "False", "None", "..."):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True
