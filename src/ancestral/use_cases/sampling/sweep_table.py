"""A sweep of samples or of an edit: its cells one after another, and the table that they become."""

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message, State, Work, mapped
from ancestral.base.fields import check_ranges
from ancestral.base.options import option
from ancestral.base.quantities import plural
from ancestral.conditions import LABEL
from ancestral.config.request import SAMPLER_OPTIONS, Request, swept_settings
from ancestral.config.run_files import check_outside
from ancestral.declarations import Edit, Sample
from ancestral.model import Model
from ancestral.model.editing import deviation_of
from ancestral.model.process import Process, made
from ancestral.model.processes import process_of
from ancestral.model.sweep_axes import GIVEN, GUIDANCE
from ancestral.model.sweeps import Sweep, in_rows, sweep_of
from ancestral.model.trained_model import TrainedModel
from ancestral.render import writers
from ancestral.render.sweep_picture import Heading, sweep_picture
from ancestral.use_cases.output_files import folder_of, other_images, stem_of, write_new_files
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.edit_inputs import EditInput
from ancestral.use_cases.sampling.sampling_plan import SamplingPlan

ONE_SAMPLER = ("eta", "variance")
"""Options of a sampler that not all have."""
MOST_NOTES = 8
"""The largest number of notes of all cells."""


def planned_sweep(
    options: Sample | Edit, request: Request, model: Model, given: EditInput | None = None
) -> SamplingPlan:
    """Decide all cells of a sweep, and the file.

    Args:
        options: The options.
        request: The request of the table, with the models that follow.
        model: The model.
        given: What an edit begins with.

    Raises:
        InputError: If an option has no meaning in a sweep, or a cell cannot be made.
    """
    _check_options(options, request)
    models = [model, *request.objects.then]
    sweep = sweep_of(request, models)
    _check_values(options, sweep)
    cells = tuple(process_of(model, cell) for row in sweep.cells for cell in row)
    recipe = sweep.recipe(request, cells[0].recipe)
    said = [*sweep.notes, *(() if given is None else given.notes), *(note for cell in cells for note in cell.notes)]
    notes = list(dict.fromkeys([*said, *requests.snapshot_notes(options, request.objects.weak)]))
    if len(notes) > MOST_NOTES:
        notes = [*notes[:MOST_NOTES], f"{plural(len(notes) - MOST_NOTES, 'note')} more on other cells"]
    out = path_of_table(options, sweep, recipe)
    for one in models:
        check_outside(out, one.config.data.source)
    notes += other_images([out]) if recipe.edit is None else []
    return SamplingPlan(options, cells, recipe, out, tuple(notes), sweep=sweep, given=given)


def first_cell(request: Request, models: Sequence[TrainedModel]) -> Request:
    """Return the request of the first cell of a sweep; of a request without one itself."""
    return request if request.sweep is None else sweep_of(request, models).cells[0][0]


def _check_options(options: Sample | Edit, request: Request) -> None:
    """Raise InputError for an option that has no meaning in a sweep, or is that which is swept."""
    for one in dataclasses.fields(options):
        if not one.metadata.get("sweeps", True) and getattr(options, one.name) not in (None, False):
            raise InputError(f"{option(one.name)} has no meaning in a sweep, which is a table of samples: leave it out")
    if options.like is not None:  # which holds the axes, and refuses other options
        return
    settings = {LABEL, *swept_settings(request.edit is not None)}
    for name in request.sweep or ():
        if name in settings and getattr(options, name) is not None:
            raise InputError(f"{name} is swept, so each cell has its own: leave {option(name)} out")
        condition = name.removeprefix(GIVEN)
        if condition in requests.by_name(options.given):
            raise InputError(f"{name} is swept, so each cell has its own: leave {option('given', condition)} out")
        _check_others(options, name)


def _check_others(options: Sample | Edit, name: str) -> None:
    """Raise InputError for an option that does not go with a setting that is swept."""
    scale = {} if options.guidance is None else requests.scale_of(options.guidance)
    if name.startswith(f"{GUIDANCE}.") and not isinstance(scale, dict):
        raise InputError(f"{name} is swept: give {option('guidance')} of other conditions by name, or leave it out")
    others = [one for one in ONE_SAMPLER if getattr(options, one, None) is not None]
    if name == "sampler" and others:
        raise InputError(f"the sampler is swept, and not all samplers have {option(others[0])}: leave it out")
    if name in ("sampler", *SAMPLER_OPTIONS) and getattr(options, "then", None) is not None:
        raise InputError(f"{name} is swept, which is for one model: leave {option('then')} out")
    if name == "index" and options.n is not None:
        raise InputError(f"{option('index')} already names the samples: leave {option('n')} out")


