"""Sweeps: a table of samples of one seed, in which a column and a row have one value of a setting or a condition each.

Each cell is an ordinary request, so its samples are those of `Model.make`, to the bit.
"""

import dataclasses
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.conditions import LABEL, Limits
from ancestral.config.request import Request, swept_settings
from ancestral.config.sweep_values import MOST_CELLS, SweptValue, read_axes, value_texts
from ancestral.data.convert import is_picture, to_uint8
from ancestral.data.decoding import from_pixels
from ancestral.model.condition_values import read_values
from ancestral.model.image_grid import MOST_SHOWN, SMALLEST_WIDTH, picture_html
from ancestral.model.requested import user_values
from ancestral.model.sweep_axes import Axis, axis_of
from ancestral.model.trained_model import TrainedModel

MOST_AXES = 2
"""The largest number of settings of a sweep."""
MOST_SAMPLES = 16_384
"""The largest number of samples of all cells."""
Cells: TypeAlias = tuple[tuple[Request, ...], ...]
"""The requests of a table by rows."""


@dataclass(frozen=True)
class Sweep:
    """A sweep that is decided.

    Attributes:
        axes: The columns, and the rows if there are two axes.
        cells: The requests by rows; without a second axis there is one row.
        notes: What the user should know, a line each.
    """

    axes: tuple[Axis, ...]
    cells: Cells
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, tuple[SweptValue, ...]]:
        """The values of each axis by its name, as a request holds them."""
        return {axis.name: axis.values for axis in self.axes}

    @property
    def values_of_cells(self) -> list[dict[str, SweptValue]]:
        """The values of each cell by the names of the axes, by rows."""
        columns, *rows = self.axes
        each = product(*(axis.values for axis in rows), columns.values)
        return [dict(zip((*(axis.name for axis in rows), columns.name), values, strict=True)) for values in each]

    def recipe(self, request: Request, first: Request) -> Request:
        """Return the recipe of the table: that of its first cell, in which what is swept is as the request has it.

        Args:
            request: The request of the table.
            first: The recipe of the first cell.
        """
        settings, conditions = swept_settings(request.edit is not None), {axis.condition for axis in self.axes}
        swept = {axis.name.partition(".")[0] for axis in self.axes if not axis.condition}
        names = {settings[name].name for name in swept & settings.keys()} | {LABEL} & conditions
        names |= {"steps"} if "sampler" in names else set()
        changes = {name: getattr(request, name) for name in names & vars(request).keys()}
        given = {name: refs for name, refs in first.given.items() if name not in conditions}
        changes |= {"given": given, "edit": request.edit, "single": False, "sweep": self.values}
        return dataclasses.replace(first, **changes)


class Swept(Tensor):
    """The samples of a sweep, (rows, columns, n, C, *sides) in the units of the data, and what the cells are.

    What is computed from them is a plain tensor.

    Attributes:
        axes: The values of the columns by the name of their setting, then those of the rows.
        requests: The request of each cell by rows, of which `Model.make` makes its samples.
        limits: The values of floats that are black and white; None of samples as the network knows them.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as PyTorch's Parameter

    axes: Mapping[str, tuple[SweptValue, ...]]
    requests: Cells
    limits: Limits | None

    @classmethod
    def of(cls, sweep: Sweep, samples: Sequence[Tensor], limits: Limits | None) -> "Swept":
        """Return the samples of the cells, one after another, as a table."""
        table = in_rows(samples, len(sweep.cells[0])).as_subclass(cls)
        table.axes, table.requests, table.limits = sweep.values, sweep.cells, limits
        return table

    def _repr_html_(self) -> str:
        samples = self.as_subclass(Tensor)
        shape, count = samples.shape[3:], math.prod(samples.shape[:3])
        names = " by ".join(self.axes)
        if self.limits is None or count > MOST_SHOWN or not is_picture(shape, samples.dtype):
            return f"<p>{html.escape(names)}: samples of shape {tuple(samples.shape)}</p>"
        columns, rows = (*map(value_texts, self.axes.values()), [""])[:2]
        width = max(shape[2], SMALLEST_WIDTH)
        body = f"<tr>{''.join(f'<th>{html.escape(text)}</th>' for text in (names, *columns))}</tr>"
        flat = to_uint8(samples.flatten(0, 2), self.limits)
        pictures = flat.view(*samples.shape[:3], *flat.shape[1:])
        for text, row in zip(rows, pictures, strict=True):
            cells = ["".join(picture_html(from_pixels(one), width) for one in cell) for cell in row]
            body += f"<tr><th>{html.escape(text)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        return f"<table>{body}</table>"


def in_rows(cells: Sequence[Tensor], columns: int) -> Tensor:
    """Return the samples (n, C, *sides) of cells by rows, (rows, columns, n, C, *sides)."""
    return torch.stack([*cells]).reshape(-1, columns, *cells[0].shape)


def sweep_of(request: Request, models: Sequence[TrainedModel]) -> Sweep:
    """Decide the cells of a request with a sweep.

    Args:
        request: The request.
        models: Its model, and those that follow it.

    Raises:
        InputError: If there is no such setting or condition, it cannot have a value, or the cells are too many.
    """
    axes = [axis_of(request, name, values, models) for name, values in read_axes(request.sweep or {}).items()]
    if not 1 <= len(axes) <= MOST_AXES:
        raise InputError(f"a sweep has one setting or two, not {len(axes)}")
    base = dataclasses.replace(request, sweep=None, single=False, n=_count(request, axes, models))
    count, each = math.prod(len(axis.values) for axis in axes), len(base.indices or ()) or base.n or 1
    if count > MOST_CELLS:
        raise InputError(f"a sweep of {count:,} cells is too large: give at most {MOST_CELLS:,}")
    if count * each > MOST_SAMPLES:
        raise InputError(f"{count:,} cells of {each:,} samples are too many: give at most {MOST_SAMPLES:,} in all")
    models[-1].items(count * each, None)  # which memory has to hold
    columns, rows = axes[0], axes[1:]
    cells = tuple(
        tuple(_cell(base, [(columns, value), *zip(rows, row, strict=True)]) for value in columns.values)
        for row in product(*(axis.values for axis in rows))
    )
    return Sweep(tuple(axes), cells, tuple(note for axis in axes for note in axis.notes))


def _cell(request: Request, values: Sequence[tuple[Axis, SweptValue]]) -> Request:
    """The request of a cell."""
    for axis, value in values:
        request = axis.apply(request, value)
    return request


def _count(request: Request, axes: Sequence[Axis], models: Sequence[TrainedModel]) -> int | None:
    """The number of samples of a cell: that of the request, or of the values of a condition, or 1.

    None is that of the indices, or of a walk.
    """
    walk = request.edit is not None and request.edit.task == "interpolate"
    if request.n is not None or request.indices is not None or walk or any(axis.name == "index" for axis in axes):
        return request.n
    names, most = {axis.condition for axis in axes}, 1
    given = {name: value for name, value in user_values(request).items() if name not in names}
    for model in models:
        own = {name: value for name, value in given.items() if name in model.spec.further}
        most = max(most, *(len(values.rows) for values in read_values(model.spec, own).values()), 1)
    return most
