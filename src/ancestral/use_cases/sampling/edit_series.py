"""Edits of a file of several fields: each is edited by itself, and all are written into one file on their axis."""

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ancestral.base.device import cpu_threads
from ancestral.base.errors import InputError, one_line
from ancestral.base.events import Event, Message, State, Work, mapped
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.config.data_sources import suffix_of
from ancestral.config.run_files import check_outside
from ancestral.data import field_files
from ancestral.data.grid import Axis
from ancestral.data.sources.fields import item_axis, read_fields
from ancestral.declarations import Edit
from ancestral.model import Model
from ancestral.model.image_values import holds_fields
from ancestral.model.process import made
from ancestral.results.sampling_result import EditingResult
from ancestral.use_cases.output_files import folder_of, stem_of, write_new_files
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.edit_files import LONGEST_EDIT_STEM
from ancestral.use_cases.sampling.sampling_plan import SamplingPlan

OF_ONE_FIELD = ("like", "sweep", "by", "gif", "film", "extend")
"""Options of one field alone."""


@dataclass(frozen=True)
class SeriesPlan:
    """The edits of several fields that are decided.

    Attributes:
        options: What the user gave.
        model: The model.
        fields: The fields (fields, C, *space); NaN is missing.
        axis: The axis on which they lie.
        out: The file.
    """

    options: Edit
    model: Model
    fields: Tensor
    axis: Axis
    out: Path

    def of_field(self, number: int) -> Edit:
        """Return how one field is edited: the seed goes up by its number, so that no two have the same noise."""
        image, seed = self.fields[number], (self.options.seed or 0) + number
        return dataclasses.replace(self.options, model=self.model, image=image, seed=seed, out=None)


def planned_series(options: Edit) -> SeriesPlan | None:
    """Decide how the fields of a file are edited; None where it does not hold several.

    Raises:
        InputError: If they lie along several axes, an option is of one field alone, or the file to write does not fit.
    """
    if options.task != "inpaint" or not holds_fields(options.image):
        return None
    model = requests.loaded(options)
    if model.spec.grid is None:
        return None
    fields = read_fields(options.image, model.spec.grid)
    if len(fields) == 1:
        return None
    axis = item_axis(options.image, model.spec.grid)
    for name in OF_ONE_FIELD:
        if getattr(options, name) not in (None, False):
            raise InputError(f"{option(name)} is of one field, and there are {len(fields)}: leave it out")
    name = stem_of(Path(options.image).stem, LONGEST_EDIT_STEM) if isinstance(options.image, str | Path) else "fields"
    default = folder_of(options.model, "edits") / f"{name}-inpaint-seed{options.seed or 0}.nc"
    out = default if options.out is None else Path(options.out)
    if suffix_of(out.name) not in (".nc", ".zarr"):
        raise InputError(
            f"{one_line(out)} cannot hold {plural(len(fields), 'field')} on their axis: write a .nc or .zarr"
        )
    field_files.check_format(out, model.spec, plural(len(fields), "field"))
    check_outside(out, model.config.data.source)
    return SeriesPlan(options, model, fields, axis, out)


def edited_series(plan: SeriesPlan, planned: Callable[[Edit], SamplingPlan]) -> Generator[Event, None, EditingResult]:
    """Edit the fields, and write them into one file. One that lacks nothing stays as it is, unless a mask is given.

    Args:
        plan: The plan.
        planned: Plans the edit of one field.

    Yields:
        The events of each field; what is said of several is said once.

    Returns:
        The file, and how the samples were made.

    Raises:
        InputError: If no field lacks a value and nothing else says what changes, or a field cannot be edited.
    """
    options, began, count = plan.options, time.perf_counter(), len(plan.fields)
    masked = options.mask is not None or options.changes is not None or options.box is not None
    gaps = [number for number, field in enumerate(plan.fields) if masked or bool(field.isnan().any())]
    results, notes, first = dict[int, Tensor](), dict[str, None](), planned(plan.of_field(gaps[0] if gaps else 0))
    yield Message(f"{first.process.method}: {first.process.reason}")
    with cpu_threads(options.threads):
        for place, number in enumerate(gaps, 1):
            one = first if number == gaps[0] else planned(plan.of_field(number))
            notes |= dict.fromkeys(one.notes)
            task = f"field {place:,} of {len(gaps):,}"
            recording = yield from mapped(made(one.process, options.batch_size), partial(_of_field, task))
            results[number] = recording.samples
    if whole := count - len(gaps):
        notes[f"{plural(whole, 'field')} of {count:,} lack{'s' * (whole == 1)} nothing, and stayed as given"] = None
    members = first.count
    items = torch.stack(
        [results.get(number, field.expand(members, *field.shape)) for number, field in enumerate(plan.fields)]
    )
    yield from map(Message, notes)
    content = field_files.to_xarray(items, plan.model.spec, first.recipe.to_json(), series=plan.axis)
    write = partial(field_files.write_fields, fields=content, spec=plan.model.spec)
    paths = yield from write_new_files({plan.out: write})
    return EditingResult(
        model=plan.model.name,
        task=options.task,
        count=count * members,
        seed=first.recipe.seed,
        method=first.process.method,
        reason=first.process.reason,
        evaluations=first.process.evaluations,
        seconds=time.perf_counter() - began,
        paths=paths,
        index=first.recipe.indices,
        given=first.recipe.given,
        avoid=first.recipe.avoid,
        notes=tuple(notes),
    )


def _of_field(task: str, event: Event) -> Iterator[Event]:
    """An event of a field, with its number as the task."""
    yield dataclasses.replace(event, task=task) if isinstance(event, Work | State) else event
