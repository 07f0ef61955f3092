"""`ancestral-course`: list the lessons; `start` copies and opens them, `check` checks them, `solutions` prints ours.

Bad input ends in exit code 2 with one line on standard error, as in `ancestral`.
"""

import argparse
import importlib.util
import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ancestral.base import storage
from ancestral.base.errors import InputError, one_line, pip_install
from ancestral.base.interrupts import EXIT_CODE
from ancestral.faces.completion import OPTION, PATHS, SHELLS, script_of
from ancestral_course.classroom import judge_class
from ancestral_course.judging import judge_file
from ancestral_course.lessons import LESSONS, copy_lessons
from ancestral_course.rules import Rules
from ancestral_course.solutions import solutions_text, without_solutions

OPENERS = ("auto", "jupyter", "marimo", "editor", "none")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    main_parser = _Parser(prog="ancestral-course", description="List the lessons, copy them, check your solutions.")
    main_parser.add_argument(
        OPTION, choices=SHELLS, help="Print a script that completes the words of this command in a shell."
    )
    commands = main_parser.add_subparsers(title="commands", dest="command")
    text = "Copy the lessons into a folder, and open them. Files that are there already are kept."
    start = commands.add_parser("start", help="copy the lessons, and open them", description=text)
    _add_path(
        start, "folder", metavar="DIR", nargs="?", default="my-course",
        help="Folder for the copies (default: my-course).",
    )  # fmt: skip
    start.add_argument(
        "--open", choices=OPENERS, default="auto",
        help="Program to open the folder with: JupyterLab, marimo, or the editor that the environment variable VISUAL "
             "or EDITOR names. auto takes the first of them that is installed. (default: auto)",
    )  # fmt: skip
    start.add_argument(
        "--no-solutions", action="store_true",
        help="Leave out the folded solutions and proofs; hints remain. The text of a lesson goes on with its results, "
             "and the solutions are part of the package.",
    )  # fmt: skip
    text = "Print the solutions of a lesson as Markdown: each exercise with its code and its proof on paper."
    solutions = commands.add_parser("solutions", help="print the solutions of a lesson", description=text)
    solutions.add_argument("lesson", metavar="N", type=int, help="Number of the lesson.")
    _add_path(solutions, "--out", metavar="FILE", help="Write them to this file, and print nothing.")
    text = (
        "Check the exercises of a lesson in a file: a script, your copy of the lesson, or its notebook. Only the "
        "functions of the exercises, and what they use, are executed, in a process of their own, which ends if they do "
        "not. What takes long and passed is not judged again until it changes. The exit code is 0 if none is "
        "wrong, and 1 otherwise. With --all, the files of a class: what is not written is not wrong, and a file that "
        "cannot be judged counts as wrong."
    )
    check = commands.add_parser(
        "check", help="check the exercises of a lesson in your file, or those of a class", description=text,
        usage="%(prog)s [options] N FILE [NAME ...]\n       %(prog)s [options] --all FOLDER [N]",
    )  # fmt: skip
    check.add_argument("lesson", metavar="N", type=int, nargs="?", help="Number of the lesson.")
    _add_path(check, "file", metavar="FILE", nargs="?", help="File with your functions.")
    check.add_argument(
        "names", metavar="NAME", nargs="*",
        help="Names of exercises; of lesson 18 also methods: ddpm, ncsn, sde, flow, unet. (default: all)",
    )  # fmt: skip
    _add_path(
        check, "--all", metavar="FOLDER",
        help="Check the files of a class. FOLDER holds a folder or files for each student; a script or notebook is of "
             "the lesson whose number its name has. Prints a table: how many exercises of each lesson passed. Verdicts "
             "go to standard error as soon as they are known.",
    )  # fmt: skip
    check.add_argument(
        "--json", action="store_true", help="With --all, print the verdicts as JSON in place of a table."
    )
    check.add_argument(
        "--strict", action="store_true",
        help="Refuse a function that reaches the solutions of the course, or uses the package ancestral, and name the "
             "line: imports of modules that are not on a list, importlib, __import__, sys.modules, exec, getattr with "
             "a computed name, files of the course. It is no sandbox: whoever searches the objects of Python finds a "
             "way out, and what was copied by hand looks like any other answer.",
    )  # fmt: skip
    check.add_argument(
        "--seed", metavar="S", type=int,
        help="Judge on other inputs as well, those of this number: other points, times, schedules and sizes. An answer "
             "that fits the usual inputs alone fails. (default: the inputs of the lesson alone)",
    )  # fmt: skip
    return main_parser


