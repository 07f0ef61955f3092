"""The command line: `ancestral COMMAND ...`. Each command is a file, imported when it is called.

Bad input ends in exit code 2 with one line on standard error; any other exception is a defect and keeps its traceback.
"""

import difflib
import importlib
import io
import keyword
import os
import shlex
import sys
import threading
from collections.abc import Sequence

from ancestral import __version__
from ancestral.errors import InputError, one_line, text_of
from ancestral.interrupts import EXIT_CODE, MESSAGE, at_once
from ancestral.options import on_command_line, spell

COMMANDS = {
    "doctor": "inspect a data set before training: faults, duplicates, time and memory",
    "train": "train a model on built-in data or on your own images",
    "distil": "distil a model into one that samples in one or two network evaluations",
    "sample": "sample images from a trained model: grid, files, animation, film strip",
    "evaluate": "measure the samples of a model, and its likelihood",
    "compare": "compare runs, or the samplers of one run at their cost",
    "average": "choose the length of the average of the weights after training",
    "runs": "list the runs of a folder, and clean up finished ones",
    "info": "show what a run or a model file holds",
    "export": "write a model for other programs: diffusers, ONNX",
    "import": "read a model from diffusers",
}

USAGE = f"""\
ancestral {__version__}: denoising diffusion, from your images to new ones

usage: ancestral COMMAND [options]

{chr(10).join(f"  {command:<8} {summary}" for command, summary in COMMANDS.items())}

  ancestral train digits            start here: real digits, a few minutes on a laptop
  ancestral sample runs/digits      64 new ones, with --gif as an animation
  ancestral COMMAND --help          all options of a command, with their defaults
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait do not take a core from other programs
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        with at_once():
            code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough, as in `ancestral info RUN | head -1`
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)  # or Python would report what is still in its buffer
        code = 0
    except (InputError, OSError) as error:
        sys.stdout.flush()
        print(f"ancestral: {spell(one_line(text_of(error)), on_command_line)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", ()):
            command = shlex.join(["ancestral", *(sys.argv[1:] if argv is None else argv)])
            print(f"Stopped; {note}. Go on with:  {command}", file=sys.stderr)
        print(MESSAGE, file=sys.stderr)
        code = EXIT_CODE
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # Threads of torch.distributed outlive its process group. Sometimes one aborts Python's shutdown (SIGABRT), and
        # the launcher reports a run that ended well as failed. So the process exits without the shutdown, after the
        # threads that still write.
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(argv: Sequence[str]) -> int:
    """Call the command that `argv` begins with and return its exit code. Raises InputError if there is none."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"ancestral {__version__}")
        return 0
    command, *rest = argv
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? There" if near else "there"
        raise InputError(f"there is no command {command!r}; {hint} are {', '.join(COMMANDS)}")
    module = f"{command}_" if keyword.iskeyword(command) else command
    code: int = importlib.import_module(f"ancestral.cli.{module}").main(rest)
    return code
