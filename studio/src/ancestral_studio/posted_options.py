"""Options as visitors send them: read by the declarations as the command line does, with files in named folders only.

The field of an option says what its text names (`fields.Names`). Text of which it does not is refused, so that a new
option cannot open a way by being forgotten.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ancestral.base.arguments import shown
from ancestral.base.errors import InputError, text_of
from ancestral.base.fields import Argument, Names
from ancestral.base.registries import OPERATORS
from ancestral.config import PRESETS, base_config, preset_and_data, run_files
from ancestral.config.data_sources import BUILT_IN
from ancestral.declarations import USE_CASES, Declaration, Train, UseCase
from ancestral.faces.help_text import options_of
from ancestral.faces.words import convert, read, written
from ancestral_studio.answers import OptionError
from ancestral_studio.history import History
from ancestral_studio.places import Places
from ancestral_studio.uploads import Uploads

STUDIO_COMMANDS = {
    case.command: case for case in USE_CASES if case.command not in ("studio", "push", "import", "runs", "info")
}
"""The commands that the studio starts. The others need none, or leave this machine."""
QUEUED = ("sample", "edit")
"""Those of them that compute in this process, one job at a time; the others are processes of their own."""
UPLOAD, HISTORY = "upload:", "history:"
"""What the values of files begin with that a visitor sent, as in upload:ID, or that were made here: history:ID/PATH."""
WITH_PROTOCOL = re.compile(r"\w+://")
NAMED_FUNCTION = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
PARTS_OF_ITEMS = {*OPERATORS, "mask", "crop", "noise"}
"""What may stand before a colon in the text of an operator: with anything else, the text names a function."""


@dataclass(frozen=True)
class ReadableFiles:
    """The files that options may name.

    Attributes:
        places: Those in the folders that were named.
        uploads: Those that visitors sent.
        history: Those that were made.
        texts: Names of conditions whose values are texts, and no files.
    """

    places: Places
    uploads: Uploads
    history: History
    texts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PostedOptions:
    """The options of a command that a visitor sent.

    Attributes:
        case: The command.
        values: The values by the names of the options, as the command line reads them; paths are absolute.
        words: The words of the command line that mean the same.
        declaration: The declaration with these values, which are in range.
    """

    case: UseCase
    values: Mapping[str, Any]
    words: Sequence[str]
    declaration: Declaration


def offered(case: UseCase, preset: str | None = None, data: str | None = None) -> list[Argument]:
    """List the options of a command that the studio offers.

    Args:
        case: The command.
        preset: The preset whose settings are the defaults.
        data: The data whose preset is taken where none is given.

    Raises:
        InputError: If there is no such preset.
    """
    values = {"config": preset, "data": data, "source": data}
    config = case.declaration.shown_config({name: value for name, value in values.items() if value})
    return [one for one in options_of(case, config) if one.names or one.switch or not one.takes_text]


def case_of(command: str) -> UseCase:
    """Return a command of the studio. Raises InputError if there is none."""
    if command not in STUDIO_COMMANDS:
        raise InputError(f"the studio has no command {shown(command)}; it has {', '.join(STUDIO_COMMANDS)}")
    return STUDIO_COMMANDS[command]


def read_posted(readable: ReadableFiles, command: str, options: Mapping[str, Any]) -> PostedOptions:
    """Read what a visitor sent.

    Args:
        readable: The files that may be named.
        command: The command.
        options: Texts, numbers, truth values and lists of them by the names of options; None is left out.

    Raises:
        InputError: If the options cannot be used without a look at data and models, in the words of the command line.
        OptionError: If that is the fault of one of them.
    """
    case = case_of(command)
    by_name = {one.name: one for one in offered(case)}
    if command in QUEUED and options.get("given"):
        readable = replace(readable, texts=_texts(readable, options))
    values: dict[str, Any] = {}
    by_option: dict[str, list[str]] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name not in by_name:
            if name in {one.name for one in options_of(case)}:
                raise OptionError(name, f"{name} is not offered in the studio: use the command line")
            raise OptionError(name, _unknown(str(name), [*by_name.values()], command))
        one = by_name[name]
        try:
            values[name], by_option[name] = _read_one(readable, one, value)
            if command in QUEUED:
                _check_size(one, values[name], command)
        except InputError as error:
            raise OptionError(name, text_of(error)) from None
    for one in by_name.values():
        if one.required and one.name not in values:
            raise OptionError(one.name, f"{one.metavar} is missing; see ancestral {command} --help")
    placed = [one.name for one in by_name.values() if one.name in values and _is_placed(one, [*by_name.values()])]
    places = [word for name in placed for word in _places(values[name])]
    words = [word for name, more in by_option.items() if name not in placed for word in more]
    declaration = case.options(values)
    declaration.check()
    if isinstance(declaration, Train):
        _check_settings(declaration)
    return PostedOptions(case, values, [*words, *(["--", *places] if places else [])], declaration)


def _texts(readable: ReadableFiles, options: Mapping[str, Any]) -> frozenset[str]:
    """The conditions that are words in all models of a request that have them; none if one of these is no run."""
    from ancestral.model import describe_file  # the studio starts without torch

    runs, kinds = readable.places.runs(), dict[str, set[bool]]()
    several = options.get("then") or []
    models = [options.get("model"), options.get("weak"), *(several if isinstance(several, list) else [several])]
    for model in [str(one) for one in models if one is not None]:
        if model not in runs and model.isdecimal():
            continue  # a step of the same run
        file = runs[model] / run_files.MODEL if model in runs else None
        if file is None or not file.is_file():
            return frozenset()
        for name, kind in describe_file(file)[1].conditions.items():
            kinds.setdefault(name, set()).add(kind.in_sequence)
    return frozenset(name for name, each in kinds.items() if each == {True})


def _check_size(one: Argument, value: Any, command: str) -> None:
    """Raise InputError for more than a visitor may ask of the thread that computes for all."""
    if one.largest is not None and value is not None and (len(value) if one.many else value) > one.largest:
        what = "values" if one.many else "here"
        raise InputError(f"the studio takes at most {one.largest:,} {what}; ancestral {command} takes more")


def _check_settings(options: Train) -> None:
    """Raise InputError for settings that training refuses without a look at its data: at once, not in a log."""
    if options.file is None and options.initial is None and not options.resume:
        name, data = preset_and_data(options.config, options.data)
        config = base_config(name, data).with_net(options.net)
        (config if data is None else config.with_settings(source=str(data))).with_settings(**options.settings).check()


def _is_placed(one: Argument, options: Sequence[Argument]) -> bool:
    """Whether an argument is given without a name: it has none, or its name is that of another option."""
    return one.positional and (
        one.required or any(written(one)[0] in written(other) for other in options if other != one)
    )


def _unknown(name: str, options: Sequence[Argument], command: str) -> str:
    """What the command line says of an option that it does not have, and which one may be meant."""
    try:
        read([f"--{name.replace('_', '-')}"], options, command)
    except InputError as error:
        return text_of(error)
    return f"ancestral {command} has no option {shown(name)}"


def _places(value: Any) -> list[str]:
    """The words of an argument without a name."""
    return [*map(str, value)] if isinstance(value, tuple) else [str(value)]


def _read_one(readable: ReadableFiles, one: Argument, value: Any) -> tuple[Any, list[str]]:
    """The value of an option, and its words."""
    name = written(one)[0]
    if one.flag or one.switch:
        if not isinstance(value, bool):
            raise InputError(f"{name} takes no value, so not {shown(value)}")
        switched = value if one.flag else one.bare if value else one.default
        negated = f"--no-{name.removeprefix('--')}" if one.flag else ""
        return switched, [name] if value else [negated] if negated else []
    if value is True and one.bare is not None:
        return one.bare, [name]
    if value is False and one.off:
        return False, [f"--no-{name.removeprefix('--')}"]
    several = value if isinstance(value, list) else [value]
    if not one.many and len(several) != 1:
        raise InputError(f"{name} takes one value, not {len(several)}")
    texts = [_checked(readable, one, _word(name, part)) for part in several]
    converted = convert(one, texts)
    if one.positional and one.required:
        return converted, []
    if one.repeats or not one.many:
        return converted, [f"{name}={text}" for text in texts]
    if read([name, *texts], [one], "") != {one.name: converted}:
        raise InputError(f"{name} cannot be {shown(' '.join(texts))}")
    return converted, [name, *texts]


def _word(name: str, value: Any) -> str:
    """A value as a word. Raises InputError for what is none, and for an address of another machine."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{name} cannot be {shown(value)}: give text or a number")
    text = str(value)
    if WITH_PROTOCOL.search(text):
        raise InputError(f"{name} cannot be {shown(text)}: the studio reads nothing from other machines")
    if "\0" in text:
        raise InputError(f"{name} cannot hold a NUL character")
    return text


