"""A command that runs, or ran, as a process of its own: how it stands, what it printed and why it failed.

Its folder has process.json with what was started, log.txt with what it printed, pids.json and exit.txt of its keeper,
and the files that it writes for the studio alone.
"""

import contextlib
import functools
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.fields import Argument
from ancestral.base.interrupts import EXIT_CODE, MESSAGE, PREEMPTED
from ancestral.declarations import UseCase
from ancestral.faces.help_text import options_of
from ancestral.faces.words import written
from ancestral_studio import process_keeper
from ancestral_studio.places import Places, short_path
from ancestral_studio.posted_options import STUDIO_COMMANDS

TRAININGS = ("train", "distil")
RECORD, STOPPING = "process.json", "stopping"
VERBS = {
    "train": "Training",
    "distil": "Distilling",
    "evaluate": "Measuring",
    "compare": "Comparing",
    "doctor": "Inspecting",
    "average": "Averaging",
    "export": "Exporting",
}
"""What a command does, before the names of its runs or data."""
DATA_REPORT = "report.json"
"""What doctor writes in the folder of its process."""
PAGE = "page.html"
"""What export writes there for a browser."""
STARTING = 20
"""Seconds that a process which another studio started may take to write its number."""
LOG_BYTES, LOG_LINES = 64_000, 400
"""The end of a log that is read, and the lines of it that are shown."""
WORK_LINE = re.compile(
    r"(?P<task>.+): (?:(?P<done>[\d,]+) of (?P<total>[\d,]+) ?(?P<unit>.*?)|(?P<share>\d+)%)"
    r"(?:, (?P<left>[\d:]+) left)?"
)
"""A line in which the terminal says how much of a task is done, and how long the rest takes."""

