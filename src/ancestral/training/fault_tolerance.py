"""The saves of a run, and what keeps it alive when a step, a save or the data fail.

A bad step is skipped (`divergence`). After several in a row training goes back to the last good checkpoint, with a
lower learning rate. A save that fails is reported, once until one succeeds, and tried again at its next time; only the
last one has to succeed. Where training cannot go on, it saves first.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ancestral import model
from ancestral.base import storage
from ancestral.base.errors import InputError, survived
from ancestral.base.options import option
from ancestral.config import EARLY, Config
from ancestral.model import Model
from ancestral.training import divergence
from ancestral.training.averages import Snapshots, interval
from ancestral.training.checkpoints import Checkpoint, Checkpoints
from ancestral.training.distributed import Distributed
from ancestral.training.progress import Progress
from ancestral.training.run_folder import RunFolder
from ancestral.training.sample_distance import COMPARED_SAMPLES, SampleDistance
from ancestral.training.training_state import TrainingState


class Saves:
    """The saves of a run, which the first process writes, in the background."""

    def __init__(self, folder: RunFolder, config: Config, distributed: Distributed) -> None:
        self.folder, self.log_every, self.distributed = folder, config.runtime.log_every, distributed
        self.checkpoints = Checkpoints(folder.checkpoints, config.runtime.keep, config.runtime.keep_every)
        self._notes: set[str] = set()
        """The kinds of the notes that are given once, that on a save until one succeeds."""

    def save(self, state: TrainingState, config: Config) -> None:
        """Write a checkpoint, then the model and its config, in the background. All processes take part."""
        tensors = state.tensors()
        if not self.distributed.main:
            return
        averaged = {name.removeprefix("ema."): value for name, value in tensors.items() if name.startswith("ema.")}
        first = {id(parameter): name for name, parameter in state.net.named_parameters()}
        for name, parameter in state.net.named_parameters(remove_duplicate=False):  # shared weights have several names
            averaged[name] = averaged[first[id(parameter)]]
        buffers = {name: tensors[f"net.{name}"] for name, _ in state.net.named_buffers() if f"net.{name}" in tensors}
        metadata = model.metadata_of(state.denoiser, config, state.spec, state.step)
        tensors_of_model = averaged | buffers | model.autoencoder_tensors(state.spec)
        config_text = config.to_file_text()

        def publish() -> None:
            storage.write_text(self.folder.config, config_text)
            storage.write_tensors(self.folder.model, tensors_of_model, metadata)

        numbers = state.numbers() | ({"run": config.run} if config.run else {})
        self.checkpoints.save(Checkpoint(state.step, tensors, numbers), publish)

    def wait(self) -> None:
        """Wait until the last save is on the disk. Raises the OSError that stopped it; older checkpoints stay."""
        self.checkpoints.wait()

    def write_snapshot(self, state: TrainingState, config: Config, ending: bool) -> None:
        """Write the power-function averages if it is time, or the end. All processes take part.

        Raises OSError if the disk has no room for more than a checkpoint and the model.
        """
        every = interval(config.train.steps, state.pairs) if state.powers else 1
        if not state.powers or state.step == 0 or not (ending or state.step % every == 0):
            return
        tensors = state.average_tensors(state.powers)
        if self.distributed.main:
            if storage.free_bytes(self.folder.path) < state.pair_bytes + state.save_bytes:
                raise OSError("the disk has no room for more than checkpoints and the model")
            Snapshots(self.folder.snapshots).write(state.step, tensors, every, config.run)

    def write_best(self, best: Model, distance: SampleDistance) -> tuple[str, ...]:
        """Write the model with the smallest distance so far, and say if that fails.

        One of an earlier step with a smaller distance stays: a run that did not measure for a while forgot it.
        """
        if not self.distributed.main:
            return ()
        problems = list[str]()
        with survived("write the best model", problems, f"training goes on without {self.folder.best.name}"):
            self._write_best(best, distance)
        return tuple(self._once("best", problems[0]) if problems else ())

    def _write_best(self, best: Model, distance: SampleDistance) -> None:
        measured = {
            "distance": distance.best_distance.value,
            "error": distance.best_distance.error,
            "title": distance.title,
            "compared": f"{COMPARED_SAMPLES:,} samples, {distance.compared_with}",
        }
        metadata = model.metadata_of(best.diffusion, best.config, best.spec, best.step)
        before = self.folder.best_model()
        if before is not None and before.step < best.step:
            comparable = (before.title, before.compared) == (measured["title"], measured["compared"])
            if comparable and before.distance.value < distance.best_distance.value:
                return
        tensors = {**best.diffusion.net.state_dict(), **model.autoencoder_tensors(best.spec)}
        storage.write_tensors(self.folder.best, tensors, metadata | {"measured": json.dumps(measured)})

    def begin(self, step: int) -> None:
        """Remove the snapshots after a step, from which training goes on."""
        if self.distributed.main:
            Snapshots(self.folder.snapshots).forget(step)

    def go_back(self, state: TrainingState) -> None:
        """Restore the newest checkpoint without skipped steps, if there is one, and remove later ones."""
        self.checkpoints.settle()
        self.distributed.wait()
        restore_newest(self.checkpoints, state, lambda numbers: numbers["guard"]["bad"] == 0)
        self.distributed.wait()
        if self.distributed.main:
            self.checkpoints.forget(state.step)
            with contextlib.suppress(OSError):  # the steps after it are logged again
                self.folder.trim_log(state.step)
        self.begin(state.step)

    def log(self, progress: Progress) -> list[str]:
        """Append a step to the logs of the run if it is time, and say once if that fails.

        Called before the checkpoint of the step: no run that is killed has a checkpoint without its line.
        """
        validated = progress.validation
        validated = validated if validated is not None and validated.step == progress.step else None
        measured = progress.distance
        measured = measured if measured is not None and measured.step == progress.step else None
        due = progress.step % self.log_every == 0 or progress.step == progress.steps
        due = due or validated is not None or measured is not None
        if not self.distributed.main or not (due or progress.notes):
            return []
        problems = list[str]()
        with survived(f"log step {progress.step}", problems):
            self.folder.append_log(progress)
            if validated is not None:
                self.folder.append_validation(validated)
            if measured is not None:
                self.folder.append_distance(measured)
        return self._once("log", problems[0]) if problems else []

    def after_step(self, state: TrainingState, config: Config, due: bool, ending: bool) -> list[str]:
        """Write what is due after a step, and say what went wrong with it, or with the save before.

        A save is in the background, unless it is the end, or an early step, whose samples are shown next: then there is
        a model to sample from. Raises OSError if the last save fails; after an earlier one training goes on.
        """
        notes, problems = [], list[str]()
        with survived("write a snapshot", problems, "training goes on without snapshots for ancestral average"):
            self.write_snapshot(state, config, ending)  # before a checkpoint of this step
        if problems:
            notes += self._once("snapshot", problems[0])
        notes += self._failure(wait=due)
        if due:
            self.save(state, config)
        if ending:
            try:
                self.wait()
            except OSError as error:
                raise OSError(f"{error}; {self._what_is_left(state.step)}") from None
        elif due and state.step in EARLY:
            notes += self._failure(wait=True)
        return notes

    def _failure(self, wait: bool) -> list[str]:
        """Say what went wrong with the last save, which may be waited for, unless the one before failed too."""
        try:
            self.checkpoints.wait() if wait else self.checkpoints.check()
        except OSError as error:
            again = f"training goes on, and saves again at the next multiple of {option('save_every')}"
            return self._once("save", f"{error}; {again}")
        if wait and not self.checkpoints.failed:
            self._notes.discard("save")
        return []

    def _once(self, kind: str, note: str) -> list[str]:
        notes = [] if kind in self._notes else [note]
        self._notes.add(kind)
        return notes

    def _what_is_left(self, step: int) -> str:
        """Say what is on the disk after the last save failed."""
        checkpoint_step, model_step = self.checkpoints.newest_step(step), self.folder.model_step()
        model = f"the model file is of step {model_step}; " if model_step not in (None, checkpoint_step) else ""
        if not checkpoint_step:
            return f"{model}there is no checkpoint to resume from"
        loss = ", and the steps since are lost" if checkpoint_step < step else ""
        return f"{model}a resumed run goes on from step {checkpoint_step}{loss}"


def roll_back(saves: Saves | None, failed: TrainingState, state: TrainingState) -> str:
    """Give the state of step 0 the last good one, with a lower learning rate, and say so.

    Raises InputError if that did not help before.
    """
    guard = failed.guard
    if guard.rollbacks >= divergence.ROLLBACKS:
        raise InputError(
            f"training diverges again and again before step {failed.step}: try a lower {option('lr')}, or look "
            "at the data; what was saved is untouched"
        )
    if saves is not None:
        saves.go_back(state)
    guard.rolled_back(state.guard)
    state.guard = guard
    return (
        f"{divergence.SKIPS} bad steps in a row: back to step {state.step}, with {guard.lr_factor:g} times the "
        "learning rate"
    )


def save_at_once(saves: Saves | None, state: TrainingState, config: Config) -> str:
    """Save where training cannot go on, and say so; not where that takes all processes."""
    if saves is None or saves.distributed.shard or not saves.distributed.main:
        return "what was saved last is whole"
    saves.save(state, config)
    saves.checkpoints.wait()
    return f"saved after step {state.step}: {option('resume', True)} goes on"


def restore_newest(
    checkpoints: Checkpoints, state: TrainingState, good: Callable[[Mapping[str, Any]], bool] = lambda numbers: True
) -> list[str]:
    """Restore the newest whole checkpoint whose numbers are `good`, and list what is wrong with newer ones.

    Raises InputError if all are damaged, or the checkpoint does not fit the state.
    """
    checkpoint, wrong = checkpoints.newest(good)
    if checkpoint is None:
        if wrong:
            raise InputError(f"{wrong[0]}, and no other is left; give {option('out')} another name to start anew")
        return wrong
    try:
        state.restore(checkpoint.step, checkpoint.tensors, checkpoint.numbers)
    except InputError:  # says more
        raise
    except (KeyError, RuntimeError, ValueError, TypeError):
        raise InputError(
            f"{checkpoints.path(checkpoint.step)} does not fit the network, the objective or the optimiser of the run: "
            "one of them was changed"
        ) from None
    return wrong
