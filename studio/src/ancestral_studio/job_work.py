"""What a job of the queue does, in words, and how much it computes."""

import contextlib
import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestral.base.errors import InputError
from ancestral.base.registries import SAMPLERS
from ancestral_studio.posted_options import PostedOptions

SAMPLES, EDITED, WALKED = 64, 4, 9
"""Numbers of samples where none is given: of sample, of edit, and of interpolate."""
NOUNS = {
    "sample": ("sample", "samples"),
    "inpaint": ("filling", "fillings"),
    "restore": ("restoration", "restorations"),
    "vary": ("variation", "variations"),
    "interpolate": ("image between", "images between"),
}
"""What is made, by the command or the task of an edit: one, and several."""


@dataclass(frozen=True)
class JobWork:
    """What a job makes, as far as it is known.

    Attributes:
        task: sample, or the task of an edit.
        run: The name of the run.
        image: The names of the edited images; "" without one.
        count: The number of samples; None before the recipe that says it is read.
        sampler: The name of the sampler; "" is that of the task.
        steps: The number of its steps, if it is known.
        settings: Further settings on which the time of a sample depends.
    """

    task: str
    run: str
    image: str = ""
    count: int | None = None
    sampler: str = ""
    steps: int | None = None
    settings: tuple[Hashable, ...] = ()

    @property
    def text(self) -> str:
        """The words, as in "16 samples of digits, ddim of 50 steps"."""
        one, several = NOUNS.get(self.task, ("result", "results"))
        what = several if self.count is None else f"{self.count} {one if self.count == 1 else several}"
        if self.task == "sample":
            what += f" of {self.run}"
        else:
            what += f"{'' if self.task == 'interpolate' else ' of'} {self.image or 'conditions'} by {self.run}"
        steps = "" if self.steps is None else f"{self.steps} step{'' if self.steps == 1 else 's'}"
        return ", ".join(filter(None, (what, " of ".join(filter(None, (self.sampler, steps))))))

    @property
    def amount(self) -> int:
        """How much is computed, in steps of samples, or in samples; 0 if it is not known."""
        return (self.count or 0) * (self.steps or 1)

    @property
    def kind(self) -> tuple[Hashable, ...]:
        """What jobs share whose time grows with their amount alone."""
        return self.task, self.run, self.sampler, self.steps is None, *self.settings

    def planned(self, count: int, sampler: str) -> "JobWork":
        """Return the work with what its plan decided.

        Args:
            count: The number of samples.
            sampler: The sampler with its settings; "" is that of the task.
        """
        if not sampler:
            return dataclasses.replace(self, count=count)
        name, steps = _sampler(sampler, None, None)
        return dataclasses.replace(self, count=count, sampler=name, steps=steps or self.steps)


def work_of(posted: PostedOptions, run: str) -> JobWork:
    """Return what a job makes. The settings of its model are read, not its weights.

    Args:
        posted: Its options.
        run: The name of its run.
    """
    options: Any = posted.declaration
    task = getattr(options, "task", "sample")
    count = len(options.index) if options.index else options.n
    sampler, steps = options.sampler or "", options.steps
    if task == "sample":
        # a recipe, or the cells of a table, say what is made
        copied = any(getattr(options, name, None) is not None for name in ("like", "branch", "sweep"))
        count = count or (None if copied else SAMPLES)
        if not copied:
            sampler, steps = _sampler_of_run(Path(str(options.model)), sampler, steps)
    else:
        count = count or (WALKED if task == "interpolate" else EDITED)
        sampler = str(sampler).partition(":")[0]
    files = [getattr(options, name, None) for name in ("image", "other")]
    image = " and ".join(Path(str(file)).name for file in files if file is not None)
    further = ("guidance", "then", "method", "operator", "iterations", "weak", "threads", "batch_size", "sweep", "by")
    settings = tuple(str(getattr(options, name, None)) for name in further)
    return JobWork(task, run, image, count, str(sampler), steps, settings)


def _sampler_of_run(model: Path, sampler: str, steps: int | None) -> tuple[str, int | None]:
    """The name and the number of steps of a sampler, "" that of the run; what cannot be read fails in its job."""
    from ancestral.model import describe_file, find  # the studio starts without torch

    with contextlib.suppress(InputError, OSError):
        config, _ = describe_file(find(model))
        return _sampler(sampler or config.sample.sampler, steps, config.process.timesteps)
    return "", steps


def _sampler(text: str, steps: int | None, timesteps: int | None) -> tuple[str, int | None]:
    """The name of a sampler and the number of its steps: at most, and by default, all of the schedule."""
    entry, settings = SAMPLERS.read(text)
    steps = steps or settings.get("steps") or entry.defaults().get("steps") or timesteps
    return entry.name, min(steps, timesteps) if steps and timesteps else steps