def _checked(readable: ReadableFiles, one: Argument, text: str) -> str:
    """A word that may be used: a file lies in a named folder, and nothing is code. Returns it with absolute paths."""
    if not one.takes_text or _is_number(one, text):
        return text
    if isinstance(one.names, tuple):
        if text not in one.names:
            raise InputError(
                f"{shown(text)} is not offered in the studio, which has {', '.join(one.names)}: others are code, or "
                "send what they get away from this machine; use the command line"
            )
        return text
    return TEXT_CHECKS[one.names](readable, text)


def _run(readable: ReadableFiles, text: str) -> str:
    runs = readable.places.runs()
    return str(runs[text] if text in runs else _file(readable, text))


def _data(readable: ReadableFiles, text: str) -> str:
    return text if text in BUILT_IN else _file(readable, text)


def _preset(readable: ReadableFiles, text: str) -> str:
    return text if text in PRESETS else _data(readable, text)


def _condition(readable: ReadableFiles, text: str) -> str:
    if text.partition("=")[0] in readable.texts:
        return text
    value = text.partition("=")[2] if "=" in text else text
    start, value = text[: len(text) - len(value)], value.strip()
    if value.startswith((UPLOAD, HISTORY)) or _may_be_file(value):
        return start + _file(readable, value)
    return start + _operator(readable, value)


