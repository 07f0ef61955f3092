"""The runs of a folder, and what may be removed from them."""

from dataclasses import dataclass, field
from typing import ClassVar

from ancestral.base.quantities import Estimate
from ancestral.base.result import Result
from ancestral.config.run_files import BestModel


@dataclass(frozen=True)
class RunSummary:
    """A training run in a line: its last step that was saved or logged, of `steps`, and its bytes on disk."""

    name: str
    """The path of the run folder, within the folder of the list."""
    data: str
    preset: str
    step: int
    steps: int
    size: int
    changed: str
    """When a file of the run changed last, as ISO 8601 in local time."""
    loss: float | None = None
    """The last loss in the log; None without one."""
    distance: Estimate | None = None
    """The Fréchet distance of samples to the training data; None if this state of the model was not evaluated."""
    distance_name: str | None = None
    """Title of the distance, by its feature extractor: FD-lite0, FID, ..."""
    best: BestModel | None = None
    """The model with the smallest distance that was measured while training; None if none was."""
    parts: dict[str, int] = field(default_factory=dict)
    """Bytes on disk by what they hold: a value of `run_files.RUN_PARTS`, or "other"."""


@dataclass(frozen=True)
class RunList(Result):
    """The runs of a folder, the one that changed last first, and its folders that cannot be read as runs."""

    SCHEMA: ClassVar[str] = "runs-1"

    folder: str
    runs: tuple[RunSummary, ...]
    problems: tuple[str, ...] = ()
    """Damaged files, and folders that are no runs, a line each."""


@dataclass(frozen=True)
class Removal:
    """A file or folder that a finished run no longer needs, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class CleaningResult(Result):
    """Files that were removed from finished runs, or would be."""

    SCHEMA: ClassVar[str] = "cleaning-1"

    folder: str
    removals: tuple[Removal, ...]
    removed: bool
    problems: tuple[str, ...] = ()
    """Runs that were left alone, and why, a line each."""
