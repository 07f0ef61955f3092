"""Checkpoints: written in the background, whole or not at all, and read back before an older one is removed.

checkpoints/000600/state.safetensors    the tensors
checkpoints/000600/manifest.json        the step, more numbers, and the SHA-256 of the other file
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


class Checkpoints:
    """The checkpoints in a folder. The `keep` newest are kept, and those whose step is a multiple of `every`."""

    def __init__(self, folder: Path, keep: int = 2, every: int = 0) -> None:
        self.folder, self.keep, self.every = folder, keep, every
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

    def save(self, checkpoint: Checkpoint, after: Callable[[], None] = lambda: None) -> None:
        """Write a checkpoint in the background, call `after` when it is safe, then remove old ones.

        The tensors must not change any more. An earlier save is waited for, and its error is raised.
        """
        self.wait()
        self._writer = Thread(target=self._save, args=(checkpoint, after), name="ancestral-save")
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

    def _save(self, checkpoint: Checkpoint, after: Callable[[], None]) -> None:
        try:
            self.write(checkpoint)
            after()
            self._prune(checkpoint.step)
        except OSError as error:
            self._error = error

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
                wrong.append(str(error))
        return None, wrong

    def forget(self, step: int) -> None:
        """Remove the checkpoints after a step, to which training rolled back."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self.path(later), ignore_errors=True)

    def _prune(self, newest: int) -> None:
        """Remove the checkpoints that need not be kept. Those after `newest` are damaged."""
        steps = [step for step in self.steps() if step <= newest]
        kept = {*steps[-self.keep :], *(step for step in steps if self.every and step % self.every == 0)}
        for step in set(self.steps()) - kept:
            shutil.rmtree(self.path(step), ignore_errors=True)
