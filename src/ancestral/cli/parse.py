"""Options from dataclasses, and errors in one line.

tyro reads the options and draws the help; where it would print its panel of errors, the panel is folded into one
`InputError`.
"""

import contextlib
import difflib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from ancestral.errors import InputError

T = TypeVar("T")

MARKERS = (tyro.conf.OmitArgPrefixes,)
"""Nested settings are plain options: --lr, not --config.train.lr."""


def parse(kind: type[T], args: Sequence[str], verb: str, default: T | None = None, description: str = "") -> T:
    """The dataclass `kind` filled from `args`, over `default`'s values. Raises InputError for bad options.

    --help prints the options with their defaults and leaves with exit code 0.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            options: T
            options, unknown = tyro.cli(
                kind,
                prog=f"ancestral {verb}",
                description=description,
                args=args,
                default=default if default is not None else tyro.MISSING_NONPROP,
                return_unknown_args=True,
                config=MARKERS,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(f"{_unfold(errors.getvalue())}; see ancestral {verb} --help") from None
    if unknown:
        raise InputError(_unknown(unknown[0], kind, verb, default))
    return options


def _unknown(word: str, kind: type[T], verb: str, default: T | None) -> str:
    """What to say of an option, or a word too many, that `verb` does not take."""
    if not word.startswith("-"):
        return f"{word!r} is one word too many; see ancestral {verb} --help"
    name = word.partition("=")[0]
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        tyro.cli(kind, args=["--help"], default=default if default is not None else tyro.MISSING_NONPROP,
                 config=MARKERS)  # fmt: skip
    options = sorted(set(re.findall(r"--[a-z][a-z-]*", shown.getvalue())))
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"see ancestral {verb} --help"
    return f"ancestral {verb} has no option {name}; {hint}"


def _unfold(panel: str) -> str:
    """The text of tyro's panel, without its frame (drawn in Unicode or in ASCII), as one line."""
    text = re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯├┤─]|--{2,}|^[|+]|[|+]$", " ", panel, flags=re.MULTILINE)
    told = " ".join(text.split())
    missing = re.search(r"Missing from ancestral \w+: (\w+)", told)
    if missing:
        return f"{missing[1]} is missing"
    told = re.sub(r"^(Parsing error|Value error|Missing argument|Invalid choice|Required options) ", "", told)
    return re.split(r" Argument helptext:| For full helptext", told)[0].rstrip(".")


def home(run: str) -> Path:
    """The folder that what is made of a model goes to: its run folder, or runs/REPO for one of the Hub."""
    from ancestral import hub
    from ancestral.model import find

    return Path("runs") / hub.parse(run).repo.rpartition("/")[2] if hub.is_address(run) else find(run).parent
