"""Checkpoints: written in the background, whole or not at all, and read back before an older one is removed.

checkpoints/000600/state.safetensors    the tensors
checkpoints/000600/manifest.json        the step, more numbers, and the SHA-256 of the other file
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from torch import Tensor

from ancestral import storage
from ancestral.errors import InputError

TENSORS, MANIFEST = "state.safetensors", "manifest.json"
FORMAT = "ancestral-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """The state after a step: tensors by name, and numbers that JSON can hold."""

    step: int
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class Publication:
    """The model file that is written after a checkpoint."""

    write: Callable[[], None] = lambda: None
    path: Path | None = None
    """The file; there may be an older one."""
    size: int = 0
    """Its size in bytes."""
    last: bool = False
    """Whether it is the model of the last step, which is worth more than the checkpoint it is made of."""
    spare: Callable[[], Sequence[Path]] = tuple
    """What is needed less than checkpoints and model, the least needed first."""


class Checkpoints:
    """The checkpoints in a folder. The `keep` newest are kept, and those whose step is a multiple of `every`."""

    def __init__(self, folder: Path, keep: int = 2, every: int = 0) -> None:
        self.folder, self.keep, self.every = folder, keep, every
        self.failed = False
        """Whether the last save that ended failed."""
        self._removed: list[Path] = []
        self._writer: Thread | None = None
        self._error: OSError | None = None

    def steps(self) -> list[int]:
        """List the steps that were saved, whole or damaged, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal() and path.is_dir())

    def path(self, step: int) -> Path:
        """The folder of a step."""
        return self.folder / f"{step:06d}"

    def save(self, checkpoint: Checkpoint, model: Publication | None = None) -> None:
        """Write a checkpoint in the background, then the model, then remove old checkpoints.

        The tensors must not change any more. An earlier save is waited for, and its error is raised.
        """
        self.wait()
        self._writer = Thread(target=self._save, args=(checkpoint, model or Publication()), name="ancestral-save")
        self._writer.start()

    def wait(self) -> None:
        """Wait until the last save is on the disk. Raises the OSError that stopped it; older checkpoints stay."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        self.check()

    def settle(self) -> None:
        """Wait for the last save, whether it failed or not."""
        with contextlib.suppress(OSError):
            self.wait()

    def check(self) -> None:
        """Raise the OSError that stopped the last save, once, without waiting."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def take_removed(self) -> list[Path]:
        """Return what made room for the last saves on a full disk, once; none while a save is in progress."""
        if self._writer is not None and self._writer.is_alive():
            return []
        removed, self._removed = self._removed, []
        return removed

    def _save(self, checkpoint: Checkpoint, model: Publication) -> None:
        try:
            published, failure = self._write_with_room(checkpoint, model)
            if not published:
                spare = partial(self._needed_less, checkpoint, model, whole=failure is None)
                try:
                    storage.write_with_room(model.write, model.size, spare, self._removed)
                except OSError as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            self._prune(checkpoint.step)
            self.failed = False
        except OSError as error:
            self._error, self.failed = error, True

    def _write_with_room(self, checkpoint: Checkpoint, model: Publication) -> tuple[bool, OSError | None]:
        """Write a checkpoint, on a full disk in the place of what is needed less.

        The last whole checkpoint gives way only if its room is certain to suffice, and after the model was written.

        Returns:
            Whether the model was written too, and the error if there was no room.
        """
        size, write = storage.tensor_bytes(checkpoint.tensors), partial(self.write, checkpoint)

        def spare(count: int | None) -> list[Path]:
            return [*model.spare(), *self._superseded(checkpoint)[:count]]

        try:
            storage.write_with_room(write, size, partial(spare, -1), self._removed)
            return False, None
        except OSError as error:
            if not storage.is_full(error):
                raise
        published = False
        with contextlib.suppress(OSError):
            model.write()
            published = True
        try:
            storage.write_with_room(write, size, partial(spare, None), self._removed, certain=True)
        except OSError as error:
            return published, error
        return published, None

    def _superseded(self, checkpoint: Checkpoint) -> list[Path]:
        """The checkpoints before this one: first those that need not be kept, last the newest whole one."""
        steps = [step for step in self.steps() if step < checkpoint.step]
        whole = self.newest_step(checkpoint.step - 1)
        return [self.path(step) for step in sorted(steps, key=lambda step: (step == whole, self._on_purpose(step)))]

    def _needed_less(self, checkpoint: Checkpoint, model: Publication, whole: bool) -> list[Path]:
        """What gives way to the model: at the last step all, else what is not needed beside this checkpoint, if it is
        whole, or beside the older ones.
        """
        superseded = self._superseded(checkpoint) if whole or model.last else []
        own = [self.path(checkpoint.step)] if model.last else []
        return [*model.spare(), *superseded, *([model.path] if model.path else []), *own]

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and read it back, unless it is there already. Raises OSError if either fails."""
        path = self.path(checkpoint.step)
        if path.exists():
            with contextlib.suppress(InputError):
                self.verify(checkpoint.step)
                return
            shutil.rmtree(path)  # damaged
        with storage.atomic_folder(path) as folder:
            content = storage.tensors_to_bytes(checkpoint.tensors)
            manifest = {
                "format": FORMAT,
                "step": checkpoint.step,
                "sha256": {TENSORS: hashlib.sha256(content).hexdigest()},
                "facts": dict(checkpoint.numbers),
            }
            storage.write_bytes(folder / TENSORS, content)
            storage.write_text(folder / MANIFEST, json.dumps(manifest, indent=2))
        try:
            self.verify(checkpoint.step)
        except InputError as error:
            raise OSError(f"{error}, though it was just written: is the disk failing?") from None

    def verify(self, step: int) -> dict[str, Any]:
        """Read the manifest of a whole checkpoint. Raises InputError if a file is missing, cut short or changed."""
        path = self.path(step)
        try:
            manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            digest = storage.sha256(path / TENSORS)
            whole = manifest["format"] == FORMAT and manifest["sha256"][TENSORS] == digest and manifest["step"] == step
            whole = whole and isinstance(manifest["facts"], dict)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no whole checkpoint ({type(error).__name__})") from None
        if not whole:
            raise InputError(f"{path} is no whole checkpoint: it was changed or cut short")
        return manifest

    def newest(
        self, good: Callable[[Mapping[str, Any]], bool] = lambda numbers: True
    ) -> tuple[Checkpoint | None, list[str]]:
        """Find the newest whole checkpoint with good numbers, or None, and list what is wrong with newer ones."""
        wrong: list[str] = []
        for step in reversed(self.steps()):
            try:
                manifest = self.verify(step)
                if not good(manifest["facts"]):
                    continue
                tensors, _ = storage.read_tensors(self.path(step) / TENSORS)
                return Checkpoint(step, tensors, manifest["facts"]), wrong
            except InputError as error:
                wrong.append(error.text)
        return None, wrong

    def newest_step(self, last: int) -> int:
        """Find the step of the newest whole checkpoint up to step `last`; 0 if there is none."""
        return next((step for step in reversed(self.steps()) if step <= last and self._is_whole(step)), 0)

    def forget(self, step: int) -> None:
        """Remove the checkpoints after a step, to which training rolled back."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self.path(later), ignore_errors=True)

    def _prune(self, newest: int) -> None:
        """Remove the checkpoints that need not be kept. Those after `newest` are damaged."""
        steps = [step for step in self.steps() if step <= newest]
        kept = {*steps[-self.keep :], *filter(self._on_purpose, steps)}
        for step in set(self.steps()) - kept:
            shutil.rmtree(self.path(step), ignore_errors=True)

    def _is_whole(self, step: int) -> bool:
        with contextlib.suppress(InputError):
            return bool(self.verify(step))
        return False

    def _on_purpose(self, step: int) -> bool:
        return self.every > 0 and step % self.every == 0