def _check_values(options: Sample | Edit, sweep: Sweep) -> None:
    """Raise InputError for a number that is out of the range of its option."""
    names = {one.name for one in dataclasses.fields(options)}
    for axis in sweep.axes:
        for value in axis.values if axis.name in names and not axis.condition else ():
            changes: dict[str, Any] = {axis.name: value}
            check_ranges(dataclasses.replace(options, **changes))


# -- the run -----------------------------------------------------------------------------------------------------------


def written_sweep(plan: SamplingPlan) -> Generator[Event, None, tuple[Tensor, tuple[str, ...]]]:
    """Make the samples of all cells and write the file.

    Args:
        plan: The plan.

    Yields:
        The work done of all cells, the states of a single model, what is said of the samples, and the file.

    Returns:
        The samples of all cells, one after another, and the path.
    """
    samples, said = list[Tensor](), set[Message]()
    done, size = 0, plan.options.batch_size
    for number, cell in enumerate(plan.processes):
        samples.append((yield from mapped(_made(cell, size), _renumbered(plan, number, done, said))))
        done += cell.work(size)
    paths = yield from write_new_files(files_of_table(plan, samples))
    return torch.cat(samples), paths


def _made(cell: Process, batch_size: int | None) -> Generator[Event, None, Tensor]:
    recording = yield from made(cell, batch_size)
    yield from map(Message, cell.check(recording.samples))
    return recording.samples


def _renumbered(plan: SamplingPlan, number: int, done: int, said: set[Message]) -> Callable[[Event], Iterator[Event]]:
    """A function of an event of a cell that returns it as that of a part of all samples.

    The last states of all cells have one number, and messages come once.
    """
    counts, size = [cell.count for cell in plan.processes], plan.options.batch_size
    total, longest = sum(cell.work(size) for cell in plan.processes), max(len(cell.times) for cell in plan.processes)
    task, before = f"{plural(len(counts), 'cell')} of {plural(counts[0], 'image')}", sum(counts[:number])
    shows_states = plan.process.before is None

    def renumbered(event: Event) -> Iterator[Event]:
        nonlocal done
        if isinstance(event, Work):
            done += 1
            yield Work(task, done, total, event.unit)
        elif isinstance(event, Message) and event not in said:
            said.add(event)
            yield event
        elif isinstance(event, State) and shows_states:
            yield dataclasses.replace(
                event,
                task=task,
                index=event.index + longest - event.total,
                total=longest,
                positions=[before + position for position in event.positions],
                count=sum(counts),
            )

    return renumbered


# -- the file ---------------------------------------------------------------------------------------------------------


LONGEST_TABLE_STEM = 80
"""The largest number of characters of the file name that is made of settings."""


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


def files_of_table(plan: SamplingPlan, samples: Sequence[Tensor]) -> dict[Path, Callable[[Path], None]]:
    """Return the file of a plan with what writes the samples of its cells."""
    return {plan.out: partial(FILES[plan.out.suffix.lower()], plan, samples)}


def _write_picture(plan: SamplingPlan, samples: Sequence[Tensor], path: Path) -> None:
    columns, *rows = (Heading(axis.name, axis.texts) for axis in _sweep(plan).axes)
    limits, captions = plan.process.limits, getattr(plan.options, "captions", None) is not False
    picture = sweep_picture(samples, limits, columns, rows[0] if rows else None, captions)
    writers.write_picture(path, picture, plan.recipe.to_json() if plan.recipe.model else "")


def _write_array(plan: SamplingPlan, samples: Sequence[Tensor], path: Path) -> None:
    table = in_rows(samples, len(_sweep(plan).cells[0]))
    axes = {("columns", "rows")[number]: np.array(axis.values) for number, axis in enumerate(_sweep(plan).axes)}
    if plan.recipe.edit is not None and len(samples[0]) > 1:
        alike = map(plan.model.spec.codec.of_one_unit, samples)
        axes["std"] = in_rows([deviation_of(cell).float() for cell in alike], len(_sweep(plan).cells[0])).numpy()
    writers.write_arrays(path, {writers.array_name(plan.model.spec.shape): table.numpy(), **axes})


FILES: Mapping[str, Callable[[SamplingPlan, Sequence[Tensor], Path], None]] = {
    ".png": _write_picture,
    ".npz": _write_array,
}
"""What writes the samples of the cells, by the suffix of the file."""


def _sweep(plan: SamplingPlan) -> Sweep:
    assert plan.sweep is not None
    return plan.sweep
