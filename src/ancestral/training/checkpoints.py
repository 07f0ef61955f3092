"""Checkpoints: written in the background, whole or not at all, and read back before an older one is removed.

checkpoints/000600/state.safetensors    the tensors
checkpoints/000600/manifest.json        the step, more numbers, the SHA-256 of the other file, and that of all of these
"""

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from torch import Tensor

from ancestral.base import storage
from ancestral.base.arguments import parse_json
from ancestral.base.errors import InputError

TENSORS, MANIFEST = "state.safetensors", "manifest.json"
CHECKPOINT_FORMAT = "ancestral-checkpoint-1"


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
        self.failed = False
        """Whether the last save failed."""

    def steps(self) -> list[int]:
        """List the steps that were saved, whole or damaged, oldest first."""
        return sorted(int(path.name) for path in self.folder.glob("*") if path.name.isdecimal() and path.is_dir())

    @property
    def last_step(self) -> int:
        """The last step that was saved, whole or damaged; 0 if none was."""
        return max(self.steps(), default=0)

    def path(self, step: int) -> Path:
        """The folder of a step."""
        return self.folder / f"{step:06d}"

    def save(self, checkpoint: Checkpoint, publish: Callable[[], None] = lambda: None) -> None:
        """Write a checkpoint in the background, remove old ones, and publish the model.

        An earlier save is waited for, and its error is raised.

        Args:
            checkpoint: The checkpoint, whose tensors must not change any more.
            publish: Writes the model file, once the checkpoint is on the disk.
        """
        self.wait()
        save = partial(self._save, checkpoint, publish)
        self._writer = Thread(target=save, name="ancestral-save")
        try:
            self._writer.start()
        except RuntimeError:  # there is no memory for one more thread
            self._writer = None
            save()

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

    def _save(self, checkpoint: Checkpoint, publish: Callable[[], None]) -> None:
        """Write a checkpoint and the model, and note what stops that: nobody sees what a thread raises."""
        error: OSError | None = None
        try:
            self.write(checkpoint)
            self._prune(checkpoint.step)
            publish()
        except OSError as failure:
            error = failure
        except MemoryError:
            error = OSError(errno.ENOMEM, "there is not enough memory for a save")
        except Exception as failure:
            error = OSError(f"the save failed ({type(failure).__name__}: {failure})")
        self._error, self.failed = error, error is not None

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and read it back, unless it is there already. Raises OSError if either fails."""
        path = self.path(checkpoint.step)
        if path.exists():
            if self._is_whole(checkpoint.step):
                return
            shutil.rmtree(path)
        with storage.atomic_folder(path) as folder:
            content = storage.tensors_to_bytes(checkpoint.tensors)
            manifest: dict[str, Any] = {
                "format": CHECKPOINT_FORMAT,
                "step": checkpoint.step,
                "sha256": {TENSORS: hashlib.sha256(content).hexdigest()},
                "facts": dict(checkpoint.numbers),
            }
            manifest["sha256"][MANIFEST] = _digest_of(manifest)
            storage.write_bytes(folder / TENSORS, content)
            storage.write_text(folder / MANIFEST, json.dumps(manifest, indent=2))
        try:
            self.verify(checkpoint.step)
        except InputError as error:
            raise OSError(f"{error}, though it was just written: is the disk failing?") from None

    def manifest(self, step: int) -> dict[str, Any]:
        """Read the manifest of a checkpoint. Raises InputError if it is missing, or not what was written."""
        path = self.path(step)
        try:
            manifest: dict[str, Any] = parse_json((path / MANIFEST).read_text(encoding="utf-8"))
            whole = (
                manifest["format"] == CHECKPOINT_FORMAT
                and manifest["step"] == step
                and isinstance(manifest["facts"], dict)
            )
            old = MANIFEST not in manifest["sha256"]
            whole = whole and manifest["sha256"].get(MANIFEST) == _digest_of(manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no whole checkpoint ({type(error).__name__})") from None
        if old:
            raise InputError(f"{path} has no SHA-256 of its manifest, as those before version 1.0")
        if not whole:
            raise InputError(f"{path} is no whole checkpoint: it was changed or cut short")
        return manifest

    def verify(self, step: int) -> dict[str, Any]:
        """Read the manifest of a whole checkpoint. Raises InputError if a file is missing, cut short or changed."""
        path, manifest = self.path(step), self.manifest(step)
        try:
            whole = manifest["sha256"][TENSORS] == storage.sha256(path / TENSORS)
        except OSError as error:
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
                numbers = self.verify(step)["facts"]
                if good(numbers):
                    return Checkpoint(step, storage.read_tensors(self.path(step) / TENSORS)[0], numbers), wrong
            except InputError as error:
                wrong.append(error.text)
        return None, wrong

    def newest_step(self, last: int) -> int:
        """Find the step of the newest whole checkpoint up to step `last`; 0 if there is none."""
        return next((step for step in reversed(self.steps()) if step <= last and self._is_whole(step)), 0)

    def forget(self, step: int) -> None:
        """Remove the checkpoints after a step, to which training rolled back."""
        self._remove(later for later in self.steps() if later > step)

    def _prune(self, newest: int) -> None:
        """Remove the checkpoints that need not be kept. Those after `newest` are damaged."""
        steps = [step for step in self.steps() if step <= newest]
        self._remove(set(self.steps()) - {*steps[-self.keep :], *filter(self._on_purpose, steps)})

    def _remove(self, steps: Iterable[int]) -> None:
        for step in steps:
            shutil.rmtree(self.path(step), ignore_errors=True)

    def _is_whole(self, step: int) -> bool:
        with contextlib.suppress(InputError):
            return bool(self.verify(step))
        return False

    def _on_purpose(self, step: int) -> bool:
        return self.every > 0 and step % self.every == 0


def _digest_of(manifest: Mapping[str, Any]) -> str:
    content = {**manifest, "sha256": {TENSORS: manifest["sha256"][TENSORS]}}
    plain = json.loads(json.dumps(content))  # JSON has no tuples, and keys are text
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
