"""The history of a studio: a folder for each thing that was made, which outlives the server.

entry.json   what it is: command, options, time, state
steps.jsonl  a line for each state of the reverse process, once its two pictures are written
steps/       these pictures
files/       what the command wrote
"""

import contextlib
import json
import re
import shutil
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral_studio.answers import MissingError
from ancestral_studio.places import Places

ENTRY_FILE, STEPS_FILE, FILES_FOLDER, EXPORTS_FOLDER = "entry.json", "steps.jsonl", "files", "exports"
ENTRY_ID = re.compile(r"[0-9a-f]{16}")
OVERVIEWS = ("grid.png", "samples.png", "overview.png")
"""The files that hold all samples and their recipe: that which the studio adds to single files, or the command's."""
PICTURES = (".png", ".gif", ".webp")
LONGEST_TITLE = 80
SAVING = threading.Lock()
"""Held while entry.json is read and written anew."""


class HistoryEntry:
    """One thing that was made, or is being made.

    Args:
        folder: Its folder.
        facts: What entry.json holds.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder, self.facts = folder, facts

    @property
    def id(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def files(self) -> Path:
        """The folder of what the command writes."""
        return self.folder / FILES_FOLDER

    def save(self, **facts: Any) -> None:
        """Write facts, those of the file with these: a visitor may mark what is still being made."""
        with SAVING:
            self.facts = (_read(self.folder) or self.facts) | facts
            storage.write_text(self.folder / ENTRY_FILE, json.dumps(self.facts, ensure_ascii=False, indent=1))

    def add_step(self, step: Mapping[str, Any]) -> None:
        """Note a state whose pictures are written. A line that a killed server left unfinished is no step."""
        with (self.folder / STEPS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(step) + "\n")

    def steps(self) -> list[dict[str, Any]]:
        """Read the states; of several notes of one, the last counts."""
        steps: dict[int, dict[str, Any]] = {}
        with contextlib.suppress(OSError):
            for line in (self.folder / STEPS_FILE).read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    step = json.loads(line)
                    steps[step["index"]] = step
        return [steps[index] for index in sorted(steps)]

    def files_at(self, path: Path) -> list[dict[str, str]]:
        """List what the command wrote at a path, by the names below its folder; hidden files are unfinished."""
        paths = sorted(path.rglob("*")) if path.is_dir() else [path]
        names = [one.relative_to(self.files) for one in paths if one.is_file()]
        names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
        return [{"name": name.as_posix(), "url": self.url(f"{FILES_FOLDER}/{name.as_posix()}")} for name in names]

    def url(self, path: str) -> str:
        """Return the address of a file in the folder."""
        return f"/files/history/{self.id}/{quote(path)}"

    def step_event(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """Return a state as pages get it, with addresses in place of names."""
        version = f"?v={step['count']}"  # a picture is written anew when a batch adds to it
        return {**step, "x": self.url(step["x"]) + version, "x0": self.url(step["x0"]) + version}

    def described(self, live: bool, full: bool) -> dict[str, Any]:
        """Return the entry as pages get it.

        Args:
            live: Whether it is being made now.
            full: Whether all states are listed, not their number.
        """
        files = self.files_at(self.files)
        steps = self.steps()
        last = self.step_event(steps[-1]) if steps else None
        pictures = [file["url"] for file in files if file["name"].endswith(PICTURES)]
        overview = last["x0"] if last else pictures[0] if pictures else None
        state = self.facts.get("state", "running")
        return {
            **{name: self.facts.get(name) for name in ("created", "command", "run", "run_name", "title", "options")},
            "id": self.id,
            "favourite": bool(self.facts.get("favourite")),
            "state": state if live or state != "running" else "interrupted",
            "error": self.facts.get("error"),
            "recipe": self.facts.get("recipe"),
            "files": files,
            "overview": overview,
            "steps": [self.step_event(step) for step in steps] if full else len(steps),
            **{name: last[name] if last else None for name in ("columns", "count", "width", "height")},
        }


class History:
    """All that was made in a studio.

    Args:
        folder: Where it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cache: dict[str, tuple[int, dict[str, Any]]] = {}

    def begin(self, name: str, command: str, options: Mapping[str, Any], **facts: Any) -> HistoryEntry:
        """Make the folder of an entry.

        Args:
            name: Its id, that of the job.
            command: The command.
            options: What the visitor sent.
            facts: More of what entry.json holds.
        """
        folder = self.folder / name
        folder.mkdir(parents=True)
        entry = HistoryEntry(folder, {})
        entry.save(command=command, options=dict(options), created=time.time(), state="running", **facts)
        return entry

    def get(self, name: str) -> HistoryEntry:
        """Return an entry. Raises MissingError if there is none."""
        if ENTRY_ID.fullmatch(name):
            facts = _read(self.folder / name)
            if facts is not None:
                return HistoryEntry(self.folder / name, facts)
        raise MissingError("this entry of the history is not there any more")

    def all(self) -> list[HistoryEntry]:
        """List the entries, the newest first; damaged ones are left out."""
        entries = []
        if self.folder.is_dir():
            for folder in self.folder.iterdir():
                with contextlib.suppress(MissingError):
                    entries.append(self.get(folder.name))
        return sorted(entries, key=lambda entry: entry.facts.get("created", 0), reverse=True)

    def listed(self, live: Collection[str]) -> list[dict[str, Any]]:
        """List the entries as pages get them, the newest first. Those that ended are read once.

        Args:
            live: The ids of those that are being made now.
        """
        cache, entries = dict[str, tuple[int, dict[str, Any]]](), []
        for entry in self.all():
            with contextlib.suppress(OSError):  # it was deleted meanwhile
                changed = (entry.folder / ENTRY_FILE).stat().st_mtime_ns
                before = self._cache.get(entry.id)
                same = before is not None and before[0] == changed and entry.facts.get("state") != "running"
                facts = before[1] if before and same else entry.described(entry.id in live, full=False)
                cache[entry.id] = (changed, facts)
                entries.append(facts)
        self._cache = cache
        return entries

    def file(self, name: str, path: str) -> Path:
        """Return a file of an entry; "" is the picture of all samples. Raises MissingError if there is none."""
        folder = self.get(name).folder
        whole = [f"{FILES_FOLDER}/{file}" for file in OVERVIEWS if (folder / FILES_FOLDER / file).is_file()]
        path = path or next(iter(whole), "")
        return Places.below(folder, path)

    def favour(self, name: str, favourite: bool) -> None:
        """Note whether an entry is a favourite. Raises MissingError if there is none."""
        self.get(name).save(favourite=favourite)

    def delete(self, name: str) -> None:
        """Remove an entry, as a whole or not at all. Raises MissingError if there is none."""
        folder = self.get(name).folder
        grave = folder.with_name(f".{folder.name}-deleted")
        folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def export(self, names: Sequence[str], title: str) -> Path:
        """Copy the files of entries into a new folder, each under the name of its entry.

        Args:
            names: The entries.
            title: The name of the folder.

        Returns:
            The folder.

        Raises:
            MissingError: If there is no such entry.
            InputError: If there are none.
        """
        entries = [self.get(name) for name in names]
        if not entries:
            raise InputError("there is nothing to export: choose entries of the history, or mark favourites")
        safe = "".join(c if c.isalnum() or c in "-_ " else "_" for c in title).strip()[:LONGEST_TITLE] or "export"

        def write(folder: Path) -> None:
            folder.mkdir()
            for entry in entries:
                began = time.strftime("%Y-%m-%d %H.%M.%S", time.localtime(entry.facts.get("created", 0)))
                place = folder / f"{began} {entry.facts.get('command', '')} {entry.id[:6]}"
                place.mkdir()
                shutil.copyfile(entry.folder / ENTRY_FILE, place / ENTRY_FILE)
                names = [file["name"] for file in entry.files_at(entry.files)]
                for name in names:
                    (place / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(entry.files / name, place / name)
                if not names and (steps := entry.steps()):
                    shutil.copyfile(entry.folder / steps[-1]["x0"], place / "last-step.png")

        return storage.write_new(self.folder.parent / EXPORTS_FOLDER / safe, write)


def _read(folder: Path) -> dict[str, Any] | None:
    """What entry.json of a folder holds; None if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((folder / ENTRY_FILE).read_text(encoding="utf-8"))
        return facts if isinstance(facts, dict) else None
    return None
