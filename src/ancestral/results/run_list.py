"""The runs of a folder, and what may be removed from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ancestral.arguments import short_source
from ancestral.results.estimate import Estimate
from ancestral.results.result import Result
from ancestral.results.table import Table

PARTS = {
    "model.safetensors": "model",
    "checkpoints": "checkpoints",
    "snapshots": "snapshots",
    "samples": "samples",
    "evaluation": "evaluation",
    "average": "average",
    "tensorboard": "trackers",
    "wandb": "trackers",
    "trackio": "trackers",
}
"""What the files and folders in a run folder hold, by their names."""


@dataclass(frozen=True)
class RunSummary:
    """A training run in a line."""

    name: str
    """The path of the run folder, within the folder of the list."""
    data: str
    preset: str
    step: int
    """The last step that was saved or logged."""
    steps: int
    """The number of steps of the run."""
    size: int
    """Bytes on disk of all its files."""
    changed: str
    """When a file of the run changed last, as ISO 8601 in local time."""
    loss: float | None = None
    """The last loss in the log; None without one."""
    distance: Estimate | None = None
    """The Fréchet distance of samples to the training data; None if this state of the model was not evaluated."""
    distance_name: str | None = None
    """What the distance is called, by its feature extractor: FD-lite0, FID, ..."""
    parts: dict[str, int] = field(default_factory=dict)
    """Bytes on disk by what they hold: a value of PARTS, or "other"."""

    def cells(self) -> list[str]:
        """The texts of a row."""
        distance = "–" if self.distance is None else f"{self.distance} {self.distance_name}"
        return [
            self.name,
            short_source(self.data),
            self.preset,
            f"{self.step:,} of {self.steps:,}",
            "–" if self.loss is None else f"{self.loss:#.4g}",
            distance,
            format_bytes(self.size),
            self.changed[:16].replace("T", " "),
        ]


@dataclass(frozen=True)
class RunList(Result):
    """The runs of a folder, the one that changed last first, and its folders that cannot be read as runs."""

    SCHEMA: ClassVar[str] = "runs-1"

    folder: str
    runs: tuple[RunSummary, ...]
    problems: tuple[str, ...] = ()
    """What is damaged, and which folders are no runs, a line each."""

    def parts(self) -> Sequence[Table | str]:
        """Tables and lines of text that show the result."""
        titles = ("run", "data", "preset", "step", "loss", "FD", "on disk", "changed")
        rows = [run.cells() for run in self.runs]
        if not rows:
            return [f"there are no runs in {self.folder}", *self.problems]
        kinds = [
            kind for kind in dict.fromkeys([*PARTS.values(), "other"]) if any(run.parts.get(kind) for run in self.runs)
        ]
        sizes = [[run.name, *(format_bytes(run.parts.get(kind, 0)) for kind in kinds)] for run in self.runs]
        return [Table(titles, rows), Table(("on disk", *kinds), sizes), *self.problems]


@dataclass(frozen=True)
class Removal:
    """A file or folder that a finished run no longer needs, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class CleaningResult(Result):
    """What was removed from finished runs, or would be."""

    SCHEMA: ClassVar[str] = "cleaning-1"

    folder: str
    removals: tuple[Removal, ...]
    removed: bool
    """Whether they were removed."""
    problems: tuple[str, ...] = ()
    """Runs that were left alone, and why, a line each."""

    def parts(self) -> Sequence[Table | str]:
        """Tables and lines of text that show the result."""
        if not self.removals:
            return [f"there is nothing to remove from the finished runs in {self.folder}", *self.problems]
        rows = [(removal.path, format_bytes(removal.size)) for removal in self.removals]
        total = sum(removal.size for removal in self.removals)
        amount = f"{format_bytes(total)} ({total:,} bytes)"
        last = f"removed {amount}" if self.removed else f"would remove {amount}; nothing was removed: --yes removes it"
        return [Table(("path", "on disk"), rows), last, *self.problems]


def format_bytes(size: int) -> str:
    """Format a number of bytes with its unit, as in 12.3 MB."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.1f} {units[0]}" if units[0] != "B" else f"{size} B"
