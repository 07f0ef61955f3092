"""Code of others. Custom functions: imported by name, package.module:function, from the working folder too, and
called. Packages: imported without what this changes for the whole process.
"""

import contextlib
import pkgutil
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ancestral.base.errors import InputError


def import_function(name: str) -> Callable[..., Any]:
    """Import what `name` calls, as `python -m` would find it. Importing runs the module's code.

    Args:
        name: package.module:function, or any other object that can be called.

    Raises:
        InputError: If there is no such module or object, or it cannot be called.
    """
    if not all(name.partition(":")):
        raise InputError(f"{name!r} names no function: give package.module:function")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = pkgutil.resolve_name(name)
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name} cannot be imported: {type(error).__name__}: {reason}") from error
    if not callable(function):
        raise InputError(f"{name} is a {type(function).__name__}, which cannot be called: name a function")
    return function  # type: ignore[no-any-return]


@contextlib.contextmanager
def import_effects_undone() -> Iterator[None]:
    """Import packages within this: filters of warnings that they add, and random numbers of Python that they draw, are
    not left to the program that imports this package.
    """
    random_state = random.getstate()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        random.setstate(random_state)


@contextlib.contextmanager
def explained(what: str, advice: str = "") -> Iterator[None]:
    """Turn any error of the user's code into an InputError of one line; an InputError stays."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(f"{what}: {type(error).__name__}: {error}".split())
        raise InputError(f"{reason}; {advice}" if advice else reason) from error
