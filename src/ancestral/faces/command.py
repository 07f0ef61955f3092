"""The command line: `ancestral COMMAND ...`, each command from the declaration of its use case.

Bad input ends in exit code 2 with one line on standard error; any other exception is a defect and keeps its traceback.
"""

import contextlib
import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence

from ancestral import __version__
from ancestral.base.arguments import nearest
from ancestral.base.errors import InputError, one_line, out_of_memory, text_of
from ancestral.base.interrupts import EXIT_CODE, MESSAGE, PREEMPTED, at_once, raised
from ancestral.base.options import on_command_line, spell, spelled
from ancestral.declarations import USE_CASES, UseCase
from ancestral.faces.completion import OPTION, ancestral_script
from ancestral.faces.help_text import TOPICS, Output, help_text, topic_text, words_of
from ancestral.faces.standard_streams import lasting_streams
from ancestral.faces.words import read

COMMANDS = {case.command: case for case in USE_CASES}
COMMAND_WIDTH = max(map(len, COMMANDS))
USAGE = f"""\
ancestral {__version__}: denoising diffusion, from your images to new ones

usage: ancestral COMMAND [options]

{chr(10).join(f"  {case.command:<{COMMAND_WIDTH}} {case.summary}" for case in USE_CASES)}

  ancestral train digits            start here: real digits, a few minutes on a laptop
  ancestral sample runs/digits      64 new ones, with --gif as an animation
  ancestral COMMAND --help          all options of a command, with their defaults
  ancestral help TOPIC              what the values of options mean: {", ".join(TOPICS)}
  ancestral --completion bash       a script that completes words in your shell; also for zsh and fish
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait do not take a core from other programs
    with lasting_streams():
        code = _exit_code(sys.argv[1:] if argv is None else argv)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # Threads of torch.distributed outlive its process group. Sometimes one aborts Python's shutdown (SIGABRT), and
        # the launcher reports a run that ended well as failed. So the process exits without the shutdown, after the
        # threads that still write.
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        os._exit(code)
    sys.exit(code)


def _exit_code(argv: Sequence[str]) -> int:
    """Run the command line; say what stops it."""
    try:
        with at_once():
            code = run(argv)
        sys.stdout.flush()
        return code
    except (InputError, OSError) as error:
        with contextlib.suppress(OSError):  # which it may be
            sys.stdout.flush()
        print(f"ancestral: {spell(one_line(text_of(error)), on_command_line)}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        print("ancestral: there is not enough memory: close other programs, or ask for less at once", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", ()):
            print(f"Stopped; {note}. Go on with:  {shlex.join(['ancestral', *argv])}", file=sys.stderr)
        print(MESSAGE, file=sys.stderr)
        return EXIT_CODE


def run(argv: Sequence[str]) -> int:
    """Call the command that `argv` begins with and return its exit code. Raises InputError if there is none."""
    if argv and argv[0] == "help" and argv[1:] and argv[1] not in COMMANDS:
        print(topic_text(argv[1]), end="")
        return 0
    if argv[:1] == ["help"] and argv[1:]:
        argv = [argv[1], "--help"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"ancestral {__version__}")
        return 0
    if argv[0].partition("=")[0] == OPTION:
        print(ancestral_script(" ".join(argv)[len(OPTION) + 1 :]), end="")
        return 0
    name, *words = argv
    if name not in COMMANDS:
        matches = [command for command, case in COMMANDS.items() if case.function == name.replace("-", "_")]
        matches = matches or [*filter(None, [nearest(name, COMMANDS)])]
        hint = f"did you mean {matches[0]}? There" if matches else "there"
        raise InputError(f"there is no command {name!r}; {hint} are {', '.join(COMMANDS)}")
    case = COMMANDS[name]
    helps = [word for word in words if word in ("-h", "--help", "--help-all")]
    if helps:
        other_words = [word for word in words if word not in helps]
        values = read(other_words, words_of(case), name, complete=False)
        print(help_text(case, words_of(case, case.declaration.shown_config(values)), "--help-all" in helps), end="")
        return 0
    return call(case, read(words, words_of(case), name))


def call(case: UseCase, values: Mapping[str, object]) -> int:
    """Run a use case with these options, show its events and its result, and return the exit code."""
    output, values = Output.read(values)
    options, prints = case.options(values), case.declaration.PRINTS

    from ancestral.base.events import finish
    from ancestral.base.result import PlaceResult, Result
    from ancestral.render.terminal import follow, is_first_process, show
    from ancestral.use_cases import start

    with contextlib.ExitStack() as stack:
        if case.declaration.RESUMABLE:
            stack.enter_context(raised())
        if output.json:  # whoever prints: standard output has the document alone
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        events, verbose = start(options), bool(getattr(options, "verbose", False))
        if output.quiet:
            result = spelled(finish(events), on_command_line)
        else:
            result = follow(events, prints == "parts" and not output.json, verbose, on_command_line)
    if output.json and is_first_process():
        print((result if isinstance(result, Result) else PlaceResult(str(result))).to_json(), end="")
    elif (prints == "result" or output.quiet) and is_first_process():
        show(result)
    if getattr(result, "preempted", False):
        return PREEMPTED
    return int(False in (getattr(result, "trainable", True), getattr(result, "whole", True)))
