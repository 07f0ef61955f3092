"""The command line: `ancestral VERB ...`. One thin file a verb; each is imported when it is called.

Bad input ends in exit code 2 with one line on standard error; anything else that fails is a defect and keeps its
traceback.
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
from ancestral.errors import InputError

VERBS = {
    "doctor": "read a data set before training: faults, duplicates, time and memory",
    "train": "train a model on built-in data or on your own images",
    "sample": "draw images from a trained model: grid, files, animation, film strip",
    "evaluate": "how good a model's samples are, and how well it knows its data",
    "compare": "runs side by side, or the samplers of one: which comes nearest, at what cost",
    "history": "six methods from NCSN to flow, trained on points and drawn side by side",
    "info": "what a run or a model file holds",
    "export": "a model for other programs: diffusers, ONNX",
    "import": "a model from diffusers",
}

USAGE = f"""\
ancestral {__version__}: denoising diffusion, from your images to new ones

usage: ancestral VERB [options]

{chr(10).join(f"  {verb:<8} {summary}" for verb, summary in VERBS.items())}

  ancestral train digits            start here: real digits, a few minutes on a laptop
  ancestral sample runs/digits      64 new ones, with --gif as an animation
  ancestral VERB --help             all options of a verb, with their defaults
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        code = run(sys.argv[1:] if argv is None else argv)
    except (InputError, OSError) as error:
        sys.stdout.flush()
        print(f"ancestral: {' '.join(str(error).split())}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", ()):
            command = shlex.join(["ancestral", *(sys.argv[1:] if argv is None else argv)])
            print(f"Stopped; {note}. Go on with:  {command}", file=sys.stderr)
        print("ancestral: interrupted", file=sys.stderr)
        code = 130
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # Threads of torch.distributed outlive its process group. At times one aborts Python's shutdown (SIGABRT), and
        # the launcher would report a run that ended well as failed. So the shutdown is left out, but for what it waits
        # for: threads that still write.
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(argv: Sequence[str]) -> int:
    """Call the verb that `argv` begins with and return its exit code. Raises InputError where there is none."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"ancestral {__version__}")
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.0)[0]
        raise InputError(f"there is no verb {verb!r}; did you mean {near}? There are {', '.join(VERBS)}")
    module = f"{verb}_" if keyword.iskeyword(verb) else verb
    code: int = importlib.import_module(f"ancestral.cli.{module}").main(rest)
    return code
