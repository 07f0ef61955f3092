"""Commands of the command line as processes of their own, which outlive the studio and every page of it.

Each has a folder in `processes` of the studio's folder.
"""

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral_studio import process_keeper
from ancestral_studio.answers import BusyError, MissingError
from ancestral_studio.places import Places, short_path
from ancestral_studio.posted_options import PostedOptions
from ancestral_studio.process import DATA_REPORT, PAGE, TRAININGS, Process

SHEET, COMPARISON = "sheet.png", "comparison"
"""What doctor and compare write in the folder of their process."""
MOST_RUNNING, MOST_SEARCHED = 16, 200
"""Largest number of processes that run at a time, counted among as many of the last: each has a model in memory."""
PLACE = re.compile(r"(?:^|(?<==))/.*")
"""An absolute path in a word: all of it, or what stands after the name of an option or a condition."""


class Processes:
    """The processes of a studio.

    Args:
        places: The folders that may be read and written.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.folder = places.out / "processes"
        self._known: dict[Path, Process] = {}
        self._ended = set[Path]()

    def start(self, posted: PostedOptions, owner: str = "") -> Process:
        """Start a command.

        Args:
            posted: The options.
            owner: `owner_of` who starts it.

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
        if command == "export" and values.get("out") is None and values.get("to") == "html":
            places = {"out": folder / PAGE}
        words = (*(f"--{name}={path}" for name, path in places.items()), *posted.words)
        source = str(values["source"]) if "source" in values else None
        runs = [values[name] for name in ("model", "run") if name in values] or values.get("runs", ())
        paths = tuple((path.parent if path.suffix else path).resolve() for path in map(Path, runs))
        return self._launch(Process(folder, command, words, time.time(), out, source, paths, owner))

    def _check_number(self) -> None:
        if len(self.running()) >= MOST_RUNNING:
            raise BusyError(f"{MOST_RUNNING} processes run already: wait for one, or stop some")

    def _launch(self, process: Process) -> Process:
        """Start the command of a process under a keeper, and write down what was started."""
        words = tuple(PLACE.sub(lambda match: short_path(Path(match[0])), word) for word in process.words)
        process = dataclasses.replace(process, words=words, out=process.out and process.out.resolve())
        process.save()
        # the keeper and its command get no signal that is meant for the studio, and no pipe that ends with it
        program = [sys.executable, process_keeper.__file__, str(process.folder), sys.executable, "-m", "ancestral"]
        keeper = subprocess.Popen(
            [*program, process.command, *words],
            env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"},  # no code of the working folder
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        threading.Thread(target=keeper.wait, daemon=True).start()  # or it would stay in the table of processes
        self._known[process.folder] = dataclasses.replace(process, keeper=keeper)
        return self._known[process.folder]

    def all(self) -> list[Process]:
        """List the processes, the last one first."""
        with contextlib.suppress(OSError):
            names = sorted((path.name for path in self.folder.iterdir()), reverse=True)
            return [process for name in names if (process := self._read(self.folder / name)) is not None]
        return []

    def running(self) -> list[Process]:
        """List the processes that run, the last one first. Those that ended are looked at once."""
        rows = [one for one in self.all()[:MOST_SEARCHED] if one.folder not in self._ended]
        states = {one.folder: one.state for one in rows}
        self._ended |= {folder for folder, state in states.items() if state != "running"}
        return [one for one in rows if states[one.folder] == "running"]

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

    def resume(self, run: Path, steps: int | None = None, owner: str = "") -> Process:
        """Resume the training of a run folder.

        Args:
            run: The folder.
            steps: The number of steps to which it goes on; None leaves that of the run.
            owner: `owner_of` who resumes it.

        Raises:
            InputError: If it is trained already.
            BusyError: If too many processes run.
        """
        process = self.of_run(run)
        if process is not None and process.state == "running":
            raise InputError("this run is being trained already")
        more = () if steps is None else (f"--steps={steps}",)
        self._check_number()
        words = (f"--out={short_path(run)}", "--resume", *more)
        return self._launch(Process(self._new_folder("train"), "train", words, time.time(), run, owner=owner))

    def _read(self, folder: Path) -> Process | None:
        """Read a process from its folder; None if there is none. What was started does not change."""
        if folder not in self._known and (process := Process.read(folder)) is not None:
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


def _latest(trainings: Sequence[Process]) -> Process:
    """The one that runs, or else ended last, of trainings from the last one that was started to the first."""
    return max(trainings, key=lambda process: (process.state == "running", process.ended))


def _title(command: str, values: Mapping[str, Any]) -> str:
    """The name of a new run, as training chooses it."""
    if command == "distil":
        return f"{Path(str(values['run'])).name}-{values.get('method', 'consistency')}"
    source = values.get("data") or values.get("config") or "digits"
    return re.sub(r"[^\w.-]+", "-", Path(str(source)).stem).strip("-.") or "run"
