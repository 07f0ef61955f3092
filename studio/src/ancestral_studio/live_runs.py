"""The runs of the studio's folders as they are now: their state, their logs as these grow, and their previews."""

import contextlib
import functools
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ancestral.base import storage
from ancestral.base.errors import InputError, one_line
from ancestral.base.fields import for_command
from ancestral.config import PRESETS, Config, preset
from ancestral.config.run_files import (
    CHECKPOINTS,
    CONFIG,
    EVALUATION,
    LOG,
    MODEL,
    NOTES,
    REPORT,
    SAMPLES,
    VALIDATION,
    LogTable,
    grids_of,
)
from ancestral.faces.words import written
from ancestral_studio.answers import MissingError
from ancestral_studio.places import Places, contents, short_path
from ancestral_studio.process import Process
from ancestral_studio.processes import Processes
from ancestral_studio.run_symptoms import symptoms_of

MOST_ROWS, MOST_NOTES = 3000, 200
"""Largest numbers of rows of a log, evenly chosen, and of the last notes that an answer holds."""
DRAWN_COLUMNS = ("step", "loss", "lr", "gradient_norm", "images_per_second", "seconds")
"""The columns of a log that the page draws."""

LIVE_FACTS = ("state", "stopping", "step", "steps", "seconds_left", "process", "has_model")
"""The facts of a summary that change while a run trains."""

RunState = Literal["training", "finished", "stopped", "failed", "model"]


class LiveRuns:
    """The runs of a studio.

    Args:
        places: The folders that may be read.
        processes: The processes that the studio started.
    """

    def __init__(self, places: Places, processes: Processes) -> None:
        self.places, self.processes = places, processes
        self._tables: dict[Path, LogTable] = {}
        self._lock = threading.Lock()

    def all(self) -> list[dict[str, Any]]:
        """Describe the runs, those that train first, then the one that changed last."""
        trainings = self.processes.of_runs()
        rows = [self.summary(path, trainings.get(path)) for path in self.places.runs().values()]
        return sorted(rows, key=lambda row: (row["state"] != "training", -row["changed"]))

    def summary(self, path: Path, process: Process | None = None) -> dict[str, Any]:
        """Describe a run in a few facts.

        Args:
            path: The run folder.
            process: Its training, as `Processes.of_runs` has it.
        """
        config, (saved_step, source, damage) = _config(path), _model(path)
        problem = damage or (f"{CONFIG} cannot be read" if config is None and (path / CONFIG).exists() else "")
        log = self._table(path / LOG)
        step, steps = max(saved_step, int(log.rows[-1][0]) if log.rows else 0), config.train.steps if config else 0
        state = _state(path, step, steps, process)
        return {
            "id": self.places.id_of(path),
            "name": self.places.name_of(path),
            "path": short_path(path),
            "preset": config.title if config else source,
            "source": one_line(config.data.source) if config else source,
            "step": step,
            "steps": steps,
            "loss": log.rows[-1][1] if log.rows else None,
            "state": state,
            "seconds_left": _seconds_left(log, config) if state == "training" and config else None,
            "changed": _changed(path),
            "has_model": (path / MODEL).is_file() and not damage,
            "problem": problem,
            "preview": next(iter(_previews(path, self.places.id_of(path))[-1:]), None),
            "process": process.id if process else None,
            "stopping": process is not None and process.is_stopping,
        }

    def live(self, path: Path, after: float, version: str) -> dict[str, Any]:
        """Describe what changes of a run while it trains.

        Args:
            path: The run folder.
            after: The step after which rows of the log are wanted; negative for all.
            version: The `version` of the answer before; if rows changed since, all are in the answer.
        """
        log, validation = self._table(path / LOG), self._table(path / VALIDATION)
        anew = version != log.version
        rows = log.rows if anew else log.after(after)
        summary = self.summary(path, self.processes.of_run(path))
        columns = [name for name in DRAWN_COLUMNS if name in log.header]
        places = [log.header.index(name) for name in columns]
        by_time = [number for name, number in zip(log.header, rows[-1], strict=True) if "_of_" in name] if rows else []
        return {
            **{name: summary[name] for name in LIVE_FACTS},
            "version": log.version,
            "anew": anew,
            "columns": columns,
            "log": [[row[place] for place in places] for row in _thin(rows)],
            "by_time": by_time,
            "validation": {"columns": validation.header, "rows": _thin(validation.rows)},
            "previews": _previews(path, self.places.id_of(path)),
            "notes": self._notes(path),
        }

    def details(self, path: Path) -> dict[str, Any]:
        """Describe what hardly changes of a run: its settings, the pages and pictures in its folder, and symptoms."""
        process, config, notes = self.processes.of_run(path), _config(path), self._notes(path)
        summary, failure = self.summary(path, process), process and process.error
        files = f"/files/runs/{summary['id']}"
        report = f"{files}/{REPORT}?{_stamp(path / REPORT)}" if (path / REPORT).is_file() else None
        return summary | {
            "settings": settings_of(config) if config else [],
            "notes": notes,
            "symptoms": symptoms_of(path, config, [*notes, failure] if failure else notes),
            "report": report,
            "evaluation": pictures_in(path / EVALUATION, f"{files}/{EVALUATION}"),
            "resumable": (path / CONFIG).is_file() and (path / CHECKPOINTS).is_dir(),
        }

    def _notes(self, path: Path) -> list[str]:
        """Read the notes of a run; a link that leads out of its folder is none."""
        with contextlib.suppress(OSError, MissingError):
            text = self.places.below(path, NOTES).read_text(encoding="utf-8", errors="replace")
            return text.splitlines()[-MOST_NOTES:]
        return []

    def _table(self, path: Path) -> LogTable:
        with self._lock:
            table = self._tables.setdefault(path, LogTable(path))
            table.read()
            return LogTable(path, [*table.header], [*table.rows], table.falls, table._offset, table._inode)


