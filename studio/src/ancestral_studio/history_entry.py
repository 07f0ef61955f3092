"""An entry of the history of a studio: a folder for a thing that was made, which outlives the server.

entry.json   what it is: command, options, time, state
steps.jsonl  a line for each state of the reverse process, once its two pictures are written
steps/       these pictures
files/       what the command wrote
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ancestral.base import storage
from ancestral_studio.answers import MissingError

ENTRY_FILE, STEPS_FILE, FILES_FOLDER = "entry.json", "steps.jsonl", "files"
VOLUMES_FILE, FIELDS_FILE = "samples.npz", "samples.nc"
"""The files that hold samples which are volumes, and fields."""
TABLE_FILE = "sweep.png"
"""The picture of a table of samples."""
ENTRY_ID = re.compile(r"[0-9a-f]{16}")
DIGEST = re.compile(r"[0-9a-f]{64}")
UNSEARCHED = {"$schema", "schema", "version", "single", "model", "branch", "parent"}
"""What options and recipes hold besides words: versions, ids, and other recipes."""
REFERENCES = ("upload:", "history:")
"""What names of files begin with that are ids."""
PICTURES = (".png", ".gif", ".webp")
RUNNING, INTERRUPTED = "running", "interrupted"
"""The state of an entry that is being made, and of one whose studio ended meanwhile."""
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

    @property
    def tags(self) -> list[str]:
        """The tags that visitors gave it."""
        tags = self.facts.get("tags")
        return [str(tag) for tag in tags] if isinstance(tags, list) else []

    def save(self, **facts: Any) -> None:
        """Write facts, those of the file with these: a visitor may mark what is still being made."""
        with SAVING:
            self.facts = (read_facts(self.folder) or self.facts) | facts
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

    def summary(self, live: bool) -> dict[str, Any]:
        """Return what a list says of the entry.

        Args:
            live: Whether it is being made now.
        """
        steps = self.steps()
        pictures = [] if steps else [one for one in self.files_at(self.files) if one["name"].endswith(PICTURES)]
        overview = self.step_event(steps[-1])["x0"] if steps else next((one["url"] for one in pictures), None)
        state = self.facts.get("state", RUNNING)
        names = ("created", "command", "run", "run_name", "title", "options", "seconds", "error")
        return {
            **{name: self.facts.get(name) for name in names},
            "id": self.id,
            "favourite": bool(self.facts.get("favourite")),
            "tags": self.tags,
            "state": state if live or state != RUNNING else INTERRUPTED,
            "overview": overview,
            "steps": len(steps),
        }

    def described(self, live: bool) -> dict[str, Any]:
        """Return the whole entry as pages get it.

        Args:
            live: Whether it is being made now.
        """
        steps = [self.step_event(step) for step in self.steps()]
        last = steps[-1] if steps else {}
        return self.summary(live) | {
            "recipe": self.facts.get("recipe"),
            "cells": self.facts.get("cells"),
            "files": self.files_at(self.files),
            "steps": steps,
            **{name: last.get(name) for name in ("columns", "count", "width", "height")},
        }

    def words(self) -> str:
        """Return what a search looks through, in lower case: title, run, tags, and options and recipe as name=value."""
        named = {name: self.facts.get(name) for name in ("title", "command", "run_name", "tags", "options", "recipe")}
        return " ".join(dict.fromkeys(_texts("", named))).lower()

    def kept_files(self) -> Iterator[tuple[str, Path]]:
        """Yield what is copied of the entry: names in a folder of its own, and the files."""
        began = time.strftime("%Y-%m-%d %H.%M.%S", time.localtime(self.facts.get("created", 0)))
        folder = f"{began} {self.facts.get('command', '')} {self.id}"
        yield f"{folder}/{ENTRY_FILE}", self.folder / ENTRY_FILE
        names = [file["name"] for file in self.files_at(self.files)]
        for name in names:
            yield f"{folder}/{name}", self.files / name
        if not names and (steps := self.steps()):
            yield f"{folder}/last-step.png", self.folder / steps[-1]["x0"]


def read_entry(folder: Path) -> HistoryEntry:
    """Read an entry from its folder. Raises MissingError if there is none."""
    facts = read_facts(folder) if ENTRY_ID.fullmatch(folder.name) else None
    if facts is None:
        raise MissingError("this entry of the history is not there any more")
    return HistoryEntry(folder, facts)


def read_facts(folder: Path) -> dict[str, Any] | None:
    """Read entry.json of a folder; None if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((folder / ENTRY_FILE).read_text(encoding="utf-8"))
        return facts if isinstance(facts, dict) else None
    return None


def _texts(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner, more in value.items():
            if inner not in UNSEARCHED:
                yield from _texts(str(inner), more)
    elif isinstance(value, list | tuple):
        for more in value:
            yield from _texts(name, more)
    elif value not in (None, "") and not DIGEST.fullmatch(text := str(value)) and not text.startswith(REFERENCES):
        yield f"{name}={text}"
