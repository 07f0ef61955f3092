"""The parent of one command: it outlives the studio, and writes down how the command ended.

    python process_keeper.py FOLDER PROGRAM WORDS...

It imports nothing of the package, so that it takes little memory beside a training run.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

PIDS, EXIT, COMMAND_LOG = "pids.json", "exit.txt", "log.txt"
BOOT = Path("/proc/sys/kernel/random/boot_id")
"""On Linux, a text that is another one each time the machine is switched on."""


def keep(folder: Path, words: list[str]) -> None:
    """Run a command to its end.

    Args:
        folder: Where its output, its process ids and its exit code go.
        words: The program and its arguments.
    """
    with (folder / COMMAND_LOG).open("ab") as log:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        pids = {"keeper": identity(os.getpid()), "command": identity(child.pid)}
        _write(folder / PIDS, json.dumps(pids))
        _write(folder / EXIT, str(child.wait()))


def identity(pid: int) -> list[int | str | float]:
    """Return the number of a process and its start, since the system gives the number to another one later.

    Linux counts the start in ticks since the machine was switched on; a time would change with the clock.
    """
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        return [pid, f"{BOOT.read_text(encoding='utf-8').strip()} {ticks}"]
    except OSError:
        return [pid, psutil.Process(pid).create_time()]


def runs(pid: int, start: str | float) -> bool:
    """Tell whether the process of a number is still the one that has this start, and has not ended."""
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return identity(pid)[1] == start if isinstance(start, str) else abs(process.create_time() - start) < 1
    except psutil.Error:
        return False


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), sys.argv[2:])