def settings_of(config: Config) -> list[dict[str, Any]]:
    """List the settings of a run by section, each with its help and whether it is that of the preset."""
    base = preset(config.preset) if config.preset in PRESETS else Config()
    usual = {one.name: one.default for one in Config.settings(base)}
    sections: dict[str, list[dict[str, Any]]] = {}
    for one in Config.settings(config):
        changed = one.name not in usual or usual[one.name] != one.default
        named = {"title": one.heading, "flag": written(one)[0], "text": for_command(one.text)}
        row = named | {"value": _words(one.default), "changed": changed}
        sections.setdefault(one.section, []).append(row)
    return [{"section": title, "rows": rows} for title, rows in sections.items()]


def pictures_in(folder: Path, url: str) -> list[dict[str, str]]:
    """List the PNG files in a folder, by name."""
    with contextlib.suppress(OSError):
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".png" and path.name[0] != ".")
        return [{"name": path.stem, "url": f"{url}/{path.name}?{_stamp(path)}"} for path in paths]
    return []


def _state(path: Path, step: int, steps: int, process: Process | None) -> RunState:
    if _is_locked(path) or (process is not None and process.state == "running"):
        return "training"
    if not (path / CONFIG).exists():
        return "model"
    if step >= steps:
        return "finished"
    return "failed" if process is not None and process.state == "failed" else "stopped"


def _is_locked(path: Path) -> bool:
    """Whether a process trains in a run folder, wherever it was started."""
    try:
        import fcntl
    except ImportError:  # Windows has no such locks: only what the studio started is known
        return False
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for a moment; a training run that begins waits longer
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(handle)
    return False


def _seconds_left(log: LogTable, config: Config) -> float | None:
    """The time of the steps that are left, at the average speed of this session, in which previews count too."""
    if not log.rows or "seconds" not in log.header:
        return None
    place = log.header.index("seconds")
    begin = len(log.rows) - 1
    while begin and log.rows[begin - 1][place] <= log.rows[begin][place]:  # each resume counts from 0
        begin -= 1
    first, last = log.rows[begin], log.rows[-1]
    steps = config.train.steps - last[0]
    if last[0] > first[0] and last[place] > first[place]:
        return steps * (last[place] - first[place]) / (last[0] - first[0])
    if "images_per_second" not in log.header:
        return None
    speed = last[log.header.index("images_per_second")]
    return steps * (config.train.batch_size or 0) / speed if speed > 0 else None


def _thin(rows: Sequence[list[float]]) -> Sequence[list[float]]:
    """At most about MOST_ROWS of the rows, evenly chosen, the last one always among them."""
    every = -(-len(rows) // MOST_ROWS) or 1
    return rows if every == 1 else [*rows[:-1:every], rows[-1]]


def _previews(path: Path, name: str) -> list[dict[str, Any]]:
    """The grids of samples that training wrote, by step, with the recording or the volume beside each."""
    url, previews = f"/files/runs/{name}/{SAMPLES}", list[dict[str, Any]]()
    for step, grid in grids_of(path / SAMPLES).items():
        sound, volume = grid.with_suffix(".wav"), grid.with_suffix(".npz")
        beside = {"sound": f"{url}/{sound.name}?{_stamp(sound)}"} if sound.is_file() else {}
        beside |= {"volume": f"/api/runs/{name}/previews/{step}"} if volume.is_file() else {}
        previews.append({"step": step, "url": f"{url}/{grid.name}?{_stamp(grid)}"} | beside)
    return previews


def _stamp(path: Path) -> int:
    """A number that changes with a file, so that a page shows the new one."""
    return contents(path)[0] // 1_000_000


def _changed(path: Path) -> float:
    """When a run changed last, in seconds since 1970."""
    return max(contents(path / name)[0] for name in (LOG, CONFIG, MODEL)) / 1e9


def _config(path: Path) -> Config | None:
    """The config of a run; None for a model without one, or a damaged one."""
    with contextlib.suppress(OSError):
        return _read_config(path / CONFIG, contents(path / CONFIG))
    return None


@functools.lru_cache(maxsize=1000)
def _read_config(path: Path, state: tuple[int, int]) -> Config | None:
    try:
        return Config.from_json(path.read_text(encoding="utf-8"), str(path))
    except (UnicodeDecodeError, InputError):
        return None


def _model(path: Path) -> tuple[int, str, str]:
    """The step of a model file and its preset, and what is wrong with it; 0 and "" without one."""
    file = path / MODEL
    return _read_model(file, contents(file)) if file.is_file() else (0, "", "")


@functools.lru_cache(maxsize=1000)
def _read_model(path: Path, state: tuple[int, int]) -> tuple[int, str, str]:
    try:
        metadata = storage.read_metadata(path)
        return int(metadata["step"]), str(json.loads(metadata["config"])["preset"]), ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        return 0, "", one_line(f"{path.name} cannot be read: {error}")


def _words(value: Any) -> str:
    """The value of a setting as it is typed."""
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
