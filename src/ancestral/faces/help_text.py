"""The help of a command, from its declaration: the common options first, all with --help-all."""

import dataclasses
import functools
import inspect
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.base.fields import MISSING, Argument, argument, arguments_of, for_command
from ancestral.base.options import on_command_line
from ancestral.base.registries import METRICS, OPERATORS, RESTORATIONS, SAMPLERS, Registry
from ancestral.config import Config
from ancestral.config.data_sources import BUILT_IN, SOURCES
from ancestral.declarations import PRINTED, UseCase
from ancestral.faces.words import written

HELP_WIDTH, NAMES_WIDTH = 110, 26
"""The largest number of columns, and those of the names of options."""
TYPE_METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
SECTION_STARTS = ("Returns:", "Yields:", "Raises:", "Args:", "References:")
OUTPUT = "Output"
"""The section of the options of `Output`."""


@dataclass(frozen=True)
class Output:
    """Options of every command that has a result: what it prints. Python has the result itself, and `progress`."""

    json: bool = False
    """Print the result as one JSON document on standard output, and all else on standard error."""
    quiet: bool = argument(False, short=["q"])
    """Print the result alone: no progress, no notes."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> tuple["Output", dict[str, Any]]:
        """Take these options out of the values of a command. Returns the others too.

        The report of `doctor` has an option `json` of its own, which may name a file.
        """
        json = values.get("json") in (True, PRINTED)
        others = {name: value for name, value in values.items() if name != "quiet" and not (name == "json" and json)}
        return cls(json, bool(values.get("quiet"))), others


def options_of(case: UseCase, config: Config | None = None) -> list[Argument]:
    """List the options of a command: its own, and the settings of a config with the values that it has.

    Args:
        case: The use case.
        config: The config; None lists the settings of every kind of network.
    """
    options = arguments_of(case.declaration)
    defaults = case.declaration.COMMAND_DEFAULTS
    options = [dataclasses.replace(one, default=defaults.get(one.name, one.default)) for one in options]
    if not case.declaration.SETTINGS:
        return options
    names = {one.name for one in options}
    settings = Config.settings(config)
    return [*options, *(one for one in settings if one.name not in names)]


def words_of(case: UseCase, config: Config | None = None) -> list[Argument]:
    """List what the command line takes: the options of a command, as `options_of` does, and those of `Output`."""
    options = options_of(case, config)
    names = {one.name for one in options}
    output = arguments_of(Output, OUTPUT) if case.declaration.PRINTS != "messages" else []
    return [*options, *(one for one in output if one.name not in names)]


def help_text(case: UseCase, options: Sequence[Argument], everything: bool) -> str:
    """Format the help of a command.

    Args:
        case: The use case.
        options: Its options.
        everything: Whether to list all of them.
    """
    width = min(HELP_WIDTH, shutil.get_terminal_size().columns)
    common, names = case.declaration.COMMON, {one.name for one in options}
    places = [one for one in options if one.positional]
    usage = " ".join(f"[{shown_value(one)}]" if not one.required else shown_value(one) for one in places)
    lines = [" ".join(f"usage: ancestral {case.command} {usage} [options]".split()), ""]
    for paragraph in description(case).split("\n\n"):
        lines += [*textwrap.wrap(_spelled(paragraph, names), width), ""]
    listed = {*common, *(one.name for one in options if one.positional or one.section == OUTPUT)}
    entries = [one for one in options if everything or not common or one.name in listed]
    if len(entries) < len(options):
        order = {name: number for number, name in enumerate(common)}
        entries = sorted(entries, key=lambda one: (not one.positional, order.get(one.name, len(order))))
        entries = [dataclasses.replace(one, section=one.section if one.section == OUTPUT else "Common options")
                   for one in entries]  # fmt: skip
    else:
        entries = [*places, *(one for one in entries if not one.positional)]
    for section in dict.fromkeys(one.section for one in entries):
        lines.append(f"{section}:")
        for one in entries:
            if one.section == section:
                lines += _entry(one, names, width)
        lines.append("")
    if len(entries) < len(options):
        lines.append(f"ancestral {case.command} --help-all lists all {len(options)} options.")
    return "\n".join(lines).rstrip() + "\n"


def topic_text(name: str) -> str:
    """Explain a topic of `ancestral help`: the parts of a table by their names, one below the other.

    Args:
        name: The name of the topic.

    Raises:
        InputError: If there is no such topic.
    """
    if name not in TOPICS:
        raise InputError(f"there is no help about {shown(name)}; there is help about {', '.join(TOPICS)}")
    width, (title, rows) = min(HELP_WIDTH, shutil.get_terminal_size().columns), TOPICS[name]
    lines = [*textwrap.wrap(title, width), ""]
    for part, text in rows:
        lines += textwrap.wrap(
            text, width, initial_indent=f"  {part:<{NAMES_WIDTH - 2}}", subsequent_indent=" " * NAMES_WIDTH
        )
    return "\n".join(lines) + "\n"


def _parts(table: Registry[Any]) -> list[tuple[str, str]]:
    return [(one.name, one.text) for one in table.values()]


GIVEN = [
    (
        "COLUMN",
        "a column of the data: of metadata.csv or metadata.jsonl in a folder; caption of .txt files beside images; "
        "a further array of an .npz file; a column of a table, or a key of a .tar. Several are joined by commas",
    ),
    ("words:COLUMN", "text as words, as it is read where it has several words, or its name is caption, text or prompt"),
    ("classes:COLUMN", "text as classes, as other text is read"),
    ("FOLDER", "a folder that has a file of the same name for each item"),
    ("FILE", "a .npy or .npz file that has a row for each item"),
    (
        "OPERATOR",
        "what an operator makes of the item itself, as in upscale:4+noise:0.05: see `ancestral help operators`",
    ),
    ("module:function", "what a custom function makes of the item, package.module:function"),
]
TOPICS: Mapping[str, tuple[str, Sequence[tuple[str, str]]]] = {
    "data": (
        "What a model can be trained on. The name of a built-in data set, or the path of a folder or a file, also "
        "in object storage:",
        [*_parts(BUILT_IN), *(("PATH", one.text) for one in SOURCES.values() if one.text and one.name != "built-in")],
    ),
    "given": ("What a model can be conditioned on besides the class, --given [NAME=]WHAT:", GIVEN),
    "methods": ("The methods of inpaint and restore, --method:", _parts(RESTORATIONS)),
    "metrics": ("The measures of samples, --metrics:", _parts(METRICS)),
    "operators": (
        "The operators of --operator and --given, with a number behind a colon, joined by +:",
        _parts(OPERATORS),
    ),
    "samplers": ("The samplers, --sampler, with their settings as in heun:steps=18,churn=10:", _parts(SAMPLERS)),
}
"""What `ancestral help` explains: a title, and parts with what each is."""


def description(case: UseCase) -> str:
    """Return what the help says of a use case: its docstring without the examples in Python, and from Args on."""
    text = inspect.cleandoc(case.declaration.__doc__ or "")
    for start in SECTION_STARTS:
        text = text.partition(f"\n{start}")[0]
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n") if not each.startswith(" ")]
    return "\n\n".join(filter(None, paragraphs))


def entry_text(one: Argument, names: set[str]) -> str:
    """Return what the help says of an option, with its default."""
    return _spelled(_with_default(one), names | _setting_names())


@functools.cache
def _setting_names() -> frozenset[str]:
    return frozenset(one.name for one in Config.settings())


def _entry(one: Argument, names: set[str], width: int) -> list[str]:
    first, text = f"  {named(one)}", entry_text(one, names)
    wrapped = textwrap.wrap(text, max(20, width - NAMES_WIDTH), break_on_hyphens=False)
    beside = len(first) < NAMES_WIDTH - 1
    lines = [f"{first:<{NAMES_WIDTH}}{wrapped[0] if wrapped else ''}".rstrip()] if beside else [first]
    return [
        line.replace("\u00a0", " ") for line in lines + [" " * NAMES_WIDTH + line for line in wrapped[int(beside) :]]
    ]


def named(one: Argument) -> str:
    """Write an option with all its names and what stands for its value."""
    if one.positional:
        return shown_value(one)
    plain = ", ".join(written(one)) if one.flag else f"{', '.join(written(one))} {shown_value(one)}"
    refusable = (one.flag or one.off) and one.default is not False
    return f"{plain} | {on_command_line(one.name, ['False'])}" if refusable else plain


def shown_value(one: Argument) -> str:
    """Write what stands for the value of an option in its help."""
    return one.metavar or _metavar(one.hint)


def _metavar(hint: Any) -> str:
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "|".join(map(str, choices))
    if origin in (Union, types.UnionType):
        return "|".join(_metavar(choice) for choice in choices if choice is not type(None))
    return f"{_metavar(choices[0])} ..." if origin is tuple else TYPE_METAVARS.get(hint, "TEXT")


def _with_default(one: Argument) -> str:
    """The text with the default: the value, or where there is none what the text says of it."""
    value, text = one.default, one.text
    if value is None or value is False or value is MISSING or value == "":
        return text
    if value is not True:
        text = re.sub(r"[;.] [Dd]efault: [^.]*(\.\w[^.]*)*\.", ".", text)
    default = " ".join(map(str, value)) or "none" if isinstance(value, tuple) else value
    return f"{text} (default:\u00a0{default})"


def _spelled(text: str, names: set[str]) -> str:
    """The text for the command line, with options in `backticks` as it has them; other code keeps its backticks."""
    parts = for_command(text).split("`")
    for place in range(1, len(parts), 2):
        parts[place] = on_command_line(parts[place], []) if parts[place] in names else f"`{parts[place]}`"
    return "".join(parts)
