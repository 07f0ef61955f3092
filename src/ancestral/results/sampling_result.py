"""Results of `ancestral sample` and `ancestral edit`."""

from dataclasses import dataclass, field
from typing import ClassVar

from ancestral.base.result import Result
from ancestral.config.request import ImageRef
from ancestral.config.sweep_values import SweptValue


@dataclass(frozen=True)
class SamplingResult(Result):
    """Files with samples, and how the samples were made.

    `means` are those of the samples' channels and `data_means` those of the training data, both in the data's own
    units; the latter are empty for models that do not know them.
    """

    SCHEMA: ClassVar[str] = "sampling-1"

    model: str
    count: int
    seed: int
    sampler: str
    label: str | None
    guidance: float | dict[str, float]
    paths: tuple[str, ...]
    codec: str
    means: tuple[float, ...]
    data_means: tuple[float, ...]
    index: tuple[int, ...] | None = None
    """Which samples of the seed they are; None is the first `count`."""
    given: dict[str, tuple[ImageRef | str, ...]] = field(default_factory=dict)
    """The values of the conditions besides the label: sample i has value i mod their number."""
    avoid: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of conditions that guidance led away from, as of `given`."""
    then: tuple[str, ...] = ()
    """The models that follow in a cascade. `codec`, `means` and `data_means` are those of the last."""
    sweep: dict[str, tuple[SweptValue, ...]] | None = None
    """The values of the columns of a table by the name of their setting, then those of its rows; None without a sweep.
    Settings that it does not name are those of all cells; `sampler` is that of the first."""
    channels: tuple[str, ...] = ()
    """The name of each channel of fields, with its units."""


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
