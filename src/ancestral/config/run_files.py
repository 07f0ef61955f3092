"""The files of a run folder: their names, what the logs hold, and their readers; which folders are runs.

config.json            the whole config
model.safetensors      the averaged weights, self-describing: all that sampling needs
best.safetensors       the averaged weights with the smallest measured distance of samples, a model file too
checkpoints/           raw weights, averages, optimiser and step, by step: all that a resume needs
snapshots/             two averages of the weights, by step: `ancestral average` makes others of them
samples/               grids of samples from training, beside each a recording of some (.wav) or a volume (.npz), and
                       what `ancestral sample` writes
evaluation/            results of `ancestral evaluate`, and the samples that they are of
log.csv                step, loss (also by time), learning rate, gradient, images per second, seconds
validation.csv         validation loss, loss of training items, rise over the minimum and its error, by step
distance.csv           distance of samples and its error, improvement and its error, by step
notes.txt              what else the user should know: faults, and where it was resumed
report.html            the report of the run
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ancestral.base.arguments import is_digits
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import Estimate

CONFIG, MODEL, BEST = "config.json", "model.safetensors", "best.safetensors"
CHECKPOINTS, SNAPSHOTS, SAMPLES, EVALUATION = "checkpoints", "snapshots", "samples", "evaluation"
LOG, VALIDATION, DISTANCE = "log.csv", "validation.csv", "distance.csv"
NOTES, REPORT = "notes.txt", "report.html"
CONDITIONS = "given.npz"
"""The file in SAMPLES with the images that the grids of training are conditioned on, for `sample --like`."""

IN_RUN = (LOG, MODEL, CHECKPOINTS)
"""A run folder holds CONFIG and one of these."""
RUN_OR_MODEL = (CONFIG, MODEL)
"""A folder that a model may be sampled from, or a run that has not saved yet, holds one of these."""
RUN_PARTS = {
    MODEL: "model",
    BEST: "model",
    CHECKPOINTS: "checkpoints",
    SNAPSHOTS: "snapshots",
    SAMPLES: "samples",
    "edits": "edits",
    EVALUATION: "evaluation",
    "average": "average",
    "tensorboard": "trackers",
    "wandb": "trackers",
}
"""Content of the files and folders in a run folder, by their names."""
AUTOENCODER_FOLDER = "autoencoder"
"""The folder of the run that trains the autoencoder of a run in a latent space."""
OF_RUN = {CONFIG, LOG, VALIDATION, DISTANCE, NOTES, REPORT, AUTOENCODER_FOLDER, "README.md", "card.png", *RUN_PARTS}
"""All names of files and folders in a run folder."""
GRID_DIGITS = 6
"""Smallest number of digits in the name of a grid of samples, its step."""
RUNS = "runs"
"""The folder in which commands write where no other is given."""
REPORTS = ("compare", "doctor", "studio")
"""Folders in RUNS that hold what commands write of data and of several runs, and are no runs."""
LOSS_HARDLY_FALLS = "the loss hardly falls after the first few hundred steps, and samples still improve: that is normal"
"""What users ask most about a training, as the log, the report and the docs say it."""


@dataclass
class LogTable:
    """A log of a run: numbers by step, in a file that another process may append to.

    A line counts once it is whole. Where the steps fall, as after a rollback, the later lines replace the earlier ones.

    Attributes:
        path: The file.
        header: The names of its columns.
        rows: The rows, the step first, in rising order of it.
        falls: How often rows were replaced by later ones.
    """

    path: Path
    header: list[str] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    falls: int = 0
    _offset: int = 0
    _inode: int = -1

    def read(self) -> None:
        """Read the lines that were added, or all where the file was written anew."""
        try:
            with self.path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_ino != self._inode or facts.st_size < self._offset:
                    self._begin(facts.st_ino)
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            self._begin(-1)
            return
        self._offset += len(whole) + len(newline)
        for line in whole.decode("utf-8", "replace").splitlines() if newline else ():
            self._add(line.split(","))

    @property
    def version(self) -> str:
        """A text that changes whenever rows that were read before do not count any more."""
        return f"{self._inode}.{self.falls}"

    def after(self, step: float) -> list[list[float]]:
        """List the rows after a step."""
        last = len(self.rows)
        while last and self.rows[last - 1][0] > step:
            last -= 1
        return self.rows[last:]

    def _begin(self, inode: int) -> None:
        self.header, self.rows, self.falls, self._offset, self._inode = [], [], 0, 0, inode

    def _add(self, words: list[str]) -> None:
        if not self.header:
            self.header = words
        elif row := _numbers(words, self.header):
            fell = bool(self.rows) and self.rows[-1][0] >= row[0]
            while self.rows and self.rows[-1][0] >= row[0]:
                self.rows.pop()
            self.rows.append(row)
            self.falls += fell


def read_log(path: Path) -> LogTable:
    """Read a log of a run as it is now; an empty one without a file."""
    table = LogTable(path)
    table.read()
    return table


def last_row(path: Path) -> list[float] | None:
    """Read the last row of a log of a run, the step first; None without one."""
    with contextlib.suppress(OSError):
        whole = path.read_bytes().rpartition(b"\n")[0].decode("utf-8", "replace")
        header, *lines = (line.split(",") for line in whole.splitlines() or [""])
        return next(filter(None, (_numbers(words, header) for words in reversed(lines))), None)
    return None


def check_same_run(runs: Mapping[Path, str]) -> None:
    """Raise InputError if files are of different runs.

    Args:
        runs: The identity of the run of each file; "" where it names none.
    """
    named = {path: run for path, run in runs.items() if run}
    first = next(iter(named), None)
    for path, run in named.items():
        if first is not None and run != named[first]:
            raise InputError(
                f"files of two runs are mixed: {path} is of the run {run}, and {first} of the run {named[first]}; put "
                "the files of each run into a folder of its own"
            )


def grids_of(folder: Path) -> dict[int, Path]:
    """Find the grids of samples that training wrote into a folder, by their steps, the first one first."""
    with contextlib.suppress(OSError):
        paths = (path for path in folder.glob("*.png") if path.stem.isdecimal() and len(path.stem) >= GRID_DIGITS)
        return dict(sorted((int(path.stem), path) for path in paths))
    return {}


def _numbers(words: Sequence[str], header: Sequence[str]) -> list[float] | None:
    """The numbers of a line; None of a damaged one."""
    with contextlib.suppress(ValueError):
        if len(words) == len(header) > 1 and is_digits(words[0]):
            return [float(word) for word in words]
    return None


def is_run(folder: str | Path) -> bool:
    """Tell whether a folder is a run folder."""
    path = Path(folder)
    try:
        return (path / CONFIG).is_file() and any((path / name).exists() for name in IN_RUN)
    except PermissionError:  # a folder that may not be read
        return False


def is_output(folder: str | Path) -> bool:
    """Tell whether a folder is a run, a folder of reports, or the folder RUNS with one of them in it."""
    path = Path(folder)
    if is_run(path) or _is_report(path):
        return True
    if path.name != RUNS:
        return False
    with contextlib.suppress(OSError):
        return any(_is_report(inner) or is_run(inner) for inner in path.iterdir())
    return False


def _is_report(path: Path) -> bool:
    return path.name in REPORTS and path.absolute().parent.name == RUNS


def check_outside(path: Path, data: object) -> None:
    """Check that a picture is not written among the data, where training would read it.

    Args:
        path: The file, or the folder of files, that is written.
        data: The source of the data. Only of a folder the path can be a part.

    Raises:
        InputError: If it lies in the folder, and in no run or reports there.
    """
    root, place = _root(data), path.resolve()
    if root is not None and place.is_relative_to(root) and not any(map(is_output, _folders_below(root, place))):
        raise InputError(f"{path} lies in the data and would be trained on; give {option('out')} a place outside")


def check_run_folder(folder: Path, data: object) -> None:
    """Check that a new run folder holds no part of the data, which would be skipped as a run from then on.

    Raises:
        InputError: If it lies in the data and is not empty.
    """
    root, place = _root(data), folder.resolve()
    if root is None or not place.is_relative_to(root) or not place.is_dir() or is_output(place):
        return
    if any(not entry.name.startswith(".") for entry in place.iterdir()):
        raise InputError(
            f"{folder} holds data, and a run folder is skipped as data; give {option('out')} a folder of its own"
        )


def _root(data: object) -> Path | None:
    root = Path(data).expanduser().resolve() if isinstance(data, str | Path) and data else None
    return root if root is not None and root.is_dir() else None


def _folders_below(root: Path, place: Path) -> list[Path]:
    return [folder for folder in (place, *place.parents) if folder != root and folder.is_relative_to(root)]


@dataclass(frozen=True)
class ValidationLosses:
    """The loss of the averaged weights at a step, with the same times and noise at every step."""

    step: int
    validation: float
    """The loss of items that are held out."""
    training: float
    """The loss of as many training items."""
    rise: float
    """Rise of the validation loss above its minimum so far."""
    rise_error: float
    """The standard error of the rise: its items are paired."""


@dataclass(frozen=True)
class MeasuredDistance:
    """The distance (KID) of samples of the averaged weights to real items, with the same noise at every step."""

    step: int
    distance: float
    error: float
    """The standard error of the distance: how much it would vary with other samples and other real items."""


@dataclass(frozen=True)
class BestModel:
    """The averaged weights with the smallest measured distance, in a model file of their own."""

    file: str
    step: int
    distance: Estimate
    title: str
    """Title of the distance, by its feature extractor: KID-lite0, ..."""
    compared: str
    """Samples and real items that were compared, in words."""

    def __str__(self) -> str:
        return f"{self.file}, step {self.step:,}, {self.title} {self.distance} ({self.compared})"


@dataclass(frozen=True)
class TrainingCost:
    """Time in seconds and memory in bytes of a training run, from `measured` steps, of which the median counts."""

    device: str
    dtype: str
    shape: tuple[int, ...]
    parameters: int
    batch_size: int
    steps: int
    measured: int
    scaled_from: int
    """The batch size that was measured; if it is less than `batch_size`, time and memory were scaled up."""
    seconds_per_step: float
    seconds: float
    """Time of all steps, without checkpoints and previews."""
    weights: int
    """Weights, gradients, averages and moments; a checkpoint with the model file has the same size."""
    data: int
    memory: int
    """At most, with the data if it is held in memory: in addition to the program's on a CPU, else on the GPU."""
    available: int
    snapshots: int = 0
    network: str | None = None
    chosen: str | None = None
    """Settings that were chosen by the size of the items, and why; None if all settings were given."""
    micro_batch: int | None = None
    """The largest number of items at once whose memory is free, 0 for none; None if a whole step fits."""

    @property
    def fits(self) -> bool:
        """Whether the memory of a step is free."""
        return self.memory <= self.available