def _add_path(parser: argparse.ArgumentParser, name: str, **facts: Any) -> None:
    """Add an argument that is a path, which shells complete."""
    parser.add_argument(name, type=Path, **facts).complete = PATHS  # type: ignore[attr-defined]  # shtab reads it


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a sign that the terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(_parser().parse_args(argv))
    except (InputError, OSError) as error:
        print(f"ancestral-course: {one_line(error)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("ancestral-course: interrupted", file=sys.stderr)
        code = EXIT_CODE
    sys.exit(code)


def _run(options: argparse.Namespace) -> int:
    if options.completion:
        print(script_of(_parser(), options.completion), end="")
        return 0
    if options.command == "start":
        return _start(options.folder, options.open, without_solutions if options.no_solutions else None)
    if options.command == "solutions":
        text = solutions_text(options.lesson)
        if options.out:
            storage.write_text(options.out, text)
        else:
            print(text, end="")
        return 0
    if options.command == "check":
        rules = Rules(options.strict, options.seed)
        if options.all:
            return _check_all(options, rules)
        if options.lesson is None or options.file is None or options.json:
            needs = (
                "--json needs --all FOLDER"
                if options.json
                else "name the lesson and the file, N FILE, or a folder, --all FOLDER"
            )
            raise InputError(f"{needs}; see ancestral-course check --help")
        return _check(options.lesson, options.file, options.names, rules)
    for lesson in LESSONS:
        print(f"{lesson.number:>3}  {lesson.title:<34} {lesson.summary} ({lesson.minutes} min to run)")
    print("\nancestral-course start my-course     copies the lessons, and opens them")
    print("ancestral-course check 2 FILE        checks the exercises of lesson 2 in your file")
    print("ancestral-course check --all FOLDER  checks those of a class")
    print("ancestral-course solutions 2         prints the solutions of lesson 2")
    return 0


def _check_all(options: argparse.Namespace, rules: Rules) -> int:
    if options.file is not None:
        raise InputError(f"--all checks the files of a folder; leave out {options.file}")
    result = judge_class(options.all, options.lesson, rules, lambda mark: print(one_line(mark), file=sys.stderr))
    print(result.to_json() if options.json else f"{result}\n", end="", flush=True)
    return int(not result.complete)


def _check(lesson: int, file: Path, names: Sequence[str], rules: Rules) -> int:
    wrong = False
    for verdict in judge_file(lesson, file, names, rules):
        print(verdict, flush=True)
        wrong |= verdict.passed is False
    return int(wrong)


def _start(folder: Path, program: str, change: Callable[[str, str], str] | None) -> int:
    command = _opener(program, folder)
    written, kept = copy_lessons(folder, change)
    print(f"{folder}: {len(written)} files copied" + (f", {len(kept)} kept as they were" if kept else ""))
    if not command:
        print(f"Open {folder} in an editor, or install JupyterLab: {pip_install()} jupyterlab")
        return 0
    print(f"Opening with: {shlex.join(command)}", flush=True)
    return subprocess.run(command, check=False).returncode


def _opener(choice: str, folder: Path) -> list[str]:
    """The command that opens the folder; [] if nothing is to be opened. Raises InputError if it is not installed."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    python = [sys.executable, "-P", "-m"]  # -P: no file of the working folder stands for a module
    commands = {
        "jupyter": [*python, "jupyterlab", str(folder)] if importlib.util.find_spec("jupyterlab") else [],
        "marimo": [*python, "marimo", "edit", str(folder)] if importlib.util.find_spec("marimo") else [],
        "editor": [*editor, str(folder)] if editor and shutil.which(editor[0]) else [],
    }
    if choice == "none":
        return []
    if choice == "auto":
        return next((command for command in commands.values() if command), [])
    if not commands[choice]:
        package = {"jupyter": "jupyterlab", "marimo": "marimo"}.get(choice)
        cure = f"{pip_install()} {package}" if package else "set VISUAL or EDITOR"
        raise InputError(f"there is no {choice} to open {folder} with; {cure}")
    return commands[choice]