ProcessState = Literal["running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Process:
    """A command that was started.

    Attributes:
        folder: Its folder.
        command: The command, such as train.
        words: The words after it.
        started: When it was started, in seconds since 1970.
        out: The folder that it writes, if that was decided by the studio or its user.
        source: The data that doctor inspects.
        runs: The folders of the runs that it measures.
        owner: `owner_of` who started it.
        keeper: Its keeper, if this studio started it.
    """

    folder: Path
    command: str
    words: tuple[str, ...]
    started: float
    out: Path | None
    source: str | None = None
    runs: tuple[Path, ...] = ()
    owner: str = ""
    keeper: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def read(cls, folder: Path) -> "Process | None":
        """Read a process from its folder; None if there is none, or one of another version."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            if record["command"] in STUDIO_COMMANDS:
                out = record["out"] and Path(record["out"])
                words, runs = tuple(record["words"]), tuple(map(Path, record["runs"]))
                source, owner = record["source"], str(record["owner"])
                return cls(folder, record["command"], words, float(record["started"]), out, source, runs, owner)
        return None

    def save(self) -> None:
        """Write down what was started."""
        record = {"command": self.command, "words": self.words, "started": self.started}
        record |= {"out": self.out and str(self.out), "source": self.source, "runs": [*map(str, self.runs)]}
        record |= {"owner": self.owner}
        storage.write_text(self.folder / RECORD, json.dumps(record, indent=2))

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it runs, or if its keeper was killed."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.folder / process_keeper.EXIT).read_text(encoding="utf-8"))
        return None

    @property
    def has_page(self) -> bool:
        """Whether it wrote a page that samples a model, in its folder."""
        return self.command == "export" and (self.folder / PAGE).exists()

    @property
    def ended(self) -> float:
        """When its keeper noted its end, in seconds since 1970; its start if it did not."""
        with contextlib.suppress(OSError):
            return (self.folder / process_keeper.EXIT).stat().st_mtime
        return self.started

    @property
    def state(self) -> ProcessState:
        """Whether it runs, or how it ended."""
        code, stopping = self.exit_code, (self.folder / STOPPING).exists()
        if code is None and self._alive():
            return "running"
        code = self.exit_code if code is None else code  # it may have ended meanwhile
        if code is None:
            return "stopped" if stopping or self.lines(1) == [MESSAGE] else "failed"
        if code in (EXIT_CODE, PREEMPTED, -signal.SIGINT) or (stopping and self.command in TRAININGS and code == 0):
            return "stopped"
        judged = (
            self.command == "doctor" and (self.folder / DATA_REPORT).exists()
        )  # code 1: data that cannot be trained on
        return "finished" if code == 0 or judged else "failed"

    @property
    def error(self) -> str | None:
        """Why it failed, in one line; None if it did not."""
        if self.state != "failed":
            return None
        lines, start = [line for line in self.lines(20) if line.strip()], "ancestral: "
        message = next((line.removeprefix(start) for line in reversed(lines) if line.startswith(start)), None)
        code = self.exit_code
        if message is None and code is None:
            return "it was killed, or the machine was switched off"
        if code is not None and code < 0:
            cause = ", as the system does where memory runs out" if code == -signal.SIGKILL else ""
            return f"it was ended by signal {-code} ({signal.strsignal(-code)}){cause}"
        return message or (lines[-1] if lines else f"it ended with exit code {self.exit_code}")

    def lines(self, count: int = LOG_LINES) -> list[str]:
        """Read the last lines of what it printed."""
        try:
            with (self.folder / process_keeper.COMMAND_LOG).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LOG_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        return [line.rpartition("\r")[2] for line in text.splitlines()[-count:]]

    def stop(self) -> None:
        """Ask it to stop, as Ctrl-C does: training saves first.

        Raises:
            InputError: If it does not run, or has not begun yet.
        """
        pids = self._pids()
        if pids is None or not process_keeper.runs(*pids["command"]):
            raise InputError("this process does not run any more" if pids else "it is starting; stop it in a moment")
        (self.folder / STOPPING).touch()
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            psutil.Process(pids["command"][0]).send_signal(signal.SIGINT)

    @property
    def is_stopping(self) -> bool:
        """Whether it runs, and was asked to stop."""
        return (self.folder / STOPPING).exists() and self.state == "running"

    def text(self, places: Places) -> str:
        """Say what it does, as in "Training digits"."""
        runs = [self.out] if self.command in TRAININGS and self.out is not None else self.runs
        names = [Path(self.source).name] if self.source else [places.name_of(run) for run in runs]
        return " ".join(filter(None, (VERBS.get(self.command, f"ancestral {self.command}"), " and ".join(names))))

    def described(self, places: Places) -> dict[str, Any]:
        """Describe it for the page, but for its lines."""
        state, error = self.state, self.error
        return {
            "id": self.id,
            "command": self.command,
            "words": self.words,
            "line": shlex.join(["ancestral", self.command, *self.words]),
            "state": state,
            "code": self.exit_code,
            "error": error,
            "option": option_in(STUDIO_COMMANDS[self.command], error or ""),
            "started": datetime.fromtimestamp(self.started).astimezone().isoformat(timespec="seconds"),
            "text": self.text(places),
            "stopping": self.is_stopping,
            "source": self.source and short_path(Path(self.source)),
            "runs": [places.id_of(run) for run in self.runs],
            "out": None if self.out is None else places.name_of(self.out),
            "page": f"/files/processes/{self.id}/{PAGE}" if self.has_page and state == "finished" else None,
            "run": places.id_of(self.out) if self.out is not None and self.command in TRAININGS else None,
        }

    def _pids(self) -> dict[str, tuple[int, str | float]] | None:
        with contextlib.suppress(OSError, ValueError):
            text = (self.folder / process_keeper.PIDS).read_text(encoding="utf-8")
            pids: dict[str, tuple[int, str | float]] = json.loads(text)
            return pids
        return None

    def _alive(self) -> bool:
        pids = self._pids()
        if pids is not None:
            return any(process_keeper.runs(*identity) for identity in pids.values())
        if self.keeper is not None:
            return self.keeper.poll() is None
        return abs(time.time() - self.started) < STARTING


def option_in(case: UseCase, text: str) -> str | None:
    """Return the first option of a command that a line names, by its name in Python."""
    names = {word: one.name for one in _options(case) for word in written(one)}
    return next((names[word] for word in re.findall(r"(?<!\S)--?[a-z][a-z-]*", text) if word in names), None)


def progress_of(lines: Sequence[str]) -> dict[str, Any] | None:
    """Read how much of the last task is done from the lines of a log; None if no line says so."""
    match = next(filter(None, map(WORK_LINE.fullmatch, reversed(lines))), None)
    if match is None:
        return None
    seconds = None
    for part in match["left"].split(":") if match["left"] else ():
        seconds = 60 * (seconds or 0) + int(part)
    facts = {"task": match["task"], "seconds": seconds}
    if match["share"]:
        return facts | {"done": int(match["share"]), "total": 100, "unit": "%"}
    done, total = (int(match[name].replace(",", "")) for name in ("done", "total"))
    return facts | {"done": done, "total": total, "unit": match["unit"]}


@functools.cache
def _options(case: UseCase) -> tuple[Argument, ...]:
    return tuple(options_of(case))