def _operator(readable: ReadableFiles, text: str) -> str:
    for part in text.split("+"):
        if NAMED_FUNCTION.fullmatch(part) and part.partition(":")[0] not in PARTS_OF_ITEMS:
            raise InputError(f"{shown(text)} names a function, and the studio runs no code of visitors")
    return text


def _words(readable: ReadableFiles, text: str) -> str:
    return text


def _file(readable: ReadableFiles, text: str) -> str:
    if text.startswith(UPLOAD):
        return str(readable.uploads.path(text.removeprefix(UPLOAD)))
    if text.startswith(HISTORY):
        entry, _, path = text.removeprefix(HISTORY).partition("/")
        return str(readable.history.file(entry, path))
    return str(readable.places.inside(text))


def _may_be_file(text: str) -> bool:
    """Whether a value could be read as a file: it has the form of a path, or there is one of this name."""
    try:
        path = Path(text).expanduser()
        return len(path.parts) > 1 or text in (".", "..") or path.exists() or path.is_symlink()
    except (OSError, RuntimeError, ValueError):
        return True


def _is_number(one: Argument, text: str) -> bool:
    """Whether an option takes a word as a number, where others would name something."""
    try:
        return isinstance(convert(one, [text]), int | float)
    except InputError:
        return False


TEXT_CHECKS: Mapping[Names, Callable[[ReadableFiles, str], str]] = {
    "run": _run,
    "data": _data,
    "preset": _preset,
    "file": _file,
    "condition": _condition,
    "operator": _operator,
    "words": _words,
}
"""How text is checked, by what it names; each returns it with absolute paths."""
