"""Where the curves of a run are logged: log.csv, and the trackers that Accelerate knows by name."""

import contextlib
import importlib.util
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ancestral.base.arguments import nearest
from ancestral.base.errors import InputError, install_command, pip_install, survived
from ancestral.base.options import option
from ancestral.base.plugins import import_effects_undone
from ancestral.training.progress import BINS, Progress
from ancestral.training.run_folder import RunFolder


def used_trackers(names: Sequence[str]) -> list[str]:
    """Return the names without "none", and with tensorboard in the place of "auto", where it is installed."""
    automatic = "tensorboard" if all(map(importlib.util.find_spec, ("tensorboard", "accelerate"))) else "none"
    return [name for name in (automatic if name == "auto" else name for name in names) if name != "none"]


def check_trackers(names: Sequence[str]) -> list[str]:
    """Return the names of the trackers that are used. Raises InputError if one is unknown or not installed."""
    names = used_trackers(names)
    if not names:
        return names
    if importlib.util.find_spec("accelerate") is None:
        extra = "tensorboard" if "tensorboard" in names else "trackers"
        raise InputError(
            f"{option('trackers', *names)} needs {install_command(extra)}; or leave it out: log.csv and report.html "
            "need no package"
        )
    with import_effects_undone():
        # Accelerate imports tqdm's bar for notebooks, which warns where ipywidgets is missing, and which is not shown
        warnings.filterwarnings("ignore", message="IProgress not found")
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    installed = [str(name) for name in get_available_trackers()]
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            hint = f"did you mean {near}? There" if (near := nearest(name, LOGGER_TYPE_TO_CLASS)) else "there"
            raise InputError(f"there is no tracker {name!r}; {hint} are {', '.join(LOGGER_TYPE_TO_CLASS)}")
        if name not in installed:
            raise InputError(
                f"the tracker {name} is not installed: {pip_install()} {name}, or leave it out of {option('trackers')}"
            )
    return names


class Trackers:
    """The log and the trackers of a run that is at `step`; a context manager, which closes them.

    Meanwhile TensorBoard's thread, which ends where it cannot write, prints no traceback: `log` returns its error.
    """

    def __init__(self, folder: RunFolder, names: Sequence[str], T: int, step: int) -> None:
        self.folder = folder
        self.labels = [f"loss by time/{n * T // BINS + 1}-{(n + 1) * T // BINS}" for n in range(BINS)]
        self.trackers: list[Any] = []
        self.problems: list[str] = []
        """The trackers that could not be started, a line each."""
        self._failed = False
        self._excepthook = threading.excepthook
        for name in check_trackers(names):
            with survived(f"start the tracker {name}", self.problems, "training goes on without it"):
                self._start(name, step)

    def _start(self, name: str, step: int) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        options: dict[str, Any] = {}
        if name == "tensorboard":  # removes points after `step`, of a run that was killed
            options = {"logging_dir": str(self.folder.path), "purge_step": step + 1}
        elif name == "wandb":
            options = {"dir": str(self.folder.path), "name": self.folder.path.name, "resume": "allow"}
        tracker: Any = LOGGER_TYPE_TO_CLASS[name]("tensorboard" if name == "tensorboard" else "ancestral", **options)
        with import_effects_undone():  # of the packages of the tracker
            tracker.start()
        self.trackers.append(tracker)

    def log(self, progress: Progress) -> str | None:
        """Log a step. Returns a line on what went wrong, the first time; training does not depend on it."""
        values = {
            "loss": progress.loss,
            "learning rate": progress.lr,
            "gradient norm": progress.gradient_norm,
            "images per second": progress.images_per_second,
        }
        values |= {label: mean for label, mean in zip(self.labels, progress.by_time, strict=True) if mean == mean}
        problems = list[str]()
        with survived(f"log step {progress.step}", problems):
            if (validation := progress.validation) is not None and validation.step == progress.step:
                values |= {"validation loss": validation.validation, "loss of training items": validation.training}
            if (measured := progress.distance) is not None and measured.step == progress.step:
                values["distance of samples"] = measured.distance
            self.folder.append_notes(progress.step, progress.notes)
            for tracker in self.trackers:
                if tracker.name == "tensorboard":  # its thread would end with a traceback if the run was removed
                    (self.folder.path / "tensorboard").mkdir(exist_ok=True)
                tracker.log(values, step=progress.step)
        return self._told_once(problems)

    def picture(self, image: Image.Image, step: int) -> str | None:
        """Log a grid of samples with the trackers that take images. Returns a line as `log` does."""
        problems = list[str]()
        for tracker in self.trackers:
            with survived(f"log step {step}", problems):
                if tracker.name == "tensorboard":
                    pixels = np.asarray(image.convert("RGB"))[None]
                    tracker.log_images({"samples": pixels}, step=step, dataformats="NHWC")
                    tracker.writer.flush()  # raises what stopped its thread
                elif hasattr(tracker, "log_images"):
                    tracker.log_images({"samples": [image]}, step=step)
        return self._told_once(problems)

    def _told_once(self, problems: list[str]) -> str | None:
        if not problems or self._failed:
            return None
        self._failed = True
        return problems[0]

    def _no_traceback(self, failure: threading.ExceptHookArgs) -> None:
        if not type(failure.thread).__module__.startswith("tensorboard."):
            self._excepthook(failure)

    def __enter__(self) -> "Trackers":
        self._excepthook, threading.excepthook = threading.excepthook, self._no_traceback
        return self

    def __exit__(self, *_: object) -> None:
        for tracker in self.trackers:
            with contextlib.suppress(Exception):
                try:
                    tracker.finish()
                finally:
                    if tracker.name == "tensorboard":  # ends its thread even if the file cannot be written
                        tracker.writer.file_writer.close()
        if threading.excepthook == self._no_traceback:  # else that of another training in a thread, which needs it
            threading.excepthook = self._excepthook
