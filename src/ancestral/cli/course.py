"""`ancestral course`: list the lessons; `start DIR` copies and opens them, `check N FILE` checks solutions."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse
from ancestral.errors import InputError, install_command, pip_install


@dataclass(frozen=True)
class ListOptions:
    """List the lessons. `ancestral course start DIR` copies them into a folder and opens them, and
    `ancestral course check N FILE` checks the exercises of lesson N in your file.
    """


@dataclass(frozen=True)
class StartOptions:
    """Copy the lessons into a folder, and open them. Files that are there already are kept."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")] = Path("my-course")
    """Folder for the copies (default: my-course)."""
    open: Literal["auto", "jupyter", "marimo", "editor", "none"] = "auto"
    """Program to open the folder with: JupyterLab, marimo, or the editor that the environment variable VISUAL or EDITOR
    names. auto takes the first of them that is installed."""


@dataclass(frozen=True)
class CheckOptions:
    """Check the exercises of a lesson in a file: a script, your copy of the lesson, or its notebook. Only the functions
    of the exercises, and what they use, are executed. The exit code is 0 if none is wrong, and 1 otherwise.
    """

    lesson: Annotated[Positional[int], arg(metavar="N")]
    """Number of the lesson."""
    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """File with your functions."""


def main(argv: Sequence[str]) -> int:
    """Run a command of the course, and return the exit code."""
    if argv[:1] == ["start"]:
        return _start(parse(StartOptions, argv[1:], "course start"))
    if argv[:1] == ["check"]:
        return _check(parse(CheckOptions, argv[1:], "course check"))
    if argv and not argv[0].startswith("-"):
        raise InputError(f"ancestral course has no {argv[0]!r}; there are start DIR and check N FILE")
    parse(ListOptions, argv, "course")
    from ancestral.course import LESSONS

    for lesson in LESSONS:
        print(f"{lesson.number:>3}  {lesson.title:<34} {lesson.summary} ({lesson.minutes} min to run)")
    print("\nancestral course start my-course     copies the lessons, and opens them")
    print("ancestral course check 2 FILE        checks the exercises of lesson 2 in your file")
    return 0


def _check(options: CheckOptions) -> int:
    from ancestral.course import check_file

    verdicts = check_file(options.lesson, options.file)
    for verdict in verdicts:
        print(verdict)
    return int(any(verdict.passed is False for verdict in verdicts))


def _start(options: StartOptions) -> int:
    command = _opener(options.open, options.folder)
    from ancestral.course import copy_lessons

    written, kept = copy_lessons(options.folder)
    print(f"{options.folder}: {len(written)} files copied" + (f", {len(kept)} kept as they were" if kept else ""))
    if not command:
        print(f"Open {options.folder} in an editor, or install JupyterLab: {install_command('course')}")
        return 0
    print(f"Opening with: {shlex.join(command)}")
    sys.stdout.flush()
    return subprocess.run(command, check=False).returncode


def _opener(choice: str, folder: Path) -> list[str]:
    """The command that opens the folder; [] if nothing is to be opened. Raises InputError if it is not installed."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    commands = {
        "jupyter": [sys.executable, "-m", "jupyterlab", str(folder)] if importlib.util.find_spec("jupyterlab") else [],
        "marimo": [sys.executable, "-m", "marimo", "edit", str(folder)] if importlib.util.find_spec("marimo") else [],
        "editor": [*editor, str(folder)] if editor and shutil.which(editor[0]) else [],
    }
    if choice == "none":
        return []
    if choice == "auto":
        return next((command for command in commands.values() if command), [])
    if not commands[choice]:
        cure = {"jupyter": install_command("course"), "marimo": f"{pip_install()} marimo"}
        raise InputError(f"there is no {choice} to open {folder} with; {cure.get(choice, 'set VISUAL or EDITOR')}")
    return commands[choice]
