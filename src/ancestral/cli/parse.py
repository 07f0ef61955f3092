"""Options from dataclasses, and errors in one line.

tyro reads the options. It reports errors in a panel on standard error and exits, so the panel is
folded into the one line of an `InputError`.
"""

import contextlib
import difflib
import io
import re
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import tyro

from ancestral.cli.help_text import find_options, help_text
from ancestral.config import net_kinds_with
from ancestral.errors import InputError

T = TypeVar("T")


def parse(kind: type[T], args: Sequence[str], verb: str, default: T | None = None, description: str = "") -> T:
    """Read the options of a command into the dataclass `kind`, over the values of `default`.

    Nested settings are plain options: --lr, not --config.train.lr. --help prints the common options with their defaults
    and --help-all all of them, and both exit with code 0. Raises InputError for an option that is unknown, missing, or
    has a value that it cannot have.
    """
    if {"-h", "--help", "--help-all"} & set(args):
        print(help_text(verb, kind, default, description, "--help-all" in args), end="")
        raise SystemExit(0)
    read = partial(
        tyro.cli,
        kind,
        prog=f"ancestral {verb}",
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            options: T
            options, unknown = read(args=args, return_unknown_args=True)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(f"{_fold(errors.getvalue())}; see ancestral {verb} --help") from None
    if not unknown:
        return options
    if not unknown[0].startswith("-"):
        raise InputError(f"{unknown[0]!r} is one word too many; see ancestral {verb} --help")
    name = unknown[0].partition("=")[0]
    known = re.findall(r"--[a-z][a-z-]*", " ".join(option.written for option in find_options(kind, default)))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"see ancestral {verb} --help"
    kinds = net_kinds_with(name[2:].replace("-", "_"))
    if kinds and "--net" in known:
        raise InputError(f"{name} is for --net {' or '.join(kinds)}, and this network is of another kind; leave it out")
    raise InputError(f"ancestral {verb} has no option {name}; {hint}")


def _fold(panel: str) -> str:
    """The text of tyro's panel, without its frame (in Unicode or in ASCII), as one line."""
    text = re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯├┤─]|--{2,}|^[|+]|[|+]$", " ", panel, flags=re.MULTILINE)
    text = " ".join(text.split())
    missing = re.search(r"Missing from ancestral [\w ]+: (\w+)", text)
    if missing:
        return f"{missing[1]} is missing"
    text = re.sub(r"^(Parsing error|Value error|Missing argument|Invalid choice|Required options) ", "", text)
    text = re.sub(r"^Error parsing [\w.]+: ", "", text)  # a dataclass refused the values of its fields
    text = re.sub(r"invalid literal for int\(\) with base 10: ('.*?')", r"\1 is no whole number", text)
    text = re.sub(r"could not convert string to float: ('.*?')", r"\1 is no number", text)
    text = re.sub(r"no type matching .* Got errors: .* - [^:]+: ", "", text)  # an option that may be left out
    text = re.sub(r"Could not find valid parse for arguments: \[(.*?)\]", r"\1 is no list of numbers", text)
    text = re.sub(r"\. Expected one of \((.*?)\)", _list_choices, text)
    return re.split(r" Argument helptext:| For full helptext", text)[0].rstrip(".")


def _list_choices(found: re.Match[str]) -> str:
    """The choices in tyro's order, which varies, as a sorted list; None is what leaving the option out means."""
    return "; choose " + ", ".join(sorted({choice.strip("' ") for choice in found[1].split(",")} - {"None", ""}))
