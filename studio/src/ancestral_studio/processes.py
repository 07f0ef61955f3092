"""Commands of the command line as processes of their own, which outlive the studio and every page of it.

Each has a folder in `processes` of the studio's folder: process.json with what was started, log.txt with what it
printed, pids.json and exit.txt of its keeper, and the files that it writes for the studio alone.
"""

import contextlib
import functools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.fields import Argument
from ancestral.base.interrupts import EXIT_CODE, MESSAGE, PREEMPTED
from ancestral.base.options import option
from ancestral.declarations import UseCase
from ancestral.faces.help_text import options_of
from ancestral.faces.words import written
from ancestral_studio import process_keeper
from ancestral_studio.answers import BusyError, MissingError
from ancestral_studio.places import Places
from ancestral_studio.posted_options import STUDIO_COMMANDS, PostedOptions

TRAININGS = ("train", "distil")
RECORD, STOPPING = "process.json", "stopping"
DATA_REPORT, SHEET, COMPARISON = "report.json", "sheet.png", "comparison"
"""What doctor and compare write in the folder of their process."""
MOST_RUNNING, MOST_SEARCHED = 16, 200
"""Largest number of processes that run at a time, counted among as many of the last: each has a model in memory."""
STARTING = 20
"""Seconds that a process which another studio started may take to write its number."""
LOG_BYTES, LOG_LINES = 64_000, 400
"""The end of a log that is read, and the lines of it that are shown."""
PLACE = re.compile(r"(?:^|(?<==))/.*")
"""An absolute path in a word: all of it, or what stands after the name of an option or a condition."""
WORK_LINE = re.compile(r"(?P<task>.+): (?:(?P<done>[\d,]+) of (?P<total>[\d,]+) ?(?P<unit>.*)|(?P<share>\d+)%)")
"""A line in which the terminal says how much of a task is done."""

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
        keeper: Its keeper, if this studio started it.
    """

    folder: Path
    command: str
    words: tuple[str, ...]
    started: float
    out: Path | None
    source: str | None = None
    runs: tuple[Path, ...] = ()
    keeper: "subprocess.Popen[bytes] | None" = None

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
            with (self.folder / process_keeper.OUTPUT).open("rb") as file:
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
            "stopping": state == "running" and (self.folder / STOPPING).exists(),
            "source": self.source and short_path(Path(self.source)),
            "runs": [places.id_of(run) for run in self.runs],
            "out": None if self.out is None else places.name_of(self.out),
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


class Processes:
    """The processes of a studio.

    Args:
        places: The folders that may be read and written.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.folder = places.out / "processes"
        self._known: dict[Path, Process] = {}

    def start(self, posted: PostedOptions) -> Process:
        """Start a command.

        Raises:
            InputError: If there is no place for a new run.
            BusyError: If too many run.
        """
        self._check_number()
        command, values = posted.case.command, posted.values
        out, folder = self._out(command, values), self._new_folder(command)
        places = {"out": out} if out is not None and values.get("out") is None else {}
        if command == "doctor":
            places = {"json": folder / DATA_REPORT, "out": folder / SHEET}
        if command == "compare" and values.get("out") is None and values.get("samplers") is None:
            places = {"out": (out := folder / COMPARISON)}
        words = [*(f"--{name}={path}" for name, path in places.items()), *posted.words]
        source = str(values["source"]) if "source" in values else None
        runs = [values[name] for name in ("model", "run") if name in values] or values.get("runs", ())
        paths = tuple((path.parent if path.suffix else path).resolve() for path in map(Path, runs))
        return self._launch(folder, command, words, out, source, paths)

    def _check_number(self) -> None:
        if sum(one.state == "running" for one in self.all()[:MOST_SEARCHED]) >= MOST_RUNNING:
            raise BusyError(f"{MOST_RUNNING} processes run already: wait for one, or stop some")

    def _launch(
        self,
        folder: Path,
        command: str,
        words: Sequence[str],
        out: Path | None,
        source: str | None = None,
        runs: tuple[Path, ...] = (),
    ) -> Process:
        """Start a command under a keeper, and write down what was started; the attributes are those of `Process`."""
        words = tuple(PLACE.sub(lambda match: short_path(Path(match[0])), word) for word in words)
        started, out = time.time(), out and out.resolve()
        record = {"command": command, "words": words, "started": started, "out": out and str(out)}
        record |= {"source": source, "runs": [*map(str, runs)]}
        storage.write_text(folder / RECORD, json.dumps(record, indent=2))
        # the keeper and its command get no signal that is meant for the studio, and no pipe that ends with it
        keeper = subprocess.Popen(
            [sys.executable, process_keeper.__file__, folder, sys.executable, "-m", "ancestral", command, *words],
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"},  # no code of the working folder
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        threading.Thread(target=keeper.wait, daemon=True).start()  # or it would stay in the table of processes
        process = Process(folder, command, words, started, out, source, runs, keeper)
        self._known[folder] = process
        return process

    def all(self) -> list[Process]:
        """List the processes, the last one first."""
        with contextlib.suppress(OSError):
            names = sorted((path.name for path in self.folder.iterdir()), reverse=True)
            return [process for name in names if (process := self._read(self.folder / name)) is not None]
        return []

    def get(self, name: str) -> Process:
        """Return a process by its id. Raises MissingError if there is none."""
        process = self._read(self.folder / name) if re.fullmatch(r"[\w-]{1,80}", name) else None
        if process is None:
            raise MissingError("there is no such process")
        return process

    def of_run(self, run: Path) -> Process | None:
        """Return the training of a run folder that was started here, as `of_runs` does."""
        return self.of_runs().get(run)

    def of_runs(self) -> dict[Path, Process]:
        """Return by run folders the training that runs there, or else that which ended last.

        The one that was started last may have been refused, as another one was training.
        """
        trainings: dict[Path, list[Process]] = {}
        for process in self.all():
            if process.command in TRAININGS and process.out is not None:
                trainings.setdefault(process.out, []).append(process)
        return {run: several[0] if len(several) == 1 else _latest(several) for run, several in trainings.items()}

    def resume(self, run: Path, steps: int | None = None) -> Process:
        """Resume the training of a run folder.

        Args:
            run: The folder.
            steps: The number of steps to which it goes on; None leaves that of the run.

        Raises:
            InputError: If it is trained already.
            BusyError: If too many processes run.
        """
        process = self.of_run(run)
        if process is not None and process.state == "running":
            raise InputError("this run is being trained already")
        more = [] if steps is None else [f"--steps={steps}"]
        self._check_number()
        return self._launch(self._new_folder("train"), "train", [f"--out={short_path(run)}", "--resume", *more], run)

    def _read(self, folder: Path) -> Process | None:
        """Read a process from its folder; None if there is none. What was started does not change."""
        if folder not in self._known and (process := _read(folder)) is not None:
            self._known[folder] = process
        return self._known.get(folder) if folder.is_dir() else None

    def _new_folder(self, command: str) -> Path:
        """Make a folder whose name sorts by time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stamp, number = time.strftime("%Y%m%d-%H%M%S"), 1
        while True:
            folder = self.folder / f"{stamp}-{number:02d}-{command}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            return folder

    def _out(self, command: str, values: Mapping[str, Any]) -> Path | None:
        """The folder that a command writes, where the page asks for it."""
        if values.get("out") is not None:
            return Path(values["out"])
        return self.free_run(_title(command, values)) if command in TRAININGS else None

    def free_run(self, title: str) -> Path:
        """Return a path for a new run: in the first folder of runs, and with a number where the name is taken.

        Raises:
            InputError: If the studio was started with runs alone.
        """
        runs = {*self.places.runs().values()}
        folder = next((folder for folder in self.places.folders if folder not in runs), None)
        if folder is None:
            raise InputError(f"the studio was started with single runs: name a folder in them by {option('out')}")
        if folder.name != "runs" and not any(run.parent == folder for run in runs):
            folder /= "runs"
        number = 1
        while True:
            path = folder / (f"{title}-{number}" if number > 1 else title)
            if not path.exists() and not any(one.out == path and one.state == "running" for one in self.all()):
                return path
            number += 1


def option_in(case: UseCase, text: str) -> str | None:
    """Return the first option of a command that a line names, by its name in Python."""
    names = {word: one.name for one in _options(case) for word in written(one)}
    return next((names[word] for word in re.findall(r"(?<!\S)--?[a-z][a-z-]*", text) if word in names), None)


def progress_of(lines: Sequence[str]) -> dict[str, Any] | None:
    """Read how much of the last task is done from the lines of a log; None if no line says so."""
    match = next(filter(None, map(WORK_LINE.fullmatch, reversed(lines))), None)
    if match is None:
        return None
    if match["share"]:
        return {"task": match["task"], "done": int(match["share"]), "total": 100, "unit": "%"}
    done, total = (int(match[name].replace(",", "")) for name in ("done", "total"))
    return {"task": match["task"], "done": done, "total": total, "unit": match["unit"]}


def short_path(path: Path) -> str:
    """Write a path as one would type it in the working folder; ./digits is a folder, digits a built-in data set."""
    folder = Path.cwd()
    if path == folder or not path.is_relative_to(folder):
        return str(path)
    inner = path.relative_to(folder)
    return str(inner) if len(inner.parts) > 1 else f".{os.sep}{inner}"


@functools.cache
def _options(case: UseCase) -> tuple[Argument, ...]:
    return tuple(options_of(case))


def _latest(trainings: Sequence[Process]) -> Process:
    """The one that runs, or else ended last, of trainings from the last one that was started to the first."""
    return max(trainings, key=lambda process: (process.state == "running", process.ended))


def _title(command: str, values: Mapping[str, Any]) -> str:
    """The name of a new run, as training chooses it."""
    if command == "distil":
        return f"{Path(str(values['run'])).name}-{values.get('method', 'consistency')}"
    source = values.get("data") or values.get("config") or "digits"
    return re.sub(r"[^\w.-]+", "-", Path(str(source)).stem).strip("-.") or "run"


def _read(folder: Path) -> Process | None:
    """Read a process from its folder; None if there is none, or one of another version."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["command"] in STUDIO_COMMANDS:
            out = record["out"] and Path(record["out"])
            words, runs = tuple(record["words"]), tuple(map(Path, record["runs"]))
            return Process(folder, record["command"], words, float(record["started"]), out, record["source"], runs)
    return None
