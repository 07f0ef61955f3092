"""Where the curves of a run are logged: log.csv, TensorBoard, and custom trackers."""

import contextlib
import importlib.util
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from ancestral.base.arguments import function_name, shown
from ancestral.base.errors import InputError, install_command, survived
from ancestral.base.options import option
from ancestral.base.plugins import import_effects_undone
from ancestral.training.progress import BINS, Progress
from ancestral.training.run_folder import RunFolder

Log: TypeAlias = Callable[[int, Mapping[str, float | Image.Image]], object]
"""A function of a step, and of its numbers and pictures by name, which logs them."""
Tracker: TypeAlias = Callable[[Path, int], AbstractContextManager[Log]]
"""A function of the run folder and of the step that training goes on from. It returns a context manager, which gives
the function that logs, and ends the tracker.
"""
TENSORBOARD = "tensorboard"


def used_trackers(names: Sequence[str]) -> list[str]:
    """Return the names without "none", and with tensorboard in the place of "auto", where it is installed."""
    automatic = TENSORBOARD if importlib.util.find_spec(TENSORBOARD) else "none"
    return [name for name in (automatic if name == "auto" else name for name in names) if name != "none"]


def check_trackers(names: Sequence[str]) -> list[str]:
    """Return the names of the trackers that are used. Raises InputError if one is unknown or not installed."""
    names = used_trackers(names)
    for name in names:
        if name != TENSORBOARD:
            raise InputError(
                f"there is no tracker {shown(name)}: give tensorboard, auto or none, or name a custom function, "
                f"{option('trackers', 'package.module:function')}"
            )
        if importlib.util.find_spec(TENSORBOARD) is None:
            raise InputError(
                f"{option('trackers', name)} needs {install_command(TENSORBOARD)}; or leave it out: log.csv and "
                "report.html need no package"
            )
    return names


@contextlib.contextmanager
def tensorboard(folder: Path, step: int) -> Iterator[Log]:
    """Log to TensorBoard, in the folder `tensorboard` of the run.

    Args:
        folder: The run folder.
        step: The step that training goes on from: points after it, of a run that was killed, are removed.
    """
    from torch.utils.tensorboard import SummaryWriter

    place = folder / TENSORBOARD
    writer = SummaryWriter(str(place), purge_step=step + 1)
    file: Any = writer.file_writer

    def log(step: int, values: Mapping[str, float | Image.Image]) -> None:
        place.mkdir(exist_ok=True)  # its thread would end with a traceback if the run was removed
        for name, value in values.items():
            if isinstance(value, Image.Image):
                writer.add_image(name, np.asarray(value.convert("RGB")), step, dataformats="HWC")
            else:
                writer.add_scalar(name, value, step)
        writer.flush()  # raises what stopped its thread

    try:
        yield log
    finally:
        try:
            writer.close()
        finally:  # ends its thread even if the file cannot be written
            file.close()


def named_trackers(names: Sequence[str]) -> list[Tracker]:
    """Return the trackers of names, as `check_trackers` does."""
    return [tensorboard for _ in check_trackers(names)]


class Trackers:
    """The log and the trackers of a run; a context manager, which starts and ends them.

    Meanwhile TensorBoard's thread, which ends where it cannot write, prints no traceback: `log` returns its error.
    """

    def __init__(self, folder: RunFolder, trackers: Sequence[Tracker], T: int, step: int) -> None:
        """Arguments: the run folder, the trackers, the number of diffusion steps, and the step of the run."""
        self.folder, self.trackers, self.step = folder, trackers, step
        self.labels = [f"loss by time/{n * T // BINS + 1}-{(n + 1) * T // BINS}" for n in range(BINS)]
        self.problems: list[str] = []
        """The trackers that could not be started, a line each."""
        self._logs: list[Log] = []
        self._started = contextlib.ExitStack()
        self._failed = False
        self._excepthook = threading.excepthook

    def log(self, progress: Progress) -> str | None:
        """Log a step. Returns a line on what went wrong, the first time; training does not depend on it."""
        values: dict[str, float | Image.Image] = {
            "loss": progress.loss,
            "learning rate": progress.lr,
            "gradient norm": progress.gradient_norm,
            "images per second": progress.images_per_second,
        }
        values |= {label: mean for label, mean in zip(self.labels, progress.by_time, strict=True) if mean == mean}
        if (validation := progress.validation) is not None and validation.step == progress.step:
            values |= {"validation loss": validation.validation, "loss of training items": validation.training}
        if (measured := progress.distance) is not None and measured.step == progress.step:
            values["distance of samples"] = measured.distance
        problems = list[str]()
        with survived(f"log step {progress.step}", problems):
            self.folder.append_notes(progress.step, progress.notes)
        return self._logged(progress.step, values, problems)

    def picture(self, image: Image.Image, step: int) -> str | None:
        """Log a grid of samples. Returns a line as `log` does."""
        return self._logged(step, {"samples": image}, [])

    def _logged(self, step: int, values: Mapping[str, float | Image.Image], problems: list[str]) -> str | None:
        for log in self._logs:
            with survived(f"log step {step}", problems):
                log(step, values)
        if not problems or self._failed:
            return None
        self._failed = True
        return problems[0]

    def _no_traceback(self, failure: threading.ExceptHookArgs) -> None:
        if not type(failure.thread).__module__.startswith("tensorboard."):
            self._excepthook(failure)

    def __enter__(self) -> "Trackers":
        self._excepthook, threading.excepthook = threading.excepthook, self._no_traceback
        for tracker in self.trackers:
            name = TENSORBOARD if tracker is tensorboard else function_name(tracker)
            with (
                survived(f"start the tracker {name}", self.problems, "training goes on without it"),
                import_effects_undone(),
            ):
                self._logs.append(self._started.enter_context(tracker(self.folder.path, self.step)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):
            self._started.__exit__(kind, error, trace)
        if threading.excepthook == self._no_traceback:  # else that of another training in a thread, which needs it
            threading.excepthook = self._excepthook
