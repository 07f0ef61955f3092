"""The parent of one command: it outlives the studio, and writes down how the command ended.

    python process_keeper.py FOLDER PROGRAM WORDS...

It imports nothing of the package, so that it takes little memory beside a training run.
"""

import json
import subprocess
import sys
from pathlib import Path

import psutil

PIDS, EXIT, LOG = "pids.json", "exit.txt", "log.txt"


def keep(folder: Path, words: list[str]) -> None:
    """Run a command to its end.

    Args:
        folder: Where its output, its process ids and its exit code go.
        words: The program and its arguments.
    """
    with (folder / LOG).open("ab") as log:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        pids = {"keeper": _identity(psutil.Process()), "command": _identity(psutil.Process(child.pid))}
        _write(folder / PIDS, json.dumps(pids))
        _write(folder / EXIT, str(child.wait()))


def _identity(process: psutil.Process) -> list[float]:
    """The number of a process and the time of its start: the system gives the number to another one later."""
    return [process.pid, process.create_time()]


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), sys.argv[2:])
