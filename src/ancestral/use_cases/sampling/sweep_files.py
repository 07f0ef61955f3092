"""The file that a sweep is written to: the table as a picture, or arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config.request import Request
from ancestral.declarations import Edit, Sample
from ancestral.model.editing import deviation_of
from ancestral.model.sampling_model import SamplingModel
from ancestral.model.sweeps import Sweep, in_rows
from ancestral.render import writers
from ancestral.render.sweep_picture import Heading, sweep_picture
from ancestral.use_cases.output_files import folder_of, stem_of

LONGEST_TABLE_STEM = 80
"""The largest number of characters of the file name that is made of settings."""


class Decided(Protocol):
    """Samples of a cell that are decided."""

    @property
    def request(self) -> Request:
        """Their recipe."""

    @property
    def items(self) -> Sequence[int]:
        """The indices of the samples."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, a line each."""

    @property
    def states(self) -> int:
        """The number of states of each sample."""

    @property
    def work(self) -> int:
        """The number of states of all batches."""


D = TypeVar("D", bound=Decided)


@dataclass(frozen=True)
class SweepPlan(Generic[D]):
    """A sweep that is decided: how each cell is made, and into which file.

    Attributes:
        options: What the user gave.
        model: The model whose samples are written.
        shows_states: Whether there is one model, whose states are shown.
        sweep: The settings and their values.
        cells: The samples by rows, one cell after another.
        request: The recipe of the table.
        out: The table or the array.
        notes: What the user should know, a line each.
    """

    options: Sample | Edit
    model: SamplingModel
    shows_states: bool
    sweep: Sweep
    cells: tuple[D, ...]
    request: Request
    out: Path
    notes: tuple[str, ...]


def path_of_table(options: Sample | Edit, sweep: Sweep, recipe: Request) -> Path:
    """Return the file of a table. Raises InputError if it could not be written."""
    folder = folder_of(options.model, "samples" if recipe.edit is None else "edits")
    task = "" if recipe.edit is None else recipe.edit.task
    stem = stem_of("-".join(filter(None, [f"seed{recipe.seed}", task, "sweep", *sweep.values])), LONGEST_TABLE_STEM)
    out = folder / f"{stem}.png" if options.out is None else Path(options.out)
    if out.suffix.lower() not in FILES:
        what = f"as a {out.suffix} file" if out.suffix else f"as the folder {out}"
        raise InputError(f"cannot write a sweep {what}; {option('out')} takes {' or '.join(FILES)}")
    return out


def files_of_table(plan: SweepPlan[Any], samples: Sequence[Tensor]) -> dict[Path, Callable[[Path], None]]:
    """Return the file of a plan with what writes the samples of its cells."""
    return {plan.out: partial(FILES[plan.out.suffix.lower()], plan, samples)}


def _write_picture(plan: SweepPlan[D], samples: Sequence[Tensor], path: Path) -> None:
    columns, *rows = (Heading(axis.name, axis.texts) for axis in plan.sweep.axes)
    limits, captions = plan.model.spec.codec.channel_limits, getattr(plan.options, "captions", None) is not False
    picture = sweep_picture(samples, limits, columns, rows[0] if rows else None, captions)
    writers.write_picture(path, picture, plan.request.to_json() if plan.request.model else "")


def _write_array(plan: SweepPlan[D], samples: Sequence[Tensor], path: Path) -> None:
    table = in_rows(samples, len(plan.sweep.cells[0]))
    axes = {("columns", "rows")[number]: np.array(axis.values) for number, axis in enumerate(plan.sweep.axes)}
    if plan.request.edit is not None and len(samples[0]) > 1:
        alike = map(plan.model.spec.codec.of_one_unit, samples)
        axes["std"] = in_rows([deviation_of(cell).float() for cell in alike], len(plan.sweep.cells[0])).numpy()
    writers.write_arrays(path, {writers.array_name(plan.model.spec.shape): table.numpy(), **axes})


FILES: Mapping[str, Callable[[SweepPlan[Any], Sequence[Tensor], Path], None]] = {
    ".png": _write_picture,
    ".npz": _write_array,
}
"""What writes the samples of the cells, by the suffix of the file."""
