"""What keeps a run alive, and its work on the disk, when a step, a save, the data or the run folder fails.

A bad step is skipped (`divergence`). After several in a row training goes back to the last good checkpoint, with a
lower learning rate. A save that fails is said once, and tried again at its next time; only the last one has to succeed.
Where training cannot go on, it saves first.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

from ancestral.config import EARLY
from ancestral.errors import InputError
from ancestral.options import option
from ancestral.training import divergence
from ancestral.training.saving import Saves, restore_newest
from ancestral.training.snapshots import Snapshots
from ancestral.training.training_state import TrainingState

PARTS = ("snapshots", "checkpoints")
"""Folders of a run with a part for each of several steps."""


class FaultTolerance:
    """The saves of a run that goes on, and the returns to them.

    Args:
        saves: Where to save; None for a run that is saved nowhere.
    """

    def __init__(self, saves: Saves | None) -> None:
        self.saves = saves
        self._said: set[str] = set()
        """The kinds of notes that were given on writes that failed."""

    def begin(self, step: int) -> None:
        """Remove the snapshots after a step, from which training goes on."""
        if self.saves is not None and self.saves.distributed.main:
            Snapshots(self.saves.folder.snapshots).forget(step)

    def close(self) -> None:
        """Wait for the last save, whether it fails or not."""
        if self.saves is not None:
            self.saves.checkpoints.settle()

    def follow(self) -> list[str]:
        """Find the run folder if it was renamed or removed, and say so."""
        line = "" if self.saves is None else self.saves.folder.follow()
        return [line] if line else []

    # -- back to a good state -----------------------------------------------------------------------------------------

    def go_back(self, begin: Callable[[], TrainingState]) -> TrainingState:
        """Return the state of the newest checkpoint without skipped steps, or of step 0. All processes take part.

        Args:
            begin: Makes the state of step 0.
        """
        state = begin()
        if self.saves is not None:
            self.saves.checkpoints.settle()
            self.saves.distributed.wait()
            restore_newest(self.saves.checkpoints, state, lambda numbers: numbers["guard"]["bad"] == 0)
            self.saves.distributed.wait()
            self.saves.forget(state.step)
        return state

    def roll_back(self, failed: TrainingState, begin: Callable[[], TrainingState]) -> tuple[TrainingState, str]:
        """Return the last good state, with a lower learning rate, and a line that says so.

        Raises:
            InputError: If that did not help before.
        """
        guard = failed.guard
        if guard.rollbacks >= divergence.ROLLBACKS:
            raise InputError(
                f"training diverges again and again before step {failed.step}: try a lower {option('lr')}, or look "
                "at the data; what was saved is untouched"
            )
        state = self.go_back(begin)
        guard.rolled_back(state.guard)
        state.guard = guard
        return state, (
            f"{divergence.SKIPS} bad steps in a row: back to step {state.step}, with {guard.lr_factor:g} times the "
            "learning rate"
        )

    # -- saves that may fail ------------------------------------------------------------------------------------------

    def save(self, state: TrainingState, due: bool, ending: bool) -> list[str]:
        """Write what is due after a step, and say what went wrong with it, or with the save before.

        A save is in the background, unless it is the end, or an early step, whose samples are shown next: then there is
        a model to sample from.

        Args:
            state: The state after the step.
            due: Whether a checkpoint is due.
            ending: Whether the run ends here.

        Raises:
            OSError: If the last save fails; after an earlier one that failed, training goes on.
        """
        saves = self.saves
        if saves is None:
            return []
        notes = self._write_snapshot(saves, state, ending)  # before a checkpoint of this step
        notes += self._failure(saves, wait=due)
        if due:
            saves.save(state)
        if ending:
            try:
                saves.wait()
            except OSError as error:
                raise OSError(f"{error}; {_what_is_left(saves, state.step)}") from None
        elif due and state.step in EARLY:
            notes += self._failure(saves, wait=True)
        for kind, paths in itertools.groupby(saves.checkpoints.take_removed(), key=_part_of_run):
            count = sum(1 for _ in paths)
            what = f"{count} of the {kind}" if kind in PARTS else kind
            notes += self._once(f"removed {kind}", f"the disk is full: removed {what} to make room for a save")
        return notes

    def save_at_once(self, state: TrainingState) -> str:
        """Save where training cannot go on, and say so; not where that takes all processes."""
        if self.saves is None or self.saves.distributed.shard or not self.saves.distributed.main:
            return "what was saved last is whole"
        self.saves.save(state)
        self.saves.checkpoints.wait()
        return f"saved after step {state.step}: {option('resume', True)} goes on"

    def _write_snapshot(self, saves: Saves, state: TrainingState, ending: bool) -> list[str]:
        try:
            saves.write_snapshot(state, ending)
        except OSError as error:
            return self._once("snapshot", f"{error}; training goes on without snapshots for ancestral average")
        return []

    def _failure(self, saves: Saves, wait: bool) -> list[str]:
        """Say what went wrong with the last save, which may be waited for."""
        try:
            if wait:
                saves.wait()
                self._said -= set() if saves.checkpoints.failed else {"save"}
            else:
                with saves.folder.lasting():
                    saves.checkpoints.check()
        except OSError as error:
            again = f"training goes on, and saves again at the next multiple of {option('save_every')}"
            return self._once("save", f"{error}; {again}")
        return []

    def _once(self, kind: str, note: str) -> list[str]:
        """Return the note, unless one of its kind was given: of saves since one succeeded."""
        notes = [] if kind in self._said else [note]
        self._said.add(kind)
        return notes


def _what_is_left(saves: Saves, step: int) -> str:
    """Say what is on the disk after the last save failed."""
    kept, published = saves.checkpoints.newest_step(step), saves.folder.model_step()
    model = f"the model file is of step {published}; " if published not in (None, kept) else ""
    if not kept:
        return f"{model}there is no checkpoint to resume from"
    lost = ", and the steps since are lost" if kept < step else ""
    return f"{model}a resumed run goes on from step {kept}{lost}"


def _part_of_run(path: Path) -> str:
    """What a file or folder of a run is: one of the snapshots or checkpoints, the model or the report."""
    return path.parent.name if path.parent.name in PARTS else f"the {path.stem}"
