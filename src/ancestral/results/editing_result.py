"""Result of `ancestral edit`."""

from dataclasses import dataclass, field
from typing import ClassVar

from ancestral.base.result import Result
from ancestral.config.request import ImageRef
from ancestral.config.sweep_values import SweptValue


@dataclass(frozen=True)
class EditedCell:
    """A cell of a table of edits."""

    values: dict[str, SweptValue]
    """Its values of what is swept."""
    method: str
    evaluations: int
    """The number of network evaluations of each sample."""
    deviation: float | None = None
    """The mean of the map of the standard deviation over its samples, in the units of the data, where it may change;
    None of one sample."""
    misfit: float | None = None
    """The root mean square of A x − y of its samples of restore, in units of [-1, 1]; None of others."""


@dataclass(frozen=True)
class EditingResult(Result):
    """Files with the samples of an edit, and how they were made."""

    SCHEMA: ClassVar[str] = "editing-1"

    model: str
    task: str
    count: int
    seed: int
    method: str
    reason: str
    """Why the method was taken."""
    evaluations: int
    """The number of network evaluations of each sample."""
    seconds: float
    paths: tuple[str, ...]
    deviation: float | None = None
    """The mean of the map of the standard deviation over the samples, in the units of the data, where it may change."""
    index: tuple[int, ...] | None = None
    """Which samples of the seed they are; None is the first `count`."""
    given: dict[str, tuple[ImageRef | str, ...]] = field(default_factory=dict)
    """The values of the conditions besides the label."""
    avoid: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of conditions that guidance led away from, as of `given`."""
    notes: tuple[str, ...] = ()
    sweep: dict[str, tuple[SweptValue, ...]] | None = None
    """The values of the columns of a table by the name of their setting, then those of its rows; None without a sweep.
    `method`, `reason` and `evaluations` are then those of the first cell."""
    cells: tuple[EditedCell, ...] | None = None
    """The cells of a table by rows; None without a sweep."""
