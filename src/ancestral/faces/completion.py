"""Scripts by which a shell completes the words of a command line: commands, options, their values, and paths.

shtab writes them of an argparse parser. That of `ancestral` is made of the declarations for this alone, and reads no
words.
"""

import argparse
import typing
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError
from ancestral.base.fields import Argument
from ancestral.base.options import on_command_line
from ancestral.base.registries import OPERATORS
from ancestral.config import PRESETS
from ancestral.config.data_sources import BUILT_IN
from ancestral.declarations import USE_CASES
from ancestral.faces.help_text import entry_text, words_of
from ancestral.faces.words import written

OPTION = "--completion"
SHELLS = ("bash", "zsh", "fish")
NAMED: dict[str, Sequence[str]] = {"preset": (*PRESETS,), "data": (*BUILT_IN,), "operator": (*OPERATORS,)}
"""Words that options take beside others, by what their text names."""
PLACES = ("run", "data", "preset", "file", "condition")
"""What text names that may be a path."""


def ancestral_script(shell: str) -> str:
    """Return the script for `ancestral`.

    Args:
        shell: A name of `SHELLS`.

    Raises:
        InputError: If it is another one.
    """
    parser = argparse.ArgumentParser(prog="ancestral")
    parser.add_argument("-V", "--version", action="store_true", help="print the version")
    parser.add_argument(OPTION, choices=SHELLS, help="print a script that completes words in a shell")
    commands = parser.add_subparsers()
    for case in USE_CASES:
        # a place may be called as an option is, as --config of `train`: as in `words.read`, the option wins
        command = commands.add_parser(case.command, help=_escaped(case.summary), conflict_handler="resolve")
        command.add_argument("--help-all", action="store_true", help="list all options")
        options = words_of(case)
        names = {one.name for one in options}
        for one in sorted(options, key=lambda one: not one.positional):
            _add(command, one, _summary(entry_text(one, names)))
    return script_of(parser, shell)


def script_of(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for the program of a parser.

    Args:
        parser: The parser.
        shell: A name of `SHELLS`.

    Raises:
        InputError: If it is another one.
    """
    if shell not in SHELLS:
        raise InputError(f"{OPTION} cannot be {shown(shell)}: give {', '.join(SHELLS[:-1])} or {SHELLS[-1]}")
    import shtab

    return str(shtab.complete(parser, shell)) + "\n"


def _add(command: argparse.ArgumentParser, one: Argument, text: str) -> None:
    """Add an option to the parser of a command, as far as completion asks for it."""
    several = "*" if one.many else "?"
    actions = [command.add_argument(one.name, nargs=several, help=text)] if one.positional else []
    if one.flag:
        command.add_argument(*written(one), action="store_true", help=text)
    elif not (one.positional and one.required):
        number = several if one.many or one.bare is not None else None
        actions.append(command.add_argument(*written(one), dest=f"--{one.name}", nargs=number, help=text))
    if (one.flag or one.off) and one.default is not False:
        command.add_argument(on_command_line(one.name, ["False"]), action="store_true", help=text)
    complete = completion_of(one)
    for action in actions if complete else ():
        action.complete = complete  # type: ignore[attr-defined]  # shtab reads it


def completion_of(one: Argument) -> dict[str, Any]:
    """Return what completes the value of an option, by the shell; nothing for a number or any text.

    Args:
        one: The option.
    """
    words = [*dict.fromkeys(str(word) for word in (*_literals(one.hint), *one.choices, *_named(one)))]
    is_path = one.names in PLACES or one.written or Path in {one.hint, *typing.get_args(one.hint)}
    return _completion(words, is_path) if words or is_path else {}


def _literals(hint: Any) -> Iterator[Any]:
    """The words that stand in a type."""
    inner = typing.get_args(hint)
    yield from inner if typing.get_origin(hint) is Literal else (word for one in inner for word in _literals(one))


def _named(one: Argument) -> Sequence[str]:
    return one.names if isinstance(one.names, tuple) else NAMED.get(one.names, ())


def _completion(words: Sequence[str], is_path: bool) -> dict[str, Any]:
    """Completion by words, and by paths too, as shtab reads it."""
    joined = " ".join(words)
    if not is_path:
        kind, bash, zsh, fish = "words", "", f"compadd -- {joined}", joined
    else:
        kind, bash, fish = "files", "compgen -f -- $1; ", f"{joined} (__fish_complete_path (commandline -ct))".strip()
        zsh = f"_alternative 'words:word:({joined})' 'files:file:_files'" if words else "_files"
    name = f"_ancestral_{kind}_{zlib.crc32(joined.encode()):08x}"  # of functions in the scripts
    return {
        "bash": name,
        "zsh": name,
        "fish": fish,
        "preamble": {
            "bash": f'{name}() {{ {bash}compgen -W "{joined}" -- $1; }}',
            "zsh": f"{name}() {{ {zsh}; }}",
        },
    }


PATHS = _completion((), is_path=True)
"""Completion by paths alone."""


def _summary(text: str) -> str:
    """The first sentence of what the help says of an option, in a line."""
    return _escaped(" ".join(text.replace("\u00a0", " ").split()).partition(". ")[0].rstrip("."))


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
